#!/bin/bash
# slurm-node.sh - one node: a worker process for each core.       sbatch slurm-node.sh
#
# Lines after "EDIT" are yours to change. Directives and SLURM_ variables:
# sbatch(1), https://slurm.schedmd.com/sbatch.html
#
#SBATCH --job-name=crew
# EDIT: how many cores of the node
#SBATCH --cpus-per-task=16
# EDIT: how long it may take
#SBATCH --time=01:00:00
# EDIT: your partition (sinfo names them): take one # away
##SBATCH --partition=compute
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --output=%x.%j.out

# EDIT: the program and its arguments
program=(./primes 1 10^10)

# As many as were asked for, also where Slurm binds nothing.
export CREW_WORKERS=$SLURM_CPUS_PER_TASK
# A step of one task that is no MPI job, whatever Slurm's default for those is.
exec srun --mpi=none --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" "${program[@]}"
