/* The table of the environment's settings, and what is done with it. */
#include "base/config.h"

#include "base/error.h"
#include "base/stopwords.h"

#include <crew/pool.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(CW_MAX_WORKERS == 4096, "the table below says so in words");

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* The position of a word is its constant's value. */
static const char *const backend_words[] = {
    [CREW_AUTO] = "auto", [CREW_SERIAL] = "serial", [CREW_THREADS] = "threads",
    [CREW_FORK] = "fork", [CREW_MPI] = "mpi",
};
static const char *const start_words[] = {
    [CREW_START_AUTO] = "auto",
    [CREW_START_FORK] = "fork",
    [CREW_START_SERVER] = "server",
    [CREW_START_SPAWN] = "spawn",
};
static const char *const bind_words[] = {
    [CREW_BIND_AUTO] = "auto",     [CREW_BIND_NONE] = "none", [CREW_BIND_CORE] = "core",
    [CREW_BIND_PU] = "pu",         [CREW_BIND_L3] = "l3",     [CREW_BIND_NUMA] = "numa",
    [CREW_BIND_SOCKET] = "socket",
};
static const char *const order_words[] = {"compact", "scatter"}; /* CW_ORDER_* of topo/topo.h */
static const char *const resume_words[] = {
    [CW_RESUME_DONE] = "done", [CW_RESUME_FINISHED] = "finished"};
static const char *const limit_words[] = {"batch", "none"};
static const char *const segment_words[] = {"memfd", "window"};
static const char *const one_sided_words[] = {
    [CW_ONE_SIDED_AUTO] = "auto", [CW_ONE_SIDED_ON] = "on", [CW_ONE_SIDED_OFF] = "off"};
static const char *const switch_words[] = {"0", "1"};

enum kind {
    WORD,   /* int: one of words[] */
    NUMBER, /* int from least to most */
    BYTES,  /* int64_t from least to most, with K, M, G or T */
    SEED,   /* uint64_t, and has_seed */
    PATH,   /* const char *, the environment's own: an absolute one */
    FOLDER, /* const char *, the environment's own */
    SPAN,   /* double: seconds, not less than least; CW_LIMIT_OF_BATCH and _NONE for words */
    SIGNALS /* uint64_t: bit s - 1 is signal s */
};

struct row {
    const char *name;
    enum kind kind;
    size_t offset; /* of the field in struct cw_config */
    const char *const *words;
    int count;
    int64_t least, most;
    const char *accepted; /* in words, where no list of words gives it */
    const char *standard; /* what holds when it is not set */
    const char *meaning;
};

#define FIELD(name) offsetof(struct cw_config, name)
#define WORDS(list) .kind = WORD, .words = (list), .count = COUNT(list)

static const struct row rows[] = {
    {"CREW_BACKEND", WORDS(backend_words), .offset = FIELD(backend),
     .standard = "the code's choice, else what the launch says, else fork",
     .meaning = "What the workers are: the program itself, threads, processes, MPI ranks."},
    {"CREW_WORKERS", .kind = NUMBER, .offset = FIELD(workers), .least = 1,
     .most = CW_MAX_WORKERS, .accepted = "a number from 1 to 4096",
     .standard = "the code's choice, else the processors this process may use",
     .meaning = "Workers of a pool that is opened outside of a worker."},
    {"CREW_START", WORDS(start_words), .offset = FIELD(start),
     .standard = "the code's choice, else fork (server under MPI)",
     .meaning = "What worker processes see of memory: fork, as when the pool opened; server, as "
                "at crew_init; spawn, a fresh program."},
    {"CREW_BIND", WORDS(bind_words), .offset = FIELD(bind),
     .standard = "the code's choice, else auto",
     .meaning = "What each worker is bound to. auto: cores where there are enough for all, else "
                "none."},
    {"CREW_ORDER", WORDS(order_words), .offset = FIELD(order), .standard = "compact",
     .meaning = "The order of bound workers: neighbours first, or spread over sockets, NUMA "
                "nodes, caches, cores."},
    {"CREW_THREADS_PER_WORKER", .kind = NUMBER, .offset = FIELD(threads), .least = 1, .most = 4096,
     .accepted = "a number from 1 to 4096",
     .standard = "the code's choice, else as many as the worker has cores",
     .meaning = "OpenMP threads of a task."},
    {"CREW_STRICT", WORDS(switch_words), .offset = FIELD(strict), .standard = "0",
     .meaning = "1: fork behaves as server, to find what would break on a cluster."},
    {"CREW_ISOLATE", WORDS(switch_words), .offset = FIELD(isolate), .standard = "1",
     .meaning = "Under MPI. 0: tasks run in the ranks themselves, one worker a rank, and may call "
                "MPI on what crew_call_comm gives them, also several ranks together (opts.ranks of "
                "crew_submit); one that crashes takes the job along. The same in all ranks."},
    {"CREW_CORE", WORDS(switch_words), .offset = FIELD(core), .standard = "0",
     .meaning = "1: workers that crash dump core."},
    {"CREW_REPORT_BINDING", WORDS(switch_words), .offset = FIELD(report_binding), .standard = "0",
     .meaning = "1: who is bound where is said on standard error when a pool opens."},
    {"CREW_PROGRESS", WORDS(switch_words), .offset = FIELD(progress),
     .standard = "the code's choice", .meaning = "Progress bars: 0 never, 1 always."},
    {"CREW_NODE_TIMEOUT", .kind = NUMBER, .offset = FIELD(node_timeout), .least = 1, .most = 86400,
     .accepted = "a number of seconds from 1 to 86400", .standard = "30",
     .meaning = "Under MPI: a node that is silent for so long is taken for lost."},
    {"CREW_STOP_SIGNAL", .kind = SIGNALS, .offset = FIELD(stop_signals),
     .accepted = "a list of HUP, INT, QUIT, USR1, USR2, ALRM, TERM, XCPU, URG, PWR or numbers",
     .standard = "what the code asks for with crew_stop_on",
     .meaning = "Signals that stop the program: nothing new begins, and maps end with "
                "CREW_ESTOPPED."},
    {"CREW_TIME_LIMIT", .kind = SPAN, .words = limit_words, .count = COUNT(limit_words),
     .offset = FIELD(time_limit), .least = 1,
     .accepted = CW_SPAN_FORMS ", batch for the limit of the batch system, or none",
     .standard = "batch once there is a journal, else none",
     .meaning = "After so long, counted from crew_init, the program stops as by a signal. batch: "
                "CREW_STOP_MARGIN before the batch system ends the job, where its environment "
                "tells when that is (SLURM_JOB_END_TIME, PBS_WALLTIME)."},
    {"CREW_STOP_GRACE", .kind = SPAN, .offset = FIELD(stop_grace), .accepted = CW_SPAN_FORMS,
     .standard = "30",
     .meaning = "How long items that run when the program is to stop may go on; then they are "
                "ended."},
    {"CREW_STOP_MARGIN", .kind = SPAN, .offset = FIELD(stop_margin), .accepted = CW_SPAN_FORMS,
     .standard = "twice CREW_STOP_GRACE",
     .meaning = "How long before the end of the batch system's job to stop (CREW_TIME_LIMIT), but "
                "never in the first half of what is left."},
    {"CREW_SEGMENT_SIZE", .kind = BYTES, .offset = FIELD(segment), .least = 16ll << 20,
     .most = 256ll << 40, .accepted = "a number of bytes from 16M to 256T (suffixes K, M, G, T)",
     .standard = "twice the machine's memory",
     .meaning = "Addresses reserved for shared memory, half of them for arrays. Free."},
    {"CREW_SEGMENT", WORDS(segment_words), .offset = FIELD(window), .standard = "memfd",
     .meaning = "Under MPI: what the shared memory of a node's ranks is. memfd: of its lowest rank, "
                "opened by the others in /proc. window: of MPI (MPI_Win_allocate_shared), no larger "
                "than what /dev/shm has free; workers are then forked from ranks that have started "
                "MPI, and CREW_START=spawn is refused. The same in all ranks."},
    {"CREW_ONE_SIDED", WORDS(one_sided_words), .offset = FIELD(one_sided), .standard = "auto",
     .meaning = "Under MPI, several nodes: elements of PARTITIONED arrays on other nodes are read by "
                "MPI_Rget out of a window over the shared memory. off: by messages. auto: by "
                "messages on more than 64 nodes, where a node has an RDMA device (which would pin "
                "all of CREW_SEGMENT_SIZE), or where MPI has nothing that bears the loss of a node. "
                "on: with what MPI has. Rank 0's setting holds."},
    {"CREW_SEED", .kind = SEED, .offset = FIELD(seed),
     .accepted = "a number from 0 to 18446744073709551615", .standard = "the code's choice",
     .meaning = "The seed of the random numbers of tasks."},
    {"CREW_JOURNAL", .kind = FOLDER, .offset = FIELD(journal),
     .accepted = "the name of a folder, which is made if there is none",
     .standard = "the code's choice",
     .meaning = "Each map and stream with results has a journal there: the first in the file 1, "
                "the second in 2, and so on; submitted calls with a key in the file keys. The "
                "program, started again, goes on where it was. Not for maps inside tasks, nor in "
                "children that the program forks."},
    {"CREW_RESUME", WORDS(resume_words), .offset = FIELD(resume), .standard = "done",
     .meaning = "What is taken from a journal: items that were done, or all that were finished, "
                "those that failed included."},
    {"CREW_JOURNAL_FORCE", WORDS(switch_words), .offset = FIELD(journal_force), .standard = "0",
     .meaning = "1: a journal is used although the program has been built anew since."},
    {"CREW_MPI_MODULE", .kind = PATH, .offset = FIELD(mpi_module),
     .accepted = "the absolute path of libcrew-mpi-openmpi.so, libcrew-mpi-mpich.so or their "
                 "folder",
     .standard = "beside libcrew.so, else where libraries are installed",
     .meaning = "The module by which a program that mpirun or srun has started speaks MPI."},
};

/* ---- parsing ------------------------------------------------------------- */

static void set_int(struct cw_config *config, const struct row *row, int value) {
    memcpy((char *)config + row->offset, &value, sizeof value);
}

/* Decimal digits at the start of text, no sign, no space. *end: after them. */
static bool parse_digits(const char *text, uint64_t *value, const char **end) {
    *value = 0;
    *end = text;
    for (; **end >= '0' && **end <= '9'; ++*end) {
        unsigned digit = (unsigned)(**end - '0');
        if (*value > (UINT64_MAX - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return *end != text;
}

static bool parse_word(struct cw_config *config, const struct row *row, const char *text) {
    for (int i = 0; i < row->count; i++)
        if (strcmp(text, row->words[i]) == 0) {
            set_int(config, row, i);
            return true;
        }
    return false;
}

static bool parse_bytes(struct cw_config *config, const struct row *row, const char *text) {
    static const char suffixes[] = "KMGT";
    uint64_t value;
    const char *end;
    if (!parse_digits(text, &value, &end))
        return false;
    if (*end) {
        const char *suffix = strchr(suffixes, *end);
        if (!suffix || end[1])
            return false;
        int shift = 10 * (int)(suffix - suffixes + 1);
        if (value > UINT64_MAX >> shift)
            return false;
        value <<= shift;
    }
    if (value < (uint64_t)row->least || value > (uint64_t)row->most)
        return false;
    int64_t bytes = (int64_t)value;
    memcpy((char *)config + row->offset, &bytes, sizeof bytes);
    return true;
}

static bool parse_span(struct cw_config *config, const struct row *row, const char *text) {
    static const double values[COUNT(limit_words)] = {CW_LIMIT_OF_BATCH, CW_LIMIT_NONE};
    double seconds;
    int word = 0;
    while (word < row->count && strcmp(text, row->words[word]) != 0)
        word++;
    if (word < row->count)
        seconds = values[word];
    else if (!cw_span_parse(text, &seconds) || seconds < (double)row->least)
        return false;
    memcpy((char *)config + row->offset, &seconds, sizeof seconds);
    return true;
}

static bool parse(struct cw_config *config, const struct row *row, const char *text) {
    uint64_t value;
    const char *end;
    switch (row->kind) {
    case WORD:
        return parse_word(config, row, text);
    case BYTES:
        return parse_bytes(config, row, text);
    case NUMBER:
        if (!parse_digits(text, &value, &end) || *end || value < (uint64_t)row->least ||
            value > (uint64_t)row->most)
            return false;
        set_int(config, row, (int)value);
        return true;
    case SEED:
        if (!parse_digits(text, &value, &end) || *end)
            return false;
        memcpy((char *)config + row->offset, &value, sizeof value);
        config->has_seed = true;
        return true;
    case FOLDER:
    case PATH:
        if (row->kind == PATH && text[0] != '/')
            return false;
        memcpy((char *)config + row->offset, &text, sizeof text);
        return true;
    case SPAN:
        return parse_span(config, row, text);
    case SIGNALS:
        if (!cw_stop_signals_parse(text, &value))
            return false;
        memcpy((char *)config + row->offset, &value, sizeof value);
        return true;
    }
    return false;
}

/* "auto, serial, threads, fork or mpi" */
static const char *accepted(const struct row *row, char *buf, size_t cap) {
    if (row->kind != WORD)
        return row->accepted;
    size_t used = 0;
    buf[0] = '\0';
    for (int i = 0; i < row->count && used < cap; i++) {
        const char *before = i == 0 ? "" : i == row->count - 1 ? " or " : ", ";
        used += (size_t)snprintf(buf + used, cap - used, "%s%s", before, row->words[i]);
    }
    return buf;
}

static const char *from_environment(const char *name) {
    return getenv(name);
}

int cw_config_load(struct cw_config *config, const char *(*get)(const char *name),
                   crew_error *err) {
    if (!get)
        get = from_environment;
    struct cw_config loaded = {.bind = -1,
                               .progress = -1,
                               .isolate = 1,
                               .stop_grace = CW_SPAN_UNSET,
                               .stop_margin = CW_SPAN_UNSET};
    for (int i = 0; i < COUNT(rows); i++) {
        const char *text = get(rows[i].name);
        if (!text || !*text || parse(&loaded, &rows[i], text))
            continue;
        char list[128];
        return cw_error_set(err, CREW_EINVAL, 0, "%s=%.60s%s is not accepted: it takes %s",
                            rows[i].name, text, strlen(text) > 60 ? "..." : "",
                            accepted(&rows[i], list, sizeof list));
    }
    *config = loaded;
    return cw_error_clear(err);
}

/* ---- names --------------------------------------------------------------- */

enum { NAME_MOST = 32 };

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Letters to be put in, left out, changed or exchanged with their neighbour until
 * one text is the other. Both are shorter than NAME_MOST. */
static int distance(const char *a, const char *b) {
    int d[NAME_MOST][NAME_MOST], n = (int)strlen(a), m = (int)strlen(b);
    for (int i = 0; i <= n; i++)
        for (int j = 0; j <= m; j++) {
            d[i][j] = i ? j ? d[i - 1][j - 1] + (a[i - 1] != b[j - 1]) : i : j;
            if (i && j)
                d[i][j] = least(d[i][j], least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[n][m];
}

/* The setting that a name seems to mean; NULL: it is one, or another program's.
 * Short names are like many others: there, one slip is all. */
static const char *misspelt(const char *name) {
    static const char *const others[] = {"CREW_SPAWNED_AS", "CREW_SEGMENT"};
    static const char prefix[] = "CREW_";
    if (strlen(name) >= NAME_MOST || strncmp(name, "CREW_TEST_", 10) == 0)
        return NULL;
    for (int i = 0; i < COUNT(others); i++)
        if (strcmp(name, others[i]) == 0)
            return NULL;
    const char *near = NULL;
    int nearest = NAME_MOST;
    for (int i = 0; i < COUNT(rows); i++) {
        int far = distance(name, rows[i].name);
        if (far == 0)
            return NULL;
        if (far < nearest && far <= (strlen(rows[i].name + strlen(prefix)) > 5 ? 2 : 1)) {
            nearest = far;
            near = rows[i].name;
        }
    }
    return near;
}

int cw_config_names(char *const *environment, crew_error *err) {
    for (; environment && *environment; environment++) {
        char name[NAME_MOST];
        size_t n = strcspn(*environment, "=");
        if (strncmp(*environment, "CREW_", 5) != 0 || n >= sizeof name)
            continue;
        memcpy(name, *environment, n);
        name[n] = '\0';
        const char *meant = misspelt(name);
        if (meant)
            return cw_error_set(err, CREW_EINVAL, 0,
                                "%s is set in the environment, but it is no setting of crew's: is "
                                "%s meant?",
                                name, meant);
    }
    return cw_error_clear(err);
}

/* ---- showing ------------------------------------------------------------- */

enum { INDENT = 4, WIDTH = 78 };

/* Words of text, broken into indented lines. */
static void print_paragraph(FILE *out, const char *text) {
    int column = 0;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column == 0)
            column = fprintf(out, "%*s%.*s", INDENT, "", length, text);
        else if (column + 1 + length > WIDTH)
            column = fprintf(out, "\n%*s%.*s", INDENT, "", length, text) - 1;
        else
            column += fprintf(out, " %.*s", length, text);
        text += length;
        text += *text == ' ';
    }
    fputc('\n', out);
}

void cw_config_print(FILE *out) {
    for (int i = 0; i < COUNT(rows); i++) {
        char list[128], line[256];
        fprintf(out, "%s%s\n", i == 0 ? "" : "\n", rows[i].name);
        print_paragraph(out, rows[i].meaning);
        snprintf(line, sizeof line, "Takes %s.", accepted(&rows[i], list, sizeof list));
        print_paragraph(out, line);
        snprintf(line, sizeof line, "If not set: %s.", rows[i].standard);
        print_paragraph(out, line);
    }
}

static const char *word_of(const char *const *words, int count, int value) {
    return value >= 0 && value < count ? words[value] : NULL;
}

const char *cw_backend_word(int backend) {
    return word_of(backend_words, COUNT(backend_words), backend);
}

const char *cw_start_word(int start) {
    return word_of(start_words, COUNT(start_words), start);
}

const char *cw_bind_word(int bind) {
    return word_of(bind_words, COUNT(bind_words), bind);
}
