/* Environments of launchers, as they are, and what is made of them. The variables are
 * those that the launchers set (Open MPI 4.1, MPICH 4.0 and Slurm 22.05 were looked at;
 * the others' are as published). */
#include "backend/mpi/launcher.h"
#include "backend/mpi/mpirun.h"
#include "os/clock.h"
#include "os/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

enum { MOST = 16 };

struct story {
    const char *title;
    const char *environment[MOST];
    int kind;
    const char *flavour;
    int rank, size;
};

#define SLURM_JOB                                                                                  \
    "SLURM_JOB_ID=7", "SLURM_JOBID=7", "SLURM_NTASKS=4", "SLURM_NPROCS=4", "SLURM_PROCID=0",       \
        "SLURM_LOCALID=0"

static const struct story stories[] = {
    {"a shell",
     {"HOME=/root", "PATH=/bin", "OMPI_MCA_btl=self,tcp"},
     CW_LAUNCHER_NONE,
     NULL,
     -1,
     0},
    {"nothing at all", {NULL}, CW_LAUNCHER_NONE, NULL, -1, 0},
    {"mpirun of Open MPI",
     {"PMIX_RANK=1", "PMIX_NAMESPACE=678494209", "OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=1",
      "OMPI_MCA_ess_base_vpid=1"},
     CW_LAUNCHER_OPENMPI,
     "openmpi",
     1,
     2},
    {"mpirun of Open MPI in a job of Slurm, whose daemons srun starts",
     {SLURM_JOB, "SLURM_STEP_ID=4", "SLURM_STEP_NUM_TASKS=2", "OMPI_COMM_WORLD_RANK=3",
      "OMPI_COMM_WORLD_SIZE=4", "PMIX_RANK=3", "PMIX_NAMESPACE=449708033"},
     CW_LAUNCHER_OPENMPI,
     "openmpi",
     3,
     4},
    {"mpiexec of MPICH",
     {"PMI_RANK=1", "PMI_FD=8", "PMI_SIZE=2", "MPI_LOCALNRANKS=2", "MPI_LOCALRANKID=1",
      "HYDI_CONTROL_FD=7"},
     CW_LAUNCHER_PMI,
     "mpich",
     1,
     2},
    {"mpiexec of MPICH in a job of Slurm with MpiDefault=pmix",
     {SLURM_JOB, "SLURM_STEP_ID=5", "SLURM_STEP_NUM_TASKS=1", "PMIX_RANK=0",
      "PMIX_NAMESPACE=slurm.pmix.7.5", "PMI_RANK=3", "PMI_SIZE=4", "MPI_LOCALRANKID=3"},
     CW_LAUNCHER_PMI,
     "mpich",
     3,
     4},
    {"mpiexec -pmi-port of MPICH",
     {"PMI_PORT=h0:35000", "PMI_ID=2"},
     CW_LAUNCHER_PMI,
     "mpich",
     2,
     0},
    {"mpirun of Intel MPI",
     {"I_MPI_MPIRUN=mpirun", "PMI_RANK=5", "PMI_SIZE=8", "MPI_LOCALRANKID=1"},
     CW_LAUNCHER_PMI,
     "mpich",
     5,
     8},
    {"mpirun_rsh of MVAPICH",
     {"MV2_COMM_WORLD_RANK=2", "MV2_COMM_WORLD_SIZE=4", "MV2_COMM_WORLD_LOCAL_RANK=0"},
     CW_LAUNCHER_MVAPICH,
     "mpich",
     2,
     4},
    {"srun --mpi=pmix",
     {SLURM_JOB, "SLURM_STEP_ID=2", "SLURM_STEPID=2", "SLURM_STEP_NUM_TASKS=2", "PMIX_RANK=1",
      "PMIX_NAMESPACE=slurm.pmix.7.2", "SLURM_MPI_TYPE=pmix"},
     CW_LAUNCHER_PMIX,
     "openmpi",
     1,
     2},
    {"prun", {"PMIX_RANK=3", "PMIX_NAMESPACE=prterun-h0-1@1"}, CW_LAUNCHER_PMIX, "openmpi", 3, 0},
    {"srun --mpi=pmi2",
     {SLURM_JOB, "SLURM_STEP_ID=1", "SLURM_STEP_NUM_TASKS=2", "PMI_FD=13", "PMI_JOBID=7.1",
      "PMI_RANK=1", "PMI_SIZE=2"},
     CW_LAUNCHER_PMI,
     "mpich",
     1,
     2},
    {"mpiexec of PALS",
     {"PALS_RANKID=6", "PALS_NODEID=1", "PMI_SIZE=8", "PMI_RANK=6"},
     CW_LAUNCHER_PMI,
     "mpich",
     6,
     8},
    {"aprun", {"ALPS_APP_ID=3", "ALPS_APP_PE=4"}, CW_LAUNCHER_PMI, "mpich", 4, 0},
    {"jsrun",
     {"JSM_NAMESPACE_RANK=1", "JSM_NAMESPACE_SIZE=6", "PMIX_RANK=1", "PMIX_NAMESPACE=2"},
     CW_LAUNCHER_OPENMPI,
     "openmpi",
     1,
     6},
    {"flux run",
     {"FLUX_TASK_RANK=1", "FLUX_JOB_SIZE=4", "PMI_FD=9", "PMI_RANK=1", "PMI_SIZE=4"},
     CW_LAUNCHER_PMI,
     "mpich",
     1,
     4},
    {"a batch script of Slurm", {SLURM_JOB, "SLURM_NNODES=2"}, CW_LAUNCHER_NONE, NULL, -1, 0},
    {"the shell of an interactive allocation",
     {SLURM_JOB, "SLURM_STEP_ID=4294967290", "SLURM_STEP_NUM_TASKS=1"},
     CW_LAUNCHER_NONE,
     NULL,
     -1,
     0},
    {"a batch step, where its number is told",
     {SLURM_JOB, "SLURM_STEP_ID=4294967291"},
     CW_LAUNCHER_NONE,
     NULL,
     -1,
     0},
    {"srun of one task in a job of more",
     {SLURM_JOB, "SLURM_STEP_ID=3", "SLURM_STEP_NUM_TASKS=1"},
     CW_LAUNCHER_NONE,
     NULL,
     -1,
     0},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void launcher__environments_as_they_are__are_told_apart(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(stories); i++) {
        const struct story *story = &stories[i];
        struct cw_launcher launcher;
        crew_error err = {.code = 1};
        print_message("%s\n", story->title);
        assert_int_equal(cw_launcher_find((char *const *)story->environment, &launcher, &err), 0);
        assert_int_equal(err.code, 0);
        assert_int_equal(launcher.kind, story->kind);
        assert_int_equal(launcher.rank, story->rank);
        assert_int_equal(launcher.size, story->size);
        assert_non_null(launcher.name);
        if (story->flavour)
            assert_string_equal(launcher.flavour, story->flavour);
        else
            assert_null(launcher.flavour);
    }
}

static void refused(const char *const *environment, const char *sentence) {
    struct cw_launcher launcher;
    crew_error err;
    assert_int_equal(cw_launcher_find((char *const *)environment, &launcher, &err), CREW_EINVAL);
    assert_string_equal(err.text, sentence);
}

static void launcher__several_tasks_without_pmi__are_refused_with_what_to_do(void **state) {
    (void)state;
    const char *srun[] = {SLURM_JOB, "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=3", NULL};
    refused(srun, "srun has started 3 tasks that know nothing of each other: each would be a "
                  "manager of its own. Start them with srun --mpi=pmix (srun --mpi=list says what "
                  "there is), or mpirun, or set CREW_BACKEND=fork if this is meant");
    const char *flux[] = {"FLUX_TASK_RANK=0", "FLUX_JOB_SIZE=2", NULL};
    refused(flux, "flux run has started 2 tasks that know nothing of each other: each would be a "
                  "manager of its own. Start them with flux run -o pmi=simple, or set "
                  "CREW_BACKEND=fork if this is meant");
}

static void launcher__numbers_that_are_none__are_refused(void **state) {
    (void)state;
    const char *rank[] = {"OMPI_COMM_WORLD_RANK=4", "OMPI_COMM_WORLD_SIZE=4", NULL};
    refused(rank, "the environment is not one that mpirun of Open MPI makes: "
                  "OMPI_COMM_WORLD_RANK=4, OMPI_COMM_WORLD_SIZE=4");
    const char *minus[] = {"PMI_RANK=-1", NULL};
    refused(minus, "the environment is not one that a launcher with PMI makes: PMI_RANK=-1");
    const char *word[] = {"PMI_RANK=1x", "PMI_SIZE=2", NULL};
    refused(word, "the environment is not one that a launcher with PMI makes: PMI_RANK=1x, "
                  "PMI_SIZE=2");
    const char *huge[] = {"PMI_RANK=1", "PMI_SIZE=99999999999999999999", NULL};
    refused(huge, "the environment is not one that a launcher with PMI makes: PMI_RANK=1, "
                  "PMI_SIZE=99999999999999999999");
}

/* What a worker starts is to find no launcher: nothing that tells of one is left, nor
 * a step of several tasks. Settings of the user's stay. */
static void launcher__environment_that_was_cleaned__names_none(void **state) {
    (void)state;
    char **before = environ;
    for (size_t i = 0; i < COUNT(stories) + 1; i++) {
        static const struct story alone = {"srun of several tasks",
                                           {SLURM_JOB, "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=3"},
                                           CW_LAUNCHER_NONE,
                                           NULL,
                                           -1,
                                           0};
        const struct story *story = i < COUNT(stories) ? &stories[i] : &alone;
        struct cw_launcher launcher;
        crew_error err;
        char *empty[] = {NULL}, copy[MOST][64];
        print_message("%s\n", story->title);
        environ = empty;
        for (int n = 0; n < MOST && story->environment[n]; n++) {
            snprintf(copy[n], sizeof copy[n], "%s", story->environment[n]);
            putenv(copy[n]);
        }
        setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        setenv("SLURM_NODELIST", "n[01-02]", 1);
        cw_process_clean_environment();
        int rc = cw_launcher_find(environ, &launcher, &err);
        bool kept = getenv("OMPI_ALLOW_RUN_AS_ROOT") && getenv("SLURM_NODELIST");
        bool job = !getenv("SLURM_PROCID");
        environ = before;
        assert_int_equal(rc, 0);
        assert_int_equal(launcher.kind, CW_LAUNCHER_NONE);
        assert_true(kept && job);
    }
}

static void mpirun__what_an_environment_says__is_known(void **state) {
    static const struct {
        const char *environment[4];
        bool plain;
        int pid;
    } cases[] = {
        {{"OMPI_MCA_orte_hnp_uri=1.0;tcp://h0:1", "PMIX_SERVER_TMPDIR=/tmp/ompi.h0.0/pid.104"},
         true,
         104},
        {{"OMPI_MCA_orte_hnp_uri=1.0;tcp://h0:1", "PMIX_SERVER_TMPDIR=/tmp/ompi.h0.0/jf.47976"},
         true,
         0},
        {{"OMPI_MCA_orte_hnp_uri=1.0;tcp://h0:1", "OMPI_MCA_orte_enable_recovery=0"}, true, 0},
        {{"OMPI_MCA_orte_hnp_uri=1.0;tcp://h0:1", "OMPI_MCA_orte_enable_recovery=1",
          "PMIX_SERVER_TMPDIR=/tmp/ompi.h0.0/pid.104"},
         false,
         0},
        {{"PMIX_SERVER_TMPDIR=/tmp/ompi.h0.0/pid.104", "PMIX_RANK=0"}, false, 0},
        {{"OMPI_MCA_orte_hnp_uri=1.0;tcp://h0:1", "PMIX_SERVER_TMPDIR=/tmp/pid.1"}, true, 0},
        {{"OMPI_MCA_orte_hnp_uri=1.0;tcp://h0:1", "PMIX_SERVER_TMPDIR=/tmp/pid.77x"}, true, 0},
        {{"OMPI_MCA_orte_hnp_uri=1.0;tcp://h0:1", "PMIX_SERVER_TMPDIR=/tmp/pid.99999999999"},
         true,
         0},
        {{NULL}, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cw_mpirun m;
        cw_mpirun_find((char *const *)(uintptr_t)cases[i].environment, &m);
        print_message("case %zu\n", i);
        assert_int_equal(m.plain, cases[i].plain);
        assert_int_equal(m.pid, cases[i].pid);
    }
}

/* A pid that the environment names, but that has not started this process, is left alone. */
static void mpirun__somebody_elses__is_not_ended(void **state) {
    (void)state;
    assert_false(cw_mpirun_ends_after_us(&(struct cw_mpirun){.plain = true, .pid = getpid()}));
    assert_false(cw_mpirun_ends_after_us(&(struct cw_mpirun){.plain = true, .pid = getppid()}));
    assert_false(cw_mpirun_ends_after_us(&(struct cw_mpirun){.plain = true}));
}

static void mpirun__when_it_notices_silence__is_known(void **state) {
    static const struct {
        const char *environment[4];
        int notices_s;
    } cases[] = {
        {{NULL}, 300 + 20 * 9},
        {{"OMPI_MCA_oob_tcp_keepalive_time=10"}, 190},
        {{"OMPI_MCA_oob_tcp_keepalive_time=1", "OMPI_MCA_oob_tcp_keepalive_intvl=2",
          "OMPI_MCA_oob_tcp_keepalive_probes=3"},
         7},
        {{"OMPI_MCA_oob_tcp_keepalive_time=0", "OMPI_MCA_oob_tcp_keepalive_intvl=2"}, 0},
        {{"OMPI_MCA_oob_tcp_keepalive_time=-1"}, 0},
        {{"OMPI_MCA_oob_tcp_keepalive_time=99999999999"}, 1000000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cw_mpirun m;
        cw_mpirun_find((char *const *)(uintptr_t)cases[i].environment, &m);
        print_message("case %zu\n", i);
        assert_int_equal(m.notices_s, cases[i].notices_s);
    }
}

/* Nobody waits for an mpirun that bears losses, or that does not look after silence; the others
 * get their time, counted from when the silence began, an eighth of it, and a moment. */
static void mpirun__a_silence__is_given_the_time_to_be_noticed(void **state) {
    const struct cw_mpirun bears = {.notices_s = 100}, blind = {.plain = true},
                           looks = {.plain = true, .notices_s = 100};
    (void)state;
    int64_t from = cw_now_ns(), second = 1000000000;
    cw_mpirun_await(&bears, from);
    cw_mpirun_await(&blind, from);
    assert_true(cw_now_ns() - from < second);
    cw_mpirun_await(&looks, from - 112 * second);
    assert_true(cw_now_ns() - from >= 7 * second / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mpirun__when_it_notices_silence__is_known),
        cmocka_unit_test(mpirun__a_silence__is_given_the_time_to_be_noticed),
        cmocka_unit_test(mpirun__what_an_environment_says__is_known),
        cmocka_unit_test(mpirun__somebody_elses__is_not_ended),
        cmocka_unit_test(launcher__environments_as_they_are__are_told_apart),
        cmocka_unit_test(launcher__several_tasks_without_pmi__are_refused_with_what_to_do),
        cmocka_unit_test(launcher__numbers_that_are_none__are_refused),
        cmocka_unit_test(launcher__environment_that_was_cleaned__names_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
