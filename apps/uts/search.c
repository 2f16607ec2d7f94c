/* search.c - tasks that spawn tasks.
 *
 * An item is some nodes, already counted, whose children nobody has looked at. A task goes
 * on from them, depth first, until it has met so many nodes that it is time to share; what
 * is then on its stack goes to two tasks, every other node to each, so that both get some
 * from near the root, below which most is to be expected. Nobody divides the work
 * beforehand, which cannot be done, and nobody asks whether somebody is idle.
 *
 * What spawned tasks return is dropped. So each adds what it has counted to values that
 * all of them share. */
#include "search.h"
#include <stdlib.h>

/* The common argument: the tree, and where the sums are. */
struct plan {
    struct tree tree;
    int64_t grain;
    crew_value nodes, leaves, depth;
};

static int no_memory(void) {
    tool_say("not enough memory for the nodes that are still to be searched");
    return EXIT_FAILURE;
}

/* The root counts, too. */
static struct counts count_root(const struct node *root) {
    return (struct counts){.nodes = 1, .leaves = root->children == 0};
}

int search_in_series(const struct tree *tree, struct counts *counts) {
    struct stack stack = {0};
    struct node root = tree_root(tree);
    *counts = count_root(&root);
    bool done = search_push(&stack, &root) && search_go_on(tree, &stack, INT64_MAX, counts);
    free(stack.nodes);
    return done ? 0 : no_memory();
}

/* ---- a task ------------------------------------------------------------- */

static void add(const struct plan *plan, const struct counts *counts) {
    crew_value_add_i64(plan->nodes, counts->nodes);
    crew_value_add_i64(plan->leaves, counts->leaves);
    int64_t depth = crew_value_get_i64(plan->depth);
    while (counts->depth > depth && !crew_value_cas_i64(plan->depth, &depth, counts->depth))
        ;
}

static int search_task(crew_call *call);

/* Every other node to one task, the rest to another. */
static int spawn_rest(crew_call *call, const struct stack *stack) {
    size_t half = (stack->count + 1) / 2;
    struct node *nodes = malloc(half * sizeof *nodes);
    if (!nodes)
        return CREW_ENOMEM;
    int status = 0;
    for (size_t first = 0; first < 2 && status == 0; first++) {
        size_t count = 0;
        for (size_t i = first; i < stack->count; i += 2)
            nodes[count++] = stack->nodes[i];
        if (count > 0)
            status = crew_spawn(call, search_task, nodes, count * sizeof *nodes);
    }
    free(nodes);
    return status;
}

static int search_task(crew_call *call) {
    const struct plan *plan = CREW_COMMON(call, struct plan);
    const struct node *nodes = CREW_IN(call, struct node);
    struct counts counts = {0};
    struct stack stack = {0};
    bool enough = true; /* memory */
    int status = 0;
    for (size_t i = 0; i < call->in_size / sizeof *nodes && enough; i++)
        enough = search_push(&stack, &nodes[i]);
    enough = enough && search_go_on(&plan->tree, &stack, plan->grain, &counts);
    add(plan, &counts);
    if (!enough)
        status =
            crew_fail(call, 1, "not enough memory for the nodes that are still to be searched");
    else if (stack.count > 0)
        status = spawn_rest(call, &stack);
    free(stack.nodes);
    return status;
}

/* ---- the pool's search -------------------------------------------------- */

/* Waits for the root's task, which ends when all that came from it have. How large a tree
 * is nobody knows, so there is no bar: how many nodes were met. */
static int wait_for(crew_future *root, const struct plan *plan, crew_error *err) {
    bool progress = tool_bar_wanted();
    int status;
    while ((status = crew_future_result(root, NULL, 0, 0.2, err)) == CREW_ETIMEDOUT)
        if (progress)
            fprintf(stderr, "\ruts %.1f million nodes",
                    (double)crew_value_get_i64(plan->nodes) / 1e6);
    if (progress)
        fprintf(stderr, "\ruts %.1f million nodes\n",
                (double)crew_value_get_i64(plan->nodes) / 1e6);
    return status;
}

static int search(crew_pool *pool, const struct plan *plan, struct counts *counts) {
    crew_error err;
    struct node root = tree_root(&plan->tree);
    *counts = count_root(&root);
    add(plan, counts);
    crew_submit_opts opts = {.common = plan, .common_size = sizeof *plan};
    crew_future *future = crew_submit(pool, search_task, &root, sizeof root, &opts, &err);
    int status = future ? wait_for(future, plan, &err) : err.code;
    crew_future_free(future);
    if (status < 0)
        return tool_failed(&err);
    counts->nodes = crew_value_get_i64(plan->nodes);
    counts->leaves = crew_value_get_i64(plan->leaves);
    counts->depth = crew_value_get_i64(plan->depth);
    return 0;
}

int search_on_pool(crew_pool *pool, const struct tree *tree, int64_t grain, struct counts *counts) {
    struct plan plan = {.tree = *tree, .grain = grain};
    crew_value *values[] = {&plan.nodes, &plan.leaves, &plan.depth};
    int made = 0, result = 0;
    while (made < 3 && crew_value_create(values[made], CREW_I64) == 0)
        made++;
    result = made == 3 ? search(pool, &plan, counts) : tool_failed(crew_last_error());
    while (made > 0)
        crew_value_destroy(*values[--made]);
    return result;
}
