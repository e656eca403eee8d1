/* A name with subscribers is a `channel`; it goes with the last of them. A subscription stands in
 * two lists: its channel's and its subscriber's, each in the order of the SUBSCRIBEs. Patterns have
 * a list of their own besides, for a message is compared with all of them. */
#include "engine/channels.h"

#include "base/check.h"
#include "base/glob.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"

struct channel {
    struct map_node node;
    struct list pattern_node;
    struct list subscriptions;
    size_t n;
    size_t len;
    char name[];
};

struct subscription {
    struct list of_channel;
    struct list of_subscriber;
    struct channel *channel;
    struct subscriber *subscriber;
};

struct channels {
    struct map maps[CHANNEL_KINDS];
    struct list patterns;
};

void subscriber_init(struct subscriber *s)
{
    *s = (struct subscriber){.memory = 0};
    for (int i = 0; i < CHANNEL_KINDS; i++)
        list_init(&s->of[i]);
}

struct channels *channels_new(void)
{
    struct channels *cs = mem_zalloc(sizeof(*cs));
    for (int i = 0; i < CHANNEL_KINDS; i++)
        map_init(&cs->maps[i]);
    list_init(&cs->patterns);
    return cs;
}

void channels_free(struct channels *cs)
{
    for (int i = 0; i < CHANNEL_KINDS; i++) {
        CHECK(map_count(&cs->maps[i]) == 0);
        map_release(&cs->maps[i]);
    }
    mem_free(cs);
}

/* ---- names ---- */

static struct bytes name_of(const struct channel *ch)
{
    return bytes_of(ch->name, ch->len);
}

static bool has_name(const struct map_node *node, const void *key)
{
    const struct channel *ch = LIST_ITEM(node, struct channel, node);
    return bytes_eq(name_of(ch), *(const struct bytes *)key);
}

static struct channel *find(struct channels *cs, enum channel_kind kind, struct bytes name)
{
    struct map_node *node = map_find(&cs->maps[kind], hash_bytes(name, 0), has_name, &name);
    return node == NULL ? NULL : LIST_ITEM(node, struct channel, node);
}

static struct channel *make(struct channels *cs, enum channel_kind kind, struct bytes name)
{
    struct channel *ch = mem_zalloc(sizeof(*ch) + name.len);
    ch->len = name.len;
    if (name.len > 0)
        memcpy(ch->name, name.data, name.len);
    list_init(&ch->subscriptions);
    list_init(&ch->pattern_node);
    map_insert(&cs->maps[kind], &ch->node, hash_bytes(name, 0));
    if (kind == CHANNEL_PATTERN)
        list_push_back(&cs->patterns, &ch->pattern_node);
    return ch;
}

/* ---- subscriptions ---- */

static size_t memory_of(const struct channel *ch)
{
    return sizeof(struct subscription) + ch->len;
}

/* Through the shorter one of the two lists that it would be in. */
static struct subscription *find_in(const struct channel *ch, const struct subscriber *s,
                                    enum channel_kind kind)
{
    if (ch->n < s->n[kind]) {
        LIST_EACH(it, &ch->subscriptions)
        {
            struct subscription *x = LIST_ITEM(it, struct subscription, of_channel);
            if (x->subscriber == s)
                return x;
        }
        return NULL;
    }
    LIST_EACH(it, &s->of[kind])
    {
        struct subscription *x = LIST_ITEM(it, struct subscription, of_subscriber);
        if (x->channel == ch)
            return x;
    }
    return NULL;
}

bool channels_join(struct channels *cs, enum channel_kind kind, struct subscriber *s,
                   struct bytes name)
{
    struct channel *ch = find(cs, kind, name);
    if (ch != NULL && find_in(ch, s, kind) != NULL)
        return false;
    if (ch == NULL)
        ch = make(cs, kind, name);
    struct subscription *x = mem_zalloc(sizeof(*x));
    x->channel = ch;
    x->subscriber = s;
    list_push_back(&ch->subscriptions, &x->of_channel);
    list_push_back(&s->of[kind], &x->of_subscriber);
    ch->n++;
    s->n[kind]++;
    s->memory += memory_of(ch);
    return true;
}

static void end(struct channels *cs, enum channel_kind kind, struct subscription *x)
{
    struct channel *ch = x->channel;
    x->subscriber->memory -= memory_of(ch);
    x->subscriber->n[kind]--;
    list_remove(&x->of_channel);
    list_remove(&x->of_subscriber);
    mem_free(x);
    if (--ch->n > 0)
        return;
    map_remove(&cs->maps[kind], &ch->node);
    list_remove(&ch->pattern_node);
    mem_free(ch);
}

bool channels_leave(struct channels *cs, enum channel_kind kind, struct subscriber *s,
                    struct bytes name)
{
    struct channel *ch = find(cs, kind, name);
    struct subscription *x = ch == NULL ? NULL : find_in(ch, s, kind);
    if (x == NULL)
        return false;
    end(cs, kind, x);
    return true;
}

bool channels_leave_one(struct channels *cs, enum channel_kind kind, struct subscriber *s,
                        struct buf *name)
{
    if (list_empty(&s->of[kind]))
        return false;
    struct subscription *x = LIST_ITEM(s->of[kind].next, struct subscription, of_subscriber);
    buf_append_bytes(name, name_of(x->channel));
    end(cs, kind, x);
    return true;
}

void channels_leave_all(struct channels *cs, struct subscriber *s)
{
    for (int i = 0; i < CHANNEL_KINDS; i++) {
        LIST_EACH(it, &s->of[i])
        end(cs, (enum channel_kind)i, LIST_ITEM(it, struct subscription, of_subscriber));
    }
}

/* ---- questions ---- */

size_t channels_count(const struct channels *cs, enum channel_kind kind)
{
    return map_count(&cs->maps[kind]);
}

size_t channels_subscribers(struct channels *cs, enum channel_kind kind, struct bytes name)
{
    const struct channel *ch = find(cs, kind, name);
    return ch == NULL ? 0 : ch->n;
}

struct each {
    void (*f)(void *arg, struct bytes name);
    void *arg;
};

static void each_node(struct map_node *node, void *arg)
{
    const struct each *each = arg;
    each->f(each->arg, name_of(LIST_ITEM(node, struct channel, node)));
}

void channels_each(struct channels *cs, enum channel_kind kind,
                   void (*f)(void *arg, struct bytes name), void *arg)
{
    struct each each = {f, arg};
    map_each(&cs->maps[kind], each_node, &each);
}

void subscriber_each(const struct subscriber *s, enum channel_kind kind,
                     void (*f)(void *arg, struct bytes name), void *arg)
{
    LIST_EACH(it, &s->of[kind])
    f(arg, name_of(LIST_ITEM(it, struct subscription, of_subscriber)->channel));
}

static void each_subscription(const struct channel *ch, struct bytes pattern,
                              void (*f)(void *arg, struct subscriber *s, struct bytes pattern),
                              void *arg)
{
    if (f == NULL)
        return;
    LIST_EACH(it, &ch->subscriptions)
    f(arg, LIST_ITEM(it, struct subscription, of_channel)->subscriber, pattern);
}

size_t channels_receivers(struct channels *cs, bool shard, struct bytes channel,
                          void (*f)(void *arg, struct subscriber *s, struct bytes pattern),
                          void *arg)
{
    size_t n = 0;
    const struct channel *ch = find(cs, shard ? CHANNEL_SHARD : CHANNEL_PLAIN, channel);
    if (ch != NULL) {
        n += ch->n;
        each_subscription(ch, bytes_of(NULL, 0), f, arg);
    }
    if (shard)
        return n;
    LIST_EACH(it, &cs->patterns)
    {
        const struct channel *p = LIST_ITEM(it, struct channel, pattern_node);
        if (!glob_match(name_of(p), channel, false))
            continue;
        n += p->n;
        each_subscription(p, name_of(p), f, arg);
    }
    return n;
}
