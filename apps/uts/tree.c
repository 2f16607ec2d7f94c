/* tree.c - which children a node has, and searching. */
#include "tree.h"
#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- how many children --------------------------------------------------- */

/* In [0, 1): 31 bits from the end of the digest. */
static double chance(const struct node *node) {
    uint32_t end;
    memcpy(&end, node->digest + SHA1_SIZE - sizeof end, sizeof end);
    return (be32toh(end) & 0x7fffffff) * 0x1p-31;
}

enum { CHILDREN_MOST = 100 }; /* of all but a binomial tree's root */

/* None, where the formula gives no number. */
static int few(double children) {
    return children > 0 ? (int)floor(fmin(children, CHILDREN_MOST)) : 0;
}

static int binomial(const struct tree *tree, const struct node *node) {
    return chance(node) < tree->q ? few(tree->m) : 0;
}

/* How many children a node of a geometric tree is expected to have. */
static double expected(const struct tree *tree, int depth) {
    const double pi = 3.141592653589793;
    double part = (double)depth / tree->depth;
    if (depth == 0)
        return tree->branches;
    switch (tree->shape) {
    case SHAPE_LINEAR:
        return tree->branches * (1 - part);
    case SHAPE_EXPONENTIAL:
        return tree->branches * pow(depth, -log(tree->branches) / log(tree->depth));
    case SHAPE_CYCLIC:
        return depth > 5 * tree->depth ? 0 : pow(tree->branches, sin(2 * pi * part));
    default:
        return depth < tree->depth ? tree->branches : 0;
    }
}

static int geometric(const struct tree *tree, const struct node *node) {
    /* Children come as long as a coin falls well that makes the expectation true. */
    double p = 1 / (1 + expected(tree, node->depth));
    return few(log(1 - chance(node)) / log(1 - p));
}

static int children_of(const struct tree *tree, const struct node *node) {
    switch (tree->type) {
    case TREE_BINOMIAL:
        return node->depth == 0 ? (int)floor(tree->branches) : binomial(tree, node);
    case TREE_GEOMETRIC:
        return geometric(tree, node);
    case TREE_HYBRID:
        return node->depth < tree->shift * tree->depth ? geometric(tree, node)
                                                       : binomial(tree, node);
    default:
        return node->depth < tree->depth ? few(tree->branches) : 0;
    }
}

/* ---- nodes --------------------------------------------------------------- */

/* The message of a digest: 20 bytes, and maybe a number, its highest byte first. */
struct message {
    uint8_t digest[SHA1_SIZE];
    uint32_t number;
};

struct node tree_root(const struct tree *tree) {
    /* The root's message is its seed after 16 bytes of 0. */
    uint8_t message[SHA1_SIZE] = {0};
    uint32_t seed = htobe32((uint32_t)tree->seed);
    struct node root = {.depth = 0};
    memcpy(message + 16, &seed, sizeof seed);
    sha1_short(message, sizeof message, root.digest);
    root.children = children_of(tree, &root);
    return root;
}

struct node tree_child(const struct tree *tree, const struct node *node, int number) {
    struct message message = {.number = htobe32((uint32_t)number)};
    struct node child = {.depth = node->depth + 1};
    memcpy(message.digest, node->digest, SHA1_SIZE);
    for (int i = 0; i < tree->effort; i++)
        sha1_short((const uint8_t *)&message, sizeof message, child.digest);
    child.children = children_of(tree, &child);
    return child;
}

/* ---- a search ----------------------------------------------------------- */

bool search_push(struct stack *stack, const struct node *node) {
    if (stack->count == stack->room) {
        size_t room = stack->room ? 2 * stack->room : 1024;
        struct node *more = realloc(stack->nodes, room * sizeof *more);
        if (!more)
            return false;
        stack->nodes = more;
        stack->room = room;
    }
    stack->nodes[stack->count++] = *node;
    return true;
}

/* Counts a node, and puts it on the stack if it has children. False: no memory. */
static bool meet(const struct node *node, struct stack *stack, struct counts *counts) {
    counts->nodes++;
    if (node->depth > counts->depth)
        counts->depth = node->depth;
    if (node->children == 0) {
        counts->leaves++;
        return true;
    }
    return search_push(stack, node);
}

bool search_go_on(const struct tree *tree, struct stack *stack, int64_t most,
                  struct counts *counts) {
    int64_t begin = counts->nodes;
    while (stack->count > 0 && counts->nodes - begin < most) {
        struct node node = stack->nodes[--stack->count];
        for (int i = 0; i < node.children; i++) {
            struct node child = tree_child(tree, &node, i);
            if (!meet(&child, stack, counts))
                return false;
        }
    }
    return true;
}
