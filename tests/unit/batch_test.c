/* unit/batch_test.c - processors that batch systems' environments tell of. */
#include "support/plain.h"
#include "topo/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const *environment;

static const char *get(const char *name) {
    return plain_setting(environment, name);
}

static void cpus__each_systems_environment__tells_node_and_task(void **state) {
    static const struct {
        const char *environment[8];
        int node, task, limit;
        const char *says;
    } rows[] = {
        {{NULL}, 0, 0, 0, NULL},
        /* Slurm: the batch script may use its node, a step's task its own. */
        {{"SLURM_JOB_ID=7", "SLURM_CPUS_ON_NODE=16", "SLURM_CPUS_PER_TASK=4", NULL},
         16, 0, 16, "SLURM_CPUS_ON_NODE"},
        {{"SLURM_JOB_ID=7", "SLURM_CPUS_ON_NODE=16", "SLURM_CPUS_PER_TASK=4", "SLURM_STEP_ID=0", NULL},
         16, 4, 4, "SLURM_CPUS_PER_TASK"},
        {{"SLURM_JOB_ID=7", "SLURM_CPUS_ON_NODE=2", "SLURM_CPUS_PER_TASK=4", "SLURM_STEP_ID=0", NULL},
         2, 4, 2, "SLURM_CPUS_ON_NODE"},
        {{"SLURM_CPUS_ON_NODE=16", NULL}, 0, 0, 0, NULL},
        {{"SLURM_JOB_ID=7", "SLURM_CPUS_ON_NODE=", NULL}, 0, 0, 0, NULL},
        {{"SLURM_JOB_ID=7", "SLURM_CPUS_ON_NODE=many", NULL}, 0, 0, 0, NULL},
        {{"SLURM_JOB_ID=7", "SLURM_CPUS_ON_NODE=-3", NULL}, 0, 0, 0, NULL},
        {{"SLURM_JOB_ID=7", "SLURM_CPUS_ON_NODE=99999999999", NULL}, 0, 0, 0, NULL},
        /* PBS Professional and TORQUE */
        {{"PBS_JOBID=7.srv", "NCPUS=8", NULL}, 8, 0, 8, "NCPUS"},
        {{"NCPUS=8", NULL}, 0, 0, 0, NULL},
        {{"PBS_JOBID=7.srv", "PBS_NP=32", "PBS_NUM_PPN=16", NULL}, 16, 0, 16, "PBS_NUM_PPN"},
        {{"PBS_JOBID=7.srv", "PBS_NP=32", NULL}, 32, 0, 32, "PBS_NP"},
        /* LSF */
        {{"LSB_JOBID=7", "LSB_MCPU_HOSTS=n01 16 n02 8 ", "LSB_DJOB_NUMPROC=24", NULL},
         8, 0, 8, "LSB_MCPU_HOSTS"},
        {{"LSB_JOBID=7", "LSB_MCPU_HOSTS=n02.site 12", "LSB_DJOB_NUMPROC=12", NULL},
         12, 0, 12, "LSB_MCPU_HOSTS"},
        {{"LSB_JOBID=7", "LSB_MCPU_HOSTS=n021 16 xn02 4", "LSB_DJOB_NUMPROC=20", NULL},
         20, 0, 20, "LSB_DJOB_NUMPROC"},
        {{"LSB_JOBID=7", "LSB_MCPU_HOSTS=n02", "LSB_DJOB_NUMPROC=5", NULL},
         5, 0, 5, "LSB_DJOB_NUMPROC"},
        /* Grid Engine; other programs have an NSLOTS, too */
        {{"JOB_ID=7", "SGE_ROOT=/opt/sge", "NSLOTS=6", NULL}, 6, 0, 6, "NSLOTS"},
        {{"JOB_ID=7", "NSLOTS=6", NULL}, 0, 0, 0, NULL},
        /* Cray's */
        {{"PALS_RANKID=3", "PALS_DEPTH=8", NULL}, 0, 8, 8, "PALS_DEPTH"},
        {{"PBS_JOBID=7", "NCPUS=64", "PALS_RANKID=3", "PALS_DEPTH=8", NULL}, 64, 8, 8, "PALS_DEPTH"},
        {{"PALS_DEPTH=8", NULL}, 0, 0, 0, NULL},
        {{"ALPS_APP_PE=0", "ALPS_APP_DEPTH=2", NULL}, 0, 2, 2, "ALPS_APP_DEPTH"},
        {{"OMP_NUM_THREADS=4", NULL}, 0, 0, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        environment = rows[i].environment;
        const struct cw_batch_cpus cpus = cw_batch_cpus(get, "n02.example.org");
        const char *says = "";
        int limit = cw_batch_limit(&cpus, &says);
        if (cpus.node != rows[i].node || cpus.task != rows[i].task || limit != rows[i].limit)
            fail_msg("row %zu: node %d, task %d, limit %d", i, cpus.node, cpus.task, limit);
        if (limit)
            assert_string_equal(says, rows[i].says);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpus__each_systems_environment__tells_node_and_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
