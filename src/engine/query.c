/* query: commands over the whole keyspace. Each is a query of the store, a barrier for its client:
 * it starts when the client's earlier commands have ended, and the later ones wait for it. */
#include "engine/block.h"
#include "engine/internal.h"
#include "engine/script.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/glob.h"
#include "base/mem.h"
#include "base/num.h"

enum { SCAN_LIMIT = 100000 };

bool command_is_query(const struct txn_command *tc)
{
    const struct request *r = tc->request;
    if (tc->cmd->id == CMD_INFO)
        return info_wants_keyspace(r->argc - 1, r->argv + 1);
    return (tc->cmd->flags & CF_QUERY) != 0 || script_command_is_query(tc);
}

/* ---- answers ---- */

/* The rows collected so far are bulk strings in t->rows. */
static void row_matching(struct store_query *q, int64_t id, struct bytes key, bool live, uint8_t type)
{
    struct txn *t = LIST_ITEM(q, struct txn, query);
    (void)id;
    if (!live || t->client == NULL)
        return;
    if (t->query_type >= 0 && t->query_type != type)
        return;
    if (t->pattern.data != NULL && !glob_match(t->pattern, key, false))
        return;
    struct reply rows = {&t->rows, t->proto, false};
    reply_bulk(&rows, key);
    t->nrows++;
}

/* Room for the rows behind the rest of the reply; else an error is the reply. */
static bool rows_fit_or_reply(const struct txn *t, struct reply *r)
{
    if (buf_try_reserve(r->out, t->rows.len + 64))
        return true;
    reply_error(r, "OOM out of memory for this reply");
    return false;
}

static void answer_scan(struct txn *t, struct store_query *q, struct reply *r)
{
    if (!rows_fit_or_reply(t, r))
        return;
    reply_array(r, 2);
    reply_bulk_int(r, q->cursor);
    reply_array(r, t->nrows);
    buf_append_bytes(r->out, buf_bytes(&t->rows));
}

static void answer_keys(struct txn *t, struct store_query *q, struct reply *r)
{
    (void)q;
    if (!rows_fit_or_reply(t, r))
        return;
    reply_array(r, t->nrows);
    buf_append_bytes(r->out, buf_bytes(&t->rows));
}

static void answer_random(struct txn *t, struct store_query *q, struct reply *r)
{
    (void)q;
    if (t->nrows == 0)
        reply_null(r);
    else
        buf_append_bytes(r->out, buf_bytes(&t->rows));
}

static void answer_count(struct txn *t, struct store_query *q, struct reply *r)
{
    (void)t;
    reply_int(r, q->count);
}

static void answer_ok(struct txn *t, struct store_query *q, struct reply *r)
{
    struct engine *e = t->engine;
    bool local = store_memory_is_truth(e->store);
    int all = e->config->databases - 1;
    if (q->kind == QUERY_FLUSH && !local)
        keyspace_drop(e->keyspace, q->db == q->db2 ? q->db : -1);
    /* For WATCH: as if the databases had new spaces, whose numbers nobody else has. */
    for (int db = q->db; local && q->kind == QUERY_FLUSH && db <= (q->db2 < all ? q->db2 : all); db++)
        e->spaces[db] = --e->last_local_space;
    reply_ok(r);
}

static void answer_info(struct txn *t, struct store_query *q, struct reply *r)
{
    const struct request *request = t->single.request;
    struct buf out;
    buf_init(&out);
    info_append(t->engine, &out, request->argc - 1, request->argv + 1, q->keyspace,
                q->keyspace_len);
    reply_verbatim(r, "txt", buf_bytes(&out));
    buf_release(&out);
}

static void on_done(struct store_query *q)
{
    struct txn *t = LIST_ITEM(q, struct txn, query);
    struct engine *e = t->engine;
    struct reply r;
    txn_reply_init(t, &r);
    if (q->kind == QUERY_FLUSH || q->kind == QUERY_SWAP)
        fresh_forget_all(e);
    if (q->kind == QUERY_SWAP)
        block_look_all(e);
    if (q->result == STORE_OK)
        t->on_query(t, q, &r);
    else if (q->result == STORE_LOST)
        reply_error(&r, q->kind == QUERY_FLUSH || q->kind == QUERY_SWAP
                            ? "ERR PostgreSQL did not confirm, it may or may not have been done"
                            : "LOADING PostgreSQL is not reachable");
    else
        reply_errorf(&r, "ERR PostgreSQL: %s", q->error);
    txn_done(t);
    engine_pump_clients(e);
}

/* ---- arguments ---- */

static bool scan_options(struct txn *t, const struct txn_command *tc, struct reply *r)
{
    const struct bytes *argv = tc->request->argv;
    int argc = tc->request->argc;
    t->query.limit = 10;
    for (int i = 2; i < argc; i += 2) {
        bool more = i + 1 < argc;
        if (more && bytes_ieq(argv[i], "match")) {
            t->pattern = argv[i + 1];
        } else if (more && bytes_ieq(argv[i], "count")) {
            if (!num_int64(argv[i + 1], &t->query.limit)) {
                reply_error(r, "ERR value is not an integer or out of range");
                return false;
            }
            if (t->query.limit < 1) {
                reply_error(r, "ERR syntax error");
                return false;
            }
        } else if (more && bytes_ieq(argv[i], "type")) {
            uint8_t type;
            t->query_type = value_type_by_name(argv[i + 1], &type) ? type : 255;
        } else {
            reply_error(r, "ERR syntax error");
            return false;
        }
    }
    if (t->query.limit > SCAN_LIMIT)
        t->query.limit = SCAN_LIMIT;
    return true;
}

/* As Redis' strtoul: an empty one is 0, a negative one wraps round to beyond every row, and it ends at a
 * NUL. */
static bool parse_cursor(struct bytes s, int64_t *out)
{
    char text[24];
    char *end;
    if (s.len >= sizeof(text) || (s.len > 0 && isspace((unsigned char)s.data[0])))
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (*end != '\0' || errno == ERANGE)
        return false;
    *out = v > INT64_MAX ? INT64_MAX : (int64_t)v;
    return true;
}

static bool prepare_scan(struct txn *t, const struct txn_command *tc, struct reply *r)
{
    struct bytes cursor = tc->request->argv[1];
    if (!parse_cursor(cursor, &t->query.cursor)) {
        reply_error(r, "ERR invalid cursor");
        return false;
    }
    t->query.kind = QUERY_SCAN;
    t->on_query = answer_scan;
    return scan_options(t, tc, r);
}

static bool prepare_keys(struct txn *t, const struct txn_command *tc)
{
    t->pattern = tc->request->argv[1];
    t->query.kind = QUERY_KEYS;
    t->query.prefix = bytes_of(t->pattern.data, glob_literal_prefix(t->pattern));
    t->on_query = answer_keys;
    return true;
}

static bool prepare_flush(struct txn *t, const struct txn_command *tc, struct reply *r)
{
    const struct request *rq = tc->request;
    bool mode_ok = rq->argc == 2 &&
                   (bytes_ieq(rq->argv[1], "async") || bytes_ieq(rq->argv[1], "sync"));
    if (rq->argc > 1 && !mode_ok) {
        reply_error(r, "ERR syntax error");
        return false;
    }
    t->query.kind = QUERY_FLUSH;
    t->query.db2 = t->query.db;
    if (tc->cmd->id == CMD_FLUSHALL) {
        t->query.db = 0;
        t->query.db2 = INT32_MAX;
    }
    t->on_query = answer_ok;
    return true;
}

static bool db_or_reply(const struct txn *t, struct bytes arg, const char *which, int *db,
                        struct reply *r)
{
    int64_t v;
    if (!num_int64(arg, &v) || v < INT32_MIN || v > INT32_MAX) {
        reply_errorf(r, "ERR invalid %s DB index", which);
        return false;
    }
    *db = v < 0 || v >= t->engine->config->databases ? -1 : (int)v;
    return true;
}

static bool prepare_swap(struct txn *t, const struct txn_command *tc, struct reply *r)
{
    const struct bytes *argv = tc->request->argv;
    if (!db_or_reply(t, argv[1], "first", &t->query.db, r) ||
        !db_or_reply(t, argv[2], "second", &t->query.db2, r))
        return false;
    if (t->query.db < 0 || t->query.db2 < 0) {
        reply_error(r, "ERR DB index is out of range");
        return false;
    }
    t->query.kind = QUERY_SWAP;
    t->on_query = answer_ok;
    return true;
}

bool query_prepare(struct txn *t, const struct txn_command *tc, struct reply *r)
{
    t->query = (struct store_query){.db = tc->db, .row = row_matching, .done = on_done};
    t->query_type = -1;
    t->pattern = bytes_of(NULL, 0);
    switch (tc->cmd->id) {
    case CMD_SCAN:
        return prepare_scan(t, tc, r);
    case CMD_KEYS:
        return prepare_keys(t, tc);
    case CMD_RANDOMKEY:
        t->query.kind = QUERY_RANDOM;
        t->on_query = answer_random;
        return true;
    case CMD_DBSIZE:
        t->query.kind = QUERY_DBSIZE;
        t->on_query = answer_count;
        return true;
    case CMD_FLUSHDB:
    case CMD_FLUSHALL:
        return prepare_flush(t, tc, r);
    case CMD_SWAPDB:
        return prepare_swap(t, tc, r);
    case CMD_INFO:
        t->query.kind = QUERY_KEYSPACE;
        t->on_query = answer_info;
        return true;
    case CMD_SCRIPT:
        return script_query_prepare(t, tc, r);
    default:
        check_failed("no query command", __FILE__, __LINE__);
    }
}

bool query_start(struct txn *t)
{
    struct engine *e = t->engine;
    struct reply r;
    txn_reply_init(t, &r);
    const char *unavailable = txn_unavailable(t);
    if (t->single.cmd->id == CMD_INFO && unavailable != NULL) {
        session_info(t->client, &t->single, &r);
        return false;
    }
    if (!query_prepare(t, &t->single, &r))
        return false;
    if (unavailable != NULL) {
        reply_error(&r, unavailable);
        return false;
    }
    txn_set_state(t, TXN_QUERYING);
    list_push_back(&e->querying, &t->work_node);
    e->store->ops->query(e->store, &t->query);
    return true;
}
