#!/bin/bash
# slurm-nodes.sh - several nodes: one MPI rank on each, with a worker process under it for each
# core. Fewer ranks than slurm-ranks.sh, so that MPI starts faster.       sbatch slurm-nodes.sh
#
# Needs Slurm with PMIx ("srun --mpi=list" names it) and Open MPI. Lines after "EDIT" are
# yours to change. Directives and SLURM_ variables: sbatch(1),
# https://slurm.schedmd.com/sbatch.html, srun(1), https://slurm.schedmd.com/srun.html, and for
# PMIx https://slurm.schedmd.com/mpi_guide.html
#
#SBATCH --job-name=crew
# EDIT: how many nodes, and cores of each
#SBATCH --nodes=2
#SBATCH --cpus-per-task=16
# EDIT: how long it may take
#SBATCH --time=01:00:00
# EDIT: your partition (sinfo names them): take one # away
##SBATCH --partition=compute
#SBATCH --ntasks-per-node=1
#SBATCH --output=%x.%j.out

# EDIT: the program and its arguments
program=(./primes 1 10^10)

# All workers, of all nodes together.
export CREW_WORKERS=$((SLURM_JOB_NUM_NODES * SLURM_CPUS_PER_TASK))
exec srun --mpi=pmix --cpus-per-task="$SLURM_CPUS_PER_TASK" --cpu-bind=cores "${program[@]}"
