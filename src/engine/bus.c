#include "engine/bus.h"

#include "base/mem.h"
#include "engine/internal.h"

enum { KINDS = 3 };

static const enum store_want kinds[KINDS] = {STORE_WANT_CACHING, STORE_WANT_KEYS,
                                             STORE_WANT_MESSAGES};

static size_t *count_of(struct engine *e, enum store_want what)
{
    for (int i = 0; i < KINDS; i++) {
        if (kinds[i] == what)
            return &e->wanted[i];
    }
    check_failed("kind of what is heard", __FILE__, __LINE__);
}

static void tell_store(struct engine *e)
{
    unsigned wants = 0;
    for (int i = 0; i < KINDS; i++)
        wants |= e->wanted[i] > 0 ? (unsigned)kinds[i] : 0;
    if (e->store->ops->want != NULL)
        e->store->ops->want(e->store, wants);
}

void bus_want(struct engine *e, enum store_want what)
{
    if ((*count_of(e, what))++ == 0)
        tell_store(e);
}

void bus_unwant(struct engine *e, enum store_want what)
{
    size_t *n = count_of(e, what);
    CHECK(*n > 0);
    if (--*n == 0)
        tell_store(e);
}

bool bus_hears(const struct engine *e, enum store_want what)
{
    return (store_hears(e->store) & (unsigned)what) != 0;
}

void bus_on_keys(struct engine *e, const struct bus_keys *f)
{
    e->on_keys = f;
}

static void on_stale(void *arg, uint32_t bucket)
{
    struct engine *e = arg;
    fresh_note_stale(e, bucket);
    if (e->on_keys != NULL)
        e->on_keys->keys_written(e, bucket);
}

static void on_all_stale(void *arg)
{
    struct engine *e = arg;
    fresh_note_all_stale(e);
    if (e->on_keys != NULL)
        e->on_keys->all_keys_written(e);
}

static void on_hears(void *arg, unsigned wants)
{
    (void)wants;
    pubsub_hears(arg);
}

static void on_expired(void *arg, int db, struct bytes key)
{
    events_expired_later(arg, db, key);
}

static void on_message(void *arg, bool shard, struct bytes channel, struct bytes message)
{
    pubsub_receive(arg, shard, channel, message);
}

static const struct store_notices notices = {on_stale, on_all_stale, on_hears, on_message, on_expired};

void bus_init(struct engine *e)
{
    e->store->ops->set_notices(e->store, &notices, e);
}
