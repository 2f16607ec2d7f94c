/* Python: Process(target=squares, args=(numbers, q)), Process(target=cubes, args=(numbers, q))
 *
 * Two processes put what they compute from 1 to 5 into one queue; the program empties
 * it. Prints the ten numbers, sorted: 1 1 4 8 9 16 25 27 64 125. */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBERS = 5 };

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

static int squares(crew_call *call) {
    for (int i = 1; i <= NUMBERS; i++) {
        int square = i * i;
        must(crew_queue_put(*CREW_IN(call, crew_queue), &square, sizeof square, CREW_FOREVER));
    }
    return 0;
}

static int cubes(crew_call *call) {
    for (int i = 1; i <= NUMBERS; i++) {
        int cube = i * i * i;
        must(crew_queue_put(*CREW_IN(call, crew_queue), &cube, sizeof cube, CREW_FOREVER));
    }
    return 0;
}

static int ascending(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    crew_queue queue;
    crew_process first, second;
    int results[2 * NUMBERS], count = 0;
    must(crew_init(&argc, &argv));
    must(crew_queue_create(&queue, 0, NULL));
    must(crew_process_start(&first, squares, &queue, sizeof queue, NULL, NULL));
    must(crew_process_start(&second, cubes, &queue, sizeof queue, NULL, NULL));
    must(crew_process_wait(first, CREW_FOREVER, NULL));
    must(crew_process_wait(second, CREW_FOREVER, NULL));

    /* What a put has returned for is in the queue, so all ten are there now: to ask
     * for each without waiting is safe here, which it is not in Python. */
    while (count < 2 * NUMBERS &&
           crew_queue_get(queue, &results[count], sizeof *results, 0) == sizeof *results)
        count++;
    qsort(results, (size_t)count, sizeof *results, ascending);
    for (int i = 0; i < count; i++)
        printf("%d%s", results[i], i + 1 < count ? " " : "\n");
    return crew_finalize();
}
