/* Why it is right: `tail` is moved from t to t + 1 only by one who has seen slot
 * t mod size pushed in turn t, so all pushes below tail have happened, and the
 * slot at tail decides whose push is next. A stale t fails, because its slot's
 * turn has moved on. The same for head. A counter that lags because its pusher
 * died is moved by the next one who meets the slot. */
#include "team/ring.h"

static const uint64_t FULL = (uint64_t)1 << 32;
static const uint32_t TURN_MASK = 0x7fffffff;

static uint64_t slot_word(uint32_t turn, uint64_t full, uint32_t value) {
    return (uint64_t)(turn & TURN_MASK) << 33 | full | value;
}

/* How far the slot's turn is ahead of `turn`, modulo 2^31. */
static int32_t turns_ahead(uint64_t slot, uint32_t turn) {
    return (int32_t)(((uint32_t)(slot >> 33) - turn) << 1) >> 1;
}

static uint64_t mask_of(const cw_ring *ring) {
    return ((uint64_t)1 << ring->log2_size) - 1;
}

size_t cw_ring_bytes(uint32_t log2_size) {
    size_t bytes = sizeof(cw_ring) + (sizeof(uint64_t) << log2_size);
    return (bytes + 63) / 64 * 64;
}

void cw_ring_init(cw_ring *ring, uint32_t log2_size) {
    ring->log2_size = log2_size;
}

/* Moves a counter from `seen` on, unless somebody has. Release, because who sees
 * it moved must see the slot; pairs with the acquire loads of head and tail. */
static void move_on(_Atomic uint64_t *counter, uint64_t seen) {
    atomic_compare_exchange_strong_explicit(counter, &seen, seen + 1, memory_order_release,
                                            memory_order_relaxed);
}

bool cw_ring_push(cw_ring *ring, uint32_t value) {
    for (;;) {
        /* Pairs with the release in move_on. */
        uint64_t t = atomic_load_explicit(&ring->tail, memory_order_acquire);
        uint32_t turn = (uint32_t)(t >> ring->log2_size) & TURN_MASK;
        _Atomic uint64_t *slot = &ring->slots[t & mask_of(ring)];
        /* Pairs with the release of the pop that emptied the slot. */
        uint64_t seen = atomic_load_explicit(slot, memory_order_acquire);
        int32_t ahead = turns_ahead(seen, turn);
        if (ahead < 0) /* the value of the turn before is still there */
            return false;
        if (ahead == 0 && !(seen & FULL)) {
            /* Pairs with the acquire in cw_ring_pop: what the pusher wrote
             * before is visible to who gets the value. */
            if (!atomic_compare_exchange_strong_explicit(slot, &seen, slot_word(turn, FULL, value),
                                                         memory_order_acq_rel,
                                                         memory_order_relaxed))
                continue;
            move_on(&ring->tail, t);
            return true;
        }
        move_on(&ring->tail, t);
    }
}

bool cw_ring_pop(cw_ring *ring, uint32_t *value) {
    for (;;) {
        /* Pairs with the release in move_on. */
        uint64_t h = atomic_load_explicit(&ring->head, memory_order_acquire);
        uint32_t turn = (uint32_t)(h >> ring->log2_size) & TURN_MASK;
        _Atomic uint64_t *slot = &ring->slots[h & mask_of(ring)];
        /* Pairs with the release in cw_ring_push. */
        uint64_t seen = atomic_load_explicit(slot, memory_order_acquire);
        int32_t ahead = turns_ahead(seen, turn);
        if (ahead == 0 && !(seen & FULL))
            return false;
        if (ahead == 0) {
            /* Pairs with the acquire of the push that reuses the slot. */
            if (!atomic_compare_exchange_strong_explicit(slot, &seen, slot_word(turn + 1, 0, 0),
                                                         memory_order_acq_rel,
                                                         memory_order_relaxed))
                continue;
            move_on(&ring->head, h);
            *value = (uint32_t)seen;
            return true;
        }
        move_on(&ring->head, h);
    }
}

bool cw_ring_peek(const cw_ring *ring, uint32_t *value) {
    /* Pairs with the release in move_on. */
    uint64_t h = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint32_t turn = (uint32_t)(h >> ring->log2_size) & TURN_MASK;
    /* Pairs with the release in cw_ring_push. */
    uint64_t seen = atomic_load_explicit(&ring->slots[h & mask_of(ring)], memory_order_acquire);
    *value = (uint32_t)seen;
    return turns_ahead(seen, turn) == 0 && (seen & FULL);
}

int64_t cw_ring_size(const cw_ring *ring) {
    /* Head first: it cannot then be seen past a tail read later. Pairs with the
     * release in move_on. */
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    int64_t size = (int64_t)(tail - head);
    int64_t most = (int64_t)1 << ring->log2_size;
    return size < 0 ? 0 : size < most ? size : most;
}

/* One further than tail, which may lag behind a value whose pusher died. */
uint64_t cw_ring_mark(const cw_ring *ring) {
    return atomic_load_explicit(&ring->tail, memory_order_acquire) + 1;
}

bool cw_ring_past(const cw_ring *ring, uint64_t mark) {
    /* Head lags at most by one, too; a ring that is empty is past everything. */
    return atomic_load_explicit(&ring->head, memory_order_acquire) >= mark || cw_ring_empty(ring);
}

/* The slot at head, because tail may lag behind a value whose pusher died. */
bool cw_ring_empty(const cw_ring *ring) {
    /* Pairs with the release in move_on. */
    uint64_t h = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint32_t turn = (uint32_t)(h >> ring->log2_size) & TURN_MASK;
    /* Pairs with the release in cw_ring_push. */
    uint64_t seen = atomic_load_explicit(&ring->slots[h & mask_of(ring)], memory_order_acquire);
    return turns_ahead(seen, turn) == 0 && !(seen & FULL);
}
