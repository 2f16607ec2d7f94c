#!/bin/sh
# queue.sh ROOT - has spin go through all states of src/share/queue.pml, for a few
# sizes; then breaks the model, to see that this is found. 77: there is no spin.
set -u
LC_ALL=C
export LC_ALL
root=$1
for tool in spin "${CC:-cc}"; do
    command -v "$tool" >/dev/null || {
        echo "skipped: there is no $tool"
        exit 77
    }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# Prints how many errors there are and how many states; fails if it did not get
# to the end.
explore() { # model, options...
    model=$1
    shift
    rm -f pan*
    spin -a "$@" "$model" >spin.out 2>&1 &&
        "${CC:-cc}" -w -O2 -DSAFETY $compress -o pan pan.c || {
        cat spin.out
        return 1
    }
    ./pan -m200000 >pan.out 2>&1
    if grep -qE 'max search depth too small|out of memory|aborted' pan.out; then
        cat pan.out
        return 1
    fi
    sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.out
    sed -n 's/^ *\([0-9e+.]*\) states, stored.*/\1/p' pan.out
}

compress=
[ "${CREW_TEST_LONG:-0}" = 1 ] && compress=-DCOLLAPSE
failed=0
holds() { # options...
    found=$(explore "$root/src/share/queue.pml" "$@") || found="none"
    set -- $found -- "$@"
    if [ "$1" = 0 ]; then
        echo "ok - $2 states:$(shift 3 && printf ' %s' "$@")"
    else
        cat pan.out
        echo "not ok - $*"
        failed=1
    fi
}

breaks() { # what is broken, sed script
    sed "$2" "$root/src/share/queue.pml" >broken.pml
    if cmp -s broken.pml "$root/src/share/queue.pml"; then
        echo "not ok - the model has changed: $1"
        failed=1
        return
    fi
    found=$(explore broken.pml -DPUTTERS=1 -DN=1 -DEACH=3) || found="none"
    case $found in
    0* | none)
        echo "not ok - not found: $1"
        failed=1
        ;;
    *) echo "ok - found: $1" ;;
    esac
}

holds -DPUTTERS=1 -DN=1 -DEACH=3
holds -DPUTTERS=2 -DN=1 -DEACH=1
if [ "${CREW_TEST_LONG:-0}" = 1 ]; then
    holds -DPUTTERS=2 -DN=2 -DEACH=2
    holds -DPUTTERS=1 -DN=2 -DEACH=5
    holds -DPUTTERS=1 -DGETTERS=2 -DN=1 -DEACH=3
    holds -DPUTTERS=1 -DN=1 -DEACH=3 -DDEATHS=2
fi
breaks "a burial that leaves the chunks as they are" '/^        settle();$/d'
breaks "a burial that frees a block which the queue has" 's/tail >= putting/tail > putting/'
breaks "a burial that frees a block which was not taken yet" 's/head < taking/head + 1 < taking/'
breaks "a getter that moves on from a chunk after its message" \
    's/:: head % N == 0 \&\& number\[here\] != head/:: head % N == 9 \&\& number[here] != head/'
breaks "chunks taken from under the getter" 's/:: first != here -> detach_first/:: first != last -> detach_first/'
breaks "the link before the chunk is empty" 's/^    next\[fresh\] = 0;$/    skip;/'
exit $failed
