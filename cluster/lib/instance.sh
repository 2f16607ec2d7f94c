# shellcheck shell=bash disable=SC2034 # what this sets is for those who source it
# instance.sh - one emulated cluster as a thing that is up or down. Sourced by
# cluster/hosts and cluster/slurm, after common.sh.
#
# All of a cluster lives in one PID namespace, that of its head: the machines are
# namespaces inside of it. So ending the head's first process ends everything, and
# the kernel sees to it. Outside there are two things only: that process's parent,
# the keeper (unshare), and the folder $state with
#     lock      held (flock) by keeper and head for as long as one of them lives
#     keeper    the keeper's pid and when it started, as /proc has it
#     watcher   the same of who waits for the process that up was told of (--while)
#     ready     not empty once everything is up
#     log       what the head and the machines said on their way up
# and what the head puts there (see head.sh).

# instance KIND NAME: which one the calls below are about.
instance() {
    local base=${XDG_RUNTIME_DIR-}
    [[ -n $base && -d $base && -w $base ]] || base=/tmp
    [[ $2 =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || misused "a name is letters, digits, '.', '_' and '-': '$2' is none"
    instances=$base/crew-$1-$(id -u)
    state=$instances/$2
    # Others may write to /tmp: what they have put there under our name is not used.
    [[ ! -e $instances || ( -O $instances && ! -L $instances ) ]] ||
        die "$instances is not this user's"
}

# started PID: when it was started, as a number; nothing if there is no such process
# or it has ended and is only waited for.
started() {
    local line fields
    read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    read -ra fields <<<"${line##*) }"
    [[ ${fields[0]} != [ZX] ]] || return 1
    echo "${fields[19]}"
}

# take_lock: 0 if nothing of the instance lives; then descriptor 9 holds its lock.
take_lock() {
    while :; do
        mkdir -p -m 700 "$instances" && mkdir -p -m 700 "$state" || return 1
        { exec 9>>"$state/lock"; } 2>/dev/null || continue # somebody's down was faster
        flock -n 9 || return 1
        [[ $state/lock -ef /proc/$BASHPID/fd/9 ]] && return 0
    done
}

is_up() {
    [[ -s $state/ready ]] && head_pid >/dev/null
}

# The head's first process, as seen from here.
head_pid() {
    local pid start child
    read -r pid start 2>/dev/null <"$state/keeper" && [[ $(started "$pid") == "$start" ]] || return 1
    child=$(child_of "$pid") && [[ -n $child ]] && echo "$child"
}

# child_of PID: its only child.
child_of() {
    local stat line fields
    if [[ -r /proc/$1/task/$1/children ]]; then
        read -r line _ <"/proc/$1/task/$1/children" || true # it has no line end
        echo "${line%% *}"
        return
    fi
    for stat in /proc/[0-9]*/stat; do
        read -r line 2>/dev/null <"$stat" || continue
        read -ra fields <<<"${line##*) }"
        [[ ${fields[1]} == "$1" ]] && echo "${line%% *}" && return
    done
    return 1
}

# What a machine is made of; the head is one too.
namespaces=(--net --uts --ipc --mount --pid --fork --kill-child --mount-proc)

# allowed_namespaces: sets user_namespace to what unshare needs for somebody who is
# not root. Exits with 77, as a skipped test does, where the machine does not let us.
allowed_namespaces() {
    local said tool
    for tool in unshare nsenter setpriv flock ip; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || {
            say "$(basename "$0"): there is no $tool here: install iproute2 and util-linux" >&2
            exit 77
        }
    done
    user_namespace=()
    if [[ $(id -u) -eq 0 ]] && unshare "${namespaces[@]}" mount -t tmpfs none /dev/shm 2>/dev/null; then
        return
    fi
    user_namespace=(--user --map-root-user)
    said=$(unshare "${user_namespace[@]}" "${namespaces[@]}" mount -t tmpfs none /dev/shm 2>&1) && return
    cat >&2 <<TEXT
$(basename "$0"): this machine does not allow the namespaces that emulated hosts are made of
    ($said)
As root it works everywhere but in a container without privileges (docker run --privileged
has them). Otherwise the system's administrator decides: user.max_user_namespaces, and on
Ubuntu kernel.apparmor_restrict_unprivileged_userns, are the settings.
TEXT
    exit 77
}

# start_head COMMAND...: starts the keeper, with the command as the head's first process,
# and waits until it writes to $state/ready. Descriptor 9 holds the lock. What it may take
# is in $patience, seconds.
start_head() {
    local keeper self deadline=$((SECONDS + ${patience:-30}))
    rm -f "$state/keeper" "$state/ready"
    (
        # Nothing of ours keeps a pipe of our caller's open.
        for keeper in "/proc/$BASHPID/fd"/*; do
            keeper=${keeper##*/}
            [[ $keeper -gt 2 && $keeper -ne 9 ]] && eval "exec $keeper>&-"
        done
        cd /
        self=$BASHPID
        echo "$self $(started "$self")" >"$state/keeper"
        exec setsid unshare "${user_namespace[@]}" "${namespaces[@]}" "$@"
    ) </dev/null >"$state/log" 2>&1 &
    keeper=$!
    until [[ -s $state/ready ]]; do
        if ! kill -0 "$keeper" 2>/dev/null || [[ $SECONDS -ge $deadline ]]; then
            say "$(basename "$0"): it did not come up:" >&2
            sed 's/^/    /' "$state/log" >&2
            stop
            exit 1
        fi
        sleep 0.02
    done
    exec 9>&-
}

# stop: ends the instance, whatever state it is in, and leaves nothing.
stop() {
    local pid start child tries
    exec 9>&-
    [[ -d $state ]] || return 0
    for ((tries = 0; tries < 1000; tries++)); do
        if take_lock; then
            if read -r pid start 2>/dev/null <"$state/watcher" && [[ $(started "$pid") == "$start" && $pid -ne $BASHPID ]]; then
                kill -KILL "$pid" 2>/dev/null
            fi
            rm -rf "$state"
            exec 9>&-
            rmdir "$instances" 2>/dev/null
            return 0
        fi
        # Again and again: one that is just starting may not have said who it is.
        if read -r pid start 2>/dev/null <"$state/keeper" && [[ $(started "$pid") == "$start" ]]; then
            child=$(child_of "$pid")
            [[ -n $child ]] && kill -KILL "$child" 2>/dev/null
            kill -KILL "$pid" 2>/dev/null
        fi
        sleep 0.01
    done
    die "it does not end: somebody still holds $state/lock"
}

# in_head COMMAND...: in the head's namespaces, in place of this process. The command
# alone is told of Ctrl-C, and it is ended if nsenter is.
in_head() {
    local pid user=()
    pid=$(head_pid) || die "it is not up ($(basename "$0") up starts it)"
    [[ -n $(readlink "/proc/$pid/ns/user") && /proc/$pid/ns/user -ef /proc/self/ns/user ]] ||
        user=(--user --preserve-credentials)
    trap '' INT QUIT
    exec nsenter "${user[@]}" --net --uts --ipc --mount --pid -t "$pid" \
        env --default-signal=INT,QUIT setpriv --pdeathsig TERM -- "$@"
}
