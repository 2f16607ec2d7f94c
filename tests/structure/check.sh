#!/bin/sh
# check.sh [ROOT] - the rules of the source tree that a compiler does not know.
# check.sh --self-test - breaks each rule in a tree of its own, to see it refused.
#
# One line a rule: "ok - rule" or "not ok - rule: where". Warnings do not fail.
set -u
LC_ALL=C
export LC_ALL

# What a part may include: itself and what lies below it. os, topo, sched and journal
# lie side by side.
allowed() {
    case $1 in
    base) echo "base" ;;
    os | topo | sched | journal) echo "base $1" ;;
    backend) echo "base os topo sched backend" ;;
    team) echo "base os topo sched backend team" ;;
    share) echo "base os topo sched backend team share" ;;
    fleet) echo "base os topo sched backend team share fleet" ;;
    api) echo "base os topo sched journal backend team share fleet api" ;;
    *) echo "" ;;
    esac
}

# The parts of the C library that are the same everywhere and ask nothing of the
# system: all that src/sched and src/journal and what they include may use. xxhash.h
# is code alone.
pure="assert.h ctype.h float.h inttypes.h limits.h math.h stdalign.h stdarg.h stdatomic.h
    stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h type_traits xxhash.h"

sources() { # in the given folders
    for folder in "$@"; do
        [ -d "$root/$folder" ] && find "$root/$folder" -name '*.[ch]' -type f
    done | sort
}

# Each header a file includes.
includes() {
    sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]\([^>"]*\)[>"].*/\1/p' "$1" |
        sort -u
}

short() {
    printf '%s' "${1#"$root"/}"
}

verdict() { # rule, what was found
    if [ -z "$2" ]; then
        echo "ok - $1"
    else
        printf '%s\n' "$2" | while IFS= read -r line; do
            echo "# $line"
        done
        echo "not ok - $1"
        bad=$((bad + 1))
    fi
}

has_word() { # word, list
    for word in $2; do
        [ "$word" = "$1" ] && return 0
    done
    return 1
}

upward() {
    sources src | while IFS= read -r file; do
        part=${file#"$root"/src/}
        part=${part%%/*}
        for header in $(includes "$file"); do
            to=${header%%/*}
            if [ "$to" != "$header" ] && [ -d "$root/src/$to" ] &&
                ! has_word "$to" "$(allowed "$part")"; then
                echo "$(short "$file") includes $header"
            fi
        done
    done
}

# Whatever src/sched and src/journal reach through this project's own headers.
impure() {
    todo=$(sources src/sched src/journal)
    seen=""
    while [ -n "$todo" ]; do
        next=""
        for file in $todo; do
            has_word "$file" "$seen" && continue
            seen="$seen $file"
            for header in $(includes "$file"); do
                if [ -f "$root/src/$header" ]; then
                    next="$next $root/src/$header"
                elif [ -f "$root/include/$header" ]; then
                    next="$next $root/include/$header"
                elif ! has_word "$header" "$pure"; then
                    echo "$(short "$file") includes $header"
                fi
            done
        done
        todo=$next
    done
}

only_in() { # header, pattern of files that may include it
    sources src include | while IFS= read -r file; do
        name=$(short "$file")
        printf '%s\n' "$name" | grep -Eq "$2" && continue
        includes "$file" | grep -Eqx "$1" && echo "$name includes $1"
    done
}

found() { # pattern, folders...
    pattern=$1
    shift
    sources "$@" | while IFS= read -r file; do
        grep -nE "$pattern" "$file" | sed "s|^|$(short "$file"):|"
    done
}

not_comments() { # of what `found` prints
    grep -vE '^[^:]*:[0-9]+: *(\*|/\*|//)'
}

# The version stands in the header; who says another one is wrong.
versions() {
    header=$root/include/crew/crew.h
    [ -f "$header" ] || return 0
    number() { sed -n "s/^#define CREW_VERSION_$1 //p" "$header"; }
    version=$(number MAJOR).$(number MINOR).$(number PATCH)
    for place in "include/crew/crew.h:define CREW_VERSION \"$version\"" "docs/crew.1:crew $version" \
        "CHANGELOG.md:^## $version " "README.md:find_package(crew ${version%.*} "; do
        grep -q "${place#*:}" "$root/${place%%:*}" 2>/dev/null ||
            echo "${place%%:*} does not have version $version"
    done
}

# Names in the documents that nothing has, and links that lead nowhere.
documents() {
    [ -d "$root/docs" ] || return 0
    name='\<(crew|cw|CREW|CW)_[A-Za-z0-9_]*[A-Za-z0-9]'
    words=$(mktemp)
    (cd "$root" && grep -rohE "$name" include src tests apps cluster cmake CMakeLists.txt) \
        2>/dev/null | sort -u >"$words"
    for page in "$root"/*.md "$root"/docs/*.md "$root"/apps/*.md; do
        [ -f "$page" ] || continue
        grep -ohE "$name" "$page" | sort -u | comm -23 - "$words" |
            sed "s|^|$(short "$page"): there is no |"
        sed 's/](/\n](/g' "$page" | sed -n 's/^](\([^)#:]*\)[)#].*/\1/p' | sort -u |
            while IFS= read -r link; do
                [ -z "$link" ] || [ -e "$(dirname "$page")/$link" ] ||
                    echo "$(short "$page"): a link to $link"
            done
    done
    rm -f "$words"
}

long_functions() {
    sources src apps include | while IFS= read -r file; do
        awk -v file="$(short "$file")" '
            /^[A-Za-z_].*[^;,]$/ && !/^(struct|enum|union|typedef|static const)[^(]*$/ { name = $0 }
            /^[^ \t#}\/*].*\{$/ || /^\{$/ { start = NR }
            /^\}/ && start {
                if (NR - start + 1 > 70 && name ~ /\(/)
                    printf "%s:%d: %d lines: %s\n", file, start, NR - start + 1, name
                start = 0
            }' "$file"
    done
    sources src apps | while IFS= read -r file; do
        lines=$(wc -l <"$file")
        [ "$lines" -gt 800 ] && echo "$(short "$file"): $lines lines"
    done
}

check_tree() {
    root=$1
    bad=0
    verdict "includes point downward" "$(upward)"
    verdict "src/sched and src/journal reach no header of the system" "$(impure)"
    verdict "mpi.h only in src/backend/mpi and crew/mpi.h" \
        "$(only_in mpi.h '^(src/backend/mpi/|include/crew/mpi\.h$)')"
    verdict "public headers include neither hwloc.h nor omp.h" \
        "$(only_in 'hwloc\.h|omp\.h' '^src/')"
    verdict "the library includes no omp.h" "$(only_in omp.h '^include/')"
    verdict "public headers have at most 100 columns" "$(found '.{101}' include)"
    verdict "the version is everywhere the header's" "$(versions)"
    verdict "the documents name what there is" "$(documents)"
    verdict "nothing is left unfinished" "$(found '\<(TODO|FIXME|XXX)\>' src include apps tests)"
    # In a process of its own it may; in the user's it would take the user's children.
    verdict "only the nursery waits for any child" \
        "$(found '(waitpid|wait4) *\( *-1|[^_a-z]wait *\( *(NULL|0|&)' src |
            not_comments | grep -v '^src/backend/fork/nursery')"
    long_functions | sed 's/^/# warning: long: /'
    [ "$bad" -eq 0 ]
}

# ---- the check of the check ----------------------------------------------

broken() { # rule, file, its text: that rule and no other says no
    mkdir -p "$tree/$(dirname "$2")"
    cp "$tree/$2" "$tree/kept" 2>/dev/null
    printf '%s\n' "$3" >>"$tree/$2"
    if ! (check_tree "$tree") >"$tree/out" 2>&1 &&
        [ "$(grep '^not ok' "$tree/out")" = "not ok - $1" ]; then
        echo "ok - self-test: refused: $(printf '%s' "$3" | tail -n 1) in $2"
    else
        cat "$tree/out"
        echo "not ok - self-test: not refused: $(printf '%s' "$3" | tail -n 1) in $2"
        failures=1
    fi
    rm "$tree/$2"
    [ -f "$tree/kept" ] && mv "$tree/kept" "$tree/$2"
}

self_test() {
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    failures=0
    for part in base os topo sched journal backend team fleet api; do
        mkdir -p "$tree/src/$part"
        printf '#include <stdint.h>\n' >"$tree/src/$part/$part.h"
    done
    printf '#include <unistd.h>\n' >"$tree/src/os/os.h"
    printf '#include "base/base.h"\n' >"$tree/src/sched/sched.h"
    printf '#include "base/base.h"\n#include "os/os.h"\n/* wait(NULL) */\n' >"$tree/src/backend/backend.h"
    printf '#include "backend/backend.h"\n#include "sched/sched.h"\n' >"$tree/src/team/team.h"
    printf '#include "team/team.h"\n#include "topo/topo.h"\n' >"$tree/src/fleet/fleet.h"
    for part in base os topo sched journal backend team fleet; do
        printf '#include "%s/%s.h"\n' "$part" "$part"
    done >"$tree/src/api/api.h"
    if (check_tree "$tree") >"$tree/out" 2>&1; then
        echo "ok - self-test: a good tree is accepted"
    else
        cat "$tree/out"
        echo "not ok - self-test: a good tree is refused"
        failures=1
    fi
    broken "includes point downward" src/base/a.c '#include "os/os.h"'
    broken "includes point downward" src/topo/a.c '#include "os/os.h"'
    broken "includes point downward" src/sched/a.c '#include "topo/topo.h"'
    broken "includes point downward" src/backend/fork/a.c '#include "team/team.h"'
    broken "includes point downward" src/journal/a.c '#include "sched/sched.h"'
    broken "includes point downward" src/team/a.c '#include "journal/journal.h"'
    broken "includes point downward" src/team/a.c '#include "fleet/fleet.h"'
    broken "includes point downward" src/fleet/a.c '#include "api/api.h"'
    broken "src/sched and src/journal reach no header of the system" src/sched/a.c '#  include <unistd.h>'
    broken "src/sched and src/journal reach no header of the system" src/journal/a.c '#include <time.h>'
    broken "src/sched and src/journal reach no header of the system" src/base/base.h '#include <pthread.h>'
    broken "mpi.h only in src/backend/mpi and crew/mpi.h" src/backend/fork/a.c '#include <mpi.h>'
    broken "public headers include neither hwloc.h nor omp.h" include/crew/a.h '#include <hwloc.h>'
    broken "the library includes no omp.h" src/team/a.c '#include <omp.h>'
    broken "public headers have at most 100 columns" include/crew/a.h "$(printf '/* %0100d */' 0)"
    broken "the version is everywhere the header's" include/crew/crew.h '#define CREW_VERSION_MAJOR 9'
    # shellcheck disable=SC2016 # no command
    broken "the documents name what there is" docs/a.md 'See `crew_nothing_there`.'
    broken "the documents name what there is" docs/a.md 'See [there](nowhere.md).'
    broken "nothing is left unfinished" src/os/a.c "/* TO""DO: later */"
    broken "only the nursery waits for any child" src/os/a.c 'int f(void) { return waitpid(-1, 0, 0); }'
    broken "only the nursery waits for any child" src/os/a.c 'int g(void) { return wait(NULL); }'
    [ "$failures" -eq 0 ]
}

if [ "${1-}" = --self-test ]; then
    self_test
else
    check_tree "${1-$(cd "$(dirname "$0")/../.." && pwd)}"
fi
