/* channel: see channel.h.
 *
 * OpenSSL reads ahead: what the socket has delivered may stand in its buffer, decrypted or not,
 * without the socket being readable any more. `starved` says that OpenSSL has had all of that and
 * wants more from the socket; only then is the socket's readiness the only thing to wait for. */
#include "tls/channel.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "tls/internal.h"

enum { RECORD_HANDSHAKE = 22 }; /* RFC 8446, 5.1: the first byte of any TLS connection */

enum channel_state {
    CHANNEL_SILENT, /* nothing has come yet, there is no SSL */
    CHANNEL_HANDSHAKE,
    CHANNEL_OPEN,
    CHANNEL_ENDED, /* the peer sends no more; it may still read */
    CHANNEL_BROKEN
};

struct tls_channel {
    SSL *ssl;
    SSL_CTX *ctx; /* a reference, until there is an SSL */
    int fd;
    enum channel_state state;
    bool starved;
    bool wants_write;
    bool probe;
    const char *reason;
    int64_t since_us;
};

static void channel_set_state(struct tls_channel *t, enum channel_state state)
{
    CHECK(state > t->state);
    t->state = state;
}

struct tls_channel *tls_channel_new(struct tls_context *context, int fd, int64_t now_us)
{
    struct tls_channel *t = mem_zalloc(sizeof(*t));
    t->ctx = tls_context_ssl(context);
    SSL_CTX_up_ref(t->ctx);
    t->fd = fd;
    t->since_us = now_us;
    t->reason = "";
    return t;
}

void tls_channel_free(struct tls_channel *t)
{
    if (t == NULL)
        return;
    if (t->state == CHANNEL_OPEN || t->state == CHANNEL_ENDED) {
        ERR_clear_error();
        (void)SSL_shutdown(t->ssl);
    }
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    ERR_clear_error();
    mem_free(t);
}

static enum tls_status fail(struct tls_channel *t, const char *reason)
{
    t->reason = reason;
    channel_set_state(t, CHANNEL_BROKEN);
    return TLS_FAILED;
}

/* ---- the handshake ---- */

/* Looks at the first byte: whatever is not TLS never meets OpenSSL. */
static enum tls_status begin(struct tls_channel *t)
{
    unsigned char first;
    ssize_t n = recv(t->fd, &first, 1, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return TLS_AGAIN;
    if (n <= 0) {
        t->probe = true;
        return fail(t, "closed by the peer before it said anything");
    }
    if (first != RECORD_HANDSHAKE)
        return fail(t, "what the peer sends is not TLS");
    t->ssl = SSL_new(t->ctx);
    if (t->ssl == NULL || SSL_set_fd(t->ssl, t->fd) != 1)
        return fail(t, "out of memory");
    SSL_CTX_free(t->ctx); /* the SSL has its own reference */
    t->ctx = NULL;
    SSL_set_accept_state(t->ssl);
    channel_set_state(t, CHANNEL_HANDSHAKE);
    return TLS_OPEN;
}

/* Of a peer's certificate that will not do, what is wrong with it. */
static const char *handshake_reason(const SSL *ssl, int error)
{
    long verified = SSL_get_verify_result(ssl);
    if (error == SSL_ERROR_SSL && verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    if (error == SSL_ERROR_SSL && ERR_peek_error() != 0)
        return tls_openssl_reason();
    return "closed by the peer in the middle of the handshake";
}

enum tls_status tls_channel_handshake(struct tls_channel *t)
{
    if (t->state == CHANNEL_SILENT) {
        enum tls_status begun = begin(t);
        if (begun != TLS_OPEN)
            return begun;
    }
    CHECK(t->state == CHANNEL_HANDSHAKE);
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    int error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, rc);
    t->wants_write = error == SSL_ERROR_WANT_WRITE;
    if (error == SSL_ERROR_NONE) {
        channel_set_state(t, CHANNEL_OPEN);
        return TLS_OPEN;
    }
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return TLS_AGAIN;
    return fail(t, handshake_reason(t->ssl, error));
}

bool tls_channel_is_open(const struct tls_channel *t)
{
    return t->state >= CHANNEL_OPEN;
}

const char *tls_channel_reason(const struct tls_channel *t)
{
    return t->reason;
}

bool tls_channel_was_probe(const struct tls_channel *t)
{
    return t->probe;
}

int64_t tls_channel_since_us(const struct tls_channel *t)
{
    return t->since_us;
}

/* ---- data ---- */

/* What a read that failed with `error` means for those that follow. */
static void note_read(struct tls_channel *t, int error)
{
    t->wants_write = error == SSL_ERROR_WANT_WRITE;
    t->starved = error == SSL_ERROR_WANT_READ;
    if (error == SSL_ERROR_ZERO_RETURN)
        channel_set_state(t, CHANNEL_ENDED);
    else if (!t->wants_write && !t->starved)
        channel_set_state(t, CHANNEL_BROKEN);
}

ssize_t tls_channel_read(struct tls_channel *t, char *out, size_t room)
{
    size_t got = 0;
    t->starved = false;
    while (t->state == CHANNEL_OPEN && got < room) {
        size_t n = 0;
        ERR_clear_error();
        int rc = SSL_read_ex(t->ssl, out + got, room - got, &n);
        if (rc != 1) {
            note_read(t, SSL_get_error(t->ssl, rc));
            break;
        }
        got += n;
        if (SSL_has_pending(t->ssl) == 0) {
            t->starved = true; /* as good as: a look at the socket is saved */
            break;
        }
    }
    if (got > 0)
        return (ssize_t)got;
    if (t->state == CHANNEL_ENDED)
        return 0;
    errno = t->state == CHANNEL_OPEN ? EAGAIN : EPROTO;
    return -1;
}

ssize_t tls_channel_write(struct tls_channel *t, const char *data, size_t n)
{
    if (t->state != CHANNEL_OPEN && t->state != CHANNEL_ENDED) {
        errno = EPROTO;
        return -1;
    }
    size_t written = 0;
    ERR_clear_error();
    int rc = SSL_write_ex(t->ssl, data, n, &written);
    if (rc == 1)
        return (ssize_t)written;
    /* It never waits for the peer's bytes: there is no second handshake. */
    if (SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    channel_set_state(t, CHANNEL_BROKEN);
    errno = EPROTO;
    return -1;
}

bool tls_channel_pending(const struct tls_channel *t)
{
    if (t->state == CHANNEL_OPEN)
        return !t->starved && !t->wants_write && SSL_has_pending(t->ssl) != 0;
    return t->state == CHANNEL_ENDED || t->state == CHANNEL_BROKEN;
}

bool tls_channel_wants_write(const struct tls_channel *t)
{
    return t->wants_write && t->state < CHANNEL_ENDED;
}
