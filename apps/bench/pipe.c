/* A message to another process and its answer. */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGE = 64 };

/* ---- crew ---- */

/* Answers until the far side closes its end. */
static int answer(crew_call *call) {
    crew_conn c = *CREW_IN(call, crew_conn);
    char message[MESSAGE];
    for (;;) {
        ptrdiff_t size = crew_conn_recv(c, message, sizeof message, CREW_FOREVER);
        if (size == CREW_ECLOSED)
            return crew_conn_close(c);
        if (size < 0 || crew_conn_send(c, message, (size_t)size, CREW_FOREVER) < 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    }
}

static int ask(crew_conn c, int calls, double *seconds) {
    char message[MESSAGE] = {0};
    double start = now();
    for (int i = 0; i < calls; i++)
        if (crew_conn_send(c, message, sizeof message, CREW_FOREVER) < 0 ||
            crew_conn_recv(c, message, sizeof message, CREW_FOREVER) != MESSAGE)
            return broke("pipe", crew_last_error());
    *seconds = (now() - start) / calls;
    return 0;
}

/* ---- pipe(2), one in each direction ---- */

struct peer {
    int there[2], back[2];
    pid_t pid;
};

_Noreturn static void answer_bytes(const struct peer *peer, const cpu_set_t *cpus) {
    char message[MESSAGE];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sched_setaffinity(0, sizeof *cpus, cpus);
    close(peer->there[1]);
    while (read(peer->there[0], message, sizeof message) == MESSAGE &&
           write(peer->back[1], message, sizeof message) == MESSAGE)
        ;
    _exit(0);
}

static int peer_start(const struct bench *b, struct peer *peer) {
    struct place places[256];
    if (b->workers > 256)
        return broke_because("pipe", "it is written for at most 256 workers");
    if (places_of("pipe", b->pool, places))
        return 1;
    if (pipe(peer->there) < 0 || pipe(peer->back) < 0)
        return broke_because("pipe", "no descriptors");
    fflush(stdout);
    peer->pid = fork();
    if (peer->pid == 0)
        answer_bytes(peer, &places[0].cpus);
    close(peer->there[0]);
    close(peer->back[1]);
    return peer->pid < 0 ? broke_because("pipe", "no more processes") : 0;
}

static void peer_end(struct peer *peer) {
    close(peer->there[1]);
    close(peer->back[0]);
    while (waitpid(peer->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static int ask_bytes(const struct peer *peer, int calls, double *seconds) {
    char message[MESSAGE] = {0};
    double start = now();
    for (int i = 0; i < calls; i++)
        if (write(peer->there[1], message, sizeof message) != MESSAGE ||
            read(peer->back[0], message, sizeof message) != MESSAGE)
            return broke_because("pipe", "the other process has gone");
    *seconds = (now() - start) / calls;
    return 0;
}

/* ---- both ---- */

static int rounds(const struct bench *b, crew_conn c, const struct peer *peer, struct race *race) {
    const int calls = b->quick ? 20000 : 200000;
    int result = 0;
    for (int round = -1; !result && round < b->rounds; round++) {
        double seconds = 0, other = 0;
        result = ask(c, calls, &seconds) || ask_bytes(peer, calls / 10, &other);
        if (!result && round >= 0) {
            side_add(&race->side[0], seconds);
            side_add(&race->side[1], other);
        }
    }
    return result;
}

int measure_pipe(const struct bench *b) {
    struct race race = {0};
    struct peer peer;
    crew_conn here, there;
    crew_error err;
    if (peer_start(b, &peer))
        return 1;
    if (crew_pipe_create(&here, &there, true) < 0)
        return broke("pipe", crew_last_error());
    race_enter(&race, "crew");
    race_enter(&race, "two pipe(2)");
    crew_future *f = crew_submit(b->pool, answer, &there, sizeof there, NULL, &err);
    int result = f ? rounds(b, here, &peer, &race) : broke("pipe", &err);
    crew_conn_close(here);
    if (f && crew_future_result(f, NULL, 0, CREW_FOREVER, &err) < 0)
        result = broke("pipe", &err);
    if (f)
        crew_future_free(f);
    peer_end(&peer);
    if (!result)
        report("pipe", &race.side[0], &race.side[1], UNIT_TIME, (struct bound){BOUND_VALUE, 2e-6},
               "64 bytes there and back, both sides awake");
    return result;
}
