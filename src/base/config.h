/* base/config.h - the environment's settings.
 *
 * One table (config.c) drives parsing, `crew config` and docs/CONFIG.md: a row
 * holds the variable's name, its kind, its accepted words, its default in words
 * and a sentence. The environment overrides the code; a value that is not
 * accepted is an error that lists the accepted ones. */
#ifndef CW_BASE_CONFIG_H
#define CW_BASE_CONFIG_H

#include <crew/error.h>
#include <stdio.h>

enum { CW_MAX_WORKERS = 4096 }; /* of a pool */
enum { CW_RESUME_DONE = 0, CW_RESUME_FINISHED }; /* what is taken from a journal */

enum { CW_ONE_SIDED_AUTO = 0, CW_ONE_SIDED_ON, CW_ONE_SIDED_OFF };

#define CW_SPAN_UNSET (-1.0)
#define CW_LIMIT_OF_BATCH (-2.0)
#define CW_LIMIT_NONE (-3.0)

struct cw_config {
    int backend;        /* CREW_BACKEND=auto|serial|threads|fork|mpi */
    int workers;        /* CREW_WORKERS=1..4096; 0: not set */
    int start;          /* CREW_START=auto|fork|server|spawn */
    int bind;           /* CREW_BIND=auto|none|core|pu|l3|numa|socket; -1: not set */
    int order;          /* CREW_ORDER=compact|scatter */
    int threads;        /* CREW_THREADS_PER_WORKER=1..4096; 0: not set */
    int strict;         /* CREW_STRICT=0|1: FORK behaves as SERVER */
    int core;           /* CREW_CORE=0|1: crashing workers dump core */
    int window;         /* CREW_SEGMENT=memfd|window */
    int one_sided;      /* CREW_ONE_SIDED=auto|on|off: CW_ONE_SIDED_... */
    int isolate;        /* CREW_ISOLATE=0|1: 0: tasks run in the ranks of MPI themselves */
    int report_binding; /* CREW_REPORT_BINDING=0|1: who is bound where, on stderr */
    int progress;       /* CREW_PROGRESS=0|1: bars never or always; -1: not set, as the code says */
    int node_timeout;   /* CREW_NODE_TIMEOUT=seconds */
    uint64_t stop_signals; /* CREW_STOP_SIGNAL=list: bit s - 1 is signal s */
    double time_limit;     /* CREW_TIME_LIMIT=span, CW_LIMIT_OF_BATCH, _NONE; 0: not set */
    double stop_grace, stop_margin; /* CREW_STOP_GRACE, _MARGIN=span; CW_SPAN_UNSET */
    int64_t segment;    /* CREW_SEGMENT_SIZE=bytes with K, M, G, T; 0: not set */
    uint64_t seed;      /* CREW_SEED=number */
    bool has_seed;
    const char *journal; /* CREW_JOURNAL=folder, as mpi_module below; NULL: not set */
    int resume;          /* CREW_RESUME=done|finished: CW_RESUME_... */
    int journal_force;   /* CREW_JOURNAL_FORCE=0|1 */
    /* CREW_MPI_MODULE=path: as the environment has it, good for as long as that. NULL:
     * not set */
    const char *mpi_module;
};

/* Reads the environment. CREW_EINVAL names the variable, the value, and what is
 * accepted. `get` replaces getenv in tests (NULL: getenv). */
int cw_config_load(struct cw_config *config, const char *(*get)(const char *name), crew_error *err);

/* Looks for names that are nearly a setting's ("CREW_WORKRES"), which would be
 * ignored in silence: CREW_EINVAL says which is meant. Names that begin alike but
 * are far from all of ours are other programs'. */
int cw_config_names(char *const *environment, crew_error *err);

/* The table as text: what `crew config` and docs/CONFIG.md show. */
void cw_config_print(FILE *out);

/* The words of the constants, NULL if there is none: "fork" for CREW_FORK. */
const char *cw_backend_word(int backend);
const char *cw_start_word(int start);
const char *cw_bind_word(int bind);

#endif
