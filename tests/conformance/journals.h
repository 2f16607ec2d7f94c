/* journals.h - what the tests of journals share: a folder of their own, and what a
 * journal holds. */
#ifndef CONFORMANCE_JOURNALS_H
#define CONFORMANCE_JOURNALS_H

#include "crewtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/crewtest-journal-XXXXXX";

static bool folder_made(void) {
    return mkdtemp(folder);
}

/* What is in it goes with it. 0, or 1. */
static int folder_gone(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0;
}

/* The name of a file there that is not; good until four more were asked for. */
static const char *fresh(const char *name) {
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    unlink(p);
    return p;
}

static crew_journal_info info_of(const char *path) {
    crew_journal_info info;
    crew_error err;
    assert_ok(crew_journal_read(path, &info, NULL, NULL, &err), &err);
    return info;
}

/* What `count` items have left in the cells. */
static void forget_items(int count) {
    for (int i = 0; i < count; i++)
        crewtest_set(CELL_ITEM + i, 0);
    crewtest_set(CELL_COUNT, 0);
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_GATE, 0);
}

#endif
