#include "memory_rows.h"

#include <stdlib.h>

#include "base/mem.h"

static void row_release(struct memory_row *r)
{
    buf_release(&r->key);
    value_unref(r->value);
}

void memory_rows_init(struct memory_rows *m)
{
    *m = (struct memory_rows){.next_id = 1};
    memory_rows_flush(m, 0, MEMORY_DATABASES - 1);
}

void memory_rows_release(struct memory_rows *m)
{
    for (size_t i = 0; i < m->n; i++)
        row_release(&m->rows[i]);
    mem_free(m->rows);
}

void memory_rows_copy(struct memory_rows *to, const struct memory_rows *from)
{
    *to = *from;
    to->rows = mem_alloc((from->n + 1) * sizeof(*to->rows));
    for (size_t i = 0; i < from->n; i++) {
        struct memory_row *r = &to->rows[i];
        *r = from->rows[i];
        buf_init(&r->key);
        buf_append_bytes(&r->key, buf_bytes(&from->rows[i].key));
        if (r->value != NULL)
            value_ref(r->value);
    }
}

struct memory_row *memory_rows_find(const struct memory_rows *m, int db, struct bytes key)
{
    CHECK(db >= 0 && db < MEMORY_DATABASES);
    for (size_t i = 0; i < m->n; i++) {
        if (m->rows[i].space == m->spaces[db] && bytes_eq(buf_bytes(&m->rows[i].key), key))
            return &m->rows[i];
    }
    return NULL;
}

struct memory_row *memory_rows_make(struct memory_rows *m, int db, struct bytes key)
{
    struct memory_row *r = memory_rows_find(m, db, key);
    if (r != NULL)
        return r;
    m->rows = mem_realloc(m->rows, (m->n + 1) * sizeof(*m->rows));
    r = &m->rows[m->n++];
    *r = (struct memory_row){.space = m->spaces[db], .id = m->next_id++, .expires_us = STORE_NEVER};
    buf_init(&r->key);
    buf_append_bytes(&r->key, key);
    return r;
}

void memory_rows_remove(struct memory_rows *m, struct memory_row *r)
{
    row_release(r);
    *r = m->rows[--m->n];
}

bool memory_row_is_live(const struct memory_row *r, int64_t now_us)
{
    return r != NULL && r->value != NULL && r->expires_us > now_us;
}

bool memory_row_is_untold(const struct memory_row *r, int64_t now_us)
{
    return r != NULL && r->value != NULL && r->expires_us <= now_us && !r->told;
}

/* Above what it replaces, in the writer's slot. */
static int64_t next_version(int64_t stamp, const struct memory_row *r)
{
    int64_t slot = stamp & ((1 << STAMP_SLOT_BITS) - 1);
    int64_t above = ((r->version >> STAMP_SLOT_BITS) + 1) << STAMP_SLOT_BITS | slot;
    return stamp > above ? stamp : above;
}

static int64_t expiry_us(struct expiry e, int64_t now_us)
{
    return e.kind == EXPIRY_NONE ? STORE_NEVER : e.kind == EXPIRY_AT ? e.us : now_us + e.us;
}

struct memory_row *memory_rows_apply(struct memory_rows *m, const struct commit_item *it,
                                     int64_t stamp, int64_t now_us)
{
    struct memory_row *r = memory_rows_make(m, it->db, it->key);
    r->version = next_version(stamp, r);
    r->told = false;
    r->expires_us = expiry_us(it->expiry, now_us);
    if (it->op == COMMIT_WRITE) {
        value_unref(r->value);
        r->revoked &= it->value != NULL && it->expect == EXPECT_ANY && !it->saw_absent;
        r->value = it->value != NULL && !r->revoked ? value_ref(it->value) : NULL;
        r->value_version = r->version;
    }
    return r;
}

void memory_rows_flush(struct memory_rows *m, int db, int db2)
{
    for (int i = db; i <= db2 && i < MEMORY_DATABASES; i++)
        m->spaces[i] = m->next_space++;
}

void memory_rows_swap(struct memory_rows *m, int db, int db2)
{
    int space = m->spaces[db];
    m->spaces[db] = m->spaces[db2];
    m->spaces[db2] = space;
}

/* ---- queries ---- */

static int by_id(const void *a, const void *b)
{
    const struct memory_row *x = *(const struct memory_row *const *)a;
    const struct memory_row *y = *(const struct memory_row *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

static void scan(const struct memory_rows *m, struct store_query *q, int64_t now_us)
{
    const struct memory_row **rows = mem_alloc((m->n + 1) * sizeof(struct memory_row *));
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (m->rows[i].space == m->spaces[q->db] && m->rows[i].id > q->cursor)
            rows[n++] = &m->rows[i];
    }
    qsort(rows, n, sizeof(struct memory_row *), by_id);
    for (size_t i = 0; i < n && i < (size_t)q->limit; i++) {
        bool live = memory_row_is_live(rows[i], now_us);
        q->row(q, rows[i]->id, buf_bytes(&rows[i]->key), live, VALUE_STRING);
        q->cursor = rows[i]->id;
    }
    if (n < (size_t)q->limit)
        q->cursor = 0;
    mem_free(rows);
}

static void count(const struct memory_rows *m, struct store_query *q, int64_t now_us)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct memory_row *r = &m->rows[i];
        struct bytes key = buf_bytes(&r->key);
        if (r->space != m->spaces[q->db] || !memory_row_is_live(r, now_us))
            continue;
        q->count++;
        bool fits =
            key.len >= q->prefix.len && bytes_eq(bytes_of(key.data, q->prefix.len), q->prefix);
        if (q->kind == QUERY_KEYS && fits)
            q->row(q, 0, key, true, VALUE_STRING);
    }
}

/* Some key that a test can foretell. */
static void first(const struct memory_rows *m, struct store_query *q, int64_t now_us)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct memory_row *r = &m->rows[i];
        if (r->space == m->spaces[q->db] && memory_row_is_live(r, now_us)) {
            q->row(q, 0, buf_bytes(&r->key), true, VALUE_STRING);
            return;
        }
    }
}

static void keyspace(const struct memory_rows *m, struct store_query *q, int64_t now_us)
{
    q->keyspace = mem_zalloc(MEMORY_DATABASES * sizeof(*q->keyspace));
    q->keyspace_len = 0;
    for (int db = 0; db < MEMORY_DATABASES; db++) {
        struct store_keyspace k = {.db = db};
        for (size_t i = 0; i < m->n; i++) {
            if (m->rows[i].space != m->spaces[db] || !memory_row_is_live(&m->rows[i], now_us))
                continue;
            k.keys++;
            k.expires += m->rows[i].expires_us != STORE_NEVER;
        }
        if (k.keys > 0)
            q->keyspace[q->keyspace_len++] = k;
    }
}

static void expire(struct memory_rows *m, struct store_query *q, int64_t now_us)
{
    for (int db = 0; db < MEMORY_DATABASES; db++) {
        for (size_t i = 0; i < m->n && q->count < q->limit; i++) {
            struct memory_row *r = &m->rows[i];
            if (r->space != m->spaces[db] || !memory_row_is_untold(r, now_us))
                continue;
            r->told = true;
            q->count++;
            q->db = db;
            q->row(q, 0, buf_bytes(&r->key), false, VALUE_STRING);
        }
    }
}

void memory_rows_query(struct memory_rows *m, struct store_query *q, int64_t now_us)
{
    switch (q->kind) {
    case QUERY_SCAN:
        scan(m, q, now_us);
        break;
    case QUERY_KEYS:
    case QUERY_DBSIZE:
        count(m, q, now_us);
        break;
    case QUERY_RANDOM:
        first(m, q, now_us);
        break;
    case QUERY_KEYSPACE:
        keyspace(m, q, now_us);
        break;
    case QUERY_FLUSH:
        memory_rows_flush(m, q->db, q->db2);
        break;
    case QUERY_SWAP:
        memory_rows_swap(m, q->db, q->db2);
        break;
    case QUERY_SCRIPT_SAVE:
    case QUERY_SCRIPT_FIND:
    case QUERY_SCRIPT_EXISTS:
    case QUERY_SCRIPT_FLUSH:
    case QUERY_SCRIPT_FLUSHES:
        break; /* it knows no scripts */
    case QUERY_EXPIRE:
        expire(m, q, now_us);
        break;
    case QUERY_FIND_LOCKED:
    case QUERY_TRY_LOCK:
        check_failed("a query of the rows alone", __FILE__, __LINE__);
    }
}
