#include "share/ferry.h"

#include "os/futex.h"
#include "os/robust.h"
#include "share/desk.h"

cw_off cw_ferry_make(struct cw_share *share, crew_error *err) {
    cw_off at = cw_alloc_zero(&share->arena, sizeof(struct cw_ferry), NULL, err);
    struct cw_ferry *ferry = cw_ptr(&share->arena, at);
    if (at)
        cw_robust_init(&ferry->adopting);
    return at;
}

struct cw_boat *cw_boat_find(struct cw_ferry *ferry, uint32_t hand) {
    for (int i = 0; i < CW_BOATS; i++) {
        struct cw_boat *boat = &ferry->boats[(hand + (uint32_t)i) % CW_BOATS];
        uint32_t free = 0;
        if (atomic_load_explicit(&boat->word, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&boat->word, &free, cw_boat_word(CW_BOAT_TAKEN, hand)))
            return boat;
    }
    return NULL;
}

void cw_boat_post(struct cw_share *share, struct cw_boat *boat, uint32_t hand) {
    struct cw_ferry *ferry = cw_ferry(share);
    atomic_store(&boat->word, cw_boat_word(CW_BOAT_ASKED, hand));
    /* Pairs with the agent's: it sets its word, then looks at `asked`. */
    atomic_fetch_add(&ferry->asked, 1);
    cw_post_wake(share);
}

void cw_boat_leave(struct cw_share *share, struct cw_boat *boat) {
    struct cw_ferry *ferry = cw_ferry(share);
    atomic_store(&boat->word, 0);
    if (!ferry)
        return;
    atomic_fetch_add(&ferry->freed, 1);
    cw_futex_wake(&ferry->freed, 1);
}

void cw_ferry_forget(struct cw_share *share, uint32_t hand) {
    struct cw_ferry *ferry = cw_ferry(share);
    for (int i = 0; ferry && i < CW_BOATS; i++) {
        struct cw_boat *boat = &ferry->boats[i];
        uint32_t word = atomic_load(&boat->word);
        while (word && (word & 0x0fffffff) == hand) {
            bool out = cw_boat_phase(word) == CW_BOAT_ASKED || cw_boat_phase(word) == CW_BOAT_OUT;
            uint32_t next = out ? cw_boat_word(cw_boat_phase(word) == CW_BOAT_ASKED
                                                   ? CW_BOAT_ASKED : CW_BOAT_ORPHAN, 0) : 0;
            if (atomic_compare_exchange_strong(&boat->word, &word, next))
                break;
        }
    }
}

struct cw_boat *cw_ferry_next(struct cw_ferry *ferry, int *from) {
    for (; *from < CW_BOATS; ++*from) {
        struct cw_boat *boat = &ferry->boats[*from];
        uint32_t word = atomic_load(&boat->word);
        while (cw_boat_phase(word) == CW_BOAT_ASKED) {
            uint32_t hand = word & 0x0fffffff;
            uint32_t next = cw_boat_word(hand ? CW_BOAT_OUT : CW_BOAT_ORPHAN, hand);
            if (atomic_compare_exchange_strong(&boat->word, &word, next)) {
                ++*from;
                return boat;
            }
        }
    }
    return NULL;
}

void cw_boat_back(struct cw_ferry *ferry, struct cw_boat *boat) {
    uint32_t word = atomic_load(&boat->word), next;
    do {
        uint32_t hand = word & 0x0fffffff;
        next = cw_boat_phase(word) == CW_BOAT_OUT && hand ? cw_boat_word(CW_BOAT_BACK, hand) : 0;
    } while (!atomic_compare_exchange_strong(&boat->word, &word, next));
    if (next) {
        cw_futex_wake(&boat->word, 1);
    } else {
        atomic_fetch_add(&ferry->freed, 1);
        cw_futex_wake(&ferry->freed, 1);
    }
}
