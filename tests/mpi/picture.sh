#!/bin/sh
# picture.sh UNDER CREW - `crew info` and CREW_REPORT_BINDING=1 over three nodes of one rank
# and of two: one picture of all of them, printed once.
set -u
under=$1
crew=$2
suite=
. "$(dirname "$0")/../apps/check.sh"

# Of hosts' names nothing is known.
plain() {
    sed -E 's/(node [0-9]+ )\([^)]*\)/\1(name)/' "$@"
}

for config in nodes3:3:1 nodes3x2:6:2; do
    under_what=${config%%:*}
    ranks=${config#*:}
    ranks=${ranks%:*}
    each=${config##*:}
    CREW_WORKERS=12 CREW_BIND=none CREW_REPORT_BINDING=1 "$under" "$under_what" "$crew" info \
        >"$work/out" 2>"$work/err"
    ended=$?
    [ "$ended" -eq 77 ] && cat "$work/out" && exit 77
    check "$under_what: crew info is a success" 0 "$ended"
    if [ "$under_what" = nodes3 ]; then
        CREW_ONE_SIDED=off CREW_WORKERS=3 CREW_REPORT_BINDING=1 "$under" nodes3 "$crew" info 2>&1 |
            grep '^crew: arrays' >"$work/arrays"
        check "nodes3: and why they do not come one-sided" \
            "crew: arrays on other nodes: by messages: CREW_ONE_SIDED=off" "$(cat "$work/arrays")"
    fi
    check "$under_what: is printed once" 1 "$(grep -c '^Machine ' "$work/out")"
    check "$under_what: tells of the job" \
        "Job        $ranks ranks on 3 nodes" "$(grep '^Job' "$work/out" | cut -d';' -f1)"
    {
        echo "A pool that is opened now: mpi, 12 workers, bind none"
        rank=0
        workers=$((12 / ranks))
        for node in 0 1 2; do
            echo "  node $node (name)"
            for _ in $(seq "$each"); do
                first=$((rank * workers))
                printf '    rank %-5d worker %-9s not bound\n' "$rank" \
                    "$first-$((first + workers - 1))"
                rank=$((rank + 1))
            done
        done
    } >"$work/want"
    sed -n '/^A pool/,/^$/p' "$work/out" | plain | sed -E '/^$/d; s/ \([0-9]+ cores?\)$//' \
        >"$work/have"
    check "$under_what: shows all nodes, ranks and workers" "" "$(diff "$work/want" "$work/have")"
    # Of the pool that crew info opens to try whether it works.
    check "$under_what: the binding is told of every worker" 12 \
        "$(grep -c '^crew: node [0-2] (.*), rank [0-9]: worker [ 0-9]* of 12: cpus any$' "$work/err")"
    check "$under_what: and how arrays come from other nodes" \
        "crew: arrays on other nodes: one-sided (MPI_Rget)" "$(grep '^crew: arrays' "$work/err")"
    check "$under_what: in order" "" "$(grep '^crew: node' "$work/err" |
        sed 's/.*worker *\([0-9]*\) .*/\1/' | sort -nc 2>&1)"
done
[ "$failures" -eq 0 ]
