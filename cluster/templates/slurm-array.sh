#!/bin/bash
# slurm-array.sh - a job array: each task does its slice of the whole, on one node, with a worker
# process for each core. Tasks start as nodes come free, and each can be run again by itself:
# sbatch --array=2 slurm-array.sh does the third slice only.       sbatch slurm-array.sh
#
# Lines after "EDIT" are yours to change. Directives and SLURM_ variables: sbatch(1),
# https://slurm.schedmd.com/sbatch.html, and for arrays https://slurm.schedmd.com/job_array.html
#
#SBATCH --job-name=crew
# EDIT: the slices' numbers, from 0; as many are in "slices" below
#SBATCH --array=0-3
# EDIT: how many cores each task gets
#SBATCH --cpus-per-task=16
# EDIT: how long a slice may take
#SBATCH --time=01:00:00
# EDIT: your partition (sinfo names them): take one # away
##SBATCH --partition=compute
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --output=%x.%A.%a.out

# EDIT: into how many slices, and of what: items 1 to "items"
slices=4
items=1000000000

from=$((items * SLURM_ARRAY_TASK_ID / slices + 1))
to=$((items * (SLURM_ARRAY_TASK_ID + 1) / slices))
# EDIT: the program, told which items to do, and where its result goes
program=(./primes "$from" "$to")
result=result.$SLURM_ARRAY_TASK_ID

export CREW_WORKERS=$SLURM_CPUS_PER_TASK
# The result has its name once it is whole.
srun --mpi=none --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" "${program[@]}" >"$result.part" &&
    mv "$result.part" "$result"
