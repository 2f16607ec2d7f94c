#!/bin/bash
# mpirun.sh - no batch system: hosts that you may log in to with ssh and no password, which see
# this folder under the same path. One MPI rank on each, a worker process for each core.
#       ./mpirun.sh
#
# Lines after "EDIT" are yours to change. Options and the hostfile: mpirun(1) of Open MPI 4.1,
# https://www.open-mpi.org/doc/v4.1/man1/mpirun.1.php
#
# With cluster/crewrun in mpirun's place the job outlives the loss of a host.

# EDIT: a line a host
hosts="node1
node2"
# EDIT: the program and its arguments
program=(./primes 1 10^10)

hostfile=$(mktemp) || exit 1
trap 'rm -f "$hostfile"' EXIT
printf '%s\n' "$hosts" >"$hostfile"
# Over ssh, ranks get no variables but those that are named.
forward=()
for variable in "${!CREW_@}"; do
    forward+=(-x "$variable")
done
# EDIT: how soon mpirun notices that a host has fallen silent, and ends the job: when nothing was
# heard for 10 s it asks, every 5 s, 3 times. These 25 s are less than CREW_NODE_TIMEOUT
export OMPI_MCA_oob_tcp_keepalive_time=10
export OMPI_MCA_oob_tcp_keepalive_intvl=5 OMPI_MCA_oob_tcp_keepalive_probes=3
mpirun --hostfile "$hostfile" --map-by ppr:1:node --bind-to none "${forward[@]}" "${program[@]}"
