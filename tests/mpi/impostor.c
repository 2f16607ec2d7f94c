/* mpi/impostor.c - a rank that is not like the others: it goes as far as the cards, and
 * shows one on which the field is another that its argument names. The others have to
 * refuse it. See tests/mpi/run.sh. */
#include "backend/mpi/load.h"
#include "fleet/card.h"

#include <crew/crew.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static int failed(const crew_error *err) {
    fprintf(stderr, "impostor: %s\n", err->text);
    return 9;
}

int main(int argc, char **argv) {
    const char *field = argc > 1 ? argv[1] : "";
    struct cw_launcher launcher;
    const struct cw_mpi *mpi;
    struct cw_mpi_place place;
    struct cw_card mine;
    crew_error err;
    if (cw_launcher_find(environ, &launcher, &err) < 0 ||
        cw_mpi_load(&launcher, getenv("CREW_MPI_MODULE"), &mpi, &err) < 0 ||
        mpi->start(&place, &err) < 0)
        return failed(&err);
    bool newer = strcmp(field, "version") == 0;
    cw_card_begin(&mine, newer ? "999.0" : CREW_VERSION, "elsewhere");
    if (strcmp(field, "pointer") == 0)
        mine.pointer = 4;
    if (strcmp(field, "endian") == 0)
        mine.endian = !mine.endian;
    if (strcmp(field, "magic") == 0)
        mine.magic[0] ^= 1;
    char *all = calloc((size_t)place.size, sizeof mine);
    if (!all || mpi->exchange(&mine, CW_CARD_FRONT, all, &err) < 0)
        return failed(&err);
    /* Of another version nothing more is asked. */
    if (strcmp(field, "layout") == 0 && mpi->exchange(&mine, sizeof mine, all, &err) < 0)
        return failed(&err);
    free(all);
    mpi->end(false);
    poll(NULL, 0, 20000); /* the other one ends the job, and by then has said why */
    return 1;
}
