/* lookups: what a transaction adds to keyspace_hits and keyspace_misses, and the event "keymiss".
 * As events are, it is counted anew in each run, and taken when the transaction has ended. */
#ifndef RESPGRES_COMMAND_LOOKUPS_H
#define RESPGRES_COMMAND_LOOKUPS_H

#include "command/command.h"

/* How many keys were looked up to be read, by Redis' rule: what is looked up to be changed does not
 * count, and a command that changes one key may read another one. */
struct lookups {
    uint32_t hits;
    uint32_t misses;
    int looked; /* keys of the command at work below this have been counted */
};

static inline void lookups_begin_command(struct lookups *l)
{
    l->looked = 0;
}

static inline void lookups_count(struct lookups *l, bool found)
{
    l->hits += found;
    l->misses += !found;
}

/* The i-th key has been looked up to be read, and is there, or is not. Once per argument, however
 * often a handler looks; handlers look in the order of the arguments. key_find calls it for
 * commands that only read. */
void key_looked_up(const struct command_ctx *ctx, int i, bool found);

#endif
