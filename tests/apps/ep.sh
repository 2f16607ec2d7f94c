#!/bin/sh
# ep.sh EP - the published sums and counts of the program ep, one line a test.
# The backend is the environment's (CREW_BACKEND).
set -u
suite=ep__
. "$(dirname "$0")/check.sh"
program=$1

# The program compares its sums with the published ones; here they are once more, to the
# ten digits in which they must agree.
class() { # name, log2 of the pairs, Gaussian ones, x, y
    run "$1" >"$work/out"
    check "class_${1}__is_verified" "verified: the sums are the published ones" \
        "$(tail -n 1 "$work/out")"
    check "class_${1}__gaussian_pairs" "class $1: 2^$2 pairs, $3 of them Gaussian" \
        "$(sed -n '1s/ Gaussian.*/ Gaussian/p' "$work/out")"
    check "class_${1}__sums" "$4 $5" \
        "$(awk '/^sums/ { printf "%.6e %.6e", $2, $3 }' "$work/out")"
}

class S 24 13176389 -3.247835e+03 -6.958407e+03
check class_S__rings "6140517 5865300 1100361 68546 1648 17 0 0 0 0" \
    "$(awk '/^ *[0-9] / { print $2 }' "$work/out" | paste -sd ' ' -)"
class W 25 26354769 -2.863320e+03 -6.320054e+03
if [ -n "${CREW_TEST_LONG-}" ]; then
    class A 28 210832767 -4.295875e+03 -1.580733e+04
fi
# Billions of pairs, minutes: not where a sanitizer makes them many minutes.
if [ -n "${CREW_TEST_LONG-}" ] && ! grep -qE '__(asan|tsan|ubsan)_' "$program"; then
    class B 30 843345606 4.033816e+04 -2.660669e+04
    class C 32 3373275903 4.764368e+04 -8.084073e+04
fi

# The tree in which they are added up depends on nobody's number: the same bits.
sums() {
    run "$@" | grep '^sums'
}
check other_number_of_workers__same_bits "$(sums --workers=1 S)" "$(sums --workers=3 S)"

run --compare S >"$work/out"
check compare__says_how_fast 1 \
    "$(grep -c '^series [0-9.]* s, pool [0-9.]* s: [0-9.]* times as fast, [0-9.]* are possible$' "$work/out")"
CREW_PROGRESS=1 run S >"$work/out"
check progress__is_a_bar_to_the_end said "$(said 'ep \[#*\] 100.0 % 256 of 256')"
check help__names_the_classes 1 "$(run --help | grep -c 'B (2^30) or C (2^32)')"
check unknown_class__is_refused "exit 2" "$(run D)"
check unknown_class__lists_them said "$(said 'the classes are S, W, A, B and C, not D')"
check two_classes__are_refused "exit 2" "$(run S W)"
check unknown_option__is_refused "exit 2" "$(run --fast)"
check unknown_backend__is_refused "exit 1" "$(run --backend=steam)"
# Under a launcher (CREW_TEST_JOB) that has the output, and is what signals go to.
if [ -z "${CREW_TEST_JOB-}" ]; then
    check full_disk__is_an_error "exit 1" "$( ("$program" S >/dev/full) 2>"$work/err" || echo "exit $?")"
    check full_disk__is_named said "$(said 'could not be written: No space left on device')"
fi
[ "$failures" -eq 0 ]
