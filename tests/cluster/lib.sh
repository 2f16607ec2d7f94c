# shellcheck shell=bash disable=SC2034 # what this sets is for those who source it
# lib.sh - what the tests of cluster/ share. Sourced by bash with $root set; makes $work,
# which is gone afterwards, as is what was started with `background`.
failures=0
work=$(mktemp -d)
started=()
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
unset "${!CREW_@}"

check() { # name, expected, actual
    if [[ $2 == "$3" ]]; then
        echo "ok - $1"
    else
        echo "not ok - $1: expected '$2', got '$3'"
        failures=$((failures + 1))
    fi
}

# skip NAME REASON: what cannot be tried here. It is counted.
skip() {
    echo "skipped - $1: $2"
}

# code COMMAND...: its exit code. Output goes to $work/out, errors to $work/err.
code() {
    "$@" >"$work/out" 2>"$work/err" </dev/null
    echo $?
}

# out TEXT: whether the last run said it. If not, what it said.
out() {
    if grep -qe "$1" "$work/out" "$work/err"; then echo there; else head -c 2000 "$work/out" "$work/err"; fi
}

# background OUTPUT COMMAND...: starts it; its pid is in $last.
background() {
    local output=$1
    shift
    : >"$output" # now: what the last one said is not this one's
    "$@" >>"$output" 2>&1 </dev/null &
    last=$!
    started+=("$last")
}

# until_true SECONDS COMMAND...: "yes" once the command succeeds, else "no".
until_true() {
    local deadline=$(($(date +%s%N) + $1 * 1000000000))
    shift
    while ! "$@" >/dev/null 2>&1; do
        [[ $(date +%s%N) -lt $deadline ]] || {
            echo no
            return
        }
        sleep 0.05
    done
    echo yes
}

lines() { # COUNT TEXT FILE: whether it is that often in the file
    [[ $(grep -c -- "$2" "$3") -eq $1 ]]
}

gone() { # PID...
    local pid
    for pid in "$@"; do
        kill -0 "$pid" 2>/dev/null && return 1
    done
    return 0
}

# end_of PID SECONDS: sets ended to its exit code, or to "still there", and then it is no more.
end_of() {
    if [[ $(until_true "$2" gone "$1") == no ]]; then
        kill -KILL "$1"
        ended="still there"
        return
    fi
    { wait "$1"; } 2>/dev/null
    ended=$?
}

# running TEXT: processes that have it in their command line; "none" if there are none.
running() {
    local file line found=()
    # What is listed was there before grep, which has the text in its own command line.
    for file in $(grep -laF -- "${1%% *}" /proc/[0-9]*/cmdline 2>/dev/null); do
        line=$(tr '\0' ' ' 2>/dev/null <"$file") && [[ $line == *"$1"* ]] && found+=("${line:0:80}")
    done
    [[ ${#found[@]} -eq 0 ]] && echo none || printf '%s; ' "${found[@]}"
}

none_running() {
    [[ $(running "$1") == none ]]
}

clean() {
    local pid
    for pid in "${started[@]}"; do
        kill -KILL "$pid" 2>/dev/null
    done
    type at_end >/dev/null 2>&1 && at_end
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' HUP INT TERM

# compile: the program of these tests, as $plain; skips the test where there is no MPI.
compile() {
    local mpicc
    for mpicc in mpicc.openmpi mpicc; do
        [[ $("$mpicc" --showme:version 2>/dev/null) == *"Open MPI"* ]] && break
        mpicc=
    done
    [[ -n $mpicc ]] || {
        skip "$1" "there is no Open MPI here (libopenmpi-dev)"
        exit 0
    }
    plain=$work/plain
    "$mpicc" -D_GNU_SOURCE -O1 -Wall -Wextra "$root/tests/cluster/plain.c" -o "$plain" || {
        echo "not ok - $1: tests/cluster/plain.c does not compile"
        exit 1
    }
}
