/* pause: CLIENT PAUSE; DEBUG SLEEP is a pause of everything.
 *
 * A request that may not run now is not taken: it stays with its client (`held` in client.c), with
 * all that follows it, until the pause has ended. So it is no transaction meanwhile, and no time
 * limit counts for it. What was taken before the pause goes on; the OK of CLIENT PAUSE waits for
 * that, so that nothing is written after it. */
#include "base/mem.h"
#include "engine/block.h"
#include "engine/internal.h"
#include "engine/pubsub.h"
#include "engine/script.h"

enum pause_reason { PAUSE_BY_CLIENT, PAUSE_BY_SLEEP, PAUSE_REASONS };

struct pause {
    struct engine *engine;
    struct timer *timer;
    int64_t until_us[PAUSE_REASONS]; /* 0 = not paused */
    bool all[PAUSE_REASONS];         /* or writes only */
    struct list replies;             /* txn.work_node of those whose reply is held */
};

/* ---- the end ---- */

static bool is_over(const struct pause *p)
{
    return p->until_us[PAUSE_BY_CLIENT] == 0 && p->until_us[PAUSE_BY_SLEEP] == 0;
}

bool pause_is_on(const struct engine *e)
{
    return !is_over(e->pause);
}

/* All are let go: those that are still not allowed are held again. */
static void let_go(struct engine *e)
{
    LIST_EACH(it, &e->clients)
    {
        struct client *c = LIST_ITEM(it, struct client, node);
        if (!c->paused)
            continue;
        c->paused = false;
        client_take_held_later(c);
    }
    if (!pause_is_on(e))
        block_look_all(e);
}

static void set_timer(struct pause *p)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < PAUSE_REASONS; i++) {
        if (p->until_us[i] != 0 && p->until_us[i] < next)
            next = p->until_us[i];
    }
    int64_t now = loop_now_us(p->engine->loop);
    if (next == INT64_MAX)
        timer_clear(p->timer);
    else
        timer_set(p->timer, next > now ? next - now : 0);
}

static void end(struct pause *p, enum pause_reason reason)
{
    p->until_us[reason] = 0;
    set_timer(p);
    let_go(p->engine);
}

static void on_timer(void *arg)
{
    struct pause *p = arg;
    int64_t now = loop_now_us(p->engine->loop);
    for (int i = 0; i < PAUSE_REASONS; i++) {
        if (p->until_us[i] != 0 && p->until_us[i] <= now)
            p->until_us[i] = 0;
    }
    set_timer(p);
    let_go(p->engine);
}

/* ---- the beginning ---- */

void pause_init(struct engine *e)
{
    struct pause *p = mem_zalloc(sizeof(*p));
    p->engine = e;
    p->timer = timer_new(e->loop, on_timer, p);
    list_init(&p->replies);
    e->pause = p;
}

void pause_release(struct engine *e)
{
    timer_free(e->pause->timer);
    mem_free(e->pause);
}

static void begin(struct pause *p, enum pause_reason reason, int64_t us, bool all)
{
    int64_t now = loop_now_us(p->engine->loop);
    int64_t until = us > INT64_MAX - now ? INT64_MAX - 1 : now + us;
    /* Redis' rule for one that is asked for while there is another: the stricter, and the longer. */
    if (p->until_us[reason] == 0)
        p->all[reason] = false;
    p->all[reason] |= all;
    if (until > p->until_us[reason])
        p->until_us[reason] = until;
    set_timer(p);
}

void pause_clients(struct client *c, int64_t us, bool all)
{
    begin(c->engine->pause, PAUSE_BY_CLIENT, us, all);
    c->hold_reply = true;
    c->hold_reply_until_us = 0;
}

void pause_sleep(struct client *c, int64_t us)
{
    struct pause *p = c->engine->pause;
    if (us <= 0)
        return;
    begin(p, PAUSE_BY_SLEEP, us, true);
    c->hold_reply = true;
    c->hold_reply_until_us = p->until_us[PAUSE_BY_SLEEP];
}

void pause_end(struct engine *e)
{
    end(e->pause, PAUSE_BY_CLIENT);
}

/* ---- what may run ---- */

/* What is published is replicated in Redis. */
static bool counts_as_write(struct engine *e, const struct command *cmd, const struct request *q)
{
    return script_may_write(e, cmd, q) || pubsub_is_publish(cmd->id);
}

static bool block_writes(const struct client *c)
{
    for (int i = 0; i < c->nqueued; i++) {
        if (counts_as_write(c->engine, c->queued[i].cmd, c->queued[i].request))
            return true;
    }
    return false;
}

static bool is_allowed(const struct pause *p, const struct client *c, const struct request *r)
{
    const struct command *cmd = command_find(r->argv[0]);
    if (cmd != NULL && (cmd->flags & CF_CONTAINER) != 0 && r->argc > 1)
        cmd = command_find_sub(cmd, r->argv[1]);
    /* What is answered with an error is answered now. */
    if (cmd == NULL || !command_arity_ok(cmd, r->argc) || cmd->id == CMD_QUIT ||
        (!client_authenticated(c) && !(cmd->flags & CF_NO_AUTH)) || !access_allows(c, cmd, r))
        return true;
    for (int i = 0; i < PAUSE_REASONS; i++) {
        if (p->until_us[i] != 0 && p->all[i])
            return false;
    }
    if (cmd->id == CMD_EXEC)
        return !block_writes(c);
    return !counts_as_write(c->engine, cmd, r);
}

bool pause_holds(struct client *c, const struct request *r)
{
    const struct pause *p = c->engine->pause;
    if (!c->paused && !is_over(p) && !is_allowed(p, c, r))
        c->paused = true;
    return c->paused;
}

size_t pause_held_clients(const struct engine *e)
{
    size_t n = 0;
    LIST_EACH(it, (struct list *)&e->clients)
    n += LIST_ITEM(it, struct client, node)->paused;
    return n;
}

/* ---- replies that wait ---- */

void pause_hold_reply(struct txn *t)
{
    t->held = true;
    t->held_until_us = t->client->hold_reply_until_us;
    list_push_back(&t->engine->pause->replies, &t->work_node);
}

/* Has everything that was taken before it ended? What its client does not make room for has not begun. */
static bool earlier_ones_ended(const struct txn *t)
{
    LIST_EACH(it, &t->engine->active)
    {
        const struct txn *other = LIST_ITEM(it, struct txn, age_node);
        if (other->seq >= t->seq)
            break;
        bool waits_for_room = other->state == TXN_QUEUED && other->client->output_full;
        if (!other->held && !waits_for_room && other->state != TXN_BLOCKED)
            return false;
    }
    return true;
}

void pause_release_replies(struct engine *e)
{
    int64_t now = loop_now_us(e->loop);
    LIST_EACH(it, &e->pause->replies)
    {
        struct txn *t = LIST_ITEM(it, struct txn, work_node);
        bool late = now - t->arrived_us > e->config->pg_timeout_ms * 1000;
        bool due = t->held_until_us != 0 ? now >= t->held_until_us : late || earlier_ones_ended(t);
        if (!due)
            continue;
        t->held = false;
        list_remove(&t->work_node);
        client_end_held(t);
    }
}
