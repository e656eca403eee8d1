/* Idea: batches run on the rows. An open transaction of several steps runs on a copy, and what it
 * did is done again on the rows when it ends. */
#include "memory_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { OUR_SLOT = 1, FOREIGN_SLOT = 2, MAX_TROUBLES = 32 };

static const int64_t stamp_epoch_us = INT64_C(1735689600) * 1000000;

/* What an open transaction has done so far: writes, or a FLUSH or SWAP. */
struct step {
    struct commit_item *items; /* keys and values are copies */
    size_t n;
    enum store_query_kind kind; /* QUERY_FLUSH, QUERY_SWAP; anything else changes nothing */
    int db;
    int db2;
};

enum xact_phase { XACT_BEGIN, XACT_STEP, XACT_END };

struct lane {
    bool held;
    bool ran;
    struct read_batch *read;
    struct commit_batch *commit;
    struct store_xact *xact; /* from begin to end */
    bool xact_waits;         /* an operation of it is under way */
    enum xact_phase phase;
    enum store_result result;
    int spaces[MEMORY_DATABASES]; /* as the read, or the transaction's last one, found them */
    struct step *steps;
    size_t nsteps;
};

/* Somebody holds the row, or writing it fails. */
struct trouble {
    int db;
    char key[64];
    bool locked;
    bool undecided;
    char error[64];
};

struct memory_store {
    struct store base;
    enum store_state state;
    int64_t now_us;
    int64_t last_stamp;
    int64_t foreign_ahead_us;
    const struct store_notices *notices;
    void *notices_arg;
    int64_t fresh_until_us;
    struct memory_rows data;
    struct lane *reads;
    struct lane *commits;
    size_t nreads;
    size_t ncommits;
    struct store_query *queries;
    bool queries_held;
    struct trouble troubles[MAX_TROUBLES];
    struct memory_change *changes;
    size_t nchanges;
    uint64_t change_number;
    struct memory_counts counts;
    struct buf text;
    bool stopping;
};

/* ---- stamps and changes ---- */

static int64_t mint_stamps(struct memory_store *ms, size_t n)
{
    int64_t stamp = (ms->now_us - stamp_epoch_us) << STAMP_SLOT_BITS | OUR_SLOT;
    if (stamp <= ms->last_stamp)
        stamp = ((ms->last_stamp >> STAMP_SLOT_BITS) + 1) << STAMP_SLOT_BITS | OUR_SLOT;
    ms->last_stamp = stamp + ((int64_t)n << STAMP_SLOT_BITS);
    return stamp;
}

static void note_change(struct memory_store *ms, int db, const struct memory_row *r, bool touch)
{
    if ((ms->nchanges & (ms->nchanges - 1)) == 0)
        ms->changes = mem_realloc(ms->changes, (2 * ms->nchanges + 1) * sizeof(*ms->changes));
    struct memory_change *c = &ms->changes[ms->nchanges++];
    *c = (struct memory_change){.number = ms->change_number,
                                .db = db,
                                .touch = touch,
                                .value = r->value != NULL ? value_ref(r->value) : NULL};
    buf_init(&c->key);
    buf_append_bytes(&c->key, buf_bytes(&r->key));
}

/* Writes or touches a row that all see; returns its version. */
static int64_t apply_item(struct memory_store *ms, const struct commit_item *it, int64_t stamp)
{
    const struct memory_row *r = memory_rows_apply(&ms->data, it, stamp, ms->now_us);
    note_change(ms, it->db, r, it->op == COMMIT_TOUCH);
    return r->revoked ? -r->version : r->version;
}

/* ---- trouble ---- */

static bool is_used(const struct trouble *t)
{
    return t->locked || t->undecided || t->error[0] != '\0';
}

static struct trouble *find_trouble(struct memory_store *ms, int db, struct bytes key)
{
    for (size_t i = 0; i < MAX_TROUBLES; i++) {
        struct trouble *t = &ms->troubles[i];
        if (is_used(t) && t->db == db && bytes_eq(bytes_cstr(t->key), key))
            return t;
    }
    return NULL;
}

static struct trouble *make_trouble(struct memory_store *ms, int db, const char *key)
{
    struct trouble *t = find_trouble(ms, db, bytes_cstr(key));
    for (size_t i = 0; t == NULL; i++) {
        CHECK(i < MAX_TROUBLES);
        if (!is_used(&ms->troubles[i]))
            t = &ms->troubles[i];
    }
    t->db = db;
    snprintf(t->key, sizeof(t->key), "%s", key);
    return t;
}

void memory_store_lock(struct memory_store *ms, int db, const char *key, bool locked)
{
    make_trouble(ms, db, key)->locked = locked;
}

void memory_store_set_undecided(struct memory_store *ms, int db, const char *key, bool undecided)
{
    make_trouble(ms, db, key)->undecided = undecided;
}

void memory_store_refuse(struct memory_store *ms, int db, const char *key, const char *error)
{
    struct trouble *t = make_trouble(ms, db, key);
    snprintf(t->error, sizeof(t->error), "%s", error != NULL ? error : "");
}

static bool in_open_xact(const struct memory_store *ms, int db, struct bytes key)
{
    for (size_t i = 0; i < ms->ncommits; i++) {
        const struct lane *l = &ms->commits[i];
        bool has_begun = l->xact != NULL && (l->phase != XACT_BEGIN || l->ran);
        for (size_t n = 0; has_begun && n < l->xact->locks.n; n++) {
            const struct commit_item *it = &l->xact->locks.items[n];
            if (it->db == db && bytes_eq(it->key, key))
                return true;
        }
    }
    return false;
}

bool memory_store_is_locked(struct memory_store *ms, int db, struct bytes key)
{
    const struct trouble *t = find_trouble(ms, db, key);
    return (t != NULL && t->locked) || in_open_xact(ms, db, key);
}

static enum store_result locked_or_ok(struct memory_store *ms, const struct commit_item *items,
                                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (memory_store_is_locked(ms, items[i].db, items[i].key))
            return STORE_LOCKED;
    }
    return STORE_OK;
}

/* An error if one of the items that would be written is refused. */
static enum store_result refused_or_ok(struct memory_store *ms, const struct commit_item *items,
                                       size_t n, char error[160])
{
    for (size_t i = 0; i < n; i++) {
        const struct trouble *t = find_trouble(ms, items[i].db, items[i].key);
        if (t == NULL || t->error[0] == '\0' || !items[i].applied || items[i].op == COMMIT_CHECK)
            continue;
        snprintf(error, 160, "%s", t->error);
        return STORE_REFUSED;
    }
    return STORE_OK;
}

/* ---- reads: STMT_READ ---- */

static void run_read_item(struct memory_store *ms, const struct memory_rows *d,
                          struct read_item *it)
{
    const struct memory_row *r = memory_rows_find(d, it->db, it->key);
    const struct trouble *t = find_trouble(ms, it->db, it->key);
    it->undecided = t != NULL && t->undecided && !memory_row_is_live(r, ms->now_us);
    int64_t version = r == NULL ? 0 : memory_row_is_live(r, ms->now_us) ? r->version : -r->version;
    it->changed = version != it->known;
    it->version = it->known;
    it->value = NULL;
    if (!it->changed)
        return;
    it->version = version;
    it->expired = version < 0 && r->value != NULL;
    if (version <= 0)
        return;
    it->type = r->value->type;
    it->value_version = r->value_version;
    it->expires_us = r->expires_us;
    if (it->known <= 0 || r->value_version != it->known_bytes) {
        it->value = value_ref(r->value);
        ms->counts.read_bytes_sent++;
    }
}

static void run_read(struct memory_store *ms, struct lane *l)
{
    struct read_batch *b = l->read;
    b->time_us = ms->now_us;
    memcpy(l->spaces, ms->data.spaces, sizeof(l->spaces));
    for (size_t i = 0; i < b->n; i++)
        run_read_item(ms, &ms->data, &b->items[i]);
}

static void give_spaces(const struct lane *l, int32_t *spaces, size_t n)
{
    for (size_t db = 0; spaces != NULL && db < n && db < MEMORY_DATABASES; db++)
        spaces[db] = l->spaces[db];
}

/* ---- commits: STMT_COMMIT, or STMT_LOCK_KEYS and STMT_COMMIT_CHECKED ---- */

static bool expectation_holds(const struct memory_store *ms, const struct commit_item *it)
{
    const struct memory_row *r = memory_rows_find(&ms->data, it->db, it->key);
    bool live = memory_row_is_live(r, ms->now_us);
    switch (it->expect) {
    case EXPECT_ANY:
        return true;
    case EXPECT_LIVE_AT:
        return live && r->version == it->expected;
    case EXPECT_ABSENT:
        return !live;
    case EXPECT_VALUE_AT:
        return live && r->value_version == it->expected;
    case EXPECT_ABSENT_AT:
        return !live && (r == NULL ? 0 : r->version) <= it->expected &&
               ms->data.spaces[it->db] == it->expected_space;
    }
    check_failed("expectation", __FILE__, __LINE__);
}

/* Which items count. The plain statement knows no groups: each of its items stands for itself. */
static void judge(const struct memory_store *ms, struct commit_batch *b)
{
    bool *failed = mem_zalloc((b->n + 1) * sizeof(*failed));
    for (size_t i = 0; i < b->n; i++) {
        const struct commit_item *it = &b->items[i];
        size_t group = b->checked ? (size_t)it->group : i;
        CHECK(group < b->n);
        failed[group] |= !expectation_holds(ms, it);
    }
    for (size_t i = 0; i < b->n; i++)
        b->items[i].applied = !failed[b->checked ? (size_t)b->items[i].group : i];
    mem_free(failed);
}

static enum store_result run_commit(struct memory_store *ms, struct commit_batch *b)
{
    enum store_result result = locked_or_ok(ms, b->items, b->n);
    if (result != STORE_OK)
        return result;
    judge(ms, b);
    result = refused_or_ok(ms, b->items, b->n, b->error);
    if (result != STORE_OK)
        return result;
    int64_t stamp = mint_stamps(ms, b->n);
    b->time_us = ms->now_us;
    ms->change_number++;
    for (size_t i = 0; i < b->n; i++) {
        struct commit_item *it = &b->items[i];
        if (b->checked)
            memory_rows_make(&ms->data, it->db, it->key);
        int64_t own = stamp + ((int64_t)i << STAMP_SLOT_BITS);
        it->version = own;
        it->expired_before =
            it->applied && it->op != COMMIT_CHECK &&
            memory_row_is_untold(memory_rows_find(&ms->data, it->db, it->key), ms->now_us);
        if (it->applied && it->op != COMMIT_CHECK)
            it->version = apply_item(ms, it, own);
        if (llabs(it->version) > ms->last_stamp)
            ms->last_stamp = llabs(it->version);
        ms->counts.rejected += !it->applied && it->op != COMMIT_CHECK;
    }
    return STORE_OK;
}

/* What every batch must keep to, whatever the rows. */
static void check_batch(const struct commit_batch *b)
{
    CHECK(b->n > 0);
    for (size_t i = 0; i < b->n; i++) {
        const struct commit_item *it = &b->items[i];
        CHECK(it->db >= 0 && it->db < MEMORY_DATABASES && it->group >= 0);
        CHECK(b->checked || (it->op != COMMIT_CHECK && it->expect != EXPECT_ABSENT_AT));
        CHECK(it->op != COMMIT_CHECK || it->expect != EXPECT_ANY);
        CHECK(it->op != COMMIT_TOUCH || it->expect == EXPECT_LIVE_AT ||
              it->expect == EXPECT_VALUE_AT);
        for (size_t j = 0; j < i; j++) {
            const struct commit_item *other = &b->items[j];
            CHECK(other->db != it->db || !bytes_eq(other->key, it->key));
            CHECK(b->checked || other->group != it->group ||
                  (it->expect == EXPECT_ANY && other->expect == EXPECT_ANY));
        }
    }
}

static void count_batch(struct memory_store *ms, const struct commit_batch *b)
{
    ms->counts.commits++;
    ms->counts.checked += b->checked;
    for (size_t i = 0; i < b->n; i++) {
        ms->counts.writes += b->items[i].op == COMMIT_WRITE;
        ms->counts.touches += b->items[i].op == COMMIT_TOUCH;
        ms->counts.checks += b->items[i].op == COMMIT_CHECK;
    }
}

/* ---- queries ---- */

static void run_query(struct memory_store *ms, struct memory_rows *rows, struct store_query *q)
{
    if (q->kind == QUERY_TRY_LOCK) {
        for (size_t i = 0; i < q->n; i++) {
            if (memory_store_is_locked(ms, q->items[i].db, q->items[i].key))
                q->result = STORE_LOCKED;
        }
        return;
    }
    if (q->kind != QUERY_FIND_LOCKED) {
        memory_rows_query(rows, q, ms->now_us);
        return;
    }
    for (size_t i = 0; i < q->n; i++) {
        const struct commit_item *it = &q->items[i];
        if (memory_rows_find(rows, it->db, it->key) != NULL &&
            memory_store_is_locked(ms, it->db, it->key))
            q->row(q, (int64_t)i, bytes_of("", 0), false, 0);
    }
}

static bool answer_query(struct memory_store *ms, enum store_result result)
{
    struct store_query *q = ms->queries;
    if (q == NULL)
        return false;
    ms->queries = q->next;
    q->result = result;
    if (result == STORE_OK)
        run_query(ms, &ms->data, q);
    struct store_keyspace *keyspace = q->kind == QUERY_KEYSPACE ? q->keyspace : NULL;
    q->done(q);
    mem_free(keyspace);
    return true;
}

/* ---- transactions of several steps ---- */

static void drop_steps(struct lane *l)
{
    for (size_t i = 0; i < l->nsteps; i++) {
        for (size_t n = 0; n < l->steps[i].n; n++) {
            mem_free((char *)l->steps[i].items[n].key.data);
            value_unref(l->steps[i].items[n].value);
        }
        mem_free(l->steps[i].items);
    }
    mem_free(l->steps);
    l->steps = NULL;
    l->nsteps = 0;
}

static void add_step(struct lane *l, const struct commit_batch *b, const struct store_query *q)
{
    l->steps = mem_realloc(l->steps, (l->nsteps + 1) * sizeof(*l->steps));
    struct step *s = &l->steps[l->nsteps++];
    *s = (struct step){.n = b->n, .kind = q != NULL ? q->kind : QUERY_DBSIZE};
    if (q != NULL) {
        s->db = q->db;
        s->db2 = q->db2;
    }
    s->items = mem_alloc((b->n + 1) * sizeof(*s->items));
    for (size_t i = 0; i < b->n; i++) {
        CHECK(b->items[i].expect == EXPECT_ANY && b->items[i].op != COMMIT_CHECK);
        s->items[i] = b->items[i];
        s->items[i].key.data = mem_strndup(b->items[i].key.data, b->items[i].key.len);
        s->items[i].value = b->items[i].value != NULL ? value_ref(b->items[i].value) : NULL;
    }
}

static void replay_steps(struct memory_store *ms, const struct lane *l, struct memory_rows *d)
{
    for (size_t i = 0; i < l->nsteps; i++) {
        const struct step *s = &l->steps[i];
        for (size_t n = 0; n < s->n; n++) {
            const struct commit_item *it = &s->items[n];
            const struct memory_row *r = memory_rows_apply(d, it, mint_stamps(ms, 1), ms->now_us);
            if (d == &ms->data)
                note_change(ms, it->db, r, it->op == COMMIT_TOUCH);
        }
        if (s->kind == QUERY_FLUSH)
            memory_rows_flush(d, s->db, s->db2);
        else if (s->kind == QUERY_SWAP)
            memory_rows_swap(d, s->db, s->db2);
    }
}

static enum store_result refused_in_xact(struct memory_store *ms, struct store_xact *x)
{
    for (size_t i = 0; i < x->batch.n; i++)
        x->batch.items[i].applied = true;
    return refused_or_ok(ms, x->batch.items, x->batch.n, x->error);
}

/* On a copy of the rows, with what the transaction has done before done again. */
static void run_in_view(struct memory_store *ms, struct lane *l, bool reads)
{
    struct store_xact *x = l->xact;
    struct memory_rows view;
    memory_rows_copy(&view, &ms->data);
    replay_steps(ms, l, &view);
    if (l->phase == XACT_STEP) {
        x->query->count = 0;
        x->query->result = STORE_OK;
        if (x->query->kind != QUERY_FLUSH && x->query->kind != QUERY_SWAP)
            run_query(ms, &view, x->query);
    }
    for (size_t i = 0; reads && i < x->nreads; i++)
        run_read_item(ms, &view, &x->reads[i]);
    memcpy(l->spaces, view.spaces, sizeof(l->spaces));
    x->time_us = ms->now_us;
    memory_rows_release(&view);
}

static enum store_result run_xact(struct memory_store *ms, struct lane *l)
{
    struct store_xact *x = l->xact;
    enum store_result result;
    switch (l->phase) {
    case XACT_BEGIN:
        result = locked_or_ok(ms, x->locks.items, x->locks.n);
        if (result == STORE_OK)
            run_in_view(ms, l, true);
        return result;
    case XACT_STEP:
        result = refused_in_xact(ms, x);
        if (result != STORE_OK)
            return result;
        add_step(l, &x->batch, x->query);
        run_in_view(ms, l, x->reread);
        return STORE_OK;
    case XACT_END:
        if (x->rollback)
            return STORE_OK; /* its steps are dropped */
        result = refused_in_xact(ms, x);
        if (result != STORE_OK)
            return result;
        add_step(l, &x->batch, NULL);
        ms->change_number++;
        replay_steps(ms, l, &ms->data);
        return STORE_OK;
    }
    check_failed("phase", __FILE__, __LINE__);
}

static void answer_xact(struct lane *l, enum store_result result)
{
    struct store_xact *x = l->xact;
    bool keyspace = l->phase == XACT_STEP && result == STORE_OK && x->query->kind == QUERY_KEYSPACE;
    struct store_keyspace *release = keyspace ? x->query->keyspace : NULL;
    x->result = result;
    if (result == STORE_OK && l->phase != XACT_END)
        give_spaces(l, x->spaces, x->nspaces);
    l->xact_waits = false;
    if (l->phase == XACT_END || result != STORE_OK) {
        l->xact = NULL;
        drop_steps(l);
    }
    x->done(x);
    mem_free(release);
}

/* ---- lanes ---- */

static struct lane *lane_of(const struct memory_store *ms, enum memory_lane kind, size_t lane)
{
    CHECK(kind != MEMORY_QUERY && lane < (kind == MEMORY_READ ? ms->nreads : ms->ncommits));
    return kind == MEMORY_READ ? &ms->reads[lane] : &ms->commits[lane];
}

void memory_store_hold(struct memory_store *ms, enum memory_lane kind, size_t lane, bool hold)
{
    if (kind == MEMORY_QUERY)
        ms->queries_held = hold;
    else
        lane_of(ms, kind, lane)->held = hold;
}

size_t memory_store_in_flight(const struct memory_store *ms, enum memory_lane kind, size_t lane)
{
    size_t n = 0;
    for (const struct store_query *q = ms->queries; q != NULL; q = q->next)
        n++;
    if (kind == MEMORY_QUERY)
        return n;
    const struct lane *l = lane_of(ms, kind, lane);
    return l->read != NULL ? l->read->n : l->commit != NULL ? l->commit->n : l->xact_waits;
}

bool memory_store_execute(struct memory_store *ms, enum memory_lane kind, size_t lane)
{
    struct lane *l = lane_of(ms, kind, lane);
    if (memory_store_in_flight(ms, kind, lane) == 0)
        return false;
    if (l->ran)
        return true;
    l->result = STORE_OK;
    if (l->read != NULL)
        run_read(ms, l);
    else if (l->commit != NULL)
        l->result = run_commit(ms, l->commit);
    else
        l->result = run_xact(ms, l);
    l->ran = true;
    return true;
}

static void answer_lane(struct lane *l, enum store_result result)
{
    struct read_batch *read = l->read;
    struct commit_batch *commit = l->commit;
    l->ran = false;
    l->read = NULL;
    l->commit = NULL;
    if (read != NULL) {
        read->result = result;
        if (result == STORE_OK)
            give_spaces(l, read->spaces, read->nspaces);
        read->done(read);
    } else if (commit != NULL) {
        commit->result = result;
        commit->done(commit);
    } else {
        answer_xact(l, result);
    }
}

bool memory_store_answer(struct memory_store *ms, enum memory_lane kind, size_t lane)
{
    if (kind == MEMORY_QUERY)
        return answer_query(ms, STORE_OK);
    if (!memory_store_execute(ms, kind, lane))
        return false;
    struct lane *l = lane_of(ms, kind, lane);
    answer_lane(l, l->result);
    return true;
}

static bool answer_free_lanes(struct memory_store *ms, enum memory_lane kind, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any |= !lane_of(ms, kind, i)->held && memory_store_answer(ms, kind, i);
    return any;
}

bool memory_store_turn(struct memory_store *ms)
{
    bool any = answer_free_lanes(ms, MEMORY_READ, ms->nreads);
    any |= answer_free_lanes(ms, MEMORY_COMMIT, ms->ncommits);
    while (!ms->queries_held && answer_query(ms, STORE_OK))
        any = true;
    return any;
}

bool memory_store_lose(struct memory_store *ms, enum memory_lane kind, size_t lane,
                       enum memory_loss loss)
{
    if (kind == MEMORY_QUERY)
        return answer_query(ms, STORE_LOST);
    struct lane *l = lane_of(ms, kind, lane);
    if (memory_store_in_flight(ms, kind, lane) == 0)
        return false;
    bool may_count = l->commit != NULL || (l->xact != NULL && l->phase == XACT_END);
    if (loss == MEMORY_LOST_AFTER && may_count)
        memory_store_execute(ms, kind, lane);
    bool counts = may_count && l->ran && l->result == STORE_OK;
    if (loss == MEMORY_LOST_BEFORE && l->commit != NULL && !counts && !l->commit->abandoned) {
        l->ran = false;
        return true; /* the same batch goes out again */
    }
    if (l->ran && l->read != NULL) {
        for (size_t i = 0; i < l->read->n; i++) {
            value_unref(l->read->items[i].value);
            l->read->items[i].value = NULL;
        }
    }
    if (counts && l->commit != NULL)
        l->commit->found_out = true;
    answer_lane(l, counts && loss != MEMORY_LOST_FENCED ? STORE_OK : STORE_LOST);
    return true;
}

/* ---- the store's functions ---- */

static struct memory_store *self(const struct store *base)
{
    return (struct memory_store *)base;
}

static void free_lanes(struct lane *lanes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct lane *l = &lanes[i];
        for (size_t k = 0; l->read != NULL && l->ran && k < l->read->n; k++)
            value_unref(l->read->items[k].value);
        drop_steps(l);
    }
    mem_free(lanes);
}

static void ms_free(struct store *base)
{
    struct memory_store *ms = self(base);
    free_lanes(ms->reads, ms->nreads);
    free_lanes(ms->commits, ms->ncommits);
    memory_rows_release(&ms->data);
    for (size_t i = 0; i < ms->nchanges; i++) {
        buf_release(&ms->changes[i].key);
        value_unref(ms->changes[i].value);
    }
    mem_free(ms->changes);
    buf_release(&ms->text);
    mem_free(ms);
}

static enum store_state ms_state(const struct store *base)
{
    return self(base)->state;
}

static size_t ms_read_lanes(const struct store *base)
{
    return self(base)->nreads;
}

static size_t ms_commit_lanes(const struct store *base)
{
    return self(base)->ncommits;
}

static bool lane_idle(const struct memory_store *ms, const struct lane *l)
{
    return ms->state == STORE_ONLINE && l->read == NULL && l->commit == NULL && l->xact == NULL;
}

static bool ms_read_lane_idle(const struct store *base, size_t lane)
{
    return lane_idle(self(base), lane_of(self(base), MEMORY_READ, lane));
}

static bool ms_commit_lane_idle(const struct store *base, size_t lane)
{
    return lane_idle(self(base), lane_of(self(base), MEMORY_COMMIT, lane));
}

static void ms_read(struct store *base, size_t lane, struct read_batch *b)
{
    struct memory_store *ms = self(base);
    CHECK(ms_read_lane_idle(base, lane) && b->n > 0);
    lane_of(ms, MEMORY_READ, lane)->read = b;
    ms->counts.reads++;
    ms->counts.read_items += b->n;
}

static void ms_commit(struct store *base, size_t lane, struct commit_batch *b)
{
    struct memory_store *ms = self(base);
    CHECK(ms_commit_lane_idle(base, lane));
    check_batch(b);
    count_batch(ms, b);
    lane_of(ms, MEMORY_COMMIT, lane)->commit = b;
}

static void xact_go(struct memory_store *ms, size_t lane, struct store_xact *x,
                    enum xact_phase phase)
{
    struct lane *l = lane_of(ms, MEMORY_COMMIT, lane);
    CHECK(!l->xact_waits && l->commit == NULL && (l->xact == x) == (phase != XACT_BEGIN));
    l->xact = x;
    l->phase = phase;
    l->xact_waits = true;
    ms->counts.writes += phase == XACT_BEGIN ? 0 : x->batch.n;
}

static void ms_xact_begin(struct store *base, size_t lane, struct store_xact *x)
{
    CHECK(ms_commit_lane_idle(base, lane) && x->locks.n == x->nreads);
    xact_go(self(base), lane, x, XACT_BEGIN);
}

static void ms_xact_step(struct store *base, size_t lane, struct store_xact *x)
{
    CHECK(x->query != NULL);
    xact_go(self(base), lane, x, XACT_STEP);
}

static void ms_xact_end(struct store *base, size_t lane, struct store_xact *x)
{
    xact_go(self(base), lane, x, XACT_END);
}

static void ms_query(struct store *base, struct store_query *q)
{
    struct memory_store *ms = self(base);
    struct store_query **at = &ms->queries;
    while (*at != NULL)
        at = &(*at)->next;
    q->next = NULL;
    q->result = STORE_LOST;
    q->count = 0;
    q->error[0] = '\0';
    q->keyspace_len = 0;
    *at = q;
    ms->counts.queries++;
}

static int64_t ms_now_us(struct store *base)
{
    return self(base)->now_us;
}

static void ms_info(struct store *base, struct buf *out)
{
    buf_printf(out, "memory_store_commits:%llu\r\n",
               (unsigned long long)self(base)->counts.commits);
}

static void ms_reset_stats(struct store *base)
{
    self(base)->counts = (struct memory_counts){0};
}

static void ms_stop(struct store *base)
{
    self(base)->stopping = true;
}

static bool ms_stopped(const struct store *base)
{
    return self(base)->stopping;
}

static void ms_set_notices(struct store *base, const struct store_notices *notices, void *arg)
{
    struct memory_store *ms = self(base);
    ms->notices = notices;
    ms->notices_arg = arg;
}

static int64_t ms_fresh_until_us(const struct store *base)
{
    return self(base)->fresh_until_us;
}

void memory_store_set_fresh_until(struct memory_store *ms, int64_t us)
{
    ms->fresh_until_us = us;
}

void memory_store_tell(struct memory_store *ms, const char *key)
{
    if (key != NULL)
        ms->notices->stale(ms->notices_arg, store_bucket(bytes_cstr(key)));
    else
        ms->notices->all_stale(ms->notices_arg);
}

static const struct store_ops memory_ops = {
    .free = ms_free,
    .state = ms_state,
    .read_lanes = ms_read_lanes,
    .commit_lanes = ms_commit_lanes,
    .read_lane_idle = ms_read_lane_idle,
    .commit_lane_idle = ms_commit_lane_idle,
    .read = ms_read,
    .commit = ms_commit,
    .xact_begin = ms_xact_begin,
    .xact_step = ms_xact_step,
    .xact_end = ms_xact_end,
    .query = ms_query,
    .set_notices = ms_set_notices,
    .fresh_until_us = ms_fresh_until_us,
    .now_us = ms_now_us,
    .info = ms_info,
    .reset_stats = ms_reset_stats,
    .stop = ms_stop,
    .stopped = ms_stopped,
};

struct memory_store *memory_store_new(size_t read_lanes, size_t commit_lanes)
{
    struct memory_store *ms = mem_zalloc(sizeof(*ms));
    ms->base.ops = &memory_ops;
    ms->state = STORE_ONLINE;
    ms->now_us = INT64_C(1750000000) * 1000000;
    ms->nreads = read_lanes;
    ms->ncommits = commit_lanes + 1; /* the last is the bulk lane */
    ms->reads = mem_zalloc(read_lanes * sizeof(*ms->reads));
    ms->commits = mem_zalloc(ms->ncommits * sizeof(*ms->commits));
    memory_rows_init(&ms->data);
    return ms;
}

struct store *memory_store_base(struct memory_store *ms)
{
    return &ms->base;
}

void memory_store_set_state(struct memory_store *ms, enum store_state state)
{
    ms->state = state;
    for (size_t i = 0; state == STORE_AWAY && i < ms->nreads; i++)
        memory_store_lose(ms, MEMORY_READ, i, MEMORY_LOST_BEFORE);
    while (state == STORE_AWAY && answer_query(ms, STORE_LOST))
        continue;
}

void memory_store_advance(struct memory_store *ms, int64_t us)
{
    ms->now_us += us;
}

int64_t memory_store_now_us(const struct memory_store *ms)
{
    return ms->now_us;
}

const struct memory_counts *memory_store_counts(const struct memory_store *ms)
{
    return &ms->counts;
}

/* ---- others' writes ---- */

static int64_t foreign_stamp(const struct memory_store *ms)
{
    return (ms->now_us + ms->foreign_ahead_us - stamp_epoch_us) << STAMP_SLOT_BITS | FOREIGN_SLOT;
}

void memory_store_write_value(struct memory_store *ms, int db, const char *key, struct value *value)
{
    CHECK(!in_open_xact(ms, db, bytes_cstr(key)));
    struct commit_item it = {.db = db, .key = bytes_cstr(key), .op = COMMIT_WRITE, .value = value};
    ms->change_number++;
    apply_item(ms, &it, foreign_stamp(ms));
}

void memory_store_write(struct memory_store *ms, int db, const char *key, const char *value)
{
    struct value *v = NULL;
    if (value != NULL) {
        v = value_string_new(bytes_cstr(value));
        CHECK(v != NULL);
    }
    memory_store_write_value(ms, db, key, v);
    value_unref(v);
}

void memory_store_end_session(struct memory_store *ms, int db, const char *key)
{
    memory_store_write(ms, db, key, NULL);
    memory_rows_make(&ms->data, db, bytes_cstr(key))->revoked = true;
}

void memory_store_touch(struct memory_store *ms, int db, const char *key, int64_t expires_us)
{
    struct expiry e = {expires_us == STORE_NEVER ? EXPIRY_NONE : EXPIRY_AT, expires_us};
    struct commit_item it = {.db = db, .key = bytes_cstr(key), .op = COMMIT_TOUCH, .expiry = e};
    CHECK(!in_open_xact(ms, db, it.key));
    if (!memory_row_is_live(memory_rows_find(&ms->data, db, it.key), ms->now_us))
        return;
    ms->change_number++;
    apply_item(ms, &it, foreign_stamp(ms));
}

void memory_store_set_foreign_ahead(struct memory_store *ms, int64_t us)
{
    ms->foreign_ahead_us = us;
}

void memory_store_purge(struct memory_store *ms, int db, const char *key)
{
    struct memory_row *r = memory_rows_find(&ms->data, db, bytes_cstr(key));
    CHECK(!in_open_xact(ms, db, bytes_cstr(key)));
    if (r == NULL)
        return;
    CHECK(!memory_row_is_live(r, ms->now_us));
    memory_rows_remove(&ms->data, r);
}

/* ---- looking ---- */

const struct memory_row *memory_store_row(const struct memory_store *ms, int db, struct bytes key)
{
    return memory_rows_find(&ms->data, db, key);
}

const char *memory_store_text(struct memory_store *ms, int db, const char *key)
{
    const struct memory_row *r = memory_rows_find(&ms->data, db, bytes_cstr(key));
    if (!memory_row_is_live(r, ms->now_us))
        return "(nil)";
    ms->text.len = 0;
    buf_append_bytes(&ms->text, value_bytes(r->value));
    return buf_cstr(&ms->text);
}

const struct memory_change *memory_store_changes(const struct memory_store *ms, size_t *n)
{
    *n = ms->nchanges;
    return ms->changes;
}

uint64_t memory_store_change_number(const struct memory_store *ms)
{
    return ms->change_number;
}
