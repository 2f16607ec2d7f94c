#!/bin/sh
# bench.sh BENCH NAME... - the measurements of jobs of ranks run and tell their figures,
# and leave nothing. NAME: a line that must be there. How fast is no question here.
set -u
bench=$1
shift
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$bench" --quick --rounds=1 mpi >"$out" 2>&1
code=$?
cat "$out"
bad=0
[ "$code" -eq 0 ] || { echo "not ok - bench ended with $code" && bad=1; }
for name in "$@"; do
    if grep -q "^$name  *crew.*bound: at" "$out"; then
        echo "ok - $name"
    elif grep -q "^$name  *not measured: ." "$out"; then
        echo "ok - $name: skipped"
    else
        echo "not ok - $name: no such line" && bad=1
    fi
done
# Processes of the job were started with BENCH_JOB, this shell was not.
tries=0
while left=$(grep -lzx 'BENCH_JOB=[0-9]*' /proc/[0-9]*/environ 2>/dev/null) && [ "$tries" -lt 50 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
[ -z "$left" ] || { echo "not ok - left behind: $left" && bad=1; }
exit "$bad"
