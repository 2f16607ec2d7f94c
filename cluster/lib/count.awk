# count.awk - counts the tests of a log that ctest -V or a test script wrote, and
# prints "passed failed skipped".
#
# cmocka's tests are counted one by one. A test program that ctest says failed
# without a failed test of its own (a crash, a time limit, a sanitizer's report
# at its end) counts as one failure; a program that prints failures and exits 0
# counts with its failures.

function number(text) {
    match(text, /[0-9]+ test/)
    return substr(text, RSTART, RLENGTH) + 0
}

# "12: text" is a line of test 12.
/^[0-9]+: / {
    id = substr($0, 1, index($0, ":") - 1)
    line = substr($0, index($0, ":") + 2)
    if (line ~ /\[==========\] Running [0-9]+ test/) groups[id]++
    else if (line ~ /\[       OK \] /) ok[id]++
    else if (line ~ /\[  PASSED  \] [0-9]+ test/) { passed[id] += number(line); totals[id]++ }
    else if (line ~ /\[  SKIPPED \] [0-9]+ test/) skipped[id] += number(line)
    else if (line ~ /\[  FAILED  \] [0-9]+ test/) failed[id] += number(line)
    else if (line ~ /^ok - /) script_ok[id]++
    else if (line ~ /^not ok - /) script_bad[id]++
    else if (line ~ /^skipped - /) skipped[id]++
    next
}

# " 3/12 Test  #7: unit.ring ......   Passed    0.01 sec"
/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
    match($0, /#[0-9]+:/)
    id = substr($0, RSTART + 1, RLENGTH - 2)
    ended[id] = ($0 ~ / Passed +[0-9.]+ sec/) ? "good" : "bad"
    next
}
/^100% tests passed|^[0-9]+% tests passed/ { finished = 1; next }

# Scripts that run without ctest.
/^ok - / { plain_ok++ }
/^not ok - / { plain_bad++ }
/^skipped - / { plain_skipped++ }

END {
    for (id in ended) {
        # Without its totals the program ended early: what it had done by then counts.
        good = (id in totals) ? passed[id] : ok[id]
        good += script_ok[id]
        bad = failed[id] + script_bad[id]
        if (ended[id] == "bad" && bad == 0)
            bad = 1
        if (good + bad + skipped[id] == 0 && !(id in groups))
            good = 1
        sum_good += good
        sum_bad += bad
        sum_skipped += skipped[id]
    }
    if (expect_ctest && !finished)
        sum_bad++
    print sum_good + plain_ok, sum_bad + plain_bad, sum_skipped + plain_skipped + 0
}
