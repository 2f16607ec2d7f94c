#!/bin/sh
# processes.sh FOLDER - the programs of apps/examples that start processes, by what they
# print. How processes are started is the environment's (CREW_START).
set -u
suite=processes__
. "$(dirname "$0")/check.sh"
folder=$1

# Runs a program, which a deadlock must not keep; its output, and its exit code if that is
# not 0.
run() {
    program=$1
    shift
    timeout 60 "$folder/$program" "$@" 2>"$work/err" || echo "exit $?"
}

prints() { # program, expected output
    check "${1}__prints_what_it_should" "$2" "$(run "$1")"
}

# Lines that processes print come in any order, and pids are any numbers.
run hello_processes | sort >"$work/out"
check hello__both_sums_and_then_done \
    "both are done|task A: 333332833333500000, computed by process N|task B: 2666664666667000000, computed by process N" \
    "$(sed 's/process [0-9][0-9]*$/process N/' "$work/out" | paste -sd '|' -)"
check hello__two_pids 2 \
    "$(sed -n 's/.*process \([0-9]*\)$/\1/p' "$work/out" | sort -u | wc -l)"
check hello__done_comes_last "both are done" "$(run hello_processes | tail -n 1)"
check workers__each_prints "01234" \
    "$(run workers | sed -n 's/^worker \([0-9]\) is .*, process [0-9][0-9]*$/\1/p' | sort | tr -d '\n')"
check workers__all_are_joined "5 workers, 5 pids" "$(run workers | tail -n 1)"

prints producers_consumers "pills, same speed: 30 items, 855
close, same speed: 30 items, 855
pills, speeds 1:2:3: 30 items, 855
close, speeds 1:2:3: 30 items, 855"
prints squares_and_cubes "1 1 4 8 9 16 25 27 64 125"
prints join_then_get "joined, 100 MiB in the queue
got 100 MiB, as they were sent"
check join_then_get__one_mib_as_well "joined, 1 MiB in the queue
got 1 MiB, as they were sent" "$(run join_then_get 1)"
prints pipe_squares "5 -> 25
10 -> 100
15 -> 225"
prints counter "with a lock: 4000
in one step: 4000"
prints shared_doubling "4 and 16, 32, 48"
runs=100
[ "${CREW_START:-fork}" = fork ] && runs=1000
check "shared_doubling__in_each_of_$runs" "4 and 16, 32, 48
$runs of $runs runs" "$(run shared_doubling --runs $runs)"
prints array_slices "arr[500] = 501.0"

"$folder/shared_array" >"$work/out" 2>&1 &
pid=$!
wait $pid
check shared_array__prints_what_it_should "buf[1] = 2.0" "$(cat "$work/out")"
check shared_array__leaves_no_name "" "$(ls /dev/shm | grep "crew-shared-array-$pid\$")"

prints shared_dict "7 the
5 dog
3 fox
2 a
2 and
2 lazy
2 quick
1 brown
1 end
1 is
1 jumps
1 not
1 of
1 over
1 runs
1 sleeps"
[ "$failures" -eq 0 ]
