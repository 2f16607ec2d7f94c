# shellcheck shell=bash disable=SC2034 # what this sets is for those who source it
# mpi.sh - which MPI there is, and what it is told. Sourced by cluster/hosts and
# cluster/crewrun, after common.sh.

# find_openmpi: sets mpirun to Open MPI's.
find_openmpi() {
    for mpirun in ${CLUSTER_MPIRUN-} mpirun.openmpi mpirun; do
        [[ $("$mpirun" --version 2>/dev/null) =~ "Open MPI"|OpenRTE ]] && return
    done
    die "there is no Open MPI here: install openmpi-bin and libopenmpi-dev, or say with CLUSTER_MPIRUN where its mpirun is"
}

find_mpich() {
    for mpiexec in ${CLUSTER_MPIEXEC-} mpiexec.mpich mpiexec.hydra mpiexec; do
        [[ $("$mpiexec" --version 2>/dev/null) == *HYDRA* ]] && return
    done
    die "there is no MPICH here: install mpich and libmpich-dev, or say with CLUSTER_MPIEXEC where its mpiexec is"
}

# forwarded: sets forward to mpirun's options that hand our variables on to ranks on other
# hosts, which would get none of them.
forwarded() {
    local variable
    forward=()
    for variable in ${!CREW_@} ASAN_OPTIONS LSAN_OPTIONS TSAN_OPTIONS UBSAN_OPTIONS; do
        [[ $(declare -p "$variable" 2>/dev/null) == "declare -"*x* ]] && forward+=(-x "$variable")
    done
}
