#!/bin/sh
# examples.sh FOLDER - the programs of apps/examples, by what they print.
set -u
folder=$1
failures=0

prints() { # program, expected output
    if have=$("$folder/$1") && [ "$have" = "$2" ]; then
        echo "ok - examples__${1}__prints_what_it_should"
    else
        echo "not ok - examples__${1}__prints_what_it_should: expected '$2', got '$have'"
        failures=$((failures + 1))
    fi
}

prints first 4900450500
prints collatz "837799 takes 524 steps"
prints survive "9 of 10 are done
item 7: signal 11"
[ "$failures" -eq 0 ]
