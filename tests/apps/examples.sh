#!/bin/sh
# examples.sh FOLDER - the programs of apps/examples that have a pool, by what they print.
# The backend is the environment's (CREW_BACKEND). What they measure goes to standard
# error, so that standard output is the same in every run.
set -u
suite=examples__
. "$(dirname "$0")/check.sh"
folder=$1
backend=${CREW_BACKEND:-fork}

# Runs a program: its output, and its exit code if that is not 0.
run() {
    program=$1
    shift
    timeout 300 "$folder/$program" "$@" 2>"$work/err" || echo "exit $?"
}

prints() { # program, expected output
    check "${1}__prints_what_it_should" "$2" "$(run "$1")"
}

prints first 4900450500
prints collatz "837799 takes 524 steps"
prints squares "0 1 4 9 16 25 36 49 64 81
100
0 1 4 9 16 25 36 49"
prints pool_map "333332833333500000
2666664666667000000
8999995500000500000"
prints compute "Done. First result: 666666166.46"
prints primes_list "9592 primes, from 2 to 99991"
prints chunks "chunk 50: 39 primes
chunk 1: 39 primes"
check chunks__says_both_times 2 "$(grep -c '^chunk [0-9]*: [0-9]* microseconds$' "$work/err")"
prints one_word "series: 333333283333335000000 four times
threads: 333333283333335000000 four times
fork: 333333283333335000000 four times"

# Interrupted, it goes on where it was.
primes="148933 primes below 2000000"
"$folder/resume" "$work/resume.crew" >/dev/null 2>&1 &
resumed=$!
begun() {
    [ "$(wc -c <"$work/resume.crew" || echo 0)" -gt 1024 ] || ! kill -0 "$resumed"
}
await begun
kill -KILL "$resumed" 2>/dev/null
wait "$resumed" 2>/dev/null
check resume_after_a_kill__counts_all "$primes" "$(run resume "$work/resume.crew")"
check resume_after_a_kill__has_some_already said "$(said '^[1-9][0-9]* of 200 blocks')"
check resume_again__counts_nothing "$primes" "$(run resume "$work/resume.crew")"
check resume_again__has_them_all said "$(said '^200 of 200 blocks')"

factors="450 factors, the longest list has 24
primes at +39 +61 +63 +91"
prints factorize "$factors"
check factorize_repeated__prints_the_same "$factors" "$(run factorize --repeat 3)"
check factorize_repeated__says_how_fast said \
    "$(said '^series [0-9.]* s, pool [0-9.]* s: [0-9.]* times as fast, [0-9.]* are possible$')"
check factorize_no_times__is_a_usage_error "exit 2" "$(run factorize --repeat 0)"

# The map's line, then two as they completed.
run primes_executor >"$work/out"
check primes_executor__counts_and_finds \
    "614 primes, 10000019 is prime, 10000079 is prime" \
    "$({ head -n 1 "$work/out"; sed 1d "$work/out" | sort; } | paste -sd , - | sed 's/,/, /g')"

run imap_sums >"$work/out"
check imap_sums__running_numbers_in_order "$(seq -s ' ' 100)" \
    "$(sed -n 's/^\[\([0-9]*\)\] [0-9.]*$/\1/p' "$work/out" | paste -sd ' ' -)"
check imap_sums__first_and_last "[1] 0.00 [100] 20766413620.34" \
    "$(grep -E '^\[(1|100)\]' "$work/out" | paste -sd ' ' -)"
sed -n 's/^\[.*\] //p' "$work/out" >"$work/sums"
check imap_sums__sums_grow "" "$(sort -n "$work/sums" | diff "$work/sums" -)"
check imap_sums__unordered_the_same_set "unordered: the same 100 sums" \
    "$(tail -n 1 "$work/out")"
check imap_sums__says_how_fast 2 \
    "$(grep -c 'series [0-9.]* s, pool [0-9.]* s: [0-9.]* times as fast, [0-9.]* are possible$' "$work/err")"
run imap_sums --repeat 2 >"$work/twice"
check imap_sums_repeated__prints_the_same "" "$(diff "$work/out" "$work/twice")"
check imap_sums_no_times__is_a_usage_error "exit 2" "$(run imap_sums --repeat 0)"

# Where workers are not processes a task that crashes is the program, they share its
# globals, and its files.
seen=10
if [ "$backend" = fork ]; then
    seen=0
    prints survive "9 of 10 are done
item 7: signal 11"
    run unpicklable >"$work/out"
    check unpicklable__refuses_a_stack 1 \
        "$(grep -c '^refused: the task 0x[0-9a-f]* lies on a stack: a nested function' "$work/out")"
    check unpicklable__refuses_the_heap 1 \
        "$(grep -c '^refused: the task 0x[0-9a-f]* lies on the heap, in memory' "$work/out")"
    check unpicklable__files "by FILE *: 6 lines|by name: 12 lines" \
        "$(grep '^by ' "$work/out" | paste -sd '|' -)"
    # A pool of processes that have never seen the FILE.
    for start in server spawn; do
        CREW_START=$start run unpicklable >"$work/out"
        check unpicklable_${start}__crashes 1 \
            "$(grep -c '^by FILE \*: item [01] of 2: read_by_pointer was ' "$work/out")"
        check unpicklable_${start}__by_name_all_the_same "by name: 12 lines" \
            "$(tail -n 1 "$work/out")"
    done
fi
prints changes_vanish "appended to a global: $seen seen
returned: 0 1 4 9 16 25 36 49 64 81"

# They are left out where their libraries are not installed.
if [ -x "$folder/records" ]; then
    check records__processed "Processed: 100 records" "$(run records "$work")"
    check records__leaves_no_database "" "$(ls "$work" | grep records)"
    check records_in_no_folder__fails "exit 1" "$(run records "$work/none")"
    check records_in_no_folder__says_why said "$(said 'unable to open database file')"
else
    skipped records "it was built without libsqlite3"
fi
if [ -x "$folder/starmap_images" ]; then
    check starmap_images__both_ways "Converted: 20 images
Converted: 20 images" "$(run starmap_images "$work")"
    check starmap_images__leaves_no_pictures "" "$(ls "$work" | grep images)"
else
    skipped starmap_images "it was built without libwebp"
fi

run amdahl --workers 2 --work 100000 >"$work/out"
check amdahl__measures_a_share 1 "$(grep -c '^serial share: [0-9.]* %$' "$work/out")"
rows=2
[ "$backend" = serial ] && rows=1
check amdahl__a_row_for_each_number_of_workers $rows \
    "$(grep -c '^ *[12]  *[0-9.]*  *[0-9.]*  [#|]' "$work/out")"
check amdahl__no_number__is_a_usage_error "exit 2" "$(run amdahl --work)"
check amdahl__unknown_option__is_a_usage_error "exit 2" "$(run amdahl --wrok 3)"

# The rounds of its loop are rounds of the processor's too, whatever the compiler: ten
# thousand more in each of 71 items are at least as many instructions more.
instructions() { # rounds
    CREW_SEGMENT_SIZE=256M valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$folder/amdahl" --workers 1 --work "$1" 2>&1 >/dev/null | sed -n 's/.*Collected : //p'
}
if [ "$backend" != serial ]; then
    : # once is enough
elif ! command -v valgrind >/dev/null; then
    skipped amdahl__work_grows_with_its_number "there is no valgrind"
elif grep -qE '__(asan|tsan|ubsan)_' "$folder/amdahl"; then
    skipped amdahl__work_grows_with_its_number "a sanitizer does not run under valgrind"
else
    few=$(instructions 10000)
    many=$(instructions 20000)
    check amdahl__work_grows_with_its_number yes \
        "$([ $((${many:-0} - ${few:-0})) -ge 710000 ] && [ "${few:-0}" -gt 0 ] && echo yes ||
            echo "$few, $many")"
fi
[ "$failures" -eq 0 ]
