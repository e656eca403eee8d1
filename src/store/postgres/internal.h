/* internal: what the files of the PostgreSQL store share. Nothing outside this folder includes it.
 *
 * A link is a lane with its role in the store. Link 0 is the query link: it sets up the schema,
 * claims the instance's slot, answers whole-keyspace queries and does the housekeeping. The others are
 * opened once it has booted: read links, commit links (the last one for large values), and one that
 * listens, when somebody wants to hear something. */
#ifndef RESPGRES_STORE_POSTGRES_INTERNAL_H
#define RESPGRES_STORE_POSTGRES_INTERNAL_H

#include "base/keyspace_events.h"
#include "base/list.h"
#include "metrics/histogram.h"
#include "store/postgres/docs.h"
#include "store/postgres/lane.h"
#include "store/postgres/offset.h"
#include "store/postgres/postgres.h"
#include "store/postgres/statements.h"

enum link_kind { LINK_QUERY, LINK_READ, LINK_COMMIT, LINK_LISTEN };

struct pg_store;

struct link {
    struct pg_store *store;
    struct lane *lane;
    enum link_kind kind;
    int number;              /* within its kind, from 0 */
    bool bulk;               /* the commit link for large values: made when it is first needed */
    bool wanted;             /* ... which it has been */
    bool waits_for_slot;     /* connected; goes on when the query link has claimed one */
    bool usable;             /* set up: batches may be sent */
    bool doubtful;           /* ... but its batch was in flight when the server went silent */
    bool read_only;          /* read: its server takes no writes; good enough while away */
    int failures;            /* attempts since it was last usable */
    bool excused;            /* ... the last one for want of a slot: no sign of an outage */
    int quick_losses;        /* losses in a row within a second of becoming usable */
    int64_t usable_since_us;
    struct timer *retry;
    struct params params;
    struct params settings;  /* of the session, or of each transaction (session.c) */
    char name[16];           /* "read-0" */
    char application_name[80];
    /* read: */
    struct read_batch *reading;
    bool reading_few;        /* ... as STMT_READ_FEW, its keys sorted by `order` */
    /* commit: the batch in flight. It stays here when the connection is lost, until the lane's row
     * has told whether it counted. */
    struct commit_batch *committing;
    struct store_xact *xact; /* the transaction that has the lane to itself, or NULL */
    int64_t stamp;           /* of that batch */
    int transients;          /* how often it has met a deadlock or a serialization failure */
    size_t docs_sent;        /* documents in it */
    bool without_docs;       /* it was refused with them: this time without */
    int *order;              /* its items, sorted as sent */
    size_t order_cap;
    int slot;                /* under which the lane was claimed */
    int64_t incarnation;
    int64_t epoch;
    int claiming_slot;       /* under which it is being claimed: there may be another one by the answer */
    int64_t claiming_incarnation;
    struct journal_lane owed; /* of a batch that was handed over: its outcome is found out before
                                 the lane does anything else. slot 0 = none */
    bool owes_xact;          /* ... of a transaction that nobody waits for any more (postgres_drop_xact) */
};

/* Batches and their round trips in microseconds. */
struct op_stats {
    uint64_t items;
    uint64_t max_items;
    uint64_t us;
    uint64_t max_us;
    struct histogram sizes;  /* items - 1, so that a power of two ends a bucket */
    struct histogram times;
};

/* See listen.c. */
struct listening {
    struct link *link;
    struct timer *timer;
    unsigned wants;          /* enum store_want: what somebody here wants to hear */
    unsigned registered;     /* ... and what others know of by this connection */
    unsigned registering;    /* ... in flight */
    unsigned told;           /* what the engine has last been told to hear */
    int64_t excess_since_us; /* more is registered than wanted, or nothing at all; 0 = no */
    bool trusted;            /* every write is told, and all has been heard up to proven_us */
    bool asking;             /* `older` are waited for, at older_at_us again */
    int64_t older_at_us;
    int64_t proven_us;       /* when the last ping that came back was sent; 0 = none yet */
    int64_t ping_at_us;      /* when the next one is due */
    int64_t ping_sent_us;
    bool ping_heard;         /* it has come back, and everything before it */
    bool ping_checked;       /* it found the registry's mark and the table as they were */
    char table[16];          /* the oid of the table of keys when the mark was made */
    uint64_t ping_number;
    struct buf text;         /* of the last ping */
    char *older;             /* text[] of transactions to be waited for */
    int64_t lag_us;          /* a ping's way, the last and the longest */
    int64_t lag_us_max;
    uint64_t starts;
};

/* See messages.c. */
struct messaging {
    uint64_t sender;         /* random: under which our packets are known */
    uint64_t number;         /* of the last packet or body */
    struct list queue;       /* to be sent */
    size_t queued;
    size_t queue_bytes;
    size_t large_bytes;      /* of these, in messages that are a batch of their own */
    int64_t moved_us;        /* when a statement with messages, or about who wants them, last ended */
    size_t asked;            /* of these, how many there were when it was asked who subscribes */
    bool others;             /* subscribe, as of the last answer */
    struct list sent;        /* in flight */
    struct list waiting;     /* heard, behind a body that is not here yet */
    size_t waiting_bytes;
    int slot;                /* under which our messages are fenced */
    int64_t incarnation;
    int64_t epoch;           /* of this connection; 0 = it may not publish yet */
    bool fetching;
    int64_t polled_id;
    int64_t mark_id;         /* the row that shows that ids go on from there */
    uint64_t mark_number;
    int64_t marked_us;
    uint64_t marking;        /* the number of the next one, in flight; 0 = none */
    int64_t poll_at_us;
    struct buf raw;
    struct buf raw_in;
    struct buf text;
    int64_t complained_us;
    uint64_t published;
    uint64_t batches;
    uint64_t unheard;        /* published while nobody else subscribed */
    uint64_t lost;           /* on the way to others */
    uint64_t missed;         /* on the way from others */
    uint64_t received;
    uint64_t stored;         /* of those published, by reference */
    uint64_t fetched;        /* of those received */
};

/* See breaker.c. */
struct breaker {
    struct timer *look;
    int64_t looked_us;
    struct lane *probe;
    int64_t suspected_us;    /* when the probe was sent; 0 = nothing is suspected */
    int64_t proven_us;       /* when the server has last been found alive after a suspicion */
    int64_t unusable_since_us; /* a kind of links is; 0 = both are usable */
    struct timer *trial;
    int64_t usable_since_us; /* while away: the trial's beginning; 0 = none */
    int failed_trials;       /* how often in a row it could not write after all */
    int64_t unwritable_us;   /* the last time */
    char last_loss[200];
    uint64_t probes;
    uint64_t outages;
    char reason[240];        /* of the last outage */
    int64_t recent[3];       /* when the last ones began */
    int64_t away_since_us;   /* 0 = not now */
    int64_t away_us;         /* all earlier ones together */
};

/* See merge.c. */
struct merging {
    struct timer *timer;     /* goes on, or tells a failure, from the loop */
    struct merge_batch *batch; /* waiting, or in flight */
    void (*asked)(void *arg, bool ok, uint64_t number); /* postgres_merged's; NULL = not asked */
    void *asked_arg;
    char journal[40];        /* the one that is open */
    int64_t epoch;           /* ... on the bulk link's connection, 0 = none is */
    bool sent;               /* something of it is in flight */
    bool failed;             /* ... and lost; to be told */
    uint64_t applied;
    uint64_t same;
    uint64_t lost;
    uint64_t dropped;
    uint64_t replaced;
};

struct pg_store {
    struct store base;
    struct loop *loop;
    const struct config *config;
    void (*fatal)(void *arg, const char *why);
    void *fatal_arg;
    char *conninfo;          /* what is connected to */
    char *refused_url;       /* a new database-url that needs a restart, NULL = none */
    struct hosts *hosts;
    struct buf texts[STATEMENT_COUNT];
    enum store_state state;
    struct breaker breaker;
    struct merging merging;
    char probe_name[80];
    bool booted;             /* schema and slot are there */
    struct migration *migration; /* only the schema is wanted, no service; or NULL */
    bool stopping;
    bool slot_released;
    struct link *links;
    size_t nlinks;
    size_t nread;
    size_t ncommit;
    /* identity */
    char host[64];
    int slot;                /* 0 = none */
    int stamp_slot;          /* whose stamps are minted: the last slot there was */
    bool holds_journal;
    bool keep_slot;          /* ... and something in it that is not merged yet */
    int64_t incarnation;
    int64_t claimed_us;      /* when, on PostgreSQL's clock */
    int64_t last_stamp;
    char server_version[16];
    struct clock_offset clock; /* PostgreSQL's */
    int64_t clock_told_us;     /* when it was last told that it had been set */
    int64_t last_now_us;
    bool clock_asked; /* PostgreSQL itself has told its clock to this process */
    /* whoever serves while PostgreSQL is away (handover.c) */
    const struct postgres_events *events;
    void *events_arg;
    struct timer *announce;  /* reports `state` from the loop */
    struct settlement *settlements; /* to be asked for; the head is in flight */
    /* what is heard of others */
    const struct store_notices *notices;
    void *notices_arg;
    struct listening listening;
    struct messaging messaging;
    struct buf notice;       /* of the batch being encoded */
    struct docs docs;
    /* queries: the head is in flight */
    struct store_query *queries;
    struct store_query **queries_tail;
    /* PostgreSQL's clock minus clock_mono_us(), as of the last look for what has expired, by this connection. */
    int64_t look_offset_us;
    bool look_clock_known;
    struct timer *housekeeping;
    bool sweep_due;
    bool sweep_again;        /* at once: the last one has left something */
    int64_t swept_us;        /* when the last one was due (clock_mono_us) */
    /* Large values rewritten since the last VACUUM, in bytes as PostgreSQL may store them; and the
     * size of the table with TOAST and indexes, as of the last sweep. */
    int64_t rewritten_bytes;
    int64_t table_bytes;
    bool vacuuming;
    uint64_t vacuums;
    bool sequence_due;       /* ids of new rows collide with those there are */
    bool heartbeat_due;
    unsigned fleet_events;   /* what other instances want, as the registry last told */
    unsigned events_told;    /* what the registry has of this one */
    int64_t next_heartbeat_us;
    /* statistics */
    struct op_stats reads;
    struct op_stats commits;
    uint64_t rejected_items;
    uint64_t inactive_writes;
    uint64_t settled_applied;
    uint64_t settled_not_applied;
    uint64_t swept;
    int64_t oldest_xmin_age;
    uint64_t lost_connections;
    char last_loss[160];     /* why a connection was last lost or not made */
    struct buf fleet;        /* INFO's lines about the instances, as of the last heartbeat */
};

/* ---- postgres.c ---- */
void link_lost(struct link *k, const char *why);
void link_became_usable(struct link *k);
void store_update_state(struct pg_store *s);
void store_set_state(struct pg_store *s, enum store_state to, const char *why);
/* A link of the kind can be used; read links of a read-only server included. */
bool store_kind_usable(const struct pg_store *s, enum link_kind kind);
/* Read links may be on a server that takes no writes now. */
bool store_takes_read_only(const struct pg_store *s);
/* Its queries may take a minute: it must not wait that long for a server that has gone. */
void store_give_up_query(struct pg_store *s);
/* Something has been heard of a batch that was in flight in a silence. */
void link_heard(struct link *k);
void store_open_links(struct pg_store *s);
/* A database-url that a reload has changed is taken for new connections if it leads to the same
 * database, else it has to wait for a restart. */
void store_take_url(struct pg_store *s);
const char *store_text(const struct pg_store *s, enum statement_id id);
/* A clock sample: PostgreSQL's time `pg_us`, read by the operation of l that has been answered just now. */
void store_clock_sample(struct pg_store *s, int64_t pg_us, const struct lane *l);
int64_t store_now_us(struct store *base);
/* The first of n consecutive version stamps, above every one minted before. */
int64_t store_mint_stamps(struct pg_store *s, size_t n);
/* The i-th of stamps minted together. */
static inline int64_t stamp_at(int64_t first, size_t i)
{
    return first + ((int64_t)i << 10);
}
/* The commit link for large values. */
struct link *store_bulk_link(struct pg_store *s);
int64_t store_timeout_us(const struct pg_store *s);
/* How long a batch on this link may stay without a sign of life. */
int64_t link_timeout_us(const struct link *k);
void op_stats_add(struct op_stats *st, size_t items, int64_t us);

/* Keyspace events that this instance wants, as the registry is to have them. */
static inline unsigned store_own_events(const struct pg_store *s)
{
    return keyspace_events_effective((unsigned)s->config->notify_keyspace_events);
}

/* ---- boot.c: from connected to usable ---- */
/* An instance that has not been seen for so long loses its slot to the next that starts. */
extern const char lease_seconds[];
/* Steps of the query link may wait for another instance's migration. */
enum { BOOT_TIMEOUT_US = 10 * 1000 * 1000 };
void boot_link(struct link *k);
/* There is a slot now, for a link that waits for it. */
void boot_goes_on(struct link *k);
/* The query link goes on once the schema is there. */
void boot_schema_ready(struct link *k);
/* True if all results are good; else the link is lost. */
bool boot_good(struct link *k, PGresult **results, int n, const char *step);
void boot_failed(struct link *k, const PGresult *error, const char *step);
/* Somebody else owns our slot: a new one is claimed, and every commit lane under it. */
void slot_lost(struct pg_store *s);
/* Parameters of STMT_HEARTBEAT and STMT_RELEASE_SLOT. */
void heartbeat_params(const struct pg_store *s, struct params *p);

/* ---- listen.c ---- */
void listen_init(struct link *k);
void listen_free(struct pg_store *s);
void listen_stop(struct pg_store *s);
/* Its connection has its settings and statements. */
void listen_begin(struct link *k);
void listen_lost(struct pg_store *s);
void listen_notified(struct link *k, const char *payload);
/* enum store_want, together: what is wanted from now on, and what is heard without a gap now. */
void listen_want(struct pg_store *s, unsigned wants);
unsigned listen_hears(const struct pg_store *s);
/* Is there anything to connect for? */
bool listen_is_wanted(const struct pg_store *s);
int64_t listen_fresh_until_us(const struct pg_store *s);
void listen_info(const struct pg_store *s, struct buf *out);
/* Something is to be sent on its link: from the loop, soon; from the link's own callbacks. */
void listen_wake(struct pg_store *s);
void listen_go_on(struct link *k);

/* ---- messages.c ---- */
void messages_init(struct pg_store *s);
void messages_free(struct pg_store *s);
void messages_lost(struct pg_store *s);
void messages_publish(struct pg_store *s, bool shard, struct bytes channel, struct bytes text);
/* Something waits to be sent, or is in flight; so much that whoever can should wait. */
bool messages_are_on_the_way(const struct pg_store *s);
enum store_room messages_room(const struct pg_store *s);
/* What NOTIFY has brought. */
void messages_take(struct link *k, const char *text);
/* Behind a pooler: rows with higher ids are new. */
/* Who polls: statements of its registration, and their results. */
void messages_add_start(struct link *k);
void messages_started(struct link *k, PGresult **results);
/* As send_next of listen.c: true if something was sent, else *at_us is when to look again. */
bool messages_pump(struct link *k, int64_t now, int64_t *at_us);
void messages_info(const struct pg_store *s, struct buf *out);
void messages_collect(const struct pg_store *s, struct metrics_page *p);
void messages_reset_stats(struct pg_store *s);

/* ---- session.c: statements on the way, prepared in a session or through a pooler ---- */
/* Begins an operation; lane_begin, if it belongs to a transaction that is open. */
void link_begin(struct link *k);
/* What link_begin puts first, for an operation that begins with BEGIN. */
void link_add_settings(struct link *k);
/* A statement that link_prepare has been told of. */
void link_add(struct link *k, enum statement_id id, struct params *p, bool binary);
void link_prepare(struct link *k, const enum statement_id *ids, size_t n);
/* The first operation of a connection, and its first result: false = this server will not do. */
void session_begin(struct link *k);
bool session_begun(struct link *k, PGresult *const *results);
/* What an error while booting may come from, to be put behind its text. */
const char *session_hint(const PGresult *error);

/* ---- schema.c ---- */
/* Makes or upgrades the schema where that is due and allowed, then boot_schema_ready. */
void schema_prepare(struct link *k);
/* Without service: the query link was lost. */
void schema_lost(struct pg_store *s, const char *why);

/* ---- batch.c ---- */
void batch_read(struct link *k, struct read_batch *b);
void batch_commit(struct link *k, struct commit_batch *b);
/* The outcome found in the lane's row: text results stamp, batch_time, accepted of STMT_SETTLE_LANE
 * in binary. Ends the batch, or leaves it to be sent again (then k->committing stays). */
void batch_settle(struct link *k, const PGresult *r);
void batch_resend(struct link *k);
/* Parts of an operation: values, row locks, writes. */
void batch_add_read(struct link *k, enum statement_id id, struct read_batch *b);
void batch_add_lock_keys(struct link *k, const struct commit_batch *b);
void batch_add_commit(struct link *k, const struct commit_batch *b);
void batch_reset_item(struct read_item *it);
/* From the answer of a commit statement that was not fenced: what became of its items. */
void batch_take_answer(struct link *k, struct commit_batch *b, const PGresult *r);
/* PostgreSQL has refused a batch, or a transaction's writes. Is there hope without the documents? Then
 * the next one of this link is sent without. */
bool batch_drop_docs(struct link *k, const char *code);
/* One row of STMT_READ's answer; false = no memory for the value. */
bool batch_take_row(struct read_batch *b, const PGresult *r, int row);
/* What an error says of the transaction that had it: nothing was applied, unless it is STORE_LOST; the
 * connection has to be given up then. */
enum store_result batch_judge(struct link *k, const PGresult *error);
/* Ends a batch without an answer. */
void batch_give_up(struct link *k);

/* ---- breaker.c ---- */
void breaker_init(struct pg_store *s);
void breaker_release(struct pg_store *s);
void breaker_stop(struct pg_store *s);
/* Both kinds are usable: is that good enough to be online? If not yet, it looks again in time. */
bool breaker_lets_in(struct pg_store *s);
void breaker_restart_trial(struct pg_store *s);
void breaker_kinds_usable(struct pg_store *s, bool usable);
void breaker_note_loss(struct pg_store *s, const char *why);
void breaker_state_set(struct pg_store *s, enum store_state from, const char *why);
void breaker_committed(struct pg_store *s);
/* The query link can't be had again: do the idle ones still have a server? */
void breaker_ask_idle_links(struct pg_store *s);
/* An error that means that this server can write nothing: the store is away then. */
bool breaker_cannot_write(struct link *k, const PGresult *error);
void breaker_info(const struct pg_store *s, struct buf *out);

/* ---- handover.c ---- */
void handover_init(struct pg_store *s);
void handover_release(struct pg_store *s);
/* The state has changed: tells from the loop. */
void handover_announce(struct pg_store *s);
/* The result of STMT_SETTLE_LANE for a batch that was handed over. */
void handover_settled(struct pg_store *s, const struct journal_lane *lane, const PGresult *r);
/* Something to settle on the query link, which is ready: true if that was sent. */
bool handover_pump(struct pg_store *s, struct link *k);

/* ---- merge.c ---- */
void merge_init(struct pg_store *s);
void merge_release(struct pg_store *s);
/* The bulk link is free: the next step, if there is one. */
void merge_pump(struct pg_store *s);
/* Its connection is lost. */
void merge_lost(struct pg_store *s);
void merge_info(const struct pg_store *s, struct buf *out);

/* ---- xact.c ---- */
void xact_begin(struct link *k, struct store_xact *x);
void xact_step(struct link *k, struct store_xact *x);
void xact_end(struct link *k, struct store_xact *x);
void xact_give_up(struct link *k);

/* ---- query.c ---- */
void query_enqueue(struct pg_store *s, struct store_query *q);
enum statement_id query_add_params(struct pg_store *s, struct params *p,
                                   const struct store_query *q);
void query_take_rows(struct store_query *q, const PGresult *r);
void query_release_rows(struct store_query *q);
/* Sends the next query or housekeeping statement if the query link is ready. */
void query_pump(struct pg_store *s);
void query_fail_all(struct pg_store *s, const char *why);
void housekeeping_start(struct pg_store *s);
/* Notes what a commit has left behind for VACUUM, and starts one on the bulk lane when it is due. */
void vacuum_note(struct pg_store *s, const struct commit_batch *b);
void vacuum_pump(struct pg_store *s);

/* ---- collect.c ---- */
/* Keeps the words for pg_why. */
void pg_note_loss(struct pg_store *s, const char *why);
void pg_collect(const struct store *base, struct metrics_page *p);
const char *pg_why(const struct store *base);

/* A column of the first row, "" where there is no row. */
static inline const char *first_text(const PGresult *r, int column)
{
    return PQntuples(r) == 0 ? "" : PQgetvalue(r, 0, column);
}

#endif
