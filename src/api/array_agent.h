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

/* ---- for array_reach.c ---- */

/* What this node calls an array, with its handle here; NULL: there is none. */
struct cw_array *cw_array_agent_find(crew_array a, crew_array *own);
/* Elements, in or out: checked, and moved. */
int cw_array_agent_carry(const struct cw_freight *f, struct cw_array *array, char *data,
                         crew_error *err);
void cw_array_agent_answer(int node, const struct cw_letter *letter, const crew_error *err,
                           const void *data, size_t size);
/* The boat's read has ended. */
void cw_array_agent_over(int boat, const crew_error *err);

/* ---- array_reach.c: one-sided ---- */

/* False: no memory. */
bool cw_reach_begin(struct cw_share *share, struct cw_agent *agent, struct cw_ferry *ferry);
/* The program goes on, the job does not. */
void cw_reach_end(void);
/* True: did something. *waits: awaits something. *read: reads have ended. */
bool cw_reach_work(bool *waits, bool *read);
/* Where that array's part of this node lies, as a letter tells it; 0: that is not to be known. */
uint64_t cw_reach_tell(const struct cw_array *array);
/* What such a letter from that node told. */
void cw_reach_learn(int node, crew_array a, uint64_t told);
/* True: what the boat asks for is being read into its room. */
bool cw_reach_get(int boat, const struct cw_freight *f, char *room);
/* Where the elements of a put are to be fetched, as a letter tells it; 0: they go in the letter. */
uint64_t cw_reach_offers(const struct cw_freight *f, const char *room);
/* Fetches them, and answers then. */
void cw_reach_pull(int node, const struct cw_letter *letter, const struct cw_freight *f,
                   uint64_t told);
/* Before others know of it: its memory is from then on to be freed by cw_reach_free. 0: not. */
cw_off cw_reach_hold(struct cw_array *array);
/* The same of any array that is not held, while this agent uses its memory. 0: it has ended. */
cw_off cw_reach_keep(struct cw_array *array);
/* That is over: the memory of the array that had this number is its own again, or is freed if it
 * has ended. stuck: MPI may still write to it, so it must never be used again. */
void cw_reach_release(struct cw_array *array, uint64_t number, cw_off block, bool stuck);
/* The same of this node's part of another node's. */
void cw_reach_hold_part(crew_array a);
void cw_reach_free(cw_off block);
/* Nobody begins to read it from here any more. True: nor does any read go on. */
bool cw_reach_forget(crew_array a);
/* The letter from an array's home, of which this node's has ended. Answers. */
void cw_reach_gone(int node, const struct cw_letter *letter);
/* True: an array of this node's whose memory was held has ended; false: it has it again. */
bool cw_reach_let_go(crew_array a);

/* ---- array_cast.c: a broadcast, from node to node in parts ---- */

struct cw_cast_order {
    struct cw_freight freight; /* `n` bytes from `at` on */
    uint32_t boat, turn;       /* of the node that it comes from */
    int32_t from, nodes;       /* how many are in the chain: that one, then who follows */
};
/* Begins this node's part, of that array, whose element 0 is there; without one (NULL) it
 * passes on what it has not. */
int cw_cast_begin(const struct cw_cast_order *order, const int32_t *chain, int here,
                  struct cw_array *array, char *base, crew_error *err);
/* Those of a job before. */
void cw_casts_forget(void);
/* As cw_array_agent_work. */
bool cw_cast_work(struct cw_agent *agent, bool *waits);
/* array_agent.c: that part is over. */
void cw_cast_over(const struct cw_cast_order *order, const crew_error *err);

#endif
