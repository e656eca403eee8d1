/* import_source: see import.h. The table is foreign, so its statements are built here and not in
 * statements.c. One REPEATABLE READ transaction and a cursor, as for a dump: neither side holds
 * more than a few rows, however many there are. */
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "store/postgres/import.h"
#include "store/postgres/params.h"

enum { COLUMN_KEY, COLUMN_VALUE, COLUMN_EXPIRED, COLUMN_EXPIRES, COLUMNS };

struct source {
    PGconn *conn;
    const struct import_table *table;
    bool (*row)(void *arg, const struct import_row *r);
    void *arg;
    struct buf *error;
};

/* Server's words end with a newline. */
static bool fail(struct source *s, const char *what)
{
    const char *why = PQerrorMessage(s->conn);
    size_t n = strlen(why);
    while (n > 0 && why[n - 1] == '\n')
        n--;
    buf_printf(s->error, "the table of sessions: %s: %.*s", what, (int)n, why);
    return false;
}

static bool run(struct source *s, const char *what, const char *sql)
{
    PGresult *r = PQexec(s->conn, sql);
    ExecStatusType status = PQresultStatus(r);
    PQclear(r);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || fail(s, what);
}

static bool set_time_zone(struct source *s)
{
    const char *values[] = {s->table->time_zone};
    if (s->table->time_zone == NULL)
        return true;
    PGresult *r = PQexecParams(s->conn, "SELECT set_config('TimeZone', $1, true)", 1, NULL, values,
                               NULL, NULL, 0);
    bool ok = PQresultStatus(r) == PGRES_TUPLES_OK;
    PQclear(r);
    return ok || fail(s, "time zone");
}

/* The table's name as it must be quoted. SQL's own reader of names says which table is meant, so
 * that nothing else can be slipped in. */
static char *find_table(struct source *s)
{
    const char *values[] = {s->table->name};
    PGresult *r = PQexecParams(s->conn,
                               "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c "
                               "JOIN pg_namespace n ON n.oid = c.relnamespace "
                               "WHERE c.oid = $1::text::regclass",
                               1, NULL, values, NULL, NULL, 0);
    char *name = NULL;
    if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1)
        name = mem_strdup(PQgetvalue(r, 0, 0));
    else
        fail(s, "find it (--table names another one)");
    PQclear(r);
    return name;
}

/* Columns are from our own table of kinds: they need no quotes. An expiry without a time zone is
 * understood in that of the transaction. */
static bool open_cursor(struct source *s)
{
    const struct import_table *t = s->table;
    struct buf sql;
    char *name = find_table(s);
    if (name == NULL)
        return false;
    buf_init(&sql);
    buf_printf(&sql,
               "DECLARE respgres_import NO SCROLL CURSOR FOR SELECT x.k, "
               "CASE WHEN x.t <= clock_timestamp() THEN NULL ELSE x.v END, "
               "coalesce(x.t <= clock_timestamp(), false), x.t FROM "
               "(SELECT %s::text AS k, %s%s AS v, %s::timestamptz AS t FROM %s) x",
               t->key, t->value, t->binary ? "" : "::text", t->expiry, name);
    bool ok = run(s, "read", buf_cstr(&sql));
    buf_release(&sql);
    mem_free(name);
    return ok;
}

static bool begin(struct source *s)
{
    return run(s, "begin", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") &&
           run(s, "settings",
               "SET LOCAL statement_timeout = 0; SET LOCAL cursor_tuple_fraction = 1; "
               "SET LOCAL idle_in_transaction_session_timeout = 0") &&
           set_time_zone(s) && open_cursor(s);
}

static struct bytes read_bytes(const PGresult *r, int column)
{
    return bytes_of(PQgetvalue(r, 0, column), (size_t)PQgetlength(r, 0, column));
}

static bool take_row(struct source *s, const PGresult *r)
{
    CHECK(PQnfields(r) == COLUMNS && PQntuples(r) == 1);
    if (s->table->binary && PQftype(r, COLUMN_VALUE) != OID_BYTEA) {
        buf_printf(s->error, "the table of sessions: its column %s is not bytea", s->table->value);
        return false;
    }
    struct import_row row = {.has_key = !PQgetisnull(r, 0, COLUMN_KEY),
                             .key = read_bytes(r, COLUMN_KEY),
                             .has_value = !PQgetisnull(r, 0, COLUMN_VALUE),
                             .value = read_bytes(r, COLUMN_VALUE),
                             .expired = PQgetvalue(r, 0, COLUMN_EXPIRED)[0] != 0,
                             .has_expiry = !PQgetisnull(r, 0, COLUMN_EXPIRES)};
    row.expires_us = row.has_expiry ? pg_timestamp_us(PQgetvalue(r, 0, COLUMN_EXPIRES)) : INT64_MAX;
    return s->row(s->arg, &row);
}

/* The next rows of the cursor; `n` = how many came. */
static bool fetch(struct source *s, int64_t rows, size_t *n)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "FETCH %lld FROM respgres_import", (long long)rows);
    bool ok = PQsendQueryParams(s->conn, sql, 0, NULL, NULL, NULL, NULL, 1) == 1 &&
              PQsetSingleRowMode(s->conn) == 1;
    if (!ok)
        return fail(s, "read");
    PGresult *r;
    *n = 0;
    while ((r = PQgetResult(s->conn)) != NULL) {
        ExecStatusType status = PQresultStatus(r);
        if (!ok) {
            /* already failed: what is left is taken off the connection */
        } else if (status == PGRES_SINGLE_TUPLE) {
            ok = take_row(s, r);
            ++*n;
        } else if (status != PGRES_TUPLES_OK) {
            ok = fail(s, "read");
        }
        PQclear(r);
    }
    return ok;
}

static PGconn *connect_to(const char *url)
{
    /* What the URL says goes before the first, and after the last. */
    static const char *const keywords[] = {"connect_timeout", "dbname", "fallback_application_name",
                                           "client_encoding", NULL};
    const char *const values[] = {"30", url, "respgres import", "UTF8", NULL};
    return PQconnectdbParams(keywords, values, 1);
}

bool import_read(const char *url, const struct import_table *t, int64_t rows,
                 bool (*row)(void *arg, const struct import_row *r), void *arg, struct buf *error)
{
    struct source s = {connect_to(url), t, row, arg, error};
    bool ok = PQstatus(s.conn) == CONNECTION_OK || fail(&s, "connect");
    ok = ok && begin(&s);
    size_t n = 1;
    while (ok && n > 0)
        ok = fetch(&s, rows, &n);
    PQfinish(s.conn);
    return ok;
}
