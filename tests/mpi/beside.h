/* mpi/beside.h - the folder that all ranks of a test see, and tests/mpi/under with them:
 * that of CREW_TEST_SCRATCH. */
#ifndef BESIDE_H
#define BESIDE_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline FILE *beside_open(const char *name, const char *mode) {
    char path[512];
    const char *scratch = getenv("CREW_TEST_SCRATCH");
    snprintf(path, sizeof path, "%.*s/%s", (int)(strrchr(scratch, '/') - scratch), scratch, name);
    return fopen(path, mode);
}

static inline bool beside_has(const char *name) {
    FILE *file = beside_open(name, "r");
    return file && fclose(file) == 0;
}

static inline void beside_make(const char *name, int number) {
    FILE *file = beside_open(name, "w");
    if (!file || fprintf(file, "%d\n", number) < 0 || fclose(file) != 0) {
        fprintf(stderr, "there can be no file %s\n", name);
        _exit(98);
    }
}

/* In every rank, before crew_init, from which one only returns. */
static inline void beside_sign(void) {
    char name[32];
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    rank = rank ? rank : getenv("PMI_RANK");
    snprintf(name, sizeof name, "rank.%s", rank ? rank : "");
    beside_make(name, (int)getpid());
}

/* 0: it has not signed. */
static inline pid_t beside_pid_of_rank(int rank) {
    char name[32];
    int pid = 0;
    snprintf(name, sizeof name, "rank.%d", rank);
    FILE *file = beside_open(name, "r");
    bool known = file && fscanf(file, "%d", &pid) == 1 && pid > 1;
    if (file)
        fclose(file);
    return known ? pid : 0;
}

static inline bool beside_signal_rank(int rank, int signal) {
    pid_t pid = beside_pid_of_rank(rank);
    return pid && kill(pid, signal) == 0;
}

static inline bool beside_kill_rank(int rank) {
    return beside_signal_rank(rank, SIGKILL);
}

/* On this machine, and not only until the launcher has buried it. */
static inline bool beside_rank_is_there(int rank) {
    char path[32], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)beside_pid_of_rank(rank));
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    const char *name = strrchr(text, ')');
    return n && name && name[1] && name[2] != 'Z' && name[2] != 'X';
}

#endif
