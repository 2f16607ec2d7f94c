/* crew shm - named shared memory that programs own. Without crew_init: that would
 * sweep before anything is shown. */
#include "crew_main.h"

#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int show(void *ctx, const crew_shm_info *info) {
    int *count = ctx;
    char owner[32] = "dead";
    if (info->owner)
        snprintf(owner, sizeof owner, "pid %d", info->owner);
    if ((*count)++ == 0)
        printf("%16s  %-12s  %s\n", "bytes", "owner", "name");
    printf("%16zu  %-12s  %s\n", info->size, owner, info->name);
    return 0;
}

static int list(void) {
    int count = 0, rc = crew_shm_each(show, &count);
    if (rc == 0 && count == 0)
        puts("No program of this user owns shared memory with a name.");
    return rc;
}

static int sweep(void) {
    int gone = crew_shm_sweep();
    if (gone == 0)
        puts("Nothing to take away.");
    else if (gone > 0)
        printf("Taken away: %d, whose owner is dead.\n", gone);
    return gone;
}

int crew_shm_command(const char *word) {
    bool sweeps = strcmp(word, "sweep") == 0;
    if (!sweeps && strcmp(word, "list") != 0)
        return -1;
    if ((sweeps ? sweep() : list()) >= 0)
        return EXIT_SUCCESS;
    fflush(stdout);
    fprintf(stderr, "crew: %s\n", crew_last_error()->text);
    return EXIT_FAILURE;
}
