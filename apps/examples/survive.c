/* Python: pool.map(fragile, range(10)), where fragile(7) crashes: waits for ever
 *
 * A task that crashes: its item is reported, and the others are done. Prints "9 of 10 are
 * done" and "item 7: signal 11". */
#include <crew/crew.h>
#include <signal.h>
#include <stdio.h>

static int fragile(const int *in, int *out) {
    if (*in == 7)
        raise(SIGSEGV);
    *out = *in * *in;
    return 0;
}
CREW_TASK_REF(fragile, int, int)

int main(int argc, char **argv) {
    int in[10], out[10], status[10], good = 0;
    crew_error err, failures[10];
    for (int i = 0; i < 10; i++)
        in[i] = i;

    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.backend = CREW_FORK}, &err);
    if (!pool) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    crew_map_opts opts = {
        .on_error = CREW_CONTINUE, .statuses = status, .errors = failures, .errors_cap = 10};
    int result = crew_map(pool, fragile_task, in, 10, out, &opts, &err);
    if (result < 0 && result != CREW_EFAILED) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 0; i < 10; i++)
        good += status[i] == 0;
    printf("%d of 10 are done\n", good);
    for (int i = 0; i < 10 && failures[i].code; i++)
        printf("item %d: signal %d\n", (int)failures[i].item, failures[i].signal);
    crew_pool_free(pool);
    return crew_finalize();
}
