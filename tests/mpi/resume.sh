#!/bin/sh
# resume.sh UNDER PROGRAM - a journal that is begun by ranks of three nodes, all of which are
# killed, and ended by forked workers: see resume.c.
set -u
under=$1
program=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
CREW_TEST_EXPECTS=137 "$under" nodes3 "$program" begin "$folder"
code=$?
[ "$code" -eq 0 ] || exit "$code"
CREW_BACKEND=fork CREW_WORKERS=4 "$program" end "$folder"
