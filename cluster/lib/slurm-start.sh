# shellcheck shell=bash
# slurm-start.sh STATE PROCESSORS - on the head of emulated hosts: starts Slurm on them, each
# node with so many processors, and waits until every node is ready for jobs. STATE is a folder
# that all hosts see.
set -eu
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$lib/instance.sh"
PATH=$PATH:/usr/sbin:/sbin
state=$1 processors=$2
export SLURM_CONF=$state/slurm.conf

configuration() {
    local name address
    cat <<TEXT
ClusterName=emulated
SlurmctldHost=head(10.77.255.254)
AuthType=auth/munge
AuthInfo=socket=$state/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdParameters=config_overrides
CommunicationParameters=NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=pmix
TmpFS=/tmp
StateSaveLocation=$state/controller
SlurmctldPidFile=$state/slurmctld.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdSpoolDir=$state/spool.%n
SlurmdPidFile=$state/slurmd.%n.pid
SlurmdLogFile=$state/slurmd.%n.log
JobCompType=jobcomp/filetxt
JobCompLoc=$state/finished
MinJobAge=3600
KillWait=3
SlurmdTimeout=10
ReturnToService=2
TEXT
    while read -r name address _; do
        echo "NodeName=$name NodeHostname=$name NodeAddr=$address CPUs=$processors Boards=1 SocketsPerBoard=1 CoresPerSocket=$processors ThreadsPerCore=1"
    done </tmp/.cluster/table
    echo "PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE"
}

# wait_for WHAT COMMAND...: 15 s at most.
wait_for() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 300; tries++)); do
        "$@" && return
        sleep 0.05
    done
    echo "slurm: $what after 15 s. What the daemons say:" >&2
    tail -n 5 "$state"/*.log >&2
    exit 1
}

answered() {
    sinfo -h >/dev/null 2>&1
}

idle() {
    [[ $(sinfo -h -N -o %T | sort -u) == idle ]]
}

mkdir -p "$state/controller"
configuration >"$SLURM_CONF"
(umask 077 && head -c 128 /dev/urandom >"$state/munge.key")
munged --force --socket="$state/munge.socket" --key-file="$state/munge.key" --pid-file="$state/munged.pid" \
    --log-file="$state/munged.log" --seed-file="$state/munge.seed" --num-threads=2 2>/dev/null
slurmctld -c
wait_for "the controller does not answer" answered
while read -r name _ pid _; do
    mkdir -p "$state/spool.$name"
    nsenter --net --uts --ipc --mount --pid -t "$pid" slurmd -N "$name" -f "$SLURM_CONF"
done </tmp/.cluster/table
wait_for "not every node is there" idle
