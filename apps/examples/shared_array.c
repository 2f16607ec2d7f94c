/* Python: shm = SharedMemory(create=True, size=...); SharedMemory(name=shm.name)
 *
 * Ten doubles lie in shared memory that has a name. A process is told the name and
 * nothing else, attaches to it, and doubles them. Prints buf[1] = 2.0. */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

/* Any program of this user could do this, one in Python too. */
static int double_all(crew_call *call) {
    crew_shm shm;
    must(crew_shm_attach(&shm, CREW_IN(call, char)));
    double *buf = crew_shm_data(shm);
    for (size_t i = 0; i < crew_shm_size(shm) / sizeof *buf; i++)
        buf[i] *= 2;
    must(crew_shm_close(shm));
    return 0;
}

int main(int argc, char **argv) {
    crew_shm shm;
    crew_process process;
    char name[40];
    must(crew_init(&argc, &argv));
    snprintf(name, sizeof name, "crew-shared-array-%d", (int)getpid());
    /* Owned: should this program be killed, the next one that uses crew takes it away. */
    must(crew_shm_create(&shm, name, 10 * sizeof(double), &(crew_shm_opts){.owned = true}));
    double *buf = crew_shm_data(shm);
    for (int i = 0; i < 10; i++)
        buf[i] = i;

    must(crew_process_start(&process, double_all, name, strlen(name) + 1, NULL, NULL));
    must(crew_process_wait(process, CREW_FOREVER, NULL));
    printf("buf[1] = %.1f\n", buf[1]);
    must(crew_shm_unlink(shm));
    must(crew_shm_close(shm));
    return crew_finalize();
}
