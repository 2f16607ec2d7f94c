/* api/journal.h - journals as the manager writes them.
 *
 * A journal has a thread, which takes what is new a few times a second, writes it and has
 * it put on the disk; whoever runs tasks never waits for it. It asks its owner for records
 * (`collect`), or is given them (cw_journal_put).
 *
 * Lock order: a journal's lock is innermost. */
#ifndef CW_API_JOURNAL_H
#define CW_API_JOURNAL_H

#include "api/pool_impl.h"
#include "journal/format.h"

struct cw_journal;

struct cw_journal_ask {
    struct cw_session *session;
    const char *path;
    struct cw_journal_head want; /* the fingerprint; magic, nonce and check are filled in */
    /* Called for each record that is there, before this returns. */
    cw_journal_found *found;
    void *found_ctx;
    /* Puts what is new, a few MiB at most; true: there is more. With the journal's lock, on
     * its thread. NULL: all is put by others. */
    bool (*collect)(void *ctx);
    void *ctx;
};

/* Opens, locks, compares, reads. NULL with the reason: CREW_EMISMATCH where it is of other
 * work, CREW_EPERM where another job has it. *journal is set before `found` is called. */
int cw_journal_open(const struct cw_journal_ask *ask, struct cw_journal **journal, crew_error *err);
/* From now on its thread is at work. */
int cw_journal_start(struct cw_journal *jn, crew_error *err);
/* Writes what is left, waits until it is on the disk, ends. `note`, if there is anything to
 * tell, gets it (else it is as it was). NULL is fine. */
void cw_journal_close(struct cw_journal *jn, char *note, size_t size);
/* What there was to tell when it was opened, and what has happened since. Empty: nothing. */
void cw_journal_note(struct cw_journal *jn, char *note, size_t size);

void cw_journal_lock(struct cw_journal *jn);
void cw_journal_unlock(struct cw_journal *jn);
/* The body of a record: what stands in front, if anything, and its data. */
struct cw_journal_pieces {
    const void *front;
    size_t front_size;
    const void *data;
    size_t size;
    bool borrow; /* the data stays as it is until the journal is closed, and need not be copied */
};

/* Appends a record. With the lock. at: where its body will lie (NULL: nobody asks). False:
 * there is no memory for it, or too much is waiting that cannot be written. */
bool cw_journal_put(struct cw_journal *jn, struct cw_journal_record *record,
                    const struct cw_journal_pieces *body, uint64_t *at);
/* All that has been put, or is there to be collected, before this call: asks for it, and
 * says what to wait for. Without the lock. */
uint64_t cw_journal_ask(struct cw_journal *jn);
bool cw_journal_answered(struct cw_journal *jn, uint64_t ticket);
/* Returns when that is on the disk, or cannot be written. */
void cw_journal_flush(struct cw_journal *jn);
/* While held, it does not collect. */
void cw_journal_hold(struct cw_journal *jn, bool held);
/* Something could not be put, and never will be. With the lock. */
void cw_journal_drop(struct cw_journal *jn);
/* A failure that is an item's own: other codes mean that it could not be run then. */
static inline bool cw_journal_keeps(int status) {
    return status == CREW_EFAILED || status == CREW_EDIED || status == CREW_ELIMIT;
}
/* n bytes of the file. 0, or a code. */
int cw_journal_read(struct cw_journal *jn, uint64_t at, void *to, size_t n, crew_error *err);

/* Which file a map is to have: the code's, or one of CREW_JOURNAL's folder; NULL: none.
 * `skips` says that the environment may not decide it. `name` NULL: the next number. */
int cw_journal_path(struct cw_session *s, const char *asked, bool skips, const char *name,
                    char *path, size_t size, crew_error *err);

/* ---- maps (journal_map.c) ---- */

struct cw_job_spec;
struct crew_job;
/* If it is to have one: takes what is finished from there. 0 or the reason. */
int cw_job_journal_begin(crew_pool *p, crew_job *j, const struct cw_job_spec *s, crew_error *err);
/* Of a job that is BETWEEN or RETIRED: is all written? Asks for it, and the session's bell
 * rings when it is. */
bool cw_job_journal_settled(crew_job *j);
/* Around the change to the next slice. */
void cw_job_journal_slice_over(crew_job *j);
void cw_job_journal_slice(crew_job *j);
/* All is written. The job's memory is still there. */
void cw_job_journal_end(crew_job *j);
/* What is finished now is on the disk when this returns, of all that this process has in
 * journals, or cannot be written. It waits for a disk: not on the service thread, not with a
 * lock. */
void cw_journals_flush(void);
/* In a forked child, which has none of its parent's. */
void cw_journals_forked(void);

#endif
