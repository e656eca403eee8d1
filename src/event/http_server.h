/* http_server: libevent's HTTP server for a few small answers: GET and HEAD, no bodies, bounded
 * headers, idle connections closed. One handler sees every request and answers within the call. */
#ifndef RESPGRES_EVENT_HTTP_SERVER_H
#define RESPGRES_EVENT_HTTP_SERVER_H

#include "base/buf.h"
#include "base/bytes.h"
#include "event/listener.h"
#include "event/loop.h"

struct http_server;
struct http_exchange; /* one request and its answer */

/* Calls http_exchange_reply exactly once. */
typedef void (*http_handler)(void *arg, struct http_exchange *x);

/* NULL with the reason in `error`. Borrows the loop. `addresses` as in listener.h. */
MUST_CHECK struct http_server *http_server_new(struct loop *l, const char *addresses,
                                               const struct listener_options *o,
                                               http_handler handler, void *arg, struct buf *error);
void http_server_free(struct http_server *s); /* NULL is allowed */

/* The path without the query, as sent (not decoded). */
struct bytes http_exchange_path(const struct http_exchange *x);

void http_exchange_reply(struct http_exchange *x, int status, const char *content_type,
                         struct bytes body);

#endif
