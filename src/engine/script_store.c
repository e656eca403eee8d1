/* script_store: the scripts that are known, by their SHA1: here in memory, and for all instances in
 * PostgreSQL.
 *
 * SCRIPT LOAD is answered when PostgreSQL has it. What EVAL has brought is sent there at the end of
 * the turn, and nobody waits for it. Of a SHA1 that is not known here PostgreSQL is asked before it
 * is called unknown. SCRIPT FLUSH counts up a number there; who knows scripts looks at it every
 * second, and forgets them when it has changed. While PostgreSQL is away scripts are known where
 * they were sent, and are stored later. */
#include <ctype.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/script.h"
#include "metrics/metrics.h"
#include "script/script.h"

enum {
    MAX_EVALUATED = 1000, /* kept in memory, besides those that were loaded */
    SAVE_BYTES = 1 << 20, /* of one statement */
    LOOK_US = 1000 * 1000,
};

struct lookup {
    struct list node;
    struct engine *engine;
    struct store_query query;
    char sha[SCRIPT_SHA_LEN + 1];
    struct buf body;
    bool found;
};

struct script_memory {
    struct engine *engine;
    struct map known;
    struct list loaded; /* known_script.order_node, oldest first */
    struct list evaluated;
    size_t nevaluated;
    size_t bytes;
    bool unsaved; /* some are not stored */
    bool saving;
    struct store_query save;
    struct buf saved; /* frames of what is being saved */
    bool looking;
    int64_t looked_us;
    struct store_query look;
    int64_t flushes; /* as PostgreSQL had it last; -1 = not asked yet */
    struct list lookups;
};

/* ---- in memory ---- */

struct script_memory *script_memory_new(struct engine *e)
{
    struct script_memory *m = mem_zalloc(sizeof(*m));
    m->engine = e;
    m->flushes = -1;
    map_init(&m->known);
    list_init(&m->loaded);
    list_init(&m->evaluated);
    list_init(&m->lookups);
    return m;
}

static void forget(struct script_memory *m, struct known_script *k)
{
    map_remove(&m->known, &k->node);
    list_remove(&k->order_node);
    m->nevaluated -= !k->loaded;
    m->bytes -= k->len;
    mem_free(k->body);
    mem_free(k);
}

static void forget_all(struct script_memory *m)
{
    struct list *const lists[] = {&m->loaded, &m->evaluated};
    for (int i = 0; i < 2; i++) {
        LIST_EACH(it, lists[i])
        forget(m, LIST_ITEM(it, struct known_script, order_node));
    }
}

void script_memory_free(struct script_memory *m)
{
    forget_all(m);
    LIST_EACH(it, &m->lookups)
    {
        struct lookup *l = LIST_ITEM(it, struct lookup, node);
        list_remove(&l->node);
        buf_release(&l->body);
        mem_free(l);
    }
    map_release(&m->known);
    buf_release(&m->saved);
    mem_free(m);
}

static bool lower_sha(struct bytes sha, char out[SCRIPT_SHA_LEN + 1])
{
    if (sha.len != SCRIPT_SHA_LEN)
        return false;
    for (size_t i = 0; i < sha.len; i++) {
        out[i] = (char)tolower((unsigned char)sha.data[i]);
        if (!isxdigit((unsigned char)out[i]))
            return false;
    }
    out[sha.len] = '\0';
    return true;
}

static bool is_it(const struct map_node *node, const void *sha)
{
    return memcmp(LIST_ITEM(node, const struct known_script, node)->sha, sha, SCRIPT_SHA_LEN) == 0;
}

static struct known_script *find(struct script_memory *m, const char *sha)
{
    uint64_t hash = hash_bytes(bytes_of(sha, SCRIPT_SHA_LEN), 0);
    struct map_node *node = map_find(&m->known, hash, is_it, sha);
    return node != NULL ? LIST_ITEM(node, struct known_script, node) : NULL;
}

const struct known_script *script_find(struct engine *e, struct bytes sha)
{
    char lower[SCRIPT_SHA_LEN + 1];
    return lower_sha(sha, lower) ? find(e->script_memory, lower) : NULL;
}

static struct known_script *add(struct script_memory *m, const char *sha, struct bytes body,
                                unsigned flags, bool loaded)
{
    struct known_script *k = mem_zalloc(sizeof(*k));
    memcpy(k->sha, sha, sizeof(k->sha));
    k->body = mem_strndup(body.data, body.len);
    k->len = body.len;
    k->flags = flags;
    k->loaded = loaded;
    map_insert(&m->known, &k->node, hash_bytes(bytes_of(sha, SCRIPT_SHA_LEN), 0));
    list_push_back(loaded ? &m->loaded : &m->evaluated, &k->order_node);
    m->nevaluated += !loaded;
    m->bytes += k->len;
    if (m->nevaluated > MAX_EVALUATED) {
        forget(m, LIST_ITEM(m->evaluated.next, struct known_script, order_node));
        metrics.scripts_evicted++;
    }
    return k;
}

const struct known_script *script_add(struct engine *e, const char *sha, struct bytes body,
                                      unsigned flags, bool loaded)
{
    struct script_memory *m = e->script_memory;
    struct known_script *k = find(m, sha);
    if (k == NULL) {
        k = add(m, sha, body, flags, loaded);
        m->unsaved = true;
    } else if (loaded && !k->loaded) {
        k->loaded = true;
        m->nevaluated--;
        list_remove(&k->order_node);
        list_push_back(&m->loaded, &k->order_node);
    }
    return k;
}

size_t script_memory_count(const struct engine *e)
{
    return map_count(&e->script_memory->known);
}

size_t script_memory_bytes(const struct engine *e)
{
    return e->script_memory->bytes + script_memory_count(e) * sizeof(struct known_script);
}

/* ---- to PostgreSQL ---- */

static bool can_ask(const struct engine *e)
{
    enum store_state state = store_state(e->store);
    return (state == STORE_ONLINE || state == STORE_RECOVERING) && !store_memory_is_truth(e->store);
}

static void add_frame(struct buf *out, const struct known_script *k)
{
    uint64_t len = k->len;
    buf_append(out, k->sha, SCRIPT_SHA_LEN);
    buf_append(out, &len, sizeof(len));
    buf_append(out, k->body, k->len);
}

static void no_row(struct store_query *q, int64_t id, struct bytes key, bool live, uint8_t type)
{
    (void)q;
    (void)id;
    (void)key;
    (void)live;
    (void)type;
}

/* Those of these frames that are still known are stored. */
static void note_stored(struct script_memory *m, struct bytes frames)
{
    while (frames.len > 0) {
        uint64_t len;
        struct known_script *k = find(m, frames.data);
        if (k != NULL)
            k->stored = true;
        memcpy(&len, frames.data + SCRIPT_SHA_LEN, sizeof(len));
        size_t frame = SCRIPT_SHA_LEN + sizeof(len) + (size_t)len;
        frames = bytes_of(frames.data + frame, frames.len - frame);
    }
}

static void on_saved(struct store_query *q)
{
    struct script_memory *m = LIST_ITEM(q, struct script_memory, save);
    m->saving = false;
    m->unsaved = true; /* there may be more */
    if (q->result == STORE_OK && can_ask(m->engine))
        note_stored(m, buf_bytes(&m->saved));
    else if (q->result == STORE_REFUSED)
        note_stored(m, buf_bytes(&m->saved)); /* asking again would not help */
    buf_reset(&m->saved, 64 * 1024);
}

static void collect_unsaved(struct script_memory *m, struct list *list)
{
    LIST_EACH(it, list)
    {
        const struct known_script *k = LIST_ITEM(it, const struct known_script, order_node);
        if (!k->stored && m->saved.len < SAVE_BYTES)
            add_frame(&m->saved, k);
    }
}

static void save(struct script_memory *m)
{
    struct engine *e = m->engine;
    if (m->saving || !m->unsaved || !can_ask(e))
        return;
    m->unsaved = false;
    collect_unsaved(m, &m->loaded);
    collect_unsaved(m, &m->evaluated);
    if (m->saved.len == 0)
        return;
    m->saving = true;
    m->save = (struct store_query){
        .kind = QUERY_SCRIPT_SAVE, .prefix = buf_bytes(&m->saved), .row = no_row, .done = on_saved};
    e->store->ops->query(e->store, &m->save);
}

/* ---- flushes elsewhere ---- */

static void on_looked(struct store_query *q)
{
    struct script_memory *m = LIST_ITEM(q, struct script_memory, look);
    m->looking = false;
    if (q->result != STORE_OK || !can_ask(m->engine))
        return;
    if (m->flushes >= 0 && q->count != m->flushes)
        forget_all(m);
    m->flushes = q->count;
}

static void look(struct script_memory *m)
{
    struct engine *e = m->engine;
    int64_t now = loop_now_us(e->loop);
    if (m->looking || map_count(&m->known) == 0 || now - m->looked_us < LOOK_US || !can_ask(e))
        return;
    m->looking = true;
    m->looked_us = now;
    m->look = (struct store_query){.kind = QUERY_SCRIPT_FLUSHES, .row = no_row, .done = on_looked};
    e->store->ops->query(e->store, &m->look);
}

void script_memory_turn_end(struct engine *e)
{
    save(e->script_memory);
    look(e->script_memory);
}

/* ---- unknown ones ---- */

static void take_body(struct store_query *q, int64_t id, struct bytes body, bool live, uint8_t type)
{
    struct lookup *l = LIST_ITEM(q, struct lookup, query);
    (void)id;
    (void)live;
    (void)type;
    l->found = true;
    buf_append_bytes(&l->body, body);
}

static void on_looked_up(struct store_query *q)
{
    struct lookup *l = LIST_ITEM(q, struct lookup, query);
    struct engine *e = l->engine;
    unsigned flags;
    size_t skip;
    struct buf error;
    buf_init(&error);
    bool good = l->found && script_shebang(buf_bytes(&l->body), &flags, &skip, &error);
    if (q->result == STORE_OK && good && find(e->script_memory, l->sha) == NULL)
        add(e->script_memory, l->sha, buf_bytes(&l->body), flags, false)->stored = true;
    buf_release(&error);
    list_remove(&l->node);
    buf_release(&l->body);
    mem_free(l);
    LIST_EACH(it, &e->clients)
    client_pump_later(LIST_ITEM(it, struct client, node));
    LIST_EACH(at, &e->closing)
    client_pump_later(LIST_ITEM(at, struct client, node));
    engine_pump_clients(e);
}

static bool is_looked_up(const struct script_memory *m, const char *sha)
{
    LIST_EACH(it, (struct list *)&m->lookups)
    {
        if (memcmp(LIST_ITEM(it, const struct lookup, node)->sha, sha, SCRIPT_SHA_LEN) == 0)
            return true;
    }
    return false;
}

static bool names_sha(const struct txn_command *tc, char sha[SCRIPT_SHA_LEN + 1])
{
    return (tc->cmd->id == CMD_EVALSHA || tc->cmd->id == CMD_EVALSHA_RO) &&
           lower_sha(tc->request->argv[1], sha);
}

void script_look_up(struct txn *t)
{
    struct engine *e = t->engine;
    struct script_memory *m = e->script_memory;
    char sha[SCRIPT_SHA_LEN + 1];
    for (int i = 0; i < t->ncommands; i++) {
        if (t->exec_abort || !names_sha(&t->commands[i], sha) || find(m, sha) != NULL ||
            !can_ask(e) || is_looked_up(m, sha))
            continue;
        struct lookup *l = mem_zalloc(sizeof(*l));
        l->engine = e;
        memcpy(l->sha, sha, sizeof(l->sha));
        buf_init(&l->body);
        list_push_back(&m->lookups, &l->node);
        l->query = (struct store_query){.kind = QUERY_SCRIPT_FIND,
                                        .prefix = bytes_of(l->sha, SCRIPT_SHA_LEN),
                                        .row = take_body,
                                        .done = on_looked_up};
        e->store->ops->query(e->store, &l->query);
    }
}

bool script_waits(const struct txn *t)
{
    const struct script_memory *m = t->engine->script_memory;
    char sha[SCRIPT_SHA_LEN + 1];
    for (int i = 0; i < t->ncommands && !list_empty((struct list *)&m->lookups); i++) {
        if (!t->exec_abort && names_sha(&t->commands[i], sha) && is_looked_up(m, sha))
            return true;
    }
    return false;
}

/* ---- SCRIPT as a query ---- */

bool script_command_is_query(const struct txn_command *tc)
{
    return tc->cmd->sub == SUB_SCRIPT_LOAD || tc->cmd->sub == SUB_SCRIPT_EXISTS ||
           tc->cmd->sub == SUB_SCRIPT_FLUSH;
}

static bool flush_is_good(const struct request *q, struct reply *r)
{
    if (q->argc == 2 ||
        (q->argc == 3 && (bytes_ieq(q->argv[2], "sync") || bytes_ieq(q->argv[2], "async"))))
        return true;
    reply_error(r, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
    return false;
}

static void answer_load(struct txn *t, struct store_query *q, struct reply *r)
{
    struct script_memory *m = t->engine->script_memory;
    if (can_ask(t->engine))
        note_stored(m, q->prefix);
    reply_bulk(r, bytes_of(q->prefix.data, SCRIPT_SHA_LEN));
}

/* `rows` has the frame while the query is under way. */
static bool prepare_load(struct txn *t, const struct txn_command *tc, struct reply *r)
{
    struct engine *e = t->engine;
    const struct known_script *k = script_learn_or_reply(e, tc->request->argv[2], true, r);
    if (k == NULL)
        return false;
    if (k->stored || !can_ask(e)) {
        reply_bulk_cstr(r, k->sha);
        return false;
    }
    t->rows.len = 0;
    add_frame(&t->rows, k);
    t->query.kind = QUERY_SCRIPT_SAVE;
    t->query.prefix = buf_bytes(&t->rows);
    t->on_query = answer_load;
    return true;
}

static void take_sha(struct store_query *q, int64_t id, struct bytes sha, bool live, uint8_t type)
{
    struct txn *t = LIST_ITEM(q, struct txn, query);
    (void)id;
    (void)live;
    (void)type;
    if (sha.len == SCRIPT_SHA_LEN)
        buf_append_bytes(&t->rows, sha);
}

static void answer_exists(struct txn *t, struct store_query *q, struct reply *r)
{
    const struct request *request = t->single.request;
    (void)q;
    reply_array(r, (size_t)request->argc - 2);
    for (int i = 2; i < request->argc; i++) {
        char sha[SCRIPT_SHA_LEN + 1];
        bool known = false;
        bool is_sha = lower_sha(request->argv[i], sha);
        if (is_sha && find(t->engine->script_memory, sha) != NULL)
            known = true;
        for (size_t at = 0; is_sha && at < t->rows.len; at += SCRIPT_SHA_LEN)
            known |= memcmp(t->rows.data + at, sha, SCRIPT_SHA_LEN) == 0;
        reply_int(r, known);
    }
}

/* `reply`, which is made anew with the answer, has the SHA1s that are asked about meanwhile. */
static bool prepare_exists(struct txn *t, const struct txn_command *tc, struct reply *r)
{
    const struct request *request = tc->request;
    t->rows.len = 0;
    t->reply.len = 0;
    for (int i = 2; i < request->argc; i++) {
        char sha[SCRIPT_SHA_LEN + 1];
        if (lower_sha(request->argv[i], sha) && find(t->engine->script_memory, sha) == NULL)
            buf_append(&t->reply, sha, SCRIPT_SHA_LEN);
    }
    if (t->reply.len == 0 || !can_ask(t->engine)) {
        t->reply.len = 0;
        answer_exists(t, NULL, r);
        return false;
    }
    t->query.kind = QUERY_SCRIPT_EXISTS;
    t->query.prefix = buf_bytes(&t->reply);
    t->query.row = take_sha;
    t->on_query = answer_exists;
    return true;
}

static void answer_flush(struct txn *t, struct store_query *q, struct reply *r)
{
    struct script_memory *m = t->engine->script_memory;
    if (can_ask(t->engine))
        m->flushes = q->count;
    forget_all(m);
    reply_ok(r);
}

bool script_query_prepare(struct txn *t, const struct txn_command *tc, struct reply *r)
{
    switch (tc->cmd->sub) {
    case SUB_SCRIPT_LOAD:
        return prepare_load(t, tc, r);
    case SUB_SCRIPT_EXISTS:
        return prepare_exists(t, tc, r);
    default:
        if (!flush_is_good(tc->request, r))
            return false;
        t->query.kind = QUERY_SCRIPT_FLUSH;
        t->on_query = answer_flush;
        return true;
    }
}

/* In a MULTI block: here at once, and elsewhere when PostgreSQL has been told, for which nobody
 * waits. */
void script_flush_or_reply(struct engine *e, const struct request *q, struct reply *r)
{
    (void)e;
    if (flush_is_good(q, r))
        reply_error(r, "ERR SCRIPT FLUSH inside MULTI is not supported");
}
