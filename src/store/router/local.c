/* local: reads and commits that are served from memory and journal.
 *
 * A commit is checked against the entries when it is submitted. Its groups' records are appended; when
 * they are durable the batch is answered, and the engine brings the entries up to date.
 *
 * A key that `fallback` keeps from being written in an outage is in no record, also if its command had
 * been let in before PostgreSQL went. What had not been sent is not applied, and is refused when it runs
 * again; what was in flight has an outcome that nobody here knows, and is answered so. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "config/policy.h"
#include "store/router/internal.h"

bool local_is_live(const struct entry *e, int64_t now_us)
{
    return e != NULL && e->knowledge == ENTRY_LIVE && e->expires_us > now_us;
}

/* ---- reads ---- */

void local_answer_item(struct router *r, struct read_item *it)
{
    int64_t now_us = router_now_us(r);
    const struct entry *e = keyspace_find(r->keyspace, it->db, it->key);
    it->changed = false;
    it->undecided = false;
    it->expired = false;
    it->guessed = false;
    it->local = true;
    it->ended = 0;
    it->version = it->known;
    it->value = NULL;
    if (e == NULL || e->knowledge == ENTRY_UNKNOWN) {
        it->guessed = !r->flushed[it->db] && r->state != STORE_STANDALONE;
        r->stats.unknown_reads += it->guessed;
    } else if (e->guessed) {
        it->guessed = true;
        r->stats.unknown_reads++;
    } else if (e->knowledge == ENTRY_LIVE && e->expires_us <= now_us) {
        it->changed = true;
        it->expired = true;
        it->version = -e->version;
    }
}

static void end_read(struct router *r, struct read_batch *b)
{
    int64_t now_us = router_now_us(r);
    for (size_t i = 0; i < b->n; i++)
        local_answer_item(r, &b->items[i]);
    b->time_us = now_us;
    b->result = STORE_OK;
    b->done(b);
}

void local_read(struct router *r, size_t lane, struct read_batch *b)
{
    CHECK(r->local_reads[lane].read == NULL);
    r->local_reads[lane].read = b;
    router_answer_soon(r);
}

/* ---- commits: may it be? ---- */

static struct entry *entry_of(struct router *r, const struct commit_item *it)
{
    return it->entry != NULL ? it->entry : keyspace_find(r->keyspace, it->db, it->key);
}


static bool expectation_holds(const struct commit_item *it, const struct entry *e, int64_t now_us)
{
    bool live = local_is_live(e, now_us);
    switch (it->expect) {
    case EXPECT_ANY:
        return true;
    case EXPECT_LIVE_AT:
        return live && e->version == it->expected;
    case EXPECT_ABSENT:
        return !live;
    case EXPECT_VALUE_AT:
        return live && e->value_version == it->expected;
    case EXPECT_ABSENT_AT: /* a FLUSH lets no batch from before it through */
        return !live && (e == NULL || e->version <= it->expected);
    }
    check_failed("commit expectation", __FILE__, __LINE__);
}

bool local_may_write(const struct router *r, const struct commit_item *items, size_t n)
{
    for (size_t i = 0; i < n && r->state == STORE_AWAY; i++) {
        if (items[i].op != COMMIT_CHECK &&
            policy_fallback(r->config->fallback, items[i].key) != FALLBACK_ON)
            return false;
    }
    return true;
}

static bool group_holds(struct router *r, const struct commit_item *items, size_t n, int64_t now_us)
{
    for (size_t i = 0; i < n; i++) {
        const struct entry *e = entry_of(r, &items[i]);
        if (!expectation_holds(&items[i], e, now_us))
            return false;
    }
    return true;
}

/* ---- commits: what is journalled ---- */

/* The stamp of a write that replaces what the entry holds. */
static int64_t version_above(const struct entry *e, int64_t stamp)
{
    if (e->version < stamp)
        return stamp;
    return (((e->version >> 10) + 1) << 10) | (stamp & 1023);
}

static int64_t expiry_us(const struct commit_item *it, int64_t now_us)
{
    if (it->expiry.kind == EXPIRY_NONE)
        return STORE_NEVER;
    return it->expiry.us + (it->expiry.kind == EXPIRY_RELATIVE ? now_us : 0);
}

/* The record of one item; its entry is there: the engine works with it. */
static void describe(struct router *r, const struct commit_item *it, bool taken, int64_t now_us,
                     struct journal_item *out)
{
    const struct entry *e = entry_of(r, it);
    CHECK(e != NULL);
    *out = (struct journal_item){.db = it->db, .key = it->key, .version = it->version,
                                 .expires_us = STORE_NEVER};
    dirty_base_of(r, e, now_us, out);
    if (taken) {
        out->maybe_version = it->version;
        if (e->merged_unseen && e->dirty == NULL && local_is_live(e, now_us))
            out->base = BASE_LIVE; /* it was sent over whatever there was */
    }
    out->live = it->value != NULL;
    if (!out->live)
        return;
    dirty_base_if_removed(it->removed, out);
    out->expires_us = expiry_us(it, now_us);
    out->type = it->value->type;
    out->touch = it->op == COMMIT_TOUCH && e->dirty != NULL && e->dirty->live && e->value != NULL;
    if (!out->touch)
        out->value = value_bytes(it->value);
    out->value_version = it->op == COMMIT_TOUCH ? e->value_version : it->version;
}

static size_t group_length(const struct commit_batch *b, size_t from)
{
    size_t n = 1;
    while (from + n < b->n && b->items[from + n].group == b->items[from].group)
        n++;
    return n;
}

static void mark(struct commit_item *items, size_t n, bool applied)
{
    for (size_t i = 0; i < n; i++)
        items[i].applied = applied;
}

/* False = the journal takes no more. */
static bool journal_group(struct router *r, struct commit_item *items, size_t n,
                          const struct journal_lane *taken, int64_t stamp, int64_t now_us)
{
    struct journal_item *described = mem_alloc(n * sizeof(*described));
    struct journal_record rec = {.kind = JOURNAL_WRITE, .items = described};
    if (taken != NULL)
        rec.lane = *taken;
    for (size_t i = 0; i < n; i++) {
        if (items[i].op == COMMIT_CHECK)
            continue;
        const struct entry *e = entry_of(r, &items[i]);
        if (ended_by_sql(r, &items[i], e, now_us)) {
            items[i].version = -e->version; /* not live; if it has been applied, PostgreSQL holds it back itself */
            items[i].held_back = true;
            continue;
        }
        if (taken == NULL)
            items[i].version = version_above(e, stamp + ((int64_t)i << 10));
        describe(r, &items[i], taken != NULL, now_us, &described[rec.nitems++]);
    }
    bool taken_in = rec.nitems == 0 || journaling_append(r, &rec) != 0;
    mem_free(described);
    return taken_in;
}

/* ---- commits: the end ---- */

static void note_group(struct router *r, const struct commit_item *items, size_t n, bool taken,
                       int64_t now_us)
{
    struct dirty *first = NULL;
    for (size_t i = 0; i < n; i++) {
        struct journal_item it;
        if (items[i].op == COMMIT_CHECK || items[i].version < 0)
            continue;
        describe(r, &items[i], taken, now_us, &it);
        struct dirty *d = dirty_note(r, entry_of(r, &items[i]), &it);
        if (first != NULL)
            dirty_unite(first, d);
        first = d;
    }
}

static void note_batch(struct router *r, const struct commit_batch *b, bool taken)
{
    for (size_t i = 0; i < b->n;) {
        size_t n = group_length(b, i);
        if (b->items[i].applied)
            note_group(r, &b->items[i], n, taken, b->time_us);
        i += n;
    }
    r->stats.local_commits++;
}

static void end_commit(struct router *r, struct local_lane *lane, enum store_result result)
{
    struct commit_batch *b = lane->batch;
    if (result == STORE_OK)
        note_batch(r, b, lane->taken);
    lane->batch = NULL;
    lane->done = false;
    b->result = result;
    b->local = true;
    b->done(b);
}

/* What was in flight to PostgreSQL may have been applied there. */
static void say_why_it_failed(struct router *r, struct local_lane *lane)
{
    struct commit_batch *b = lane->batch;
    if (lane->taken)
        snprintf(b->error, sizeof(b->error),
                 "ERR PostgreSQL did not confirm, the write may or may not have been applied");
    else if (journaling_error(r, b->error, sizeof(b->error)) == NULL)
        snprintf(b->error, sizeof(b->error),
                 "MISCONF the journal could not be written, nothing was done");
}

static void fail_commit(struct router *r, struct local_lane *lane)
{
    struct commit_batch *b = lane->batch;
    say_why_it_failed(r, lane);
    mark(b->items, b->n, false);
    end_commit(r, lane, STORE_FAILED);
}

void local_commit(struct router *r, size_t i, struct commit_batch *b,
                  const struct journal_lane *taken)
{
    struct local_lane *lane = &r->local_commits[i];
    int64_t now_us = router_now_us(r);
    int64_t stamp = taken == NULL ? router_mint(r, b->n) : 0;
    CHECK(lane->batch == NULL);
    *lane = (struct local_lane){.batch = b, .taken = taken != NULL};
    bool full = false;
    b->time_us = now_us;
    for (size_t at = 0; at < b->n && !full;) {
        size_t n = group_length(b, at);
        bool may = local_may_write(r, &b->items[at], n);
        bool holds = may && (taken != NULL || group_holds(r, &b->items[at], n, now_us));
        if (holds)
            full = !journal_group(r, &b->items[at], n, taken, stamp + ((int64_t)at << 10), now_us);
        mark(&b->items[at], full ? b->n - at : n, holds && !full);
        lane->partly |= full || (!may && taken != NULL);
        at += n;
    }
    if (taken != NULL && r->journal != NULL) /* also if it did not take all: the rest has an outcome, too */
        merger_note_lane(r, taken, b->n);
    lane->position = r->journalled;
    lane->done = r->journalled <= r->durable;
    if (lane->done)
        router_answer_soon(r);
}

/* All that was appended, before the journal was full or beside what may not be, is durable: those groups
 * are answered so. */
static void finish_commit(struct router *r, struct local_lane *lane)
{
    if (!lane->partly) {
        end_commit(r, lane, STORE_OK);
        return;
    }
    note_batch(r, lane->batch, lane->taken);
    say_why_it_failed(r, lane);
    end_commit(r, lane, STORE_FAILED);
}

void local_durable(struct router *r)
{
    for (size_t i = 0; i < r->ncommits; i++) {
        struct local_lane *lane = &r->local_commits[i];
        if (lane->batch != NULL && !lane->done && lane->position <= r->durable)
            finish_commit(r, lane);
    }
    local_query_durable(r);
}

void local_failed(struct router *r)
{
    r->journalled = r->durable; /* what was appended behind it is gone */
    for (size_t i = 0; i < r->ncommits; i++) {
        struct local_lane *lane = &r->local_commits[i];
        if (lane->batch != NULL && !lane->done)
            fail_commit(r, lane);
    }
    local_query_failed(r);
}

void local_answer(struct router *r)
{
    for (size_t i = 0; i < r->nreads; i++) {
        struct read_batch *b = r->local_reads[i].read;
        r->local_reads[i].read = NULL;
        if (b != NULL)
            end_read(r, b);
    }
    for (size_t i = 0; i < r->ncommits; i++) {
        if (r->local_commits[i].batch != NULL && r->local_commits[i].done)
            finish_commit(r, &r->local_commits[i]);
    }
    local_query_answer(r);
}

bool local_busy(const struct router *r)
{
    for (size_t i = 0; i < r->nreads; i++) {
        if (r->local_reads[i].read != NULL)
            return true;
    }
    for (size_t i = 0; i < r->ncommits; i++) {
        if (r->local_commits[i].batch != NULL)
            return true;
    }
    return local_query_busy(r);
}
