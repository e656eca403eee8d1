/* query: whole-keyspace queries and housekeeping, one at a time on the query link.
 *
 * A query that changes something (FLUSH, SWAPDB) and whose connection goes has an unknown outcome:
 * it ends with STORE_LOST, it is never sent twice. */
#include "store/postgres/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    QUERY_TIMEOUT_US = 60 * 1000 * 1000,
    HEARTBEAT_US = 5 * 1000 * 1000,
    TICK_US = 1000 * 1000,
    SWEEP_ROWS = 500,
    SWEEP_PAUSE_US = 20 * 1000,
    PURGE_AFTER_S = 60, /* longer than any statement that may still look at the row */
};

/* ---- queries ---- */

static void on_query(void *arg, struct lane *l, PGresult **results, int n);

/* The least bytes above everything with this prefix; empty if there are none. */
static void prefix_end(struct buf *out, struct bytes prefix)
{
    size_t n = prefix.len;
    while (n > 0 && (unsigned char)prefix.data[n - 1] == 0xff)
        n--;
    buf_append(out, prefix.data, n);
    if (n > 0)
        out->data[n - 1]++;
}

static enum statement_id add_keys(struct params *p, const struct store_query *q)
{
    struct buf end;
    buf_init(&end);
    prefix_end(&end, q->prefix);
    params_int4(p, q->db);
    params_bytea(p, q->prefix);
    if (end.len > 0)
        params_bytea(p, buf_bytes(&end));
    else
        params_null(p);
    buf_release(&end);
    return STMT_KEYS;
}

static void add_keys_of_items(struct params *p, const struct store_query *q)
{
    int db = params_array(p, OID_INT4);
    int key = params_array(p, OID_BYTEA);
    for (size_t i = 0; i < q->n; i++) {
        params_add_int4(p, db, q->items[i].db);
        params_add_bytea(p, key, q->items[i].key);
    }
}

/* Text and bytea, from their frames. */
static void add_scripts(struct params *p, struct bytes frames)
{
    int sha = params_array(p, OID_TEXT);
    int body = params_array(p, OID_BYTEA);
    while (frames.len > 0) {
        uint64_t len;
        CHECK(frames.len >= STORE_SHA_LEN + sizeof(len));
        memcpy(&len, frames.data + STORE_SHA_LEN, sizeof(len));
        const char *bytes = frames.data + STORE_SHA_LEN + sizeof(len);
        CHECK(len <= frames.len - STORE_SHA_LEN - sizeof(len));
        params_add_bytea(p, sha, bytes_of(frames.data, STORE_SHA_LEN));
        params_add_bytea(p, body, bytes_of(bytes, (size_t)len));
        frames = bytes_of(bytes + len, frames.len - STORE_SHA_LEN - sizeof(len) - (size_t)len);
    }
}

static void add_shas(struct params *p, struct bytes shas)
{
    int sha = params_array(p, OID_TEXT);
    for (size_t at = 0; at < shas.len; at += STORE_SHA_LEN)
        params_add_bytea(p, sha, bytes_of(shas.data + at, STORE_SHA_LEN));
}

static enum statement_id add_script_params(struct params *p, const struct store_query *q)
{
    char sha[STORE_SHA_LEN + 1] = "";
    switch (q->kind) {
    case QUERY_SCRIPT_SAVE:
        add_scripts(p, q->prefix);
        return STMT_SCRIPT_SAVE;
    case QUERY_SCRIPT_FIND:
        memcpy(sha, q->prefix.data, STORE_SHA_LEN);
        params_text(p, sha);
        return STMT_SCRIPT_FIND;
    case QUERY_SCRIPT_EXISTS:
        add_shas(p, q->prefix);
        return STMT_SCRIPT_EXISTS;
    case QUERY_SCRIPT_FLUSH:
        return STMT_SCRIPT_FLUSH;
    default:
        return STMT_SCRIPT_FLUSHES;
    }
}

/* Until when, on PostgreSQL's clock, a look for what has expired may begin: no other instance can
 * have taken PostgreSQL for away by then, and be keeping a key alive in its journal. Not at all
 * before this connection has told its clock. */
static int64_t look_until_us(const struct pg_store *s)
{
    return s->look_clock_known ? clock_mono_us() + s->look_offset_us + store_timeout_us(s) / 2 : 0;
}

enum statement_id query_add_params(struct pg_store *s, struct params *p,
                                   const struct store_query *q)
{
    switch (q->kind) {
    case QUERY_SCAN:
        params_int4(p, q->db);
        params_int8(p, q->cursor);
        params_int8(p, q->limit);
        return q->newest_first ? STMT_SCAN_DOWN : STMT_SCAN;
    case QUERY_KEYS:
        return add_keys(p, q);
    case QUERY_RANDOM:
        params_int4(p, q->db);
        return STMT_RANDOM;
    case QUERY_DBSIZE:
        params_int4(p, q->db);
        return STMT_DBSIZE;
    case QUERY_KEYSPACE:
        return STMT_KEYSPACE;
    case QUERY_FLUSH:
    case QUERY_SWAP:
        params_text(p, s->config->pg_schema);
        params_int4(p, q->db);
        params_int4(p, q->db2);
        return q->kind == QUERY_FLUSH ? STMT_FLUSH : STMT_SWAP;
    case QUERY_EXPIRE:
        params_int8(p, q->limit);
        params_int8(p, look_until_us(s));
        return STMT_EXPIRE;
    case QUERY_FIND_LOCKED:
        add_keys_of_items(p, q);
        return STMT_FIND_LOCKED;
    case QUERY_TRY_LOCK:
        add_keys_of_items(p, q);
        return STMT_TRY_LOCK;
    case QUERY_SCRIPT_SAVE:
    case QUERY_SCRIPT_FIND:
    case QUERY_SCRIPT_EXISTS:
    case QUERY_SCRIPT_FLUSH:
    case QUERY_SCRIPT_FLUSHES:
        return add_script_params(p, q);
    }
    check_failed("query kind", __FILE__, __LINE__);
}

void query_enqueue(struct pg_store *s, struct store_query *q)
{
    q->next = NULL;
    q->result = STORE_LOST;
    q->error[0] = '\0';
    q->count = 0;
    q->keyspace = NULL;
    *s->queries_tail = q;
    s->queries_tail = &q->next;
    query_pump(s);
}

static struct store_query *pop(struct pg_store *s)
{
    struct store_query *q = s->queries;
    CHECK(q != NULL);
    s->queries = q->next;
    if (s->queries == NULL)
        s->queries_tail = &s->queries;
    return q;
}

/* A prepared statement is gone, or its result type has changed: a new connection prepares anew. */
static bool is_about_plans(const PGresult *error)
{
    const char *code = lane_sqlstate(error);
    return strcmp(code, "26000") == 0 || strcmp(code, "0A000") == 0;
}

static void lose_plans(struct link *k)
{
    struct pg_store *s = k->store;
    struct store_query *queries = s->queries;
    struct store_query **tail = s->queries_tail;
    s->queries = NULL;
    s->queries_tail = &s->queries;
    link_lost(k, "prepared statements are gone");
    if (queries != NULL) {
        s->queries = queries;
        s->queries_tail = tail;
    }
}

void query_fail_all(struct pg_store *s, const char *why)
{
    struct store_query *q = s->queries;
    s->queries = NULL;
    s->queries_tail = &s->queries;
    s->look_clock_known = false;
    while (q != NULL) {
        struct store_query *next = q->next;
        q->result = STORE_LOST;
        snprintf(q->error, sizeof(q->error), "%s", why);
        q->done(q);
        q = next;
    }
}

static void take_scan(struct store_query *q, const PGresult *r)
{
    int rows = PQntuples(r);
    for (int i = 0; i < rows; i++) {
        int64_t id = pg_int8(PQgetvalue(r, i, 0));
        bool live = !PQgetisnull(r, i, 1);
        struct bytes key = bytes_of(PQgetvalue(r, i, 1), (size_t)PQgetlength(r, i, 1));
        q->row(q, id, key, live, (uint8_t)pg_int2(PQgetvalue(r, i, 2)));
        q->cursor = id;
    }
    if (rows < q->limit)
        q->cursor = 0;
}

static void take_keyspace(struct store_query *q, const PGresult *r)
{
    q->keyspace_len = (size_t)PQntuples(r);
    q->keyspace = mem_zalloc((q->keyspace_len + 1) * sizeof(*q->keyspace));
    for (int i = 0; i < PQntuples(r); i++) {
        q->keyspace[i] = (struct store_keyspace){
            pg_int4(PQgetvalue(r, i, 0)), pg_int8(PQgetvalue(r, i, 1)),
            pg_int8(PQgetvalue(r, i, 2)), pg_int8(PQgetvalue(r, i, 3))};
    }
}

/* Rows of this kind come with their database; the first is empty where there is none. */
static void take_expired(struct store_query *q, const PGresult *r)
{
    for (int i = 0; i < PQntuples(r) && !PQgetisnull(r, i, 1); i++) {
        q->count++;
        q->db = pg_int4(PQgetvalue(r, i, 0));
        q->row(q, 0, bytes_of(PQgetvalue(r, i, 1), (size_t)PQgetlength(r, i, 1)), false, 0);
    }
}

void query_take_rows(struct store_query *q, const PGresult *r)
{
    switch (q->kind) {
    case QUERY_SCAN:
        take_scan(q, r);
        break;
    case QUERY_KEYS:
    case QUERY_RANDOM:
    case QUERY_SCRIPT_FIND:
    case QUERY_SCRIPT_EXISTS:
        for (int i = 0; i < PQntuples(r); i++)
            q->row(q, 0, bytes_of(PQgetvalue(r, i, 0), (size_t)PQgetlength(r, i, 0)), true, 0);
        break;
    case QUERY_KEYSPACE:
        take_keyspace(q, r);
        break;
    case QUERY_EXPIRE:
        take_expired(q, r);
        break;
    case QUERY_FIND_LOCKED:
        for (int i = 0; i < PQntuples(r); i++)
            q->row(q, pg_int8(PQgetvalue(r, i, 0)) - 1, bytes_of("", 0), false, 0);
        break;
    case QUERY_TRY_LOCK:
    case QUERY_SCRIPT_SAVE:
        break;
    case QUERY_SCRIPT_FLUSH:
    case QUERY_SCRIPT_FLUSHES:
    case QUERY_DBSIZE:
    case QUERY_FLUSH:
    case QUERY_SWAP:
        q->count = pg_int8(PQgetvalue(r, 0, 0));
        break;
    }
}

/* The clock as of the last row is that of the moment before the answer was sent. */
static void note_look(struct pg_store *s, struct store_query *q, const PGresult *r)
{
    int last = PQntuples(r) - 1;
    s->look_offset_us = pg_int8(PQgetvalue(r, last, 2)) - clock_mono_us();
    s->look_clock_known = true;
    if (PQgetvalue(r, last, 3)[0] == 0) { /* a boolean, binary */
        q->result = STORE_LOST;
        snprintf(q->error, sizeof(q->error), "PostgreSQL did not look in time");
    }
}

static void on_query(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    struct pg_store *s = k->store;
    (void)l;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL && is_about_plans(error)) {
        lose_plans(k); /* the query stays at the head and is sent again: it was not carried out */
        return;
    }
    struct store_query *q = pop(s);
    if (error == NULL) {
        q->result = STORE_OK;
        query_take_rows(q, results[n - 1]);
        if (q->kind == QUERY_EXPIRE)
            note_look(s, q, results[n - 1]);
    } else {
        const char *code = lane_sqlstate(error);
        (void)breaker_cannot_write(k, error);
        bool locked = strcmp(code, "55P03") == 0 ||
                      (q->kind == QUERY_TRY_LOCK && strcmp(code, "57014") == 0);
        q->result = locked ? STORE_LOCKED : STORE_REFUSED;
        lane_error_text(error, q->error, sizeof(q->error));
    }
    struct store_keyspace *keyspace = q->keyspace;
    q->done(q);
    mem_free(keyspace);
    query_pump(s);
}

void query_release_rows(struct store_query *q)
{
    mem_free(q->keyspace);
    q->keyspace = NULL;
}

/* ---- housekeeping ---- */

static void on_released(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    (void)results;
    (void)n;
    k->store->slot_released = true;
}

static void take_fleet(struct pg_store *s, const PGresult *r)
{
    buf_reset(&s->fleet, 0);
    buf_printf(&s->fleet, "postgres_instances:%d\r\n", PQntuples(r));
    for (int i = 0; i < PQntuples(r); i++)
        buf_printf(&s->fleet,
                   "postgres_instance-%s:name=%s,host=%s,pid=%s,version=%s,reads=%s,seen_ms_ago=%s\r\n",
                   PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 2),
                   PQgetvalue(r, i, 3), PQgetvalue(r, i, 4), PQgetvalue(r, i, 5),
                   PQgetvalue(r, i, 6));
}

static void on_heartbeat(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL) {
        char why[160];
        lane_error_text(error, why, sizeof(why));
        link_lost(k, why);
    } else if (strcmp(PQcmdTuples(results[0]), "0") == 0) {
        slot_lost(k->store);
    } else {
        k->store->fleet_events = (unsigned)strtoul(first_text(results[n - 2], 0), NULL, 10);
        take_fleet(k->store, results[n - 1]);
        query_pump(k->store);
    }
}

static void on_swept(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    struct pg_store *s = k->store;
    (void)l;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL && is_about_plans(error)) {
        lose_plans(k);
        return;
    }
    if (error != NULL) {
        char why[160];
        char quoted[LOG_QUOTE_SIZE];
        lane_error_text(error, why, sizeof(why));
        log_event(LOG_NOTICE, "sweep-failed", "why=%s", log_quote(why, quoted));
    } else {
        const PGresult *due = results[0];
        const PGresult *abandoned = results[1];
        int64_t rows = pg_int8(PQgetvalue(due, 0, 1));
        int64_t gone = pg_int8(PQgetvalue(due, 0, 2)) + pg_int8(PQgetvalue(abandoned, 0, 1));
        s->swept += (uint64_t)gone;
        s->oldest_xmin_age = pg_int8(PQgetvalue(results[2], 0, 0));
        s->table_bytes = pg_int8(PQgetvalue(results[3], 0, 0));
        s->fleet_events = (unsigned)pg_int4(PQgetvalue(results[4], 0, 0));
        /* More is waiting: go on soon, but leave room for the others in between. */
        int64_t messages = pg_int8(PQgetvalue(results[5], 0, 0));
        bool more = rows == SWEEP_ROWS || pg_int8(PQgetvalue(abandoned, 0, 1)) == SWEEP_ROWS ||
                    messages == SWEEP_ROWS;
        if (more && !s->stopping) {
            s->sweep_again = true;
            timer_set(s->housekeeping, SWEEP_PAUSE_US);
        }
    }
    query_pump(s);
}

static void on_sequence(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    const PGresult *error = lane_first_error(results, n);
    char why[160] = "";
    char quoted[LOG_QUOTE_SIZE];
    if (error != NULL)
        lane_error_text(error, why, sizeof(why));
    log_event(LOG_WARNING, "sequence-advanced", "error=%s", log_quote(why, quoted));
    query_pump(k->store);
}

static void send_query(struct link *k, enum statement_id id)
{
    struct params none;
    params_init(&none);
    link_begin(k);
    if (id == STMT_TRY_LOCK)
        link_add(k, STMT_SHORT_WAIT, &none, true);
    if (id == STMT_EXPIRE)
        link_add(k, STMT_BY_INDEX, &none, true);
    link_add(k, id, &k->params, true);
    lane_submit(k->lane, QUERY_TIMEOUT_US, on_query);
}

static void add_sweep_conflicts(struct pg_store *s, struct link *k, const char *rows)
{
    char seconds[24];
    struct params *p = &k->params;
    params_reset(p);
    params_text(p, s->config->pg_schema);
    snprintf(seconds, sizeof(seconds), "%lld", (long long)s->config->conflict_retention_s);
    params_text(p, seconds);
    snprintf(seconds, sizeof(seconds), "%lld", (long long)s->config->tombstone_retention_s);
    params_text(p, seconds);
    params_text(p, rows);
    link_add(k, STMT_SWEEP_CONFLICTS, p, true);
    params_reset(p);
    params_text(p, s->config->pg_schema);
    params_int8(p, SWEEP_ROWS);
    link_add(k, STMT_SWEEP_MESSAGES, p, true);
}

static void send_sweep(struct pg_store *s, struct link *k)
{
    char number[24];
    struct params *p = &k->params;
    link_begin(k);
    params_reset(p);
    params_text(p, s->config->pg_schema);
    snprintf(number, sizeof(number), "%d", PURGE_AFTER_S);
    params_text(p, number);
    snprintf(number, sizeof(number), "%lld", (long long)s->config->tombstone_retention_s);
    params_text(p, number);
    snprintf(number, sizeof(number), "%d", SWEEP_ROWS);
    params_text(p, number);
    link_add(k, STMT_SWEEP, p, true);
    params_reset(p);
    params_text(p, s->config->pg_schema);
    params_text(p, number);
    link_add(k, STMT_SWEEP_ABANDONED, p, true);
    params_reset(p);
    link_add(k, STMT_OLDEST_XMIN, p, true);
    link_add(k, STMT_TABLE_SIZE, p, true);
    params_int4(p, s->slot);
    link_add(k, STMT_EVENTS, p, true);
    params_reset(p);
    add_sweep_conflicts(s, k, number);
    lane_submit(k->lane, QUERY_TIMEOUT_US, on_swept);
}

static void send_identity(struct pg_store *s, struct link *k, enum statement_id id, lane_done done)
{
    link_begin(k);
    params_reset(&k->params);
    heartbeat_params(s, &k->params);
    link_add(k, id, &k->params, false);
    if (id == STMT_HEARTBEAT) {
        params_reset(&k->params);
        params_text(&k->params, lease_seconds);
        link_add(k, STMT_FORGET_CACHING, &k->params, true);
        params_reset(&k->params);
        params_int4(&k->params, s->slot);
        link_add(k, STMT_EVENTS, &k->params, false);
        s->events_told = store_own_events(s);
        params_reset(&k->params);
        link_add(k, STMT_FLEET, &k->params, false);
    }
    lane_submit(k->lane, store_timeout_us(s) * 4, done);
}

void query_pump(struct pg_store *s)
{
    struct link *k = &s->links[0];
    if (!k->usable || lane_state(k->lane) != LANE_READY)
        return;
    if (s->sequence_due) {
        s->sequence_due = false;
        link_begin(k);
        params_reset(&k->params);
        link_add(k, STMT_ADVANCE_SEQUENCE, &k->params, true);
        lane_submit(k->lane, QUERY_TIMEOUT_US, on_sequence);
    } else if (!s->stopping && handover_pump(s, k)) {
        return;
    } else if (s->heartbeat_due && !s->stopping) {
        s->heartbeat_due = false;
        send_identity(s, k, STMT_HEARTBEAT, on_heartbeat);
    } else if (s->queries != NULL) {
        params_reset(&k->params);
        enum statement_id id = query_add_params(s, &k->params, s->queries);
        send_query(k, id);
    } else if (s->stopping && !s->slot_released) {
        send_identity(s, k, STMT_RELEASE_SLOT, on_released);
    } else if (s->sweep_due && !s->stopping) {
        s->sweep_due = false;
        send_sweep(s, k);
    }
}

/* Wakes at least once a second: a long sweep-interval neither keeps the heartbeat back nor outlives
 * a shorter one that is set later. */
static void on_housekeeping(void *arg)
{
    struct pg_store *s = arg;
    int64_t now = clock_mono_us();
    int64_t interval = s->config->sweep_interval_ms * 1000;
    store_take_url(s);
    bool told = s->events_told == store_own_events(s);
    if (s->booted && (now >= s->next_heartbeat_us || !told)) {
        s->heartbeat_due = true;
        s->next_heartbeat_us = now + HEARTBEAT_US;
    }
    if (s->sweep_again || s->swept_us == 0 || now - s->swept_us >= interval) {
        s->sweep_due = true;
        s->sweep_again = false;
        s->swept_us = now;
    }
    timer_set(s->housekeeping, interval < TICK_US ? interval : TICK_US);
    query_pump(s);
}

void housekeeping_start(struct pg_store *s)
{
    s->housekeeping = timer_new(s->loop, on_housekeeping, s);
    timer_set(s->housekeeping, 1000000);
}
