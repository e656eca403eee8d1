#include "fake_time.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"

struct loop {
    struct list timers; /* those that are set, in order of time */
};

struct timer {
    struct loop *loop;
    struct list node;
    int64_t at_us;
    void (*fire)(void *arg);
    void *arg;
};

/* clock.h's functions know no object, so the time is the program's. */
static int64_t now_us = INT64_C(5000000000);

int64_t clock_mono_us(void)
{
    return now_us;
}

int64_t clock_wall_us(void)
{
    return now_us + INT64_C(1750000000) * 1000000;
}

struct loop *loop_new(void)
{
    struct loop *l = mem_alloc(sizeof(*l));
    list_init(&l->timers);
    return l;
}

void loop_free(struct loop *l)
{
    CHECK(list_empty(&l->timers));
    mem_free(l);
}

int64_t loop_now_us(const struct loop *l)
{
    (void)l;
    return now_us;
}

struct timer *timer_new(struct loop *l, void (*fire)(void *arg), void *arg)
{
    struct timer *t = mem_alloc(sizeof(*t));
    *t = (struct timer){.loop = l, .fire = fire, .arg = arg};
    list_init(&t->node);
    return t;
}

void timer_set(struct timer *t, int64_t us)
{
    list_remove(&t->node);
    t->at_us = now_us + (us < 0 ? 0 : us);
    struct list *at = t->loop->timers.prev;
    while (at != &t->loop->timers && LIST_ITEM(at, struct timer, node)->at_us > t->at_us)
        at = at->prev;
    list_insert_after(at, &t->node);
}

void timer_clear(struct timer *t)
{
    list_remove(&t->node);
}

void timer_free(struct timer *t)
{
    if (t == NULL)
        return;
    list_remove(&t->node);
    mem_free(t);
}

void fake_time_advance(struct loop *l, int64_t us)
{
    int64_t until_us = now_us + us;
    while (!list_empty(&l->timers)) {
        struct timer *t = LIST_ITEM(l->timers.next, struct timer, node);
        if (t->at_us > until_us)
            break;
        if (t->at_us > now_us)
            now_us = t->at_us;
        list_remove(&t->node);
        t->fire(t->arg);
    }
    now_us = until_us;
}

void fake_time_stall(int64_t us)
{
    now_us += us;
}

void fake_time_fire_early(struct loop *l, int64_t us)
{
    struct list due;
    list_init(&due);
    while (!list_empty(&l->timers)) {
        struct timer *t = LIST_ITEM(l->timers.next, struct timer, node);
        if (t->at_us > now_us + us)
            break;
        list_remove(&t->node);
        list_push_back(&due, &t->node);
    }
    while (!list_empty(&due)) {
        struct timer *t = LIST_ITEM(due.next, struct timer, node);
        list_remove(&t->node);
        t->fire(t->arg);
    }
}
