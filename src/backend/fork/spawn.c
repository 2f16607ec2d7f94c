#include "backend/fork/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* All of /proc/self/cmdline, terminated. NULL with errno. Never freed: exec
 * follows, or the end. */
static char *read_arguments(size_t *size) {
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    size_t room = 1 << 16, used = 0;
    char *text = fd < 0 ? NULL : malloc(room);
    while (text) {
        ssize_t n = read(fd, text + used, room - used - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return NULL;
        used += (size_t)n;
        if (n == 0)
            break;
        if (used + 1 < room)
            continue;
        char *more = realloc(text, room *= 2);
        if (!more)
            return NULL;
        text = more;
    }
    if (text)
        text[used] = 0;
    *size = used;
    return text;
}

static char **split(char *text, size_t size) {
    size_t argc = 0;
    for (const char *at = text; at < text + size; at += strlen(at) + 1)
        argc++;
    char **argv = calloc(argc + 1, sizeof *argv);
    argc = 0;
    for (char *at = text; argv && at < text + size; at += strlen(at) + 1)
        argv[argc++] = at;
    return argv;
}

int cw_spawn_exec(const struct cw_nursery_order *order, pid_t nursery) {
    char value[160];
    size_t size;
    char *text = read_arguments(&size);
    char **argv = text ? split(text, size) : NULL;
    snprintf(value, sizeof value, "%d,%d,%" PRIu64 ",%d,%d,%" PRIx64 ",%" PRIx64, order->segment_fd,
             order->root_fd, order->billet.team, order->billet.rank, (int)nursery,
             order->signals.caught, order->signals.ignored);
    if (!argv || setenv(CW_SPAWN_VARIABLE, value, 1) != 0)
        return errno ? errno : ENOMEM;
    fcntl(order->segment_fd, F_SETFD, 0);
    fcntl(order->root_fd, F_SETFD, 0);
    execve("/proc/self/exe", argv, environ);
    return errno;
}

bool cw_spawn_read(const char *text, struct cw_spawned *spawned) {
    struct cw_spawned s;
    int parent, end = 0;
    if (sscanf(text, "%d,%d,%" SCNu64 ",%d,%d,%" SCNx64 ",%" SCNx64 "%n", &s.segment_fd, &s.root_fd,
               &s.billet.team, &s.billet.rank, &parent, &s.signals.caught, &s.signals.ignored,
               &end) != 7 ||
        text[end])
        return false;
    s.parent = parent;
    *spawned = s;
    return true;
}
