/* Python: counts = Manager().dict(); counts[word] = counts.get(word, 0) + 1
 *
 * Four processes count the words of a line each in one dictionary. Prints each word
 * with its number, the most frequent first. The original reads and then writes, so that
 * two processes may lose a word between them; crew_dict_add_i64 is one step. */
#include <crew/crew.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const lines[] = {
    "the quick brown fox jumps over the lazy dog",
    "the dog sleeps and the fox runs",
    "a quick dog is not a lazy dog",
    "the end of the fox and the dog",
};

enum { LINES = sizeof lines / sizeof *lines, WORDS_MOST = 64 };

struct work {
    crew_dict counts;
    int line;
};

struct row {
    char word[16];
    int64_t count;
};

struct table {
    struct row rows[WORDS_MOST];
    int length;
};

/* Ends the program, or the process it is called in, if a call has failed. */
static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

static int count_words(crew_call *call) {
    const struct work *work = CREW_IN(call, struct work);
    for (const char *word = lines[work->line]; *word; word += strspn(word, " ")) {
        size_t length = strcspn(word, " ");
        must(crew_dict_add_i64(work->counts, word, length, 1, NULL));
        word += length;
    }
    return 0;
}

/* Called with a copy of each entry. */
static int add_row(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize) {
    struct table *table = ctx;
    struct row *row = &table->rows[table->length];
    if (table->length == WORDS_MOST || ksize >= sizeof row->word || vsize != sizeof row->count)
        return CREW_ETOOSMALL;
    memcpy(row->word, key, ksize); /* a key is its bytes, without a 0 at the end */
    row->word[ksize] = 0;
    memcpy(&row->count, val, vsize);
    table->length++;
    return 0;
}

static int most_frequent_first(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return strcmp(x->word, y->word);
}

int main(int argc, char **argv) {
    struct work work;
    struct table table = {.length = 0};
    crew_process process[LINES];
    must(crew_init(&argc, &argv));
    must(crew_dict_create(&work.counts));
    for (work.line = 0; work.line < LINES; work.line++)
        must(crew_process_start(&process[work.line], count_words, &work, sizeof work, NULL, NULL));
    for (int i = 0; i < LINES; i++)
        must(crew_process_wait(process[i], CREW_FOREVER, NULL));

    if (crew_dict_each(work.counts, add_row, &table) != 0) {
        fprintf(stderr, "more or longer words than there is room for\n");
        return EXIT_FAILURE;
    }
    qsort(table.rows, (size_t)table.length, sizeof *table.rows, most_frequent_first);
    for (int i = 0; i < table.length; i++)
        printf("%" PRId64 " %s\n", table.rows[i].count, table.rows[i].word);
    return crew_finalize();
}
