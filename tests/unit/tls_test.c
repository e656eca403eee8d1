/* TLS on a pair of sockets: a channel on one end, OpenSSL's client on the other, in one thread. The
 * certificates are made here. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/option.h"
#include "test.h"
#include "tls/channel.h"
#include "tls/context.h"

enum { DAY_S = 24 * 60 * 60 };

static char folder[] = "/tmp/respgres-tls-XXXXXX";

/* ---- certificates ---- */

static void path_of(const char *name, char out[128])
{
    if (strstr(folder, "XXXXXX") != NULL)
        EXPECT(mkdtemp(folder) != NULL);
    snprintf(out, 128, "%s/%s", folder, name);
}

static void write_pem(const char *name, EVP_PKEY *key, X509 *certificate, const char *password)
{
    char path[128];
    path_of(name, path);
    FILE *f = fopen(path, "we");
    EXPECT(f != NULL);
    if (key != NULL)
        EXPECT(PEM_write_PrivateKey(f, key, password != NULL ? EVP_aes_128_cbc() : NULL, NULL, 0,
                                    NULL, (void *)password) == 1);
    if (certificate != NULL)
        EXPECT(PEM_write_X509(f, certificate) == 1);
    fclose(f);
}

/* NAME.crt and NAME.key: signed by itself, valid until `days` from now. */
static void make(const char *name, int days, const char *password)
{
    char file[64];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    EXPECT(key != NULL && x != NULL);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_gmtime_adj(X509_getm_notBefore(x), -100L * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(x), (long)days * DAY_S);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    EXPECT(X509_sign(x, key, EVP_sha256()) > 0);
    snprintf(file, sizeof(file), "%s.crt", name);
    write_pem(file, NULL, x, NULL);
    snprintf(file, sizeof(file), "%s.key", name);
    write_pem(file, key, NULL, password);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void set(struct config *c, enum option_id id, const char *value)
{
    struct buf reason;
    buf_init(&reason);
    EXPECT(option_parse(&options[id], bytes_cstr(value), c, &reason));
    buf_release(&reason);
}

static void set_file(struct config *c, enum option_id id, const char *name)
{
    char path[128];
    path_of(name, path);
    set(c, id, path);
}

static void config_with(struct config *c, const char *certificate, const char *key)
{
    config_init(c);
    set(c, OPT_tls_auth_clients, "no");
    set_file(c, OPT_tls_cert_file, certificate);
    set_file(c, OPT_tls_key_file, key);
}

static struct tls_context *context_of(struct config *c)
{
    struct buf error;
    buf_init(&error);
    struct tls_context *t = tls_context_new(c, &error);
    if (t == NULL)
        printf("  %s\n", buf_cstr(&error));
    EXPECT(t != NULL);
    buf_release(&error);
    return t;
}

static void expect_refused(struct config *c, const char *why)
{
    struct buf error;
    buf_init(&error);
    struct tls_context *t = tls_context_new(c, &error);
    EXPECT(t == NULL);
    if (strstr(buf_cstr(&error), why) == NULL) {
        printf("  got \"%s\", not \"%s\"\n", buf_cstr(&error), why);
        EXPECT(false);
    }
    tls_context_free(t);
    buf_release(&error);
    config_release(c);
}

/* ---- contexts ---- */

static void context_tells_of_its_certificate(void)
{
    struct config c;
    make("good", 10, NULL);
    config_with(&c, "good.crt", "good.key");
    struct tls_context *t = context_of(&c);
    int64_t now_s = (int64_t)time(NULL);
    int64_t left_s = tls_context_validity(t)->until_s - now_s;
    EXPECT(left_s > 9 * DAY_S && left_s <= 10 * DAY_S);
    EXPECT(tls_context_validity(t)->from_s < now_s - 99 * DAY_S);
    EXPECT_CSTR(tls_context_subject(t), "/CN=good");
    tls_context_free(t);
    make("old", -10, NULL);
    config_release(&c);
    config_with(&c, "old.crt", "old.key");
    t = context_of(&c);
    EXPECT(tls_context_validity(t)->until_s < now_s);
    tls_context_free(t);
    config_release(&c);
}

static void context_refuses(void)
{
    struct config c;
    make("other", 10, NULL);
    make("locked", 10, "geheim");
    config_init(&c);
    expect_refused(&c, "tls-port: needs tls-cert-file and tls-key-file");
    config_with(&c, "good.crt", "other.key");
    expect_refused(&c, "does not belong to the certificate in tls-cert-file");
    config_with(&c, "none.crt", "good.key");
    expect_refused(&c, "none.crt: No such file or directory");
    config_with(&c, "good.key", "good.key");
    expect_refused(&c, "good.key: no certificate in PEM form");
    config_with(&c, "good.crt", "good.crt");
    expect_refused(&c, "good.crt: no private key in PEM form");
    config_with(&c, "locked.crt", "locked.key");
    expect_refused(&c, "there is no tls-key-file-pass");
    config_with(&c, "locked.crt", "locked.key");
    set(&c, OPT_tls_key_file_pass, "falsch");
    expect_refused(&c, "that is not that of tls-key-file-pass");
    config_with(&c, "good.crt", "good.key");
    set(&c, OPT_tls_auth_clients, "optional");
    expect_refused(&c, "tls-auth-clients no");
    config_with(&c, "good.crt", "good.key");
    set_file(&c, OPT_tls_ca_cert_file, "good.key");
    expect_refused(&c, "tls-ca-cert-file");
    config_with(&c, "good.crt", "good.key");
    set(&c, OPT_tls_ciphers, "none-of-these");
    expect_refused(&c, "tls-ciphers: no cipher match");
    config_with(&c, "locked.crt", "locked.key");
    set(&c, OPT_tls_key_file_pass, "geheim");
    tls_context_free(context_of(&c));
    config_release(&c);
}

static void times_are_written(void)
{
    struct buf text;
    buf_init(&text);
    tls_append_time(&text, 1769860800);
    EXPECT_CSTR(buf_cstr(&text), "2026-01-31 12:00 UTC");
    buf_release(&text);
}

/* ---- channels ---- */

struct pair {
    struct config config;
    struct tls_context *context;
    struct tls_channel *channel;
    int ours;
    int theirs;
    SSL_CTX *client_ctx;
    SSL *client;
};

static void pair_open(struct pair *p, const char *protocols)
{
    int fds[2];
    *p = (struct pair){0};
    config_with(&p->config, "good.crt", "good.key");
    set(&p->config, OPT_tls_protocols, protocols);
    p->context = context_of(&p->config);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    p->ours = fds[0];
    p->theirs = fds[1];
    p->channel = tls_channel_new(p->context, p->ours, 5);
    p->client_ctx = SSL_CTX_new(TLS_client_method());
    p->client = SSL_new(p->client_ctx);
    SSL_set_fd(p->client, p->theirs);
    SSL_set_connect_state(p->client);
}

static void pair_close(struct pair *p)
{
    tls_channel_free(p->channel);
    tls_context_free(p->context);
    SSL_free(p->client);
    SSL_CTX_free(p->client_ctx);
    close(p->ours);
    if (p->theirs >= 0)
        close(p->theirs);
    config_release(&p->config);
}

static void pair_shake_hands(struct pair *p)
{
    bool client = false;
    bool server = false;
    for (int i = 0; i < 20 && !(client && server); i++) {
        client = client || SSL_do_handshake(p->client) == 1;
        if (!server) {
            enum tls_status status = tls_channel_handshake(p->channel);
            EXPECT(status != TLS_FAILED);
            server = status == TLS_OPEN;
        }
        EXPECT(tls_channel_is_open(p->channel) == server);
    }
    EXPECT(client && server);
}

static void open_pair(struct pair *p, const char *protocols)
{
    pair_open(p, protocols);
    pair_shake_hands(p);
}

static void handshakes(void)
{
    static const char *const protocols[] = {"TLSv1.2", "TLSv1.3", ""};
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        struct pair p;
        char answer[16];
        open_pair(&p, protocols[i]);
        if (protocols[i][0] != '\0')
            EXPECT_CSTR(SSL_get_version(p.client), protocols[i]);
        EXPECT_INT(tls_channel_since_us(p.channel), 5);
        EXPECT_INT(SSL_write(p.client, "ping", 4), 4);
        EXPECT_INT(tls_channel_read(p.channel, answer, sizeof(answer)), 4);
        EXPECT(memcmp(answer, "ping", 4) == 0);
        EXPECT_INT(tls_channel_write(p.channel, "pong!", 5), 5);
        EXPECT_INT(SSL_read(p.client, answer, sizeof(answer)), 5);
        EXPECT(memcmp(answer, "pong!", 5) == 0);
        pair_close(&p);
    }
}

static void what_is_not_tls_fails_at_once(void)
{
    struct pair p;
    pair_open(&p, "");
    EXPECT(tls_channel_handshake(p.channel) == TLS_AGAIN); /* nothing has come yet */
    EXPECT(send(p.theirs, "PING\r\n", 6, 0) == 6);
    EXPECT(tls_channel_handshake(p.channel) == TLS_FAILED);
    EXPECT_CSTR(tls_channel_reason(p.channel), "what the peer sends is not TLS");
    EXPECT(!tls_channel_was_probe(p.channel));
    pair_close(&p);
}

static void a_probe_is_told_from_a_failure(void)
{
    struct pair p;
    pair_open(&p, "");
    EXPECT(close(p.theirs) == 0);
    p.theirs = -1;
    EXPECT(tls_channel_handshake(p.channel) == TLS_FAILED);
    EXPECT(tls_channel_was_probe(p.channel));
    pair_close(&p);
    pair_open(&p, "");
    EXPECT(send(p.theirs, "\x16\x03\x01\x02", 4, 0) == 4);
    EXPECT(tls_channel_handshake(p.channel) == TLS_AGAIN);
    EXPECT(!tls_channel_wants_write(p.channel));
    EXPECT(close(p.theirs) == 0);
    p.theirs = -1;
    EXPECT(tls_channel_handshake(p.channel) == TLS_FAILED);
    EXPECT(!tls_channel_was_probe(p.channel));
    EXPECT_CSTR(tls_channel_reason(p.channel), "closed by the peer in the middle of the handshake");
    pair_close(&p);
}

static void what_was_read_ahead_is_told(void)
{
    enum { SENT = 40000, ROOM = 1000 };
    static char data[SENT];
    char out[ROOM];
    struct pair p;
    size_t got = 0;
    open_pair(&p, "");
    for (size_t i = 0; i < SENT; i++)
        data[i] = (char)(i % 251);
    EXPECT_INT(SSL_write(p.client, data, SENT), SENT);
    while (got < SENT) {
        ssize_t n = tls_channel_read(p.channel, out, ROOM);
        EXPECT(n > 0 && memcmp(out, data + got, (size_t)n) == 0);
        if (n <= 0)
            break;
        got += (size_t)n;
        /* Whatever the socket does not tell of is pending: else it would be lost on the caller. */
        char peeked;
        bool readable = recv(p.ours, &peeked, 1, MSG_PEEK) == 1;
        EXPECT(got == SENT || readable || tls_channel_pending(p.channel));
    }
    EXPECT(!tls_channel_pending(p.channel));
    EXPECT_INT(tls_channel_read(p.channel, out, ROOM), -1);
    EXPECT_INT(errno, EAGAIN);
    EXPECT(!tls_channel_pending(p.channel));
    pair_close(&p);
}

/* Half a record stands in OpenSSL's buffer: there is nothing to do but wait for the socket. */
static void half_a_record_is_waited_for(void)
{
    char record[300];
    char out[100];
    struct pair p;
    open_pair(&p, "");
    BIO *memory = BIO_new(BIO_s_mem());
    BIO_up_ref(memory);
    SSL_set0_wbio(p.client, memory);
    EXPECT_INT(SSL_write(p.client, "0123456789", 10), 10);
    int n = BIO_read(memory, record, sizeof(record));
    EXPECT(n > 20);
    for (int i = 0; i < n; i++) {
        EXPECT_INT(tls_channel_read(p.channel, out, sizeof(out)), -1);
        EXPECT_INT(errno, EAGAIN);
        EXPECT(!tls_channel_pending(p.channel) && !tls_channel_wants_write(p.channel));
        EXPECT(send(p.theirs, record + i, 1, 0) == 1);
    }
    EXPECT_INT(tls_channel_read(p.channel, out, sizeof(out)), 10);
    EXPECT(!tls_channel_pending(p.channel));
    BIO_free(memory);
    pair_close(&p);
}

/* A write that the socket refused is tried again from other memory, with more behind it. */
static void a_write_is_tried_again(void)
{
    enum { TOTAL = 4 * 1000 * 1000 };
    char *data = mem_alloc(TOTAL);
    char *got = mem_alloc(TOTAL);
    struct pair p;
    size_t written = 0;
    size_t n = 0;
    size_t blocked = 0;
    open_pair(&p, "");
    for (size_t i = 0; i < TOTAL; i++)
        data[i] = (char)(i * 7 % 253);
    while (n < TOTAL) {
        size_t len = TOTAL - written < 100000 + blocked ? TOTAL - written : 100000 + blocked;
        char *copy = mem_alloc(len + 1);
        memcpy(copy, data + written, len);
        ssize_t done = len > 0 ? tls_channel_write(p.channel, copy, len) : 0;
        mem_free(copy);
        if (done > 0)
            written += (size_t)done;
        if (done > 0 && written < TOTAL)
            continue;
        EXPECT(done >= 0 || errno == EAGAIN);
        blocked += done < 0;
        EXPECT(!tls_channel_wants_write(p.channel)); /* the caller knows that itself */
        int taken = SSL_read(p.client, got + n, TOTAL - (int)n);
        if (taken <= 0 && (len == 0 || done >= 0))
            break;
        n += taken > 0 ? (size_t)taken : 0;
    }
    EXPECT(blocked > 3);
    EXPECT_INT(n, TOTAL);
    EXPECT(memcmp(got, data, TOTAL) == 0);
    mem_free(data);
    mem_free(got);
    pair_close(&p);
}

static void ends(void)
{
    char out[100];
    struct pair p;
    /* A goodbye behind data: the data first, then the end, of which the socket does not tell. */
    open_pair(&p, "");
    EXPECT_INT(SSL_write(p.client, "last", 4), 4);
    EXPECT_INT(SSL_shutdown(p.client), 0);
    EXPECT_INT(tls_channel_read(p.channel, out, sizeof(out)), 4);
    EXPECT(tls_channel_pending(p.channel));
    EXPECT_INT(tls_channel_read(p.channel, out, sizeof(out)), 0);
    EXPECT_INT(tls_channel_write(p.channel, "answer", 6), 6);
    EXPECT_INT(SSL_read(p.client, out, sizeof(out)), 6);
    pair_close(&p);
    /* None. */
    open_pair(&p, "");
    EXPECT_INT(SSL_write(p.client, "last", 4), 4);
    EXPECT(shutdown(p.theirs, SHUT_WR) == 0);
    EXPECT_INT(tls_channel_read(p.channel, out, sizeof(out)), 4);
    EXPECT_INT(tls_channel_read(p.channel, out, sizeof(out)), 0);
    EXPECT_INT(tls_channel_write(p.channel, "answer", 6), 6);
    EXPECT_INT(SSL_read(p.client, out, sizeof(out)), 6);
    pair_close(&p);
    /* Ours, which the client is told. */
    open_pair(&p, "");
    tls_channel_free(p.channel);
    p.channel = NULL;
    EXPECT_INT(SSL_read(p.client, out, sizeof(out)), 0);
    EXPECT(SSL_get_shutdown(p.client) & SSL_RECEIVED_SHUTDOWN);
    pair_close(&p);
}

static void a_forged_record_breaks_it(void)
{
    static const char forged[] = "\x17\x03\x03\x00\x20"
                                 "01234567890123456789012345678901";
    char out[100];
    struct pair p;
    open_pair(&p, "");
    EXPECT_INT(SSL_write(p.client, "good", 4), 4);
    EXPECT(send(p.theirs, forged, sizeof(forged) - 1, 0) == sizeof(forged) - 1);
    EXPECT_INT(tls_channel_read(p.channel, out, sizeof(out)), 4);
    EXPECT(tls_channel_pending(p.channel));
    for (int i = 0; i < 2; i++) {
        EXPECT_INT(tls_channel_read(p.channel, out, sizeof(out)), -1);
        EXPECT_INT(errno, EPROTO);
    }
    EXPECT_INT(tls_channel_write(p.channel, "x", 1), -1);
    EXPECT_INT(errno, EPROTO);
    pair_close(&p);
}

static void clean_up(void)
{
    static const char *const names[] = {"good", "old", "other", "locked"};
    char file[64];
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(file, sizeof(file), "%s.crt", names[i]);
        path_of(file, path);
        unlink(path);
        snprintf(file, sizeof(file), "%s.key", names[i]);
        path_of(file, path);
        unlink(path);
    }
    EXPECT(rmdir(folder) == 0);
}

TEST_MAIN(TEST(context_tells_of_its_certificate), TEST(context_refuses), TEST(times_are_written),
          TEST(handshakes), TEST(what_is_not_tls_fails_at_once),
          TEST(a_probe_is_told_from_a_failure), TEST(what_was_read_ahead_is_told),
          TEST(half_a_record_is_waited_for), TEST(a_write_is_tried_again), TEST(ends),
          TEST(a_forged_record_breaks_it), TEST(clean_up))
