# shellcheck shell=bash disable=SC2154 # root, counts and slowness come from cluster/check
# stages.sh - what cluster/check runs. Each stage is a function stage_<name>; it
# writes its counts to the file $counts and says what it builds. Sourced by bash.

# What ctest is run with: a stage may put a command here.
launcher=()

# count LOG [ctest]: adds a log's tests to the stage's counts.
count() {
    awk -v expect_ctest="${2:+1}" -f "$root/cluster/lib/count.awk" "$1" >>"$counts"
}

# One test of the stage's own that failed, for what has no log to count.
failed() {
    say "FAILED: $*"
    echo "0 1 0" >>"$counts"
}

# build NAME CMAKE_ARGUMENT...: configures and builds build/check-NAME.
build() {
    local dir=$root/build/check-$1
    shift
    mkdir -p "$dir"
    if ! cmake -S "$root" -B "$dir" -DCREW_WERROR=ON "$@" >"$dir/configure.log" 2>&1; then
        tail -n 40 "$dir/configure.log"
        failed "configuring $dir"
        return 1
    fi
    if ! cmake --build "$dir" --parallel "$(cores)" >"$dir/build.log" 2>&1; then
        grep -E -A 8 'error|Error|undefined reference' "$dir/build.log" | head -n 60
        failed "building $dir (the rest is in $dir/build.log)"
        return 1
    fi
}

# Of what tests print: what failed, and what is said of it.
telling='\[  (ERROR|FAILED)|\[   LINE|\.c:[0-9]+: |not ok - |[0-9]: # |\*\*\*'
telling+='|ERROR: .*Sanitizer|WARNING: ThreadSan|runtime error'

# tests NAME LOG CTEST_ARGUMENT...: runs tests of build/check-NAME. Their output
# goes to a log, and to the terminal where something failed.
tests() {
    local dir=$root/build/check-$1 log=$root/build/check-$1/$2.log
    shift 2
    if ! (cd "$dir" && "${launcher[@]}" ctest -V --no-tests=error --output-junit "${log%.log}.xml" "$@") >"$log" 2>&1; then
        grep -E "$telling" "$log" | head -n 100
        say "The whole output is in $log"
    fi
    count "$log" ctest
}

# Two at a time: their bounds on time leave room for a loaded machine. What needs a
# machine of its own (emulated hosts, Slurm) goes one by one.
unit_tests() { # NAME
    tests "$1" unit -L '^(unit|sim)$' --parallel 2
}

app_tests() { # NAME
    tests "$1" apps -L '^apps$' --parallel 2
}

fault_tests() { # NAME CTEST_ARGUMENT...
    local name=$1
    shift
    tests "$name" fault -L '^fault$' --parallel 2 "$@"
}

conformance_tests() { # NAME CTEST_ARGUMENT...
    local name=$1
    shift
    tests "$name" conformance -L '^conformance$' --parallel 2 "$@"
}

stage_gcc() {
    build gcc -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release -DCREW_TEST_SLOWNESS="$slowness" || return
    unit_tests gcc
    tests gcc models -L '^models$'
    app_tests gcc
    conformance_tests gcc
    fault_tests gcc
}

# Both are installed by now, so a module that is not built is an error.
stage_mpi() {
    build gcc -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release -DCREW_TEST_SLOWNESS="$slowness" \
        -DCREW_MPI_OPENMPI=ON -DCREW_MPI_MPICH=ON || return
    tests gcc mpi -L '^mpi$' --parallel 2
    [[ -z ${CREW_TEST_LONG-} ]] || tests gcc mpi-long -L '^mpi_long$' --parallel 1
}

stage_clang() {
    build clang -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Release -DCREW_TEST_SLOWNESS="$slowness" || return
    unit_tests clang
    app_tests clang
    # Its runtime of OpenMP is another one, which tasks must bear on every backend.
    if ! ldd "$root/build/check-clang/tests/conformance/conformance_openmp_test" | grep -q libomp; then
        failed "the tests of OpenMP are not linked with libomp"
    fi
    conformance_tests clang -R '\.(threads|fork)$|\.openmp\.'
}

# What the sanitizers' stages do not run they need not build.
less=(-DCREW_APPS=OFF -DCREW_TESTS_MPI=OFF -DCREW_MPI_OPENMPI=OFF -DCREW_MPI_MPICH=OFF)

stage_asan() {
    # A sanitizer's shadow does not leave room for the largest segments.
    export CREW_SEGMENT_SIZE=${CREW_SEGMENT_SIZE-64G}
    export UBSAN_OPTIONS=print_stacktrace=1
    build asan -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 \
        -DCREW_SANITIZE=address,undefined -DCREW_TEST_SLOWNESS=$((2 * slowness)) "${less[@]}" || return
    unit_tests asan
    conformance_tests asan -R '\.(serial|threads|fork)$'
    fault_tests asan -E '\.(spawn|ranks)$'
}

stage_ubsan() {
    export UBSAN_OPTIONS=print_stacktrace=1
    build ubsan -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 \
        -DCREW_SANITIZE=undefined -DCREW_TEST_SLOWNESS="$slowness" "${less[@]}" || return
    unit_tests ubsan
    conformance_tests ubsan -R '\.(threads|fork)$'
}

stage_tsan() {
    export CREW_SEGMENT_SIZE=${CREW_SEGMENT_SIZE-64G}
    # The session forks its nursery, which is single-threaded.
    export TSAN_OPTIONS=die_after_fork=0
    # With much randomness in addresses this sanitizer finds its own region taken.
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        launcher=(setarch "$(uname -m)" -R)
    fi
    build tsan -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 \
        -DCREW_SANITIZE=thread -DCREW_TEST_SLOWNESS=$((2 * slowness)) "${less[@]}" || return
    unit_tests tsan
    # It sees races between threads only, and no runtime of OpenMP tells it how its
    # threads wait for each other.
    conformance_tests tsan -R '\.(serial|threads)$' -E '\.openmp\.'
}

# script LOG COMMAND...: a test script that prints "ok - " and "not ok - ".
script() {
    local log=$root/build/$1.log
    shift
    mkdir -p "$root/build"
    if ! "$@" >"$log" 2>&1; then
        grep -E '^(#|not ok)' "$log" || tail -n 20 "$log"
        grep -q '^not ok - ' "$log" || echo "not ok - $*" >>"$log"
    fi
    grep '^# warning' "$log"
    count "$log"
}

stage_install() {
    build gcc -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release -DCREW_TEST_SLOWNESS="$slowness" || return
    script check-install sh "$root/tests/install/run.sh" "$root/build/check-gcc"
}

stage_headers() {
    script check-headers sh "$root/tests/install/headers.sh"
}

stage_structure() {
    script check-structure sh "$root/tests/structure/check.sh"
    script check-structure-self sh "$root/tests/structure/check.sh" --self-test
}

stage_cluster() {
    build gcc -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release -DCREW_TEST_SLOWNESS="$slowness" || return
    tests gcc cluster -L '^cluster$' --parallel 1
}
