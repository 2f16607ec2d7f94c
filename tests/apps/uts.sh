#!/bin/sh
# uts.sh UTS - the known trees of the program uts, one line a test.
# The backend is the environment's (CREW_BACKEND).
set -u
suite=uts__
. "$(dirname "$0")/check.sh"
program=$1

tree() { # what was counted
    run "$@" | sed -n 's/^pool: \([0-9]*\) nodes, depth \([0-9]*\), \([0-9]*\) leaves.*/\1 \2 \3/p'
}

check T1__as_published "4130071 10 3305118" "$(tree -t 1 -a 3 -d 10 -b 4 -r 19)"
check T3__as_published "4112897 1572 3599034" "$(tree -t 0 -b 2000 -q 0.124875 -m 8 -r 42)"
for sample in T1 T2 T3 T4 T5; do
    check "sample_${sample}__is_verified" "verified: the tree is as it is known" \
        "$(run "$sample" | tail -n 1)"
done
# A hundred million nodes: not where a sanitizer makes them many minutes.
if [ -n "${CREW_TEST_LONG-}" ] && ! grep -qE '__(asan|tsan|ubsan)_' "$program"; then
    check T3L__as_published "111345631 17844 89076904" "$(tree T3L)"
    check T1L__as_published "102181082 13 81746377" "$(tree T1L)"
fi

# A balanced tree, that anybody can count; the root alone.
check balanced__all_nodes "1093 6 729" "$(tree -t 3 -b 3 -d 6)"
check formula_without_a_number__is_no_children "9 2 7" "$(tree -t 1 -a 1 -b 1 -d 1)"
check no_children__only_the_root "1 0 1" "$(tree -t 0 -b 0)"

# However the work is cut up, and on whatever number of workers.
check tasks_of_one_node__the_same_tree "$(tree -r 3 -d 8)" "$(tree -r 3 -d 8 -c 1)"
check three_workers__the_same_tree "$(tree -r 3 -d 8)" "$(tree -r 3 -d 8 --workers=3)"
check twice_the_work_for_a_node__the_same_tree "$(tree -r 3 -d 8)" "$(tree -r 3 -d 8 -g 2)"
check another_seed__another_tree 2 \
    "$({ tree -r 3 -d 8; tree -r 4 -d 8; } | sort -u | wc -l)"

run --compare T1 >"$work/out"
check compare__finds_the_same_twice 2 \
    "$(grep -c ': 4130071 nodes, depth 10, 3305118 leaves, .* million nodes a second$' "$work/out")"
check compare__says_how_fast 1 \
    "$(grep -c '^series [0-9.]* s, pool [0-9.]* s: [0-9.]* times as fast, [0-9.]* are possible$' "$work/out")"
CREW_PROGRESS=1 run T1 >"$work/out"
check progress__counts_nodes said "$(said 'uts 4.1 million nodes')"

check help__names_the_samples 1 "$(run --help | grep -c 'T3, T4, T5, T1L, T2L or T3L')"
check unknown_sample__is_refused "exit 2" "$(run T9)"
check unknown_sample__is_named said "$(said 'no sample with the name T9')"
check sample_with_options__is_refused "exit 2" "$(run -r 3 T1)"
check unknown_type__is_refused "exit 2" "$(run -t 4)"
check a_word_for_a_number__is_refused "exit 2" "$(run -d deep)"
check a_word_for_a_number__says_the_range said "$(said '-d is from 1 to 2147483647, not deep')"
check more_than_certain__is_refused "exit 2" "$(run -q 1.5)"
check maybe_endless__is_said said "$(run -t 0 -b 0 -q 0.5 -m 2 >"$work/out"; said 'may have no end')"
check unknown_backend__is_refused "exit 1" "$(run --backend=steam)"
# Under a launcher (CREW_TEST_JOB) that has the output, and is what signals go to.
if [ -z "${CREW_TEST_JOB-}" ]; then
    check full_disk__is_an_error "exit 1" "$( ("$program" >/dev/full) 2>"$work/err" || echo "exit $?")"
    check full_disk__is_named said "$(said 'could not be written: No space left on device')"
fi
[ "$failures" -eq 0 ]
