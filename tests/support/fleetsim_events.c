/* What happens when in a simulated fleet. */
#include "support/fleetsim_parts.h"

#include <stdio.h>
#include <stdlib.h>

void *fleetsim_room(void *old, size_t size) {
    void *more = realloc(old, size);
    if (!more) {
        fprintf(stderr, "no memory for the simulation\n");
        abort();
    }
    return more;
}

static bool earlier(const struct fleetsim_event *a, const struct fleetsim_event *b) {
    return a->at != b->at ? a->at < b->at : (int32_t)(a->turn - b->turn) < 0;
}

void fleetsim_at(struct fleetsim_events *q, int64_t at, int kind, int arg) {
    if (q->count == q->cap) {
        q->cap = q->cap ? 2 * q->cap : 1024;
        q->heap = fleetsim_room(q->heap, q->cap * sizeof *q->heap);
    }
    struct fleetsim_event e = {at, q->turn++, (uint32_t)kind & 0xf, (uint32_t)arg & 0xfffffff};
    size_t i = q->count++;
    for (; i > 0 && earlier(&e, &q->heap[(i - 1) / 4]); i = (i - 1) / 4)
        q->heap[i] = q->heap[(i - 1) / 4];
    q->heap[i] = e;
}

struct fleetsim_event fleetsim_first(struct fleetsim_events *q) {
    struct fleetsim_event first = q->heap[0], last = q->heap[--q->count];
    size_t i = 0;
    for (;;) {
        size_t low = 0, child = 4 * i + 1;
        for (size_t c = child; c < child + 4 && c < q->count; c++)
            if (low == 0 || earlier(&q->heap[c], &q->heap[low]))
                low = c;
        if (low == 0 || !earlier(&q->heap[low], &last))
            break;
        q->heap[i] = q->heap[low];
        i = low;
    }
    q->heap[i] = last;
    return first;
}
