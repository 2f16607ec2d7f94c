/* Processes that this node's leader has started for the manager: its own children, of
 * whose beginnings and ends it tells. */
#include "api/lease.h"
#include "api/objects.h"
#include "api/process_impl.h"

#include <crew/channel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tenant {
    struct tenant *next;
    struct cw_letter name; /* its handle at home, for letters */
    crew_process p;        /* and here */
    struct cw_proc *proc;
    uint32_t signals; /* that came before it was there */
    bool told, taken; /* that it has started, and has its ends of pipes */
};

/* Owner: this process, which serves one program. */
static struct {
    pthread_mutex_t lock; /* guards the list */
    struct tenant *first;
} tenants = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void say(const struct cw_letter *name, enum cw_word word, int code, const void *more,
                size_t size) {
    struct cw_parcel out;
    struct cw_letter letter = *name;
    letter.word = word;
    letter.code = code;
    cw_parcel_begin(&out, &letter);
    cw_parcel_put(&out, more, size);
    cw_guest_post(&out);
}

static void say_end(const struct cw_letter *name, const struct cw_process_end *end) {
    say(name, CW_W_ENDED, 0, end, sizeof *end);
}

/* ---- beginning ---- */

/* What follows the errand: its argument, in the message, and a copy of its ends of pipes. */
static int read_rest(struct cw_reader *rest, const struct cw_process_errand *errand,
                     const void **arg, crew_conn **conns, crew_error *err) {
    *arg = cw_read(rest, errand->size);
    if (!*arg || errand->conns > (size_t)(rest->end - rest->at) / sizeof **conns)
        return cw_error_set(err, CREW_EMISMATCH, 0, "a process could not be taken over");
    *conns = malloc((errand->conns + 1) * sizeof **conns);
    if (!*conns)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a process's ends of pipes");
    cw_read_into(rest, *conns, errand->conns * sizeof **conns);
    return 0;
}

static int begin_as(struct cw_session *s, struct tenant *t, const struct cw_process_errand *errand,
                    const void *arg, const crew_conn *conns, crew_error *err) {
    /* It ends with the manager, which alone waits for it. */
    const crew_process_opts opts = {
        .name = errand->name, .daemon = true, .conns = conns, .nconns = (int)errand->conns};
    struct cw_process_plan plan = {.session = s,
                                   .arg = errand->size ? arg : NULL,
                                   .size = errand->size,
                                   .opts = &opts,
                                   .name = errand->fn,
                                   .waited_for = true,
                                   .start = CREW_START_SERVER,
                                   .node = s->node,
                                   .parent = {errand->from_place, errand->from_check}};
    int rc = cw_session_serve(s, err);
    if (rc == 0 && !(plan.self = cw_self_get()))
        rc = cw_error_copy(err, crew_last_error());
    if (rc == 0 && (rc = cw_process_begin(&plan, &t->p, err)) == 0)
        t->proc = cw_object(plan.self->share, CW_PROCESS, t->p.place, t->p.check);
    return rc;
}

static int begin(struct cw_session *s, struct tenant *t, struct cw_reader *rest, crew_error *err) {
    struct cw_process_errand errand;
    const void *arg;
    crew_conn *conns = NULL;
    if (!cw_read_into(rest, &errand, sizeof errand))
        return cw_error_set(err, CREW_EMISMATCH, 0, "a process could not be taken over");
    int rc = read_rest(rest, &errand, &arg, &conns, err);
    if (rc == 0)
        rc = begin_as(s, t, &errand, arg, conns, err);
    free(conns);
    return rc;
}

static void start(struct cw_session *s, const struct cw_letter *letter, struct cw_reader *rest) {
    struct tenant *t = calloc(1, sizeof *t);
    crew_error err = {.sys = 0};
    if (t && begin(s, t, rest, &err) == 0) {
        t->name = *letter;
        pthread_mutex_lock(&tenants.lock);
        t->next = tenants.first;
        tenants.first = t;
        pthread_mutex_unlock(&tenants.lock);
        return;
    }
    if (!t)
        cw_error_set(&err, CREW_ENOMEM, 0, "no memory for a process of the manager's");
    free(t);
    fprintf(stderr, "crew: node %d could not start a process: %s\n", s->node, err.text);
    say_end(letter, &(struct cw_process_end){.status = CW_EXIT_SETUP << 8,
                                             .sys = err.sys,
                                             .step = CW_STEP_NODE});
}

void cw_process_guest_letter(struct cw_session *s, const struct cw_letter *letter,
                             struct cw_reader *rest) {
    if (letter->word == CW_W_START) {
        start(s, letter, rest);
        return;
    }
    pthread_mutex_lock(&tenants.lock);
    for (struct tenant *t = tenants.first; t; t = t->next)
        if (t->name.lo == letter->lo && t->name.hi == letter->hi)
            t->signals |= letter->code == SIGTERM ? CW_PROC_TERM : CW_PROC_KILL;
    pthread_mutex_unlock(&tenants.lock);
}

/* ---- while it runs ---- */

static void deliver(struct tenant *t) {
    if (t->signals & CW_PROC_TERM)
        crew_process_terminate(t->p);
    if (t->signals & CW_PROC_KILL)
        crew_process_kill(t->p);
    t->signals = 0;
}

/* How far it has come. */
static void tell(struct tenant *t) {
    const struct cw_proc *proc = t->proc;
    int pid = atomic_load(&proc->seat.pid);
    if (!t->told && pid)
        say(&t->name, CW_W_STARTED, pid, NULL, 0);
    t->told = pid != 0;
    if (!t->taken && proc->nconns && atomic_load(&proc->ready)) {
        say(&t->name, CW_W_TAKEN, 0, NULL, 0);
        t->taken = true;
    }
}

/* True: it has ended. */
static bool look(struct tenant *t) {
    struct cw_seat *seat = &t->proc->seat;
    bool ended = cw_proc_ended(t->proc); /* first: all that it was is told before its end */
    tell(t);
    if (!ended) {
        if (t->told)
            deliver(t);
        return false;
    }
    say_end(&t->name, &(struct cw_process_end){.status = atomic_load(&seat->status),
                                               .sys = atomic_load(&seat->sys),
                                               .step = atomic_load(&seat->step)});
    crew_process_close(t->p);
    return true;
}

void cw_process_guest_work(void) {
    pthread_mutex_lock(&tenants.lock);
    for (struct tenant **at = &tenants.first; *at;) {
        struct tenant *t = *at;
        if (!look(t)) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        free(t);
    }
    pthread_mutex_unlock(&tenants.lock);
}

void cw_process_guest_end(void) {
    pthread_mutex_lock(&tenants.lock);
    for (struct tenant *t = tenants.first; t; t = t->next)
        crew_process_kill(t->p);
    pthread_mutex_unlock(&tenants.lock);
}
