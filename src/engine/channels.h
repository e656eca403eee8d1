/* channels: who subscribes to which channels, patterns and shard channels. Pure: subscribers are
 * embedded by whoever they are. */
#ifndef RESPGRES_ENGINE_CHANNELS_H
#define RESPGRES_ENGINE_CHANNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/list.h"

enum channel_kind { CHANNEL_PLAIN, CHANNEL_PATTERN, CHANNEL_SHARD };

enum { CHANNEL_KINDS = CHANNEL_SHARD + 1 };

struct channels;

struct subscriber {
    struct list of[CHANNEL_KINDS]; /* subscriptions, in the order in which they were made */
    size_t n[CHANNEL_KINDS];
    size_t memory;
};

void subscriber_init(struct subscriber *s);

static inline size_t subscriber_count(const struct subscriber *s)
{
    return s->n[CHANNEL_PLAIN] + s->n[CHANNEL_PATTERN] + s->n[CHANNEL_SHARD];
}

struct channels *channels_new(void);
/* All subscribers have left. */
void channels_free(struct channels *cs);

/* False if it was so already. */
bool channels_join(struct channels *cs, enum channel_kind kind, struct subscriber *s,
                   struct bytes name);
bool channels_leave(struct channels *cs, enum channel_kind kind, struct subscriber *s,
                    struct bytes name);
/* Ends its oldest subscription of the kind and appends the name; false if there is none. */
bool channels_leave_one(struct channels *cs, enum channel_kind kind, struct subscriber *s,
                        struct buf *name);
void channels_leave_all(struct channels *cs, struct subscriber *s);

/* How many different names have subscribers, and how many subscribers a name has. */
size_t channels_count(const struct channels *cs, enum channel_kind kind);
size_t channels_subscribers(struct channels *cs, enum channel_kind kind, struct bytes name);
/* All names with subscribers; the table must not be changed meanwhile. */
void channels_each(struct channels *cs, enum channel_kind kind,
                   void (*f)(void *arg, struct bytes name), void *arg);
/* All names of a subscriber. */
void subscriber_each(const struct subscriber *s, enum channel_kind kind,
                     void (*f)(void *arg, struct bytes name), void *arg);

/* Calls f for all who receive a message that is published to `channel`, once per subscription:
 * first those of the channel, then those of patterns that match, with the pattern (else its data is
 * NULL). f may be NULL. The table must not be changed meanwhile. Returns how many there are. */
size_t channels_receivers(struct channels *cs, bool shard, struct bytes channel,
                          void (*f)(void *arg, struct subscriber *s, struct bytes pattern),
                          void *arg);

#endif
