/* fault/printing_test.c - what the program prints while pools open comes out once:
 * workers do not print again what they have inherited unprinted. */
#include "crewtest.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { ROUNDS = 60, TASKS = 4, MOST = 4000000 };

static int prints(crew_call *call) {
    printf("task %d %d\n", *CREW_COMMON(call, int), (int)call->index);
    return 0;
}

static _Atomic int over;

static void *print_without_pause(void *lines) {
    int64_t n = 0;
    while (!over && n < MOST)
        printf("line %ld\n", (long)n++);
    *(int64_t *)lines = n;
    return NULL;
}

static int prints_and_opens(void) {
    pthread_t thread;
    int64_t lines = 0;
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    pthread_create(&thread, NULL, print_without_pause, &lines);
    for (int round = 0; round < ROUNDS; round++) {
        crew_error err;
        crew_pool_opts opts = crewtest_opts(2);
        crew_map_opts map = {.common = &round, .common_size = sizeof round};
        crew_pool *p = crew_pool_open(&opts, &err);
        crewtest_check(p, "%s", err.text);
        int rc = crew_pool_map(p, prints, NULL, 0, TASKS, NULL, 0, &map, &err);
        crewtest_check(rc == 0, "%s", err.text);
        crew_pool_free(p);
    }
    over = 1;
    pthread_join(thread, NULL);
    int code = crew_finalize();
    printf("end %ld\n", (long)lines);
    return code;
}

static const char *next_line(const char *at) {
    const char *end = strchr(at, '\n');
    return end ? end + 1 : NULL;
}

/* How often each number stands after the word, 0 to count. True: once each. Lines of
 * several processes in one pipe may break into each other: their numbers do not
 * count. */
static bool more_than_once(const char *text, const char *word, int64_t count) {
    unsigned char *seen = calloc((size_t)count + 1, 1);
    bool twice = false;
    size_t n = strlen(word);
    for (const char *at = text; at && !twice; at = next_line(at)) {
        char *end;
        if (strncmp(at, word, n) != 0)
            continue;
        long number = strtol(at + n, &end, 10);
        if (end == at + n || *end != '\n' || number < 0 || number >= count)
            continue;
        twice = seen[number]++ > 0;
        if (twice)
            print_message("%s%ld stands twice\n", word, number);
    }
    free(seen);
    return twice;
}

static void printing__beside_pools_that_open__comes_out_once(void **state) {
    char *text, *end;
    (void)state;
    crewtest_need_fork_beside_threads();
    crewtest_may_take(120);
    int status = crewtest_helper_run("prints_and_opens", NULL, 90, &text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    end = strstr(text, "\nend ");
    assert_non_null(end);
    int64_t lines = strtol(end + 5, NULL, 10);
    assert_true(lines > 1000);
    assert_false(more_than_once(text, "line ", lines));
    free(text);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return prints_and_opens();
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(printing__beside_pools_that_open__comes_out_once),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
