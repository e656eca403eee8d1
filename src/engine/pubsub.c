/* A command of pub/sub runs when its client's earlier commands have ended, so its confirmation
 * stands in the output before the first message does. Messages are appended to the output of a
 * client where it ends: between two replies.
 *
 * A PUBLISH counts its receivers when it runs, and goes out when its txn is done: a block may run
 * more than once, and may yet fail. */
#include "engine/pubsub.h"

#include "base/glob.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/script.h"
#include "metrics/page.h"
#include "store/store.h"

struct pubsub {
    struct channels *channels;
    bool wanted;         /* other instances' messages: bus_want has been called */
    bool somebody_waits; /* pubsub_waits has held a txn since the last tick */
    int64_t asked_us;    /* when somebody was last about to subscribe */
    uint64_t published;
    uint64_t received;  /* from other instances */
    uint64_t delivered; /* to clients here */
};

enum { WANT_US = 1000 * 1000 };

/* ---- life ---- */

void pubsub_init(struct engine *e)
{
    e->pubsub = mem_zalloc(sizeof(*e->pubsub));
    e->pubsub->channels = channels_new();
}

void pubsub_release(struct engine *e)
{
    channels_free(e->pubsub->channels);
    mem_free(e->pubsub);
}

/* ---- what is wanted of other instances ---- */

static bool has_subscribers(const struct pubsub *p)
{
    return channels_count(p->channels, CHANNEL_PLAIN) > 0 ||
           channels_count(p->channels, CHANNEL_PATTERN) > 0 ||
           channels_count(p->channels, CHANNEL_SHARD) > 0;
}

static void tell_want(struct engine *e)
{
    struct pubsub *p = e->pubsub;
    bool about_to = p->asked_us != 0 && loop_now_us(e->loop) - p->asked_us < WANT_US;
    bool wanted = about_to || has_subscribers(p);
    if (wanted == p->wanted)
        return;
    p->wanted = wanted;
    if (wanted)
        bus_want(e, STORE_WANT_MESSAGES);
    else
        bus_unwant(e, STORE_WANT_MESSAGES);
}

bool pubsub_anybody(const struct engine *e)
{
    enum store_state state = store_state(e->store);
    bool others =
        e->store->ops->publish != NULL && (state == STORE_ONLINE || state == STORE_RECOVERING);
    return others || has_subscribers(e->pubsub);
}

/* ---- messages ---- */

struct message {
    bool shard;
    struct bytes channel;
    struct bytes text;
    struct pubsub *pubsub;
};

/* What a client may have in its output at most; what a turn adds at once is net's to judge. */
static bool is_far_behind(const struct client *c)
{
    int64_t hard = c->engine->config->client_output_buffer_limit.of[OUTPUT_PUBSUB].hard;
    return hard > 0 && c->out.len / 2 > (size_t)hard;
}

static void push_to(void *arg, struct subscriber *s, struct bytes pattern)
{
    const struct message *m = arg;
    struct client *c = LIST_ITEM(s, struct client, hears);
    struct reply r = {&c->out, c->proto, false};
    if (c->closed || c->closing)
        return;
    if (is_far_behind(c) ||
        !buf_try_reserve(&c->out, m->channel.len + m->text.len + pattern.len + 128)) {
        log_event(LOG_WARNING, "client-output-limit", "peer=%s bytes=%zu class=pubsub",
                  c->info.peer, c->out.len);
        client_kill(c);
        return;
    }
    reply_push(&r, pattern.data != NULL ? 4 : 3);
    reply_bulk_cstr(&r, m->shard ? "smessage" : pattern.data != NULL ? "pmessage" : "message");
    if (pattern.data != NULL)
        reply_bulk(&r, pattern);
    reply_bulk(&r, m->channel);
    reply_bulk(&r, m->text);
    m->pubsub->delivered++;
    c->io->output(c->io_arg);
}

static void deliver(struct engine *e, bool shard, struct bytes channel, struct bytes text)
{
    struct message m = {shard, channel, text, e->pubsub};
    channels_receivers(e->pubsub->channels, shard, channel, push_to, &m);
}

static void publish(struct engine *e, bool shard, struct bytes channel, struct bytes text)
{
    e->pubsub->published++;
    deliver(e, shard, channel, text);
    if (e->store->ops->publish != NULL)
        e->store->ops->publish(e->store, shard, channel, text);
}

void pubsub_publish(struct engine *e, struct bytes channel, struct bytes message)
{
    publish(e, false, channel, message);
}

void pubsub_publish_shard(struct engine *e, struct bytes channel, struct bytes message)
{
    publish(e, true, channel, message);
}

void pubsub_receive(struct engine *e, bool shard, struct bytes channel, struct bytes message)
{
    e->pubsub->received++;
    deliver(e, shard, channel, message);
}

/* ---- among a client's commands ---- */

bool pubsub_is_publish(enum command_id id)
{
    return id == CMD_PUBLISH || id == CMD_SPUBLISH;
}

static bool is_subscribe(enum command_id id)
{
    return id == CMD_SUBSCRIBE || id == CMD_PSUBSCRIBE || id == CMD_SSUBSCRIBE;
}

static bool is_unsubscribe(enum command_id id)
{
    return id == CMD_UNSUBSCRIBE || id == CMD_PUNSUBSCRIBE || id == CMD_SUNSUBSCRIBE;
}

bool pubsub_takes_turn(const struct txn_command *tc)
{
    enum command_id id = tc->cmd->id;
    return pubsub_is_publish(id) || is_subscribe(id) || is_unsubscribe(id);
}

static void admit(struct txn *t, enum command_id id)
{
    t->publishes |= pubsub_is_publish(id);
    if (is_subscribe(id)) {
        t->engine->pubsub->asked_us = loop_now_us(t->engine->loop);
        tell_want(t->engine);
    }
    /* What follows is read by a client that subscribes, or does so no more. */
    t->stalls |= is_subscribe(id) || is_unsubscribe(id);
}

void pubsub_admit(struct txn *t)
{
    admit(t, t->single.cmd->id);
    if (!t->publishes)
        t->silent = false; /* confirmations are pushes: CLIENT REPLY has no say */
    t->client->stalled |= t->stalls;
}

void pubsub_admit_block(struct txn *t)
{
    for (int i = 0; i < t->ncommands; i++)
        admit(t, t->commands[i].cmd->id);
}

static bool others_are_there(const struct engine *e)
{
    enum store_state state = store_state(e->store);
    return e->store->ops->want != NULL && (state == STORE_ONLINE || state == STORE_RECOVERING);
}

bool pubsub_waits(const struct txn *t)
{
    struct engine *e = t->engine;
    const struct command *cmd = t->ncommands == 1 && !t->exec ? t->commands[0].cmd : NULL;
    if (cmd == NULL || (cmd->flags & CF_PUBSUB) == 0 || !others_are_there(e))
        return false;
    int64_t patience_us = e->config->pg_timeout_ms * 1000 / 2;
    bool patient = loop_now_us(e->loop) - t->arrived_us <= patience_us;
    bool waits = false;
    if (is_subscribe(cmd->id) && patient) {
        waits = !bus_hears(e, STORE_WANT_MESSAGES);
        e->pubsub->asked_us = loop_now_us(e->loop); /* it is still wanted */
    } else if (pubsub_is_publish(cmd->id) && e->store->ops->publish_room != NULL) {
        enum store_room room = e->store->ops->publish_room(e->store);
        waits = room == STORE_NO_ROOM_YET || (room == STORE_NO_ROOM && patient);
    }
    e->pubsub->somebody_waits |= waits;
    return waits;
}

static void let_go(struct engine *e)
{
    if (!e->pubsub->somebody_waits)
        return;
    e->pubsub->somebody_waits = false;
    LIST_EACH(it, &e->clients)
    client_pump_later(LIST_ITEM(it, struct client, node));
    LIST_EACH(at, &e->closing)
    client_pump_later(LIST_ITEM(at, struct client, node));
}

void pubsub_hears(struct engine *e)
{
    let_go(e);
}

void pubsub_tick(struct engine *e)
{
    tell_want(e);
    let_go(e);
}

/* EXEC's array; not nil, which a WATCH that does not hold makes of it, nor an error. */
static bool block_ran(const struct txn *t)
{
    return t->reply.len > 1 && t->reply.data[0] == '*' && t->reply.data[1] != '-';
}

void pubsub_done(struct txn *t)
{
    bool own = t->publishes && (!t->exec || block_ran(t));
    size_t at = 0;
    if (!own && t->script == NULL)
        return;
    for (int i = 0; i < t->ncommands; i++) {
        const struct txn_command *tc = &t->commands[i];
        at = script_publish(t, i, at);
        if (own && pubsub_is_publish(tc->cmd->id) && tc->error_at == 0)
            publish(t->engine, tc->cmd->id == CMD_SPUBLISH, tc->request->argv[1],
                    tc->request->argv[2]);
    }
}

/* ---- clients ---- */

bool pubsub_refuses(const struct client *c, int command)
{
    enum command_id id = (enum command_id)command;
    bool allowed = is_subscribe(id) || is_unsubscribe(id) || id == CMD_PING || id == CMD_QUIT ||
                   id == CMD_RESET;
    return c->proto == 2 && subscriber_count(&c->hears) > 0 && !allowed;
}

void pubsub_leave(struct client *c)
{
    channels_leave_all(c->engine->pubsub->channels, &c->hears);
    tell_want(c->engine);
}

struct judge {
    const struct acl_user *user;
    bool is_pattern;
    bool fine;
};

static void judge_one(void *arg, struct bytes name)
{
    struct judge *j = arg;
    j->fine = j->fine && acl_may_hear(j->user, name, j->is_pattern);
}

static bool may_hear_all(const struct client *c)
{
    struct judge j = {c->user, false, true};
    for (int i = 0; i < CHANNEL_KINDS; i++) {
        j.is_pattern = i == CHANNEL_PATTERN;
        subscriber_each(&c->hears, (enum channel_kind)i, judge_one, &j);
    }
    return j.fine;
}

void pubsub_before_rules(struct engine *e)
{
    if (!has_subscribers(e->pubsub))
        return;
    LIST_EACH(it, &e->clients)
    {
        struct client *c = LIST_ITEM(it, struct client, node);
        c->heard_all = subscriber_count(&c->hears) > 0 && may_hear_all(c);
    }
}

void pubsub_after_rules(struct engine *e, struct client *by)
{
    if (!has_subscribers(e->pubsub))
        return;
    LIST_EACH(it, &e->clients)
    {
        struct client *c = LIST_ITEM(it, struct client, node);
        if (!c->heard_all || may_hear_all(c))
            continue;
        if (c == by)
            c->closing = c->killed_itself = true; /* behind the reply */
        else
            client_kill(c);
    }
}

/* ---- SUBSCRIBE and its kin ---- */

static enum channel_kind kind_of(enum command_id id)
{
    return id == CMD_PSUBSCRIBE || id == CMD_PUNSUBSCRIBE   ? CHANNEL_PATTERN
           : id == CMD_SSUBSCRIBE || id == CMD_SUNSUBSCRIBE ? CHANNEL_SHARD
                                                            : CHANNEL_PLAIN;
}

/* Channels and patterns count together, shard channels for themselves. */
static void confirm(const struct client *c, struct reply *r, const struct command *cmd,
                    const struct bytes *name)
{
    const size_t *n = c->hears.n;
    reply_push(r, 3);
    reply_bulk_cstr(r, cmd->name);
    if (name != NULL)
        reply_bulk(r, *name);
    else
        reply_null(r);
    reply_int(r,
              (int64_t)(kind_of(cmd->id) == CHANNEL_SHARD ? n[CHANNEL_SHARD]
                                                          : n[CHANNEL_PLAIN] + n[CHANNEL_PATTERN]));
}

static void leave_all_of(struct client *c, const struct command *cmd, struct reply *r)
{
    struct channels *cs = c->engine->pubsub->channels;
    struct buf name;
    bool any = false;
    buf_init(&name);
    while (channels_leave_one(cs, kind_of(cmd->id), &c->hears, &name)) {
        struct bytes left = buf_bytes(&name);
        confirm(c, r, cmd, &left);
        name.len = 0;
        any = true;
    }
    if (!any)
        confirm(c, r, cmd, NULL);
    buf_release(&name);
}

static void run_subscribe(struct client *c, const struct txn_command *tc, struct reply *r)
{
    struct channels *cs = c->engine->pubsub->channels;
    enum channel_kind kind = kind_of(tc->cmd->id);
    bool joins = is_subscribe(tc->cmd->id);
    if (tc->cmd->id == CMD_SSUBSCRIBE && c->in_exec) { /* for the others Redis makes an exception */
        reply_error(r, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
        return;
    }
    if (tc->request->argc == 1)
        leave_all_of(c, tc->cmd, r);
    for (int i = 1; i < tc->request->argc; i++) {
        struct bytes name = tc->request->argv[i];
        if (joins && !c->closed)
            channels_join(cs, kind, &c->hears, name);
        else if (!joins)
            channels_leave(cs, kind, &c->hears, name);
        confirm(c, r, tc->cmd, &name);
    }
    tell_want(c->engine);
}

static void run_publish(struct client *c, const struct txn_command *tc, struct reply *r)
{
    reply_int(r,
              (int64_t)channels_receivers(c->engine->pubsub->channels, tc->cmd->id == CMD_SPUBLISH,
                                          tc->request->argv[1], NULL, NULL));
}

/* ---- PUBSUB ---- */

struct listing {
    const struct bytes *pattern; /* NULL = all */
    struct buf names;
    struct reply reply;
    size_t n;
};

static void list_one(void *arg, struct bytes name)
{
    struct listing *l = arg;
    if (l->pattern != NULL && !glob_match(*l->pattern, name, false))
        return;
    reply_bulk(&l->reply, name);
    l->n++;
}

static void run_channels(struct client *c, const struct txn_command *tc, enum channel_kind kind,
                         struct reply *r)
{
    const struct request *q = tc->request;
    struct listing l = {.pattern = q->argc > 2 ? &q->argv[2] : NULL};
    if (q->argc > 3) {
        reply_errorf(
            r, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try PUBSUB HELP.",
            (int)q->argv[1].len, q->argv[1].data);
        return;
    }
    buf_init(&l.names);
    l.reply = (struct reply){&l.names, r->proto, false};
    channels_each(c->engine->pubsub->channels, kind, list_one, &l);
    reply_array(r, l.n);
    buf_append_bytes(r->out, buf_bytes(&l.names));
    buf_release(&l.names);
}

static void run_numsub(struct client *c, const struct txn_command *tc, enum channel_kind kind,
                       struct reply *r)
{
    const struct request *q = tc->request;
    reply_array(r, (size_t)(q->argc - 2) * 2);
    for (int i = 2; i < q->argc; i++) {
        reply_bulk(r, q->argv[i]);
        reply_int(r, (int64_t)channels_subscribers(c->engine->pubsub->channels, kind, q->argv[i]));
    }
}

static void run_pubsub(struct client *c, const struct txn_command *tc, struct reply *r)
{
    switch (tc->cmd->sub) {
    case SUB_PUBSUB_CHANNELS:
        run_channels(c, tc, CHANNEL_PLAIN, r);
        break;
    case SUB_PUBSUB_SHARDCHANNELS:
        run_channels(c, tc, CHANNEL_SHARD, r);
        break;
    case SUB_PUBSUB_NUMSUB:
        run_numsub(c, tc, CHANNEL_PLAIN, r);
        break;
    case SUB_PUBSUB_SHARDNUMSUB:
        run_numsub(c, tc, CHANNEL_SHARD, r);
        break;
    case SUB_PUBSUB_NUMPAT:
        reply_int(r, (int64_t)channels_count(c->engine->pubsub->channels, CHANNEL_PATTERN));
        break;
    default:
        command_reply_help(r, command_by_id(CMD_PUBSUB));
        break;
    }
}

session_function pubsub_function(enum command_id id)
{
    if (pubsub_is_publish(id))
        return run_publish;
    if (is_subscribe(id) || is_unsubscribe(id))
        return run_subscribe;
    return id == CMD_PUBSUB ? run_pubsub : NULL;
}

/* ---- INFO and /metrics ---- */

size_t pubsub_clients(const struct engine *e)
{
    size_t n = 0;
    LIST_EACH(it, (struct list *)&e->clients)
    n += subscriber_count(&LIST_ITEM(it, struct client, node)->hears) > 0;
    return n;
}

void pubsub_collect(const struct engine *e, struct metrics_page *p)
{
    const struct channels *cs = e->pubsub->channels;
    page_put(p, METRIC_pubsub_names, "channels", (int64_t)channels_count(cs, CHANNEL_PLAIN));
    page_put(p, METRIC_pubsub_names, "patterns", (int64_t)channels_count(cs, CHANNEL_PATTERN));
    page_put(p, METRIC_shard_channels, NULL, (int64_t)channels_count(cs, CHANNEL_SHARD));
}

void pubsub_info(const struct engine *e, struct buf *out)
{
    const struct channels *cs = e->pubsub->channels;
    buf_printf(out, "pubsub_channels:%zu\r\npubsub_patterns:%zu\r\npubsubshard_channels:%zu\r\n",
               channels_count(cs, CHANNEL_PLAIN), channels_count(cs, CHANNEL_PATTERN),
               channels_count(cs, CHANNEL_SHARD));
}
