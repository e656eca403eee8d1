/* gather: commit batches. Txns that have run put their changes into the open gather of a commit
 * lane; when the lane is idle, the gather goes out as one batch.
 *
 * A gather holds items (one per key) in groups (what must commit together). Txns that share a key
 * are of one group, and so are all of one client: its writes commit in the order sent, or are
 * rejected together. Working values live in the entries; if a group is rejected they are forgotten
 * and its txns run again on what PostgreSQL holds.
 *
 * A group with a member that has been given up (its client was told so) is not sent any more: the
 * others run again without it. */
#include "engine/gather.h"
#include "engine/internal.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/block.h"

enum { MAX_GATHER_BYTES = 4 << 20 };

static void on_commit(struct commit_batch *b);

/* ---- making and ending ---- */

struct gather *gather_new(struct engine *e, size_t lane)
{
    struct gather *g = mem_zalloc(sizeof(*g));
    g->engine = e;
    g->lane = lane;
    list_init(&g->node);
    list_init(&g->groups);
    return g;
}

void gather_set_state(struct gather *g, enum gather_state to)
{
    static const bool legal[5][5] = {
        [GATHER_OPEN] = {[GATHER_READY] = true, [GATHER_SENT] = true},
        [GATHER_READY] = {[GATHER_SENT] = true, [GATHER_PARKED] = true},
        [GATHER_SENT] = {[GATHER_PROBING] = true, [GATHER_READY] = true},
        [GATHER_PROBING] = {[GATHER_READY] = true, [GATHER_PARKED] = true},
        [GATHER_PARKED] = {[GATHER_PROBING] = true, [GATHER_READY] = true},
    };
    CHECK(legal[g->state][to]);
    g->state = to;
}

void gather_free(struct gather *g)
{
    CHECK(list_empty(&g->groups));
    list_remove(&g->node);
    mem_free(g->commit_items);
    mem_free(g->locked);
    mem_free(g);
}

static void item_free(struct engine *e, struct item *it)
{
    struct entry *entry = it->entry;
    list_remove(&it->node);
    entry->work->gather = NULL;
    entry->work->item = NULL;
    if (block_is_waited_for(entry))
        block_settled(e, entry);
    entry_wake_later(e, entry);
    entry_unuse(e, entry);
    value_unref(it->value);
    mem_free(it);
}

/* Items and group go; the txns must be gone. */
static void group_free(struct group *grp)
{
    struct gather *g = grp->gather;
    CHECK(list_empty(&grp->txns));
    LIST_EACH(it, &grp->items)
    {
        g->nitems--;
        item_free(g->engine, LIST_ITEM(it, struct item, node));
    }
    list_remove(&grp->node);
    mem_free(grp);
}

void gather_drop(struct gather *g)
{
    LIST_EACH(at, &g->groups)
    {
        struct group *grp = LIST_ITEM(at, struct group, node);
        LIST_EACH(tx, &grp->txns)
        txn_free(LIST_ITEM(tx, struct txn, work_node));
        group_free(grp);
    }
    gather_free(g);
}

void gather_init(struct engine *e)
{
    e->ncommits = e->store->ops->commit_lanes(e->store);
    e->commits = mem_zalloc(e->ncommits * sizeof(*e->commits));
    for (size_t i = 0; i < e->ncommits; i++)
        list_init(&e->commits[i].ready);
    locked_init(e);
}

void gather_release(struct engine *e)
{
    for (size_t i = 0; i < e->ncommits; i++) {
        struct commit_lane *lane = &e->commits[i];
        if (lane->open != NULL)
            gather_drop(lane->open);
        if (lane->sent != NULL)
            gather_drop(lane->sent);
        LIST_EACH(it, &lane->ready)
        gather_drop(LIST_ITEM(it, struct gather, node));
    }
    locked_release(e);
    mem_free(e->commits);
}

/* ---- joining ---- */

static bool lane_busy(const struct engine *e, size_t i)
{
    return e->commits[i].sent != NULL || !list_empty(&e->commits[i].ready);
}

/* Does it write a value so large that its neighbours in a batch would wait for it? */
static bool is_bulk(const struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        const struct key *k = &t->keys[i].key;
        if (k->change == KEY_WRITTEN && k->value != NULL && value_size(k->value) > STORE_BULK_BYTES)
            return true;
    }
    return false;
}

/* It has run on a working value of a gather, and must join that: see fill_key. */
static bool has_taken(const struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        if (t->keys[i].taken)
            return true;
    }
    return false;
}

/* A large value has its batch to itself. The gather stays open for others who change it, too. */
static bool bulk_gather_is_anothers(const struct engine *e, const struct txn *t)
{
    const struct gather *open = e->commits[e->ncommits - 1].open;
    for (int i = 0; open != NULL && i < t->nkeys; i++) {
        if (t->keys[i].entry->work->gather == open)
            return false;
    }
    return open != NULL;
}

/* An idle lane if there is one, else a fixed one per client. */
static size_t any_lane(const struct txn *t)
{
    const struct engine *e = t->engine;
    size_t normal = e->ncommits - 1;
    for (size_t i = 0; i < normal; i++) {
        if (!lane_busy(e, i))
            return i;
    }
    return t->client != NULL ? t->client->id % normal : 0;
}

bool gather_lane_for(struct txn *t, size_t *lane)
{
    const struct gather *g = NULL;
    for (int i = 0; i < t->nkeys; i++) {
        const struct gather *other = t->keys[i].entry->work->gather;
        if (other == NULL)
            continue;
        if (other->state != GATHER_OPEN || (g != NULL && other != g))
            return false;
        g = other;
    }
    size_t bulk_lane = t->engine->ncommits - 1;
    bool bound = t->client != NULL && t->client->gathered > 0;
    size_t bound_to = bound ? t->client->commit_lane : 0;
    if (g != NULL && bound && g->lane != bound_to)
        return false;
    bool bulk = is_bulk(t) && !has_taken(t);
    if (bulk && ((g != NULL && g->lane != bulk_lane) || (bound && bound_to != bulk_lane)))
        return false;
    *lane = g != NULL ? g->lane : bound ? bound_to : bulk ? bulk_lane : any_lane(t);
    /* What its client has there may be rejected: it may not overtake that. */
    return *lane != bulk_lane || !bound || t->client->open_group == NULL ||
           !t->client->open_group->conditional || !bulk_gather_is_anothers(t->engine, t);
}

static struct group *group_new(struct gather *g)
{
    struct group *grp = mem_zalloc(sizeof(*grp));
    grp->gather = g;
    list_init(&grp->items);
    list_init(&grp->txns);
    list_push_back(&g->groups, &grp->node);
    return grp;
}

/* Makes one group of two; returns it. */
static struct group *unite(struct group *a, struct group *b)
{
    if (a == NULL || b == NULL || a == b)
        return a != NULL ? a : b;
    if (a->nitems < b->nitems) {
        struct group *t = a;
        a = b;
        b = t;
    }
    LIST_EACH(it, &b->items)
    LIST_ITEM(it, struct item, node)->group = a;
    LIST_EACH(it, &b->txns)
    {
        struct txn *t = LIST_ITEM(it, struct txn, work_node);
        t->group = a;
        if (t->client != NULL && t->client->open_group == b)
            t->client->open_group = a;
    }
    list_append_all(&a->items, &b->items);
    list_append_all(&a->txns, &b->txns);
    a->nitems += b->nitems;
    a->nwrites += b->nwrites;
    a->conditional |= b->conditional;
    list_remove(&b->node);
    mem_free(b);
    return a;
}

/* What the row must be for this key's part to count. */
static void set_expectation(struct item *it, const struct txn_key *k)
{
    const struct entry *entry = k->entry;
    if (!k->observed) {
        it->expect = EXPECT_ANY;
        return;
    }
    it->expected = entry->version;
    if (entry->knowledge == ENTRY_LIVE)
        it->expect = EXPECT_LIVE_AT;
    else
        it->expect = EXPECT_ABSENT;
}

static struct item *item_new(struct gather *g, struct group *grp, const struct txn_key *k)
{
    struct item *it = mem_zalloc(sizeof(*it));
    it->entry = k->entry;
    entry_pin_again(it->entry);
    it->group = grp;
    it->op = COMMIT_CHECK;
    set_expectation(it, k);
    it->entry->work->gather = g;
    it->entry->work->item = it;
    list_push_back(&grp->items, &it->node);
    grp->nitems++;
    grp->conditional |= it->expect != EXPECT_ANY;
    g->nitems++;
    g->bytes += entry_key(it->entry).len + 64;
    return it;
}

/* A SET of the very bytes that are here needs to move only the expiry, if they are still there. What
 * SQL has written is written once more: SQL cannot decode every value for `doc`. */
static bool is_same_bytes(const struct txn_key *k)
{
    const struct entry *entry = k->entry;
    return !k->observed && entry->knowledge == ENTRY_LIVE && k->key.value != NULL &&
           k->key.value->type == VALUE_STRING && entry->value->type == VALUE_STRING &&
           !STORE_STAMP_IS_OF_SQL(entry->value_version) &&
           bytes_eq(value_bytes(k->key.value), value_bytes(entry->value));
}

static void change_item(struct gather *g, struct item *it, struct txn_key *k, bool is_new)
{
    const struct entry *entry = k->entry;
    bool was_write = it->op != COMMIT_CHECK;
    if (is_new && k->key.change == KEY_WRITTEN && is_same_bytes(k)) {
        it->op = COMMIT_TOUCH;
        it->expect = EXPECT_VALUE_AT;
        it->expected = entry->value_version;
        it->demotable = true;
        it->group->conditional = true;
    } else if (k->key.change == KEY_WRITTEN) {
        it->op = COMMIT_WRITE;
    } else if (it->op == COMMIT_CHECK) {
        it->op = COMMIT_TOUCH;
    }
    it->saw_absent |=
        k->key.asked || (k->txn->client != NULL && client_saw_absent(k->txn->client, entry));
    it->removed |= k->key.removed;
    it->group->nwrites += !was_write;
    value_unref(it->value);
    it->value = k->key.value; /* takes the reference */
    k->key.value = NULL;
    it->expiry = it->value != NULL ? k->key.expiry : (struct expiry){EXPIRY_NONE, 0};
    g->bytes -= it->bytes;
    it->bytes = it->value != NULL ? value_size(it->value) : 0;
    g->bytes += it->bytes;
}

/* Whoever runs next on a working value is to have it alone, so nothing of it stays with the txn. */
static void leave_value(struct item *it, struct txn_key *k)
{
    if (k->taken && it->value == NULL && k->key.change == KEY_UNCHANGED)
        it->value = k->key.value;
    else
        value_unref(k->key.value);
    k->key.value = NULL;
    k->taken = false;
}

static void join_key(struct gather *g, struct group *grp, struct txn_key *k)
{
    struct item *it = k->entry->work->item;
    bool is_new = it == NULL;
    bool changed = k->key.change != KEY_UNCHANGED;
    if (is_new && (changed || k->observed))
        it = item_new(g, grp, k);
    /* WATCH wants to know of every write, also of one that left the key absent. */
    if (k->watched && it->op == COMMIT_CHECK && it->expect == EXPECT_ABSENT) {
        it->expect = EXPECT_ABSENT_AT;
        it->expected_space = k->watched_space;
    }
    if (changed)
        change_item(g, it, k, is_new);
    leave_value(it, k);
}

static struct gather *open_gather(struct engine *e, size_t lane)
{
    if (e->commits[lane].open == NULL)
        e->commits[lane].open = gather_new(e, lane);
    return e->commits[lane].open;
}

/* These may yet be rejected, or wait: what their clients send next has to wait, too. */
void group_hold_back_clients(struct group *grp)
{
    LIST_EACH(it, &grp->txns)
    {
        struct txn *t = LIST_ITEM(it, struct txn, work_node);
        if (t->client == NULL || t->sent_conditional)
            continue;
        t->sent_conditional = true;
        t->client->sent_conditional++;
    }
}

/* Client's `open_group` is good for joining only while that gather is open. */
static void close_gather(struct gather *g)
{
    LIST_EACH(at, &g->groups)
    {
        struct group *grp = LIST_ITEM(at, struct group, node);
        LIST_EACH(it, &grp->txns)
        {
            struct txn *t = LIST_ITEM(it, struct txn, work_node);
            if (t->client == NULL)
                continue;
            t->client->open_group = NULL;
        }
        if (grp->conditional)
            group_hold_back_clients(grp);
    }
    g->engine->commits[g->lane].open = NULL;
}

static void close_to_others(struct gather *g)
{
    close_gather(g);
    gather_set_state(g, GATHER_READY);
    list_push_back(&g->engine->commits[g->lane].ready, &g->node);
}

void gather_join(struct txn *t, size_t lane)
{
    struct engine *e = t->engine;
    size_t bulk_lane = e->ncommits - 1;
    if (lane == bulk_lane && bulk_gather_is_anothers(e, t))
        close_to_others(e->commits[lane].open);
    struct gather *g = open_gather(e, lane);
    struct group *grp = t->client != NULL ? t->client->open_group : NULL;
    for (int i = 0; i < t->nkeys; i++) {
        const struct item *it = t->keys[i].entry->work->item;
        if (it != NULL)
            grp = unite(grp, it->group);
    }
    if (grp == NULL)
        grp = group_new(g);
    CHECK(grp->gather == g);
    for (int i = 0; i < t->nkeys; i++)
        join_key(g, grp, &t->keys[i]);
    txn_set_state(t, TXN_GATHERED);
    t->gather = g;
    t->group = grp;
    list_push_back(&grp->txns, &t->work_node);
    if (t->client != NULL) {
        t->client->open_group = grp;
        t->client->commit_lane = lane;
        client_pump_later(t->client); /* what it sent next may join */
    }
    for (int i = 0; i < t->nkeys; i++) {
        if (block_is_waited_for(t->keys[i].entry))
            block_recheck(e, t->keys[i].entry);
        entry_wake_later(e, t->keys[i].entry);
    }
    /* On the bulk lane bytes do not count: there is one large value, and what has to go with it. */
    if (g->nitems >= MAX_GATHER_ITEMS || (lane != bulk_lane && g->bytes >= MAX_GATHER_BYTES))
        close_to_others(g);
}

/* ---- leaving ---- */

/* What its entries were thought to be has turned out to be wrong, or may have. */
static void forget_entries(struct group *grp)
{
    LIST_EACH(it, &grp->items)
    entry_set_unknown(grp->gather->engine->keyspace, LIST_ITEM(it, struct item, node)->entry);
}

/* Its txns run again, oldest first; those given up end. */
void group_run_again(struct group *grp, bool solo)
{
    struct list txns;
    list_init(&txns);
    list_append_all(&txns, &grp->txns);
    LIST_EACH(it, &txns)
    {
        struct txn *t = LIST_ITEM(it, struct txn, work_node);
        if (t->client != NULL && t->client->open_group == grp)
            t->client->open_group = NULL;
    }
    group_free(grp);
    LIST_EACH(it, &txns)
    {
        struct txn *t = LIST_ITEM(it, struct txn, work_node);
        list_remove(it);
        t->solo |= solo;
        txn_again(t);
    }
}

static void fail_group(struct group *grp, const char *error)
{
    struct list txns;
    list_init(&txns);
    list_append_all(&txns, &grp->txns);
    group_free(grp);
    LIST_EACH(it, &txns)
    {
        struct txn *t = LIST_ITEM(it, struct txn, work_node);
        list_remove(it);
        txn_fail(t, error);
    }
}

/* Moves a group into another gather. */
void group_move(struct group *grp, struct gather *to)
{
    grp->gather->nitems -= grp->nitems;
    to->nitems += grp->nitems;
    list_remove(&grp->node);
    list_push_back(&to->groups, &grp->node);
    grp->gather = to;
    LIST_EACH(it, &grp->items)
    LIST_ITEM(it, struct item, node)->entry->work->gather = to;
    LIST_EACH(it, &grp->txns)
    LIST_ITEM(it, struct txn, work_node)->gather = to;
}

/* ---- sending ---- */

bool group_has_given_up(const struct group *grp)
{
    LIST_EACH(it, (struct list *)&grp->txns)
    {
        if (LIST_ITEM(it, struct txn, work_node)->client == NULL)
            return true;
    }
    return false;
}

static bool has_suspect(const struct group *grp)
{
    LIST_EACH(it, (struct list *)&grp->items)
    {
        if (LIST_ITEM(it, struct item, node)->entry->suspect)
            return true;
    }
    return false;
}

/* ---- what is held up is not overtaken ---- */

/* A client's writes commit in the order sent. Those of one gather do so together; when a group cannot go
 * on, what its clients have gathered behind it is called back, with the groups of that, whose clients may
 * have more behind it. What a client has gathered is all on one lane, and what is ready or open there is
 * behind what was sent; only what has been sent and was put back is in front, and that is of the same
 * gather, in which a client has one group. */

static bool is_called_back(const struct group *grp)
{
    LIST_EACH(it, (struct list *)&grp->txns)
    {
        const struct txn *t = LIST_ITEM(it, struct txn, work_node);
        if (t->client != NULL && t->client->called_back == t->engine->call_backs)
            return true;
    }
    return false;
}

static void call_back_clients(struct group *grp)
{
    LIST_EACH(it, &grp->txns)
    {
        struct txn *t = LIST_ITEM(it, struct txn, work_node);
        if (t->client != NULL)
            t->client->called_back = t->engine->call_backs;
    }
}

static void call_back_from(struct gather *g)
{
    LIST_EACH(at, &g->groups)
    {
        struct group *grp = LIST_ITEM(at, struct group, node);
        if (!is_called_back(grp))
            continue;
        call_back_clients(grp);
        group_run_again(grp, false);
    }
}

/* `held_up`: NULL = all of the gather's groups. The gather itself is neither ready nor open. */
static void call_back_what_follows(struct gather *g, struct group *held_up)
{
    struct commit_lane *lane = &g->engine->commits[g->lane];
    if (lane->open == NULL && list_empty(&lane->ready))
        return;
    g->engine->call_backs++;
    LIST_EACH(at, &g->groups)
    {
        struct group *grp = LIST_ITEM(at, struct group, node);
        if (held_up == NULL || grp == held_up)
            call_back_clients(grp);
    }
    LIST_EACH(at, &lane->ready)
    call_back_from(LIST_ITEM(at, struct gather, node));
    if (lane->open != NULL)
        call_back_from(lane->open);
}

/* Takes out what must not be sent; true if something is left. */
static bool sift(struct gather *g)
{
    LIST_EACH(it, &g->groups)
    {
        struct group *grp = LIST_ITEM(it, struct group, node);
        bool given_up = group_has_given_up(grp);
        if (!given_up && !has_suspect(grp))
            continue;
        call_back_what_follows(g, grp);
        if (given_up)
            group_run_again(grp, false);
        else
            locked_park(grp, false);
    }
    return !list_empty(&g->groups);
}

/* A single-key group that only touches may stay conditional; in a larger group the touch becomes the
 * full write it was before, which needs no check. */
static void settle_group(struct group *grp, int number)
{
    grp->number = number;
    grp->conditional = false;
    LIST_EACH(it, &grp->items)
    {
        struct item *item = LIST_ITEM(it, struct item, node);
        if (grp->nwrites > 1 && item->demotable) {
            item->op = COMMIT_WRITE;
            item->expect = EXPECT_ANY;
            item->demotable = false;
        }
        grp->conditional |= item->expect != EXPECT_ANY;
    }
}

static void fill_commit_item(struct commit_item *c, const struct item *it)
{
    const struct entry *entry = it->entry;
    *c = (struct commit_item){.entry = it->entry, .db = entry->db, .key = entry_key(entry), .group = it->group->number,
                              .op = it->op, .expect = it->expect, .expected = it->expected,
                              .expected_space = it->expected_space, .saw_absent = it->saw_absent,
                              .removed = it->removed, .value = it->value, .expiry = it->expiry};
}

void gather_fill_batch(struct gather *g)
{
    int number = 0;
    size_t n = 0;
    g->batch.checked = false;
    g->commit_items = mem_realloc(g->commit_items, g->nitems * sizeof(*g->commit_items));
    LIST_EACH(at, &g->groups)
    {
        struct group *grp = LIST_ITEM(at, struct group, node);
        settle_group(grp, number++);
        g->batch.checked |= grp->conditional && grp->nitems > 1;
        LIST_EACH(it, &grp->items)
        {
            const struct item *item = LIST_ITEM(it, struct item, node);
            g->batch.checked |= item->op == COMMIT_CHECK || item->expect == EXPECT_ABSENT_AT;
            fill_commit_item(&g->commit_items[n++], item);
        }
    }
    CHECK(n == g->nitems);
    g->batch.items = g->commit_items;
    g->batch.n = n;
    g->batch.abandoned = false;
    g->batch.found_out = false;
    g->batch.done = on_commit;
}

static struct gather *next_gather(struct commit_lane *lane)
{
    if (!list_empty(&lane->ready)) {
        struct gather *g = LIST_ITEM(lane->ready.next, struct gather, node);
        list_remove(&g->node);
        return g;
    }
    struct gather *g = lane->open;
    if (g != NULL)
        close_gather(g);
    return g;
}

static void send_lane(struct engine *e, size_t i)
{
    struct commit_lane *lane = &e->commits[i];
    while (lane->sent == NULL && (lane->open != NULL || !list_empty(&lane->ready)) &&
           e->store->ops->commit_lane_idle(e->store, i)) {
        struct gather *g = next_gather(lane);
        if (g->state == GATHER_OPEN)
            gather_set_state(g, GATHER_READY);
        if (!sift(g)) {
            gather_free(g);
            continue;
        }
        gather_fill_batch(g);
        gather_set_state(g, GATHER_SENT);
        lane->sent = g;
        g->sent_as_of = fresh_now(e);
        e->store->ops->commit(e->store, i, &g->batch);
    }
}

void gather_send(struct engine *e)
{
    for (size_t i = 0; i < e->ncommits; i++)
        send_lane(e, i);
}

bool engine_has_gathered(const struct engine *e)
{
    for (size_t i = 0; i < e->ncommits; i++) {
        const struct commit_lane *lane = &e->commits[i];
        if (lane->open != NULL || lane->sent != NULL || !list_empty(&lane->ready))
            return true;
    }
    return e->nparked > 0;
}

/* ---- the outcome ---- */

/* The end because of which a write was held back: what is known of it, or else the write's own stamp, which is
 * not much later. */
static int64_t ended_by(const struct entry *entry, const struct commit_item *c)
{
    if (!c->held_back)
        return 0;
    if (entry_ended(entry) != 0)
        return entry_ended(entry);
    bool told = entry->knowledge == ENTRY_ABSENT && STORE_STAMP_IS_OF_SQL(entry->version);
    return told ? entry->version : -c->version;
}

static void settle_item(struct engine *e, struct item *it, const struct commit_item *c,
                        int64_t time_us, uint64_t as_of)
{
    struct entry *entry = it->entry;
    if (c->op == COMMIT_CHECK)
        return;
    events_note_overwritten(e, entry, c, time_us);
    entry->as_of = as_of;
    if (c->version < 0) { /* stored, but not live: ended by SQL, or by what it says itself */
        entry_set_ended(e->keyspace, entry, -c->version, ended_by(entry, c));
        return;
    }
    if (it->value == NULL) {
        entry_set_absent(e->keyspace, entry, c->version);
        entry->ended_here = true;
        return;
    }
    int64_t expires_us = STORE_NEVER;
    if (it->expiry.kind != EXPIRY_NONE)
        expires_us = (it->expiry.kind == EXPIRY_RELATIVE ? time_us : 0) + it->expiry.us;
    int64_t value_version = c->op == COMMIT_WRITE ? c->version : entry->value_version;
    value_drop_bytes(it->value);
    entry_set_live(e->keyspace, entry, value_ref(it->value), c->version, value_version, expires_us);
}

/* PostgreSQL may have what was not confirmed: what is known here is asked for again, even where answers
 * come from memory. It is not forgotten: should PostgreSQL go now, it is what this instance knows, and
 * what its writes are based on. */
static void doubt_entries(struct group *grp)
{
    LIST_EACH(it, &grp->items)
    {
        struct entry *entry = LIST_ITEM(it, struct item, node)->entry;
        entry->as_of = 0;
        block_look(grp->gather->engine, entry);
    }
}

/* Who waits because of what this group has left of a key does so rightly. */
static void confirm_waits(struct group *grp)
{
    LIST_EACH(it, &grp->items)
    {
        struct entry *entry = LIST_ITEM(it, struct item, node)->entry;
        if (block_is_waited_for(entry))
            block_confirm(grp->gather->engine, entry);
    }
}

static void end_group(struct group *grp)
{
    struct list txns;
    list_init(&txns);
    list_append_all(&txns, &grp->txns);
    group_free(grp);
    LIST_EACH(it, &txns)
    {
        struct txn *t = LIST_ITEM(it, struct txn, work_node);
        list_remove(it);
        txn_done(t);
    }
}

/* Applied groups are answered, the others run again. */
static void settle_batch(struct gather *g)
{
    struct engine *e = g->engine;
    const struct commit_item *c = g->commit_items;
    LIST_EACH(at, &g->groups)
    {
        struct group *grp = LIST_ITEM(at, struct group, node);
        bool applied = c->applied;
        LIST_EACH(it, &grp->items)
        {
            CHECK(c->applied == applied);
            if (applied)
                settle_item(e, LIST_ITEM(it, struct item, node), c, g->batch.time_us,
                            g->batch.local || g->batch.found_out ? 0 : g->sent_as_of);
            c++;
        }
        if (applied) {
            confirm_waits(grp);
            end_group(grp);
            continue;
        }
        if (g->batch.result == STORE_FAILED) {
            doubt_entries(grp);
            fail_group(grp, g->batch.error);
            continue;
        }
        /* The oldest goes on alone when it has lost too often; the others go on together, so that a
         * key that many instances want costs a row write per batch, not one per command. */
        LIST_ITEM(grp->txns.next, struct txn, work_node)->attempts++;
        for (const struct list *it = grp->txns.next; it != &grp->txns; it = it->next)
            e->conflicts++;
        if (!g->batch.local)
            forget_entries(grp);
        group_run_again(grp, false);
    }
    gather_free(g);
}

void gather_ready_again(struct gather *g)
{
    gather_set_state(g, GATHER_READY);
    list_push_front(&g->engine->commits[g->lane].ready, &g->node);
}

size_t gather_count_groups(const struct gather *g)
{
    size_t n = 0;
    for (const struct list *it = g->groups.next; it != &g->groups; it = it->next)
        n++;
    return n;
}

/* Half of the groups go into a gather of their own; both are sent again. */
static void split(struct gather *g)
{
    size_t half = gather_count_groups(g) / 2;
    struct gather *other = gather_new(g->engine, g->lane);
    other->state = GATHER_SENT;
    for (size_t i = 0; i < half; i++)
        group_move(LIST_ITEM(g->groups.next, struct group, node), other);
    gather_ready_again(g);
    gather_ready_again(other);
}

/* PostgreSQL refuses something in the batch: halve it until one txn is left, which gets the error. */
static void isolate(struct gather *g)
{
    struct group *only = LIST_ITEM(g->groups.next, struct group, node);
    if (gather_count_groups(g) > 1) {
        split(g);
        return;
    }
    if (only->txns.next->next != &only->txns) {
        call_back_what_follows(g, only);
        group_run_again(only, true);
    } else {
        char error[200];
        char name[KEY_NAME_SIZE];
        char quoted[LOG_QUOTE_SIZE];
        const struct item *it = LIST_ITEM(only->items.next, struct item, node);
        log_event(LOG_WARNING, "write-refused", "key=%s why=%s",
                  key_log_name(entry_key(it->entry), name), log_quote(g->batch.error, quoted));
        snprintf(error, sizeof(error), "ERR PostgreSQL refused the write: %s", g->batch.error);
        fail_group(only, error);
    }
    gather_free(g);
}

static void fail_all(struct gather *g, const char *error)
{
    LIST_EACH(it, &g->groups)
    fail_group(LIST_ITEM(it, struct group, node), error);
    gather_free(g);
}

static void give_up(struct gather *g)
{
    LIST_EACH(it, &g->groups)
    doubt_entries(LIST_ITEM(it, struct group, node));
    fail_all(g, "ERR PostgreSQL did not confirm, the write may or may not have been applied");
}

void gather_note_abandoned(struct gather *g)
{
    LIST_EACH(at, &g->groups)
    {
        LIST_EACH(it, &LIST_ITEM(at, struct group, node)->txns)
        {
            if (LIST_ITEM(it, struct txn, work_node)->client != NULL)
                return;
        }
    }
    g->batch.abandoned = true;
}

static void on_commit(struct commit_batch *b)
{
    struct gather *g = LIST_ITEM(b, struct gather, batch);
    struct engine *e = g->engine;
    e->commits[g->lane].sent = NULL;
    if (b->result == STORE_LOCKED || b->result == STORE_REFUSED) {
        LIST_EACH(it, &g->groups)
        group_hold_back_clients(LIST_ITEM(it, struct group, node));
    }
    switch (b->result) {
    case STORE_OK:
        send_lane(e, g->lane); /* PostgreSQL works while we answer */
        settle_batch(g);
        break;
    case STORE_LOCKED:
        call_back_what_follows(g, NULL);
        locked_find(g);
        break;
    case STORE_REFUSED:
        isolate(g);
        break;
    case STORE_LOST:
        give_up(g);
        break;
    case STORE_FAILED: /* some of it, or all */
        settle_batch(g);
        break;
    }
    engine_pump_clients(e);
}
