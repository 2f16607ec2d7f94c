#!/bin/sh
# uts.sh UTS - the known trees of the program uts, one line a test.
# The backend is the environment's (CREW_BACKEND).
set -u
uts=$1
failures=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() { # name, expected, actual
    if [ "$2" = "$3" ]; then
        echo "ok - $1"
    else
        echo "not ok - $1: expected '$2', got '$3'"
        failures=$((failures + 1))
    fi
}

# Runs uts; prints its output, then its exit code if that is not 0.
run() {
    "$uts" "$@" 2>"$work/err" || echo "exit $?"
}

said() { # a part of the last run's standard error
    if grep -q -- "$1" "$work/err"; then echo said; else cat "$work/err"; fi
}

tree() { # what was counted
    run "$@" | sed -n 's/^pool: \([0-9]*\) nodes, depth \([0-9]*\), \([0-9]*\) leaves.*/\1 \2 \3/p'
}

check uts__T1__as_published "4130071 10 3305118" "$(tree -t 1 -a 3 -d 10 -b 4 -r 19)"
check uts__T3__as_published "4112897 1572 3599034" "$(tree -t 0 -b 2000 -q 0.124875 -m 8 -r 42)"
for sample in T1 T2 T3 T4 T5; do
    check "uts__sample_${sample}__is_verified" "verified: the tree is as it is known" \
        "$(run "$sample" | tail -n 1)"
done
# A hundred million nodes: not where a sanitizer makes them many minutes.
if [ -n "${CREW_TEST_LONG-}" ] && ! grep -qE '__(asan|tsan|ubsan)_' "$uts"; then
    check uts__T3L__as_published "111345631 17844 89076904" "$(tree T3L)"
    check uts__T1L__as_published "102181082 13 81746377" "$(tree T1L)"
fi

# A balanced tree, that anybody can count; the root alone.
check uts__balanced__all_nodes "1093 6 729" "$(tree -t 3 -b 3 -d 6)"
check uts__no_children__only_the_root "1 0 1" "$(tree -t 0 -b 0)"

# However the work is cut up, and on whatever number of workers.
check uts__tasks_of_one_node__the_same_tree "$(tree -r 3 -d 8)" "$(tree -r 3 -d 8 -c 1)"
check uts__three_workers__the_same_tree "$(tree -r 3 -d 8)" "$(tree -r 3 -d 8 --workers=3)"
check uts__twice_the_work_for_a_node__the_same_tree "$(tree -r 3 -d 8)" "$(tree -r 3 -d 8 -g 2)"
check uts__another_seed__another_tree 2 \
    "$({ tree -r 3 -d 8; tree -r 4 -d 8; } | sort -u | wc -l)"

run --compare T1 >"$work/out"
check uts__compare__finds_the_same_twice 2 \
    "$(grep -c ': 4130071 nodes, depth 10, 3305118 leaves, .* million nodes a second$' "$work/out")"
check uts__compare__says_how_fast 1 \
    "$(grep -c '^series [0-9.]* s, pool [0-9.]* s: [0-9.]* times as fast, [0-9.]* are possible$' "$work/out")"
CREW_PROGRESS=1 run T1 >"$work/out"
check uts__progress__counts_nodes said "$(said 'uts 4.1 million nodes')"

check uts__help__names_the_samples 1 "$(run --help | grep -c 'T3, T4, T5, T1L, T2L or T3L')"
check uts__unknown_sample__is_refused "exit 2" "$(run T9)"
check uts__unknown_sample__is_named said "$(said 'no sample with the name T9')"
check uts__sample_with_options__is_refused "exit 2" "$(run -r 3 T1)"
check uts__unknown_type__is_refused "exit 2" "$(run -t 4)"
check uts__a_word_for_a_number__is_refused "exit 2" "$(run -d deep)"
check uts__a_word_for_a_number__says_the_range said "$(said '-d is from 1 to 2147483647, not deep')"
check uts__more_than_certain__is_refused "exit 2" "$(run -q 1.5)"
check uts__maybe_endless__is_said said "$(run -t 0 -b 0 -q 0.5 -m 2 >"$work/out"; said 'may have no end')"
check uts__unknown_backend__is_refused "exit 1" "$(run --backend=steam)"
# Under a launcher (CREW_TEST_JOB) that has the output, and is what signals go to.
if [ -z "${CREW_TEST_JOB-}" ]; then
    check uts__full_disk__is_an_error "exit 1" "$( ("$uts" >/dev/full) 2>"$work/err" || echo "exit $?")"
fi
[ "$failures" -eq 0 ]
