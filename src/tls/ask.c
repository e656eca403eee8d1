/* ask: see ask.h. Blocking: nothing else happens in this process. */
#include "tls/ask.h"

#include <openssl/err.h>
#include <string.h>

#include "tls/internal.h"

enum { ALERTS_FROM = 1000 }; /* reasons above it are alerts of the peer (SSL_AD_REASON_OFFSET) */

static void show_own_certificate(SSL_CTX *ctx, const struct config *c)
{
    struct buf ignored;
    buf_init(&ignored);
    EVP_PKEY *key = tls_read_key(c, &ignored);
    if (key != NULL && SSL_CTX_use_certificate_chain_file(ctx, c->tls_cert_file) == 1)
        (void)SSL_CTX_use_PrivateKey(ctx, key); /* without it there will be an alert, or none */
    EVP_PKEY_free(key);
    buf_release(&ignored);
    ERR_clear_error();
}

/* How many bytes of an answer came: 0 with a reason if none did. */
static size_t exchange(SSL *ssl, const char *request, char *answer, size_t size, struct buf *error)
{
    size_t n = 0;
    int rc = SSL_connect(ssl);
    if (rc == 1)
        rc = SSL_write(ssl, request, (int)strlen(request));
    while (rc > 0 && n + 1 < size && memchr(answer, '\n', n) == NULL) {
        size_t got = 0;
        rc = SSL_read_ex(ssl, answer + n, size - 1 - n, &got);
        n += got;
    }
    if (n == 0 && ERR_GET_REASON(ERR_peek_error()) > ALERTS_FROM)
        answer[n++] = '-';
    if (n == 0)
        buf_printf(error, "no answer over TLS: %s",
                   ERR_peek_error() != 0 ? tls_openssl_reason() : "not in time, or closed");
    return n;
}

bool tls_ask(const struct config *c, int fd, const char *request, char *answer, size_t size,
             struct buf *error)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;
    size_t n = 0;
    ERR_clear_error();
    if (ctx != NULL) {
        show_own_certificate(ctx, c);
        ssl = SSL_new(ctx);
    }
    if (ssl != NULL && SSL_set_fd(ssl, fd) == 1)
        n = exchange(ssl, request, answer, size, error);
    else
        buf_append_cstr(error, "out of memory");
    answer[n] = '\0';
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return n > 0;
}
