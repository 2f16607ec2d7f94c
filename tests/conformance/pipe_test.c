/* conformance/pipe_test.c - pipes between the workers of any backend, and threads. */
#include "crewtest.h"

#include "share/share.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CELL_WRONG = CELL_OWN, CELL_SENT };

static const char HELLO[] = "hello world";

struct ends {
    crew_conn a, b;
};

static struct ends make(bool duplex) {
    struct ends ends;
    assert_int_equal(crew_pipe_create(&ends.a, &ends.b, duplex), 0);
    return ends;
}

static void close_both(struct ends ends) {
    assert_int_equal(crew_conn_close(ends.a), 0);
    assert_int_equal(crew_conn_close(ends.b), 0);
    assert_int_equal(crew_conn_close(ends.a), CREW_EINVAL);
}

/* Sends back what comes until a message is empty, then closes its end. */
static int echo(crew_conn c) {
    for (;;) {
        void *data;
        ptrdiff_t size = crew_conn_recv_alloc(c, &data, 20);
        if (size < 0)
            return (int)size;
        int rc = size ? crew_conn_send(c, data, (size_t)size, 20) : crew_conn_close(c);
        free(data);
        if (rc < 0 || size == 0)
            return rc;
    }
}

static int echo_task(crew_call *call) {
    int rc = echo(*CREW_IN(call, crew_conn));
    return rc == 0 ? 0 : crew_fail(call, 1, "echo: %d %s", rc, crew_last_error()->text);
}

static void *echo_thread(void *arg) {
    return (void *)(intptr_t)echo(*(crew_conn *)arg);
}

/* A message whose bytes say how long it is and which. */
static void fill(unsigned char *data, size_t size, uint64_t number) {
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(size + number * 31 + i * 7 + (i >> 8));
}

static void same(crew_conn c, unsigned char *data, unsigned char *back, size_t size,
                 uint64_t number) {
    fill(data, size, number);
    assert_int_equal(crew_conn_send(c, data, size, 20), 0);
    memset(back, 0xee, size);
    ptrdiff_t got = crew_conn_recv(c, back, size, 20);
    assert_int_equal(got, size);
    assert_memory_equal(data, back, size);
}

static void there_and_back(crew_conn c, size_t largest) {
    unsigned char *data = malloc(largest), *back = malloc(largest);
    assert_non_null(data);
    assert_non_null(back);
    static const size_t sizes[] = {1,     7,     8,     9,      64,     1000,        16383, 16384,
                                   16385, 65535, 65536, 100000, 300000, 16u << 20, 3};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        same(c, data, back, sizes[i], i);
    for (int64_t i = 0, n = crewtest_many(2000); i < n; i++)
        same(c, data, back, 1 + crewtest_random() % (1u << crewtest_random() % 18), (uint64_t)i);
    free(data);
    free(back);
}

static void say_goodbye(crew_conn c) {
    char byte;
    assert_int_equal(crew_conn_send(c, NULL, 0, 20), 0);
    assert_int_equal(crew_conn_recv(c, &byte, 1, 20), CREW_ECLOSED);
    assert_text(crew_last_error()->text, "end-of-file");
    assert_int_equal(crew_conn_recv(c, &byte, 1, 0), CREW_ECLOSED);
    assert_int_equal(crew_conn_send(c, "x", 1, 0), CREW_ECLOSED);
    assert_int_equal(crew_conn_close(c), 0);
}

static void duplex__echo_by_a_worker__every_size_comes_back(void **state) {
    crewtest_need(CREWTEST_ASYNC);
    (void)state;
    crew_error err;
    struct ends ends = make(true);
    crew_pool *p = crewtest_open(1);
    crew_future *f = crew_submit(p, echo_task, &ends.b, sizeof ends.b, NULL, &err);
    assert_non_null(f);
    there_and_back(ends.a, 16u << 20);
    say_goodbye(ends.a);
    assert_int_equal(crew_future_result(f, NULL, 0, 20, &err), 0);
    crew_future_free(f);
    crewtest_free(p);
}

static void duplex__echo_by_a_thread__every_size_comes_back(void **state) {
    (void)state;
    struct ends ends = make(true);
    pthread_t thread;
    void *rc;
    assert_int_equal(pthread_create(&thread, NULL, echo_thread, &ends.b), 0);
    there_and_back(ends.a, 16u << 20);
    say_goodbye(ends.a);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_int_equal((intptr_t)rc, 0);
}

static void message__of_a_gibibyte__arrives(void **state) {
    (void)state;
    if (!crewtest_long())
        skip();
    size_t size = (size_t)1 << 30;
    struct ends ends = make(true);
    pthread_t thread;
    unsigned char *data = malloc(size), *back = malloc(size);
    assert_true(data && back);
    assert_int_equal(pthread_create(&thread, NULL, echo_thread, &ends.b), 0);
    crewtest_may_take(120);
    same(ends.a, data, back, size, 1);
    say_goodbye(ends.a);
    assert_int_equal(pthread_join(thread, NULL), 0);
    free(data);
    free(back);
}

static void one_way__each_end__does_its_half(void **state) {
    struct ends ends = make(false);
    char buf[16];
    (void)state;
    assert_int_equal(crew_conn_send(ends.b, HELLO, sizeof HELLO, 0), 0);
    assert_int_equal(crew_conn_send(ends.b, NULL, 0, 0), 0);
    assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 0), sizeof HELLO);
    assert_string_equal(buf, HELLO);
    assert_int_equal(crew_conn_recv(ends.a, NULL, 0, 0), 0);
    assert_int_equal(crew_conn_send(ends.a, "2", 1, 0), CREW_EPERM);
    assert_text(crew_last_error()->text, "only receives");
    assert_int_equal(crew_conn_recv(ends.b, buf, sizeof buf, 0), CREW_EPERM);
    assert_text(crew_last_error()->text, "only sends");
    assert_int_equal(crew_conn_poll(ends.b, 0), CREW_EPERM);
    assert_int_equal(crew_conn_fd(ends.b), CREW_EPERM);
    close_both(ends);
}

static void message__longer_than_the_buffer__stays_and_its_size_is_told(void **state) {
    (void)state;
    static const size_t sizes[] = {110, 40000};
    for (int i = 0; i < 2; i++) {
        struct ends ends = make(true);
        unsigned char *data = malloc(sizes[i]), *back = malloc(sizes[i]);
        char text[32];
        void *more;
        assert_true(data && back);
        fill(data, sizes[i], 1);
        assert_int_equal(crew_conn_send(ends.a, data, sizes[i], 0), 0);
        assert_int_equal(crew_conn_send(ends.a, data, sizes[i], 0), 0);
        assert_int_equal(crew_conn_recv(ends.b, back, 40, 0), CREW_ETOOSMALL);
        snprintf(text, sizeof text, "%zu bytes", sizes[i]);
        assert_text(crew_last_error()->text, text);
        assert_int_equal(crew_conn_recv(ends.b, NULL, 0, 0), CREW_ETOOSMALL);
        assert_int_equal(crew_conn_poll(ends.b, 0), 0);
        assert_int_equal(crew_conn_recv(ends.b, back, sizes[i], 0), sizes[i]);
        assert_memory_equal(data, back, sizes[i]);
        assert_int_equal(crew_conn_recv_alloc(ends.b, &more, 0), sizes[i]);
        assert_memory_equal(data, more, sizes[i]);
        free(more);
        free(data);
        free(back);
        close_both(ends);
    }
}

static void poll__without_a_message__takes_its_time_and_no_more(void **state) {
    struct ends ends = make(true);
    (void)state;
    double from = crewtest_now();
    assert_int_equal(crew_conn_poll(ends.a, 0), CREW_ETIMEDOUT);
    assert_within(from, 2);
    from = crewtest_now();
    assert_int_equal(crew_conn_poll(ends.a, 0.1), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.099);
    assert_within(from, 5);
    from = crewtest_now();
    assert_int_equal(crew_conn_recv(ends.a, NULL, 0, 0.1), CREW_ETIMEDOUT);
    assert_text(crew_last_error()->text, "no message");
    assert_true(crewtest_now() - from >= 0.099);
    assert_int_equal(crew_conn_send(ends.b, NULL, 0, 0), 0);
    from = crewtest_now();
    assert_int_equal(crew_conn_poll(ends.a, 20), 0);
    assert_within(from, 5);
    assert_int_equal(crew_conn_recv(ends.a, NULL, 0, 0), 0);
    assert_int_equal(crew_conn_poll(ends.a, 0), CREW_ETIMEDOUT);
    close_both(ends);
}

static void closed__by_one_side__the_other_reads_what_was_sent_first(void **state) {
    (void)state;
    for (int duplex = 0; duplex < 2; duplex++) {
        struct ends ends = make(duplex);
        char buf[16];
        assert_int_equal(crew_conn_send(ends.b, HELLO, sizeof HELLO, 0), 0);
        assert_int_equal(crew_conn_send(ends.b, "2", 1, 0), 0);
        assert_int_equal(crew_conn_close(ends.b), 0);
        assert_int_equal(crew_conn_send(ends.b, "3", 1, 0), CREW_EINVAL);
        assert_text(crew_last_error()->text, "closed");
        assert_int_equal(crew_conn_close(ends.b), CREW_EINVAL);
        assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 0), sizeof HELLO);
        assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 0), 1);
        assert_int_equal(crew_conn_poll(ends.a, 0), 0);
        assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 0), CREW_ECLOSED);
        if (duplex)
            assert_int_equal(crew_conn_send(ends.a, "4", 1, 0), CREW_ECLOSED);
        assert_int_equal(crew_conn_close(ends.a), 0);
        assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 0), CREW_EINVAL);
        assert_text(crew_last_error()->text, "no such pipe");
    }
}

static void handles__that_are_none__are_errors_in_a_sentence(void **state) {
    struct ends ends = make(true), none = {0};
    crew_lock l;
    crew_conn c;
    char byte;
    (void)state;
    assert_int_equal(crew_conn_recv(none.a, &byte, 1, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "empty");
    assert_int_equal(crew_lock_create(&l), 0);
    memcpy(&c, &l, sizeof c);
    assert_int_equal(crew_conn_send(c, &byte, 1, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "that of a lock");
    memcpy(&l, &ends.b, sizeof l);
    assert_int_equal(crew_lock_acquire(l, 0), CREW_EINVAL);
    memcpy(&l, &c, sizeof l);
    assert_int_equal(crew_lock_destroy(l), 0);
    assert_int_equal(crew_pipe_create(NULL, &c, true), CREW_EINVAL);
    assert_int_equal(crew_conn_send(ends.a, NULL, 1, 0), CREW_EINVAL);
    assert_int_equal(crew_conn_recv(ends.a, NULL, 1, 0), CREW_EINVAL);
    assert_int_equal(crew_conn_recv_alloc(ends.a, NULL, 0), CREW_EINVAL);
    close_both(ends);
    struct ends next = make(false); /* in the same place */
    assert_int_equal(next.a.place, ends.a.place);
    assert_int_equal(crew_conn_send(ends.b, "x", 1, 0), CREW_EINVAL);
    assert_int_equal(crew_conn_close(ends.b), CREW_EINVAL);
    assert_int_equal(crew_conn_poll(next.a, 0), CREW_ETIMEDOUT);
    close_both(next);
}

static void full__a_send__waits_for_its_time_or_for_room(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1000, 16384, 1u << 20, 64u << 20};
    for (int i = 0; i < 5; i++) {
        struct ends ends = make(true);
        char *data = calloc(1, sizes[i] + 1), *buf = malloc(sizes[i] + 1);
        assert_true(data && buf);
        int sent = 0;
        while (crew_conn_send(ends.a, data, sizes[i], 0) == 0)
            sent++;
        assert_int_equal(crew_last_error()->code, CREW_ETIMEDOUT);
        assert_text(crew_last_error()->text, "no room");
        assert_true(sent >= 1 && sent <= 8192);
        if (sizes[i] > 16384)
            assert_true(sent == 1 || (size_t)sent * sizes[i] <= 4u << 20);
        double from = crewtest_now();
        assert_int_equal(crew_conn_send(ends.a, data, sizes[i], 0.05), CREW_ETIMEDOUT);
        assert_true(crewtest_now() - from >= 0.049);
        for (int k = 0; k < 3 * sent && k < 3000; k++) {
            assert_int_equal(crew_conn_recv(ends.b, buf, sizes[i], 0), sizes[i]);
            while (crew_conn_send(ends.a, data, sizes[i], 0) == 0)
                ;
        }
        close_both(ends); /* with what is in it */
        free(data);
        free(buf);
    }
}

struct sender {
    crew_conn conn;
    int number, count;
    size_t most;
};

struct numbered {
    int32_t sender, index;
    unsigned char rest[40000];
};

static void *send_numbered(void *arg) {
    const struct sender *s = arg;
    struct numbered *message = calloc(1, sizeof *message);
    void *wrong = NULL;
    for (int i = 0; i < s->count && message; i++) {
        message->sender = s->number;
        message->index = i;
        size_t size = 8 + crewtest_mix((uint64_t)(s->number * 1000000 + i)) % s->most;
        if (crew_conn_send(s->conn, message, size, 30) != 0)
            wrong = arg;
    }
    free(message);
    return wrong;
}

static void threads__sending_through_one_end__each_in_its_order(void **state) {
    enum { SENDERS = 4 };
    (void)state;
    struct ends ends = make(false);
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    int next[SENDERS] = {0}, count = (int)crewtest_many(5000);
    struct numbered *message = malloc(sizeof *message);
    assert_non_null(message);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ends.b, i, count, i == 3 ? 39000 : 200};
        assert_int_equal(pthread_create(&threads[i], NULL, send_numbered, &senders[i]), 0);
    }
    for (int i = 0; i < SENDERS * count; i++) {
        ptrdiff_t size = crew_conn_recv(ends.a, message, sizeof *message, 30);
        assert_true(size >= 8);
        assert_in_range(message->sender, 0, SENDERS - 1);
        assert_int_equal(message->index, next[message->sender]++);
    }
    assert_int_equal(crew_conn_poll(ends.a, 0), CREW_ETIMEDOUT);
    for (int i = 0; i < SENDERS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    free(message);
    close_both(ends);
}

static void *receive(void *arg) {
    char byte;
    return (void *)(intptr_t)crew_conn_recv(*(crew_conn *)arg, &byte, 1, CREW_FOREVER);
}

static void *send_on(void *arg) {
    char bytes[1000] = {0};
    int rc;
    do
        rc = crew_conn_send(*(crew_conn *)arg, bytes, sizeof bytes, CREW_FOREVER);
    while (rc == 0);
    return (void *)(intptr_t)rc;
}

/* Who waits when an end is closed, here or there, hears of it. */
static void closed__under_waiters__they_are_told(void **state) {
    (void)state;
    for (int i = 0; i < 40; i++) {
        struct ends ends = make(true);
        pthread_t thread;
        void *rc;
        bool sends = i & 1, own = i & 2;
        assert_int_equal(pthread_create(&thread, NULL, sends ? send_on : receive, &ends.a), 0);
        if (i & 4)
            crewtest_pause();
        assert_int_equal(crew_conn_close(own ? ends.a : ends.b), 0);
        assert_int_equal(pthread_join(thread, &rc), 0);
        assert_int_equal((intptr_t)rc, own ? CREW_EINVAL : CREW_ECLOSED);
        assert_int_equal(crew_conn_close(own ? ends.b : ends.a), 0);
    }
}

/* ---- several, and descriptors ---- */

static int ready_now(int fd, int ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms);
}

static void descriptor__is_readable__while_something_waits(void **state) {
    (void)state;
    struct ends ends = make(true);
    char byte;
    int fd = crew_conn_fd(ends.a);
    assert_true(fd > 2);
    assert_int_equal(crew_conn_fd(ends.a), fd);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(ready_now(fd, 0), 0);
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k <= i % 3; k++)
            assert_int_equal(crew_conn_send(ends.b, "x", 1, 0), 0);
        for (int k = 0; k <= i % 3; k++) {
            assert_int_equal(ready_now(fd, 20000), 1);
            assert_int_equal(crew_conn_recv(ends.a, &byte, 1, 0), 1);
        }
        assert_int_equal(ready_now(fd, 0), 0);
        assert_int_equal(crew_conn_recv(ends.a, &byte, 1, 0), CREW_ETIMEDOUT);
        assert_int_equal(ready_now(fd, 0), 0);
    }
    assert_int_equal(crew_conn_send(ends.b, "x", 1, 0), 0);
    assert_int_equal(crew_conn_close(ends.b), 0);
    assert_int_equal(crew_conn_recv(ends.a, &byte, 1, 0), 1);
    assert_int_equal(ready_now(fd, 0), 1);
    assert_int_equal(crew_conn_recv(ends.a, &byte, 1, 0), CREW_ECLOSED);
    assert_int_equal(ready_now(fd, 0), 1); /* it still is the end of file */
    assert_int_equal(crew_conn_close(ends.a), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void descriptor__asked_for_late__tells_of_what_is_there(void **state) {
    (void)state;
    struct ends ends = make(false);
    char byte;
    assert_int_equal(crew_conn_send(ends.b, "x", 1, 0), 0);
    int fd = crew_conn_fd(ends.a);
    assert_int_equal(ready_now(fd, 0), 1);
    assert_int_equal(crew_conn_recv(ends.a, &byte, 1, 0), 1);
    assert_int_equal(ready_now(fd, 0), 0);
    assert_int_equal(close(fd), 0); /* behind the library's back */
    int other = crew_conn_fd(ends.a);
    assert_int_equal(crew_conn_send(ends.b, "x", 1, 0), 0);
    assert_int_equal(ready_now(other, 0), 1);
    close_both(ends);
}

struct burst {
    crew_conn conn;
    int64_t count;
};

static int send_burst(crew_conn conn, int64_t count, uint64_t seed) {
    int rc = 0;
    for (int64_t i = 0; i < count && rc == 0; i++) {
        for (uint64_t n = crewtest_mix(seed + (uint64_t)i) % 2000; n > 0; n--)
            __asm__ volatile("" : "+r"(n));
        rc = crew_conn_send(conn, &i, sizeof i, 20);
    }
    return rc ? rc : crew_conn_close(conn);
}

static void *burst_thread(void *arg) {
    const struct burst *b = arg;
    return (void *)(intptr_t)send_burst(b->conn, b->count, crewtest_seed());
}

static int burst_task(crew_call *call) {
    const struct burst *b = CREW_IN(call, struct burst);
    int rc = send_burst(b->conn, b->count, (uint64_t)call->index);
    return rc == 0 ? 0 : crew_fail(call, 1, "send: %d %s", rc, crew_last_error()->text);
}

/* Sleeps in poll(2) before each message: it must never sleep while one is there. */
static void read_burst(crew_conn c, int64_t count) {
    int fd = crew_conn_fd(c);
    int64_t got, next = 0;
    for (;;) {
        assert_int_equal(ready_now(fd, 20000), 1);
        ptrdiff_t size = crew_conn_recv(c, &got, sizeof got, 0);
        if (size == CREW_ECLOSED)
            break;
        if (size == CREW_ETIMEDOUT)
            continue;
        assert_int_equal(size, sizeof got);
        assert_int_equal(got, next++);
    }
    assert_int_equal(next, count);
}

static void descriptor__under_a_stream__never_sleeps_on_a_message(void **state) {
    (void)state;
    struct ends ends = make(false);
    struct burst burst = {ends.b, crewtest_many(20000)};
    pthread_t thread;
    void *rc;
    assert_int_equal(pthread_create(&thread, NULL, burst_thread, &burst), 0);
    read_burst(ends.a, burst.count);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_int_equal((intptr_t)rc, 0);
    assert_int_equal(crew_conn_close(ends.a), 0);
}

static void wait__for_several_workers__until_each_has_closed(void **state) {
    enum { PIPES = 4 };
    crewtest_need(CREWTEST_ASYNC);
    (void)state;
    crew_conn readers[PIPES];
    struct burst bursts[PIPES];
    bool ready[PIPES];
    crew_future *futures[PIPES];
    crew_error err;
    crew_pool *p = crewtest_open(2);
    int64_t next[PIPES] = {0}, count = 10;
    for (int i = 0; i < PIPES; i++) {
        bursts[i].count = count;
        assert_int_equal(crew_pipe_create(&readers[i], &bursts[i].conn, false), 0);
        futures[i] = crew_submit(p, burst_task, &bursts[i], sizeof *bursts, NULL, &err);
        assert_non_null(futures[i]);
    }
    for (int left = PIPES; left > 0;) {
        int found = crew_conn_wait(readers, left, ready, 20);
        assert_true(found >= 1);
        for (int i = left; i-- > 0;) {
            int64_t got;
            if (!ready[i])
                continue;
            found--;
            ptrdiff_t size = crew_conn_recv(readers[i], &got, sizeof got, 0);
            if (size == sizeof got) {
                assert_int_equal(got, next[i]++);
                continue;
            }
            assert_int_equal(size, CREW_ECLOSED);
            assert_int_equal(next[i], count);
            assert_int_equal(crew_conn_close(readers[i]), 0);
            readers[i] = readers[--left];
            next[i] = next[left];
        }
        assert_int_equal(found, 0);
    }
    for (int i = 0; i < PIPES; i++) {
        assert_int_equal(crew_future_result(futures[i], NULL, 0, 20, &err), 0);
        crew_future_free(futures[i]);
    }
    crewtest_free(p);
}

static void wait__with_a_time_limit__none_then_the_one_that_has_news(void **state) {
    (void)state;
    struct ends ends = make(true);
    crew_conn both[] = {ends.a, ends.b};
    bool ready[2];
    double from = crewtest_now();
    assert_int_equal(crew_conn_wait(both, 2, ready, 0.1), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.099);
    assert_within(from, 5);
    assert_int_equal(crew_conn_wait(both, 2, ready, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_conn_send(ends.b, NULL, 0, 0), 0);
    assert_int_equal(crew_conn_wait(both, 2, ready, 20), 1);
    assert_true(ready[0] && !ready[1]);
    assert_int_equal(crew_conn_send(ends.a, NULL, 0, 0), 0);
    assert_int_equal(crew_conn_wait(both, 2, ready, CREW_FOREVER), 2);
    assert_int_equal(crew_conn_wait(both, 0, ready, 0), CREW_EINVAL);
    assert_int_equal(crew_conn_close(ends.a), 0);
    assert_int_equal(crew_conn_wait(both, 2, ready, 0), CREW_EINVAL);
    assert_int_equal(crew_conn_close(ends.b), 0);
}

/* ---- whose an end is ---- */

static int say_hello(crew_call *call) {
    return crew_conn_send(*CREW_IN(call, crew_conn), HELLO, sizeof HELLO, 20);
}

static void end__used_by_a_worker__is_its_own_until_used_here(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    (void)state;
    crew_error err;
    char buf[16];
    struct ends ends = make(true);
    crew_pool *p = crewtest_open(1);
    assert_ok(crew_apply(p, say_hello, &ends.b, sizeof ends.b, NULL, 0, &err), &err);
    assert_int_equal(crew_conn_close(ends.b), 0); /* it is the worker's: nothing happens */
    assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 0), sizeof HELLO);
    assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_conn_send(ends.b, "here", 5, 0), 0); /* from now on it is ours */
    crewtest_free(p);
    assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 0), 5);
    assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 0), CREW_ETIMEDOUT);
    close_both(ends);
}

static void end__of_a_worker_that_left__is_end_of_file(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    (void)state;
    crew_error err;
    char buf[16];
    struct ends ends = make(true);
    crew_pool *p = crewtest_open(1);
    assert_ok(crew_apply(p, say_hello, &ends.b, sizeof ends.b, NULL, 0, &err), &err);
    crewtest_free(p);
    assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 20), sizeof HELLO);
    assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 20), CREW_ECLOSED);
    assert_int_equal(crew_conn_send(ends.a, "x", 1, 20), CREW_ECLOSED);
    /* Somebody takes it over, and all is well again. */
    assert_int_equal(crew_conn_send(ends.b, "y", 1, 0), 0);
    assert_int_equal(crew_conn_send(ends.a, "x", 1, 0), 0);
    assert_int_equal(crew_conn_recv(ends.a, buf, sizeof buf, 0), 1);
    close_both(ends);
}

static int echo_process(crew_call *call) {
    return echo(*CREW_IN(call, crew_conn)) == 0 ? 0 : 1;
}

static void end__given_to_a_process__may_be_closed_here_at_once(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    (void)state;
    crew_error err;
    crew_process process;
    int code;
    unsigned char data[100], back[100];
    struct ends ends = make(true);
    const char *backend = crewtest_backend();
    crew_process_opts opts = {.conns = &ends.b,
                              .nconns = 1,
                              .start = strcmp(backend, "fork") == 0     ? CREW_START_FORK
                                       : strcmp(backend, "server") == 0 ? CREW_START_SERVER
                                                                        : CREW_START_SPAWN};
    if (crewtest_window() && opts.start == CREW_START_SPAWN) {
        int rc = crew_process_start(&process, echo_process, &ends.b, sizeof ends.b, &opts, &err);
        assert_code(rc, CREW_ENOTSUP, &err);
        assert_text(err.text, "CREW_SEGMENT=window");
        opts.start = CREW_START_SERVER;
    }
    assert_ok(crew_process_start(&process, echo_process, &ends.b, sizeof ends.b, &opts, &err),
              &err);
    assert_int_equal(crew_conn_close(ends.b), 0);
    same(ends.a, data, back, sizeof data, 3);
    say_goodbye(ends.a);
    assert_int_equal(crew_process_join(process, 20), 0);
    assert_int_equal(crew_process_exitcode(process, &code), 0);
    assert_int_equal(code, 0);
    assert_int_equal(crew_process_close(process), 0);
    /* An end that is no more cannot be given. */
    assert_code(crew_process_start(&process, echo_process, &ends.b, sizeof ends.b, &opts, &err),
                CREW_EINVAL, &err);
}

static int until_told(crew_call *call) {
    char byte;
    return crew_conn_recv(*CREW_IN(call, crew_conn), &byte, 1, 20) == CREW_ECLOSED ? 0 : 1;
}

/* As one does it in Python: with the end of a process that does not close it the pipe goes. */
static void pipes__passed_on_and_closed_here__end_with_their_processes(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    (void)state;
    struct cw_share *share = cw_share_here();
    uint64_t used = 0;
    for (int i = 0; i < 40; i++) {
        crew_error err;
        crew_process process;
        struct ends ends = make(true);
        const crew_process_opts opts = {.conns = &ends.b, .nconns = 1};
        if (i == 8)
            used = cw_arena_used(&share->arena);
        assert_ok(crew_process_start(&process, until_told, &ends.b, sizeof ends.b, &opts, &err),
                  &err);
        assert_int_equal(crew_conn_send(ends.a, "a", 1, 0), 0);
        if (i % 4 < 2) /* before it ends */
            assert_int_equal(crew_conn_close(ends.b), 0);
        assert_int_equal(i % 2 ? crew_process_kill(process) : crew_conn_close(ends.a), 0);
        assert_int_equal(crew_process_join(process, 20), 0);
        if (i % 4 >= 2) /* afterwards: perhaps the pipe is no more */
            crew_conn_close(ends.b);
        if (i % 2)
            assert_int_equal(crew_conn_close(ends.a), 0);
        assert_int_equal(crew_process_close(process), 0);
    }
    CREWTEST_WAIT(cw_arena_used(&share->arena) <= used + (64 << 10), 20);
}

static void wait__for_an_end_and_a_process__with_poll(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    (void)state;
    crew_error err;
    crew_process process;
    struct ends ends = make(true), other = make(false);
    crew_process_opts opts = {.conns = &other.a, .nconns = 1};
    assert_ok(crew_process_start(&process, until_told, &other.a, sizeof other.a, &opts, &err),
              &err);
    struct pollfd polls[] = {{.fd = crew_process_fd(process), .events = POLLIN},
                             {.fd = crew_conn_fd(ends.a), .events = POLLIN}};
    assert_int_equal(poll(polls, 2, 0), 0);
    assert_int_equal(crew_conn_close(other.b), 0);
    assert_int_equal(poll(polls, 2, 20000), 1);
    assert_true(polls[0].revents && !polls[1].revents);
    assert_int_equal(crew_conn_send(ends.b, "x", 1, 0), 0);
    assert_int_equal(poll(polls, 2, 20000), 2);
    assert_int_equal(crew_process_join(process, 20), 0);
    assert_int_equal(crew_process_close(process), 0);
    close(polls[0].fd);
    close_both(ends);
    /* The process ended without having closed its end: now it is nobody's. */
    assert_int_equal(crew_conn_close(other.a), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(duplex__echo_by_a_worker__every_size_comes_back),
        CREWTEST(duplex__echo_by_a_thread__every_size_comes_back),
        CREWTEST(message__of_a_gibibyte__arrives),
        CREWTEST(one_way__each_end__does_its_half),
        CREWTEST(message__longer_than_the_buffer__stays_and_its_size_is_told),
        CREWTEST(poll__without_a_message__takes_its_time_and_no_more),
        CREWTEST(closed__by_one_side__the_other_reads_what_was_sent_first),
        CREWTEST(handles__that_are_none__are_errors_in_a_sentence),
        CREWTEST(full__a_send__waits_for_its_time_or_for_room),
        CREWTEST(threads__sending_through_one_end__each_in_its_order),
        CREWTEST(closed__under_waiters__they_are_told),
        CREWTEST(descriptor__is_readable__while_something_waits),
        CREWTEST(descriptor__asked_for_late__tells_of_what_is_there),
        CREWTEST(descriptor__under_a_stream__never_sleeps_on_a_message),
        CREWTEST(wait__for_several_workers__until_each_has_closed),
        CREWTEST(wait__with_a_time_limit__none_then_the_one_that_has_news),
        CREWTEST(end__used_by_a_worker__is_its_own_until_used_here),
        CREWTEST(end__of_a_worker_that_left__is_end_of_file),
        CREWTEST(end__given_to_a_process__may_be_closed_here_at_once),
        CREWTEST(pipes__passed_on_and_closed_here__end_with_their_processes),
        CREWTEST(wait__for_an_end_and_a_process__with_poll),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
