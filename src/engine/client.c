/* client: takes requests in order, starts their txns when their turn has come, and sends the replies
 * in the order of the requests. */
#include "engine/client.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "command/key_place.h"
#include "engine/block.h"
#include "engine/internal.h"
#include "engine/pubsub.h"
#include "engine/script.h"

enum {
    MAX_OWED = 1 << 20,        /* bytes of replies made and not yet written; then nothing starts */
    FETCHING_CROWD = 1024,     /* reads under way, of all clients; from there on */
    FETCHING_SHARE = 64,       /* one client has no more than these */
    UNKNOWN_REPLY = 16 * 1024, /* what a value that is not here may be thought to have */
};

static const char error_noauth[] = "NOAUTH Authentication required.";

/* ---- life ---- */

struct client *client_new(struct engine *e, const struct client_io *io, void *io_arg,
                          const struct client_info *info)
{
    struct client *c = mem_zalloc(sizeof(*c));
    c->engine = e;
    c->io = io;
    c->io_arg = io_arg;
    c->info = *info;
    c->id = ++e->next_client_id;
    c->proto = 2;
    access_begin(c);
    c->name = mem_strdup("");
    c->lib_name = mem_strdup("");
    c->lib_version = mem_strdup("");
    c->created_us = c->active_us = loop_now_us(e->loop);
    c->last_command = "NULL";
    list_init(&c->txns);
    list_init(&c->queue);
    list_init(&c->monitor_node);
    list_init(&c->pump_node);
    subscriber_init(&c->hears);
    list_push_back(&e->clients, &c->node);
    e->nclients++;
    e->total_connections++;
    return c;
}

void client_set_text(char **field, struct bytes s)
{
    mem_free(*field);
    *field = mem_strndup(s.data, s.len);
}

void client_unwatch(struct client *c)
{
    for (int i = 0; i < c->nwatches; i++)
        mem_free(c->watches[i].key);
    mem_free(c->watches);
    c->watches = NULL;
    c->nwatches = 0;
}

void client_discard_multi(struct client *c)
{
    for (int i = 0; i < c->nqueued; i++)
        request_free(c->queued[i].request);
    mem_free(c->queued);
    c->queued = NULL;
    c->nqueued = 0;
    c->queued_cap = 0;
    c->queued_memory = 0;
    c->multi = false;
    c->multi_failed = false;
}

/* ---- requests that wait to be read ---- */

static void hold(struct client *c, struct request *request)
{
    if (c->nheld == c->held_cap) {
        c->held_cap = c->held_cap ? c->held_cap * 2 : 16;
        c->held = mem_realloc(c->held, (size_t)c->held_cap * sizeof(struct request *));
    }
    c->held[c->nheld++] = request;
    c->held_memory += request->memory;
}

static void drop_held(struct client *c)
{
    for (int i = 0; i < c->nheld; i++)
        request_free(c->held[i]);
    mem_free(c->held);
    c->held = NULL;
    c->nheld = 0;
    c->held_cap = 0;
    c->held_memory = 0;
    mem_free(c->held_error);
    c->held_error = NULL;
}

void client_free(struct client *c)
{
    CHECK(list_empty(&c->txns));
    pubsub_leave(c);
    client_unwatch(c);
    client_discard_multi(c);
    drop_held(c);
    list_remove(&c->node);
    list_remove(&c->monitor_node);
    list_remove(&c->pump_node);
    mem_free(c->name);
    mem_free(c->lib_name);
    mem_free(c->lib_version);
    buf_release(&c->out);
    mem_free(c);
}

/* What was sent before the connection went is still carried out, as Redis does. */
void client_closed(struct client *c)
{
    struct engine *e = c->engine;
    c->closed = true;
    c->io = NULL;
    e->nclients--;
    list_remove(&c->monitor_node);
    list_remove(&c->node);
    list_push_back(&e->closing, &c->node);
    if (c->paused || c->blocked != NULL) /* a pause is no reason to do it later */
        drop_held(c);
    block_client_gone(c);
    client_discard_multi(c);
    pubsub_leave(c);
    /* Nobody reads any more: nothing waits for room. */
    buf_release(&c->out);
    c->output_full = false;
    client_flush(c);
    client_pump_later(c);
}

/* What it waits for is not given to it from now on, though its connection is closed later in this turn. */
void client_kill(struct client *c)
{
    c->closing = true;
    if (c->io != NULL)
        c->io->close(c->io_arg, true);
    block_client_gone(c);
}

/* ---- replies ---- */

/* Takes what a txn has to say; false if there is no memory. A large reply is handed on as it is. */
static bool take_reply(struct client *c, struct txn *t)
{
    enum { LARGE_REPLY = 64 * 1024 };
    if (c->out.len == 0 && t->reply.len >= LARGE_REPLY) {
        struct buf empty = c->out;
        c->out = t->reply;
        t->reply = empty;
        return true;
    }
    if (!buf_try_reserve(&c->out, t->reply.len))
        return false;
    buf_append_bytes(&c->out, buf_bytes(&t->reply));
    return true;
}

void client_flush(struct client *c)
{
    bool wrote = false;
    bool close = false;
    bool failed = false;
    while (!list_empty(&c->txns)) {
        struct txn *t = LIST_ITEM(c->txns.next, struct txn, client_node);
        if (t->state != TXN_DONE)
            break;
        if (!c->closed && !t->silent && !failed) {
            failed = !take_reply(c, t);
            if (failed)
                log_event(LOG_WARNING, "client-out-of-memory", "peer=%s reply=%zu", c->info.peer,
                          t->reply.len);
            wrote = true;
        }
        close |= t->close_after;
        txn_free(t);
    }
    if (c->closed)
        return;
    if (failed)
        client_kill(c);
    if (wrote) {
        /* Whoever waited for this was not idle; who looks before it is sent is to know that. */
        client_note_activity(c);
        c->io->output(c->io_arg);
    }
    if (close) {
        c->closing = true;
        c->io->close(c->io_arg, false);
    } else {
        c->io->resume(c->io_arg);
    }
}

/* ---- starting ---- */

void client_pump_later(struct client *c)
{
    if (!list_empty(&c->queue) && list_empty(&c->pump_node))
        list_push_back(&c->engine->pumping, &c->pump_node);
}

/* About what a read of this value is answered: of a collection, those commands that are O(1) take as
 * many elements as they have arguments. */
static size_t expected_of(const struct txn *t, const struct value *v)
{
    if (v == NULL)
        return 0;
    size_t size = value_size(v);
    const struct txn_command *tc = &t->commands[0];
    if (!value_is_collection(v) || t->ncommands != 1 || (tc->cmd->flags & CF_FAST) == 0)
        return size;
    size_t elements = value_count(v);
    size_t some = size / (elements > 0 ? elements : 1) * (size_t)tc->request->argc;
    return some < size ? some : size;
}

void client_expect(struct client *c, struct txn *t)
{
    if (!t->readonly)
        return;
    for (int i = 0; i < t->nkeys; i++) {
        const struct entry *entry = t->keys[i].entry;
        const struct item *item = entry->work->item;
        t->expected_bytes += 64;
        if (item != NULL && item->op != COMMIT_CHECK)
            t->expected_bytes += expected_of(t, item->value);
        else if (entry->knowledge == ENTRY_LIVE)
            t->expected_bytes += expected_of(t, entry->value);
        else if (entry->knowledge == ENTRY_UNKNOWN)
            t->expected_bytes += UNKNOWN_REPLY;
    }
    c->expected_bytes += t->expected_bytes;
}

/* A client that asks and does not read must not make us hold its replies. */
static bool has_room(struct client *c)
{
    c->output_full = c->out.len >= MAX_OWED;
    if (c->active == 0)
        return !c->output_full;
    return c->out.len + c->expected_bytes < MAX_OWED;
}

void client_wrote(struct client *c)
{
    if (!c->output_full || c->out.len >= MAX_OWED)
        return;
    c->output_full = false;
    /* The wait was not PostgreSQL's doing. */
    LIST_EACH(it, &c->queue)
    LIST_ITEM(it, struct txn, work_node)->arrived_us = loop_now_us(c->engine->loop);
    client_pump_later(c);
}

static void build(struct txn *t)
{
    struct client *c = t->client;
    if (t->built)
        return;
    t->built = true;
    if (t->exec) {
        txn_build_keys(t, c->watches, c->nwatches);
        client_unwatch(c);
    } else {
        txn_build_keys(t, NULL, 0);
    }
}

static void take_held(struct client *c);

static bool has_held(const struct client *c)
{
    return c->nheld > 0 || c->held_error != NULL;
}

/* Its own wait for PostgreSQL begins where its client's earlier commands have ended; running again
 * does not begin it anew. */
static void begin_wait(struct txn *t)
{
    if (!t->begun)
        t->arrived_us = loop_now_us(t->engine->loop);
    t->begun = true;
}

void client_count_fetching(struct client *c, int change)
{
    c->fetching += change;
    c->engine->fetching += change;
}

/* A read batch is answered as a whole: one client's pipeline must not make it long for the others. */
static bool has_its_share(const struct client *c)
{
    return c->fetching >= FETCHING_SHARE && c->engine->fetching >= FETCHING_CROWD;
}

/* Starts as many queued txns as may start now. */
static void pump(struct client *c)
{
    while (!list_empty(&c->queue)) {
        struct txn *t = LIST_ITEM(c->queue.next, struct txn, work_node);
        if (!has_room(c) || has_its_share(c) || (c->active > 0 && (t->exec || t->is_query)) ||
            script_waits(t))
            return;
        if (c->active == 0 && pubsub_waits(t))
            return;
        if (t->is_query) {
            list_remove(&t->work_node);
            if (!query_start(t))
                txn_done(t);
            continue;
        }
        build(t);
        if (c->active == 0) {
            c->asks_again = false;
            list_remove(&t->work_node);
            begin_wait(t);
            txn_start(t);
        } else {
            /* A txn that joins takes the node for its own list. */
            list_remove(&t->work_node);
            if (!txn_join_now(t)) {
                list_push_front(&c->queue, &t->work_node);
                return;
            }
            begin_wait(t);
        }
    }
}

void engine_pump_clients(struct engine *e)
{
    if (e->pumping_now)
        return;
    e->pumping_now = true;
    /* Clients first: a txn that has to run again is older than those that wait in the queues. */
    while (!list_empty(&e->pumping) || !list_empty(&e->wake)) {
        if (list_empty(&e->pumping)) {
            engine_wake(e);
            continue;
        }
        struct client *c = LIST_ITEM(e->pumping.next, struct client, pump_node);
        list_remove(&c->pump_node);
        if (has_held(c) && !c->stalled && !c->paused)
            take_held(c);
        pump(c);
    }
    e->pumping_now = false;
}

/* ---- requests ---- */

static void done_now(struct txn *t)
{
    struct client *c = t->client;
    if (reply_is_error(&t->reply))
        stats_note_error(t->engine, buf_bytes(&t->reply));
    list_remove(&t->age_node);
    txn_set_state(t, TXN_DONE);
    client_flush(c);
}

void client_end_held(struct txn *t)
{
    done_now(t);
}

static void end_with_error(struct txn *t, const char *error)
{
    struct reply r;
    txn_reply_init(t, &r);
    reply_error(&r, error);
    done_now(t);
}

static void queue_txn(struct txn *t)
{
    struct client *c = t->client;
    list_push_back(&c->queue, &t->work_node);
    if (c->queue.next == &t->work_node) {
        list_remove(&c->pump_node);
        pump(c);
    }
}

void client_run_later(struct client *c, const struct command *cmd, struct request *request)
{
    struct txn *t = txn_new(c, request);
    t->single.cmd = cmd;
    list_push_back(&c->queue, &t->work_node);
    client_pump_later(c);
}

static bool keys_fit(const struct command *cmd, const struct request *r)
{
    int n = command_key_count(cmd, r->argc, r->argv);
    for (int i = 0; i < n; i++) {
        if (r->argv[command_key_at(cmd, r->argc, r->argv, i)].len > KEY_MAX_LEN)
            return false;
    }
    return true;
}

/* Commands whose effect on the client must come in its order, though they touch no key. */
static bool runs_in_order(enum command_id id)
{
    return id == CMD_UNWATCH || id == CMD_DISCARD || id == CMD_RESET;
}

static void start_multi(struct txn *t)
{
    struct client *c = t->client;
    struct reply r;
    txn_reply_init(t, &r);
    if (c->multi) {
        reply_error(&r, "ERR MULTI calls can not be nested");
    } else {
        c->multi = true;
        c->multi_db = c->db;
        reply_ok(&r);
    }
    done_now(t);
}

/* A script's commands, and the keys that SORT's patterns name, are judged when they are known. */
static bool asks_rights(const struct command *cmd)
{
    return command_is_eval(cmd) || cmd->id == CMD_SORT || cmd->id == CMD_SORT_RO;
}

static void note_asks_rights(struct txn *t, bool asks)
{
    t->asks_rights = asks;
    t->client->asking += asks;
}

void client_rights_asked(struct txn *t)
{
    if (t->client != NULL)
        t->client->asking -= t->asks_rights;
    t->asks_rights = false;
}

/* Does the block need a transaction of its own; may it change how what follows is to be read? */
static void note_block(struct txn *t)
{
    bool asks = false;
    for (int i = 0; i < t->ncommands; i++) {
        const struct command *cmd = t->commands[i].cmd;
        t->exclusive |= (cmd->flags & CF_QUERY) != 0;
        asks |= asks_rights(cmd);
        t->stalls |= cmd->id == CMD_SELECT || cmd->id == CMD_HELLO || cmd->id == CMD_AUTH ||
                     cmd->id == CMD_ACL || cmd->id == CMD_CLIENT || cmd->id == CMD_MONITOR;
    }
    note_asks_rights(t, asks);
    pubsub_admit_block(t);
    t->client->stalled |= t->stalls;
}

/* The queued commands become one txn. */
static void start_exec(struct txn *t)
{
    struct client *c = t->client;
    for (int i = 0; i < c->nqueued && !c->multi_failed; i++)
        monitor_feed(c, &c->queued[i]);
    monitor_feed(c, &t->single);
    if (!c->multi) {
        end_with_error(t, "ERR EXEC without MULTI");
        return;
    }
    if (c->multi_failed) {
        client_discard_multi(c);
        t->exec_abort = true; /* in order with the WATCH before it, which it ends */
        queue_txn(t);
        return;
    }
    request_free(t->single.request);
    t->single.request = NULL;
    t->commands = c->queued;
    t->ncommands = c->nqueued;
    t->exec = true;
    note_block(t);
    t->memory += c->queued_memory;
    c->pending_memory += c->queued_memory;
    c->queued = NULL;
    c->nqueued = 0;
    if (t->ncommands == 0)
        t->commands = &t->single;
    access_judge_block(t);
    client_discard_multi(c);
    script_look_up(t);
    queue_txn(t);
}

/* Queues the command of a MULTI block; its request moves from the txn to the client. */
static void queue_in_multi(struct txn *t, const struct command *cmd)
{
    struct client *c = t->client;
    struct reply r;
    txn_reply_init(t, &r);
    if (c->nqueued == c->queued_cap) {
        c->queued_cap = c->queued_cap ? c->queued_cap * 2 : 8;
        c->queued = mem_realloc(c->queued, (size_t)c->queued_cap * sizeof(*c->queued));
    }
    struct request *request = t->single.request;
    c->queued[c->nqueued++] =
        (struct txn_command){.cmd = cmd, .request = request, .db = c->multi_db};
    c->queued_memory += request->memory;
    t->single.request = NULL;
    t->ncommands = 0;
    int db;
    if (cmd->id == CMD_SELECT &&
        command_parse_db(request->argv[1], c->engine->config->databases, &db) == NULL)
        c->multi_db = db;
    reply_status(&r, "QUEUED");
    done_now(t);
}

static void abort_exec(struct txn *t);

static void refuse(struct txn *t, const struct command *cmd, const char *error)
{
    t->engine->commands[command_slot(cmd)].rejected++;
    if (cmd->id == CMD_EXEC) {
        struct reply r;
        txn_reply_init(t, &r);
        reply_errorf(&r, "EXECABORT Transaction discarded because of: %s", error);
        abort_exec(t);
        return;
    }
    if (t->client->multi)
        t->client->multi_failed = true;
    end_with_error(t, error);
}

static void refuse_to_subscriber(struct txn *t, const struct command *cmd)
{
    char text[200];
    /* EXEC's own error has no code in it, as in Redis. */
    snprintf(text, sizeof(text), "%sCan't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
             "QUIT / RESET are allowed in this context", cmd->id == CMD_EXEC ? "" : "ERR ", cmd->name);
    refuse(t, cmd, text);
}

static void run_session_now(struct txn *t)
{
    struct client *c = t->client;
    struct reply r;
    txn_reply_init(t, &r);
    c->hold_reply = false; /* of a block it says nothing */
    session_run(c, &t->single, &r);
    if (t->single.cmd->sub == SUB_CLIENT_REPLY)
        t->silent = c->reply_off || c->reply_skip_next;
    stats_note_call(c->engine, t->single.cmd, 0);
    c->engine->commands[command_slot(t->single.cmd)].failed += r.is_error;
    t->close_after = c->closing;
    if (c->hold_reply)
        pause_hold_reply(t);
    else
        done_now(t);
    c->hold_reply = false;
}

/* Within MULTI these are carried out at once. */
static bool breaks_multi(enum command_id id)
{
    return id == CMD_EXEC || id == CMD_DISCARD || id == CMD_MULTI || id == CMD_WATCH ||
           id == CMD_QUIT || id == CMD_RESET;
}

/* What the configuration has to allow first, in Redis' words. */
static bool is_forbidden(const struct client *c, const struct command *cmd, const char **error)
{
    int debug = c->engine->config->enable_debug_command;
    bool debug_allowed = debug == PROTECTED_YES || (debug == PROTECTED_LOCAL && c->info.loopback);
#define NOT_ALLOWED(name, option)                                                                  \
    "ERR " name " command not allowed. If the " option " option is set to \"local\", you can run it "  \
    "from a local connection, otherwise you need to set this option in the configuration file, and " \
    "then restart the server."
    *error = NULL;
    if (cmd->id == CMD_DEBUG && !debug_allowed)
        *error = NOT_ALLOWED("DEBUG", "enable-debug-command");
    else if (cmd->sub == SUB_MODULE_LOAD || cmd->sub == SUB_MODULE_LOADEX ||
             cmd->sub == SUB_MODULE_UNLOAD)
        *error = NOT_ALLOWED("MODULE", "enable-module-command");
#undef NOT_ALLOWED
    return *error != NULL;
}

/* DEBUG SLEEP is the server's, unlike the rest of DEBUG. */
static bool is_sleep(const struct txn_command *tc)
{
    const struct request *r = tc->request;
    return tc->cmd->id == CMD_DEBUG && r->argc == 3 && bytes_ieq(r->argv[1], "sleep");
}

static void dispatch(struct txn *t, const struct command *cmd)
{
    struct client *c = t->client;
    t->single.cmd = cmd;
    if (c->multi && !breaks_multi(cmd->id)) {
        queue_in_multi(t, cmd);
        return;
    }
    if (cmd->id != CMD_EXEC)
        monitor_feed(c, &t->single);
    if (cmd->id == CMD_MULTI) {
        start_multi(t);
    } else if (cmd->id == CMD_EXEC) {
        start_exec(t);
    } else if (cmd->id == CMD_WATCH && c->multi) {
        end_with_error(t, "ERR WATCH inside MULTI is not allowed");
    } else if (cmd->id == CMD_DISCARD && !c->multi) {
        end_with_error(t, "ERR DISCARD without MULTI");
    } else if (is_sleep(&t->single)) {
        run_session_now(t);
    } else if (cmd->handler != NULL || cmd->id == CMD_WATCH || runs_in_order(cmd->id) ||
               command_is_eval(cmd)) {
        if (runs_in_order(cmd->id))
            client_discard_multi(c);
        if (cmd->id == CMD_RESET) {
            session_reset(c);
            t->proto = c->proto;
            t->silent = false;
        }
        t->is_watch = cmd->id == CMD_WATCH;
        script_look_up(t);
        note_asks_rights(t, asks_rights(cmd));
        t->stalls = command_waits(cmd); /* what follows it is not looked at until it has ended */
        c->stalled |= t->stalls;
        queue_txn(t);
    } else if (pubsub_takes_turn(&t->single)) {
        pubsub_admit(t);
        queue_txn(t);
    } else if (command_is_query(&t->single)) {
        t->is_query = true;
        queue_txn(t);
    } else {
        run_session_now(t);
    }
}

/* A browser was made to talk to us: cross-protocol scripting. Redis closes, too. */
static bool is_http(const struct request *r)
{
    return bytes_ieq(r->argv[0], "post") || bytes_ieq(r->argv[0], "host:");
}

static void close_for_http(struct txn *t)
{
    log_event(LOG_WARNING, "http-request-refused", "peer=%s", t->client->info.peer);
    t->silent = true;
    client_kill(t->client);
    done_now(t);
}

/* EXEC with arguments, or refused: Redis gives the block up, with its watches. */
static void abort_exec(struct txn *t)
{
    client_discard_multi(t->client);
    request_free(t->single.request);
    t->single.request = NULL;
    t->exec_abort = true;
    t->ncommands = 0;
    buf_append_bytes(&t->rows, buf_bytes(&t->reply));
    queue_txn(t);
}

void client_take_held_later(struct client *c)
{
    if (has_held(c) && list_empty(&c->pump_node))
        list_push_back(&c->engine->pumping, &c->pump_node);
}

void client_unstall(struct client *c)
{
    c->stalled = false;
    client_take_held_later(c);
}

static void take(struct client *c, struct request *request);

static void take_held(struct client *c)
{
    struct request **held = c->held;
    int n = c->nheld;
    c->held = NULL;
    c->nheld = 0;
    c->held_cap = 0;
    c->held_memory = 0;
    for (int i = 0; i < n; i++) {
        if (c->closing)
            request_free(held[i]);
        else
            take(c, held[i]); /* holds it again if another one stalls */
    }
    mem_free(held);
    if (!c->stalled && !c->paused && c->held_error != NULL) {
        char *error = c->held_error;
        c->held_error = NULL;
        client_protocol_error(c, error);
        mem_free(error);
    }
}

void client_submit(struct client *c, struct request *request)
{
    if (c->closing || c->closed)
        request_free(request);
    else
        take(c, request);
}

static bool changes_rights(const struct request *r)
{
    static const char *const names[] = {"auth", "hello", "reset", "acl"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (bytes_ieq(r->argv[0], names[i]))
            return true;
    }
    return false;
}

/* What is judged while it runs is judged by what its client was when it came: what could change that waits
 * behind it. */
static bool rights_are_asked(struct client *c, const struct request *request)
{
    if (c->asking == 0 || !changes_rights(request))
        return false;
    struct list *at = c->txns.prev;
    while (!LIST_ITEM(at, struct txn, client_node)->asks_rights) {
        at = at->prev;
        CHECK(at != &c->txns);
    }
    LIST_ITEM(at, struct txn, client_node)->stalls = c->stalled = true;
    return true;
}

/* Redis takes a monitor for a replica. */
static bool is_for_no_monitor(const struct client *c, const struct command *cmd)
{
    return c->monitor && ((cmd->flags & (CF_WRITE | CF_READONLY | CF_MAY_WRITE)) != 0 ||
                          pubsub_is_publish(cmd->id));
}

static void take(struct client *c, struct request *request)
{
    struct engine *e = c->engine;
    struct reply r;
    const char *forbidden;
    if (c->stalled || pause_holds(c, request) || rights_are_asked(c, request)) {
        hold(c, request);
        return;
    }
    client_note_activity(c);
    e->total_commands++;
    struct txn *t = txn_new(c, request);
    t->silent = c->reply_off || c->reply_skip_next;
    c->reply_skip_next = false;
    txn_reply_init(t, &r);
    if (is_http(request)) {
        close_for_http(t);
        return;
    }
    const struct command *cmd = command_lookup_or_reply(request->argc, request->argv, &r);
    if (cmd == NULL) {
        if (bytes_ieq(request->argv[0], "exec")) {
            abort_exec(t);
            return;
        }
        if (c->multi)
            c->multi_failed = true;
        done_now(t);
        return;
    }
    c->last_command = cmd->name;
    const char *refusal;
    if (is_forbidden(c, cmd, &forbidden))
        refuse(t, cmd, forbidden);
    else if (!client_authenticated(c) && !(cmd->flags & CF_NO_AUTH))
        refuse(t, cmd, error_noauth);
    else if (c->multi && (cmd->flags & CF_NO_MULTI))
        refuse(t, cmd, "ERR Command not allowed inside a transaction");
    else if (!c->user->unrestricted && (refusal = access_refusal(c, cmd, request)) != NULL)
        refuse(t, cmd, refusal);
    else if (store_state(e->store) == STORE_STARTING && !(cmd->flags & CF_LOADING))
        refuse(t, cmd, engine_error_starting());
    else if (!(cmd->flags & CF_ALLOW_BUSY) && (refusal = scripts_busy(c)) != NULL)
        refuse(t, cmd, refusal);
    else if (pubsub_refuses(c, cmd->id))
        refuse_to_subscriber(t, cmd);
    else if (is_for_no_monitor(c, cmd))
        refuse(t, cmd, "ERR Replica can't interact with the keyspace");
    else if (!keys_fit(cmd, request))
        refuse(t, cmd, KEY_TOO_LONG);
    else
        dispatch(t, cmd);
}

void client_protocol_error(struct client *c, const char *text)
{
    if (c->closing || c->closed)
        return;
    if (c->stalled || c->paused) { /* what was sent before it comes first */
        c->held_error = mem_strdup(text);
        return;
    }
    struct txn *t = txn_new(c, NULL);
    t->ncommands = 0;
    t->close_after = true;
    end_with_error(t, text);
}

void client_input_over(struct client *c)
{
    c->input_over = true;
    if (c->blocked != NULL)
        drop_held(c);
    block_client_gone(c);
}

/* ---- for net ---- */

struct buf *client_out(struct client *c)
{
    return &c->out;
}

size_t client_pending(const struct client *c)
{
    return c->pending + (size_t)c->nheld;
}

size_t client_pending_memory(const struct client *c)
{
    return c->pending_memory + c->held_memory;
}

size_t client_queued_memory(const struct client *c)
{
    return c->queued_memory;
}

void client_note_activity(struct client *c)
{
    c->active_us = loop_now_us(c->engine->loop);
}

int64_t client_last_active_us(const struct client *c)
{
    return c->active_us;
}

bool client_may_idle_out(const struct client *c)
{
    return client_pending(c) == 0 && !has_held(c) && !c->monitor && subscriber_count(&c->hears) == 0;
}

enum output_class client_output_class(const struct client *c)
{
    return subscriber_count(&c->hears) > 0 ? OUTPUT_PUBSUB : OUTPUT_NORMAL;
}

void client_set_query_memory(struct client *c, size_t bytes)
{
    c->query_memory = bytes;
}
