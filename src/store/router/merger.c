/* merger: the way back. First it is found out what became of batches that were in flight when
 * PostgreSQL went, and of a merge batch without an answer; then databases that were flushed; then the
 * keys, in batches, those first for which somebody waits. Each batch is announced in the journal
 * before it is sent, and numbered in PostgreSQL in its own transaction: so after a crash on either side
 * it is known which of them have counted. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "store/router/internal.h"

enum {
    BATCH_KEYS = 500,
    LOCKED_PAUSE_US = 50 * 1000,
    STUCK_PAUSE_US = 1000 * 1000,
};

static void on_merged(struct merge_batch *b);
static void on_asked(void *arg, bool ok, uint64_t number);

/* ---- batches in flight when PostgreSQL went ---- */

static struct unsettled *find_unsettled(struct router *r, const struct journal_lane *lane)
{
    LIST_EACH(it, &r->unsettled)
    {
        struct unsettled *u = LIST_ITEM(it, struct unsettled, node);
        if (u->lane.slot == lane->slot && u->lane.incarnation == lane->incarnation &&
            u->lane.lane == lane->lane && u->lane.stamp == lane->stamp)
            return u;
    }
    return NULL;
}

void merger_note_lane(struct router *r, const struct journal_lane *lane, size_t n)
{
    struct unsettled *u = find_unsettled(r, lane);
    if (u == NULL) {
        u = mem_zalloc(sizeof(*u));
        u->lane = *lane;
        list_push_back(&r->unsettled, &u->node);
    }
    if (n > u->n)
        u->n = n;
}

bool merger_is_of_lane(const struct unsettled *u, int64_t version)
{
    int64_t past = version - u->lane.stamp;
    return past >= 0 && (past & 1023) == 0 && (size_t)(past >> 10) < u->n;
}

/* One key that was in such a batch. */
static void settle_key(struct router *r, struct dirty *d, bool known, bool applied)
{
    if (!known)
        return; /* its row will tell, as well as a row can */
    if (!applied)
        d->maybe_version = 0;
    else if (d->version == d->maybe_version)
        dirty_drop(r, d);
}

void merger_settled(struct router *r, const struct journal_lane *lane, bool known, bool applied,
                    bool (*was_applied)(void *arg, int32_t position), void *arg)
{
    struct unsettled *u = find_unsettled(r, lane);
    if (u == NULL)
        return;
    LIST_EACH(at, &r->dirty)
    {
        struct dirty *d = LIST_ITEM(at, struct dirty, node);
        if (!merger_is_of_lane(u, d->maybe_version))
            continue;
        int32_t position = (int32_t)((d->maybe_version - lane->stamp) >> 10);
        settle_key(r, d, known, applied && was_applied(arg, position));
    }
    list_remove(&u->node);
    mem_free(u);
    r->release_due = true;
}

static bool outcome_has(void *arg, int32_t position)
{
    return postgres_outcome_has(arg, position);
}

/* The journal is told as well, and nobody may use the lane before that is durable: its row will soon
 * speak of other batches. */
static uint64_t journal_outcome(struct router *r, const struct unsettled *u,
                                const struct postgres_outcome *o)
{
    struct journal_item *rejected = mem_alloc((u->n + 1) * sizeof(*rejected));
    struct journal_record rec = {.kind = JOURNAL_SETTLED, .lane = u->lane, .applied = o->applied,
                                 .items = rejected};
    LIST_EACH(at, &r->dirty)
    {
        const struct dirty *d = LIST_ITEM(at, const struct dirty, node);
        int32_t position = (int32_t)((d->maybe_version - u->lane.stamp) >> 10);
        if (merger_is_of_lane(u, d->maybe_version) && o->applied &&
            !postgres_outcome_has(o, position))
            rejected[rec.nitems++] = (struct journal_item){
                .db = d->entry->db, .key = entry_key(d->entry), .version = d->maybe_version};
    }
    uint64_t position = journaling_append(r, &rec);
    mem_free(rejected);
    return position;
}

void merger_outcome(struct router *r, const struct journal_lane *lane,
                    const struct postgres_outcome *o)
{
    struct unsettled *u = find_unsettled(r, lane);
    if (u == NULL)
        return;
    log_event(LOG_NOTICE, "batch-settled", "items=%zu applied=%s", u->n,
              !o->known ? "unknown" : o->applied ? "yes" : "no");
    if (o->known)
        r->settled_position = journal_outcome(r, u, o);
    merger_settled(r, lane, o->known, o->applied, outcome_has, (void *)o);
    merger_pump(r);
}

/* ---- what was sent ---- */

void merger_forget_sent(struct router *r)
{
    for (size_t i = 0; i < r->batch.n; i++) {
        if (r->sent[i] != NULL)
            r->sent[i]->merging = false;
        value_unref(r->items[i].value);
        r->items[i].value = NULL;
        r->sent[i] = NULL;
    }
    r->batch.n = 0;
}

/* It has come to its row, or has lost to it: then the row is somebody else's, and stays for what is
 * written here next, as one that is not known. */
static void end_unseen(struct dirty *d)
{
    d->entry->merged_unseen = d->live && d->entry->knowledge == ENTRY_LIVE;
}

void merger_batch_ended(struct router *r, bool applied, bool told)
{
    r->merge_confirmed = r->merge_number;
    for (size_t i = 0; applied && i < r->batch.n; i++) {
        struct dirty *d = r->sent[i];
        if (d == NULL)
            continue;
        if (d->version != r->items[i].version) {
            d->maybe_version = r->items[i].version;
            continue;
        }
        if (!told)
            end_unseen(d);
        dirty_drop(r, d);
    }
    merger_forget_sent(r);
}

uint64_t merger_describe_sent(struct router *r, bool snapshot)
{
    struct journal_item *items = mem_zalloc((r->batch.n + 1) * sizeof(*items));
    struct journal_record rec = {.kind = JOURNAL_MERGE_BEGIN, .items = items,
                                 .number = r->merge_number};
    for (size_t i = 0; i < r->batch.n; i++) {
        if (r->sent[i] != NULL)
            items[rec.nitems++] = (struct journal_item){.db = r->sent[i]->entry->db,
                                                        .key = entry_key(r->sent[i]->entry),
                                                        .version = r->items[i].version};
    }
    uint64_t position = 0;
    if (snapshot)
        journal_snapshot_add(r->journal, &rec);
    else
        position = journaling_append(r, &rec);
    mem_free(items);
    return position;
}

/* ---- choosing ---- */

static void add_key(struct router *r, struct dirty *d, int32_t group)
{
    struct merge_item *m = &r->items[r->batch.n];
    struct journal_item it;
    dirty_item(d, false, &it);
    *m = (struct merge_item){.db = it.db, .key = it.key, .version = d->version,
                             .value_version = it.value_version, .expires_us = d->expires_us,
                             .base = (enum journal_base)d->base, .base_version = d->base_version,
                             .maybe_version = d->maybe_version, .group = group};
    if (d->live && d->entry->value != NULL)
        m->value = value_ref(d->entry->value);
    else if (d->live) /* it has expired: of its bytes nothing is left, nor wanted */
        m->value = value_decode(VALUE_STRING, bytes_of("", 0));
    d->merging = true;
    r->sent[r->batch.n++] = d;
}

static void add_set(struct router *r, struct dirty *d, int32_t *group)
{
    if (d->merging)
        return;
    if (d->set == NULL || d->set->n == 1) {
        add_key(r, d, 0);
        return;
    }
    ++*group;
    LIST_EACH(at, &d->set->members)
    add_key(r, LIST_ITEM(at, struct dirty, set_node), *group);
}

static size_t set_size(const struct dirty *d)
{
    return d->set != NULL ? d->set->n : 1;
}

static void choose(struct router *r, size_t limit)
{
    int32_t group = 0;
    merger_forget_sent(r);
    LIST_EACH(at, &r->dirty)
    {
        struct dirty *d = LIST_ITEM(at, struct dirty, node);
        if (r->batch.n > 0 && (r->batch.n + set_size(d) > MERGE_MAX || r->batch.n >= limit))
            break;
        if (d->stuck && (r->batch.n > 0 || clock_mono_us() < r->stuck_until_us))
            break; /* these stand at the end, and go alone */
        add_set(r, d, &group);
        if (d->stuck)
            break;
    }
}

void merger_want(struct router *r, struct dirty *d)
{
    if (d->wanted || d->merging || d->stuck)
        return;
    d->wanted = true;
    list_remove(&d->node);
    list_push_front(&r->dirty, &d->node);
    if (r->merging == MERGE_IDLE)
        timer_set(r->merge_timer, 0);
}

/* ---- sending ---- */

static void journal_end(struct router *r)
{
    struct journal_record rec = {.kind = JOURNAL_MERGE_END, .number = r->end_number,
                                 .applied = r->end_applied};
    r->end_position = journaling_append(r, &rec);
}

/* A batch has not been applied, and the journal does not know: it would take it for applied if
 * PostgreSQL had a higher number. */
static bool end_is_owed(const struct router *r)
{
    return r->end_number != 0 && !r->end_applied &&
           (r->end_position == 0 || r->end_position > r->durable);
}

static void send_keys(struct router *r)
{
    r->merging = MERGE_SENT;
    r->sent_us = clock_mono_us();
    r->batch.journal = journal_id(r->journal);
    r->batch.instance = r->config->instance_name;
    r->batch.number = r->merge_number;
    r->batch.items = r->items;
    r->batch.flush = r->flush_sent ? &r->flush : NULL;
    r->batch.done = on_merged;
    postgres_merge(r->pg, &r->batch);
}

/* Where the journal cannot be written, as on a full disk, the batch is sent all the same: merging it all
 * is what makes room again. If we were killed before that, its keys would be merged once more. */
static void announce(struct router *r)
{
    if (r->end_number != 0 && r->end_position == 0)
        journal_end(r); /* it was lost when the journal failed */
    r->merge_number++;
    r->begin_position = merger_describe_sent(r, false);
    if (r->begin_position != 0) {
        r->merging = MERGE_JOURNALLING;
    } else if (!end_is_owed(r)) {
        send_keys(r);
    } else {
        r->merge_number--;
        merger_forget_sent(r);
        timer_set(r->merge_timer, STUCK_PAUSE_US);
    }
}

static void next_batch(struct router *r)
{
    if (!list_empty(&r->flushes) && end_is_owed(r)) { /* a FLUSH takes a number without an announcement */
        if (r->end_position == 0)
            journal_end(r);
        if (r->end_position == 0)
            timer_set(r->merge_timer, STUCK_PAUSE_US);
        return; /* goes on when it is durable */
    }
    r->flush_sent = !list_empty(&r->flushes);
    if (r->flush_sent) {
        const struct flushed *f = LIST_ITEM(r->flushes.next, struct flushed, node);
        r->flush = (struct merge_flush){.db = f->db, .before = f->stamp};
        merger_forget_sent(r);
        r->merge_number++;
        send_keys(r); /* doing it twice does no harm: nothing is announced */
        return;
    }
    choose(r, r->merge_limit);
    if (r->batch.n > 0)
        announce(r);
    else
        timer_set(r->merge_timer, STUCK_PAUSE_US);
}

static void finish(struct router *r)
{
    r->stats.merge_us = clock_mono_us() - r->stats.merge_started_us;
    log_event(LOG_NOTICE, "merged",
              "keys=%" PRIu64 " lost=%" PRIu64 " replaced=%" PRIu64 " ms=%" PRId64,
              r->stats.merged - r->stats.merged_before, r->stats.merge_lost - r->stats.lost_before,
              r->stats.merge_replaced - r->stats.replaced_before, r->stats.merge_us / 1000);
    journaling_merged(r);
    router_set_state(r, STORE_ONLINE, "the journal is merged");
    router_release_held(r);
}

static void ask_lanes(struct router *r)
{
    LIST_EACH(at, &r->unsettled)
    {
        struct unsettled *u = LIST_ITEM(at, struct unsettled, node);
        if (!u->asked && !u->taken)
            postgres_settle(r->pg, &u->lane);
        u->asked = true;
    }
}

void merger_pump(struct router *r)
{
    if (r->state != STORE_RECOVERING || r->merging != MERGE_IDLE || journal_is_compacting(r->journal))
        return;
    ask_lanes(r);
    if (!list_empty(&r->unsettled))
        return;
    if (!r->merge_asked) {
        r->merging = MERGE_ASKING;
        postgres_merged(r->pg, journal_id(r->journal), on_asked, r);
    } else if (list_empty(&r->dirty) && list_empty(&r->flushes)) {
        if (r->durable >= r->journalled)
            finish(r);
    } else {
        next_batch(r);
    }
}

void merger_start(struct router *r)
{
    r->merge_asked = false;
    r->merge_limit = BATCH_KEYS;
    r->stats.merge_started_us = clock_mono_us();
    r->stats.merged_before = r->stats.merged;
    r->stats.lost_before = r->stats.merge_lost;
    r->stats.replaced_before = r->stats.merge_replaced;
    LIST_EACH(at, &r->dirty)
    LIST_ITEM(at, struct dirty, node)->stuck = false;
    log_event(LOG_NOTICE, "merging", "keys=%zu flushes=%s", r->ndirty,
              list_empty(&r->flushes) ? "no" : "yes");
    timer_set(r->merge_timer, 0);
}

/* PostgreSQL has gone again: a batch that was only announced was not sent. What has been asked or sent is
 * answered in any case, perhaps only when PostgreSQL is back; nothing else is begun before. */
void merger_stop(struct router *r)
{
    timer_clear(r->merge_timer);
    if (r->merging == MERGE_JOURNALLING) {
        merger_forget_sent(r);
        r->merging = MERGE_IDLE;
    }
    LIST_EACH(at, &r->unsettled)
    LIST_ITEM(at, struct unsettled, node)->asked = false;
}

void merger_durable(struct router *r)
{
    if (r->merging == MERGE_JOURNALLING && r->begin_position <= r->durable)
        send_keys(r);
    else
        merger_pump(r);
}

void merger_journal_failed(struct router *r)
{
    r->settled_position = 0;
    if (r->end_position > r->durable)
        r->end_position = 0;
    if (r->merging != MERGE_JOURNALLING)
        return;
    merger_forget_sent(r);
    r->merging = MERGE_IDLE;
    timer_set(r->merge_timer, STUCK_PAUSE_US);
}

/* ---- the answers ---- */

/* A batch without an answer: PostgreSQL says whether it has counted. */
static void on_asked(void *arg, bool ok, uint64_t number)
{
    struct router *r = arg;
    CHECK(r->merging == MERGE_ASKING);
    r->merging = MERGE_IDLE;
    if (!ok || r->state != STORE_RECOVERING) {
        timer_set(r->merge_timer, LOCKED_PAUSE_US);
        return;
    }
    r->merge_asked = true;
    if (r->merge_number > r->merge_confirmed)
        merger_end_batch(r, number >= r->merge_number, false);
    if (number > r->merge_number)
        r->merge_number = r->merge_confirmed = number;
    merger_pump(r);
}

void merger_end_batch(struct router *r, bool applied, bool told)
{
    r->end_number = r->merge_number;
    r->end_applied = applied;
    journal_end(r);
    merger_batch_ended(r, applied, told);
}

static void count_outcome(enum merge_outcome outcome)
{
    metrics.merge_applied += outcome == MERGE_APPLIED;
    metrics.merge_same += outcome == MERGE_SAME;
    metrics.merge_lost += outcome == MERGE_LOST;
    metrics.merge_dropped += outcome == MERGE_DROPPED;
}

/* The entries say what is stored now, as far as that is known. */
static void take_outcomes(struct router *r)
{
    for (size_t i = 0; i < r->batch.n; i++) {
        const struct merge_item *m = &r->items[i];
        struct dirty *d = r->sent[i];
        if (d == NULL)
            continue;
        r->stats.merged++;
        r->stats.merge_lost += m->outcome == MERGE_LOST;
        count_outcome(m->outcome);
        struct entry *e = d->entry;
        if (d->version != m->version)
            continue; /* written since, while PostgreSQL was away again: that is in nobody's row */
        bool as_here = (m->outcome == MERGE_APPLIED || m->outcome == MERGE_SAME) &&
                       m->row_version == e->version;
        if (!as_here)
            entry_set_unknown(r->keyspace, e);
    }
    r->stats.merge_replaced += (uint64_t)r->batch.replaced;
    metrics.merge_replaced += r->batch.replaced;
}

static void drop_flush(struct router *r)
{
    LIST_EACH(at, &r->flushes)
    {
        struct flushed *f = LIST_ITEM(at, struct flushed, node);
        if (f->db != r->flush.db || f->stamp != r->flush.before)
            continue; /* a later one has taken its place meanwhile */
        list_remove(&f->node);
        mem_free(f);
    }
    router_know_flushed(r);
    r->merge_confirmed = r->merge_number;
    r->release_due = true;
}

static void batch_merged(struct router *r)
{
    if (r->flush_sent) {
        drop_flush(r);
    } else {
        take_outcomes(r);
        merger_end_batch(r, true, true);
    }
    r->merge_limit = r->merge_limit * 2 > BATCH_KEYS ? BATCH_KEYS : r->merge_limit * 2;
    /* Live traffic has half of the time, unless it waits for this. */
    bool waited_for = router_has_held(r);
    timer_set(r->merge_timer, waited_for ? 0 : (clock_mono_us() - r->sent_us) / 2);
    router_release_held(r);
}

static void put_last(struct router *r)
{
    for (size_t i = 0; i < r->batch.n; i++) {
        struct dirty *d = r->sent[i];
        if (d == NULL)
            continue;
        d->stuck = true;
        list_remove(&d->node);
        list_push_back(&r->dirty, &d->node);
    }
    r->stuck_until_us = clock_mono_us() + STUCK_PAUSE_US;
}

static void batch_refused(struct router *r, bool locked)
{
    char quoted[LOG_QUOTE_SIZE];
    size_t n = r->batch.n;
    bool alone = n <= 1 || (r->sent[0] != NULL && set_size(r->sent[0]) == n);
    if (r->flush_sent) {
        r->merge_number--;
        timer_set(r->merge_timer, LOCKED_PAUSE_US);
        return;
    }
    if (alone) {
        char name[KEY_NAME_SIZE] = "";
        if (r->sent[0] != NULL)
            key_log_name(entry_key(r->sent[0]->entry), name);
        log_event(LOG_WARNING, "merge-refused", "key=%s locked=%s why=%s", name, locked ? "yes" : "no",
                  log_quote(r->batch.error, quoted));
        put_last(r);
    }
    r->merge_limit = n / 2 > 0 ? n / 2 : 1;
    merger_end_batch(r, false, true);
    timer_set(r->merge_timer, locked && !alone ? LOCKED_PAUSE_US / 4 : 0);
}

static void on_merged(struct merge_batch *b)
{
    struct router *r = LIST_ITEM(b, struct router, batch);
    CHECK(r->merging == MERGE_SENT);
    r->merging = MERGE_IDLE;
    switch (b->result) {
    case STORE_OK:
        batch_merged(r);
        break;
    case STORE_LOCKED:
    case STORE_REFUSED:
        batch_refused(r, b->result == STORE_LOCKED);
        break;
    case STORE_LOST:
    case STORE_FAILED:
        r->merge_asked = false; /* until that is answered, the keys' rows are as they were, or as it was sent */
        timer_set(r->merge_timer, LOCKED_PAUSE_US);
        break;
    }
    router_answer_soon(r);
}
