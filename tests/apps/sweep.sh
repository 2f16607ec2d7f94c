#!/bin/sh
# sweep.sh SWEEP - the program sweep: the same bits however it runs, and known values. The
# backend is the environment's (CREW_BACKEND).
set -u
suite=sweep__
. "$(dirname "$0")/check.sh"
program=$1
cd "$work" || exit 1
unset OMP_NUM_THREADS CREW_THREADS_PER_WORKER

# A column of the line that begins so, rounded as awk's printf does.
value() { # line, column, format
    awk -F , -v line="$1" -v column="$2" -v format="$3" \
        'index($0, line) == 1 { printf format, $column }' out
}

# Bits: few members, so that threads get different shares of them.
small="--r=20:30:6 --s=9:11:3 --members=7 --time=5"
# shellcheck disable=SC2086 # words
{
    check sweep__is_a_success 0 "$(code $small)"
    cp out want.csv
    check sweep__says_nothing "" "$(cat err)"
    check sweep__has_a_line_for_each_pair 19 "$(wc -l <want.csv)"
    check sweep__begins_with_names "r,s,z,zz,lyapunov" "$(head -n 1 want.csv)"
    check sweep__is_in_order "20,9 20,10 20,11 22,9" \
        "$(sed -n '2,5p' want.csv | cut -d , -f 1,2 | paste -sd ' ' -)"
    # Ranks that are told of another backend are programs of their own.
    backends='serial threads fork'
    [ -n "${CREW_TEST_JOB-}" ] && backends=mpi
    for backend in $backends; do
        for workers in 1 3; do
            for threads in 1 2 5; do
                code $small --backend=$backend --workers=$workers --threads=$threads >/dev/null
                check "${backend}_${workers}_workers_${threads}_threads__same_bits" "" "$(cmp out want.csv 2>&1)"
            done
        done
    done
    check file__is_a_success 0 "$(code $small --output=a.csv)"
    check file__is_the_same "" "$(cmp a.csv want.csv)"
    check threads_in_workers__are_a_success 0 "$(code $small --threads=3 --workers=2 --stats)"
    check threads_in_workers__are_that_many said "$(said '18 pairs, OpenMP threads a worker: 3: ')"
}

# A file that is there is replaced, with what may be done to it; a link to it stays one.
echo old >b.csv
chmod 640 b.csv
ln -s b.csv link.csv
# shellcheck disable=SC2086 # words
check link_to_a_file__is_a_success 0 "$(code $small --output=link.csv)"
check link_to_a_file__is_a_link_still "" "$([ -L link.csv ] && cmp b.csv want.csv)"
check link_to_a_file__leads_to_one_of_the_same_mode 640 "$(stat -c %a b.csv)"
# shellcheck disable=SC2086 # words
check file_of_another__fails 1 \
    "$(echo half >two.csv.part; flock two.csv.part "$program" $small --output=two.csv 2>err; echo $?)"
check file_of_another__is_told said "$(said 'two.csv cannot be written: another program is writing it')"
check file_of_another__is_as_it_was half "$(cat two.csv.part)"
check file_of_the_dead__is_a_success 0 "$(code --r=1:1:1 --members=1 --time=1 --output=two.csv)"
check file_of_the_dead__is_begun_anew 2 "$(wc -l <two.csv)"
ln -s none/b.csv dangling.csv
check dangling_link__fails 1 "$(code --output=dangling.csv)"
check dangling_link__is_told said "$(said '^sweep: dangling.csv cannot be written: No such file')"
check no_name__fails 1 "$(code --output=)"
check no_name__is_told said "$(said 'the file without a name cannot be written')"

# Known: below r = 1 all comes to rest at 0, with the larger root of
# k^2 + 11 k + 10 (1 - r) = 0 for neighbours; above, at z = r - 1 until r = 24.74; then chaos,
# with exponent 0.9056 at r = 28 (Sprott 2003), from which a short run is a little off.
check known_values__are_a_success 0 "$(code --r=0.5:14:28 --members=8 --time=40)"
check below_one__rests_at_zero 0.0000 "$(value 0.5,10, 3 %.4f)"
check below_one__neighbours_meet "-0.4751" "$(value 0.5,10, 5 %.4f)"
check above_one__rests_at_r_minus_one 13.00000 "$(value 14,10, 3 %.5f)"
check chaos__is_a_success 0 "$(code --r=28:28:1 --members=32 --time=100)"
check chaos__has_its_exponent 0.9 "$(value 28,10, 5 %.1f)"
check chaos__has_its_mean 24 "$(value 28,10, 3 %.0f)"

check help__is_a_success 0 "$(code --help)"
check help__is_on_standard_output 1 "$(grep -c '^Usage: sweep ' out)"
check bad_range__is_a_usage_error 2 "$(code --r=1:2)"
check bad_range__says_what_it_takes said "$(said 'r takes FROM:TO:COUNT')"
check range_beyond__is_a_usage_error 2 "$(code --s=1:1e9:3)"
check no_pairs__is_a_usage_error 2 "$(code --r=1:2:0)"
check too_many_pairs__is_a_usage_error 2 "$(code --r=1:2:100000 --s=1:2:100000)"
check a_word__is_a_usage_error 2 "$(code words)"
check no_such_folder__fails 1 "$(code --output=none/x.csv)"
check no_such_folder__is_named said "$(said '^sweep: none/x.csv cannot be written: No such file')"
# Under a launcher (CREW_TEST_JOB) that has the output, and is what signals go to.
if [ -z "${CREW_TEST_JOB-}" ]; then
    check full_output__fails 1 "$("$program" --r=1:2:2 --members=1 --time=1 >/dev/full 2>err; echo $?)"
    check full_output__is_told said "$(said 'the output could not be written: No space left on device')"
fi
if [ "${CREW_TEST_JOB-}" != hosts3 ] && unshare --mount true 2>/dev/null; then
    mkdir full
    check full_folder__fails 1 "$(unshare --mount sh -c "mount -t tmpfs -o size=16k none full && \
        '$program' --r=0:1:3000 --members=1 --time=1 --output=full/x.csv 2>err; echo \$?; ls full")"
    check full_folder__is_told said "$(said 'full/x\.[a-z]* could not be written: No space left on device')"
    echo old >kept.csv
    check protected_file__fails 1 "$(unshare --mount sh -c "mount --bind kept.csv kept.csv && \
        mount -o remount,ro,bind kept.csv && '$program' --output=kept.csv 2>err; echo \$?")"
    check protected_file__is_told said "$(said '^sweep: kept.csv cannot be written: Read-only')"
    check protected_file__is_as_it_was old "$(cat kept.csv)"
else
    echo "skipped - sweep__full_folder: there may be no mount here, or hosts would not see it"
fi
if [ -z "${CREW_TEST_JOB-}" ]; then
    { "$program" --r=0:1:3000 --members=1 --time=1 2>err; echo $? >code; } | head -n 1 >out
    check pipe_that_nobody_reads__ends_by_the_signal 141 "$(cat code)"
    check pipe_that_nobody_reads__is_no_news "" "$(cat err)"
fi

[ -n "${CREW_TEST_JOB-}" ] && exit $((failures > 0))
CREWTEST_MARK=$$ "$program" --members=1000000 --time=100000 --output=long.csv 2>err &
pid=$!
await test -e long.csv.part
kill -TERM $pid
wait $pid
check stopped__ends_by_the_signal 143 $?
check stopped__leaves_nothing "" "$(ls | grep long)"
check stopped__leaves_no_process "" "$(grep -lsz "^CREWTEST_MARK=$$\$" /proc/[0-9]*/environ)"
[ "$failures" -eq 0 ]
