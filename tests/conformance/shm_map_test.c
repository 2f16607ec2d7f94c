/* conformance/shm_map_test.c - items and results of maps in shared memory with a
 * name: workers use it where it is. */
#include "crewtest.h"

#include "api/session.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ITEMS = 20000 };

static crew_shm make(const char *what, size_t size, bool owned) {
    char name[64];
    crew_shm s;
    snprintf(name, sizeof name, "crewtest-%s-%d", what, (int)getpid());
    assert_ok(crew_shm_create(&s, name, size, &(crew_shm_opts){.owned = owned}), NULL);
    return s;
}

static void end(crew_shm s, bool unlinked) {
    if (!unlinked)
        assert_ok(crew_shm_unlink(s), NULL);
    assert_ok(crew_shm_close(s), NULL);
}

/* The inode of the file that an address of this process lies in; 0: none. */
static unsigned long inode_of(const void *at) {
    char line[512];
    unsigned long found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && !found && fgets(line, sizeof line, maps)) {
        unsigned long from, to, inode;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &from, &to, &inode) == 3 &&
            from <= (unsigned long)at && (unsigned long)at < to)
            found = inode;
    }
    if (maps)
        fclose(maps);
    return found;
}

struct inodes {
    unsigned long in, out; /* 0: it is not looked at */
};

static int add_one(crew_call *call) {
    const struct inodes *want = CREW_COMMON(call, struct inodes);
    if (call->index % 100 == 0 && call->node == 0) { /* to other nodes they have travelled */
        if (want->in && inode_of(call->in) != want->in)
            return crew_fail(call, 1, "the item lies elsewhere: %lu", inode_of(call->in));
        if (want->out && inode_of(call->out) != want->out)
            return crew_fail(call, 2, "the result lies elsewhere: %lu", inode_of(call->out));
    }
    *CREW_OUT(call, int64_t) = *CREW_IN(call, int64_t) + 1;
    return 0;
}

static void fill(int64_t *in, int64_t *out) {
    for (int64_t i = 0; i < ITEMS; i++) {
        out[i] = -1;
        in[i] = 3 * i; /* which may be the same */
    }
}

static void check(const int64_t *out) {
    for (int64_t i = 0; i < ITEMS; i++)
        if (out[i] != 3 * i + 1)
            fail_msg("result %ld is %ld", (long)i, (long)out[i]);
}

static void map(crew_pool *p, int64_t *in, int64_t *out, struct inodes want) {
    crew_error err;
    const crew_map_opts opts = {.common = &want, .common_size = sizeof want, .chunk = 50};
    fill(in, out);
    assert_ok(crew_pool_map(p, add_one, in, sizeof *in, ITEMS, out, sizeof *out, &opts, &err),
              &err);
    check(out);
}

/* Made before the workers, and after them; from its beginning, and from its middle. */
static void map__of_shared_memory__is_in_place(void **state) {
    const size_t bytes = ITEMS * sizeof(int64_t);
    (void)state;
    crew_shm before = make("before", 2 * bytes, false);
    crew_pool *p = crewtest_open(2);
    crew_shm after = make("after", 2 * bytes, true);
    int64_t *a = crew_shm_data(before), *b = crew_shm_data(after);
    int64_t *plain = calloc(2, bytes);
    const unsigned long ia = inode_of(a), ib = inode_of(b);
    assert_true(ia && ib && ia != ib);
    for (int round = 0; round < 3; round++) {
        map(p, a, a + ITEMS, (struct inodes){ia, ia});
        map(p, b, b + ITEMS, (struct inodes){ib, ib});
        map(p, a + ITEMS, b, (struct inodes){ia, ib});
        map(p, b + ITEMS, a, (struct inodes){ib, ia});
        map(p, plain, b, (struct inodes){0, ib});
        map(p, a, plain, (struct inodes){ia, 0});
        map(p, a, a, (struct inodes){ia, ia}); /* each over its item */
    }
    free(plain);
    crewtest_free(p);
    end(before, false);
    end(after, false);
}

/* The name may be taken away as soon as the map has begun, or before: then what has
 * not been mapped is copied. */
static void map__of_memory_without_its_name__works(void **state) {
    const size_t bytes = 2 * ITEMS * sizeof(int64_t);
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_shm early = make("early", bytes, false), late = make("late", bytes, false);
    int64_t *a = crew_shm_data(early), *b = crew_shm_data(late);
    assert_ok(crew_shm_unlink(early), NULL);
    map(p, a, a + ITEMS, (struct inodes){0});
    struct inodes want = {0, inode_of(b)};
    const crew_map_opts opts = {.common = &want, .common_size = sizeof want, .chunk = 50};
    fill(b, b + ITEMS);
    crew_job *job = crew_map_async(p, add_one, b, sizeof *b, ITEMS, b + ITEMS, sizeof *b, &opts,
                                   &err);
    assert_non_null(job);
    assert_ok(crew_shm_unlink(late), NULL);
    assert_ok(crew_job_get(job, 30, &err), &err);
    crew_job_free(job);
    check(b + ITEMS);
    crewtest_free(p);
    end(early, true);
    end(late, true);
}

static void map__of_an_array_over_shared_memory__is_in_place(void **state) {
    const int64_t shape[] = {2, ITEMS};
    crew_array a;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_shm s = make("over", 2 * ITEMS * sizeof(int64_t), false);
    assert_ok(crew_array_create(&a, CREW_I64, 2, shape, &(crew_array_opts){.over = &s}), NULL);
    int64_t *row = crew_array_row(a, 0), *other = crew_array_row(a, 1);
    const unsigned long inode = inode_of(row);
    map(p, row, other, (struct inodes){inode, inode});
    crewtest_free(p);
    assert_ok(crew_array_destroy(a), NULL);
    end(s, false);
}

/* ---- memory that would show ---- */

enum { MIB = 1 << 20, BLOCKS = 256 };

static int touch(crew_call *call) {
    const char *in = call->in;
    int64_t sum = 0;
    for (int i = 0; i < MIB; i += 4096)
        sum += in[i];
    memset(call->out, (int)sum, MIB);
    return 0;
}

/* Of the program's own segment, into which what lies elsewhere is copied. */
static int64_t segment_kib(void) {
    struct stat st;
    assert_int_equal(fstat(cw_session_if_any()->own.fd, &st), 0);
    return (int64_t)st.st_blocks / 2;
}

/* While it runs: it is freed afterwards. */
static _Atomic bool over;
static _Atomic int64_t most;

static void *watch(void *unused) {
    (void)unused;
    while (!over) {
        int64_t now = segment_kib();
        most = now > most ? now : most;
        crewtest_pause();
    }
    return NULL;
}

/* 256 MiB of items and as many of results: were either copied it would be seen. */
static void map__of_much_shared_memory__needs_no_more(void **state) {
    pthread_t thread;
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    if (crewtest_window()) {
        print_message("not with CREW_SEGMENT=window: how much of it there is, is not to be seen\n");
        skip();
    }
    crew_pool *p = crewtest_open(2);
    crew_shm s = make("much", (size_t)2 * BLOCKS * MIB, false);
    char *in = crew_shm_data(s), *out = in + (size_t)BLOCKS * MIB;
    memset(in, 1, (size_t)BLOCKS * MIB);
    int64_t before = segment_kib();
    over = false;
    most = 0;
    assert_int_equal(pthread_create(&thread, NULL, watch, NULL), 0);
    assert_ok(crew_pool_map(p, touch, in, MIB, BLOCKS, out, MIB, NULL, &err), &err);
    over = true;
    pthread_join(thread, NULL);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(out[i * MIB + 77], 0); /* 256 of ones */
    if (most - before > 16 * 1024)
        fail_msg("%ld KiB more while it ran", (long)(most - before));
    crewtest_free(p);
    end(s, false);
}

/* ---- in workers that come later, that die, and that have pools ---- */

static int add_one_and_die(crew_call *call) {
    if (call->attempt == 1 && call->index % 5000 == 77)
        abort();
    return add_one(call);
}

static void map__of_shared_memory_and_workers_that_die__is_whole(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool_opts o = crewtest_opts(2);
    o.retries = 1;
    crew_pool *p = crewtest_open_opts(&o);
    crew_shm s = make("die", 2 * ITEMS * sizeof(int64_t), false);
    int64_t *in = crew_shm_data(s);
    const struct inodes want = {inode_of(in), inode_of(in)};
    const crew_map_opts opts = {.common = &want, .common_size = sizeof want, .chunk = 50};
    fill(in, in + ITEMS);
    assert_ok(crew_pool_map(p, add_one_and_die, in, sizeof *in, ITEMS, in + ITEMS, sizeof *in,
                            &opts, &err),
              &err);
    check(in + ITEMS);
    crewtest_free(p);
    end(s, false);
}

/* A worker that cannot have one more mapping says so, and nothing hangs. */
static int use_up_memory(crew_call *call) {
    struct rlimit none = {0, RLIM_INFINITY};
    (void)call;
    getrlimit(RLIMIT_AS, &none);
    none.rlim_cur = 1;
    return setrlimit(RLIMIT_AS, &none);
}

static void map__in_a_worker_that_can_map_nothing__fails_with_the_reason(void **state) {
    crew_error err;
    struct inodes want = {0};
    const crew_map_opts opts = {.common = &want, .common_size = sizeof want};
    (void)state;
#ifdef CREWTEST_SANITIZED
    skip(); /* the sanitizer needs memory of its own at any moment */
#endif
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(1);
    crew_shm s = make("out", 2 * ITEMS * sizeof(int64_t), false);
    int64_t *in = crew_shm_data(s);
    fill(in, in + ITEMS);
    assert_ok(crew_apply(p, use_up_memory, NULL, 0, NULL, 0, &err), &err);
    int rc = crew_pool_map(p, add_one, in, sizeof *in, ITEMS, in + ITEMS, sizeof *in, &opts, &err);
    assert_code(rc, CREW_ENOMEM, &err);
    assert_text(err.text, "could not map the shared memory");
    crewtest_free(p);
    end(s, false);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(map__of_shared_memory__is_in_place),
        CREWTEST(map__of_memory_without_its_name__works),
        CREWTEST(map__of_an_array_over_shared_memory__is_in_place),
        CREWTEST(map__of_much_shared_memory__needs_no_more),
        CREWTEST(map__of_shared_memory_and_workers_that_die__is_whole),
        CREWTEST(map__in_a_worker_that_can_map_nothing__fails_with_the_reason),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
