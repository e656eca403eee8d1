/* check: what a string option's text must look like. Each appends the reason on failure, without
 * the text itself; none is called for an empty text. */
#ifndef RESPGRES_CONFIG_CHECK_H
#define RESPGRES_CONFIG_CHECK_H

#include "base/buf.h"

/* Addresses, at most 16 (Redis' CONFIG_BINDADDR_MAX). */
MUST_CHECK bool check_bind(struct bytes text, struct buf *reason);
/* Must fit sockaddr_un. */
MUST_CHECK bool check_unixsocket(struct bytes text, struct buf *reason);
/* Names a folder and appears in logs. */
MUST_CHECK bool check_instance_name(struct bytes text, struct buf *reason);
/* A name that needs no quotes in SQL and is not PostgreSQL's own. */
MUST_CHECK bool check_pg_schema(struct bytes text, struct buf *reason);
/* Found here rather than by libpq, whose messages would show part of a mistyped URL. */
MUST_CHECK bool check_database_url(struct bytes text, struct buf *reason);
/* Pairs of a pattern and a format. */
MUST_CHECK bool check_payload(struct bytes text, struct buf *reason);
/* Versions of TLS, separated by blanks. */
MUST_CHECK bool check_tls_protocols(struct bytes text, struct buf *reason);

/* What options must not be at the same time. */
struct config;
MUST_CHECK bool check_together(const struct config *c, struct buf *reason);

bool instance_name_char(char c);

#endif
