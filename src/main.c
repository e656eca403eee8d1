/* main: boot order and tear-down, nothing else. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "cli/exec.h"
#include "cli/healthcheck.h"
#include "command/rename.h"
#include "config/config.h"
#include "doctor/doctor.h"
#include "engine/engine.h"
#include "event/loop.h"
#include "http/http.h"
#include "net/net.h"
#include "store/postgres/doctor.h"
#include "store/postgres/postgres.h"

extern char **environ;

/* What is asked for besides serving. */
struct action {
    bool migrate;
    bool print_schema;
    bool check_config;
    bool doctor;
    bool healthcheck;
    int from; /* the version whose upgrade is printed, 0 = none yet */
};

enum { FLUSH_PATIENCE_US = 2 * 1000 * 1000, HEALTHCHECK_WORDS = 256 };

struct server {
    struct loop *loop;
    struct config_store *config;
    struct store *store;
    struct engine *engine;
    struct net *net;
    struct http *http;
    struct exec *exec; /* NULL without --exec */
    int exit_code;
    bool shutdown_seen; /* the command SHUTDOWN */
    bool draining;
    bool store_stopping;
    int64_t drain_until_us;
    int64_t flush_until_us; /* 0 until nothing is in flight any more */
};

static void apply_config(void *arg)
{
    struct server *s = arg;
    log_set_level((enum log_level)config_values(s->config)->loglevel);
    if (s->engine != NULL)
        engine_config_changed(s->engine);
    if (s->net != NULL)
        net_config_changed(s->net);
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

static bool on_turn_end(void *arg)
{
    struct server *s = arg;
    bool more = engine_turn_end(s->engine);
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
    return more;
}

static bool url_good(const struct config *c, struct buf *error)
{
    if (c->database_url[0] == '\0' || postgres_reads_url(c->database_url))
        return true;
    buf_append_cstr(error, "database-url: libpq cannot read it (in keyword=value form, values with "
                           "blanks stand in single quotes)");
    return false;
}

static bool has_database(const struct config *c, struct buf *error)
{
    if (c->database_url[0] != '\0')
        return url_good(c, error);
    buf_append_cstr(error, "no database: set DATABASE_URL, or database-url in the configuration "
                           "file, or pass --database-url postgresql://user:password@host/name");
    return false;
}

static bool start_child(struct server *s, struct buf *error)
{
    if (s->exec == NULL) {
        if (getpid() == 1)
            exec_reap_orphans();
        return true;
    }
    for (const int *signo = exec_passed_signals; *signo != 0; signo++)
        loop_on_signal(s->loop, *signo, on_passed_signal, s);
    return exec_start(s->exec, s->loop, config_values(s->config), on_child_ended, s, error);
}

static bool start(struct server *s, struct buf *error)
{
    const struct config *c = config_values(s->config);
    if (!has_database(c, error))
        return false;
    s->loop = loop_new();
    s->store = postgres_store_new(s->loop, c, on_fatal, s);
    s->engine = engine_new(s->loop, s->config, s->store);
    s->net = net_new(s->loop, s->engine, s->config, error);
    if (s->net == NULL)
        return false;
    s->http = http_new(s->loop, s->config, s->engine, error);
    if (s->http == NULL)
        return false;
    config_on_change(s->config, apply_config, s);
    loop_on_signal(s->loop, SIGTERM, on_terminate, s);
    loop_on_signal(s->loop, SIGINT, on_terminate, s);
    loop_on_signal(s->loop, SIGHUP, on_hangup, s);
    return start_child(s, error);
}

static void stop(struct server *s)
{
    http_free(s->http);
    net_free(s->net);
    engine_free(s->engine);
    if (s->store != NULL)
        s->store->ops->free(s->store);
    exec_free(s->exec);
    loop_free(s->loop);
    config_free(s->config);
}

/* --help and --version; true if there was one. */
static bool answer_and_exit(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--exec") != 0; i++) {
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-v") == 0) {
            printf("respgres %s\n", RESPGRES_VERSION);
            return true;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            struct buf text;
            buf_init(&text);
            config_usage(&text);
            fputs(buf_cstr(&text), stdout);
            buf_release(&text);
            return true;
        }
    }
    return false;
}

/* Takes what is no option (--migrate, --print-schema [VERSION] ...) out of argv; what is left is
 * configuration. */
static struct action take_action(int *argc, char **argv)
{
    struct action a = {0};
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--migrate") == 0) {
            a.migrate = true;
        } else if (strcmp(argv[i], "--check-config") == 0) {
            a.check_config = true;
        } else if (strcmp(argv[i], "--doctor") == 0) {
            a.doctor = true;
        } else if (strcmp(argv[i], "--healthcheck") == 0) {
            a.healthcheck = true;
        } else if (strcmp(argv[i], "--print-schema") == 0) {
            a.print_schema = true;
            if (i + 1 < *argc && argv[i + 1][0] >= '0' && argv[i + 1][0] <= '9')
                a.from = (int)strtol(argv[++i], NULL, 10);
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    argv[kept] = NULL;
    return a;
}

static int print_schema(const struct config *c, int from)
{
    struct buf text;
    buf_init(&text);
    postgres_print_schema(c->pg_schema, from, &text);
    bool written = fputs(buf_cstr(&text), stdout) >= 0 && fflush(stdout) == 0;
    buf_release(&text);
    return written ? 0 : 1;
}

static int migrate(const struct config *c, struct buf *error)
{
    int before;
    int after;
    if (!has_database(c, error) || !postgres_migrate(c, &before, &after, error)) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(error));
        return 1;
    }
    if (before == after)
        printf("schema %s is at version %d, nothing to do\n", c->pg_schema, after);
    else
        printf("schema %s was at version %d and is at version %d now\n", c->pg_schema, before, after);
    return 0;
}

static int serve(struct server *s, struct buf *error)
{
    config_log(s->config);
    if (!start(s, error)) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(error));
        return 1;
    }
    log_event(LOG_NOTICE, "started", "version=%s pid=%d port=%lld", RESPGRES_VERSION, (int)getpid(),
              (long long)config_values(s->config)->port);
    loop_run(s->loop, on_turn_end, s);
    log_event(LOG_NOTICE, "stopped", "code=%d", s->exit_code);
    return s->exit_code;
}

static int check_health(const struct config *c, struct buf *error)
{
    if (healthcheck(c, error))
        return 0;
    fprintf(stderr, "respgres: %s\n", buf_cstr(error));
    return 1;
}

/* On standard output: what respgres would run with. */
static int check_config(const struct config_store *config, struct buf *error)
{
    struct buf text;
    if (!url_good(config_values(config), error)) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(error));
        return 1;
    }
    buf_init(&text);
    config_report(config, &text);
    bool written = fputs(buf_cstr(&text), stdout) >= 0 && fflush(stdout) == 0;
    buf_release(&text);
    return written ? 0 : 1;
}

static int act(struct server *s, const struct action *a, struct buf *error)
{
    const struct config *c = config_values(s->config);
    if (a->check_config)
        return check_config(s->config, error);
    if (a->doctor)
        return doctor(s->config) ? 0 : 1;
    if (a->healthcheck)
        return check_health(c, error);
    if (a->print_schema)
        return print_schema(c, a->from);
    if (a->migrate)
        return migrate(c, error);
    return serve(s, error);
}

static bool rename_command(void *arg, struct bytes from, struct bytes to)
{
    struct buf *error = arg;
    const char *why = command_rename(from, to);
    if (why != NULL)
        buf_printf(error, "rename-command %.*s: %s", (int)(from.len < 64 ? from.len : 64), from.data,
                   why);
    return why == NULL;
}

/* Reads the command line and all that it leads to. */
static bool prepare(struct server *s, int argc, char **argv, struct action *a, struct buf *error)
{
    char *words[HEALTHCHECK_WORDS];
    struct buf keep;
    buf_init(&keep);
    bool ok = exec_take(&argc, &argv, environ, &s->exec, error);
    if (ok) {
        *a = take_action(&argc, argv);
        if (a->healthcheck) {
            argc = healthcheck_argv(argc, argv, "/proc/1/cmdline", &keep, words, HEALTHCHECK_WORDS);
            argv = words;
        }
        s->config = config_load(argc, argv, environ, error);
        ok = s->config != NULL &&
             config_each_rename(config_values(s->config), rename_command, error);
    }
    buf_release(&keep);
    return ok;
}

int main(int argc, char **argv)
{
    struct server s = {0};
    struct action action = {0};
    struct buf error;
    if (answer_and_exit(argc, argv))
        return 0;
    signal(SIGPIPE, SIG_IGN);
    hash_seed();
    buf_init(&error);
    int exit_code = 1;
    if (prepare(&s, argc, argv, &action, &error)) {
        apply_config(&s);
        exit_code = act(&s, &action, &error);
    } else {
        fprintf(stderr, "respgres: %s\n", buf_cstr(&error));
    }
    buf_release(&error);
    stop(&s);
    return exit_code;
}
