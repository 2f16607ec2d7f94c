#!/bin/sh
# primes.sh PRIMES - known answers of the program primes, one line a test.
# The backend is the environment's (CREW_BACKEND).
set -u
primes=$1
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

# Runs primes; prints its output, then its exit code if that is not 0.
run() {
    "$primes" "$@" 2>"$work/err" || echo "exit $?"
}

one_line() {
    run "$@" | paste -sd ' ' -
}

said() { # a part of the last run's standard error
    if grep -q -- "$1" "$work/err"; then echo said; else cat "$work/err"; fi
}

check primes__no_argument__counts_to_ten_million 664579 "$(run)"
check primes__ten_to_the_eight__known_count 5761455 "$(run 1 10^8)"
check primes__each__same_count 664579 "$(run --each)"
check primes__one_worker__same_count 664579 "$(run --workers=1)"
check primes__from_ten_to_the_twelve__known_count 3618282 \
    "$(run 10^12 1000100000000)"
if [ -n "${CREW_TEST_LONG-}" ]; then
    check primes__a_billion_from_ten_to_the_twelve__known_count 36190991 \
        "$(run 10^12 1001000000000)"
    check primes__a_billion_from_ten_to_the_eighteen__known_count 24127085 \
        "$(run 10^18 1000000001000000000)"
fi
check primes__one_prime_range__counts_it 1 "$(run 97 97)"
check primes__one_composite_range__counts_none 0 "$(run 98 98)"
check primes__zero_to_two__counts_two 1 "$(run 0 2)"
check primes__list__in_order "2 3 5 7 11 13 17 19 23 29" "$(one_line --list 1 30)"

# Against factor(1), which does not sieve: where the sieve is exact, where it
# is helped by Miller-Rabin, and at the end of the range.
for from in 0 1000000000000 4503599627360496 1000000000000000000 9223372036854774807; do
    seq $from $((from + 1000)) | factor | awk 'NF == 2 { print $2 }' >"$work/want"
    run --list $from $((from + 1000)) >"$work/have"
    check "primes__list_from_${from}__as_factor_says" "" "$(diff "$work/want" "$work/have")"
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
check primes__random_ranges__the_same_with_and_without_sieve "" "$(cat "$work/differ")"

# Too high up to sieve for so few: what is left by some base primes is tested.
check primes__range_high_up__known_count 241295 "$(run 10^18 1000000000010000000)"

# Carmichael numbers, and strong pseudoprimes to many bases.
printf '%s\n' 2 561 41041 3215031751 3825123056546413051 18446744073709551557 >"$work/in"
check primes__input__no_pseudoprime_passes "2 18446744073709551557" "$(one_line - <"$work/in")"
printf '7\nseven\n11\n' >"$work/in"
check primes__input_with_a_word__goes_on_and_fails "7 11 exit 1" "$(one_line - <"$work/in")"
check primes__input_with_a_word__names_it \
    'primes: standard input:2: "seven" is not a number below 2^64' "$(cat "$work/err")"
check primes__empty_input__prints_nothing "" "$(run - </dev/null)"
printf ' 13\t\r\n\n10^2\n%0100d\n1e1 7\n2^64\n' 17 >"$work/other"
check primes__files__are_read_in_order "7 11 13 2 exit 1" \
    "$(echo 2 | one_line --test "$work/in" "$work/other" -)"
check primes__files__lines_that_are_no_numbers_are_named "in:2 other:4 other:5 other:6" \
    "$(sed -n 's/.*\/\([a-z]*:[0-9]*\): ".*" is not a number.*/\1/p' "$work/err" | paste -sd ' ' -)"
check primes__missing_file__fails "11 exit 1" \
    "$(echo 11 | one_line --test "$work/none" -)"
check primes__missing_file__is_named said "$(said "$work/none: No such file or directory")"
check primes__test_with_list__is_refused "exit 2" "$(run --test --list "$work/in")"

check primes__empty_range__is_refused "exit 2" "$(run 10 9)"
check primes__empty_range__says_why said "$(said 'the range is empty: 10 is above 9')"
check primes__a_word__is_refused "exit 2" "$(run ten)"
check primes__range_beyond_2_63__is_refused "exit 2" "$(run 1 2^63)"
check primes__unknown_option__is_refused "exit 2" "$(run --no-such-option)"
check primes__unknown_backend__is_refused "exit 1" "$(run --backend=steam)"
check primes__unknown_backend__lists_the_words said "$(said 'threads')"
check primes__bindings_asked_for__counts_all_the_same 25 \
    "$(CREW_REPORT_BINDING=1 CREW_WORKERS=1 CREW_BIND=none run 1 100)"
check primes__bindings_asked_for__says_who_is_where said \
    "$(said '^crew: node .*: worker 0 of 1: cpus any$')"
run --compare >"$work/out"
check primes__compare__both_counts 2 "$(grep -c '664,579 primes' "$work/out")"
check primes__compare__says_how_fast 1 \
    "$(grep -c '^series [0-9.]* s, pool [0-9.]* s: [0-9.]* times as fast, [0-9.]* are possible$' "$work/out")"
check primes__help__tells_of_files 1 "$(run --help | grep -c 'primes \[OPTION\]... --test')"
CREW_PROGRESS=1 run 1 10^8 >"$work/out"
check primes__counting__draws_a_bar said "$(said 'primes \[#*\] 100.0 %')"

# What cluster/quickstart shows: progress, both times, speed-up, who was where.
CREW_PROGRESS=1 run --compare --each 1 100000 >"$work/out"
check primes__compare__counts_alike_twice 2 "$(grep -c ' 9,592 primes' "$work/out")"
check primes__compare__says_the_speed_up 1 \
    "$(grep -cE '^ *[0-9]+ workers? .* speed-up [0-9]+\.[0-9]+$' "$work/out")"
check primes__compare__says_who_is_where "$(sed -n 's/^ *\([0-9]*\) worker.*/\1/p' "$work/out")" \
    "$(grep -cE '^worker [0-9]+ +process [0-9]+ +on cpu [0-9]' "$work/out")"
check primes__compare__draws_a_bar said "$(said '\[#*\] 100\.0 %')"
one=$(taskset -pc $$ | sed 's/.*: *\([0-9]*\).*/\1/')
case ${CREW_BACKEND-}${CREW_TEST_JOB-} in
serial) ;; # has one worker, and binds nobody
four | hosts3) ;; # each rank has a worker, wherever it may run
*)
    check primes__under_taskset__one_worker_there "worker 0 on cpu $one" "$(taskset -c "$one" \
        "$primes" --compare 1 1000 | awk '/^worker/ { print $1, $2, "on cpu", $NF }')"
    ;;
esac
[ "$failures" -eq 0 ]
