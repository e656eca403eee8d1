/* listener: TCP sockets that listen, named as redis.conf's `bind` names them: "*" is every IPv4
 * address, "::*" or "::" every IPv6 address and only those, "-" before an address allows that this
 * host lacks it.
 * Source: https://redis.io/docs/latest/operate/oss_and_stack/management/config-file/ */
#ifndef RESPGRES_EVENT_LISTENER_H
#define RESPGRES_EVENT_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/check.h"

enum { LISTENER_MAX = 16 }; /* addresses in one option, as in Redis */

struct listener_options {
    const char *name; /* of the option, for messages: "bind" */
    uint16_t port;
    int backlog;
    bool reuseport;
};

/* Opens non-blocking listening sockets on the blank-separated `addresses`; the caller closes them.
 * No address at all is fine (*count = 0); if only optional ones were named and none could be
 * bound, that is a failure. On failure `error` says why and nothing stays open. */
MUST_CHECK bool listener_open(const char *addresses, const struct listener_options *o,
                              int fds[LISTENER_MAX], int *count, struct buf *error);

#endif
