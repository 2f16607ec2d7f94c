/* conformance/bytes_test.c - items and results of any size. */
#include "crewtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POOL_BYTES = 8192, MOST = 200 };

static size_t result_size(size_t in_size, int64_t index) {
    return (in_size * 7 + (size_t)index) % (MOST + 1);
}

static unsigned char result_byte(const unsigned char *in, size_t in_size, size_t i, int64_t index) {
    return (unsigned char)((in_size ? in[i % in_size] : 0) + index + (int64_t)i);
}

static int scramble(crew_call *call) {
    unsigned char out[MOST + 1];
    size_t size = result_size(call->in_size, call->index);
    if (call->out || call->out_size || call->in_size > MOST)
        return crew_fail(call, 1, "item of %d bytes", (int)call->in_size);
    for (size_t i = 0; i < size; i++)
        out[i] = result_byte(call->in, call->in_size, i, call->index);
    return crew_reply(call, out, size);
}

static void check_scrambled(crew_results *r, const crew_bytes *in, int64_t i) {
    size_t size = 99999;
    const unsigned char *have = crew_results_at(r, i, &size);
    if (!have || size != result_size(in[i].size, i))
        fail_msg("result %ld at %p has %zu bytes", (long)i, (const void *)have, size);
    for (size_t b = 0; b < size; b++)
        if (have[b] != result_byte(in[i].data, in[i].size, b, i))
            fail_msg("result %ld differs at byte %zu", (long)i, b);
}

static crew_bytes *random_items(unsigned char *bytes, int64_t count) {
    crew_bytes *in = malloc((size_t)count * sizeof *in);
    assert_non_null(in);
    for (size_t i = 0; i < POOL_BYTES + MOST; i++)
        bytes[i] = (unsigned char)crewtest_random();
    for (int64_t i = 0; i < count; i++) {
        uint64_t r = crewtest_random();
        in[i].data = bytes + r % POOL_BYTES;
        in[i].size = (r >> 32) % (MOST + 1);
    }
    return in;
}

static void map_bytes__a_million_of_0_to_200_bytes__are_all_right(void **state) {
    static unsigned char bytes[POOL_BYTES + MOST];
    int64_t count = crewtest_many(1000000);
    crew_bytes *in = random_items(bytes, count);
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_results *r = crew_map_bytes(p, scramble, in, count, NULL, &err);
    if (!r)
        fail_msg("%s", err.text);
    assert_int_equal(err.code, 0);
    for (int64_t i = 0; i < count; i++)
        check_scrambled(r, in, i);
    crew_results_free(r);
    crewtest_free(p);
    free(in);
}

static void map_bytes__each_schedule_and_chunk__gives_the_same(void **state) {
    static unsigned char bytes[POOL_BYTES + MOST];
    static const int64_t chunks[] = {0, 1, 7, 10000};
    enum { COUNT = 2000 };
    crew_bytes *in = random_items(bytes, COUNT);
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    for (int schedule = 0; schedule < 4; schedule++)
        for (size_t c = 0; c < 4; c++) {
            crew_map_opts opts = {.schedule = schedule, .chunk = chunks[c]};
            crew_results *r = crew_map_bytes(p, scramble, in, COUNT, &opts, &err);
            assert_non_null(r);
            for (int64_t i = 0; i < COUNT; i++) {
                check_scrambled(r, in, i);
                assert_int_equal(crew_results_error(r, i, &err), 0);
            }
            crew_results_free(r);
        }
    crewtest_free(p);
    free(in);
}

/* Answers as its item says: not at all, with nothing, twice, or fails. */
static int as_told(crew_call *call) {
    switch (call->in_size ? *(const char *)call->in : 0) {
    case 'n':
        return crew_reply(call, NULL, 0);
    case 'e':
        return crew_reply(call, "", 0);
    case 't':
        crew_reply(call, "the first, and longer", 21);
        return crew_reply(call, "second", 6);
    case 'f':
        return crew_fail(call, 12, "told to fail");
    case 'r':
        crew_reply(call, "dropped", 7);
        return 13;
    default:
        return 0;
    }
}

static const crew_bytes told[] = {{"n", 1}, {"e", 1}, {NULL, 0}, {"t", 1},
                                  {"f", 1}, {"t", 1}, {"r", 1},  {"", 0}};
enum { TOLD = sizeof told / sizeof *told };

static void map_bytes__empty_results__are_never_null(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_results *r = crew_map_bytes(p, as_told, told, 4, NULL, &err);
    if (!r)
        fail_msg("%s", err.text);
    for (int64_t i = 0; i < 3; i++) {
        size_t size = 5;
        assert_non_null(crew_results_at(r, i, &size));
        assert_int_equal(size, 0);
    }
    size_t size = 0;
    const void *second = crew_results_at(r, 3, &size);
    assert_int_equal(size, 6);
    assert_memory_equal(second, "second", 6);
    crew_results_free(r);
    crewtest_free(p);
}

static void map_bytes__continue__tells_failures_from_results(void **state) {
    int statuses[TOLD];
    crew_error err, errors[4];
    crew_map_opts opts = {
        .on_error = CREW_CONTINUE, .statuses = statuses, .errors = errors, .errors_cap = 4};
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_results *r = crew_map_bytes(p, as_told, told, TOLD, &opts, &err);
    assert_non_null(r);
    assert_int_equal(err.code, CREW_EFAILED);
    assert_int_equal(err.item, 4);
    for (int64_t i = 0; i < TOLD; i++) {
        bool bad = i == 4 || i == 6;
        size_t size = 5;
        assert_int_equal(statuses[i], bad ? CREW_EFAILED : 0);
        assert_code(crew_results_error(r, i, &err), statuses[i], &err);
        assert_true((crew_results_at(r, i, &size) == NULL) == bad);
        if (bad)
            assert_int_equal(err.item, i);
    }
    assert_int_equal(crew_results_error(r, 4, &err), CREW_EFAILED);
    assert_int_equal(err.task_code, 12);
    assert_text(err.text, "told to fail");
    assert_int_equal(errors[1].item, 6);
    assert_int_equal(errors[1].task_code, 13);
    assert_int_equal(errors[2].code, 0);
    assert_null(crew_results_at(r, -1, NULL));
    assert_null(crew_results_at(r, TOLD, NULL));
    assert_int_equal(crew_results_error(r, TOLD, NULL), CREW_EINVAL);
    crew_results_free(r);
    crewtest_free(p);
}

static void map_bytes__stop__says_which_item_failed(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_results *r = crew_map_bytes(p, as_told, told, TOLD, NULL, &err);
    assert_int_equal(err.code, CREW_EFAILED);
    assert_int_equal(err.item, 4);
    assert_int_equal(err.task_code, 12);
    if (r)
        crew_results_free(r);
    assert_usable(p);
    crewtest_free(p);
}

static void map_bytes__none_and_bad_requests__are_told_apart(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_results *r = crew_map_bytes(p, as_told, told, 0, NULL, &err);
    assert_int_equal(err.code, 0);
    assert_non_null(r);
    assert_null(crew_results_at(r, 0, NULL));
    crew_results_free(r);
    assert_null(crew_map_bytes(p, NULL, told, 2, NULL, &err));
    assert_int_equal(err.code, CREW_EINVAL);
    assert_null(crew_map_bytes(p, as_told, told, -2, NULL, &err));
    assert_int_equal(err.code, CREW_EINVAL);
    assert_null(crew_map_bytes(p, as_told, NULL, 2, NULL, &err));
    assert_int_equal(err.code, CREW_EINVAL);
    crewtest_free(p);
}

/* ---- big ones ----------------------------------------------------------- */

/* Words that only the right place in the right item holds. */
static uint64_t word_at(uint64_t i) {
    return (i + 1) * 0x9e3779b97f4a7c15u;
}

/* Answers with the complement of its item. */
static int complement(crew_call *call) {
    size_t words = call->in_size / sizeof(uint64_t);
    const uint64_t *in = call->in;
    uint64_t *out = malloc(call->in_size);
    if (!out)
        return crew_fail(call, 1, "no memory for the answer");
    for (size_t i = 0; i < words; i++)
        out[i] = ~in[i];
    int rc = crew_reply(call, out, call->in_size);
    free(out);
    return rc < 0 ? crew_fail(call, 2, "crew_reply: %s", crew_strerror(rc)) : 0;
}

static void run_big(size_t size) {
    size_t words = size / sizeof(uint64_t), got = 0;
    uint64_t *data = malloc(size);
    crew_bytes in[3] = {{"12345678", 8}, {data, size}, {"abcdefgh", 8}};
    crew_error err;
    assert_non_null(data);
    for (size_t i = 0; i < words; i++)
        data[i] = word_at(i);
    crew_pool *p = crewtest_open(2);
    crew_results *r = crew_map_bytes(p, complement, in, 3, NULL, &err);
    if (!r || err.code)
        fail_msg("%s", err.text);
    const uint64_t *have = crew_results_at(r, 1, &got);
    assert_true(have && got == size);
    for (size_t i = 0; i < words; i++)
        if (have[i] != ~word_at(i))
            fail_msg("word %zu", i);
    crew_results_free(r);

    crew_future *f = crew_submit(p, complement, data, size, NULL, &err);
    if (!f)
        fail_msg("%s", err.text);
    assert_ok(crew_future_result(f, data, size, 50, &err), &err);
    for (size_t i = 0; i < words; i++)
        if (data[i] != ~word_at(i))
            fail_msg("word %zu", i);
    crew_future_free(f);
    crewtest_free(p);
    free(data);
}

static void map_bytes__item_and_result_of_64_mib__are_whole(void **state) {
    (void)state;
    run_big((size_t)64 << 20);
}

/* Of the machine's memory, as the kernel estimates it. */
static double available_gib(void) {
    char line[128];
    double kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %lf", &kib) != 1)
        ;
    if (f)
        fclose(f);
    return kib / 1024 / 1024;
}

static void map_bytes__item_and_result_of_3_gib__are_whole(void **state) {
    (void)state;
    if (!crewtest_long())
        skip();
    /* The item and the answer, in the program, the segment and the worker. */
    if (available_gib() < 16) {
        print_message("it needs 16 GiB, %.1f are there\n", available_gib());
        skip();
    }
    crewtest_may_take(300);
    run_big((size_t)3 << 30);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(map_bytes__a_million_of_0_to_200_bytes__are_all_right),
        CREWTEST(map_bytes__each_schedule_and_chunk__gives_the_same),
        CREWTEST(map_bytes__empty_results__are_never_null),
        CREWTEST(map_bytes__continue__tells_failures_from_results),
        CREWTEST(map_bytes__stop__says_which_item_failed),
        CREWTEST(map_bytes__none_and_bad_requests__are_told_apart),
        CREWTEST(map_bytes__item_and_result_of_64_mib__are_whole),
        CREWTEST(map_bytes__item_and_result_of_3_gib__are_whole),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
