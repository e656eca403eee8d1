#include "net/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

/* A socket file that nobody listens on is left from a crash and may go. */
static bool clear_stale(const struct sockaddr_un *a, struct buf *error)
{
    struct stat st;
    if (lstat(a->sun_path, &st) != 0)
        return true;
    if (!S_ISSOCK(st.st_mode)) {
        buf_printf(error, "unixsocket %s: exists and is no socket", a->sun_path);
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool alive = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0;
    /* A full backlog answers EAGAIN: somebody lives there. */
    alive = alive || (fd >= 0 && errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    if (alive) {
        buf_printf(error, "unixsocket %s: another server listens there", a->sun_path);
        return false;
    }
    (void)unlink(a->sun_path);
    return true;
}

static bool open_unix(struct listen_set *s, const struct config *c, struct buf *error)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(c->unixsocket);
    if (len >= sizeof(a.sun_path)) {
        buf_printf(error, "unixsocket %s: longer than %zu bytes", c->unixsocket,
                   sizeof(a.sun_path) - 1);
        return false;
    }
    memcpy(a.sun_path, c->unixsocket, len);
    if (!clear_stale(&a, error))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct stat st;
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        (c->unixsocketperm > 0 && chmod(a.sun_path, (mode_t)c->unixsocketperm) != 0) ||
        lstat(a.sun_path, &st) != 0 || listen(fd, (int)c->tcp_backlog) != 0) {
        buf_printf(error, "unixsocket %s: %s", c->unixsocket, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    s->fds[s->count++] = fd;
    s->unix_path = mem_strdup(c->unixsocket);
    s->unix_inode = st.st_ino;
    log_event(LOG_NOTICE, "listening", "unixsocket=%s", c->unixsocket);
    return true;
}

bool listen_set_open(struct listen_set *s, const struct config *c, struct buf *error)
{
    *s = (struct listen_set){.count = 0};
    struct listener_options o = {.name = "bind",
                                 .port = (uint16_t)c->port,
                                 .backlog = (int)c->tcp_backlog,
                                 .reuseport = c->so_reuseport};
    if (c->port != 0 && !listener_open(c->bind, &o, s->fds, &s->count, error))
        return false;
    if (c->unixsocket[0] != '\0' && !open_unix(s, c, error))
        goto fail;
    if (s->count == 0 && (c->tls_port == 0 || c->bind[0] == '\0')) {
        buf_append_cstr(error, "nothing to listen on: set port and bind, or unixsocket");
        goto fail;
    }
    return true;
fail:
    listen_set_close(s);
    return false;
}

void listen_set_close(struct listen_set *s)
{
    for (int i = 0; i < s->count; i++)
        close(s->fds[i]);
    s->count = 0;
    struct stat st;
    /* Another server may have put its own socket there since. */
    if (s->unix_path != NULL && lstat(s->unix_path, &st) == 0 && st.st_ino == s->unix_inode)
        (void)unlink(s->unix_path);
    mem_free(s->unix_path);
    s->unix_path = NULL;
}

/* ---- accepted sockets ---- */

static void format_address(const struct sockaddr_storage *a, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(out, size, "%s:%u", host, (unsigned)ntohs(in->sin_port));
    } else if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)a;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
        snprintf(out, size, "[%s]:%u", host, (unsigned)ntohs(in->sin6_port));
    } else {
        snprintf(out, size, "?:0");
    }
}

static bool is_loopback(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)a;
        return IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
    }
    return false;
}

void peer_describe(int fd, const char *unix_path, struct client_info *info)
{
    *info = (struct client_info){.fd = fd};
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(a);
    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        a.ss_family = AF_UNSPEC;
    if (a.ss_family == AF_UNIX) {
        info->unix_socket = true;
        info->loopback = true;
        /* The path's cut, if any, is as long as the field allows. */
        snprintf(info->local, sizeof(info->local), "%.105s:0", unix_path ? unix_path : "");
        memcpy(info->peer, info->local, sizeof(info->peer));
        return;
    }
    format_address(&a, info->local, sizeof(info->local));
    len = sizeof(a);
    if (getpeername(fd, (struct sockaddr *)&a, &len) != 0)
        a.ss_family = AF_UNSPEC;
    format_address(&a, info->peer, sizeof(info->peer));
    info->loopback = is_loopback(&a);
}

static void enable(int fd, int level, int option)
{
    int on = 1;
    (void)setsockopt(fd, level, option, &on, sizeof(on));
}

void peer_set_options(int fd, int64_t keepalive_s)
{
    enable(fd, IPPROTO_TCP, TCP_NODELAY);
    if (keepalive_s <= 0)
        return;
    enable(fd, SOL_SOCKET, SO_KEEPALIVE);
    /* As Redis: three probes, a third of the time apart. */
    int idle = (int)keepalive_s;
    int interval = idle / 3 > 0 ? idle / 3 : 1;
    int count = 3;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}
