/* How much memory this process may still take: the machine's, and what each
 * cgroup above it allows. Everything is read afresh at each call: limits and
 * neighbours change while a program runs. */
#include "os/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Enough for meminfo and memory.stat; a mountinfo that is longer is read as far
 * as it goes (the cgroup mounts come early). */
enum { FILE_MAX = 32 * 1024, PATH_CAP = 1024, DIR_CAP = 3 * PATH_CAP };

/* The text of a file, NUL-terminated. False if it cannot be read. */
static bool read_text(const char *path, char *buf, size_t cap) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    while (len + 1 < cap) {
        ssize_t n = read(fd, buf + len, cap - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(fd);
    buf[len] = '\0';
    return len > 0;
}

/* The number after `key` at the start of a line; 0 if there is none. */
static uint64_t number_of(const char *text, const char *key) {
    size_t len = strlen(key);
    for (const char *line = text; line && *line;) {
        if (strncmp(line, key, len) == 0 && (line[len] == ' ' || line[len] == ':'))
            return strtoull(line + len + 1, NULL, 10);
        line = strchr(line, '\n');
        if (line)
            line++;
    }
    return 0;
}

/* What one cgroup directory leaves. Its page cache counts as used but can be
 * dropped: all of the inactive and, as MemAvailable does, half of the active. */
static uint64_t left_in(const char *dir, bool v2, char *buf) {
    char path[DIR_CAP + 32];
    snprintf(path, sizeof path, "%s/%s", dir, v2 ? "memory.max" : "memory.limit_in_bytes");
    if (!read_text(path, buf, FILE_MAX) || buf[0] < '0' || buf[0] > '9') /* none, or "max" */
        return UINT64_MAX;
    uint64_t limit = strtoull(buf, NULL, 10);
    if (limit >= (uint64_t)1 << 62) /* v1 has no word for "no limit" */
        return UINT64_MAX;
    snprintf(path, sizeof path, "%s/%s", dir, v2 ? "memory.current" : "memory.usage_in_bytes");
    if (!read_text(path, buf, FILE_MAX))
        return limit;
    uint64_t used = strtoull(buf, NULL, 10);
    snprintf(path, sizeof path, "%s/memory.stat", dir);
    if (read_text(path, buf, FILE_MAX)) {
        uint64_t cache = number_of(buf, v2 ? "inactive_file" : "total_inactive_file") +
                         number_of(buf, v2 ? "active_file" : "total_active_file") / 2;
        used -= cache < used ? cache : used;
    }
    return limit > used ? limit - used : 0;
}

/* The path of our cgroup: the line "N:memory:/a/b" (v1) or "0::/a/b" (v2). */
static bool own_cgroup(const char *text, bool v2, char path[PATH_CAP]) {
    for (const char *line = text; line && *line;) {
        const char *end = strchr(line, '\n');
        const char *names = strchr(line, ':');
        const char *where = names ? strchr(names + 1, ':') : NULL;
        if (where && (!end || where < end)) {
            const char *found = strstr(names, "memory");
            bool ours = v2 ? where == names + 1 : found && found < where;
            if (ours) {
                size_t len = end ? (size_t)(end - where - 1) : strlen(where + 1);
                snprintf(path, PATH_CAP, "%.*s", (int)len, where + 1);
                return true;
            }
        }
        line = end ? end + 1 : NULL;
    }
    return false;
}

struct mount {
    char root[PATH_CAP], point[PATH_CAP];
};

/* Where the hierarchy is mounted: "id parent dev ROOT POINT options... - TYPE
 * source SUPEROPTIONS". */
static bool find_mount(char *text, bool v2, struct mount *m) {
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *tail = strstr(line, " - cgroup");
        char type[32], super[512];
        if (!tail || sscanf(tail, " - %31s %*s %511s", type, super) != 2)
            continue;
        if (v2 ? strcmp(type, "cgroup2") != 0
               : strcmp(type, "cgroup") != 0 || !strstr(super, "memory"))
            continue;
        char *fields = line;
        for (int i = 0; i < 3 && fields; i++) {
            fields = strchr(fields, ' ');
            if (fields)
                fields++;
        }
        char *point = fields ? strchr(fields, ' ') : NULL;
        char *end = point ? strchr(point + 1, ' ') : NULL;
        if (!end)
            continue;
        snprintf(m->root, sizeof m->root, "%.*s", (int)(point - fields), fields);
        snprintf(m->point, sizeof m->point, "%.*s", (int)(end - point - 1), point + 1);
        return true;
    }
    return false;
}

/* The least that our cgroup and its ancestors leave. A container sees its own
 * group as the mount's root: then the path is relative to that, or, where it
 * does not lie below, the mount's root is all we can see of our limits. */
static uint64_t left_in_cgroups(const char *root, bool v2, char *buf) {
    char path[PATH_CAP], dir[DIR_CAP];
    static const char *const files[] = {"/proc/self/cgroup", "/proc/self/mountinfo"};
    struct mount m;
    snprintf(dir, sizeof dir, "%s%s", root, files[0]);
    if (!read_text(dir, buf, FILE_MAX) || !own_cgroup(buf, v2, path))
        return UINT64_MAX;
    snprintf(dir, sizeof dir, "%s%s", root, files[1]);
    if (!read_text(dir, buf, FILE_MAX) || !find_mount(buf, v2, &m))
        return UINT64_MAX;

    size_t skip = strcmp(m.root, "/") == 0 ? 0 : strlen(m.root);
    bool below =
        strncmp(path, m.root, skip) == 0 && (path[skip] == '/' || path[skip] == '\0' || skip == 0);
    const char *rel = below && !strstr(path, "..") ? path + skip : "";
    int top = snprintf(dir, sizeof dir, "%s%s", root, m.point);
    snprintf(dir + top, sizeof dir - (size_t)top, "%s", rel);
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t left = left_in(dir, v2, buf);
        least = left < least ? left : least;
        char *slash = strrchr(dir, '/');
        if (!slash || slash < dir + top)
            return least;
        *slash = '\0';
    }
}

uint64_t cw_memory_available_under(const char *root) {
    char buf[FILE_MAX], path[PATH_CAP];
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    uint64_t least = UINT64_MAX;
    if (read_text(path, buf, sizeof buf)) {
        least = number_of(buf, "MemAvailable") * 1024;
        if (least == 0) /* kernels before 3.14 */
            least = (number_of(buf, "MemFree") + number_of(buf, "Cached")) * 1024;
    }
    for (int v2 = 0; v2 < 2; v2++) {
        uint64_t left = left_in_cgroups(root, v2, buf);
        least = left < least ? left : least;
    }
    return least;
}

uint64_t cw_memory_available(void) {
    return cw_memory_available_under("");
}

static bool has_entries(const char *path) {
    DIR *dir = opendir(path);
    const struct dirent *entry = NULL;
    while (dir && (entry = readdir(dir)) && entry->d_name[0] == '.')
        ;
    if (dir)
        closedir(dir);
    return entry;
}

bool cw_memory_is_pinned(void) {
    static const char *const classes[] = {"/sys/class/infiniband", "/sys/class/cxi",
                                          "/sys/class/hfi1"};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (has_entries(classes[i]))
            return true;
    return false;
}
