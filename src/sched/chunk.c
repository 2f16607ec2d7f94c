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

static int64_t automatic(const struct cw_chunk_rule *rule, int64_t left,
                         const struct cw_chunk_seen *seen) {
    if (seen->items == 0)
        return 1;
    int64_t ns = at_least(seen->ns, 1);
    /* items * AIM / ns, without overflow for claims of any length */
    int64_t size = ns >= CW_CHUNK_AIM_NS * seen->items
                       ? 1
                       : (int64_t)((double)seen->items * CW_CHUNK_AIM_NS / (double)ns);
    if (size / CW_CHUNK_GROWTH > seen->items)
        size = seen->items * CW_CHUNK_GROWTH;
    /* Near the end claims shrink with what is left, so that nobody is handed the
     * last big one while the others go home. */
    int64_t most = at_least(left / (4 * rule->workers), 1);
    return at_least(size < most ? size : most, 1);
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
