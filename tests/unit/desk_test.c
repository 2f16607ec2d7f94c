/* unit/desk_test.c - a thread's question about an object of another node, step by step: the
 * test is the agent, and what the nodes say to it, between the thread's own steps. */
#include "crewtest.h"

#include "api/objects.h"
#include "api/remote.h"
#include "share/desk.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES = 3, LONG = 1 << 20, CALLS_MOST = 20 };

/* ---- the agent's nodes ----------------------------------------------------- */

static int sent[CW_W_WORDS];

static bool send_fails;

static int send_letter(int node, void *data, size_t size) {
    struct cw_letter letter;
    (void)node;
    if (send_fails) {
        free(data);
        return CREW_EBROKEN;
    }
    assert_true(size >= sizeof letter);
    memcpy(&letter, data, sizeof letter);
    sent[letter.word]++;
    free(data);
    return 0;
}

static size_t unsent(int node) {
    (void)node;
    return 0;
}

static bool broken(int node) {
    (void)node;
    return send_fails;
}

static const struct cw_mpi mpi = {.send = send_letter, .unsent = unsent, .broken = broken};
static struct cw_agent_node agent_nodes[NODES];
static struct cw_agent agent = {
    .mpi = &mpi, .place = {.nodes = NODES, .node = 0}, .nodes = agent_nodes};

/* A letter about the desk comes from that node. */
static void hear(int node, enum cw_word word, const struct cw_desk *desk, int64_t lo, int64_t hi,
                 const void *data, size_t size) {
    struct cw_letter letter = {.word = word,
                               .slot = desk->head.number,
                               .generation = atomic_load(&desk->head.generation),
                               .lo = lo,
                               .hi = hi};
    struct cw_reader rest = {.at = data, .end = (const char *)data + size};
    assert_true(cw_remote_letter(node, &letter, &rest));
}

static void hear_told(int node, const struct cw_desk *desk, int code, uint64_t bytes) {
    struct cw_told told = {.rc = code, .bytes = bytes};
    told.error.code = code;
    hear(node, CW_W_ANSWER, desk, 0, 0, &told, sizeof told);
}

static void lose(int node) {
    agent_nodes[node].lost = true;
    cw_remote_lost(node);
}

static void agent_looks(void) {
    bool waits = false;
    cw_remote_work(&waits);
}

/* ---- the thread ------------------------------------------------------------ */

static int calls;
static struct cw_desk *desk;
/* What happens while the thread waits in this state for the nth time. */
static void (*meanwhile)(uint32_t state);

static void sleep_there(_Atomic uint32_t *word, uint32_t seen, double timeout) {
    (void)timeout;
    assert_true(calls++ < CALLS_MOST); /* nobody answers any more */
    if (atomic_load(word) == seen)
        meanwhile(seen);
}

/* What the answer says. */
static int64_t ask(int node, void (*then)(uint32_t state)) {
    struct cw_bytes nothing[CW_ASK_PARTS] = {{0}};
    struct cw_self *self = cw_self_get();
    crew_error err = {0};
    assert_non_null(self);
    desk = cw_desk_get(self, &err);
    assert_non_null(desk);
    desk->ask = (struct cw_ask){.call = 1, .check = (uint64_t)node << 32, .cap = UINT64_MAX};
    meanwhile = then;
    calls = 0;
    assert_ok(cw_desk_ask(self, desk, nothing, sleep_there, &err), &err);
    int64_t rc = desk->told.rc;
    cw_desk_clear(self->share, desk);
    return rc;
}

static void answer_at_once(uint32_t state) {
    agent_looks();
    if (state == CW_DESK_ASKED)
        hear_told(2, desk, 7, 0);
}

/* ---- a node is lost -------------------------------------------------------- */

static void lose_before_the_agent_looks(uint32_t state) {
    if (state == CW_DESK_READY && !agent_nodes[1].lost) {
        lose(1);
        return;
    }
    agent_looks();
    if (state == CW_DESK_ASKED)
        hear_told(1, desk, 0, LONG);
}

static void
lost__when_the_desk_is_on_the_pile__one_answer_and_the_next_question_works(void **state) {
    (void)state;
    assert_int_equal(ask(1, lose_before_the_agent_looks), CREW_EBROKEN);
    assert_int_equal(ask(2, answer_at_once), 7);
    assert_int_equal(ask(1, answer_at_once), CREW_EBROKEN);
    agent_nodes[1].lost = false;
}

static void nodes__whose_connection_breaks__are_lost_and_not_short_of_memory(void **state) {
    (void)state;
    send_fails = true;
    assert_int_equal(ask(1, answer_at_once), CREW_EBROKEN);
    send_fails = false;
    assert_int_equal(ask(2, answer_at_once), 7);
}

/* ---- a long answer ----------------------------------------------------------- */

static char *part;

static void send_parts(uint32_t state) {
    agent_looks();
    if (state == CW_DESK_ASKED)
        hear_told(1, desk, 3, LONG);
    if (state != CW_DESK_READY)
        return;
    assert_int_equal(sent[CW_W_ANSWER_READY], 1);
    memset(part, 1, LONG / 2);
    hear(1, CW_W_ANSWER_PART, desk, 0, LONG, part, LONG / 2);
    memset(part, 2, LONG / 2);
    hear(1, CW_W_ANSWER_PART, desk, LONG / 2, LONG, part, LONG / 2);
    assert_int_equal(cw_desk_out(cw_share_here(), desk)[LONG / 2 - 1], 1);
    assert_int_equal(cw_desk_out(cw_share_here(), desk)[LONG - 1], 2);
}

static void long_answer__in_parts__comes_whole(void **state) {
    (void)state;
    sent[CW_W_ANSWER_READY] = 0;
    assert_int_equal(ask(1, send_parts), 3);
    assert_int_equal(sent[CW_W_ANSWER_READY], 1);
}

/* Who stands for this process there is killed: what was promised does not come. */
static void break_off(uint32_t state) {
    if (state == CW_DESK_READY && sent[CW_W_ANSWER_READY] == 0) {
        hear_told(1, desk, CREW_EBROKEN, 0); /* on its way while room was made */
        sent[CW_W_ANSWER_READY] = 1;
        return;
    }
    agent_looks();
    if (state == CW_DESK_ASKED)
        hear_told(1, desk, 3, LONG);
}

static void break_off_later(uint32_t state) {
    agent_looks();
    if (state == CW_DESK_ASKED)
        hear_told(1, desk, 3, LONG);
    if (state != CW_DESK_READY)
        return;
    hear(1, CW_W_ANSWER_PART, desk, 0, LONG, part, LONG / 2);
    hear_told(1, desk, CREW_EBROKEN, 0);
    hear(1, CW_W_ANSWER_PART, desk, LONG / 2, LONG, part, LONG / 2); /* means nothing now */
}

static void long_answer__taken_back__is_an_error_and_the_next_question_works(void **state) {
    (void)state;
    sent[CW_W_ANSWER_READY] = 0;
    assert_int_equal(ask(1, break_off), CREW_EBROKEN);
    assert_int_equal(ask(2, answer_at_once), 7);
    assert_int_equal(ask(1, break_off_later), CREW_EBROKEN);
    assert_int_equal(ask(2, answer_at_once), 7);
}

static int begin(void **state) {
    crew_lock lock; /* the process joins */
    (void)state;
    part = malloc(LONG);
    if (!part || crew_lock_create(&lock) < 0)
        return -1;
    alarm(60);
    cw_remote_begin(NULL, &agent);
    return crew_lock_destroy(lock);
}

static int end(void **state) {
    (void)state;
    cw_remote_end(true);
    free(part);
    return 0;
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(lost__when_the_desk_is_on_the_pile__one_answer_and_the_next_question_works),
        CREWTEST(nodes__whose_connection_breaks__are_lost_and_not_short_of_memory),
        CREWTEST(long_answer__in_parts__comes_whole),
        CREWTEST(long_answer__taken_back__is_an_error_and_the_next_question_works),
    };
    return crewtest_end(cmocka_run_group_tests(tests, begin, end));
}
