/* crew journal FILE: what a journal holds. */
#include "crew_main.h"

#include <crew/crew.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kinds[] = {[CREW_JOURNAL_MAP] = "a map",
                                    [CREW_JOURNAL_BYTES] = "a map of items of any size",
                                    [CREW_JOURNAL_FOR] = "a crew_for",
                                    [CREW_JOURNAL_REDUCE] = "a reduce",
                                    [CREW_JOURNAL_STREAM] = "a stream",
                                    [CREW_JOURNAL_KEYS] = "submitted calls"};

static void show(const crew_journal_info *i) {
    bool known = i->kind > 0 && i->kind < (int)(sizeof kinds / sizeof *kinds);
    bool blocks = i->kind == CREW_JOURNAL_FOR || i->kind == CREW_JOURNAL_REDUCE;
    printf("Journal    of %s", known ? kinds[i->kind] : "something else");
    if (i->function[0])
        printf(", function %s, build %016" PRIx64, i->function, i->build);
    printf("\n");
    if (i->kind == CREW_JOURNAL_MAP || blocks)
        printf("Sizes      items of %zu bytes, results of %zu", i->in_size, i->out_size);
    if (blocks)
        printf(", blocks of %" PRId64 " items", i->grain);
    if (i->kind == CREW_JOURNAL_MAP || blocks)
        printf("\n");
    printf("Done       %" PRId64, i->done);
    if (i->count >= 0)
        printf(" of %" PRId64 "%s", i->count, blocks ? " blocks" : "");
    printf("\nFailed     %" PRId64 "\n", i->failed);
    if (i->count >= 0)
        printf("Missing    %" PRId64 "\n", i->count - i->done - i->failed);
    printf("File       %" PRId64 " bytes, %" PRId64 " records\n", i->bytes, i->records);
    if (i->damaged)
        printf("Damaged    in %" PRId64 " place%s, %" PRId64 " bytes: what was there runs again\n",
               i->damaged, i->damaged == 1 ? "" : "s", i->damaged_bytes);
    if (i->torn)
        printf("Torn       %" PRId64 " bytes at the end: a record was being written\n", i->torn);
    if (!i->damaged && !i->torn)
        printf("Damage     none\n");
}

int crew_journal_command(const char *path) {
    crew_journal_info info;
    crew_error err;
    if (crew_journal_read(path, &info, NULL, NULL, &err) < 0) {
        if (err.sys) /* what the system said of it names the file */
            fprintf(stderr, "crew: %s\n", err.text);
        else
            fprintf(stderr, "crew: %s: %s\n", path, err.text);
        return EXIT_FAILURE;
    }
    show(&info);
    return EXIT_SUCCESS;
}
