/* http: what orchestrators and people ask over HTTP. GET /healthz: 200 "ok" while the loop turns;
 * it says nothing about PostgreSQL, whose absence is no reason to restart us. Other paths: 404. */
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

#endif
