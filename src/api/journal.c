/* A journal's file and its thread: what is put, is written and lasts. */
#include "api/journal.h"

#include "api/stop.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/logfile.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

/* So often new records are looked for and put on the disk: durable within a second, also
 * where the disk takes half of that. */
static const int64_t PERIOD_NS = 250000000;
/* What may wait while nothing can be written: what is more is not journalled. Also what is
 * written, and kept in memory, before it is put on the disk. */
enum { WAITING_MOST = 64 << 20 };
/* A body that is larger is not copied where it need not be. */
enum { COPIED_MOST = 1 << 20 };

/* At most so many batches are written before they are put on the disk. */
enum { LINE = 64 };
/* Where there is little room: so many bytes at a time. */
enum { PIECE = 64 << 10 };

/* Records, one behind the other; the body of the last may lie elsewhere. */
struct batch {
    char *bytes;
    size_t used, room;
    size_t from; /* what is before that is in the file */
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
    bool gone;    /* the file has been deleted */
    unsigned told; /* bits of enum trouble */

    /* The thread's own. Invariant: `line` has all that is not known to be on the disk. Its
     * first `written` are in the file, from `durable` on; what is next is to stand at `at`. */
    struct batch line[LINE];
    int count, written;
    uint64_t durable, at;
    struct cw_journal_head head; /* of a file that is new; `headless`: it is not there yet */
    bool headless;
    bool dirty;   /* written, but not known to be on the disk */
    bool careful; /* there was an error: pieces are written, and each is synced */
    bool fresh;   /* nor are its head and its name */
};

/* What its user hears of at once, each once: the work may last for days yet. */
enum trouble { UNWRITTEN = 1, DROPPED = 2, GONE = 4 };

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

/* The head, twice, into a file that has none. */
static int write_head(struct cw_journal *jn) {
    char copies[CW_JOURNAL_START] = {0};
    memcpy(copies, &jn->head, sizeof jn->head);
    memcpy(copies + CW_JOURNAL_COPY, &jn->head, sizeof jn->head);
    struct iovec piece = {copies, sizeof copies};
    int rc = cw_logfile_write(jn->fd, 0, &piece, 1);
    /* Of a file whose length outlived its contents, there may be zeros behind it. */
    if (rc == 0)
        rc = cw_logfile_cut(jn->fd, CW_JOURNAL_START);
    jn->headless = rc < 0;
    jn->dirty = jn->dirty || rc == 0; /* that it lasts, its thread sees to */
    return rc;
}

/* From where it is, whole records of `most` bytes, or one. */
static size_t some_of(const struct batch *b, size_t most) {
    struct cw_journal_record record;
    size_t end = b->from;
    do {
        memcpy(&record, b->bytes + end, sizeof record);
        uint64_t next = cw_journal_next(&record, end);
        if (next > b->used || (end > b->from && next - b->from > most))
            break; /* the one whose body lies elsewhere; or it is enough */
        end = (size_t)next;
    } while (end < b->used);
    return end - b->from;
}

/* All of it, or a part. */
static int write_batch(struct cw_journal *jn, struct batch *b) {
    static const char zeros[8];
    size_t size = jn->careful ? some_of(b, PIECE) : b->used - b->from;
    bool part = size && b->from + size < b->used;
    size = size ? size : b->used - b->from;
    size_t behind = part ? 0 : b->body_size;
    struct iovec pieces[] = {{b->bytes + b->from, size},
                             {(void *)(uintptr_t)b->body, behind},
                             {(void *)(uintptr_t)zeros, (size_t)-behind % 8}};
    int rc = cw_logfile_write(jn->fd, jn->at, pieces, 3);
    if (rc < 0)
        return rc;
    jn->at += size + behind + (size_t)-behind % 8;
    b->from += size;
    jn->written += !part;
    return 0;
}

/* What waits; of that a piece, if care is taken. */
static int write_line(struct cw_journal *jn) {
    int rc = jn->headless ? write_head(jn) : 0;
    bool enough = false;
    while (rc == 0 && jn->written < jn->count && !enough) {
        rc = write_batch(jn, &jn->line[jn->written]);
        jn->dirty = true;
        enough = jn->careful;
    }
    return rc;
}

/* What has been written is on the disk: it need not be kept. */
static void forget_written(struct cw_journal *jn) {
    int left = jn->count - jn->written;
    for (int i = 0; i < jn->written; i++)
        free(jn->line[i].bytes);
    memmove(jn->line, jn->line + jn->written, (size_t)left * sizeof *jn->line);
    memset(jn->line + left, 0, (size_t)jn->written * sizeof *jn->line);
    jn->count = left;
    jn->written = 0;
    jn->durable = jn->at;
    if (left && jn->line[0].from) {
        struct batch *b = &jn->line[0];
        memmove(b->bytes, b->bytes + b->from, b->used - b->from);
        b->used -= b->from;
        b->from = 0;
    }
}

/* After any error since the last good sync. What it was about nobody can tell: on NFS a full
 * disk is told of by some later call, and once, and the disk may have lost what a failed sync
 * was about, whatever the next one says. So all of it is written again; in pieces, since
 * there may be room for some. */
static void write_again(struct cw_journal *jn) {
    for (int i = 0; i < jn->count; i++)
        jn->line[i].from = 0;
    jn->written = 0;
    jn->at = jn->durable;
    jn->headless = jn->fresh;
    jn->dirty = false;
    jn->careful = true;
    cw_logfile_cut(jn->fd, jn->at); /* no half record, if that can be helped */
}

/* Writes what is in the line, and puts it on the disk if there is enough of it, or no `more`.
 * Without the lock. */
static int write_out(struct cw_journal *jn, bool more) {
    int rc = write_line(jn);
    bool much = jn->count == LINE || jn->at - jn->durable >= WAITING_MOST || jn->careful;
    if (rc == 0 && jn->dirty && (much || !more)) {
        rc = jn->fresh ? cw_logfile_sync_name(jn->fd) : cw_logfile_sync(jn->fd);
        if (rc == 0) {
            jn->dirty = jn->fresh = false;
            forget_written(jn);
        }
    }
    if (rc < 0)
        write_again(jn);
    return rc;
}

static void note_result(struct cw_journal *jn, int trouble, int rc) {
    jn->sys = -rc;
    if (!jn->first_sys)
        jn->first_sys = trouble ? -trouble : -rc;
}

/* On stderr, what is new: who asks for the outcome hears of it in the end only. On the
 * journal's thread, or after it; with the lock, which it gives up meanwhile. */
static void tell_trouble(struct cw_journal *jn) {
    unsigned now =
        (jn->first_sys ? UNWRITTEN : 0) | (jn->dropped ? DROPPED : 0) | (jn->gone ? GONE : 0);
    unsigned news = now & ~jn->told;
    int sys = jn->sys ? jn->sys : jn->first_sys;
    jn->told |= now;
    if (!news)
        return;
    pthread_mutex_unlock(&jn->lock);
    if (news & UNWRITTEN)
        fprintf(stderr,
                "crew: journal %s: %s. The work goes on, and what is finished is to be written "
                "later\n",
                jn->path, strerror(sys));
    if (news & DROPPED)
        fprintf(stderr,
                "crew: journal %s: %s. It is not complete: what is missing runs again next time\n",
                jn->path, strerror(sys ? sys : ENOMEM));
    if (news & GONE)
        fprintf(stderr,
                "crew: journal %s: the file has been deleted. The work goes on without it\n",
                jn->path);
    pthread_mutex_lock(&jn->lock);
}

/* Takes what is new into the line, if all that is there has been written. With the lock.
 * Returns whether there may be more. */
static bool take_more(struct cw_journal *jn) {
    if (jn->written < jn->count)
        return true;
    bool enough = jn->filling.used >= COPIED_MOST;
    bool more = enough || (jn->collect && !jn->held && jn->collect(jn->ctx));
    if (jn->filling.used) {
        jn->line[jn->count++] = jn->filling;
        jn->filling = (struct batch){0};
    }
    return more;
}

/* Everything that is there to be written. With the lock, which it gives up meanwhile. */
static void pass(struct cw_journal *jn) {
    uint64_t ticket = jn->asked;
    bool more = true;
    int rc = 0, trouble = 0;
    while (more && rc == 0) {
        bool again = jn->careful;
        more = take_more(jn);
        pthread_mutex_unlock(&jn->lock);
        rc = write_out(jn, more);
        bool gone = cw_logfile_gone(jn->fd);
        pthread_mutex_lock(&jn->lock);
        jn->gone = gone;
        if (rc < 0 && !again) { /* at once, in pieces */
            trouble = rc;
            more = true;
            rc = 0;
        }
    }
    jn->careful = rc < 0;
    note_result(jn, trouble, rc);
    tell_trouble(jn);
    jn->served = ticket;
    pthread_cond_broadcast(&jn->served_one);
}

static void *serve(void *arg) {
    struct cw_journal *jn = arg;
    /* Also the one that says that a file would be larger than it may be. */
    sigset_t signals;
    sigfillset(&signals);
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
    pthread_mutex_lock(&jn->lock);
    for (bool last = false; !last;) {
        int64_t next = cw_now_ns() + PERIOD_NS, left = PERIOD_NS;
        for (; !jn->quit && jn->asked == jn->served && left > 0; left = next - cw_now_ns())
            cw_clocked_wait(&jn->wake, &jn->lock, left);
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
    jn->dropped = jn->dropped || jn->count || jn->filling.used;
    pthread_mutex_unlock(&jn->lock);
    return NULL;
}

/* ---- opening ---- */

static ptrdiff_t read_file(void *ctx, uint64_t at, void *to, size_t size) {
    const struct cw_journal *jn = ctx;
    return cw_logfile_read(jn->fd, at, to, size);
}

/* A disk that is full now may not be so later: the head is then written with the first
 * records that can be. */
static int begin_file(struct cw_journal *jn, const struct cw_journal_head *want, crew_error *err) {
    jn->head = *want;
    if (getrandom(&jn->head.nonce, sizeof jn->head.nonce, 0) != (ssize_t)sizeof jn->head.nonce)
        return cw_error_set(err, CREW_EINVAL, errno, "the system has no random numbers");
    cw_journal_seal_head(&jn->head);
    int rc = write_head(jn);
    if (rc < 0 && rc != -ENOSPC && rc != -EDQUOT)
        return cw_error_set(err, CREW_EINVAL, -rc, "the journal %.150s cannot be begun", jn->path);
    jn->nonce = jn->head.nonce;
    jn->durable = jn->at = jn->end = CW_JOURNAL_START;
    jn->fresh = true;
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
    jn->durable = jn->at = jn->end = seen.end;
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
    for (int i = 0; i < jn->count; i++)
        free(jn->line[i].bytes);
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
    pthread_mutex_init(&jn->lock, NULL);
    cw_clocked_init(&jn->wake);
    pthread_cond_init(&jn->served_one, NULL);
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
    if (jn->opened[0])
        fprintf(stderr, "crew: journal %s: %s\n", path, jn->opened);
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
    cw_stop_journalled(jn->session);
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
    const char *end = jn->gone ? "the file has been deleted"
                      : !lost  ? ""
                               : strerror(jn->sys         ? jn->sys
                                          : jn->first_sys ? jn->first_sys
                                                          : ENOMEM);
    if (jn->opened[0] || lost || jn->gone)
        snprintf(note, size, "journal %.100s: %.120s%s%s%.60s", jn->path, jn->opened,
                 jn->opened[0] && *end ? "; " : "", lost && !jn->gone ? "it is not complete: " : "",
                 end);
    pthread_mutex_unlock(&jn->lock);
}

/* What has happened at the very end, where nobody takes a note. */
static void tell_last(struct cw_journal *jn) {
    pthread_mutex_lock(&jn->lock);
    tell_trouble(jn);
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
    else
        tell_last(jn);
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

bool cw_journal_put(struct cw_journal *jn, struct cw_journal_record *record,
                    const struct cw_journal_pieces *body, uint64_t *at) {
    struct batch *b = &jn->filling;
    const size_t front = body->front_size, size = front + body->size;
    record->size = size;
    /* Only the last body of a batch lies elsewhere, and only one that ends the record. */
    const bool borrow = body->borrow && front == 0 && size > COPIED_MOST;
    size_t copied = borrow ? 0 : size;
    size_t padded = borrow ? copied : (copied + 7) & ~(size_t)7;
    if (b->body || (!borrow && b->used && b->used + padded > WAITING_MOST) ||
        !make_room(b, CW_JOURNAL_RECORD + padded))
        return false;
    record->body = cw_journal_body(body->front, front, body->data, body->size);
    cw_journal_seal(record, jn->nonce, jn->end);
    char *to = b->bytes + b->used;
    memcpy(to, record, CW_JOURNAL_RECORD);
    if (front)
        memcpy(to + CW_JOURNAL_RECORD, body->front, front);
    if (borrow) {
        b->body = body->data;
        b->body_size = body->size;
    } else if (body->size) {
        memcpy(to + CW_JOURNAL_RECORD + front, body->data, body->size);
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
