/* http_server: HTTP/1.0 and 1.1 for a few small answers: GET and HEAD, no bodies.
 *
 * It is our own because libevent 2.1's server bounds neither the number of connections nor the time
 * that a request may take as a whole, and both can be had by anybody who reaches the port. Here
 * each connection has 8 kB for a request and a deadline for each of its steps; when there are as
 * many connections as are allowed, a new one takes the place of the one that has been silent
 * longest. So slow clients cannot keep a health check out.
 *
 * One handler sees every proper request and answers within the call. The syntax is RFC 9112's;
 * bodies are refused, so requests end with their head. */
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
/* Does the query have this parameter with this value, as in ?name=value&… (not decoded)? */
bool http_exchange_asks(const struct http_exchange *x, const char *parameter);

void http_exchange_reply(struct http_exchange *x, int status, const char *content_type,
                         struct bytes body);

#endif
