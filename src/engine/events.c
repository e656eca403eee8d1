/* events: keyspace notifications (docs/events.md). Handlers note what they have done
 * (command/event.h); here it is published, once the transaction has ended, in the order in which it
 * was done, by the instance that did it.
 *
 * An instance makes the events that any instance of the fleet wants. That a key has expired is told
 * by whoever takes its row out of the state "expired and not told": a write that replaces it
 * (commit_item.expired_before), or QUERY_EXPIRE, which is asked by every instance whose own option
 * has an x, at least every second, and soon after somebody has met a key that had expired. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "command/event.h"
#include "engine/internal.h"
#include "engine/pubsub.h"
#include "metrics/metrics.h"

enum {
    LOOK_US = 500 * 1000,    /* between two looks at what has expired */
    SOON_US = 10 * 1000,     /* after a key was met that has */
    SETTLE_US = 3000 * 1000, /* after an outage others may still bring back later expiries */
    LOOK_KEYS = 500,
    LATER_BYTES = 4 << 20,
    SPARE = 10,                 /* looking takes one part in so many of the time */
    MOST_US = 30 * 1000 * 1000, /* ... but is not put off for longer than this */
};

struct expiring {
    struct engine *engine;
    struct timer *timer;
    struct store_query query;
    bool asking;
    bool wanted;      /* by this instance's own option */
    struct buf later; /* keys from a merge, each behind its database and length */
    bool met;         /* somebody has met a key that has expired, since the last question */
    int64_t asked_us;
    int64_t away_us; /* when the store was last seen otherwise than online, or did not look */
};

/* ---- publishing ---- */

static void publish_one(struct engine *e, int db, const char *event, struct bytes key)
{
    struct buf channel;
    buf_init(&channel);
    metrics.keyspace_events += (e->events & EVENT_KEYSPACE) != 0;
    metrics.keyspace_events += (e->events & EVENT_KEYEVENT) != 0;
    if ((e->events & EVENT_KEYSPACE) != 0) {
        buf_printf(&channel, "__keyspace@%d__:", db);
        buf_append_bytes(&channel, key);
        pubsub_publish(e, buf_bytes(&channel), bytes_cstr(event));
        buf_reset(&channel, 0);
    }
    if ((e->events & EVENT_KEYEVENT) != 0) {
        buf_printf(&channel, "__keyevent@%d__:%s", db, event);
        pubsub_publish(e, buf_bytes(&channel), key);
    }
    buf_release(&channel);
}

static void tell_expired(struct engine *e, int db, struct bytes key)
{
    if ((e->events & EVENT_EXPIRED) != 0)
        publish_one(e, db, "expired", key);
}

/* ---- of a transaction ---- */

void events_begin_run(struct txn *t)
{
    struct engine *e = t->engine;
    if (e->events == 0) {
        events_release_txn(t);
        return;
    }
    if (t->events == NULL)
        t->events = mem_zalloc(sizeof(*t->events));
    t->events->wanted = e->events;
    t->events->n = 0;
}

void events_publish(struct txn *t)
{
    for (size_t i = 0; i < t->events->n; i++) {
        const struct event *ev = &t->events->list[i];
        publish_one(t->engine, ev->db, ev->name, ev->key);
    }
    t->events->n = 0;
}

void events_put_expired(struct txn *t, const struct key *k)
{
    if (t->events != NULL)
        events_note_first(t->events, EVENT_EXPIRED, "expired", k);
}

void events_drop(struct txn *t)
{
    if (t->events != NULL)
        t->events->n = 0;
}

void events_release_txn(struct txn *t)
{
    if (t->events == NULL)
        return;
    events_release(t->events);
    mem_free(t->events);
    t->events = NULL;
}

/* ---- keys that have expired ---- */

static void on_expired(struct store_query *q, int64_t id, struct bytes key, bool live, uint8_t type)
{
    const struct expiring *x = LIST_ITEM(q, struct expiring, query);
    (void)id;
    (void)live;
    (void)type;
    tell_expired(x->engine, q->db, key);
}

static void look_again_in(struct expiring *x, int64_t us)
{
    if (!x->asking)
        timer_set(x->timer, us);
}

static void on_looked(struct store_query *q)
{
    struct expiring *x = LIST_ITEM(q, struct expiring, query);
    int64_t now = clock_mono_us();
    int64_t pause_us = (now - x->asked_us) * SPARE;
    x->asking = false;
    if (q->result != STORE_OK) {
        x->away_us = now; /* others may have noticed more of that */
        pause_us = LOOK_US;
    }
    if (q->result == STORE_OK && (x->met || q->count == LOOK_KEYS))
        look_again_in(x, SOON_US);
    else if (x->wanted)
        look_again_in(x, pause_us < LOOK_US ? LOOK_US : pause_us > MOST_US ? MOST_US : pause_us);
}

static bool may_look(const struct expiring *x)
{
    const struct engine *e = x->engine;
    enum store_state state = store_state(e->store);
    bool settled = x->away_us == 0 || clock_mono_us() - x->away_us >= SETTLE_US;
    return (e->events & EVENT_EXPIRED) != 0 &&
           (state == STORE_STANDALONE || (state == STORE_ONLINE && settled));
}

/* Right after an outage, other instances may not listen yet. */
void events_expired_later(struct engine *e, int db, struct bytes key)
{
    struct expiring *x = e->expiring;
    uint32_t head[2] = {(uint32_t)db, (uint32_t)key.len};
    if ((e->events & EVENT_EXPIRED) == 0 || x->later.len > LATER_BYTES)
        return;
    buf_append(&x->later, head, sizeof(head));
    buf_append_bytes(&x->later, key);
    x->met = true;
    look_again_in(x, SOON_US);
}

static void tell_later_ones(struct expiring *x)
{
    for (size_t at = 0; at < x->later.len;) {
        uint32_t head[2];
        memcpy(head, x->later.data + at, sizeof(head));
        at += sizeof(head);
        tell_expired(x->engine, (int)head[0], bytes_of(x->later.data + at, head[1]));
        at += head[1];
    }
    buf_reset(&x->later, 0);
}

static void on_look(void *arg)
{
    struct expiring *x = arg;
    struct engine *e = x->engine;
    if (x->asking || (!x->wanted && !x->met))
        return;
    if (!may_look(x)) {
        look_again_in(x, LOOK_US);
        return;
    }
    tell_later_ones(x);
    x->asking = true;
    x->met = false;
    x->asked_us = clock_mono_us();
    x->query = (struct store_query){
        .kind = QUERY_EXPIRE, .limit = LOOK_KEYS, .row = on_expired, .done = on_looked};
    e->store->ops->query(e->store, &x->query);
}

void events_met_expired(struct engine *e, const struct entry *entry)
{
    if ((e->events & EVENT_EXPIRED) == 0)
        return;
    /* Where memory is the store for good, this is the moment in which the key goes. */
    if (store_state(e->store) == STORE_STANDALONE) {
        if (entry->knowledge == ENTRY_LIVE)
            tell_expired(e, entry->db, entry_key(entry));
        return;
    }
    if (!e->expiring->met)
        look_again_in(e->expiring, SOON_US);
    e->expiring->met = true;
}

void events_note_overwritten(struct engine *e, const struct entry *entry,
                             const struct commit_item *c, int64_t time_us)
{
    bool expired = c->expired_before;
    if (__builtin_expect(e->events == 0, 1))
        return;
    if (store_state(e->store) == STORE_STANDALONE)
        expired = entry->knowledge == ENTRY_LIVE && entry->expires_us <= time_us;
    if (expired)
        tell_expired(e, entry->db, entry_key(entry));
}

/* ---- what is wanted ---- */

void events_refresh(struct engine *e)
{
    struct expiring *x = e->expiring;
    const struct store_ops *ops = e->store->ops;
    enum store_state state = store_state(e->store);
    unsigned own = keyspace_events_effective((unsigned)e->config->notify_keyspace_events);
    unsigned others = ops->fleet_events != NULL ? ops->fleet_events(e->store) : 0;
    bool wanted = (own & EVENT_EXPIRED) != 0;
    e->events = own | others;
    if (state == STORE_AWAY || state == STORE_RECOVERING)
        x->away_us = clock_mono_us();
    if (wanted && !x->wanted)
        look_again_in(x, SOON_US);
    x->wanted = wanted;
}

void events_init(struct engine *e)
{
    struct expiring *x = mem_zalloc(sizeof(*x));
    x->engine = e;
    buf_init(&x->later);
    x->timer = timer_new(e->loop, on_look, x);
    e->expiring = x;
    events_refresh(e);
}

void events_free(struct engine *e)
{
    timer_free(e->expiring->timer);
    buf_release(&e->expiring->later);
    mem_free(e->expiring);
}
