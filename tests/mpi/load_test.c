/* Finding and loading a module: what is said when that fails. */
#include "backend/mpi/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct cw_launcher mpirun = {.kind = CW_LAUNCHER_OPENMPI,
                                          .name = "mpirun of Open MPI",
                                          .flavour = "openmpi",
                                          .rank = 1,
                                          .size = 4};

static void refused(const struct cw_launcher *launcher, const char *named, const char *begin,
                    const char *end) {
    const struct cw_mpi *module = (const struct cw_mpi *)1;
    crew_error err;
    assert_int_equal(cw_mpi_load(launcher, named, &module, &err), CREW_ENOTSUP);
    assert_null(module);
    print_message("%s\n", err.text);
    assert_int_equal(strncmp(err.text, begin, strlen(begin)), 0);
    assert_non_null(strstr(err.text, end));
    assert_true(strlen(err.text) < sizeof err.text - 1); /* nothing is cut off */
}

static void load__no_launcher__says_how_to_start_the_program(void **state) {
    (void)state;
    struct cw_launcher none = {.kind = CW_LAUNCHER_NONE, .name = "no launcher", .rank = -1};
    refused(&none, NULL,
            "the mpi backend needs a program that was started as MPI ranks, and this one was not: "
            "start it with mpirun -n 4 mpi_load_test, or srun",
            "Slurm job");
}

static void load__no_module__says_what_to_install(void **state) {
    (void)state;
    struct cw_launcher other = mpirun;
    other.flavour = "othermpi";
    refused(&other, NULL,
            "mpirun of Open MPI has started this program, but there is no "
            "libcrew-mpi-othermpi.so beside it",
            "CREW_MPI_MODULE where it is");
    refused(&mpirun, "/nowhere/at/all",
            "CREW_MPI_MODULE=/nowhere/at/all names neither a module of crew's nor a folder with "
            "libcrew-mpi-openmpi.so in it",
            "");
    refused(&mpirun, "/proc", "CREW_MPI_MODULE=/proc names neither", "libcrew-mpi-openmpi.so");
}

static void load__another_version__is_refused(void **state) {
    (void)state;
    refused(&mpirun, CREW_TEST_FAKE_MODULE, "", "another version of crew (table 999 of ");
}

static void load__no_module_of_ours__is_refused(void **state) {
    (void)state;
    refused(&mpirun, CREW_TEST_PLUGIN, "", " is no module of crew's for MPI");
    refused(&mpirun, CREW_SOURCE_DIR "/README.md", "", " cannot be loaded: ");
}

static void load__good_module__is_loaded_by_name_and_by_folder(void **state) {
    (void)state;
    const struct cw_mpi *module;
    crew_error err;
    char path[4096], folder[4096];
    assert_int_equal(cw_mpi_load(&mpirun, CREW_TEST_GOOD_MODULE, &module, &err), 0);
    assert_int_equal(err.code, 0);
    assert_string_equal(module->flavour, "fake");
    snprintf(folder, sizeof folder, "%s", CREW_TEST_GOOD_MODULE);
    *strrchr(folder, '/') = '\0';
    assert_true(cw_mpi_find("good", folder, path, sizeof path));
    assert_string_equal(path, CREW_TEST_GOOD_MODULE);
    assert_false(cw_mpi_find("none", folder, path, sizeof path));
    assert_false(cw_mpi_find("none", NULL, path, sizeof path));
}

static const char *library(void) {
    return "Some MPI 1.0";
}

static void agrees__mpi_sees_another_job__says_why(void **state) {
    (void)state;
    struct cw_mpi module = {.library = library};
    struct cw_mpi_place same = {.rank = 1, .size = 4}, alone = {.rank = 0, .size = 1};
    struct cw_launcher sizeless = mpirun;
    crew_error err;
    sizeless.size = 0;
    assert_int_equal(cw_mpi_agrees(&mpirun, &module, &same, &err), 0);
    assert_int_equal(cw_mpi_agrees(&sizeless, &module, &same, &err), 0);
    assert_int_equal(cw_mpi_agrees(&mpirun, &module, &alone, &err), CREW_EMISMATCH);
    assert_string_equal(err.text,
                        "mpirun of Open MPI says that this is rank 1 of 4, MPI that it is rank 0 "
                        "of 1: the module is for another MPI than the launcher (Some MPI 1.0)");
    assert_int_equal(cw_mpi_agrees(&sizeless, &module, &alone, &err), CREW_EMISMATCH);
}

static void is_the_programs__no_mpi_here__is_false(void **state) {
    (void)state;
    assert_false(cw_mpi_is_the_programs());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load__no_launcher__says_how_to_start_the_program),
        cmocka_unit_test(load__no_module__says_what_to_install),
        cmocka_unit_test(load__another_version__is_refused),
        cmocka_unit_test(load__no_module_of_ours__is_refused),
        cmocka_unit_test(load__good_module__is_loaded_by_name_and_by_folder),
        cmocka_unit_test(agrees__mpi_sees_another_job__says_why),
        cmocka_unit_test(is_the_programs__no_mpi_here__is_false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
