# shellcheck shell=bash
# machine.sh - what every emulated machine's first process does to its namespaces. Sourced.

no_ipv6() {
    local setting
    for setting in all default; do
        # Not everywhere to be written; no interface gets an address of its own anyway.
        { echo 1 >"/proc/sys/net/ipv6/conf/$setting/disable_ipv6"; } 2>/dev/null || true
    done
}

# machine NAME STATE SHARED... (with lib set): its name, /etc/hosts, /tmp and /dev/shm. Descriptor 8 is then
# the outer /tmp, from which `fetch` has what is wanted later.
machine() {
    local name=$1 state=$2 folder
    shift 2
    hostname "$name"
    mount --bind "$state/hosts" /etc/hosts
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    exec 8</tmp
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    for folder in "$@"; do
        fetch "$folder"
    done
    # mpirun splits the agent's name at blanks, which the path of this file may have. The
    # daemons on hosts want to find it too, though only the head's can do anything.
    mkdir /tmp/.cluster
    printf '#!/bin/sh\nexec bash %q agent "$@"\n' "$lib/inside.sh" >/tmp/.cluster/agent
    chmod +x /tmp/.cluster/agent
}

# fetch NAME: shows what is called so in the outer /tmp in ours.
fetch() {
    local from=/proc/1/fd/8/$1 to=/tmp/$1
    [[ -e $from ]] || return 0
    [[ $from -ef $to ]] && return 0
    umount -l "$to" 2>/dev/null || true
    if [[ -d $from ]]; then
        mkdir -p "$to"
    else
        : >>"$to"
    fi
    mount --no-canonicalize --rbind "$from" "$to"
}

# What a first process does for the rest of its life: it reaps (bash does, in its handler of
# SIGCHLD) and waits for what never comes.
rest() {
    local never
    mkfifo /tmp/.never
    exec 7<>/tmp/.never
    rm /tmp/.never
    while :; do
        read -r never <&7 || true
    done
}
