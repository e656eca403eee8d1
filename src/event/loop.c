#include "event/loop.h"

#include <event2/event.h>
#include <sys/time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "event/loop_base.h"

struct loop {
    struct event_base *base;
    int64_t now_us;
    bool stop;
    struct list signals;
};

struct signal_watch {
    struct list node;
    struct event *event;
    void (*f)(void *arg, int signo);
    void *arg;
};

struct io {
    struct event *event;
    struct loop *loop;
    int fd;
    int want;
    void (*ready)(void *arg, int events);
    void *arg;
};

struct timer {
    struct event *event;
    void (*fire)(void *arg);
    void *arg;
};

struct loop *loop_new(void)
{
    struct loop *l = mem_zalloc(sizeof(*l));
    l->base = event_base_new();
    CHECK(l->base != NULL);
    l->now_us = clock_mono_us();
    list_init(&l->signals);
    return l;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    LIST_EACH(it, &l->signals)
    {
        struct signal_watch *w = LIST_ITEM(it, struct signal_watch, node);
        event_free(w->event);
        mem_free(w);
    }
    event_base_free(l->base);
    libevent_global_shutdown();
    mem_free(l);
}

void loop_run(struct loop *l, bool (*turn_end)(void *arg), void *arg)
{
    bool more = turn_end(arg);
    while (!l->stop) {
        int rc = event_base_loop(l->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0));
        CHECK(rc >= 0);
        l->now_us = clock_mono_us();
        more = turn_end(arg);
    }
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}

int64_t loop_now_us(const struct loop *l)
{
    return l->now_us;
}

struct event_base *loop_event_base(struct loop *l)
{
    return l->base;
}

void loop_woke(struct loop *l)
{
    l->now_us = clock_mono_us();
}

static void on_io(evutil_socket_t fd, short events, void *arg)
{
    struct io *io = arg;
    (void)fd;
    io->loop->now_us = clock_mono_us();
    io->ready(io->arg, ((events & EV_READ) ? IO_READ : 0) | ((events & EV_WRITE) ? IO_WRITE : 0));
}

struct io *io_new(struct loop *l, int fd, void (*ready)(void *arg, int events), void *arg)
{
    struct io *io = mem_zalloc(sizeof(*io));
    io->loop = l;
    io->fd = fd;
    io->ready = ready;
    io->arg = arg;
    io->event = event_new(l->base, fd, EV_PERSIST, on_io, io);
    CHECK(io->event != NULL);
    return io;
}

void io_want(struct io *io, int events)
{
    if (events == io->want)
        return;
    if (io->want != 0)
        event_del(io->event);
    io->want = events;
    if (events == 0)
        return;
    short e = EV_PERSIST;
    e |= (events & IO_READ) ? EV_READ : 0;
    e |= (events & IO_WRITE) ? EV_WRITE : 0;
    int rc = event_assign(io->event, io->loop->base, io->fd, e, on_io, io);
    CHECK(rc == 0);
    rc = event_add(io->event, NULL);
    CHECK(rc == 0);
}

void io_free(struct io *io)
{
    if (io == NULL)
        return;
    event_free(io->event);
    mem_free(io);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct timer *t = arg;
    (void)fd;
    (void)events;
    t->fire(t->arg);
}

struct timer *timer_new(struct loop *l, void (*fire)(void *arg), void *arg)
{
    struct timer *t = mem_zalloc(sizeof(*t));
    t->fire = fire;
    t->arg = arg;
    t->event = event_new(l->base, -1, 0, on_timer, t);
    CHECK(t->event != NULL);
    return t;
}

void timer_set(struct timer *t, int64_t us)
{
    if (us < 0)
        us = 0;
    struct timeval tv = {us / 1000000, us % 1000000};
    int rc = event_add(t->event, &tv);
    CHECK(rc == 0);
}

void timer_clear(struct timer *t)
{
    event_del(t->event);
}

void timer_free(struct timer *t)
{
    if (t == NULL)
        return;
    event_free(t->event);
    mem_free(t);
}

static void on_signal(evutil_socket_t signo, short events, void *arg)
{
    struct signal_watch *w = arg;
    (void)events;
    w->f(w->arg, (int)signo);
}

void loop_on_signal(struct loop *l, int signo, void (*f)(void *arg, int signo), void *arg)
{
    struct signal_watch *w = mem_zalloc(sizeof(*w));
    w->f = f;
    w->arg = arg;
    w->event = evsignal_new(l->base, signo, on_signal, w);
    CHECK(w->event != NULL);
    int rc = event_add(w->event, NULL);
    CHECK(rc == 0);
    list_push_back(&l->signals, &w->node);
}
