/* Python: for i in range(5): Process(target=worker, args=(i,)).start()
 *
 * Five processes are started, then all are joined. Each prints its number, its name
 * and its pid, in any order; the program prints "5 workers, 5 pids" at the end. */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKERS = 5 };

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

static int worker(crew_call *call) {
    int number = *CREW_IN(call, int);
    printf("worker %d is %s, process %d\n", number, crew_process_name(crew_self()), (int)getpid());
    return 0;
}

int main(int argc, char **argv) {
    crew_process process[WORKERS];
    int pids = 0;
    must(crew_init(&argc, &argv));
    for (int i = 0; i < WORKERS; i++)
        must(crew_process_start(&process[i], worker, &i, sizeof i, NULL, NULL));
    for (int i = 0; i < WORKERS; i++)
        must(crew_process_join(process[i], CREW_FOREVER));

    /* A process that has ended keeps its pid and exit code until it is closed. */
    for (int i = 0; i < WORKERS; i++) {
        int code, same = 0;
        must(crew_process_exitcode(process[i], &code));
        if (code != 0)
            fprintf(stderr, "%s ended with %d\n", crew_process_name(process[i]), code);
        for (int j = 0; j < i; j++)
            same += crew_process_pid(process[i]) == crew_process_pid(process[j]);
        pids += same == 0;
    }
    printf("%d workers, %d pids\n", WORKERS, pids);
    return crew_finalize();
}
