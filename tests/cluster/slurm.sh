#!/usr/bin/env bash
# slurm.sh ROOT - cluster/slurm: Slurm runs MPI programs on emulated nodes, tells how jobs ended,
# and nothing is left of it.
set -u
root=$1
. "$root/tests/cluster/lib.sh"
name=test-$$
slurm=("$root/cluster/slurm" --name "$name")
base=${XDG_RUNTIME_DIR:-/tmp}
[[ -w $base ]] || base=/tmp
state=$base/crew-slurm-$(id -u)/$name
at_end() {
    "${slurm[@]}" down
}
compile cluster_slurm
cd "$work" || exit 1

begin=$SECONDS
got=$(code "${slurm[@]}" up 2 --while $$)
if [[ $got == 77 ]]; then
    skip cluster_slurm "$(head -n 1 "$work/err")"
    exit 0
fi
check slurm__two_nodes__come_up 0 "$got"
check slurm__two_nodes__come_up_in_20_s yes "$([[ $((SECONDS - begin)) -le 20 ]] && echo yes || echo no)"
check slurm__nodes__are_idle "node1 idle|node2 idle" "$("${slurm[@]}" do sinfo -h -N -o '%N %T' | sort | paste -sd'|')"

two_on_each="node1 0 of 2|node1 1 of 2|node2 0 of 2|node2 1 of 2"
where() { # of a file that "plain nodes" wrote
    sed -n 's/^\(node[0-9]\): .*, \(.*\) there$/\1 \2/p' "$1" | sort | paste -sd'|'
}
check run__srun_pmix__runs 0 "$(code timeout 60 "${slurm[@]}" run --mpi=pmix -N 2 --ntasks-per-node=2 --overcommit "$plain" nodes)"
check run__srun_pmix__one_shared_memory_a_node "$two_on_each" "$(where "$work/out")"
check run__exit_code__comes_through 3 "$(code timeout 60 "${slurm[@]}" run --mpi=pmix -N 2 "$plain" code 3)"

# batch OPTION... : sbatch of what is on standard input; its id.
batch() {
    cat >"$work/job.sh"
    "${slurm[@]}" submit --parsable -o "$work/job.%j" --open-mode=append "$@" "$work/job.sh" 2>>"$work/err"
}
field() { # JOB NAME: of scontrol's
    "${slurm[@]}" do scontrol show job "$1" 2>/dev/null | grep -oE "\b$2=[^ ]*" | cut -d= -f2
}
ended() {
    [[ $(field "$1" JobState) =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$ ]]
}

job=$(batch -N 2 --ntasks-per-node=2 --overcommit <<TEXT
#!/bin/bash
mpirun.openmpi --oversubscribe --bind-to none "$plain" nodes
TEXT
)
check submit__mpirun_in_a_batch_job__ends yes "$(until_true 60 ended "$job")"
check submit__mpirun_in_a_batch_job__one_shared_memory_a_node "$two_on_each" "$(where "$work/job.$job")"
check submit__mpirun_in_a_batch_job__is_told "COMPLETED 0:0" "$(field "$job" JobState) $(field "$job" ExitCode)"

job=$(batch -N 1 <<TEXT
#!/bin/bash
srun --mpi=pmix "$plain" code 85
TEXT
)
check submit__exit_code__ends yes "$(until_true 60 ended "$job")"
check submit__exit_code__is_told "FAILED 85:0" "$(field "$job" JobState) $(field "$job" ExitCode)"

job=$(batch -N 2 <<TEXT
#!/bin/bash
srun --mpi=pmix "$plain" wait "$work/never" 0
TEXT
)
check submit__scancel__before yes "$(until_true 30 lines 2 waiting "$work/job.$job")"
"${slurm[@]}" do scancel "$job"
check submit__scancel__ends_the_job yes "$(until_true 20 ended "$job")"
check submit__scancel__is_told CANCELLED "$(field "$job" JobState)"
check submit__scancel__no_rank_is_left yes "$(until_true 20 none_running "$plain wait")"

job=$(batch -N 2 --no-requeue <<TEXT
#!/bin/bash
srun --mpi=pmix "$plain" wait "$work/never" 0
TEXT
)
check kill__a_node__before yes "$(until_true 30 lines 2 waiting "$work/job.$job")"
check kill__a_node__is_done 0 "$(code "${slurm[@]}" kill node2)"
check kill__a_node__ends_the_job yes "$(until_true 60 ended "$job")"
check kill__a_node__is_told NODE_FAIL "$(field "$job" JobState)"

background "$work/step" "${slurm[@]}" run -N 1 sleep 1000
step=$last
check down__before__a_step_runs yes "$(until_true 20 sh -c "\"$root/cluster/slurm\" --name $name on node1 sh -c 'grep -ls sleep /proc/[0-9]*/comm'")"
check down__in_use__is_ended 0 "$(code timeout 10 "${slurm[@]}" down)"
end_of "$step" 5
check down__a_step__was_ended yes "$([[ $ended =~ ^[1-9][0-9]*$ ]] && echo yes || echo "$ended")"
check down__files__none_is_left no "$([[ -e $state ]] && echo yes || echo no)"
check down__processes__none_is_left none "$(running "$state")"
check down__mounts__none_is_left 0 "$(grep -cF "$state" /proc/self/mountinfo)"

cycles=0
for _ in 1 2 3 4 5; do
    "${slurm[@]}" up 2 --while $$ && [[ $("${slurm[@]}" run -N 2 uname -n | sort | paste -sd' ') == "node1 node2" ]] &&
        "${slurm[@]}" down && none_running "$state" && [[ ! -e $state ]] && cycles=$((cycles + 1))
done
check slurm__up_and_down_5_times__nothing_is_left 5 "$cycles"
[[ $failures -eq 0 ]]
