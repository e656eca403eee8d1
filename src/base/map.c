#include "base/map.h"

#include "base/check.h"
#include "base/mem.h"

enum { MIN_SIZE = 16, MOVE_PER_CALL = 8 };

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_release(struct map *m)
{
    mem_free(m->table[0].buckets);
    mem_free(m->table[1].buckets);
    map_init(m);
}

static void table_insert(struct map_table *t, struct map_node *node)
{
    struct map_node **at = &t->buckets[node->hash & (t->size - 1)];
    node->next = *at;
    *at = node;
    t->used++;
}

static void move_some(struct map *m)
{
    struct map_table *from = &m->table[0];
    for (int i = 0; i < MOVE_PER_CALL && m->moved < from->size; i++, m->moved++) {
        struct map_node *n = from->buckets[m->moved];
        from->buckets[m->moved] = NULL;
        while (n != NULL) {
            struct map_node *next = n->next;
            from->used--;
            table_insert(&m->table[1], n);
            n = next;
        }
    }
    if (m->moved < from->size)
        return;
    CHECK(from->used == 0);
    mem_free(from->buckets);
    m->table[0] = m->table[1];
    m->table[1] = (struct map_table){0};
    m->moving = false;
}

static void start_move(struct map *m, size_t size)
{
    m->table[1] = (struct map_table){mem_zalloc(size * sizeof(struct map_node *)), size, 0};
    m->moved = 0;
    m->moving = true;
}

static void resize_if_due(struct map *m)
{
    if (m->iterating)
        return;
    if (m->moving) {
        move_some(m);
        return;
    }
    struct map_table *t = &m->table[0];
    if (t->size == 0)
        *t = (struct map_table){mem_zalloc(MIN_SIZE * sizeof(struct map_node *)), MIN_SIZE, 0};
    else if (t->used >= t->size)
        start_move(m, t->size * 2);
    else if (t->size > MIN_SIZE && t->used < t->size / 8)
        start_move(m, t->size / 2);
}

void map_reserve(struct map *m, size_t n)
{
    size_t size = MIN_SIZE;
    CHECK(m->table[0].size == 0 && !m->moving);
    while (size < n)
        size *= 2;
    m->table[0] = (struct map_table){mem_zalloc(size * sizeof(struct map_node *)), size, 0};
}

struct map_node *map_find(struct map *m, uint64_t hash, map_match match, const void *key)
{
    for (int i = 0; i < (m->moving ? 2 : 1); i++) {
        struct map_table *t = &m->table[i];
        if (t->size == 0)
            continue;
        for (struct map_node *n = t->buckets[hash & (t->size - 1)]; n != NULL; n = n->next) {
            if (n->hash == hash && match(n, key))
                return n;
        }
    }
    return NULL;
}

void map_insert(struct map *m, struct map_node *node, uint64_t hash)
{
    resize_if_due(m);
    node->hash = hash;
    table_insert(&m->table[m->moving ? 1 : 0], node);
}

static bool table_remove(struct map_table *t, struct map_node *node)
{
    if (t->size == 0)
        return false;
    for (struct map_node **at = &t->buckets[node->hash & (t->size - 1)]; *at != NULL;
         at = &(*at)->next) {
        if (*at == node) {
            *at = node->next;
            t->used--;
            return true;
        }
    }
    return false;
}

void map_remove(struct map *m, struct map_node *node)
{
    bool removed = table_remove(&m->table[0], node) || table_remove(&m->table[1], node);
    CHECK(removed);
    node->next = NULL;
    resize_if_due(m);
}

size_t map_count(const struct map *m)
{
    return m->table[0].used + m->table[1].used;
}

size_t map_memory(const struct map *m)
{
    return (m->table[0].size + m->table[1].size) * sizeof(struct map_node *);
}

void map_each(struct map *m, void (*f)(struct map_node *node, void *arg), void *arg)
{
    while (m->moving)
        move_some(m);
    m->iterating = true;
    for (size_t i = 0; i < m->table[0].size; i++) {
        struct map_node *n = m->table[0].buckets[i];
        while (n != NULL) {
            struct map_node *next = n->next;
            f(n, arg);
            n = next;
        }
    }
    m->iterating = false;
}

static uint64_t reverse_bits(uint64_t v)
{
    v = (v >> 1 & 0x5555555555555555) | (v & 0x5555555555555555) << 1;
    v = (v >> 2 & 0x3333333333333333) | (v & 0x3333333333333333) << 2;
    v = (v >> 4 & 0x0f0f0f0f0f0f0f0f) | (v & 0x0f0f0f0f0f0f0f0f) << 4;
    return __builtin_bswap64(v);
}

/* Counts from the highest bit of the mask down. So a bucket that has been visited is, in a table of
 * another size, behind the cursor with all that it has become. */
static uint64_t next_cursor(uint64_t cursor, uint64_t mask)
{
    return reverse_bits(reverse_bits(cursor | ~mask) + 1);
}

static void visit(const struct map_table *t, uint64_t cursor,
                  void (*f)(struct map_node *node, void *arg), void *arg)
{
    struct map_node *n = t->buckets[cursor & (t->size - 1)];
    while (n != NULL) {
        struct map_node *next = n->next;
        f(n, arg);
        n = next;
    }
}

uint64_t map_scan(const struct map *m, uint64_t cursor, void (*f)(struct map_node *node, void *arg),
                  void *arg)
{
    if (m->table[0].size == 0)
        return 0;
    if (!m->moving) {
        visit(&m->table[0], cursor, f, arg);
        return next_cursor(cursor, m->table[0].size - 1);
    }
    const struct map_table *small = &m->table[m->table[0].size > m->table[1].size];
    const struct map_table *large = &m->table[m->table[0].size <= m->table[1].size];
    visit(small, cursor, f, arg);
    do {
        visit(large, cursor, f, arg);
        cursor = next_cursor(cursor, large->size - 1);
    } while (cursor & ((small->size - 1) ^ (large->size - 1)));
    return cursor;
}
