/* Python: pool.map(primes_in, range(200)): interrupted, it begins anew
 *
 * A map that one may interrupt (Ctrl-C, kill -9, a batch system's time limit) and start
 * again: it goes on where it was.
 *
 *     ./resume [JOURNAL]        the file is resume.crew if none is named
 *
 * Counts primes, a block of numbers an item. Prints "148933 primes below 2000000", however
 * often it was interrupted; on standard error how many blocks were done when it began. */
#include <crew/crew.h>
#include <stdio.h>

enum { BLOCKS = 200, BLOCK = 10000 };

static int primes_in(int64_t block) {
    int primes = 0;
    for (int64_t n = block * BLOCK; n < (block + 1) * BLOCK; n++) {
        int64_t d = 2;
        while (d * d <= n && n % d)
            d++;
        primes += n > 1 && d * d > n;
    }
    return primes;
}
CREW_TASK(primes_in, int, int64_t)

int main(int argc, char **argv) {
    int primes[BLOCKS], sum = 0;
    crew_error err;
    crew_init(&argc, &argv);
    const char *journal = argc > 1 ? argv[1] : "resume.crew";
    crew_journal_info info;
    if (crew_journal_read(journal, &info, NULL, NULL, &err) == 0)
        fprintf(stderr, "%d of %d blocks are done already\n", (int)info.done, BLOCKS);

    crew_pool *pool = crew_pool_open(NULL, &err);
    if (!pool) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    crew_map_opts opts = {.journal = journal, .chunk = 1};
    int rc = crew_map_index(pool, primes_in_task, BLOCKS, primes, &opts, &err);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.text);
        crew_pool_free(pool);
        int code = crew_finalize(); /* 85: it was stopped (CREW_TIME_LIMIT), and may go on */
        return code ? code : 1;
    }
    if (err.text[0]) /* the file was damaged, or could not be written to the end */
        fprintf(stderr, "%s\n", err.text);
    for (int i = 0; i < BLOCKS; i++)
        sum += primes[i];
    printf("%d primes below %d\n", sum, BLOCKS * BLOCK);
    crew_pool_free(pool);
    return crew_finalize();
}
