/* handshakes: what the TLS handshakes of all connections share: a bound on the time that they may
 * take of one turn of the loop, so that a storm of new clients does not hold up the others; and a
 * bound on what is logged of those that fail. */
#ifndef RESPGRES_NET_HANDSHAKES_H
#define RESPGRES_NET_HANDSHAKES_H

#include "tls/channel.h"

struct handshakes {
    int64_t spent_us; /* in this turn */
    int64_t from_us;  /* when the current window of the log began */
    int lines;        /* logged in it */
    uint64_t untold;  /* failures since the last line */
};

/* How long a peer may take for its handshake. */
enum { HANDSHAKE_PATIENCE_US = 10 * 1000 * 1000 };

/* A step of one handshake. TLS_AGAIN also when this turn's time is used up: the socket goes on
 * being ready, and the next turn comes to it. A failure has been counted and logged. */
MUST_CHECK enum tls_status handshakes_step(struct handshakes *h, struct tls_channel *channel,
                                           const char *peer);
void handshakes_turn_end(struct handshakes *h);

/* A peer has not come to the end of its handshake in time: counted and logged. */
void handshakes_give_up(struct handshakes *h, const char *peer);

#endif
