/* Python: counter = Value('i', 0); lock = Lock(); with lock: counter.value += 1
 *
 * Four processes count to 1,000 each, in one number: first with a lock around it, then
 * with the number's own atomic addition, which needs none. Prints 4000 both times. */
#include <crew/crew.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROCESSES = 4, TIMES = 1000 };

struct shared {
    crew_value counter;
    crew_lock lock;
};

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

static int count_with_lock(crew_call *call) {
    const struct shared *shared = CREW_IN(call, struct shared);
    int64_t *counter = crew_value_ptr(shared->counter);
    for (int i = 0; i < TIMES; i++) {
        /* CREW_OWNERDEAD, when a holder was killed, is news and no error: the lock is
         * ours, and one addition more or less has left nothing to put right. */
        must(crew_lock_acquire(shared->lock, CREW_FOREVER));
        *counter += 1;
        must(crew_lock_release(shared->lock));
    }
    return 0;
}

static int count_in_one_step(crew_call *call) {
    const struct shared *shared = CREW_IN(call, struct shared);
    for (int i = 0; i < TIMES; i++)
        crew_value_add_i64(shared->counter, 1);
    return 0;
}

static int64_t count(crew_fn *fn) {
    struct shared shared;
    crew_process process[PROCESSES];
    must(crew_value_create(&shared.counter, CREW_I64));
    must(crew_lock_create(&shared.lock));
    for (int i = 0; i < PROCESSES; i++)
        must(crew_process_start(&process[i], fn, &shared, sizeof shared, NULL, NULL));
    for (int i = 0; i < PROCESSES; i++) {
        must(crew_process_wait(process[i], CREW_FOREVER, NULL));
        must(crew_process_close(process[i]));
    }
    return crew_value_get_i64(shared.counter);
}

int main(int argc, char **argv) {
    must(crew_init(&argc, &argv));
    printf("with a lock: %" PRId64 "\n", count(count_with_lock));
    printf("in one step: %" PRId64 "\n", count(count_in_one_step));
    return crew_finalize();
}
