#!/bin/sh
# rsh.sh [OPTION]... HOST COMMAND... - what mpirun uses for ssh under cluster/crewrun. It says
# when a host has gone, and an agent that fails then does not end the job, as it would
# otherwise. Until rank 0 has begun, failing is an error: a host that cannot be reached.
host=
for word in "$@"; do
    case $word in
    -*) ;;
    *)
        host=$word
        break
        ;;
    esac
done
agent=$CREWRUN_AGENT
# A host may fall silent without a word; ssh would wait for it as long as TCP does.
case ${agent##*/} in ssh | ssh\ *) agent="$agent -o ServerAliveInterval=5 -o ServerAliveCountMax=3" ;; esac
# shellcheck disable=SC2086 # the agent may have options
$agent "$@"
code=$?
[ -e "$CREWRUN_DIR/host" ] || exit "$code"
: >"$CREWRUN_DIR/gone.${host%%.*}"
exit 0
