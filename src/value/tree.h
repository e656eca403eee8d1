/* tree: a sequence of items as a B+ tree whose nodes know how many items they hold. What lists,
 * sets and sorted sets are made of.
 *
 * - Any position is found, inserted at or removed in O(log n); at both ends that is a few steps in
 *   nodes of dozens.
 * - Each entry has a number, its key. A tree that is kept in the order of (key, bytes) is searched
 * in O(log n), and tells the rank. Whether it is kept so is its owner's business.
 * - Nodes are counted and copied when one that is shared is written to. So a copy of the whole is
 * O(1), and a change of a copy costs one path of nodes.
 *
 * Node and item counts are not atomic: all trees that share belong to one thread. */
#ifndef RESPGRES_VALUE_TREE_H
#define RESPGRES_VALUE_TREE_H

#include <stdint.h>

#include "value/item.h"

struct tree_node;

struct tree {
    struct tree_node *root; /* NULL = empty */
    size_t item_bytes;      /* of all items */
};

struct tree_entry {
    uint64_t key;
    struct item *item;
};

void tree_init(struct tree *t);
void tree_release(struct tree *t);

/* `to` is empty, and has all of `from` afterwards. O(1). */
void tree_copy(struct tree *to, const struct tree *from);

size_t tree_count(const struct tree *t);

/* Bytes of memory held, shared ones included; nodes by estimate. O(1). */
size_t tree_memory(const struct tree *t);

/* `pos` counts from 0; it is below the count where an entry must be there. The entry's item is
 * taken. */
void tree_insert(struct tree *t, size_t pos, struct tree_entry e);
void tree_replace(struct tree *t, size_t pos, struct tree_entry e);
void tree_remove(struct tree *t, size_t pos);
void tree_remove_range(struct tree *t, size_t pos, size_t n);

/* Valid until the tree changes. */
struct tree_entry tree_at(const struct tree *t, size_t pos);

/* Where (key, bytes) is in a tree that is in this order, or would be inserted; true: it is there.
 */
bool tree_find(const struct tree *t, uint64_t key, struct bytes bytes, size_t *pos);

/* Reads positions one after another, in either direction, in O(1) each but for a node's ends. The
 * tree must not change meanwhile. */
struct tree_reader {
    const struct tree *tree;
    const struct tree_entry *entries; /* those of one leaf; NULL at first */
    size_t first;                     /* the position of the first of them */
    size_t count;
};

static inline struct tree_reader tree_reader(const struct tree *t)
{
    return (struct tree_reader){.tree = t};
}

struct tree_entry tree_read(struct tree_reader *r, size_t pos);

#endif
