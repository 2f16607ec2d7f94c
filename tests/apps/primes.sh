#!/bin/sh
# primes.sh PRIMES - known answers of the program primes, one line a test.
# The backend is the environment's (CREW_BACKEND).
set -u
suite=primes__
. "$(dirname "$0")/check.sh"
program=$1

one_line() {
    run "$@" | paste -sd ' ' -
}

check no_argument__counts_to_ten_million 664579 "$(run)"
check ten_to_the_eight__known_count 5761455 "$(run 1 10^8)"
check each__same_count 664579 "$(run --each)"
check one_worker__same_count 664579 "$(run --workers=1)"
check from_ten_to_the_twelve__known_count 3618282 \
    "$(run 10^12 1000100000000)"
if [ -n "${CREW_TEST_LONG-}" ]; then
    check a_billion_from_ten_to_the_twelve__known_count 36190991 \
        "$(run 10^12 1001000000000)"
    check a_billion_from_ten_to_the_eighteen__known_count 24127085 \
        "$(run 10^18 1000000001000000000)"
fi
check one_prime_range__counts_it 1 "$(run 97 97)"
check one_composite_range__counts_none 0 "$(run 98 98)"
check zero_to_two__counts_two 1 "$(run 0 2)"
check list__in_order "2 3 5 7 11 13 17 19 23 29" "$(one_line --list 1 30)"

# Against factor(1), which does not sieve: where the sieve is exact, where it
# is helped by Miller-Rabin, and at the end of the range.
for from in 0 1000000000000 4503599627360496 1000000000000000000 9223372036854774807; do
    seq $from $((from + 1000)) | factor | awk 'NF == 2 { print $2 }' >"$work/want"
    run --list $from $((from + 1000)) >"$work/have"
    check "list_from_${from}__as_factor_says" "" "$(diff "$work/want" "$work/have")"
done

# Beginnings and ends anywhere, against the same program without its sieve: some below a
# million, where the base primes are, some where parts of the range meet.
seed=${CREW_TEST_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
echo "seed $seed (CREW_TEST_SEED)"
awk -v seed="$seed" 'BEGIN {
    srand(seed)
    for (i = 0; i < 24; i++) {
        from = int(exp(log(10) * rand() * (i % 2 ? 6 : 18)))
        printf "%d %.0f %.0f\n", 1 + int(rand() * 5), from, from + int(rand() * 100000)
    }
}' >"$work/ranges"
while read -r workers from to; do
    sieved=$(run --workers="$workers" "$from" "$to")
    each=$(run --each "$from" "$to")
    [ "$sieved" = "$each" ] || echo "$from to $to: $sieved by sieving, $each each"
done <"$work/ranges" >"$work/differ"
check random_ranges__the_same_with_and_without_sieve "" "$(cat "$work/differ")"

check end_of_the_range__last_prime 9223372036854775783 \
    "$(run --list 9223372036854775780 9223372036854775807)"

# Too high up to sieve for so few: what is left by some base primes is tested.
check range_high_up__known_count 241295 "$(run 10^18 1000000000010000000)"

# Carmichael numbers, and strong pseudoprimes to many bases.
printf '%s\n' 2 561 41041 3215031751 3825123056546413051 18446744073709551557 >"$work/in"
check input__no_pseudoprime_passes "2 18446744073709551557" "$(one_line - <"$work/in")"
printf '7\nseven\n11\n' >"$work/in"
check input_with_a_word__goes_on_and_fails "7 11 exit 1" "$(one_line - <"$work/in")"
check input_with_a_word__names_it said \
    "$(said '^primes: standard input:2: "seven" is not a number below 2^64$')"
check input_with_a_zero_byte__is_no_number "11 exit 1" "$(printf '7\0\n11\n' | one_line -)"
check input_with_a_zero_byte__is_shown said "$(said '"7?" is not a number')"
check empty_input__prints_nothing "" "$(run - </dev/null)"
printf ' 13\t\r\n\n10^2\n%0100d\n1e1 7\n2^64\n' 17 >"$work/other"
check files__are_read_in_order "7 11 13 2 exit 1" \
    "$(echo 2 | one_line --test "$work/in" "$work/other" -)"
check files__lines_that_are_no_numbers_are_named "in:2 other:4 other:5 other:6" \
    "$(sed -n 's/.*\/\([a-z]*:[0-9]*\): ".*" is not a number.*/\1/p' "$work/err" | paste -sd ' ' -)"
check missing_file__fails "11 exit 1" \
    "$(echo 11 | one_line --test "$work/none" -)"
check missing_file__is_named said "$(said "$work/none: No such file or directory")"
check folder__fails "exit 1" "$(run --test "$work")"
check folder__is_told said "$(said "$work: line 1 cannot be read: Is a directory")"
check test_with_list__is_refused "exit 2" "$(run --test --list "$work/in")"

check empty_range__is_refused "exit 2" "$(run 10 9)"
check empty_range__says_why said "$(said 'the range is empty: 10 is above 9')"
check a_word__is_refused "exit 2" "$(run ten)"
check range_beyond_2_63__is_refused "exit 2" "$(run 1 2^63)"
check unknown_option__is_refused "exit 2" "$(run --no-such-option)"
check unknown_letters__are_refused "exit 2" "$(run --list -ab)"
check unknown_letters__are_named said "$(said 'no such option, .*: -ab\. Try')"
check unknown_backend__is_refused "exit 1" "$(run --backend=steam)"
check unknown_backend__lists_the_words said "$(said 'threads')"
check bindings_asked_for__counts_all_the_same 25 \
    "$(CREW_REPORT_BINDING=1 CREW_WORKERS=1 CREW_BIND=none run 1 100)"
check bindings_asked_for__says_who_is_where said \
    "$(said '^crew: node .*: worker 0 of 1: cpus any$')"
run --compare >"$work/out"
check compare__both_counts 2 "$(grep -c '664,579 primes' "$work/out")"
check compare__says_how_fast 1 \
    "$(grep -c '^series [0-9.]* s, pool [0-9.]* s: [0-9.]* times as fast, [0-9.]* are possible$' "$work/out")"
check help__tells_of_files 1 "$(run --help | grep -c 'primes \[OPTION\]... --test')"
CREW_PROGRESS=1 run 1 10^8 >"$work/out"
check counting__draws_a_bar said "$(said 'primes \[#*\] 100.0 %')"

# What cluster/quickstart shows: progress, both times, speed-up, who was where.
CREW_PROGRESS=1 run --compare --each 1 100000 >"$work/out"
check compare__counts_alike_twice 2 "$(grep -c ' 9,592 primes' "$work/out")"
check compare__says_the_speed_up 1 \
    "$(grep -cE '^ *[0-9]+ workers? .* speed-up [0-9]+\.[0-9]+$' "$work/out")"
check compare__says_who_is_where "$(sed -n 's/^ *\([0-9]*\) worker.*/\1/p' "$work/out")" \
    "$(grep -cE '^worker [0-9]+ +process [0-9]+ +on cpu [0-9]' "$work/out")"
check compare__draws_a_bar said "$(said '\[#*\] 100\.0 %')"
one=$(taskset -pc $$ | sed 's/.*: *\([0-9]*\).*/\1/')
case ${CREW_BACKEND-}${CREW_TEST_JOB-} in
serial) ;; # has one worker, and binds nobody
four | hosts3) ;; # each rank has a worker, wherever it may run
*)
    check under_taskset__one_worker_there "worker 0 on cpu $one" "$(taskset -c "$one" \
        "$program" --compare 1 1000 | awk '/^worker/ { print $1, $2, "on cpu", $NF }')"
    ;;
esac
# Not under a launcher, which has the output. It is full long before the
# end, and why is what it said then.
if [ -z "${CREW_TEST_JOB-}" ]; then
    check full_output__fails 1 "$("$program" --list 1 10^6 >/dev/full 2>"$work/err"; echo $?)"
    check full_output__is_told said "$(said 'output could not be written: No space left on device')"
    yes 7 | head -n 10000 >"$work/in"
    check full_output_of_files__fails 1 \
        "$("$program" --test "$work/in" >/dev/full 2>"$work/err"; echo $?)"
    check full_output_of_files__is_told said \
        "$(said 'output could not be written: No space left on device')"
    # A line for which there is no room is no end of the file. What is limited is memory
    # of the process's own, and a sanitizer's is without end.
    if [ "${CREW_BACKEND-}" = serial ] && ! grep -qE '__(asan|tsan|ubsan)_' "$program"; then
        { echo 7; head -c 100000000 /dev/zero | tr '\0' 1; } >"$work/in"
        check endless_line__fails "7 exit 1" "$(ulimit -d 60000; one_line --test "$work/in")"
        check endless_line__is_told said "$(said 'line 2 cannot be read: Cannot allocate memory')"
    fi
fi
[ "$failures" -eq 0 ]
