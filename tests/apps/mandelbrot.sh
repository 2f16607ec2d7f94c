#!/bin/sh
# mandelbrot.sh MANDELBROT - the program mandelbrot, by the pictures it draws. The backend
# is the environment's (CREW_BACKEND).
set -u
suite=mandelbrot__
. "$(dirname "$0")/check.sh"
program=$1
cd "$work" || exit 1

check picture__is_drawn 0 "$(code --size=300x200 a.png)"
check picture__says_nothing "" "$(cat err)"
check picture__is_a_png_of_that_size "137 80 78 71 13 10 26 10 0 0 0 13 73 72 68 82 0 0 1 44 0 0 0 200 8 2" \
    "$(head -c 26 a.png | od -An -tu1 | xargs)"
# Ranks that are told to be serial are programs of their own.
if [ -z "${CREW_TEST_JOB-}" ]; then
    check serial_picture__is_drawn 0 "$(code --size=300x200 --backend=serial b.png)"
    check serial_picture__is_the_same "" "$(cmp a.png b.png)"
fi
check one_worker__is_drawn 0 "$(code --size=300x200 --workers=1 b.png)"
check one_worker__is_the_same "" "$(cmp a.png b.png)"
check standard_output__is_a_success 0 "$(code --size=300x200 -)"
check standard_output__is_the_same "" "$(cmp a.png out)"
# All of it inside: one colour, and so a small file.
check inside__is_drawn 0 "$(code --size=300x200 --center=-0.1,0 --width=0.1 inside.png)"
check inside__is_of_one_colour yes "$([ "$(wc -c <inside.png)" -lt 1000 ] && echo yes)"

check overlay__is_drawn 0 "$(code --size=300x200 --overlay --stats o.png)"
check overlay__differs 1 "$(cmp -s a.png o.png; echo $?)"
check stats__say_how_busy said "$(said 'mandelbrot: drawn: [0-9.]* s on [0-9]* worker')"
check stats__count_every_row 200 \
    "$(sed -n 's/^worker [0-9]*: \([0-9]*\) rows.*/\1/p' err | { n=0; while read -r rows; do n=$((n + rows)); done; echo $n; })"
check bar__is_drawn_if_asked_for 0 "$(CREW_PROGRESS=1 code --size=300x200 b.png)"
check bar__ends_full said "$(said '100.0 % 200 of 200')"

check help__is_a_success 0 "$(code --help)"
check help__is_on_standard_output 1 "$(grep -c '^Usage: mandelbrot ' out)"
check version__is_a_success 0 "$(code --version)"
check no_file__is_a_usage_error 2 "$(code)"
check no_file__says_what_is_missing said "$(said 'one FILE for the picture is needed')"
check bad_size__is_a_usage_error 2 "$(code --size=300 x.png)"
check huge_size__is_a_usage_error 2 "$(code --size=100000x100000 x.png)"
check bad_center__is_a_usage_error 2 "$(code --center=1 x.png)"
check bad_number__is_a_usage_error 2 "$(code --iterations=many x.png)"
check bad_number__is_named said "$(said 'iterations takes a whole number from 1 to 1073741824, not many')"
check bad_backend__fails 1 "$(code --backend=steam x.png)"
check bad_backend__lists_the_words said "$(said threads)"
check no_such_folder__fails 1 "$(code none/x.png)"
check no_such_folder__is_named said "$(said '^mandelbrot: none/x.png cannot be written: No such file')"
check full_disk__fails 1 "$(code --size=30x20 /dev/full)"
check full_disk__is_told said "$(said '/dev/full could not be written: No space left on device')"
# Under a launcher (CREW_TEST_JOB) that has the output, and is what signals go to.
if [ -z "${CREW_TEST_JOB-}" ]; then
    check full_output__fails 1 "$("$program" --size=30x20 - >/dev/full 2>err; echo $?)"
    check full_output__is_told said "$(said 'the output could not be written: No space left on device')"
fi
if [ "${CREW_TEST_JOB-}" != hosts3 ] && unshare --mount true 2>/dev/null; then
    mkdir full
    check full_folder__fails 1 "$(unshare --mount sh -c "mount -t tmpfs -o size=16k none full && \
        '$program' --size=800x600 full/x.png 2>err; echo \$?; ls full")"
    check full_folder__is_told said "$(said 'full/x\.[a-z]* could not be written: No space left on device')"
else
    echo "skipped - mandelbrot__full_folder: there may be no mount here, or hosts would not see it"
fi
check failures__leave_nothing "" "$(ls | grep -E '^x|part')"
if [ -z "${CREW_TEST_JOB-}" ]; then
    { "$program" --size=2000x2000 --iterations=50 - 2>err; echo $? >code; } | head -c 10 >out
    check pipe_that_nobody_reads__ends_by_the_signal 141 "$(cat code)"
    check pipe_that_nobody_reads__is_no_news "" "$(cat err)"
fi

[ -n "${CREW_TEST_JOB-}" ] && exit $((failures > 0))
# Ended in the middle of what would take hours: the old picture is there, nothing else,
# nobody.
cp a.png old.png
CREWTEST_MARK=$$ "$program" --center=-1.7548,0 --width=1e-5 --iterations=1000000 old.png 2>err &
pid=$!
await test -e old.png.part
kill -TERM $pid
wait $pid
check stopped__ends_by_the_signal 143 $?
check stopped__leaves_the_old_picture "" "$(cmp a.png old.png)"
check stopped__leaves_no_part "" "$(ls | grep part)"
check stopped__leaves_no_process "" "$(grep -lsz "^CREWTEST_MARK=$$\$" /proc/[0-9]*/environ)"
[ "$failures" -eq 0 ]
