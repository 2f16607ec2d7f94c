/* tool.h - what these programs share: options, signals, a bar, files that are whole. */
#ifndef TOOL_H
#define TOOL_H

#include <crew/crew.h>
#include <getopt.h>
#include <stdio.h>

/* ---- start and end ---- */

/* The last rows of every program's table of options, and what to do with theirs, and
 * with what is no option: call it for all options that the program does not know. */
enum { TOOL_BACKEND = 1000, TOOL_WORKERS, TOOL_HELP, TOOL_VERSION };
#define TOOL_OPTIONS                                                                               \
    {"backend", required_argument, NULL, TOOL_BACKEND},                                            \
        {"workers", required_argument, NULL, TOOL_WORKERS},                                        \
        {"help", no_argument, NULL, TOOL_HELP}, {"version", no_argument, NULL, TOOL_VERSION}, {    \
        0                                                                                          \
    }
void tool_option(int option, char **argv);

/* Keeps the first complaint about the command line, for tool_start to print. */
void tool_misuse(const char *fmt, ...) CREW_PRINTF(1, 2);

/* A whole number (with a K, M or G of 1024 behind it), or any number, within bounds;
 * else a complaint that names the option. */
int64_t tool_integer(const char *option, const char *text, int64_t least, int64_t most);
double tool_number(const char *option, const char *text, double least, double most);

/* crew_init, after the options are read: they are read in every process, but only the
 * manager goes on from here and speaks. False: the program is to end, by tool_end. */
bool tool_start(int *argc, char ***argv, const char *help);
/* From here on the signals that end a program only ask for it: tool_stopped. */
void tool_catch_signals(void);

/* Closes standard output and crew: what main returns. Does not return if a signal was
 * what ended the program. */
int tool_end(int result);

/* ---- while it runs ---- */

/* True after Ctrl-C or the like, or when nobody reads the output any more. */
bool tool_stopped(void);

/* True if standard output cannot be written to, full for instance, which tool_end will
 * tell. To be asked right after printing, while errno still says why. */
bool tool_output_fails(void);

/* Says on standard error what went wrong, behind the program's name. */
void tool_say(const char *fmt, ...) CREW_PRINTF(1, 2);
/* The same of an error; EXIT_FAILURE. */
int tool_failed(const crew_error *err);

/* Waits for a map and frees it; cancels it if the program is stopped. 0, or after a
 * failure (which it has told) or a stop -1. */
int tool_wait(crew_job *job, crew_error *err);

/* A bar on standard error, if that is a terminal; CREW_PROGRESS=0 never, 1 always. */
void tool_bar(int64_t done, int64_t total, const char *what);
void tool_bar_end(void);
bool tool_bar_wanted(void);

/* Seconds, from some moment on. */
double tool_now(void);

/* One line on standard error: how long it took, and how busy the workers were. */
void tool_stats(crew_pool *pool, double seconds, const char *what);

/* ---- a file that is there as a whole or not at all ---- */

typedef struct tool_file {
    FILE *to;
    char *path, *part; /* it is written as PATH.part; NULL where that makes no sense */
    int problem;       /* errno of what could not be written */
} tool_file;

/* path "-" or NULL is standard output. False, and it is told, if it cannot be written. */
bool tool_file_open(tool_file *file, const char *path);
/* To be called when all is written: errno is not lost then, whatever comes between. */
void tool_file_written(tool_file *file);
/* With good, gives it its name; else, and if it cannot, nothing is left of it. 0 or -1. */
int tool_file_close(tool_file *file, bool good);

#endif
