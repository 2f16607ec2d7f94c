#!/bin/sh
# run.sh FLAVOUR RANKS [OPTION...] PROGRAM [ARGUMENT...] - runs a program as so many
# MPI ranks of this machine, under the launcher of openmpi or mpich, and looks what is
# left afterwards. It fails unless the program prints "ok - " and the launcher says
# that all went well. 77: there is no such launcher, or no module for it.
#
#   --nodes 0,0,1,1   which ranks are to be taken for one node (CREW_TEST_NODES)
#   --recovery        the job is to bear the loss of a rank (Open MPI only)
#   --fails CODE      the job is to end with that code; nothing need be printed. any: with
#                     some code but 0, by itself
#   --says TEXT       that is to be on its standard error
#   --within SECONDS  how long it may take (60)
set -u
LC_ALL=C
export LC_ALL
flavour=$1
ranks=$2
shift 2
recovery= fails= says= within=60
while :; do
    case $1 in
    --nodes)
        export CREW_TEST_NODES="$2"
        shift
        ;;
    --recovery) recovery=--enable-recovery ;;
    --fails)
        fails=$2
        shift
        ;;
    --says)
        says=$2
        shift
        ;;
    --within)
        within=$2
        shift
        ;;
    *) break ;;
    esac
    shift
done

missing() {
    echo "skipped - $flavour: $*"
    exit 77
}

# Debian has both launchers under names of their own; elsewhere the one mpiexec may
# be either's.
launcher() { # what its --version says, names...
    says=$1
    shift
    for name in "$@"; do
        if command -v "$name" >/dev/null && "$name" --version 2>/dev/null | grep -q "$says"; then
            echo "$name"
            return
        fi
    done
}
case $flavour in
openmpi) mpirun=$(launcher "Open MPI\|OpenRTE" mpirun.openmpi mpirun) ;;
mpich) mpirun=$(launcher "HYDRA" mpiexec.mpich mpiexec) ;;
esac
[ -n "$mpirun" ] || missing "there is no launcher of its"
[ -f "${CREW_MPI_MODULE:-}/libcrew-mpi-$flavour.so" ] || missing "its module was not built"

# All that the ranks leave is looked for: files in a folder of this run's own, what
# MPICH has in /dev/shm, and processes, by a variable that they inherit.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/session"
run=$$.$work
names() {
    ls /dev/shm 2>/dev/null | grep -E '^(mpich|ucx)_' | sort
}
names >"$work/before"

case $flavour in
openmpi)
    # As root only if asked twice; more ranks than cores; traffic on this machine only.
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export OMPI_MCA_orte_tmpdir_base="$work/session" PRTE_MCA_prte_tmpdir_base="$work/session"
    export OMPI_MCA_btl_vader_backing_directory="$work/session"
    export OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
    set -- --oversubscribe --mca mpi_yield_when_idle 1 $recovery -n "$ranks" "$@"
    ;;
mpich) set -- -n "$ranks" "$@" ;;
esac
env CREW_TEST_RUN="$run" timeout -k 5 "$within" "$mpirun" "$@" >"$work/out" 2>"$work/err" </dev/null
code=$?
cat "$work/out"
bad=0

trouble() {
    [ "$bad" -eq 0 ] && sed 's/^/# /' "$work/err"
    bad=1
    echo "not ok - $flavour, $ranks ranks: $*"
}
# 124: it took too long, and was ended.
[ "$fails" = any ] && [ "$code" -ne 0 ] && [ "$code" -ne 124 ] && fails=$code
[ "$code" = "${fails:-0}" ] || trouble "the launcher ended with $code"
[ -n "$fails" ] || grep -q '^ok - ' "$work/out" || trouble "the test did not come to its end"
grep -q '^not ok - ' "$work/out" && bad=1
[ -z "$says" ] || grep -qF -- "$says" "$work/err" || trouble "it does not say: $says"

# This shell and its children were not started with the variable.
left() {
    grep -lzxF "CREW_TEST_RUN=$run" /proc/[0-9]*/environ 2>/dev/null |
        while IFS=/ read -r _ _ pid _; do
            ps -o pid=,stat=,args= -p "$pid" | grep -v '^ *[0-9]* Z'
        done
    find "$work/session" -mindepth 1 ! -type d
    names | comm -13 "$work/before" -
}
tries=0
while [ -n "$(left)" ] && [ "$tries" -lt 20 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
if [ -n "$(left)" ]; then
    left | sed 's/^/# left: /'
    trouble "something is left behind"
fi
[ -n "$fails" ] && [ "$bad" -eq 0 ] &&
    echo "ok - $flavour, $ranks ranks: the job ends with $fails and leaves nothing behind"
exit "$bad"
