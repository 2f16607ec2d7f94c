/* A journal's file and its thread: what is put, is written and lasts. */
#include "api/journal.h"

#include "base/error.h"
#include "os/logfile.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

/* So often new records are looked for and put on the disk: durable within a second, also
 * where the disk takes half of that. */
static const int64_t PERIOD_NS = 250000000;
/* What may wait while nothing can be written: what is more is not journalled. */
enum { WAITING_MOST = 64 << 20 };
/* A body that is larger is not copied where it need not be. */
enum { COPIED_MOST = 1 << 20 };

/* Records, one behind the other; the body of the last may lie elsewhere. */
struct batch {
    char *bytes;
    size_t used, room;
    const void *body;
    size_t body_size;
};

struct cw_journal {
    struct cw_journal *next;
    struct cw_session *session;
    char *path;
    int fd;
    uint64_t nonce;
    bool (*collect)(void *ctx);
    void *ctx;
    char opened[128]; /* what there was to tell when it was opened */
    pthread_t thread;
    bool runs;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wake, served_one;
    uint64_t end;         /* where the next record will stand */
    struct batch filling; /* for the next time */
    uint64_t asked, served, wanted;
    bool held, quit;
    int sys;      /* why it could not be written, when that was tried last; 0: it could */
    int first_sys;
    bool dropped; /* something was never written */

    /* The thread's own. */
    struct batch out;
    uint64_t at; /* where `out` is to be written */
    bool dirty;  /* written, but not known to be on the disk */
    bool fresh;  /* nor is its name */
};

/* Those of this process. Lock order: `listed`, then a journal's lock. */
static pthread_mutex_t listed = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t some_served = PTHREAD_COND_INITIALIZER;
static struct cw_journal *all;
static _Atomic unsigned numbers; /* files of CREW_JOURNAL's folder so far */

void cw_journals_forked(void) {
    pthread_mutex_init(&listed, NULL);
    pthread_cond_init(&some_served, NULL);
    all = NULL;
    numbers = 0;
    cw_logfiles_forked();
}

/* ---- writing ---- */

/* So much of `out` could be written: the records that are whole stay, the rest waits. */
static void keep_whole(struct cw_journal *jn, uint64_t written) {
    struct batch *b = &jn->out;
    struct cw_journal_record record;
    uint64_t whole = 0;
    while (whole + sizeof record <= b->used) {
        memcpy(&record, b->bytes + whole, sizeof record);
        uint64_t next = cw_journal_next(&record, whole);
        if (next > written || next > b->used)
            break;
        whole = next;
    }
    memmove(b->bytes, b->bytes + whole, b->used - whole);
    b->used -= whole;
    jn->at += whole;
    jn->dirty = jn->dirty || whole;
    cw_logfile_cut(jn->fd, jn->at); /* no half record, if that can be helped */
}

static int write_out(struct cw_journal *jn) {
    static const char zeros[8];
    struct batch *b = &jn->out;
    struct iovec pieces[] = {{b->bytes, b->used},
                             {(void *)(uintptr_t)b->body, b->body_size},
                             {(void *)(uintptr_t)zeros, (size_t)-b->body_size % 8}};
    if (b->used == 0)
        return 0;
    uint64_t written;
    int rc = cw_logfile_write(jn->fd, jn->at, pieces, 3, &written);
    if (rc < 0) {
        keep_whole(jn, written);
        return rc;
    }
    jn->at += b->used + b->body_size + (size_t)-b->body_size % 8;
    b->used = b->body_size = 0;
    b->body = NULL;
    jn->dirty = true;
    return 0;
}

static void swap(struct batch *a, struct batch *b) {
    struct batch kept = *a;
    *a = *b;
    *b = kept;
}

static void note_result(struct cw_journal *jn, int rc) {
    jn->sys = -rc;
    if (rc < 0 && !jn->first_sys)
        jn->first_sys = -rc;
}

/* Everything that is there to be written. With the lock, which it gives up meanwhile. */
static void pass(struct cw_journal *jn) {
    uint64_t ticket = jn->asked;
    bool more = true;
    int rc = 0;
    while (more && rc == 0) {
        more = false;
        if (jn->out.used == 0) {
            more = jn->collect && !jn->held && jn->filling.used < COPIED_MOST
                       ? jn->collect(jn->ctx)
                       : jn->filling.used >= COPIED_MOST;
            swap(&jn->filling, &jn->out);
        } else {
            more = true; /* what could not be written comes first */
        }
        pthread_mutex_unlock(&jn->lock);
        rc = write_out(jn);
        pthread_mutex_lock(&jn->lock);
    }
    if (jn->dirty) {
        pthread_mutex_unlock(&jn->lock);
        int sync = jn->fresh ? cw_logfile_sync_name(jn->fd, jn->path) : cw_logfile_sync(jn->fd);
        pthread_mutex_lock(&jn->lock);
        jn->dirty = sync < 0;
        jn->fresh = jn->fresh && sync < 0;
        rc = rc < 0 ? rc : sync;
    }
    note_result(jn, rc);
    jn->served = ticket;
    pthread_cond_broadcast(&jn->served_one);
}

static struct timespec in_a_while(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += PERIOD_NS;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void *serve(void *arg) {
    struct cw_journal *jn = arg;
    /* Also the one that says that a file would be larger than it may be. */
    sigset_t signals;
    sigfillset(&signals);
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
    pthread_mutex_lock(&jn->lock);
    for (bool last = false; !last;) {
        struct timespec until = in_a_while();
        int rc = 0;
        while (!jn->quit && jn->asked == jn->served && rc == 0)
            rc = pthread_cond_timedwait(&jn->wake, &jn->lock, &until);
        last = jn->quit;
        bool was_asked = jn->asked != jn->served;
        pass(jn);
        if (!was_asked)
            continue;
        pthread_mutex_unlock(&jn->lock);
        pthread_mutex_lock(&listed);
        pthread_cond_broadcast(&some_served);
        pthread_mutex_unlock(&listed);
        cw_session_ring(jn->session);
        pthread_mutex_lock(&jn->lock);
    }
    jn->dropped = jn->dropped || jn->out.used || jn->filling.used;
    pthread_mutex_unlock(&jn->lock);
    return NULL;
}

/* ---- opening ---- */

static ptrdiff_t read_file(void *ctx, uint64_t at, void *to, size_t size) {
    const struct cw_journal *jn = ctx;
    return cw_logfile_read(jn->fd, at, to, size);
}

static int begin_file(struct cw_journal *jn, const struct cw_journal_head *want, crew_error *err) {
    char copies[CW_JOURNAL_START] = {0};
    struct cw_journal_head head = *want;
    if (getrandom(&head.nonce, sizeof head.nonce, 0) != (ssize_t)sizeof head.nonce)
        return cw_error_set(err, CREW_EINVAL, errno, "the system has no random numbers");
    cw_journal_seal_head(&head);
    memcpy(copies, &head, sizeof head);
    memcpy(copies + CW_JOURNAL_COPY, &head, sizeof head);
    struct iovec piece = {copies, sizeof copies};
    int rc = cw_logfile_write(jn->fd, 0, &piece, 1, NULL);
    if (rc < 0)
        return cw_error_set(err, -rc == ENOSPC || -rc == EDQUOT ? CREW_ENOMEM : CREW_EINVAL, -rc,
                            "the journal %.150s cannot be begun", jn->path);
    jn->nonce = head.nonce;
    jn->at = jn->end = CW_JOURNAL_START;
    jn->dirty = jn->fresh = true; /* that it lasts, its thread sees to */
    return 0;
}

static void tell_damage(struct cw_journal *jn, const struct cw_journal_seen *seen) {
    size_t n = 0, size = sizeof jn->opened;
    if (seen->damaged)
        n += (size_t)snprintf(jn->opened, size, "damaged in %lld place%s (%llu bytes)",
                              (long long)seen->damaged, seen->damaged == 1 ? "" : "s",
                              (unsigned long long)seen->damaged_bytes);
    if (seen->torn && n < size)
        snprintf(jn->opened + n, size - n, "%sits end was torn: %llu bytes were cut off",
                 n ? "; " : "", (unsigned long long)seen->torn);
}

static int read_records(struct cw_journal *jn, const struct cw_journal_ask *ask,
                        const struct cw_journal_file *file, const struct cw_journal_head *head,
                        crew_error *err) {
    struct cw_journal_seen seen;
    jn->nonce = head->nonce;
    int rc = cw_journal_scan(file, head, ask->found, ask->found_ctx, &seen);
    if (rc != 0)
        return cw_error_set(err, rc < -1 ? rc : CREW_EINVAL, 0, "the journal %.150s %s", jn->path,
                            rc < -1 ? "holds more than there is memory for" : "cannot be read");
    tell_damage(jn, &seen);
    jn->at = jn->end = seen.end;
    if (seen.torn && (rc = cw_logfile_cut(jn->fd, seen.end)) < 0)
        return cw_error_set(err, CREW_EINVAL, -rc, "the torn end of the journal %.150s stays",
                            jn->path);
    return 0;
}

static int compare(struct cw_journal *jn, const struct cw_journal_ask *ask, crew_error *err) {
    const struct cw_journal_file file = {read_file, jn};
    struct cw_journal_head head;
    char text[240];
    switch (cw_journal_read_head(&file, &head)) {
    case CW_JOURNAL_EMPTY:
        return begin_file(jn, &ask->want, err);
    case CW_JOURNAL_GOOD:
        break;
    case CW_JOURNAL_OTHER:
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "the journal %.120s was written by another version of crew, or on "
                            "another kind of machine",
                            jn->path);
    case CW_JOURNAL_UNREADABLE:
        return cw_error_set(err, CREW_EINVAL, 0, "the journal %.150s cannot be read", jn->path);
    default:
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "%.150s is no journal of crew's, or its head is damaged", jn->path);
    }
    if (cw_journal_differs(&head, &ask->want, jn->session->config.journal_force, text, sizeof text))
        return cw_error_set(err, CREW_EMISMATCH, 0, "the journal %.100s is of other work: %.140s",
                            jn->path, text);
    return read_records(jn, ask, &file, &head, err);
}

static void release(struct cw_journal *jn) {
    if (jn->fd >= 0)
        cw_logfile_close(jn->fd);
    pthread_mutex_destroy(&jn->lock);
    pthread_cond_destroy(&jn->wake);
    pthread_cond_destroy(&jn->served_one);
    free(jn->filling.bytes);
    free(jn->out.bytes);
    free(jn->path);
    free(jn);
}

int cw_journal_open(const struct cw_journal_ask *ask, struct cw_journal **journal,
                    crew_error *err) {
    struct cw_journal *jn = calloc(1, sizeof *jn);
    char *path = strdup(ask->path);
    bool locked;
    if (!jn || !path) {
        free(jn);
        free(path);
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a journal");
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&jn->lock, NULL);
    pthread_cond_init(&jn->wake, &monotonic);
    pthread_cond_init(&jn->served_one, NULL);
    pthread_condattr_destroy(&monotonic);
    jn->session = ask->session;
    jn->path = path;
    jn->collect = ask->collect;
    jn->ctx = ask->ctx;
    jn->fd = cw_logfile_open(path, &locked, err);
    int rc = jn->fd < 0 ? jn->fd : 0;
    *journal = jn;
    if (rc == 0)
        rc = compare(jn, ask, err);
    if (rc < 0) {
        release(jn);
        *journal = NULL;
        return rc;
    }
    if (!locked && !jn->opened[0])
        snprintf(jn->opened, sizeof jn->opened,
                 "its file system knows no locks: nothing keeps a second job away");
    return 0;
}

int cw_journal_start(struct cw_journal *jn, crew_error *err) {
    int rc = cw_session_serve(jn->session, err);
    if (rc < 0)
        return rc;
    rc = pthread_create(&jn->thread, NULL, serve, jn);
    if (rc != 0)
        return cw_error_set(err, CREW_EAGAIN, rc, "the journal's thread could not be started");
    jn->runs = true;
    pthread_mutex_lock(&listed);
    jn->next = all;
    all = jn;
    pthread_mutex_unlock(&listed);
    return 0;
}

static void unlist(struct cw_journal *jn) {
    pthread_mutex_lock(&listed);
    for (struct cw_journal **at = &all; *at; at = &(*at)->next)
        if (*at == jn) {
            *at = jn->next;
            break;
        }
    pthread_cond_broadcast(&some_served);
    pthread_mutex_unlock(&listed);
}

void cw_journal_note(struct cw_journal *jn, char *note, size_t size) {
    pthread_mutex_lock(&jn->lock);
    bool lost = jn->sys || jn->dropped;
    if (jn->opened[0] || lost)
        snprintf(note, size, "journal %.100s: %.120s%s%s%.60s", jn->path, jn->opened,
                 jn->opened[0] && lost ? "; " : "", lost ? "it is not complete: " : "",
                 lost ? strerror(jn->sys ? jn->sys : jn->first_sys ? jn->first_sys : ENOMEM) : "");
    pthread_mutex_unlock(&jn->lock);
}

void cw_journal_close(struct cw_journal *jn, char *note, size_t size) {
    if (!jn)
        return;
    if (jn->runs) {
        pthread_mutex_lock(&jn->lock);
        jn->quit = true;
        pthread_cond_signal(&jn->wake);
        pthread_mutex_unlock(&jn->lock);
        pthread_join(jn->thread, NULL);
        unlist(jn);
    }
    if (note)
        cw_journal_note(jn, note, size);
    release(jn);
}

/* ---- what others ask of it ---- */

void cw_journal_lock(struct cw_journal *jn) {
    pthread_mutex_lock(&jn->lock);
}

void cw_journal_unlock(struct cw_journal *jn) {
    pthread_mutex_unlock(&jn->lock);
}

static bool make_room(struct batch *b, size_t more) {
    if (b->used + more <= b->room)
        return true;
    size_t room = 2 * b->room > b->used + more ? 2 * b->room : b->used + more;
    char *bytes = realloc(b->bytes, room);
    if (!bytes)
        return false;
    b->bytes = bytes;
    b->room = room;
    return true;
}

bool cw_journal_put(struct cw_journal *jn, struct cw_journal_record *record, const void *first,
                    size_t first_size, const void *second, size_t second_size, bool borrow,
                    uint64_t *at) {
    struct batch *b = &jn->filling;
    record->size = first_size + second_size;
    /* Only the last body of a batch lies elsewhere, and only one that ends the record. */
    borrow = borrow && first_size == 0 && second_size > COPIED_MOST;
    size_t copied = borrow ? first_size : first_size + second_size;
    size_t padded = borrow ? copied : (copied + 7) & ~(size_t)7;
    if (b->body || (!borrow && b->used && b->used + padded > WAITING_MOST) ||
        !make_room(b, CW_JOURNAL_RECORD + padded))
        return false;
    record->body = cw_journal_body(first, first_size, second, second_size);
    cw_journal_seal(record, jn->nonce, jn->end);
    char *to = b->bytes + b->used;
    memcpy(to, record, CW_JOURNAL_RECORD);
    if (first_size)
        memcpy(to + CW_JOURNAL_RECORD, first, first_size);
    if (borrow) {
        b->body = second;
        b->body_size = second_size;
    } else if (second_size) {
        memcpy(to + CW_JOURNAL_RECORD + first_size, second, second_size);
    }
    memset(to + CW_JOURNAL_RECORD + copied, 0, padded - copied);
    b->used += CW_JOURNAL_RECORD + padded;
    if (at)
        *at = jn->end + CW_JOURNAL_RECORD;
    jn->end = cw_journal_next(record, jn->end);
    return true;
}

void cw_journal_drop(struct cw_journal *jn) {
    jn->dropped = true;
}

uint64_t cw_journal_ask(struct cw_journal *jn) {
    pthread_mutex_lock(&jn->lock);
    uint64_t ticket = ++jn->asked;
    pthread_cond_signal(&jn->wake);
    pthread_mutex_unlock(&jn->lock);
    return ticket;
}

bool cw_journal_answered(struct cw_journal *jn, uint64_t ticket) {
    pthread_mutex_lock(&jn->lock);
    bool answered = jn->served >= ticket;
    pthread_mutex_unlock(&jn->lock);
    return answered;
}

void cw_journal_flush(struct cw_journal *jn) {
    pthread_mutex_lock(&jn->lock);
    uint64_t ticket = ++jn->asked;
    pthread_cond_signal(&jn->wake);
    while (jn->served < ticket)
        pthread_cond_wait(&jn->served_one, &jn->lock);
    pthread_mutex_unlock(&jn->lock);
}

void cw_journal_hold(struct cw_journal *jn, bool held) {
    pthread_mutex_lock(&jn->lock);
    jn->held = held;
    pthread_mutex_unlock(&jn->lock);
}

int cw_journal_read(struct cw_journal *jn, uint64_t at, void *to, size_t n, crew_error *err) {
    ptrdiff_t got = cw_logfile_read(jn->fd, at, to, n);
    if (got == (ptrdiff_t)n)
        return 0;
    return cw_error_set(err, CREW_EINVAL, got < 0 ? (int)-got : 0,
                        "the journal %.150s cannot be read", jn->path);
}

void cw_journals_flush(void) {
    pthread_mutex_lock(&listed);
    for (struct cw_journal *jn = all; jn; jn = jn->next)
        jn->wanted = cw_journal_ask(jn);
    for (bool waits = true; waits;) {
        waits = false;
        /* One that has begun since is asked too: what it asks for is at least this. */
        for (struct cw_journal *jn = all; jn && !waits; jn = jn->next)
            waits = jn->wanted && !cw_journal_answered(jn, jn->wanted);
        if (waits)
            pthread_cond_wait(&some_served, &listed);
    }
    pthread_mutex_unlock(&listed);
}

/* ---- which file ---- */

int cw_journal_path(struct cw_session *s, const char *asked, bool skips, const char *name,
                    char *path, size_t size, crew_error *err) {
    const char *folder = s->config.journal;
    /* What is done inside a task has no number that is the same in every run, and what a
     * forked child of the program does would have one of its parent's. */
    if (!folder || skips || s->depth > 0 || cw_epoch > 0 || crew_this_call()) {
        if (!asked)
            return 0;
        if ((size_t)snprintf(path, size, "%s", asked) >= size)
            return cw_error_set(err, CREW_EINVAL, 0, "the journal's name is too long");
        return 1;
    }
    if (mkdir(folder, 0777) < 0 && errno != EEXIST)
        return cw_error_set(err, errno == ENOENT ? CREW_ENOENT : CREW_EPERM, errno,
                            "CREW_JOURNAL=%.150s cannot be made", folder);
    int n = name ? snprintf(path, size, "%s/%s", folder, name)
                 : snprintf(path, size, "%s/%u", folder, atomic_fetch_add(&numbers, 1) + 1);
    if (n < 0 || (size_t)n >= size)
        return cw_error_set(err, CREW_EINVAL, 0, "the name of CREW_JOURNAL's folder is too long");
    return 1;
}
