#include "topo/batch.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A whole number from 1 up, 0: it is none. */
static long long positive(const char *text) {
    char *end;
    if (!text || *text < '0' || *text > '9')
        return 0;
    long long value = strtoll(text, &end, 10);
    return *end == '\0' ? value : 0;
}

bool cw_batch_seconds_left(cw_getenv *get, double now, double *left) {
    long long end = positive(get("SLURM_JOB_END_TIME")), all = positive(get("PBS_WALLTIME"));
    if (end)
        *left = (double)end > now ? (double)end - now : 0;
    else if (all)
        *left = (double)all;
    return end || all;
}

/* ---- processors ---------------------------------------------------------- */

static int count_of(cw_getenv *get, const char *name) {
    long long n = positive(get(name));
    return n < INT_MAX ? (int)n : 0;
}

static bool is_set(cw_getenv *get, const char *name) {
    const char *text = get(name);
    return text && *text;
}

/* The name up to its domain. */
static size_t short_name(const char *name, size_t n) {
    const char *dot = memchr(name, '.', n);
    return dot ? (size_t)(dot - name) : n;
}

/* Of "hostA 16 hostB 8", this host's slots; 0: it is not there. */
static int slots_on(const char *list, const char *host) {
    size_t length = short_name(host, strlen(host));
    while (list && *list) {
        size_t name = strcspn(list, " "), gap = strspn(list + name, " ");
        const char *slots = list + name + gap;
        long n = strtol(slots, NULL, 10);
        if (short_name(list, name) == length && strncmp(list, host, length) == 0)
            return n > 0 && n < INT_MAX ? (int)n : 0;
        size_t rest = strcspn(slots, " ");
        list = slots + rest + strspn(slots + rest, " ");
    }
    return 0;
}

/* Variables that tell of the node, when the one in `with` is set; the first that does
 * counts. */
static const struct row {
    const char *name, *with, *and_with;
} node_rows[] = {{"SLURM_CPUS_ON_NODE", "SLURM_JOB_ID", NULL},
                 {"PBS_NUM_PPN", "PBS_JOBID", NULL},
                 {"NCPUS", "PBS_JOBID", NULL},
                 {"PBS_NP", "PBS_JOBID", NULL},
                 {"LSB_MCPU_HOSTS", "LSB_JOBID", NULL},
                 {"LSB_DJOB_NUMPROC", "LSB_JOBID", NULL},
                 {"NSLOTS", "JOB_ID", "SGE_ROOT"}},
  task_rows[] = {{"SLURM_CPUS_PER_TASK", "SLURM_STEP_ID", NULL},
                 {"PALS_DEPTH", "PALS_RANKID", NULL},
                 {"ALPS_APP_DEPTH", "ALPS_APP_PE", NULL}};

static int first_of(const struct row *rows, size_t n, cw_getenv *get, const char *host,
                    const char **says) {
    for (size_t i = 0; i < n; i++) {
        if (!is_set(get, rows[i].with) || (rows[i].and_with && !is_set(get, rows[i].and_with)))
            continue;
        bool list = strcmp(rows[i].name, "LSB_MCPU_HOSTS") == 0;
        int count = list ? slots_on(get(rows[i].name), host) : count_of(get, rows[i].name);
        if (count) {
            *says = rows[i].name;
            return count;
        }
    }
    return 0;
}

struct cw_batch_cpus cw_batch_cpus(cw_getenv *get, const char *host) {
    struct cw_batch_cpus cpus = {0};
    cpus.node = first_of(node_rows, sizeof node_rows / sizeof *node_rows, get, host,
                         &cpus.node_says);
    cpus.task = first_of(task_rows, sizeof task_rows / sizeof *task_rows, get, host,
                         &cpus.task_says);
    return cpus;
}

int cw_batch_limit(const struct cw_batch_cpus *cpus, const char **says) {
    bool task = cpus->task && (!cpus->node || cpus->task < cpus->node);
    *says = task ? cpus->task_says : cpus->node_says;
    return task ? cpus->task : cpus->node;
}
