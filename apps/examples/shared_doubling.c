/* Python: num = Value('d', 0.0); arr = Array('i', [1, 2, 3]); num.value += 1; arr[i] *= 2
 *
 * Four processes add one to a number and double every element of an array, both of
 * which they share. Prints "4 and 16, 32, 48". With --runs N it is done N times and
 * how often that came out is printed as well: always, for one lock guards both steps.
 * (+= on a Value is a read and a write in Python, and two processes may read the same.) */
#include <crew/crew.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROCESSES = 4, LENGTH = 3 };

struct shared {
    crew_value number;
    crew_array array;
};

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

static int change(crew_call *call) {
    const struct shared *shared = CREW_IN(call, struct shared);
    int64_t *number = crew_value_ptr(shared->number);
    int32_t *array = crew_array_data(shared->array);
    must(crew_array_lock(shared->array));
    *number += 1;
    for (int i = 0; i < LENGTH; i++)
        array[i] *= 2;
    must(crew_array_unlock(shared->array));
    return 0;
}

/* What came out, as text. */
static void run(char *text, size_t size) {
    struct shared shared;
    crew_process process[PROCESSES];
    must(crew_value_create(&shared.number, CREW_I64));
    must(crew_array_create(&shared.array, CREW_I32, 1, &(int64_t){LENGTH}, NULL));
    int32_t *array = crew_array_data(shared.array);
    for (int i = 0; i < LENGTH; i++)
        array[i] = i + 1;
    for (int i = 0; i < PROCESSES; i++)
        must(crew_process_start(&process[i], change, &shared, sizeof shared, NULL, NULL));
    for (int i = 0; i < PROCESSES; i++) {
        must(crew_process_wait(process[i], CREW_FOREVER, NULL));
        must(crew_process_close(process[i]));
    }
    snprintf(text, size, "%" PRId64 " and %d, %d, %d", crew_value_get_i64(shared.number), array[0],
             array[1], array[2]);
    must(crew_value_destroy(shared.number));
    must(crew_array_destroy(shared.array));
}

int main(int argc, char **argv) {
    char text[80];
    int runs = 1, good = 0;
    if (argc == 3 && strcmp(argv[1], "--runs") == 0)
        runs = atoi(argv[2]);
    if ((argc != 1 && argc != 3) || runs < 1) {
        fprintf(stderr, "usage: shared_doubling [--runs N]\n");
        return 2;
    }
    must(crew_init(&argc, &argv));
    for (int i = 0; i < runs; i++) {
        run(text, sizeof text);
        good += strcmp(text, "4 and 16, 32, 48") == 0;
    }
    puts(text);
    if (runs > 1)
        printf("%d of %d runs\n", good, runs);
    return crew_finalize();
}
