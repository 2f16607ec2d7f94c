/* tree.h - the trees of the Unbalanced Tree Search benchmark.
 *
 * A node is a SHA-1 digest and a depth; its children's digests are those of its own and
 * their number. So a tree of any size is known by its root, anybody can search any part
 * of it, and nobody knows beforehand how large a part is. As described in Olivier et al.,
 * "UTS: An Unbalanced Tree Search Benchmark", LCPC 2006. */
#ifndef UTS_TREE_H
#define UTS_TREE_H

#include "sha1.h"
#include <stdbool.h>

enum tree_type { TREE_BINOMIAL, TREE_GEOMETRIC, TREE_HYBRID, TREE_BALANCED, TREE_TYPES };
enum tree_shape { SHAPE_LINEAR, SHAPE_EXPONENTIAL, SHAPE_CYCLIC, SHAPE_FIXED, SHAPES };

/* Named as the options of the original. No pointers: it reaches the workers as it is. */
struct tree {
    int32_t type;    /* -t */
    int32_t seed;    /* -r */
    double branches; /* -b: children of the root; geometric: expected at the top */
    int32_t shape;   /* -a: geometric: how the expectation changes with the depth */
    int32_t depth;   /* -d: geometric and balanced */
    double q;        /* -q: binomial: how likely a node has children, */
    int32_t m;       /* -m: and how many it then has */
    int32_t effort;  /* -g: how often each digest is made: work for each node */
    double shift;    /* -f: hybrid: the part of the depth that is geometric */
};

struct node {
    uint8_t digest[SHA1_SIZE];
    int32_t depth, children;
};

struct node tree_root(const struct tree *tree);
struct node tree_child(const struct tree *tree, const struct node *node, int number);

/* ---- a search ----------------------------------------------------------- */

struct counts {
    int64_t nodes, leaves, depth;
};

/* Nodes whose children are still to be looked at. */
struct stack {
    struct node *nodes;
    size_t count, room;
};

/* Adds a node to what is still to be searched, without counting it. False: no memory. */
bool search_push(struct stack *stack, const struct node *node);
/* Depth first, until the stack is empty or `most` more nodes and maybe some have been
 * met. False: no memory. */
bool search_go_on(const struct tree *tree, struct stack *stack, int64_t most,
                  struct counts *counts);

#endif
