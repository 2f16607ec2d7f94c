/* wordcount - how often each word occurs in files of any size, or in standard input. */
#include "../support/tool.h"
#include "count.h"
#include "input.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char HELP[] =
    "Usage: wordcount [OPTION]... [FILE]...\n"
    "\n"
    "Counts the words of all FILEs together, on every core, and prints them, the most\n"
    "frequent first. Without FILE, or where it is -, it reads standard input.\n"
    "\n"
    "Words are letters and digits, and bytes beyond ASCII; capitals A to Z count as\n"
    "small letters. Large files are cut into pieces at line ends; a line of standard\n"
    "input or of a pipe has to fit into memory.\n"
    "\n"
    "  --top=N        only the N most frequent ones\n"
    "  --stats        says how many words there were, and how long it took\n"
    "  --backend=B    serial, threads or fork, as CREW_BACKEND=B\n"
    "  --workers=N    as CREW_WORKERS=N; default: one for each core there is\n"
    "  --help         this\n"
    "  --version      the version\n"
    "\n"
    "The exit code is 1 if a file could not be read; the others are counted then.\n";

/* ---- a piece: its words, with their counts, are the answer ---- */

static int count_words(crew_call *call, table *t) {
    const struct piece *piece = call->in;
    size_t size = call->in_size - sizeof *piece;
    if (piece->to < 0) {
        char *text = malloc(size); /* the item is not ours to change */
        bool good = text && count_text(t, memcpy(text, piece->bytes, size), size);
        free(text);
        return good ? 0 : crew_fail(call, 1, "not enough memory");
    }
    int fd = open(piece->bytes, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? errno : count_piece(t, fd, piece->from, piece->to);
    if (fd >= 0)
        close(fd);
    return error ? crew_fail(call, 1, "%.150s cannot be read: %s", piece->bytes, strerror(error))
                 : 0;
}

static int count_task(crew_call *call) {
    table t = {0};
    size_t size;
    int status = count_words(call, &t);
    void *bytes = status == 0 ? table_pack(&t, &size) : NULL;
    if (bytes)
        status = crew_reply(call, bytes, size);
    else if (status == 0)
        status = crew_fail(call, 1, "not enough memory");
    free(bytes);
    table_free(&t);
    return status;
}

/* ---- the program ---- */

/* Takes what the workers have counted, in the order in which they are done. */
static int merge(crew_pool *pool, input *in, table *t) {
    crew_error err;
    int64_t done = 0;
    int status, result = 0;
    crew_item item = {0};
    /* A short window: standard input is held in memory so far. */
    crew_map_opts opts = {.on_error = CREW_CONTINUE,
                          .unordered = true,
                          .window = 4 * (int64_t)crew_pool_workers(pool)};
    crew_iter *it = crew_imap(pool, count_task, (crew_source){input_next, in}, 0, &opts, &err);
    if (!it) {
        tool_say("%s", err.text);
        return -1;
    }
    while (!tool_stopped() && (status = crew_next(it, NULL, &item, 0.1, &err)) != 0) {
        if (status == CREW_ETIMEDOUT && item.status == 0)
            continue;
        if (status > 0 && !table_unpack(t, item.data, item.size)) {
            tool_say("not enough memory for all the words");
            result = -1;
            break;
        }
        if (status < 0) {
            tool_say("%s", err.text);
            result = -1;
            if (item.status == 0)
                break; /* not an item: the stream itself has failed */
        }
        item.status = 0;
        tool_bar(++done, input_pieces(in), "pieces");
    }
    tool_bar_end();
    crew_iter_free(it);
    return result;
}

static void print(table *t, int64_t top) {
    table_sort(t);
    for (size_t i = 0; i < t->used && i < (size_t)top && !ferror(stdout); i++) {
        const table_entry *e = &t->entries[i];
        printf("%7llu ", (unsigned long long)e->count);
        fwrite(t->text + e->at, 1, e->length, stdout);
        putchar('\n');
    }
}

static void say_stats(crew_pool *pool, const table *t, double seconds) {
    char what[80];
    unsigned long long words = 0;
    for (size_t i = 0; i < t->used; i++)
        words += t->entries[i].count;
    snprintf(what, sizeof what, "%llu words, %zu different ones", words, t->used);
    tool_stats(pool, seconds, what);
}

static int run(char **files, int count, int64_t top, bool stats) {
    static char *standard_input[] = {"-", NULL};
    table t = {0};
    crew_error err;
    int status = -1;
    double start = tool_now();
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.name = "wordcount"}, &err);
    if (!pool) {
        tool_say("%s", err.text);
        return EXIT_FAILURE;
    }
    input *in =
        input_open(count ? files : standard_input, count ? count : 1, crew_pool_workers(pool));
    if (in) {
        status = merge(pool, in, &t);
        status = input_failed(in) ? -1 : status;
        input_close(in);
    } else {
        tool_say("not enough memory");
    }
    if (!tool_stopped())
        print(&t, top);
    if (!tool_stopped() && stats)
        say_stats(pool, &t, tool_now() - start);
    table_free(&t);
    crew_pool_free(pool);
    return status < 0 ? EXIT_FAILURE : 0;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"top", required_argument, NULL, 't'}, {"stats", no_argument, NULL, 's'}, TOOL_OPTIONS};
    int64_t top = INT64_MAX;
    bool stats = false;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 't')
            top = tool_integer("top", optarg, 0, INT64_MAX);
        else if (option == 's')
            stats = true;
        else
            tool_option(option, argv);
    }
    if (!tool_start(&argc, &argv, HELP))
        return tool_end(0);
    tool_catch_signals();
    return tool_end(run(argv + optind, argc - optind, top, stats));
}
