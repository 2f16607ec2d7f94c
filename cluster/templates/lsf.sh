#!/bin/bash
# lsf.sh - IBM Spectrum LSF: one node, or several with an MPI rank on each; a worker process for
# each slot.       bsub < lsf.sh
#
# Lines after "EDIT" are yours to change. Directives: IBM Spectrum LSF 10.1, command reference,
# bsub, https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=bsub-options; LSB_ variables:
# configuration reference, "Environment variables set for job execution"
#
#BSUB -J crew
# EDIT: how many slots in all, and on each node (ptile)
#BSUB -n 32
#BSUB -R "span[ptile=16]"
# EDIT: how long it may take, in minutes
#BSUB -W 60
# EDIT: your queue (bqueues names them): take one # away
##BSUB -q normal
#BSUB -o crew.%J.out

# EDIT: the program and its arguments
program=(./primes 1 10^10)

nodes=$(sort -u "$LSB_DJOB_HOSTFILE" | wc -l)
# All workers, of all nodes together.
export CREW_WORKERS=$LSB_DJOB_NUMPROC
[[ $nodes -gt 1 ]] || exec "${program[@]}"
exec mpirun --hostfile "$LSB_DJOB_HOSTFILE" --map-by ppr:1:node --bind-to none -x CREW_WORKERS "${program[@]}"
