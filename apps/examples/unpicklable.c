/* Python: pool.map(lambda x: x * 2, items)    PicklingError: Can't pickle <function <lambda>>
 *
 * What cannot travel to a worker, what crew says to it, and what to do.
 *
 * - A nested function (of gcc's): its pointer is code on the stack of whoever made it. So
 *   is any address on a stack, as here; and one on the heap. Refused at the call: "refused:
 *   the task 0x... lies on a stack ...". Make it a function of the file.
 * - A pointer as an item: CREW_TASK(f, int, char *) is a compile error, "a pointer cannot
 *   travel to another process". Make the item what it points to, or a place in a crew_array.
 * - A pointer inside a struct: no compiler sees it. A FILE * that the program has opened
 *   points, under CREW_START_FORK, to each worker's own copy of the FILE, and these share
 *   one place in the file: who reads first takes a whole buffer of it, and the others
 *   find the end. Under CREW_START_SERVER, CREW_START_SPAWN and MPI it points to nothing,
 *   and the task crashes: try CREW_START=spawn. Send the name, and open the file where it is read.
 *
 * Prints both refusals, and of a file of 6 lines that two forked workers read whole: "by
 * FILE *: 6 lines" (of 12) and "by name: 12 lines". */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct by_pointer {
    FILE *file; /* wrong */
    crew_value lines;
};
struct by_name {
    char name[64];
    crew_value lines;
};

static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

static int count_lines(FILE *file, crew_value lines) {
    for (int c; (c = getc(file)) != EOF;)
        if (c == '\n')
            crew_value_add_i64(lines, 1);
    return 0;
}

static int read_by_pointer(crew_call *call) {
    const struct by_pointer *in = CREW_IN(call, struct by_pointer);
    return count_lines(in->file, in->lines);
}

static int read_by_name(crew_call *call) {
    const struct by_name *in = CREW_IN(call, struct by_name);
    FILE *file = fopen(in->name, "r");
    if (!file)
        return crew_fail(call, 1, "%s: cannot be read", in->name);
    count_lines(file, in->lines);
    fclose(file);
    return 0;
}

static void try_address(crew_pool *pool, void *address) {
    crew_error err;
    crew_fn *fn = (crew_fn *)(uintptr_t)address;
    if (crew_pool_map(pool, fn, NULL, 0, 1, NULL, 0, NULL, &err) < 0)
        printf("refused: %s\n", err.text);
}

int main(int argc, char **argv) {
    char stack[64];
    void *heap = malloc(64);
    struct by_name name = {.name = "/tmp/crew-unpicklable-XXXXXX"};
    struct by_pointer pointer;
    must(crew_init(&argc, &argv));
    int fd = mkstemp(name.name);
    pointer.file = fd < 0 ? NULL : fdopen(fd, "w+");
    if (!pointer.file) {
        perror(name.name);
        return 1;
    }
    fputs("one\ntwo\nthree\nfour\nfive\nsix\n", pointer.file);
    rewind(pointer.file);
    must(crew_value_create(&name.lines, CREW_I64));
    must(crew_value_create(&pointer.lines, CREW_I64));

    /* A file opened before the pool is: forked workers have copies of it. */
    crew_pool_opts opts = {.backend = CREW_FORK, .start = CREW_START_FORK, .workers = 2};
    crew_pool *pool = crew_pool_open(&opts, NULL);
    if (!pool)
        must(crew_last_error()->code);
    try_address(pool, stack);
    try_address(pool, heap);
    crew_error err;
    if (crew_pool_each(pool, read_by_pointer, &pointer, sizeof pointer, &err) == 0)
        printf("by FILE *: %d lines\n", (int)crew_value_get_i64(pointer.lines));
    else /* with CREW_START=server or spawn */
        printf("by FILE *: %s\n", err.text);
    must(crew_pool_each(pool, read_by_name, &name, sizeof name, NULL));
    printf("by name: %d lines\n", (int)crew_value_get_i64(name.lines));
    crew_pool_free(pool);
    unlink(name.name);
    fclose(pointer.file);
    free(heap);
    return crew_finalize();
}
