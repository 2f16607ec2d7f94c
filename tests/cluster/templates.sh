#!/usr/bin/env bash
# templates.sh ROOT PRIMES - cluster/templates: what is to be edited is marked, directives are
# documented ones, and the jobs run: Slurm's on a real Slurm, the others' under a plain shell
# with their system's environment, on emulated hosts where they want several.
set -u
root=$1
primes=$2
. "$root/tests/cluster/lib.sh"
templates=$root/cluster/templates
slurm=("$root/cluster/slurm" --name "test-$$")
hosts=("$root/cluster/hosts" --name "test-$$")
at_end() {
    "${slurm[@]}" down
    "${hosts[@]}" down
}
build=$(realpath "$(dirname "$primes")/..")
compile templates
cd "$work" || exit 1

# ---- what is written ------------------------------------------------------------

# Options of each system that the documentation named in the file has.
declare -A prefix=([slurm]='#SBATCH' [pbs]='#PBS' [lsf]='#BSUB' [gridengine]='#\$')
declare -A known=(
    [slurm]='--((job-name|cpus-per-task|time|partition|nodes|ntasks|ntasks-per-node|output|array|signal|open-mode)=[^ ]+|requeue)$'
    [pbs]='-(N [a-z]+|l (select=[0-9]+:ncpus=[0-9]+:mpiprocs=[0-9]+|walltime=[0-9:]+|place=scatter)|q [a-z]+|j oe)$'
    [lsf]='-(J [a-z]+|n [0-9]+|R "span\[ptile=[0-9]+\]"|W [0-9]+|wt [0-9]+|wa [A-Z0-9]+|q [a-z]+|o [a-z]+\.%J\.out)$'
    [gridengine]='-(N [a-z]+|pe [a-z]+ [0-9]+|l [hs]_rt=[0-9:]+|q [a-z.]+|cwd|S /bin/bash|j y)$'
)

# Lines that only the user can know, without EDIT above them.
unmarked() { # FILE
    awk '/^# EDIT: / { marked = NR }
        /time=|-W |h_rt|partition|-q |program=|select=|-n [0-9]|-pe |ptile|cpus-per-task=[0-9][0-9]|nodes=2|array=|^hosts=|^items=/ {
            if (!/^# / && !/srun/ && NR - marked > 2) print NR ": " $0
        }' "$1"
}

for file in "$templates"/*.sh; do
    name=$(basename "$file" .sh)
    system=${name%%-*}
    check "template__${name}__is_bash" 0 "$(code bash -n "$file")"
    check "template__${name}__marks_what_is_to_be_edited" "" "$(unmarked "$file")"
    check "template__${name}__says_where_it_is_documented" yes "$(grep -q '^# .*https://' "$file" && echo yes)"
    [[ -n ${prefix[$system]-} ]] || continue
    check "template__${name}__has_directives" yes "$(grep -cE "^${prefix[$system]} " "$file" | grep -qv '^0$' && echo yes)"
    check "template__${name}__has_documented_directives_only" "" \
        "$(grep -E "^#?${prefix[$system]} " "$file" | grep -vE "^#?${prefix[$system]} ${known[$system]}")"
    check "template__${name}__has_directives_before_commands" "" \
        "$(awk '/^[^#]/ { begun = 1 } begun' "$file" | grep -E "^${prefix[$system]} ")"
done

# The commands of a container recipe, as a shell would read them.
shell_of() {
    case $1 in
    *Dockerfile) sed -n '/^RUN /,/[^\\]$/p' "$1" | sed 's/^RUN //' ;;
    *) awk '/^%/ { inside = /^%(post|runscript)/; next } inside' "$1" ;;
    esac
}
for file in "$templates/Dockerfile" "$templates/crew.def"; do
    name=$(basename "$file")
    shell_of "$file" >"$work/commands"
    check "template__${name}__builds_crew" yes "$(grep -q 'cmake --install' "$work/commands" && echo yes)"
    check "template__${name}__is_shell" 0 "$(code sh -n "$work/commands")"
    check "template__${name}__marks_what_is_to_be_edited" yes "$(grep -q '# EDIT: ' "$file" && echo yes)"
    check "template__${name}__says_where_it_is_documented" yes "$(grep -q '^# .*https://' "$file" && echo yes)"
done
check template__Dockerfile__has_known_instructions "" \
    "$(grep -vE '^(#|$| )|\\$' "$templates/Dockerfile" | grep -vE '^(FROM|RUN|COPY|CMD) |^[[:space:]]')"
check template__crew.def__has_known_sections "files post runscript" "$(grep -oE '^%[a-z]+' "$templates/crew.def" | tr -d % | sort | paste -sd' ')"

# ---- under a plain shell --------------------------------------------------------

# edited TEMPLATE WORD...: a copy of it with another program.
edited() {
    local template=$1
    shift
    sed "s|^program=.*|program=($(printf '%q ' "$@"))|" "$templates/$template.sh" >"$work/$template.sh"
}
printf '#!/bin/sh\necho "$CREW_WORKERS"\n' >workers # a program that says how many it may have
chmod +x workers
: >nodefile
for _ in 1 2; do echo localhost >>nodefile; done
echo "localhost 2 all.q@localhost UNDEFINED" >pe_hostfile
mkdir -p tmpdir
declare -A environment=(
    [pbs]="PBS_O_WORKDIR=$work PBS_NODEFILE=$work/nodefile NCPUS=2"
    [lsf]="LSB_DJOB_HOSTFILE=$work/nodefile LSB_DJOB_NUMPROC=2"
    [gridengine]="PE_HOSTFILE=$work/pe_hostfile NSLOTS=2 TMPDIR=$work/tmpdir"
)
for system in pbs lsf gridengine; do
    edited "$system" "$primes" 1 10^6
    # shellcheck disable=SC2086 # several words
    check "template__${system}__runs_on_one_node" "0 78498" \
        "$(code env ${environment[$system]} bash "$work/$system.sh") $(cat "$work/out")"
    # What is told to take longer than a job: its lines without the #, and it goes on.
    sed -i -E 's/^#export CREW_JOURNAL/export CREW_JOURNAL/; s/CREW_TIME_LIMIT=[0-9:]+/CREW_TIME_LIMIT=1/' "$work/$system.sh"
    check "template__${system}__can_have_a_journal" 1 "$(grep -c '^export CREW_JOURNAL' "$work/$system.sh")"
    for leg in first second; do
        # shellcheck disable=SC2086
        check "template__${system}__${leg}_leg_with_a_journal" "0 78498" \
            "$(code env ${environment[$system]} LS_SUBCWD="$work" bash "$work/$system.sh") $(cat "$work/out")"
    done
    check "template__${system}__leaves_a_journal" yes "$([[ -s journal/1 ]] && echo yes)"
    rm -rf journal
    edited "$system" "$work/workers"
    # shellcheck disable=SC2086
    check "template__${system}__takes_the_workers_there_are" 2 "$(env ${environment[$system]} bash "$work/$system.sh")"
done

# ---- several hosts --------------------------------------------------------------

one_on_each="h0 0 of 1|h1 0 of 1"
where() {
    sed -n 's/^\([a-z]*[0-9]\): .*, \(.*\) there$/\1 \2/p' "$1" | sort | paste -sd'|'
}
if [[ $(code "${hosts[@]}" up 2 --while $$ --share "$build") == 0 ]]; then
    printf '%s\n' h0 h0 h1 h1 >nodefile
    printf '%s 2 all.q@%s UNDEFINED\n' h0 h0 h1 h1 >pe_hostfile
    environment[lsf]="LSB_DJOB_HOSTFILE=$work/nodefile LSB_DJOB_NUMPROC=4"
    environment[gridengine]="PE_HOSTFILE=$work/pe_hostfile NSLOTS=4 TMPDIR=$work/tmpdir"
    environment[mpirun]="CREW_WORKERS=4"
    for system in pbs lsf gridengine mpirun; do
        edited "$system" "$plain" nodes
        [[ $system != mpirun ]] || sed -i '/^hosts="/,/"$/c hosts="h0\nh1"' "$work/mpirun.sh"
        # shellcheck disable=SC2086
        check "template__${system}__runs_on_several_nodes" "0 $one_on_each" \
            "$(code timeout 60 "${hosts[@]}" on head env OMPI_MCA_plm_rsh_agent=/tmp/.cluster/agent \
                ${environment[$system]} bash "$work/$system.sh") $(where "$work/out")"
        sed -i "s|^program=.*|program=($work/workers)|" "$work/$system.sh"
        # shellcheck disable=SC2086
        check "template__${system}__tells_every_rank_of_all_workers" "4 4" \
            "$(timeout 60 "${hosts[@]}" on head env OMPI_MCA_plm_rsh_agent=/tmp/.cluster/agent \
                ${environment[$system]} bash "$work/$system.sh" 2>/dev/null | paste -sd' ')"
    done
    "${hosts[@]}" down
else
    skip templates__several_nodes "$(head -n 1 "$work/err")"
fi

# ---- Slurm ----------------------------------------------------------------------

if [[ $(code "${slurm[@]}" up 2 --cpus 2 --while $$ --share "$build") != 0 ]]; then
    skip templates__slurm "$(head -n 1 "$work/err")"
    exit $((failures > 0))
fi
ended() {
    "${slurm[@]}" do scontrol show job "$1" | grep -oE 'JobState=[A-Z_]+' |
        grep -vE '=(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$' && return 1
    return 0
}
states() {
    "${slurm[@]}" do scontrol show job "$1" | grep -oE 'JobState=[A-Z_]+' | sort | uniq -c | sed 's/^ *//' | paste -sd' '
}
submit() { # TEMPLATE: its job, when it has ended
    sed -i -E 's/(cpus-per-task|ntasks-per-node)=16/\1=2/' "$work/$1.sh"
    job=$("${slurm[@]}" submit --parsable "$work/$1.sh")
    check "template__$1__ends" yes "$(until_true 90 ended "$job")"
}

edited slurm-node "$primes" 1 10^6
submit slurm-node
check template__slurm-node__counts_primes "1 JobState=COMPLETED 78498" "$(states "$job") $(cat "crew.$job.out")"
edited slurm-node "$work/workers"
submit slurm-node
check template__slurm-node__takes_the_workers_there_are 2 "$(cat "crew.$job.out")"

sed "s|^program=.*|program=('$primes' \"\$from\" \"\$to\")|; s/^items=.*/items=1000000/" \
    "$templates/slurm-array.sh" >slurm-array.sh
submit slurm-array
check template__slurm-array__is_told "4 JobState=COMPLETED" "$(states "$job")"
check template__slurm-array__gives_the_same_as_one_job 78498 "$(cat result.[0-3] | awk "{ n += \$1 } END { print n }")"

edited slurm-ranks "$plain" nodes
submit slurm-ranks
check template__slurm-ranks__has_a_rank_for_each_core "node1 0 of 2|node1 1 of 2|node2 0 of 2|node2 1 of 2" "$(where "crew.$job.out")"
edited slurm-nodes "$plain" nodes
submit slurm-nodes
check template__slurm-nodes__has_a_rank_for_each_node "node1 0 of 1|node2 0 of 1" "$(where "crew.$job.out")"
[[ $failures -eq 0 ]]
