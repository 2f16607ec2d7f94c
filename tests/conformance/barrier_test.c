/* conformance/barrier_test.c - barriers between threads and workers of any backend. */
#include "crewtest.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum {
    CELL_BEFORE = CELL_OWN,
    CELL_AFTER,
    CELL_FIRST,
    CELL_PASSED,
    CELL_BROKEN,
    CELL_AGAIN,
    CELL_ACTED,
    CELL_STOP,
    CELL_MET,
    PARTIES = 5,
    MIDDLE = PARTIES / 2
};

/* What the parties may do. */
enum {
    LOCKSTEP,
    NOTE_INDEX,
    SEE_ACTION,
    SEE_FAILURE,
    ONE_ABORTS,
    ONE_RESETS,
    ABORT_AND_RESET,
    ONE_IS_LATE
};

struct scene {
    crew_barrier b, b2;
    int64_t rounds;
    double timeout;
    int part;
};

static int play_part(const struct scene *s);

/* Each party in a thread of its own; some of them in workers, where they run beside
 * this process. All returned 0. */
static int in_task(crew_call *call) {
    const struct scene *s = CREW_COMMON(call, struct scene);
    int rc = play_part(s);
    return rc ? crew_fail(call, 1, "%d: %s", rc, crew_last_error()->text) : 0;
}

static void *in_thread(void *scene) {
    const struct scene *s = scene;
    return (void *)(intptr_t)play_part(s);
}

static void play(struct scene *s, int part) {
    bool workers = crewtest_has(CREWTEST_ASYNC | CREWTEST_MANY);
    int count = workers ? 3 : 0;
    pthread_t thread[PARTIES];
    crew_pool *p = NULL;
    crew_job *job = NULL;
    crew_error err;
    void *rc;
    s->part = part;
    if (workers) {
        crew_map_opts opts = {.common = s, .common_size = sizeof *s, .chunk = 1};
        p = crewtest_open(count);
        job = crew_map_async(p, in_task, NULL, 0, count, NULL, 0, &opts, &err);
        assert_non_null(job);
    }
    for (int i = count; i < PARTIES; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, in_thread, s), 0);
    for (int i = count; i < PARTIES; i++) {
        assert_int_equal(pthread_join(thread[i], &rc), 0);
        assert_int_equal((intptr_t)rc, 0);
    }
    if (workers) {
        assert_ok(crew_job_get(job, 30, &err), &err);
        crew_job_free(job);
        crewtest_free(p);
    }
}

static void open_scene(struct scene *s, crew_fn *action) {
    memset(s, 0, sizeof *s);
    for (int64_t cell = CELL_BEFORE; cell <= CELL_MET; cell++)
        crewtest_set(cell, 0);
    assert_int_equal(crew_barrier_create(&s->b, PARTIES, action), 0);
    assert_int_equal(crew_barrier_create(&s->b2, PARTIES, NULL), 0);
    s->timeout = 30;
}

static void close_scene(const struct scene *s) {
    assert_int_equal(crew_barrier_destroy(s->b), 0);
    assert_int_equal(crew_barrier_destroy(s->b2), 0);
}

static int lockstep(const struct scene *s) {
    for (int64_t i = 0; i < s->rounds; i++) {
        crewtest_add(CELL_BEFORE, 1);
        if (crewtest_get(CELL_AFTER) != i * PARTIES)
            return 1;
        if (crew_barrier_wait(s->b, 30) != 0)
            return 2;
        crewtest_add(CELL_AFTER, 1);
        if (crewtest_get(CELL_BEFORE) != (i + 1) * PARTIES)
            return 3;
        if (crew_barrier_wait(s->b, 30) != 0)
            return 4;
    }
    return 0;
}

static void barrier__rounds__are_passed_in_lockstep(void **state) {
    struct scene s;
    (void)state;
    open_scene(&s, NULL);
    assert_int_equal(crew_barrier_parties(s.b), PARTIES);
    s.rounds = 1;
    play(&s, LOCKSTEP);
    for (int64_t cell = CELL_BEFORE; cell <= CELL_AFTER; cell++)
        crewtest_set(cell, 0);
    s.rounds = 1000;
    play(&s, LOCKSTEP);
    assert_int_equal(crewtest_get(CELL_AFTER), 1000 * PARTIES);
    assert_int_equal(crew_barrier_n_waiting(s.b), 0);
    assert_int_equal(crew_barrier_broken(s.b), 0);
    close_scene(&s);
}

static int note_index(const struct scene *s) {
    int index = crew_barrier_wait_index(s->b, 30);
    if (index < 0 || index >= PARTIES)
        return 1;
    return crewtest_add(CELL_WORKER + index, 1) == 0 ? 0 : 2;
}

static void barrier__wait_index__is_another_for_each_party(void **state) {
    struct scene s;
    (void)state;
    open_scene(&s, NULL);
    for (int i = 0; i < PARTIES; i++)
        crewtest_set(CELL_WORKER + i, 0);
    play(&s, NOTE_INDEX);
    for (int i = 0; i < PARTIES; i++)
        assert_int_equal(crewtest_get(CELL_WORKER + i), 1);
    close_scene(&s);
}

static int count_action(crew_call *call) {
    crewtest_add(CELL_ACTED, 1);
    /* A call as any other. */
    if (call->in || call->out_size || !call->state || call->attempt != 1 || crew_cancelled(call))
        return crew_fail(call, 1, "the call is none");
    crew_rng_double(crew_call_rng(call));
    return crew_reply(call, "dropped", 7);
}

static int see_action(const struct scene *s) {
    for (int64_t i = 1; i <= s->rounds; i++) {
        if (crew_barrier_wait(s->b, 30) != 0)
            return 1;
        if (crewtest_get(CELL_ACTED) != i)
            return 2;
        if (crew_barrier_wait(s->b2, 30) != 0)
            return 3;
    }
    return 0;
}

static void barrier__action__has_run_once_before_anybody_goes_on(void **state) {
    struct scene s;
    (void)state;
    open_scene(&s, count_action);
    s.rounds = 20;
    play(&s, SEE_ACTION);
    assert_int_equal(crewtest_get(CELL_ACTED), 20);
    close_scene(&s);
}

static int failing_action(crew_call *call) {
    return crew_fail(call, 7, "no more %s", "paper");
}

static int see_failure(const struct scene *s) {
    int rc = crew_barrier_wait(s->b, 30);
    const crew_error *err = crew_last_error();
    if (rc == CREW_EFAILED && err->task_code == 7 && strstr(err->text, "no more paper"))
        crewtest_add(CELL_FIRST, 1);
    else if (rc == CREW_EBROKEN && strstr(err->text, "broken"))
        crewtest_add(CELL_BROKEN, 1);
    return 0;
}

static void barrier__action_fails__the_last_one_hears_why_and_it_is_broken(void **state) {
    struct scene s;
    (void)state;
    open_scene(&s, failing_action);
    play(&s, SEE_FAILURE);
    assert_int_equal(crewtest_get(CELL_FIRST), 1);
    assert_int_equal(crewtest_get(CELL_BROKEN), PARTIES - 1);
    assert_int_equal(crew_barrier_broken(s.b), 1);
    assert_int_equal(crew_barrier_wait(s.b, 30), CREW_EBROKEN);
    close_scene(&s);
}

/* One goes away and aborts, the others are inside or about to come. */
static int one_aborts(const struct scene *s) {
    int index = crew_barrier_wait_index(s->b, 30);
    if (index == MIDDLE)
        return crew_barrier_abort(s->b);
    int rc = index < 0 ? index : crew_barrier_wait(s->b, 30);
    crewtest_add(rc == CREW_EBROKEN ? CELL_BROKEN : CELL_PASSED, 1);
    return 0;
}

static void barrier__aborted__is_broken_for_all_others(void **state) {
    struct scene s;
    (void)state;
    open_scene(&s, NULL);
    play(&s, ONE_ABORTS);
    assert_int_equal(crewtest_get(CELL_PASSED), 0);
    assert_int_equal(crewtest_get(CELL_BROKEN), PARTIES - 1);
    assert_int_equal(crew_barrier_broken(s.b), 1);
    assert_int_equal(crew_barrier_n_waiting(s.b), 0);
    close_scene(&s);
}

static int one_resets(const struct scene *s) {
    int index = crew_barrier_wait_index(s->b, 30);
    if (index == MIDDLE) {
        while (crew_barrier_n_waiting(s->b) < PARTIES - 1)
            crewtest_pause();
        if (crew_barrier_reset(s->b) != 0)
            return 1;
    } else {
        int rc = crew_barrier_wait(s->b, 30);
        crewtest_add(rc == CREW_EBROKEN ? CELL_BROKEN : CELL_PASSED, 1);
    }
    if (crew_barrier_wait(s->b, 30) != 0)
        return 2;
    crewtest_add(CELL_AGAIN, 1);
    return 0;
}

static void barrier__reset__frees_who_waits_and_is_new(void **state) {
    struct scene s;
    (void)state;
    open_scene(&s, NULL);
    assert_int_equal(crew_barrier_reset(s.b), 0); /* nobody waits: nothing */
    play(&s, ONE_RESETS);
    assert_int_equal(crewtest_get(CELL_PASSED), 0);
    assert_int_equal(crewtest_get(CELL_BROKEN), PARTIES - 1);
    assert_int_equal(crewtest_get(CELL_AGAIN), PARTIES);
    assert_int_equal(crew_barrier_broken(s.b), 0);
    close_scene(&s);
}

static int abort_and_reset(const struct scene *s) {
    int rc = one_aborts(s);
    if (rc != 0)
        return rc;
    /* All have left it when it is reset, nobody comes before it is. */
    int index = crew_barrier_wait_index(s->b2, 30);
    if (index < 0 || (index == MIDDLE && crew_barrier_reset(s->b) != 0))
        return 1;
    if (crew_barrier_wait(s->b2, 30) != 0 || crew_barrier_wait(s->b, 30) != 0)
        return 2;
    crewtest_add(CELL_AGAIN, 1);
    return 0;
}

static void barrier__aborted_and_reset__goes_on(void **state) {
    struct scene s;
    (void)state;
    open_scene(&s, NULL);
    play(&s, ABORT_AND_RESET);
    assert_int_equal(crewtest_get(CELL_PASSED), 0);
    assert_int_equal(crewtest_get(CELL_BROKEN), PARTIES - 1);
    assert_int_equal(crewtest_get(CELL_AGAIN), PARTIES);
    close_scene(&s);
}

/* One is late, until the first of the others has lost patience. */
static int one_is_late(const struct scene *s) {
    int index = crew_barrier_wait_index(s->b, 30);
    if (index < 0)
        return 1;
    while (index == MIDDLE && crew_barrier_broken(s->b) == 0)
        crewtest_pause();
    double from = crewtest_now();
    int rc = crew_barrier_wait(s->b, s->timeout);
    if (rc == CREW_ETIMEDOUT && crewtest_now() - from < s->timeout - 0.001)
        return 2;
    crewtest_add(rc == CREW_ETIMEDOUT ? CELL_FIRST : rc == CREW_EBROKEN ? CELL_BROKEN
                                                                        : CELL_PASSED, 1);
    return 0;
}

static void barrier__one_party_late__one_times_out_and_it_is_broken_for_all(void **state) {
    struct scene s;
    (void)state;
    open_scene(&s, NULL);
    s.timeout = 0.3;
    play(&s, ONE_IS_LATE);
    assert_int_equal(crewtest_get(CELL_FIRST), 1);
    assert_int_equal(crewtest_get(CELL_BROKEN), PARTIES - 1);
    assert_int_equal(crewtest_get(CELL_PASSED), 0);
    assert_int_equal(crew_barrier_broken(s.b), 1);
    close_scene(&s);
}

static int play_part(const struct scene *s) {
    static int (*const parts[])(const struct scene *s) = {
        [LOCKSTEP] = lockstep,
        [NOTE_INDEX] = note_index,
        [SEE_ACTION] = see_action,
        [SEE_FAILURE] = see_failure,
        [ONE_ABORTS] = one_aborts,
        [ONE_RESETS] = one_resets,
        [ABORT_AND_RESET] = abort_and_reset,
        [ONE_IS_LATE] = one_is_late,
    };
    return parts[s->part](s);
}

static void barrier__one_party__never_waits(void **state) {
    crew_barrier b;
    (void)state;
    crewtest_set(CELL_ACTED, 0);
    assert_int_equal(crew_barrier_create(&b, 1, count_action), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(crew_barrier_wait(b, 0), 0);
    assert_int_equal(crew_barrier_wait_index(b, 0), 0);
    assert_int_equal(crewtest_get(CELL_ACTED), 4);
    assert_int_equal(crew_barrier_destroy(b), 0);
}

static void barrier__polled_by_the_first__breaks(void **state) {
    crew_barrier b;
    (void)state;
    assert_int_equal(crew_barrier_create(&b, 2, NULL), 0);
    assert_int_equal(crew_barrier_wait(b, 0), CREW_ETIMEDOUT);
    assert_text(crew_last_error()->text, "in time");
    assert_int_equal(crew_barrier_wait(b, 0), CREW_EBROKEN);
    assert_int_equal(crew_barrier_reset(b), 0);
    assert_int_equal(crew_barrier_broken(b), 0);
    assert_int_equal(crew_barrier_abort(b), 0);
    assert_int_equal(crew_barrier_abort(b), 0);
    assert_int_equal(crew_barrier_broken(b), 1);
    assert_int_equal(crew_barrier_destroy(b), 0);
}

/* More threads than parties: whoever comes is in some round, and no wait that is not
 * broken is left over. */
static void *meet(void *arg) {
    while (!crewtest_get(CELL_STOP)) {
        int rc = crew_barrier_wait(*(crew_barrier *)arg, CREW_FOREVER);
        if (rc == 0)
            crewtest_add(CELL_MET, 1);
        else if (rc != CREW_EBROKEN)
            return arg;
    }
    return NULL;
}

static int slow_action(crew_call *call) {
    (void)call;
    for (int i = 0; i < 3; i++)
        crewtest_pause();
    return 0;
}

static void barrier__more_threads_than_parties__each_is_in_one_round(void **state) {
    crew_barrier b;
    pthread_t thread[7];
    void *wrong;
    (void)state;
    for (int with_action = 0; with_action < 2; with_action++) {
        crewtest_set(CELL_STOP, 0);
        crewtest_set(CELL_MET, 0);
        assert_int_equal(crew_barrier_create(&b, 3, with_action ? slow_action : NULL), 0);
        for (int i = 0; i < 7; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, meet, &b), 0);
        CREWTEST_WAIT(crewtest_get(CELL_MET) >= crewtest_many(500), 50);
        crewtest_set(CELL_STOP, 1);
        assert_int_equal(crew_barrier_abort(b), 0);
        for (int i = 0; i < 7; i++) {
            assert_int_equal(pthread_join(thread[i], &wrong), 0);
            assert_null(wrong);
        }
        assert_int_equal(crewtest_get(CELL_MET) % 3, 0);
        assert_int_equal(crew_barrier_destroy(b), 0);
    }
}

/* A party of three; resets and aborts come at any time. What all three count in a
 * round that was passed is the same. */
static void *meet_or_break(void *arg) {
    while (!crewtest_get(CELL_STOP)) {
        int rc = crew_barrier_wait(*(crew_barrier *)arg, CREW_FOREVER);
        if (rc == 0)
            crewtest_add(CELL_MET, 1);
        else if (rc == CREW_EBROKEN)
            crewtest_add(CELL_BROKEN, 1);
        else
            return arg;
    }
    return NULL;
}

static void barrier__aborts_and_resets_at_any_time__a_round_is_passed_by_all_or_none(void **state) {
    crew_barrier b;
    pthread_t thread[3];
    void *wrong;
    (void)state;
    crewtest_set(CELL_STOP, 0);
    crewtest_set(CELL_MET, 0);
    crewtest_set(CELL_BROKEN, 0);
    assert_int_equal(crew_barrier_create(&b, 3, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, meet_or_break, &b), 0);
    for (int64_t i = 0; i < crewtest_many(5000); i++) {
        if (crewtest_random() % 2)
            assert_int_equal(crew_barrier_abort(b), 0);
        assert_int_equal(crew_barrier_reset(b), 0);
        int64_t met = crewtest_get(CELL_MET);
        if (i % 8 == 0)
            CREWTEST_WAIT(crewtest_get(CELL_MET) > met, 30);
    }
    crewtest_set(CELL_STOP, 1);
    assert_int_equal(crew_barrier_abort(b), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(thread[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_int_equal(crewtest_get(CELL_MET) % 3, 0);
    print_message("%ld waits passed, %ld were broken\n", (long)crewtest_get(CELL_MET),
                  (long)crewtest_get(CELL_BROKEN));
    assert_int_equal(crew_barrier_destroy(b), 0);
}

static void *wait_for_it(void *arg) {
    return (void *)(intptr_t)crew_barrier_wait(*(crew_barrier *)arg, 30);
}

static void barrier__destroyed_under_a_waiter__the_waiter_hears_of_it(void **state) {
    crew_barrier b, next;
    pthread_t thread;
    void *rc;
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(crew_barrier_create(&b, 2, NULL), 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &b), 0);
        if (i % 2)
            CREWTEST_WAIT(crew_barrier_n_waiting(b) == 1, 30);
        assert_int_equal(crew_barrier_destroy(b), 0);
        assert_int_equal(crew_barrier_create(&next, 1, NULL), 0);
        assert_int_equal(crew_barrier_wait(next, 0), 0); /* is none of theirs */
        assert_int_equal(pthread_join(thread, &rc), 0);
        assert_int_equal((intptr_t)rc, CREW_EINVAL);
        assert_int_equal(crew_barrier_destroy(next), 0);
    }
}

static void barrier__destroyed_after_the_last_round__all_have_passed_it(void **state) {
    crew_barrier b, next;
    pthread_t thread[2];
    void *rc;
    (void)state;
    for (int64_t i = 0; i < crewtest_many(1000); i++) {
        assert_int_equal(crew_barrier_create(&b, 3, NULL), 0);
        for (int t = 0; t < 2; t++)
            assert_int_equal(pthread_create(&thread[t], NULL, wait_for_it, &b), 0);
        assert_int_equal(crew_barrier_wait(b, 30), 0);
        /* They may not have woken up. */
        assert_int_equal(crew_barrier_destroy(b), 0);
        assert_int_equal(crew_barrier_create(&next, 2, NULL), 0);
        assert_int_equal(next.place, b.place);
        for (int t = 0; t < 2; t++) {
            assert_int_equal(pthread_join(thread[t], &rc), 0);
            assert_int_equal((intptr_t)rc, 0);
        }
        assert_int_equal(crew_barrier_destroy(next), 0);
    }
}

static void barrier__bad_requests__are_errors_in_a_sentence(void **state) {
    crew_barrier b, next, none = {0};
    (void)state;
    assert_int_equal(crew_barrier_create(&b, 0, NULL), CREW_EINVAL);
    assert_text(crew_last_error()->text, "not 0");
    assert_int_equal(crew_barrier_create(&b, -1, NULL), CREW_EINVAL);
    assert_int_equal(crew_barrier_create(NULL, 1, NULL), CREW_EINVAL);
    assert_int_equal(crew_barrier_create(&b, 1, (crew_fn *)(intptr_t)&b), CREW_EINVAL);
    assert_int_equal(crew_barrier_create(&b, 1, NULL), 0);
    assert_int_equal(crew_barrier_destroy(b), 0);
    assert_int_equal(crew_barrier_destroy(b), CREW_EINVAL);
    assert_int_equal(crew_barrier_create(&next, 1, NULL), 0);
    assert_int_equal(next.place, b.place);
    assert_int_equal(crew_barrier_wait(b, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "no such barrier");
    assert_int_equal(crew_barrier_wait_index(b, 0), CREW_EINVAL);
    assert_int_equal(crew_barrier_abort(b), CREW_EINVAL);
    assert_int_equal(crew_barrier_reset(b), CREW_EINVAL);
    assert_int_equal(crew_barrier_parties(b), CREW_EINVAL);
    assert_int_equal(crew_barrier_n_waiting(b), CREW_EINVAL);
    assert_int_equal(crew_barrier_broken(b), CREW_EINVAL);
    assert_int_equal(crew_barrier_wait(none, 0), CREW_EINVAL);
    assert_int_equal(crew_barrier_broken(next), 0);
    assert_int_equal(crew_barrier_destroy(next), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(barrier__rounds__are_passed_in_lockstep),
        CREWTEST(barrier__wait_index__is_another_for_each_party),
        CREWTEST(barrier__action__has_run_once_before_anybody_goes_on),
        CREWTEST(barrier__action_fails__the_last_one_hears_why_and_it_is_broken),
        CREWTEST(barrier__aborted__is_broken_for_all_others),
        CREWTEST(barrier__reset__frees_who_waits_and_is_new),
        CREWTEST(barrier__aborted_and_reset__goes_on),
        CREWTEST(barrier__one_party_late__one_times_out_and_it_is_broken_for_all),
        CREWTEST(barrier__one_party__never_waits),
        CREWTEST(barrier__polled_by_the_first__breaks),
        CREWTEST(barrier__more_threads_than_parties__each_is_in_one_round),
        CREWTEST(barrier__aborts_and_resets_at_any_time__a_round_is_passed_by_all_or_none),
        CREWTEST(barrier__destroyed_under_a_waiter__the_waiter_hears_of_it),
        CREWTEST(barrier__destroyed_after_the_last_round__all_have_passed_it),
        CREWTEST(barrier__bad_requests__are_errors_in_a_sentence),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
