#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/plain.h"
#include "team/arena_core.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* The arena begins somewhere inside; cells lie before it. */
enum { START = 8192 + 64, CELLS = 512 };

struct world {
    cw_segment seg;
    cw_arena a;
    _Atomic cw_off *cells;
};

static void *open_world(uint64_t size) {
    struct world *w = calloc(1, sizeof *w);
    crew_error err;
    assert_int_equal(cw_segment_create(&w->seg, size, &err), 0);
    assert_int_equal(cw_segment_commit(&w->seg, 0, START, &err), 0);
    assert_int_equal(cw_arena_create(&w->a, &w->seg, START, UINT64_MAX, &err), 0);
    assert_int_equal(err.code, 0);
    w->cells = (_Atomic cw_off *)(void *)w->seg.base;
    return w;
}

static int setup(void **state) {
    *state = open_world((uint64_t)64 << 20);
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    const char *wrong = cw_arena_check(&w->a);
    if (wrong)
        fail_msg("%s", wrong);
    cw_segment_destroy(&w->seg);
    free(w);
    return 0;
}

static uint64_t resident(struct world *w) {
    struct stat st;
    assert_int_equal(fstat(w->seg.fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void classes__of_each_size__waste_at_most_a_quarter(void **state) {
    (void)state;
    for (size_t size = 1; size <= CW_SMALL_MAX; size++) {
        unsigned c = cw_class_of(size);
        assert_true(c < CW_CLASSES && cw_classes[c].size >= size);
        assert_true(c == 0 || cw_classes[c - 1].size < size);
        size_t waste = cw_classes[c].size - size;
        assert_true(waste < 64 || waste * 4 <= size);
    }
    for (unsigned c = 0; c < CW_CLASSES; c++) {
        unsigned slab = cw_classes[c].granules * CW_GRANULE;
        assert_int_equal(cw_classes[c].size % 64, 0);
        assert_true(cw_classes[c].count <= CW_SLAB_WORDS * 64);
        assert_true((slab - cw_classes[c].count * cw_classes[c].size) * 16 <= slab);
    }
}

static void alloc__of_any_size__is_aligned_and_in_its_cell(void **state) {
    struct world *w = *state;
    const size_t sizes[] = {0, 1, 63, 64, 65, 1000, 32768, 32769, 65536, 65537, 5000000};
    crew_error err;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        err.code = 1;
        cw_off off = cw_alloc(&w->a, sizes[i], &w->cells[i], &err);
        assert_true(off != 0);
        assert_int_equal(err.code, 0);
        assert_int_equal(off % 64, 0);
        assert_int_equal(w->cells[i], off);
        memset(cw_ptr(&w->a, off), 0xff, sizes[i]);
    }
    assert_true(cw_arena_used(&w->a) >= 5000000);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        cw_free(&w->a, w->cells[i]);
    cw_free(&w->a, 0);
    assert_int_equal(cw_arena_used(&w->a), 0);
    assert_null(cw_ptr(&w->a, 0));
}

static void alloc_zero__of_memory_used_before__is_zero(void **state) {
    struct world *w = *state;
    const size_t sizes[] = {100, 5000, 32768, 200000, 3000000};
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < 5; i++) {
            cw_off pair[2];
            for (int k = 0; k < 2; k++) {
                pair[k] = cw_alloc_zero(&w->a, sizes[i], NULL, NULL);
                assert_true(pair[k] != 0);
                const char *p = cw_ptr(&w->a, pair[k]);
                for (size_t b = 0; b < sizes[i]; b++)
                    if (p[b])
                        fail_msg("byte %zu of %zu in round %d", b, sizes[i], round);
                memset(cw_ptr(&w->a, pair[k]), 0xff, sizes[i]);
            }
            cw_free(&w->a, pair[0]);
            cw_free(&w->a, pair[1]);
        }
}

static void free_cell__called_twice__frees_once(void **state) {
    struct world *w = *state;
    for (size_t size = 100; size < 1000000; size *= 30) {
        cw_off off = cw_alloc(&w->a, size, &w->cells[0], NULL);
        cw_off other = cw_alloc(&w->a, size, &w->cells[1], NULL);
        cw_free_cell(&w->a, &w->cells[0]);
        assert_int_equal(w->cells[0], 0);
        cw_free_cell(&w->a, &w->cells[0]);
        assert_false(cw_arena_holds(&w->a, cw_ptr(&w->a, off), 1));
        assert_true(cw_arena_holds(&w->a, cw_ptr(&w->a, other), 1));
        cw_free_cell(&w->a, &w->cells[1]);
    }
    assert_int_equal(cw_arena_used(&w->a), 0);
}

static void holds__of_addresses__is_true_inside_one_block_only(void **state) {
    struct world *w = *state;
    cw_off small = cw_alloc(&w->a, 128, NULL, NULL), next = cw_alloc(&w->a, 128, NULL, NULL);
    cw_off large = cw_alloc(&w->a, 30 << 20, NULL, NULL);
    char *s = cw_ptr(&w->a, small), *l = cw_ptr(&w->a, large);
    assert_int_equal(next, small + 128);
    assert_true(cw_arena_holds(&w->a, s, 128));
    assert_true(cw_arena_holds(&w->a, s + 128, 128));
    assert_true(cw_arena_holds(&w->a, s + 100, 28));
    assert_true(cw_arena_holds(&w->a, s + 127, 0));
    assert_false(cw_arena_holds(&w->a, s + 100, 29));
    assert_false(cw_arena_holds(&w->a, s + 256, 1));
    assert_true(cw_arena_holds(&w->a, l, 30 << 20));
    for (size_t at = 0; at < 30 << 20; at += 65537)
        assert_true(cw_arena_holds(&w->a, l + at, (30 << 20) - at));
    assert_false(cw_arena_holds(&w->a, l + 1, 30 << 20));
    assert_false(cw_arena_holds(&w->a, l, SIZE_MAX));
    assert_false(cw_arena_holds(&w->a, &w, 8));
    assert_false(cw_arena_holds(&w->a, NULL, 0));
    assert_false(cw_arena_holds(&w->a, w->seg.base, 1));
    assert_false(cw_arena_holds(&w->a, w->seg.base + START, 1));
    assert_false(cw_arena_holds(&w->a, w->seg.base + w->seg.size - 1, 1));
    assert_false(cw_arena_holds(&w->a, w->seg.base + w->seg.size, 1));
    cw_free(&w->a, large);
    assert_false(cw_arena_holds(&w->a, l, 1));
}

/* A hundred thousand granules: the start bits have three levels. */
static void holds__of_a_huge_block__finds_its_start(void **state) {
    (void)state;
    cw_segment seg;
    cw_arena a;
    assert_int_equal(cw_segment_create(&seg, (uint64_t)40 << 30, NULL), 0);
    if (seg.size < (uint64_t)12 << 30) {
        cw_segment_destroy(&seg);
        skip();
    }
    assert_int_equal(cw_arena_create(&a, &seg, 0, UINT64_MAX, NULL), 0);
    cw_off small = cw_alloc(&a, 1, NULL, NULL);
    /* As if committed: the walk and the bits do not look at pages. */
    uint32_t g = CW_NONE;
    uint64_t n = (seg.size - ((uint64_t)1 << 30)) / CW_GRANULE;
    cw_arena_lock(&a);
    assert_int_equal(cw_span_extend(&a, n, 0, &g, NULL), 0);
    cw_span_set(&a, g, cw_word(CW_SPAN_USED, 0, n));
    a.head->used += n * CW_GRANULE;
    cw_arena_unlock(&a);
    char *p = cw_ptr(&a, cw_span_offset(&a, g));
    for (uint64_t at = 0; at < n * CW_GRANULE; at += ((uint64_t)1 << 30) + 12345)
        assert_true(cw_arena_holds(&a, p + at, n * CW_GRANULE - at));
    assert_true(cw_arena_holds(&a, p + n * CW_GRANULE - 1, 1));
    assert_true(cw_arena_holds(&a, cw_ptr(&a, small), 64));
    assert_false(cw_arena_holds(&a, p - 1, 1));
    assert_null(cw_arena_check(&a));
    cw_segment_destroy(&seg);
}

static void alloc__of_more_than_there_is__says_how_much_and_changes_nothing(void **state) {
    struct world *w = *state;
    crew_error err;
    cw_off keep = cw_alloc(&w->a, 1000, NULL, NULL);
    uint64_t used = cw_arena_used(&w->a);
    const size_t sizes[] = {(size_t)64 << 20, (size_t)1 << 40, SIZE_MAX, SIZE_MAX - 65535};
    for (int i = 0; i < 4; i++) {
        w->cells[0] = 12345;
        assert_int_equal(cw_alloc(&w->a, sizes[i], &w->cells[0], &err), 0);
        assert_int_equal(err.code, CREW_ENOMEM);
        assert_non_null(strstr(err.text, "asked for"));
        assert_int_equal(w->cells[0], 12345);
    }
    assert_int_equal(cw_arena_used(&w->a), used);
    cw_free(&w->a, keep);
}

static void alloc__of_more_than_the_memory__is_refused_by_its_commit(void **state) {
    (void)state;
    struct world *w = open_world(0);
    crew_error err;
    uint64_t more = cw_memory_available() + ((uint64_t)512 << 20);
    if (w->seg.size > more + more / 50 + ((uint64_t)64 << 20)) {
        uint64_t before = resident(w);
        assert_int_equal(cw_alloc(&w->a, more, NULL, &err), 0);
        assert_int_equal(err.code, CREW_ENOMEM);
        assert_non_null(strstr(err.text, "available"));
        assert_true(resident(w) < before + ((uint64_t)32 << 20)); /* the table's */
        assert_int_equal(cw_arena_used(&w->a), 0);
    }
    void *again = w;
    teardown(&again);
}

static void arena__filled_with_small_blocks_and_emptied__has_room_for_a_large_one(void **state) {
    struct world *w = *state;
    crew_error err;
    for (int round = 0; round < 2; round++) {
        cw_off last = 0; /* a list through the blocks */
        int count = 0;
        for (;;) {
            cw_off off = cw_alloc(&w->a, count % 2 ? 3000 : 20000, NULL, &err);
            if (!off)
                break;
            *(cw_off *)cw_ptr(&w->a, off) = last;
            last = off;
            count++;
        }
        assert_int_equal(err.code, CREW_ENOMEM);
        assert_true(cw_arena_used(&w->a) > (uint64_t)56 << 20);
        for (cw_off next; last; last = next) {
            next = *(cw_off *)cw_ptr(&w->a, last);
            cw_free(&w->a, last);
        }
        assert_int_equal(cw_arena_used(&w->a), 0);
        cw_off large = cw_alloc(&w->a, 60 << 20, NULL, &err);
        assert_true(large != 0);
        cw_free(&w->a, large);
    }
}

static void free__over_the_cap__gives_pages_back(void **state) {
    struct world *w = *state;
    w->a.head->cap = 16; /* 1 MiB */
    cw_off blocks[10];
    for (int i = 0; i < 10; i++)
        blocks[i] = cw_alloc(&w->a, 3 << 20, NULL, NULL);
    uint64_t full = resident(w);
    for (int i = 0; i < 10; i++)
        cw_free(&w->a, blocks[i]);
    assert_true(w->a.head->warm <= 16);
    assert_true(resident(w) + (28 << 20) < full);
    for (int i = 0; i < 10; i++) /* and again, from the holes */
        assert_true((blocks[i] = cw_alloc_zero(&w->a, 3 << 20, NULL, NULL)) != 0);
    assert_true(resident(w) >= (uint64_t)30 << 20);
}

static void free__below_the_cap__keeps_pages(void **state) {
    struct world *w = *state;
    cw_off off = cw_alloc(&w->a, 3 << 20, NULL, NULL);
    uint64_t full = resident(w);
    cw_free(&w->a, off);
    assert_int_equal(resident(w), full);
    assert_int_equal(cw_alloc(&w->a, 3 << 20, NULL, NULL), off);
}

static void alloc__at_random__agrees_with_a_model(void **state) {
    struct world *w = *state;
    uint64_t seed = plain_seed();
    w->a.head->cap = 100;
    size_t sizes[CELLS] = {0};
    for (int step = 0; step < 30000; step++) {
        int i = (int)(draw(&seed) % CELLS);
        if (w->cells[i]) {
            unsigned char *p = cw_ptr(&w->a, w->cells[i]);
            assert_int_equal(p[0], i & 0xff);
            assert_int_equal(p[sizes[i] - 1], i & 0xff);
            cw_free_cell(&w->a, &w->cells[i]);
        } else {
            unsigned bits = draw(&seed) % 19;
            sizes[i] = 1 + draw(&seed) % ((size_t)1 << bits);
            bool zero = draw(&seed) % 2;
            cw_off off = zero ? cw_alloc_zero(&w->a, sizes[i], &w->cells[i], NULL)
                              : cw_alloc(&w->a, sizes[i], &w->cells[i], NULL);
            assert_true(off != 0);
            unsigned char *p = cw_ptr(&w->a, off);
            assert_true(cw_arena_holds(&w->a, p, sizes[i]));
            for (size_t k = 0; zero && k < sizes[i]; k++)
                if (p[k])
                    fail_msg("not zero at %zu of %zu", k, sizes[i]);
            memset(p, i & 0xff, sizes[i]);
        }
        if (step % 500 == 0) {
            const char *wrong = cw_arena_check(&w->a);
            if (wrong)
                fail_msg("step %d: %s", step, wrong);
        }
        if (step % 1000 == 0) { /* what recovery does to a live arena: nothing */
            uint64_t used = cw_arena_used(&w->a);
            cw_arena_lock(&w->a);
            cw_span_rebuild(&w->a);
            cw_arena_unlock(&w->a);
            assert_int_equal(cw_arena_used(&w->a), used);
        }
    }
    for (int i = 0; i < CELLS; i++)
        cw_free_cell(&w->a, &w->cells[i]);
    assert_int_equal(cw_arena_used(&w->a), 0);
}

static void attach__through_another_mapping__is_the_same_arena(void **state) {
    struct world *w = *state;
    cw_segment seg;
    cw_arena a;
    crew_error err;
    cw_off off = cw_alloc(&w->a, 100, NULL, NULL);
    strcpy(cw_ptr(&w->a, off), "hello");
    assert_int_equal(cw_segment_attach(&seg, dup(w->seg.fd), &err), 0);
    assert_int_equal(cw_arena_attach(&a, &seg, START, &err), 0);
    assert_string_equal(cw_ptr(&a, off), "hello");
    assert_true(cw_ptr(&a, off) != cw_ptr(&w->a, off));
    cw_free(&a, off);
    assert_int_equal(cw_arena_used(&w->a), 0);
    cw_segment_destroy(&seg);
}

static void attach__to_what_does_not_fit__is_a_mismatch(void **state) {
    struct world *w = *state;
    cw_arena a;
    crew_error err;
    cw_segment part = w->seg;
    assert_int_equal(cw_arena_attach(&a, &w->seg, 64, &err), CREW_EMISMATCH);
    assert_int_equal(cw_arena_attach(&a, &w->seg, START + 1, &err), CREW_EINVAL);
    assert_int_equal(cw_arena_attach(&a, &w->seg, w->seg.size, &err), CREW_EINVAL);
    part.size -= 65536;
    assert_int_equal(cw_arena_attach(&a, &part, START, &err), CREW_EMISMATCH);
    w->a.head->version++;
    assert_int_equal(cw_arena_attach(&a, &w->seg, START, &err), CREW_EMISMATCH);
    w->a.head->version--;
    w->a.head->layout++;
    assert_int_equal(cw_arena_attach(&a, &w->seg, START, &err), CREW_EMISMATCH);
    w->a.head->layout--;
    assert_int_equal(cw_arena_attach(&a, &w->seg, START, &err), 0);
    assert_int_equal(cw_arena_create(&a, &w->seg, 32, UINT64_MAX, &err), CREW_EINVAL);
    part.size = 65536;
    assert_int_equal(cw_arena_create(&a, &part, 0, UINT64_MAX, &err), CREW_ENOMEM);
}

/* How a child ends that does what it must not. */
static int fatal(struct world *w, void (*wrong)(struct world *)) {
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        fclose(stderr);
        wrong(w);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void free_twice(struct world *w) {
    cw_free(&w->a, w->cells[0]);
    cw_free(&w->a, w->cells[0]);
}
static void free_inside(struct world *w) {
    cw_free(&w->a, w->cells[1] + 64);
}
static void free_large_inside(struct world *w) {
    cw_free(&w->a, w->cells[2] + CW_GRANULE);
}
static void free_nonsense(struct world *w) {
    cw_free(&w->a, UINT64_MAX - 63);
}

static void free__of_what_is_not_allocated__is_caught_in_debug_builds(void **state) {
    struct world *w = *state;
    void (*const wrongs[])(struct world *) = {free_twice, free_inside, free_large_inside,
                                              free_nonsense};
    for (int i = 0; i < 4; i++) {
        cw_alloc(&w->a, 100, &w->cells[0], NULL);
        cw_alloc(&w->a, 1000, &w->cells[1], NULL);
        cw_alloc(&w->a, 1000000, &w->cells[2], NULL);
        int end = fatal(w, wrongs[i]);
        assert_true(end == SIGABRT || end == 0); /* a release build goes on, unharmed */
        assert_null(cw_arena_check(&w->a));
        if (i == 0)
            w->cells[0] = 0; /* the first time was right */
        for (int k = 0; k < 3; k++)
            cw_free_cell(&w->a, &w->cells[k]);
        assert_int_equal(cw_arena_used(&w->a), 0);
    }
}

#ifndef SANITIZED
static void write_before_the_first(struct world *w) {
    char *first = w->seg.base + w->a.head->first;
    __asm__ volatile("" : "+r"(first));
    first[-1] = 1;
}
#endif

static void arena__written_in_front_of__faults(void **state) {
#ifndef SANITIZED
    assert_int_equal(fatal(*state, write_before_the_first), SIGSEGV);
#else
    (void)state;
    skip();
#endif
}

enum { THREADS = 4, STEPS = 20000 };

struct job {
    struct world *w;
    uint64_t seed;
    int number;
    int wrong;
};

static void *hammer(void *arg) {
    struct job *job = arg;
    struct world *w = job->w;
    uint64_t seed = job->seed;
    for (int step = 0; step < STEPS; step++) {
        int i = job->number * (CELLS / THREADS) + (int)(draw(&seed) % (CELLS / THREADS));
        if (draw(&seed) % 64 == 0)
            i = 0; /* several free it; only thread 0 fills it */
        if (w->cells[i] || (i == 0 && job->number != 0)) {
            if (i != 0) {
                uint64_t *p = cw_ptr(&w->a, w->cells[i]);
                job->wrong |= *p != (uint64_t)i;
            }
            cw_free_cell(&w->a, &w->cells[i]);
        } else {
            size_t size = (size_t)1 << draw(&seed) % 18;
            cw_off off = draw(&seed) % 2 ? cw_alloc(&w->a, size, &w->cells[i], NULL)
                                                : cw_alloc_zero(&w->a, size, &w->cells[i], NULL);
            job->wrong |= off == 0;
            if (off && i != 0)
                *(uint64_t *)cw_ptr(&w->a, off) = (uint64_t)i;
        }
    }
    return NULL;
}

static void arena__used_by_threads__stays_whole(void **state) {
    struct world *w = *state;
    uint64_t seed = (uint64_t)(now() * 1e6) | 1;
    print_message("seed %llu\n", (unsigned long long)seed);
    w->a.head->cap = 64;
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){w, draw(&seed), i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].wrong, 0);
    }
    for (int i = 0; i < CELLS; i++)
        cw_free_cell(&w->a, &w->cells[i]);
    assert_int_equal(cw_arena_used(&w->a), 0);
}

/* The time limit is far from what it takes; it is there to notice a search. */
static void arena__with_many_spans__is_fast(void **state) {
    (void)state;
    struct world *w = open_world((uint64_t)1 << 30);
    enum { MANY = 6000, ROUNDS = 200000 };
    static cw_off blocks[MANY];
    for (int i = 0; i < MANY; i++)
        assert_true((blocks[i] = cw_alloc(&w->a, 65536, NULL, NULL)) != 0);
    for (int i = 0; i < MANY; i += 2)
        cw_free(&w->a, blocks[i]);
    double begin = now();
    for (int i = 0; i < ROUNDS; i++)
        cw_free(&w->a, cw_alloc(&w->a, 65536, NULL, NULL));
    double large = (now() - begin) / ROUNDS;
    begin = now();
    for (int i = 0; i < ROUNDS; i++)
        cw_free(&w->a, cw_alloc(&w->a, 200, NULL, NULL));
    double small = (now() - begin) / ROUNDS;
    print_message("alloc + free: small %.0f ns, large %.0f ns\n", small * 1e9, large * 1e9);
    assert_true(small < 20e-6 && large < 20e-6);
    void *again = w;
    teardown(&again);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes__of_each_size__waste_at_most_a_quarter),
        TEST(alloc__of_any_size__is_aligned_and_in_its_cell),
        TEST(alloc_zero__of_memory_used_before__is_zero),
        TEST(free_cell__called_twice__frees_once),
        TEST(holds__of_addresses__is_true_inside_one_block_only),
        cmocka_unit_test(holds__of_a_huge_block__finds_its_start),
        TEST(alloc__of_more_than_there_is__says_how_much_and_changes_nothing),
        cmocka_unit_test(alloc__of_more_than_the_memory__is_refused_by_its_commit),
        TEST(arena__filled_with_small_blocks_and_emptied__has_room_for_a_large_one),
        TEST(free__over_the_cap__gives_pages_back),
        TEST(free__below_the_cap__keeps_pages),
        TEST(alloc__at_random__agrees_with_a_model),
        TEST(attach__through_another_mapping__is_the_same_arena),
        TEST(attach__to_what_does_not_fit__is_a_mismatch),
        TEST(free__of_what_is_not_allocated__is_caught_in_debug_builds),
        TEST(arena__written_in_front_of__faults),
        TEST(arena__used_by_threads__stays_whole),
        cmocka_unit_test(arena__with_many_spans__is_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
