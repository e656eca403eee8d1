/* local_query: commands over the whole keyspace, and transactions of several steps, from memory.
 *
 * A transaction's changes are staged until it ends; its queries see them. Its keys are nobody else's
 * meanwhile. A FLUSH waits for the commits before it, is journalled, and takes effect when it is
 * durable; until then nothing else is let in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/router/internal.h"

/* ---- what is live ---- */

/* Changes of the transaction at work count. */
static bool is_live(const struct router *r, const struct entry *e, int64_t now_us, uint8_t *type)
{
    LIST_EACH(it, (struct list *)&r->staged)
    {
        const struct staged *s = LIST_ITEM(it, struct staged, node);
        if (s->entry != e)
            continue;
        *type = s->value != NULL ? s->value->type : 0;
        return s->value != NULL && (s->expires_us > now_us);
    }
    if (r->staged_flush && (r->staged_flush_db < 0 || r->staged_flush_db == e->db))
        return false;
    if (!local_is_live(e, now_us))
        return false;
    *type = e->value->type;
    return true;
}

struct walk {
    struct router *r;
    struct store_query *q;
    int64_t now_us;
    size_t seen;
    const struct entry *found;   /* RANDOMKEY */
    struct store_keyspace *dbs;  /* INFO */
};

static void emit(struct walk *w, const struct entry *e, uint8_t type)
{
    if (w->q->row != NULL)
        w->q->row(w->q, 0, entry_key(e), true, type);
}

static void visit_key(struct entry *e, void *arg)
{
    struct walk *w = arg;
    uint8_t type;
    if (e->db == w->q->db && is_live(w->r, e, w->now_us, &type)) {
        w->seen++;
        emit(w, e, type);
    }
}

static void visit_prefix(struct entry *e, void *arg)
{
    struct walk *w = arg;
    struct bytes key = entry_key(e);
    struct bytes prefix = w->q->prefix;
    if (key.len >= prefix.len && memcmp(key.data, prefix.data, prefix.len) == 0)
        visit_key(e, arg);
}

static void visit_count(struct entry *e, void *arg)
{
    struct walk *w = arg;
    uint8_t type;
    w->seen += e->db == w->q->db && is_live(w->r, e, w->now_us, &type);
}

/* One of all that are met, each with the same chance. */
static void visit_random(struct entry *e, void *arg)
{
    struct walk *w = arg;
    uint8_t type;
    if (e->db != w->q->db || !is_live(w->r, e, w->now_us, &type))
        return;
    if ((size_t)random() % ++w->seen == 0)
        w->found = e;
}

static void visit_stats(struct entry *e, void *arg)
{
    struct walk *w = arg;
    struct store_keyspace *k = &w->dbs[e->db];
    uint8_t type;
    if (!is_live(w->r, e, w->now_us, &type))
        return;
    k->keys++;
    if (e->expires_us == STORE_NEVER)
        return;
    k->expires++;
    k->avg_ttl_ms += (e->expires_us - w->now_us) / 1000;
}

/* One that somebody works with is met by him: the engine tells it then. */
static void visit_expired(struct entry *e, void *arg)
{
    struct walk *w = arg;
    if (e->pins > 0 || e->knowledge != ENTRY_LIVE || e->expires_us > w->now_us ||
        w->q->count >= w->q->limit)
        return;
    w->q->count++;
    w->q->db = e->db;
    emit(w, e, 0);
    entry_set_absent(w->r->keyspace, e, e->version);
}

static void walk_all(struct walk *w, void (*f)(struct entry *e, void *arg))
{
    uint64_t cursor = 0;
    do
        cursor = keyspace_scan(w->r->keyspace, cursor, f, w);
    while (cursor != 0);
}

/* ---- queries ---- */

static void scan(struct walk *w)
{
    struct store_query *q = w->q;
    uint64_t cursor = q->cursor & LOCAL_CURSOR ? (uint64_t)(q->cursor & ~LOCAL_CURSOR) : 0;
    int64_t tries = q->limit * 10;
    if (q->cursor > LOCAL_CURSOR * 2) { /* beyond every key */
        q->cursor = 0;
        return;
    }
    do
        cursor = keyspace_scan(w->r->keyspace, cursor, visit_key, w);
    while (cursor != 0 && (int64_t)w->seen < q->limit && --tries > 0);
    q->cursor = cursor != 0 ? (int64_t)cursor | LOCAL_CURSOR : 0;
}

static void random_key(struct walk *w)
{
    uint8_t type = 0;
    walk_all(w, visit_random);
    if (w->found != NULL && is_live(w->r, w->found, w->now_us, &type))
        emit(w, w->found, type);
}

static void keyspace_stats(struct walk *w)
{
    struct router *r = w->r;
    size_t n = 0;
    w->dbs = mem_zalloc((size_t)r->config->databases * sizeof(*w->dbs));
    walk_all(w, visit_stats);
    for (int db = 0; db < r->config->databases; db++) {
        struct store_keyspace k = w->dbs[db];
        if (k.keys == 0)
            continue;
        k.db = db;
        k.avg_ttl_ms = k.expires > 0 ? k.avg_ttl_ms / k.expires : 0;
        w->dbs[n++] = k;
    }
    w->q->keyspace = w->dbs;
    w->q->keyspace_len = n;
}

static bool refuse_swap(struct store_query *q)
{
    q->result = STORE_REFUSED;
    snprintf(q->error, sizeof(q->error), "it is not reachable, and SWAPDB has to wait for it");
    return false;
}

/* What reads only. True = `q->result` is STORE_OK. */
static bool run_query(struct router *r, struct store_query *q, struct walk *w)
{
    *w = (struct walk){.r = r, .q = q, .now_us = router_now_us(r)};
    q->result = STORE_OK;
    switch (q->kind) {
    case QUERY_SCAN:
        scan(w);
        return true;
    case QUERY_KEYS:
        walk_all(w, visit_prefix);
        return true;
    case QUERY_RANDOM:
        random_key(w);
        return true;
    case QUERY_DBSIZE:
        walk_all(w, visit_count);
        q->count = (int64_t)w->seen;
        return true;
    case QUERY_KEYSPACE:
        keyspace_stats(w);
        return true;
    case QUERY_SWAP:
        return refuse_swap(q);
    case QUERY_EXPIRE:
        if (r->state == STORE_STANDALONE)
            walk_all(w, visit_expired);
        return true;
    case QUERY_SCRIPT_SAVE: /* nothing is kept here, and nothing is known */
    case QUERY_SCRIPT_FIND:
    case QUERY_SCRIPT_EXISTS:
    case QUERY_SCRIPT_FLUSH:
    case QUERY_SCRIPT_FLUSHES:
        q->count = 0;
        return true;
    case QUERY_FIND_LOCKED:
    case QUERY_TRY_LOCK:
    case QUERY_FLUSH:
        return true;
    }
    check_failed("query kind", __FILE__, __LINE__);
}

static bool is_flush(const struct store_query *q)
{
    return q->kind == QUERY_FLUSH;
}

void local_query(struct router *r, struct store_query *q)
{
    q->next = NULL;
    *r->queries_tail = q;
    r->queries_tail = &q->next;
    router_answer_soon(r);
}

static struct store_query *pop(struct router *r)
{
    struct store_query *q = r->queries;
    r->queries = q->next;
    if (r->queries == NULL)
        r->queries_tail = &r->queries;
    return q;
}

static void end_query(struct router *r, struct store_query *q)
{
    struct walk w;
    run_query(r, q, &w);
    q->done(q);
    mem_free(w.dbs);
}

/* ---- FLUSH ---- */

static int flush_db(const struct store_query *q)
{
    return q->db == q->db2 ? q->db : -1;
}

static void fail_flush(struct router *r, struct store_query *q)
{
    char why[sizeof(q->error)];
    q->result = STORE_REFUSED;
    snprintf(q->error, sizeof(q->error), "%s",
             journaling_error(r, why, sizeof(why)) != NULL ? why : "the journal cannot be written");
    q->done(q);
}

static bool commits_under_way(const struct router *r)
{
    for (size_t i = 0; i < r->ncommits; i++) {
        if (r->local_commits[i].batch != NULL)
            return true;
    }
    return r->merging == MERGE_SENT;
}

/* False = it has to wait for what came before it. */
static bool start_flush(struct router *r, struct store_query *q)
{
    if (commits_under_way(r) || r->xact != NULL)
        return false;
    struct journal_record rec = {.kind = JOURNAL_FLUSH, .db = flush_db(q), .stamp = router_mint(r, 1)};
    r->flush_stamp = rec.stamp;
    r->flush_position = journaling_append(r, &rec);
    pop(r);
    if (r->flush_position == 0)
        fail_flush(r, q);
    else
        r->flushing = q;
    return true;
}

static void end_flush(struct router *r)
{
    struct store_query *q = r->flushing;
    r->flushing = NULL;
    router_apply_flush(r, flush_db(q));
    router_note_flush(r, flush_db(q), r->flush_stamp);
    q->result = STORE_OK;
    q->done(q);
    router_answer_soon(r);
}

void local_query_answer(struct router *r)
{
    while (r->queries != NULL && r->flushing == NULL) {
        if (is_flush(r->queries)) {
            if (!start_flush(r, r->queries))
                return;
        } else {
            end_query(r, pop(r));
        }
    }
    local_xact_answer(r);
}

bool local_query_busy(const struct router *r)
{
    return r->queries != NULL || r->flushing != NULL || r->xact != NULL;
}

/* ---- transactions ---- */

/* What is not here may be in PostgreSQL: another instance may have made it since it was looked for. */
static bool may_be_elsewhere(const struct router *r, const struct entry *e)
{
    return r->state == STORE_AWAY && !r->was_flushed &&
           (e == NULL || staged_of(r, e) == NULL);
}

static void fill_reads(struct router *r, struct store_xact *x)
{
    int64_t now_us = router_now_us(r);
    x->time_us = now_us;
    for (size_t i = 0; i < x->nreads; i++) {
        struct read_item *it = &x->reads[i];
        struct entry *e = keyspace_find(r->keyspace, it->db, it->key);
        uint8_t type;
        value_unref(it->value);
        it->value = NULL;
        it->changed = true;
        it->version = e != NULL ? -e->version : 0;
        it->expires_us = STORE_NEVER;
        it->guessed = false;
        if (e == NULL || !is_live(r, e, now_us, &type)) {
            it->guessed = may_be_elsewhere(r, e);
            continue;
        }
        const struct staged *s = staged_of(r, e);
        it->version = e->version > 0 ? e->version : 1;
        it->type = type;
        it->value = value_ref(s != NULL ? s->value : e->value);
        it->expires_us = s != NULL ? s->expires_us : e->expires_us;
    }
}

static void xact_soon(struct router *r, enum store_result result)
{
    r->xact->result = result;
    r->xact_due = true;
    router_answer_soon(r);
}

void local_xact_begin(struct router *r, struct store_xact *x)
{
    CHECK(r->xact == NULL);
    r->xact = x;
    x->local = true;
    for (size_t i = 0; i < x->nreads; i++)
        x->reads[i].value = NULL;
    fill_reads(r, x);
    xact_soon(r, STORE_OK);
}

struct staged *staged_of(const struct router *r, const struct entry *e)
{
    LIST_EACH(it, (struct list *)&r->staged)
    {
        if (LIST_ITEM(it, struct staged, node)->entry == e)
            return LIST_ITEM(it, struct staged, node);
    }
    return NULL;
}

/* What has been removed in the transaction itself, or flushed, may be made anew. */
static bool is_held_back(struct router *r, const struct commit_item *it, const struct entry *e, int64_t now_us)
{
    return !r->was_flushed && ended_by_sql(r, it, e, now_us);
}

static void stage(struct router *r, struct store_xact *x)
{
    int64_t now_us = router_now_us(r);
    for (size_t i = 0; i < x->batch.n; i++) {
        const struct commit_item *it = &x->batch.items[i];
        struct entry *e = keyspace_find(r->keyspace, it->db, it->key);
        struct staged *s = staged_of(r, e);
        if (s == NULL && is_held_back(r, it, e, now_us))
            continue;
        if (s == NULL) {
            s = mem_zalloc(sizeof(*s));
            s->entry = e;
            list_push_back(&r->staged, &s->node);
        }
        value_unref(s->value);
        s->removed |= it->value == NULL || it->removed;
        s->value = it->value != NULL ? value_ref(it->value) : NULL;
        s->expires_us = it->value == NULL || it->expiry.kind == EXPIRY_NONE ? STORE_NEVER
                        : it->expiry.us + (it->expiry.kind == EXPIRY_RELATIVE ? now_us : 0);
    }
}

static void unstage(struct router *r)
{
    LIST_EACH(it, &r->staged)
    {
        struct staged *s = LIST_ITEM(it, struct staged, node);
        value_unref(s->value);
        list_remove(&s->node);
        mem_free(s);
    }
    r->staged_flush = false;
}

/* The transaction had been let in before PostgreSQL went. */
static bool refuse_xact(struct router *r, struct store_xact *x)
{
    if (local_may_write(r, x->batch.items, x->batch.n))
        return false;
    snprintf(x->error, sizeof(x->error), "%s", STORE_ERROR_READONLY);
    xact_soon(r, STORE_FAILED);
    return true;
}

void local_xact_step(struct router *r, struct store_xact *x)
{
    struct walk w = {0};
    if (refuse_xact(r, x))
        return;
    stage(r, x);
    bool good = x->query == NULL || run_query(r, x->query, &w);
    if (good && x->query != NULL && is_flush(x->query)) {
        int db = flush_db(x->query);
        unstage(r);
        r->staged_flush_db = r->was_flushed && r->staged_flush_db != db ? -1 : db;
        r->was_flushed = true;
        r->staged_flush = true;
    }
    mem_free(w.dbs);
    if (good && x->reread)
        fill_reads(r, x);
    if (!good)
        snprintf(x->error, sizeof(x->error), "%s", x->query->error);
    xact_soon(r, good ? STORE_OK : STORE_REFUSED);
}

static void end_xact(struct router *r, enum store_result result)
{
    struct store_xact *x = r->xact;
    unstage(r);
    r->was_flushed = false;
    r->xact = NULL;
    r->xact_due = false;
    r->xact_position = 0;
    x->result = result;
    x->done(x);
    router_answer_soon(r);
}

static void describe_staged(struct router *r, const struct staged *s, int64_t version,
                            struct journal_item *it)
{
    *it = (struct journal_item){.db = s->entry->db, .key = entry_key(s->entry), .version = version,
                                .expires_us = s->expires_us};
    dirty_base_of(r, s->entry, router_now_us(r), it);
    if (r->was_flushed && (r->staged_flush_db < 0 || r->staged_flush_db == it->db)) {
        it->base = BASE_ABSENT;
        it->base_version = 0;
    }
    it->live = s->value != NULL;
    if (!it->live)
        return;
    dirty_base_if_removed(s->removed, it);
    it->type = s->value->type;
    it->value = value_bytes(s->value);
    it->value_version = version;
}

/* One after the other: a FLUSH in it, what was written since then, each as a record of its own if both
 * are there. */
static bool journal_xact(struct router *r)
{
    size_t n = 0;
    LIST_EACH(it, &r->staged)
    n++;
    if (r->was_flushed) {
        struct journal_record rec = {.kind = JOURNAL_FLUSH, .db = r->staged_flush_db,
                                     .stamp = router_mint(r, 1)};
        r->flush_stamp = rec.stamp;
        r->xact_position = journaling_append(r, &rec);
        if (r->xact_position == 0)
            return false;
    }
    if (n == 0)
        return true;
    struct journal_item *items = mem_alloc(n * sizeof(*items));
    int64_t stamp = router_mint(r, n);
    size_t i = 0;
    LIST_EACH(it, &r->staged)
    {
        struct staged *s = LIST_ITEM(it, struct staged, node);
        s->version = stamp + ((int64_t)i << 10);
        if (s->entry->version >= s->version)
            s->version = (((s->entry->version >> 10) + 1) << 10) | (stamp & 1023);
        describe_staged(r, s, s->version, &items[i++]);
    }
    struct journal_record rec = {.kind = JOURNAL_WRITE, .items = items, .nitems = n};
    r->xact_position = journaling_append(r, &rec);
    mem_free(items);
    return r->xact_position != 0;
}

/* The entries take what was staged; the engine forgets them afterwards, unless they are dirty. */
static void apply_xact(struct router *r)
{
    struct dirty *first = NULL;
    if (r->was_flushed) {
        router_apply_flush(r, r->staged_flush_db);
        router_note_flush(r, r->staged_flush_db, r->flush_stamp);
    }
    LIST_EACH(at, &r->staged)
    {
        const struct staged *s = LIST_ITEM(at, const struct staged, node);
        struct journal_item it;
        describe_staged(r, s, s->version, &it);
        struct dirty *d = dirty_note(r, s->entry, &it);
        if (s->value != NULL)
            entry_set_live(r->keyspace, s->entry, value_ref(s->value), s->version, s->version,
                           s->expires_us);
        else
            entry_set_absent(r->keyspace, s->entry, s->version);
        if (first != NULL)
            dirty_unite(first, d);
        first = d;
    }
}

void local_xact_end(struct router *r, struct store_xact *x)
{
    if (x->rollback) {
        xact_soon(r, STORE_LOST); /* nothing of it is applied */
        return;
    }
    if (refuse_xact(r, x))
        return;
    stage(r, x);
    r->xact_ending = true;
    if (journal_xact(r)) {
        if (r->xact_position == 0 || r->xact_position <= r->durable)
            xact_soon(r, STORE_OK);
        return;
    }
    journaling_error(r, x->error, sizeof(x->error));
    xact_soon(r, STORE_FAILED);
}

void local_xact_answer(struct router *r)
{
    if (r->xact == NULL || !r->xact_due)
        return;
    r->xact_due = false;
    bool ending = r->xact_ending || r->xact->result != STORE_OK;
    r->xact_ending = false;
    if (!ending) {
        r->xact->done(r->xact);
        return;
    }
    if (r->xact->result == STORE_OK)
        apply_xact(r);
    end_xact(r, r->xact->result);
}

void local_query_durable(struct router *r)
{
    if (r->flushing != NULL && r->flush_position <= r->durable)
        end_flush(r);
    if (r->xact != NULL && r->xact_ending && !r->xact_due && r->xact_position <= r->durable) {
        r->xact->result = STORE_OK; /* at once: a snapshot of the journal may begin in this turn */
        r->xact_due = true;
        local_xact_answer(r);
    }
    if (r->queries != NULL)
        router_answer_soon(r);
}

void local_query_failed(struct router *r)
{
    struct store_query *q = r->flushing;
    r->flushing = NULL;
    if (q != NULL)
        fail_flush(r, q);
    if (r->xact != NULL && r->xact_ending && !r->xact_due) {
        journaling_error(r, r->xact->error, sizeof(r->xact->error));
        xact_soon(r, STORE_FAILED);
    }
}

bool local_flush_waits(const struct router *r)
{
    return r->queries != NULL && is_flush(r->queries);
}

void local_free(struct router *r)
{
    unstage(r);
}
