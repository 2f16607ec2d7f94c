/* Parties and hands: who is there, and what becomes of the dead. */
#include "share/desk.h"
#include "share/ferry.h"

#include "base/error.h"
#include "os/futex.h"
#include "os/robust.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local struct cw_self cw_self_now;

/* Threads end at any moment, also while another ends the session. */
static pthread_mutex_t leaving = PTHREAD_MUTEX_INITIALIZER;
static unsigned kept; /* hands of threads that ended while something named them */
static _Atomic int threads; /* of this process that have a hand and go on */

bool cw_hands_others(void) {
    return atomic_load(&threads) > (cw_self_if_any() != NULL);
}

void cw_hands_stale(void) {
    pthread_mutex_lock(&leaving);
    cw_share_era++;
    kept = 0;
    atomic_store(&threads, 0);
    pthread_mutex_unlock(&leaving);
}

void cw_hands_forked(void) {
    pthread_mutex_init(&leaving, NULL);
    cw_share_era++;
    kept = 0;
    atomic_store(&threads, 0);
}

/* ---- parties ---- */

static int make_party(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_party *party = (struct cw_party *)head;
    (void)share, (void)err, (void)arg;
    /* Once in the cell's life: somebody may still be trying the mutex on behalf of
     * the party before. */
    if (atomic_load_explicit(&head->generation, memory_order_relaxed) == 0) {
        cw_robust_init(&party->alive);
        cw_robust_init(&party->asked);
    }
    if (cw_robust_lock(&party->alive) == EOWNERDEAD)
        pthread_mutex_consistent(&party->alive);
    atomic_store(&party->pid, getpid());
    return 0;
}

int cw_party_join(struct cw_share *share, crew_error *err) {
    uint64_t place, check;
    int rc = cw_object_make(share, CW_PARTY, make_party, NULL, &place, &check, err);
    if (rc == 0) {
        const struct cw_party *party = cw_object(share, CW_PARTY, place, check);
        share->party = party->head.number + 1;
    }
    return rc;
}

static void free_hand(struct cw_share *share, struct cw_hand *hand) {
    cw_ferry_forget(share, hand->head.number + 1);
    for (int i = 0; i < CW_HAND_BLOCKS; i++)
        cw_free_cell(&share->arena, &hand->block[i]);
    cw_free_cell(&share->arrays, &hand->array);
    uint64_t place = cw_share_off(share, hand) | (uint64_t)CW_HAND << 48;
    uint64_t check = cw_handle_check(share, atomic_load(&hand->head.generation));
    cw_object_end(share, CW_HAND, place, check);
}

static bool is_hand_of(const struct cw_hand *hand, uint32_t party) {
    return cw_head_live(&hand->head) && hand->party == party;
}

/* Whoever was woken in the dead one's place, or would have been, looks again. */
static void wake_neighbours(struct cw_share *share, struct cw_hand *hand) {
    cw_off at = atomic_load(&hand->at);
    if (at)
        cw_futex_wake((_Atomic uint32_t *)(void *)(share->root.base + at), INT32_MAX);
}

/* Holding `alive`, so that nobody else buries it. If this process dies in the
 * middle the next one begins anew. */
static void bury(struct cw_share *share, struct cw_party *party) {
    uint32_t number = party->head.number + 1;
    for (int kind = 1; kind < CW_KINDS; kind++) {
        const struct cw_kind *ops = cw_kind(kind);
        for (uint32_t i = 0, n = ops->bury ? cw_cells(share, kind) : 0; i < n; i++) {
            struct cw_head *head = cw_cell(share, kind, i);
            if (cw_head_live(head))
                ops->bury(share, head, number);
        }
    }
    for (uint32_t i = 0, n = cw_cells(share, CW_HAND); i < n; i++) {
        struct cw_hand *hand = cw_hand_at(share, i);
        if (!is_hand_of(hand, number))
            continue;
        wake_neighbours(share, hand);
        free_hand(share, hand);
    }
    uint64_t place = cw_share_off(share, party) | (uint64_t)CW_PARTY << 48;
    uint64_t check = cw_handle_check(share, atomic_load(&party->head.generation));
    cw_object_end(share, CW_PARTY, place, check);
}

/* Holding `asked`. 0: it is gone, and was buried, earlier; EOWNERDEAD: now; EBUSY: it
 * is alive. */
static int ask(struct cw_share *share, struct cw_party *party) {
    int rc = cw_head_live(&party->head) ? pthread_mutex_trylock(&party->alive) : ENOENT;
    if (rc == ENOENT)
        return 0;
    if (rc == EOWNERDEAD) {
        bury(share, party);
        pthread_mutex_consistent(&party->alive);
    }
    if (rc != EBUSY)
        pthread_mutex_unlock(&party->alive);
    return rc;
}

/* True if it was dead, and has been buried by this call. */
static bool bury_if_dead(struct cw_share *share, struct cw_party *party) {
    int rc = cw_head_live(&party->head) ? pthread_mutex_trylock(&party->asked) : EBUSY;
    if (rc == EBUSY)
        return false;
    if (rc == EOWNERDEAD)
        pthread_mutex_consistent(&party->asked);
    rc = ask(share, party);
    pthread_mutex_unlock(&party->asked);
    return rc == EOWNERDEAD;
}

bool cw_party_dead(struct cw_share *share, uint32_t number) {
    struct cw_party *party = (struct cw_party *)cw_cell(share, CW_PARTY, number - 1);
    if (cw_robust_lock(&party->asked) == EOWNERDEAD)
        pthread_mutex_consistent(&party->asked);
    int rc = ask(share, party);
    pthread_mutex_unlock(&party->asked);
    return rc != EBUSY;
}

int cw_party_bury(struct cw_share *share) {
    int dead = 0;
    for (uint32_t i = 0, n = cw_cells(share, CW_PARTY); i < n; i++)
        dead += bury_if_dead(share, (struct cw_party *)cw_cell(share, CW_PARTY, i));
    return dead;
}

void cw_party_part(struct cw_share *share) {
    struct cw_party *party = (struct cw_party *)cw_cell(share, CW_PARTY, share->party - 1);
    pthread_mutex_lock(&leaving);
    bury(share, party);
    share->party = 0;
    pthread_mutex_unlock(&leaving);
    pthread_mutex_unlock(&party->alive);
    atomic_fetch_sub(&threads, cw_self_if_any() != NULL);
    cw_self_now = (struct cw_self){0};
}

/* ---- hands ---- */

bool cw_hand_dead(struct cw_share *share, uint32_t number) {
    const struct cw_hand *hand = cw_hand_at(share, number);
    uint32_t party = hand->party;
    if (!cw_head_live(&hand->head) || party == 0)
        return false; /* the word that named it has changed, or is about to */
    return bury_if_dead(share, (struct cw_party *)cw_cell(share, CW_PARTY, party - 1));
}

static pthread_key_t at_thread_end;

static bool is_named(struct cw_share *share, uint32_t hand) {
    for (int kind = 1; kind < CW_KINDS; kind++) {
        const struct cw_kind *ops = cw_kind(kind);
        for (uint32_t i = 0, n = ops->names ? cw_cells(share, kind) : 0; i < n; i++)
            if (ops->names(cw_cell(share, kind, i), hand))
                return true;
    }
    return false;
}

/* What a thread held when it ended stays held, as it does in Python; when another has
 * released it nothing names its hand any more. */
static void free_kept(struct cw_share *share) {
    kept = 0;
    for (uint32_t i = 0, n = cw_cells(share, CW_HAND); i < n; i++) {
        struct cw_hand *hand = cw_hand_at(share, i);
        if (!is_hand_of(hand, share->party) || !hand->over)
            continue;
        if (is_named(share, i + 1))
            kept++;
        else
            free_hand(share, hand);
    }
}

static void thread_ends(void *self) {
    struct cw_self *mine = self;
    pthread_mutex_lock(&leaving);
    if (mine->hand && mine->era == cw_share_era)
        atomic_fetch_sub(&threads, 1);
    if (mine->hand && mine->era == cw_share_era && mine->share->party) {
        bool holds = mine->hand->holds > 0;
        mine->hand->over = 1;
        if (mine->hand->desk)
            cw_desk_leave(mine->share, mine->hand);
        if (!holds)
            free_hand(mine->share, mine->hand);
        if (holds || kept)
            free_kept(mine->share);
    }
    pthread_mutex_unlock(&leaving);
    *mine = (struct cw_self){0};
}

static void make_key(void) {
    pthread_key_create(&at_thread_end, thread_ends);
}

static int make_hand(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_hand *hand = (struct cw_hand *)head;
    (void)arg, (void)err;
    hand->party = share->party;
    hand->holds = 0;
    hand->over = 0;
    atomic_store(&hand->at, 0);
    atomic_store(&hand->waits_for, 0);
    hand->desk = 0;
    return 0;
}

struct cw_self *cw_self_make(struct cw_share *share, crew_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_key);
    uint64_t place, check;
    if (cw_object_make(share, CW_HAND, make_hand, NULL, &place, &check, err) < 0)
        return NULL;
    struct cw_hand *hand = cw_object(share, CW_HAND, place, check);
    cw_self_now = (struct cw_self){
        .share = share, .hand = hand, .number = hand->head.number, .era = cw_share_era};
    pthread_setspecific(at_thread_end, &cw_self_now);
    atomic_fetch_add(&threads, 1);
    return &cw_self_now;
}
