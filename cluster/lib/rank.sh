#!/bin/sh
# rank.sh PROGRAM ARGUMENT... - how cluster/crewrun has each rank started (Open MPI's fork
# agent). Rank 0 tells crewrun how it ended; mpirun does not when it is to outlive ranks.
dir=${CREWRUN_DIR-}
# Not for what the program may start in its turn.
unset CREWRUN_DIR CREWRUN_AGENT OMPI_MCA_orte_fork_agent
[ "${OMPI_COMM_WORLD_RANK-}" = 0 ] && [ -n "$dir" ] || exec "$@"
if ! uname -n >"$dir/host"; then
    echo "crewrun: $dir is not to be seen on $(uname -n): the exit code will be lost. CREWRUN_DIR names a folder that all hosts share." >&2
    exec "$@"
fi 2>/dev/null
# Signals go to the whole process group. This shell waits for what the program makes of them.
trap : HUP INT QUIT TERM USR1 USR2
"$@"
code=$?
echo "$code" >"$dir/code.new" && mv "$dir/code.new" "$dir/code"
exit "$code"
