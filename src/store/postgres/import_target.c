/* import_target: see import.h. Rows are inserted as people insert them (docs/sql.md, "Adding"):
 * stamps of slot 0, and where a row is there, the trigger moves its version and tells the instances
 * that read from memory. Different from theirs, `doc` is filled and expire_slot is what it will be.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "payload/rules.h"
#include "store/postgres/import.h"
#include "store/postgres/migrations.h"
#include "store/postgres/params.h"
#include "store/postgres/postgres.h"
#include "store/postgres/statements.h"

enum { TRANSIENTS_MAX = 5 };

/* The columns of STMT_IMPORT. */
enum {
    COLUMN_WRITTEN,
    COLUMN_FREE,
    COLUMN_LIVE,
    COLUMN_SAME,
    COLUMN_ENDED,
    COLUMN_EXPIRED,
    COLUMNS
};

struct import_target {
    PGconn *conn;
    const struct config *config;
    struct import_mode mode;
    bool empty; /* a dry run, and there is no schema */
    bool documents;
    struct payload_rules *rules;
    struct params params;
    struct buf json;
    struct buf sql;
};

/* ---- opening ---- */

static bool fail(struct import_target *t, const char *what, struct buf *error)
{
    const char *why = PQerrorMessage(t->conn);
    size_t n = strlen(why);
    while (n > 0 && why[n - 1] == '\n')
        n--;
    buf_printf(error, "%s: %.*s", what, (int)n, why);
    return false;
}

/* NULL = it failed, which `error` tells. */
static PGresult *ask(struct import_target *t, enum statement_id id, const char *parameter,
                     struct buf *error)
{
    struct buf sql;
    buf_init(&sql);
    statement_expand(&sql, statement_get(id)->text, t->config->pg_schema);
    PGresult *r =
        PQexecParams(t->conn, buf_cstr(&sql), parameter != NULL, NULL, &parameter, NULL, NULL, 0);
    buf_release(&sql);
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return r;
    if (error != NULL)
        fail(t, "schema", error);
    PQclear(r);
    return NULL;
}

/* Databases are made by the first instance that starts; here perhaps none has. */
static bool make_databases(struct import_target *t, long found, struct buf *error)
{
    char number[24];
    if (t->mode.dry_run || found >= t->config->databases)
        return true;
    snprintf(number, sizeof(number), "%lld", (long long)t->config->databases);
    PGresult *r = ask(t, STMT_CREATE_SPACES, number, error);
    PQclear(r);
    return r != NULL;
}

static bool check_schema(struct import_target *t, struct buf *error)
{
    PGresult *r = ask(t, STMT_SCHEMA_STATE, NULL, t->mode.dry_run ? NULL : error);
    if (r == NULL) {
        t->empty = t->mode.dry_run;
        return t->empty;
    }
    long version = strtol(PQgetvalue(r, 0, 0), NULL, 10);
    long least = strtol(PQgetvalue(r, 0, 1), NULL, 10);
    long databases = strtol(PQgetvalue(r, 0, 2), NULL, 10);
    PQclear(r);
    if (least > migration_count || version < migration_count) {
        buf_printf(error, "schema %s is at version %ld, this binary is made for %d",
                   t->config->pg_schema, version, migration_count);
        return false;
    }
    return make_databases(t, databases, error);
}

/* As a start would do it; nothing where the schema is as it should be. */
static bool migrate(struct import_target *t, struct buf *error)
{
    int before;
    int after;
    if (t->mode.dry_run || !t->config->auto_migrate)
        return true;
    return postgres_migrate(t->config, &before, &after, error);
}

static PGconn *connect_to(const struct config *c)
{
    static const char *const keywords[] = {"connect_timeout", "target_session_attrs",
                                           "dbname",          "fallback_application_name",
                                           "client_encoding", NULL};
    const char *const values[] = {"30",   "read-write", c->database_url, "respgres import",
                                  "UTF8", NULL};
    return PQconnectdbParams(keywords, values, 1);
}

struct import_target *import_target_open(const struct config *c, const struct import_mode *mode,
                                         struct buf *error)
{
    struct import_target *t = mem_zalloc(sizeof(*t));
    t->config = c;
    t->mode = *mode;
    t->rules = payload_rules_new(c->decode, c->payload);
    params_init(&t->params);
    buf_init(&t->json);
    buf_init(&t->sql);
    statement_expand(&t->sql, statement_get(mode->dry_run ? STMT_IMPORT_LOOK : STMT_IMPORT)->text,
                     c->pg_schema);
    bool ok = migrate(t, error);
    if (ok) {
        t->conn = connect_to(c);
        ok = PQstatus(t->conn) == CONNECTION_OK || fail(t, "PostgreSQL", error);
    }
    if (ok && check_schema(t, error)) {
        const char *encoding = PQparameterStatus(t->conn, "server_encoding");
        t->documents = encoding != NULL && strcmp(encoding, "UTF8") == 0;
        return t;
    }
    import_target_free(t);
    return NULL;
}

void import_target_free(struct import_target *t)
{
    if (t == NULL)
        return;
    PQfinish(t->conn);
    payload_rules_free(t->rules);
    params_release(&t->params);
    buf_release(&t->json);
    buf_release(&t->sql);
    mem_free(t);
}

/* ---- writing ---- */

static void add_document(struct import_target *t, int array, const struct import_item *it)
{
    enum payload_format format;
    buf_reset(&t->json, (size_t)1 << 20);
    if (payload_rules_match(t->rules, it->key, &format) &&
        payload_decode(it->value, format, &payload_default_limits, &t->json) == PAYLOAD_OK)
        params_add_bytea(&t->params, array, buf_bytes(&t->json));
    else
        params_add_null(&t->params, array);
}

static void encode(struct import_target *t, const struct import_item *items, size_t n,
                   bool documents)
{
    struct params *p = &t->params;
    params_reset(p);
    params_int4(p, t->mode.db);
    params_int4(p, t->mode.overwrite);
    int array = params_array(p, OID_BYTEA);
    for (size_t i = 0; i < n; i++)
        params_add_bytea(p, array, items[i].key);
    array = params_array(p, OID_BYTEA);
    for (size_t i = 0; i < n; i++)
        params_add_bytea(p, array, items[i].value);
    array = params_array(p, OID_INTERVAL);
    for (size_t i = 0; i < n; i++) {
        if (items[i].expires_us == INT64_MAX)
            params_add_null(p, array);
        else
            params_add_interval(p, array, items[i].expires_us);
    }
    if (!t->mode.dry_run) {
        array = params_array(p, OID_TEXT);
        for (size_t i = 0; documents && i < n; i++)
            add_document(t, array, &items[i]);
    }
    params_finish(p);
}

static uint64_t count(const PGresult *r, int column)
{
    return (uint64_t)pg_int8(PQgetvalue(r, 0, column));
}

static void add_counts(struct import_target *t, const PGresult *r, struct import_counts *counts)
{
    CHECK(PQnfields(r) == COLUMNS && PQntuples(r) == 1);
    uint64_t live = count(r, COLUMN_LIVE);
    uint64_t ended = count(r, COLUMN_ENDED);
    uint64_t due = count(r, COLUMN_FREE) + (t->mode.overwrite ? live + ended : 0);
    uint64_t written = t->mode.dry_run ? due : count(r, COLUMN_WRITTEN);
    counts->written += written;
    counts->same += count(r, COLUMN_SAME);
    counts->expired += count(r, COLUMN_EXPIRED);
    /* What was free when the statement began and is not written, somebody has made meanwhile. */
    counts->live += due - written + (t->mode.overwrite ? 0 : live);
    counts->ended += t->mode.overwrite ? 0 : ended;
}

/* Behind a pooler in transaction mode settings must not stay. Keys are probed, whatever the
 * statistics of a table say that is just being filled. */
static const char begin_text[] =
    "BEGIN; SET LOCAL search_path = ''; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = "
    "'30s'; "
    "SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off";

static bool command(struct import_target *t, const char *sql)
{
    PGresult *r = PQexec(t->conn, sql);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
    PQclear(r);
    return ok;
}

/* NULL: done. Else the SQLSTATE, "" where the connection is gone, and the message. */
static char *try_once(struct import_target *t, struct import_counts *counts, char state[6])
{
    state[0] = '\0';
    if (!command(t, begin_text))
        return mem_strdup(PQerrorMessage(t->conn));
    struct params *p = &t->params;
    PGresult *r =
        PQexecParams(t->conn, buf_cstr(&t->sql), p->n, NULL, p->values, p->lengths, p->formats, 1);
    bool ok = PQresultStatus(r) == PGRES_TUPLES_OK;
    char *why = NULL;
    if (!ok) {
        const char *code = PQresultErrorField(r, PG_DIAG_SQLSTATE);
        snprintf(state, 6, "%s", code != NULL ? code : "");
        why = mem_strdup(PQerrorMessage(t->conn));
        (void)!command(t, "ROLLBACK");
    } else if (!command(t, "COMMIT")) {
        why = mem_strdup(PQerrorMessage(t->conn));
    } else {
        add_counts(t, r, counts);
    }
    PQclear(r);
    if (why != NULL)
        why[strcspn(why, "\n")] = '\0';
    return why;
}

static char *attempt(struct import_target *t, const struct import_item *items, size_t n,
                     bool documents, struct import_counts *counts, char state[6])
{
    char *why;
    encode(t, items, n, documents);
    for (int tries = 0;; tries++) {
        why = try_once(t, counts, state);
        bool transient = strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0;
        if (why == NULL || !transient || tries == TRANSIENTS_MAX)
            return why;
        mem_free(why);
    }
}

/* An error about a row: data, constraints, limits, what a trigger raises. */
static bool is_about_data(const char *state)
{
    static const char *const classes[] = {"21", "22", "23", "44", "54", "P0"};
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strncmp(state, classes[i], 2) == 0)
            return true;
    }
    return false;
}

bool import_write(struct import_target *t, const struct import_item *items, size_t n,
                  struct import_counts *counts,
                  void (*refused)(void *arg, const struct import_item *it, const char *why),
                  void *arg, struct buf *error)
{
    char state[6];
    if (t->empty) {
        counts->written += n;
        return true;
    }
    char *why = attempt(t, items, n, t->documents, counts, state);
    if (why != NULL && n == 1 && t->documents && is_about_data(state)) {
        mem_free(why);
        why = attempt(t, items, n, false, counts, state);
    }
    if (why == NULL)
        return true;
    bool ok = is_about_data(state);
    if (!ok)
        buf_printf(error, "write: %s", why);
    else if (n == 1)
        refused(arg, items, why);
    else
        ok = import_write(t, items, n / 2, counts, refused, arg, error) &&
             import_write(t, items + n / 2, n - n / 2, counts, refused, arg, error);
    mem_free(why);
    return ok;
}
