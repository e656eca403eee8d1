/* resolve: names to addresses without holding up the loop. getaddrinfo has the answers that everybody
 * on the host gets (/etc/hosts, nsswitch.conf), and may take as long as it likes: it runs in a thread,
 * one per name that is being looked up, however many ask for it. */
#ifndef RESPGRES_STORE_POSTGRES_RESOLVE_H
#define RESPGRES_STORE_POSTGRES_RESOLVE_H

#include <netdb.h>

#include "event/loop.h"

struct resolver;
struct resolve; /* a question */

struct resolver *resolver_new(struct loop *loop);
/* Nobody may be waiting for an answer. A thread that still runs goes on and cleans up behind itself. */
void resolver_free(struct resolver *r); /* NULL is allowed */

/* `error` is getaddrinfo's; `found` is borrowed, one element per address, NULL if there is an error. */
typedef void (*resolve_done)(void *arg, const struct addrinfo *found, int error);

/* `done` is called once, from the loop, never before this returns; the question is gone then. */
struct resolve *resolve_ask(struct resolver *r, const char *name, resolve_done done, void *arg);
/* The answer is not wanted any more. */
void resolve_cancel(struct resolve *q);

#endif
