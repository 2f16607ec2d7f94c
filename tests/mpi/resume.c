/* mpi/resume.c - a map that ranks of several nodes have begun, and forked workers end.
 *
 *     begin FOLDER   a map with a journal there; once much of it is done, the manager is
 *                    killed, and all of the job with it
 *     end FOLDER     the same program without a launcher: the result is right, and nothing
 *                    that was in the journal is run again
 *
 * What runs is noted in the file `ran`, by all processes, an entry an item. */
#include <crew/crew.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { COUNT = 20000, ENOUGH = 3000, NODES = 3 };

struct ran {
    int64_t item, node;
};
struct setup {
    char file[200]; /* `ran` */
};

static void give_up(const char *why) {
    fprintf(stderr, "resume: %s\n", why);
    _exit(97);
}

static int slow_cube(crew_call *call) {
    static int fd = -1; /* one a process */
    const struct ran entry = {call->index, call->node};
    const struct timespec while_ = {0, 500000};
    if (fd < 0)
        fd = open(CREW_COMMON(call, struct setup)->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
                  0666);
    if (write(fd, &entry, sizeof entry) != (ssize_t)sizeof entry)
        return 1;
    nanosleep(&while_, NULL);
    *CREW_OUT(call, int64_t) = call->index * call->index * call->index;
    return 0;
}

static unsigned char durable[COUNT];

static void note(void *ctx, const char *key, int64_t index, int64_t n, int status) {
    (void)key;
    for (int64_t i = index; status == 0 && i < index + n; i++) {
        *(int64_t *)ctx += !durable[i];
        durable[i] = 1;
    }
}

static int64_t done_in(const char *journal) {
    crew_journal_info info;
    int64_t done = 0;
    memset(durable, 0, sizeof durable);
    crew_journal_read(journal, &info, note, &done, NULL);
    return done;
}

/* Entries behind `from`; their number. */
static size_t read_ran(const char *file, size_t from, struct ran **entries) {
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        give_up("nothing has run");
    size_t n = (size_t)st.st_size / sizeof **entries - from;
    *entries = malloc(n * sizeof **entries + 1);
    if (pread(fd, *entries, n * sizeof **entries, (off_t)(from * sizeof **entries)) !=
        (ssize_t)(n * sizeof **entries))
        give_up("what has run cannot be read");
    close(fd);
    return n;
}

static void die_half_way(crew_pool *p, const crew_map_opts *opts, int64_t *out) {
    const struct timespec moment = {0, 10000000};
    crew_job *j = crew_map_async(p, slow_cube, NULL, 0, COUNT, out, sizeof *out, opts, NULL);
    for (int i = 0; j && i < 6000; i++) {
        if (done_in(opts->journal) >= ENOUGH)
            kill(getpid(), SIGKILL);
        nanosleep(&moment, NULL);
    }
    give_up(j ? "the journal does not grow" : crew_last_error()->text);
}

static void end_it(crew_pool *p, const crew_map_opts *opts, const char *file, int64_t *out) {
    struct ran *entries;
    bool nodes[NODES] = {false};
    crew_error err;
    int64_t done = done_in(opts->journal);
    size_t before = read_ran(file, 0, &entries);
    for (size_t i = 0; i < before; i++)
        nodes[entries[i].node] = true;
    if (!nodes[0] || !nodes[1] || !nodes[2])
        give_up("a node has done nothing");
    free(entries);
    if (crew_pool_map(p, slow_cube, NULL, 0, COUNT, out, sizeof *out, opts, &err) < 0)
        give_up(err.text);
    for (int64_t i = 0; i < COUNT; i++)
        if (out[i] != i * i * i)
            give_up("a result is wrong");
    size_t after = read_ran(file, before, &entries);
    for (size_t i = 0; i < after; i++)
        if (durable[entries[i].item])
            give_up("an item that was in the journal has run again");
    free(entries);
    if ((int64_t)after != COUNT - done || done < ENOUGH)
        give_up("other items have run than those that were missing");
    printf("ok - %ld of %d items were in the journal, %zu had run; %zu ran to the end\n",
           (long)done, COUNT, before, after);
}

int main(int argc, char **argv) {
    static int64_t out[COUNT];
    crew_init(&argc, &argv);
    if (argc != 3)
        give_up("begin FOLDER or end FOLDER");
    char journal[256];
    struct setup setup;
    snprintf(journal, sizeof journal, "%s/journal", argv[2]);
    snprintf(setup.file, sizeof setup.file, "%s/ran", argv[2]);
    memset(setup.file + strlen(setup.file), 0, sizeof setup.file - strlen(setup.file));
    const crew_map_opts opts = {.journal = journal, .common = &setup, .common_size = sizeof setup};
    crew_error err;
    crew_pool *p = crew_pool_open(NULL, &err);
    if (!p)
        give_up(err.text);
    if (strcmp(argv[1], "begin") == 0)
        die_half_way(p, &opts, out);
    else
        end_it(p, &opts, setup.file, out);
    crew_pool_free(p);
    return crew_finalize();
}
