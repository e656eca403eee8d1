/* internal: what the engine's files share. Nothing outside this folder includes it.
 *
 * A transaction (txn) is one command, or a MULTI block, over keys. It lives in exactly one of the
 * states below; txn_set_state alone moves it. docs/architecture.md draws the way.
 *
 * Order. A client's txns start in the order sent, and the next starts only if the earlier ones
 * cannot end up behind it (client_may_start). Txns wait in the queues of all their entries at once,
 * in order of arrival, so that nothing can wait in a circle. An entry is in at most one commit batch.
 *
 * Who is answered when. A read is answered by a statement sent after it arrived. A txn that changed
 * something, and everything that looked at its changes, is answered when the batch has committed. */
#ifndef RESPGRES_ENGINE_INTERNAL_H
#define RESPGRES_ENGINE_INTERNAL_H

#include "acl/acl.h"
#include "base/buf.h"
#include "base/list.h"
#include "command/command.h"
#include "command/lookups.h"
#include "engine/bus.h"
#include "engine/client.h"
#include "engine/engine.h"
#include "engine/pubsub.h"
#include "keyspace/keyspace.h"
#include "metrics/histogram.h"
#include "resp/reply.h"
#include "store/store.h"

enum txn_state {
    TXN_QUEUED,   /* behind earlier ones of its client */
    TXN_WAITING,  /* in the queues of its entries */
    TXN_FETCHING, /* its entries are being read */
    TXN_GATHERED, /* ran; in a gather, sent or not */
    TXN_RUNNING,  /* a script that takes long; has its keys for itself */
    TXN_EXCLUSIVE, /* waits for, or has, a PostgreSQL transaction of its own */
    TXN_QUERYING, /* a query of the store is under way */
    TXN_BLOCKED,  /* it has found nothing, and waits for a key to hold something: block.h */
    TXN_DONE,     /* answered: a reply slot and nothing else */
};

struct block;
struct engine;
struct events;
struct exclusive;
struct expiring;
struct acl_log;
struct fresh;
struct gather;
struct group;
struct latency;
struct more;
struct pause;
struct preload;
struct scripts;
struct script_memory;
struct txn_script;
struct pubsub;
struct txn;
struct wait;
struct waited;

/* A key watched by WATCH: EXEC goes on only if it is still exactly so. */
struct watch {
    int db;
    char *key; /* owned */
    size_t key_len;
    bool live;
    int64_t version;
    int32_t space; /* that its database had */
};

/* One distinct key of a txn. */
struct txn_key {
    struct txn *txn;
    struct key key;         /* as the handlers see it */
    struct entry *entry;    /* pinned */
    struct list queue_node; /* in entry->work->queue while waiting; among those who wait for the key
                               to hold something while blocked */
    bool taken;             /* key.value is the working value of a gather, and nobody else's: to be
                               given back by joining that gather */
    bool observed;          /* the outcome may depend on what the key held */
    bool watched;
    bool watched_live;
    int64_t watched_version;
    int32_t watched_space;
};

/* What a command of a block that is not about keys has answered: it is not run again with the others. */
struct said {
    struct buf reply;
    int proto; /* behind it */
    bool is_error;
};

struct txn_command {
    const struct command *cmd;
    struct request *request; /* owned */
    int db;
    struct key **keys; /* nkeys, one per key argument; owned */
    int nkeys;
    bool judged;              /* of a block: `verdict` says whether its client may call it */
    enum acl_verdict verdict;
    bool reads_all_keys;      /* of SORT: its client may read any key by it */
    struct said *said;        /* NULL = nothing yet; owned */
    uint32_t error_at; /* where in the txn's reply its error begins, + 1; 0 = it answered none */
};

/* Writes the reply from the query's answer. */
typedef void (*query_done)(struct txn *t, struct store_query *q, struct reply *r);

struct txn {
    struct engine *engine;
    struct client *client;   /* NULL: nobody waits for the reply any more */
    enum txn_state state;
    uint64_t seq;            /* order of arrival in this instance */
    struct list client_node; /* in client->txns until the reply has gone out */
    struct list age_node;    /* in engine->active until done */
    struct list started_node; /* in engine->started while it is neither queued nor done */
    struct list work_node;   /* in its client's queue, a fetch, or a group */
    int64_t arrived_us;
    size_t memory;           /* of its requests */
    size_t expected_bytes;   /* of its reply, counted in its client's */
    struct txn_command single;
    struct txn_command *commands; /* &single, or an array of its own */
    int ncommands;
    struct txn_key *keys;        /* &own_key, or an array of its own */
    int nkeys;
    struct txn_key own_key;      /* most txns have one key */
    struct key *own_key_ref;
    struct more *more;       /* NULL unless it may ask for keys while it runs: more.h */
    struct txn_script *script; /* NULL unless it has scripts: script.h */
    bool exec;               /* a MULTI block: the reply is an array */
    bool exec_abort;         /* an EXEC that only ends its block */
    bool silent;             /* CLIENT REPLY: nobody wants the reply */
    bool is_watch;           /* WATCH: remembers what it read */
    bool exclusive;          /* needs a PostgreSQL transaction of its own */
    bool stalls;             /* may change how what follows it is to be read */
    bool asks_rights;        /* while it runs, what its client may do is asked */
    bool begun;              /* has been started once */
    bool built;              /* keys are resolved */
    bool is_query;           /* over the whole keyspace */
    bool readonly;
    bool shared;             /* others may read its keys while it does: readonly, or it may come to wait */
    bool idle;               /* it writes, but has found nothing to change, which is to be proven */
    bool tried;              /* has been run to see whether it would be idle */
    bool wants_wait;         /* its last run has found nothing that it could do: block.c */
    bool ungathered;         /* it goes on when its keys are in no gather any more */
    bool publishes;          /* has a PUBLISH */
    bool uses_keys;          /* for OBJECT IDLETIME: a look from outside is no use */
    bool solo;               /* runs alone: its neighbours in a group must not pay for it */
    bool close_after;        /* QUIT: close once the reply is out */
    bool held;               /* its reply is made, and waits: pause.c */
    int64_t held_until_us;   /* 0 = for what was taken before it */
    bool sent_conditional;   /* closed for joining, and it may yet be rejected or have to wait */
    int attempts;            /* commits that were rejected */
    struct wait *wait;       /* it has once found nothing; NULL = not so */
    int proto;
    struct session_state *session_before; /* of its client, before the block changed it; or NULL */
    int64_t now_ms;
    struct gather *gather;
    struct group *group;
    size_t lane;             /* of its fetch or gather */
    struct store_query query;
    query_done on_query;
    struct bytes pattern;    /* MATCH, NULL = everything; the request's bytes */
    int query_type;          /* TYPE, -1 = every */
    struct lookups lookups;  /* of its last run */
    struct events *events;   /* what its last run has done, to be published; NULL = nobody wants it */
    struct buf rows;         /* what a query collects */
    size_t nrows;
    struct buf reply;
};

/* What the engine keeps for an entry that is in use. */
struct entry_work {
    struct list queue;        /* txn_key.queue_node, in order of seq */
    int readers;              /* fetching to read */
    int idlers;               /* those of them that are idle */
    bool exclusive;           /* one txn fetches to write */
    struct txn *marking;      /* while a txn's keys are resolved: already its mark_at-th key */
    int mark_at;
    struct list wake_node;
    struct entry *entry;
    bool crossed;             /* the answer being taken is older than what is known */
    size_t fetch_at;          /* index in the batch being built + 1, 0 = not in it */
    struct gather *gather;    /* the batch this entry is in, as written or as checked */
    struct item *item;
    struct waited *waited;    /* NULL unless somebody waits for it to hold something: block.c */
};

/* One key of a gather. The entry keeps what is known to be stored; what the gather's txns have made
 * of it is here. */
struct item {
    struct list node;         /* in group->items */
    struct entry *entry;      /* pinned */
    struct value *value;      /* unless op is COMMIT_CHECK: the key's value now, one reference; NULL =
                                 removed */
    size_t bytes;             /* of the value, counted in its gather's */
    struct group *group;
    enum commit_op op;
    enum commit_expect expect;
    int64_t expected;
    int32_t expected_space;
    struct expiry expiry;
    bool demotable;           /* a touch that may as well be a full blind write */
    bool saw_absent;          /* a writer knew that the key was absent: see absence.c */
    bool removed;             /* some writer has removed it, whatever came behind */
};

/* Txns that share written keys, or a client: they commit together or not at all. */
struct group {
    struct list node;         /* in gather->groups */
    struct list items;
    struct list txns;         /* txn.work_node, in order of seq */
    struct gather *gather;
    size_t nitems;
    size_t nwrites;
    bool conditional;         /* some item expects something */
    int number;               /* in the batch on the wire */
};

enum gather_state {
    GATHER_OPEN,    /* takes txns */
    GATHER_READY,   /* closed, waits for its lane */
    GATHER_SENT,
    GATHER_PROBING, /* a query finds out which of its rows are locked */
    GATHER_PARKED,  /* its rows are locked by somebody else */
};

struct gather {
    struct engine *engine;
    struct list node;         /* in engine->parked, or a lane's ready list */
    enum gather_state state;
    size_t lane;
    struct list groups;
    size_t nitems;
    size_t bytes;
    struct commit_batch batch;
    uint64_t sent_as_of;      /* fresh_now when it was sent */
    struct commit_item *commit_items;
    struct store_query probe;
    bool *locked;             /* per item of the batch, while probing */
    bool unseen;              /* parked for a lock that no row shows: a key's INSERT under way, or a
                                 row that was locked a moment ago */
};

struct commit_lane {
    struct gather *open;  /* NULL if there is none */
    struct list ready;    /* closed gathers, sent first */
    struct gather *sent;
};

struct read_lane {
    struct list next;     /* txns for the next batch, in order */
    struct list sent;     /* txns of the batch in flight */
    struct read_batch batch;
    struct entry **entries; /* of the batch's items */
    size_t cap;
    uint64_t sent_as_of;    /* fresh_now when the batch was sent */
    struct engine *engine;
    size_t number;
};

struct slowlog_entry {
    struct list node;
    int64_t id;
    int64_t time_s;
    int64_t us;
    int argc;
    struct bytes *argv; /* owned copies */
    char peer[108];
    char name[64];
};

/* One slot per command and per subcommand. */
enum { COMMAND_SLOTS = COMMAND_COUNT + SUB_END };

static inline int command_slot(const struct command *c)
{
    return c->sub == SUB_NONE ? (int)c->id : COMMAND_COUNT + (int)c->sub;
}

/* A counter's growth per second, over the last second or so. */
struct rate {
    uint64_t at;
    uint64_t per_s;
};

struct command_stats {
    uint64_t us;
    uint64_t rejected;
    uint64_t failed;
    struct histogram *latency; /* of its calls, in microseconds; NULL before the first */
};

/* Error replies by their first word. We make up the words, so there are few. */
enum { ERROR_KINDS_MAX = 64 };

struct error_stats {
    char word[24];
    uint64_t count;
};

/* The state of the store, as the ends of turns have seen it. */
struct state_history {
    enum store_state state;
    int64_t since_us;
    int64_t us[STORE_STATES];      /* spent in each before that */
    uint64_t to[STORE_STATES];     /* how often each was come into */
};

enum { HOLD_UPS = 8 };

struct engine {
    struct loop *loop;
    struct config_store *config_store;
    const struct config *config;
    struct store *store;
    struct keyspace *keyspace;
    struct list clients;
    struct list monitors;
    size_t nclients;
    uint64_t next_client_id;
    uint64_t next_seq;
    struct list active;      /* txns that are not done, oldest first */
    size_t fetching;         /* txns of clients that are in a read batch in order to read */
    struct list started; /* of these, whoever a time limit counts for */
    struct list closing;     /* clients to be freed at the end of the turn */
    struct list pumping;     /* clients whose next txn may be able to start */
    struct list querying;    /* txns whose query is under way */
    struct list wake;        /* entries whose queues are to be looked at */
    int32_t *spaces;         /* per database, as the last read batch found them */
    int32_t last_local_space; /* < 0: given to databases that were flushed in memory only */
    struct read_lane *reads;
    size_t nreads;
    struct commit_lane *commits;
    size_t ncommits;
    struct exclusive *exclusive;
    struct scripts *scripts;
    struct script_memory *script_memory;
    struct fresh *fresh;     /* NULL unless `consistency cached` */
    size_t wanted[3];        /* who needs to hear what: bus.c */
    const struct bus_keys *on_keys;
    struct expiring *expiring;
    unsigned events;         /* those that are made: of enum keyspace_event */
    struct pause *pause;
    struct block *block;
    struct latency *latency;
    struct preload *preload; /* NULL unless `preload yes` */
    struct pubsub *pubsub;
    uint64_t call_backs; /* gather.c */
    struct list parked;
    size_t nparked;
    struct timer *parked_timer;
    struct timer *deadlines;
    int64_t deadlines_at_us; /* when they were last looked at; 0 = never */
    struct hold_up {         /* this process itself served nobody; the last ones, deadline.c */
        int64_t from_us;
        int64_t until_us;
    } hold_ups[HOLD_UPS];
    size_t nhold_ups;
    struct acl *acl;         /* the users */
    struct acl *acl_read;    /* what a reload has read and not yet applied, or NULL */
    struct acl_log *acl_log;
    char *requirepass;       /* the one that the default user was last given */
    struct buf refusal;      /* text of the last NOPERM */
    bool pumping_now;
    bool shutdown_requested; /* by SHUTDOWN */
    int64_t now_floor_ms;    /* now_ms of handlers never goes back ... */
    uint32_t clock_set;      /* ... but when the store's clock has been set right: the store's, then */
    /* statistics, INFO's names */
    int64_t started_us;
    uint64_t total_connections;
    uint64_t rejected_connections;
    size_t max_clients; /* net tells */
    uint64_t total_commands;
    uint64_t keyspace_hits;
    uint64_t keyspace_misses;
    uint64_t total_errors;
    uint64_t timeouts;
    uint64_t conflicts;      /* txns run again because a version had moved */
    uint64_t revalidated;    /* reads answered by the bytes that were here */
    uint64_t fetched;
    struct command_stats commands[COMMAND_SLOTS];
    uint64_t input_bytes;    /* of clients */
    uint64_t output_bytes;
    uint64_t socket_reads;
    uint64_t socket_writes;
    size_t startup_memory;   /* memory.c; 0 = not known yet */
    size_t peak_memory;      /* the most of what memory_get_use says */
    struct rate input_rate;
    struct rate output_rate;
    struct error_stats errors[ERROR_KINDS_MAX];
    size_t nerrors;
    struct state_history history;
    int64_t started_wall_us;
    struct list slowlog;
    size_t slowlog_len;
    int64_t slowlog_next_id;
    char run_id[41];
    int64_t ops_at_us;
    uint64_t ops_at_commands;
    uint64_t ops_per_s;
};

enum { CLIENT_ABSENT_KEYS = 16 };

struct client {
    struct engine *engine;
    const struct client_io *io;
    void *io_arg;
    struct client_info info;
    struct list node;         /* in engine->clients */
    struct list monitor_node;
    struct list pump_node;
    uint64_t id;
    struct list txns;         /* all without a sent reply, in order */
    struct list queue;        /* txn.work_node of those that have not started, in order */
    size_t pending;
    size_t pending_memory;
    /* Of the txns: started and not done; of these, reads that fetch; gathered; on the wire and
     * rejectable. */
    size_t active;
    size_t fetching;
    size_t gathered;
    size_t sent_conditional;
    size_t read_lane;         /* while fetching > 0 */
    bool asks_again;          /* a read of it does, or did since it last had none */
    size_t asking;            /* of its txns that are not done: those that ask for its rights */
    size_t commit_lane;       /* while gathered > 0 */
    uint64_t called_back;     /* engine's `call_backs` when what it has gathered was called back */
    size_t expected_bytes;    /* of replies that its started reads will make, as far as known */
    bool paused;              /* by CLIENT PAUSE: requests are held */
    bool hold_reply;          /* what runs now is to be answered later: pause.c */
    int64_t hold_reply_until_us;
    bool stalled;             /* a txn that `stalls` has not ended: requests are held */
    struct request **held;
    int nheld;
    int held_cap;
    size_t held_memory;
    char *held_error;         /* owned: a protocol error behind what is held, or NULL */
    struct txn *blocked;      /* its txn that has been blocked and has not ended, or NULL */
    bool input_over;          /* it sends nothing more, and may be gone */
    bool output_full;         /* nothing is started until its output has been written */
    struct group *open_group; /* its group in the open gather of commit_lane, or NULL */
    struct buf out;
    int db;
    int proto;
    bool in_exec;             /* a command of a block runs */
    struct acl_user *user;    /* of engine->acl */
    bool authenticated;       /* as `user`; else it is the default user, who may need a password */
    bool closed;              /* net has let go */
    bool closing;             /* QUIT or killed: takes no more */
    bool killed_itself;       /* closes behind the reply of what did it */
    bool monitor;
    struct subscriber hears;  /* its subscriptions */
    bool heard_all;           /* its user's rules allowed all of them: pubsub_before_rules */
    char *name;               /* owned, "" if unset */
    char *lib_name;
    char *lib_version;
    bool multi;
    int multi_db;             /* database of the next command to be queued */
    bool multi_failed;        /* a queued command was wrong: EXEC aborts */
    struct txn_command *queued;
    int nqueued;
    int queued_cap;
    size_t queued_memory;
    struct watch *watches;
    int nwatches;
    int64_t created_us;
    int64_t active_us;
    size_t query_memory;
    const char *last_command;
    bool reply_off;           /* CLIENT REPLY OFF */
    bool reply_skip_next;
    bool no_evict;
    uint64_t absent[CLIENT_ABSENT_KEYS]; /* hashes of keys: see absence.c */
    size_t nabsent;
};

/* ---- access.c: users ---- */
void access_init(struct engine *e);
void access_release(struct engine *e);
/* A new client, and one that was reset: the default user. */
void access_begin(struct client *c);
/* The error, if its user may not make this call; it is noted in ACL LOG. Only for a user who is not
 * unrestricted. Valid until the next one. */
const char *access_refusal(struct client *c, const struct command *cmd, const struct request *r);
/* May it? Nothing is noted. */
bool access_allows(const struct client *c, const struct command *cmd, const struct request *r);
/* Of a script's call; noted as such. */
enum acl_verdict access_check_in_script(const struct client *c, const struct command *cmd,
                                        const struct request *r);
/* Whether what SORT's BY and GET name may be read. */
void access_judge_patterns(const struct client *c, struct txn_command *tc);
/* Its commands, by user and rules of now. */
void access_judge_block(struct txn *t);
/* False: the error is written. */
bool access_allows_queued(struct txn *t, struct txn_command *tc, struct reply *r);
/* `word` is the command that asks, for ACL LOG. */
bool access_authenticate(struct client *c, struct bytes word, struct bytes name,
                         struct bytes password);
/* Closes the connections of these users; `by`'s own closes behind its reply. */
void access_remove_user(struct engine *e, struct acl_user *u, struct client *by);
/* Takes `fresh` for engine->acl. */
void access_replace(struct engine *e, struct acl *fresh, struct client *by);
void access_config_changed(struct engine *e);
void access_note_users(struct engine *e);

/* ---- redact.c ---- */
/* Must the i-th argument not be shown? */
bool redact_hides(const struct command *cmd, const struct request *r, int i);

/* ---- absence.c ---- */
/* A txn of this client has ended: what has it read? */
void absence_note(struct client *c, const struct txn *t);
/* A command is about to run on these keys. */
void absence_ask(const struct command *cmd, int argc, const struct bytes *argv, struct key **keys,
                 int n);
bool client_saw_absent(const struct client *c, const struct entry *entry);

/* ---- txn.c: the life of a transaction ---- */
struct txn *txn_new(struct client *c, struct request *r);
/* Resolves keys and pins entries; the commands are complete. */
void txn_build_keys(struct txn *t, const struct watch *watches, int nwatches);
/* One key more, unless it has it; its entries are marked with their places. */
struct txn_key *txn_add_key(struct txn *t, int db, struct bytes name, bool observed);
void txn_free(struct txn *t);
void txn_set_state(struct txn *t, enum txn_state to);
/* Its client's earlier txns allow it: into its entries' queues, or on. */
void txn_start(struct txn *t);
/* Goes on at once if nothing is in its way; false: it stays as it is. For a txn whose client has
 * earlier ones under way: it must not wait in a queue, only join what they are in. */
bool txn_join_now(struct txn *t);
/* Into the queues of its entries, to the place that its age gives it. */
void txn_wait(struct txn *t);
/* Its entries hold what a statement sent after its arrival found. */
void txn_fetched(struct txn *t);
/* After a rejected commit or a lost read: back into its client's queue, in order, so that nothing its
 * client sent later can overtake it. */
void txn_again(struct txn *t);
/* Is a watched key still as WATCH found it, given what is known of it now? */
bool txn_watch_holds(const struct txn_key *k, bool live, int64_t version);
/* May its client call this command of a block now? False: the error is written. */
bool txn_may_run(struct txn *t, struct txn_command *tc, struct reply *r);
/* Runs one command of it over its keys as they are. */
void txn_run_command(struct txn *t, struct txn_command *tc, struct reply *r);
/* Runs them one after the other, as long as it is of use. */
void txn_run_commands(struct txn *t, struct reply *r);
/* A run that had paused has ended. */
void txn_ran(struct txn *t);
/* now_ms of its handlers: at least this, and never before an earlier one's. */
void txn_set_now(struct txn *t, int64_t now_ms);
/* The reply in t->reply is final. */
void txn_done(struct txn *t);
/* Ends it with an error reply instead. */
void txn_fail(struct txn *t, const char *error);
void txn_reply_init(struct txn *t, struct reply *r);
/* Replies with an error now; the txn itself stays where it is until its holder lets go. */
void txn_abandon(struct txn *t, const char *error);
/* Looks at the queues of entries that have become free. */
void engine_wake(struct engine *e);
void entry_wake_later(struct engine *e, struct entry *entry);
struct entry *entry_use(struct engine *e, int db, struct bytes key);
void entry_unuse(struct engine *e, struct entry *entry);
void engine_check_deadlines(struct engine *e);

/* It has waited for too long, or nobody will answer its read: its client is told. */
void txn_time_out(struct txn *t);
void txn_in_vain(struct txn *t);
/* The error with which it must end because of the store's state, or NULL. */
const char *txn_unavailable(const struct txn *t);
/* The reply before the first contact with PostgreSQL. */
const char *engine_error_starting(void);
/* Memory is full of what is nowhere else. */
bool engine_is_out_of_memory(const struct engine *e);
/* No command about keys can be answered now. */
bool engine_is_loading(const struct engine *e);

/* ---- fetch.c: read batches ---- */
void fetch_init(struct engine *e);
void fetch_release(struct engine *e);
void fetch_join(struct txn *t, bool exclusive);
void fetch_send(struct engine *e);
/* Does a read of its client that is under way share a key with it? Then memory may be of before that. */
bool fetch_shares_key(const struct txn *t);
/* As read_item.known. */
int64_t fetch_known_of(const struct entry *entry);

/* ---- preload.c: keys in memory before anybody asks for them ---- */
void preload_init(struct engine *e);
void preload_release(struct engine *e);
void preload_info(const struct engine *e, struct buf *out);

/* ---- pause.c: CLIENT PAUSE and DEBUG SLEEP ---- */
void pause_init(struct engine *e);
void pause_release(struct engine *e);
/* The client's own request is answered once the pause has begun, or is over (DEBUG SLEEP). */
void pause_clients(struct client *c, int64_t us, bool all);
void pause_sleep(struct client *c, int64_t us);
void pause_end(struct engine *e);
/* The client is not to go on, from this request on. */
bool pause_holds(struct client *c, const struct request *r);
size_t pause_held_clients(const struct engine *e);
/* Nothing may be written now but by what was taken before. */
bool pause_is_on(const struct engine *e);
void pause_hold_reply(struct txn *t);
void pause_release_replies(struct engine *e);

/* ---- events.c: keyspace notifications ---- */
void events_init(struct engine *e);
void events_free(struct engine *e);
/* Which are wanted now, here and by other instances. */
void events_refresh(struct engine *e);
/* Its commands are about to run: what an earlier run has noted does not count. */
void events_begin_run(struct txn *t);
/* It has ended: what it has done is published. */
void events_publish(struct txn *t);
/* In front of that: its write of this key has replaced what had expired. */
void events_put_expired(struct txn *t, const struct key *k);
/* It has failed: nothing was done. */
void events_drop(struct txn *t);
void events_release_txn(struct txn *t);
/* Nobody but us knows that this key has expired, and others are not yet there to be told. */
void events_expired_later(struct engine *e, int db, struct bytes key);
/* A commit of ours has been applied at that time; the entry is still as it was before. */
void events_note_overwritten(struct engine *e, const struct entry *entry, const struct commit_item *c,
                             int64_t time_us);
/* A key that has expired was met. */
void events_met_expired(struct engine *e, const struct entry *entry);

/* ---- latency.c: LATENCY ---- */
void latency_init(struct engine *e);
void latency_release(struct engine *e);
/* A command took so long. */
void latency_note(struct engine *e, const struct command *cmd, int64_t us);
void session_latency(struct client *c, const struct txn_command *tc, struct reply *r);

/* ---- use.c: OBJECT IDLETIME ---- */
/* When the key was last used, in milliseconds since 1970. A txn that uses it does so now. */
int64_t use_of_key(struct txn_key *k);

/* ---- fresh.c: what may be answered from memory ---- */
void fresh_init(struct engine *e);
void fresh_release(struct engine *e);
/* What others have written. */
void fresh_note_stale(struct engine *e, uint32_t bucket);
void fresh_note_all_stale(struct engine *e);
/* To be kept when a statement is sent, and given to the entries whose state it tells. */
uint64_t fresh_now(const struct engine *e);
/* Our own FLUSH or SWAPDB: as if others had written everything. */
void fresh_forget_all(struct engine *e);
/* Of an answer that is here now. */
uint64_t fresh_as_of(const struct engine *e, uint64_t sent_as_of);
/* Live, and not changed since by anybody as far as is proven. Its expiry is the caller's to judge. */
bool fresh_may_answer(struct engine *e, const struct entry *entry);
void fresh_note_answer(struct engine *e);
void fresh_info(const struct engine *e, struct buf *out);
void fresh_collect(const struct engine *e, struct metrics_page *p);

/* ---- gather.c: commit batches ---- */
void gather_init(struct engine *e);
void gather_release(struct engine *e);
/* The lane that this txn's changes must go to; false = it has to wait. */
bool gather_lane_for(struct txn *t, size_t *lane);
void gather_join(struct txn *t, size_t lane);
/* A member's client has been told that it failed; if no other waits either, the batch is not to be
 * sent a second time. */
void gather_note_abandoned(struct gather *g);
/* It waits for rows that somebody else holds. */
bool gather_is_locked(const struct gather *g);
void gather_send(struct engine *e);
bool engine_has_gathered(const struct engine *e);

/* ---- exclusive.c: PostgreSQL transactions of several steps ---- */
void exclusive_init(struct engine *e);
void exclusive_release(struct engine *e);
void exclusive_join(struct txn *t);
void exclusive_send(struct engine *e);
/* A run that had paused has ended. */
void exclusive_ran(struct txn *t);
/* Its commands, as far as they go before the next query. */
void exclusive_run_commands(struct txn *t);
bool exclusive_busy(const struct engine *e);
/* Is it this one's turn, or does it still wait for it? */
bool exclusive_has_begun(const struct txn *t);

/* ---- client.c ---- */
/* May the next queued txn start now? Called whenever one of the client's txns has moved. */
void client_pump_later(struct client *c);
void engine_pump_clients(struct engine *e);
/* Before a read starts: counts the reply it will make. */
void client_expect(struct client *c, struct txn *t);
/* So many more (or less) of its txns are being read. */
void client_count_fetching(struct client *c, int change);
/* The txn that stalled it has ended: the requests held since then are taken. */
void client_unstall(struct client *c);
/* The txn has run for the last time: what changes its client's rights need not wait for it. */
void client_rights_asked(struct txn *t);
void client_take_held_later(struct client *c);
/* Sends the reply that pause.c has held. */
void client_end_held(struct txn *t);
/* Takes a command that the engine itself has made; nothing is run within the call. */
void client_run_later(struct client *c, const struct command *cmd, struct request *request);
/* block.c: ends the wait of a command that blocks, as if its time were up, or with an error; false = the
 * client waits for nothing. */
bool client_unblock(struct client *c, bool with_error);
/* Moves finished replies to the output. */
void client_flush(struct client *c);
void client_unwatch(struct client *c);
void client_discard_multi(struct client *c);
/* Closes another connection (CLIENT KILL). */
void client_kill(struct client *c);
void client_free(struct client *c);
void client_set_text(char **field, struct bytes s);

/* ---- session*.c: commands that belong to the engine ---- */
/* Runs one at once. */
void session_run(struct client *c, const struct txn_command *tc, struct reply *r);
/* As a command of a txn. One of a block runs once, however often the block runs. */
void session_run_in(struct txn *t, struct txn_command *tc, struct reply *r);
void said_free(struct said *said);
/* Does it do something, to its connection or the server, that a run of a block cannot take back? */
bool session_has_effect(const struct command *cmd);
/* The block is not carried out: its connection is as it was before. What else its commands have done
 * (CONFIG SET, ACL, SUBSCRIBE …) stays. */
void session_put_back(struct txn *t);
void session_forget(struct txn *t);
typedef void (*session_function)(struct client *c, const struct txn_command *tc, struct reply *r);
/* session_server.c's; NULL if it is not there. */
/* Bytes that connections hold. */
size_t session_clients_memory(const struct engine *e);

/* ---- memory.c ---- */

struct memory_use {
    size_t used; /* startup, cache, clients, scripts */
    size_t peak;
    size_t startup;
    size_t overhead; /* all but the cache */
    size_t cache;    /* which maxmemory bounds */
    size_t cache_max;
    size_t cache_keys;
    size_t clients;
    size_t scripts;
};

void memory_get_use(struct engine *e, struct memory_use *out);
session_function session_server_function(enum command_id id);
void session_auth(struct client *c, const struct txn_command *tc, struct reply *r);
void session_hello(struct client *c, const struct txn_command *tc, struct reply *r);
void session_acl(struct client *c, const struct txn_command *tc, struct reply *r);
/* A line of CLIENT LIST, without its end. */
void client_describe(struct buf *out, const struct client *c);
/* pubsub.c's, NULL if it is not there. */
session_function pubsub_function(enum command_id id);
void session_client(struct client *c, const struct txn_command *tc, struct reply *r);
void session_script(struct client *c, const struct txn_command *tc, struct reply *r);
void session_info(struct client *c, const struct txn_command *tc, struct reply *r);
void session_config(struct client *c, const struct txn_command *tc, struct reply *r);
void session_slowlog(struct client *c, const struct txn_command *tc, struct reply *r);
void session_reset(struct client *c);
void monitor_feed(struct client *c, const struct txn_command *tc);
/* A line for MONITOR about what `who` calls, and lines that are sent. */
void monitor_append(struct buf *out, int db, const char *who, const struct command *cmd,
                    const struct request *q);
void monitor_send(struct engine *e, struct bytes lines);
void slowlog_note(struct txn *t, int64_t us);
void slowlog_release(struct engine *e);
void info_append(struct engine *e, struct buf *out, int nsections, const struct bytes *sections,
                 const struct store_keyspace *keyspace, size_t nkeyspace);
bool info_wants_keyspace(int nsections, const struct bytes *sections);

/* ---- stats.c: what is counted, for INFO and /metrics ---- */
void stats_init(struct engine *e);
void stats_release(struct engine *e);
void stats_reset(struct engine *e);
/* Every second or so. */
void stats_tick(struct engine *e);
struct histogram *stats_new_latency(struct command_stats *st);
uint64_t stats_calls(const struct command_stats *st);
/* The row that a slot counts; NULL if there is none. */
const struct command *stats_command(int slot);
void stats_note_error(struct engine *e, struct bytes reply);
/* The txn ends after so long, with what is in its reply. */
void stats_note_txn(const struct txn *t, uint64_t us);
/* Its client gets this error for the whole of it. */
void stats_note_error_reply(const struct txn *t, const struct buf *reply);
void stats_state_changed(struct engine *e, enum store_state to);
/* Sections of INFO. */
void stats_info_latency(const struct engine *e, struct buf *out);
void stats_info_errors(const struct engine *e, struct buf *out);
void stats_info_respgres(struct engine *e, struct buf *out);

/* A command has run, and took so long. */
static inline void stats_note_call(struct engine *e, const struct command *cmd, uint64_t us)
{
    struct command_stats *st = &e->commands[command_slot(cmd)];
    struct histogram *h = st->latency;
    st->us += us;
    if (__builtin_expect(h == NULL, 0))
        h = stats_new_latency(st);
    histogram_note(h, us);
}

static inline bool reply_is_error(const struct buf *reply)
{
    return reply->len > 0 && reply->data[0] == '-';
}

static inline void stats_watch_state(struct engine *e)
{
    enum store_state now = store_state(e->store);
    if (now != e->history.state)
        stats_state_changed(e, now);
}

/* ---- query.c: commands over the whole keyspace ---- */
/* False if the arguments are wrong: the reply is written and the txn is to be ended. */
bool query_start(struct txn *t);
/* Fills in t->query for a command; false = its arguments are wrong and the reply is written. */
bool query_prepare(struct txn *t, const struct txn_command *tc, struct reply *r);
bool command_is_query(const struct txn_command *tc);

#endif
