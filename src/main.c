/* main: boot order and tear-down, nothing else. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/backup.h"
#include "backup/dump.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "config/config.h"
#include "engine/engine.h"
#include "event/loop.h"
#include "http/http.h"
#include "keyspace/keyspace.h"
#include "net/net.h"
#include "store/journal/journal.h"
#include "store/postgres/postgres.h"
#include "store/router/router.h"

extern char **environ;

/* What is asked for besides serving. */
struct action {
    bool migrate;
    bool dump;
    const char *dump_path; /* NULL = standard output */
    bool backup;
    bool print_schema;
    int from; /* the version whose upgrade is printed, 0 = none yet */
    bool (*journal)(const char *dir, struct buf *out); /* --check-journal, --repair-journal */
    const char *journal_dir;
};

enum { FLUSH_PATIENCE_US = 2 * 1000 * 1000 };

struct server {
    struct loop *loop;
    struct config_store *config;
    struct keyspace *keyspace;
    struct store *store;
    struct engine *engine;
    struct net *net;
    struct http *http;
    struct backup *backup;
    int exit_code;
    bool draining;
    bool store_stopping;
    int64_t drain_until_us;
    int64_t flush_until_us; /* 0 until nothing is in flight any more */
};

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

static void on_fatal(void *arg, const char *why)
{
    struct server *s = arg;
    char quoted[LOG_QUOTE_SIZE];
    log_event(LOG_WARNING, "fatal", "why=%s", log_quote(why, quoted));
    s->exit_code = 1;
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
    http_begin_drain(s->http);
}

/* The first asks, the second does not. */
static void on_terminate(void *arg, int signo)
{
    struct server *s = arg;
    if (s->draining)
        _exit(1);
    log_event(LOG_NOTICE, "shutdown", "signal=%d", signo);
    begin_drain(s);
}

static void on_hangup(void *arg, int signo)
{
    struct server *s = arg;
    struct buf error;
    char quoted[LOG_QUOTE_SIZE];
    (void)signo;
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
    more |= router_turn_end(s->store);
    more |= net_turn_end(s->net);
    if (!s->draining && engine_shutdown_requested(s->engine)) {
        log_event(LOG_NOTICE, "shutdown", "command=shutdown");
        begin_drain(s);
    }
    if (s->draining)
        drain(s);
    return more;
}

static bool has_database(const struct config *c, struct buf *error)
{
    if (c->standalone && c->database_url[0] != '\0') {
        buf_append_cstr(error, "standalone yes and a database-url exclude each other: take one away");
        return false;
    }
    if (c->standalone || c->database_url[0] != '\0')
        return true;
    buf_append_cstr(error, "no database: set DATABASE_URL, or database-url in the configuration "
                           "file, or pass --database-url postgresql://user:password@host/name");
    return false;
}

static bool start(struct server *s, struct buf *error)
{
    const struct config *c = config_values(s->config);
    if (!has_database(c, error))
        return false;
    s->loop = loop_new();
    s->keyspace = keyspace_new(config_maxmemory(c));
    struct store *postgres = c->standalone ? NULL : postgres_store_new(s->loop, c, on_fatal, s);
    s->store = router_new(s->loop, c, s->keyspace, postgres, error);
    if (s->store == NULL)
        return false;
    s->engine = engine_new(s->loop, s->config, s->keyspace, s->store);
    s->net = net_new(s->loop, s->engine, s->config, error);
    if (s->net == NULL)
        return false;
    s->http = http_new(s->loop, s->config, s->engine, error);
    if (s->http == NULL)
        return false;
    s->backup = backup_new(s->loop, c);
    config_on_change(s->config, apply_config, s);
    loop_on_signal(s->loop, SIGTERM, on_terminate, s);
    loop_on_signal(s->loop, SIGINT, on_terminate, s);
    loop_on_signal(s->loop, SIGHUP, on_hangup, s);
    return true;
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
    loop_free(s->loop);
    config_free(s->config);
}

/* --help and --version; true if there was one. */
static bool answer_and_exit(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
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

/* Takes the actions out of argv; what is left is configuration. */
static struct action take_action(int *argc, char **argv)
{
    struct action a = {0};
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--migrate") == 0) {
            a.migrate = true;
        } else if (strcmp(argv[i], "--dump") == 0) {
            a.dump = true;
            if (i + 1 < *argc && strncmp(argv[i + 1], "--", 2) != 0)
                a.dump_path = argv[++i];
            if (a.dump_path != NULL && strcmp(a.dump_path, "-") == 0)
                a.dump_path = NULL;
        } else if (strcmp(argv[i], "--backup") == 0) {
            a.backup = true;
        } else if (strcmp(argv[i], "--print-schema") == 0) {
            a.print_schema = true;
            if (i + 1 < *argc && argv[i + 1][0] >= '0' && argv[i + 1][0] <= '9')
                a.from = (int)strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--check-journal") == 0 ||
                   strcmp(argv[i], "--repair-journal") == 0) {
            a.journal = argv[i][2] == 'c' ? journal_check : journal_repair;
            if (i + 1 < *argc)
                a.journal_dir = argv[++i];
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

/* Needs no configuration: what it says is for people, on stdout. */
static int work_on_journal(const struct action *a)
{
    struct buf text;
    if (a->journal_dir == NULL) {
        fprintf(stderr, "respgres: --check-journal and --repair-journal need the journal's folder\n");
        return 1;
    }
    buf_init(&text);
    bool ok = a->journal(a->journal_dir, &text);
    bool written = fputs(buf_cstr(&text), stdout) >= 0 && fflush(stdout) == 0;
    buf_release(&text);
    return ok && written ? 0 : 1;
}

/* Nothing is said on standard output but the keys. */
static int dump(const struct config *c, const char *path, struct buf *error)
{
    struct dump_totals totals;
    if (!has_database(c, error) || !dump_write(c, path, &totals, error)) {
        fprintf(stderr, "respgres: no dump: %s\n", buf_cstr(error));
        return 1;
    }
    if (path != NULL)
        fprintf(stderr, "%llu keys, %llu bytes\n", (unsigned long long)totals.keys,
                (unsigned long long)totals.bytes);
    return 0;
}

static int back_up(const struct config *c, struct buf *error)
{
    struct buf said;
    buf_init(&said);
    bool ok = has_database(c, error) && backup_run(c, &said, error);
    if (ok)
        puts(buf_cstr(&said));
    else
        fprintf(stderr, "respgres: no backup: %s\n", buf_cstr(error));
    buf_release(&said);
    return ok ? 0 : 1;
}

static int act(const struct action *a, const struct config *c, struct buf *error)
{
    if (a->print_schema)
        return print_schema(c, a->from);
    if (a->migrate)
        return migrate(c, error);
    return a->dump ? dump(c, a->dump_path, error) : back_up(c, error);
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
    if (router_unmerged(s->store) > 0) {
        s->exit_code = 1;
        log_event(LOG_WARNING, "not-merged", "keys=%zu journal=%s note=\"%s\"",
                  router_unmerged(s->store), router_journal_dir(s->store),
                  "PostgreSQL does not have them yet: keep the folder, the next start merges it");
    }
    log_event(LOG_NOTICE, "stopped", "code=%d", s->exit_code);
    return s->exit_code;
}

int main(int argc, char **argv)
{
    struct server s = {0};
    struct buf error;
    int exit_code;
    if (answer_and_exit(argc, argv))
        return 0;
    struct action action = take_action(&argc, argv);
    signal(SIGPIPE, SIG_IGN);
    hash_seed();
    if (action.journal != NULL)
        return work_on_journal(&action);
    buf_init(&error);
    s.config = config_load(argc, argv, environ, &error);
    if (s.config == NULL) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(&error));
        buf_release(&error);
        return 1;
    }
    apply_config(&s);
    if (action.print_schema || action.migrate || action.dump || action.backup)
        exit_code = act(&action, config_values(s.config), &error);
    else
        exit_code = serve(&s, &error);
    buf_release(&error);
    stop(&s);
    return exit_code;
}
