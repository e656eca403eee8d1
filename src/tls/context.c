/* context: see context.h. Each step takes one option or two, and says what is wrong with them. */
#include "tls/context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "tls/internal.h"

enum { SUBJECT_MAX = 256 };

struct tls_context {
    SSL_CTX *ctx;
    struct tls_validity validity;
    char subject[SUBJECT_MAX];
};

const char *tls_openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason != NULL ? reason : "no reason given";
}

/* ---- files ---- */

/* NULL with the reason if it cannot be opened. */
static BIO *open_file(const char *option, const char *path, struct buf *error)
{
    const char *why;
    FILE *f = file_open_stream(path, &why);
    BIO *bio = f != NULL ? BIO_new_fp(f, BIO_CLOSE) : NULL;
    if (f == NULL) {
        buf_printf(error, "%s %s: %s", option, path, why);
    } else if (bio == NULL) {
        buf_printf(error, "%s %s: %s", option, path, tls_openssl_reason());
        fclose(f);
    }
    return bio;
}

/* OpenSSL would ask the terminal if there were no answer here. */
static int give_password(char *out, int size, int writing, void *arg)
{
    const char *password = arg;
    size_t n = strlen(password);
    (void)writing;
    if (n > (size_t)size)
        return -1;
    memcpy(out, password, n);
    return (int)n;
}

EVP_PKEY *tls_read_key(const struct config *c, struct buf *error)
{
    BIO *bio = open_file("tls-key-file", c->tls_key_file, error);
    if (bio == NULL)
        return NULL;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, give_password, c->tls_key_file_pass);
    BIO_free(bio);
    if (key == NULL)
        buf_printf(error, "tls-key-file %s: no private key in PEM form, or one with a password %s",
                   c->tls_key_file,
                   c->tls_key_file_pass[0] != '\0' ? "that is not that of tls-key-file-pass"
                                                   : "and there is no tls-key-file-pass");
    return key;
}

static bool use_certificate(SSL_CTX *ctx, const struct config *c, struct buf *error)
{
    /* Opened only for a better reason than OpenSSL's. */
    BIO *bio = open_file("tls-cert-file", c->tls_cert_file, error);
    if (bio == NULL)
        return false;
    BIO_free(bio);
    if (SSL_CTX_use_certificate_chain_file(ctx, c->tls_cert_file) == 1)
        return true;
    bool empty = ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE;
    buf_printf(error, "tls-cert-file %s: %s", c->tls_cert_file,
               empty ? "no certificate in PEM form" : tls_openssl_reason());
    return false;
}

static bool use_key(SSL_CTX *ctx, const struct config *c, struct buf *error)
{
    EVP_PKEY *key = tls_read_key(c, error);
    if (key == NULL)
        return false;
    bool ok = false;
    if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1)
        buf_printf(error, "tls-key-file %s does not belong to the certificate in tls-cert-file %s",
                   c->tls_key_file, c->tls_cert_file);
    else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
        buf_printf(error, "tls-key-file %s: %s", c->tls_key_file, tls_openssl_reason());
    else
        ok = true;
    EVP_PKEY_free(key);
    return ok;
}

static bool use_authorities(SSL_CTX *ctx, const struct config *c, struct buf *error)
{
    static const int verify[] = {
        [TLS_AUTH_NO] = SSL_VERIFY_NONE,
        [TLS_AUTH_YES] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        [TLS_AUTH_OPTIONAL] = SSL_VERIFY_PEER,
    };
    const char *file = c->tls_ca_cert_file[0] != '\0' ? c->tls_ca_cert_file : NULL;
    const char *dir = c->tls_ca_cert_dir[0] != '\0' ? c->tls_ca_cert_dir : NULL;
    struct stat st;
    if (file == NULL && dir == NULL && c->tls_auth_clients != TLS_AUTH_NO) {
        buf_append_cstr(error, "tls-auth-clients: clients' certificates can only be checked with "
                               "tls-ca-cert-file or tls-ca-cert-dir; to ask for none, set "
                               "tls-auth-clients no");
        return false;
    }
    BIO *bio = file != NULL ? open_file("tls-ca-cert-file", file, error) : NULL;
    if (file != NULL && bio == NULL)
        return false;
    BIO_free(bio);
    if (file != NULL && SSL_CTX_load_verify_file(ctx, file) != 1) {
        buf_printf(error, "tls-ca-cert-file %s: no certificate in PEM form", file);
        return false;
    }
    if (dir != NULL && (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))) {
        buf_printf(error, "tls-ca-cert-dir %s: no such folder", dir);
        return false;
    }
    if (dir != NULL && SSL_CTX_load_verify_dir(ctx, dir) != 1) {
        buf_printf(error, "tls-ca-cert-dir %s: %s", dir, tls_openssl_reason());
        return false;
    }
    SSL_CTX_set_verify(ctx, verify[c->tls_auth_clients], NULL);
    return true;
}

static bool use_dh_params(SSL_CTX *ctx, const struct config *c, struct buf *error)
{
    if (c->tls_dh_params_file[0] == '\0')
        return SSL_CTX_set_dh_auto(ctx, 1) == 1;
    BIO *bio = open_file("tls-dh-params-file", c->tls_dh_params_file, error);
    if (bio == NULL)
        return false;
    EVP_PKEY *params = PEM_read_bio_Parameters(bio, NULL);
    BIO_free(bio);
    if (params != NULL && SSL_CTX_set0_tmp_dh_pkey(ctx, params) == 1)
        return true;
    buf_printf(error, "tls-dh-params-file %s: %s", c->tls_dh_params_file,
               params == NULL ? "no parameters in PEM form" : tls_openssl_reason());
    EVP_PKEY_free(params);
    return false;
}

/* ---- what is spoken ---- */

static bool names_protocol(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (list += strspn(list, " "); *list != '\0'; list += strspn(list, " ")) {
        size_t word = strcspn(list, " ");
        if (word == n && bytes_ieq(bytes_of(list, word), name))
            return true;
        list += word;
    }
    return false;
}

static bool use_protocols(SSL_CTX *ctx, const struct config *c, struct buf *error)
{
    static const struct {
        const char *name;
        int version;
        uint64_t off;
    } protocols[] = {
        {"TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1},
        {"TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
        {"TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
        {"TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3},
    };
    const char *list = c->tls_protocols[0] != '\0' ? c->tls_protocols : "TLSv1.2 TLSv1.3";
    int least = 0;
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        bool on = names_protocol(list, protocols[i].name);
        if (!on)
            SSL_CTX_set_options(ctx, protocols[i].off);
        else if (least == 0)
            least = protocols[i].version;
    }
    /* openssl.cnf may have said something else. */
    if (SSL_CTX_set_min_proto_version(ctx, least) == 1 &&
        SSL_CTX_set_max_proto_version(ctx, 0) == 1)
        return true;
    buf_printf(error, "tls-protocols: %s", tls_openssl_reason());
    return false;
}

static bool use_ciphers(SSL_CTX *ctx, const struct config *c, struct buf *error)
{
    if (c->tls_ciphers[0] != '\0' && SSL_CTX_set_cipher_list(ctx, c->tls_ciphers) != 1) {
        buf_printf(error, "tls-ciphers: %s", tls_openssl_reason());
        return false;
    }
    if (c->tls_ciphersuites[0] != '\0' && SSL_CTX_set_ciphersuites(ctx, c->tls_ciphersuites) != 1) {
        buf_printf(error, "tls-ciphersuites: %s", tls_openssl_reason());
        return false;
    }
    if (c->tls_prefer_server_ciphers)
        SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    return true;
}

/* Each context has ticket keys of its own: what was agreed with another one, perhaps without a
 * client certificate, is not resumed here. */
static void use_session_cache(SSL_CTX *ctx, const struct config *c)
{
    static const unsigned char name[] = "respgres";
    if (!c->tls_session_caching) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(ctx, 0);
        return;
    }
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(ctx, (long)c->tls_session_cache_size);
    SSL_CTX_set_timeout(ctx, (long)c->tls_session_cache_timeout_s);
    (void)SSL_CTX_set_session_id_context(ctx, name, sizeof(name) - 1);
    (void)SSL_CTX_set_num_tickets(ctx, 1); /* one connection more than it had resumes, not two */
}

/* A connection that is quiet holds no buffers; one read takes as much as there is; a write that is
 * tried again may find its bytes elsewhere, and more behind them (net's output buffer grows). */
static void use_our_ways(SSL_CTX *ctx)
{
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    /* Requests say themselves where they end: an end without TLS' own goodbye cuts none of them. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_SINGLE_DH_USE | SSL_OP_IGNORE_UNEXPECTED_EOF);
}

/* ---- the certificate ---- */

static int64_t unix_time(const ASN1_TIME *t)
{
    struct tm tm;
    return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void narrow(struct tls_validity *v, const X509 *x)
{
    int64_t from = unix_time(X509_get0_notBefore(x));
    int64_t until = unix_time(X509_get0_notAfter(x));
    v->from_s = from > v->from_s ? from : v->from_s;
    v->until_s = until < v->until_s ? until : v->until_s;
}

static void note_certificate(struct tls_context *t)
{
    X509 *x = SSL_CTX_get0_certificate(t->ctx);
    STACK_OF(X509) *chain = NULL;
    t->validity = (struct tls_validity){0, INT64_MAX};
    narrow(&t->validity, x);
    if (SSL_CTX_get0_chain_certs(t->ctx, &chain) == 1) {
        for (int i = 0; i < sk_X509_num(chain); i++)
            narrow(&t->validity, sk_X509_value(chain, i));
    }
    (void)X509_NAME_oneline(X509_get_subject_name(x), t->subject, sizeof(t->subject));
}

/* ---- life ---- */

static bool set_up(struct tls_context *t, const struct config *c, struct buf *error)
{
    if (c->tls_cert_file[0] == '\0' || c->tls_key_file[0] == '\0') {
        buf_printf(error, "tls-port: needs %s%s%s",
                   c->tls_cert_file[0] == '\0' ? "tls-cert-file" : "",
                   c->tls_cert_file[0] == '\0' && c->tls_key_file[0] == '\0' ? " and " : "",
                   c->tls_key_file[0] == '\0' ? "tls-key-file" : "");
        return false;
    }
    use_our_ways(t->ctx);
    use_session_cache(t->ctx, c);
    return use_protocols(t->ctx, c, error) && use_ciphers(t->ctx, c, error) &&
           use_certificate(t->ctx, c, error) && use_key(t->ctx, c, error) &&
           use_authorities(t->ctx, c, error) && use_dh_params(t->ctx, c, error);
}

struct tls_context *tls_context_new(const struct config *c, struct buf *error)
{
    struct tls_context *t = mem_zalloc(sizeof(*t));
    ERR_clear_error();
    t->ctx = SSL_CTX_new(TLS_server_method());
    bool ok = t->ctx != NULL && set_up(t, c, error);
    if (!ok && error->len == 0)
        buf_printf(error, "TLS: %s", tls_openssl_reason());
    ERR_clear_error();
    if (ok) {
        note_certificate(t);
        return t;
    }
    tls_context_free(t);
    return NULL;
}

void tls_context_free(struct tls_context *t)
{
    if (t == NULL)
        return;
    SSL_CTX_free(t->ctx);
    mem_free(t);
}

SSL_CTX *tls_context_ssl(const struct tls_context *t)
{
    return t->ctx;
}

const struct tls_validity *tls_context_validity(const struct tls_context *t)
{
    return &t->validity;
}

const char *tls_context_subject(const struct tls_context *t)
{
    return t->subject;
}

void tls_append_time(struct buf *out, int64_t unix_s)
{
    char text[32];
    struct tm tm;
    time_t t = (time_t)unix_s;
    if (gmtime_r(&t, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(text, sizeof(text), "%lld", (long long)unix_s);
    buf_append_cstr(out, text);
}
