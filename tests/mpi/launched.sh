#!/usr/bin/env bash
# launched.sh PROGRAM - what somebody sees who starts a program of crew's (launched.c) with
# mpirun of Open MPI and mpiexec of MPICH: exit codes, what is printed beside, Ctrl-C, a pipe
# that is closed, and what is said where it is no job of ranks. Nothing is left of any.
set -u
program=$1
failures=0
work=$(mktemp -d)
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_orte_tmpdir_base=$work/session
export OMPI_MCA_btl_vader_backing_directory=$work/session
mkdir "$work/session"
token=CREW_LAUNCHED=$$.$work

processes() {
    grep -lzxF "$token" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
}
left() {
    processes
    find "$work/session" -mindepth 1 ! -type d
}
clean() {
    local pid
    for pid in $(processes); do
        kill -KILL "$pid"
    done
    rm -rf "$work"
}
trap clean EXIT

check() { # name, expected, actual
    if [[ $2 == "$3" ]]; then
        echo "ok - $1"
    else
        echo "not ok - $1: expected '$2', got '$3'"
        sed 's/^/# /' "$work/err" | head -n 20
        failures=$((failures + 1))
    fi
}

# Within 5 s, or $within.
until_true() {
    local deadline=$((SECONDS + ${within:-5}))
    until "$@"; do
        [[ $SECONDS -le $deadline ]] || return 1
        sleep 0.05
    done
}
no_processes() {
    [[ -z $(processes) ]]
}
nothing_left() {
    [[ -z $(left) ]]
}
check_left() {
    until_true nothing_left
    check "$1__nothing_is_left" "" "$(left)"
}

# said WORDS: whether any of these is in what was printed.
said() {
    if grep -qiE "$1" "$work/out" "$work/err"; then echo yes; else echo no; fi
}

start() {
    env "$token" timeout -k 5 30 "$@" >"$work/out" 2>"$work/err" </dev/null
}

# ends FLAVOUR NODES CODE_OF_A_CRASH LAUNCHER...
ends() {
    local name=$1.$2 crash=$3
    export CREW_TEST_NODES=$2
    shift 3
    start "$@" "$program" returns
    check "$name.returns__code" 3 $?
    check "$name.returns__says_nothing_of_crew" no "$(said 'abnormal|crew|killed')"
    check_left "$name.returns"
    start "$@" "$program" forgets
    check "$name.forgets__code" 0 $?
    check "$name.forgets__nobody_misses_a_finalize" "" "$(cat "$work/out" "$work/err")"
    check_left "$name.forgets"
    start "$@" "$program" crashes
    check "$name.crashes__code" "$crash" $?
    check "$name.crashes__no_trace_of_mpis" no "$(said 'received signal|caught signal|backtrace|crew')"
    check_left "$name.crashes"
}

is_over() {
    ! kill -0 "$1" 2>/dev/null
}
# What tasks of all nodes print comes once, in whole lines; and there is one bar.
prints() {
    local name=$1
    shift
    start env CREW_PROGRESS=1 "$@" "$program" prints
    check "$name.prints__code" 3 $?
    check "$name.prints__each_line_once" "$(seq -f 'a line of item %g' 0 49 | sort)" "$(sort "$work/out")"
    check "$name.prints__one_bar_that_ends_full" 1 "$(tr '\r' '\n' <"$work/err" | grep -c '^crew \[#*\] 100.0 % 50 of 50')"
}

all_begun() {
    [[ $(grep -c '^begun' "$work/out") -ge 2 ]]
}

# A terminal sends SIGINT to all of the process group, which set -m makes.
interrupted() {
    local name=$1 launched
    shift
    set -m
    env "$token" "$@" "$program" waits >"$work/out" 2>"$work/err" </dev/null &
    launched=$!
    set +m
    within=30 until_true all_begun
    check "$name.ctrl_c__before" 0 $?
    kill -INT -- "-$launched"
    until_true is_over "$launched"
    check "$name.ctrl_c__ends_it_soon" 0 $?
    kill -KILL -- "-$launched" 2>/dev/null
    wait "$launched" 2>/dev/null
    local code=$?
    # MPICH's mpiexec mostly says 0 then, of plain MPI programs, too.
    [[ $name == mpich* ]] || check "$name.ctrl_c__is_no_success" yes "$([[ $code -ne 0 ]] && echo yes)"
    check_left "$name.ctrl_c"
}

cut_off() {
    local name=$1 from=$SECONDS
    shift
    env "$token" timeout -k 5 30 "$@" "$program" talks 2>"$work/err" </dev/null | head -n 1 >"$work/out"
    check "$name.head__has_its_line" 1 "$(grep -c '^a line of item [0-9]*$' "$work/out")"
    check "$name.head__ends_it_soon" yes "$([[ $((SECONDS - from)) -le 10 ]] && echo yes)"
    until_true no_processes
    check "$name.head__no_process_is_left" "" "$(processes)"
    rm -rf "$work/session"/* # Open MPI's mpirun crashes itself of it (4.1.4), with any program
}

# refused NAME WORDS [SETTING...] COMMAND...: no manager begins, and it is said why, once a rank.
refused() {
    local name=$1 words=$2 code
    shift 2
    start env "$@"
    code=$?
    check "${name}__is_refused" 9 "$code"
    check "${name}__says_why" yes "$(said "$words")"
}

if ! command -v mpirun.openmpi >/dev/null || [[ ! -e $CREW_MPI_MODULE/libcrew-mpi-openmpi.so ]]; then
    echo "skipped - there is no Open MPI"
    exit 77
fi
openmpi=(mpirun.openmpi --bind-to none -n 3)
ends openmpi 0,0,1 139 "${openmpi[@]}"
prints openmpi.0,0,1 "${openmpi[@]}"
interrupted openmpi.0,0,1 "${openmpi[@]}"
cut_off openmpi.0,0,1 "${openmpi[@]}"
if command -v mpiexec.mpich >/dev/null && [[ -e $CREW_MPI_MODULE/libcrew-mpi-mpich.so ]]; then
    ends mpich 0,1 11 mpiexec.mpich -n 2
    interrupted mpich.0,1 mpiexec.mpich -n 2
fi
unset CREW_TEST_NODES
refused mpi__without_a_launcher "start it with mpirun -n 4 .*, or srun --mpi=pmix" CREW_BACKEND=mpi "$program"
refused srun__without_pmi "each would be a manager of its own. Start them with srun --mpi=pmix" \
    SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_STEP_NUM_TASKS=2 "$program"
refused mpirun__without_a_module "nor a folder with libcrew-mpi-openmpi.so" "CREW_MPI_MODULE=$work" \
    "${openmpi[@]}" "$program"
if unshare --mount true 2>/dev/null; then # as root
    refused window__without_room "is to have 16 MiB, and /dev/shm has 8.0 MiB free: make that larger" \
        CREW_SEGMENT=window unshare --mount \
        sh -c 'mount -t tmpfs -o size=8M none /dev/shm && exec "$@"' sh "${openmpi[@]}" "$program"
fi
[[ $failures -eq 0 ]]
