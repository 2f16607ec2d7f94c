/* bench.h - what the measurements share: the pool, the clock, the race, the report.
 *
 * A race has sides; side 0 is crew's. A round measures every side once, in turn,
 * so that what else happens on the machine falls on all of them alike. What is
 * reported of a side is the median of its rounds, and the least. */
#ifndef BENCH_H
#define BENCH_H

#include <crew/crew.h>
#include <sched.h>

struct bench {
    crew_pool *pool; /* forked workers, opened before OpenMP was first used */
    int workers;
    int rounds;
    bool quick;
    const char *flavour; /* of MPI: openmpi, mpich */
};

/* A measurement: 0, or 1 when something broke (it has said what). */
typedef int measure(const struct bench *b);
measure measure_map1, measure_map, measure_for;
measure measure_tasks_10us, measure_tasks_10us_random, measure_tasks_1us, measure_tasks_1us_random,
    measure_auto_skew;
measure measure_submit, measure_roundtrip_awake, measure_roundtrip_asleep;
measure measure_array;
measure measure_queue, measure_pipe;
measure measure_lock, measure_processes;
/* What measure_processes starts the program for: its first argument, and its main. */
#define PROCESSES_MODE "--processes-from-here"
int processes_from_here(int argc, char **argv);
measure measure_dict, measure_dict_count;
measure measure_open64, measure_idle, measure_idle_memory, measure_imap_memory;
measure measure_journal;
measure measure_speedups, measure_sieve;
measure measure_peers;
measure measure_ranks_item, measure_ranks_textbook, measure_ranks_hosts, measure_ranks_bcast,
    measure_ranks_object, measure_ranks_array, measure_ranks_idle;

/* ---- time ---- */

double now(void); /* seconds, monotonic */
void rest_for(double seconds);
/* Between two sides: the other side's threads have gone to sleep after it. */
void settle(void);

/* ---- sides ---- */

enum { ROUNDS_MOST = 99, SIDES_MOST = 8 };

struct side {
    const char *name;
    int count;
    double value[ROUNDS_MOST];
};
struct race {
    int sides;
    struct side side[SIDES_MOST];
};

struct side *race_enter(struct race *race, const char *name);
void side_add(struct side *side, double value);
double side_median(const struct side *side);
double side_least(const struct side *side);
/* The side with the lowest median of all but the first; NULL if there is none. */
const struct side *race_best(const struct race *race);

/* ---- who is there ---- */

struct place {
    int64_t pid;
    cpu_set_t cpus;
};
/* Fills one place for each worker of the pool: its process, where it may run. */
int places_of(const char *name, crew_pool *pool, struct place *places);

/* Python with multiprocessing. The program prints n numbers. */
bool python_available(void);
int python_numbers(const char *program, double *numbers, int n);
/* The same of a command for the shell. */
int command_numbers(const char *command, double *numbers, int n);
/* The same of this program itself, started anew with these arguments. */
int own_numbers(const char *arguments, double *numbers, int n);
/* Seconds the command takes in a shell; negative if it fails. */
double command_time(const char *command);

/* Nanoseconds that all processes of this run together, manager, nurseries, workers, have
 * been on a processor. In a job of ranks, which has BENCH_JOB in its environment: all of
 * the job's on this machine. */
double run_ran_ns(int *processes);

/* ---- work ---- */

/* Turns of a loop that does nothing else; how many it makes in a second. */
int64_t bench_turns(int64_t n);
double bench_speed(void);

/* ---- the report ---- */

enum unit { UNIT_TIME, UNIT_BYTES, UNIT_PERCENT };
enum bound_kind {
    BOUND_NONE,
    BOUND_VALUE, /* crew's own figure, at most */
    BOUND_RATIO, /* crew's figure through the other's, at most */
    BOUND_SHARE  /* the other's time through crew's, at least: the share of its speed */
};
struct bound {
    enum bound_kind kind;
    double limit;
};

/* One line. other may be NULL. note, if not NULL, ends the line. */
void report(const char *name, const struct side *crew, const struct side *other, enum unit unit,
            struct bound bound, const char *note);
void report_skipped(const char *name, const char *why);
void report_machine(const struct bench *b);
void format_value(double value, enum unit unit, char text[24]);

/* Says what broke; returns 1. */
int broke(const char *name, const crew_error *err);
int broke_because(const char *name, const char *why);

#endif
