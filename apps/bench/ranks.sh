#!/usr/bin/env bash
# ranks.sh - starts the jobs of ranks that bench measures. Called by bench alone:
#
#     ranks.sh FLAVOUR ready HOSTS PID      whether it can: 0, or 77 with the reason on
#                                           standard output. HOSTS not "-": three emulated
#                                           hosts of that name are up afterwards, until PID ends
#     ranks.sh FLAVOUR run N PROGRAM...     as so many ranks of this machine
#     ranks.sh FLAVOUR hosts NAME PROGRAM...   as one rank on each of those hosts
#     ranks.sh FLAVOUR down NAME
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/cluster/lib/common.sh"
. "$root/cluster/lib/mpi.sh"
flavour=$1
verb=$2
shift 2
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# Sets launcher to what starts ranks of this machine: where there is a core for each they
# need not give way to each other. Nobody is bound: crew shares the cores out.
find_launcher() { # ranks
    local yields=0
    [[ $1 -gt $(cores) ]] && yields=1
    if [[ $flavour == mpich ]]; then
        find_mpich
        launcher=("$mpiexec" -n "$1")
    else
        find_openmpi
        launcher=("$mpirun" -q --oversubscribe --bind-to none --mca mpi_yield_when_idle "$yields" -n "$1")
    fi
}

case $verb in
ready)
    why=$(find_launcher 2 2>&1) || { echo "$why" && exit 77; }
    [[ $1 == - ]] && exit
    "$root/cluster/hosts" --name "$1" status >/dev/null 2>&1 && exit
    why=$("$root/cluster/hosts" --name "$1" up 3 --while "$2" 2>&1) || { echo "$why" && exit 77; }
    ;;
run)
    find_launcher "$1"
    exec "${launcher[@]}" "${@:2}" </dev/null
    ;;
hosts)
    options=(-q -npernode 1)
    [[ $flavour == mpich ]] && options=(--mpich -ppn 1 -n 3)
    exec "$root/cluster/hosts" --name "$1" mpirun "${options[@]}" "${@:2}" </dev/null
    ;;
down) "$root/cluster/hosts" --name "$1" down ;;
esac
