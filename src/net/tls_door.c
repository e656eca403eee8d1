/* tls_door: see tls_door.h. */
#include "net/tls_door.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/listener.h"
#include "metrics/metrics.h"
#include "tls/context.h"

enum { DAY_S = 24 * 60 * 60, WARN_DAYS = 14 };

struct opening {
    int64_t port; /* 0 = closed */
    int fds[LISTENER_MAX];
    int count;
    struct tls_context *context; /* NULL while closed */
};

struct tls_door {
    struct loop *loop;
    bool (*accept)(void *arg, int listener);
    void *arg;
    struct opening now;
    struct opening next; /* with the sockets of `now` where the port stays */
    bool prepared;
    bool wanted;
    bool over;
    struct io *io[LISTENER_MAX];
};

static void close_sockets(struct opening *o)
{
    for (int i = 0; i < o->count; i++)
        close(o->fds[i]);
    o->count = 0;
}

/* Whichever of the listeners is ready: there are few. */
static void on_acceptable(void *arg, int events)
{
    struct tls_door *d = arg;
    (void)events;
    for (int i = 0; i < d->now.count; i++) {
        if (!d->accept(d->arg, d->now.fds[i]))
            return;
    }
}

struct tls_door *tls_door_new(struct loop *loop, bool (*accept)(void *arg, int listener), void *arg)
{
    struct tls_door *d = mem_zalloc(sizeof(*d));
    d->loop = loop;
    d->accept = accept;
    d->arg = arg;
    d->wanted = true;
    return d;
}

/* ---- preparing ---- */

static void drop_prepared(struct tls_door *d)
{
    if (!d->prepared)
        return;
    if (d->next.port != d->now.port)
        close_sockets(&d->next);
    tls_context_free(d->next.context);
    d->prepared = false;
}

static bool open_sockets(struct opening *o, const struct config *c, struct buf *reason)
{
    struct listener_options options = {.name = "tls-port",
                                       .port = (uint16_t)o->port,
                                       .backlog = (int)c->tcp_backlog,
                                       .reuseport = c->so_reuseport};
    return listener_open(c->bind, &options, o->fds, &o->count, reason);
}

bool tls_door_prepare(struct tls_door *d, const struct config *c, struct buf *reason)
{
    drop_prepared(d);
    if (d->over)
        return true;
    struct opening next = {.port = c->tls_port};
    if (next.port != 0) {
        next.context = tls_context_new(c, reason);
        if (next.context == NULL)
            return false;
    }
    if (next.port == d->now.port) {
        memcpy(next.fds, d->now.fds, sizeof(next.fds));
        next.count = d->now.count;
    } else if (next.port != 0 && !open_sockets(&next, c, reason)) {
        tls_context_free(next.context);
        return false;
    }
    d->next = next;
    d->prepared = true;
    return true;
}

/* ---- what is new ---- */

static void watch(struct tls_door *d)
{
    for (int i = 0; i < d->now.count; i++)
        io_want(d->io[i], d->wanted ? IO_READ : 0);
}

static void unwatch(struct tls_door *d)
{
    for (int i = 0; i < d->now.count; i++) {
        io_free(d->io[i]);
        d->io[i] = NULL;
    }
}

static void tell_validity(const struct tls_context *context)
{
    const struct tls_validity *v = tls_context_validity(context);
    int64_t now_s = clock_wall_us() / 1000000;
    char quoted[LOG_QUOTE_SIZE];
    struct buf until;
    buf_init(&until);
    tls_append_time(&until, v->until_s);
    bool soon = v->until_s - now_s < (int64_t)WARN_DAYS * DAY_S || v->from_s > now_s;
    const char *event = v->until_s <= now_s ? "tls-certificate-expired"
                        : v->from_s > now_s ? "tls-certificate-not-valid-yet"
                        : soon              ? "tls-certificate-expires-soon"
                                            : "tls-certificate";
    log_event(soon ? LOG_WARNING : LOG_NOTICE, event, "subject=%s until=\"%s\"",
              log_quote(tls_context_subject(context), quoted), buf_cstr(&until));
    buf_release(&until);
}

void tls_door_commit(struct tls_door *d)
{
    if (!d->prepared)
        return;
    d->prepared = false;
    struct opening old = d->now;
    if (d->next.port != old.port)
        unwatch(d);
    d->now = d->next;
    if (d->now.port != old.port) {
        close_sockets(&old);
        for (int i = 0; i < d->now.count; i++)
            d->io[i] = io_new(d->loop, d->now.fds[i], on_acceptable, d);
        watch(d);
    }
    tls_context_free(old.context);
    metrics.tls_certificate_expires =
        d->now.context != NULL ? tls_context_validity(d->now.context)->until_s : 0;
    if (d->now.context != NULL)
        tell_validity(d->now.context);
}

/* ---- the rest ---- */

void tls_door_want(struct tls_door *d, bool want)
{
    d->wanted = want;
    watch(d);
}

void tls_door_close(struct tls_door *d)
{
    drop_prepared(d);
    d->over = true;
    unwatch(d);
    close_sockets(&d->now);
    tls_context_free(d->now.context);
    d->now.context = NULL;
}

void tls_door_free(struct tls_door *d)
{
    if (d == NULL)
        return;
    tls_door_close(d);
    mem_free(d);
}

struct tls_channel *tls_door_channel(struct tls_door *d, int fd)
{
    return tls_channel_new(d->now.context, fd, loop_now_us(d->loop));
}
