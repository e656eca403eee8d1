/* channel: TLS on one accepted, non-blocking socket, which stays the caller's. Nothing waits here:
 * where TLS needs the socket to become readable or writable first, the caller is told.
 *
 * A channel costs nothing but its few bytes until the peer's first byte has come, so that peers
 * that connect and say nothing cost no more than without TLS. */
#ifndef RESPGRES_TLS_CHANNEL_H
#define RESPGRES_TLS_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/check.h"

struct tls_context;
struct tls_channel;

struct tls_channel *tls_channel_new(struct tls_context *context, int fd, int64_t now_us);

/* Says goodbye if that can be done at once. NULL is allowed. */
void tls_channel_free(struct tls_channel *t);

enum tls_status { TLS_OPEN, TLS_AGAIN, TLS_FAILED };

/* A step of the handshake, when the socket has become ready. TLS_OPEN: done, and there may be data
 * to read that the socket will not tell of. */
MUST_CHECK enum tls_status tls_channel_handshake(struct tls_channel *t);
bool tls_channel_is_open(const struct tls_channel *t);
/* Why it failed; in static memory. */
const char *tls_channel_reason(const struct tls_channel *t);
/* A peer that went without having said anything: a look at whether the port is open. */
bool tls_channel_was_probe(const struct tls_channel *t);
/* When it was made, for a limit on handshakes. */
int64_t tls_channel_since_us(const struct tls_channel *t);

/* As recv and send: bytes, 0 at the peer's end, -1 with errno EAGAIN, or another one for a broken
 * connection. After EAGAIN, what was not written is to be given again, with more behind it if there
 * is more. */
ssize_t tls_channel_read(struct tls_channel *t, char *out, size_t room);
ssize_t tls_channel_write(struct tls_channel *t, const char *data, size_t n);

/* There is something to read that the socket will not tell of. */
bool tls_channel_pending(const struct tls_channel *t);
/* The handshake, or reading, goes on when the socket takes bytes. */
bool tls_channel_wants_write(const struct tls_channel *t);

#endif
