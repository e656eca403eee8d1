/* conns: the open connections. Each is a socket, a reader, and the engine's client.
 *
 * Bytes are read into one shared buffer, parsed, and submitted. Output is written once at the end
 * of the turn. A connection whose peer sends faster than it is answered, or does not take its
 * replies, is paused: nothing more is read or parsed for it: what it can grow is bounded. */
#ifndef RESPGRES_NET_CONNS_H
#define RESPGRES_NET_CONNS_H

#include "base/list.h"
#include "config/config.h"
#include "engine/client.h"
#include "engine/engine.h"
#include "event/loop.h"

struct conns;
struct tls_channel;

struct conns *conns_new(struct loop *loop, struct engine *engine, const struct config *config);
void conns_free(struct conns *s);

/* Takes the socket, which is non-blocking. */
void conns_add(struct conns *s, int fd, const struct client_info *info);
/* The same for one that speaks TLS: takes the channel as well. `refusal`, unless NULL, is the line
 * that it gets after the handshake, and then is closed; in static memory. */
void conns_add_tls(struct conns *s, int fd, const struct client_info *info,
                   struct tls_channel *channel, const char *refusal);

size_t conns_count(const struct conns *s);
size_t conns_unwritten(const struct conns *s);
void conns_stop_reading(struct conns *s);

/* See net_turn_end. */
MUST_CHECK bool conns_turn_end(struct conns *s);

/* Closes those that `timeout` names, and those that do not take their last replies. */
void conns_scan(struct conns *s, int64_t now_us);

#endif
