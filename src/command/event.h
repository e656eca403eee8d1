/* event: what keyspace notifications will tell of a transaction, recorded while its commands run.
 *
 * A handler notes what it has done where Redis calls notifyKeyspaceEvent, in the same order; that
 * costs one comparison while nobody wants any. A transaction may run several times: who runs it
 * empties the record first, and publishes it only after the commit. */
#ifndef RESPGRES_COMMAND_EVENT_H
#define RESPGRES_COMMAND_EVENT_H

#include "base/keyspace_events.h"
#include "command/command.h"
#include "command/lookups.h"

struct event {
    const char *name; /* constant text */
    struct bytes key; /* borrowed from the transaction's key */
    int db;
};

struct events {
    unsigned wanted; /* of enum keyspace_event */
    int missed;      /* keys of the command at work below this have been looked up */
    size_t n;
    size_t cap;
    struct event *list; /* owned */
};

/* `class` is one bit of enum keyspace_event. */
void events_note(struct events *ev, unsigned class, const char *name, const struct key *k);
/* The same in front of all there are. */
void events_note_first(struct events *ev, unsigned class, const char *name, const struct key *k);
void events_release(struct events *ev);

/* The next command of the transaction. */
static inline void events_begin_command(struct events *ev)
{
    ev->missed = 0;
}

/* Something has become of the i-th key. */
static inline void key_event(struct command_ctx *ctx, unsigned class, const char *name, int i)
{
    if (ctx->events != NULL)
        events_note(ctx->events, class, name, ctx->keys[i]);
}

/* The i-th key is about to be written: is it new? */
void key_new_event(struct command_ctx *ctx, int i);

/* The i-th key has been removed by what was done to it. */
static inline void key_del_event(struct command_ctx *ctx, int i)
{
    key_event(ctx, EVENT_GENERIC, "del", i);
}

#endif
