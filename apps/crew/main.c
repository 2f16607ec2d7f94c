/* crew - the command line: the settings, and what crew sees of this machine. */
#include "crew_main.h"

#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, PLACES_SHOWN = 4096 };

/* ---- the command line --------------------------------------------------- */

static void help(void) {
    puts("Usage: crew COMMAND\n"
         "\n"
         "  crew info          what crew sees here: the machine, how many processors this\n"
         "                     process may use and why, which backends work, and who would\n"
         "                     run where in a pool that is opened now\n"
         "  crew config        the settings that the environment accepts (CREW_...)\n"
         "  crew shm list      shared memory with a name that programs of this user own\n"
         "                     (made with crew_shm_opts.owned): its size, owner and name\n"
         "  crew shm sweep     takes away that of programs that are dead, as every program\n"
         "                     that uses crew does when it starts\n"
         "  crew journal FILE  what a journal holds: of what it is, how much is done,\n"
         "                     failed and missing, and whether the file is damaged\n"
         "\n"
         "  --help             this\n"
         "  --version          the version\n"
         "\n"
         "mpirun -n 8 crew info shows the whole of a job. The exit code is 0; 1 if no pool\n"
         "could be opened here, the file is no journal, or output could not be written; 2 if\n"
         "the command is not one of these.");
}

static int usage(const char *problem, const char *what) {
    fprintf(stderr, "crew: %s%s. Try crew --help.\n", problem, what);
    return EXIT_USAGE;
}

static int failed(const crew_error *err) {
    fflush(stdout);
    fprintf(stderr, "crew: %s\n", err->text);
    return EXIT_FAILURE;
}

/* ---- crew info ---------------------------------------------------------- */

static const char *const backends[] = {"auto", "serial", "threads", "fork", "mpi"};
static const char *const starts[] = {"auto", "fork", "server", "spawn"};
static const char *const binds[] = {"auto", "none", "core", "pu", "l3", "numa", "socket"};

static const char *plural(int n) {
    return n == 1 ? "" : "s";
}

static void show_machine(const crew_machine *m) {
    printf("Machine    %d socket%s, %d NUMA node%s, %d core%s, %d processor%s\n", m->sockets,
           plural(m->sockets), m->numa_nodes, plural(m->numa_nodes), m->cores, plural(m->cores),
           m->processors, plural(m->processors));
    printf("Affinity   %d processor%s (%s) of %d core%s\n", m->usable_processors,
           plural(m->usable_processors), m->usable, m->usable_cores, plural(m->usable_cores));
    if (m->quota)
        printf("Quota      %d processor%s' worth of time, from the control group\n", m->quota,
               plural(m->quota));
    else
        printf("Quota      none\n");
    if (m->batch)
        printf("Batch      %d processor%s, from %s\n", m->batch, plural(m->batch), m->batch_says);
    int count = crew_cpu_count();
    bool batch = m->batch && m->batch < m->usable_processors && (!m->quota || m->batch < m->quota);
    const char *why = batch                        ? "what the batch system gave"
                      : count < m->usable_processors ? "what the quota allows"
                      : count < m->processors        ? "what the affinity mask allows"
                                                     : "all there are";
    printf("Count      %d: %s\n", count, why);
    if (m->ranks > 1)
        printf("Job        %d ranks on %d node%s; the above is what rank 0 sees\n", m->ranks,
               m->nodes, plural(m->nodes));
}

/* "0-5", or one number. */
static void show_workers(int from, int to) {
    char workers[32];
    snprintf(workers, sizeof workers, from == to ? "%d" : "%d-%d", from, to);
    printf("worker %-9s ", workers);
}

static bool same_place(const crew_place *a, const crew_place *b) {
    return a->node == b->node && a->rank == b->rank && a->cores == b->cores &&
           strcmp(a->cpus, b->cpus) == 0;
}

/* A line for each place, neighbours in the same one together. */
static void show_places(const crew_place *places, int n, bool of_a_job) {
    for (int i = 0, next; i < n; i = next) {
        for (next = i + 1; next < n && same_place(&places[next], &places[i]); next++)
            ;
        if (of_a_job && (i == 0 || places[i].node != places[i - 1].node))
            printf("  node %d (%s)\n", places[i].node, places[i].host);
        if (of_a_job)
            printf("    rank %-5d ", places[i].rank);
        else
            printf("  ");
        show_workers(i, next - 1);
        if (places[i].cpus[0])
            printf("processors %s", places[i].cpus);
        else
            printf("not bound");
        printf(" (%d core%s)\n", places[i].cores, plural(places[i].cores));
    }
}

static int show_plan(crew_error *err) {
    static crew_place places[PLACES_SHOWN];
    crew_pool_opts o;
    int workers = crew_pool_plan(NULL, &o, places, PLACES_SHOWN, err);
    if (workers < 0)
        return workers;
    printf("\nA pool that is opened now: %s", backends[o.backend]);
    if (o.backend == CREW_FORK)
        printf(", start %s", starts[o.start]);
    printf(", %d worker%s, bind %s\n", workers, plural(workers), binds[o.bind]);
    show_places(places, workers < PLACES_SHOWN ? workers : PLACES_SHOWN, o.backend == CREW_MPI);
    return 0;
}

static int answer(crew_call *call) {
    int seven = 7;
    return crew_reply(call, &seven, sizeof seven);
}

/* Opens a pool and has it do something: nothing else tells whether it would. */
static int try_backend(int backend, int start, crew_error *err) {
    const crew_pool_opts o = {
        .backend = backend, .start = start, .workers = 1, .bind = CREW_BIND_NONE, .name = "info"};
    crew_pool *p = crew_pool_open(&o, err);
    if (!p)
        return err->code;
    int seven = 0;
    int rc = crew_apply(p, answer, NULL, 0, &seven, sizeof seven, err);
    crew_pool_free(p);
    return rc;
}

/* One of several ranks: MPI starts only once in a program, so this is all there is to
 * try. */
static int show_mpi(crew_error *err) {
    int rc = try_backend(CREW_MPI, 0, err);
    printf("\nBackends\n  %-19s %s%s\n  %-19s run this without mpirun or srun\n", "mpi",
           rc < 0 ? "no: " : "works", rc < 0 ? err->text : "", "others");
    return rc;
}

/* Settings that would put themselves over what is tried. */
static const char *const overriding[] = {"CREW_BACKEND", "CREW_START",  "CREW_WORKERS",
                                         "CREW_BIND",    "CREW_STRICT", "CREW_REPORT_BINDING"};

static int show_backends(int *argc, char ***argv, crew_error *err) {
    static const struct {
        const char *name;
        int backend, start;
    } rows[] = {{"serial", CREW_SERIAL, 0},
                {"threads", CREW_THREADS, 0},
                {"fork, start fork", CREW_FORK, CREW_START_FORK},
                {"fork, start server", CREW_FORK, CREW_START_SERVER},
                {"fork, start spawn", CREW_FORK, CREW_START_SPAWN},
                {"mpi", CREW_MPI, 0}};
    crew_pool_opts now = {0};
    if (crew_pool_plan(NULL, &now, NULL, 0, err) >= 0 && now.backend == CREW_MPI)
        return show_mpi(err);
    crew_finalize();
    for (size_t i = 0; i < sizeof overriding / sizeof *overriding; i++)
        unsetenv(overriding[i]);
    if (crew_init(argc, argv) < 0) {
        *err = *crew_last_error();
        return err->code;
    }
    printf("\nBackends\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fflush(stdout);
        int rc = try_backend(rows[i].backend, rows[i].start, err);
        printf("  %-19s %s%s\n", rows[i].name, rc < 0 ? "no: " : "works", rc < 0 ? err->text : "");
    }
    return 0;
}

static int info(int *argc, char ***argv) {
    crew_error err;
    crew_machine machine;
    printf("crew %s\n\n", CREW_VERSION);
    if (crew_machine_look(&machine, &err) < 0)
        return failed(&err);
    show_machine(&machine);
    int code = show_plan(&err) < 0 ? failed(&err) : EXIT_SUCCESS;
    return show_backends(argc, argv, &err) < 0 ? failed(&err) : code;
}

/* ---- main --------------------------------------------------------------- */

/* What could not be written was not shown. */
static int written(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    perror("crew: standard output");
    return EXIT_FAILURE;
}

/* The exit code; -1: it is none of these. */
static int shm(int argc, char **argv) {
    if (argc < 2 || strcmp(argv[1], "shm") != 0)
        return -1;
    if (argc < 3)
        return usage("list or sweep is missing after shm", "");
    if (argc > 3)
        return usage("there is a word too many: ", argv[3]);
    int code = crew_shm_command(argv[2]);
    return code < 0 ? usage("there is no command shm ", argv[2]) : written(code);
}

/* The same. */
static int journal(int argc, char **argv) {
    if (argc < 2 || strcmp(argv[1], "journal") != 0)
        return -1;
    if (argc < 3)
        return usage("a file is missing after journal", "");
    if (argc > 3)
        return usage("there is a word too many: ", argv[3]);
    return written(crew_journal_command(argv[2]));
}

/* The same, wherever it stands: crew info --help. */
static int helped(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 ||
            (i == 1 && strcmp(argv[i], "help") == 0)) {
            help();
            return written(EXIT_SUCCESS);
        }
    return -1;
}

int main(int argc, char **argv) {
    int done = helped(argc, argv);
    if (done < 0)
        done = shm(argc, argv);
    if (done < 0)
        done = journal(argc, argv);
    if (done >= 0)
        return done;
    /* Workers that are started as programs of their own do not return from here. A
     * setting that is not accepted is said where it matters. */
    int ready = crew_init(&argc, &argv);
    if (argc < 2)
        return usage("a command is missing", "");
    const char *command = argv[1];
    if (argc > 2)
        return usage("there is a word too many: ", argv[2]);
    if (strcmp(command, "--version") == 0) {
        printf("crew %s\n", CREW_VERSION);
        return written(EXIT_SUCCESS);
    }
    if (strcmp(command, "config") == 0)
        return written(crew_config_print(stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
    if (strcmp(command, "info") != 0)
        return usage("there is no command ", command);
    /* A backend that cannot be had is no reason not to show the others. */
    if (ready < 0 && crew_last_error()->code != CREW_ENOTSUP)
        return failed(crew_last_error());
    int code = info(&argc, &argv);
    crew_finalize();
    return written(code);
}
