/* conformance/journal_test.c - maps that are interrupted go on from their journal. */
#include "conformance/journals.h"

#include "api/pool_impl.h"
#include "journal/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COUNT = 1000, CELL_FAILS = 40 };

/* One byte of the file is another. */
static void damage(const char *path, long at) {
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 0x40, f);
    fclose(f);
}

static long size_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

/* ---- tasks --------------------------------------------------------------- */

static void ran(const crew_call *call) {
    crewtest_add(CELL_ITEM + call->index, 1);
    crewtest_add(CELL_COUNT, 1);
}

static int triple(crew_call *call) {
    ran(call);
    if (call->out)
        *CREW_OUT(call, int64_t) = *CREW_IN(call, int64_t) * 3 + 1;
    return 0;
}

static int other(crew_call *call) {
    return triple(call);
}

/* Every seventh item fails as long as the cell says so. */
static int sometimes(crew_call *call) {
    ran(call);
    if (call->index % 7 == 3 && crewtest_get(CELL_FAILS))
        return crew_fail(call, 5, "item %d will not", (int)call->index);
    *CREW_OUT(call, int64_t) = call->index * 2;
    return 0;
}

/* Item 500 waits for a gate: until then the map is not over. */
static int halting(crew_call *call) {
    ran(call);
    if (call->index == 500) {
        crewtest_add(CELL_STARTED, 1);
        int rc = crewtest_pass(call, CELL_GATE);
        if (rc)
            return rc;
    }
    *CREW_OUT(call, int64_t) = call->index * 2;
    return 0;
}

static void forget(void) {
    forget_items(COUNT);
}

static void assert_triples(const int64_t *in, const int64_t *out) {
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(out[i], in[i] * 3 + 1);
}

static void fill(int64_t *in) {
    for (int64_t i = 0; i < COUNT; i++)
        in[i] = i * i - 7;
}

/* ---- whole maps ------------------------------------------------------------ */

static void journal__of_a_finished_map__gives_it_again_without_a_call(void **state) {
    int64_t in[COUNT], out[COUNT];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    crew_map_opts opts = {.journal = fresh("whole")};
    fill(in);
    for (int run = 0; run < 3; run++) {
        memset(out, 0, sizeof out);
        assert_ok(crew_map(p, triple, in, COUNT, out, &opts, &err), &err);
        assert_string_equal(err.text, "");
        assert_triples(in, out);
        assert_int_equal(crewtest_get(CELL_COUNT), COUNT);
    }
    crew_journal_info info = info_of(opts.journal);
    assert_int_equal(info.kind, CREW_JOURNAL_MAP);
    assert_string_equal(info.function, "triple");
    assert_int_equal(info.count, COUNT);
    assert_int_equal(info.done, COUNT);
    assert_int_equal(info.failed + info.damaged + info.torn, 0);
    assert_int_equal(info.in_size, 8);
    crewtest_free(p);
}

static void journal__of_a_cancelled_map__the_rest_runs_and_nothing_else(void **state) {
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(3);
    crew_map_opts opts = {.journal = fresh("cancelled"), .chunk = 1};
    crew_job *j = crew_map_async(p, halting, NULL, 0, COUNT, out, sizeof *out, &opts, &err);
    assert_non_null(j);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) > 0, 20);
    CREWTEST_WAIT(info_of(opts.journal).done > 100, 20);
    crew_job_cancel(j);
    crewtest_set(CELL_GATE, 1);
    crew_job_get(j, CREW_FOREVER, &err);
    crew_job_free(j);
    crew_journal_info info = info_of(opts.journal);
    assert_true(info.done > 100);
    int64_t before = info.done;
    forget();
    crewtest_set(CELL_GATE, 1);
    memset(out, 0, sizeof out);
    assert_ok(crew_pool_map(p, halting, NULL, 0, COUNT, out, sizeof *out, &opts, &err), &err);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(out[i], 2 * i);
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT - before);
    assert_int_equal(info_of(opts.journal).done, COUNT);
    crewtest_free(p);
}

static void journal__failed_items__run_again_unless_they_are_to_be_kept(void **state) {
    int64_t out[COUNT];
    int statuses[COUNT];
    crew_error err, errors[200];
    (void)state;
    crew_pool *p = crewtest_open(3);
    crew_map_opts opts = {.journal = fresh("failed"),
                          .on_error = CREW_CONTINUE,
                          .statuses = statuses,
                          .errors = errors,
                          .errors_cap = 200};
    const int bad = (COUNT + 3) / 7;
    crewtest_set(CELL_FAILS, 1);
    assert_code(crew_map_index(p, sometimes, COUNT, out, &opts, &err), CREW_EFAILED, &err);
    assert_int_equal(info_of(opts.journal).failed, bad);
    /* Kept: the same again, text and codes included. */
    forget();
    p->session->config.resume = CW_RESUME_FINISHED;
    memset(errors, 0, sizeof errors);
    assert_code(crew_map_index(p, sometimes, COUNT, out, &opts, &err), CREW_EFAILED, &err);
    p->session->config.resume = CW_RESUME_DONE;
    assert_int_equal(crewtest_get(CELL_COUNT), 0);
    assert_int_equal(errors[1].item, 10);
    assert_int_equal(errors[1].task_code, 5);
    assert_text(errors[1].text, "item 10 will not");
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(statuses[i], i % 7 == 3 ? CREW_EFAILED : 0);
    /* Run again. */
    forget();
    crewtest_set(CELL_FAILS, 0);
    assert_ok(crew_map_index(p, sometimes, COUNT, out, &opts, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), bad);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(out[i], 2 * i);
    assert_int_equal(info_of(opts.journal).done, COUNT);
    assert_int_equal(info_of(opts.journal).failed, 0);
    crewtest_free(p);
}

static void journal__a_stopped_map__goes_on_behind_its_failure(void **state) {
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_map_opts opts = {.journal = fresh("stopped")};
    crewtest_set(CELL_FAILS, 1);
    assert_code(crew_map_index(p, sometimes, COUNT, out, &opts, &err), CREW_EFAILED, &err);
    assert_int_equal(err.item, 3);
    int64_t before = info_of(opts.journal).done;
    assert_true(before >= 3);
    forget();
    crewtest_set(CELL_FAILS, 0);
    assert_ok(crew_map_index(p, sometimes, COUNT, out, &opts, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT - before);
    crewtest_free(p);
}

static void journal__of_a_map_in_slices__is_the_same(void **state) {
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    crew_map_opts opts = {.journal = fresh("slices"), .on_error = CREW_CONTINUE};
    p->slice = 77;
    crewtest_set(CELL_FAILS, 1);
    assert_code(crew_map_index(p, sometimes, COUNT, out, &opts, &err), CREW_EFAILED, &err);
    assert_int_equal(info_of(opts.journal).done, COUNT - (COUNT + 3) / 7);
    forget();
    crewtest_set(CELL_FAILS, 0);
    p->slice = 131;
    memset(out, 0, sizeof out);
    assert_ok(crew_map_index(p, sometimes, COUNT, out, &opts, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), (COUNT + 3) / 7);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(out[i], 2 * i);
    if (crewtest_has(CREWTEST_ASYNC)) {
        forget();
        crew_job *j = crew_map_async(p, sometimes, NULL, 0, COUNT, out, sizeof *out, &opts, &err);
        assert_ok(crew_job_get(j, CREW_FOREVER, &err), &err);
        crew_job_free(j);
        assert_int_equal(crewtest_get(CELL_COUNT), 0);
    }
    crewtest_free(p);
}

/* ---- other kinds ------------------------------------------------------------ */

enum { HUGE_RESULT = 3 << 20 };

static size_t size_for(int64_t i) {
    return i == 7 || i == 31 ? HUGE_RESULT : i % 3 == 0 ? 0 : (size_t)i * 5;
}

static int blow_up(crew_call *call) {
    ran(call);
    size_t size = size_for(call->index);
    unsigned char *bytes = malloc(size + 1);
    memset(bytes, (int)call->index + 1, size);
    int rc = crew_reply(call, bytes, size);
    free(bytes);
    return rc;
}

static void journal__results_of_any_size__are_all_there(void **state) {
    enum { ITEMS = 50 };
    crew_bytes in[ITEMS];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    crew_map_opts opts = {.journal = fresh("bytes")};
    for (int i = 0; i < ITEMS; i++)
        in[i] = (crew_bytes){"some text", (size_t)i % 10};
    for (int run = 0; run < 2; run++) {
        crew_results *r = crew_map_bytes(p, blow_up, in, ITEMS, &opts, &err);
        assert_ok(err.code, &err);
        for (int64_t i = 0; i < ITEMS; i++) {
            size_t size;
            const unsigned char *data = crew_results_at(r, i, &size);
            assert_non_null(data);
            assert_int_equal(size, size_for(i));
            for (size_t k = 0; k < size; k += size > 1000 ? 4093 : 1)
                assert_int_equal(data[k], i + 1);
        }
        crew_results_free(r);
        assert_int_equal(crewtest_get(CELL_COUNT), ITEMS);
    }
    in[4].data = "ather";
    assert_null(crew_map_bytes(p, blow_up, in, ITEMS, &opts, &err));
    assert_code(err.code, CREW_EMISMATCH, &err);
    crewtest_free(p);
}

static int block(crew_call *call, int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; i++)
        crewtest_add(CELL_ITEM + i, 1);
    return crewtest_get(CELL_FAILS) && lo <= 300 && 300 < hi ? crew_fail(call, 1, "no") : 0;
}

static void journal__of_a_for__finished_blocks_do_not_run_again(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_map_opts opts = {.journal = fresh("for"), .chunk = 10, .on_error = CREW_CONTINUE};
    crewtest_set(CELL_FAILS, 1);
    assert_code(crew_for(p, block, COUNT, &opts, &err), CREW_EFAILED, &err);
    crewtest_set(CELL_FAILS, 0);
    assert_ok(crew_for(p, block, COUNT, &opts, &err), &err);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(crewtest_get(CELL_ITEM + i), i / 10 == 30 ? 2 : 1);
    opts.chunk = 20;
    assert_code(crew_for(p, block, COUNT, &opts, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "the chunk is 10 there, 20 here");
    crewtest_free(p);
}

static int third(crew_call *call) {
    ran(call);
    if (call->index == 700 && crewtest_get(CELL_FAILS))
        return crew_fail(call, 1, "no");
    *CREW_OUT(call, double) = 1.0 / (double)(3 + *CREW_IN(call, int64_t));
    return 0;
}

static int add(void *into, const void *from) {
    *(double *)into += *(const double *)from;
    return 0;
}

static void journal__of_a_reduce__gives_the_same_bits(void **state) {
    double sum = 0, again = 0;
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    crew_map_opts opts = {.journal = fresh("reduce")};
    assert_ok(crew_reduce(p, third, NULL, 0, COUNT, &sum, sizeof sum, add, NULL, &err), &err);
    crewtest_set(CELL_FAILS, 1);
    assert_code(crew_reduce(p, third, NULL, 0, COUNT, &again, sizeof again, add, &opts, &err),
                CREW_EFAILED, &err);
    int64_t before = info_of(opts.journal).done;
    assert_true(before >= 700);
    forget();
    crewtest_set(CELL_FAILS, 0);
    assert_ok(crew_reduce(p, third, NULL, 0, COUNT, &again, sizeof again, add, &opts, &err), &err);
    assert_memory_equal(&sum, &again, sizeof sum);
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT - before);
    crewtest_free(p);
}

static int spawned(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    if (*CREW_IN(call, int64_t) == 500)
        crewtest_pass(call, CELL_GATE);
    return *CREW_IN(call, int64_t) % 100 == 50 && crewtest_get(CELL_FAILS)
               ? crew_fail(call, 2, "a child")
               : 0;
}

static int spawns(crew_call *call) {
    int64_t i = call->index;
    ran(call);
    *CREW_OUT(call, int64_t) = 2 * i;
    return i % 50 == 0 ? crew_spawn(call, spawned, &i, sizeof i) : 0;
}

static void journal__items_whose_children_fail__have_failed(void **state) {
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    crew_map_opts opts = {.journal = fresh("children"), .on_error = CREW_CONTINUE};
    crewtest_set(CELL_FAILS, 1);
    crewtest_set(CELL_GATE, 1);
    assert_code(crew_map_index(p, spawns, COUNT, out, &opts, &err), CREW_EFAILED, &err);
    assert_int_equal(info_of(opts.journal).done, COUNT - 10);
    crewtest_set(CELL_FAILS, 0);
    forget();
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_map_index(p, spawns, COUNT, out, &opts, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), 10);
    crewtest_free(p);
}

/* ---- whose it is ------------------------------------------------------------- */

static void journal__of_other_work__is_refused_with_the_difference(void **state) {
    int64_t in[COUNT], out[COUNT], common = 4;
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_map_opts opts = {.journal = fresh("mine")};
    fill(in);
    assert_ok(crew_map(p, triple, in, COUNT, out, &opts, &err), &err);
    assert_code(crew_map(p, other, in, COUNT, out, &opts, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "the function is triple there, other here");
    assert_code(crew_map(p, triple, in, COUNT - 1, out, &opts, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "the number of items is 1000 there, 999 here");
    assert_code(crew_pool_map(p, triple, in, 8, COUNT, NULL, 0, &opts, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "the size of a result is 8 there, 0 here");
    in[77]++;
    assert_code(crew_map(p, triple, in, COUNT, out, &opts, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "the items differ");
    in[77]--;
    opts.common = &common;
    opts.common_size = sizeof common;
    assert_code(crew_map(p, triple, in, COUNT, out, &opts, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "the common argument is 0 there, 8 here");
    opts.common_size = 0;
    opts.stream = 3;
    assert_code(crew_map(p, triple, in, COUNT, out, &opts, &err), CREW_EMISMATCH, &err);
    assert_code(crew_map_index(p, triple, COUNT, out, &opts, &err), CREW_EMISMATCH, &err);
    opts.stream = 0;
    assert_ok(crew_map(p, triple, in, COUNT, out, &opts, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT); /* refused before anything runs */
    crewtest_free(p);
}

/* As if the program had been built anew: the head names another build. */
static void rebuild(const char *path) {
    struct cw_journal_head head;
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fread(&head, sizeof head, 1, f), 1);
    head.object ^= 1;
    head.offset += 64;
    cw_journal_seal_head(&head);
    for (int copy = 0; copy < 2; copy++) {
        fseek(f, copy * CW_JOURNAL_COPY, SEEK_SET);
        fwrite(&head, sizeof head, 1, f);
    }
    fclose(f);
}

static void journal__of_another_build__is_refused_unless_forced(void **state) {
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_map_opts opts = {.journal = fresh("built")};
    assert_ok(crew_map_index(p, triple, COUNT, out, &opts, &err), &err);
    rebuild(opts.journal);
    assert_code(crew_map_index(p, triple, COUNT, out, &opts, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "another build");
    p->session->config.journal_force = 1;
    memset(out, 0, sizeof out);
    int rc = crew_map_index(p, triple, COUNT, out, &opts, &err);
    int items = crew_map_index(p, triple, COUNT - 1, out, &opts, NULL); /* nothing else */
    p->session->config.journal_force = 0;
    assert_ok(rc, &err);
    assert_int_equal(items, CREW_EMISMATCH);
    assert_int_equal(out[COUNT - 1], 3 * (COUNT - 1) + 1);
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT);
    crewtest_free(p);
}

static void journal__a_file_that_is_none__is_left_alone(void **state) {
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_map_opts opts = {.journal = fresh("letter")};
    FILE *f = fopen(opts.journal, "w");
    for (int i = 0; i < 100; i++)
        fputs("Dear Sir or Madam,\n", f);
    fclose(f);
    long before = size_of(opts.journal);
    assert_code(crew_map_index(p, triple, COUNT, out, &opts, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "is no journal");
    assert_int_equal(size_of(opts.journal), before);
    opts.journal = "/nowhere/at/all";
    assert_code(crew_map_index(p, triple, COUNT, out, &opts, &err), CREW_ENOENT, &err);
    opts.journal = folder;
    assert_true(crew_map_index(p, triple, COUNT, out, &opts, &err) < 0);
    opts.journal = "";
    assert_code(crew_map_index(p, triple, COUNT, out, &opts, &err), CREW_EINVAL, &err);
    assert_int_equal(crewtest_get(CELL_COUNT), 0);
    crewtest_free(p);
}

/* What a crash leaves of a file whose length was on the disk before its contents; and what
 * only looks like that. */
static void journal__zeros__are_no_journal_unless_there_is_nothing_else(void **state) {
    static const char zeros[3000];
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_map_opts opts = {.journal = fresh("zeros")};
    FILE *f = fopen(opts.journal, "w");
    fwrite(zeros, 1, sizeof zeros, f);
    fputs("somebody's", f);
    fclose(f);
    assert_code(crew_map_index(p, triple, COUNT, out, &opts, &err), CREW_EMISMATCH, &err);
    assert_int_equal(size_of(opts.journal), sizeof zeros + 10);
    assert_int_equal(crewtest_get(CELL_COUNT), 0);
    assert_int_equal(truncate(opts.journal, sizeof zeros), 0);
    assert_ok(crew_map_index(p, triple, COUNT, out, &opts, &err), &err);
    assert_string_equal(err.text, "");
    crew_journal_info info = info_of(opts.journal);
    assert_int_equal(info.done, COUNT);
    assert_int_equal(info.torn + info.damaged, 0);
    crewtest_free(p);
}

static void journal__in_use__is_refused(void **state) {
    int64_t out[COUNT], more[COUNT];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    crew_map_opts opts = {.journal = fresh("locked")};
    crew_job *j = crew_map_async(p, halting, NULL, 0, COUNT, out, sizeof *out, &opts, &err);
    assert_non_null(j);
    assert_code(crew_pool_map(p, halting, NULL, 0, COUNT, more, sizeof *more, &opts, &err),
                CREW_EPERM, &err);
    assert_text(err.text, "in use by this program already");
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_job_get(j, CREW_FOREVER, &err), &err);
    crew_job_free(j);
    assert_ok(crew_pool_map(p, halting, NULL, 0, COUNT, more, sizeof *more, &opts, &err), &err);
    crewtest_free(p);
}

static void journal__damaged_and_torn__is_told_and_what_is_lost_runs_again(void **state) {
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_map_opts opts = {.journal = fresh("damaged"), .on_error = CREW_CONTINUE};
    crewtest_set(CELL_FAILS, 1);
    crew_map_index(p, sometimes, COUNT, out, &opts, &err); /* many records */
    crewtest_set(CELL_FAILS, 0);
    int64_t done = info_of(opts.journal).done;
    long size = size_of(opts.journal);
    damage(opts.journal, 1024 + 40);
    assert_int_equal(truncate(opts.journal, size - 3), 0);
    crew_journal_info info = info_of(opts.journal);
    assert_int_equal(info.damaged, 1);
    assert_true(info.torn > 0 && info.done < done && info.done > 0);
    forget();
    assert_ok(crew_map_index(p, sometimes, COUNT, out, &opts, &err), &err);
    assert_text(err.text, "damaged in 1 place");
    assert_text(err.text, "its end was torn");
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT - info.done);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(out[i], 2 * i);
    info = info_of(opts.journal);
    assert_int_equal(info.done, COUNT);
    assert_int_equal(info.torn, 0);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (!folder_made())
        return 1;
    const struct CMUnitTest tests[] = {
        CREWTEST(journal__of_a_finished_map__gives_it_again_without_a_call),
        CREWTEST(journal__of_a_cancelled_map__the_rest_runs_and_nothing_else),
        CREWTEST(journal__failed_items__run_again_unless_they_are_to_be_kept),
        CREWTEST(journal__a_stopped_map__goes_on_behind_its_failure),
        CREWTEST(journal__of_a_map_in_slices__is_the_same),
        CREWTEST(journal__results_of_any_size__are_all_there),
        CREWTEST(journal__of_a_for__finished_blocks_do_not_run_again),
        CREWTEST(journal__of_a_reduce__gives_the_same_bits),
        CREWTEST(journal__items_whose_children_fail__have_failed),
        CREWTEST(journal__of_other_work__is_refused_with_the_difference),
        CREWTEST(journal__of_another_build__is_refused_unless_forced),
        CREWTEST(journal__a_file_that_is_none__is_left_alone),
        CREWTEST(journal__zeros__are_no_journal_unless_there_is_nothing_else),
        CREWTEST(journal__in_use__is_refused),
        CREWTEST(journal__damaged_and_torn__is_told_and_what_is_lost_runs_again),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return crewtest_end(failed + folder_gone());
}
