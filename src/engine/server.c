/* server: CONFIG, SLOWLOG and MONITOR. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "engine/internal.h"
#include "metrics/metrics.h"

/* ---- CONFIG ---- */

struct config_answer {
    struct buf names;
    size_t n;
    struct reply reply;
};

static void add_option(void *arg, const char *name, const char *value)
{
    struct config_answer *a = arg;
    reply_bulk_cstr(&a->reply, name);
    reply_bulk_cstr(&a->reply, value);
    a->n++;
}

static void config_get(struct client *c, const struct txn_command *tc, struct reply *r)
{
    struct config_answer a;
    buf_init(&a.names);
    a.n = 0;
    a.reply = (struct reply){&a.names, r->proto, false};
    config_each_matching(c->engine->config_store, tc->request->argc - 2, tc->request->argv + 2,
                         add_option, &a);
    reply_map(r, a.n);
    buf_append_bytes(r->out, buf_bytes(&a.names));
    buf_release(&a.names);
}

static void config_set_many(struct client *c, const struct txn_command *tc, struct reply *r)
{
    int n = (tc->request->argc - 2) / 2;
    const struct bytes *argv = tc->request->argv + 2;
    if ((tc->request->argc - 2) % 2 != 0) {
        reply_error(r, "ERR syntax error");
        return;
    }
    struct bytes *names = mem_alloc((size_t)n * sizeof(*names));
    struct bytes *values = mem_alloc((size_t)n * sizeof(*values));
    for (int i = 0; i < n; i++) {
        names[i] = argv[2 * i];
        values[i] = argv[2 * i + 1];
    }
    struct buf error;
    buf_init(&error);
    if (config_set(c->engine->config_store, n, names, values, &error))
        reply_ok(r);
    else
        reply_error(r, buf_cstr(&error));
    buf_release(&error);
    mem_free(names);
    mem_free(values);
}

static void config_rewrite_file(struct client *c, struct reply *r)
{
    struct buf error;
    buf_init(&error);
    access_note_users(c->engine);
    if (config_rewrite(c->engine->config_store, &error)) {
        reply_ok(r);
    } else {
        char quoted[LOG_QUOTE_SIZE];
        log_event(LOG_WARNING, "config-rewrite-failed", "why=%s", log_quote(buf_cstr(&error), quoted));
        reply_error(r, buf_cstr(&error));
    }
    buf_release(&error);
}

static void reset_stats(struct engine *e)
{
    e->total_connections = 0;
    e->rejected_connections = 0;
    e->total_commands = 0;
    e->keyspace_hits = 0;
    e->keyspace_misses = 0;
    e->timeouts = 0;
    e->conflicts = 0;
    e->revalidated = 0;
    e->fetched = 0;
    e->ops_at_commands = 0;
    e->input_bytes = 0;
    e->output_bytes = 0;
    e->socket_reads = 0;
    e->socket_writes = 0;
    stats_reset(e);
    metrics_reset();
    e->store->ops->reset_stats(e->store);
}

void session_config(struct client *c, const struct txn_command *tc, struct reply *r)
{
    switch (tc->cmd->sub) {
    case SUB_CONFIG_GET:
        config_get(c, tc, r);
        break;
    case SUB_CONFIG_SET:
        config_set_many(c, tc, r);
        break;
    case SUB_CONFIG_RESETSTAT:
        reset_stats(c->engine);
        reply_ok(r);
        break;
    case SUB_CONFIG_HELP:
        command_reply_help(r, command_by_id(CMD_CONFIG));
        break;
    default:
        config_rewrite_file(c, r);
        break;
    }
}

/* ---- SLOWLOG ---- */

enum { SLOWLOG_MAX_ARGS = 32, SLOWLOG_MAX_ARG = 128 };

static void slowlog_free(struct engine *e, struct slowlog_entry *s)
{
    list_remove(&s->node);
    e->slowlog_len--;
    for (int i = 0; i < s->argc; i++)
        mem_free((char *)s->argv[i].data);
    mem_free(s->argv);
    mem_free(s);
}

static void slowlog_trim(struct engine *e, size_t max)
{
    while (e->slowlog_len > max)
        slowlog_free(e, LIST_ITEM(e->slowlog.prev, struct slowlog_entry, node));
}

void slowlog_release(struct engine *e)
{
    slowlog_trim(e, 0);
}

/* A copy of an argument, cut as Redis cuts it. */
static struct bytes short_copy(struct bytes arg)
{
    if (arg.len <= SLOWLOG_MAX_ARG)
        return bytes_of(mem_strndup(arg.len ? arg.data : "", arg.len), arg.len);
    char *text = mem_alloc(SLOWLOG_MAX_ARG + 48);
    memcpy(text, arg.data, SLOWLOG_MAX_ARG);
    int n = snprintf(text + SLOWLOG_MAX_ARG, 48, "... (%zu more bytes)", arg.len - SLOWLOG_MAX_ARG);
    return bytes_of(text, SLOWLOG_MAX_ARG + (size_t)n);
}

static void slowlog_copy_args(struct slowlog_entry *s, const struct txn_command *tc)
{
    const struct request *r = tc->request;
    s->argc = r->argc > SLOWLOG_MAX_ARGS ? SLOWLOG_MAX_ARGS : r->argc;
    s->argv = mem_alloc((size_t)s->argc * sizeof(*s->argv));
    for (int i = 0; i < s->argc; i++)
        s->argv[i] = short_copy(redact_hides(tc->cmd, r, i) ? BYTES_LIT("(redacted)") : r->argv[i]);
    if (r->argc > SLOWLOG_MAX_ARGS) {
        char text[48];
        int n = snprintf(text, sizeof(text), "... (%d more arguments)",
                         r->argc - SLOWLOG_MAX_ARGS + 1);
        mem_free((char *)s->argv[s->argc - 1].data);
        s->argv[s->argc - 1] = bytes_of(mem_strndup(text, (size_t)n), (size_t)n);
    }
}

void slowlog_note(struct txn *t, int64_t us)
{
    struct engine *e = t->engine;
    if (t->ncommands > 0)
        latency_note(e, t->commands[0].cmd, us);
    int64_t limit = e->config->slowlog_log_slower_than_us;
    if (limit < 0 || us < limit || t->ncommands == 0 || t->client == NULL)
        return;
    const struct txn_command *tc = &t->commands[0];
    if (tc->request == NULL || (tc->cmd->flags & CF_SKIP_SLOWLOG))
        return;
    struct slowlog_entry *s = mem_zalloc(sizeof(*s));
    s->id = e->slowlog_next_id++;
    s->time_s = clock_wall_us() / 1000000;
    s->us = us;
    snprintf(s->peer, sizeof(s->peer), "%s", t->client->info.peer);
    snprintf(s->name, sizeof(s->name), "%.63s", t->client->name);
    slowlog_copy_args(s, tc);
    list_push_front(&e->slowlog, &s->node);
    e->slowlog_len++;
    slowlog_trim(e, (size_t)e->config->slowlog_max_len);
}

static void slowlog_get(struct client *c, const struct txn_command *tc, struct reply *r)
{
    struct engine *e = c->engine;
    int64_t count = 10;
    if (tc->request->argc > 3) {
        reply_errorf(r, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try SLOWLOG HELP.",
                     (int)tc->request->argv[1].len, tc->request->argv[1].data);
        return;
    }
    if (tc->request->argc == 3 && (!num_int64(tc->request->argv[2], &count) || count < -1)) {
        reply_error(r, "ERR count should be greater than or equal to -1");
        return;
    }
    if (count < 0 || (size_t)count > e->slowlog_len)
        count = (int64_t)e->slowlog_len;
    reply_array(r, (size_t)count);
    LIST_EACH(it, &e->slowlog)
    {
        const struct slowlog_entry *s = LIST_ITEM(it, struct slowlog_entry, node);
        if (count-- == 0)
            break;
        reply_array(r, 6);
        reply_int(r, s->id);
        reply_int(r, s->time_s);
        reply_int(r, s->us);
        reply_array(r, (size_t)s->argc);
        for (int i = 0; i < s->argc; i++)
            reply_bulk(r, s->argv[i]);
        reply_bulk_cstr(r, s->peer);
        reply_bulk_cstr(r, s->name);
    }
}

void session_slowlog(struct client *c, const struct txn_command *tc, struct reply *r)
{
    switch (tc->cmd->sub) {
    case SUB_SLOWLOG_GET:
        slowlog_get(c, tc, r);
        break;
    case SUB_SLOWLOG_LEN:
        reply_int(r, (int64_t)c->engine->slowlog_len);
        break;
    case SUB_SLOWLOG_RESET:
        slowlog_trim(c->engine, 0);
        reply_ok(r);
        break;
    default:
        command_reply_help(r, command_by_id(CMD_SLOWLOG));
        break;
    }
}

/* ---- MONITOR ---- */

/* As Redis' sdscatrepr. */
static void append_repr(struct buf *out, struct bytes s)
{
    static const char plain[] = "\n\r\t\a\b\\\"";
    static const char escaped[] = "nrtab\\\"";
    buf_append_cstr(out, "\"");
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.data[i];
        const char *at = ch == '\0' ? NULL : strchr(plain, ch);
        if (at != NULL)
            buf_printf(out, "\\%c", escaped[at - plain]);
        else if (ch >= ' ' && ch <= '~')
            buf_append(out, &ch, 1);
        else
            buf_printf(out, "\\x%02x", (unsigned char)ch);
    }
    buf_append_cstr(out, "\"");
}

/* Redis tells once the command has run: SELECT in the database that it has chosen. */
static int monitored_db(const struct client *c, const struct txn_command *tc)
{
    int db = tc->db;
    if (tc->cmd->id == CMD_RESET)
        db = 0;
    else if (tc->cmd->id == CMD_EXEC && c->multi && !c->multi_failed)
        db = c->multi_db;
    else if (tc->cmd->id == CMD_SELECT &&
             command_parse_db(tc->request->argv[1], c->engine->config->databases, &db) != NULL)
        db = tc->db;
    return db;
}

void monitor_append(struct buf *out, int db, const char *who, const struct command *cmd,
                    const struct request *q)
{
    int64_t us = clock_wall_us();
    buf_printf(out, "+%lld.%06lld [%d %s]", (long long)us / 1000000, (long long)us % 1000000, db, who);
    for (int i = 0; i < q->argc; i++) {
        buf_append_cstr(out, " ");
        /* A password is nobody's to watch. */
        if (redact_hides(cmd, q, i))
            buf_append_cstr(out, "\"(redacted)\"");
        else
            append_repr(out, q->argv[i]);
    }
    buf_append_cstr(out, "\r\n");
}

void monitor_send(struct engine *e, struct bytes lines)
{
    LIST_EACH(it, &e->monitors)
    {
        struct client *m = LIST_ITEM(it, struct client, monitor_node);
        if (m->closed || m->closing)
            continue;
        buf_append_bytes(&m->out, lines);
        m->io->output(m->io_arg);
    }
}

/* A script's calls come behind it. */
void monitor_feed(struct client *c, const struct txn_command *tc)
{
    struct engine *e = c->engine;
    uint32_t hidden = command_is_eval(tc->cmd) ? CF_ADMIN : CF_SKIP_MONITOR | CF_ADMIN;
    if (list_empty(&e->monitors) || (tc->cmd->flags & hidden))
        return;
    if (c->monitor && (tc->cmd->id == CMD_RESET || tc->cmd->id == CMD_QUIT))
        return;
    struct buf line;
    buf_init(&line);
    monitor_append(&line, monitored_db(c, tc), c->info.unix_socket ? "unix" : c->info.peer, tc->cmd,
                   tc->request);
    monitor_send(e, buf_bytes(&line));
    buf_release(&line);
}
