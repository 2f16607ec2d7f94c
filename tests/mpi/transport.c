/* What src/backend/mpi/module.h promises, between real ranks: run by run.sh under a
 * launcher, every rank runs the test that the first argument names. What fails says
 * where and ends the job; rank 0 prints "ok - " when all have come to the end. */
#include "backend/mpi/load.h"
#include "os/clock.h"
#include "os/process.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static const struct cw_mpi *mpi;
static struct cw_mpi_place place;
static struct cw_launcher launcher;

__attribute__((format(printf, 2, 3), noreturn)) static void die(int line, const char *fmt, ...) {
    va_list args;
    fflush(stdout);
    fprintf(stderr, "# rank %d, transport.c:%d: ", place.rank, line);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    if (mpi && place.size)
        mpi->abort(1);
    _exit(1);
}

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            die(__LINE__, #condition ": " __VA_ARGS__);                                            \
    } while (0)

/* ---- messages that tell what they are ------------------------------------ */

/* Who sends it to whom, its number, and bytes that only this one has. */
struct head {
    uint32_t from, to, number, check;
};

static uint32_t mix(uint32_t x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

/* The sizes of the messages between two nodes, by their number. */
static size_t size_of(uint32_t number) {
    static const size_t sizes[] = {
        0,     1,        16, 17, 64,     4095,   4096,           4097, 65535,    65536,
        65537, 1u << 20, 3,  0,  100000, 200000, (4u << 20) + 1, 5,    8u << 20, 1};
    return sizes[number % (sizeof sizes / sizeof *sizes)];
}

static void *letter(uint32_t from, uint32_t to, uint32_t number, size_t size) {
    uint32_t *words = malloc(size + 4);
    uint32_t seed = mix(from * 1000003u + to * 7919u + number);
    CHECK(words, "no memory");
    for (size_t i = 0; i < size / 4 + 1; i++)
        words[i] = seed + (uint32_t)i;
    return words;
}

static void check_letter(const void *data, size_t size, uint32_t from, uint32_t to,
                         uint32_t number) {
    uint32_t *want = letter(from, to, number, size);
    CHECK(memcmp(data, want, size) == 0, "message %u from %u of %zu bytes is not what was sent",
          number, from, size);
    free(want);
}

/* ---- messages --------------------------------------------------------------- */

static double now(void) {
    return (double)cw_now_ns() * 1e-9;
}

/* Nodes are numbered by their lowest rank, whatever CREW_TEST_NODES calls them. */
static void test_place(void) {
    const char *list = getenv("CREW_TEST_NODES");
    int numbers[64], count = 0, node = 0, nodes = 0, node_rank = 0, node_size = 0;
    CHECK(place.size == launcher.size && place.rank == launcher.rank, "rank %d of %d", place.rank,
          place.size);
    for (const char *c = list ? list : "0"; c; c = strchr(c, ',') ? strchr(c, ',') + 1 : NULL)
        numbers[count++] = atoi(c);
    int head = place.rank; /* the lowest rank of this one's node */
    for (int r = place.size - 1; r >= 0; r--)
        if (numbers[r % count] == numbers[place.rank % count]) {
            node_size++;
            node_rank += r < place.rank;
            head = r;
        }
    for (int r = 0; r < place.size; r++) {
        bool first = true;
        for (int q = 0; q < r; q++)
            first = first && numbers[q % count] != numbers[r % count];
        nodes += first;
        node += first && r < head;
    }
    CHECK(place.node == node && place.nodes == nodes, "node %d of %d", place.node, place.nodes);
    CHECK(place.node_rank == node_rank && place.node_size == node_size, "%d of %d in its node",
          place.node_rank, place.node_size);
}

static void test_exchange(void) {
    crew_error err;
    size_t sizes[] = {1, 24, 70000};
    for (int i = 0; i < 3; i++) {
        char *mine = malloc(sizes[i]), *all = malloc(sizes[i] * (size_t)place.size);
        memset(mine, place.rank + 1, sizes[i]);
        CHECK(mpi->exchange(mine, sizes[i], all, &err) == 0, "%s", err.text);
        for (size_t k = 0; k < sizes[i] * (size_t)place.size; k++)
            CHECK(all[k] == (char)(k / sizes[i] + 1), "byte %zu is %d", k, all[k]);
        free(mine);
        free(all);
    }
}

/* What has come and was not asked for yet: nodes are not in step. */
struct paper {
    struct paper *next;
    void *data;
    size_t size;
};
static struct { struct paper *first, **last; } inbox[64];

/* Puts what has come into the inbox. */
static void collect(void) {
    int node;
    void *data;
    size_t size;
    while (mpi->receive(&node, &data, &size)) {
        struct paper *paper = malloc(sizeof *paper);
        CHECK(node >= 0 && node < place.nodes && node != place.node && data, "node %d", node);
        *paper = (struct paper){NULL, data, size};
        if (!inbox[node].first)
            inbox[node].last = &inbox[node].first;
        *inbox[node].last = paper;
        inbox[node].last = &paper->next;
    }
}

/* The next message from that node, which is waited for at most half a minute. */
static void await(int node, void **data, size_t *size) {
    double until = now() + 30;
    for (collect(); !inbox[node].first; collect())
        CHECK(now() < until, "nothing came from node %d for 30 s", node);
    struct paper *paper = inbox[node].first;
    *data = paper->data;
    *size = paper->size;
    inbox[node].first = paper->next;
    free(paper);
}

static void drain(void) {
    double until = now() + 30;
    for (int n = 0; n < place.nodes; n++)
        while (n != place.node && mpi->unsent(n) > 0)
            CHECK(now() < until, "%zu bytes to node %d were not sent in 30 s", mpi->unsent(n), n);
}

/* Messages from everybody to everybody with what size(number) says, without that
 * node (-1: with all of them). */
static void pairs(int lost, uint32_t first, uint32_t each, size_t (*size)(uint32_t number)) {
    for (uint32_t k = first; k < first + each; k++)
        for (int n = 0; n < place.nodes; n++)
            if (n != place.node && n != lost) {
                void *data = letter((uint32_t)place.node, (uint32_t)n, k, size(k));
                CHECK(mpi->send(n, data, size(k)) == 0, "message %u to node %d", k, n);
            }
    for (uint32_t k = first; k < first + each; k++)
        for (int n = 0; n < place.nodes; n++) {
            void *data;
            size_t got;
            if (n == place.node || n == lost)
                continue;
            await(n, &data, &got);
            CHECK(got == size(k), "message %u from node %d has %zu bytes", k, n, got);
            check_letter(data, got, (uint32_t)n, (uint32_t)place.node, k);
            free(data);
        }
}

static void all_pairs(uint32_t each, size_t (*size)(uint32_t number)) {
    pairs(-1, 0, each, size);
    drain();
}

static void test_pairs(void) {
    all_pairs(60, size_of);
}

static size_t small(uint32_t number) {
    return number % 200;
}

static void test_many(void) {
    all_pairs(20000, small);
}

static size_t large(uint32_t number) {
    return number == 0 ? CW_MPI_MESSAGE_MOST : number == 1 ? 3 : CW_MPI_MESSAGE_MOST - 1;
}

static void test_large(void) {
    all_pairs(3, large);
    int other = place.node ? 0 : 1;
    CHECK(mpi->send(other, malloc(1), CW_MPI_MESSAGE_MOST + 1) == CREW_EINVAL, "too long");
    CHECK(mpi->unsent(other) == 0, "what was refused is kept");
}

/* An orderly end loses what nobody received, and waits for nobody who does not. */
static void test_unread(void) {
    for (int n = 0; n < place.nodes; n++)
        for (int k = 0; k < 40 && n != place.node; k++)
            CHECK(mpi->send(n, malloc(1 << 20), 1 << 20) == 0, "message %d", k);
}

/* ---- nodes that are lost -------------------------------------------------- */

static int64_t *pids; /* of all nodes: here they are on one machine */

static void learn_pids(void) {
    crew_error err;
    int64_t mine = getpid();
    pids = calloc((size_t)place.size, sizeof *pids);
    CHECK(mpi->exchange(&mine, sizeof mine, pids, &err) == 0, "%s", err.text);
}

/* Node 1 makes no call of MPI between its letters and the signal that the next one is there. */
static void test_at_once(void) {
    const struct timespec most = {.tv_sec = 30};
    enum { LETTERS = 20 };
    sigset_t told;
    void *data;
    size_t size;
    int node;
    sigemptyset(&told);
    sigaddset(&told, SIGUSR1);
    sigprocmask(SIG_BLOCK, &told, NULL);
    learn_pids();
    all_pairs(5, small);
    for (int k = 0; k < LETTERS && place.node == 0; k++) {
        await(1, &data, &size);
        CHECK(mpi->send(1, data, size) == 0, "letter %d", k);
        drain();
        CHECK(kill((pid_t)pids[1], SIGUSR1) == 0, "node 1 is not there");
    }
    for (int k = 0; k < LETTERS && place.node == 1; k++) {
        CHECK(mpi->send(0, malloc(8), 8) == 0, "the call for letter %d", k);
        drain();
        CHECK(sigtimedwait(&told, NULL, &most) == SIGUSR1, "nobody told of letter %d", k);
        CHECK(mpi->receive(&node, &data, &size) == 1, "letter %d is there and is not seen", k);
        free(data);
    }
    drain();
}

/* Everybody tells the node that will be lost that it has all there was so far: MPI
 * may have bytes of a message that it has called sent. */
static void settle(int lost) {
    void *data;
    size_t size;
    if (place.node != lost) {
        CHECK(mpi->send(lost, NULL, 0) == 0, "send");
        drain();
        return;
    }
    for (int n = 0; n < lost; n++) {
        await(n, &data, &size);
        CHECK(size == 0, "%zu bytes from node %d", size, n);
        free(data);
    }
}

static bool is_gone(int64_t pid, int wait_ms) {
    int fd = cw_process_descriptor((pid_t)pid);
    struct pollfd gone = {.fd = fd, .events = POLLIN};
    bool yes = fd < 0 || poll(&gone, 1, wait_ms) > 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

/* Nobody drives messages meanwhile. */
static void await_death(int64_t pid) {
    double until = now() + 30;
    while (!is_gone(pid, 100))
        CHECK(now() < until, "process %d is there after 30 s", (int)pid);
}

/* All but the lost node have had everything: what MPI has called sent may still be
 * with a process, which is not to end then. So nobody ends before all have said that they
 * have it. Node 0 is the last. */
static void farewell(int lost) {
    double until = now() + 30;
    void *data;
    size_t size;
    for (int n = 1; n < lost && place.node == 0; n++) {
        await(n, &data, &size);
        free(data);
    }
    for (int n = 1; n < lost && place.node == 0; n++)
        CHECK(mpi->send(n, NULL, 0) == 0, "send");
    for (int n = 1; n < lost && place.node == 0; n++)
        while (!is_gone(pids[n], 0)) {
            collect();
            CHECK(now() < until, "node %d does not end", n);
        }
    if (place.node == 0)
        return;
    CHECK(mpi->send(0, NULL, 0) == 0, "send");
    await(0, &data, &size);
    free(data);
}

static void after_abandoning(int lost) {
    CHECK(mpi->unsent(lost) == 0, "%zu bytes are kept for the lost node", mpi->unsent(lost));
    CHECK(mpi->send(lost, malloc(8), 8) == CREW_EBROKEN, "a message to the lost node is taken");
    CHECK(!mpi->broken(place.node ? 0 : 1), "a living node is called broken");
}

/* The last node dies in the middle of messages to and from everybody. */
static void test_killed(void) {
    int lost = place.nodes - 1;
    learn_pids();
    all_pairs(20, size_of);
    settle(lost);
    for (int n = 0; n < place.nodes; n++)
        if (n != place.node && (place.node == lost || n == lost))
            for (int k = 0; k < 3; k++)
                CHECK(mpi->send(n, malloc(CW_MPI_MESSAGE_MOST), CW_MPI_MESSAGE_MOST) == 0, "send");
    if (place.node == lost)
        kill(getpid(), SIGKILL);
    await_death(pids[lost]);
    pairs(lost, 20, 40, size_of);
    CHECK(!inbox[lost].first, "a message of which only the beginning was sent");
    mpi->abandon(lost);
    after_abandoning(lost);
    pairs(lost, 60, 40, size_of);
    farewell(lost);
}

/* A process tells by its name how far it is, to those who do not hear it. */
static bool is_called(int64_t pid, const char *name) {
    char path[64], have[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "r");
    bool there = file && fgets(have, sizeof have, file);
    if (file)
        fclose(file);
    if (!there)
        return strcmp(name, "done") == 0; /* it ends then */
    have[strcspn(have, "\n")] = '\0';
    return strcmp(have, name) == 0;
}

/* What the lost node does when it is back: it sends until all is taken from it. */
static void send_stale(void) {
    double until = now() + 30;
    cw_process_name("stopped");
    raise(SIGSTOP);
    for (int k = 0; k < 40; k++)
        for (int n = 0; n < place.node; n++)
            CHECK(mpi->send(n, malloc(1 << 20), 1 << 20) == 0, "send");
    for (int n = 0; n < place.node; n++)
        while (mpi->unsent(n) > 0)
            CHECK(now() < until, "node %d does not swallow what is stale", n);
    cw_process_name("done");
}

/* The last node falls silent, is abandoned, and comes back: nobody hears it. */
static void test_silent(void) {
    int lost = place.nodes - 1;
    double until = now() + 30;
    learn_pids();
    all_pairs(20, size_of);
    settle(lost);
    if (place.node == lost) {
        send_stale();
        return;
    }
    while (!is_called(pids[lost], "stopped"))
        CHECK(now() < until, "it does not stop");
    CHECK(mpi->send(lost, malloc(CW_MPI_MESSAGE_MOST), CW_MPI_MESSAGE_MOST) == 0, "send");
    mpi->abandon(lost);
    after_abandoning(lost);
    pairs(lost, 20, 40, size_of);
    if (place.node == 0)
        kill((pid_t)pids[lost], SIGCONT);
    while (!is_called(pids[lost], "done")) {
        CHECK(now() < until, "it does not come to its end");
        collect();
    }
    CHECK(!inbox[lost].first, "the lost node was heard");
    pairs(lost, 60, 40, size_of);
    farewell(lost);
}

static void test_abort(void) {
    if (place.node == 0)
        mpi->abort(7);
    for (;;)
        pause();
}

static void handler(int sig) {
    (void)sig;
}

static struct sigaction before[32];

static const struct {
    const char *name;
    const char *title;
    void (*run)(void);
    bool everybody; /* not leaders only */
    bool lossy;     /* a node is lost in it */
} tests[] = {
    {"place", "transport__nodes__are_numbered_by_their_lowest_rank", test_place, true, false},
    {"exchange", "transport__exchange__brings_everybodys_bytes_by_rank", test_exchange, true,
     false},
    {"pairs", "transport__all_pairs_all_sizes__come_whole_and_in_order", test_pairs, false, false},
    {"many", "transport__many_small_messages__come_whole_and_in_order", test_many, false, false},
    {"large", "transport__the_longest_messages__come_whole_and_longer_ones_are_refused", test_large,
     false, false},
    {"unread", "transport__orderly_end_with_messages_unread__ends", test_unread, false, false},
    {"at_once", "transport__a_message_that_has_arrived__is_seen_by_the_next_look", test_at_once,
     false, false},
    {"killed", "transport__a_node_killed_in_mid_message__the_others_go_on", test_killed, false,
     true},
    {"silent", "transport__a_node_abandoned_while_silent__is_not_heard_again", test_silent, false,
     true},
    {"abort", "", test_abort, false, false},
};

static void begin(void) {
    crew_error err;
    CHECK(cw_launcher_find(environ, &launcher, &err) == 0, "%s", err.text);
    struct sigaction ours = {.sa_handler = handler};
    sigaction(SIGSEGV, &ours, NULL);
    for (int s = 1; s < 32; s++)
        sigaction(s, NULL, &before[s]);
    CHECK(cw_mpi_load(&launcher, getenv("CREW_MPI_MODULE"), &mpi, &err) == 0, "%s", err.text);
    CHECK(mpi->start(&place, &err) == 0, "%s", err.text);
    CHECK(cw_mpi_agrees(&launcher, mpi, &place, &err) == 0, "%s", err.text);
    for (int s = 1; s < 32; s++) {
        struct sigaction after;
        sigaction(s, NULL, &after);
        CHECK(after.sa_handler == before[s].sa_handler, "MPI has taken signal %d", s);
    }
    signal(SIGSEGV, SIG_DFL);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    begin();
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (strcmp(tests[i].name, name) != 0)
            continue;
        if (place.node_rank == 0 || tests[i].everybody)
            tests[i].run();
        double start = now();
        mpi->end(!tests[i].lossy);
        CHECK(now() - start < 10, "the end took %.1f s", now() - start);
        if (place.rank == 0)
            printf("ok - %s (%s, %d ranks on %d nodes)\n", tests[i].title, mpi->flavour, place.size,
                   place.nodes);
        return 0;
    }
    die(__LINE__, "there is no test %s", name);
}
