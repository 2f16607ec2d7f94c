/* unit/quota_real_test.c - a control group of our own with a CPU quota: what is counted
 * in it, and what a pool makes of it. Skips where no group can be made, and says why. */
#include "crewtest.h"

#include "topo/topo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char outer[256], inner[300]; /* the group, and one in it */
static bool unified;
static char why_not[400];

static int put(const char *dir, const char *name, const char *text) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int code = n == (ssize_t)strlen(text) ? 0 : errno;
    if (fd >= 0)
        close(fd);
    return code;
}

static int set_quota(const char *dir, int percent) { /* of one CPU; 0: none */
    char text[64];
    if (unified) {
        snprintf(text, sizeof text, percent ? "%d000 100000" : "max 100000", percent);
        return put(dir, "cpu.max", text);
    }
    snprintf(text, sizeof text, "%d", percent ? percent * 1000 : -1);
    int code = put(dir, "cpu.cfs_period_us", "100000");
    return code ? code : put(dir, "cpu.cfs_quota_us", text);
}

/* A group below one of the usual places that takes a quota. */
static bool make_group(const char *place, bool v2) {
    unified = v2;
    snprintf(outer, sizeof outer, "%s/crew-test-%d", place, (int)getpid());
    snprintf(inner, sizeof inner, "%s/inner", outer);
    int code = mkdir(outer, 0755) == 0 ? 0 : errno;
    if (code == 0 && v2)
        put(outer, "cgroup.subtree_control", "+cpu");
    if (code == 0 && mkdir(inner, 0755) != 0)
        code = errno;
    if (code == 0)
        code = set_quota(inner, 50);
    if (code == 0)
        return true;
    size_t used = strlen(why_not);
    snprintf(why_not + used, sizeof why_not - used, "%s: %s. ", place, strerror(code));
    rmdir(inner);
    rmdir(outer);
    return false;
}

static int make_any(void **state) {
    static const struct {
        const char *path;
        bool v2;
    } places[] = {{"/sys/fs/cgroup/cpu", false},
                  {"/sys/fs/cgroup/cpu,cpuacct", false},
                  {"/sys/fs/cgroup", true},
                  {"/sys/fs/cgroup/unified", true}};
    (void)state;
    outer[0] = why_not[0] = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (make_group(places[i].path, places[i].v2))
            return 0;
    outer[0] = 0;
    return 0;
}

/* The last process of a group may be on its way out of it. */
static int remove_group(void **state) {
    (void)state;
    if (!outer[0])
        return 0;
    for (double end = crewtest_now() + 10; crewtest_now() < end; crewtest_pause()) {
        rmdir(inner);
        if (rmdir(outer) == 0)
            return 0;
    }
    return -1;
}

struct seen {
    int quota, count, workers, sum;
};

static int index_task(crew_call *call) {
    int n = (int)*CREW_IN(call, int64_t);
    return crew_task_result(call, &n, sizeof n);
}

/* In a process in the group: a program that starts there. */
static struct seen look(int cpus) {
    struct seen seen = {.workers = -1};
    cw_cpuset all, some = {0};
    cw_affinity_get(&all);
    for (int cpu = 0; cpu < CW_MAX_CPUS && cpus > 0; cpu++)
        if (cw_cpuset_has(&all, cpu)) {
            cw_cpuset_add(&some, cpu);
            cpus--;
        }
    cw_affinity_set(&some);
    seen.quota = cw_quota_cpus(NULL);
    seen.count = crew_cpu_count();
    crew_pool *p = crew_pool_open(NULL, NULL);
    int out[20];
    if (p && crew_map_index(p, index_task, 20, out, NULL, NULL) == 0)
        for (int i = 0; i < 20; i++)
            seen.sum += out[i];
    seen.workers = p ? crew_pool_workers(p) : -1;
    crew_pool_free(p);
    crew_finalize();
    return seen;
}

static struct seen look_in(const char *group, int cpus) {
    struct seen seen = {.workers = -2};
    int ends[2], status;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char text[32];
        snprintf(text, sizeof text, "%d", (int)getpid());
        if (put(group, "cgroup.procs", text) != 0)
            _exit(2);
        seen = look(cpus);
        _exit(write(ends[1], &seen, sizeof seen) == sizeof seen ? 0 : 3);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], &seen, sizeof seen);
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(n, sizeof seen);
    return seen;
}

static int lower(int a, int b) {
    return a < b ? a : b;
}

static void quota__of_a_real_group__limits_what_is_counted_and_opened(void **state) {
    (void)state;
    if (!outer[0]) {
        printf("no control group with a CPU quota can be made here. %s\n", why_not);
        skip();
    }
    cw_cpuset all;
    assert_int_equal(cw_affinity_get(&all), 0);
    int cpus = cw_cpuset_count(&all), around = cw_quota_cpus(NULL);
    const struct {
        int outer, inner, quota;
    } rows[] = {{0, 50, 1}, {0, 150, 2}, {50, 0, 1}, {100, 0, 1}, {120, 800, 2}, {0, 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int limit = rows[i].quota;
        if (around && (!limit || around < limit))
            limit = around;
        /* A group may not have more than the one around it: none first. */
        set_quota(inner, 0);
        assert_int_equal(set_quota(outer, rows[i].outer), 0);
        if (set_quota(inner, rows[i].inner) != 0) {
            assert_false(unified); /* v1 refuses a looser one inside */
            limit = (rows[i].outer + 99) / 100;
        }
        for (int mask = 1; mask <= cpus && mask <= 2; mask++) {
            struct seen seen = look_in(inner, mask);
            assert_int_equal(seen.quota, limit);
            assert_int_equal(seen.count, limit ? lower(mask, limit) : mask);
            assert_int_equal(seen.workers, seen.count);
            assert_int_equal(seen.sum, 190);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            quota__of_a_real_group__limits_what_is_counted_and_opened, make_any, remove_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
