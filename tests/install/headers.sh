#!/bin/sh
# headers.sh - every public header by itself, as C11 and as C++17, and all of them with
# their macros and every name of the interface (interface.c) in the standards since, with
# the compilers there are. crew/mpi.h is looked at with each MPI there is. At last the
# blocks of C in the documents.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
warnings="-Wall -Wextra -Wpedantic -Werror"

# Option structs can be left empty, and every macro makes a task.
cat >"$work/user.h" <<'C'
#include <crew/crew.h>
struct point {
    double x, y;
};
static double twice(double x) {
    return 2 * x;
}
CREW_TASK(twice, double, double)
static struct point turned(struct point p) {
    struct point q = {p.y, p.x};
    return q;
}
CREW_TASK(turned, struct point, struct point)
static void nothing(int x) {
    (void)x;
}
CREW_TASK_VOID(nothing, int)
static int half(const int *in, double *out) {
    *out = *in / 2.0;
    return 0;
}
CREW_TASK_REF(half, double, int)
static double scaled(double x, const double *by) {
    return x * *by;
}
CREW_TASK_WITH(scaled, double, double, double)
static double added(double a, int b) {
    return a + b;
}
CREW_TASK2(added, double, double, int)
static double three(double a, int b, char c) {
    return a + b + c;
}
CREW_TASK3(three, double, double, int, char)
static double four(double a, int b, char c, struct point d) {
    return a + b + c + d.x;
}
CREW_TASK4(four, double, double, int, char, struct point)
static double five(double a, int b, char c, struct point d, float e) {
    return a + b + c + d.x + e;
}
CREW_TASK5(five, double, double, int, char, struct point, float)
static int64_t six(int a, int b, int c, int d, int e, int64_t f) {
    return a + b + c + d + e + f;
}
CREW_TASK6(six, int64_t, int, int, int, int, int, int64_t)
C
printf '#include "user.h"\nint use(crew_pool *p);\nint use(crew_pool *p) {\n%s\n%s\n%s\n%s\n}\n' \
    '    double in[2] = {1, 2}, out[2];' \
    '    crew_error err;' \
    '    const crew_map_opts opts = CREW_EMPTY;' \
    '    return crew_map(p, twice_task, in, 2, out, &opts, &err);' >"$work/user.c"

cat >"$work/mpi.c" <<'C'
#include <crew/mpi.h>
int use(void);
int use(void) {
    int (*pool)(MPI_Comm, int, const crew_pool_opts *, crew_pool **, crew_error *) = crew_mpi_pool;
    MPI_Comm (*comm)(crew_call *) = crew_call_comm;
    return pool && comm;
}
C

compile() { # name, command...
    title=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        echo "ok - $title"
    else
        sed 's/^/# /' "$work/log"
        echo "not ok - $title"
        failures=$((failures + 1))
    fi
}

# A pointer as an item would mean nothing in another process: in no macro does it
# compile, and the compiler says why.
# shellcheck disable=SC2086
refused() { # compiler and flags
    while read -r program; do
        printf '#include <crew/crew.h>\n%s\n' "$program" >"$work/pointer.c"
        if $1 "$work/pointer.c" 2>"$work/refusal"; then
            echo "it was taken: $program"
            return 1
        fi
        grep -q 'a pointer cannot travel to another process' "$work/refusal" || {
            cat "$work/refusal"
            return 1
        }
    done <<'C'
static int f(char *s) { return *s; } CREW_TASK(f, int, char *)
static void f(char *s) { (void)s; } CREW_TASK_VOID(f, char *)
static int f(char *const *s, int *o) { *o = **s; return 0; } CREW_TASK_REF(f, int, char *)
static int f(char *s, const int *c) { return *s + *c; } CREW_TASK_WITH(f, int, char *, int)
static int f(char *s, int a) { return *s + a; } CREW_TASK2(f, int, char *, int)
static int f(int a, int b, char *s) { return a + b + *s; } CREW_TASK3(f, int, int, int, char *)
C
}

# shellcheck disable=SC2086 # several flags in one word
for compiler in gcc clang; do
    command -v "$compiler" >/dev/null || continue
    case $compiler in gcc) cxx=g++ ;; *) cxx=clang++ ;; esac
    for header in "$root"/include/crew/*.h; do
        name=$(basename "$header")
        [ "$name" = mpi.h ] && continue
        printf '#include <crew/%s>\n#include <crew/%s>\ntypedef int not_empty;\n' "$name" "$name" \
            >"$work/one.c"
        compile "headers__${name}_as_c11__compiles_alone_with_$compiler" \
            $compiler -std=c11 $warnings -I"$root/include" -fsyntax-only "$work/one.c"
        compile "headers__${name}_as_cxx17__compiles_alone_with_$cxx" \
            $cxx -std=c++17 $warnings -I"$root/include" -fsyntax-only -x c++ "$work/one.c"
    done
    for std in c11 c17 c2x c++17 c++20; do
        case $std in
        c++*) with="$cxx -x c++" empty='{}' ;;
        *) with=$compiler empty='{0}' ;;
        esac
        compile "headers__every_macro_as_${std}__compiles_with_$compiler" \
            $with -std=$std $warnings "-DCREW_EMPTY=$empty" -I"$root/include" -fsyntax-only \
            "$work/user.c"
        compile "headers__every_name_as_${std}__has_its_type_with_$compiler" \
            $with -std=$std $warnings -I"$root/include" -fsyntax-only "$here/interface.c"
    done
    for mpi in openmpi mpich; do
        command -v "mpicc.$mpi" >/dev/null || continue
        for std in c11 c2x; do
            compile "headers__mpi_as_${std}__compiles_with_${compiler}_and_$mpi" \
                env OMPI_CC=$compiler MPICH_CC=$compiler "mpicc.$mpi" -std=$std $warnings -Wno-unused-command-line-argument \
                -I"$root/include" -fsyntax-only "$work/mpi.c"
        done
    done

    compile "headers__pointer_item_as_c11__is_refused_by_$compiler" \
        refused "$compiler -std=c11 -I$root/include -fsyntax-only"
    compile "headers__pointer_item_as_cxx17__is_refused_by_$cxx" \
        refused "$cxx -std=c++17 -I$root/include -fsyntax-only -x c++"
done

# The blocks of C in the documents: each is a whole file.
for page in "$root"/README.md "$root"/apps/README.md "$root"/docs/*.md; do
    awk -v name="$work/block" '/^```c$/ { on = 1; n++; next } /^```$/ { on = 0 }
        on { print >(name n ".c") }' "$page"
    for block in "$work"/block*.c; do
        [ -f "$block" ] || continue
        compiler=gcc
        if grep -q 'crew/mpi\.h' "$block"; then compiler=mpicc; fi
        if command -v "$compiler" >/dev/null; then
            # shellcheck disable=SC2086 # several flags in one word
            compile "documents__$(basename "$page" .md)_$(basename "$block" .c)__compiles" $compiler -std=gnu11 \
                $warnings -Wno-unused-function -I"$root/include" -fsyntax-only "$block"
        fi
        rm "$block"
    done
done
[ "$failures" -eq 0 ]
