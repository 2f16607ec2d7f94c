/* Python: parent_conn, child_conn = Pipe(); child_conn.recv(); child_conn.send(n * n)
 *
 * The program sends 5, 10 and 15 through a pipe, then STOP; a process answers each
 * number with its square and ends at STOP. Prints 5 -> 25, 10 -> 100 and 15 -> 225. */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(ptrdiff_t result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

/* Messages are bytes: here a number is a message of its size, anything else is a word. */
static int square(crew_call *call) {
    crew_conn conn = *CREW_IN(call, crew_conn);
    int number;
    ptrdiff_t size;
    while ((size = crew_conn_recv(conn, &number, sizeof number, CREW_FOREVER)) == sizeof number) {
        int answer = number * number;
        must(crew_conn_send(conn, &answer, sizeof answer, CREW_FOREVER));
    }
    char word[5];
    if (size == CREW_ETOOSMALL && crew_conn_recv(conn, word, sizeof word, 0) == sizeof word &&
        strcmp(word, "STOP") == 0)
        return 0;
    return crew_fail(call, 1, "neither a number nor STOP: %s", crew_last_error()->text);
}

int main(int argc, char **argv) {
    const int numbers[] = {5, 10, 15};
    crew_conn ours, theirs;
    crew_process process;
    must(crew_init(&argc, &argv));
    must(crew_pipe_create(&ours, &theirs, true));

    /* The process owns its end from its start: should it die, we read end-of-file. */
    crew_process_opts opts = {.name = "squares", .conns = &theirs, .nconns = 1};
    must(crew_process_start(&process, square, &theirs, sizeof theirs, &opts, NULL));
    for (int i = 0; i < 3; i++) {
        int answer;
        must(crew_conn_send(ours, &numbers[i], sizeof numbers[i], CREW_FOREVER));
        must(crew_conn_recv(ours, &answer, sizeof answer, CREW_FOREVER));
        printf("%d -> %d\n", numbers[i], answer);
    }
    must(crew_conn_send(ours, "STOP", sizeof "STOP", CREW_FOREVER));
    must(crew_process_wait(process, CREW_FOREVER, NULL));
    must(crew_conn_close(ours));
    return crew_finalize();
}
