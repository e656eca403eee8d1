/* batch: read and commit batches on the wire and back.
 *
 * A commit batch counts if and only if its stamp stands in the lane's row (docs/architecture.md).
 * Its items are sent sorted by key, the same order in every instance. */
#include "store/postgres/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/postgres/notice.h"

/* ---- reads ---- */

static void on_read(void *arg, struct lane *l, PGresult **results, int n);

void batch_reset_item(struct read_item *it)
{
    it->changed = false;
    it->undecided = false;
    it->expired = false;
    it->guessed = false;
    it->local = false;
    it->ended = 0;
    it->version = it->known;
    it->value = NULL;
}

void batch_add_read(struct link *k, enum statement_id id, struct read_batch *b)
{
    struct params *p = &k->params;
    params_reset(p);
    int db = params_array(p, OID_INT4);
    int key = params_array(p, OID_BYTEA);
    int known = params_array(p, OID_INT8);
    int bytes = params_array(p, OID_INT8);
    for (size_t i = 0; i < b->n; i++) {
        struct read_item *it = &b->items[i];
        batch_reset_item(it);
        params_add_int4(p, db, it->db);
        params_add_bytea(p, key, it->key);
        params_add_int8(p, known, it->known);
        params_add_int8(p, bytes, it->known > 0 ? it->known_bytes : -1);
    }
    link_add(k, id, p, true);
}

/* Beyond this the bytes that are here are not worth looking for one by one. */
enum { FEW_KEYS = 128 };

static bool is_few(const struct read_batch *b)
{
    if (b->n > FEW_KEYS)
        return false;
    for (size_t i = 1; i < b->n; i++) {
        if (b->items[i].db != b->items[0].db)
            return false;
    }
    return b->n > 0;
}

static void reserve_order(struct link *k, size_t n)
{
    if (k->order_cap >= n)
        return;
    k->order_cap = n * 2;
    k->order = mem_realloc(k->order, k->order_cap * sizeof(*k->order));
}

static int compare_reads(const void *a, const void *b, void *arg)
{
    const struct read_item *items = arg;
    return bytes_cmp(items[*(const int *)a].key, items[*(const int *)b].key);
}

static void add_read_few(struct link *k, struct read_batch *b)
{
    struct params *p = &k->params;
    params_reset(p);
    params_int4(p, b->items[0].db);
    int key = params_array(p, OID_BYTEA);
    int bytes = params_array(p, OID_INT8);
    reserve_order(k, b->n);
    for (size_t i = 0; i < b->n; i++)
        k->order[i] = (int)i;
    qsort_r(k->order, b->n, sizeof(*k->order), compare_reads, b->items);
    for (size_t i = 0; i < b->n; i++) {
        struct read_item *it = &b->items[k->order[i]];
        batch_reset_item(it);
        params_add_bytea(p, key, it->key);
        if (it->known > 0)
            params_add_int8(p, bytes, it->known_bytes);
    }
    link_add(k, STMT_READ_FEW, p, true);
}

static void send_read(struct link *k, bool few)
{
    k->reading_few = few;
    link_begin(k);
    if (few)
        add_read_few(k, k->reading);
    else
        batch_add_read(k, STMT_READ, k->reading);
    lane_submit(k->lane, store_timeout_us(k->store), on_read);
}

void batch_read(struct link *k, struct read_batch *b)
{
    k->reading = b;
    send_read(k, is_few(b));
}

static void end_read(struct link *k, enum store_result result)
{
    struct read_batch *b = k->reading;
    k->reading = NULL;
    b->result = result;
    b->done(b);
}

static void take_space(void *arg, size_t db, int64_t space)
{
    struct read_batch *b = arg;
    if (db < b->nspaces)
        b->spaces[db] = (int32_t)space;
}

/* In the place of a version, see STATE_SEEN. */
#define UNDECIDED (-INT64_MAX)

/* What is not live has its end by SQL in the place of the value's version, if there is one. */
static int64_t ended_of(const PGresult *r, int row, int column)
{
    return PQgetisnull(r, row, column) ? 0 : pg_int8(PQgetvalue(r, row, column));
}

/* Columns: ordinal, signed version, type, value, value_version, expires_at, spaces. */
bool batch_take_row(struct read_batch *b, const PGresult *r, int row)
{
    int64_t n = pg_int8(PQgetvalue(r, row, 0));
    if (n == 0) {
        b->time_us = pg_timestamp_us(PQgetvalue(r, row, 5));
        if (b->spaces != NULL)
            pg_each_int(PQgetvalue(r, row, 6), take_space, b);
        return true;
    }
    CHECK(n >= 1 && (size_t)n <= b->n);
    struct read_item *it = &b->items[n - 1];
    it->changed = true;
    it->version = PQgetisnull(r, row, 1) ? 0 : pg_int8(PQgetvalue(r, row, 1));
    it->undecided = it->version == UNDECIDED;
    it->expired = it->version < 0 && !PQgetisnull(r, row, 5);
    it->ended = it->version < 0 ? ended_of(r, row, 4) : 0;
    if (it->version <= 0)
        return true;
    it->type = (uint8_t)pg_int2(PQgetvalue(r, row, 2));
    it->value_version = pg_int8(PQgetvalue(r, row, 4));
    it->expires_us = PQgetisnull(r, row, 5) ? STORE_NEVER : pg_timestamp_us(PQgetvalue(r, row, 5));
    if (PQgetisnull(r, row, 3))
        return true;
    it->value = value_decode(
        it->type, bytes_of(PQgetvalue(r, row, 3), (size_t)PQgetlength(r, row, 3)));
    return it->value != NULL;
}

enum few_result { FEW_TAKEN, FEW_NO_MEMORY, FEW_ASK_AGAIN };

/* The rest of an item's row, which is there: columns type, value, value_version, expires_at. */
static enum few_result take_few_item(struct read_item *it, const PGresult *r, int row)
{
    int64_t version = pg_int8(PQgetvalue(r, row, 3));
    it->changed = version != it->known;
    it->version = version;
    if (version == UNDECIDED)
        return FEW_ASK_AGAIN;
    it->expired = version < 0 && !PQgetisnull(r, row, 7);
    it->ended = version < 0 ? ended_of(r, row, 6) : 0;
    if (!it->changed || version <= 0)
        return FEW_TAKEN;
    it->type = (uint8_t)pg_int2(PQgetvalue(r, row, 4));
    it->value_version = pg_int8(PQgetvalue(r, row, 6));
    it->expires_us = PQgetisnull(r, row, 7) ? STORE_NEVER : pg_timestamp_us(PQgetvalue(r, row, 7));
    if (PQgetisnull(r, row, 5)) /* they are as another item's: a row that somebody has copied */
        return it->known > 0 && it->value_version == it->known_bytes ? FEW_TAKEN : FEW_ASK_AGAIN;
    it->value = value_decode(
        it->type, bytes_of(PQgetvalue(r, row, 5), (size_t)PQgetlength(r, row, 5)));
    return it->value != NULL ? FEW_TAKEN : FEW_NO_MEMORY;
}

/* The item of a row's key. Rows come in the order of the keys as a rule: `at` goes along. */
static struct read_item *find_few(struct link *k, struct bytes key, size_t *at)
{
    struct read_batch *b = k->reading;
    for (size_t tries = 0; tries < b->n; tries++) {
        struct read_item *it = &b->items[k->order[*at]];
        *at = *at + 1 < b->n ? *at + 1 : 0;
        if (bytes_eq(it->key, key))
            return it;
    }
    check_failed("a row of a key that was not asked for", __FILE__, __LINE__);
}

static enum few_result take_few(struct link *k, const PGresult *r)
{
    struct read_batch *b = k->reading;
    enum few_result worst = FEW_TAKEN;
    size_t at = 0;
    b->time_us = pg_timestamp_us(PQgetvalue(r, 0, 1));
    if (b->spaces != NULL && (size_t)b->items[0].db < b->nspaces)
        b->spaces[b->items[0].db] = pg_int4(PQgetvalue(r, 0, 0));
    for (size_t i = 0; i < b->n; i++) { /* without a row, until one comes */
        b->items[i].changed = b->items[i].known != 0;
        b->items[i].version = 0;
    }
    for (int row = 0; row < PQntuples(r); row++) {
        if (PQgetisnull(r, row, 2))
            break; /* the row that says that there is none */
        struct bytes key = bytes_of(PQgetvalue(r, row, 2), (size_t)PQgetlength(r, row, 2));
        enum few_result taken = take_few_item(find_few(k, key, &at), r, row);
        worst = taken > worst ? taken : worst;
    }
    return worst;
}

/* True if all is there; else the batch has been sent again, or `complete` is false. */
static bool take_read(struct link *k, const PGresult *r, bool *complete)
{
    struct read_batch *b = k->reading;
    *complete = true;
    if (!k->reading_few) {
        for (int row = 0; row < PQntuples(r); row++)
            *complete &= batch_take_row(b, r, row);
        return true;
    }
    enum few_result taken = take_few(k, r);
    if (taken == FEW_ASK_AGAIN) {
        for (size_t i = 0; i < b->n; i++)
            value_unref(b->items[i].value);
        send_read(k, false);
        return false;
    }
    *complete = taken == FEW_TAKEN;
    return true;
}

static void on_read(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    struct pg_store *s = k->store;
    struct read_batch *b = k->reading;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL) {
        char why[200];
        lane_error_text(error, why, sizeof(why));
        link_lost(k, why);
        return;
    }
    bool complete;
    if (k->reading_few && PQntuples(results[0]) == 0) {
        link_lost(k, "a database has no space");
        return;
    }
    if (!take_read(k, results[0], &complete))
        return;
    if (k->read_only) /* its clock is its own: what expires is judged by the one that takes writes */
        b->time_us = store_now_us(&s->base);
    else
        store_clock_sample(s, b->time_us, l);
    op_stats_add(&s->reads, b->n, clock_mono_us() - lane_sent_us(l));
    end_read(k, complete ? STORE_OK : STORE_REFUSED);
}

/* ---- commits: encoding ---- */

static int compare_items(const void *a, const void *b, void *arg)
{
    const struct commit_item *items = arg;
    const struct commit_item *x = &items[*(const int *)a];
    const struct commit_item *y = &items[*(const int *)b];
    int c = bytes_cmp(x->key, y->key);
    return c != 0 ? c : (x->db > y->db) - (x->db < y->db);
}

static void sort_items(struct link *k, const struct commit_batch *b)
{
    if (b->n == 0) /* a block without keys, when there may be no order yet */
        return;
    reserve_order(k, b->n);
    for (size_t i = 0; i < b->n; i++)
        k->order[i] = (int)i;
    qsort_r(k->order, b->n, sizeof(*k->order), compare_items, b->items);
}

/* About the minute in which the sweeper looks: a lower bound, so a minute early. The same buckets
 * as the schema's slot_of(). */
static int32_t slot_of_us(int64_t us)
{
    static const int64_t epoch_us = 1735689600LL * 1000000;
    int64_t slot = (us - epoch_us) / (64 * 1000000) - 1;
    return slot < 0 ? 0 : slot > INT32_MAX - 1 ? INT32_MAX - 1 : (int32_t)slot;
}

/* When the sweeper is to look at the row; false = never. */
static bool slot_of_item(const struct pg_store *s, const struct commit_item *it, int64_t now_us,
                         int32_t *slot)
{
    if (it->op == COMMIT_WRITE && it->value == NULL)
        *slot = slot_of_us(now_us + s->config->tombstone_retention_s * 1000000);
    else if (it->expiry.kind == EXPIRY_AT)
        *slot = slot_of_us(it->expiry.us);
    else if (it->expiry.kind == EXPIRY_RELATIVE)
        *slot = slot_of_us(now_us + it->expiry.us);
    else
        return false;
    return true;
}

/* What SQL has ended at a version above this is not made again by a write under way. */
static int64_t revoke_floor(const struct link *k)
{
    static const int64_t epoch_us = 1735689600LL * 1000000;
    int64_t grace_us = k->store->config->revoke_grace_s * 1000000;
    return grace_us == 0 ? INT64_MAX : (store_now_us(&k->store->base) - epoch_us - grace_us) * 1024;
}

static void add_guard(struct link *k, struct params *p)
{
    params_int4(p, k->slot);
    params_int8(p, k->incarnation);
    params_int4(p, k->number);
    params_int8(p, k->epoch);
}

static int32_t item_code(const struct commit_item *it, int position, bool checked)
{
    int32_t code = position;
    if (!checked)
        code |= (int32_t)it->expect << ITEM_EXPECT_SHIFT;
    if (it->op == COMMIT_TOUCH)
        code |= ITEM_TOUCH;
    if (it->saw_absent)
        code |= ITEM_NEW;
    return code | (int32_t)it->expiry.kind << ITEM_EXPIRY_SHIFT;
}

/* What a collection is encoded to is in the parameters now: not twice. */
static void add_value(struct params *p, int array, const struct value *v)
{
    params_add_bytea(p, array, value_bytes(v));
    value_drop_bytes(v);
}

/* Parameters 5 to 14, which both commit statements have. */
static void add_items(struct link *k, const struct commit_batch *b)
{
    struct params *p = &k->params;
    int64_t now_us = store_now_us(&k->store->base);
    int32_t writes = 0;
    int32_t due;
    for (size_t i = 0; i < b->n; i++)
        writes += b->items[i].op != COMMIT_CHECK;
    params_int8(p, k->stamp);
    params_int4(p, writes);
    int db = params_array(p, OID_INT4);
    int key = params_array(p, OID_BYTEA);
    int item = params_array(p, OID_INT4);
    int expected = params_array(p, OID_INT8);
    int type = params_array(p, OID_INT2);
    int value = params_array(p, OID_BYTEA);
    int expiry = params_array(p, OID_INTERVAL);
    int slot = params_array(p, OID_INT4);
    for (size_t i = 0; i < b->n; i++) {
        const struct commit_item *it = &b->items[k->order[i]];
        params_add_int4(p, db, it->db);
        params_add_bytea(p, key, it->key);
        params_add_int4(p, item, item_code(it, k->order[i], b->checked));
        params_add_int8(p, expected, it->expected);
        params_add_int2(p, type, it->value != NULL ? it->value->type : 0);
        if (it->value != NULL && it->op == COMMIT_WRITE)
            add_value(p, value, it->value);
        else
            params_add_null(p, value);
        params_add_interval(p, expiry, it->expiry.kind == EXPIRY_NONE ? 0 : it->expiry.us);
        if (slot_of_item(k->store, it, now_us, &due))
            params_add_int4(p, slot, due);
        else
            params_add_null(p, slot);
    }
}

void batch_add_lock_keys(struct link *k, const struct commit_batch *b)
{
    struct params *p = &k->params;
    sort_items(k, b);
    params_reset(p);
    add_guard(k, p);
    int db = params_array(p, OID_INT4);
    int key = params_array(p, OID_BYTEA);
    for (size_t i = 0; i < b->n; i++) {
        params_add_int4(p, db, b->items[k->order[i]].db);
        params_add_bytea(p, key, b->items[k->order[i]].key);
    }
    params_int4(p, slot_of_us(store_now_us(&k->store->base)));
    link_add(k, STMT_LOCK_KEYS, p, true);
}

/* What other instances are told. Behind it come the documents. */
static void add_notice(struct link *k, const struct commit_batch *b)
{
    struct buf *text = &k->store->notice;
    notice_begin(text, k->slot);
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].op != COMMIT_CHECK)
            notice_add_key(text, b->items[i].key);
    }
    notice_end(text);
    params_text(&k->params, buf_cstr(text));
}

static void add_checked(struct link *k, const struct commit_batch *b)
{
    struct params *p = &k->params;
    params_reset(p);
    params_text(p, k->store->config->pg_schema);
    link_add(k, STMT_SHARE_SPACES, p, true);
    batch_add_lock_keys(k, b);
    params_reset(p);
    add_guard(k, p);
    add_items(k, b);
    int group = params_array(p, OID_INT4);
    int only_check = params_array(p, OID_INT4);
    int expect = params_array(p, OID_INT4);
    int space = params_array(p, OID_INT4);
    for (size_t i = 0; i < b->n; i++) {
        const struct commit_item *it = &b->items[k->order[i]];
        params_add_int4(p, group, it->group);
        params_add_int4(p, only_check, it->op == COMMIT_CHECK);
        params_add_int4(p, expect, (int32_t)it->expect);
        params_add_int4(p, space, it->expected_space);
    }
    add_notice(k, b);
    k->docs_sent = docs_add(&k->store->docs, p, b, k->order, k->without_docs);
    params_int8(p, revoke_floor(k));
    link_add(k, STMT_COMMIT_CHECKED, p, true);
}

/* The one item of STMT_COMMIT_ONE. */
static void add_one(struct link *k, const struct commit_item *it)
{
    struct params *p = &k->params;
    int32_t due;
    params_int8(p, k->stamp);
    params_int4(p, it->db);
    params_bytea(p, it->key);
    params_int4(p, item_code(it, 0, false));
    params_int2(p, it->value != NULL ? it->value->type : 0);
    if (it->value != NULL) {
        params_bytea(p, value_bytes(it->value));
        value_drop_bytes(it->value);
    } else {
        params_null(p);
    }
    params_interval(p, it->expiry.kind == EXPIRY_NONE ? 0 : it->expiry.us);
    if (slot_of_item(k->store, it, store_now_us(&k->store->base), &due))
        params_int4(p, due);
    else
        params_null(p);
}

static void on_commit(void *arg, struct lane *l, PGresult **results, int n);

static bool expects_nothing(const struct commit_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].expect != EXPECT_ANY || b->items[i].op == COMMIT_CHECK)
            return false;
    }
    return true;
}

void batch_add_commit(struct link *k, const struct commit_batch *b)
{
    CHECK(b->n <= ITEM_POSITION_MASK);
    sort_items(k, b);
    k->stamp = store_mint_stamps(k->store, b->n);
    if (b->checked) {
        add_checked(k, b);
        return;
    }
    enum statement_id id = expects_nothing(b) ? STMT_COMMIT_BLIND : STMT_COMMIT;
    if (id == STMT_COMMIT_BLIND && b->n == 1 && b->items[0].op == COMMIT_WRITE)
        id = STMT_COMMIT_ONE;
    params_reset(&k->params);
    add_guard(k, &k->params);
    if (id == STMT_COMMIT_ONE)
        add_one(k, &b->items[0]);
    else
        add_items(k, b);
    add_notice(k, b);
    struct docs *d = &k->store->docs;
    k->docs_sent = id == STMT_COMMIT_ONE
                       ? docs_add_one(d, &k->params, &b->items[0], k->without_docs)
                       : docs_add(d, &k->params, b, k->order, k->without_docs);
    params_int8(&k->params, revoke_floor(k));
    link_add(k, id, &k->params, true);
}

static void send_batch(struct link *k)
{
    link_begin(k);
    batch_add_commit(k, k->committing);
    lane_submit(k->lane, link_timeout_us(k), on_commit);
}

void batch_commit(struct link *k, struct commit_batch *b)
{
    k->committing = b;
    k->transients = 0;
    k->without_docs = false;
    send_batch(k);
}

/* ---- commits: outcome ---- */

static void end_commit(struct link *k, enum store_result result)
{
    struct commit_batch *b = k->committing;
    k->committing = NULL;
    k->xact = NULL;
    b->result = result;
    b->done(b);
}

static void mark_accepted(void *arg, size_t i, int64_t position)
{
    struct commit_batch *b = arg;
    (void)i;
    CHECK(position >= 0 && (size_t)position < b->n);
    b->items[position].applied = true;
}

/* A check-only item counts as applied with its group. */
static void mark_checks(struct commit_batch *b)
{
    if (!b->checked)
        return;
    int groups = 0;
    for (size_t i = 0; i < b->n; i++)
        groups = b->items[i].group >= groups ? b->items[i].group + 1 : groups;
    bool *applied = mem_zalloc((size_t)groups);
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].op != COMMIT_CHECK && b->items[i].applied)
            applied[b->items[i].group] = true;
    }
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].op == COMMIT_CHECK)
            b->items[i].applied = applied[b->items[i].group];
    }
    mem_free(applied);
}

/* `accepted` is the binary int[] of the lane's row, NULL = all. */
static void mark_outcome(struct link *k, struct commit_batch *b, const char *accepted)
{
    for (size_t i = 0; i < b->n; i++) {
        b->items[i].applied = accepted == NULL;
        b->items[i].version = stamp_at(k->stamp, i);
    }
    if (accepted == NULL)
        return;
    pg_each_int(accepted, mark_accepted, b);
    mark_checks(b);
    for (size_t i = 0; i < b->n; i++)
        k->store->rejected_items += !b->items[i].applied;
}

struct raised {
    struct commit_batch *batch;
    const char *positions;
    size_t at;
    int64_t found;
};

static void find_position(void *arg, size_t i, int64_t position)
{
    struct raised *r = arg;
    if (i == r->at)
        r->found = position;
}

/* Beside the version of what is held back, see SIGNED_VERSION: stamps are far below it. */
#define HELD_BACK ((int64_t)1 << 62)

static void take_raised(void *arg, size_t i, int64_t version)
{
    struct raised *r = arg;
    r->at = i;
    pg_each_int(r->positions, find_position, r);
    CHECK(r->found >= 0 && (size_t)r->found < r->batch->n);
    struct commit_item *it = &r->batch->items[r->found];
    it->held_back = version < 0 && (-version & HELD_BACK) != 0;
    it->version = it->held_back ? -(-version & ~HELD_BACK) : version;
}

/* Items whose rows were ahead of our stamp got a higher version; stamps go on above it. Those that are
 * not live have a negative one. */
static void take_versions(struct link *k, struct commit_batch *b, const PGresult *r)
{
    if (PQgetisnull(r, 0, 2))
        return;
    struct raised raised = {b, PQgetvalue(r, 0, 2), 0, -1};
    pg_each_int(PQgetvalue(r, 0, 3), take_raised, &raised);
    for (size_t i = 0; i < b->n; i++) {
        int64_t version = b->items[i].version;
        k->store->inactive_writes += version < 0;
        version = version < 0 ? -version : version;
        if (version > k->store->last_stamp)
            k->store->last_stamp = version;
    }
}

static void mark_expired_before(void *arg, size_t i, int64_t position)
{
    struct commit_batch *b = arg;
    (void)i;
    CHECK(position >= 0 && (size_t)position < b->n);
    b->items[position].expired_before = true;
}

/* Items that have replaced what had expired. */
static void take_expired(struct commit_batch *b, const PGresult *r)
{
    for (size_t i = 0; i < b->n; i++)
        b->items[i].expired_before = false;
    if (!PQgetisnull(r, 0, 4))
        pg_each_int(PQgetvalue(r, 0, 4), mark_expired_before, b);
}

void batch_take_answer(struct link *k, struct commit_batch *b, const PGresult *r)
{
    b->time_us = pg_timestamp_us(PQgetvalue(r, 0, 0));
    mark_outcome(k, b, PQgetisnull(r, 0, 1) ? NULL : PQgetvalue(r, 0, 1));
    take_versions(k, b, r);
    take_expired(b, r);
}

/* A trigger may raise 40001 whenever it sees a certain row: then it is about the data after all. */
enum { TRANSIENT_TRIES = 5 };

/* Errors that say nothing about the data: the batch may simply be sent again. */
static bool is_transient(const char *code)
{
    return strcmp(code, "40001") == 0 || strcmp(code, "40P01") == 0;
}

/* What PostgreSQL itself has found out, not a trigger of somebody's: a row is held by one who waits for us, or
 * did. Sent again at once, the batch would take that row before he wakes up, and they would meet again. */
static bool is_deadlock(const PGresult *error)
{
    const char *function = PQresultErrorField(error, PG_DIAG_SOURCE_FUNCTION);
    return strcmp(lane_sqlstate(error), "40P01") == 0 && function != NULL &&
           strcmp(function, "DeadLockReport") == 0;
}

static bool is_lock_or_time(const char *code)
{
    return strcmp(code, "55P03") == 0 || strcmp(code, "57014") == 0;
}

/* Classes of PostgreSQL's appendix "Error Codes" that blame an item: bad data, constraint,
 * program limit, raised by a trigger, object in use by DDL, wrong column. */
static bool is_about_data(const char *code)
{
    if (strcmp(code, "08P01") == 0) /* a message the server cannot make sense of */
        return true;
    static const char *const classes[] = {"22", "23", "54", "P0", "0A", "42", "2F", "38", "39"};
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strncmp(code, classes[i], 2) == 0)
            return true;
    }
    return false;
}

/* Rows were put back without the sequence that numbers them. */
static bool is_behind_sequence(const PGresult *error)
{
    const char *constraint = PQresultErrorField(error, PG_DIAG_CONSTRAINT_NAME);
    return strcmp(lane_sqlstate(error), "23505") == 0 && constraint != NULL &&
           strcmp(constraint, "entries_space_id") == 0;
}

enum store_result batch_judge(struct link *k, const PGresult *error)
{
    const char *code = lane_sqlstate(error);
    if (strcmp(code, "0A000") == 0 || strcmp(code, "26000") == 0 || breaker_cannot_write(k, error))
        return STORE_LOST;
    if (is_behind_sequence(error)) {
        k->store->sequence_due = true;
        return STORE_LOCKED;
    }
    if (is_transient(code) || is_lock_or_time(code))
        return STORE_LOCKED;
    /* A right or a table that is missing is no item's fault. */
    if (strcmp(code, "42501") == 0 || strcmp(code, "42P01") == 0)
        return STORE_LOST;
    return is_about_data(code) ? STORE_REFUSED : STORE_LOST;
}

/* One that can still be split is split first, so that only the guilty group loses its documents: one
 * txn's, or those of one client's writes that came in one piece. */
static bool is_one_group(const struct commit_batch *b)
{
    for (size_t i = 1; i < b->n; i++) {
        if (b->items[i].group != b->items[0].group)
            return false;
    }
    return true;
}

bool batch_drop_docs(struct link *k, const char *code)
{
    if (k->docs_sent == 0 || !is_about_data(code))
        return false;
    log_event(LOG_WARNING, "doc-refused", "lane=%s sqlstate=%s", k->name, code);
    k->store->docs.refused++;
    k->without_docs = true;
    return true;
}

static void commit_failed(struct link *k, const PGresult *error)
{
    struct commit_batch *b = k->committing;
    const char *code = lane_sqlstate(error);
    lane_error_text(error, b->error, sizeof(b->error));
    if (strcmp(code, "0A000") == 0 || strcmp(code, "26000") == 0) {
        link_lost(k, b->error); /* a new connection prepares anew, then the batch goes again */
    } else if (breaker_cannot_write(k, error)) {
        link_lost(k, b->error); /* the batch stays, to be handed over or sent again */
    } else if (is_behind_sequence(error)) {
        k->store->sequence_due = true; /* goes before the query that looks for locked rows */
        end_commit(k, STORE_LOCKED);
    } else if (is_deadlock(error)) {
        end_commit(k, STORE_LOCKED);
    } else if (is_transient(code) && !b->abandoned && ++k->transients < TRANSIENT_TRIES) {
        send_batch(k);
    } else if (is_lock_or_time(code)) {
        end_commit(k, STORE_LOCKED);
    } else if (!b->abandoned && is_one_group(b) && batch_drop_docs(k, code)) {
        send_batch(k);
    } else if (is_about_data(code) || is_transient(code)) {
        end_commit(k, STORE_REFUSED);
    } else {
        link_lost(k, b->error);
    }
}

static void on_commit(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    struct commit_batch *b = k->committing;
    const PGresult *error = lane_first_error(results, n);
    link_heard(k);
    if (error != NULL) {
        commit_failed(k, error);
        return;
    }
    const PGresult *r = results[n - 1];
    if (PQntuples(r) == 0 || PQgetisnull(r, 0, 0)) {
        link_lost(k, "the lane was fenced");
        return;
    }
    if (lane_commit_uncertain(l)) {
        end_commit(k, STORE_LOST);
        return;
    }
    batch_take_answer(k, b, r);
    store_clock_sample(k->store, b->time_us, l);
    op_stats_add(&k->store->commits, b->n, clock_mono_us() - lane_sent_us(l));
    vacuum_note(k->store, b);
    breaker_committed(k->store);
    end_commit(k, STORE_OK);
    vacuum_pump(k->store);
    merge_pump(k->store);
}

/* ---- after a lost connection ---- */

void batch_settle(struct link *k, const PGresult *r)
{
    struct commit_batch *b = k->committing;
    bool applied = PQntuples(r) == 1 && pg_int8(PQgetvalue(r, 0, 0)) == k->stamp;
    log_event(LOG_NOTICE, "batch-settled", "lane=%s items=%zu applied=%s", k->name, b->n,
              applied ? "yes" : "no");
    if (applied) {
        k->store->settled_applied++;
        b->time_us = pg_timestamp_us(PQgetvalue(r, 0, 1));
        mark_outcome(k, b, PQgetisnull(r, 0, 2) ? NULL : PQgetvalue(r, 0, 2));
        b->found_out = true;
        end_commit(k, STORE_OK);
        return;
    }
    k->store->settled_not_applied++;
    if (b->abandoned || PQntuples(r) == 0)
        end_commit(k, STORE_LOST);
}

void batch_resend(struct link *k)
{
    if (k->committing->abandoned)
        end_commit(k, STORE_LOST);
    else
        send_batch(k);
}

void batch_give_up(struct link *k)
{
    if (k->reading != NULL)
        end_read(k, STORE_LOST);
    if (k->xact != NULL && k->committing == NULL)
        xact_give_up(k);
    if (k->committing != NULL)
        end_commit(k, STORE_LOST);
}
