/* store: where keys live for good. The engine gathers and submits batches; a store answers each
 * batch once, later, from the loop, never from within the call.
 *
 * A store is a const table of functions. The PostgreSQL store is one; the router, which serves from
 * memory and journal while PostgreSQL is away and passes everything on otherwise, is another, and the
 * one that the engine sees. */
#ifndef RESPGRES_STORE_STORE_H
#define RESPGRES_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "value/expiry.h"
#include "value/value.h"

enum store_state {
    STORE_STARTING, /* no contact with PostgreSQL yet */
    STORE_ONLINE,
    STORE_AWAY,     /* lost; being sought */
    STORE_RECOVERING, /* back; what was journalled meanwhile is being merged */
    STORE_STANDALONE, /* memory and journal are the store for good */
};

enum { STORE_STATES = STORE_STANDALONE + 1 }; /* how many there are */

enum store_result {
    STORE_OK,
    STORE_LOCKED,  /* not applied: somebody holds a row for longer than lock_timeout */
    STORE_REFUSED, /* not applied: PostgreSQL refuses an item; `error` says why */
    STORE_LOST,    /* not applied, or not known to be: connection lost, fenced, out of time */
    STORE_FAILED,  /* not applied, and trying again is of no use: `error` is the reply */
};

/* For one more message. */
enum store_room {
    STORE_ROOM,
    STORE_NO_ROOM,     /* so much is on the way that whoever can wait should, for a while */
    STORE_NO_ROOM_YET, /* the same, and PostgreSQL is taking it: as long as it is so */
};

/* Values longer than this are written on the bulk lane, where a batch may take this long. */
#define STORE_BULK_BYTES ((size_t)256 * 1024)
#define STORE_BULK_TIMEOUT_MS ((int64_t)60000)

/* Versions are stamps: microseconds since 2025 on PostgreSQL's clock, over ten bits of the writer's slot.
 * When one was minted, in microseconds since 1970. */
#define STORE_STAMP_EPOCH_US (1735689600LL * 1000000)
#define STORE_STAMP_US(stamp) (((stamp) >> 10) + STORE_STAMP_EPOCH_US)
/* A write by SQL has no slot. (0 is no version.) */
#define STORE_STAMP_IS_OF_SQL(stamp) ((stamp) != 0 && ((stamp) & 1023) == 0)

#define STORE_NEVER INT64_MAX /* an expiry that never comes */

/* The reply where `fallback` keeps a key from being written in an outage. */
#define STORE_ERROR_READONLY                                                                     \
    "READONLY PostgreSQL is not reachable, and fallback is readonly for this key, nothing was done"

struct entry; /* keyspace/keyspace.h */

/* ---- reads ---- */

/* One key to be read or revalidated. `known`: v = the caller holds the bytes of version v,
 * -v = it knows the key to be absent at v, 0 = it knows nothing. */
struct read_item {
    int db;
    struct bytes key; /* borrowed until done */
    int64_t known;
    int64_t known_bytes; /* with known > 0: the value_version of the bytes the caller holds */
    /* out: */
    bool guessed;        /* said to be absent only because nothing is known */
    bool local;          /* from memory: it has told nothing that memory did not know */
    bool undecided;      /* it has expired, unless a write that is under way came in time: ask again */
    bool changed;        /* false: exactly as known (and for known == 0: absent, no row) */
    int64_t version;     /* with changed: > 0 live, < 0 absent at that version, 0 no row */
    uint8_t type;
    struct value *value; /* the caller takes the reference; NULL = the bytes are as known */
    int64_t value_version; /* of the write that made the bytes */
    int64_t expires_us;  /* since 1970, or STORE_NEVER */
    bool expired;        /* with changed and no live version: there is a value, whose time has passed */
    int64_t ended;       /* with changed and no live version: the stamp of the end by SQL because of which
                            it is not live, 0 = it is none of a session */
};

struct read_batch {
    struct read_item *items;
    size_t n;
    int32_t *spaces; /* the caller's array, filled per database; a FLUSH or SWAPDB changes them */
    size_t nspaces;
    void (*done)(struct read_batch *b);
    /* out: */
    enum store_result result;
    int64_t time_us; /* PostgreSQL's clock before the snapshot: by it the keys were judged */
};

/* ---- commits ---- */

/* Stored in the items' encoding: never renumber; those that need a live row are odd. */
enum commit_expect {
    EXPECT_ANY,
    EXPECT_LIVE_AT,   /* live at exactly version `expected` */
    EXPECT_ABSENT,    /* not live, whatever its version */
    EXPECT_VALUE_AT,  /* live, its bytes those of value_version `expected` */
    EXPECT_ABSENT_AT, /* not live, not written since version `expected`, and its database still has
                         the space `expected_space`; checked batches only */
};

enum commit_op { COMMIT_CHECK, COMMIT_TOUCH, COMMIT_WRITE };

/* One key of a batch; each key at most once per batch. Items of one group apply all or none. */
struct commit_item {
    int db;
    struct bytes key; /* borrowed until done */
    int group;
    enum commit_op op;
    enum commit_expect expect;
    int64_t expected;
    int32_t expected_space;
    bool saw_absent; /* whoever writes knows that the key was absent (not only the server does). A key that SQL has
                        ended within `revoke-grace` is only written anew by such. */
    bool removed;    /* the key was removed on the way to `value`: that counts whatever there was before */
    struct entry *entry; /* of the key, where the caller has it at hand; a store may pass it by */
    struct value *value; /* borrowed; COMMIT_WRITE only: NULL = remove */
    struct expiry expiry;
    /* out: */
    bool applied;
    bool expired_before; /* it replaced what had expired, and nobody else will tell that */
    int64_t version; /* the row's version now; negative: written, but it reads as absent */
    bool held_back;  /* ... because SQL has ended the session, not by what the value says itself */
};

struct commit_batch {
    struct commit_item *items;
    size_t n;
    bool checked;   /* has a group of several keys, a check-only item or EXPECT_ABSENT_AT */
    bool abandoned; /* set by the caller while in flight: never send it again; its outcome is still
                       found out before `done` */
    void (*done)(struct commit_batch *b);
    /* out: */
    enum store_result result;
    int64_t time_us;  /* relative expiries counted from here, PostgreSQL's clock */
    bool found_out;   /* its answer was lost: versions are as they were asked for, a row may be ahead */
    bool local;       /* decided by what is in memory: where a group was not applied, the caller's
                         knowledge of its keys is right all the same */
    char error[160];  /* with STORE_REFUSED: PostgreSQL's words, no data in them */
};

/* ---- whole-keyspace queries ---- */

enum store_query_kind {
    QUERY_SCAN,        /* db, cursor, limit → row(id, key or none, type), cursor */
    QUERY_KEYS,        /* db, prefix → row(0, key, type) */
    QUERY_RANDOM,      /* db → row(0, key, type) of some live key, none if there is none */
    QUERY_DBSIZE,      /* db → count */
    QUERY_KEYSPACE,    /* → keyspace */
    QUERY_FLUSH,       /* db .. db2 */
    QUERY_SWAP,        /* db, db2 */
    QUERY_EXPIRE,      /* limit → row(0, key, not live) with q->db set, for each key that has expired: once
                          in all instances, to whoever asks first */
    QUERY_FIND_LOCKED, /* items → row(index) for each that somebody else holds */
    QUERY_TRY_LOCK,    /* items → STORE_OK if all could be locked for a moment, else STORE_LOCKED: also
                          sees keys whose INSERT is under way elsewhere */
    /* Scripts that are known to all instances. One is framed as its SHA1 (40 hex digits), its length (a
     * uint64_t) and its bytes. */
    QUERY_SCRIPT_SAVE,    /* prefix = scripts */
    QUERY_SCRIPT_FIND,    /* prefix = a SHA1 → row(0, the script), none if it is not known */
    QUERY_SCRIPT_EXISTS,  /* prefix = SHA1s → row(0, SHA1) of each that is known */
    QUERY_SCRIPT_FLUSH,   /* → count, as the next */
    QUERY_SCRIPT_FLUSHES, /* → count: how often all scripts have been forgotten */
};

enum { STORE_SHA_LEN = 40 };

struct store_keyspace {
    int db;
    int64_t keys;
    int64_t expires;
    int64_t avg_ttl_ms;
};

struct store_query {
    enum store_query_kind kind;
    int db;
    int db2;
    int64_t cursor;
    bool newest_first; /* QUERY_SCAN from the highest id (below `cursor`) down; PostgreSQL's store only */
    int64_t limit;
    struct bytes prefix;
    const struct commit_item *items; /* borrowed until done */
    size_t n;
    void (*row)(struct store_query *q, int64_t id, struct bytes key, bool live, uint8_t type);
    void (*done)(struct store_query *q);
    /* out: */
    enum store_result result;
    char error[160];
    int64_t count;
    struct store_keyspace *keyspace; /* valid within done */
    size_t keyspace_len;
    /* the store's: */
    struct store_query *next;
};

/* ---- transactions of several steps ---- */

/* For what cannot be one batch. The caller drives it on an idle commit lane, which serves nothing
 * else meanwhile: begin, any number of steps, end; each answers by `done`. A result other than
 * STORE_OK ends it: nothing was applied, but for STORE_LOST after xact_end, where that is not known. */
struct store_xact {
    struct read_item *reads;   /* every key, known = 0; filled anew by begin and by `reread` */
    size_t nreads;
    int32_t *spaces;           /* as in read_batch */
    size_t nspaces;
    struct commit_batch locks; /* the same keys as items */
    bool alters_spaces;        /* a step will FLUSH or SWAP */
    /* for a step and for the end: */
    struct commit_batch batch; /* what to write: EXPECT_ANY, one group; n may be 0. With STORE_OK the items'
                                  versions and its time_us are told, as of any batch */
    struct store_query *query; /* a step's query, after the writes */
    bool reread;               /* lock and read all keys again after the query */
    bool rollback;             /* with the end: nothing of it is to be applied */
    void (*done)(struct store_xact *x);
    /* out: */
    enum store_result result;
    bool local;                /* from memory: it has told nothing that memory did not know */
    char error[160];
    int64_t time_us;
};

/* ---- what instances tell each other ---- */

/* What this instance wants to hear of others; bits. While none wants something nobody tells it. They
 * stand in the registry: never renumber. */
enum store_want {
    STORE_WANT_CACHING = 1,  /* which keys are written, to answer from memory: see fresh_until_us */
    STORE_WANT_KEYS = 2,     /* which keys are written: somebody waits for some */
    STORE_WANT_MESSAGES = 4, /* what is published */
};

/* Instances tell each other which keys they have written, by buckets: so many for all keys. */
enum { STORE_BUCKETS = 1 << 18 };

static inline uint32_t store_bucket(struct bytes key)
{
    uint32_t h = hash_stable(key);
    return (h ^ h >> 18) & (STORE_BUCKETS - 1);
}

/* Called from the loop. What others have written: a call is about everything in the bucket (in all of
 * them) that had been read or written here before it; it comes after the write has become visible. All
 * are called stale when keys begin to be heard, too: before that they may have been written unheard. */
struct store_notices {
    void (*stale)(void *arg, uint32_t bucket);
    void (*all_stale)(void *arg);
    /* What is heard (enum store_want, together) has changed. */
    void (*hears)(void *arg, unsigned wants);
    /* What another instance has published; the bytes are valid within the call. */
    void (*message)(void *arg, bool shard, struct bytes channel, struct bytes message);
    /* A key was written while PostgreSQL was away, and had expired when that was merged. */
    void (*expired)(void *arg, int db, struct bytes key);
};

/* ---- the store ---- */

struct metrics_page;
struct store;

struct store_ops {
    void (*free)(struct store *s);
    enum store_state (*state)(const struct store *s);
    size_t (*read_lanes)(const struct store *s);
    /* The last one is the bulk lane, for large values: connected when it is first asked for. */
    size_t (*commit_lanes)(const struct store *s);
    bool (*read_lane_idle)(const struct store *s, size_t lane);
    bool (*commit_lane_idle)(const struct store *s, size_t lane);
    /* The lane must be idle. */
    void (*read)(struct store *s, size_t lane, struct read_batch *b);
    void (*commit)(struct store *s, size_t lane, struct commit_batch *b);
    void (*xact_begin)(struct store *s, size_t lane, struct store_xact *x);
    void (*xact_step)(struct store *s, size_t lane, struct store_xact *x);
    void (*xact_end)(struct store *s, size_t lane, struct store_xact *x);
    /* Queued; answered in order. */
    void (*query)(struct store *s, struct store_query *q);
    /* PostgreSQL's clock as far as known, microseconds since 1970; never goes back. */
    int64_t (*now_us)(struct store *s);
    /* Notices go there from now on. */
    void (*set_notices)(struct store *s, const struct store_notices *notices, void *arg);
    /* Until when (clock_mono_us) what has not been called stale may be answered from memory without
     * being older than `cached-max-lag`; 0 or past = not now. */
    int64_t (*fresh_until_us)(const struct store *s);
    /* Keyspace events that other instances want, as far as is known here: of enum keyspace_event. NULL =
     * there are no others. */
    unsigned (*fleet_events)(const struct store *s);
    /* Lines for INFO's section postgres: "name:value\r\n". */
    void (*info)(struct store *s, struct buf *out);
    void (*reset_stats)(struct store *s);
    /* Puts what the store knows on a page of /metrics. NULL: nothing. */
    void (*collect)(const struct store *s, struct metrics_page *p);
    /* Why the state is what it is, in words for people; valid until the loop goes on. NULL: it says
     * nothing. */
    const char *(*why)(const struct store *s);
    /* A clean stop begins: no more sweeping or reconnecting; the slot is given back. */
    void (*stop)(struct store *s);
    bool (*stopped)(const struct store *s);
    /* What the caller knows of keys is the truth for now: there is nobody else to ask. NULL = never. */
    bool (*memory_is_truth)(const struct store *s);
    /* SAVE: writes anew what it keeps in a journal, in the background. NULL = there is none. */
    bool (*save)(struct store *s);
    /* enum store_want, together: what is to be heard from now on. It takes a connection, which comes
     * when the first thing is wanted and goes some seconds after the last. NULL = there is nobody to
     * be heard. */
    void (*want)(struct store *s, unsigned wants);
    /* Which of these are heard now, so that nothing is missed. */
    unsigned (*hears)(const struct store *s);
    /* To those of other instances who subscribe, at most once, in order; copied. Dropped while PostgreSQL
     * is away, and where too much is on the way already. NULL = there are no others. */
    void (*publish)(struct store *s, bool shard, struct bytes channel, struct bytes message);
    enum store_room (*publish_room)(const struct store *s);
};

struct store {
    const struct store_ops *ops;
    uint32_t clock_set; /* as of the last now_us, how often it has been set right: it may have gone back then */
};

static inline bool store_memory_is_truth(const struct store *s)
{
    return s->ops->memory_is_truth != NULL && s->ops->memory_is_truth(s);
}

static inline unsigned store_hears(const struct store *s)
{
    return s->ops->hears != NULL ? s->ops->hears(s) : 0;
}

static inline enum store_state store_state(const struct store *s)
{
    return s->ops->state(s);
}

#endif
