#!/bin/sh
# crew.sh CREW SOURCE - the command line, by what it prints and how it exits.
set -u
suite=crew__
. "$(dirname "$0")/check.sh"
crew=$1
source=$2
memory=crewtest-command-$$
trap 'rm -rf "$work" "/dev/shm/$memory" "/dev/shm/$memory.note" /dev/shm/.crew-owned.*."$memory"' EXIT
unset CREW_BACKEND CREW_WORKERS CREW_START CREW_BIND CREW_ORDER CREW_STRICT

# Runs a command; its exit code. Output goes to $work/out, errors to $work/err.
code() {
    "$@" >"$work/out" 2>"$work/err"
    echo $?
}

out() { # a part of the last run's output
    if grep -q -- "$1" "$work/out"; then echo there; else cat "$work/out" "$work/err"; fi
}

err() { # a part of the last run's standard error
    if grep -q -- "$1" "$work/err"; then echo there; else cat "$work/out" "$work/err"; fi
}

check help__is_a_success 0 "$(code "$crew" --help)"
check help__names_the_commands there "$(out 'crew info')"
for command in -h help 'info --help' 'config -h' 'shm --help' 'journal --help'; do
    # shellcheck disable=SC2086 # two words
    check "$(echo "$command" | tr ' ' _)__is_a_success" 0 "$(code "$crew" $command)"
    check "$(echo "$command" | tr ' ' _)__names_the_commands" there "$(out 'crew info')"
done
check version__is_a_success 0 "$(code "$crew" --version)"
check version__is_the_headers \
    "crew $(sed -n 's/#define CREW_VERSION "\(.*\)"/\1/p' "$source/include/crew/crew.h")" \
    "$(cat "$work/out")"
check no_command__is_a_usage_error 2 "$(code "$crew")"
check unknown_command__is_a_usage_error 2 "$(code "$crew" steam)"
check unknown_command__is_named there "$(err 'no command steam')"
check two_words__are_a_usage_error 2 "$(code "$crew" info config)"
check two_words__says_which there "$(err 'a word too many: config')"
check usage_error__prints_nothing "" "$(cat "$work/out")"
check full_disk__is_a_failure 1 "$(code sh -c "'$crew' config >/dev/full")"

# The table of the page is that of the program.
check config__is_a_success 0 "$(code "$crew" config)"
sed -n '/^```text$/,/^```$/p' "$source/docs/CONFIG.md" | sed '1d;$d' >"$work/page"
check config__is_the_pages_table "" "$(diff "$work/page" "$work/out")"
check config_with_a_bad_setting__still_prints 0 "$(CREW_BACKEND=steam code "$crew" config)"

# A journal, whole and damaged.
check journal_of_nothing__is_a_failure 1 "$(code "$crew" journal "$work/none")"
check journal_of_nothing__says_why there "$(err 'No such file')"
check journal_of_nothing__names_it_once 1 "$(grep -o "$work/none" "$work/err" | wc -l)"
check journal_of_another_file__is_a_failure 1 "$(code "$crew" journal "$source/README.md")"
check journal_of_another_file__says_why there "$(err 'no journal')"
check journal_without_a_file__is_a_usage_error 2 "$(code "$crew" journal)"
example=$(dirname "$crew")/examples/resume
if [ -x "$example" ]; then
    "$example" "$work/a.crew" >/dev/null 2>&1
    check journal__is_a_success 0 "$(code "$crew" journal "$work/a.crew")"
    check journal__says_of_what there "$(out '^Journal *of a map, function primes_in, build ')"
    check journal__counts_what_is_done there "$(out '^Done *200 of 200$')"
    check journal__finds_no_damage there "$(out '^Damage *none$')"
    printf x | dd of="$work/a.crew" bs=1 seek=1030 conv=notrunc 2>/dev/null
    printf x >>"$work/a.crew"
    check journal_damaged__is_a_success 0 "$(code "$crew" journal "$work/a.crew")"
    check journal_damaged__says_where there "$(out '^\(Damaged *in 1 place\|Torn\)')"
fi

check info__is_a_success 0 "$(code "$crew" info)"
check info__says_nothing_on_standard_error "" "$(cat "$work/err")"
for backend in serial threads 'fork, start fork' 'fork, start server' 'fork, start spawn'; do
    check "info__tried_$(echo "$backend" | tr -d , | tr ' ' _)" there \
        "$(out "^  $backend *works$")"
done
check info__mpi__says_why_not there "$(out '^  mpi *no: ')"
check info__counts_what_nproc_counts there "$(out "^Affinity *$(nproc) processor")"

one=$(taskset -pc $$ | sed 's/.*: *\([0-9]*\).*/\1/')
check info_in_a_mask__is_a_success 0 "$(code taskset -c "$one" "$crew" info)"
check info_in_a_mask__counts_one there "$(out '^Count *1: ')"
check info_in_a_mask__binds_to_it there "$(out "worker 0 *processors $one (1 core)")"

check info_with_settings__is_a_success 0 \
    "$(CREW_BACKEND=threads CREW_WORKERS=3 CREW_BIND=none code "$crew" info)"
check info_with_settings__shows_them there \
    "$(out 'opened now: threads, 3 workers, bind none')"
check info_with_settings__tries_every_backend there "$(out 'start spawn *works')"
check info_with_settings__binds_nobody there "$(out 'worker 0-2 *not bound')"
check info_on_mpi__is_a_failure 1 "$(CREW_BACKEND=mpi code "$crew" info)"
check info_on_mpi__says_why there "$(err 'start it with mpirun')"
check info_on_mpi__shows_what_would_work there "$(out 'threads *works')"
check info_with_a_bad_setting__is_a_failure 1 "$(CREW_WORKERS=0 code "$crew" info)"
check info_with_a_bad_setting__names_it there "$(err 'CREW_WORKERS=0 is not accepted')"

# Memory whose owner lives as long as this script wants: its note is locked so long, and
# before it has its name. (Not shown: that of the dead, which any program that starts here
# may sweep meanwhile.)
mkfifo "$work/life"
head -c 1234 /dev/zero >"/dev/shm/$memory"
note=/dev/shm/.crew-owned.$(stat -c %i "/dev/shm/$memory").$memory
echo $$ >"/dev/shm/$memory.note"
flock "/dev/shm/$memory.note" sh -c 'mv "$1" "$2" && echo locked && read -r _' \
    - "/dev/shm/$memory.note" "$note" <"$work/life" >"$work/locked" &
owner=$!
exec 3>"$work/life"
await test -s "$work/locked"
check shm_list__is_a_success 0 "$(code "$crew" shm list)"
check shm_list__shows_size_owner_and_name there "$(out "^ *1234  pid $$ *$memory\$")"
check shm_sweep__is_a_success 0 "$(code "$crew" shm sweep)"
check shm_sweep__leaves_what_is_owned there \
    "$([ -e "/dev/shm/$memory" ] && echo there)"
exec 3>&-
wait "$owner"
check shm_sweep_of_the_dead__is_a_success 0 "$(code "$crew" shm sweep)"
check shm_sweep_of_the_dead__takes_it_away gone \
    "$([ -e "/dev/shm/$memory" ] || [ -e "$note" ] || echo gone)"
check shm_list__without_it__is_a_success 0 "$(code "$crew" shm list)"
check shm_list__without_it__does_not_show_it 1 "$(grep -q "$memory" "$work/out"; echo $?)"
check shm__is_a_usage_error 2 "$(code "$crew" shm)"
check shm__says_what_is_missing there "$(err 'list or sweep is missing')"
check shm_unknown_word__is_a_usage_error 2 "$(code "$crew" shm steam)"
check shm_unknown_word__is_named there "$(err 'no command shm steam')"
check shm_three_words__are_a_usage_error 2 "$(code "$crew" shm list all)"
check help__names_shm there "$(code "$crew" --help >/dev/null; out 'crew shm sweep')"
[ "$failures" -eq 0 ]
