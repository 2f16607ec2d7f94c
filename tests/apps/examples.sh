#!/bin/sh
# examples.sh FOLDER - the programs of apps/examples that have a pool, by what they print.
# The backend is the environment's (CREW_BACKEND).
set -u
folder=$1
failures=0
backend=${CREW_BACKEND:-fork}

prints() { # program, expected output
    if have=$("$folder/$1" 2>&1) && [ "$have" = "$2" ]; then
        echo "ok - examples__${1}__prints_what_it_should"
    else
        echo "not ok - examples__${1}__prints_what_it_should: expected '$2', got '$have'"
        failures=$((failures + 1))
    fi
}

prints first 4900450500
prints collatz "837799 takes 524 steps"
# Where workers are not processes the task that crashes is the program.
[ "$backend" = fork ] && prints survive "9 of 10 are done
item 7: signal 11"

seen=10
[ "$backend" = fork ] && seen=0
prints changes_vanish "appended to a global: $seen seen
returned: 0 1 4 9 16 25 36 49 64 81"
[ "$failures" -eq 0 ]
