#include "keyspace/keyspace.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"

enum { EVICT_PER_CALL = 2000 };

struct keyspace {
    struct map map;
    struct list lru; /* unpinned entries, most recently used first */
    size_t memory;
    size_t max_memory;
    uint64_t evicted;
    bool keep_all;
    bool keep_forgotten;
};

struct lookup {
    int db;
    struct bytes key;
};

struct keyspace *keyspace_new(size_t max_memory)
{
    struct keyspace *ks = mem_zalloc(sizeof(*ks));
    map_init(&ks->map);
    list_init(&ks->lru);
    ks->max_memory = max_memory;
    return ks;
}

void keyspace_set_max_memory(struct keyspace *ks, size_t bytes)
{
    ks->max_memory = bytes;
}

void keyspace_keep_forgotten(struct keyspace *ks)
{
    ks->keep_forgotten = true;
}

static size_t entry_memory(const struct entry *e)
{
    return sizeof(*e) + e->key_len + (e->value != NULL ? value_memory(e->value) : 0);
}

static void entry_free(struct keyspace *ks, struct entry *e)
{
    CHECK(e->pins == 0 && e->work == NULL && e->dirty == NULL);
    ks->memory -= entry_memory(e);
    list_remove(&e->lru);
    map_remove(&ks->map, &e->node);
    value_unref(e->value);
    mem_free(e);
}

static void free_each(struct map_node *node, void *arg)
{
    struct entry *e = LIST_ITEM(node, struct entry, node);
    e->pins = 0;
    e->work = NULL;
    e->dirty = NULL;
    entry_free(arg, e);
}

void keyspace_free(struct keyspace *ks)
{
    if (ks == NULL)
        return;
    map_each(&ks->map, free_each, ks);
    CHECK(ks->memory == 0);
    map_release(&ks->map);
    mem_free(ks);
}

static bool match(const struct map_node *node, const void *key)
{
    const struct entry *e = LIST_ITEM(node, struct entry, node);
    const struct lookup *l = key;
    return e->db == l->db && bytes_eq(entry_key(e), l->key);
}

static struct entry *find(struct keyspace *ks, int db, struct bytes key, uint64_t hash)
{
    struct lookup l = {db, key};
    struct map_node *node = map_find(&ks->map, hash, match, &l);
    return node != NULL ? LIST_ITEM(node, struct entry, node) : NULL;
}

struct entry *keyspace_find(struct keyspace *ks, int db, struct bytes key)
{
    return find(ks, db, key, hash_bytes(key, (uint64_t)db));
}

struct entry *keyspace_pin(struct keyspace *ks, int db, struct bytes key)
{
    uint64_t hash = hash_bytes(key, (uint64_t)db);
    struct entry *e = find(ks, db, key, hash);
    if (e == NULL) {
        e = mem_alloc(sizeof(*e) + key.len);
        *e = (struct entry){.db = (uint16_t)db, .key_len = (uint32_t)key.len,
                            .expires_us = INT64_MAX};
        memcpy(e->key, key.data, key.len);
        list_init(&e->lru);
        map_insert(&ks->map, &e->node, hash);
        ks->memory += entry_memory(e);
    }
    if (e->pins++ == 0)
        list_remove(&e->lru);
    return e;
}

void entry_pin_again(struct entry *e)
{
    CHECK(e->pins > 0);
    e->pins++;
}

/* Nobody uses it now. */
static void put_aside(struct keyspace *ks, struct entry *e)
{
    if (e->dirty != NULL)
        return;
    if (e->knowledge == ENTRY_UNKNOWN && !e->suspect && !e->forgotten)
        entry_free(ks, e);
    else
        list_push_front(&ks->lru, &e->lru);
}

void keyspace_unpin(struct keyspace *ks, struct entry *e)
{
    CHECK(e->pins > 0);
    if (--e->pins == 0)
        put_aside(ks, e);
}

void entry_set_dirty(struct keyspace *ks, struct entry *e, struct dirty *dirty)
{
    e->dirty = dirty;
    if (e->pins > 0)
        return;
    list_remove(&e->lru);
    put_aside(ks, e);
}

static void replace(struct keyspace *ks, struct entry *e, enum entry_knowledge knowledge,
                    struct value *v, int64_t version, int64_t value_version, int64_t expires_us)
{
    ks->memory -= entry_memory(e);
    value_unref(e->value);
    e->value = v;
    e->knowledge = (uint8_t)knowledge;
    e->version = version;
    e->value_version = value_version;
    e->expires_us = expires_us;
    e->guessed = false;
    e->forgotten = false;
    e->ended_here = false;
    e->merged_unseen = false;
    ks->memory += entry_memory(e);
}

void entry_set_live(struct keyspace *ks, struct entry *e, struct value *take, int64_t version,
                    int64_t value_version, int64_t expires_us)
{
    CHECK(take != NULL);
    replace(ks, e, ENTRY_LIVE, take, version, value_version, expires_us);
}

void entry_set_absent(struct keyspace *ks, struct entry *e, int64_t version)
{
    entry_set_ended(ks, e, version, 0);
}

void entry_set_ended(struct keyspace *ks, struct entry *e, int64_t version, int64_t ended)
{
    replace(ks, e, ENTRY_ABSENT, NULL, version, ended, INT64_MAX);
}

void entry_set_unknown(struct keyspace *ks, struct entry *e)
{
    bool forgotten = ks->keep_forgotten && (e->knowledge != ENTRY_UNKNOWN || e->forgotten);
    replace(ks, e, ENTRY_UNKNOWN, NULL, 0, 0, INT64_MAX);
    e->forgotten = forgotten;
}

static size_t total_memory(const struct keyspace *ks)
{
    return ks->memory + map_memory(&ks->map);
}

bool keyspace_evict(struct keyspace *ks)
{
    if (ks->keep_all)
        return false;
    for (int i = 0; i < EVICT_PER_CALL; i++) {
        if (total_memory(ks) <= ks->max_memory || list_empty(&ks->lru))
            return false;
        entry_free(ks, LIST_ITEM(ks->lru.prev, struct entry, lru));
        ks->evicted++;
    }
    return true;
}

void keyspace_keep_all(struct keyspace *ks, bool keep)
{
    ks->keep_all = keep;
}

bool keyspace_is_full(const struct keyspace *ks)
{
    return total_memory(ks) > ks->max_memory;
}

void keyspace_make_oldest(struct keyspace *ks, struct entry *e)
{
    if (e->pins > 0 || e->dirty != NULL)
        return;
    list_remove(&e->lru);
    list_push_back(&ks->lru, &e->lru);
}

struct scan {
    void (*f)(struct entry *e, void *arg);
    void *arg;
};

static void scan_node(struct map_node *node, void *arg)
{
    const struct scan *s = arg;
    s->f(LIST_ITEM(node, struct entry, node), s->arg);
}

uint64_t keyspace_scan(const struct keyspace *ks, uint64_t cursor,
                       void (*f)(struct entry *e, void *arg), void *arg)
{
    struct scan s = {f, arg};
    return map_scan(&ks->map, cursor, scan_node, &s);
}

void keyspace_drop(struct keyspace *ks, int db)
{
    LIST_EACH(it, &ks->lru)
    {
        struct entry *e = LIST_ITEM(it, struct entry, lru);
        if (db < 0 || e->db == db)
            entry_free(ks, e);
    }
}

void keyspace_get_stats(const struct keyspace *ks, struct keyspace_stats *out)
{
    *out = (struct keyspace_stats){map_count(&ks->map), total_memory(ks), ks->max_memory,
                                   ks->evicted};
}
