/* support/crewtest.c - see crewtest.h. */
#include "crewtest.h"

#include "crewranks.h"
#include "crewtest_parts.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct backend {
    const char *name;
    int backend, start;
    unsigned caps;
};

static const struct backend backends[] = {
    {"serial", CREW_SERIAL, CREW_START_AUTO, 0},
    {"threads", CREW_THREADS, CREW_START_AUTO, CREWTEST_ASYNC | CREWTEST_MANY},
    {"fork", CREW_FORK, CREW_START_FORK, CREWTEST_ASYNC | CREWTEST_MANY | CREWTEST_PROCESSES},
    {"server", CREW_FORK, CREW_START_SERVER, CREWTEST_ASYNC | CREWTEST_MANY | CREWTEST_PROCESSES},
    {"spawn", CREW_FORK, CREW_START_SPAWN, CREWTEST_ASYNC | CREWTEST_MANY | CREWTEST_PROCESSES},
    {"ranks", CREW_MPI, CREW_START_SERVER, CREWTEST_ASYNC | CREWTEST_MANY | CREWTEST_PROCESSES},
    {"mpi", CREW_MPI, CREW_START_AUTO, CREWTEST_ASYNC | CREWTEST_MANY | CREWTEST_PROCESSES},
    {"aboard", CREW_MPI, CREW_START_AUTO, CREWTEST_ASYNC | CREWTEST_MANY},
};

static struct {
    const struct backend *backend;
    bool several_nodes;
    _Atomic int64_t *cells;
    bool creator; /* the test itself: neither a spawned worker nor a helper */
    int init_code;
    uint64_t seed, random;
    crew_pool *open[32]; /* pools to free when a test has failed */
} self;

/* ---- start and end ------------------------------------------------------ */

void crewtest_give_up(const char *what) {
    fprintf(stderr, "crewtest: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* The first process makes the cells and names them in the environment as
 * /proc/PID/fd/N: nothing to leave behind in the file system, and an exec'ed
 * process still finds them. The ranks of a job (tests/mpi/under) are given a file,
 * which is there already; the one whose crew_init returns is the test. */
static void map_cells(void) {
    const char *path = getenv("CREW_TEST_SCRATCH"), *ranks = getenv("CREW_TEST_RANKS");
    size_t size = CREWTEST_CELLS * sizeof(int64_t);
    int fd;

    self.creator = !path || ranks;
    unsetenv("CREW_TEST_RANKS"); /* not for helpers */
    if (!path) {
        char name[64], value[64];
        snprintf(name, sizeof name, "crewtest-%d", (int)getpid());
        fd = memfd_create(name, MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
            crewtest_give_up("cells");
        snprintf(value, sizeof value, "/proc/%d/fd/%d", (int)getpid(), fd);
        setenv("CREW_TEST_SCRATCH", value, 1);
    } else {
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            crewtest_give_up(path);
    }
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        crewtest_give_up("cells");
    if (path)
        close(fd);
    self.cells = at;
}

bool crewtest_on_ranks(void) {
    return strcmp(self.backend->name, "mpi") == 0 || strcmp(self.backend->name, "aboard") == 0;
}

static void pick_backend(void) {
    const char *name = getenv("CREW_TEST_BACKEND");
    if (!name || !*name)
        name = "fork";
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(backends[i].name, name) == 0)
            self.backend = &backends[i];
    self.several_nodes = getenv("CREW_TEST_SEVERAL_NODES") != NULL;
    if (!self.backend) {
        fprintf(stderr, "CREW_TEST_BACKEND=%s: serial, threads, fork, server, spawn, ranks, mpi or "
                        "aboard\n",
                name);
        exit(2);
    }
}

static int warm_task(crew_call *call) {
    return crew_task_result(call, call->in, call->in_size);
}

static void warm_done(void *ctx, crew_future *f) {
    (void)ctx;
    (void)f;
}

static void warm_up(int backend, int start) {
    crew_error err;
    crew_pool_opts opts = {.backend = backend, .start = start, .workers = 1};
    crew_pool *p = crew_pool_open(&opts, &err);
    if (!p) {
        fprintf(stderr, "crewtest: no pool: %s\n", err.text);
        return;
    }
    int64_t in = 1, out;
    crew_map(p, warm_task, &in, 1, &out, NULL, NULL);
    crew_pool_fd(p);
    crew_future *f = crew_submit(p, warm_task, &in, sizeof in, NULL, NULL);
    if (f) {
        crew_future_then(f, warm_done, NULL);
        crew_future_result(f, NULL, 0, 10, NULL);
    }
    crew_future_free(f);
    crew_pool_free(p);
}

/* A program that has owned named memory keeps a file that says so. */
static void own_something(void) {
    char name[32];
    crew_shm s;
    snprintf(name, sizeof name, "crewtest-%d", (int)getpid());
    if (crew_shm_create(&s, name, 1, &(crew_shm_opts){.owned = true}) == 0) {
        crew_shm_unlink(s);
        crew_shm_close(s);
    }
}

static void make_seed(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t now = crewtest_mix((uint64_t)t.tv_sec * 1000000007u + (uint64_t)t.tv_nsec);
    self.seed = (uint64_t)crewtest_env("CREW_TEST_SEED", (int64_t)(now >> 32));
    self.random = crewtest_mix(self.seed);
    printf("backend %s, CREW_TEST_SEED=%" PRIu64 "\n", self.backend->name, self.seed);
    fflush(stdout);
}

/* ---- what there is ------------------------------------------------------ */

struct inventory {
    int processes, descriptors, names, mappings;
};

int crewtest_descriptors(void) {
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    for (struct dirent *e; dir && (e = readdir(dir));)
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static int count_mappings(void) {
    return crewtest_count_records("/proc/self/maps", '\n', "/memfd:", "/dev/shm/");
}

/* Names of the library's in /dev/shm; those of programs that run beside this test end
 * in another pid. */
static int count_shared_names(void) {
    DIR *dir = opendir("/dev/shm");
    int n = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        const char *pid = strrchr(e->d_name, '-');
        bool has_pid = pid && isdigit((unsigned char)pid[1]);
        n += strstr(e->d_name, "crew") && (!has_pid || atoi(pid + 1) == getpid());
    }
    if (dir)
        closedir(dir);
    return n;
}

static struct inventory take_inventory(void) {
    struct inventory inv = {
        .processes = crewtest_family(NULL, 0),
        .descriptors = crewtest_descriptors(),
        .names = count_shared_names(),
        .mappings = count_mappings(),
    };
    return inv;
}

static struct inventory at_start, at_setup;

static int grew(const char *what, int before, int now) {
    if (now <= before)
        return 0;
    print_error("left behind: %d %s, %d before\n", now, what, before);
    return 1;
}

static void show_family(void) {
    pid_t pids[64];
    int n = crewtest_family(pids, 64);
    for (int i = 0; i < n && i < 64; i++)
        print_error("  pid %d, parent %d, state %c\n", (int)pids[i], (int)crewtest_parent(pids[i]),
                    crewtest_state(pids[i]));
}

static void show_descriptors(void) {
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char target[256];
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        if (n > 0)
            print_error("  %s -> %.*s\n", e->d_name, (int)n, target);
    }
    if (dir)
        closedir(dir);
}

/* How many other processes of this test there are, after a wait for no more than so
 * many. */
static int others_when_only(int wanted) {
    double limit = crewtest_now() + 2;
    int n = crewtest_family(NULL, 0);
    while (n > wanted && crewtest_now() < limit) {
        crewtest_pause();
        n = crewtest_family(NULL, 0);
    }
    return n;
}

/* The same of descriptors: the library's threads have one for a moment at any time. */
static int descriptors_when_only(int wanted) {
    double limit = crewtest_now() + 2;
    int n = crewtest_descriptors();
    while (n > wanted && crewtest_now() < limit) {
        crewtest_pause();
        n = crewtest_descriptors();
    }
    return n;
}

static int compare(const struct inventory *before, bool mappings) {
    struct inventory now = take_inventory();
    now.processes = others_when_only(before->processes);
    now.descriptors = descriptors_when_only(before->descriptors);
    int processes = grew("processes", before->processes, now.processes);
    int descriptors = grew("descriptors", before->descriptors, now.descriptors);
    int names = grew("names in /dev/shm", before->names, now.names);
    if (processes)
        show_family();
    if (descriptors)
        show_descriptors();
    if (!mappings)
        return processes + descriptors + names;
    return processes + descriptors + names +
           grew("shared mappings", before->mappings, now.mappings);
}

void crewtest_leaks_begin(void) {
    at_setup = take_inventory();
}

int crewtest_leaks_end(void) {
    return compare(&at_setup, false);
}

void crewtest_begin(int *argc, char ***argv) {
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    map_cells();
    pick_backend();
    bool test = self.creator && *argc < 2;
    if (test) {
        static const char *const settings[] = {
            "CREW_BACKEND", "CREW_WORKERS", "CREW_START",        "CREW_BIND",
            "CREW_STRICT",  "CREW_ORDER",   "CREW_SEGMENT_SIZE", "CREW_THREADS_PER_WORKER",
            "CREW_SEED",    "CREW_PROGRESS"};
        for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
            unsetenv(settings[i]);
        at_start = take_inventory();
    }
    self.init_code = crew_init(argc, argv);
    crewranks_serve_if_told();
    /* Where the environment wants threads, say, there are no nurseries. */
    if (self.init_code == 0 && strcmp(self.backend->name, "ranks") == 0 && !getenv("CREW_BACKEND"))
        crewranks_lead(2);
    if (!test)
        return;
    if (self.init_code < 0) {
        fprintf(stderr, "crew_init: %s\n", crew_last_error()->text);
        exit(2);
    }
    make_seed();
    warm_up(CREW_SERIAL, CREW_START_AUTO);
    warm_up(self.backend->backend, self.backend->start);
    own_something();
}

int crewtest_init_code(void) {
    return self.init_code;
}

int crewtest_end(int failed) {
    if (!crewranks_end(0, 10)) {
        print_error("not all ranks have left\n");
        failed++;
    }
    int code = crew_finalize();
    if (code != 0) {
        print_error("crew_finalize returned %d\n", code);
        failed++;
    }
    /* What MPI keeps for good is not ours to count. */
    if (crewtest_on_ranks())
        failed += grew("processes", 0, others_when_only(0)) +
                  grew("names in /dev/shm", at_start.names, count_shared_names());
    else
        failed += compare(&at_start, true);
    return failed ? 1 : 0;
}

int crewtest_skip_all(void) {
    print_message("all tests skipped: not for backend %s\n", self.backend->name);
    return crewtest_end(0) ? 1 : 77;
}

int crewtest_setup(void **state) {
    (void)state;
    memset((void *)self.cells, 0, CREWTEST_CELLS * sizeof(int64_t));
    memset(self.open, 0, sizeof self.open);
    crewtest_leaks_begin();
    crewtest_may_take(60);
    return 0;
}

int crewtest_teardown(void **state) {
    (void)state;
    for (int gate = 0; gate < 16; gate++)
        crewtest_set(CELL_GATE + gate, 1);
    for (size_t i = 0; i < sizeof self.open / sizeof *self.open; i++)
        if (self.open[i])
            crewtest_free(self.open[i]);
    alarm(0);
    return crewtest_leaks_end();
}

void crewtest_may_take(unsigned seconds) {
#ifdef CREWTEST_SANITIZED
    seconds *= 4;
#endif
    alarm(seconds);
}

/* ---- the backend -------------------------------------------------------- */

const char *crewtest_backend(void) {
    return self.backend->name;
}

bool crewtest_has(unsigned caps) {
    unsigned has = self.backend->caps;
    if (!self.several_nodes)
        has |= CREWTEST_ONE_NODE;
    return (has & caps) == caps;
}

void crewtest_need(unsigned caps) {
    if (crewtest_has(caps))
        return;
    if (crewtest_has(caps & ~(unsigned)CREWTEST_ONE_NODE))
        print_message("not over several nodes: it looks into memory of one\n");
    skip();
}

void crewtest_not_on(const char *backend) {
    if (strcmp(self.backend->name, backend) == 0 ||
        (strcmp(backend, "mpi") == 0 && crewtest_on_ranks()))
        skip();
}

bool crewtest_window(void) {
    const char *segment = getenv("CREW_SEGMENT");
    return segment && strcmp(segment, "window") == 0 && crewtest_on_ranks();
}

void crewtest_need_fork(void) {
#ifdef CREWTEST_TSAN
    skip();
#endif
}

void crewtest_need_fork_beside_threads(void) {
    crewtest_need_fork();
#ifdef CREWTEST_SANITIZED
    if (self.backend->start != CREW_START_SERVER && self.backend->start != CREW_START_SPAWN)
        skip();
#endif
}

void crewtest_need_helpers(void) {
    if (!crewtest_on_ranks())
        return;
    print_message("not among ranks: it starts programs of its own\n");
    skip();
}

int crewtest_workers(int asked) {
    int most = strcmp(self.backend->name, "aboard") == 0
                   ? (int)crewtest_env("CREW_TEST_WORKERS", 1)
                   : asked;
    return !crewtest_has(CREWTEST_MANY) ? 1 : asked < most ? asked : most;
}

void crewtest_need_workers(int wanted) {
    if (crewtest_workers(wanted) == wanted)
        return;
    print_message("not with %d workers: it needs %d\n", crewtest_workers(wanted), wanted);
    skip();
}

crew_pool_opts crewtest_opts(int workers) {
    crew_pool_opts opts = {
        /* In a worker, too, where it is not MPI. */
        .backend = crewtest_on_ranks() ? CREW_AUTO : self.backend->backend,
        .start = self.backend->start,
        .workers = workers,
    };
    return opts;
}

crew_pool *crewtest_open_opts(const crew_pool_opts *opts) {
    crew_error err;
    crew_pool *p = crew_pool_open(opts, &err);
    if (!p)
        fail_msg("crew_pool_open: %s", err.text);
    for (size_t i = 0; i < sizeof self.open / sizeof *self.open; i++) {
        if (!self.open[i]) {
            self.open[i] = p;
            break;
        }
    }
    return p;
}

crew_pool *crewtest_open(int workers) {
    crew_pool_opts opts = crewtest_opts(workers);
    return crewtest_open_opts(&opts);
}

void crewtest_free(crew_pool *p) {
    for (size_t i = 0; i < sizeof self.open / sizeof *self.open; i++)
        if (self.open[i] == p)
            self.open[i] = NULL;
    crew_pool_free(p);
}

/* ---- cells -------------------------------------------------------------- */

_Atomic int64_t *crewtest_cell(int64_t i) {
    if (i < 0 || i >= CREWTEST_CELLS)
        crewtest_die(__FILE__, __LINE__, "there is no cell %" PRId64, i);
    return &self.cells[i];
}

int64_t crewtest_get(int64_t i) {
    return atomic_load(crewtest_cell(i));
}

void crewtest_set(int64_t i, int64_t value) {
    atomic_store(crewtest_cell(i), value);
}

int64_t crewtest_add(int64_t i, int64_t n) {
    return atomic_fetch_add(crewtest_cell(i), n);
}

int crewtest_pass(crew_call *call, int64_t cell) {
    double limit = crewtest_now() + 30;
    while (crewtest_get(cell) == 0) {
        if (crew_cancelled(call))
            return crew_fail(call, 125, "cancelled at gate %d", (int)cell);
        if (crewtest_now() > limit)
            return crew_fail(call, 124, "nobody opened gate %d", (int)cell);
        crewtest_pause();
    }
    return 0;
}

int crewtest_gated_task(crew_call *call) {
    int64_t cell = *CREW_IN(call, int64_t);
    crewtest_add(CELL_STARTED, 1);
    int code = crewtest_pass(call, cell);
    return code ? code : crew_task_result(call, &cell, sizeof cell);
}

/* ---- waiting, time, chance ---------------------------------------------- */

double crewtest_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void crewtest_pause(void) {
    struct timespec t = {0, 200000};
    nanosleep(&t, NULL);
}

bool crewtest_reached(int64_t cell, int64_t value, double seconds) {
    double limit = crewtest_now() + seconds;
    while (crewtest_get(cell) < value) {
        if (crewtest_now() > limit)
            return false;
        crewtest_pause();
    }
    return true;
}

uint64_t crewtest_mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t crewtest_seed(void) {
    return self.seed;
}

uint64_t crewtest_random(void) {
    return crewtest_mix(self.random++);
}

int64_t crewtest_env(const char *name, int64_t otherwise) {
    const char *value = getenv(name);
    return value && *value ? (int64_t)strtoull(value, NULL, 0) : otherwise;
}

int crewtest_scope(void) {
    return crewtest_has(CREWTEST_ONE_NODE) ? CREW_ARRAY_NODE : CREW_ARRAY_REPLICATED;
}

void crewtest_sum_up(crew_array a) {
    if (!crewtest_has(CREWTEST_ONE_NODE))
        assert_ok(crew_array_reduce(a, CREW_SUM, NULL), NULL);
}

int64_t crewtest_calls(int64_t n) {
    n = crewtest_many(n);
    return crewtest_has(CREWTEST_ONE_NODE) ? n : (n + 49) / 50;
}

bool crewtest_long(void) {
    return crewtest_env("CREW_TEST_LONG", 0) != 0;
}

int64_t crewtest_many(int64_t n) {
#ifdef CREWTEST_SANITIZED
    bool quick = true;
#else
    bool quick = crewtest_env("CREW_TEST_QUICK", 0) != 0;
#endif
    return quick ? (n + 9) / 10 : n;
}

/* ---- assertions --------------------------------------------------------- */

void crewtest_code_(int rc, int want, const crew_error *err, const char *what, const char *file,
                    int line) {
    if (rc != want) {
        print_error("%s: %d (%s), not %d (%s): %s\n", what, rc, rc < 0 ? crew_strerror(rc) : "ok",
                    want, want < 0 ? crew_strerror(want) : "ok", err ? err->text : "");
        _fail(file, line);
    }
    if (err && err->code != (want < 0 ? want : 0)) {
        print_error("%s: the error's code is %d, not %d: %s\n", what, err->code, want, err->text);
        _fail(file, line);
    }
    if (err && want < 0 && !memchr(err->text, ' ', strlen(err->text))) {
        print_error("%s: '%s' is no sentence\n", what, err->text);
        _fail(file, line);
    }
}

void crewtest_text_(const char *text, const char *part, const char *file, int line) {
    if (strstr(text, part))
        return;
    print_error("'%s' is not in: %s\n", part, text);
    _fail(file, line);
}

void crewtest_within_(double from, double seconds, const char *file, int line) {
    double took = crewtest_now() - from;
    if (took <= seconds)
        return;
    print_error("took %.2f s, at most %.2f s\n", took, seconds);
    _fail(file, line);
}

static int twice_task(crew_call *call) {
    int64_t twice = 2 * *CREW_IN(call, int64_t);
    return crew_task_result(call, &twice, sizeof twice);
}

void crewtest_usable_(crew_pool *p, const char *file, int line) {
    int64_t out[100];
    crew_error err;
    int rc = crew_map_index(p, twice_task, 100, out, NULL, &err);
    crewtest_code_(rc, 0, &err, "a map after it", file, line);
    for (int i = 0; i < 100; i++) {
        if (out[i] != 2 * i) {
            print_error("slot %d holds %" PRId64 "\n", i, out[i]);
            _fail(file, line);
        }
    }
}
