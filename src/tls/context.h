/* context: what the options of TLS come to: OpenSSL's SSL_CTX, which connections are made from.
 * It never changes: other options, or other bytes in the same files, make another one, and the
 * connections of the old one keep that alive. This folder is OpenSSL's home. */
#ifndef RESPGRES_TLS_CONTEXT_H
#define RESPGRES_TLS_CONTEXT_H

#include <stdint.h>

#include "base/buf.h"
#include "config/config.h"

struct tls_context;

/* Of the certificate that is shown and of those sent with it: the first to end, the last to begin.
 * Seconds since 1970. */
struct tls_validity {
    int64_t from_s;
    int64_t until_s;
};

/* Reads the files. NULL with the option, the file and the reason in `error` if one of them will
 * not do; a password is in no message. A certificate that has expired is no failure here. */
MUST_CHECK struct tls_context *tls_context_new(const struct config *c, struct buf *error);
void tls_context_free(struct tls_context *t); /* NULL is allowed; connections keep what they need */

const struct tls_validity *tls_context_validity(const struct tls_context *t);
/* Of the certificate, as "/C=CH/CN=cache.example.org". */
const char *tls_context_subject(const struct tls_context *t);

/* Appends a moment as "2026-01-31 12:00 UTC". */
void tls_append_time(struct buf *out, int64_t unix_s);

#endif
