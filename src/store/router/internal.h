/* internal: what the router's files share. Nothing outside this folder includes it.
 *
 * The keyspace is the memory; its entries say what is stored as far as this instance knows. A key that
 * PostgreSQL does not have as it is here has a `struct dirty` besides: what it was when PostgreSQL had
 * it last. Its state now is the entry's. A dirty entry is not evicted, and no operation on it goes to
 * PostgreSQL before it has been merged.
 *
 * Order. A local commit is decided when it is submitted, journalled, and applied when the journal says
 * that it is durable; until then the engine keeps everybody else off its keys. */
#ifndef RESPGRES_STORE_ROUTER_INTERNAL_H
#define RESPGRES_STORE_ROUTER_INTERNAL_H

#include "base/list.h"
#include "store/journal/journal.h"
#include "store/merge.h"
#include "store/postgres/postgres.h"
#include "store/router/router.h"

/* Cursors of SCAN that are ours, not PostgreSQL's ids: a client may go on where the other has begun. */
#define LOCAL_CURSOR ((int64_t)1 << 52)

/* 2025-01-01, from which stamps count microseconds. */
#define STAMP_EPOCH_US STORE_STAMP_EPOCH_US
/* When a stamp was minted, microseconds since 1970. */
#define STAMP_US(stamp) STORE_STAMP_US(stamp)

enum { MERGE_MAX = 1000 }; /* keys of one merge batch, and of one merge set */

/* Keys that one MULTI or one command has written together: merged in one transaction. */
struct merge_set {
    struct list members; /* dirty.set_node */
    size_t n;
};

struct dirty {
    struct list node;        /* in router->dirty, in the order of merging */
    struct list set_node;
    struct merge_set *set;   /* NULL = alone */
    struct entry *entry;
    int64_t base_version;
    int64_t maybe_version;   /* of a write that may have reached PostgreSQL, 0 = none */
    int64_t expires_us;      /* as journalled: an expired entry may read as absent by now */
    int64_t version;
    uint8_t base;            /* enum journal_base */
    bool live;               /* as journalled */
    bool merging;            /* in the batch that is on its way */
    bool wanted;             /* an operation waits for it: it is near the front */
    bool stuck;              /* PostgreSQL refuses it, or somebody holds its row: tried last */
};

/* What waits for the journal, or for the next turn. */
struct local_lane {
    struct commit_batch *batch;
    uint64_t position;
    bool taken;              /* it was in flight to PostgreSQL */
    bool partly;             /* not all of it is in the journal, and the rest has failed */
    bool done;               /* nothing to wait for: answered in the next turn */
    struct read_batch *read;
};

/* Operations that came while their keys are being merged. */
struct held_lane {
    struct commit_batch *commit;
    struct store_xact *xact;
    struct read_batch *read;
};

/* One change of a transaction of several steps. */
struct staged {
    struct list node;
    struct entry *entry;     /* pinned by the engine */
    struct value *value;     /* one reference; NULL = removed */
    int64_t expires_us;
    int64_t version;
    bool removed;            /* on the way to what it is now */
};

struct flushed {
    struct list node;
    int db;                  /* -1 = all */
    int64_t stamp;
};

/* A batch of PostgreSQL's whose outcome is not known yet. */
struct unsettled {
    struct list node;
    struct journal_lane lane;
    size_t n;                /* its items, as far as they are in the journal */
    bool taken;              /* in this life: the lane tells by itself */
    bool asked;
};

struct router_stats {
    uint64_t outages;
    uint64_t unknown_reads;
    uint64_t local_commits;
    uint64_t merged;
    uint64_t merge_lost;
    uint64_t merge_replaced;
    uint64_t merged_before;  /* ... this recovery */
    uint64_t lost_before;
    uint64_t replaced_before;
    int64_t merge_started_us;
    int64_t merge_us;        /* the last one's time, once it has ended */
};

struct router {
    struct store base;
    struct loop *loop;
    const struct config *config;
    struct keyspace *keyspace;
    struct store *pg;        /* NULL = standalone */
    struct journal *journal; /* NULL = none: fallback off, or the folder cannot be used */
    char *journal_dir;
    char *journal_trouble;   /* why there is none, NULL = not wanted */
    enum store_state state;
    char reason[160];
    char why[400];           /* the reason, and what else is wrong */
    int64_t since_us;
    int64_t outage_times[4]; /* of the last ones, for the warning */
    struct timer *start_timer;  /* until when a start waits for PostgreSQL */
    struct timer *answer_timer; /* local answers of the last turn */
    struct timer *merge_timer;
    struct timer *upkeep_timer;
    struct warm *warm;       /* NULL = none */
    struct timer *warm_timer;
    uint64_t warm_cursor;
    size_t warm_count;       /* of those begun */
    bool warm_at_stop;       /* the one of a clean stop has been begun */
    struct timer *retry_timer;  /* of a journal that could not be written */
    struct payload_rules *sessions; /* which keys are: see ended.c */
    bool has_memory;         /* there is something to serve from without PostgreSQL */
    bool release_due;        /* what is held may go on: to be looked at at the end of the turn */
    bool returning;          /* PostgreSQL is back: what is under way here ends, nothing new begins */
    bool stopping;
    bool pg_stopping;
    /* lanes, as the engine sees them */
    size_t nreads;
    size_t ncommits;
    struct local_lane *local_reads;
    struct local_lane *local_commits;
    struct held_lane *held_reads;
    struct held_lane *held_commits;
    struct store_xact *xact;     /* a local one, at work */
    struct list staged;          /* its changes so far */
    bool staged_flush;           /* it has flushed a database (-1: all): only `staged` is live there */
    bool was_flushed;
    int staged_flush_db;
    bool xact_due;               /* its step is to be answered in the next turn */
    bool xact_ending;
    uint64_t xact_position;
    struct store_query *queries; /* to be answered locally, in order */
    struct store_query **queries_tail;
    struct store_query *held_queries;
    struct store_query **held_queries_tail;
    struct store_query *flushing; /* waits until it is in the journal */
    uint64_t flush_position;
    int64_t flush_stamp;
    /* what PostgreSQL does not have */
    struct list dirty;
    size_t ndirty;
    int64_t oldest_us;       /* when the first of them became so, since there were none */
    struct list flushes;
    bool *flushed;           /* per database: everything older is gone, unknown keys are absent */
    struct list unsettled;
    uint64_t settled_position; /* of the last outcome in the journal, 0 = none, or it is lost */
    uint64_t journalled;     /* position of the last append */
    uint64_t durable;
    bool clock_written;      /* in this segment */
    /* merge */
    struct merge_batch batch;
    struct merge_flush flush;
    struct dirty *sent[MERGE_MAX];
    struct merge_item items[MERGE_MAX];
    uint64_t merge_number;   /* of the last batch that was sent */
    uint64_t merge_confirmed; /* of the last one whose outcome is known */
    uint64_t begin_position; /* its MERGE_BEGIN's */
    uint64_t end_number;     /* of the last batch that has ended, 0 = none */
    uint64_t end_position;   /* its MERGE_END's, 0 = not in the journal */
    bool end_applied;
    size_t merge_limit;      /* keys of the next batch */
    bool merge_asked;        /* PostgreSQL has told how far it has this journal */
    bool flush_sent;         /* the batch is `flush` */
    int64_t sent_us;
    int64_t stuck_until_us;
    enum { MERGE_IDLE, MERGE_ASKING, MERGE_JOURNALLING, MERGE_SENT } merging;
    /* compaction */
    uint64_t snapshot_cursor;
    size_t snapshot_bytes;   /* of this call */
    uint64_t compactions;
    uint64_t compacted_bytes; /* size of the journal behind the last one */
    uint64_t sweep_cursor;
    bool snapshot_begun;
    /* standalone: our own clock and stamps */
    int64_t last_now_us;
    int64_t last_stamp;
    int slot;
    struct router_stats stats;
};

static inline struct router *router_of(struct store *s)
{
    return (struct router *)s;
}

/* ---- router.c ---- */
void router_set_state(struct router *r, enum store_state to, const char *why);
/* Reads and writes are answered from here. */
bool router_is_local(const struct router *r);
/* ... but clean keys are read from PostgreSQL. */
bool router_is_readable(const struct router *r);
int64_t router_now_us(struct router *r);
int64_t router_mint(struct router *r, size_t n);
/* Local answers are due in the next turn. */
void router_answer_soon(struct router *r);
/* Follows PostgreSQL's state. */
void router_pump(struct router *r);
void router_feed_metrics(struct router *r);
/* What dirty keys, FLUSHes and lanes have left in lists. */
void router_free_lists(struct router *r);
/* dir/instance-name; the caller's. */
char *router_make_dir(const struct config *c);
/* What was held for a merge goes on: to PostgreSQL if its keys are clean, or locally. */
void router_release_held(struct router *r);
bool router_has_held(const struct router *r);

/* ---- dirty.c ---- */
/* After a journalled write; makes the record if the key has been clean so far. */
/* Is this write one of a request that was under way when SQL ended its session? Then it is answered as
 * done, and the key stays absent. */
bool ended_by_sql(struct router *r, const struct commit_item *it, const struct entry *e, int64_t now_us);
struct dirty *dirty_note(struct router *r, struct entry *e, const struct journal_item *it);
void dirty_drop(struct router *r, struct dirty *d);
void dirty_drop_db(struct router *r, int db);
/* They are merged together, as far as a batch has room. */
void dirty_unite(struct dirty *a, struct dirty *b);
/* What the key was based on, of a write by `e`'s knowledge. */
void dirty_base_of(const struct router *r, const struct entry *e, int64_t now_us,
                   struct journal_item *it);
void dirty_base_if_removed(bool removed, struct journal_item *it);
/* The journal's item of a dirty entry, with its bytes if they are wanted. */
void dirty_item(const struct dirty *d, bool bytes, struct journal_item *it);
void router_note_flush(struct router *r, int db, int64_t stamp);
/* Some of them are merged now. */
void router_know_flushed(struct router *r);
/* Everything of a database (all: -1) that is known here is gone. */
void router_apply_flush(struct router *r, int db);

/* ---- journaling.c ---- */
bool journaling_open(struct router *r, struct buf *error);
/* Reads it only. */
bool journaling_read(struct router *r, struct buf *error);
/* Position behind the record; 0 = it could not be taken. */
uint64_t journaling_append(struct router *r, const struct journal_record *rec);
/* The reply to writes now, or NULL. */
const char *journaling_error(const struct router *r, char *out, size_t size);
void journaling_merged(struct router *r);

/* Our clock and slot, as known; and what a file says that they were. */
void journaling_fill_clock(struct router *r, struct journal_clock *c);
void journaling_take_clock(struct router *r, const struct journal_clock *c);

/* ---- warming.c ---- */
void warming_load(struct router *r);
void warming_start(struct router *r);
void warming_schedule(struct router *r);
/* False = none is begun. */
bool warming_begin(struct router *r);

/* ---- local.c ---- */
bool local_is_live(const struct entry *e, int64_t now_us);
/* Does `fallback` let all of them be written now? */
bool local_may_write(const struct router *r, const struct commit_item *items, size_t n);
/* One key, as it is here. */
void local_answer_item(struct router *r, struct read_item *it);
void local_read(struct router *r, size_t lane, struct read_batch *b);
/* `taken`: it was in flight to PostgreSQL there; its items have their versions. */
void local_commit(struct router *r, size_t lane, struct commit_batch *b,
                  const struct journal_lane *taken);
void local_durable(struct router *r);
void local_failed(struct router *r);
/* Answers what is due. */
void local_answer(struct router *r);
bool local_busy(const struct router *r);

/* ---- split.c ---- */
void split_read(struct router *r, size_t lane, struct read_batch *b);

/* ---- upkeep.c ---- */
void upkeep_start(struct router *r);

/* ---- local_query.c: whole keyspace, and transactions of several steps ---- */
void local_query(struct router *r, struct store_query *q);
void local_query_answer(struct router *r);
void local_query_durable(struct router *r);
void local_query_failed(struct router *r);
bool local_query_busy(const struct router *r);
/* A FLUSH is the next thing to do. */
bool local_flush_waits(const struct router *r);
void local_free(struct router *r);
void local_xact_begin(struct router *r, struct store_xact *x);
void local_xact_step(struct router *r, struct store_xact *x);
void local_xact_end(struct router *r, struct store_xact *x);
void local_xact_answer(struct router *r);
struct staged *staged_of(const struct router *r, const struct entry *e);

/* ---- merger.c ---- */
void merger_start(struct router *r);
void merger_stop(struct router *r);
/* Goes on if something can be done. */
void merger_pump(struct router *r);
void merger_durable(struct router *r);
void merger_want(struct router *r, struct dirty *d);
/* A batch of n items that was in flight: its outcome is to be found out before anything is merged. */
void merger_note_lane(struct router *r, const struct journal_lane *lane, size_t n);
bool merger_is_of_lane(const struct unsettled *u, int64_t version);
/* What became of it. */
void merger_outcome(struct router *r, const struct journal_lane *lane,
                    const struct postgres_outcome *o);
void merger_settled(struct router *r, const struct journal_lane *lane, bool known, bool applied,
                    bool (*was_applied)(void *arg, int32_t position), void *arg);
/* The batch in r->sent has been applied, or has certainly not. Told: take_outcomes knows what each key has
 * become. */
void merger_batch_ended(struct router *r, bool applied, bool told);
/* The same, and the journal is told. */
void merger_end_batch(struct router *r, bool applied, bool told);
void merger_forget_sent(struct router *r);
void merger_journal_failed(struct router *r);
/* Writes its MERGE_BEGIN, to the journal or to the snapshot; the position. */
uint64_t merger_describe_sent(struct router *r, bool snapshot);

#endif
