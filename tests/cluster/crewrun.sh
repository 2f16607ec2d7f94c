#!/usr/bin/env bash
# crewrun.sh ROOT - cluster/crewrun keeps exit codes, outlives ranks and hosts, leaves nothing.
set -u
root=$1
. "$root/tests/cluster/lib.sh"
crewrun=$root/cluster/crewrun
hosts=("$root/cluster/hosts" --name "test-$$")
at_end() {
    "${hosts[@]}" down
}
compile crewrun
cd "$work" || exit 1
export TMPDIR=$work # where mpirun has a folder

clear() { # NAME: that nothing of a run is left
    check "$1" "none, no file" \
        "$(running "$plain"), $(compgen -G "$work/.crewrun*" || compgen -G "$work/ompi.*/*" || echo "no file")"
    rm -f "$work"/flag
}

for expected in 0 3 85 255; do
    check "crewrun__exit_code_${expected}__is_kept" "$expected" \
        "$(code timeout 60 "$crewrun" -n 2 "$plain" code "$expected")"
done
clear crewrun__exit_codes__nothing_is_left
check crewrun__rank_0_killed__is_told 137 "$(code timeout 60 "$crewrun" -n 2 "$plain" die 0 9 "$work/flag" 0)"
clear crewrun__rank_0_killed__nothing_is_left
check crewrun__rank_0_crashed__is_told 139 "$(code timeout 60 "$crewrun" -n 2 "$plain" die 0 11 "$work/flag" 0)"
clear crewrun__rank_0_crashed__nothing_is_left
check crewrun__another_rank_killed__the_job_goes_on 3 "$(code timeout 60 "$crewrun" -n 3 "$plain" die 1 9 "$work/flag" 3)"
clear crewrun__another_rank_killed__nothing_is_left
check crewrun__standard_input__is_rank_0s 42 "$(echo 42 | timeout 60 "$crewrun" -n 2 "$plain" read 2>/dev/null; echo $?)"
check crewrun__blanks_in_arguments__stay "a b|c" "$(timeout 60 "$crewrun" -n 1 sh -c 'echo "$1|$2"' sh "a b" c 2>/dev/null)"
check crewrun__no_such_program__fails no "$([[ $(code timeout 60 "$crewrun" -n 1 "$work/none") == 0 ]] && echo yes || echo no)"
check crewrun__nothing_to_run__is_misuse 2 "$(code "$crewrun")"
export CREW_TEST_WORD=word
check crewrun__variables_of_crew__reach_the_ranks "word word" \
    "$(timeout 60 "$crewrun" -n 2 sh -c 'echo "$CREW_TEST_WORD"' 2>/dev/null | paste -sd' ')"
unset CREW_TEST_WORD
check crewrun__ranks__get_nothing_of_crewruns_own "" \
    "$(timeout 60 "$crewrun" -n 1 env 2>/dev/null | grep -E 'CREWRUN_DIR|CREWRUN_AGENT|fork_agent')"

# A rank that does not end when rank 0 has: it is ended.
begin=$SECONDS
check crewrun__a_rank_that_stays__does_not_keep_the_job 0 \
    "$(code timeout 60 "$crewrun" -n 2 sh -c '[ "$OMPI_COMM_WORLD_RANK" = 0 ] || exec sleep 1000')"
check crewrun__a_rank_that_stays__is_ended_soon yes "$([[ $((SECONDS - begin)) -le 15 ]] && echo yes || echo no)"

background "$work/job" "$crewrun" -n 2 "$plain" usr1
job=$last
check crewrun__usr1__before yes "$(until_true 30 lines 1 waiting "$work/job")"
kill -USR1 "$job"
end_of "$job" 15
check crewrun__usr1__reaches_the_program 85 "$ended"
clear crewrun__usr1__nothing_is_left

for signal in TERM:143 HUP:129; do
    background "$work/job" "$crewrun" -n 2 "$plain" wait "$work/never" 0
    job=$last
    check "crewrun__${signal%:*}__before" yes "$(until_true 30 lines 2 waiting "$work/job")"
    kill "-${signal%:*}" "$job"
    end_of "$job" 15
    check "crewrun__${signal%:*}__ends_the_job" "${signal#*:}" "$ended"
    clear "crewrun__${signal%:*}__nothing_is_left"
done

# ---- hosts ----------------------------------------------------------------------

if [[ $(code "${hosts[@]}" up 3 --while $$) == 77 ]]; then
    skip crewrun__hosts "$(head -n 1 "$work/err")"
    exit $((failures > 0))
fi
lose() { # HOST CODE [VERB]: a job on all hosts that loses one, and what comes of it
    rm -f "$work/flag"
    background "$work/job" "${hosts[@]}" crewrun -npernode 2 "$plain" wait "$work/flag" 3
    job=$last
    check "crewrun__$3_$1__before" yes "$(until_true 30 lines 6 waiting "$work/job")"
    "${hosts[@]}" "$3" "$1"
    : >"$work/flag"
    end_of "$job" 20
    check "crewrun__$3_$1__is_told" "$2" "$ended"
    check "crewrun__$3_$1__nothing_is_left_on_the_head" none "$(running "crewrun -npernode 2 $plain")"
}
check crewrun__on_hosts__keeps_the_code 3 "$(code timeout 60 "${hosts[@]}" crewrun -npernode 2 "$plain" code 3)"
lose h1 3 kill
"${hosts[@]}" down && "${hosts[@]}" up 3 --while $$
lose h0 1 kill
check crewrun__kill_h0__says_so there "$(cp "$work/job" "$work/out"; out 'rank 0 was lost with its host, h0')"
"${hosts[@]}" down && "${hosts[@]}" up 3 --while $$
lose h2 3 unplug
"${hosts[@]}" plug h2
check crewrun__all_of_it__no_rank_is_left yes "$(until_true 20 none_running "$plain")"
clear crewrun__all_of_it__nothing_is_left
[[ $failures -eq 0 ]]
