/* merge: brings batches of a journal into PostgreSQL, on the bulk link, which serves large values
 * in between. What is decided stands in STMT_MERGE.
 *
 * Exactly once: a batch takes its number in the journal's row in its own transaction, and a number
 * is taken once. The row has an epoch, too, which a connection raises before its first merge:
 * whatever was sent before, by a connection or a process that is lost, cannot take a number
 * afterwards. So the number that postgres_merged finds is final. */
#include "store/postgres/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/postgres/notice.h"

static struct pg_store *self(struct store *base)
{
    return (struct pg_store *)base;
}

/* ---- answers ---- */

static void answer_batch(struct pg_store *s, enum store_result result)
{
    struct merge_batch *b = s->merging.batch;
    s->merging.batch = NULL;
    b->result = result;
    b->done(b);
}

static void answer_asked(struct pg_store *s, bool ok, int64_t number)
{
    void (*done)(void *arg, bool ok, uint64_t number) = s->merging.asked;
    s->merging.asked = NULL;
    done(s->merging.asked_arg, ok, (uint64_t)number);
}

static void on_timer(void *arg)
{
    struct pg_store *s = arg;
    if (!s->merging.failed) {
        merge_pump(s);
        return;
    }
    s->merging.failed = false;
    if (s->merging.asked != NULL)
        answer_asked(s, false, 0);
    else if (s->merging.batch != NULL)
        answer_batch(s, STORE_LOST);
}

void merge_init(struct pg_store *s)
{
    s->merging.timer = timer_new(s->loop, on_timer, s);
}

void merge_release(struct pg_store *s)
{
    timer_free(s->merging.timer);
}

/* What has not been sent yet fails, too: whoever merges tries again when it likes. */
void merge_lost(struct pg_store *s)
{
    struct merging *m = &s->merging;
    m->epoch = 0;
    m->sent = false;
    if (m->asked == NULL && m->batch == NULL)
        return;
    m->failed = true;
    timer_set(m->timer, 0);
}

/* ---- opening a journal ---- */

static void send_open(struct link *k);

static void on_terminated(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (boot_good(k, results, n, "end an earlier merge"))
        send_open(k);
}

/* Somebody merges it still: a backend whose connection is lost, and that may wait for a lock.
 * (Behind a pooler nobody knows which; it ends by statement_timeout, and who asked tries again.) */
static void end_earlier_merge(struct link *k)
{
    params_reset(&k->params);
    params_text(&k->params, k->store->merging.journal);
    link_begin(k);
    link_add(k, STMT_TERMINATE_MERGE, &k->params, true);
    lane_submit(k->lane, link_timeout_us(k), on_terminated);
}

static void on_opened(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    struct pg_store *s = k->store;
    const PGresult *error = lane_first_error(results, n);
    bool held = error != NULL && strcmp(lane_sqlstate(error), "55P03") == 0;
    if (held && s->config->pg_pooler == POOLER_NONE) {
        end_earlier_merge(k);
        return;
    }
    if (error != NULL) {
        (void)breaker_cannot_write(k, error);
        boot_failed(k, error, "open the journal");
        return;
    }
    if (lane_commit_uncertain(l)) {
        link_lost(k, "open the journal: the standby did not confirm");
        return;
    }
    s->merging.sent = false;
    s->merging.epoch = pg_int8(PQgetvalue(results[0], 0, 1));
    if (s->merging.asked != NULL)
        answer_asked(s, true, pg_int8(PQgetvalue(results[0], 0, 0)));
    merge_pump(s);
}

static void send_open(struct link *k)
{
    struct pg_store *s = k->store;
    s->merging.sent = true;
    params_reset(&k->params);
    params_text(&k->params, s->merging.journal);
    params_text(&k->params, s->config->instance_name);
    link_begin(k);
    link_add(k, STMT_OPEN_JOURNAL, &k->params, true);
    lane_submit(k->lane, link_timeout_us(k), on_opened);
}

/* ---- encoding ---- */

static int compare_items(const void *a, const void *b, void *arg)
{
    const struct merge_item *items = arg;
    const struct merge_item *x = &items[*(const int *)a];
    const struct merge_item *y = &items[*(const int *)b];
    int c = bytes_cmp(x->key, y->key);
    return c != 0 ? c : (x->db > y->db) - (x->db < y->db);
}

static void sort_items(struct link *k, const struct merge_batch *b)
{
    if (k->order_cap < b->n) {
        k->order_cap = b->n * 2;
        k->order = mem_realloc(k->order, k->order_cap * sizeof(*k->order));
    }
    for (size_t i = 0; i < b->n; i++)
        k->order[i] = (int)i;
    qsort_r(k->order, b->n, sizeof(*k->order), compare_items, b->items);
}

static void add_head(struct link *k, const struct merge_batch *b)
{
    params_reset(&k->params);
    params_int4(&k->params, k->store->slot);
    params_text(&k->params, b->journal);
    params_int8(&k->params, (int64_t)b->number);
}

static void add_number(struct link *k, const struct merge_batch *b)
{
    struct params *p = &k->params;
    params_reset(p);
    params_text(p, b->journal);
    params_int8(p, (int64_t)b->number);
    params_int8(p, k->store->merging.epoch);
    link_add(k, STMT_MERGE_NUMBER, p, true);
}

static void add_lock_keys(struct link *k, const struct merge_batch *b)
{
    struct params *p = &k->params;
    add_head(k, b);
    int db = params_array(p, OID_INT4);
    int key = params_array(p, OID_BYTEA);
    for (size_t i = 0; i < b->n; i++) {
        params_add_int4(p, db, b->items[k->order[i]].db);
        params_add_bytea(p, key, b->items[k->order[i]].key);
    }
    link_add(k, STMT_MERGE_LOCK_KEYS, p, true);
}

static void add_notice(struct link *k, const struct merge_batch *b)
{
    struct buf *text = &k->store->notice;
    notice_begin(text, k->store->slot);
    for (size_t i = 0; i < b->n; i++)
        notice_add_key(text, b->items[i].key);
    notice_end(text);
    params_text(&k->params, buf_cstr(text));
}

/* An entry holds the value on: not its bytes, too. */
static void params_add_stored(struct params *p, int array, const struct value *v)
{
    params_add_bytea(p, array, value_bytes(v));
    value_drop_bytes(v);
}

static void add_what_was_written(struct link *k, const struct merge_batch *b)
{
    struct params *p = &k->params;
    int db = params_array(p, OID_INT4);
    int key = params_array(p, OID_BYTEA);
    int type = params_array(p, OID_INT2);
    int value = params_array(p, OID_BYTEA);
    int version = params_array(p, OID_INT8);
    int value_version = params_array(p, OID_INT8);
    int expiry = params_array(p, OID_INTERVAL);
    for (size_t i = 0; i < b->n; i++) {
        const struct merge_item *it = &b->items[k->order[i]];
        params_add_int4(p, db, it->db);
        params_add_bytea(p, key, it->key);
        params_add_int2(p, type, it->value != NULL ? it->value->type : 0);
        if (it->value != NULL)
            params_add_stored(p, value, it->value);
        else
            params_add_null(p, value);
        params_add_int8(p, version, it->version);
        params_add_int8(p, value_version, it->value_version);
        if (it->value != NULL && it->expires_us != STORE_NEVER)
            params_add_interval(p, expiry, it->expires_us);
        else
            params_add_null(p, expiry);
    }
}

static void add_what_it_was_based_on(struct link *k, const struct merge_batch *b)
{
    struct params *p = &k->params;
    int base = params_array(p, OID_INT4);
    int base_version = params_array(p, OID_INT8);
    int maybe = params_array(p, OID_INT8);
    int group = params_array(p, OID_INT4);
    for (size_t i = 0; i < b->n; i++) {
        const struct merge_item *it = &b->items[k->order[i]];
        params_add_int4(p, base, (int32_t)it->base);
        params_add_int8(p, base_version, it->base_version);
        params_add_int8(p, maybe, it->maybe_version);
        params_add_int4(p, group, it->group);
    }
}

/* As for a commit: what the values say. */
static void add_docs(struct link *k, const struct merge_batch *b)
{
    struct commit_batch as_commit = {.n = b->n};
    as_commit.items = mem_zalloc((b->n + 1) * sizeof(*as_commit.items));
    for (size_t i = 0; i < b->n; i++)
        as_commit.items[i] = (struct commit_item){.op = COMMIT_WRITE, .db = b->items[i].db,
                                                  .key = b->items[i].key, .value = b->items[i].value};
    k->docs_sent = docs_add(&k->store->docs, &k->params, &as_commit, k->order, k->without_docs);
    k->without_docs = false;
    mem_free(as_commit.items);
}

static void add_spaces(struct link *k, enum statement_id id)
{
    params_reset(&k->params);
    params_text(&k->params, k->store->config->pg_schema);
    link_add(k, id, &k->params, true);
}

static void add_items(struct link *k, const struct merge_batch *b)
{
    char seconds[24];
    sort_items(k, b);
    add_spaces(k, STMT_SHARE_SPACES);
    add_number(k, b);
    add_lock_keys(k, b);
    add_head(k, b);
    params_text(&k->params, b->instance);
    snprintf(seconds, sizeof(seconds), "%lld", (long long)k->store->config->tombstone_retention_s);
    params_text(&k->params, seconds);
    add_notice(k, b);
    add_what_was_written(k, b);
    add_what_it_was_based_on(k, b);
    add_docs(k, b);
    link_add(k, STMT_MERGE, &k->params, true);
}

static void add_flush(struct link *k, const struct merge_batch *b)
{
    add_spaces(k, STMT_OWN_SPACES);
    add_number(k, b);
    params_reset(&k->params);
    link_add(k, STMT_MERGE_LOCK_TABLE, &k->params, true);
    add_head(k, b);
    params_int4(&k->params, b->flush->db);
    params_int8(&k->params, b->flush->before);
    link_add(k, STMT_MERGE_FLUSH, &k->params, true);
}

/* ---- outcome ---- */

static void count(struct merging *m, const struct merge_item *it)
{
    m->applied += it->outcome == MERGE_APPLIED;
    m->same += it->outcome == MERGE_SAME;
    m->lost += it->outcome == MERGE_LOST;
    m->dropped += it->outcome == MERGE_DROPPED;
}

static enum merge_outcome outcome_of(char letter)
{
    switch (letter) {
    case 'A':
        return MERGE_APPLIED;
    case 'L':
        return MERGE_LOST;
    case 'D':
        return MERGE_DROPPED;
    default:
        return MERGE_SAME;
    }
}

static void take_outcomes(struct link *k, struct merge_batch *b, const PGresult *r)
{
    struct pg_store *s = k->store;
    CHECK((size_t)PQntuples(r) == b->n);
    for (int row = 0; row < PQntuples(r); row++) {
        int64_t n = pg_int8(PQgetvalue(r, row, 0));
        CHECK(n >= 1 && (size_t)n <= b->n);
        struct merge_item *it = &b->items[k->order[n - 1]];
        it->outcome = outcome_of(PQgetvalue(r, row, 1)[0]);
        it->row_version = pg_int8(PQgetvalue(r, row, 2));
        b->replaced += PQgetvalue(r, row, 3)[0] != 0;
        count(&s->merging, it);
        if (PQgetvalue(r, row, 4)[0] != 0 && s->notices != NULL)
            s->notices->expired(s->notices_arg, it->db, it->key);
        if (it->outcome == MERGE_APPLIED && it->row_version > s->last_stamp)
            s->last_stamp = it->row_version;
    }
    s->merging.replaced += (uint64_t)b->replaced;
}

/* The number was not taken: it had been before, or we are fenced. */
static void not_taken(struct link *k, struct merge_batch *b, const PGresult *r)
{
    bool known = PQntuples(r) == 1;
    if (!known || pg_int8(PQgetvalue(r, 0, 2)) != k->store->merging.epoch ||
        pg_int8(PQgetvalue(r, 0, 1)) < (int64_t)b->number) {
        link_lost(k, "somebody else merges this journal");
        return;
    }
    for (size_t i = 0; i < b->n; i++) {
        b->items[i].outcome = MERGE_SAME;
        b->items[i].row_version = 0;
    }
    answer_batch(k->store, STORE_OK);
}

static void on_merged(void *arg, struct lane *l, PGresult **results, int n)
{
    enum { RESULT_NUMBER = 1, RESULT_ITEMS = 3 };
    struct link *k = arg;
    struct pg_store *s = k->store;
    struct merge_batch *b = s->merging.batch;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL) {
        lane_error_text(error, b->error, sizeof(b->error));
        enum store_result result = batch_judge(k, error);
        if (result == STORE_LOST) {
            link_lost(k, b->error);
            return;
        }
        s->merging.sent = false;
        if (result == STORE_REFUSED && b->n == 1 && batch_drop_docs(k, lane_sqlstate(error)))
            merge_pump(s);
        else
            answer_batch(s, result);
    } else if (lane_commit_uncertain(l)) {
        link_lost(k, "merge: the standby did not confirm");
        return;
    } else {
        s->merging.sent = false;
        if (pg_int8(PQgetvalue(results[RESULT_NUMBER], 0, 0)) == 0) {
            not_taken(k, b, results[RESULT_NUMBER]);
        } else {
            if (b->flush == NULL)
                take_outcomes(k, b, results[RESULT_ITEMS]);
            answer_batch(s, STORE_OK);
        }
    }
    vacuum_pump(s);
}

static void send_batch(struct link *k)
{
    struct pg_store *s = k->store;
    struct merge_batch *b = s->merging.batch;
    s->merging.sent = true;
    link_begin(k);
    if (b->flush != NULL)
        add_flush(k, b);
    else
        add_items(k, b);
    lane_submit(k->lane, link_timeout_us(k), on_merged);
}

/* ---- asking ---- */

void merge_pump(struct pg_store *s)
{
    struct merging *m = &s->merging;
    struct link *k = store_bulk_link(s);
    if (m->sent || m->failed || (m->asked == NULL && m->batch == NULL))
        return;
    if (!k->wanted) {
        k->wanted = true;
        timer_set(k->retry, 0);
        return;
    }
    if (!k->usable || k->committing != NULL || k->xact != NULL || lane_state(k->lane) != LANE_READY)
        return;
    bool other = m->asked == NULL && strcmp(m->journal, m->batch->journal) != 0;
    if (other)
        snprintf(m->journal, sizeof(m->journal), "%s", m->batch->journal);
    if (other || m->asked != NULL || m->epoch == 0)
        send_open(k);
    else
        send_batch(k);
}

/* From the next turn on: so the engine's large values come in between. */
static void pump_later(struct pg_store *s)
{
    timer_set(s->merging.timer, 0);
}

void postgres_merge(struct store *base, struct merge_batch *b)
{
    struct pg_store *s = self(base);
    CHECK(s->merging.batch == NULL && s->merging.asked == NULL);
    CHECK(strlen(b->journal) < sizeof(s->merging.journal));
    b->replaced = 0;
    b->error[0] = '\0';
    s->merging.batch = b;
    pump_later(s);
}

void postgres_merged(struct store *base, const char *journal,
                     void (*done)(void *arg, bool ok, uint64_t number), void *arg)
{
    struct pg_store *s = self(base);
    CHECK(s->merging.batch == NULL && s->merging.asked == NULL);
    CHECK(strlen(journal) < sizeof(s->merging.journal));
    snprintf(s->merging.journal, sizeof(s->merging.journal), "%s", journal);
    s->merging.asked = done;
    s->merging.asked_arg = arg;
    pump_later(s);
}

void merge_info(const struct pg_store *s, struct buf *out)
{
    const struct merging *m = &s->merging;
    buf_printf(out, "postgres_merged_applied:%llu\r\npostgres_merged_same:%llu\r\n",
               (unsigned long long)m->applied, (unsigned long long)m->same);
    buf_printf(out, "postgres_merged_lost:%llu\r\npostgres_merged_dropped:%llu\r\n",
               (unsigned long long)m->lost, (unsigned long long)m->dropped);
    buf_printf(out, "postgres_merged_replaced:%llu\r\n", (unsigned long long)m->replaced);
}
