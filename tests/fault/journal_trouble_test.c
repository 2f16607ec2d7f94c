/* fault/journal_trouble_test.c - disks that fail under a journal: what its user is told, and
 * when. The system's calls are this program's own here. */
#include "conformance/journals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT = 200, CELL_FAILS = 40 };

/* ---- the disk --------------------------------------------------------------------- */

static _Atomic int full, rough;
static _Atomic int failing; /* the next so many syncs */
static _Atomic int late;    /* one write tells of what was wrong with those before it */
static _Atomic off_t durable; /* what was there at the last good sync */

/* What has been written since is lost. So it is on Linux's file systems, and on NFS when its
 * server's disk is full. */
static void lose(int fd) {
    static const char zeros[4096];
    struct stat st;
    fstat(fd, &st);
    for (off_t at = durable; at < st.st_size; at += (off_t)sizeof zeros)
        if (pwrite(fd, zeros, st.st_size - at < 4096 ? (size_t)(st.st_size - at) : 4096, at) < 0)
            abort();
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at) {
    static _Atomic unsigned calls;
    if (late && at > 0)
        lose(fd);
    if (full || (late && at > 0)) {
        late = 0;
        errno = ENOSPC;
        return -1;
    }
    if (!rough)
        return syscall(SYS_pwritev, fd, pieces, (long)count, (long)at, 0L);
    if (calls++ % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    return pwrite(fd, pieces->iov_base, pieces->iov_len < 13 ? pieces->iov_len : 13, at);
}

/* After one that fails the next says nothing of it. */
int fdatasync(int fd) {
    struct stat st;
    if (failing) {
        failing--;
        lose(fd);
        errno = EIO;
        return -1;
    }
    fstat(fd, &st);
    durable = st.st_size;
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- what is told ------------------------------------------------------------------- */

static int real_stderr = -1;

static void listen_to_stderr(void) {
    int fd = open(fresh("told"), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    fflush(stderr);
    real_stderr = dup(2);
    dup2(fd, 2);
    close(fd);
}

/* Lines with all of crew's words, and these. */
static int told(const char *words) {
    char line[600], path[128];
    int n = 0;
    snprintf(path, sizeof path, "%s/told", folder);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        n += strstr(line, "crew: journal ") && strstr(line, words);
    if (f)
        fclose(f);
    return n;
}

static void hear_no_more(void) {
    dup2(real_stderr, 2);
    close(real_stderr);
}

/* Within ten seconds. Asserts come when the real stderr is back. */
static bool soon(const char *words) {
    for (double end = crewtest_now() + 10; told(words) == 0 && crewtest_now() < end;)
        crewtest_pause();
    return told(words) > 0;
}

/* ---- work --------------------------------------------------------------------------- */

static int halting(crew_call *call) {
    crewtest_add(CELL_COUNT, 1);
    *CREW_OUT(call, int64_t) = 5 * call->index;
    return call->index == COUNT / 2 ? crewtest_pass(call, CELL_GATE) : 0;
}

static int answer(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t) + 1;
    crewtest_add(CELL_COUNT, 1);
    return crew_reply(call, &n, sizeof n);
}

static int64_t out[COUNT];

static crew_job *begin(crew_pool *p, const char *journal) {
    const crew_map_opts opts = {.journal = journal};
    memset(out, 0, sizeof out);
    forget_items(0);
    return crew_map_async(p, halting, NULL, 0, COUNT, out, sizeof *out, &opts, NULL);
}

/* The map may end now, and does; what is said after that goes to the real stderr again. */
static bool ends(crew_job *j) {
    crewtest_set(CELL_GATE, 1);
    bool ended = j && crew_job_wait(j, 30) == 0;
    hear_no_more();
    return ended;
}

static void end(crew_job *j, crew_error *err) {
    crewtest_set(CELL_GATE, 1);
    assert_non_null(j);
    assert_ok(crew_job_get(j, 30, err), err);
    crew_job_free(j);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(out[i], 5 * i);
}

/* The next time: so many items are not in the journal; then all are. */
static void go_on(crew_pool *p, const char *journal, int64_t missing) {
    crew_error err;
    assert_int_equal(info_of(journal).done, COUNT - missing);
    end(begin(p, journal), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), missing);
    assert_string_equal(err.text, "");
    crew_journal_info info = info_of(journal);
    assert_int_equal(info.done, COUNT);
    assert_int_equal(info.torn + info.damaged, 0);
}

static void call_with_key(crew_pool *p, const char *journal, int64_t n) {
    char key[16];
    int64_t result = 0;
    crew_error err;
    snprintf(key, sizeof key, "%d", (int)n);
    const crew_submit_opts o = {.key = key, .journal = journal};
    crew_future *f = crew_submit(p, answer, &n, sizeof n, &o, &err);
    assert_non_null(f);
    assert_ok(crew_future_result(f, &result, sizeof result, 20, &err), &err);
    assert_int_equal(result, n + 1);
    crew_future_free(f);
}

/* ---- the tests ------------------------------------------------------------------------ */

static void trouble__a_disk_full_for_a_while__is_told_at_once_and_nothing_is_missing(void **state) {
    (void)state;
    for (int from_the_start = 0; from_the_start < 2; from_the_start++) {
        crew_error err;
        const char *journal = fresh("for-a-while");
        crew_pool *p = crewtest_open(2);
        listen_to_stderr();
        full = from_the_start;
        crew_job *j = begin(p, journal);
        full = 1;
        bool heard = j && soon("No space left on device"); /* while the map runs */
        full = 0;
        bool ended = ends(j);
        assert_true(heard && ended);
        end(j, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(told(""), 1);
        go_on(p, journal, 0);
        crewtest_free(p);
    }
}

static void trouble__a_full_disk__is_told_once_and_the_map_goes_on(void **state) {
    crew_error err;
    (void)state;
    const char *journal = fresh("full");
    crew_pool *p = crewtest_open(2);
    listen_to_stderr();
    full = 1;
    crew_job *j = begin(p, journal);
    bool heard = j && soon("No space left on device");
    bool ended = ends(j);
    full = 0;
    assert_true(heard && ended);
    end(j, &err);
    assert_text(err.text, "it is not complete: No space left on device");
    assert_int_equal(told(""), 1);
    assert_code(crew_journal_read(journal, &(crew_journal_info){0}, NULL, NULL, &err),
                CREW_EMISMATCH, &err);
    end(begin(p, journal), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT);
    go_on(p, journal, 0);
    crewtest_free(p);
}

static void trouble__a_deleted_file__is_told_at_once(void **state) {
    crew_error err;
    (void)state;
    const char *journal = fresh("deleted");
    crew_pool *p = crewtest_open(2);
    listen_to_stderr();
    crew_job *j = begin(p, journal);
    unlink(journal);
    bool heard = j && soon("has been deleted");
    bool ended = ends(j);
    assert_true(heard && ended);
    end(j, &err);
    assert_text(err.text, "the file has been deleted");
    assert_int_equal(told(""), 1);
    crewtest_free(p);
}

static void trouble__what_an_error_may_be_about__is_written_again(void **state) {
    enum { SYNC, LATER_SYNC, WRITE, KINDS }; /* what tells of it */
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        crew_error err;
        const char *journal = fresh("failing");
        crew_pool *p = crewtest_open(2);
        listen_to_stderr();
        durable = 0;
        failing = kind == SYNC;
        late = kind == WRITE;
        crew_job *j = begin(p, journal);
        for (double until = crewtest_now() + 10;
             kind == LATER_SYNC && j && durable < 1100 && crewtest_now() < until;)
            crewtest_pause();
        failing = failing || kind == LATER_SYNC;
        bool heard = kind == LATER_SYNC || (j && soon("The work goes on"));
        bool ended = ends(j);
        assert_true(heard && ended);
        end(j, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(told(""), 1);
        assert_int_equal(failing + late, 0);
        go_on(p, journal, 0);
        crewtest_free(p);
    }
}

static void trouble__writes_that_are_short_or_interrupted__are_made_whole(void **state) {
    crew_error err;
    (void)state;
    const char *journal = fresh("rough");
    crew_pool *p = crewtest_open(2);
    rough = 1;
    crew_job *j = begin(p, journal);
    end(j, &err);
    rough = 0;
    assert_string_equal(err.text, "");
    go_on(p, journal, 0);
    crewtest_free(p);
}

static void trouble__of_keyed_calls__is_told_as_well(void **state) {
    (void)state;
    const char *journal = fresh("keys");
    crew_pool *p = crewtest_open(2);
    listen_to_stderr();
    full = 1;
    call_with_key(p, journal, 1);
    bool heard = soon("No space left on device");
    crewtest_free(p);
    int unfinished = told("It is not complete");
    full = 0;
    p = crewtest_open(2);
    for (int64_t n = 1; n <= 3; n++)
        call_with_key(p, journal, n);
    crewtest_free(p);
    int fd = open(journal, O_RDWR | O_CLOEXEC);
    bool damaged = fd >= 0 && pwrite(fd, "?", 1, 1024 + 40) == 1 && close(fd) == 0;
    crewtest_set(CELL_COUNT, 0);
    p = crewtest_open(2);
    for (int64_t n = 1; n <= 3; n++)
        call_with_key(p, journal, n);
    crewtest_free(p);
    hear_no_more();
    assert_true(heard && damaged);
    assert_int_equal(unfinished, 1);
    assert_int_equal(told("damaged in 1 place"), 1);
    assert_int_equal(crewtest_get(CELL_COUNT), 1);
}

static void keys__another_working_directory__is_another_journal(void **state) {
    char other[128], was[4096];
    (void)state;
    assert_non_null(getcwd(was, sizeof was));
    snprintf(other, sizeof other, "%s/other", folder);
    assert_int_equal(mkdir(other, 0700), 0);
    crew_pool *p = crewtest_open(1);
    assert_int_equal(chdir(folder), 0);
    call_with_key(p, "here", 1);
    assert_int_equal(chdir(other), 0);
    call_with_key(p, "here", 1);
    assert_int_equal(chdir(was), 0);
    crewtest_free(p);
    snprintf(other, sizeof other, "%s/other/here", folder);
    assert_int_equal(info_of(other).done, 1);
    assert_int_equal(crewtest_get(CELL_COUNT), 2);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (!folder_made())
        return 1;
    const struct CMUnitTest tests[] = {
        CREWTEST(trouble__a_disk_full_for_a_while__is_told_at_once_and_nothing_is_missing),
        CREWTEST(trouble__a_full_disk__is_told_once_and_the_map_goes_on),
        CREWTEST(trouble__a_deleted_file__is_told_at_once),
        CREWTEST(trouble__what_an_error_may_be_about__is_written_again),
        CREWTEST(trouble__writes_that_are_short_or_interrupted__are_made_whole),
        CREWTEST(trouble__of_keyed_calls__is_told_as_well),
        CREWTEST(keys__another_working_directory__is_another_journal),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return crewtest_end(failed + folder_gone());
}
