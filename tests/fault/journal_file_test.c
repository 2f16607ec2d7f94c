/* fault/journal_file_test.c - what files do to journals: disks that are full, locks, and
 * CREW_JOURNAL's folder. What needs a program of its own is a helper. */
#include "crewtest.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 2000, WORDS = 128, CELL_CHILD = 40, NOT_PERMITTED = 77 };

static char folder[] = "/tmp/crewtest-journal-file-XXXXXX";

struct result {
    uint64_t words[WORDS]; /* 1 KiB */
};

static int fill(crew_call *call) {
    crewtest_add(CELL_COUNT, 1);
    for (int w = 0; w < WORDS; w++)
        CREW_OUT(call, struct result)->words[w] = crewtest_mix((uint64_t)(call->index * WORDS + w));
    return 0;
}

static int halting(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    *CREW_OUT(call, int64_t) = 1;
    return call->index == 5 ? crewtest_pass(call, CELL_GATE) : 0;
}

static const char *in_folder(const char *name) {
    static char path[4][256];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", getenv("CREW_TEST_FOLDER"), name);
    return p;
}

/* ---- full disks ------------------------------------------------------------------- */

/* A map whose results are right; its calls. *text: what there was to tell. */
static int64_t fill_all(crew_pool *p, const char *journal, char *text) {
    struct result *out = calloc(COUNT, sizeof *out);
    const crew_map_opts opts = {.journal = journal};
    crew_error err;
    crewtest_set(CELL_COUNT, 0);
    int rc = crew_map_index(p, fill, COUNT, out, &opts, &err);
    crewtest_check(rc == 0, "%s", err.text);
    for (int64_t i = 0; i < COUNT * WORDS; i++)
        crewtest_check(out[i / WORDS].words[i % WORDS] == crewtest_mix((uint64_t)i), "item %ld",
                       (long)i / WORDS);
    snprintf(text, sizeof err.text, "%s", err.text);
    free(out);
    return crewtest_get(CELL_COUNT);
}

static crew_journal_info check_whole(const char *journal) {
    crew_journal_info info;
    crew_error err;
    int rc = crew_journal_read(journal, &info, NULL, NULL, &err);
    crewtest_check(rc == 0 && info.damaged == 0 && info.torn == 0, "%s: %ld damaged, %ld torn",
                   err.text, (long)info.damaged, (long)info.torn);
    return info;
}

static void fill_up(crew_pool *p, const char *journal, const char *why) {
    char text[256];
    int64_t calls = fill_all(p, journal, text);
    crewtest_check(calls == COUNT, "%ld calls", (long)calls);
    crewtest_check(strstr(text, "it is not complete") && strstr(text, why), "told: %s", text);
    crew_journal_info info = check_whole(journal);
    crewtest_check(info.done > 0 && info.done < COUNT, "%ld items", (long)info.done);
}

static void go_on(crew_pool *p, const char *journal) {
    char text[256];
    crew_journal_info info = check_whole(journal);
    int64_t calls = fill_all(p, journal, text);
    crewtest_check(calls == COUNT - info.done && !text[0], "%ld calls; %s", (long)calls, text);
    info = check_whole(journal);
    crewtest_check(info.done == COUNT, "%ld items", (long)info.done);
}

static int full_disk(void) {
    const char *at = getenv("CREW_TEST_FOLDER"), *journal = in_folder("journal");
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("crewtest", at, "tmpfs", 0, "size=600k") != 0)
        return NOT_PERMITTED;
    crew_pool *p = crewtest_open_here(2);
    fill_up(p, journal, "No space left on device");
    crewtest_check(mount("crewtest", at, "tmpfs", MS_REMOUNT, "size=8m") == 0, "no remount");
    go_on(p, journal);
    crew_pool_free(p);
    return crew_finalize();
}

static int full_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    rlim_t most = limit.rlim_max;
    limit.rlim_cur = 600 << 10;
    crew_pool *p = crewtest_open_here(2);
    setrlimit(RLIMIT_FSIZE, &limit); /* SIGXFSZ has its default action: the end */
    fill_up(p, in_folder("journal"), "File too large");
    limit.rlim_cur = most;
    setrlimit(RLIMIT_FSIZE, &limit);
    go_on(p, in_folder("journal"));
    crew_pool_free(p);
    return crew_finalize();
}

/* ---- locks -------------------------------------------------------------------------- */

static int holds(bool forks) {
    static int64_t out[100];
    const crew_map_opts opts = {.journal = in_folder("held")};
    crew_pool *p = crewtest_open_here(2);
    crew_job *j = crew_map_async(p, halting, NULL, 0, 100, out, sizeof *out, &opts, NULL);
    crewtest_check(j, "%s", crew_last_error()->text);
    if (forks && fork() == 0) { /* a child of the program's own, which outlives it */
        crewtest_set(CELL_CHILD, getpid());
        crewtest_reached(CELL_GATE, 1, 40);
        _exit(0);
    }
    crew_job_get(j, CREW_FOREVER, NULL);
    return 9; /* nobody has killed it */
}

/* ---- CREW_JOURNAL --------------------------------------------------------------------- */

static int twice(crew_call *call) {
    crewtest_add(CELL_COUNT, 1);
    if (call->out)
        *CREW_OUT(call, int64_t) = 2 * call->index;
    return 0;
}

/* Maps inside of a task, in a pool of its own: not for the folder. */
static int nested(crew_call *call) {
    int64_t out[10];
    crew_error err;
    crewtest_add(CELL_COUNT, 1);
    crew_pool_opts opts = {.backend = CREW_THREADS, .workers = 1};
    crew_pool *p = crew_pool_open(&opts, &err);
    int rc = p ? crew_map_index(p, twice, 10, out, NULL, &err) : err.code;
    crew_pool_free(p);
    *CREW_OUT(call, int64_t) = 1;
    if (getenv("CREW_JOURNAL")) /* programs that it starts have none */
        return crew_fail(call, 2, "the worker has CREW_JOURNAL");
    return rc ? crew_fail(call, 1, "%.150s", err.text) : 0;
}

static int answer(crew_call *call) {
    int64_t n = 42;
    crewtest_add(CELL_COUNT, 1);
    return crew_reply(call, &n, sizeof n);
}

static int in_environment(void) {
    int64_t out[100], n;
    crew_error err;
    crew_pool *p = crewtest_open_here(2);
    for (int i = 0; i < 2; i++) {
        int rc = crew_map_index(p, twice, 100, out, NULL, &err);
        crewtest_check(rc == 0 && out[99] == 198, "%s", err.text);
    }
    crewtest_check(crew_map_index(p, nested, 3, out, NULL, &err) == 0, "%s", err.text);
    crew_iter *it = crew_imap(p, twice, crew_source_range(0, 50, 1), sizeof n, NULL, &err);
    while (crew_next(it, &n, NULL, 20, &err) == 1)
        ;
    crewtest_check(err.code == 0, "%s", err.text);
    crew_iter_free(it);
    /* Without results: what it does is done again. */
    crewtest_check(crew_pool_map(p, twice, NULL, 0, 7, NULL, 0, NULL, &err) == 0, "%s", err.text);
    const crew_submit_opts o = {.key = "the answer"};
    crew_future *f = crew_submit(p, answer, NULL, 0, &o, &err);
    crewtest_check(crew_future_result(f, &n, sizeof n, 20, &err) == 0 && n == 42, "%s", err.text);
    crew_future_free(f);
    crew_pool_free(p);
    return crew_finalize();
}

static int helper(const char *mode) {
    return strcmp(mode, "full_disk") == 0    ? full_disk()
           : strcmp(mode, "full_limit") == 0 ? full_limit()
           : strcmp(mode, "holds") == 0      ? holds(false)
           : strcmp(mode, "forks") == 0      ? holds(true)
                                             : in_environment();
}

/* ---- the tests ------------------------------------------------------------------------- */

static char here[128];
static const char *const settings[] = {here, NULL};

static int run(const char *mode, const char *const *with) {
    int status = crewtest_helper_wait(crewtest_helper(mode, with ? with : settings, NULL), 50);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void journal__full_disk__the_map_goes_on_and_it_is_told(void **state) {
    (void)state;
    int code = run("full_disk", NULL);
    if (code == NOT_PERMITTED) {
        print_message("no file system may be mounted here\n");
        skip();
    }
    assert_int_equal(code, 0);
}

static void journal__files_of_limited_size__the_map_goes_on_and_it_is_told(void **state) {
    (void)state;
    assert_int_equal(run("full_limit", NULL), 0);
}

static void one_holder(const char *mode) {
    static int64_t out[100];
    crew_error err;
    char path[256];
    snprintf(path, sizeof path, "%s/held", folder);
    const crew_map_opts opts = {.journal = path};
    bool forks = strcmp(mode, "forks") == 0;
    pid_t holder = crewtest_helper(mode, settings, NULL);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) > 0, 20);
    CREWTEST_WAIT(!forks || crewtest_get(CELL_CHILD), 20);
    crew_pool *p = crewtest_open(1);
    assert_code(crew_map_index(p, halting, 100, out, &opts, &err), CREW_EPERM, &err);
    assert_text(err.text, "in use by another job");
    /* Its workers may be there still, and a child of its own is. */
    kill(holder, SIGKILL);
    crewtest_helper_wait(holder, 10);
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_map_index(p, halting, 100, out, &opts, &err), &err);
    crewtest_free(p);
    pid_t child = (pid_t)crewtest_get(CELL_CHILD);
    CREWTEST_WAIT(!forks || crewtest_state(child) == 0 || crewtest_state(child) == 'Z', 20);
    unlink(path);
}

static void journal__of_a_killed_program__is_free_at_once(void **state) {
    (void)state;
    one_holder("holds");
}

static void journal__of_a_killed_program_with_a_child__is_free_at_once(void **state) {
    (void)state;
    crewtest_need_fork();
    one_holder("forks");
}

static void journal__folder_in_the_environment__has_a_file_for_each_map(void **state) {
    static const char *const files[] = {"1", "2", "3", "4", "keys"};
    char made[160], path[256];
    (void)state;
    snprintf(made, sizeof made, "CREW_JOURNAL=%s/runs", folder);
    const char *const with[] = {here, made, NULL};
    for (int round = 0; round < 2; round++) {
        crewtest_set(CELL_COUNT, 0);
        assert_int_equal(run("in_environment", with), 0);
        assert_int_equal(crewtest_get(CELL_COUNT), round == 0 ? 200 + 33 + 50 + 7 + 1 : 7);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct stat st;
        snprintf(path, sizeof path, "%s/runs/%s", folder, files[i]);
        assert_int_equal(stat(path, &st), 0);
    }
    snprintf(path, sizeof path, "%s/runs/5", folder);
    assert_int_equal(access(path, F_OK), -1);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper(argv[1]);
    if (!mkdtemp(folder))
        return 1;
    snprintf(here, sizeof here, "CREW_TEST_FOLDER=%s", folder);
    const struct CMUnitTest tests[] = {
        CREWTEST(journal__full_disk__the_map_goes_on_and_it_is_told),
        CREWTEST(journal__files_of_limited_size__the_map_goes_on_and_it_is_told),
        CREWTEST(journal__of_a_killed_program__is_free_at_once),
        CREWTEST(journal__of_a_killed_program_with_a_child__is_free_at_once),
        CREWTEST(journal__folder_in_the_environment__has_a_file_for_each_map),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    failed += system(command) != 0;
    return crewtest_end(failed);
}
