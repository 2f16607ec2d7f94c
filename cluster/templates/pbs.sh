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

cd "$PBS_O_WORKDIR" || exit 1
nodes=$(sort -u "$PBS_NODEFILE" | wc -l)
# NCPUS is what each node gives. All workers, of all nodes together:
export CREW_WORKERS=$((nodes * NCPUS))
[[ $nodes -gt 1 ]] || exec "${program[@]}"
exec mpirun --hostfile "$PBS_NODEFILE" --map-by ppr:1:node --bind-to none -x CREW_WORKERS "${program[@]}"
