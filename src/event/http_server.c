/* http_server: see the header. A connection is in one of four states, each with a deadline of its
 * own; conn_set_state alone moves it. The server owns its connections; `conns` has them in the
 * order in which they last did what is wanted of them, so the head is the one to be evicted. */
#include "event/http_server.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "event/http_request.h"
#include "metrics/metrics.h"

enum {
    MAX_CONNS = 64,
    MAX_HEAD = 8 * 1024,
    ACCEPTS_PER_TURN = 16,
    ACCEPT_RETRY_US = 1000 * 1000, /* after running out of descriptors */
    LINGER_BYTES = 64 * 1024,
};

enum conn_state {
    CONN_IDLE,    /* no byte of a request has come */
    CONN_READING, /* some have */
    CONN_WRITING, /* the answer is going out */
    CONN_ENDING, /* it has gone out, and no other comes: what the client still sends is thrown away,
                    lest a reset takes the answer from it */
};

static const int64_t patience_us[] = {
    [CONN_IDLE] = 75 * 1000000LL,
    [CONN_READING] = 5 * 1000000LL, /* for the whole request, however its bytes are spread */
    [CONN_WRITING] = 10 * 1000000LL,
    [CONN_ENDING] = 1 * 1000000LL,
};

struct conn {
    struct list node;
    struct http_server *server;
    int fd;
    struct io *io;
    struct timer *deadline;
    enum conn_state state;
    bool keep_alive;
    size_t thrown_away;
    size_t sent; /* of `out` */
    size_t in_len;
    struct buf out;
    char in[MAX_HEAD];
};

struct http_exchange {
    struct conn *conn;
    struct http_request request;
    bool answered;
};

struct http_server {
    struct loop *loop;
    int fds[LISTENER_MAX];
    struct io *listeners[LISTENER_MAX];
    int nlisteners;
    struct timer *accept_retry;
    struct list conns;
    size_t nconns;
    http_handler handler;
    void *arg;
};

static void conn_set_state(struct conn *c, enum conn_state to)
{
    static const bool legal[4][4] = {
        [CONN_IDLE] = {[CONN_READING] = true},
        [CONN_READING] = {[CONN_WRITING] = true},
        [CONN_WRITING] = {[CONN_IDLE] = true, [CONN_ENDING] = true},
    };
    CHECK(legal[c->state][to]);
    c->state = to;
    timer_set(c->deadline, patience_us[to]);
    io_want(c->io, to == CONN_WRITING ? IO_WRITE : IO_READ);
    if (to == CONN_IDLE || to == CONN_WRITING) {
        list_remove(&c->node);
        list_push_back(&c->server->conns, &c->node);
    }
}

static void conn_free(struct conn *c)
{
    list_remove(&c->node);
    c->server->nconns--;
    io_free(c->io);
    timer_free(c->deadline);
    close(c->fd);
    buf_release(&c->out);
    mem_free(c);
}

/* ---- answers ---- */

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

static void append_date(struct buf *out)
{
    time_t now = time(NULL);
    struct tm tm;
    char text[64];
    gmtime_r(&now, &tm);
    size_t n = strftime(text, sizeof(text), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    buf_append(out, text, n);
}

static void answer(struct conn *c, int status, const char *content_type, struct bytes body,
                   bool head)
{
    struct buf *out = &c->out;
    out->len = 0;
    c->sent = 0;
    buf_printf(out, "HTTP/1.1 %d %s\r\n", status, reason(status));
    append_date(out);
    buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n",
               content_type, body.len);
    buf_printf(out, "X-Content-Type-Options: nosniff\r\nConnection: %s\r\n",
               c->keep_alive ? "keep-alive" : "close");
    if (status == 405)
        buf_append_cstr(out, "Allow: GET, HEAD\r\n");
    buf_append_cstr(out, "\r\n");
    if (!head)
        buf_append_bytes(out, body);
    conn_set_state(c, CONN_WRITING);
}

static void answer_bad(struct conn *c, int status)
{
    char body[64];
    int n = snprintf(body, sizeof(body), "%s\n", reason(status));
    metrics.http_bad_requests++;
    c->keep_alive = false;
    answer(c, status, "text/plain; charset=utf-8", bytes_of(body, (size_t)n), false);
}

struct bytes http_exchange_path(const struct http_exchange *x)
{
    return x->request.path;
}

bool http_exchange_asks(const struct http_exchange *x, const char *parameter)
{
    struct bytes rest = x->request.query;
    while (rest.len > 0) {
        const char *end = memchr(rest.data, '&', rest.len);
        size_t n = end == NULL ? rest.len : (size_t)(end - rest.data);
        if (bytes_eq(bytes_of(rest.data, n), bytes_cstr(parameter)))
            return true;
        n += end != NULL;
        rest = bytes_of(rest.data + n, rest.len - n);
    }
    return false;
}

void http_exchange_reply(struct http_exchange *x, int status, const char *content_type,
                         struct bytes body)
{
    CHECK(!x->answered);
    x->answered = true;
    answer(x->conn, status, content_type, body, x->request.head);
}

/* ---- requests ---- */

/* Answers the first request that has come as a whole, if any. One per turn, so that a connection
 * full of requests leaves the loop to others. */
static void look_for_request(struct conn *c)
{
    struct http_exchange x = {.conn = c};
    if (c->in_len == 0)
        return;
    if (c->state == CONN_IDLE)
        conn_set_state(c, CONN_READING);
    switch (http_request_parse(bytes_of(c->in, c->in_len), &x.request)) {
    case HTTP_INCOMPLETE:
        if (c->in_len == MAX_HEAD)
            answer_bad(c, 431);
        break;
    case HTTP_BAD:
        answer_bad(c, 400);
        break;
    case HTTP_BAD_METHOD:
        answer_bad(c, 405);
        break;
    case HTTP_HAS_BODY:
        answer_bad(c, 413);
        break;
    case HTTP_COMPLETE:
        c->keep_alive = x.request.keep_alive;
        metrics.http_requests++;
        c->server->handler(c->server->arg, &x);
        CHECK(x.answered);
        c->in_len -= x.request.len;
        memmove(c->in, c->in + x.request.len, c->in_len);
        break;
    }
}

/* False: it is over. */
static bool conn_read(struct conn *c)
{
    char *to = c->state == CONN_ENDING ? c->in : c->in + c->in_len;
    size_t room = c->state == CONN_ENDING ? MAX_HEAD : MAX_HEAD - c->in_len;
    ssize_t n = recv(c->fd, to, room, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    if (c->state == CONN_ENDING) {
        c->thrown_away += (size_t)n;
        return c->thrown_away <= LINGER_BYTES;
    }
    c->in_len += (size_t)n;
    look_for_request(c);
    return true;
}

static bool conn_write(struct conn *c)
{
    ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    c->sent += (size_t)n;
    if (c->sent < c->out.len)
        return true;
    buf_reset(&c->out, 0);
    if (c->keep_alive) {
        conn_set_state(c, CONN_IDLE);
        look_for_request(c);
        return true;
    }
    conn_set_state(c, CONN_ENDING);
    return shutdown(c->fd, SHUT_WR) == 0;
}

static void on_ready(void *arg, int events)
{
    struct conn *c = arg;
    (void)events; /* what is wanted in this state is what has come */
    bool goes_on = c->state == CONN_WRITING ? conn_write(c) : conn_read(c);
    if (!goes_on)
        conn_free(c);
}

static void on_deadline(void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_READING || c->state == CONN_WRITING)
        metrics.http_evicted++;
    conn_free(c);
}

/* ---- connections ---- */

static void conn_new(struct http_server *s, int fd)
{
    if (s->nconns == MAX_CONNS) {
        metrics.http_evicted++;
        conn_free(LIST_ITEM(s->conns.next, struct conn, node));
    }
    struct conn *c = mem_zalloc(sizeof(*c));
    c->server = s;
    c->fd = fd;
    c->io = io_new(s->loop, fd, on_ready, c);
    c->deadline = timer_new(s->loop, on_deadline, c);
    buf_init(&c->out);
    list_push_back(&s->conns, &c->node);
    s->nconns++;
    timer_set(c->deadline, patience_us[CONN_READING]);
    io_want(c->io, IO_READ);
}

static void listen_to_all(struct http_server *s, bool on)
{
    for (int i = 0; i < s->nlisteners; i++)
        io_want(s->listeners[i], on ? IO_READ : 0);
}

static void on_accept_retry(void *arg)
{
    listen_to_all(arg, true);
}

/* Every listening socket is looked at, whichever is ready: there are few, and none blocks. */
static void on_connection(void *arg, int events)
{
    struct http_server *s = arg;
    (void)events;
    for (int i = 0; i < s->nlisteners; i++) {
        for (int n = 0; n < ACCEPTS_PER_TURN; n++) {
            int fd = accept4(s->fds[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
                conn_new(s, fd);
            } else if (errno == EAGAIN) {
                break;
            } else if (errno != EINTR && errno != ECONNABORTED) {
                /* Out of descriptors: the socket stays readable, so look away for a while. */
                listen_to_all(s, false);
                timer_set(s->accept_retry, ACCEPT_RETRY_US);
                return;
            }
        }
    }
}

struct http_server *http_server_new(struct loop *l, const char *addresses,
                                    const struct listener_options *o, http_handler handler,
                                    void *arg, struct buf *error)
{
    int fds[LISTENER_MAX];
    int count = 0;
    if (!listener_open(addresses, o, fds, &count, error))
        return NULL;
    struct http_server *s = mem_zalloc(sizeof(*s));
    s->loop = l;
    s->handler = handler;
    s->arg = arg;
    list_init(&s->conns);
    s->accept_retry = timer_new(l, on_accept_retry, s);
    for (int i = 0; i < count; i++) {
        s->fds[i] = fds[i];
        s->listeners[i] = io_new(l, fds[i], on_connection, s);
    }
    s->nlisteners = count;
    listen_to_all(s, true);
    return s;
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    while (!list_empty(&s->conns))
        conn_free(LIST_ITEM(s->conns.next, struct conn, node));
    for (int i = 0; i < s->nlisteners; i++) {
        io_free(s->listeners[i]);
        close(s->fds[i]);
    }
    timer_free(s->accept_retry);
    mem_free(s);
}
