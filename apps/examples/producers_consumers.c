/* Python: Process(target=producer, args=(q,)), Process(target=consumer, args=(q,)), q = Queue(50)
 *
 * Three producers put the numbers 0 to 9 each, two consumers take them and add up
 * their squares. Prints a line for each way to end the consumers and for producers
 * of the same speed and of speeds 1:2:3: always 30 items, 855.
 *
 * The original lets each producer put a pill when it is done: a consumer that swallows
 * the pill of a fast producer leaves while a slow one still produces, and items are
 * lost. Pills are the business of who knows that all producers are done. */
#include <crew/crew.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PRODUCERS = 3, CONSUMERS = 2, ITEMS = 10 };

struct work {
    crew_queue queue;
    crew_value items, sum;
    int pause_us; /* between two items of a producer */
};

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

static int produce(crew_call *call) {
    const struct work *work = CREW_IN(call, struct work);
    for (int item = 0; item < ITEMS; item++) {
        usleep((useconds_t)work->pause_us);
        must(crew_queue_put(work->queue, &item, sizeof item, CREW_FOREVER));
    }
    return 0;
}

/* Until a pill, a message of no bytes, or the end of the queue. */
static int consume(crew_call *call) {
    const struct work *work = CREW_IN(call, struct work);
    int item;
    ptrdiff_t size;
    while ((size = crew_queue_get(work->queue, &item, sizeof item, CREW_FOREVER)) > 0) {
        crew_value_add_i64(work->sum, (int64_t)item * item);
        crew_value_add_i64(work->items, 1);
    }
    if (size != 0 && size != CREW_ECLOSED)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    return 0;
}

static void run(bool pills, bool same_speed) {
    struct work work;
    crew_process producer[PRODUCERS], consumer[CONSUMERS];
    must(crew_queue_create(&work.queue, 50, NULL));
    must(crew_value_create(&work.items, CREW_I64));
    must(crew_value_create(&work.sum, CREW_I64));

    for (int i = 0; i < PRODUCERS; i++) {
        work.pause_us = same_speed ? 1000 : 6000 / (i + 1);
        must(crew_process_start(&producer[i], produce, &work, sizeof work, NULL, NULL));
    }
    for (int i = 0; i < CONSUMERS; i++)
        must(crew_process_start(&consumer[i], consume, &work, sizeof work, NULL, NULL));

    for (int i = 0; i < PRODUCERS; i++) {
        must(crew_process_wait(producer[i], CREW_FOREVER, NULL));
        must(crew_process_close(producer[i]));
    }
    if (pills)
        for (int i = 0; i < CONSUMERS; i++)
            must(crew_queue_put(work.queue, NULL, 0, CREW_FOREVER));
    else
        must(crew_queue_close(work.queue)); /* what is in it is still taken */
    for (int i = 0; i < CONSUMERS; i++) {
        must(crew_process_wait(consumer[i], CREW_FOREVER, NULL));
        must(crew_process_close(consumer[i]));
    }

    printf("%s, %s: %" PRId64 " items, %" PRId64 "\n", pills ? "pills" : "close",
           same_speed ? "same speed" : "speeds 1:2:3", crew_value_get_i64(work.items),
           crew_value_get_i64(work.sum));
    crew_queue_destroy(work.queue);
    crew_value_destroy(work.items);
    crew_value_destroy(work.sum);
}

int main(int argc, char **argv) {
    must(crew_init(&argc, &argv));
    run(true, true);
    run(false, true);
    run(true, false);
    run(false, false);
    return crew_finalize();
}
