/* conns: see the header.
 *
 * A connection is OPEN until its input ends; then FLUSHING until its last output is written; then
 * CLOSED, and freed by conns_turn_end, never by its own callback. Calls from the engine (conn_*_cb)
 * only set flags and join lists, so that they may come from within client_submit.
 *
 * With TLS, bytes go through a channel, after a handshake. What the channel has read ahead, the
 * socket does not tell of: such a connection is in set->resumed as long as it may be read. */
#include "net/conns.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/handshakes.h"
#include "resp/reader.h"

enum {
    SCRATCH_SIZE = 64 * 1024,
    MAX_INLINE = 64 * 1024,
    KEEP_OUTPUT = 16 * 1024,    /* memory that an empty output buffer keeps */
    REQUESTS_PER_TURN = 256,    /* of one connection; then the others have their turn */
    SEND_PER_TURN = 128 * 1024, /* to one connection, likewise */
    MAX_PENDING = 10000,        /* requests taken and not answered; reading resumes at half */
    MAX_PENDING_BYTES = 4 * 1024 * 1024,
    MAX_UNWRITTEN = 1024 * 1024,
    UNAUTHENTICATED_READ = 4 * 1024,   /* what one that has not logged in may send at a time */
    UNAUTHENTICATED_OWED = 4 * 1024,   /* in place of MAX_UNWRITTEN */
    UNAUTHENTICATED_UNWRITTEN = 1024,  /* replies that it does not take, as in Redis; then closed */
    UNAUTHENTICATED_UNSENT = 4 * 1024, /* the same in the kernel's buffer */
    FLUSH_PATIENCE_US = 10 * 1000 * 1000, /* for a peer that does not take its last replies */
};

enum conn_state { CONN_OPEN, CONN_FLUSHING, CONN_CLOSED };

struct conn {
    struct conns *set;
    struct list node;    /* in set->all */
    struct list dirty;   /* in set->dirty: has output, or may close */
    struct list resumed; /* in set->resumed: may go on after a pause, or has more to read */
    struct list closed;  /* in set->closed */
    enum conn_state state;
    bool input_over;    /* after a protocol error or the peer's end: nothing is parsed any more */
    bool paused;        /* too much owed: neither read nor parsed */
    bool write_blocked; /* the socket is full: waits for IO_WRITE */
    bool await_replies; /* FLUSHING: what the peer sent before its end is answered first */
    bool kept_short;    /* not logged in: the kernel's buffer for replies is small */
    int fd;
    struct tls_channel *tls; /* NULL = none */
    const char *refusal;     /* TLS: what it gets after the handshake, and then is closed */
    struct io *io;
    struct reader *reader;
    struct client *client;
    size_t written; /* of client_out(): consumed in large steps, not per write */
    int unacked;    /* what the socket still held of what was sent, when the output waited last */
    int64_t flushing_since_us;
    int64_t soft_since_us; /* it leaves more unread than the soft limit since then; 0 = it does not */
    char peer[sizeof(((struct client_info *)0)->peer)];
};

struct conns {
    struct loop *loop;
    struct engine *engine;
    const struct config *config;
    struct list all;
    struct list dirty;
    struct list resumed;
    struct list closed;
    size_t count;
    bool reading;
    struct handshakes handshakes;
    char scratch[SCRATCH_SIZE];
};

/* ---- state ---- */

static bool conn_may_read(const struct conn *c)
{
    return c->state == CONN_OPEN && !c->input_over && !c->paused && c->set->reading;
}

static void conn_watch(struct conn *c)
{
    bool read = conn_may_read(c);
    bool write = c->state != CONN_CLOSED &&
                 (c->write_blocked || (read && c->tls != NULL && tls_channel_wants_write(c->tls)));
    io_want(c->io, (read ? IO_READ : 0) | (write ? IO_WRITE : 0));
}

/* OPEN → FLUSHING → CLOSED, or OPEN → CLOSED; staying is no error. */
static void conn_set_state(struct conn *c, enum conn_state state, const char *why)
{
    if (c->state == state)
        return;
    CHECK(state > c->state);
    c->state = state;
    log_event(LOG_DEBUG, "connection", "state=%s peer=%s why=%s",
              state == CONN_CLOSED ? "closed" : "flushing", c->peer, why);
    if (state == CONN_CLOSED)
        list_push_back(&c->set->closed, &c->closed);
    else
        c->flushing_since_us = loop_now_us(c->set->loop);
    conn_watch(c);
}

static void conn_mark_dirty(struct conn *c)
{
    if (list_empty(&c->dirty))
        list_push_back(&c->set->dirty, &c->dirty);
}

static size_t conn_unwritten(const struct conn *c)
{
    return client_out(c->client)->len - c->written;
}

/* Above the bounds by 1/share of them: pausing asks with 1, resuming with 2. */
static bool conn_owes_much(const struct conn *c, size_t share)
{
    size_t unwritten = c->kept_short ? UNAUTHENTICATED_OWED : MAX_UNWRITTEN;
    return client_pending(c->client) > MAX_PENDING / share ||
           client_pending_memory(c->client) > MAX_PENDING_BYTES / share ||
           conn_unwritten(c) > unwritten / share;
}

static void conn_may_resume(struct conn *c)
{
    if (c->paused && c->state == CONN_OPEN && list_empty(&c->resumed) && !conn_owes_much(c, 2))
        list_push_back(&c->set->resumed, &c->resumed);
}

/* ---- what the engine calls ---- */

static void conn_output_cb(void *arg)
{
    conn_mark_dirty(arg);
}

static void conn_close_cb(void *arg, bool now)
{
    struct conn *c = arg;
    c->await_replies = false;
    if (now) {
        conn_set_state(c, CONN_CLOSED, "engine");
    } else if (c->state == CONN_OPEN) {
        conn_set_state(c, CONN_FLUSHING, "engine");
    }
    conn_mark_dirty(c);
}

static void conn_resume_cb(void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_FLUSHING)
        conn_mark_dirty(c); /* the last command may have had no reply */
    else
        conn_may_resume(c);
}

static const struct client_io conn_client_io = {
    .output = conn_output_cb,
    .close = conn_close_cb,
    .resume = conn_resume_cb,
};

/* ---- before authentication ---- */

/* How much of replies the kernel takes beyond what the peer's window has room for. */
static void conn_limit_unsent(struct conn *c, int bytes)
{
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}

/* Whoever has not logged in may hold little: of requests (reader.h), and of replies. */
static bool conn_is_unauthenticated(struct conn *c)
{
    bool kept_short = !client_authenticated(c->client);
    if (kept_short != c->kept_short) {
        c->kept_short = kept_short;
        conn_limit_unsent(c, kept_short ? UNAUTHENTICATED_UNSENT : 0); /* 0 = the default */
    }
    return kept_short;
}

/* ---- input ---- */

static void conn_protocol_error(struct conn *c)
{
    const char *text = reader_error(c->reader);
    c->input_over = true;
    if (text == NULL) {
        log_event(LOG_WARNING, "client-query-limit", "peer=%s", c->peer);
        conn_set_state(c, CONN_CLOSED, "query-limit");
        return;
    }
    log_event(LOG_VERBOSE, "protocol-error", "peer=%s", c->peer);
    client_protocol_error(c->client, text);
    conn_watch(c);
}

/* Submits what has been read, until there is no whole request, or too much is owed, or others are
 * to have their turn. True if anything was submitted. */
static bool conn_submit_requests(struct conn *c)
{
    const struct config *config = c->set->config;
    struct reader_limits limits = {
        .max_args = INT32_MAX,
        .max_bulk = (size_t)config->proto_max_bulk_len,
        .max_inline = MAX_INLINE,
    };
    int taken = 0;
    while (c->state == CONN_OPEN && !c->input_over && c->set->reading) {
        if (conn_owes_much(c, 1)) {
            c->paused = true;
            break;
        }
        if (taken == REQUESTS_PER_TURN) {
            c->paused = true;
            conn_may_resume(c); /* in the next turn */
            break;
        }
        /* AUTH may have been the request before, EXEC or DISCARD, too. */
        limits.unauthenticated = conn_is_unauthenticated(c);
        /* As in Redis, the commands of a MULTI block count as not yet read. */
        size_t queued = client_queued_memory(c->client);
        size_t most = (size_t)config->client_query_buffer_limit;
        limits.max_query = queued < most ? most - queued : 0;
        struct request *request = NULL;
        enum reader_status status = reader_next(c->reader, &limits, &request);
        if (status == READER_ERROR)
            conn_protocol_error(c);
        if (status != READER_REQUEST)
            break;
        client_submit(c->client, request);
        taken++;
    }
    client_set_query_memory(c->client, reader_memory(c->reader));
    conn_watch(c);
    return taken > 0;
}

/* The peer sends no more. Redis has answered all it had read by then, so what is pending is
 * answered first; a peer that is really gone ends that with an error on write. */
static void conn_input_end(struct conn *c)
{
    c->input_over = true;
    client_input_over(c->client);
    if (client_pending(c->client) == 0 && conn_unwritten(c) == 0) {
        conn_set_state(c, CONN_CLOSED, "peer");
        return;
    }
    c->await_replies = true;
    conn_set_state(c, CONN_FLUSHING, "peer");
    conn_mark_dirty(c);
}

/* ---- TLS ---- */

/* The handshake. Once it is done there may be requests to read. */
static bool conn_greet(struct conn *c)
{
    enum tls_status status = handshakes_step(&c->set->handshakes, c->tls, c->peer);
    if (status == TLS_FAILED) {
        conn_set_state(c, CONN_CLOSED, "tls-handshake");
        return false;
    }
    if (status == TLS_OPEN && c->refusal != NULL) {
        engine_count_rejected_connection(c->set->engine);
        c->input_over = true;
        buf_append_cstr(client_out(c->client), c->refusal);
        conn_set_state(c, CONN_FLUSHING, "denied");
        conn_mark_dirty(c);
    }
    conn_watch(c);
    return status == TLS_OPEN;
}

/* What the readiness of the socket means for what goes through the channel. */
static int conn_tls_events(struct conn *c, int events)
{
    if (!tls_channel_is_open(c->tls))
        return c->state == CONN_OPEN && conn_greet(c) ? IO_READ : 0;
    return events | (tls_channel_wants_write(c->tls) ? IO_READ : 0);
}

/* What recv, or the channel, has put into the scratch buffer. */
static inline void conn_take(struct conn *c, ssize_t n)
{
    if (n > 0) {
        engine_count_input(c->set->engine, (size_t)n);
        client_note_activity(c->client);
        reader_feed(c->reader, c->set->scratch, (size_t)n);
        (void)conn_submit_requests(c);
    } else if (n == 0) {
        conn_input_end(c);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        conn_set_state(c, CONN_CLOSED, "read-error");
    }
}

static inline size_t conn_most_to_read(const struct conn *c)
{
    return c->kept_short ? UNAUTHENTICATED_READ : SCRATCH_SIZE;
}

static void conn_read_tls(struct conn *c)
{
    conn_take(c, tls_channel_read(c->tls, c->set->scratch, conn_most_to_read(c)));
    if (tls_channel_pending(c->tls) && conn_may_read(c) && list_empty(&c->resumed))
        list_push_back(&c->set->resumed, &c->resumed);
    conn_watch(c);
}

static void conn_ready(void *arg, int events)
{
    struct conn *c = arg;
    if (c->tls != NULL)
        events = conn_tls_events(c, events);
    if (events & IO_WRITE) {
        c->write_blocked = false;
        conn_mark_dirty(c);
        conn_watch(c);
    }
    if (!(events & IO_READ) || !conn_may_read(c))
        return;
    if (c->tls != NULL)
        conn_read_tls(c);
    else
        conn_take(c, recv(c->fd, c->set->scratch, conn_most_to_read(c), 0));
}

/* ---- output ---- */

/* Sends as much as the socket takes, and no more than its share of a turn. False on a broken
 * connection. */
static bool conn_send(struct conn *c, struct buf *out)
{
    size_t share = SEND_PER_TURN;
    while (c->written < out->len) {
        const char *from = out->data + c->written;
        size_t left = out->len - c->written;
        left = left < share ? left : share;
        if (left == 0) {
            c->write_blocked = true; /* until the loop has looked at the others */
            break;
        }
        ssize_t n = c->tls == NULL ? send(c->fd, from, left, MSG_NOSIGNAL)
                                   : tls_channel_write(c->tls, from, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            c->write_blocked = true;
            break;
        }
        if (n < 0)
            return false;
        c->written += (size_t)n;
        share -= (size_t)n;
        client_note_activity(c->client);
        engine_count_output(c->set->engine, (size_t)n);
    }
    if (c->written == out->len) {
        buf_reset(out, c->kept_short ? UNAUTHENTICATED_UNWRITTEN : KEEP_OUTPUT);
        c->written = 0;
    } else if (c->written > out->len / 2) {
        /* At least half is gone: each byte is moved a constant number of times. */
        buf_consume(out, c->written);
        c->written = 0;
    }
    return true;
}

/* Beyond the hard limit of its class, or beyond the soft one for too long: closed. */
static bool conn_leaves_too_much(struct conn *c)
{
    enum output_class class = client_output_class(c->client);
    const struct output_limit *l = &c->set->config->client_output_buffer_limit.of[class];
    size_t unwritten = conn_unwritten(c);
    int64_t now_us = loop_now_us(c->set->loop);
    if (l->soft == 0 || unwritten <= (uint64_t)l->soft)
        c->soft_since_us = 0;
    else if (c->soft_since_us == 0)
        c->soft_since_us = now_us;
    bool hard = l->hard > 0 && unwritten > (uint64_t)l->hard;
    bool soft = c->soft_since_us != 0 && (now_us - c->soft_since_us) / 1000000 > l->soft_s;
    if (!hard && !soft)
        return false;
    log_event(LOG_WARNING, "client-output-limit", "peer=%s bytes=%zu class=%s limit=%s", c->peer,
              unwritten, class == OUTPUT_PUBSUB ? "pubsub" : "normal", hard ? "hard" : "soft");
    conn_set_state(c, CONN_CLOSED, "output-limit");
    return true;
}

static void conn_flush(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    struct buf *out = client_out(c->client);
    if (conn_leaves_too_much(c))
        return;
    if (!c->write_blocked && !conn_send(c, out)) {
        conn_set_state(c, CONN_CLOSED, "write-error");
        return;
    }
    if (c->kept_short && conn_unwritten(c) > UNAUTHENTICATED_UNWRITTEN) {
        log_event(LOG_VERBOSE, "client-output-limit", "peer=%s why=unauthenticated", c->peer);
        conn_set_state(c, CONN_CLOSED, "output-limit");
        return;
    }
    client_wrote(c->client);
    bool waits = c->await_replies && client_pending(c->client) > 0;
    if (c->state == CONN_FLUSHING && out->len == 0 && !waits) {
        conn_set_state(c, CONN_CLOSED, "flushed");
        return;
    }
    conn_may_resume(c);
    conn_watch(c);
}

/* ---- life ---- */

static struct conn *conn_new(struct conns *s, int fd, const struct client_info *info)
{
    struct conn *c = mem_zalloc(sizeof(*c));
    c->set = s;
    c->fd = fd;
    memcpy(c->peer, info->peer, sizeof(c->peer));
    list_init(&c->dirty);
    list_init(&c->resumed);
    list_init(&c->closed);
    list_push_back(&s->all, &c->node);
    s->count++;
    c->reader = reader_new();
    c->io = io_new(s->loop, fd, conn_ready, c);
    c->client = client_new(s->engine, &conn_client_io, c, info);
    (void)conn_is_unauthenticated(c);
    return c;
}

void conns_add(struct conns *s, int fd, const struct client_info *info)
{
    conn_watch(conn_new(s, fd, info));
}

void conns_add_tls(struct conns *s, int fd, const struct client_info *info,
                   struct tls_channel *channel, const char *refusal)
{
    struct conn *c = conn_new(s, fd, info);
    c->tls = channel;
    c->refusal = refusal;
    conn_watch(c);
}

static void conn_free(struct conn *c)
{
    client_closed(c->client);
    io_free(c->io);
    tls_channel_free(c->tls);
    close(c->fd);
    reader_free(c->reader);
    list_remove(&c->node);
    list_remove(&c->dirty);
    list_remove(&c->resumed);
    list_remove(&c->closed);
    c->set->count--;
    mem_free(c);
}

struct conns *conns_new(struct loop *loop, struct engine *engine, const struct config *config)
{
    struct conns *s = mem_zalloc(sizeof(*s));
    s->loop = loop;
    s->engine = engine;
    s->config = config;
    s->reading = true;
    list_init(&s->all);
    list_init(&s->dirty);
    list_init(&s->resumed);
    list_init(&s->closed);
    return s;
}

void conns_free(struct conns *s)
{
    if (s == NULL)
        return;
    while (!list_empty(&s->all))
        conn_free(LIST_ITEM(s->all.next, struct conn, node));
    mem_free(s);
}

size_t conns_count(const struct conns *s)
{
    return s->count;
}

size_t conns_unwritten(const struct conns *s)
{
    size_t n = 0;
    LIST_EACH(it, &s->all)
    {
        const struct conn *c = LIST_ITEM(it, struct conn, node);
        n += c->state == CONN_CLOSED ? 0 : conn_unwritten(c);
    }
    return n;
}

void conns_stop_reading(struct conns *s)
{
    s->reading = false;
    LIST_EACH(it, &s->all)
    conn_watch(LIST_ITEM(it, struct conn, node));
}

static bool resume_all(struct conns *s)
{
    struct list resumed;
    list_init(&resumed);
    list_append_all(&resumed, &s->resumed);
    bool any = false;
    while (!list_empty(&resumed)) {
        struct conn *c = LIST_ITEM(resumed.next, struct conn, resumed);
        list_remove(&c->resumed);
        c->paused = false;
        any |= conn_submit_requests(c);
        if (c->tls != NULL && tls_channel_pending(c->tls) && conn_may_read(c)) {
            conn_read_tls(c);
            any = true;
        }
    }
    return any;
}

bool conns_turn_end(struct conns *s)
{
    bool more = resume_all(s);
    handshakes_turn_end(&s->handshakes);
    struct list dirty;
    list_init(&dirty);
    list_append_all(&dirty, &s->dirty);
    while (!list_empty(&dirty)) {
        struct conn *c = LIST_ITEM(dirty.next, struct conn, dirty);
        list_remove(&c->dirty);
        conn_flush(c);
    }
    while (!list_empty(&s->closed))
        conn_free(LIST_ITEM(s->closed.next, struct conn, closed));
    return more || !list_empty(&s->resumed) || !list_empty(&s->dirty);
}

static bool conn_greets_too_long(struct conn *c, int64_t now_us)
{
    if (c->tls == NULL || tls_channel_is_open(c->tls) || c->state != CONN_OPEN ||
        now_us - tls_channel_since_us(c->tls) <= HANDSHAKE_PATIENCE_US)
        return false;
    handshakes_give_up(&c->set->handshakes, c->peer);
    return true;
}

/* A full socket has room for more only when a good part of it, megabytes, has been taken. A peer that
 * takes it slowly is not idle: the socket holds less than at the last look. */
static void conn_note_progress(struct conn *c)
{
    int unacked = 0;
    if (!c->write_blocked || ioctl(c->fd, SIOCOUTQ, &unacked) != 0)
        return;
    if (unacked < c->unacked)
        client_note_activity(c->client);
    c->unacked = unacked;
}

static bool conn_is_idle(struct conn *c, int64_t now_us)
{
    int64_t timeout_us = c->set->config->timeout_s * 1000000;
    return c->state == CONN_OPEN && timeout_us > 0 && client_may_idle_out(c->client) &&
           now_us - client_last_active_us(c->client) > timeout_us;
}

static bool conn_leaves_last_replies(const struct conn *c, int64_t now_us)
{
    return c->state == CONN_FLUSHING && now_us - c->flushing_since_us > FLUSH_PATIENCE_US &&
           now_us - client_last_active_us(c->client) > FLUSH_PATIENCE_US;
}

void conns_scan(struct conns *s, int64_t now_us)
{
    LIST_EACH(it, &s->all)
    {
        struct conn *c = LIST_ITEM(it, struct conn, node);
        conn_note_progress(c);
        if (conn_leaves_last_replies(c, now_us))
            conn_set_state(c, CONN_CLOSED, "not-reading");
        else if (conn_greets_too_long(c, now_us))
            conn_set_state(c, CONN_CLOSED, "tls-handshake");
        else if (conn_is_idle(c, now_us))
            conn_set_state(c, CONN_CLOSED, "idle");
        else if (c->soft_since_us != 0 && c->state != CONN_CLOSED)
            (void)conn_leaves_too_much(c);
    }
}
