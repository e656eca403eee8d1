/* session: commands about the connection itself, and the table of all commands that belong to the
 * engine. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "engine/internal.h"

/* The Redis whose behaviour clients may expect. */
#define REDIS_VERSION "7.0.15"

/* ---- helpers ---- */

static bool name_ok(struct bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] < '!' || name.data[i] > '~')
            return false;
    }
    return true;
}

/* ---- connection ---- */

/* To a subscriber, in the form of a message. */
static void reply_pong_message(const struct txn_command *tc, struct reply *r)
{
    reply_array(r, 2);
    reply_bulk_cstr(r, "pong");
    reply_bulk(r, tc->request->argc == 2 ? tc->request->argv[1] : bytes_of("", 0));
}

static void run_ping(struct client *c, const struct txn_command *tc, struct reply *r)
{
    if (tc->request->argc > 2)
        command_reply_arity(r, tc->cmd);
    else if (c->proto == 2 && subscriber_count(&c->hears) > 0)
        reply_pong_message(tc, r);
    else if (tc->request->argc == 2)
        reply_bulk(r, tc->request->argv[1]);
    else
        reply_status(r, "PONG");
}

static void run_echo(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    reply_bulk(r, tc->request->argv[1]);
}

static void run_select(struct client *c, const struct txn_command *tc, struct reply *r)
{
    const char *error =
        command_parse_db(tc->request->argv[1], c->engine->config->databases, &c->db);
    if (error != NULL)
        reply_error(r, error);
    else
        reply_ok(r);
}

static void run_quit(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)tc;
    c->closing = true;
    reply_ok(r);
}

void session_auth(struct client *c, const struct txn_command *tc, struct reply *r)
{
    const struct bytes *argv = tc->request->argv;
    int argc = tc->request->argc;
    if (argc > 3) {
        reply_error(r, "ERR syntax error");
        return;
    }
    if (argc == 2 && engine_is_open(c->engine)) {
        reply_error(r, "ERR AUTH <password> called without any password configured for the default "
                       "user. Are you sure your configuration is correct?");
        return;
    }
    struct bytes name = argc == 3 ? argv[1] : BYTES_LIT("default");
    if (!access_authenticate(c, argv[0], name, argv[argc - 1])) {
        reply_error(r, "WRONGPASS invalid username-password pair or user is disabled.");
        return;
    }
    reply_ok(r);
}

static void reply_hello(struct client *c, struct reply *r)
{
    reply_map(r, 7);
    reply_bulk_cstr(r, "server");
    reply_bulk_cstr(r, "redis");
    reply_bulk_cstr(r, "version");
    reply_bulk_cstr(r, REDIS_VERSION);
    reply_bulk_cstr(r, "proto");
    reply_int(r, c->proto);
    reply_bulk_cstr(r, "id");
    reply_int(r, (int64_t)c->id);
    reply_bulk_cstr(r, "mode");
    reply_bulk_cstr(r, "standalone");
    reply_bulk_cstr(r, "role");
    reply_bulk_cstr(r, "master");
    reply_bulk_cstr(r, "modules");
    reply_array(r, 0);
}

static bool hello_version(const struct txn_command *tc, struct reply *r, int *proto)
{
    int64_t v;
    if (tc->request->argc < 2)
        return true;
    if (!num_int64(tc->request->argv[1], &v)) {
        reply_error(r, "ERR Protocol version is not an integer or out of range");
        return false;
    }
    if (v < 2 || v > 3) {
        reply_error(r, "NOPROTO unsupported protocol version");
        return false;
    }
    *proto = (int)v;
    return true;
}

void session_hello(struct client *c, const struct txn_command *tc, struct reply *r)
{
    const struct bytes *argv = tc->request->argv;
    int argc = tc->request->argc;
    int proto = c->proto;
    if (!hello_version(tc, r, &proto))
        return;
    for (int i = 2; i < argc; i++) {
        if (bytes_ieq(argv[i], "auth") && i + 2 < argc) {
            if (!access_authenticate(c, argv[0], argv[i + 1], argv[i + 2])) {
                reply_error(r, "WRONGPASS invalid username-password pair or user is disabled.");
                return;
            }
            i += 2;
        } else if (bytes_ieq(argv[i], "setname") && i + 1 < argc) {
            if (!name_ok(argv[++i])) {
                reply_error(r, "ERR Client names cannot contain spaces, newlines or special characters.");
                return;
            }
            client_set_text(&c->name, argv[i]);
        } else {
            reply_errorf(r, "ERR Syntax error in HELLO option '%.*s'", (int)argv[i].len,
                         argv[i].data);
            return;
        }
    }
    if (!client_authenticated(c)) {
        reply_error(r, "NOAUTH HELLO must be called with the client already authenticated, "
                       "otherwise the HELLO AUTH <user> <pass> option can be used to "
                       "authenticate the client and select the RESP protocol version at the same "
                       "time");
        return;
    }
    c->proto = proto;
    r->proto = proto;
    reply_hello(c, r);
}

static void run_unwatch(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)tc;
    client_unwatch(c);
    reply_ok(r);
}

/* What RESET does at once, so that what follows it is read in the new state. The watches, which the
 * commands before it may still add to, go when its turn comes. */
void session_reset(struct client *c)
{
    list_remove(&c->monitor_node);
    c->monitor = false;
    c->db = 0;
    c->proto = 2;
    c->reply_off = false;
    c->reply_skip_next = false;
    c->no_evict = false;
    pubsub_leave(c);
    access_begin(c);
    client_set_text(&c->name, BYTES_LIT(""));
}

static void run_reset(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)tc;
    client_unwatch(c);
    reply_status(r, "RESET");
}

static void run_time(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)tc;
    int64_t us = c->engine->store->ops->now_us(c->engine->store);
    reply_array(r, 2);
    reply_bulk_int(r, us / 1000000);
    reply_bulk_int(r, us % 1000000);
}

static void run_command(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    command_command(tc->request->argc, tc->request->argv, r);
}

static void run_monitor(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)tc;
    if (c->in_exec) {
        reply_error(r, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (!c->monitor)
        list_push_back(&c->engine->monitors, &c->monitor_node);
    c->monitor = true;
    reply_ok(r);
}

/* ---- the table ---- */

static const session_function functions[COMMAND_COUNT] = {
    [CMD_PING] = run_ping,         [CMD_ECHO] = run_echo,         [CMD_SELECT] = run_select,
    [CMD_QUIT] = run_quit,         [CMD_AUTH] = session_auth,     [CMD_HELLO] = session_hello,
    [CMD_UNWATCH] = run_unwatch,   [CMD_DISCARD] = run_unwatch,   [CMD_RESET] = run_reset,
    [CMD_TIME] = run_time,         [CMD_COMMAND] = run_command,   [CMD_MONITOR] = run_monitor,
    [CMD_CLIENT] = session_client, [CMD_INFO] = session_info,     [CMD_CONFIG] = session_config,
    [CMD_SLOWLOG] = session_slowlog, [CMD_SCRIPT] = session_script, [CMD_ACL] = session_acl,
};

void session_run(struct client *c, const struct txn_command *tc, struct reply *r)
{
    session_function function = functions[tc->cmd->id];
    if (function == NULL)
        function = pubsub_function(tc->cmd->id);
    if (function == NULL)
        function = session_server_function(tc->cmd->id);
    CHECK(function != NULL);
    function(c, tc, r);
}

/* ---- in a transaction ---- */

/* Those that a block may carry out and then run again, or never: nobody is told and nothing is
 * changed by them. A PUBLISH goes out when the block is done. Of CLIENT, CONFIG and so on some
 * subcommands only look; they are rare in blocks. */
static const bool harmless[COMMAND_COUNT] = {
    [CMD_PING] = true,      [CMD_ECHO] = true,     [CMD_TIME] = true,   [CMD_COMMAND] = true,
    [CMD_INFO] = true,      [CMD_LASTSAVE] = true, [CMD_ROLE] = true,   [CMD_WAIT] = true,
    [CMD_PUBLISH] = true,   [CMD_SPUBLISH] = true, [CMD_PUBSUB] = true, [CMD_UNWATCH] = true,
    [CMD_LOLWUT] = true,    [CMD_MODULE] = true,   [CMD_OBJECT] = true, [CMD_READONLY] = true,
    [CMD_READWRITE] = true, [CMD_ASKING] = true,
};

bool session_has_effect(const struct command *cmd)
{
    return cmd->handler == NULL && (cmd->flags & CF_QUERY) == 0 && !command_is_eval(cmd) &&
           !harmless[cmd->id];
}

/* What the commands of a block may change of their connection; it is put back if the block is not
 * carried out. */
struct session_state {
    int db;
    int proto;
    bool reply_off;
    bool reply_skip_next;
    bool no_evict;
    char *name;
    char *lib_name;
    char *lib_version;
};

static void keep_state(struct txn *t)
{
    const struct client *c = t->client;
    struct session_state *s = mem_zalloc(sizeof(*s));
    *s = (struct session_state){c->db,
                                c->proto,
                                c->reply_off,
                                c->reply_skip_next,
                                c->no_evict,
                                mem_strdup(c->name),
                                mem_strdup(c->lib_name),
                                mem_strdup(c->lib_version)};
    t->session_before = s;
}

void session_forget(struct txn *t)
{
    struct session_state *s = t->session_before;
    if (s == NULL)
        return;
    mem_free(s->name);
    mem_free(s->lib_name);
    mem_free(s->lib_version);
    mem_free(s);
    t->session_before = NULL;
}

void session_put_back(struct txn *t)
{
    const struct session_state *s = t->session_before;
    struct client *c = t->client;
    if (s == NULL || c == NULL)
        return;
    c->db = s->db;
    c->proto = s->proto;
    c->reply_off = s->reply_off;
    c->reply_skip_next = s->reply_skip_next;
    c->no_evict = s->no_evict;
    client_set_text(&c->name, bytes_of(s->name, strlen(s->name)));
    client_set_text(&c->lib_name, bytes_of(s->lib_name, strlen(s->lib_name)));
    client_set_text(&c->lib_version, bytes_of(s->lib_version, strlen(s->lib_version)));
    session_forget(t);
}

static struct said *said_new(struct bytes reply, const struct reply *r)
{
    struct said *said = mem_zalloc(sizeof(*said));
    buf_init(&said->reply);
    buf_append_bytes(&said->reply, reply);
    said->proto = r->proto;
    said->is_error = r->is_error;
    return said;
}

void said_free(struct said *said)
{
    if (said == NULL)
        return;
    buf_release(&said->reply);
    mem_free(said);
}

void session_run_in(struct txn *t, struct txn_command *tc, struct reply *r)
{
    size_t at = r->out->len;
    if (tc->said != NULL) {
        buf_append_bytes(r->out, buf_bytes(&tc->said->reply));
        r->proto = tc->said->proto;
        r->is_error = tc->said->is_error;
        return;
    }
    if (t->client == NULL)
        return;
    if (t->exec && t->session_before == NULL && session_has_effect(tc->cmd))
        keep_state(t);
    t->client->in_exec = t->exec;
    session_run(t->client, tc, r);
    t->client->in_exec = false;
    if (t->exec)
        tc->said = said_new(bytes_of(r->out->data + at, r->out->len - at), r);
}
