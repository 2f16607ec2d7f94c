#!/bin/sh
# run.sh BUILD - installs what was built in BUILD into a folder of its own, and
# builds and runs programs outside of the source tree against that: with CMake,
# with pkg-config, shared and static, as C and as C++, and what README.md shows.
set -u
build=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
first=$root/apps/examples/first.c
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/moved
failures=0

# Runs a command; on failure shows what it said.
test_run() { # name, command...
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

prints() { # expected output, program...
    want=$1
    shift
    have=$("$@") || return
    [ "$have" = "$want" ] || {
        echo "expected '$want', got '$have'"
        return 1
    }
}

# The tree is moved after it was installed: nothing in it may know where it lay.
install_and_move() {
    cmake --install "$build" --prefix "$work/installed" && mv "$work/installed" "$prefix"
}
test_run install__into_a_prefix__succeeds install_and_move
libdir=$(dirname "$(find "$prefix" -name 'libcrew.so' | head -n 1)")
export PKG_CONFIG_PATH="$libdir/pkgconfig"
export LD_LIBRARY_PATH="$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

has_files() {
    for file in include/crew/crew.h share/doc/crew/README.md share/doc/crew/LICENSE \
        share/doc/crew/docs/GUIDE.md share/doc/crew/apps/examples/first.c \
        share/crew/cluster/templates/slurm-nodes.sh; do
        [ -f "$prefix/$file" ] || { echo "no $file" && return 1; }
    done
    for file in libcrew.so libcrew.so.0.1 libcrew.a pkgconfig/crew.pc cmake/crew/crewConfig.cmake; do
        [ -e "$libdir/$file" ] || { echo "no $file" && return 1; }
    done
}
test_run install__its_files__are_there has_files

names_no_build_path() {
    ! grep -rIlF -e "$build" -e "$root" "$prefix/include" "$libdir/pkgconfig" "$libdir/cmake"
}
test_run install__its_text_files__name_no_path_of_the_build names_no_build_path

exports_only_crew() {
    ! nm -D --defined-only "$libdir/libcrew.so" | awk '{ print $3 }' | grep -v '^crew_'
}
test_run install__shared_library__exports_crew_names_only exports_only_crew

needs_few() { # no MPI, no OpenMP runtime
    ! readelf -d "$libdir/libcrew.so" | grep NEEDED | grep -E 'mpi|omp'
}
test_run install__shared_library__needs_no_mpi_or_openmp needs_few

# ---- MPI --------------------------------------------------------------------

# Beside the library, knowing nothing of it, and found there by a program that ranks
# run, though the tree was moved.
module_is_alone() { # flavour
    [ -f "$libdir/libcrew-mpi-$1.so" ] || {
        echo "libcrew-mpi-$1.so is not installed"
        return 1
    }
    ! readelf -d "$libdir/libcrew-mpi-$1.so" | grep NEEDED | grep crew &&
        [ "$(nm -D --defined-only "$libdir/libcrew-mpi-$1.so" | awk '{ print $3 }' |
            grep -v '^crew_' | sort | tr '\n' ' ')" = "MPI_Finalize cw_mpi_module " ]
}
# The module's MPI_Finalize is found before MPI's own, which has the pool freed too late (module_own.c).
finalize_is_crews() { # program
    case $(readelf -d "$1" | grep NEEDED | grep -E -m 1 'libcrew-mpi|libmpi') in
    *libcrew-mpi*) ;;
    *)
        echo "$1 is linked with MPI before crew"
        return 1
        ;;
    esac
}
ranks() { # flavour, program, what it prints
    case $1 in
    openmpi)
        prints "$3" env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
            timeout 60 mpirun.openmpi --oversubscribe --mca mpi_yield_when_idle 1 -n 2 "$2"
        ;;
    mpich) prints "$3" timeout 60 mpiexec.mpich -n 2 "$2" ;;
    esac
}
for flavour in openmpi mpich; do
    if [ -f "$build/libcrew-mpi-$flavour.so" ]; then
        test_run "install__module_for_${flavour}__exports_its_table_and_needs_no_crew" \
            module_is_alone "$flavour"
    fi
done

# ---- CMake ------------------------------------------------------------------

consumer() {
    cmake -S "$root/tests/install/consumer" -B "$work/consumer" \
        -DCMAKE_PREFIX_PATH="$prefix" -DFIRST="$first" -DMPI="$root/tests/install/mpi.c" \
        -DCMAKE_BUILD_TYPE=Release &&
        cmake --build "$work/consumer"
}
test_run find_package__outside_project__builds consumer
for kind in shared static cxx; do
    test_run "find_package__first_program_${kind}__prints_its_sum" \
        prints 4900450500 "$work/consumer/first_$kind"
done

crewrun() {
    (cd "$work" && prints 4900450500 env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
        timeout 60 "$prefix/share/crew/cluster/crewrun" --oversubscribe -n 2 "$work/consumer/first_shared")
}
for flavour in openmpi mpich; do
    if [ -f "$build/libcrew-mpi-$flavour.so" ]; then
        test_run "install__first_program_as_ranks_of_${flavour}__prints_its_sum" \
            ranks "$flavour" "$work/consumer/first_shared" 4900450500
        if [ "$flavour" = openmpi ]; then
            test_run install__crewrun__runs_ranks_from_where_it_was_installed crewrun
        fi
        cp "$work/consumer/first_static" "$prefix/bin/first_static"
        test_run "install__static_crew_as_ranks_of_${flavour}__prints_its_sum" \
            ranks "$flavour" "$prefix/bin/first_static" 4900450500
        test_run "find_package__mpi_program_of_${flavour}__has_its_pool" \
            ranks "$flavour" "$work/consumer/mpi_$flavour" "332833500 1"
        test_run "find_package__mpi_program_of_${flavour}__frees_its_pool_in_MPI_Finalize" \
            finalize_is_crews "$work/consumer/mpi_$flavour"
    fi
done

# ---- pkg-config -------------------------------------------------------------

strict="-O2 -Wall -Wextra -Wpedantic -Werror"
# shellcheck disable=SC2046,SC2086 # several flags in one word are meant to be split
shared() {
    cc -std=c11 $strict "$first" $(pkg-config --cflags --libs crew) -o "$work/shared" &&
        prints 4900450500 "$work/shared"
}
test_run pkg_config__first_program__prints_its_sum shared

# shellcheck disable=SC2046,SC2086
cxx() {
    c++ -std=c++17 $strict -x c++ "$first" $(pkg-config --cflags --libs crew) -o "$work/cxx" &&
        prints 4900450500 "$work/cxx"
}
test_run pkg_config__first_program_as_cxx17__prints_its_sum cxx

# Programs that have MPI for themselves: with that MPI's wrapper, and without it.
# shellcheck disable=SC2046,SC2086
mpi_program() { # flavour, compiler
    "$2" -std=c11 $strict "$root/tests/install/mpi.c" \
        $(pkg-config --cflags --libs "crew-mpi-$1") -o "$work/mpi" &&
        finalize_is_crews "$work/mpi" && ranks "$1" "$work/mpi" "332833500 1"
}
# shellcheck disable=SC2046,SC2086
mpi_program_cxx() { # flavour
    c++ -std=c++17 $strict -Wno-cast-function-type -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX \
        -x c++ "$root/tests/install/mpi.c" -x none \
        $(pkg-config --cflags --libs "crew-mpi-$1") -o "$work/mpi" &&
        finalize_is_crews "$work/mpi" && ranks "$1" "$work/mpi" "332833500 1"
}
for flavour in openmpi mpich; do
    if [ -f "$build/libcrew-mpi-$flavour.so" ]; then
        for compiler in "mpicc.$flavour" cc c++; do
            command -v "$compiler" >/dev/null || continue
            title=pkg_config__mpi_program_by_${compiler}_with_${flavour}__has_its_pool
            if [ "$compiler" = c++ ]; then
                test_run "$title" mpi_program_cxx "$flavour"
            else
                test_run "$title" mpi_program "$flavour" "$compiler"
            fi
        done
    fi
done

# crew itself statically and hwloc as it comes: "pkg-config --static" asks for
# the static closure of hwloc too, which many systems install only in part.
# shellcheck disable=SC2046,SC2086
static() {
    cc -std=c11 $strict "$first" $(pkg-config --cflags crew) "$libdir/libcrew.a" \
        $(pkg-config --libs hwloc) -pthread -lm -o "$work/static" &&
        ! ldd "$work/static" | grep crew &&
        LD_LIBRARY_PATH='' prints 4900450500 "$work/static"
}
test_run static_link__first_program__prints_its_sum static

# Wholly static programs: no loader tells which function lies where.
# shellcheck disable=SC2046,SC2086
binary() { # -static or -static-pie
    cc -std=c11 -O2 $1 "$first" "$root/tests/install/udev.c" $(pkg-config --cflags crew) \
        "$libdir/libcrew.a" $(pkg-config --static --libs hwloc | sed 's/-ludev//') -pthread -lm \
        -o "$work/binary" || return
    if readelf -l "$work/binary" | grep -q INTERP; then
        echo "it is linked dynamically"
        return 1
    fi
    for backend in serial threads fork; do
        CREW_BACKEND=$backend prints 4900450500 "$work/binary" || return
    done
    for start in server spawn; do
        CREW_START=$start prints 4900450500 "$work/binary" || return
    done
}
for kind in -static -static-pie; do
    if [ -f "$(cc -print-file-name=libhwloc.a)" ]; then
        test_run "binary$(echo "$kind" | tr - _)__first_program__runs_on_every_backend" binary $kind
    else
        echo "skipped - binary $kind: there is no libhwloc.a"
    fi
done

# Parallel regions in tasks, under the runtime of each compiler that has one.
# shellcheck disable=SC2046,SC2086
openmp() { # compiler, what its runtime is called
    "$1" -std=c11 $strict -fopenmp "$root/tests/install/openmp.c" \
        $(pkg-config --cflags --libs crew) -o "$work/openmp" || return
    ldd "$work/openmp" | grep -q "$2" || {
        echo "it is not linked with $2"
        return 1
    }
    for backend in serial threads fork; do
        CREW_BACKEND=$backend prints 20825 "$work/openmp" || return
    done
    for start in server spawn; do
        CREW_START=$start prints 20825 "$work/openmp" || return
    done
}
has_openmp() {
    echo 'int main(void) { return 0; }' | "$1" -fopenmp -x c - -o "$work/has_openmp"
}
for pair in gcc:libgomp clang:libomp; do
    if has_openmp "${pair%:*}" 2>/dev/null; then
        test_run "openmp__in_tasks_with_${pair#*:}__on_every_backend" openmp "${pair%:*}" "${pair#*:}"
    fi
done

names_what_static_needs() {
    for flag in -lcrew -lhwloc -pthread -lm; do
        pkg-config --static --libs crew | tr ' ' '\n' | grep -qx -e "$flag" || {
            echo "no $flag"
            return 1
        }
    done
}
test_run pkg_config__static_libs__name_what_crew_needs names_what_static_needs

# ---- README.md --------------------------------------------------------------

# Its first block of C is a program, and the text block after it what it prints.
readme_says() {
    awk '/^```c$/ && !done { on = 1; next } /^```$/ { if (on) done = 1; on = 0 } on' \
        "$root/README.md" >"$work/readme.c"
    awk '/^```text$/ && !done { on = 1; next } /^```$/ { if (on) done = 1; on = 0 } on' \
        "$root/README.md" | grep -v '^\$' >"$work/readme.out"
    if [ ! -s "$work/readme.c" ] || [ ! -s "$work/readme.out" ]; then
        echo "README.md shows no program with its output"
        return 1
    fi
    # shellcheck disable=SC2046,SC2086
    cc -std=gnu11 $strict "$work/readme.c" $(pkg-config --cflags --libs crew) -o "$work/readme" ||
        return
    for backend in serial threads fork; do
        CREW_BACKEND=$backend prints "$(cat "$work/readme.out")" "$work/readme" || return
    done
}
test_run readme__its_program__prints_what_it_says readme_says

five_presets() {
    for preset in release debug asan tsan coverage; do
        (cd "$root" && cmake --preset "$preset" -B "$work/preset" -DCREW_TESTS=OFF) || return
        rm -rf "$work/preset"
    done
}
test_run presets__each_of_five__configures five_presets

# What is missing is installed with apt-get, by sudo where one is not root. All three
# are stand-ins here, as is the package.
as_user() { # uid, how often sudo is asked
    mkdir -p "$work/bin"
    echo "echo $1" >"$work/bin/id" # the shell runs a file without a first line
    echo 'echo "sudo $*" >>"$SAID" && exec "$@"' >"$work/bin/sudo"
    echo 'echo "apt-get $*" >>"$SAID"' >"$work/bin/apt-get"
    chmod +x "$work/bin/"*
    : >"$work/said"
    SAID=$work/said PATH=$work/bin:$PATH bash -c '. "$0"/cluster/lib/common.sh; need make no-such-package' "$root" || return
    grep -q '^apt-get install .*no-such-package$' "$work/said" || return
    [ "$(grep -c '^sudo' "$work/said")" = "$2" ]
}
test_run need__as_root__installs_what_is_missing as_user 0 0
test_run need__as_a_user__takes_sudo as_user 1000 2

# The first thing that anybody runs, from another folder.
quickstart() {
    (cd / && "$root/cluster/quickstart") >"$work/quick" || return
    [ "$(grep -c ' 664,579 primes' "$work/quick")" = 2 ] && grep -q 'speed-up' "$work/quick" &&
        grep -qE '^worker 0 +process [0-9]+ +on cpu ' "$work/quick" || {
        cat "$work/quick"
        return 1
    }
}
test_run quickstart__from_another_folder__counts_the_primes quickstart

# Statically linked: it needs no search path.
crew_program() {
    env -u LD_LIBRARY_PATH "$prefix/bin/crew" info && [ -f "$prefix/share/man/man1/crew.1" ]
}
test_run install__crew_program__runs_and_has_a_page crew_program
[ "$failures" -eq 0 ]
