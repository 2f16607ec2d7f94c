# check.sh - read by the scripts that test programs: . "$(dirname "$0")/check.sh"
# Gives them a folder of their own, $work, and a way to tell what was tested. They set
# $program, and $suite, what the names of their tests begin with.
LC_ALL=C
export LC_ALL
failures=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() { # name, expected, actual
    if [ "$2" = "$3" ]; then
        echo "ok - $suite$1"
    else
        echo "not ok - $suite$1: expected '$2', got '$3'"
        [ -s "$work/err" ] && sed 's/^/# /' "$work/err"
        failures=$((failures + 1))
    fi
}

skipped() { # name, why
    echo "skipped - $suite$1: $2"
}

# What the launcher of a job may say of its own start is no word of the program's.
own_words() {
    [ -z "${CREW_TEST_JOB-}" ] || sed -i '/plm:rsh: Warning: setpgid(.*) failed in parent/d' "$work/err"
}

# Runs the program; its output, and then its exit code if that is not 0.
run() {
    "$program" "$@" 2>"$work/err" || echo "exit $?"
    own_words
}

# Runs the program; its exit code.
code() {
    timeout 100 "$program" "$@" >"$work/out" 2>"$work/err"
    echo $?
    own_words
}

# Until the condition holds, but no longer than some twenty seconds.
await() { # command...
    tries=0
    until "$@" 2>/dev/null || [ "$tries" -ge 2000 ]; do
        tries=$((tries + 1))
        sleep 0.01
    done
}

said() { # a part of the last run's standard error
    if grep -q -- "$1" "$work/err"; then echo said; else cat "$work/err"; fi
}
