/* fault/pipe_kill_test.c - the owner of an end of a pipe is killed. */
#include "crewtest.h"
#include "hammer.h"

#include "share/share.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CELL_ASKED = CELL_OWN,          /* the last number of each asker */
    CELL_SERVED = CELL_ASKED + 3,   /* the last one that was read of it */
    CELL_ANSWERED = CELL_SERVED + 3, /* the last one whose answer it has read */
    CELL_NEWS = CELL_ANSWERED + 3,   /* ends of file */
    SIZE_MOST = 100000,
    PATIENCE_S = 8
};

static char buffer[SIZE_MOST];

static uint64_t used(void) {
    return cw_arena_used(&cw_share_here()->arena);
}

/* ---- a death, and who waits for the dead one ---- */

enum { RECV, RECV_LIMIT, POLL, WAIT, DESCRIPTOR, SEND, WAYS };

/* Waits for a message, and dies of it. */
static int die_of_it(crew_call *call) {
    crew_conn c = *CREW_IN(call, crew_conn);
    char byte;
    if (call->attempt > 1)
        return 0;
    if (crew_conn_send(c, "here", 4, 20) == 0 && crew_conn_recv(c, &byte, 1, 20) == 1)
        raise(SIGKILL);
    return 1;
}

static int hear_of_it(crew_conn c, int way) {
    static char bytes[16000];
    struct pollfd p = {.events = POLLIN};
    bool ready;
    int rc = 0;
    switch (way) {
    case RECV:
        return (int)crew_conn_recv(c, buffer, sizeof buffer, CREW_FOREVER);
    case RECV_LIMIT:
        return (int)crew_conn_recv(c, buffer, sizeof buffer, 20);
    case POLL:
        rc = crew_conn_poll(c, CREW_FOREVER);
        break;
    case WAIT:
        rc = crew_conn_wait(&c, 1, &ready, CREW_FOREVER) == 1 ? 0 : -1;
        break;
    case DESCRIPTOR: /* it may have been woken for what was read before */
        p.fd = crew_conn_fd(c);
        do
            rc = poll(&p, 1, 20000) == 1 ? crew_conn_poll(c, 0) : -1;
        while (rc == CREW_ETIMEDOUT);
        break;
    default:
        while ((rc = crew_conn_send(c, bytes, sizeof bytes, CREW_FOREVER)) == 0)
            ;
        return rc;
    }
    return rc ? rc : (int)crew_conn_recv(c, buffer, sizeof buffer, 0);
}

static void owner__killed_while_the_far_side_waits__it_reads_end_of_file(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    for (int way = 0; way < WAYS; way++) {
        crew_conn a, b;
        assert_int_equal(crew_pipe_create(&a, &b, true), 0);
        crew_future *f = crew_submit(p, die_of_it, &b, sizeof b, NULL, &err);
        assert_non_null(f);
        assert_int_equal(crew_conn_recv(a, buffer, sizeof buffer, 20), 4);
        double from = crewtest_now();
        assert_int_equal(crew_conn_send(a, "x", 1, 20), 0);
        assert_int_equal(hear_of_it(a, way), CREW_ECLOSED);
        assert_within(from, 3);
        assert_int_equal(crew_conn_send(a, "x", 1, 20), CREW_ECLOSED);
        assert_int_equal(crew_conn_recv(a, buffer, sizeof buffer, 20), CREW_ECLOSED);
        crew_future_free(f);
        assert_int_equal(crew_conn_close(a), 0);
        assert_int_equal(crew_conn_close(b), 0); /* nobody's: it can be */
    }
    crewtest_free(p);
}

static size_t size_of(int64_t number) {
    uint64_t random = crewtest_mix((uint64_t)number);
    size_t most = random % 16 == 0 ? SIZE_MOST : random % 4 == 0 ? 20000 : 200;
    return 8 + (random >> 8) % (most - 8);
}

static int send_number(crew_conn c, int64_t number, double timeout) {
    size_t size = size_of(number);
    memset(buffer, (int)(number & 127), size);
    memcpy(buffer, &number, 8);
    return crew_conn_send(c, buffer, size, timeout);
}

/* The number; a code; 0 if the message is not as it was sent. */
static int64_t recv_number(crew_conn c, double timeout) {
    int64_t number;
    ptrdiff_t size = crew_conn_recv(c, buffer, sizeof buffer, timeout);
    if (size < 0)
        return size;
    memcpy(&number, buffer, 8);
    if (size < 8 || number < 1 || (size_t)size != size_of(number))
        return 0;
    for (ptrdiff_t i = 8; i < size; i++)
        if (buffer[i] != (char)(number & 127))
            return 0;
    return number;
}

static int send_twenty_and_die(crew_call *call) {
    crew_conn c = *CREW_IN(call, crew_conn);
    int64_t from = call->attempt == 1 ? 1 : 21;
    for (int64_t i = from; i < from + 20; i++)
        if (send_number(c, i, 20) != 0)
            return 1;
    if (call->attempt == 1)
        raise(SIGKILL);
    return 0;
}

/* One worker, which dies once and is replaced, and a pipe. */
static crew_pool *open_mortal(crew_conn *a, crew_conn *b) {
    crew_pool_opts opts = crewtest_opts(1);
    opts.retries = 1;
    crew_pool *p = crewtest_open_opts(&opts);
    assert_int_equal(crew_pipe_create(a, b, false), 0);
    return p;
}

static void close_both(crew_pool *p, crew_conn a, crew_conn b) {
    crewtest_free(p);
    assert_int_equal(crew_conn_close(a), 0);
    assert_int_equal(crew_conn_close(b), 0);
}

/* Also when the far side looks after another one has gone on in its place. */
static void owner__killed_and_replaced_unseen__its_end_is_read_between_the_two(void **state) {
    crew_error err;
    crew_conn a, b;
    (void)state;
    crew_pool *p = open_mortal(&a, &b);
    assert_ok(crew_apply(p, send_twenty_and_die, &b, sizeof b, NULL, 0, &err), &err);
    for (int64_t i = 1; i <= 40; i++) {
        if (i == 21)
            assert_int_equal(recv_number(a, 0), CREW_ECLOSED);
        assert_int_equal(recv_number(a, 0), i);
    }
    assert_int_equal(recv_number(a, 0), CREW_ETIMEDOUT);
    close_both(p, a, b);
}

static int take_ten_and_die(crew_call *call) {
    crew_conn c = *CREW_IN(call, crew_conn);
    int64_t from = call->attempt == 1 ? 1 : 11;
    for (int64_t i = from; i < from + 10; i++)
        if (recv_number(c, 20) != i)
            return crew_fail(call, 1, "not %ld", (long)i);
    if (call->attempt == 1)
        raise(SIGKILL);
    return 0;
}

static void reader__killed__its_replacement_reads_on_where_it_was(void **state) {
    crew_error err;
    crew_conn a, b;
    (void)state;
    crew_pool *p = open_mortal(&a, &b);
    for (int64_t i = 1; i <= 20; i++)
        assert_int_equal(send_number(b, i, 20), 0);
    assert_ok(crew_apply(p, take_ten_and_die, &a, sizeof a, NULL, 0, &err), &err);
    close_both(p, a, b);
}

static int make_some_and_die(crew_call *call) {
    if (call->attempt > 1)
        return 0;
    for (int i = 0; i < 20; i++) {
        crew_conn a, b;
        if (crew_pipe_create(&a, &b, i % 2) != 0 || send_number(b, i + 1, 0) != 0 ||
            send_number(b, 16, 0) != 0 || (i % 3 == 0 && crew_conn_close(i % 2 ? a : b) != 0))
            return 1;
    }
    raise(SIGKILL);
    return 0;
}

static void both_ends__of_one_that_is_killed__leave_nothing(void **state) {
    crew_error err;
    (void)state;
    uint64_t before = 0;
    for (int i = 0; i < 20; i++) {
        crew_pool_opts opts = crewtest_opts(1);
        opts.retries = 1;
        crew_pool *p = crewtest_open_opts(&opts);
        assert_ok(crew_apply(p, make_some_and_die, NULL, 0, NULL, 0, &err), &err);
        crewtest_free(p);
        if (i == 0) { /* the shelf has its first chunk now */
            CREWTEST_WAIT(cw_party_bury(cw_share_here()) == 0, 5);
            before = used();
        }
    }
    CREWTEST_WAIT(used() <= before, 5);
}

/* ---- kills anywhere ---- */

struct circle {
    crew_conn asks[HAMMER_WORKERS];    /* of worker i */
    crew_conn answers[HAMMER_WORKERS]; /* the far end: of worker i + 1 */
};

struct player {
    crew_call *call;
    crew_conn ends[2]; /* the one it asks through, the one it answers through */
    int64_t me, before;
    int64_t asked; /* waits for the answer; 0: has yet to ask */
    double since;  /* when it last heard anything */
    bool over;
};

static int wrong(struct player *player, const char *what, int64_t got) {
    if (!hammer_on(player->call)) {
        player->over = true;
        return 0;
    }
    return crew_fail(player->call, 1, "%ld %s: %ld %s, asked %ld", (long)player->me, what,
                     (long)got, crew_last_error()->text, (long)player->asked);
}

static int ask(struct player *player) {
    int64_t number = crewtest_add(CELL_ASKED + player->me, 1) + 1;
    int rc = send_number(player->ends[0], number, PATIENCE_S);
    if (rc == 0)
        player->asked = number;
    else if (rc != CREW_ECLOSED)
        return wrong(player, "asks", rc);
    else if (crewtest_now() - player->since > PATIENCE_S)
        return wrong(player, "finds nobody", rc);
    else
        crewtest_pause();
    return 0;
}

static int hear(struct player *player) {
    int64_t number = recv_number(player->ends[0], 0);
    if (number == CREW_ETIMEDOUT)
        return 0;
    if (number == CREW_ECLOSED) { /* the question may have gone with the dead one */
        crewtest_add(CELL_NEWS, 1);
        player->asked = 0;
        return 0;
    }
    /* Perhaps that to a question of a player before, in whose place this one is. */
    if (number <= crewtest_get(CELL_ANSWERED + player->me) ||
        number > crewtest_get(CELL_ASKED + player->me))
        return wrong(player, "hears", number);
    crewtest_set(CELL_ANSWERED + player->me, number);
    player->since = crewtest_now();
    if (number == player->asked) {
        player->asked = 0;
        player->over = !hammer_on(player->call);
    }
    return 0;
}

static int answer(struct player *player) {
    int64_t number = recv_number(player->ends[1], 0);
    if (number == CREW_ETIMEDOUT || number == CREW_ECLOSED)
        return 0;
    if (number <= crewtest_get(CELL_SERVED + player->before) ||
        number > crewtest_get(CELL_ASKED + player->before))
        return wrong(player, "reads", number);
    crewtest_set(CELL_SERVED + player->before, number);
    int rc = send_number(player->ends[1], number, PATIENCE_S);
    return rc == 0 || rc == CREW_ECLOSED ? 0 : wrong(player, "answers", rc);
}

/* Waits for either end, for PATIENCE_S at most: in poll(2), or for each in turn. */
static int wait_for_either(struct player *player, bool *ready) {
    if (player->asked % 2)
        return crew_conn_wait(player->ends, 2, ready, PATIENCE_S);
    for (double from = crewtest_now(); crewtest_now() - from < PATIENCE_S;)
        for (int i = 0; i < 2; i++) {
            int rc = crew_conn_poll(player->ends[i], 2e-4);
            ready[i] = rc == 0;
            ready[!i] = false;
            if (rc != CREW_ETIMEDOUT)
                return rc == 0 ? 1 : rc;
        }
    return CREW_ETIMEDOUT;
}

/* Everybody asks the next one, and answers the one before. */
static int play(crew_call *call) {
    const struct circle *circle = CREW_COMMON(call, struct circle);
    struct player player = {.call = call, .me = call->index, .since = crewtest_now()};
    player.before = (player.me + HAMMER_WORKERS - 1) % HAMMER_WORKERS;
    player.ends[0] = circle->asks[player.me];
    player.ends[1] = circle->answers[player.before];
    int rc = 0;
    hammer_on(call);
    while (rc == 0 && !player.over) {
        bool ready[2] = {false, true};
        if (!player.asked)
            rc = ask(&player);
        if (rc == 0 && player.asked) {
            int found = wait_for_either(&player, ready);
            if (found < 0)
                rc = wrong(&player, "waits in vain", found);
        }
        if (rc == 0 && !player.over && ready[0])
            rc = hear(&player);
        if (rc == 0 && !player.over && ready[1])
            rc = answer(&player);
    }
    for (int i = 0; rc == 0 && i < 2; i++) /* so that the others hear that it is over */
        crew_conn_close(player.ends[i]);
    return rc;
}

static void pipes__users_killed_anywhere__each_message_once_in_order(void **state) {
    struct circle circle;
    (void)state;
    for (int i = CELL_OWN; i <= CELL_NEWS; i++)
        crewtest_set(i, 0);
    uint64_t before = used();
    for (int i = 0; i < HAMMER_WORKERS; i++)
        assert_int_equal(crew_pipe_create(&circle.asks[i], &circle.answers[i], true), 0);
    const struct hammer h = {.task = play, .common = &circle, .common_size = sizeof circle};
    hammer_run(&h);
    int64_t asked = 0, answered = 0;
    for (int i = 0; i < HAMMER_WORKERS; i++) {
        asked += crewtest_get(CELL_ASKED + i);
        answered += crewtest_get(CELL_ANSWERED + i);
        crew_conn_close(circle.asks[i]); /* if it was killed before it could */
        crew_conn_close(circle.answers[i]);
        assert_int_equal(crew_conn_close(circle.asks[i]), CREW_EINVAL);
        assert_int_equal(crew_conn_close(circle.answers[i]), CREW_EINVAL);
    }
    print_message("%ld questions, the last numbers answered make %ld, %ld ends of file\n",
                  (long)asked, (long)answered, (long)crewtest_get(CELL_NEWS));
    assert_true(answered > 0 && crewtest_get(CELL_NEWS) > 0);
    CREWTEST_WAIT(used() <= before + (1 << 17), 5);
}

/* Makers, and those who close, die too. */
static int make_and_close(crew_call *call) {
    while (hammer_on(call)) {
        crew_conn a[4], b[4];
        for (int i = 0; i < 4; i++)
            if (crew_pipe_create(&a[i], &b[i], i % 2) != 0 || send_number(b[i], i + 1, 0) != 0 ||
                send_number(b[i], 16, 0) != 0)
                return crew_fail(call, 1, "a new pipe: %s", crew_last_error()->text);
        for (int i = 0; i < 4; i++) {
            if (crew_conn_close(b[i]) != 0 || recv_number(a[i], 0) != i + 1 ||
                (i >= 2 && (recv_number(a[i], 0) != 16 || recv_number(a[i], 0) != CREW_ECLOSED)) ||
                crew_conn_close(a[i]) != 0 || crew_conn_close(a[i]) != CREW_EINVAL)
                return crew_fail(call, 1, "pipe %d was not closed: %s", i, crew_last_error()->text);
        }
    }
    return 0;
}

static void pipes__makers_killed_anywhere__nothing_is_left(void **state) {
    (void)state;
    uint64_t before = used();
    const struct hammer h = {.task = make_and_close};
    hammer_run(&h);
    CREWTEST_WAIT(used() <= before + (1 << 18), 5);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(owner__killed_while_the_far_side_waits__it_reads_end_of_file),
        CREWTEST(owner__killed_and_replaced_unseen__its_end_is_read_between_the_two),
        CREWTEST(reader__killed__its_replacement_reads_on_where_it_was),
        CREWTEST(both_ends__of_one_that_is_killed__leave_nothing),
        CREWTEST(pipes__users_killed_anywhere__each_message_once_in_order),
        CREWTEST(pipes__makers_killed_anywhere__nothing_is_left),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
