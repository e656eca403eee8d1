/* net: see the header. This file decides who gets in; conns.c serves those who did. */
#include "net/net.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conns.h"
#include "net/listen.h"
#include "net/tls_door.h"

enum {
    ACCEPTS_PER_WAKE = 64,
    ACCEPT_PAUSE_US = 100 * 1000,     /* after running out of descriptors */
    ACCEPT_LOG_US = 10 * 1000 * 1000, /* one line about that per ten seconds */
    SCAN_US = 1000 * 1000,
    RESERVED_FILES = 64, /* lanes, journal, listeners, HTTP, log */
};

struct net {
    struct loop *loop;
    struct engine *engine;
    struct config_store *config_store;
    const struct config *config;
    struct conns *conns;
    struct listen_set listening;
    struct io *accept_io[LISTEN_MAX];
    struct tls_door *tls;
    struct timer *accept_pause;
    int64_t accept_logged_us; /* 0 = never */
    struct timer *scan;
    size_t max_clients; /* maxclients, or what the open-file limit leaves of it */
};

/* The words that client libraries and people know begin the line; the remedies are ours. */
static const char DENIED[] =
    "-DENIED Redis is running in protected mode because protected mode is enabled and no password "
    "is set for the default user. In this mode connections are only accepted from the loopback "
    "interface. To connect from other hosts, do one of these: 1) set requirepass, the safe way; "
    "2) send CONFIG SET protected-mode no from this host; 3) start with --protected-mode no. "
    "Before 2) and 3) make sure that this port cannot be reached from the internet.\r\n";

static const char TOO_MANY[] = "-ERR max number of clients reached\r\n";

/* ---- the limit of open files ---- */

/* Raises the soft limit towards `want`, and the hard one where that is allowed; what it is then. */
static rlim_t raise_open_files(rlim_t want)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return want;
    if (limit.rlim_cur >= want)
        return limit.rlim_cur;
    rlim_t old = limit.rlim_cur;
    limit.rlim_cur = want;
    limit.rlim_max = limit.rlim_max > want ? limit.rlim_max : want;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return want;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return old;
    limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : old;
}

/* In Redis' words. At the start and by a reload it is lowered instead. */
static bool can_serve(const struct net *n, const struct config *fresh, struct buf *reason)
{
    if (fresh->maxclients <= n->config->maxclients)
        return true;
    rlim_t want = (rlim_t)fresh->maxclients + RESERVED_FILES;
    rlim_t have = raise_open_files(want);
    if (have < want)
        buf_printf(reason,
                   "The operating system is not able to handle the specified number of clients, try "
                   "with %lld",
                   have > RESERVED_FILES ? (long long)(have - RESERVED_FILES) : 1LL);
    return have >= want;
}

static void apply_max_clients(struct net *n)
{
    rlim_t want = (rlim_t)n->config->maxclients + RESERVED_FILES;
    rlim_t have = raise_open_files(want);
    n->max_clients = (size_t)n->config->maxclients;
    if (have < want)
        n->max_clients = have > RESERVED_FILES ? (size_t)(have - RESERVED_FILES) : 1;
    engine_set_max_clients(n->engine, n->max_clients);
    log_event(LOG_VERBOSE, "open-files", "limit=%llu maxclients=%zu", (unsigned long long)have,
              n->max_clients);
    if (have >= want)
        return;
    log_event(LOG_WARNING, "maxclients-lowered", "wanted=%lld effective=%zu open-files=%llu",
              (long long)n->config->maxclients, n->max_clients, (unsigned long long)have);
    config_lower_maxclients(n->config_store, (int64_t)n->max_clients);
}

/* ---- accepting ---- */

static void refuse(struct net *n, int fd, const char *text, size_t len)
{
    /* One attempt: a peer whose first window has no room for this is no peer to wait for. */
    ssize_t sent = send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
    close(fd);
    engine_count_rejected_connection(n->engine);
}

static void admit(struct net *n, int fd, bool tls)
{
    struct client_info info;
    peer_describe(fd, n->listening.unix_path, &info);
    if (conns_count(n->conns) >= n->max_clients) {
        /* As in Redis, a peer that speaks TLS gets no text: a handshake would be work. */
        refuse(n, fd, TOO_MANY, tls ? 0 : sizeof(TOO_MANY) - 1);
        return;
    }
    bool denied = n->config->protected_mode && engine_is_open(n->engine) && !info.loopback;
    if (denied && !tls) {
        refuse(n, fd, DENIED, sizeof(DENIED) - 1);
        return;
    }
    if (!info.unix_socket)
        peer_set_options(fd, n->config->tcp_keepalive_s);
    if (tls)
        conns_add_tls(n->conns, fd, &info, tls_door_channel(n->tls, fd), denied ? DENIED : NULL);
    else
        conns_add(n->conns, fd, &info);
}

static void want_accepts(struct net *n, bool want)
{
    for (int i = 0; i < n->listening.count; i++)
        io_want(n->accept_io[i], want ? IO_READ : 0);
    tls_door_want(n->tls, want);
}

static void on_accept_pause_over(void *arg)
{
    want_accepts(arg, true);
}

/* False when the process has run out of descriptors or memory. */
static bool accept_some(struct net *n, int listener, bool tls)
{
    for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(n, fd, tls);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    return true;
}

/* The listeners stay readable although nobody can be accepted: look away for a while. */
static void pause_accepting(struct net *n, int error)
{
    want_accepts(n, false);
    timer_set(n->accept_pause, ACCEPT_PAUSE_US);
    int64_t now = loop_now_us(n->loop);
    if (n->accept_logged_us != 0 && now - n->accept_logged_us < ACCEPT_LOG_US)
        return;
    n->accept_logged_us = now;
    char reason[LOG_QUOTE_SIZE];
    log_event(LOG_WARNING, "accept-failed", "connections=%zu reason=%s", conns_count(n->conns),
              log_quote(strerror(error), reason));
}

/* Which of the listeners is ready does not matter enough to remember: there are few. */
static void on_acceptable(void *arg, int events)
{
    struct net *n = arg;
    (void)events;
    for (int i = 0; i < n->listening.count; i++) {
        if (!accept_some(n, n->listening.fds[i], false)) {
            pause_accepting(n, errno);
            return;
        }
    }
}

static bool on_tls_acceptable(void *arg, int listener)
{
    struct net *n = arg;
    if (accept_some(n, listener, true))
        return true;
    pause_accepting(n, errno);
    return false;
}

static void on_scan(void *arg)
{
    struct net *n = arg;
    conns_scan(n->conns, loop_now_us(n->loop));
    timer_set(n->scan, SCAN_US);
}

/* ---- life ---- */

/* For config_on_prepare, in Redis' words. */
static bool on_prepare(void *arg, const char *name, const struct config *fresh, struct buf *reason)
{
    struct net *n = arg;
    struct buf why;
    if (name != NULL && strcmp(name, "maxclients") == 0)
        return can_serve(n, fresh, reason);
    buf_init(&why);
    bool ok = tls_door_prepare(n->tls, fresh, &why);
    if (!ok)
        buf_printf(reason, "Unable to update TLS configuration. %s", buf_cstr(&why));
    buf_release(&why);
    return ok;
}

struct net *net_new(struct loop *loop, struct engine *engine, struct config_store *config,
                    struct buf *error)
{
    const struct config *c = config_values(config);
    struct listen_set listening;
    if (!listen_set_open(&listening, c, error))
        return NULL;
    /* Also for what does not go through send(): a gone peer must not end the process. */
    signal(SIGPIPE, SIG_IGN);
    struct net *n = mem_zalloc(sizeof(*n));
    n->loop = loop;
    n->engine = engine;
    n->config_store = config;
    n->config = c;
    n->listening = listening;
    n->conns = conns_new(loop, engine, c);
    n->tls = tls_door_new(loop, on_tls_acceptable, n);
    if (!tls_door_prepare(n->tls, c, error)) {
        net_free(n);
        return NULL;
    }
    tls_door_commit(n->tls);
    config_on_prepare(config, on_prepare, n);
    apply_max_clients(n);
    for (int i = 0; i < n->listening.count; i++)
        n->accept_io[i] = io_new(loop, n->listening.fds[i], on_acceptable, n);
    want_accepts(n, true);
    n->accept_pause = timer_new(loop, on_accept_pause_over, n);
    n->scan = timer_new(loop, on_scan, n);
    timer_set(n->scan, SCAN_US);
    return n;
}

void net_stop_accepting(struct net *n)
{
    for (int i = 0; i < n->listening.count; i++) {
        io_free(n->accept_io[i]);
        n->accept_io[i] = NULL;
    }
    tls_door_close(n->tls);
    if (n->accept_pause != NULL)
        timer_clear(n->accept_pause);
    listen_set_close(&n->listening);
}

void net_free(struct net *n)
{
    if (n == NULL)
        return;
    net_stop_accepting(n);
    conns_free(n->conns);
    tls_door_free(n->tls);
    config_on_prepare(n->config_store, NULL, NULL);
    timer_free(n->accept_pause);
    timer_free(n->scan);
    mem_free(n);
}

void net_stop_reading(struct net *n)
{
    conns_stop_reading(n->conns);
}

bool net_turn_end(struct net *n)
{
    return conns_turn_end(n->conns);
}

void net_config_changed(struct net *n)
{
    /* Everything else is read from the live values where it is used. */
    apply_max_clients(n);
    tls_door_commit(n->tls);
}

size_t net_unwritten(const struct net *n)
{
    return conns_unwritten(n->conns);
}
