/* internal: for this folder. */
#ifndef RESPGRES_TLS_INTERNAL_H
#define RESPGRES_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "tls/context.h"

/* Borrowed. */
SSL_CTX *tls_context_ssl(const struct tls_context *t);

/* The private key of tls-key-file, NULL with the reason in `error`. Never asks a terminal. */
MUST_CHECK EVP_PKEY *tls_read_key(const struct config *c, struct buf *error);

/* What OpenSSL complained of first, which is the cause of the rest: in static memory. */
const char *tls_openssl_reason(void);

#endif
