/* Chunk sizes. */
#include "sched/chunk.h"

#include <crew/pool.h>

int cw_chunk_measures(const struct cw_chunk_rule *rule) {
    return rule->schedule == CREW_SCHED_AUTO && rule->chunk == 0;
}

static int64_t at_least(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t share(int64_t items, int64_t parts) {
    return items / parts + (items % parts != 0);
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* How many items like those last seen take `ns`, at most `most`. As a real
 * number: whatever a clock that jumps has made of the last claim, this does not
 * overflow. */
static int64_t worth(const struct cw_chunk_seen *seen, int64_t ns, int64_t most) {
    double items = (double)seen->items * (double)ns / (double)at_least(seen->ns, 1);
    return items < (double)most ? (int64_t)items : most;
}

static int64_t automatic(const struct cw_chunk_rule *rule, int64_t left,
                         const struct cw_chunk_seen *seen) {
    if (seen->items == 0)
        return 1;
    /* Near the end claims shrink with what is left, so that nobody is handed the
     * last big one while the others go home. At the beginning they grow with what
     * has been handed out: where the first items are the dear ones, most of the
     * work may lie in few of them. */
    int64_t fair = least(left, rule->count - left) / (4 * rule->workers);
    int64_t most = share(left, rule->workers);
    if (seen->items < most / CW_CHUNK_GROWTH)
        most = seen->items * CW_CHUNK_GROWTH;
    int64_t size = worth(seen, CW_CHUNK_AIM_NS, most);
    return at_least(least(size, at_least(fair, worth(seen, CW_CHUNK_FLOOR_NS, most))), 1);
}

int64_t cw_chunk_size(const struct cw_chunk_rule *rule, int64_t left,
                      const struct cw_chunk_seen *seen) {
    switch (rule->schedule) {
    case CREW_SCHED_STATIC:
        return rule->chunk ? rule->chunk : at_least(share(rule->count, rule->workers), 1);
    case CREW_SCHED_DYNAMIC:
        return rule->chunk ? rule->chunk : 1;
    case CREW_SCHED_GUIDED:
        return at_least(share(left, 2 * rule->workers), at_least(rule->chunk, 1));
    default:
        return rule->chunk ? rule->chunk : automatic(rule, left, seen);
    }
}
