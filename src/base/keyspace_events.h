/* keyspace_events: the classes of keyspace notifications, one bit each, and the letters by which
 * notify-keyspace-events names them (Redis 7.0:
 * https://redis.io/docs/manual/keyspace-notifications/). The bits stand in the registry, too
 * (instances.events): never renumber. */
#ifndef RESPGRES_BASE_KEYSPACE_EVENTS_H
#define RESPGRES_BASE_KEYSPACE_EVENTS_H

#include "base/buf.h"
#include "base/check.h"

enum keyspace_event {
    EVENT_KEYSPACE = 1 << 0, /* K: told on __keyspace@<db>__:<key> */
    EVENT_KEYEVENT = 1 << 1, /* E: told on __keyevent@<db>__:<event> */
    EVENT_GENERIC = 1 << 2,  /* g */
    EVENT_STRING = 1 << 3,   /* $ */
    EVENT_LIST = 1 << 4,     /* l */
    EVENT_SET = 1 << 5,      /* s */
    EVENT_HASH = 1 << 6,     /* h */
    EVENT_ZSET = 1 << 7,     /* z */
    EVENT_EXPIRED = 1 << 8,  /* x */
    EVENT_EVICTED = 1 << 9,  /* e: never told, no key is evicted here */
    EVENT_STREAM = 1 << 10,  /* t: never told, there are no streams */
    EVENT_MODULE = 1 << 11,  /* d: never told, there are no modules */
    EVENT_NEW = 1 << 12,     /* n: not in A */
    EVENT_KEY_MISS = 1 << 13 /* m: not in A */
};

enum {
    EVENTS_CHANNELS = EVENT_KEYSPACE | EVENT_KEYEVENT,
    EVENTS_ALL = EVENT_GENERIC | EVENT_STRING | EVENT_LIST | EVENT_SET | EVENT_HASH | EVENT_ZSET |
                 EVENT_EXPIRED | EVENT_EVICTED | EVENT_STREAM | EVENT_MODULE /* A */
};

/* false = a letter that means nothing; *out is as before. */
MUST_CHECK bool keyspace_events_parse(struct bytes text, unsigned *out);

/* As CONFIG GET shows them. Like Redis 7.0's, it leaves out n where all of A are there. */
void keyspace_events_format(unsigned events, struct buf *out);

/* Those that lead to a message; 0 where neither or only channels are named. */
unsigned keyspace_events_effective(unsigned events);

#endif
