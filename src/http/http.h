/* http: what orchestrators and people ask over HTTP.
 *
 *   /healthz   200 while the loop turns. It says nothing about PostgreSQL, whose absence is no reason
 *              to restart us.
 *   /readyz    200 while commands with keys are served, else 503; the body names the state, how long
 *              it has lasted and why, as text or with ?format=json as JSON. With ?pg=1 it is 200 only
 *              while PostgreSQL is there.
 *   /metrics   Prometheus' text format 0.0.4
 *   /          the same facts as a page for people
 *
 * Other paths: 404. */
#ifndef RESPGRES_HTTP_HTTP_H
#define RESPGRES_HTTP_HTTP_H

#include "config/config.h"
#include "engine/engine.h"
#include "event/loop.h"

struct http;

/* Listens on http-bind:http-port; with port 0 the result serves nothing. NULL when it cannot
 * listen; `error` says why. Borrows all three until http_free. */
MUST_CHECK struct http *http_new(struct loop *loop, struct config_store *config,
                                 struct engine *engine, struct buf *error);
void http_free(struct http *h); /* NULL is allowed */

/* The server is about to end: it is not ready any more. */
void http_begin_drain(struct http *h);

#endif
