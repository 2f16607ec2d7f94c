/* team/ring.h - a bounded queue of 32-bit values between any processes.
 *
 * Lock-free and safe against death: a push or a pop is one compare-and-swap of
 * a slot; `head` and `tail` only say where to look and are moved on by whoever
 * sees them lag. A process killed anywhere leaves a whole ring. FIFO.
 *
 * A slot is (turn, full, value): turn T with full = 0 awaits the T-th push of
 * this slot, with full = 1 holds it; a pop leaves turn T + 1, empty.
 *
 * | operation | may overlap with |
 * |-----------|------------------|
 * | push, pop | everything       |
 * | size      | everything; an estimate                                    | */
#ifndef CW_TEAM_RING_H
#define CW_TEAM_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cw_ring {
    uint32_t log2_size; /* of the slots */
    uint32_t unused[15];
    _Alignas(64) _Atomic uint64_t tail; /* pushes begun; may lag */
    _Alignas(64) _Atomic uint64_t head; /* pops begun; may lag */
    _Alignas(64) _Atomic uint64_t slots[];
} cw_ring;

/* Bytes that a ring of 2^log2_size slots takes. */
size_t cw_ring_bytes(uint32_t log2_size);
/* Over zeroed memory, aligned to 64. */
void cw_ring_init(cw_ring *ring, uint32_t log2_size);
bool cw_ring_push(cw_ring *ring, uint32_t value); /* false: full */
bool cw_ring_pop(cw_ring *ring, uint32_t *value);
/* The value that a pop would most likely give next: a hint, it may be gone. */
bool cw_ring_peek(const cw_ring *ring, uint32_t *value); /* false: empty */
int64_t cw_ring_size(const cw_ring *ring);
/* How far it has been filled: what was pushed before has been popped by the time
 * cw_ring_past says so of it. */
uint64_t cw_ring_mark(const cw_ring *ring);
bool cw_ring_past(const cw_ring *ring, uint64_t mark);
/* Cheap: two loads. May err while others push and pop. */
bool cw_ring_empty(const cw_ring *ring);

#endif
