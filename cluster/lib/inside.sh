# shellcheck shell=bash
# inside.sh VERB ... - what is done to emulated hosts from inside of their head:
#     on HOST FOLDER COMMAND...   runs it there, in that folder
#     agent [OPTION]... HOST COMMAND...   what mpirun and mpiexec use for ssh
#     kill HOST, unplug HOST, plug HOST, status
#     fetch NAME...               shows what the outer /tmp has under these names
set -u
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$lib/instance.sh"
. "$lib/machine.sh"
PATH=$PATH:/usr/sbin:/sbin
table=/tmp/.cluster/table

die() {
    printf '%s: %s\n' "${CLUSTER_TOOL:-cluster}" "$*" >&2
    exit 255
}

# find HOST: sets pid, or dies.
find() {
    local name start
    while read -r name _ pid start; do
        [[ $name == "$1" ]] || continue
        [[ $(started "$pid") == "$start" ]] || die "$1 is down"
        return
    done <"$table"
    die "there is no host $1: they are $(cut -d' ' -f1 $table | paste -sd' ')"
}

port() { # of the host: the bridge's end of its cable
    case $1 in
    head) echo phead ;;
    *)
        find "$1"
        echo "p${1#"${1%%[0-9]*}"}"
        ;;
    esac
}

enter() { # COMMAND...: in the namespaces of $pid; it is ended if this process is
    nsenter --net --uts --ipc --mount --pid -t "$pid" setpriv --pdeathsig TERM -- "$@"
}

in_folder() { # FOLDER COMMAND...
    [[ -d $1 ]] || {
        echo "the folder $1 is not to be seen on $(uname -n)" >&2
        return 255
    }
    cd "$1" && shift && exec "$@"
}

verb_on() { # HOST FOLDER COMMAND...
    local host=$1
    shift
    if [[ $host == head ]]; then
        in_folder "$@"
        exit
    fi
    find "$host"
    trap '' INT QUIT
    exec nsenter --net --uts --ipc --mount --pid -t "$pid" env --default-signal=INT,QUIT \
        setpriv --pdeathsig TERM -- bash "$lib/inside.sh" in_folder "$@"
}

# As over ssh: the command goes through a shell, and of the environment gets what a login
# gives. When the host crashed meanwhile, 0 is told: any other end of an agent makes mpirun
# end the job, even where it was told to go on.
verb_agent() {
    local code host
    while [[ ${1-} == -* ]]; do shift; done
    host=$1
    find "$host"
    shift
    # Bash would tell on its own standard error that the command was killed.
    {
        enter env -i HOME="${HOME-/}" USER="${USER-root}" LOGNAME="${USER-root}" SHELL=/bin/sh \
            PATH="$PATH" TMPDIR=/tmp /bin/sh -c "$*" 2>&3 3>&-
        code=$?
    } 3>&2 2>/dev/null
    [[ $code -ne 0 ]] && ! (find "$host") 2>/dev/null && code=0
    exit "$code"
}

verb_kill() {
    find "$1"
    kill -KILL "$pid"
    local tries
    for ((tries = 0; tries < 1000; tries++)); do
        started "$pid" >/dev/null || [[ -e /proc/$pid ]] || exit 0
        sleep 0.01
    done
    die "$1 does not end"
}

verb_unplug() {
    local port
    port=$(port "$1") || exit
    ip link set "$port" down
}

verb_plug() {
    local tries port
    port=$(port "$1") || exit
    ip link set "$port" up || exit
    for ((tries = 0; tries < 500; tries++)); do
        ip -details link show "$port" | grep -q 'bridge_slave state forwarding' && exit 0
        sleep 0.01
    done
    die "the port of $1 does not come up"
}

verb_status() {
    local name address start is count
    while read -r name address pid start; do
        is=down count=0
        if [[ $(started "$pid") == "$start" ]]; then
            is=up
            ip link show "$(port "$name")" | grep -q '[<,]UP[,>]' || is=unplugged
            count=$(nsenter --pid --mount -t "$pid" sh -c 'set -- /proc/[0-9]*; echo $(($# - 2))')
        fi
        printf '%-6s %-12s %-10s %d processes\n' "$name" "$address" "$is" "$count"
    done <"$table"
}

verb_fetch() {
    local name start
    for name in "$@"; do
        fetch "$name"
    done
    while read -r name _ pid start; do
        [[ $(started "$pid") == "$start" ]] || continue
        for name in "$@"; do
            [[ "/proc/1/fd/8/$name" -ef "/proc/$pid/root/tmp/$name" ]] && continue
            enter bash -c '. "$1" && fetch "$2"' bash "$lib/machine.sh" "$name" || exit
        done
    done <"$table"
}

if [[ $1 == in_folder ]]; then
    shift
    in_folder "$@"
    exit
fi
verb=verb_$1
shift
"$verb" "$@"
