/* The variables by which launchers tell a process its rank. */
#include "backend/mpi/launcher.h"

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *value(char *const *environment, const char *name) {
    size_t n = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return *environment + n + 1;
    return NULL;
}

/* A number from 0 to INT_MAX in all of the text; -1: it is none, or not there. */
static int number(const char *text) {
    char *end;
    if (!text || *text < '0' || *text > '9')
        return -1;
    long n = strtol(text, &end, 10);
    return *end || n > INT_MAX ? -1 : (int)n;
}

struct row {
    const char *rank, *size; /* variables; size NULL: it tells none */
    const char *also;        /* must be there, too, for the row to count; NULL: nothing */
    const char *name;
    const char *flavour;
    int kind;
};

/* The first row that fits counts. A launcher's variables may be found around those
 * of another that it was started by or that it uses: mpirun in an allocation has its
 * daemons started by srun, and with them what srun sets. So rows that are certain of
 * who set them come before those of an interface that several serve. */
static const struct row rows[] = {
    {"JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", NULL, "jsrun", "openmpi", CW_LAUNCHER_OPENMPI},
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", NULL, "mpirun of Open MPI", "openmpi",
     CW_LAUNCHER_OPENMPI},
    {"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", NULL, "mpirun of MVAPICH", "mpich",
     CW_LAUNCHER_MVAPICH},
    {"PMI_RANK", "PMI_SIZE", "I_MPI_MPIRUN", "mpirun of Intel MPI", "mpich", CW_LAUNCHER_PMI},
    {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "mpiexec of MPICH", "mpich", CW_LAUNCHER_PMI},
    {"PMI_ID", NULL, "PMI_PORT", "mpiexec of MPICH", "mpich", CW_LAUNCHER_PMI},
    {"PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_ID", "srun --mpi=pmix", "openmpi",
     CW_LAUNCHER_PMIX},
    {"PMIX_RANK", NULL, "PMIX_NAMESPACE", "a launcher with PMIx", "openmpi", CW_LAUNCHER_PMIX},
    {"PALS_RANKID", "PMI_SIZE", NULL, "mpiexec of PALS", "mpich", CW_LAUNCHER_PMI},
    {"ALPS_APP_PE", NULL, NULL, "aprun", "mpich", CW_LAUNCHER_PMI},
    {"PMI_RANK", "PMI_SIZE", "FLUX_TASK_RANK", "flux run", "mpich", CW_LAUNCHER_PMI},
    {"PMI_RANK", "PMI_SIZE", "SLURM_STEP_ID", "srun --mpi=pmi2", "mpich", CW_LAUNCHER_PMI},
    {"PMI_RANK", "PMI_SIZE", NULL, "a launcher with PMI", "mpich", CW_LAUNCHER_PMI},
};

static const struct row *who(char *const *environment) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (value(environment, rows[i].rank) && (!rows[i].also || value(environment, rows[i].also)))
            return &rows[i];
    return NULL;
}

/* Steps of Slurm's own: the batch script, the shell of an interactive allocation,
 * what is started in a job from outside. Their numbers are the highest there are
 * (SLURM_BATCH_SCRIPT and its neighbours in slurm.h). */
static bool is_a_shell(const char *step) {
    char *end;
    unsigned long long n = strtoull(step, &end, 10);
    return end == step || *end || n >= 0xfffffff0u;
}

/* Tasks of a launcher that nobody tells of each other: how many; 0: this is none. */
static int tasks_alone(char *const *environment, const char **name, const char **instead) {
    const char *step = value(environment, "SLURM_STEP_ID");
    if (step && !is_a_shell(step)) {
        *name = "srun";
        *instead = "srun --mpi=pmix (srun --mpi=list says what there is), or mpirun";
        const char *tasks = value(environment, "SLURM_STEP_NUM_TASKS");
        return number(tasks ? tasks : value(environment, "SLURM_NTASKS"));
    }
    if (value(environment, "FLUX_TASK_RANK")) {
        *name = "flux run";
        *instead = "flux run -o pmi=simple";
        return number(value(environment, "FLUX_JOB_SIZE"));
    }
    return 0;
}

int cw_launcher_find(char *const *environment, struct cw_launcher *launcher, crew_error *err) {
    const struct row *row = who(environment);
    const char *name, *instead;
    *launcher = (struct cw_launcher){.kind = CW_LAUNCHER_NONE, .name = "no launcher", .rank = -1};
    if (!row) {
        int tasks = tasks_alone(environment, &name, &instead);
        if (tasks > 1)
            return cw_error_set(err, CREW_EINVAL, 0,
                                "%s has started %d tasks that know nothing of each other: each "
                                "would be a manager of its own. Start them with %s, or set "
                                "CREW_BACKEND=fork if this is meant",
                                name, tasks, instead);
        return cw_error_clear(err);
    }
    const char *rank = value(environment, row->rank);
    const char *size = row->size ? value(environment, row->size) : NULL;
    launcher->kind = row->kind;
    launcher->name = row->name;
    launcher->flavour = row->flavour;
    launcher->rank = number(rank);
    launcher->size = size ? number(size) : 0;
    if (launcher->rank < 0 || launcher->size < 0 ||
        (launcher->size > 0 && launcher->rank >= launcher->size))
        return cw_error_set(err, CREW_EINVAL, 0,
                            "the environment is not one that %s makes: %s=%.20s%s%s%s%.20s",
                            row->name, row->rank, rank, size ? ", " : "", size ? row->size : "",
                            size ? "=" : "", size ? size : "");
    return cw_error_clear(err);
}
