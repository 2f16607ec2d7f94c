#!/bin/sh
# thumbs.sh THUMBS PICTURES - the program thumbs on pictures that PICTURES makes: whole,
# broken and hostile ones. The backend is the environment's (CREW_BACKEND).
set -u
suite=thumbs__
. "$(dirname "$0")/check.sh"
thumbs=$1
pictures=$2
cd "$work" || exit 1

# Runs a program; its exit code. What it says is in $work/err.
code() {
    timeout 100 "$@" >"$work/stdout" 2>"$work/err"
    echo $?
}

look() { # a thumbnail
    "$pictures" look "$1" 2>&1
}

# ---- what is right ----

mkdir -p in/a/b in/empty
"$pictures" rgb 800 600 in/a/rgb.jpg
"$pictures" grey 600 800 in/a/grey.jpeg
"$pictures" cmyk 512 512 in/cmyk.JPG
"$pictures" progressive 1024 64 in/wide.jpg
"$pictures" rgba 700 350 in/a/b/rgba.png
"$pictures" interlaced 352 704 in/a/b/interlaced.png
"$pictures" deep 64 64 'in/deep and small.png'
"$pictures" palette 300 300 in/palette.PNG
"$pictures" rgba 100 100 in/a/b/not-a.jpg
echo text >in/notes.txt

check whole_pictures__are_made 0 "$(code "$thumbs" --stats in out)"
check whole_pictures__are_all_of_them said "$(said '9 made, 0 up to date, 0 not made')"
check folders__are_kept "a/b/interlaced a/b/not-a a/b/rgba a/grey a/rgb cmyk deep and small palette wide" \
    "$(cd out && find . -type f -name '*.webp' | sed 's/^..//; s/\.webp$//' | sort | paste -sd ' ' -)"
check nothing_else__is_left ".thumbs" "$(cd out && find . -type f ! -name '*.webp' | sed 's/^..//')"
check folders_without_pictures__are_not_made "" "$(ls -d out/empty 2>/dev/null)"
check jpeg__looks_as_it_should "256x192 red blue red blue" "$(look out/a/rgb.webp)"
check grey__looks_as_it_should "192x256 grey grey grey grey" "$(look out/a/grey.webp)"
check four_inks__look_as_they_should "256x256 red blue red blue" "$(look out/cmyk.webp)"
check progressive__looks_as_it_should "256x16 red blue red blue" "$(look out/wide.webp)"
check transparent_png__looks_as_it_should "256x128 red blue clear clear" "$(look out/a/b/rgba.webp)"
check interlaced_png__looks_as_it_should "128x256 red blue clear clear" "$(look out/a/b/interlaced.webp)"
check small_picture__stays_small "64x64 red blue clear clear" "$(look 'out/deep and small.webp')"
check palette_png__looks_as_it_should "256x256 red blue red blue" "$(look out/palette.webp)"
check png_named_jpg__is_read "100x100 red blue clear clear" "$(look out/a/b/not-a.webp)"

# What a camera that was held otherwise says of it: the stored left half is red.
mkdir turned
for i in 1 2 3 4 5 6 7 8; do "$pictures" turned$i 320 160 turned/$i.jpg; done
check turned_pictures__are_made 0 "$(code "$thumbs" --size=64 turned out-turned)"
check turned_pictures__are_upright \
    "64x32 red blue red blue|64x32 blue red blue red|64x32 blue red blue red|64x32 red blue red blue|32x64 red red blue blue|32x64 red red blue blue|32x64 blue blue red red|32x64 blue blue red red" \
    "$(for i in 1 2 3 4 5 6 7 8; do look out-turned/$i.webp; done | paste -sd '|' -)"

# ---- what is up to date ----

check second_run__succeeds 0 "$(code "$thumbs" --stats in out)"
check second_run__makes_nothing said "$(said '0 made, 9 up to date, 0 not made')"
touch -d '1 minute' in/cmyk.JPG
check changed_picture__succeeds 0 "$(code "$thumbs" --stats in out)"
check changed_picture__is_made_again said "$(said '1 made, 8 up to date')"
touch -d '1 minute ago' in/cmyk.JPG
check other_size__succeeds 0 "$(code "$thumbs" --stats --size=100 in out)"
check other_size__makes_all_again said "$(said '9 made, 0 up to date')"
check other_size__is_that_size "100x75 red blue red blue" "$(look out/a/rgb.webp)"
check force__succeeds 0 "$(code "$thumbs" --stats --size=100 --force in out)"
check force__makes_all_again said "$(said '9 made, 0 up to date')"
check folder_inside__is_not_taken_for_pictures 0 "$(code "$thumbs" in in/thumbs)"
cp in/wide.jpg in/thumbs/mine.jpg
code "$thumbs" --stats in in/thumbs >/dev/null
check folder_inside__is_left_out said "$(said '0 made, 9 up to date, 0 not made')"
rm -r in/thumbs

# ---- what cannot be read: each in a line, and the others made ----

mkdir bad bad/folder.png bad/linked
cp in/a/rgb.jpg bad/good.jpg
head -c 3000 in/a/rgb.jpg >bad/cut.jpg
head -c 20 in/a/rgb.jpg >bad/cut-short.jpg
head -c 400 in/a/b/rgba.png >bad/cut-middle.png
head -c 8 in/a/b/rgba.png >bad/head.png
{ printf '\377\330\377'; head -c 5000 /dev/zero | tr '\0' x; } >bad/noise.jpg
printf 'GIF89a' >bad/gif.jpg
: >bad/empty.png
"$pictures" bomb 60000 60000 bad/bomb.png
"$pictures" bomb 2147483647 2147483647 bad/bomb-larger.png
mkfifo bad/pipe.png
ln -s nowhere bad/dangling.jpg
ln -s circle.png bad/circle.png
ln -s linked bad/linked.jpg
cp in/a/grey.jpeg bad/double.jpg
cp in/palette.PNG bad/double.png
long=$(head -c 250 /dev/zero | tr '\0' l)
cp in/a/rgb.jpg "bad/$long.jpg" # and .webp is longer
printf 'no picture' >"bad/$(printf 'line\nend\033[2J').jpg"
check broken_pictures__exit_code 1 "$(code "$thumbs" --stats bad out-bad)"
check broken_pictures__others_are_made "double good" \
    "$(cd out-bad && ls *.webp | sed 's/\.webp//' | paste -sd ' ' -)"
check broken_pictures__nothing_else_is_left "" "$(ls out-bad | grep -v 'webp$')"
check broken_pictures__a_line_each 17 "$(grep -c '^thumbs: ' "$work/err")"
check truncated_jpeg__is_told said "$(said '^thumbs: cut\.jpg: broken: ')"
check truncated_head__is_told said "$(said '^thumbs: cut-short\.jpg: broken: ')"
check truncated_png__is_told said "$(said '^thumbs: cut-middle\.png: broken: ')"
check png_head_alone__is_told said "$(said '^thumbs: head\.png: broken: ')"
check noise__is_told said "$(said '^thumbs: noise\.jpg: broken: ')"
check wrong_head__is_told said "$(said '^thumbs: gif\.jpg: neither JPEG nor PNG$')"
check empty_file__is_told said "$(said '^thumbs: empty\.png: empty$')"
check bomb__is_told said "$(said '^thumbs: bomb\.png: too large: 60000 x 60000 pixels')"
check larger_bomb__is_told said "$(said '^thumbs: bomb-larger\.png: broken: ')"
check pipe__is_told said "$(said '^thumbs: pipe\.png: not a file, but a pipe')"
check dangling_link__is_told said "$(said '^thumbs: dangling\.jpg: No such file')"
check circle_of_links__is_told said "$(said '^thumbs: circle\.png: Too many levels')"
check link_to_a_folder__is_told said "$(said '^thumbs: linked\.jpg: not a file, but a folder$')"
check two_pictures_of_one_name__are_told said "$(said '^thumbs: double\.png: left out')"
check odd_name__is_told_in_a_line said "$(said '^thumbs: line?end?\[2J\.jpg: neither JPEG nor PNG$')"
check long_name__is_told said "$(said "^thumbs: $long\.jpg: its thumbnail cannot .*: File name too long$")"
check broken_pictures__are_counted said "$(said '2 made, 0 up to date, 16 not made')"
rm -r bad

# A picture of 64 KB that would take most of a minute. Only processes can be ended.
if [ "${CREW_BACKEND:-fork}" = fork ]; then
    mkdir slow
    "$pictures" scans 2048 2048 slow/scans.jpg
    for i in 1 2 3; do "$pictures" rgb 100 100 slow/$i.jpg; done
    check endless_picture__exit_code 1 "$(code "$thumbs" --timeout=2 slow out-slow)"
    check endless_picture__is_told said "$(said '^thumbs: scans\.jpg: .*over its time limit of 2 s')"
    check endless_picture__others_are_made "1.webp 2.webp 3.webp" "$(ls out-slow | paste -sd ' ' -)"
fi

# ---- what the user did wrong, and what the system does not give ----

check help__is_a_success 0 "$(code "$thumbs" --help)"
check help__is_on_standard_output 1 "$(grep -c '^Usage: thumbs ' "$work/stdout")"
check one_folder__is_a_usage_error 2 "$(code "$thumbs" in)"
check one_folder__says_what_is_missing said "$(said 'two folders are needed, FROM and TO')"
check unknown_option__is_a_usage_error 2 "$(code "$thumbs" --colour in out)"
check size_0__is_a_usage_error 2 "$(code "$thumbs" --size=0 in out)"
check size_0__says_what_it_takes said "$(said 'size takes a whole number from 1 to 16383, not 0')"
check no_such_folder__fails 1 "$(code "$thumbs" none out-none)"
check no_such_folder__is_named said "$(said '^thumbs: none cannot be read: No such file')"
check no_such_folder__makes_none "" "$(ls -d out-none 2>/dev/null)"
check file_as_output__fails 1 "$(code "$thumbs" in in/notes.txt/x)"
check file_as_output__is_named said "$(said 'in/notes.txt/x cannot be made')"
mkdir taken
: >taken/a
check file_in_the_way__fails 1 "$(code "$thumbs" in taken)"
check file_in_the_way__is_told said "$(said 'its thumbnail cannot be written: Not a directory')"
check file_in_the_way__others_are_made "cmyk.webp deep and small.webp palette.webp wide.webp" \
    "$(ls taken | grep webp | paste -sd ' ' -)"
flock out/.thumbs sh -c "'$thumbs' in out 2>'$work/err'"
check second_at_once__fails 1 $?
check second_at_once__says_why said "$(said 'another one is at work in .*/out: wait')"
check closed_output__is_no_failure 0 "$("$thumbs" in out >&- 2>"$work/err"; echo $?)"

# A full disk ends it at once: no other picture would fit either.
if [ "${CREW_TEST_JOB-}" != hosts3 ] && unshare --mount true 2>/dev/null; then
    mkdir full
    cat >full.sh <<'SCRIPT'
mount -t tmpfs -o size=16k none full && mkdir full/out && head -c 12k /dev/zero >full/rest
"$1" --size=500 in full/out
code=$?
find full -name '*.part'
exit $code
SCRIPT
    check full_disk__fails 1 "$(code unshare --mount sh full.sh "$thumbs")"
    check full_disk__is_told said "$(said 'No space left on device')"
    check full_disk__leaves_no_parts "" "$(cat "$work/stdout")"
else
    echo "skipped - thumbs__full_disk: there may be no mount here, or hosts would not see it"
fi

# Under a launcher (CREW_TEST_JOB) that has the output, and is what signals go to.
[ -n "${CREW_TEST_JOB-}" ] && exit $((failures > 0))
# Ended when the first thumbnail is there: what is there is whole, nobody is left.
mkdir many
"$pictures" rgba 1200 1200 many/0.png
i=1
while [ $i -lt 100 ]; do
    ln many/0.png many/$i.png
    i=$((i + 1))
done
CREWTEST_MARK=$$ "$thumbs" many out-many 2>"$work/err" &
pid=$!
holds_some() {
    [ -n "$(ls "$1")" ]
}
await holds_some out-many
kill -TERM $pid
wait $pid
check stopped__ends_by_the_signal 143 $?
check stopped__is_said said "$(said 'stopped: .* not made. Run it again to go on$')"
check stopped__leaves_no_parts "" "$(find out-many -name '*.part')"
check stopped__leaves_whole_ones "" \
    "$(for i in out-many/*.webp; do look "$i"; done | grep -v '^256x256 red blue clear clear$')"
check stopped__leaves_no_process "" "$(grep -lsz "^CREWTEST_MARK=$$\$" /proc/[0-9]*/environ)"
check stopped__the_rest_is_made_later 0 "$(code "$thumbs" many out-many)"
check stopped__is_complete_then 100 "$(ls out-many | wc -l)"
[ "$failures" -eq 0 ]
