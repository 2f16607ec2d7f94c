/* cluster/job.c - work for batch jobs that are stopped and killed: a map with a journal.
 *
 *     job COUNT MS RAN JOURNAL      JOURNAL "": that of CREW_JOURNAL
 *
 * Each item takes MS milliseconds, then writes a line to the file RAN. Says what became of
 * the map, and at the end, if it is whole, the sum of all results. */
#include <crew/crew.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct work {
    long ms;
    char ran[400];
};

static int item(crew_call *call) {
    const struct work *w = CREW_COMMON(call, struct work);
    const struct timespec pause = {w->ms / 1000, w->ms % 1000 * 1000000};
    char line[32];
    nanosleep(&pause, NULL);
    int fd = open(w->ran, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int n = snprintf(line, sizeof line, "%lld\n", (long long)call->index);
    if (fd < 0 || write(fd, line, (size_t)n) != n || close(fd) != 0)
        return crew_fail(call, 1, "%s cannot be written", w->ran);
    *CREW_OUT(call, int64_t) = call->index;
    return 0;
}

int main(int argc, char **argv) {
    if (crew_init(&argc, &argv) < 0 || argc != 5) {
        fprintf(stderr, "job: %s\n", argc != 5 ? "four arguments" : crew_last_error()->text);
        return 2;
    }
    crew_error err;
    struct work w = {.ms = atol(argv[2])};
    int64_t count = atoll(argv[1]), sum = 0, *out = calloc((size_t)count, sizeof *out);
    snprintf(w.ran, sizeof w.ran, "%s", argv[3]);
    crew_pool *p = crew_pool_open(NULL, &err);
    if (!p || !out) {
        fprintf(stderr, "job: %s\n", p ? "no memory" : err.text);
        return 2;
    }
    const crew_map_opts opts = {
        .journal = argv[4][0] ? argv[4] : NULL, .common = &w, .common_size = sizeof w, .chunk = 1};
    int rc = crew_map_index(p, item, count, out, &opts, &err);
    for (int64_t i = 0; i < count; i++)
        sum += out[i];
    if (rc == 0)
        printf("all of %lld: the sum is %lld\n", (long long)count, (long long)sum);
    else
        printf("%s\n", err.text);
    crew_pool_free(p);
    int code = crew_finalize();
    return rc < 0 && rc != CREW_ESTOPPED ? 1 : code;
}
