/* fault/journal_resume_test.c - a map whose program is killed, workers, nursery and all, at
 * random moments, and begun again each time: its result is the undisturbed one, and what
 * was in the journal at a kill never runs again. The programs are helpers; executions are
 * counted in cells that outlive them. */
#include "crewtest.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 300000, WORDS = 16, CELL_FAST = 40, CELL_WRONG };

struct result {
    uint64_t words[WORDS];
};

/* ---- the map ------------------------------------------------------------------- */

static void run(const crew_call *call) {
    crewtest_add(CELL_ITEM + call->index, 1);
    crewtest_add(CELL_STARTED, 1);
    if (!crewtest_get(CELL_FAST))
        usleep(1000);
}

static int fixed(crew_call *call) {
    run(call);
    for (int w = 0; w < WORDS; w++)
        CREW_OUT(call, struct result)->words[w] =
            crewtest_mix((uint64_t)call->index * WORDS + (uint64_t)w);
    return 0;
}

static size_t size_of(int64_t i) {
    return (size_t)(crewtest_mix((uint64_t)i) % 300);
}

static int any_size(crew_call *call) {
    unsigned char bytes[300];
    run(call);
    memset(bytes, (int)call->index, sizeof bytes);
    return crew_reply(call, bytes, size_of(call->index));
}

static void map_fixed(crew_pool *p, const crew_map_opts *opts) {
    struct result *out = calloc(COUNT, sizeof *out);
    crew_error err;
    int rc = crew_map_index(p, fixed, COUNT, out, opts, &err);
    crewtest_check(rc == 0, "%s", err.text);
    for (int64_t i = 0; i < COUNT; i++)
        for (int w = 0; w < WORDS; w++)
            crewtest_check(out[i].words[w] == crewtest_mix((uint64_t)(i * WORDS + w)),
                           "item %ld is wrong", (long)i);
    free(out);
}

static void map_bytes(crew_pool *p, const crew_map_opts *opts) {
    crew_bytes *in = calloc(COUNT, sizeof *in);
    crew_error err;
    crew_results *r = crew_map_bytes(p, any_size, in, COUNT, opts, &err);
    crewtest_check(r, "%s", err.text);
    for (int64_t i = 0; i < COUNT; i++) {
        size_t size;
        const unsigned char *data = crew_results_at(r, i, &size);
        crewtest_check(data && size == size_of(i), "item %ld has %zu bytes", (long)i, size);
        for (size_t k = 0; k < size; k++)
            crewtest_check(data[k] == (unsigned char)i, "item %ld is wrong", (long)i);
    }
    crew_results_free(r);
    free(in);
}

static int helper(const char *mode) {
    crew_error err;
    crew_pool_opts o = crewtest_opts(3);
    const crew_map_opts opts = {.journal = getenv("CREW_TEST_FILE")};
    crew_pool *p = crew_pool_open(&o, &err);
    crewtest_check(p, "%s", err.text);
    if (strcmp(mode, "fixed") == 0)
        map_fixed(p, &opts);
    else
        map_bytes(p, &opts);
    crew_pool_free(p);
    crew_finalize();
    return 0;
}

/* ---- kills ---------------------------------------------------------------------- */

struct durable {
    unsigned char done[COUNT];
    int64_t count;
};

static void note(void *ctx, const char *key, int64_t index, int64_t n, int status) {
    struct durable *d = ctx;
    (void)key;
    for (int64_t i = index; status == 0 && i < index + n; i++) {
        d->count += !d->done[i];
        d->done[i] = 1;
    }
}

static void read_journal(const char *path, struct durable *d) {
    crew_journal_info info;
    crew_error err;
    memset(d, 0, sizeof *d);
    if (crew_journal_read(path, &info, note, d, &err) < 0)
        /* It was killed before the file was there, or its head. */
        assert_true(err.code == CREW_ENOENT || strstr(err.text, "it is empty"));
    else
        assert_int_equal(info.damaged, 0);
}

/* All of the helper's, in any order. */
static void kill_all(pid_t helper) {
    pid_t family[64];
    int n;
    double from = crewtest_now();
    do {
        n = crewtest_family(family, 64);
        for (int i = n - 1; i > 0; i--) {
            int with = (int)(crewtest_random() % (uint64_t)(i + 1));
            pid_t kept = family[i];
            family[i] = family[with];
            family[with] = kept;
        }
        for (int i = 0; i < n; i++)
            kill(family[i], SIGKILL);
        int status;
        waitpid(helper, &status, WNOHANG);
        if (crewtest_now() > from + 10)
            fail_msg("%d processes stay", n);
    } while (n > 0);
}

static void interrupt(const char *mode, int kills) {
    static struct durable before, now;
    static int64_t ran[COUNT];
    char path[] = "/tmp/crewtest-journal-kill-XXXXXX", setting[128];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    snprintf(setting, sizeof setting, "CREW_TEST_FILE=%s", path);
    const char *const settings[] = {setting, NULL};
    int64_t growing = 0, again = 0;
    memset(&before, 0, sizeof before);
    for (int64_t i = 0; i < COUNT; i++)
        crewtest_set(CELL_ITEM + i, 0);
    crewtest_set(CELL_FAST, 0);
    for (int round = 0; round <= kills; round++) {
        for (int64_t i = 0; i < COUNT; i++)
            ran[i] = crewtest_get(CELL_ITEM + i);
        crewtest_set(CELL_STARTED, 0);
        crewtest_set(CELL_FAST, round == kills);
        pid_t pid = crewtest_helper(mode, settings, NULL);
        if (round < kills) {
            /* From before there is a pool to some writes of the journal. */
            double moment = crewtest_now() + (double)(crewtest_random() % 1000) * 1.0e-3;
            while (crewtest_now() < moment)
                crewtest_pause();
            kill_all(pid);
        } else {
            assert_int_equal(crewtest_helper_wait(pid, 100), 0);
        }
        for (int64_t i = 0; i < COUNT; i++) {
            int64_t times = crewtest_get(CELL_ITEM + i) - ran[i];
            if (before.done[i] && times)
                fail_msg("item %ld was in the journal and ran again", (long)i);
            again += ran[i] > 0 && times > 0;
        }
        read_journal(path, &now);
        for (int64_t i = 0; i < COUNT; i++)
            if (before.done[i] && !now.done[i])
                fail_msg("item %ld is in the journal no more", (long)i);
        growing += now.count > before.count;
        before = now;
    }
    assert_int_equal(before.count, COUNT);
    print_message("%s: %d kills, the journal grew in %ld of the runs; %ld items that were not "
                  "in it ran again\n",
                  mode, kills, (long)growing, (long)again);
    assert_true(growing > kills / 5);
    unlink(path);
}

static void journal__killed_again_and_again__nothing_is_lost_or_done_twice(void **state) {
    int kills = (int)crewtest_env("CREW_TEST_KILLS", crewtest_long() ? 200 : 6);
    (void)state;
    crewtest_need_helpers();
    crewtest_may_take(crewtest_long() ? 1200 : 120);
    interrupt("fixed", kills);
}

static void journal__of_bytes_killed__is_the_same(void **state) {
    int kills = (int)crewtest_env("CREW_TEST_KILLS", crewtest_long() ? 200 : 3);
    (void)state;
    crewtest_need_helpers();
    crewtest_may_take(crewtest_long() ? 1200 : 120);
    interrupt("bytes", kills);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper(argv[1]);
    const struct CMUnitTest tests[] = {
        CREWTEST(journal__killed_again_and_again__nothing_is_lost_or_done_twice),
        CREWTEST(journal__of_bytes_killed__is_the_same),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
