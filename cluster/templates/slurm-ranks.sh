#!/bin/bash
# slurm-ranks.sh - several nodes: an MPI rank for each core.       sbatch slurm-ranks.sh
#
# Needs Slurm with PMIx ("srun --mpi=list" names it) and Open MPI. Lines after "EDIT" are
# yours to change. Directives and SLURM_ variables: sbatch(1),
# https://slurm.schedmd.com/sbatch.html, srun(1), https://slurm.schedmd.com/srun.html, and for
# PMIx https://slurm.schedmd.com/mpi_guide.html
#
#SBATCH --job-name=crew
# EDIT: how many nodes, and cores of each
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=16
# EDIT: how long it may take
#SBATCH --time=01:00:00
# EDIT: your partition (sinfo names them): take one # away
##SBATCH --partition=compute
#SBATCH --cpus-per-task=1
#SBATCH --output=%x.%j.out

# EDIT: the program and its arguments
program=(./primes 1 10^10)

exec srun --mpi=pmix --cpu-bind=cores "${program[@]}"
