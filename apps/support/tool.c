/* tool.c - what these programs share. */
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_STOPPED = 85 };

static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
enum { STOPS = sizeof stops / sizeof *stops };

static char misuse[256];
static bool wants_help, wants_version;
static int early_result; /* what a program returns that did not start */
static volatile sig_atomic_t stop_signal;
static int output_problem; /* errno of a write to standard output that has failed */
static bool bar_drawn;

/* ---- options ---- */

void tool_misuse(const char *fmt, ...) {
    va_list args;
    if (misuse[0])
        return;
    va_start(args, fmt);
    vsnprintf(misuse, sizeof misuse, fmt, args);
    va_end(args);
}

/* The environment overrides what a program asks for, and a program's options override
 * the environment: so they go there. The library says which words it accepts. */
static void set(const char *name, const char *value) {
    if (setenv(name, value, 1) != 0)
        tool_misuse("not enough memory");
}

/* What getopt stumbled over: of letters in one word (-ab) it has not left that yet. */
static const char *stumbled_over(char **argv) {
    const char *word = argv[optind];
    bool letters = word && word[0] == '-' && word[1] != '-' && strchr(word + 1, optopt);
    return letters && optopt ? word : argv[optind - 1];
}

void tool_option(int option, char **argv) {
    switch (option) {
    case TOOL_BACKEND:
        set("CREW_BACKEND", optarg);
        break;
    case TOOL_WORKERS:
        set("CREW_WORKERS", optarg);
        break;
    case TOOL_HELP:
        wants_help = true;
        break;
    case TOOL_VERSION:
        wants_version = true;
        break;
    default:
        tool_misuse("no such option, or not with this value or without one: %s",
                    stumbled_over(argv));
    }
}

int64_t tool_integer(const char *option, const char *text, int64_t least, int64_t most) {
    char *end;
    errno = 0;
    int64_t n = strtoll(text, &end, 10);
    int64_t factor = *end == 'K' ? 1 << 10 : *end == 'M' ? 1 << 20 : *end == 'G' ? 1 << 30 : 1;
    bool good = end > text && errno == 0 && (*end == 0 || (factor > 1 && end[1] == 0)) &&
                !__builtin_mul_overflow(n, factor, &n) && n >= least && n <= most;
    if (!good)
        tool_misuse("--%s takes a whole number from %lld to %lld, not %s", option, (long long)least,
                    (long long)most, text);
    return good ? n : least;
}

double tool_number(const char *option, const char *text, double least, double most) {
    char *end;
    double x = strtod(text, &end);
    bool good = end > text && *end == 0 && x >= least && x <= most;
    if (!good)
        tool_misuse("--%s takes a number from %g to %g, not %s", option, least, most, text);
    return good ? x : least;
}

/* ---- start and end ---- */

static void stop(int number) {
    stop_signal = number;
}

/* The second one of a kind ends the program at once. What is ignored (nohup) stays so. */
void tool_catch_signals(void) {
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND}, old;
    for (int i = 0; i < STOPS; i++)
        if (sigaction(stops[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(stops[i], &action, NULL);
}

bool tool_start(int *argc, char ***argv, const char *help) {
    if (crew_init(argc, argv) < 0) {
        tool_say("%s", crew_last_error()->text);
        early_result = EXIT_FAILURE;
    } else if (misuse[0] && !wants_help && !wants_version) {
        tool_say("%s. Try %s --help.", misuse, program_invocation_short_name);
        early_result = EXIT_USAGE;
    } else if (wants_help) {
        fputs(help, stdout);
    } else if (wants_version) {
        printf("%s %s\n", program_invocation_short_name, CREW_VERSION);
    } else {
        return true;
    }
    return false;
}

int tool_end(int result) {
    int last = crew_finalize();
    if (fflush(stdout))
        output_problem = errno;
    if (ferror(stdout) || output_problem) {
        if (!tool_stopped())
            tool_say("the output could not be written: %s",
                     strerror(output_problem ? output_problem : EIO));
        result = EXIT_FAILURE;
    }
    if (stop_signal) {
        signal(stop_signal, SIG_DFL);
        raise(stop_signal);
    }
    if (early_result)
        return early_result;
    if (last == EXIT_STOPPED) /* whatever the program made of it: to be gone on with */
        return last;
    return result ? result : last;
}

/* ---- while it runs ---- */

bool tool_stopped(void) {
    return stop_signal != 0;
}

bool tool_output_fails(void) {
    if (ferror(stdout) && !output_problem)
        output_problem = errno ? errno : EIO;
    return output_problem;
}

void tool_say(const char *fmt, ...) {
    va_list args;
    char *text;
    va_start(args, fmt);
    int size = vasprintf(&text, fmt, args);
    va_end(args);
    tool_bar_end();
    /* A file's name may hold anything: line ends, and what does things to a terminal. */
    for (int i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 127)
            text[i] = '?';
    fprintf(stderr, "%s: %s\n", program_invocation_short_name,
            size < 0 ? "not enough memory for a message" : text);
    if (size >= 0)
        free(text);
}

int tool_failed(const crew_error *err) {
    tool_say("%s", err->text);
    return EXIT_FAILURE;
}

int tool_wait(crew_job *job, crew_error *err) {
    if (!job) {
        tool_say("%s", err->text);
        return -1;
    }
    while (crew_job_wait(job, 0.1) == CREW_ETIMEDOUT)
        if (tool_stopped())
            crew_job_cancel(job);
    int status = crew_job_get(job, CREW_FOREVER, err);
    crew_job_free(job);
    if (status < 0 && !tool_stopped())
        tool_say("%s", err->text);
    return status < 0 || tool_stopped() ? -1 : 0;
}

double tool_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bool tool_bar_wanted(void) {
    const char *setting = getenv("CREW_PROGRESS");
    if (setting && *setting)
        return *setting == '1';
    return isatty(STDERR_FILENO);
}

void tool_bar(int64_t done, int64_t total, const char *what) {
    static double last;
    char bar[41];
    double part = total > 0 ? (double)done / (double)total : 0;
    double time = tool_now();
    if (!tool_bar_wanted() || (time < last + 0.1 && done < total))
        return;
    last = time;
    for (int i = 0; i < 40; i++)
        bar[i] = i < (int)(part * 40) ? '#' : '.';
    bar[40] = 0;
    fprintf(stderr, "\r%s [%s] %5.1f %% %lld of %lld %s", program_invocation_short_name, bar,
            part * 100, (long long)done, (long long)total, what);
    bar_drawn = true;
}

void tool_bar_end(void) {
    if (bar_drawn)
        putc('\n', stderr);
    bar_drawn = false;
}

void tool_stats(crew_pool *pool, double seconds, const char *what) {
    crew_stats all;
    int workers = crew_pool_workers(pool);
    if (crew_pool_stats(pool, -1, &all) == 0)
        tool_say("%s: %.2f s on %d worker%s, which worked for %.2f s, %.0f %% of it", what, seconds,
                 workers, workers == 1 ? "" : "s", all.busy, 100 * all.busy / (seconds * workers));
}

/* ---- files ---- */

/* A file that is there is replaced, but only if it may be written to; a link to one stays,
 * and leads to the new one. */
static char *place_of(const char *path, bool there) {
    struct stat link;
    if (there && access(path, W_OK) != 0)
        return NULL;
    return lstat(path, &link) == 0 ? realpath(path, NULL) : strdup(path);
}

/* It is locked, for two that write to one file would mix. What was left of a program that
 * was killed is not locked, and begun anew. EWOULDBLOCK: it is another one's. */
static FILE *open_part(const char *part) {
    struct stat ours, there;
    FILE *to = NULL;
    int fd = open(part, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return NULL;
    bool ours_now = flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    /* Or it has its name by now, and is done. */
    if (!ours_now || fstat(fd, &ours) != 0 || stat(part, &there) != 0 ||
        ours.st_ino != there.st_ino)
        errno = EWOULDBLOCK;
    else if (ftruncate(fd, 0) == 0)
        to = fdopen(fd, "wb");
    int why = errno;
    if (!to)
        close(fd);
    errno = why;
    return to;
}

bool tool_file_open(tool_file *file, const char *path) {
    struct stat now;
    *file = (tool_file){.to = stdout};
    if (!path || strcmp(path, "-") == 0)
        return true;
    file->to = NULL;
    /* What is there and no file (a pipe, /dev/null) is written to, not replaced. */
    bool there = stat(path, &now) == 0, direct = there && !S_ISREG(now.st_mode);
    errno = *path ? 0 : ENOENT;
    if (*path)
        file->path = direct ? strdup(path) : place_of(path, there);
    if (file->path && (direct || asprintf(&file->part, "%s.part", file->path) >= 0))
        file->to = direct ? fopen(path, "wbe") : open_part(file->part);
    if (!file->to) {
        tool_say("%s cannot be written: %s", *path ? path : "the file without a name",
                 errno == EWOULDBLOCK ? "another program is writing it" : strerror(errno));
        free(file->path);
        free(file->part);
        return false;
    }
    if (file->part && there)
        fchmod(fileno(file->to), now.st_mode & 0777);
    return true;
}

void tool_file_written(tool_file *file) {
    bool failed = ferror(file->to); /* then errno is still that of the write */
    if (file->problem == 0 && (fflush(file->to) != 0 || failed))
        file->problem = errno ? errno : EIO;
}

int tool_file_close(tool_file *file, bool good) {
    tool_file_written(file);
    bool written = file->problem == 0;
    int why = file->problem;
    if (file->to == stdout && !written)
        output_problem = why; /* told at the end, by tool_end */
    if (file->to != stdout && fclose(file->to) != 0 && written) {
        written = false;
        why = errno;
    }
    if (good && written && file->part && rename(file->part, file->path) != 0) {
        written = false;
        why = errno;
    }
    if (file->part && !(good && written))
        unlink(file->part);
    if (good && !written && file->path)
        tool_say("%s could not be written: %s", file->path, strerror(why));
    free(file->path);
    free(file->part);
    return good && written ? 0 : -1;
}
