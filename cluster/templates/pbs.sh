#!/bin/bash
# pbs.sh - PBS Professional and OpenPBS: one node, or several with an MPI rank on each; a worker
# process for each core.       qsub pbs.sh
#
# Lines after "EDIT" are yours to change. Directives: qsub(1B) and pbs_resources(7B) of OpenPBS,
# https://github.com/openpbs/openpbs/tree/master/doc/man1; PBS_ variables and NCPUS: PBS
# Professional User's Guide, "PBS Environment Variables", https://help.altair.com/pbs
#
#PBS -N crew
# EDIT: how many nodes (select), and cores of each (ncpus)
#PBS -l select=2:ncpus=16:mpiprocs=1
# EDIT: how long it may take
#PBS -l walltime=01:00:00
# EDIT: your queue (qstat -Q names them): take one # away
##PBS -q workq
#PBS -l place=scatter
#PBS -j oe

# EDIT: the program and its arguments
program=(./primes 1 10^10)
# EDIT: for work that may take longer than a job: take the # away, and qsub this file again when
# the program has ended with 85. PBS sends SIGTERM some seconds (kill_delay) before it kills; so
# let the program stop before that by itself, at a time that is less than walltime
#export CREW_JOURNAL=$PBS_O_WORKDIR/journal CREW_TIME_LIMIT=55:00 CREW_STOP_SIGNAL=TERM

cd "$PBS_O_WORKDIR" || exit 1
nodes=$(sort -u "$PBS_NODEFILE" | wc -l)
# NCPUS is what each node gives. All workers, of all nodes together:
export CREW_WORKERS=$((nodes * NCPUS))
[[ $nodes -gt 1 ]] || exec "${program[@]}"
# Ranks on other nodes get no variables but those that are named.
forward=()
for variable in "${!CREW_@}"; do
    forward+=(-x "$variable")
done
# EDIT: how soon mpirun notices that a host has fallen silent, and ends the job: when nothing was
# heard for 10 s it asks, every 5 s, 3 times. These 25 s are less than CREW_NODE_TIMEOUT
export OMPI_MCA_oob_tcp_keepalive_time=10
export OMPI_MCA_oob_tcp_keepalive_intvl=5 OMPI_MCA_oob_tcp_keepalive_probes=3
exec mpirun --hostfile "$PBS_NODEFILE" --map-by ppr:1:node --bind-to none "${forward[@]}" "${program[@]}"
