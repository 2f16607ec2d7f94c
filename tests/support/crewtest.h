/* support/crewtest.h - what the tests of the pool share.
 *
 * The backend under test comes from CREW_TEST_BACKEND: serial, threads, fork
 * (the default), server, spawn, ranks (three of one node, see crewranks.h), mpi (under
 * a launcher, see tests/mpi/under), or aboard (the same with CREW_ISOLATE=0). Capability bits say
 * what it can do; a test that needs more skips itself. CREW_TEST_SEED fixes the random numbers,
 * CREW_TEST_LONG=1 adds what takes minutes, CREW_TEST_QUICK=1 makes loads a
 * tenth (sanitised builds do so by themselves).
 *
 * main() of every test:
 *
 *     int main(int argc, char **argv) {
 *         crewtest_begin(&argc, &argv);
 *         const struct CMUnitTest tests[] = {CREWTEST(map__x__y), ...};
 *         return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
 *     }
 *
 * Cells are counters that this process, its workers (forked before or after
 * crew_init, or spawned) and the helpers it starts all see. They lie in a memfd
 * that every one of them maps, which also is the mark by which processes of this
 * test are found, wherever in the process tree they have ended up.
 *
 * cmocka's assertions are for the test's own thread only: tasks report with
 * crew_fail, helpers with their exit code. */
#ifndef CREWTEST_H
#define CREWTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include <crew/crew.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CREWTEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CREWTEST_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define CREWTEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CREWTEST_TSAN 1
#endif
#endif

/* ---- start and end ------------------------------------------------------ */

/* Maps the cells, then crew_init. In the test itself it also takes the
 * settings of CREW_ out of the environment, prints the seed, and makes the
 * library do each thing once, so that what it keeps for good is there before
 * anything is counted. A helper (argc > 1) gets the environment as it is. */
void crewtest_begin(int *argc, char ***argv);
int crewtest_init_code(void); /* what crew_init returned */
/* crew_finalize, then: no process, descriptor or mapping of the library is
 * left. Returns main's exit code. */
int crewtest_end(int failed);

/* For programs of which no test fits the backend: says so, and returns 77, the
 * exit code of a skipped test. */
int crewtest_skip_all(void);

int crewtest_setup(void **state);
/* Frees pools that a failed test has left, then crewtest_leaks_end. */
int crewtest_teardown(void **state);
#define CREWTEST(f) cmocka_unit_test_setup_teardown(f, crewtest_setup, crewtest_teardown)
/* Every test has 60 seconds; one that needs more says so first. */
void crewtest_may_take(unsigned seconds);

/* What setup and teardown call: processes, descriptors and names in /dev/shm.
 * end returns how many kinds grew, after a wait of at most 2 seconds. */
void crewtest_leaks_begin(void);
int crewtest_leaks_end(void);
/* This process's descriptors, with the one that is open while they are counted. */
int crewtest_descriptors(void);

/* ---- the backend -------------------------------------------------------- */

enum {
    CREWTEST_PROCESSES = 1, /* workers can be killed, limits are enforced */
    CREWTEST_ASYNC = 2,     /* work goes on beside the caller */
    CREWTEST_MANY = 4,      /* more workers than one */
    CREWTEST_ONE_NODE = 8,  /* all workers share memory with the test; elsewhere arrays of scope
                             * NODE, memory with a name and addresses are each node's own */
};
const char *crewtest_backend(void);
bool crewtest_has(unsigned caps);
/* Skips the test on a backend without these. First line of a test. */
void crewtest_need(unsigned caps);
/* The same where one backend has no use for the test. */
void crewtest_not_on(const char *backend);
/* A launcher has started this as one rank of several: mpi, aboard. */
bool crewtest_on_ranks(void);
/* The node's memory is MPI's: CREW_SEGMENT=window, on a node of several ranks. */
bool crewtest_window(void);
/* Skips a test that forks from this process on any backend, where that cannot be:
 * the thread sanitizer knows no threads in what was forked beside other threads. */
void crewtest_need_fork(void);
/* The same where other threads allocate meanwhile: the address sanitizer's allocator
 * may be locked in the child for ever, where glibc's would not be. */
void crewtest_need_fork_beside_threads(void);
/* Skips a test that starts this program again (crewtest_helper) where that would be a rank
 * that the launcher does not know. Such a test says so before it makes anything. */
void crewtest_need_helpers(void);
crew_pool_opts crewtest_opts(int workers);
/* Skips a test that needs so many workers at once where there are none. */
void crewtest_need_workers(int wanted);
int crewtest_workers(int asked); /* how many it will be: 1 on serial, at most one a rank aboard */

/* Opens (and fails the test with the error's text if that fails), and frees.
 * Pools opened so are freed by teardown if the test has failed. */
crew_pool *crewtest_open(int workers);
crew_pool *crewtest_open_opts(const crew_pool_opts *opts);
void crewtest_free(crew_pool *p);

/* ---- cells -------------------------------------------------------------- */

enum {
    CELL_GATE = 0, /* 16 gates */
    CELL_STARTED = 16,
    CELL_COUNT, /* and more that the test names itself, to 63 */
    CELL_OWN,
    CELL_WORKER = 64, /* one a worker, 448 */
    CELL_ITEM = 512,  /* one an item */
    CREWTEST_CELLS = 1 << 19
};
_Atomic int64_t *crewtest_cell(int64_t i);
int64_t crewtest_get(int64_t i);
void crewtest_set(int64_t i, int64_t value);
int64_t crewtest_add(int64_t i, int64_t n); /* the value before */

/* A task: adds one to CELL_STARTED, then waits until the cell whose number is
 * its item (int64_t) is not 0, until it is cancelled, or half a minute (which
 * fails it). Its result is its item. */
int crewtest_gated_task(crew_call *call);
/* The same for tasks that wait in the middle: 0, or a crew_fail's code. */
int crewtest_pass(crew_call *call, int64_t cell);

/* ---- waiting, time, chance ---------------------------------------------- */

double crewtest_now(void);
void crewtest_pause(void); /* for loops that wait on a state with a bound: 0.2 ms */
/* Waits until the cell is at least value; false when the time is over. */
bool crewtest_reached(int64_t cell, int64_t value, double seconds);
#define CREWTEST_WAIT(condition, seconds)                                                          \
    do {                                                                                           \
        double crewtest_limit_ = crewtest_now() + (seconds);                                       \
        while (!(condition)) {                                                                     \
            if (crewtest_now() > crewtest_limit_)                                                  \
                fail_msg("after %g s still not: %s", (double)(seconds), #condition);               \
            crewtest_pause();                                                                      \
        }                                                                                          \
    } while (0)

uint64_t crewtest_seed(void);
uint64_t crewtest_random(void); /* of the test's thread */
/* The same without a state: for values that tasks and test compute alike. */
uint64_t crewtest_mix(uint64_t x);
bool crewtest_long(void);
int64_t crewtest_many(int64_t n); /* n, or a tenth in slow builds */
/* The same for what workers ask of one object: a fiftieth where some are on other nodes, to
 * whom each call is a letter there and one back. */
int64_t crewtest_calls(int64_t n);
int64_t crewtest_env(const char *name, int64_t otherwise);

/* ---- assertions --------------------------------------------------------- */

/* The code is as wanted, and so is err (NULL: not looked at). A failure shows
 * the error's text. Errors have one: in a sentence. */
#define assert_code(rc, want, err) crewtest_code_((rc), (want), (err), #rc, __FILE__, __LINE__)
#define assert_ok(rc, err) assert_code(rc, CREW_OK, err)
void crewtest_code_(int rc, int want, const crew_error *err, const char *what, const char *file,
                    int line);
#define assert_text(text, part) crewtest_text_((text), (part), __FILE__, __LINE__)
void crewtest_text_(const char *text, const char *part, const char *file, int line);
/* It began at `from` and has not taken longer than this. */
#define assert_within(from, seconds) crewtest_within_((from), (seconds), __FILE__, __LINE__)
void crewtest_within_(double from, double seconds, const char *file, int line);

/* An array that workers add to. Over several nodes each has a copy, and crewtest_sum_up adds
 * these up in the caller's; on one it is plainly shared. */
int crewtest_scope(void);
void crewtest_sum_up(crew_array a);

/* The pool still does its work: a map of 100 items over all workers. */
#define assert_usable(p) crewtest_usable_((p), __FILE__, __LINE__)
void crewtest_usable_(crew_pool *p, const char *file, int line);

/* ---- processes ---------------------------------------------------------- */

/* Every live process of this test but itself: the library's and helpers, with
 * all their descendants. Zombies of ours too. Returns how many there are. */
int crewtest_family(pid_t *pids, int cap);
pid_t crewtest_parent(pid_t pid); /* 0: no such process */
char crewtest_state(pid_t pid);   /* or a thread's; as in /proc/PID/stat: 'T' is stopped; 0: gone */

/* This program again, with `mode` as argument (so that main can branch) and the
 * settings "NAME=value" added to the environment, in a process group of its own.
 * out: a pipe from its standard output, or NULL. */
pid_t crewtest_helper(const char *mode, const char *const *settings, int *out);
/* Its wait status within the time; fails the test (and kills it) otherwise. */
int crewtest_helper_wait(pid_t pid, double seconds);
/* All it wrote until the end of file or the time's, terminated; the caller
 * frees it. Closes fd. */
char *crewtest_read_all(int fd, double seconds, size_t *size);
/* Runs a helper to its end with its output. Returns its wait status. */
int crewtest_helper_run(const char *mode, const char *const *settings, double seconds, char **text);
/* In helpers: a pool of this backend, which must open. */
crew_pool *crewtest_open_here(int workers);
/* In helpers: a check that ends the process with code 1 and says why. */
#define crewtest_check(condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition))                                                                          \
            crewtest_die(__FILE__, __LINE__, __VA_ARGS__);                                         \
    } while (0)
void crewtest_die(const char *file, int line, const char *fmt, ...) CREW_PRINTF(3, 4)
    __attribute__((noreturn));

#endif
