/* conformance/shm_test.c - shared memory with a name. */
#include "crewtest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A name of this test's own. */
static const char *name_of(const char *what) {
    static char names[8][64];
    static int next;
    char *name = names[next++ % 8];
    snprintf(name, sizeof names[0], "crewtest-%s-%d", what, (int)getpid());
    return name;
}

static bool is_there(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    return access(path, F_OK) == 0;
}

static void shm__made_and_attached__is_the_same_memory(void **state) {
    crew_shm a, b;
    const char *name = name_of("same");
    (void)state;
    assert_int_equal(crew_shm_create(&a, name, 5000, NULL), 0);
    char *data = crew_shm_data(a);
    assert_non_null(data);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(data[i], 0);
    assert_int_equal(crew_shm_size(a), 5000);
    assert_string_equal(crew_shm_name(a), name);
    assert_int_equal(crew_shm_attach(&b, name), 0);
    assert_int_equal(crew_shm_size(b), 5000);
    strcpy(data, "hello");
    assert_string_equal(crew_shm_data(b), "hello");
    assert_int_equal(crew_shm_close(a), 0);
    assert_null(crew_shm_data(a));
    assert_int_equal(crew_shm_close(a), CREW_EINVAL);
    assert_string_equal(crew_shm_data(b), "hello");
    assert_int_equal(crew_shm_unlink(b), 0);
    assert_false(is_there(name));
    assert_string_equal(crew_shm_data(b), "hello"); /* it is mapped still */
    assert_int_equal(crew_shm_unlink(b), CREW_ENOENT);
    assert_int_equal(crew_shm_attach(&a, name), CREW_ENOENT);
    assert_int_equal(crew_shm_close(b), 0);
}

static int fill_in(crew_call *call) {
    int64_t *data = crew_shm_data(*CREW_COMMON(call, crew_shm));
    if (!data)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    data[call->index] = call->index * call->index;
    return 0;
}

static void shm__handle_in_tasks__is_mapped_there(void **state) {
    enum { ITEMS = 1000 };
    crew_shm s;
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ONE_NODE);
    crew_pool *p = crewtest_open(2); /* it is made when the workers are there */
    assert_int_equal(crew_shm_create(&s, name_of("tasks"), ITEMS * sizeof(int64_t), NULL), 0);
    crew_map_opts opts = {.common = &s, .common_size = sizeof s};
    assert_ok(crew_pool_map(p, fill_in, NULL, 0, ITEMS, NULL, 0, &opts, &err), &err);
    const int64_t *data = crew_shm_data(s);
    for (int64_t i = 0; i < ITEMS; i++)
        assert_int_equal(data[i], i * i);
    assert_int_equal(crew_shm_unlink(s), 0);
    assert_int_equal(crew_shm_close(s), 0);
    crewtest_free(p);
}

/* As POSIX has it: others find it by shm_open, and we find theirs. */
static void shm__plain_posix_names__are_the_same_ones(void **state) {
    crew_shm s;
    char posix[80];
    struct stat st;
    const char *name = name_of("posix");
    (void)state;
    snprintf(posix, sizeof posix, "/%s", name);
    assert_int_equal(crew_shm_create(&s, name, 100, NULL), 0);
    int fd = shm_open(posix, O_RDWR, 0);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 100);
    assert_int_equal(st.st_mode & 0777, 0600);
    close(fd);
    assert_int_equal(crew_shm_close(s), 0);
    assert_true(is_there(name));
    assert_int_equal(shm_unlink(posix), 0);
    fd = shm_open(posix, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_int_equal(ftruncate(fd, 64), 0);
    assert_int_equal(pwrite(fd, "theirs", 7, 0), 7);
    assert_int_equal(crew_shm_attach(&s, name), 0);
    assert_int_equal(crew_shm_size(s), 64);
    assert_string_equal(crew_shm_data(s), "theirs");
    close(fd);
    assert_int_equal(crew_shm_unlink(s), 0);
    assert_int_equal(crew_shm_close(s), 0);
}

static void shm__bad_requests__are_errors_in_a_sentence(void **state) {
    static char too_long[300];
    crew_shm s, none = {0};
    (void)state;
    memset(too_long, 'x', sizeof too_long - 1);
    assert_int_equal(crew_shm_create(&s, too_long, 10, NULL), CREW_EINVAL);
    assert_text(crew_last_error()->text, "at most 200");
    assert_int_equal(crew_shm_create(&s, "a/b", 10, NULL), CREW_EINVAL);
    assert_text(crew_last_error()->text, "slash");
    assert_int_equal(crew_shm_create(&s, ".hidden", 10, NULL), CREW_EINVAL);
    assert_int_equal(crew_shm_create(&s, "", 10, NULL), CREW_EINVAL);
    assert_int_equal(crew_shm_create(&s, NULL, 10, NULL), CREW_EINVAL);
    assert_int_equal(crew_shm_create(&s, name_of("zero"), 0, NULL), CREW_EINVAL);
    assert_int_equal(crew_shm_create(NULL, name_of("null"), 10, NULL), CREW_EINVAL);
    assert_int_equal(crew_shm_create(&s, name_of("huge"), (size_t)1 << 60, NULL), CREW_ENOMEM);
    assert_text(crew_last_error()->text, "free in");
    assert_false(is_there(name_of("huge")));
    assert_int_equal(crew_shm_attach(&s, name_of("nobody")), CREW_ENOENT);
    assert_int_equal(crew_shm_attach(&s, too_long), CREW_EINVAL);
    assert_null(crew_shm_data(none));
    assert_int_equal(crew_shm_size(none), 0);
    assert_int_equal(crew_shm_create(&s, name_of("twice"), 10, NULL), 0);
    crew_shm again;
    assert_int_equal(crew_shm_create(&again, name_of("twice"), 10, NULL), CREW_EEXIST);
    assert_int_equal(crew_shm_create(&again, name_of("twice"), 10, &(crew_shm_opts){.owned = true}),
                     CREW_EEXIST);
    assert_int_equal(crew_shm_unlink(s), 0);
    assert_int_equal(crew_shm_close(s), 0);
}

/* ---- owners ---- */

static int find_one(void *ctx, const crew_shm_info *info) {
    crew_shm_info *wanted = ctx;
    if (strcmp(info->name, wanted->name) != 0)
        return 0;
    wanted->size = info->size;
    wanted->owner = info->owner;
    return 1;
}

static void shm__owned__is_listed_with_its_owner(void **state) {
    crew_shm s;
    const char *name = name_of("owned");
    crew_shm_info info = {.name = name};
    (void)state;
    assert_int_equal(crew_shm_create(&s, name, 12345, &(crew_shm_opts){.owned = true}), 0);
    assert_int_equal(crew_shm_each(find_one, &info), 1);
    assert_int_equal(info.size, 12345);
    assert_int_equal(info.owner, getpid());
    crew_shm_sweep();
    assert_true(is_there(name)); /* its owner lives */
    crew_shm again;
    assert_int_equal(crew_shm_create(&again, name, 1, &(crew_shm_opts){.owned = true}),
                     CREW_EEXIST);
    assert_int_equal(crew_shm_unlink(s), 0);
    assert_int_equal(crew_shm_each(find_one, &info), 0);
    assert_int_equal(crew_shm_close(s), 0);
}

/* As others do who know nothing of crew. */
static void unlink_elsewhere(const char *name) {
    char posix[80];
    snprintf(posix, sizeof posix, "/%s", name);
    assert_int_equal(shm_unlink(posix), 0);
}

static int find_with_size(void *ctx, const crew_shm_info *info) {
    const crew_shm_info *wanted = ctx;
    return strcmp(info->name, wanted->name) == 0 && info->size == wanted->size;
}

static void shm__name_given_to_another__unlink_leaves_that_and_its_owner(void **state) {
    crew_shm a, b;
    const crew_shm_opts owned = {.owned = true};
    const char *name = name_of("again");
    crew_shm_info info = {.name = name, .size = 200};
    (void)state;
    assert_int_equal(crew_shm_create(&a, name, 100, &owned), 0);
    unlink_elsewhere(name);
    assert_int_equal(crew_shm_create(&b, name, 200, &owned), 0);
    assert_int_equal(crew_shm_unlink(a), CREW_ENOENT);
    assert_text(crew_last_error()->text, "means other memory");
    assert_true(is_there(name));
    assert_int_equal(crew_shm_each(find_with_size, &info), 1);
    crew_shm_sweep();
    assert_true(is_there(name));
    assert_int_equal(crew_shm_unlink(b), 0);
    assert_false(is_there(name));
    assert_int_equal(crew_shm_close(a), 0);
    assert_int_equal(crew_shm_close(b), 0);
}

/* ---- owners and users in other processes ---- */

static crew_process start(crew_fn *fn, const void *arg, size_t size) {
    crew_process_opts opts = {0};
    crew_process p = {0};
    crew_error err;
    if (strcmp(crewtest_backend(), "server") == 0)
        opts.start = CREW_START_SERVER;
    if (strcmp(crewtest_backend(), "spawn") == 0)
        opts.start = CREW_START_SPAWN;
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_GATE, 0);
    assert_ok(crew_process_start(&p, fn, arg, size, &opts, &err), &err);
    return p;
}

static void ends_well(crew_process p) {
    int code;
    assert_int_equal(crew_process_join(p, 30), 0);
    assert_int_equal(crew_process_exitcode(p, &code), 0);
    assert_int_equal(code, 0);
    assert_int_equal(crew_process_close(p), 0);
}

static int make_owned(crew_call *call) {
    crew_shm s;
    int rc = crew_shm_create(&s, CREW_IN(call, char), 100, &(crew_shm_opts){.owned = true});
    if (rc < 0)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    strcpy(crew_shm_data(s), "from there");
    crewtest_set(CELL_STARTED, 1);
    return crewtest_pass(call, CELL_GATE);
}

/* As if the process that made it had been any other of the program. */
static void shm__owned_made_by_a_process__is_the_programs(void **state) {
    crew_shm s;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crewtest_need_helpers();
    for (int killed = 0; killed < 2; killed++) {
        const char *name = name_of(killed ? "killed" : "ended");
        crew_shm_info info = {.name = name};
        crew_process p = start(make_owned, name, strlen(name) + 1);
        assert_true(crewtest_reached(CELL_STARTED, 1, 20));
        if (killed) {
            assert_int_equal(crew_process_kill(p), 0);
            assert_int_equal(crew_process_join(p, 20), 0);
            assert_int_equal(crew_process_close(p), 0);
        } else {
            crewtest_set(CELL_GATE, 1);
            ends_well(p);
        }
        int status = crewtest_helper_run("sweeps", NULL, 20, NULL); /* another program */
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_int_equal(crew_shm_each(find_one, &info), 1);
        assert_int_equal(info.owner, getpid());
        assert_int_equal(crew_shm_attach(&s, name), 0);
        assert_string_equal(crew_shm_data(s), "from there");
        assert_int_equal(crew_shm_unlink(s), 0);
        assert_int_equal(crew_shm_close(s), 0);
        assert_int_equal(crew_shm_each(find_one, &info), 0);
    }
}

struct two {
    crew_shm one, other;
};

static bool is_mapped(const char *name) {
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && !found && fgets(line, sizeof line, maps))
        found = strstr(line, name);
    if (maps)
        fclose(maps);
    return found;
}

static int use_while_it_is_closed(crew_call *call) {
    const struct two *two = CREW_IN(call, struct two);
    char name[64], *memory = crew_shm_data(two->one);
    if (!memory)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    snprintf(name, sizeof name, "%s", crew_shm_name(two->one));
    crewtest_set(CELL_STARTED, 1);
    if (crewtest_pass(call, CELL_GATE) != 0)
        return 2;
    if (crew_shm_data(two->one) || crew_last_error()->code != CREW_EINVAL)
        return crew_fail(call, 3, "the handle is good still");
    if (!crew_shm_data(two->other)) /* where what is stale was unmapped once */
        return crew_fail(call, 4, "%s", crew_last_error()->text);
    if (memory[0] != 'x')
        return 5;
    memory[1] = 'y';
    if (crew_shm_close(two->one) != 0 || is_mapped(name))
        return crew_fail(call, 6, "%s", crew_last_error()->text);
    return crew_shm_close(two->one) == CREW_EINVAL ? 0 : 7;
}

static void shm__closed_by_another_process__stays_for_who_uses_it(void **state) {
    struct two two;
    crew_shm again;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    const char *name = name_of("one");
    assert_int_equal(crew_shm_create(&two.one, name, 100, NULL), 0);
    assert_int_equal(crew_shm_create(&two.other, name_of("other"), 100, NULL), 0);
    ((char *)crew_shm_data(two.one))[0] = 'x';
    crew_process p = start(use_while_it_is_closed, &two, sizeof two);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    assert_int_equal(crew_shm_close(two.one), 0);
    crewtest_set(CELL_GATE, 1);
    ends_well(p);
    assert_int_equal(crew_shm_attach(&again, name), 0);
    assert_int_equal(((char *)crew_shm_data(again))[1], 'y');
    assert_int_equal(crew_shm_unlink(again), 0);
    assert_int_equal(crew_shm_close(again), 0);
    assert_int_equal(crew_shm_unlink(two.other), 0);
    assert_int_equal(crew_shm_close(two.other), 0);
}

/* What the handle named was unlinked before its receiver asked for it, then the name
 * was given to other memory, then the handle was closed. */
static int ask_too_late(crew_call *call) {
    struct two two;
    crew_shm next;
    if (crew_queue_get(*CREW_IN(call, crew_queue), &two, sizeof two, 20) != sizeof two)
        return 1;
    if (crew_shm_data(two.one) || crew_last_error()->code != CREW_ENOENT)
        return 2;
    if (crew_shm_create(&next, crew_shm_name(two.one), 100, NULL) != 0)
        return 3;
    if (crew_shm_data(two.one) || crew_last_error()->code != CREW_ENOENT ||
        !strstr(crew_last_error()->text, "means other memory"))
        return 4;
    if (crew_shm_unlink(next) != 0 || crew_shm_close(next) != 0)
        return 5;
    return crew_shm_data(two.other) || crew_last_error()->code != CREW_EINVAL ? 6 : 0;
}

static void shm__gone_before_its_receiver_asks__is_an_error_there(void **state) {
    struct two two;
    crew_queue q;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    assert_int_equal(crew_queue_create(&q, 0, NULL), 0);
    crew_process p = start(ask_too_late, &q, sizeof q); /* first: one that is forked inherits */
    assert_int_equal(crew_shm_create(&two.one, name_of("one"), 100, NULL), 0);
    assert_int_equal(crew_shm_create(&two.other, name_of("other"), 100, NULL), 0);
    assert_int_equal(crew_shm_unlink(two.one), 0);
    assert_int_equal(crew_shm_unlink(two.other), 0);
    assert_int_equal(crew_shm_close(two.other), 0);
    assert_int_equal(crew_queue_put(q, &two, sizeof two, 0), 0);
    ends_well(p);
    assert_int_equal(crew_queue_destroy(q), 0);
    assert_non_null(crew_shm_data(two.one));
    assert_int_equal(crew_shm_close(two.one), 0);
}

static int look_at_one(crew_call *call) {
    const crew_shm *s = call->in;
    return crew_shm_data(*s) ? 0 : crew_fail(call, 1, "%s", crew_last_error()->text);
}

static int count_stale(crew_call *call) {
    *CREW_OUT(call, int64_t) = is_mapped(CREW_COMMON(call, char));
    return 0;
}

/* A worker lasts: what its tasks have looked at must not add up. */
static void shm__looked_at_by_tasks_and_closed__does_not_stay_in_workers(void **state) {
    enum { ROUNDS = 10 };
    crew_error err;
    int64_t there = 1;
    char common[64];
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(1);
    snprintf(common, sizeof common, "crewtest-round-%d", (int)getpid());
    for (int i = 0; i < ROUNDS; i++) {
        crew_shm s;
        assert_int_equal(crew_shm_create(&s, i < ROUNDS - 1 ? common : name_of("last"), 4096, NULL),
                         0);
        assert_ok(crew_pool_map(p, look_at_one, &s, sizeof s, 1, NULL, 0, NULL, &err), &err);
        assert_int_equal(crew_shm_unlink(s), 0);
        assert_int_equal(crew_shm_close(s), 0);
    }
    const crew_map_opts opts = {.common = common, .common_size = sizeof common};
    assert_ok(crew_pool_map(p, count_stale, NULL, 0, 1, &there, sizeof there, &opts, &err), &err);
    assert_int_equal(there, 0);
    crewtest_free(p);
}

/* The helper's segment: named by its parent, this test. */
static const char *helpers_name(void) {
    static char name[64];
    snprintf(name, sizeof name, "crewtest-helper-%s", getenv("CREWTEST_SHM"));
    return name;
}

static int helper(const char *mode) {
    crew_shm s;
    if (strcmp(mode, "sweeps") == 0)
        return crew_shm_sweep() < 0 || crew_finalize();
    if (crew_shm_create(&s, helpers_name(), 4096, &(crew_shm_opts){.owned = true}) != 0)
        return 1;
    crewtest_set(CELL_STARTED, 1);
    if (strcmp(mode, "is_killed") == 0)
        crewtest_reached(CELL_GATE, 1, 30);
    return crew_finalize();
}

static void shm__owned_by_a_program_that_is_killed__goes_with_the_next_sweep(void **state) {
    char setting[64], name[64];
    crew_shm_info info = {.name = name};
    (void)state;
    snprintf(setting, sizeof setting, "CREWTEST_SHM=%d", (int)getpid());
    snprintf(name, sizeof name, "crewtest-helper-%d", (int)getpid());
    const char *const settings[] = {setting, NULL};
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_GATE, 0);
    pid_t pid = crewtest_helper("is_killed", settings, NULL);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    crew_shm_sweep();
    assert_true(is_there(name));
    kill(pid, SIGKILL);
    crewtest_helper_wait(pid, 10);
    /* Any crew program of this user that starts meanwhile sweeps, too, other tests' as well. */
    CREWTEST_WAIT((crew_shm_each(find_one, &info) == 1 && info.owner == 0) || !is_there(name), 5);
    assert_true(crew_shm_sweep() >= 0);
    CREWTEST_WAIT(!is_there(name), 5); /* one of them may be at it */
    assert_int_equal(crew_shm_each(find_one, &info), 0);
}

static void shm__owned__goes_with_crew_finalize(void **state) {
    char setting[64], name[64];
    char *text;
    (void)state;
    snprintf(setting, sizeof setting, "CREWTEST_SHM=%d", (int)getpid());
    snprintf(name, sizeof name, "crewtest-helper-%d", (int)getpid());
    const char *const settings[] = {setting, NULL};
    int status = crewtest_helper_run("ends", settings, 20, &text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_false(is_there(name));
    free(text);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper(argv[1]);
    const struct CMUnitTest tests[] = {
        CREWTEST(shm__made_and_attached__is_the_same_memory),
        CREWTEST(shm__handle_in_tasks__is_mapped_there),
        CREWTEST(shm__plain_posix_names__are_the_same_ones),
        CREWTEST(shm__bad_requests__are_errors_in_a_sentence),
        CREWTEST(shm__owned__is_listed_with_its_owner),
        CREWTEST(shm__name_given_to_another__unlink_leaves_that_and_its_owner),
        CREWTEST(shm__owned_made_by_a_process__is_the_programs),
        CREWTEST(shm__closed_by_another_process__stays_for_who_uses_it),
        CREWTEST(shm__gone_before_its_receiver_asks__is_an_error_there),
        CREWTEST(shm__looked_at_by_tasks_and_closed__does_not_stay_in_workers),
        CREWTEST(shm__owned_by_a_program_that_is_killed__goes_with_the_next_sweep),
        CREWTEST(shm__owned__goes_with_crew_finalize),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
