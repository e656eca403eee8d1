/* script_call: redis.call. Checks as Redis makes them, then a handler over the txn's keys. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "command/event.h"
#include "command/key_place.h"
#include "engine/more.h"
#include "engine/pubsub.h"
#include "engine/script.h"
#include "script/script.h"

enum {
    MAX_GUESSES = 256,
    GUESS_US = 5 * 1000,
    MAX_NOTED = 1 << 20, /* bytes of what is remembered of calls for statistics, and for MONITOR */
};

struct noted_call {
    uint16_t slot;
    bool failed;
};

void script_calls_begin(struct script_calls *s)
{
    s->noted.len = 0;
    s->monitor.len = 0;
    s->log.len = 0;
    s->published.len = 0;
}

void script_calls_release(struct script_calls *s)
{
    mem_free(s->keys);
    mem_free(s->guessed);
    buf_release(&s->noted);
    buf_release(&s->monitor);
    buf_release(&s->log);
    buf_release(&s->published);
}

/* ---- what is seen of it from outside, once it has ended ---- */

struct published {
    int command; /* of the txn */
    bool shard;
    size_t channel_len;
    size_t text_len;
};

size_t script_calls_publish(const struct script_calls *s, int command, size_t at)
{
    while (at < s->published.len) {
        struct published p;
        memcpy(&p, s->published.data + at, sizeof(p));
        if (p.command != command)
            break;
        at += sizeof(p);
        struct bytes channel = bytes_of(s->published.data + at, p.channel_len);
        at += p.channel_len;
        struct bytes text = bytes_of(s->published.data + at, p.text_len);
        if (p.shard)
            pubsub_publish_shard(s->txn->engine, channel, text);
        else
            pubsub_publish(s->txn->engine, channel, text);
        at += p.text_len;
    }
    return at;
}

static void write_log(const struct script_calls *s)
{
    static const enum log_level levels[] = {LOG_DEBUG, LOG_VERBOSE, LOG_NOTICE, LOG_WARNING};
    size_t at = 0;
    while (at < s->log.len) {
        int level;
        size_t len;
        char text[LOG_QUOTE_SIZE];
        char quoted[LOG_QUOTE_SIZE];
        memcpy(&level, s->log.data + at, sizeof(level));
        memcpy(&len, s->log.data + at + sizeof(level), sizeof(len));
        at += sizeof(level) + sizeof(len);
        snprintf(text, sizeof(text), "%.*s", len < sizeof(text) ? (int)len : (int)sizeof(text) - 1,
                 s->log.data + at);
        log_event(levels[level], "script", "text=%s", log_quote(text, quoted));
        at += len;
    }
}

void script_calls_note(struct script_calls *s)
{
    struct engine *e = s->txn->engine;
    for (size_t at = 0; at < s->noted.len; at += sizeof(struct noted_call)) {
        struct noted_call n;
        memcpy(&n, s->noted.data + at, sizeof(n));
        stats_note_call(e, stats_command(n.slot), 0);
        e->commands[n.slot].failed += n.failed;
    }
    if (s->monitor.len > 0)
        monitor_send(e, buf_bytes(&s->monitor));
    write_log(s);
}

static void note(struct script_calls *s, const struct command *cmd, const struct request *q,
                 bool failed)
{
    struct noted_call n = {(uint16_t)command_slot(cmd), failed};
    if (s->noted.len < MAX_NOTED)
        buf_append(&s->noted, &n, sizeof(n));
    if (!list_empty(&s->txn->engine->monitors) && s->monitor.len < MAX_NOTED &&
        (cmd->flags & (CF_SKIP_MONITOR | CF_ADMIN)) == 0)
        monitor_append(&s->monitor, s->db, "lua", cmd, q);
}

/* ---- checks ---- */

static const struct command *find(int argc, const struct bytes *argv)
{
    const struct command *c = command_find(argv[0]);
    if (c != NULL && (c->flags & CF_CONTAINER) != 0 && argc > 1)
        c = command_find_sub(c, argv[1]);
    return c;
}

/* What read-only scripts must not do, messages included. */
static bool has_effect(const struct command *cmd)
{
    return (cmd->flags & (CF_WRITE | CF_MAY_WRITE)) != 0 || pubsub_is_publish(cmd->id);
}

static const char *denied(const struct script_calls *s, const struct command *cmd,
                          const struct request *q)
{
    const struct client *c = s->txn->client;
    if (c == NULL || c->user->unrestricted)
        return NULL;
    switch (access_check_in_script(c, cmd, q)) {
    case ACL_ALLOWED:
        return NULL;
    case ACL_DENIED_COMMAND:
        return "ERR The user executing the script can't run this command or subcommand";
    case ACL_DENIED_KEY:
        return "ERR The user executing the script can't access at least one of the keys mentioned "
               "in "
               "the command arguments";
    case ACL_DENIED_CHANNEL:
        return "ERR The user executing the script can't publish to the channel mentioned in the "
               "command";
    }
    check_failed("verdict", __FILE__, __LINE__);
}

/* In Redis' order. */
static const char *refusal(const struct script_calls *s, const struct command *cmd,
                           const struct request *q)
{
    const struct engine *e = s->txn->engine;
    const char *error;
    if (cmd == NULL)
        return "ERR Unknown Redis command called from script";
    if (!command_arity_ok(cmd, q->argc))
        return "ERR Wrong number of args calling Redis command from script";
    if ((cmd->flags & CF_NOSCRIPT) != 0)
        return "ERR This Redis command is not allowed from script";
    if ((error = denied(s, cmd, q)) != NULL)
        return error;
    if (s->readonly && has_effect(cmd))
        return "ERR Write commands are not allowed from read-only scripts.";
    if ((cmd->flags & CF_DENYOOM) != 0 && !s->wrote && (s->flags & SCRIPT_ALLOW_OOM) == 0 &&
        engine_is_out_of_memory(e))
        return "OOM command not allowed when used memory > 'maxmemory'.";
    if ((cmd->flags & CF_QUERY) != 0)
        return "ERR Commands over the whole keyspace are not supported in scripts";
    return NULL;
}

/* ---- keys ---- */

static void make_room(struct script_calls *s, int n)
{
    if (n <= s->keys_cap)
        return;
    s->keys_cap = n * 2;
    s->keys = mem_realloc(s->keys, (size_t)s->keys_cap * sizeof(*s->keys));
    s->guessed = mem_realloc(s->guessed, (size_t)s->keys_cap * sizeof(*s->guessed));
}

enum keys { KEYS_FOUND, KEYS_MISSING, KEYS_WRONG };

/* The call's keys; those that are not loaded are asked for, and absent until the run is dropped. */
static enum keys find_keys(struct script_calls *s, const struct command *cmd,
                           const struct request *q, int *n)
{
    struct key_finder *f = more_finder(s->txn);
    int databases = s->txn->engine->config->databases;
    bool missing = false;
    *n = command_place_count(cmd, q->argc, q->argv, databases, s->db);
    make_room(s, *n);
    for (int i = 0; i < *n; i++) {
        struct key_place place = command_place(cmd, q->argc, q->argv, databases, s->db, i);
        struct bytes name = q->argv[place.arg];
        s->guessed[i] = (struct key){.db = place.db, .name = name};
        if (name.len > KEY_MAX_LEN)
            return KEYS_WRONG;
        s->keys[i] = f->find(f, place.db, name);
        if (s->keys[i] != NULL)
            continue;
        s->keys[i] = &s->guessed[i];
        missing = true;
    }
    return missing ? KEYS_MISSING : KEYS_FOUND;
}

/* The run will be dropped. It goes on for a while, to find out what else it needs: a loop over many
 * keys should not begin anew for each. */
static bool may_guess(struct script_calls *s)
{
    int64_t now = clock_mono_us();
    if (s->guesses++ == 0)
        s->guess_until_us = now + GUESS_US;
    return s->guesses <= MAX_GUESSES && now < s->guess_until_us;
}

/* ---- the call ---- */

static void run_handler(struct script_calls *s, const struct command *cmd, const struct request *q,
                        int n, struct reply *r)
{
    const struct config *c = s->txn->engine->config;
    struct txn_command judged = {.cmd = cmd, .request = (struct request *)q};
    if (s->txn->client != NULL)
        access_judge_patterns(s->txn->client, &judged);
    struct command_ctx ctx = {.cmd = cmd,
                              .argc = q->argc,
                              .argv = q->argv,
                              .now_ms = s->txn->now_ms,
                              .keys = s->keys,
                              .nkeys = n,
                              .db = s->db,
                              .databases = c->databases,
                              .more = more_finder(s->txn),
                              .reads_all_keys = judged.reads_all_keys,
                              .events = s->txn->events,
                              .lookups = &s->txn->lookups,
                              .max_value = (size_t)c->proto_max_bulk_len,
                              .reply = r};
    if (s->txn->events != NULL)
        events_begin_command(s->txn->events);
    lookups_begin_command(&s->txn->lookups);
    absence_ask(cmd, ctx.argc, ctx.argv, ctx.keys, n);
    cmd->handler(&ctx);
}

static bool call_data(struct script_calls *s, const struct command *cmd, const struct request *q,
                      struct reply *r)
{
    int n;
    enum keys keys = find_keys(s, cmd, q, &n);
    if (keys == KEYS_WRONG) {
        reply_error(r, KEY_TOO_LONG);
        return true;
    }
    if (keys == KEYS_MISSING && !may_guess(s))
        return false;
    s->wrote |= (cmd->flags & CF_WRITE) != 0;
    run_handler(s, cmd, q, n, r);
    for (int i = 0; i < n; i++)
        value_unref(s->guessed[i].value);
    return true;
}

/* Time stands still in a script, also if it runs again. */
static void call_time(const struct script_calls *s, struct reply *r)
{
    reply_array(r, 2);
    reply_bulk_int(r, s->txn->now_ms / 1000);
    reply_bulk_int(r, s->txn->now_ms % 1000 * 1000);
}

/* It goes out when the txn is done. */
static void call_publish(struct script_calls *s, const struct txn_command *tc, struct reply *r)
{
    const struct request *q = tc->request;
    struct published p = {s->command, tc->cmd->id == CMD_SPUBLISH, q->argv[1].len, q->argv[2].len};
    if (s->txn->client == NULL)
        return;
    session_run(s->txn->client, tc, r);
    if (r->is_error)
        return;
    buf_append(&s->published, &p, sizeof(p));
    buf_append_bytes(&s->published, q->argv[1]);
    buf_append_bytes(&s->published, q->argv[2]);
}

static void call_session(struct script_calls *s, const struct command *cmd, struct request *q,
                         struct reply *r)
{
    struct txn_command tc = {.cmd = cmd, .request = q, .db = s->db};
    const char *error;
    switch (cmd->id) {
    case CMD_SELECT:
        error = command_parse_db(q->argv[1], s->txn->engine->config->databases, &s->db);
        if (error != NULL)
            reply_error(r, error);
        else
            reply_ok(r);
        break;
    case CMD_TIME:
        call_time(s, r);
        break;
    case CMD_PUBLISH:
    case CMD_SPUBLISH:
        call_publish(s, &tc, r);
        break;
    default:
        if (s->txn->client != NULL)
            session_run(s->txn->client, &tc, r);
        break;
    }
}

bool script_call(struct script_calls *s, int argc, const struct bytes *argv, struct reply *r)
{
    const struct command *cmd = find(argc, argv);
    struct request q = {.argc = argc, .argv = (struct bytes *)argv};
    const char *error = refusal(s, cmd, &q);
    bool go_on = true;
    if (error != NULL) {
        if (cmd != NULL)
            s->txn->engine->commands[command_slot(cmd)].rejected++;
        reply_error(r, error);
        return true;
    }
    if (cmd->handler != NULL)
        go_on = call_data(s, cmd, &q, r);
    else
        call_session(s, cmd, &q, r);
    note(s, cmd, &q, r->is_error);
    return go_on;
}

int script_acl_check(struct script_calls *s, int argc, const struct bytes *argv)
{
    const struct command *cmd = find(argc, argv);
    struct request q = {.argc = argc, .argv = (struct bytes *)argv};
    if (cmd == NULL)
        return -1;
    if (!command_arity_ok(cmd, argc)) /* where its keys would be is not known */
        return s->txn->client == NULL || s->txn->client->user->unrestricted;
    return s->txn->client == NULL || access_allows(s->txn->client, cmd, &q);
}
