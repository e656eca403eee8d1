/* main: boot order and tear-down, nothing else. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acl/renames.h"
#include "backup/backup.h"
#include "backup/dump.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "cli/action.h"
#include "cli/exec.h"
#include "cli/healthcheck.h"
#include "config/config.h"
#include "engine/engine.h"
#include "event/loop.h"
#include "http/http.h"
#include "import/import.h"
#include "keyspace/keyspace.h"
#include "net/net.h"
#include "store/journal/journal.h"
#include "store/postgres/postgres.h"
#include "store/router/router.h"

extern char **environ;

enum { FLUSH_PATIENCE_US = 2 * 1000 * 1000, HEALTHCHECK_WORDS = 256 };

struct server {
    struct loop *loop;
    struct config_store *config;
    struct keyspace *keyspace;
    struct store *store;
    struct engine *engine;
    struct net *net;
    struct http *http;
    struct backup *backup;
    struct exec *exec; /* NULL without --exec */
    int exit_code;
    bool shutdown_seen; /* the command SHUTDOWN */
    bool draining;
    bool store_stopping;
    int64_t drain_until_us;
    int64_t flush_until_us; /* 0 until nothing is in flight any more */
};

/* PostgreSQL has been there, now or in an earlier life. */
static bool has_schema(void *arg)
{
    const struct server *s = arg;
    return store_state(s->store) != STORE_STARTING;
}

static void apply_config(void *arg)
{
    struct server *s = arg;
    log_set_level((enum log_level)config_values(s->config)->loglevel);
    if (s->store != NULL)
        router_config_changed(s->store);
    if (s->engine != NULL)
        engine_config_changed(s->engine);
    if (s->net != NULL)
        net_config_changed(s->net);
    if (s->backup != NULL)
        backup_config_changed(s->backup);
}

static bool read_users(void *arg, const struct config *fresh, struct buf *error)
{
    struct server *s = arg;
    return engine_read_users(s->engine, fresh, error);
}

static void on_fatal(void *arg, const char *why)
{
    struct server *s = arg;
    char quoted[LOG_QUOTE_SIZE];
    log_event(LOG_WARNING, "fatal", "why=%s", log_quote(why, quoted));
    s->exit_code = 1;
    if (exec_running(s->exec))
        exec_end(s->exec, s->loop, config_values(s->config)->shutdown_timeout_s * 1000000);
    else
        loop_stop(s->loop);
}

/* No new connections, finish what is in flight. */
static void begin_drain(struct server *s)
{
    s->draining = true;
    s->drain_until_us =
        clock_mono_us() + config_values(s->config)->shutdown_timeout_s * 1000000;
    net_stop_accepting(s->net);
    net_stop_reading(s->net);
    engine_begin_drain(s->engine);
    http_begin_drain(s->http);
}

/* The first asks, the second does not. A child ends first, whatever it makes of the signal. */
static void on_terminate(void *arg, int signo)
{
    struct server *s = arg;
    if (exec_running(s->exec)) {
        exec_signal(s->exec, signo);
        return;
    }
    if (s->draining)
        _exit(1);
    log_event(LOG_NOTICE, "shutdown", "signal=%d", signo);
    begin_drain(s);
}

static void on_passed_signal(void *arg, int signo)
{
    struct server *s = arg;
    exec_signal(s->exec, signo);
}

static void on_child_ended(void *arg, int code)
{
    struct server *s = arg;
    if (s->exit_code != 0) { /* on_fatal waited for it */
        loop_stop(s->loop);
        return;
    }
    s->exit_code = code;
    begin_drain(s);
}

static void on_hangup(void *arg, int signo)
{
    struct server *s = arg;
    struct buf error;
    char quoted[LOG_QUOTE_SIZE];
    exec_signal(s->exec, signo);
    buf_init(&error);
    bool ok = config_reload(s->config, &error);
    log_event(ok ? LOG_NOTICE : LOG_WARNING, ok ? "config-reloaded" : "config-not-reloaded",
              "note=%s", log_quote(buf_cstr(&error), quoted));
    buf_release(&error);
}

/* All commands are answered, and the answers are out: but a client that does not read is given a
 * moment only. */
static bool is_drained(struct server *s, int64_t now_us)
{
    if (!engine_idle(s->engine))
        return false;
    if (s->flush_until_us == 0)
        s->flush_until_us = now_us + FLUSH_PATIENCE_US;
    return net_unwritten(s->net) == 0 || now_us > s->flush_until_us;
}

/* Steps of the drain: engine, replies, store. */
static void drain(struct server *s)
{
    int64_t now_us = clock_mono_us();
    bool late = now_us > s->drain_until_us;
    if (!late && !is_drained(s, now_us))
        return;
    if (!s->store_stopping) {
        s->store_stopping = true;
        s->store->ops->stop(s->store);
    }
    if (late || s->store->ops->stopped(s->store))
        loop_stop(s->loop);
}

/* The command comes when it is served: online, or from memory where PostgreSQL is away. */
static void start_child_in_time(struct server *s)
{
    struct buf error;
    buf_init(&error);
    if (!exec_turn(s->exec, store_state(s->store) != STORE_STARTING, &error))
        on_fatal(s, buf_cstr(&error));
    buf_release(&error);
}

static bool on_turn_end(void *arg)
{
    struct server *s = arg;
    bool more = engine_turn_end(s->engine);
    more |= router_turn_end(s->store);
    more |= net_turn_end(s->net);
    if (!s->draining && engine_shutdown_requested(s->engine) && !s->shutdown_seen) {
        s->shutdown_seen = true;
        log_event(LOG_NOTICE, "shutdown", "command=shutdown");
        if (exec_running(s->exec))
            exec_signal(s->exec, SIGTERM);
        else
            begin_drain(s);
    }
    if (s->draining)
        drain(s);
    else if (s->exit_code == 0)
        start_child_in_time(s);
    return more;
}

static bool prepare_child(struct server *s, struct buf *error)
{
    if (s->exec == NULL) {
        if (getpid() == 1)
            exec_reap_orphans();
        return true;
    }
    for (const int *signo = exec_passed_signals; *signo != 0; signo++)
        loop_on_signal(s->loop, *signo, on_passed_signal, s);
    return exec_prepare(s->exec, s->loop, config_values(s->config), on_child_ended, s, error);
}

static bool start(struct server *s, struct buf *error)
{
    const struct config *c = config_values(s->config);
    if (!action_has_database(c, error))
        return false;
    s->loop = loop_new();
    s->keyspace = keyspace_new(config_maxmemory(c));
    struct store *postgres = c->standalone ? NULL : postgres_store_new(s->loop, c, on_fatal, s);
    s->store = router_new(s->loop, c, s->keyspace, postgres, error);
    if (s->store == NULL)
        return false;
    s->engine = engine_new(s->loop, s->config, s->keyspace, s->store);
    if (!engine_load_users(s->engine, error))
        return false;
    s->net = net_new(s->loop, s->engine, s->config, error);
    if (s->net == NULL)
        return false;
    s->http = http_new(s->loop, s->config, s->engine, error);
    if (s->http == NULL)
        return false;
    s->backup = backup_new(s->loop, c, has_schema, s);
    config_on_change(s->config, apply_config, s);
    config_on_reload(s->config, read_users, s);
    loop_on_signal(s->loop, SIGTERM, on_terminate, s);
    loop_on_signal(s->loop, SIGINT, on_terminate, s);
    loop_on_signal(s->loop, SIGHUP, on_hangup, s);
    return prepare_child(s, error);
}

static void stop(struct server *s)
{
    backup_free(s->backup);
    http_free(s->http);
    net_free(s->net);
    engine_free(s->engine);
    if (s->store != NULL)
        s->store->ops->free(s->store);
    keyspace_free(s->keyspace);
    exec_free(s->exec);
    loop_free(s->loop);
    config_free(s->config);
}

static int serve(struct server *s, struct buf *error)
{
    config_log(s->config);
    if (!start(s, error)) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(error));
        return 1;
    }
    log_event(LOG_NOTICE, "started", "version=%s pid=%d port=%lld tls-port=%lld", RESPGRES_VERSION,
              (int)getpid(), (long long)config_values(s->config)->port,
              (long long)config_values(s->config)->tls_port);
    loop_run(s->loop, on_turn_end, s);
    if (router_unmerged(s->store) > 0) {
        s->exit_code = 1;
        log_event(LOG_WARNING, "not-merged", "keys=%zu journal=%s note=\"%s\"",
                  router_unmerged(s->store), router_journal_dir(s->store),
                  "PostgreSQL does not have them yet: keep the folder, the next start merges it");
    }
    log_event(LOG_NOTICE, "stopped", "code=%d", s->exit_code);
    return s->exit_code;
}

/* The journal that another instance has left is merged: nobody is served. */
static bool on_merge_turn(void *arg)
{
    struct server *s = arg;
    bool more = router_turn_end(s->store);
    bool merged = store_state(s->store) == STORE_ONLINE && router_unmerged(s->store) == 0;
    if ((merged || s->draining) && !s->store_stopping) {
        s->store_stopping = true;
        s->store->ops->stop(s->store);
    }
    if (s->store_stopping && s->store->ops->stopped(s->store))
        loop_stop(s->loop);
    return more;
}

static void on_merge_terminated(void *arg, int signo)
{
    struct server *s = arg;
    (void)signo;
    loop_stop(s->loop);
}

static int merge_journal(struct server *s, struct buf *error)
{
    const struct config *c = config_values(s->config);
    s->loop = loop_new();
    s->keyspace = keyspace_new(SIZE_MAX);
    if (action_has_database(c, error))
        s->store = router_new(s->loop, c, s->keyspace, postgres_store_new(s->loop, c, on_fatal, s), error);
    if (s->store == NULL) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(error));
        return 1;
    }
    size_t keys = router_unmerged(s->store);
    loop_on_signal(s->loop, SIGTERM, on_merge_terminated, s);
    loop_on_signal(s->loop, SIGINT, on_merge_terminated, s);
    loop_run(s->loop, on_merge_turn, s);
    printf("%zu keys were in %s, %zu are left\n", keys, router_journal_dir(s->store),
           router_unmerged(s->store));
    return s->exit_code != 0 || router_unmerged(s->store) > 0;
}

/* Reads the command line and all that it leads to. */
static bool prepare(struct server *s, int argc, char **argv, struct action *a, struct buf *error)
{
    char *words[HEALTHCHECK_WORDS];
    struct buf keep;
    buf_init(&keep);
    bool ok = exec_take(&argc, &argv, environ, &s->exec, error);
    if (ok) {
        *a = action_take(&argc, argv);
        ok = !a->merge_journal || action_prepare_merge(a, error);
    }
    if (ok && a->journal == NULL) {
        if (a->healthcheck) {
            argc = healthcheck_argv(argc, argv, "/proc/1/cmdline", &keep, words, HEALTHCHECK_WORDS);
            argv = words;
        }
        s->config = config_load_passing(argc, argv, environ, exec_port(s->exec), error);
        ok = s->config != NULL && renames_apply(s->config, error);
    }
    buf_release(&keep);
    return ok;
}

int main(int argc, char **argv)
{
    struct server s = {0};
    struct action action = {0};
    struct buf error;
    if (action_answered(argc, argv))
        return 0;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of the write */
    hash_seed();
    buf_init(&error);
    int exit_code = 1;
    if (!prepare(&s, argc, argv, &action, &error)) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(&error));
    } else if (!action_run_early(&action, &exit_code)) {
        apply_config(&s);
        if (action.merge_journal)
            exit_code = merge_journal(&s, &error);
        else if (!action_run(&action, s.config, &exit_code))
            exit_code = serve(&s, &error);
    }
    buf_release(&error);
    import_release(&action.import);
    stop(&s);
    return exit_code;
}
