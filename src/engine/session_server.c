/* session_server: commands about the server that tools and client libraries send, and that have a
 * plain answer here: what was acknowledged is saved, there are no replicas, no modules, no cluster. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "base/num.h"
#include "engine/script.h"

/* ---- saving ---- */

static int64_t now_s(const struct client *c)
{
    return c->engine->store->ops->now_us(c->engine->store) / 1000000;
}

/* Whatever was acknowledged is saved: the last save was just now. */
static void run_lastsave(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)tc;
    reply_int(r, now_s(c));
}

/* What PostgreSQL has is saved. What is in the journal is, too: that is written anew, which makes it
 * short. */
static void save(struct client *c)
{
    struct store *s = c->engine->store;
    if (s->ops->save != NULL)
        s->ops->save(s);
}

static void run_save(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)tc;
    save(c);
    reply_ok(r);
}

static void run_bgsave(struct client *c, const struct txn_command *tc, struct reply *r)
{
    const struct request *request = tc->request;
    if (request->argc > 2 || (request->argc == 2 && !bytes_ieq(request->argv[1], "schedule"))) {
        reply_error(r, "ERR syntax error");
    } else {
        save(c);
        reply_status(r, "Background saving started");
    }
}

static void run_bgrewriteaof(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)tc;
    save(c);
    reply_status(r, "Background append only file rewriting started");
}

/* ---- replicas and cluster ---- */

static void run_role(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    (void)tc;
    reply_array(r, 3);
    reply_bulk_cstr(r, "master");
    reply_int(r, 0);
    reply_array(r, 0);
}

/* No replica will ever acknowledge: there is nothing to wait for. */
static void run_wait(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    const struct bytes *argv = tc->request->argv;
    int64_t replicas, timeout_ms;
    if (!num_int64(argv[1], &replicas))
        reply_error(r, "ERR value is not an integer or out of range");
    else if (!num_int64(argv[2], &timeout_ms))
        reply_error(r, "ERR timeout is not an integer or out of range");
    else if (timeout_ms < 0)
        reply_error(r, "ERR timeout is negative");
    else
        reply_int(r, 0);
}

static void run_replicaof(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    const struct bytes *argv = tc->request->argv;
    int64_t port;
    if (bytes_ieq(argv[1], "no") && bytes_ieq(argv[2], "one"))
        reply_ok(r);
    else if (!num_int64(argv[2], &port) || port < 0 || port > 65535)
        reply_error(r, "ERR Invalid master port");
    else
        reply_errorf(r, "ERR replication is not supported: '%s' was not carried out", tc->cmd->name);
}

struct failover {
    bool to, force, abort, has_timeout;
    int64_t timeout_ms;
};

/* The timeout's own errors come before those of the syntax behind it, as in Redis. */
static bool failover_parse(const struct request *q, struct failover *f, struct reply *r)
{
    for (int i = 1; i < q->argc; i++) {
        struct bytes word = q->argv[i];
        if (bytes_ieq(word, "timeout") && i + 1 < q->argc && !f->has_timeout) {
            if (!num_int64(q->argv[++i], &f->timeout_ms)) {
                reply_error(r, "ERR value is not an integer or out of range");
                return false;
            }
            if (f->timeout_ms <= 0) {
                reply_error(r, "ERR FAILOVER timeout must be greater than 0");
                return false;
            }
            f->has_timeout = true;
        } else if (q->argc == 2 && bytes_ieq(word, "abort")) {
            f->abort = true;
        } else if (bytes_ieq(word, "to") && i + 2 < q->argc && !f->to) {
            int64_t port;
            if (!num_int64(q->argv[i + 2], &port)) {
                reply_error(r, "ERR value is not an integer or out of range");
                return false;
            }
            f->to = true;
            i += 2;
        } else if (bytes_ieq(word, "force") && !f->force) {
            f->force = true;
        } else {
            reply_error(r, "ERR syntax error");
            return false;
        }
    }
    return true;
}

static void run_failover(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    struct failover f = {0};
    if (!failover_parse(tc->request, &f, r))
        return;
    reply_error(r, f.abort ? "ERR No failover in progress."
                           : "ERR FAILOVER requires connected replicas.");
}

/* ---- DEBUG SLEEP ---- */

/* Redis reads the number as C's strtod does, whatever stands behind it. */
static void run_sleep(struct client *c, const struct txn_command *tc, struct reply *r)
{
    char text[64];
    struct bytes arg = tc->request->argv[2];
    snprintf(text, sizeof(text), "%.*s", arg.len > 63 ? 63 : (int)arg.len, arg.data);
    double s = strtod(text, NULL);
    if (s > 0 && s < 1e9)
        pause_sleep(c, (int64_t)(s * 1e6));
    reply_ok(r);
}

static void run_cluster(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    (void)tc;
    reply_error(r, "ERR This instance has cluster support disabled");
}

static void run_replication(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    reply_errorf(r, "ERR replication is not supported: '%s' was not carried out", tc->cmd->name);
}

/* ---- MEMORY ---- */

static void reply_stat(struct reply *r, const char *name, size_t n)
{
    reply_bulk_cstr(r, name);
    reply_int(r, (int64_t)n);
}

size_t session_clients_memory(const struct engine *e)
{
    size_t n = 0;
    LIST_EACH(it, (struct list *)&e->clients)
    {
        const struct client *c = LIST_ITEM(it, struct client, node);
        n += sizeof(*c) + c->out.cap + c->query_memory + client_pending_memory(c) + client_queued_memory(c);
    }
    return n;
}

/* Redis' names, of what there is. The keys are those in the cache. */
static void memory_stats(struct engine *e, struct reply *r)
{
    struct memory_use m;
    memory_get_use(e, &m);
    reply_map(r, 11);
    reply_stat(r, "peak.allocated", m.peak);
    reply_stat(r, "total.allocated", m.used);
    reply_stat(r, "startup.allocated", m.startup);
    reply_stat(r, "replication.backlog", 0);
    reply_stat(r, "clients.slaves", 0);
    reply_stat(r, "clients.normal", m.clients);
    reply_stat(r, "overhead.total", m.overhead);
    reply_stat(r, "keys.count", m.cache_keys);
    reply_stat(r, "keys.bytes-per-key", m.cache_keys > 0 ? m.cache / m.cache_keys : 0);
    reply_stat(r, "dataset.bytes", m.cache);
    reply_bulk_cstr(r, "dataset.percentage");
    size_t grown = m.used - m.startup;
    reply_double(r, grown > 0 ? 100.0 * (double)m.cache / (double)grown : 0);
}

static void memory_doctor(const struct engine *e, struct reply *r)
{
    struct keyspace_stats st;
    char text[200];
    keyspace_get_stats(e->keyspace, &st);
    int n = snprintf(text, sizeof(text),
                     "The cache has %zu keys in %zu of %zu bytes. What does not fit is in "
                     "PostgreSQL.\n",
                     st.entries, st.memory, st.max_memory);
    reply_verbatim(r, "txt", bytes_of(text, (size_t)n));
}

/* MEMORY USAGE has a handler. */
static void run_memory(struct client *c, const struct txn_command *tc, struct reply *r)
{
    switch (tc->cmd->sub) {
    case SUB_MEMORY_STATS:
        memory_stats(c->engine, r);
        break;
    case SUB_MEMORY_DOCTOR:
        memory_doctor(c->engine, r);
        break;
    case SUB_MEMORY_MALLOC_STATS:
        reply_verbatim(r, "txt", BYTES_LIT("Stats not supported for the current allocator"));
        break;
    case SUB_MEMORY_PURGE:
        mem_give_back();
        reply_ok(r);
        break;
    default:
        command_reply_help(r, command_by_id(CMD_MEMORY));
        break;
    }
}

/* ---- MODULE ---- */

static void run_module(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    switch (tc->cmd->sub) {
    case SUB_MODULE_LIST:
        reply_array(r, 0);
        break;
    case SUB_MODULE_HELP:
        command_reply_help(r, command_by_id(CMD_MODULE));
        break;
    default:
        reply_error(r, "ERR MODULE command not allowed. There are no modules here.");
        break;
    }
}

/* ---- others ---- */

static void run_lolwut(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    const struct request *request = tc->request;
    int64_t version;
    if (request->argc > 2 && bytes_ieq(request->argv[1], "version") &&
        !num_int64(request->argv[2], &version))
        reply_error(r, "ERR value is not an integer or out of range");
    else
        reply_verbatim(r, "txt",
                       BYTES_LIT("Redis ver. 7.0.15, said by respgres ver. " RESPGRES_VERSION "\n"));
}

enum shutdown_option { SHUTDOWN_NOSAVE = 1, SHUTDOWN_SAVE = 2, SHUTDOWN_OTHER = 4, SHUTDOWN_ABORT = 8 };

static bool shutdown_options(const struct request *r, unsigned *given)
{
    *given = 0;
    for (int i = 1; i < r->argc; i++) {
        struct bytes word = r->argv[i];
        if (bytes_ieq(word, "nosave"))
            *given |= SHUTDOWN_NOSAVE;
        else if (bytes_ieq(word, "save"))
            *given |= SHUTDOWN_SAVE;
        else if (bytes_ieq(word, "now") || bytes_ieq(word, "force"))
            *given |= SHUTDOWN_OTHER;
        else if (bytes_ieq(word, "abort"))
            *given |= SHUTDOWN_ABORT;
        else
            return false;
    }
    bool abort_alone = (*given & SHUTDOWN_ABORT) == 0 || *given == SHUTDOWN_ABORT;
    return abort_alone && (*given & (SHUTDOWN_NOSAVE | SHUTDOWN_SAVE)) !=
                              (SHUTDOWN_NOSAVE | SHUTDOWN_SAVE);
}

/* As SIGTERM: what was taken is answered, then the server ends. There is no reply; the connection
 * closes. */
static void run_shutdown(struct client *c, const struct txn_command *tc, struct reply *r)
{
    unsigned given;
    if (!shutdown_options(tc->request, &given)) {
        reply_error(r, "ERR syntax error");
    } else if (given == SHUTDOWN_ABORT) {
        reply_error(r, "ERR No shutdown in progress.");
    } else if ((given & SHUTDOWN_NOSAVE) == 0 && scripts_busy(c) != NULL) {
        reply_error(r, scripts_busy(c));
    } else {
        if ((given & SHUTDOWN_NOSAVE) != 0)
            scripts_kill_all(c->engine);
        c->closing = true;
        c->engine->shutdown_requested = true;
    }
}

/* Its other subcommands have handlers. */
static void run_object(struct client *c, const struct txn_command *tc, struct reply *r)
{
    (void)c;
    command_reply_help(r, command_by_id(tc->cmd->id));
}

session_function session_server_function(enum command_id id)
{
    static const session_function functions[COMMAND_COUNT] = {
        [CMD_LASTSAVE] = run_lastsave, [CMD_SAVE] = run_save, [CMD_BGSAVE] = run_bgsave,
        [CMD_BGREWRITEAOF] = run_bgrewriteaof, [CMD_ROLE] = run_role, [CMD_WAIT] = run_wait,
        [CMD_CLUSTER] = run_cluster, [CMD_READONLY] = run_cluster, [CMD_READWRITE] = run_cluster,
        [CMD_ASKING] = run_cluster, [CMD_REPLCONF] = run_replication, [CMD_SYNC] = run_replication,
        [CMD_PSYNC] = run_replication, [CMD_LATENCY] = session_latency,
        [CMD_REPLICAOF] = run_replicaof, [CMD_SLAVEOF] = run_replicaof,
        [CMD_FAILOVER] = run_failover, [CMD_DEBUG] = run_sleep, [CMD_MEMORY] = run_memory,
        [CMD_MODULE] = run_module, [CMD_LOLWUT] = run_lolwut, [CMD_SHUTDOWN] = run_shutdown,
        [CMD_OBJECT] = run_object,
    };
    return functions[id];
}
