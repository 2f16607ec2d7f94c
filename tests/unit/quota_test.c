/* The CPU quota of control groups, in directories that stand for "/". */
#include "topo/topo.h"

#include <crew/topology.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define V2 "30 20 0:26 %s /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1 "33 31 0:29 %s /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
#define OTHERS                                                                                     \
    "20 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"                                              \
    "32 31 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"

static char root[PATH_MAX];

static int make_root(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/crew_quota_XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int remove_root(void **state) {
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A file below the root, with the directories it needs. */
static void put(const char *name, const char *text) {
    char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void put_group(const char *text) {
    put("/proc/self/cgroup", text);
}

/* mountinfo with one mount that begins at mount_root, among others. */
static void put_mount(const char *kind, const char *mount_root) {
    char line[1024], text[2048];
    snprintf(line, sizeof line, strcmp(kind, V1) == 0 ? V1 : V2, mount_root);
    snprintf(text, sizeof text, "%s%s", OTHERS, line);
    put("/proc/self/mountinfo", text);
}

static void put_v1(const char *group, const char *quota, const char *period) {
    char name[PATH_MAX];
    snprintf(name, sizeof name, "/sys/fs/cgroup/cpu,cpuacct%s/cpu.cfs_quota_us", group);
    put(name, quota);
    snprintf(name, sizeof name, "/sys/fs/cgroup/cpu,cpuacct%s/cpu.cfs_period_us", group);
    put(name, period);
}

/* ---- v2 ------------------------------------------------------------------ */

static void quota__v2_group_with_cpu_max__is_rounded_up(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int cpus;
    } cases[] = {
        {"200000 100000\n", 2},
        {"250000 100000\n", 3},
        {"1000 100000\n", 1},
        {"100001 100000\n", 2},
        {"max 100000\n", 0},
        {"50000 10000\n", 5},
        {"\n", 0},
        {"0 100000\n", 0},
        {"100000 0\n", 0},
        {"9000000000000 1\n", INT_MAX},
    };
    put_group("0::/user.slice/job\n");
    put_mount(V2, "/");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("/sys/fs/cgroup/user.slice/job/cpu.max", cases[i].text);
        assert_int_equal(cw_quota_cpus(root), cases[i].cpus);
    }
}

static void quota__v2_ancestor_is_tighter__counts(void **state) {
    (void)state;
    put_group("0::/a/b/c\n");
    put_mount(V2, "/");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 8);
    put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 3);
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(cw_quota_cpus(root), 3);
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 2);
    put("/sys/fs/cgroup/a/b/sibling/cpu.max", "100000 100000\n");
    put("/sys/fs/cpu.max", "100000 100000\n"); /* above the mount: not a group */
    assert_int_equal(cw_quota_cpus(root), 2);
}

static void quota__no_file_at_all__is_none(void **state) {
    (void)state;
    assert_int_equal(cw_quota_cpus(root), 0);
    put_group("0::/a\n");
    assert_int_equal(cw_quota_cpus(root), 0);
    put_mount(V2, "/");
    assert_int_equal(cw_quota_cpus(root), 0);
    put("/proc/self/cgroup", "nonsense\n::\n0:\n");
    assert_int_equal(cw_quota_cpus(root), 0);
    put("/proc/self/mountinfo", "nonsense\n - \n - cgroup2\n1 2 - cgroup2 x rw\n");
    put_group("0::/a\n");
    assert_int_equal(cw_quota_cpus(root), 0);
}

/* ---- v1 ------------------------------------------------------------------ */

static void quota__v1_quota_and_period__are_divided_and_rounded_up(void **state) {
    (void)state;
    put_group("5:cpuset:/elsewhere\n4:cpu,cpuacct:/a/b\n1:name=systemd:/x\n");
    put_mount(V1, "/");
    put_v1("/a/b", "-1\n", "100000\n");
    assert_int_equal(cw_quota_cpus(root), 0);
    put_v1("/a/b", "350000\n", "100000\n");
    assert_int_equal(cw_quota_cpus(root), 4);
    put_v1("/a", "150000\n", "50000\n");
    assert_int_equal(cw_quota_cpus(root), 3);
    put_v1("/", "-1\n", "100000\n");
    put_v1("/elsewhere", "100000\n", "100000\n");
    assert_int_equal(cw_quota_cpus(root), 3);
}

static void quota__v1_controllers_that_only_begin_with_cpu__do_not_count(void **state) {
    (void)state;
    put_group("5:cpuset:/a\n4:cpuacct:/a\n");
    put_mount(V1, "/");
    put_v1("/a", "100000\n", "100000\n");
    assert_int_equal(cw_quota_cpus(root), 0);
}

static void quota__v1_and_v2_together__the_tighter_counts(void **state) {
    (void)state;
    put_group("4:cpu,cpuacct:/a\n0::/b\n");
    put("/proc/self/mountinfo",
        "33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "30 20 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put_v1("/a", "400000\n", "100000\n");
    assert_int_equal(cw_quota_cpus(root), 4);
    put("/sys/fs/cgroup/unified/b/cpu.max", "300000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 3);
    put_v1("/a", "200000\n", "100000\n");
    assert_int_equal(cw_quota_cpus(root), 2);
}

/* ---- namespaces and mounts ------------------------------------------------ */

static void quota__mount_begins_at_the_group__is_read_at_the_mount_point(void **state) {
    (void)state;
    put_group("4:cpu,cpuacct:/docker/0123\n");
    put_mount(V1, "/docker/0123");
    put_v1("/", "200000\n", "100000\n");
    assert_int_equal(cw_quota_cpus(root), 2);
    put_group("4:cpu,cpuacct:/docker/0123/inner\n");
    put_v1("/inner", "100000\n", "100000\n");
    assert_int_equal(cw_quota_cpus(root), 1);
}

static void quota__group_name_only_begins_like_the_mounts__is_another(void **state) {
    (void)state;
    put_group("0::/docker/0123456\n");
    put("/proc/self/mountinfo", "30 20 0:26 /docker/0123 /one rw - cgroup2 cgroup2 rw\n"
                                "31 20 0:26 / /all rw - cgroup2 cgroup2 rw\n");
    put("/one456/cpu.max", "100000 100000\n");
    put("/one/456/cpu.max", "100000 100000\n");
    put("/one/cpu.max", "200000 100000\n");
    put("/all/docker/0123456/cpu.max", "300000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 3);
}

static void quota__mount_begins_above_the_namespace__its_top_counts(void **state) {
    (void)state;
    put_group("0::/\n");
    put_mount(V2, "/../..");
    put("/sys/fs/cgroup/cpu.max", "500000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 5);
    /* a mount of somebody else's group beside it does not count */
    put("/proc/self/mountinfo", "30 20 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                                "31 20 0:26 /child /child rw - cgroup2 cgroup2 rw\n");
    put("/child/cpu.max", "100000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 5);
    /* nor does one that begins below an ancestor of ours */
    put_group("0::/../../x\n");
    put("/proc/self/mountinfo", "30 20 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                                "31 20 0:26 /.. /child rw - cgroup2 cgroup2 rw\n");
    assert_int_equal(cw_quota_cpus(root), 5);
}

static void quota__group_outside_the_namespace__never_leaves_the_mount(void **state) {
    (void)state;
    put_group("0::/../other\n");
    put("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                                "31 20 0:26 /.. /upper rw - cgroup2 cgroup2 rw\n");
    put("/sys/fs/other/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    put("/upper/other/cpu.max", "400000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 4);
}

static void quota__no_mount_shows_the_group__the_mount_point_is_taken(void **state) {
    (void)state;
    put_group("4:cpu,cpuacct:/garden/bad\n");
    put_mount(V1, "/garden/good");
    put_v1("/", "300000\n", "100000\n");
    assert_int_equal(cw_quota_cpus(root), 3);
}

static void quota__mount_point_with_escaped_characters__is_found(void **state) {
    (void)state;
    put_group("0::/a b\n");
    put("/proc/self/mountinfo", "30 20 0:26 / /with\\040space\\134 rw - cgroup2 cgroup2 rw\n");
    put("/with space\\/a b/cpu.max", "600000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 6);
    put("/proc/self/mountinfo", "30 20 0:26 /a\\040b /own rw - cgroup2 cgroup2 rw\n"
                                "31 20 0:26 /other /other rw - cgroup2 cgroup2 rw\n");
    put("/own/cpu.max", "200000 100000\n");
    put("/other/cpu.max", "100000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 2);
}

static void quota__very_long_mount_lines__do_not_hide_others(void **state) {
    (void)state;
    enum { LONG = 200000 };
    char *text = malloc(LONG + 512);
    assert_non_null(text);
    int n = sprintf(text, "29 1 0:3 / /merged rw - overlay overlay lowerdir=");
    memset(text + n, 'x', LONG);
    sprintf(text + n + LONG, "\n30 20 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    put_group("0::/a\n");
    put("/proc/self/mountinfo", text);
    free(text);
    put("/cg/a/cpu.max", "700000 100000\n");
    assert_int_equal(cw_quota_cpus(root), 7);
}

/* ---- the real one -------------------------------------------------------- */

static int lower(int a, int b) {
    return a < b ? a : b;
}

static void cpu_count__quota_below_the_mask__is_the_quota(void **state) {
    (void)state;
    cw_cpuset all;
    assert_int_equal(cw_affinity_get(&all), 0);
    put_group("0::/a\n");
    put_mount(V2, "/");
    put("/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
    assert_int_equal(cw_cpu_count(root), 1);
    put("/sys/fs/cgroup/a/cpu.max", "900000000 100000\n");
    assert_int_equal(cw_cpu_count(root), lower(cw_cpuset_count(&all), 9000));
    put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    assert_int_equal(cw_cpu_count(root), cw_cpuset_count(&all));
}

static void cpu_count__mask_of_this_process_shrinks__follows(void **state) {
    (void)state;
    cw_cpuset all, set = {0}, back;
    assert_int_equal(cw_affinity_get(&all), 0);
    int quota = cw_quota_cpus(NULL) > 0 ? cw_quota_cpus(NULL) : INT_MAX;
    assert_int_equal(crew_cpu_count(), lower(cw_cpuset_count(&all), quota));

    int counted = 0;
    for (int cpu = 0; cpu < CW_MAX_CPUS; cpu++) {
        if (!cw_cpuset_has(&all, cpu))
            continue;
        cw_cpuset_add(&set, cpu);
        counted++;
        assert_int_equal(cw_affinity_set(&set), 0);
        assert_int_equal(cw_affinity_get(&back), 0);
        assert_memory_equal(&back, &set, sizeof set);
        assert_int_equal(crew_cpu_count(), lower(counted, quota));
    }
    assert_int_equal(counted, cw_cpuset_count(&all));
    assert_int_equal(cw_affinity_set(&all), 0);
}

static void affinity__set_to_nothing__is_refused_and_changes_nothing(void **state) {
    (void)state;
    cw_cpuset before, after, none = {0};
    assert_int_equal(cw_affinity_get(&before), 0);
    assert_int_equal(cw_affinity_set(&none), -EINVAL);
    assert_int_equal(cw_affinity_get(&after), 0);
    assert_memory_equal(&before, &after, sizeof before);
}

int main(void) {
#define ROOTED(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        ROOTED(quota__v2_group_with_cpu_max__is_rounded_up),
        ROOTED(quota__v2_ancestor_is_tighter__counts),
        ROOTED(quota__no_file_at_all__is_none),
        ROOTED(quota__v1_quota_and_period__are_divided_and_rounded_up),
        ROOTED(quota__v1_controllers_that_only_begin_with_cpu__do_not_count),
        ROOTED(quota__v1_and_v2_together__the_tighter_counts),
        ROOTED(quota__mount_begins_at_the_group__is_read_at_the_mount_point),
        ROOTED(quota__group_name_only_begins_like_the_mounts__is_another),
        ROOTED(quota__mount_begins_above_the_namespace__its_top_counts),
        ROOTED(quota__group_outside_the_namespace__never_leaves_the_mount),
        ROOTED(quota__no_mount_shows_the_group__the_mount_point_is_taken),
        ROOTED(quota__mount_point_with_escaped_characters__is_found),
        ROOTED(quota__very_long_mount_lines__do_not_hide_others),
        ROOTED(cpu_count__quota_below_the_mask__is_the_quota),
        cmocka_unit_test(cpu_count__mask_of_this_process_shrinks__follows),
        cmocka_unit_test(affinity__set_to_nothing__is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
