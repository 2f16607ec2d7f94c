#!/usr/bin/env bash
# jobs.sh ROOT PRIMES JOB - programs of crew's as jobs of a real Slurm: they use what they were
# given, over one node and over two, by srun and by mpirun; and what is stopped, cancelled,
# requeued or lost with its node goes on from its journal. JOB is tests/cluster/job.c.
set -u
root=$1
primes=$2
program=$3
. "$root/tests/cluster/lib.sh"
templates=$root/cluster/templates
slurm=("$root/cluster/slurm" --name "jobs-$$")
at_end() {
    "${slurm[@]}" down
}
cd "$work" || exit 1
if [[ $(code "${slurm[@]}" up 2 --cpus 2 --while $$ --share "$(realpath "$(dirname "$primes")/..")") != 0 ]]; then
    skip jobs "$(head -n 1 "$work/err")"
    exit 0
fi

field() { # JOB NAME: of scontrol's
    "${slurm[@]}" do scontrol show job "$1" 2>/dev/null | grep -oE "\b$2=[^ ]*" | head -n 1 | cut -d= -f2
}
ended() {
    [[ $(field "$1" JobState) =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$ ]]
}
told() { # JOB: how Slurm says that it ended
    echo "$(field "$1" JobState) $(field "$1" ExitCode)"
}
# edited TEMPLATE NAME SED...: a copy of it for nodes of two cores, NAME.sh.
edited() {
    local template=$1 name=$2
    shift 2
    sed -E 's/(cpus-per-task|ntasks-per-node)=16/\1=2/' "$templates/$template.sh" | sed "$@" >"$name.sh"
}
submit() { # OPTION... FILE
    "${slurm[@]}" submit --parsable "$@" 2>>"$work/err"
}

# ---- what they are given they use ------------------------------------------------

# The processors that workers were bound to: "node1 0 node1 1 ...".
bound() { # FILE
    sed -nE 's/^crew: node ([0-9]+ \()?([a-z0-9]+)[):].*worker .* cpus (.*)$/\2 \3/p' "$1" | sort | paste -sd' '
}
export CREW_REPORT_BINDING=1 CREW_BIND=core
counts() { # NAME FILE WHERE
    local job
    job=$(submit -o "$work/$1.%j" "$2")
    check "jobs__$1__ends" yes "$(until_true 60 ended "$job")"
    check "jobs__$1__counts_primes" "COMPLETED 0:0 664579" "$(told "$job") $(grep -x '[0-9]*' "$work/$1.$job")"
    check "jobs__$1__has_a_worker_bound_to_each_core" "$3" "$(bound "$work/$1.$job")"
}
two_nodes="node1 0 node1 1 node2 0 node2 1"
edited slurm-node one -e "s|^program=.*|program=('$primes' 1 10^7)|"
counts one_node one.sh "node1 0 node1 1"
for template in slurm-nodes slurm-ranks; do
    edited "$template" "$template" -e "s|^program=.*|program=('$primes' 1 10^7)|"
    counts "$template-srun" "$template.sh" "$two_nodes"
done
edited slurm-nodes by_mpirun -e "s|^program=.*|program=('$primes' 1 10^7)|" \
    -e 's|^exec srun .*|exec mpirun.openmpi -q --map-by ppr:1:node --bind-to none "${program[@]}"|'
counts nodes_mpirun by_mpirun.sh "$two_nodes"
edited slurm-ranks by_mpirun -e "s|^program=.*|program=('$primes' 1 10^7)|" \
    -e 's|^exec srun .*|exec mpirun.openmpi -q --bind-to core "${program[@]}"|'
counts ranks_mpirun by_mpirun.sh "$two_nodes"
unset CREW_REPORT_BINDING CREW_BIND

# Several tasks that know nothing of each other are no managers.
check srun_without_pmi__is_refused no "$([[ $(code timeout 60 "${slurm[@]}" run --mpi=none -n 2 "$primes" 1 100) == 0 ]] && echo yes || echo no)"
check srun_without_pmi__says_why there "$(out 'each would be a manager of its own. Start them with srun --mpi=pmix')"
check srun_without_pmi__none_begins "" "$(cat "$work/out")"

# ---- what is stopped goes on -----------------------------------------------------

ms=20 sleepers=4 # of items, which sleep: so many at a time
script() { # NAME COUNT: a job over so many items on one core, NAME.sh
    cat >"$1.sh" <<TEXT
#!/bin/bash
export CREW_WORKERS=$sleepers
srun --mpi=none --ntasks=1 "$program" $2 $ms "$work/$1.ran" "$work/$1.crew"
TEXT
}
some() { # NAME COUNT: whether so many items have run
    [[ -e $1.ran && $(wc -l <"$1.ran") -ge $2 ]]
}
# Each item has run; those that ran twice were not durable yet when they were lost: what a
# second, and a little, of work is.
again() { # NAME COUNT
    local distinct all
    all=$(wc -l <"$1.ran")
    distinct=$(sort -u "$1.ran" | wc -l)
    if [[ $distinct -eq $2 && $((all - distinct)) -le $((2 * 1000 / ms * sleepers)) ]]; then
        echo few
    else
        echo "$distinct of $2 have run, $all times"
    fi
}
whole() { # COUNT: what the program says of all of them
    echo "all of $1: the sum is $(($1 * ($1 - 1) / 2))"
}

# Longer than its minute, in legs that --signal ends: it runs beside all the others.
legs=${CREW_TEST_LONG:+5}
chain_count=$((1000 / ms * sleepers * 21 * ${legs:-3}))
edited slurm-requeue requeue -e 's/cpus-per-task=2/cpus-per-task=1/' -e 's/--time=.*/--time=1/' \
    -e 's/--signal=.*/--signal=USR1@45/' -e 's/^export CREW_STOP_GRACE=.*/export CREW_STOP_GRACE=5/' \
    -e "s|^export CREW_JOURNAL=.*|export CREW_JOURNAL='$work/chain.journals'|" \
    -e "s|^export CREW_WORKERS=.*|export CREW_WORKERS=$sleepers|" \
    -e "s|^program=.*|program=('$program' $chain_count $ms '$work/chain.ran' '')|"
chain=$(submit -w node2 -o "$work/chain" requeue.sh)
check requeue__begins yes "$(until_true 30 some chain 1)"

count=600 # three seconds of work
script cancelled $count
job=$(submit -n 1 -w node1 -o "$work/cancelled" cancelled.sh)
check scancel__before yes "$(until_true 30 some cancelled 300)"
"${slurm[@]}" do scancel "$job"
check scancel__ends yes "$(until_true 20 ended "$job")"
check scancel__is_told CANCELLED "$(field "$job" JobState)"
check scancel__nothing_is_left yes "$(until_true 20 none_running "$work/cancelled.ran")"
job=$(submit -n 1 -w node1 -o "$work/cancelled.again" cancelled.sh)
check scancel__next_job_ends yes "$(until_true 30 ended "$job")"
check scancel__next_job_goes_on "COMPLETED 0:0 $(whole $count)" "$(told "$job") $(cat cancelled.again)"
check scancel__what_was_done_is_not_done_again few "$(again cancelled $count)"

script requeued $count
job=$(submit -n 1 -w node1 --requeue --open-mode=append -o "$work/requeued" requeued.sh)
check scontrol_requeue__before yes "$(until_true 30 some requeued 300)"
"${slurm[@]}" do scontrol requeue "$job"
pending() {
    [[ "$(field "$1" JobState) $(field "$1" Restarts)" =~ ^PENDING\ [1-9] ]]
}
check scontrol_requeue__is_told yes "$(until_true 30 pending "$job")"
# Slurm lets a requeued job wait for two minutes, unless told. Not before its last leg is gone
# from the node, or what that ends with is taken for the new one's; nor within the second in which
# that leg was ended: the node takes the new one's credential for that leg's, which it has revoked,
# and Slurm calls the job failed.
declare -A hurried=()
next_leg() { # JOB NODE
    ended "$1" && return
    local leg
    if pending "$1" && [[ $("${slurm[@]}" do sinfo -h -n "$2" -o %T) == idle ]]; then
        leg=$1.$(field "$1" Restarts)
        [[ -n ${hurried[$leg]-} ]] || "${slurm[@]}" do scontrol update JobId="$1" StartTime=now+2 &&
            hurried[$leg]=yes
    fi
    return 1
}
check scontrol_requeue__ends yes "$(until_true 60 next_leg "$job" node1)"
check scontrol_requeue__goes_on "COMPLETED 0:0 $(whole $count)" "$(told "$job") $(tail -n 1 requeued)"
check scontrol_requeue__what_was_done_is_not_done_again few "$(again requeued $count)"

script lost $count
job=$(submit -n 1 -w node1 --no-requeue -o "$work/lost" lost.sh)
check node_lost__before yes "$(until_true 30 some lost 300)"
check node_lost__is_killed 0 "$(code "${slurm[@]}" kill node1)"
check node_lost__ends yes "$(until_true 60 ended "$job")"
check node_lost__is_told NODE_FAIL "$(field "$job" JobState)"
job=$(submit -n 1 -w node2 -o "$work/lost.again" lost.sh)
check node_lost__next_job_ends yes "$(until_true 60 ended "$job")"
check node_lost__next_job_goes_on "COMPLETED 0:0 $(whole $count)" "$(told "$job") $(cat lost.again)"
check node_lost__what_was_done_is_not_done_again few "$(again lost $count)"

check requeue__ends yes "$(until_true $((120 + 60 * ${legs:-3})) next_leg "$chain" node2)"
check requeue__is_told "COMPLETED 0:0" "$(told "$chain")"
check requeue__is_whole 1 "$(grep -cx "$(whole $chain_count)" chain)"
check requeue__every_item_has_run_once "$chain_count $chain_count" "$(wc -l <chain.ran) $(sort -u chain.ran | wc -l)"
stopped=$(grep -c '^stopped by SIGUSR1 after [0-9,]* of [0-9,]* items' chain)
check requeue__was_stopped_and_requeued yes "$([[ $stopped -ge 2 ]] && echo yes || cat chain)"
check requeue__log_shows_each_leg "$((stopped + 1)) $stopped 1" \
    "$(grep -c '^leg .* begins' chain) $(grep -c '^leg .* ended with 85' chain) $(grep -c '^leg .* ended with 0' chain)"
if [[ $failures -ne 0 ]]; then
    # shellcheck disable=SC2016 # the name is Slurm's
    { cat chain; "${slurm[@]}" do bash -c 'grep -E "JobId=|rror" "${SLURM_CONF%/*}/slurmctld.log"'; } | tail -n 60 | sed 's/^/# /'
fi
[[ $failures -eq 0 ]]
