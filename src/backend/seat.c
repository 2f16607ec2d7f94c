/* Ends of members, and the bell that tells of them. */
#include "backend/seat.h"

#include "os/futex.h"

void cw_bell_ring(struct cw_bell *bell) {
    atomic_fetch_add(&bell->count, 1);
    cw_futex_wake(&bell->count, INT32_MAX);
}

void cw_seat_end(struct cw_seat *seat, struct cw_bell *bell, int status) {
    atomic_store_explicit(&seat->status, status, memory_order_relaxed);
    /* Pairs with the supervisor's acquire of the state. */
    atomic_store_explicit(&seat->state, CW_SEAT_ENDED, memory_order_release);
    cw_futex_wake(&seat->state, INT32_MAX);
    atomic_fetch_add(&bell->deaths, 1);
    cw_bell_ring(bell);
}
