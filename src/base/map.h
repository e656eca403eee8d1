/* map: an intrusive hash table of chained nodes. The owner embeds `struct map_node` and compares
 * keys itself. Grows and shrinks a few buckets per call, so that no single call is slow. */
#ifndef RESPGRES_BASE_MAP_H
#define RESPGRES_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map_table {
    struct map_node **buckets;
    size_t size; /* a power of two, or 0 */
    size_t used;
};

struct map {
    struct map_table table[2]; /* [1] is filled while [0] is moved into it */
    size_t moved;              /* buckets of [0] that have been moved */
    bool moving;
    bool iterating; /* no resizing meanwhile */
};

typedef bool (*map_match)(const struct map_node *node, const void *key);

void map_init(struct map *m);
/* Frees the buckets; the nodes are the owner's. */
void map_release(struct map *m);

/* Room for n nodes at once, in a map that is empty: inserting them moves nothing. */
void map_reserve(struct map *m, size_t n);

struct map_node *map_find(struct map *m, uint64_t hash, map_match match, const void *key);
/* The key must not be in the map. */
void map_insert(struct map *m, struct map_node *node, uint64_t hash);
void map_remove(struct map *m, struct map_node *node);
size_t map_count(const struct map *m);
/* Bytes of the bucket arrays. */
size_t map_memory(const struct map *m);

/* A walk in pieces, while the map changes and is resized in between: starts with cursor 0, calls f for
 * the nodes of one bucket (of its halves, while the table is moved) and returns the next cursor, 0 at
 * the end. Every node that is there from the first call to the last is seen, some perhaps twice. f must
 * not change the map. */
uint64_t map_scan(const struct map *m, uint64_t cursor, void (*f)(struct map_node *node, void *arg),
                  void *arg);

/* Calls f for each node; f may remove and free that node, nothing else. */
void map_each(struct map *m, void (*f)(struct map_node *node, void *arg), void *arg);

#endif
