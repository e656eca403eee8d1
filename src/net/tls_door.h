/* tls_door: the TLS port: its listening sockets, and the context that new connections get. Both may
 * change while running, and only together: tls_door_prepare makes what is new beside what is there,
 * tls_door_commit puts it into its place. Connections that are open go on with what they began
 * with. */
#ifndef RESPGRES_NET_TLS_DOOR_H
#define RESPGRES_NET_TLS_DOOR_H

#include "base/buf.h"
#include "config/config.h"
#include "event/loop.h"
#include "tls/channel.h"

struct tls_door;

/* Closed at first. `accept` is called when somebody can be accepted from `listener`; false: nobody
 * can be accepted any more for now. */
struct tls_door *tls_door_new(struct loop *loop, bool (*accept)(void *arg, int listener),
                              void *arg);
void tls_door_free(struct tls_door *d); /* NULL is allowed */

/* Makes ready for what the options will be. False with a reason if that is impossible; then nothing
 * has changed. What was prepared before and not committed is dropped. */
MUST_CHECK bool tls_door_prepare(struct tls_door *d, const struct config *c, struct buf *reason);
/* Takes what was prepared; nothing, if nothing was. */
void tls_door_commit(struct tls_door *d);

/* Looks away, or listens again. */
void tls_door_want(struct tls_door *d, bool want);
/* For good. */
void tls_door_close(struct tls_door *d);

/* For a socket that was accepted here. */
struct tls_channel *tls_door_channel(struct tls_door *d, int fd);

#endif
