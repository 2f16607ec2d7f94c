#!/bin/sh
# resume.sh UNDER CONFIG PROGRAM - a journal that is begun by ranks of three nodes (CONFIG: nodes3,
# or hosts3, emulated hosts), all of which are killed, and ended by forked workers: see resume.c.
set -u
under=$1
config=$2
program=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
CREW_TEST_EXPECTS=137 "$under" "$config" "$program" begin "$folder"
code=$?
[ "$code" -eq 0 ] || exit "$code"
CREW_BACKEND=fork CREW_WORKERS=4 "$program" end "$folder"
