/* Python: arr = Array('d', range(1000)); Process(target=add_one, args=(arr, start, end))
 *
 * Five processes add one to a fifth each of an array of 1000 doubles that they share: each
 * is given a view of its part. Prints arr[500] = 501.0. No two of them touch the same
 * element, so there is no lock. */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>

enum { LENGTH = 1000, PROCESSES = 5 };

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

static int add_one(crew_call *call) {
    crew_array part = *CREW_IN(call, crew_array);
    double *x = crew_array_data(part);
    for (int64_t i = 0; i < crew_array_size(part); i++)
        x[i] += 1;
    return 0;
}

int main(int argc, char **argv) {
    crew_array array, part;
    crew_process process[PROCESSES];
    must(crew_init(&argc, &argv));
    must(crew_array_create(&array, CREW_F64, 1, &(int64_t){LENGTH}, NULL));
    double *arr = crew_array_data(array);
    for (int i = 0; i < LENGTH; i++)
        arr[i] = i;

    for (int i = 0; i < PROCESSES; i++) {
        int64_t start = i * LENGTH / PROCESSES, end = (i + 1) * LENGTH / PROCESSES;
        must(crew_array_slice(&part, array, 0, start, end, 1));
        must(crew_process_start(&process[i], add_one, &part, sizeof part, NULL, NULL));
    }
    for (int i = 0; i < PROCESSES; i++)
        must(crew_process_wait(process[i], CREW_FOREVER, NULL));

    int wrong = 0;
    for (int i = 0; i < LENGTH; i++)
        wrong += arr[i] != i + 1;
    printf("arr[500] = %.1f\n", arr[500]);
    if (wrong)
        printf("%d elements are wrong\n", wrong);
    return crew_finalize();
}
