/* mpi/launched.c - a program as somebody writes it who has read the first page, for
 * tests/mpi/launched.sh, which starts it as they would. There is no crew_finalize.
 *
 *     returns   3 from main
 *     forgets   no more than the crew_finalize: 0
 *     crashes   SIGSEGV in the manager
 *     waits     in a map, until it is ended; it says when all have begun
 *     prints    a line in each of 50 tasks, with a bar
 *     talks     in tasks, without end */
#include <crew/crew.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static int waits(crew_call *call) {
    const struct timespec minute = {60, 0};
    printf("begun %d\n", call->worker);
    fflush(stdout);
    nanosleep(&minute, NULL);
    return 0;
}

static int talks(crew_call *call) {
    printf("a line of item %lld\n", (long long)*CREW_IN(call, int64_t));
    return 0;
}

static int seven(crew_call *call) {
    *CREW_OUT(call, int) = 7;
    return 0;
}

int main(int argc, char **argv) {
    const struct rlimit no_core = {0, 0};
    int out[100];
    crew_error err;
    setrlimit(RLIMIT_CORE, &no_core);
    if (crew_init(&argc, &argv) < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        return 9;
    }
    const char *what = argc > 1 ? argv[1] : "returns";
    crew_pool *pool = crew_pool_open(NULL, &err);
    int rc = pool ? 0 : err.code;
    if (rc == 0 && strcmp(what, "waits") == 0)
        rc = crew_pool_map(pool, waits, NULL, 0, 1000, NULL, 0, NULL, &err);
    else if (rc == 0 && strcmp(what, "prints") == 0)
        rc = crew_pool_map(pool, talks, NULL, 0, 50, NULL, 0, &(crew_map_opts){.progress = true},
                           &err);
    else if (rc == 0 && strcmp(what, "talks") == 0)
        rc = crew_pool_map(pool, talks, NULL, 0, (int64_t)1 << 40, NULL, 0, NULL, &err);
    else if (rc == 0)
        rc = crew_map_index(pool, seven, 100, out, NULL, &err);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 8;
    }
    if (strcmp(what, "crashes") == 0)
        raise(SIGSEGV);
    return strcmp(what, "forgets") == 0 ? 0 : 3;
}
