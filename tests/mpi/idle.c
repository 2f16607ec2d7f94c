/* mpi/idle.c - a job that waits sleeps: while its manager sleeps, all of its processes together
 * take less than 2 % of a core. It is their own time that counts, not the machine's. */
#include "crewtest.h"
#include "pause.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_PERCENT = 2, LOOKS = 5 };

/* Started with this job's CREW_TEST_SCRATCH in its environment. */
static bool is_ours(const char *pid) {
    char path[300], want[300], word[300];
    size_t n = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%.32s/environ", pid);
    snprintf(want, sizeof want, "CREW_TEST_SCRATCH=%.200s", getenv("CREW_TEST_SCRATCH"));
    FILE *file = fopen(path, "r");
    for (int c; file && !found && (c = getc(file)) != EOF;) {
        if (n < sizeof word)
            word[n++] = (char)c;
        if (c != '\0')
            continue;
        found = n < sizeof word && strcmp(word, want) == 0;
        n = 0;
    }
    if (file)
        fclose(file);
    return found;
}

/* What the threads of one have run, in ns. */
static double thread_ran(const char *pid, const char *thread) {
    char path[100];
    double ns = 0;
    snprintf(path, sizeof path, "/proc/%.32s/task/%.32s/schedstat", pid, thread);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%lf", &ns) != 1)
        ns = 0;
    if (file)
        fclose(file);
    return ns;
}

/* fn's sum over the numbers in a folder of /proc. */
static double over_numbers(const char *folder, double (*fn)(const char *pid, const char *number),
                           const char *pid) {
    double sum = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (isdigit((unsigned char)e->d_name[0]))
            sum += fn(pid, e->d_name);
    if (dir)
        closedir(dir);
    return sum;
}

static int seen;

static double process_ran(const char *unused, const char *pid) {
    char folder[64];
    (void)unused;
    if (!is_ours(pid))
        return 0;
    seen++;
    snprintf(folder, sizeof folder, "/proc/%.32s/task", pid);
    return over_numbers(folder, thread_ran, pid);
}

static double job_ran(void) {
    seen = 0;
    return over_numbers("/proc", process_ran, NULL);
}

static int nothing(crew_call *call) {
    (void)call;
    return 0;
}

static void job__that_waits__sleeps(void **state) {
    crew_error err;
    bool several = getenv("CREW_TEST_SEVERAL_NODES") != NULL;
    (void)state;
    crew_pool *p = crewtest_open(0);
    assert_ok(crew_pool_map(p, nothing, NULL, 0, 100000, NULL, 0, NULL, &err), &err);
    pause_ms(several ? 1500 : 300); /* agents look more often for a second after a conversation */
    double percent = MOST_PERCENT;
    /* On a busy machine a look costs more: it comes to a core that others have had. */
    for (int i = 0; i < LOOKS && percent >= MOST_PERCENT; i++) {
        double before = job_ran(), from = crewtest_now();
        int there = seen;
        pause_ms(several ? 2000 : 1000);
        percent = 100 * (job_ran() - before) * 1e-9 / (crewtest_now() - from);
        printf("%d processes ran for %.2f %% of a core\n", there, percent);
        assert_true(there > crew_pool_workers(p)); /* they are seen: workers, who brings them */
        assert_int_equal(seen, there);
    }
    assert_true(percent > 0 && percent < MOST_PERCENT);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {CREWTEST(job__that_waits__sleeps)};
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
