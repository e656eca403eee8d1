/* schema: the query link looks what there is, and makes or upgrades it where that is due. Whoever
 * migrates holds an advisory lock of the schema's name; all that a migration does is one transaction.
 *
 * A migration waits for a table only as long as nobody's batch gets into trouble behind it, then
 * gives up its connection and tries again with the link's backoff: those that run go on serving.
 *
 * postgres_migrate does this alone, without service; postgres_print_schema writes down what it does. */
#include "store/postgres/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/postgres/migrations.h"

struct migration {
    struct loop *loop;
    int before;       /* version found first, -1 = not looked yet */
    bool done;
    bool busy;        /* the last failure was a lock that somebody holds */
    int64_t until_us; /* how long that is tried again */
    char why[256];
};

static const int64_t migration_patience_us = 60 * 1000000;

static void add(struct link *k, enum statement_id id)
{
    params_reset(&k->params);
    lane_begin(k->lane);
    lane_add_text(k->lane, store_text(k->store, id), &k->params, false);
}

/* ---- databases ---- */

static void on_spaces(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (boot_good(k, results, n, "create databases"))
        boot_schema_ready(k);
}

static void create_spaces(struct link *k)
{
    char number[24];
    snprintf(number, sizeof(number), "%lld", (long long)k->store->config->databases);
    params_reset(&k->params);
    params_text(&k->params, number);
    link_begin(k);
    lane_add_text(k->lane, store_text(k->store, STMT_CREATE_SPACES), &k->params, false);
    lane_submit(k->lane, BOOT_TIMEOUT_US, on_spaces);
}

/* ---- migrating ---- */

static void read_state(struct link *k);

/* Somebody holds a table, or the lock of migrations: not an error, but no reason to wait either. */
static bool migrated_well(struct link *k, PGresult **results, int n, const char *step)
{
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL && strcmp(lane_sqlstate(error), "55P03") == 0) {
        log_event(LOG_NOTICE, "schema-busy", "step=\"%s\"", step);
        if (k->store->migration != NULL)
            k->store->migration->busy = true;
    }
    return boot_good(k, results, n, step);
}

static void on_migrated(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (!migrated_well(k, results, n, "migration"))
        return;
    log_event(LOG_NOTICE, "schema-migrated", "version=%d", migration_count);
    read_state(k);
}

static void append_migrations(struct buf *script, int from, const char *schema)
{
    for (int i = from; i < migration_count; i++) {
        buf_printf(script, "\n-- ---- version %d ----\n\n", i + 1);
        statement_expand(script, migrations[i], schema);
    }
    buf_append_cstr(script, "\nCOMMIT;\n");
}

/* Under the lock: everything from `version` on, then COMMIT. */
static void migrate_from(struct link *k, int version)
{
    struct pg_store *s = k->store;
    struct buf script;
    buf_init(&script);
    buf_append_cstr(&script, store_text(s, STMT_CREATE_SCHEMA));
    buf_append_cstr(&script, ";\n");
    append_migrations(&script, version, s->config->pg_schema);
    lane_script(k->lane, buf_cstr(&script), BOOT_TIMEOUT_US, on_migrated);
    buf_release(&script);
}

static void on_locked_state(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (boot_good(k, results, n, "schema version"))
        migrate_from(k, (int)strtol(first_text(results[0], 0), NULL, 10));
}

static void on_schema_exists(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (!boot_good(k, results, n, "schema"))
        return;
    if (first_text(results[0], 0)[0] != 't') {
        migrate_from(k, 0);
        return;
    }
    add(k, STMT_SCHEMA_STATE);
    lane_submit(k->lane, BOOT_TIMEOUT_US, on_locked_state);
}

static void on_begun(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (!migrated_well(k, results, n, "migration lock"))
        return;
    add(k, STMT_SCHEMA_EXISTS);
    lane_submit(k->lane, BOOT_TIMEOUT_US, on_schema_exists);
}

/* ---- what is there ---- */

static void refuse(struct link *k, const char *why)
{
    struct pg_store *s = k->store;
    link_lost(k, why);
    if (s->state == STORE_STARTING)
        s->fatal(s->fatal_arg, why);
}

static void refuse_newer(struct link *k, long version, long least)
{
    char why[200];
    snprintf(why, sizeof(why), "schema %s is at version %ld and serves only binaries made for %ld or "
             "later; this one is made for %d", k->store->config->pg_schema, version, least,
             migration_count);
    refuse(k, why);
}

static void refuse_older(struct link *k, long version)
{
    static const char remedy[] = "run respgres --migrate, or set auto-migrate yes";
    const char *schema = k->store->config->pg_schema;
    char why[200];
    if (version == 0)
        snprintf(why, sizeof(why), "there is no schema %s and auto-migrate is no: %s", schema,
                 remedy);
    else
        snprintf(why, sizeof(why), "schema %s is at version %ld, this binary needs %d, and "
                 "auto-migrate is no: %s", schema, version, migration_count, remedy);
    refuse(k, why);
}

static void ready(struct link *k, long databases)
{
    struct migration *m = k->store->migration;
    if (m != NULL) {
        m->done = true;
        loop_stop(m->loop);
    } else if (databases < k->store->config->databases) {
        create_spaces(k);
    } else {
        boot_schema_ready(k);
    }
}

static void on_state(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    struct pg_store *s = k->store;
    (void)l;
    const PGresult *error = lane_first_error(results, n);
    const char *code = error == NULL ? "" : lane_sqlstate(error);
    bool missing = strcmp(code, "42P01") == 0 || strcmp(code, "3F000") == 0;
    if (error != NULL && !missing) {
        boot_failed(k, error, "schema version");
        return;
    }
    long version = missing ? 0 : strtol(first_text(results[0], 0), NULL, 10);
    long least = missing ? 0 : strtol(first_text(results[0], 1), NULL, 10);
    if (s->migration != NULL && s->migration->before < 0)
        s->migration->before = (int)version;
    if (least > migration_count)
        refuse_newer(k, version, least);
    else if (version >= migration_count)
        ready(k, strtol(first_text(results[0], 2), NULL, 10));
    else if (s->config->auto_migrate || s->migration != NULL)
        lane_script(k->lane, store_text(s, STMT_MIGRATION_BEGIN), BOOT_TIMEOUT_US, on_begun);
    else
        refuse_older(k, version);
}

static void read_state(struct link *k)
{
    add(k, STMT_SCHEMA_STATE);
    lane_submit(k->lane, BOOT_TIMEOUT_US, on_state);
}

void schema_prepare(struct link *k)
{
    read_state(k);
}

/* ---- without service ---- */

void schema_lost(struct pg_store *s, const char *why)
{
    struct migration *m = s->migration;
    bool again = m->busy && clock_mono_us() < m->until_us;
    m->busy = false;
    if (again || m->done)
        return;
    snprintf(m->why, sizeof(m->why), "%s", why);
    loop_stop(m->loop);
}

static bool nothing_collected(void *arg)
{
    (void)arg;
    return false;
}

static void ignore(void *arg, const char *why)
{
    (void)arg;
    (void)why;
}

bool postgres_migrate(const struct config *config, int *before, int *after, struct buf *error)
{
    struct loop *loop = loop_new();
    struct migration m = {
        .loop = loop, .before = -1, .until_us = clock_mono_us() + migration_patience_us};
    struct store *store = postgres_store_new(loop, config, ignore, NULL);
    ((struct pg_store *)store)->migration = &m;
    loop_run(loop, nothing_collected, NULL);
    store->ops->free(store);
    loop_free(loop);
    if (!m.done) {
        buf_append_cstr(error, m.why);
        return false;
    }
    *before = m.before;
    *after = m.before > migration_count ? m.before : migration_count;
    return true;
}

void postgres_print_schema(const char *schema, int from, struct buf *out)
{
    if (from >= migration_count) {
        buf_printf(out, "-- %s: this binary knows nothing beyond version %d.\n", schema, from);
        return;
    }
    buf_printf(out, "-- The schema of respgres %s: from version %d to %d.\n\n", RESPGRES_VERSION,
               from, migration_count);
    statement_expand(out, statement_get(STMT_MIGRATION_BEGIN)->text, schema);
    buf_append_cstr(out, ";\n");
    if (from == 0) {
        statement_expand(out, statement_get(STMT_CREATE_SCHEMA)->text, schema);
        buf_append_cstr(out, ";\n");
    }
    append_migrations(out, from, schema);
}
