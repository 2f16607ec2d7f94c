/* Errors as sentences. */
#include "api/home.h"
#include "api/pool_impl.h"
#include "os/process.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* Where it ran: " in worker 3 (pid 8123, node n02)". */
static int where(crew_pool *p, const struct cw_failure *f, char *buf, size_t cap) {
    if (f->worker < 0)
        return 0;
    if (f->pid && p->ops->processes)
        return snprintf(buf, cap, " in worker %d (pid %d, node %s)", f->worker, f->pid,
                        cw_home_host(p, f->node));
    return snprintf(buf, cap, " in worker %d", f->worker);
}

/* Cut off where it is too long: the start of a sentence says most. */
static void say(crew_error *e, const char *fmt, ...) CREW_PRINTF(2, 3);
static void say(crew_error *e, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
}

void cw_failure_explain(crew_pool *p, cw_fn_name fn, const struct cw_failure *f, int64_t count,
                        int retries, crew_error *err) {
    char name[64], what[64] = "", place[128] = "";
    cw_fn *pointer = cw_fn_resolve(fn);
    if (pointer)
        cw_fn_describe(pointer, name, sizeof name);
    else
        snprintf(name, sizeof name, "the task");
    crew_error e = {.code = f->code,
                    .sys = f->sys,
                    .task_code = f->task_code,
                    .item = f->index,
                    .worker = f->worker,
                    .node = f->node,
                    .pid = f->pid,
                    .signal = f->signal,
                    .attempt = f->attempt};
    if (count >= 0)
        snprintf(what, sizeof what, "item %lld of %lld: ", (long long)f->index, (long long)count);
    where(p, f, place, sizeof place);
    const char *text = f->text;
    switch (f->code) {
    case CREW_EFAILED:
        say(&e, "%s%s failed with code %d%s%s", what, name, f->task_code, text[0] ? ": " : "",
            text);
        break;
    case CREW_EDIED:
        say(&e, "%s%s was %s%s, attempt %d of %d", what, name, text, place, f->attempt,
            retries + 1);
        break;
    case CREW_ELIMIT:
        say(&e, "%s%s was ended%s: %s, attempt %d of %d", what, name, place,
            text[0] ? text : "over its time limit", f->attempt, retries + 1);
        break;
    case CREW_ECANCELLED:
        say(&e, "%s%s was cancelled%s%s", what, name, text[0] ? ": " : "", text);
        break;
    default:
        say(&e, "%s%s: %s", what, name, text[0] ? text : crew_strerror(f->code));
    }
    *err = e;
}

void cw_failure_of_seat(const struct cw_seat *seat, int status, char *buf, size_t cap) {
    static const char *const steps[] = {
        [CW_STEP_FORK] = "not started",
        [CW_STEP_EXEC] = "not started: the program could not be executed again",
        [CW_STEP_MAIN] = "not set up: it could not map the shared memory (standard error says why)",
        [CW_STEP_BOARD] = "not set up: it found no board in the shared memory",
        [CW_STEP_OBJECTS] = "not set up: there was no room for it among the objects",
        [CW_STEP_THREAD] = "not set up: there could be no thread for its tasks",
        [CW_STEP_MEMBER] = "not set up: there was no memory for it",
        [CW_STEP_NODE] = "not started on its node (standard error says why)",
        [CW_STEP_FN] = "not set up: its function is not in the program there, or its libraries",
        [CW_STEP_CONNS] = "not set up: it has not got its ends of pipes (standard error says why)",
    };
    uint32_t step = atomic_load(&seat->step);
    int sys = atomic_load(&seat->sys);
    bool setup = WIFEXITED(status) && WEXITSTATUS(status) == CW_EXIT_SETUP;
    if (sys || (setup && step != CW_STEP_SETTLED)) {
        snprintf(buf, cap, "%s%s%s", steps[step < sizeof steps / sizeof *steps ? step : 1],
                 sys ? ": " : "", sys ? strerror(sys) : "");
        return;
    }
    cw_process_describe_status(status, buf, cap);
    size_t used = strlen(buf);
    if (step == CW_STEP_MAIN)
        snprintf(buf + used, cap - used,
                 ", on its way to crew_init (a spawned worker runs main from its start)");
}
