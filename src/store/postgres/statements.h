/* statements: every SQL statement respgres sends, in one table by name. Nothing else in the code
 * knows SQL. `@.` in a text stands for the schema's quoted name and a dot, `@!` for the name alone,
 * `@#` for the name within a string constant. */
#ifndef RESPGRES_STORE_POSTGRES_STATEMENTS_H
#define RESPGRES_STORE_POSTGRES_STATEMENTS_H

#include "base/buf.h"

enum statement_id {
    STMT_READ,
    STMT_READ_LOCKED,
    STMT_READ_FEW,
    STMT_COMMIT,
    STMT_COMMIT_BLIND,
    STMT_COMMIT_ONE,
    STMT_SHARE_SPACES,
    STMT_OWN_SPACES,
    STMT_LOCK_KEYS,
    STMT_COMMIT_CHECKED,
    STMT_FIND_LOCKED,
    STMT_SHORT_WAIT,
    STMT_LOCK_TIMEOUT,
    STMT_TRY_LOCK,
    STMT_ADVANCE_SEQUENCE,
    STMT_SETTLE_LANE,
    STMT_TERMINATE_BATCH,
    STMT_SESSION,
    STMT_SETTINGS,
    STMT_SETTINGS_COMMIT,
    STMT_DUMP,
    STMT_IMPORT,
    STMT_IMPORT_LOOK,
    STMT_SERVER,
    STMT_PROBE,
    STMT_SCHEMA_STATE,
    STMT_SCHEMA_EXISTS,
    STMT_MIGRATION_BEGIN,
    STMT_CREATE_SCHEMA,
    STMT_CREATE_SPACES,
    STMT_SLOT_LOCK,
    STMT_CLAIM_SLOT,
    STMT_CLAIM_LANE,
    STMT_TERMINATE_LANE,
    STMT_HEARTBEAT,
    STMT_FORGET_CACHING,
    STMT_FLEET,
    STMT_LISTEN,
    STMT_UNLISTEN,
    STMT_ENLIST,
    STMT_ENLISTED,
    STMT_HEARERS,
    STMT_PUBLISH,
    STMT_FETCH_MESSAGES,
    STMT_LAST_MESSAGE,
    STMT_MARK_MESSAGES,
    STMT_POLL_MESSAGES,
    STMT_SWEEP_MESSAGES,
    STMT_OLDER_WRITERS,
    STMT_OLDER_WRITERS_LEFT,
    STMT_PING,
    STMT_RELEASE_SLOT,
    STMT_SCAN,
    STMT_SCAN_DOWN,
    STMT_KEYS,
    STMT_RANDOM,
    STMT_DBSIZE,
    STMT_KEYSPACE,
    STMT_SCRIPT_SAVE,
    STMT_SCRIPT_FIND,
    STMT_SCRIPT_EXISTS,
    STMT_SCRIPT_FLUSH,
    STMT_SCRIPT_FLUSHES,
    STMT_FLUSH,
    STMT_SWAP,
    STMT_SWEEP,
    STMT_BY_INDEX,
    STMT_EXPIRE,
    STMT_EVENTS,
    STMT_SWEEP_ABANDONED,
    STMT_OLDEST_XMIN,
    STMT_TABLE_SIZE,
    STMT_VACUUM,
    STMT_OPEN_JOURNAL,
    STMT_TERMINATE_MERGE,
    STMT_MERGE_NUMBER,
    STMT_MERGE_LOCK_KEYS,
    STMT_MERGE,
    STMT_MERGE_LOCK_TABLE,
    STMT_MERGE_FLUSH,
    STMT_SWEEP_CONFLICTS,
    STATEMENT_COUNT
};

struct statement {
    const char *name; /* as the server knows it once prepared, and in logs */
    const char *text;
    int nparams;
};

const struct statement *statement_get(enum statement_id id);

/* Appends `text` with `@.`, `@!` and `@#` replaced; NUL-terminated behind the length. */
void statement_expand(struct buf *out, const char *text, const char *schema);

/* How an item of a commit batch is encoded into one int4 (entries.batch_item): position, what is
 * expected of the row, whether only its expiry moves, and how its expiry is meant. */
enum {
    ITEM_POSITION_MASK = 0xFFFFF,
    ITEM_EXPECT_SHIFT = 20, /* two bits: enum commit_expect; the lower one set = needs a live row */
    ITEM_TOUCH = 1 << 22,
    ITEM_EXPIRY_SHIFT = 23, /* two bits: enum expiry_kind's order: none, at, relative */
    ITEM_NEW = 1 << 25,     /* not a write that SQL has forestalled by ending the session */
    /* not sent, but found in rows: */
    ITEM_TOLD = 1 << 26,    /* that the key has expired has been told */
    ITEM_OVER = 1 << 27,    /* the write replaced what had expired and was not told; in its answer */
};

#endif
