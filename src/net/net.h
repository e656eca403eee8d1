/* net: listens, accepts, and moves bytes between sockets and the engine's clients. See conns.h for
 * what happens to a connection. */
#ifndef RESPGRES_NET_NET_H
#define RESPGRES_NET_NET_H

#include "config/config.h"
#include "engine/engine.h"
#include "event/loop.h"

struct net;

/* Binds and listens on everything the configuration names and raises the limit of open files for
 * `maxclients`. NULL when something cannot be bound; `error` then says what and why. Borrows loop,
 * engine and config until net_free, which must come before engine_free. */
MUST_CHECK struct net *net_new(struct loop *loop, struct engine *engine,
                               struct config_store *config, struct buf *error);

/* Closes every connection at once, and what still listens. NULL is allowed. */
void net_free(struct net *n);

/* Closes the listening sockets: whoever shares the port takes over. For good. */
void net_stop_accepting(struct net *n);

/* Takes no more requests from anybody; replies still go out. For good. */
void net_stop_reading(struct net *n);

/* End of the loop's turn, after engine_turn_end: writes what was collected, once per connection,
 * and frees what was closed. True if requests were submitted or wait to be: the engine's turn end
 * is due again at once. */
MUST_CHECK bool net_turn_end(struct net *n);

/* Applies maxclients, timeout, keepalive and limits from the configuration's live values. */
void net_config_changed(struct net *n);

/* Bytes of replies that peers have not taken yet: 0 at the end of a drain. */
size_t net_unwritten(const struct net *n);

#endif
