/* api/array_agent.h - what a node's agent does for arrays.
 *
 * It carries boats (share/ferry.h): to one node or all others, and back when all have
 * answered, or are lost; and answers what other nodes' agents ask. Nothing here waits:
 * what takes its time (memory that is to be committed or filled) is for a thread of its
 * own. All on the agent's thread. */
#ifndef CW_API_ARRAY_AGENT_H
#define CW_API_ARRAY_AGENT_H

#include "api/array_impl.h"
#include "fleet/agent.h"

/* What home says of an array. */
struct cw_array_card {
    struct cw_array_form form;
    bool is_view;
    crew_array base; /* what it is a view of, as all call it, and how many ... */
    int64_t beyond;  /* ... bytes behind its element 0 */
};

/* Makes this node's part of another node's array, if it has none. */
int cw_array_adopt(struct cw_self *self, crew_array a, const struct cw_array_card *card,
                   crew_error *err);

/* Before the agent serves. */
int cw_array_agent_begin(struct cw_share *share, struct cw_agent *agent, crew_error *err);
/* Nobody is to ask any more; waits a while for threads of its own. */
void cw_array_agent_end(void);
/* True: that letter was for arrays. */
bool cw_array_agent_letter(int node, const struct cw_letter *letter, struct cw_reader rest);
/* True: did something. *waits: an answer is awaited. */
bool cw_array_agent_work(bool *waits);
/* True: nothing has come meanwhile. */
bool cw_array_agent_idle(void);
void cw_array_agent_lost(int node);

/* ---- array_cast.c: a broadcast, from node to node in parts ---- */

struct cw_cast_order {
    struct cw_freight freight; /* `n` bytes from `at` on */
    uint32_t boat, turn;       /* of the node that it comes from */
    int32_t from, nodes;       /* how many are in the chain: that one, then who follows */
};
/* Begins this node's part; without memory it passes on what it has not. */
int cw_cast_begin(const struct cw_cast_order *order, const int32_t *chain, int here,
                  struct cw_array *array, char *memory, crew_error *err);
/* As cw_array_agent_work. */
bool cw_cast_work(struct cw_agent *agent, bool *waits);
/* array_agent.c: that part is over. */
void cw_cast_over(const struct cw_cast_order *order, const crew_error *err);

#endif
