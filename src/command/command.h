/* command: the table of commands and what a handler is given.
 *
 * Every command is a row of commands.def. A DATA command is a synchronous function over keys that
 * are already loaded: no socket, no SQL, no clock, no waiting. A SESSION command belongs to the
 * engine (it needs the client, the store or the server), which has a function for each. */
#ifndef RESPGRES_COMMAND_COMMAND_H
#define RESPGRES_COMMAND_COMMAND_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "command/key.h"
#include "resp/reply.h"

/* Redis' command flags, under Redis' names (COMMAND INFO prints them). */
enum command_flag {
    CF_WRITE = 1 << 0,
    CF_READONLY = 1 << 1,
    CF_DENYOOM = 1 << 2,
    CF_ADMIN = 1 << 3,
    CF_NOSCRIPT = 1 << 4,
    CF_LOADING = 1 << 5, /* allowed before the first contact with PostgreSQL */
    CF_STALE = 1 << 6,
    CF_SKIP_MONITOR = 1 << 7,
    CF_SKIP_SLOWLOG = 1 << 8,
    CF_FAST = 1 << 9,
    CF_NO_AUTH = 1 << 10,
    CF_NO_MULTI = 1 << 11,
    CF_PUBSUB = 1 << 12,
    CF_BLOCKING = 1 << 13,
    CF_ALLOW_BUSY = 1 << 14,
    CF_NO_ASYNC_LOADING = 1 << 15,
    CF_MOVABLE_KEYS = 1 << 16, /* the arguments say where keys are: see key_place.h */
    CF_NO_MANDATORY_KEYS = 1 << 17, /* it may have none */
    /* ours, not shown */
    CF_QUERY = 1 << 24,     /* over the whole keyspace: a query of the store, a barrier */
    CF_CONTAINER = 1 << 25, /* has subcommands, and no ACL category from its group */
    CF_MAY_WRITE = 1 << 23, /* a script: only its run tells */
    CF_UNASKING = 1 << 22,  /* whoever sends it takes its keys for granted: see command_asks */
    /* ACL categories that neither the other flags nor the group imply */
    CF_CAT_KEYSPACE = 1 << 26,
    CF_CAT_CONNECTION = 1 << 27,
    CF_CAT_DANGEROUS = 1 << 28,
    CF_CAT_ADMIN = 1 << 29,
    CF_CHANNELS = 1 << 30, /* what its key positions tell of are channels: it has no keys */
};

enum command_group {
    GROUP_STRING,
    GROUP_BITMAP,
    GROUP_HASH,
    GROUP_LIST,
    GROUP_SET,
    GROUP_SORTED_SET,
    GROUP_GENERIC,
    GROUP_CONNECTION,
    GROUP_SERVER,
    GROUP_CLUSTER,
    GROUP_TRANSACTIONS,
    GROUP_SCRIPTING,
    GROUP_PUBSUB
};

/* One id per row of commands.def, in its order. */
enum command_id {
#define DATA_COMMAND(id, ...) CMD_##id,
#define SESSION_COMMAND(id, ...) CMD_##id,
#include "command/commands.def"
#undef DATA_COMMAND
#undef SESSION_COMMAND
    COMMAND_COUNT
};

/* One id per row of subcommands.def: what the function of a container switches over. */
enum subcommand_id {
    SUB_NONE, /* not a subcommand */
#define SUBCOMMAND(parent, id, ...) SUB_##parent##_##id,
#define DATA_SUBCOMMAND SUBCOMMAND
#include "command/subcommands.def"
#undef DATA_SUBCOMMAND
#undef SUBCOMMAND
    SUB_END
};

struct events;
struct lookups;

/* Between a command that waits for keys and the engine. The handler does not wait: it says so. */
struct command_wait {
    bool waited;        /* in: it has waited before. A key of another type is passed over then, as in Redis */
    int first;          /* in: the key that has become ready, to be looked at first; -1 = none */
    bool wanted;        /* out: it has found nothing, and its reply is for when the time is up */
    int64_t timeout_ms; /* out: 0 = there is no limit */
    int nkeys;          /* out: it waits for so many of its keys, from the first on */
    uint8_t type;       /* out: until one of them holds such a value */
};

/* Finds keys that only a run can name. NULL = it is not loaded: the handler gives up at once (it may
 * first ask for others that it will want); its reply and its changes are dropped, the key is loaded, and
 * everything runs again. The key stays where it is until the handler returns. */
struct key_finder {
    struct key *(*find)(struct key_finder *f, int db, struct bytes name);
};

struct command_ctx {
    const struct command *cmd;
    int argc;
    const struct bytes *argv;
    int64_t now_ms;    /* milliseconds since 1970 on PostgreSQL's clock; never goes back */
    struct key **keys; /* one per key argument, in the order of the arguments; duplicates in the
                          arguments are the same pointer twice */
    int nkeys;
    int db; /* of the connection */
    int databases;
    size_t max_value; /* longest string APPEND and SETRANGE may make (proto-max-bulk-len) */
    bool reads_all_keys;     /* the user may read any key by this call: what SORT's BY and GET need */
    struct key_finder *more; /* for keys that are no arguments; NULL = this caller has none */
    struct reply *reply;
    struct command_wait *wait; /* NULL: it may not wait, and answers at once that there is nothing */
    struct events *events; /* event.h; NULL = nobody wants to know */
    struct lookups *lookups; /* likewise */
};

typedef void (*command_handler)(struct command_ctx *ctx);

struct command {
    const char *name; /* lower case; a subcommand's is "client|kill" */
    size_t name_len;
    enum command_id id;     /* a subcommand has its container's */
    enum subcommand_id sub; /* SUB_NONE for a command */
    int arity;              /* as Redis: > 0 exact, < 0 at least; the name counts */
    uint32_t flags;
    int first_key; /* argument number, 0 = none */
    int last_key;  /* negative: from the end */
    int key_step;
    enum command_group group;
    command_handler handler; /* NULL for a SESSION command */
    /* Does this call overwrite its keys without looking at them (plain SET, SETEX, MSET)? Such a
     * call is run with absent-looking keys whose `blind` is true and needs no fetch. NULL = never.
     */
    bool (*is_blind)(int argc, const struct bytes *argv);
    const char *since; /* Redis version */
    const char *complexity;
    const char *summary;   /* our own words */
    const char *syntax;    /* arguments as in Redis' documentation: "key value [NX | XX] ..." */
    const char *key_flags; /* of the key specifications, separated by ';': words, "" without keys */
    const char *tips;      /* words */
};

/* Does whoever sends this learn, or want to know, whether its keys are there? Otherwise (SETEX, HSET,
 * EXPIRE) it may well be a request under way that writes back what it has read before. */
bool command_asks(const struct command *c, int argc, const struct bytes *argv);

/* NULL if there is none. `name` in any case. */
const struct command *command_find(struct bytes name);
const struct command *command_by_id(enum command_id id);

/* The subcommand of a container; NULL if there is none. */
const struct command *command_find_sub(const struct command *container, struct bytes name);

/* A command, or a subcommand under its full name "client|kill"; NULL if there is none. */
const struct command *command_find_full(struct bytes name);

/* All subcommands' rows, those of one container side by side. */
const struct command *command_subs(size_t *count);

/* Finds the row of a request, a container's subcommand included, and checks its arity: NULL =
 * unknown or wrong, and the error is written. */
MUST_CHECK const struct command *command_lookup_or_reply(int argc, const struct bytes *argv,
                                                         struct reply *r);

/* One that waits where it finds nothing: BLPOP and its like. */
static inline bool command_waits(const struct command *c)
{
    return (c->flags & CF_BLOCKING) != 0 && c->handler != NULL;
}

/* Is argc allowed? */
bool command_arity_ok(const struct command *c, int argc);

/* Does it run a script? */
static inline bool command_is_eval(const struct command *c)
{
    return c->id == CMD_EVAL || c->id == CMD_EVALSHA || c->id == CMD_EVAL_RO || c->id == CMD_EVALSHA_RO;
}

/* Is running it a use of its keys, for OBJECT IDLETIME? Looking at a key from outside is none. */
bool command_uses_keys(const struct command *c);

/* A database number given as an argument. Returns the error if there is no such database. */
MUST_CHECK const char *command_parse_db(struct bytes arg, int databases, int *out);

/* Key specifications of its row. Each is about one key, but the last is about all further ones. */
int command_key_specs(const struct command *c);
/* The flags of the i-th of them: words. */
struct bytes command_key_spec_flags(const struct command *c, int i);

/* What this call does to its i-th key: words, as of the key specifications. */
struct bytes command_call_key_flags(const struct command *c, int argc, const struct bytes *argv,
                                    int i);

/* The error for an unknown command, to the letter: name and a prefix of the arguments. */
void command_reply_unknown(struct reply *r, int argc, const struct bytes *argv);
/* For EXEC this is an EXECABORT: the caller then drops the transaction, as for a proper EXEC. */
void command_reply_arity(struct reply *r, const struct command *c);
/* "ERR unknown subcommand 'x'. Try CLIENT HELP." `container` in upper case. */
void command_reply_unknown_subcommand(struct reply *r, const char *container, struct bytes sub);
/* "ERR wrong number of arguments for 'client|kill' command"; `full` is that name. */
void command_reply_sub_arity(struct reply *r, const char *full);
/* What a HELP subcommand answers: a line about the container, and a line per subcommand. */
void command_reply_help(struct reply *r, const struct command *container);

/* COMMAND and its subcommands, errors included: all from the table. */
void command_command(int argc, const struct bytes *argv, struct reply *r);

#endif
