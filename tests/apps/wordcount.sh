#!/bin/sh
# wordcount.sh WORDCOUNT SOURCE - the program wordcount against tr, sort and uniq. The
# backend is the environment's (CREW_BACKEND).
set -u
suite=wordcount__
. "$(dirname "$0")/check.sh"
program=$1
source=$2
cd "$work" || exit 1

# What the system's tools count in files.
count() {
    cat "$@" | tr -cs 'A-Za-z0-9\200-\377' '[\n*]' | tr A-Z a-z | grep . | sort | uniq -c |
        sort -k 1,1nr -k 2
}

same() { # what they counted, the program's output: the same up to 20 lines of difference
    diff "$1" "$2" | head -n 20
}

# Some MiB of this project's text, with a word at its end that no line end follows.
cat "$source"/docs/*.md "$source"/src/*/*.[ch] "$source"/include/crew/*.h >text
printf 'L\303\266we l\303\266WE \377\200\n' >>text
cat text text text >large
printf 'the last word' >>large
count large >want

check file__is_a_success 0 "$(code large)"
check file__as_the_tools_count "" "$(same want out)"
check file__says_nothing "" "$(cat err)"
for workers in 1 3; do
    check "workers_${workers}__is_a_success" 0 "$(code --workers=$workers large)"
    check "workers_${workers}__as_the_tools_count" "" "$(same want out)"
done
check standard_input__is_a_success 0 "$(code <large)"
check standard_input__as_the_tools_count "" "$(same want out)"
check pipe__is_a_success 0 "$(cat large | code -)"
check pipe__as_the_tools_count "" "$(same want out)"
mkfifo fifo
cat large >fifo &
check fifo__is_a_success 0 "$(code fifo)"
check fifo__as_the_tools_count "" "$(same want out)"
wait

# Several files: words do not go on from one to the next.
printf 'one two' >a
printf 'two three' >b
: >empty
count a empty b /proc/version text >/dev/null
{ cat a; echo; cat b; echo; cat text; } >all
count all >want
check files__are_a_success 0 "$(code a empty b text)"
check files__as_the_tools_count "" "$(same want out)"
check top__is_a_success 0 "$(code --top=3 a empty b text)"
check top__is_the_first "" "$(head -n 3 want | diff - out)"
check nothing__is_a_success 0 "$(code empty)"
check nothing__prints_nothing "" "$(cat out)"

# Lines that are longer than a piece, and words that are longer than a block.
{
    head -c 3000000 /dev/zero | tr '\0' ' '
    printf 'after many spaces '
    head -c 1500000 /dev/zero | tr '\0' x
    printf ' middle\nnext line\n'
    yes 'a b c' | head -n 200000 | tr '\n' ' '
} >lines
count lines >want
check long_lines__are_a_success 0 "$(code lines)"
check long_lines__as_the_tools_count "" "$(same want out)"
check long_lines_of_input__are_a_success 0 "$(code <lines)"
check long_lines_of_input__as_the_tools_count "" "$(cat lines | "$program" | cmp - want)"
# Line ends only, no line end, and cuts that fall on line ends.
yes '' | head -c 2000000 >ends
check line_ends__are_a_success 0 "$(code ends)"
check line_ends__are_no_words "" "$(cat out)"
yes 'abcdefg' | head -c 4194304 >even
check even_lines__are_a_success 0 "$(code --workers=2 even)"
check even_lines__are_all_there " 524288 abcdefg" "$(cat out)"

check stats__are_a_success 0 "$(code --stats even)"
check stats__say_how_many said "$(said '^wordcount: 524288 words, 1 different ones: ')"
check bar__is_drawn_if_asked_for 0 "$(CREW_PROGRESS=1 code even)"
check bar__ends_full said "$(said '100.0 %')"
check help__is_a_success 0 "$(code --help)"
check help__is_on_standard_output 1 "$(grep -c '^Usage: wordcount ' out)"
check unknown_option__is_a_usage_error 2 "$(code --bottom=3 a)"
check bad_number__is_a_usage_error 2 "$(code --top=few a)"
check no_such_file__fails 1 "$(code a none b)"
check no_such_file__is_told_once 1 "$(grep -c '^wordcount: none cannot be read: No such file' err)"
check no_such_file__others_are_counted "2 two" "$(head -n 1 out | xargs)"
check folder__fails 1 "$(code "$source/docs")"
check folder__is_told said "$(said 'docs cannot be read: Is a directory')"
# Under a launcher (CREW_TEST_JOB) that has the output, and is what signals go to.
if [ -z "${CREW_TEST_JOB-}" ]; then
    check full_output__fails 1 "$("$program" text >/dev/full 2>err; echo $?)"
    check full_output__is_told said "$(said 'the output could not be written: No space left on device')"
    seq 1000000 >numbers
    { "$program" numbers 2>err; echo $? >code; } | head -n 1 >out
    check pipe_that_nobody_reads__ends_by_the_signal 141 "$(cat code)"
    check pipe_that_nobody_reads__is_no_news "" "$(cat err)"
fi
[ -n "${CREW_TEST_JOB-}" ] && exit $((failures > 0))
# Ended while it waits for more input.
mkfifo never
CREWTEST_MARK=$$ "$program" >out 2>err <never &
pid=$!
exec 3>never
yes 'more lines than a pipe holds' | head -c 3000000 >&3
kill -TERM $pid
wait $pid
check stopped__ends_by_the_signal 143 $?
check stopped__prints_nothing "" "$(cat out)"
exec 3>&-
check stopped__leaves_no_process "" "$(grep -lsz "^CREWTEST_MARK=$$\$" /proc/[0-9]*/environ)"
[ "$failures" -eq 0 ]
