#!/bin/sh
# static.sh ROOT CC - a program that is linked statically says that it cannot load a
# module. (The linker warns that it uses dlopen: that is what this is about.) 77: this
# system has no libraries to link statically.
set -u
root=$1
cc=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 'int main(void) { return 0; }' >"$work/nothing.c"
"$cc" -static "$work/nothing.c" -o "$work/nothing" 2>/dev/null || {
    echo "skipped - $cc links nothing statically here"
    exit 77
}
"$cc" -std=gnu11 -D_GNU_SOURCE -DCREW_LIBDIR='"/nowhere"' -DCREW_BIN_TO_LIB='"../lib"' -static \
    -I"$root/src" -I"$root/include" "$root/tests/mpi/loading.c" "$root/src/backend/mpi/load.c" \
    "$root/src/base/error.c" -o "$work/loading" >"$work/log" 2>&1 || {
    sed 's/^/# /' "$work/log"
    echo "not ok - load__static_program__says_that_it_cannot"
    exit 1
}
said=$("$work/loading")
case $said in
*"which is statically linked and so cannot load libcrew-mpi-openmpi.so"*)
    echo "ok - load__static_program__says_that_it_cannot"
    ;;
*)
    echo "# it says: $said"
    echo "not ok - load__static_program__says_that_it_cannot"
    exit 1
    ;;
esac
