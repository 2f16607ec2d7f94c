/* The CPU quota of this process's control group and of all its ancestors.
 *
 * A process names its group relative to its cgroup namespace
 * (/proc/self/cgroup); a mount shows the tree from some group downwards, which
 * mountinfo names in the same way. So the group's directory is the mount point
 * plus what the group's path has beyond the mount's root. */
#include "topo/topo.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lookup {
    const char *root; /* "" or the directory that stands for "/" */
    bool unified;     /* v2: cpu.max; else v1: cpu.cfs_* of the hierarchy with "cpu" */
    char group[PATH_MAX];
    int cpus;    /* the smallest quota seen, 0: none */
    bool placed; /* a mount shows our group or an ancestor of it */
};

/* The next field of a line that `separators` divide, NULL after the last. */
static char *next_field(char **rest, const char *separators) {
    return *rest ? strsep(rest, separators) : NULL;
}

/* Whether word is one of a comma list's. */
static bool listed(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += n)
        if ((at == list || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* What path has beyond the directory top ("" if they are the same), NULL if it
 * does not lie in it. */
static const char *beyond(const char *path, const char *top) {
    size_t n = strlen(top);
    while (n > 0 && top[n - 1] == '/')
        n--;
    if (strncmp(path, top, n) != 0 || (path[n] != '/' && path[n] != '\0'))
        return NULL;
    path += n;
    return strcmp(path, "/") == 0 ? "" : path;
}

/* How many groups above the namespace's root a path begins, and whether it ends
 * there. */
static int climbs(const char *path, bool *nothing_else) {
    int count = 0;
    for (; strncmp(path, "/..", 3) == 0 && (path[3] == '/' || path[3] == '\0'); path += 3)
        count++;
    *nothing_else = *path == '\0' || strcmp(path, "/") == 0;
    return count;
}

/* A mount that begins further above our namespace's root than our group does:
 * the groups between are not named anywhere, but its top is an ancestor. */
static bool begins_above(const char *mount_root, const char *group) {
    bool mount_only_climbs, group_only_climbs;
    return climbs(mount_root, &mount_only_climbs) > climbs(group, &group_only_climbs) &&
           mount_only_climbs;
}

static bool goes_up(const char *path) {
    for (const char *at = path; (at = strstr(at, "/..")) != NULL; at += 3)
        if (at[3] == '/' || at[3] == '\0')
            return true;
    return false;
}

static bool read_text(const char *dir, const char *name, char *text, size_t cap) {
    char path[2 * PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool ok = fgets(text, (int)cap, file) != NULL;
    fclose(file);
    return ok;
}

/* Takes the quota of one group's directory into account. No file, "max" and -1
 * are no limit. */
static void read_group(struct lookup *l, const char *dir) {
    char text[128], period_text[64];
    long long quota, period;
    if (l->unified) {
        if (!read_text(dir, "cpu.max", text, sizeof text) ||
            sscanf(text, "%lld %lld", &quota, &period) != 2)
            return;
    } else {
        if (!read_text(dir, "cpu.cfs_quota_us", text, sizeof text) ||
            !read_text(dir, "cpu.cfs_period_us", period_text, sizeof period_text) ||
            sscanf(text, "%lld", &quota) != 1 || sscanf(period_text, "%lld", &period) != 1)
            return;
    }
    if (quota <= 0 || period <= 0)
        return;
    long long cpus = quota / period + (quota % period != 0);
    if (cpus > INT_MAX)
        cpus = INT_MAX;
    if (l->cpus == 0 || cpus < l->cpus)
        l->cpus = (int)cpus;
}

/* Reads the directory `below` under the mount point and all above it, up to the
 * mount point itself. */
static void read_ancestry(struct lookup *l, const char *mount_point, const char *below) {
    char dir[2 * PATH_MAX];
    int top = snprintf(dir, sizeof dir, "%s%s", l->root, mount_point);
    if (top < 0 || (size_t)top >= sizeof dir)
        return;
    size_t base = (size_t)top;
    if (base + strlen(below) >= sizeof dir)
        return;
    strcpy(dir + base, below);
    for (;;) {
        read_group(l, dir);
        char *slash = strrchr(dir + base, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* This process's path in the hierarchy that l asks for. */
static bool find_group(struct lookup *l) {
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/proc/self/cgroup", l->root) >= sizeof path)
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    while (!found && getline(&line, &cap, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        char *rest = line;
        const char *number = next_field(&rest, ":");
        const char *controllers = next_field(&rest, ":");
        if (!number || !controllers || !rest)
            continue;
        found = l->unified ? strcmp(number, "0") == 0 && *controllers == '\0'
                           : listed(controllers, "cpu");
        if (found && (size_t)snprintf(l->group, sizeof l->group, "%s", rest) >= sizeof l->group)
            found = false;
    }
    free(line);
    fclose(file);
    return found;
}

/* One line of mountinfo:
 *     36 35 98:0 /root /mount/point rw,noatime master:1 - cgroup2 source rw,cpu
 * With last_resort, a mount that does not show our group counts as if it did. */
static void read_mount(struct lookup *l, char *line, bool last_resort) {
    line[strcspn(line, "\n")] = '\0';
    char *tail = strstr(line, " - ");
    if (!tail)
        return;
    *tail = '\0';
    tail += 3;
    const char *type = next_field(&tail, " ");
    next_field(&tail, " ");
    const char *options = next_field(&tail, " ");
    bool fits = type && options &&
                (l->unified ? strcmp(type, "cgroup2") == 0
                            : strcmp(type, "cgroup") == 0 && listed(options, "cpu"));
    if (!fits)
        return;

    char *rest = line;
    for (int i = 0; i < 3; i++)
        next_field(&rest, " ");
    char *mount_root = next_field(&rest, " ");
    char *mount_point = next_field(&rest, " ");
    if (!mount_root || !mount_point)
        return;
    unescape(mount_root);
    unescape(mount_point);

    const char *below = beyond(l->group, mount_root);
    if (below && !goes_up(below)) {
        l->placed = true;
        read_ancestry(l, mount_point, below);
    } else if (last_resort || begins_above(mount_root, l->group)) {
        l->placed = true;
        read_ancestry(l, mount_point, "");
    }
}

static void read_mounts(struct lookup *l, bool last_resort) {
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/proc/self/mountinfo", l->root) >= sizeof path)
        return;
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, file) > 0)
        read_mount(l, line, last_resort);
    free(line);
    fclose(file);
}

int cw_quota_cpus(const char *root) {
    int cpus = 0;
    for (int unified = 0; unified <= 1; unified++) {
        struct lookup l = {.root = root ? root : "", .unified = unified};
        if (!find_group(&l))
            continue;
        read_mounts(&l, false);
        /* Some container managers mount a group under another name than the one
         * /proc tells: what the container sees at its mount point is then all
         * that can be known. */
        if (!l.placed)
            read_mounts(&l, true);
        if (l.cpus > 0 && (cpus == 0 || l.cpus < cpus))
            cpus = l.cpus;
    }
    return cpus;
}

int cw_cpu_count(const char *root) {
    cw_cpuset mask;
    long count;
    if (cw_affinity_get(&mask) == 0)
        count = cw_cpuset_count(&mask);
    else
        count = sysconf(_SC_NPROCESSORS_ONLN);
    int quota = cw_quota_cpus(root);
    if (quota > 0 && quota < count)
        count = quota;
    return count > 1 ? (int)count : 1;
}
