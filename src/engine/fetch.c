/* fetch: read batches. While a read lane is busy, txns gather for its next batch; a batch holds each
 * entry once, with the version that is here, and brings back only what differs. Its answer is for
 * exactly the txns that had joined before it was sent. */
#include "engine/block.h"
#include "engine/internal.h"

#include "base/mem.h"

/* Txns beyond this many keys wait for the next batch; one txn is never divided. */
enum { MAX_BATCH_KEYS = 1000 };

static void on_batch(struct read_batch *b);

void fetch_init(struct engine *e)
{
    e->spaces = mem_zalloc((size_t)e->config->databases * sizeof(*e->spaces));
    e->nreads = e->store->ops->read_lanes(e->store);
    e->reads = mem_zalloc(e->nreads * sizeof(*e->reads));
    for (size_t i = 0; i < e->nreads; i++) {
        struct read_lane *lane = &e->reads[i];
        lane->engine = e;
        lane->number = i;
        list_init(&lane->next);
        list_init(&lane->sent);
        lane->batch.done = on_batch;
        lane->batch.spaces = e->spaces;
        lane->batch.nspaces = (size_t)e->config->databases;
    }
}

static void leave(struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        struct entry_work *w = t->keys[i].entry->work;
        if (t->shared)
            w->readers--;
        else
            w->exclusive = false;
        w->idlers -= t->idle;
    }
    t->idle = false;
}

static void free_all(struct list *txns)
{
    LIST_EACH(it, txns)
    {
        struct txn *t = LIST_ITEM(it, struct txn, work_node);
        leave(t);
        txn_free(t);
    }
}

void fetch_release(struct engine *e)
{
    for (size_t i = 0; i < e->nreads; i++) {
        free_all(&e->reads[i].next);
        free_all(&e->reads[i].sent);
        mem_free(e->reads[i].batch.items);
        mem_free(e->reads[i].entries);
    }
    mem_free(e->reads);
    mem_free(e->spaces);
}

/* A client's reads stay on one lane while some are under way, so that they keep their order. */
static size_t choose_lane(const struct txn *t)
{
    struct engine *e = t->engine;
    if (t->readonly && t->client != NULL && t->client->fetching > 0)
        return t->client->read_lane;
    for (size_t i = 0; i < e->nreads; i++) {
        if (list_empty(&e->reads[i].sent))
            return i;
    }
    return t->seq % e->nreads;
}

static bool shares_key(const struct txn *a, const struct txn *b)
{
    for (int i = 0; i < a->nkeys; i++) {
        for (int k = 0; k < b->nkeys; k++) {
            if (a->keys[i].entry == b->keys[k].entry)
                return true;
        }
    }
    return false;
}

bool fetch_shares_key(const struct txn *t)
{
    bool read = false;
    for (int i = 0; i < t->nkeys; i++)
        read |= t->keys[i].entry->work->readers > 0;
    const struct list *all = &t->client->txns;
    for (const struct list *at = all->prev; read && at != all; at = at->prev) {
        const struct txn *own = LIST_ITEM(at, const struct txn, client_node);
        if (own != t && own->state == TXN_FETCHING && shares_key(own, t))
            return true;
    }
    return false;
}

void fetch_join(struct txn *t, bool exclusive)
{
    CHECK(exclusive == !t->shared);
    t->lane = choose_lane(t);
    if (t->client != NULL)
        t->client->read_lane = t->lane;
    for (int i = 0; i < t->nkeys; i++) {
        struct entry_work *w = t->keys[i].entry->work;
        CHECK(w->gather == NULL && !w->exclusive);
        if (exclusive)
            w->exclusive = true;
        else
            w->readers++;
        w->idlers += t->idle;
    }
    txn_set_state(t, TXN_FETCHING);
    list_push_back(&t->engine->reads[t->lane].next, &t->work_node);
}

/* ---- sending ---- */

int64_t fetch_known_of(const struct entry *entry)
{
    switch ((enum entry_knowledge)entry->knowledge) {
    case ENTRY_UNKNOWN:
        return 0;
    case ENTRY_LIVE:
        return entry->version;
    case ENTRY_ABSENT:
        return -entry->version;
    }
    check_failed("entry knowledge", __FILE__, __LINE__);
}

static void add_entry(struct read_lane *lane, struct entry *entry)
{
    struct read_batch *b = &lane->batch;
    if (entry->work->fetch_at != 0)
        return;
    if (b->n == lane->cap) {
        lane->cap = lane->cap ? lane->cap * 2 : 64;
        b->items = mem_realloc(b->items, lane->cap * sizeof(*b->items));
        lane->entries = mem_realloc(lane->entries, lane->cap * sizeof(struct entry *));
    }
    b->items[b->n] = (struct read_item){.db = entry->db, .key = entry_key(entry),
                                        .known = fetch_known_of(entry),
                                        .known_bytes = entry->value_version};
    lane->entries[b->n] = entry;
    entry->work->fetch_at = ++b->n;
}

/* Keys that somebody waits for are looked at beside. */
static void add_looks(struct engine *e, struct read_lane *lane)
{
    struct entry *looks[MAX_BATCH_KEYS];
    if (!block_wants_look(e) || lane->batch.n >= MAX_BATCH_KEYS)
        return;
    size_t n = block_begin_look(e, lane->number, looks, MAX_BATCH_KEYS - lane->batch.n);
    for (size_t i = 0; i < n; i++)
        add_entry(lane, looks[i]);
}

static void send_lane(struct engine *e, struct read_lane *lane)
{
    lane->batch.n = 0;
    while (!list_empty(&lane->next)) {
        struct txn *t = LIST_ITEM(lane->next.next, struct txn, work_node);
        if (lane->batch.n > 0 && lane->batch.n + (size_t)t->nkeys > MAX_BATCH_KEYS)
            break;
        list_remove(&t->work_node);
        list_push_back(&lane->sent, &t->work_node);
        for (int i = 0; i < t->nkeys; i++)
            add_entry(lane, t->keys[i].entry);
    }
    add_looks(e, lane);
    for (size_t i = 0; i < lane->batch.n; i++)
        lane->entries[i]->work->fetch_at = 0;
    if (lane->batch.n == 0)
        return; /* what was to be looked at is not any more */
    lane->sent_as_of = fresh_now(e);
    e->store->ops->read(e->store, lane->number, &lane->batch);
}

void fetch_send(struct engine *e)
{
    for (size_t i = 0; i < e->nreads; i++) {
        struct read_lane *lane = &e->reads[i];
        bool wanted = !list_empty(&lane->next) || block_wants_look(e);
        if (wanted && list_empty(&lane->sent) && e->store->ops->read_lane_idle(e->store, i))
            send_lane(e, lane);
    }
}

/* ---- the answer ---- */

/* The answer is about what was sent; another lane's answer may have come in between. Then the txns
 * of this batch have to ask again. So they have where a write is under way that may or may not have
 * come before the expiry. */
static void take_item(struct engine *e, struct entry *entry, struct read_item *it, uint64_t as_of)
{
    bool live = entry->knowledge == ENTRY_LIVE;
    if (it->undecided || it->known != fetch_known_of(entry) || entry->work->gather != NULL ||
        (live && it->known_bytes != entry->value_version)) {
        entry->work->crossed = true;
        block_look(e, entry);
        value_unref(it->value);
        it->value = NULL;
        return;
    }
    entry->as_of = it->local ? 0 : as_of;
    if (!it->changed) {
        if (entry->knowledge == ENTRY_UNKNOWN)
            entry_set_absent(e->keyspace, entry, 0);
        else
            e->revalidated++;
        entry->guessed = it->guessed;
        entry->merged_unseen &= it->local;
        return;
    }
    e->fetched++;
    if (it->version <= 0) {
        if (it->expired)
            events_met_expired(e, entry);
        entry_set_ended(e->keyspace, entry, -it->version, it->ended);
        return;
    }
    struct value *v = it->value;
    if (v == NULL) {
        CHECK(entry->knowledge == ENTRY_LIVE);
        v = value_ref(entry->value);
    }
    it->value = NULL;
    entry_set_live(e->keyspace, entry, v, it->version, it->value_version, it->expires_us);
    if (block_is_waited_for(entry))
        block_recheck(e, entry);
}

static bool has_crossed(const struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        if (t->keys[i].entry->work->crossed)
            return true;
    }
    return false;
}

/* Others have been answered by a later time than that of this batch, by which the handlers will go,
 * too. What has expired between the two was not judged by PostgreSQL. */
static bool expires_before(const struct txn *t, int64_t time_us)
{
    for (int i = 0; t->now_ms * 1000 > time_us && i < t->nkeys; i++) {
        const struct entry *entry = t->keys[i].entry;
        if (entry->knowledge == ENTRY_LIVE && entry->expires_us <= t->now_ms * 1000)
            return true;
    }
    return false;
}

static void ask_again(struct txn *t)
{
    t->client->asks_again = true;
    txn_again(t);
}

/* What its client has sent before, of the same key, is to ask again: by then the key may be another, and
 * this would be of before that. */
static bool is_ahead_of_own(const struct txn *t)
{
    const struct list *all = &t->client->txns;
    for (const struct list *at = t->client_node.prev; t->client->asks_again && at != all; at = at->prev) {
        const struct txn *own = LIST_ITEM(at, const struct txn, client_node);
        if (own->state != TXN_DONE && own->built && shares_key(own, t))
            return true;
    }
    return false;
}

static void end_txn(struct txn *t, enum store_result result, int64_t time_us)
{
    leave(t);
    list_remove(&t->work_node);
    if (t->client == NULL) {
        for (int i = 0; i < t->nkeys; i++)
            entry_wake_later(t->engine, t->keys[i].entry);
        txn_free(t);
    } else if (result == STORE_OK && !has_crossed(t) && !is_ahead_of_own(t)) {
        txn_set_now(t, time_us / 1000);
        if (expires_before(t, time_us) || block_is_behind(t))
            ask_again(t);
        else
            txn_fetched(t);
    } else if (result == STORE_REFUSED) {
        txn_fail(t, "ERR out of memory");
    } else {
        ask_again(t);
    }
}

/* What has gathered meanwhile goes out before anybody is answered: PostgreSQL works while we do. The
 * batch is used anew by that. */
static void on_batch(struct read_batch *b)
{
    struct read_lane *lane = LIST_ITEM(b, struct read_lane, batch);
    struct engine *e = lane->engine;
    enum store_result result = b->result;
    int64_t time_us = b->time_us;
    uint64_t as_of = fresh_as_of(e, lane->sent_as_of);
    for (size_t i = 0; i < b->n; i++) {
        lane->entries[i]->work->crossed = false;
        if (result == STORE_OK)
            take_item(e, lane->entries[i], &b->items[i], as_of);
        else
            value_unref(b->items[i].value);
    }
    block_looked(e, lane->number, result == STORE_OK);
    struct list txns;
    list_init(&txns);
    list_append_all(&txns, &lane->sent);
    fetch_send(e);
    while (!list_empty(&txns))
        end_txn(LIST_ITEM(txns.next, struct txn, work_node), result, time_us);
    engine_pump_clients(e);
}
