/* Python: a = Process(target=task, args=("A", 1_000_000)); a.start(); ... a.join()
 *
 * Two processes add up squares, each its own number of them; the program waits for
 * both. Prints each one's sum and pid (whoever is done first comes first), and then
 * "both are done". */
#include <crew/crew.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct task {
    char name;
    int64_t count;
};

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

/* What a process runs: `in` is its copy of what it was started with. */
static int run(crew_call *call) {
    const struct task *task = CREW_IN(call, struct task);
    int64_t sum = 0;
    for (int64_t i = 0; i < task->count; i++) {
        __asm__ volatile("" : "+r"(i)); /* else clang puts a formula in the loop's place */
        sum += i * i;
    }
    printf("task %c: %" PRId64 ", computed by process %d\n", task->name, sum, (int)getpid());
    return 0;
}

int main(int argc, char **argv) {
    const struct task tasks[] = {{'A', 1000000}, {'B', 2000000}};
    crew_process process[2];
    must(crew_init(&argc, &argv));
    for (int i = 0; i < 2; i++)
        must(crew_process_start(&process[i], run, &tasks[i], sizeof tasks[i], NULL, NULL));
    for (int i = 0; i < 2; i++)
        must(crew_process_wait(process[i], CREW_FOREVER, NULL));
    puts("both are done");
    return crew_finalize();
}
