# shellcheck shell=bash disable=SC2034,SC2154 # set here for those who source it, or by them
# hosts.sh - emulated hosts as cluster/hosts and cluster/slurm have them. Sourced after
# common.sh and instance.sh, with $here, the folder of the script.

# options ARGUMENT...: what stands before the verb. Sets name, and how many words that were.
options() {
    name=${CLUSTER_NAME:-default} options=$#
    while [[ ${1-} == -* ]]; do
        case $1 in
        --name)
            [[ -n ${2-} ]] || misused "--name takes a name"
            name=$2
            shift
            ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) misused "there is no option $1. Try cluster/$(basename "$0") --help." ;;
        esac
        shift
    done
    options=$((options - $#))
}

# tops PATH...: for those that exist and lie in /tmp, what they are called there.
tops() {
    local path
    for path in "$@"; do
        [[ $path != -* && -e $path ]] || continue
        path=$(realpath -s -- "$path")
        [[ $path == /tmp/* ]] || continue
        path=${path#/tmp/}
        echo "${path%%/*}"
    done | sort -u
}

# Shows the hosts this folder and what the arguments name.
show() {
    local names
    mapfile -t names < <(tops "$PWD" "$@")
    [[ ${#names[@]} -eq 0 ]] && return
    (in_head bash "$here/lib/inside.sh" fetch "${names[@]}") || exit
}

inside() {
    in_head env TMPDIR=/tmp CLUSTER_TOOL="cluster/$(basename "$0")" bash "$here/lib/inside.sh" "$@"
}

# up_hosts PREFIX FIRST COUNT [COUNT] [--slots N] [--share FOLDER]... [--while PID]: as many of
# them, called PREFIX and a number.
up_hosts() {
    local prefix=$1 first=$2 count=$3 slots names share=() owner=
    shift 3
    slots=$(cores)
    while [[ $# -gt 0 ]]; do
        case $1 in
        --slots) slots=${2-} && shift ;;
        --share) share+=("${2-}") && shift ;;
        --while) owner=${2-} && shift ;;
        *) count=$1 ;;
        esac
        shift
    done
    [[ $count =~ ^[0-9]+$ && $count -ge 1 && $count -le 1000 ]] ||
        misused "how many: '$count' is no number from 1 to 1000"
    [[ $slots =~ ^[1-9][0-9]*$ ]] || misused "--slots takes a number from 1"
    allowed_namespaces
    take_lock || die "it is up already; cluster/$(basename "$0") down ends it (--name for another beside it)"
    mapfile -t names < <(tops "$PWD" "$root" "${share[@]}")
    patience=$((30 + count / 5)) start_head \
        bash "$here/lib/head.sh" "$state" "$count" "$slots" "$prefix" "$first" "${names[@]}"
    [[ -z $owner ]] || stop_after "$owner"
}

# stop_after PID: ends what is up once that process has ended, whatever it died of.
stop_after() {
    local owner=$1 begun keeper self never
    begun=$(started "$1") || begun=
    keeper=$(<"$state/keeper")
    (
        trap '' HUP INT QUIT
        cd /
        self=$BASHPID
        echo "$self $(started "$self")" >"$state/watcher" || exit
        exec {never}<> <(:)
        while [[ -n $begun && $(started "$owner") == "$begun" ]]; do
            read -r -t 1 -u "$never"
        done
        # Not another one, of the same name, that has come up meanwhile.
        [[ $(cat "$state/keeper" 2>/dev/null) == "$keeper" ]] && stop
    ) </dev/null >/dev/null 2>&1 &
    # Ended before it has said so, it was ended by a `down`, with everything else.
    until [[ -s $state/watcher ]] || ! kill -0 $! 2>/dev/null; do sleep 0.01; done
}

# host_verb VERB ARGUMENT...: what is the same for all kinds of hosts.
host_verb() {
    local verb=$1
    shift
    case $verb in
    on)
        [[ $# -ge 2 ]] || misused "on takes a host and a command"
        show "${@:2}"
        inside on "$1" "$PWD" "${@:2}"
        ;;
    status)
        is_up || {
            say "nothing is up"
            exit 1
        }
        inside status
        ;;
    *)
        [[ $# -eq 1 ]] || misused "$verb takes a host"
        inside "$verb" "$1"
        ;;
    esac
}
