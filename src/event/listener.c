#include "event/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

static void enable(int fd, int level, int option)
{
    int on = 1;
    (void)setsockopt(fd, level, option, &on, sizeof(on));
}

/* A listening socket or -1 with errno. */
static int open_address(const struct addrinfo *a, const struct listener_options *o)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return -1;
    enable(fd, SOL_SOCKET, SO_REUSEADDR);
    if (o->reuseport)
        enable(fd, SOL_SOCKET, SO_REUSEPORT);
    if (a->ai_family == AF_INET6)
        enable(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, o->backlog) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* This host has no such address or family: what a "-" excuses. */
static bool excusable(int error)
{
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == EPROTONOSUPPORT ||
           error == ESOCKTNOSUPPORT || error == EPFNOSUPPORT || error == ENOPROTOOPT;
}

/* True with *fd = -1: an optional address that this host lacks; `error` holds the reason. */
static bool open_one(const char *address, const struct listener_options *o, int *fd,
                     struct buf *error)
{
    bool optional = address[0] == '-';
    const char *host = address + optional;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    if (strcmp(host, "*") == 0) {
        host = "0.0.0.0";
        hints.ai_family = AF_INET;
    } else if (strcmp(host, "::*") == 0) {
        host = "::";
        hints.ai_family = AF_INET6;
    }
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)o->port);
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);
    *fd = -1;
    if (rc != 0) {
        buf_printf(error, "%s %s: %s", o->name, host, gai_strerror(rc));
        return optional;
    }
    for (const struct addrinfo *a = found; a != NULL && *fd < 0; a = a->ai_next)
        *fd = open_address(a, o);
    int why = errno;
    freeaddrinfo(found);
    if (*fd < 0) {
        buf_printf(error, "%s %s, port %s: %s", o->name, host, port, strerror(why));
        return optional && excusable(why);
    }
    log_event(LOG_NOTICE, "listening", "for=%s address=%s port=%s", o->name, host, port);
    return true;
}

bool listener_open(const char *addresses, const struct listener_options *o, int fds[LISTENER_MAX],
                   int *count, struct buf *error)
{
    static const char blanks[] = " \t";
    bool ok = true;
    bool any = false;
    int n = 0;
    for (const char *at = addresses + strspn(addresses, blanks); *at != '\0' && ok;
         at += strspn(at, blanks)) {
        size_t len = strcspn(at, blanks);
        any = true;
        error->len = 0;
        if (n == LISTENER_MAX) {
            buf_printf(error, "%s: more than %d addresses", o->name, (int)LISTENER_MAX);
            ok = false;
            break;
        }
        char *address = mem_strndup(at, len);
        int fd = -1;
        ok = open_one(address, o, &fd, error);
        mem_free(address);
        if (fd >= 0)
            fds[n++] = fd;
        at += len;
    }
    if (!ok || (any && n == 0)) {
        while (n > 0)
            close(fds[--n]);
        return false;
    }
    error->len = 0; /* the reasons of optional ones */
    *count = n;
    return true;
}
