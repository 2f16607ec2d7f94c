#!/usr/bin/env bash
# hosts.sh ROOT - cluster/hosts: what its hosts see, what they survive, and that nothing is left.
set -u
root=$1
. "$root/tests/cluster/lib.sh"
name=test-$$
hosts=("$root/cluster/hosts" --name "$name")
base=${XDG_RUNTIME_DIR:-/tmp}
[[ -w $base ]] || base=/tmp
state=$base/crew-hosts-$(id -u)/$name
at_end() {
    "${hosts[@]}" down
    "$root/cluster/hosts" --name "$name-b" down
}

compile cluster_hosts
got=$(code "${hosts[@]}" up 3 --while $$)
if [[ $got == 77 ]]; then
    skip cluster_hosts "$(head -n 1 "$work/err")"
    exit 0
fi
check hosts__three__come_up 0 "$got"

# ---- what a host sees ---------------------------------------------------------

on() {
    "${hosts[@]}" on "$@" 2>&1 </dev/null
}

check hosts__one__has_its_name "h1 h1" "$(on h1 sh -c 'echo $(hostname) $(uname -n)')"
check hosts__one__has_a_network_of_its_own "lo eth0" "$(on h1 ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | paste -sd' ')"
check hosts__one__can_go_nowhere_else 1 "$(on h1 ip route | grep -c .)"
check hosts__one__knows_the_others "h0 h1 h2 head" "$(on h1 sh -c 'for h in h0 h1 h2 head; do getent hosts $h; done' | awk '{print $2}' | paste -sd' ')"
check hosts__one__has_processes_of_its_own 1 "$(on h1 sh -c 'set -- /proc/[0-9]*; echo $(($# < 6))')"
on h0 sh -c 'echo mine >/tmp/note; echo mine >/dev/shm/note'
check hosts__tmp__is_each_ones_own "mine" "$(on h0 cat /tmp/note)"
check hosts__tmp__is_not_anothers 1 "$(on h1 cat /tmp/note >/dev/null; echo $?)"
check hosts__shared_memory__is_not_anothers 1 "$(on h1 cat /dev/shm/note >/dev/null; echo $?)"
check hosts__tmp__is_not_the_machines no "$([[ -e /tmp/note ]] && echo yes || echo no)"
check hosts__arguments_in_tmp__are_seen "h2" "$(on h2 test -x "$plain" && echo h2)"
check hosts__this_folder__is_seen "$work" "$(cd "$work" && on h2 pwd)"
mkdir "$work/with blank" && echo found >"$work/with blank/a file"
check hosts__blanks_in_names__do_no_harm found "$(cd "$work/with blank" && on h0 cat 'a file')"
check hosts__zombies__are_reaped 0 "$(on h1 sh -c 'sh -c "sh -c true & exec true"; n=0; while grep -qs "^State:.Z" /proc/[0-9]*/status && [ $n -lt 100 ]; do sleep 0.05; n=$((n + 1)); done; grep -ls "^State:.Z" /proc/[0-9]*/status | wc -l')"
check hosts__exit_codes__come_through 7 "$(code "${hosts[@]}" on h1 sh -c 'exit 7')"
check hosts__signals__come_through 137 "$(code "${hosts[@]}" on h1 sh -c 'kill -9 $$')"
check hosts__no_such_host__is_said 255 "$(code "${hosts[@]}" on h9 true)"
check hosts__no_such_host__names_those_there_are there "$(out 'h0 h1 h2')"
check hosts__up_twice__is_refused 1 "$(code "${hosts[@]}" up 3 --while $$)"
check hosts__up_twice__says_why there "$(out 'up already')"

# ---- MPI ----------------------------------------------------------------------

check mpirun__six_ranks__run 0 "$(code timeout 60 "${hosts[@]}" mpirun -n 6 "$plain" nodes)"
check mpirun__six_ranks__one_shared_memory_a_host "h0 0 of 2|h0 1 of 2|h1 0 of 2|h1 1 of 2|h2 0 of 2|h2 1 of 2" \
    "$(sed -n 's/^\(h[0-9]\): .*, \(.*\) there$/\1 \2/p' "$work/out" | sort | paste -sd'|')"
check mpirun__exit_code__comes_through 3 "$(code timeout 60 "${hosts[@]}" mpirun -n 3 "$plain" code 3)"
export CREW_TEST_WORD="two words" OTHER_WORD=other
check mpirun__variables_of_crew__reach_the_ranks "two words." \
    "$(timeout 60 "${hosts[@]}" mpirun -npernode 1 sh -c 'echo "$CREW_TEST_WORD.$OTHER_WORD"' 2>"$work/err" | sort -u)"
unset CREW_TEST_WORD OTHER_WORD

# ---- several at once ----------------------------------------------------------

check hosts__others_beside_them__come_up 0 "$(code "$root/cluster/hosts" --name "$name-b" up 2 --while $$)"
check hosts__others_beside_them__are_others 0 "$(code timeout 60 "$root/cluster/hosts" --name "$name-b" mpirun -n 2 "$plain" nodes)"
check hosts__others_beside_them__go 0 "$(code "$root/cluster/hosts" --name "$name-b" down)"
check hosts__down__leaves_the_others 0 "$(code "${hosts[@]}" on h1 true)"

# ---- silence ------------------------------------------------------------------

background "$work/answer" "${hosts[@]}" on h2 "$plain" answer 5000
check unplug__before__there_is_an_answer yes "$(until_true 10 lines 1 listening "$work/answer")"
check unplug__before__others_hear 0 "$(code "${hosts[@]}" on h0 "$plain" ask h2 5000)"
check unplug__a_host__is_done 0 "$(code "${hosts[@]}" unplug h2)"
check unplug__a_host__is_told there "$(code "${hosts[@]}" status >/dev/null; out 'h2 .*unplugged')"
check unplug__others__hear_nothing 2 "$(code "${hosts[@]}" on h0 "$plain" ask h2 5000)"
check unplug__itself__goes_on 0 "$(code "${hosts[@]}" on h2 "$plain" ask 127.0.0.1 5000)"
check unplug__others__hear_each_other 1 "$(code "${hosts[@]}" on h0 "$plain" ask h1 5000)"
check plug__a_host__is_done 0 "$(code "${hosts[@]}" plug h2)"
check plug__others__hear_it_again yes "$(until_true 5 "${hosts[@]}" on h0 "$plain" ask h2 5000)"

# Each time it is asked anew who the head is, one answers, and it is not the bridge.
who_is_head() {
    on h0 sh -c "for k in 1 2 3 4 5 6 7 8 9 10; do
        ip neigh flush dev eth0
        '$plain' ask head 5000
        ip neigh show 10.77.255.254
    done" | awk '/lladdr/ { for (k = 1; k < NF; k++) if ($k == "lladdr") print $(k + 1) }' | sort | uniq -c | awk '{print $1, $2}' | paste -sd'|'
}
check head__its_address__is_its_own "10 $(on head ip -o link show eth0 | sed 's|.*link/ether \([^ ]*\).*|\1|')" "$(who_is_head)"
check unplug__the_head__is_done 0 "$(code "${hosts[@]}" unplug head)"
check unplug__the_head__is_not_heard 2 "$(code "${hosts[@]}" on h0 "$plain" ask head 5000)"
check plug__the_head__is_done 0 "$(code "${hosts[@]}" plug head)"
check plug__the_head__is_heard yes "$(until_true 5 on h0 sh -c "'$plain' ask head 5000; [ \$? -eq 1 ]")"

# ---- a crash ------------------------------------------------------------------

background "$work/sleep" "${hosts[@]}" on h1 sleep 1000
sleeping=$last
others() {
    "${hosts[@]}" status | grep -E '^h[02] '
}
quiet=$(others)
others_are_quiet() {
    [[ $(others) == "$quiet" ]]
}
background "$work/job" "${hosts[@]}" mpirun -n 6 "$plain" wait "$work/never" 0
job=$last
check kill__before__a_job_runs yes "$(until_true 30 lines 6 waiting "$work/job")"
check kill__before__it_is_seen no "$(others_are_quiet && echo yes || echo no)"
check kill__a_host__is_done 0 "$(code timeout 5 "${hosts[@]}" kill h1)"
end_of "$sleeping" 2
check kill__a_command_on_it__was_killed 137 "$ended"
check kill__a_job_on_it__ends_on_the_others yes "$(until_true 5 others_are_quiet)"
end_of "$job" 5
check kill__a_job_on_it__ends yes "$([[ $ended =~ ^[1-9][0-9]*$ ]] && echo yes || echo "$ended")"
check kill__a_job_on_it__is_told 1 "$(grep -c 'lost communication with a remote daemon' "$work/job")"
check kill__status__tells_it there "$(code "${hosts[@]}" status >/dev/null; out 'h1 .*down')"
check kill__commands__are_refused 255 "$(code "${hosts[@]}" on h1 true)"
check kill__the_others__go_on 0 "$(code timeout 60 "${hosts[@]}" mpirun -H h0,h2 -n 2 "$plain" nodes)"

# ---- nothing is left ----------------------------------------------------------

# The network namespaces of an instance's processes; its own by its keeper's.
spaces() {
    local keeper
    read -r keeper _ <"$state/keeper"
    for file in /proc/[0-9]*; do
        tr '\0' ' ' 2>/dev/null <"$file/cmdline" | grep -qF -- "$state" && readlink "$file/ns/net"
    done | sort -u | grep -vxF "$(readlink /proc/self/ns/net)"
}
left() { # SPACES: processes that are in one of them
    local file net
    for file in /proc/[0-9]*; do
        net=$(readlink "$file/ns/net" 2>/dev/null) && grep -qxF "$net" <<<"$1" && echo "${file#/proc/}"
    done | wc -l
}
background "$work/sleep" "${hosts[@]}" on h0 sleep 1000
sleeping=$last
before=$(spaces)
check down__before__there_are_namespaces 3 "$(grep -c net <<<"$before")"
check down__hosts_in_use__are_ended 0 "$(code timeout 10 "${hosts[@]}" down)"
end_of "$sleeping" 2
check down__a_command_there__was_ended 137 "$ended"
check down__processes__none_is_left 0 "$(left "$before")"
check down__files__none_is_left no "$([[ -e $state ]] && echo yes || echo no)"
check down__mounts__none_is_left 0 "$(grep -cF "$state" /proc/self/mountinfo)"
check down__who_waits_for_this_test__is_ended yes "$(until_true 1 none_running "--name $name up")"
check down__twice__is_fine 0 "$(code "${hosts[@]}" down)"
check down__status__says_so 1 "$(code "${hosts[@]}" status)"

cycles=0 slowest=0
while [[ $cycles -lt 20 ]]; do
    begin=${EPOCHREALTIME/[.,]/}
    "${hosts[@]}" up 3 --while $$ && [[ $(on h2 uname -n) == h2 ]] && "${hosts[@]}" down || break
    took=$(((${EPOCHREALTIME/[.,]/} - begin) / 1000))
    [[ $took -le $slowest ]] || slowest=$took
    none_running "$state" && [[ ! -e $state ]] || break
    cycles=$((cycles + 1))
done
check hosts__up_and_down_20_times__nothing_is_left 20 "$cycles"
check hosts__up_and_down_20_times__each_takes_5_s_at_most yes "$([[ $slowest -le 5000 ]] && echo yes || echo "$slowest ms")"

# Killed at any moment on its way up, it can be cleared away.
cleared=0
for moment in 0.005 0.01 0.02 0.03 0.05 0.07 0.1 0.13 0.16 0.2; do
    background "$work/up" "${hosts[@]}" up 3 --while $$
    up=$last
    sleep "$moment" # any moment will do: this waits for nothing
    kill -KILL "$up" 2>/dev/null
    { wait "$up"; } 2>/dev/null
    timeout 10 "${hosts[@]}" down && [[ ! -e $state ]] && none_running "$state" && cleared=$((cleared + 1))
done
check hosts__killed_on_the_way_up__are_cleared_away 10 "$cleared"

background "$work/owner" sleep 1000
owner=$last
check while__a_process_lives__up 0 "$(code "${hosts[@]}" up 1 --while "$owner")"
check while__a_process_lives__they_stay 0 "$(code "${hosts[@]}" on h0 true)"
kill -KILL "$owner"
{ wait "$owner"; } 2>/dev/null
check while__the_process_is_killed__they_go_down yes "$(until_true 5 test ! -e "$state")"
check while__the_process_is_killed__nothing_is_left yes "$(until_true 5 none_running "--name $name up")"

# ---- other users, other machines --------------------------------------------------

if [[ $(id -u) -ne 0 ]]; then
    skip hosts__not_root "this is not root, so all of the above was it"
    skip hosts__forbidden "only root can forbid it"
    [[ $failures -eq 0 ]]
    exit
fi
# Somebody who may read what this test has written.
chmod 755 "$work"
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env -u XDG_RUNTIME_DIR HOME=/ "$root/cluster/hosts" --name "$name")
if ! setpriv --reuid=65534 --regid=65534 --clear-groups test -r "$root/cluster/hosts" -a -x "$plain"; then
    skip hosts__not_root "$root is not for everybody to read"
elif [[ $(cd / && code "${nobody[@]}" up 2 --while $$) == 77 ]]; then
    skip hosts__not_root "$(head -n 1 "$work/err")"
else
    check hosts__not_root__can_have_them h1 "$(cd / && "${nobody[@]}" on h1 uname -n)"
    check hosts__not_root__can_run_mpi 0 "$(cd / && code timeout 60 "${nobody[@]}" mpirun -npernode 1 "$plain" nodes)"
    check hosts__not_root__one_shared_memory_a_host "h0 0 of 1|h1 0 of 1" \
        "$(sed -n 's/^\(h[0-9]\): .*, \(.*\) there$/\1 \2/p' "$work/out" | sort | paste -sd'|')"
    check hosts__not_root__can_crash_them 0 "$(cd / && code "${nobody[@]}" kill h1)"
    check hosts__not_root__can_end_them 0 "$(cd / && code "${nobody[@]}" down)"
    check hosts__not_root__nothing_is_left "none no" \
        "$(running "crew-hosts-65534/$name") $([[ -e /tmp/crew-hosts-65534/$name ]] && echo yes || echo no)"
fi

# A user namespace in which nothing of the kind is allowed, as in a container.
# shellcheck disable=SC2016
check hosts__forbidden__is_told_apart 77 "$(code unshare --user --map-root-user sh -c '
    echo 0 >/proc/sys/user/max_user_namespaces || exit
    exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"' sh "${hosts[@]}" up 2 --while $$)"
check hosts__forbidden__is_explained there "$(out 'does not allow the namespaces')"
check hosts__forbidden__leaves_nothing no "$([[ -e $state ]] && echo yes || echo no)"
[[ $failures -eq 0 ]]
