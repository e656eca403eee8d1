#include "engine/block.h"

#include "base/mem.h"
#include "engine/put_back.h"
#include "metrics/metrics.h"

enum {
    CHAINS = 256,
    LOOK_KEYS = 1000, /* of one batch */
};

/* A key that somebody waits for: entry->work->waited. Whoever waits keeps the entry pinned. */
struct waited {
    struct entry *entry;
    struct list node;      /* in block->chains */
    struct list waiters;   /* txn_key.queue_node of those parked, in order of seq */
    struct list look_node; /* in block->looks */
    uint32_t bucket;
    size_t users;     /* waits that name it, parked or not */
    uint64_t noticed; /* number of the last notice about it */
};

/* What a txn has that has found nothing. */
struct wait {
    struct txn *txn;
    struct list node; /* in block->parked */
    struct timer *timer;
    int64_t until_us; /* 0 = there is no limit */
    int nkeys;        /* it waits for the first so many of its txn's keys */
    uint8_t type;
    int ready;        /* argument of the key that has become ready, -1 = none */
    bool waited;      /* has been parked */
    bool proven;      /* the same, and it was true that there was nothing */
    bool provisional; /* parked on what an open gather has made of its key */
    bool unasked; /* its keys were not waited for when they were last read: a notice may have passed
                   */
    uint64_t since; /* number of the last notice when it was last to be read */
    bool ending;    /* CLIENT UNBLOCK: to end when it is found that there is nothing */
    bool with_error;
};

struct block {
    struct engine *engine;
    struct list parked;
    size_t nparked;
    struct list chains[CHAINS]; /* of waited, by bucket */
    size_t nwaited;
    struct list looks;
    bool looking;
    size_t lane;            /* of the look under way */
    struct entry **entries; /* of it */
    size_t nentries;
    struct timer *poll;
    uint64_t notices; /* numbers them */
    bool stopping;
    bool was_online;
    struct put_back *put_back;
};

static const char error_unblocked[] = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

static void on_poll(void *arg);
static void on_timer(void *arg);
static const struct bus_keys on_keys;

void block_init(struct engine *e)
{
    struct block *b = mem_zalloc(sizeof(*b));
    b->engine = e;
    list_init(&b->parked);
    list_init(&b->looks);
    for (size_t i = 0; i < CHAINS; i++)
        list_init(&b->chains[i]);
    b->entries = mem_alloc(LOOK_KEYS * sizeof(struct entry *));
    b->poll = timer_new(e->loop, on_poll, b);
    b->put_back = put_back_new(e);
    e->block = b;
    bus_on_keys(e, &on_keys);
}

static void unpin_looked(struct block *b)
{
    for (size_t i = 0; i < b->nentries; i++)
        entry_unuse(b->engine, b->entries[i]);
    b->nentries = 0;
    b->looking = false;
}

/* Nobody waits any more: clients and their txns are gone. */
void block_release(struct engine *e)
{
    struct block *b = e->block;
    unpin_looked(b);
    put_back_free(b->put_back);
    CHECK(b->nwaited == 0 && b->nparked == 0);
    bus_on_keys(e, NULL);
    timer_free(b->poll);
    mem_free(b->entries);
    mem_free(b);
}

/* ---- keys ---- */

static struct waited *waited_use(struct block *b, struct entry *entry)
{
    struct waited *w = entry->work->waited;
    if (w == NULL) {
        w = mem_zalloc(sizeof(*w));
        w->entry = entry;
        w->bucket = store_bucket(entry_key(entry));
        list_init(&w->waiters);
        list_init(&w->look_node);
        list_push_back(&b->chains[w->bucket % CHAINS], &w->node);
        entry->work->waited = w;
        if (b->nwaited++ == 0)
            bus_want(b->engine, STORE_WANT_KEYS);
    }
    w->users++;
    return w;
}

static void waited_unuse(struct block *b, struct waited *w)
{
    if (--w->users > 0)
        return;
    CHECK(list_empty(&w->waiters));
    w->entry->work->waited = NULL;
    list_remove(&w->node);
    list_remove(&w->look_node);
    mem_free(w);
    if (--b->nwaited == 0)
        bus_unwant(b->engine, STORE_WANT_KEYS);
}

static void want_look(struct block *b, struct waited *w)
{
    if (list_empty(&w->look_node))
        list_push_back(&b->looks, &w->look_node);
}

void block_look(struct engine *e, struct entry *entry)
{
    if (block_is_waited_for(entry))
        want_look(e->block, entry->work->waited);
}

/* ---- what others say ---- */

static void on_written(struct engine *e, uint32_t bucket)
{
    struct block *b = e->block;
    b->notices++;
    LIST_EACH(it, &b->chains[bucket % CHAINS])
    {
        struct waited *w = LIST_ITEM(it, struct waited, node);
        if (w->bucket != bucket)
            continue;
        w->noticed = b->notices;
        if (!list_empty(&w->waiters))
            want_look(b, w);
    }
}

static void on_all_written(struct engine *e)
{
    struct block *b = e->block;
    b->notices++;
    for (size_t i = 0; b->nwaited > 0 && i < CHAINS; i++) {
        LIST_EACH(it, &b->chains[i])
        {
            struct waited *w = LIST_ITEM(it, struct waited, node);
            w->noticed = b->notices;
            want_look(b, w);
        }
    }
}

static const struct bus_keys on_keys = {on_written, on_all_written};

/* ---- waking ---- */

static void unpark(struct wait *w)
{
    struct txn *t = w->txn;
    list_remove(&w->node);
    t->engine->block->nparked--;
    for (int i = 0; i < w->nkeys; i++)
        list_remove(&t->keys[i].queue_node);
    t->arrived_us = loop_now_us(t->engine->loop); /* what it has waited for was not PostgreSQL */
}

static int argument_of(const struct txn *t, const struct txn_key *k)
{
    for (int i = 0; k != NULL && i < t->single.nkeys; i++) {
        if (t->single.keys[i] == &k->key)
            return i;
    }
    return -1;
}

/* `k` is the key that has become ready; NULL = it only has to look again. */
static void wake(struct txn *t, const struct txn_key *k)
{
    struct wait *w = t->wait;
    metrics.blocked_wakes++;
    unpark(w);
    w->ready = argument_of(t, k);
    if (w->provisional && k == NULL)
        w->waited = w->proven; /* it had not waited: what it ran on has not come to be */
    w->provisional = false;
    txn_wait(t);
}

/* What the key holds, by the last that this instance knows; NULL = nothing, or not known. */
static const struct value *value_now(const struct engine *e, const struct entry *entry)
{
    const struct item *item = entry->work->item;
    if (item != NULL && item->op != COMMIT_CHECK)
        return item->value;
    if (entry->knowledge != ENTRY_LIVE)
        return NULL;
    bool expired = entry->expires_us <= e->store->ops->now_us(e->store);
    return expired ? NULL : entry->value;
}

/* How many have been woken for such a value and stand in the queue, up to `most`. */
static size_t woken(const struct entry *entry, uint8_t type, size_t most)
{
    size_t n = 0;
    const struct list *queue = &entry->work->queue;
    for (const struct list *it = queue->next; it != queue && n < most; it = it->next) {
        const struct wait *w = LIST_ITEM(it, struct txn_key, queue_node)->txn->wait;
        if (w == NULL || !w->waited)
            break;
        n += w->type == type;
    }
    return n;
}

void block_recheck(struct engine *e, struct entry *entry)
{
    struct waited *w = entry->work->waited;
    if (w == NULL || list_empty(&w->waiters) || pause_is_on(e))
        return;
    const struct value *v = value_now(e, entry);
    size_t n = v != NULL && value_is_collection(v) ? value_count(v) : 0;
    if (n > 0)
        n -= woken(entry, v->type, n);
    LIST_EACH(it, &w->waiters)
    {
        struct txn_key *k = LIST_ITEM(it, struct txn_key, queue_node);
        if (n == 0)
            return;
        if (k->txn->wait->type != v->type)
            continue;
        wake(k->txn, k);
        n--;
    }
}

void block_settled(struct engine *e, struct entry *entry)
{
    struct waited *w = entry->work->waited;
    if (w == NULL)
        return;
    LIST_EACH(it, &w->waiters)
    {
        struct txn *t = LIST_ITEM(it, struct txn_key, queue_node)->txn;
        if (t->wait->provisional)
            wake(t, NULL);
    }
    if (entry->knowledge == ENTRY_UNKNOWN)
        want_look(e->block, w);
    else
        block_recheck(e, entry);
}

void block_confirm(struct engine *e, struct entry *entry)
{
    int64_t now = loop_now_us(e->loop);
    LIST_EACH(it, &entry->work->waited->waiters)
    {
        struct wait *w = LIST_ITEM(it, struct txn_key, queue_node)->txn->wait;
        if (!w->provisional)
            continue;
        w->provisional = false;
        w->proven = true;
        /* The timer may have fired already: too late or, since a timer's clock is a coarse one, some
         * milliseconds too early. Not here: its entries are being settled. */
        if (w->until_us != 0)
            timer_set(w->timer, w->until_us > now ? w->until_us - now : 0);
    }
}

bool block_is_behind(const struct txn *t)
{
    if (t->readonly)
        return false;
    for (int i = 0; i < t->nkeys; i++) {
        const struct list *queue = &t->keys[i].entry->work->queue;
        if (list_empty(queue))
            continue;
        const struct txn *first = LIST_ITEM(queue->next, struct txn_key, queue_node)->txn;
        if (first->wait != NULL && first->wait->waited && first->seq < t->seq)
            return true;
    }
    return false;
}

/* ---- a txn that finds nothing ---- */

bool block_may_wait(const struct txn *t)
{
    return !t->exec && t->ncommands == 1 && command_waits(t->commands[0].cmd);
}

struct command_wait *block_offer(const struct txn *t, const struct txn_command *tc,
                                 struct command_wait *wait)
{
    if (!command_waits(tc->cmd) || !block_may_wait(t))
        return NULL;
    const struct wait *w = t->wait;
    *wait =
        (struct command_wait){.waited = w != NULL && w->waited, .first = w != NULL ? w->ready : -1};
    return wait;
}

static void begin(struct txn *t, const struct command_wait *wait)
{
    struct wait *w = mem_zalloc(sizeof(*w));
    int64_t now = loop_now_us(t->engine->loop);
    w->txn = t;
    w->type = wait->type;
    w->ready = -1;
    w->unasked = true;
    w->nkeys = wait->nkeys < t->single.nkeys ? wait->nkeys : t->nkeys;
    if (wait->timeout_ms > 0 && wait->timeout_ms < (INT64_MAX - now) / 1000)
        w->until_us = now + wait->timeout_ms * 1000;
    list_init(&w->node);
    for (int i = 0; i < w->nkeys; i++)
        (void)waited_use(t->engine->block, t->keys[i].entry);
    t->wait = w;
}

void block_take(struct txn *t, const struct command_wait *wait)
{
    t->wants_wait = wait->wanted;
    if (t->wants_wait && t->wait == NULL)
        begin(t, wait);
}

void block_forget(struct txn *t)
{
    struct wait *w = t->wait;
    struct block *b = t->engine->block;
    if (w == NULL)
        return;
    if (!list_empty(&w->node))
        unpark(w);
    if (t->client != NULL && t->client->blocked == t)
        t->client->blocked = NULL;
    t->wait = NULL;
    for (int i = 0; i < w->nkeys; i++) {
        struct entry *entry = t->keys[i].entry;
        waited_unuse(b, entry->work->waited);
        if (block_is_waited_for(entry)) /* perhaps what it was woken for is still there */
            block_recheck(t->engine, entry);
    }
    timer_free(w->timer);
    mem_free(w);
}

void block_give_back(struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        struct txn_key *k = &t->keys[i];
        CHECK(k->key.change == KEY_UNCHANGED);
        if (k->taken)
            k->entry->work->item->value = k->key.value;
        else
            value_unref(k->key.value);
        k->key.value = NULL;
        k->taken = false;
    }
}

/* In order of age. */
static void stand_in_line(struct txn *t)
{
    for (int i = 0; i < t->wait->nkeys; i++) {
        struct list *waiters = &t->keys[i].entry->work->waited->waiters;
        struct list *at = waiters->prev;
        while (at != waiters && LIST_ITEM(at, struct txn_key, queue_node)->txn->seq > t->seq)
            at = at->prev;
        list_insert_after(at, &t->keys[i].queue_node);
    }
}

static void park(struct txn *t, bool provisional)
{
    struct wait *w = t->wait;
    struct engine *e = t->engine;
    struct block *b = e->block;
    int64_t now = loop_now_us(e->loop);
    block_give_back(t);
    txn_set_state(t, TXN_BLOCKED);
    list_push_back(&b->parked, &w->node);
    if (b->nparked++ == 0)
        timer_set(b->poll, e->config->block_poll_interval_ms * 1000);
    stand_in_line(t);
    t->client->blocked = t;
    t->shared = true;
    t->ungathered = false;
    t->exclusive = false;
    t->attempts = 0;
    w->ready = -1;
    w->waited = true;
    w->provisional = provisional;
    w->proven |= !provisional;
    if (w->until_us != 0 && w->timer == NULL)
        w->timer = timer_new(e->loop, on_timer, w);
    if (w->until_us != 0)
        timer_set(w->timer, w->until_us > now ? w->until_us - now : 0);
}

/* Has anybody said something about its keys since they were asked for? */
static void look_if_noticed(struct txn *t)
{
    struct wait *w = t->wait;
    struct block *b = t->engine->block;
    for (int i = 0; i < w->nkeys; i++) {
        struct entry *entry = t->keys[i].entry;
        struct waited *key = entry->work->waited;
        bool unknown = entry->knowledge == ENTRY_UNKNOWN;
        if (w->unasked || unknown || key->noticed > w->since)
            want_look(b, key);
    }
}

/* Whoever has sent the end of its input may read on, and may as well have died: an element is not given
 * to it. */
static bool is_gone(const struct client *c)
{
    return c->closed || c->closing || c->input_over;
}

bool block_is_over(const struct txn *t)
{
    return t->wait != NULL && t->client != NULL && t->client->closing;
}

bool block_park(struct txn *t)
{
    struct wait *w = t->wait;
    struct client *c = t->client;
    if (!t->wants_wait || c == NULL)
        return false;
    bool stopping = t->engine->block->stopping;
    if (is_gone(c) || stopping) {
        t->silent = true;
        t->close_after |= stopping;
        return false;
    }
    if (w->ending || (w->until_us != 0 && loop_now_us(t->engine->loop) >= w->until_us)) {
        if (w->with_error) {
            struct reply r;
            txn_reply_init(t, &r);
            reply_error(&r, error_unblocked);
        }
        return false;
    }
    park(t, false);
    for (int i = 0; i < t->nkeys; i++)
        entry_wake_later(t->engine, t->keys[i].entry);
    look_if_noticed(t);
    return true;
}

void block_unproven(struct txn *t)
{
    struct wait *w = t->wait;
    struct engine *e = t->engine;
    bool gathered = false;
    for (int i = 0; i < t->nkeys; i++)
        gathered |= t->keys[i].entry->work->gather != NULL;
    if (!gathered && store_memory_is_truth(e->store)) {
        if (!block_park(t))
            txn_done(t);
    } else if (!gathered) {
        w->unasked = false;
        w->since = e->block->notices;
        fetch_join(t, !t->shared);
    } else if (w->nkeys == 1 && t->keys[0].entry->work->gather != NULL && !is_gone(t->client) &&
               !e->block->stopping && !w->ending) {
        park(t, true);
        for (int i = 0; i < t->nkeys; i++)
            entry_wake_later(e, t->keys[i].entry);
    } else {
        block_give_back(t);
        t->ungathered = true; /* when the gather has gone it asks */
        txn_wait(t);
    }
}

void block_again(struct txn *t)
{
    struct wait *w = t->wait;
    w->waited = w->proven;
    w->ready = -1;
}

/* ---- the end ---- */

/* The reply is the one that it made when it found nothing. */
static void end_wait(struct txn *t)
{
    t->arrived_us = loop_now_us(t->engine->loop);
    txn_done(t);
}

static void on_timer(void *arg)
{
    struct wait *w = arg;
    struct txn *t = w->txn;
    struct engine *e = t->engine;
    /* Else it is about to find something, or to be told to end; or that there is nothing is not
     * proven. */
    if (t->state != TXN_BLOCKED || w->provisional)
        return;
    end_wait(t);
    engine_pump_clients(e);
}

bool client_unblock(struct client *c, bool with_error)
{
    struct txn *t = c->blocked;
    if (t == NULL)
        return false;
    if (t->state != TXN_BLOCKED) {
        t->wait->ending = true;
        t->wait->with_error = with_error;
    } else if (with_error) {
        t->arrived_us = loop_now_us(t->engine->loop);
        txn_fail(t, error_unblocked);
    } else {
        end_wait(t);
    }
    return true;
}

bool block_has(const struct client *c)
{
    return c->blocked != NULL && c->blocked->state == TXN_BLOCKED;
}

void block_client_gone(struct client *c)
{
    struct txn *t = c->blocked;
    if (t == NULL || t->state != TXN_BLOCKED)
        return;
    t->silent = true;
    end_wait(t);
}

/* Was something taken for somebody who will not get it? A move has put it where it belongs. */
static bool is_orphan(const struct txn *t)
{
    if (t->wants_wait || !block_may_wait(t) || reply_is_error(&t->reply))
        return false;
    enum command_id id = t->single.cmd->id;
    bool moves = id == CMD_BLMOVE || id == CMD_BRPOPLPUSH;
    return !moves && (t->client == NULL || is_gone(t->client));
}

void block_ended(struct txn *t)
{
    if (is_orphan(t)) {
        t->silent = true;
        put_back(t->engine->block->put_back, t);
    }
    block_forget(t);
}

/* ---- looks ---- */

void block_look_all(struct engine *e)
{
    struct block *b = e->block;
    for (size_t i = 0; b->nwaited > 0 && i < CHAINS; i++) {
        LIST_EACH(it, &b->chains[i])
        {
            struct waited *w = LIST_ITEM(it, struct waited, node);
            struct entry *entry = w->entry;
            if (!store_memory_is_truth(e->store))
                want_look(b, w);
            block_recheck(e, entry);
        }
    }
}

static void on_poll(void *arg)
{
    struct block *b = arg;
    struct engine *e = b->engine;
    if (b->nparked == 0)
        return;
    block_look_all(e);
    engine_pump_clients(e);
    timer_set(b->poll, e->config->block_poll_interval_ms * 1000);
}

/* While PostgreSQL is away there is nobody to ask; what is wanted meanwhile is asked afterwards. */
bool block_wants_look(const struct engine *e)
{
    const struct block *b = e->block;
    return !b->looking && !list_empty(&b->looks) && store_state(e->store) == STORE_ONLINE;
}

/* What is in a gather is looked at when it has left it: block_settled. */
size_t block_begin_look(struct engine *e, size_t lane, struct entry **out, size_t most)
{
    struct block *b = e->block;
    most = most < LOOK_KEYS ? most : LOOK_KEYS;
    while (!list_empty(&b->looks) && b->nentries < most) {
        struct waited *w = LIST_ITEM(b->looks.next, struct waited, look_node);
        list_remove(&w->look_node);
        if (list_empty(&w->waiters) || w->entry->work->gather != NULL)
            continue;
        entry_pin_again(w->entry);
        out[b->nentries] = w->entry;
        b->entries[b->nentries++] = w->entry;
    }
    b->looking = b->nentries > 0;
    b->lane = lane;
    return b->nentries;
}

void block_looked(struct engine *e, size_t lane, bool good)
{
    struct block *b = e->block;
    if (!b->looking || b->lane != lane)
        return;
    for (size_t i = 0; !good && i < b->nentries; i++)
        block_look(e, b->entries[i]);
    unpin_looked(b);
}

/* ---- the instance ---- */

size_t block_count(const struct engine *e)
{
    return e->block->nparked;
}

size_t block_timed_count(const struct engine *e)
{
    size_t n = 0;
    LIST_EACH(it, &e->block->parked)
    n += LIST_ITEM(it, struct wait, node)->until_us != 0;
    return n;
}

void block_turn_end(struct engine *e)
{
    struct block *b = e->block;
    bool online = store_state(e->store) == STORE_ONLINE;
    if (online && !b->was_online)
        block_look_all(
            e); /* what others have written meanwhile, and what a merge has made of keys */
    b->was_online = online;
}

void block_stop(struct engine *e)
{
    struct block *b = e->block;
    b->stopping = true;
    while (!list_empty(&b->parked)) {
        struct txn *t = LIST_ITEM(b->parked.next, struct wait, node)->txn;
        t->silent = true;
        t->close_after = true;
        end_wait(t);
    }
}
