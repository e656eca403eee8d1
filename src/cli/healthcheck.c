/* healthcheck: see healthcheck.h. Blocking, with timeouts: nothing else happens in this process. */
#include "cli/healthcheck.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tls/ask.h"

enum { PATIENCE_S = 3, CMDLINE_MAX = 64 * 1024 };

/* ---- the flags of process 1 ---- */

static bool is_respgres(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strcmp(slash != NULL ? slash + 1 : program, "respgres") == 0;
}

static bool read_cmdline(const char *path, struct buf *keep)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    keep->len = fread(buf_reserve(keep, CMDLINE_MAX), 1, CMDLINE_MAX, f);
    fclose(f);
    (void)buf_cstr(keep);
    return keep->len > 0 && is_respgres(keep->data);
}

int healthcheck_argv(int argc, char **argv, const char *cmdline_path, struct buf *keep, char **out,
                     int max)
{
    if (argc > 1 || !read_cmdline(cmdline_path, keep)) {
        int n = 0;
        for (; n < argc && n < max - 1; n++)
            out[n] = argv[n];
        out[n] = NULL;
        return n;
    }
    int n = 0;
    bool skip = false;
    for (size_t at = 0; at < keep->len && n < max - 1; at += strlen(keep->data + at) + 1) {
        char *word = keep->data + at;
        if (strcmp(word, "--exec") == 0)
            break;
        if (strncmp(word, "--", 2) == 0)
            skip = strncmp(word, "--database-url", 14) == 0 ||
                   strncmp(word, "--requirepass", 13) == 0 || strncmp(word, "--exec-url", 10) == 0 ||
                   strncmp(word, "--user", 6) == 0 ||
                   strncmp(word, "--tls-key-file-pass", 19) == 0;
        if (!skip)
            out[n++] = word;
    }
    out[n] = NULL;
    return n;
}

/* ---- asking ---- */

/* The first address of a list as `bind` has it, as one that can be connected to. */
static void first_address(const char *list, char *out, size_t size)
{
    list += strspn(list, " -");
    snprintf(out, size, "%.*s", (int)strcspn(list, " "), list);
    if (strcmp(out, "*") == 0 || strcmp(out, "0.0.0.0") == 0)
        snprintf(out, size, "127.0.0.1");
    else if (strcmp(out, "::*") == 0 || strcmp(out, "::") == 0)
        snprintf(out, size, "::1");
}

static bool connect_with_patience(int fd, const struct sockaddr *a, socklen_t len)
{
    struct timeval patience = {PATIENCE_S, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return connect(fd, a, len) == 0;
}

static int connect_tcp(const char *list, int64_t port, struct buf *error)
{
    char host[256];
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int fd = -1;
    first_address(list, host, sizeof(host));
    snprintf(service, sizeof(service), "%u", (unsigned)(uint16_t)port);
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc == 0)
        fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !connect_with_patience(fd, found->ai_addr, found->ai_addrlen)) {
        buf_printf(error, "%s, port %s: %s", host, service,
                   rc != 0 ? gai_strerror(rc) : strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    if (found != NULL)
        freeaddrinfo(found);
    return fd;
}

static int connect_unix(const char *path, struct buf *error)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect_with_patience(fd, (struct sockaddr *)&a, sizeof(a)))
        return fd;
    buf_printf(error, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Sends `request` and takes the beginning of what comes back. */
static bool ask(int fd, const char *request, char *answer, size_t size, struct buf *error)
{
    size_t n = 0;
    ssize_t got = send(fd, request, strlen(request), MSG_NOSIGNAL);
    while (got > 0 && n + 1 < size && memchr(answer, '\n', n) == NULL) {
        got = recv(fd, answer + n, size - 1 - n, 0);
        n += got > 0 ? (size_t)got : 0;
    }
    answer[n] = '\0';
    close(fd);
    if (n == 0)
        buf_printf(error, "no answer: %s",
                   got == 0 ? "the connection was closed" : strerror(errno));
    return n > 0;
}

/* By the port, the Unix socket or the TLS port: what there is. */
static bool ping(const struct config *c, char *answer, size_t size, struct buf *error)
{
    static const char request[] = "PING\r\n";
    bool tls = c->port == 0 && c->unixsocket[0] == '\0' && c->tls_port != 0;
    int fd = tls            ? connect_tcp(c->bind, c->tls_port, error)
             : c->port != 0 ? connect_tcp(c->bind, c->port, error)
                            : connect_unix(c->unixsocket, error);
    if (fd < 0)
        return false;
    if (!tls)
        return ask(fd, request, answer, size, error);
    bool ok = tls_ask(c, fd, request, answer, size, error);
    close(fd);
    return ok;
}

bool healthcheck(const struct config *c, struct buf *error)
{
    char answer[64];
    if (c->http_port != 0) {
        int fd = connect_tcp(c->http_bind, c->http_port, error);
        if (fd < 0 || !ask(fd, "GET /healthz HTTP/1.0\r\n\r\n", answer, sizeof(answer), error))
            return false;
        answer[strcspn(answer, "\r\n")] = '\0';
        if (strncmp(answer, "HTTP/1.", 7) == 0 && strstr(answer, " 200") != NULL)
            return true;
        buf_printf(error, "/healthz answers %s", answer);
        return false;
    }
    if (!ping(c, answer, sizeof(answer), error))
        return false;
    if (answer[0] == '+' || answer[0] == '-') /* -LOADING and -NOAUTH: it lives */
        return true;
    buf_append_cstr(error, "what listens there does not speak the Redis protocol");
    return false;
}
