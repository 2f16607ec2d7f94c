# shellcheck shell=bash
# head.sh STATE COUNT SLOTS PREFIX FIRST SHARED... - the first process of the head of emulated
# hosts: makes the network and the hosts, and then only waits. Its namespaces are there already.
#
# Hosts are called PREFIX and a number from FIRST. Folders of /tmp that the hosts share with the machine are given as SHARED. In STATE there is
#     table     a line a host: name, address, pid of its first process as the head
#               sees it, when that was started
#     NAME.ready  not empty once the host's mounts are done
set -eu
shopt -s inherit_errexit
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$lib/machine.sh"
. "$lib/instance.sh"
PATH=$PATH:/usr/sbin:/sbin
state=$1 count=$2 slots=$3 prefix=$4 first=$5
shift 5

network=10.77
address() { # of host NUMBER; the head's is 10.77.255.254
    echo "$network.$(($1 / 250)).$(($1 % 250 + 1))"
}
mac() { # of host NUMBER: fixed, or a launch may meet a stale answer of ARP
    printf '02:00:00:00:%02x:%02x' $(($1 / 250)) $(($1 % 250 + 1))
}

# ready FILE SECONDS: waits until it is not empty.
ready() {
    local deadline=$((SECONDS + $2))
    until [[ -s $1 ]]; do
        [[ $SECONDS -lt $deadline ]] || {
            echo "no $(basename "$1") after $2 s"
            exit 1
        }
        sleep 0.005
    done
}

names() {
    local k
    printf '127.0.0.1 localhost\n%s.255.254 head\n' "$network"
    for ((k = first; k < first + count; k++)); do
        echo "$(address "$k") $prefix$k"
    done
}

start_host() { # NUMBER
    local keeper pid
    : >"$state/$prefix$1.ready"
    unshare "${namespaces[@]}" bash "$lib/host.sh" "$prefix$1" "$state" "${shared[@]}" 9>&- &
    keeper=$!
    # Its network namespace is there when it is another one than ours.
    while [[ /proc/$keeper/ns/net -ef /proc/self/ns/net ]]; do sleep 0.002; done
    ip -batch - <<TEXT
link add p$1 type veth peer name eth0 netns $keeper
link set p$1 addrgenmode none
link set p$1 master br0
link set p$1 up
TEXT
    nsenter --net="/proc/$keeper/ns/net" ip -batch - <<TEXT
link set lo up
link set eth0 address $(mac "$1") addrgenmode none
addr add $(address "$1")/16 dev eth0
link set eth0 up
TEXT
    ready "$state/$prefix$1.ready" 10
    pid=$(child_of "$keeper")
    echo "$prefix$1 $(address "$1") $pid $(started "$pid")" >>"$state/table"
}

shared=("$@")
names >"$state/hosts"
: >"$state/table"
no_ipv6
# The bridge lies on the head, too, and would answer when a host asks who has the head's address,
# with an address that is that of one of its ports and changes when that host crashes. Those
# that had heard it would not reach the head for half a minute. So it does not speak ARP.
ip -batch - <<TEXT
link set lo up
link add br0 type bridge stp_state 0 forward_delay 0
link set br0 addrgenmode none arp off
link set br0 up
link add phead type veth peer name eth0
link set phead addrgenmode none
link set phead master br0
link set phead up
link set eth0 address 02:00:00:00:ff:fe addrgenmode none
addr add $network.255.254/16 dev eth0
link set eth0 up
TEXT
for ((k = first; k < first + count; k++)); do
    start_host "$k"
done

# Last, for the folder above may lie in what this hides.
exec 7>"$state/ready"
table=$(<"$state/table")
machine head "$state" "${shared[@]}"
echo "$table" >/tmp/.cluster/table
while read -r name _; do
    echo "$name slots=$slots" >&5
    echo "$name:$slots" >&6
done <<<"$table" 5>/tmp/.cluster/hostfile 6>/tmp/.cluster/machines # for Open MPI, for MPICH
echo ready >&7
exec 7>&-
rest
