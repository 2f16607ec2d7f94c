/* Python: p.join() before q.get(): "never join before the queue is emptied"
 *
 * A process puts 100 MiB (or as many as the first argument says) into a queue; it is
 * joined, and only then the queue is emptied. Prints "joined, 100 MiB in the queue" and
 * "got 100 MiB, as they were sent". In Python this program waits for ever: there the
 * sender cannot end before somebody has read what it sends. */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1 << 20 };

struct work {
    crew_queue queue;
    size_t mib;
};

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(ptrdiff_t result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

static unsigned char byte_at(size_t i) {
    return (unsigned char)(i % 251);
}

static int send(crew_call *call) {
    const struct work *work = CREW_IN(call, struct work);
    size_t size = work->mib * MIB;
    unsigned char *data = malloc(size);
    if (!data)
        return crew_fail(call, 1, "no memory for %zu MiB", work->mib);
    for (size_t i = 0; i < size; i++)
        data[i] = byte_at(i);
    must(crew_queue_put(work->queue, data, size, CREW_FOREVER));
    free(data);
    return 0;
}

int main(int argc, char **argv) {
    struct work work = {.mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 100};
    crew_process process;
    void *got;
    if (work.mib < 1 || work.mib > 1024) {
        fprintf(stderr, "usage: join_then_get [MiB], from 1 to 1024\n");
        return 2;
    }
    must(crew_init(&argc, &argv));
    must(crew_queue_create(&work.queue, 0, NULL));
    must(crew_process_start(&process, send, &work, sizeof work, NULL, NULL));
    must(crew_process_wait(process, CREW_FOREVER, NULL));
    printf("joined, %zu MiB in the queue\n", work.mib);

    ptrdiff_t size = crew_queue_get_alloc(work.queue, &got, CREW_FOREVER);
    must(size);
    size_t good = 0;
    while (good < (size_t)size && ((unsigned char *)got)[good] == byte_at(good))
        good++;
    printf("got %zu MiB, %s\n", (size_t)size / MIB,
           good == work.mib * MIB ? "as they were sent" : "but not as they were sent");
    free(got);
    return crew_finalize();
}
