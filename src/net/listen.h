/* listen: sockets that listen, and the options and names of those that were accepted. Plain
 * sockets: no loop, no client. */
#ifndef RESPGRES_NET_LISTEN_H
#define RESPGRES_NET_LISTEN_H

#include <stdint.h>

#include "base/buf.h"
#include "config/config.h"
#include "engine/client.h"
#include "event/listener.h"

enum { LISTEN_MAX = LISTENER_MAX + 1 }; /* `bind` and the Unix socket */

struct listen_set {
    int fds[LISTEN_MAX];
    int count;
    char *unix_path; /* NULL = none; the file is removed by listen_set_close */
    uint64_t unix_inode;
};

/* Everything `port`, `bind` and `unixsocket` name; tls_door.h has `tls-port`. On failure nothing is left open. */
MUST_CHECK bool listen_set_open(struct listen_set *s, const struct config *c, struct buf *error);
void listen_set_close(struct listen_set *s);

/* Names both ends as CLIENT LIST shows them. */
void peer_describe(int fd, const char *unix_path, struct client_info *info);

/* TCP_NODELAY and keepalive (0 = off) of an accepted TCP socket. */
void peer_set_options(int fd, int64_t keepalive_s);

#endif
