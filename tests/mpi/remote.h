/* mpi/remote.h - objects of one node, used by workers of every node.
 *
 * All objects are made twice: by the manager, and by a worker of another node, so that the
 * manager, too, is far from some, and two nodes that are not the manager's talk to each
 * other. */
#ifndef REMOTE_H
#define REMOTE_H

#include "crewtest.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CELL_SUM = CELL_OWN,
    CELL_INSIDE,
    CELL_SUM_2,
    CELL_INSIDE_2,
    CELL_WORST,
    CELL_READY,
    CELL_VICTIM,
    WORKERS = 6,
    ROUNDS = 60
};
static const double SOON = 30; /* the machine may have other work */

/* ---- one task on every worker ------------------------------------------- */

/* What every object test gets. */
struct all {
    crew_lock lock;
    crew_rlock rlock;
    crew_sem sem;
    crew_event event;
    crew_cond cond;
    crew_barrier barrier;
    crew_queue queue, back;
    crew_dict dict;
    crew_list list;
    crew_value whole, real;
    int64_t workers;
    int64_t node; /* for tasks that are about one: they do nothing elsewhere */
};

static inline int fine(crew_call *call, int rc, const char *what) {
    return rc == 0 ? 0 : crew_fail(call, 1, "node %d: %s: %d %s", call->node, what, rc,
                                   crew_last_error()->text);
}
#define TRY(expression)                                                                            \
    do {                                                                                           \
        int rc_ = (int)(expression);                                                               \
        if (rc_ != 0)                                                                              \
            return fine(call, rc_, #expression);                                                   \
    } while (0)
#define WANT(expression, wanted)                                                                   \
    do {                                                                                           \
        int64_t is_ = (int64_t)(expression);                                                       \
        if (is_ != (int64_t)(wanted))                                                              \
            return crew_fail(call, 2, "node %d, line %d: %s is %lld, not %s (%s)", call->node,     \
                             __LINE__, #expression, (long long)is_, #wanted,                       \
                             crew_last_error()->text);                                             \
    } while (0)

static inline int count_in(crew_call *call) {
    (void)call;
    crewtest_add(CELL_INSIDE, 1);
    return 0;
}

static inline int make_all(struct all *a, int parties) {
    memset(a, 0, sizeof *a);
    a->node = -1;
    a->workers = parties;
    int rc = crew_lock_create(&a->lock);
    rc = rc ? rc : crew_rlock_create(&a->rlock);
    rc = rc ? rc : crew_sem_create(&a->sem, 2, 2);
    rc = rc ? rc : crew_event_create(&a->event);
    rc = rc ? rc : crew_cond_create(&a->cond, a->lock);
    rc = rc ? rc : crew_barrier_create(&a->barrier, parties, count_in);
    rc = rc ? rc : crew_queue_create(&a->queue, 4, &(crew_queue_opts){.eof = true});
    rc = rc ? rc : crew_queue_create(&a->back, 0, NULL);
    rc = rc ? rc : crew_dict_create(&a->dict);
    rc = rc ? rc : crew_list_create(&a->list);
    rc = rc ? rc : crew_value_create(&a->whole, CREW_I64);
    return rc ? rc : crew_value_create(&a->real, CREW_F64);
}

static inline int end_all(const struct all *a) {
    return crew_lock_destroy(a->lock) || crew_rlock_destroy(a->rlock) ||
           crew_sem_destroy(a->sem) || crew_event_destroy(a->event) ||
           crew_cond_destroy(a->cond) || crew_barrier_destroy(a->barrier) ||
           crew_queue_destroy(a->queue) || crew_queue_destroy(a->back) ||
           crew_dict_destroy(a->dict) || crew_list_destroy(a->list) ||
           crew_value_destroy(a->whole) || crew_value_destroy(a->real);
}

static inline int make_there(crew_call *call) {
    struct all a;
    if (call->node != *CREW_IN(call, int64_t) || crewtest_add(CELL_READY, 1) != 0)
        return 0;
    TRY(make_all(&a, WORKERS));
    for (size_t i = 0; i < sizeof a / sizeof(int64_t); i++) {
        int64_t word;
        memcpy(&word, (char *)&a + i * sizeof word, sizeof word);
        crewtest_set(CELL_WORKER + (int64_t)i, word);
    }
    return 0;
}

static inline void each(crew_pool *p, crew_fn *fn, const void *in, size_t size) {
    crew_error err;
    assert_ok(crew_pool_each(p, fn, in, size, &err), &err);
}

/* The nodes that workers are on. */
static inline int nodes(void) {
    return crewtest_has(CREWTEST_ONE_NODE) ? 1 : 3;
}

/* Objects whose home is that node (which has a worker). */
static inline struct all objects_of(crew_pool *p, int64_t node) {
    struct all a;
    if (node == 0) {
        if (make_all(&a, WORKERS) != 0)
            fail_msg("%s", crew_last_error()->text);
        return a;
    }
    crewtest_set(CELL_READY, 0);
    each(p, make_there, &node, sizeof node);
    assert_true(crewtest_get(CELL_READY) > 0);
    for (size_t i = 0; i < sizeof a / sizeof(int64_t); i++) {
        int64_t word = crewtest_get(CELL_WORKER + (int64_t)i);
        memcpy((char *)&a + i * sizeof word, &word, sizeof word);
    }
    return a;
}

/* A pool with as many workers on each node, and in turn the objects of two homes. */
static inline void over_homes(void (*test)(crew_pool *p, struct all *a)) {
    crew_pool *p = crewtest_open(WORKERS);
    for (int home = 0; home < nodes() && home < 2; home++) {
        struct all a = objects_of(p, home);
        for (int64_t cell = CELL_SUM; cell <= CELL_VICTIM; cell++)
            crewtest_set(cell, 0);
        test(p, &a);
        if (end_all(&a) != 0)
            fail_msg("home %d: %s", home, crew_last_error()->text);
    }
    crewtest_free(p);
}

/* Where who stands for this process was killed, the first call may hear of that. */
static inline bool is_served(const struct all *a) {
    return crew_event_is_set(a->event) == 0;
}

/* What the manager has from now on: a process at node 1 that stands for it. */
static inline void remote_begin(void) {
    crew_pool *p = crewtest_open(WORKERS);
    struct all a = objects_of(p, nodes() - 1);
    CREWTEST_WAIT(is_served(&a), SOON);
    if (end_all(&a) != 0)
        fail_msg("%s", crew_last_error()->text);
    a = objects_of(p, nodes() > 1);
    CREWTEST_WAIT(is_served(&a), SOON);
    if (end_all(&a) != 0)
        fail_msg("%s", crew_last_error()->text);
    crewtest_free(p);
}

/* Before all tests of a file. */
static inline int remote_setup(void **state) {
    (void)state;
    remote_begin();
    return 0;
}

/* The same beside what the test does itself. */
struct beside {
    pthread_t thread;
    crew_pool *p;
    crew_fn *fn;
    struct all *a;
    crew_error err;
    int rc;
};

static inline void *run_beside(void *arg) {
    struct beside *b = arg;
    b->rc = crew_pool_each(b->p, b->fn, b->a, sizeof *b->a, &b->err);
    return NULL;
}

static inline void begin_beside(struct beside *b, crew_pool *p, crew_fn *fn, struct all *a) {
    *b = (struct beside){.p = p, .fn = fn, .a = a};
    assert_int_equal(pthread_create(&b->thread, NULL, run_beside, b), 0);
}

static inline void end_beside(struct beside *b) {
    assert_int_equal(pthread_join(b->thread, NULL), 0);
    assert_ok(b->rc, &b->err);
}

/* ---- the processes that stand for others ------------------------------- */

static inline bool is_deputy(pid_t pid) {
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "r");
    bool read = file && fgets(name, sizeof name, file);
    if (file)
        fclose(file);
    return read && strcmp(name, "crew-deputy\n") == 0;
}

/* Their pids. */
static inline int deputies(pid_t *pids, int cap) {
    pid_t all[512];
    int n = crewtest_family(all, 512), found = 0;
    for (int i = 0; i < n && i < 512; i++)
        if (is_deputy(all[i]) && found < cap)
            pids[found++] = all[i];
    return found;
}

/* The manager's own among them: remote_begin makes that anew. */
static inline int kill_deputies(void) {
    pid_t pids[512];
    int n = deputies(pids, 512);
    for (int i = 0; i < n; i++)
        kill(pids[i], SIGKILL);
    return n;
}

#endif
