/* support/fleetsim_parts.h - what the simulated fleet is made of, beside its nodes: how long
 * items take (fleetsim_lengths.c), and what happens when (fleetsim_events.c). */
#ifndef FLEETSIM_PARTS_H
#define FLEETSIM_PARTS_H

#include "support/fleetsim.h"

/* realloc, or the end of the program. */
void *fleetsim_room(void *old, size_t size);

/* Of items [lo, hi) together. */
double fleetsim_range_ns(const struct fleetsim *how, int64_t lo, int64_t hi);

/* 16 bytes: there is one for each worker. */
struct fleetsim_event {
    int64_t at;
    uint32_t turn; /* equal times: first in, first out */
    uint32_t kind : 4, arg : 28;
};

/* Zeros: none. A heap with four children a node. */
struct fleetsim_events {
    struct fleetsim_event *heap;
    size_t count, cap;
    uint32_t turn;
};
void fleetsim_at(struct fleetsim_events *q, int64_t at, int kind, int arg);
/* The earliest, which is taken away. There is one. */
struct fleetsim_event fleetsim_first(struct fleetsim_events *q);

#endif
