#!/bin/bash
# slurm-requeue.sh - work that takes longer than a job may: one node, a worker process for each
# core. Before its time is over the job is told, writes down what it has, and is submitted again
# by itself until all is done. What an earlier leg has finished is not computed again: it is in
# the journal. So it is after a node's death, scancel or scontrol requeue, too: sbatch this file
# again in the same folder.       sbatch slurm-requeue.sh
#
# Lines after "EDIT" are yours to change. Directives and SLURM_ variables: sbatch(1),
# https://slurm.schedmd.com/sbatch.html; requeue: scontrol(1),
# https://slurm.schedmd.com/scontrol.html
#
#SBATCH --job-name=crew
# EDIT: how many cores of the node
#SBATCH --cpus-per-task=16
# EDIT: how long one leg may take
#SBATCH --time=01:00:00
# EDIT: how many seconds before that to stop. CREW_STOP_GRACE below has to fit in, and the time
# that Slurm may be late or early: up to a minute
#SBATCH --signal=USR1@120
# EDIT: your partition (sinfo names them): take one # away
##SBATCH --partition=compute
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x.%j.out

# EDIT: the program and its arguments
program=(./primes 1 10^12)
# EDIT: where its journals are: a folder for this work alone, on a disk that all nodes see
export CREW_JOURNAL=journal
# EDIT: how long items that run when the signal comes may go on
export CREW_STOP_GRACE=45

export CREW_STOP_SIGNAL=USR1
# As many as were asked for, also where Slurm binds nothing.
export CREW_WORKERS=$SLURM_CPUS_PER_TASK
echo "leg ${SLURM_RESTART_COUNT:-0} of job $SLURM_JOB_ID begins on $SLURMD_NODENAME"
# Without B: in --signal it is the step that gets the signal, this shell does not.
srun --mpi=none --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" "${program[@]}"
code=$?
echo "leg ${SLURM_RESTART_COUNT:-0} of job $SLURM_JOB_ID ended with $code"
# 85: stopped, and not done.
[[ $code -ne 85 ]] || scontrol requeue "$SLURM_JOB_ID"
exit "$code"
