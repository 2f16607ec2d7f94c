/* mpi/clean.c - a program that a worker, or a process on another node, starts knows nothing
 * of the job around it: not by its environment, and it may be an MPI job of its own. The
 * argument is apps/primes. */
#include "crewtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char primes[1024];

/* The exit code of a shell's command; its output's first line in `line`. */
static int run(const char *command, char *line, size_t cap) {
    FILE *out = popen(command, "r");
    if (!out)
        return -1;
    line[0] = '\0';
    if (!fgets(line, (int)cap, out))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char rest[256];
    while (fread(rest, 1, sizeof rest, out))
        ;
    int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int no_launcher(crew_call *call) {
    char line[1024];
    /* grep finds nothing: 1. */
    if (run("env | grep -E '^(OMPI_|PMIX_|PMI_|HYDRA_|HYDI_|MPI_LOCAL|SLURM_STEP|SLURM_PROCID)' |"
            " grep -v '^OMPI_ALLOW_RUN_AS_ROOT'", line, sizeof line) == 1)
        return 0;
    return crew_fail(call, 41, "it is there: %s", line);
}

/* The same program alone, then as two ranks. */
static int primes_below_100(crew_call *call) {
    static const char *const before[] = {"", "mpirun.openmpi -q --oversubscribe --bind-to none -n 2 "};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        char command[2048], line[1024];
        snprintf(command, sizeof command, "unset CREW_TEST_NODES CREW_WORKERS; exec %s%s 1 100",
                 before[i], primes);
        int code = run(command, line, sizeof line);
        if (code != 0 || strcmp(line, "25") != 0)
            return crew_fail(call, 42, "%s: exit code %d, '%s'", command, code, line);
    }
    return 0;
}

static int both(crew_call *call) {
    int code = no_launcher(call);
    return code ? code : primes_below_100(call);
}

static void program__that_a_worker_starts__knows_no_launcher(void **state) {
    crew_error err;
    (void)state;
    assert_non_null(getenv("OMPI_COMM_WORLD_RANK")); /* which is there for this process */
    crew_pool *p = crewtest_open(0);
    assert_ok(crew_pool_each(p, no_launcher, NULL, 0, &err), &err);
    assert_ok(crew_pool_map(p, primes_below_100, NULL, 0, 3, NULL, 0, NULL, &err), &err);
    crewtest_free(p);
}

static void program__that_a_process_of_a_node_starts__knows_no_launcher(void **state) {
    crew_error err;
    (void)state;
    for (int node = 0; node < (getenv("CREW_TEST_SEVERAL_NODES") ? 3 : 1); node++) {
        const crew_process_opts opts = {.node = node};
        crew_process p;
        int code;
        assert_ok(crew_process_start(&p, both, NULL, 0, &opts, &err), &err);
        assert_int_equal(crew_process_wait(p, 40, &code), 0);
        assert_int_equal(code, 0);
        assert_int_equal(crew_process_close(p), 0);
    }
}

int main(int argc, char **argv) {
    snprintf(primes, sizeof primes, "%s", argc > 1 ? argv[1] : "");
    argc = 1;
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(program__that_a_worker_starts__knows_no_launcher),
        CREWTEST(program__that_a_process_of_a_node_starts__knows_no_launcher)};
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
