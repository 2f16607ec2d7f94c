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
# EDIT: with CREW_JOURNAL below, how many minutes before that the program is told: take one #
# away, in both lines
##BSUB -wt 3
##BSUB -wa USR2
# EDIT: your queue (bqueues names them): take one # away
##BSUB -q normal
#BSUB -o crew.%J.out

# EDIT: the program and its arguments
program=(./primes 1 10^10)
# EDIT: for work that may take longer than a job: take the # away here and from -wt and -wa, and
# submit this file again when the program has ended with 85
#export CREW_JOURNAL=$LS_SUBCWD/journal CREW_STOP_SIGNAL=USR2

nodes=$(sort -u "$LSB_DJOB_HOSTFILE" | wc -l)
# All workers, of all nodes together.
export CREW_WORKERS=$LSB_DJOB_NUMPROC
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
exec mpirun --hostfile "$LSB_DJOB_HOSTFILE" --map-by ppr:1:node --bind-to none "${forward[@]}" "${program[@]}"
