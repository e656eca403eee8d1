/* keyspace: what this instance knows of keys. An entry per key; entries that nobody uses right now
 * are the cache, in order of last use, and go when memory is short.
 *
 * Ownership: the keyspace owns the entries. Whoever works with one pins it; a pinned entry is never
 * evicted. An unpinned entry about which nothing is known is freed at once, but for one that is to be read
 * again (`forgotten`). */
#ifndef RESPGRES_KEYSPACE_KEYSPACE_H
#define RESPGRES_KEYSPACE_KEYSPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/list.h"
#include "base/map.h"
#include "value/expiry.h"
#include "value/value.h"

enum entry_knowledge {
    ENTRY_UNKNOWN,
    ENTRY_ABSENT, /* not live; `version` is that of its tombstone or expired row, 0 = no row */
    ENTRY_LIVE,
};

struct entry_work; /* the engine's: who waits, what is being written */
struct dirty;      /* the router's: what PostgreSQL does not have yet */

struct entry {
    struct map_node node;
    struct list lru;
    struct entry_work *work; /* NULL while nobody uses the entry */
    struct dirty *dirty;     /* NULL = as far as we know, PostgreSQL has it */
    struct value *value;     /* one reference; NULL unless live */
    int64_t version;         /* of the row this knowledge comes from */
    int64_t value_version;   /* of the write that made these bytes; 0 while they are being written. Of an
                                absent one: see entry_ended */
    int64_t expires_us;      /* INT64_MAX = never, or not known yet while being written */
    uint64_t as_of;          /* the engine's: of the notices before the statement that told this */
    uint32_t pins;
    uint32_t key_len;
    uint16_t db;
    uint8_t knowledge;       /* enum entry_knowledge */
    bool guessed;            /* absent because nothing was known while PostgreSQL was away */
    uint32_t used_s;         /* the engine's: when it was last used, by clock_mono_us; 0 = never here */
    bool suspect;            /* its row was found locked by somebody else: probe before a commit */
    bool forgotten;          /* unknown, and was known: to be read again */
    bool ended_here;         /* absent because it was removed here, or its time is over */
    bool merged_unseen;      /* live as it was merged, by a batch of which it is not known what each key has
                                become: perhaps it has lost */
    char key[];
};

struct keyspace;

struct keyspace *keyspace_new(size_t max_memory);
void keyspace_free(struct keyspace *ks);
void keyspace_set_max_memory(struct keyspace *ks, size_t bytes);
/* From now on the entry of a key that was known and is not any more stays, as `forgotten`: somebody reads
 * it again. */
void keyspace_keep_forgotten(struct keyspace *ks);

/* The entry of a key, made if there is none, pinned once for the caller. */
struct entry *keyspace_pin(struct keyspace *ks, int db, struct bytes key);
/* Once more, for somebody else who has the entry in hand. */
void entry_pin_again(struct entry *e);
void keyspace_unpin(struct keyspace *ks, struct entry *e);

static inline struct bytes entry_key(const struct entry *e)
{
    return (struct bytes){e->key, e->key_len};
}

/* What is known from now on. entry_set_live takes the value's reference. */
void entry_set_live(struct keyspace *ks, struct entry *e, struct value *take, int64_t version,
                    int64_t value_version, int64_t expires_us);
void entry_set_absent(struct keyspace *ks, struct entry *e, int64_t version);
/* Absent, and still so because of an end by SQL, of that stamp, which `version` itself need not tell: a write
 * that was held back because of it has a later one. */
void entry_set_ended(struct keyspace *ks, struct entry *e, int64_t version, int64_t ended);
void entry_set_unknown(struct keyspace *ks, struct entry *e);
/* That stamp; 0 = none is known but by `version`. */
static inline int64_t entry_ended(const struct entry *e)
{
    return e->knowledge == ENTRY_ABSENT ? e->value_version : 0;
}

/* A dirty entry is not evicted and not forgotten, whether somebody uses it or not. NULL = it is clean
 * again. */
void entry_set_dirty(struct keyspace *ks, struct entry *e, struct dirty *dirty);

/* The entry of a key, or NULL; not pinned. */
struct entry *keyspace_find(struct keyspace *ks, int db, struct bytes key);

/* Puts back an entry that nobody uses as the least recently used one. */
void keyspace_make_oldest(struct keyspace *ks, struct entry *e);

/* A walk in pieces over all entries, as map_scan. */
uint64_t keyspace_scan(const struct keyspace *ks, uint64_t cursor,
                       void (*f)(struct entry *e, void *arg), void *arg);

/* While set, nothing is evicted: what is here may be nowhere else. */
void keyspace_keep_all(struct keyspace *ks, bool keep);
/* Used memory is above the limit. */
bool keyspace_is_full(const struct keyspace *ks);

/* Drops unpinned entries, least recently used first, until the memory is within bounds; a bounded
 * number per call. Returns true if there is more to do. */
bool keyspace_evict(struct keyspace *ks);

/* Forgets all unpinned entries of a database, or of all (db < 0). */
void keyspace_drop(struct keyspace *ks, int db);

struct keyspace_stats {
    size_t entries;
    size_t memory;     /* bytes of entries, values and the table */
    size_t max_memory;
    uint64_t evicted;
};

void keyspace_get_stats(const struct keyspace *ks, struct keyspace_stats *out);

#endif
