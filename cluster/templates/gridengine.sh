#!/bin/bash
# gridengine.sh - Grid Engine (Son of, Open, Univa/Altair): one node, or several with an MPI rank
# on each; a worker process for each slot.       qsub gridengine.sh
#
# Lines after "EDIT" are yours to change. Directives, NSLOTS, PE_HOSTFILE and TMPDIR:
# sge_submit(1), https://manpages.debian.org/bullseye/gridengine-client/qsub.1.en.html;
# the parallel environment: sge_pe(5)
#
#$ -N crew
# EDIT: the parallel environment (qconf -spl names them) and how many slots in all
#$ -pe mpi 32
# EDIT: how long it may take
#$ -l h_rt=01:00:00
# EDIT: with CREW_JOURNAL below, when the program is told that its time is over: take one # away
##$ -l s_rt=00:57:00
# EDIT: your queue (qconf -sql names them): take one # away
##$ -q all.q
#$ -cwd
#$ -S /bin/bash
#$ -j y

# EDIT: the program and its arguments
program=(./primes 1 10^10)
# EDIT: for work that may take longer than a job: take the # away here and from s_rt, and qsub
# this file again when the program has ended with 85
#export CREW_JOURNAL=$PWD/journal CREW_STOP_SIGNAL=USR1

nodes=$(awk '{ print $1 }' "$PE_HOSTFILE" | sort -u | wc -l)
# All workers, of all nodes together.
export CREW_WORKERS=$NSLOTS
[[ $nodes -gt 1 ]] || exec "${program[@]}"
# A line a node: its name, its slots, and what Open MPI does not ask for.
awk '{ print $1, "slots=" $2 }' "$PE_HOSTFILE" >"$TMPDIR/hostfile"
# Ranks on other nodes get no variables but those that are named.
forward=()
for variable in "${!CREW_@}"; do
    forward+=(-x "$variable")
done
# EDIT: how soon mpirun notices that a host has fallen silent, and ends the job: when nothing was
# heard for 10 s it asks, every 5 s, 3 times. These 25 s are less than CREW_NODE_TIMEOUT
export OMPI_MCA_oob_tcp_keepalive_time=10
export OMPI_MCA_oob_tcp_keepalive_intvl=5 OMPI_MCA_oob_tcp_keepalive_probes=3
exec mpirun --hostfile "$TMPDIR/hostfile" --map-by ppr:1:node --bind-to none "${forward[@]}" "${program[@]}"
