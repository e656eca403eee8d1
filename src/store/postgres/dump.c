/* dump: reads all live keys in one REPEATABLE READ transaction. Rows come one by one (libpq's
 * single-row mode) from a cursor, so that neither side holds more than a few of them, however large
 * they are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/postgres/internal.h"
#include "store/postgres/migrations.h"

enum { COLUMN_DB, COLUMN_KEY, COLUMN_TYPE, COLUMN_VALUE, COLUMN_EXPIRES, COLUMNS };

struct dump {
    PGconn *conn;
    bool (*entry)(void *arg, const struct dump_entry *e);
    void *arg;
    struct buf *error;
};

/* Server's words end with a newline. */
static bool fail(struct dump *d, const char *what, const char *why)
{
    size_t n = strlen(why);
    while (n > 0 && why[n - 1] == '\n')
        n--;
    buf_printf(d->error, "%s: %.*s", what, (int)n, why);
    return false;
}

static bool run(struct dump *d, const char *what, const char *sql)
{
    PGresult *r = PQexec(d->conn, sql);
    ExecStatusType status = PQresultStatus(r);
    PQclear(r);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return true;
    return fail(d, what, PQerrorMessage(d->conn));
}

static bool run_statement(struct dump *d, const struct config *c, const char *what,
                          enum statement_id id)
{
    struct buf sql;
    buf_init(&sql);
    statement_expand(&sql, statement_get(id)->text, c->pg_schema);
    bool ok = run(d, what, buf_cstr(&sql));
    buf_release(&sql);
    return ok;
}

/* A schema that this binary would not serve may hold what it does not understand. */
static bool check_schema(struct dump *d, const struct config *c)
{
    struct buf sql;
    buf_init(&sql);
    statement_expand(&sql, statement_get(STMT_SCHEMA_STATE)->text, c->pg_schema);
    PGresult *r = PQexec(d->conn, buf_cstr(&sql));
    buf_release(&sql);
    bool ok = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1;
    if (!ok) {
        fail(d, "schema", PQerrorMessage(d->conn));
    } else if (strtol(PQgetvalue(r, 0, 1), NULL, 10) > migration_count) {
        ok = fail(d, "schema", "it is of a later version of respgres: use that one");
    }
    PQclear(r);
    return ok;
}

static bool begin(struct dump *d, const struct config *c)
{
    return run(d, "begin", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") &&
           run(d, "settings",
               "SET LOCAL statement_timeout = 0; SET LOCAL cursor_tuple_fraction = 1; "
               "SET LOCAL idle_in_transaction_session_timeout = 0") &&
           check_schema(d, c) && run_statement(d, c, "read", STMT_DUMP);
}

static uint64_t read_be(const PGresult *r, int column)
{
    const unsigned char *at = (const unsigned char *)PQgetvalue(r, 0, column);
    uint64_t v = 0;
    for (int i = 0; i < PQgetlength(r, 0, column); i++)
        v = v << 8 | at[i];
    return v;
}

static struct bytes read_bytes(const PGresult *r, int column)
{
    return bytes_of(PQgetvalue(r, 0, column), (size_t)PQgetlength(r, 0, column));
}

static bool take_row(struct dump *d, const PGresult *r)
{
    CHECK(PQnfields(r) == COLUMNS && PQntuples(r) == 1);
    struct dump_entry e = {
        .db = (int)read_be(r, COLUMN_DB),
        .key = read_bytes(r, COLUMN_KEY),
        .type = (uint8_t)read_be(r, COLUMN_TYPE),
        .value = read_bytes(r, COLUMN_VALUE),
        .expires_ms = PQgetisnull(r, 0, COLUMN_EXPIRES) ? -1 : (int64_t)read_be(r, COLUMN_EXPIRES)};
    return d->entry(d->arg, &e);
}

/* The next rows of the cursor; `n` = how many came. */
static bool fetch(struct dump *d, size_t *n)
{
    bool ok = PQsendQueryParams(d->conn, "FETCH 1000 FROM respgres_dump", 0, NULL, NULL, NULL, NULL,
                                1) == 1 &&
              PQsetSingleRowMode(d->conn) == 1;
    if (!ok)
        return fail(d, "read", PQerrorMessage(d->conn));
    PGresult *r;
    *n = 0;
    while ((r = PQgetResult(d->conn)) != NULL) {
        ExecStatusType status = PQresultStatus(r);
        if (!ok) {
            /* already failed: what is left is taken off the connection */
        } else if (status == PGRES_SINGLE_TUPLE) {
            ok = take_row(d, r);
            ++*n;
        } else if (status != PGRES_TUPLES_OK) {
            ok = fail(d, "read", PQerrorMessage(d->conn));
        }
        PQclear(r);
    }
    return ok;
}

static PGconn *connect_to(const struct config *c)
{
    /* What the URL says goes before the first, and after the last. */
    static const char *const keywords[] = {"connect_timeout", "dbname", "fallback_application_name",
                                           NULL};
    const char *const values[] = {"30", c->database_url, "respgres dump", NULL};
    return PQconnectdbParams(keywords, values, 1);
}

bool postgres_dump(const struct config *config,
                   bool (*entry)(void *arg, const struct dump_entry *e), void *arg,
                   struct buf *error)
{
    struct dump d = {connect_to(config), entry, arg, error};
    bool ok = PQstatus(d.conn) == CONNECTION_OK;
    if (!ok)
        fail(&d, "PostgreSQL", PQerrorMessage(d.conn));
    ok = ok && begin(&d, config);
    size_t n = 1;
    while (ok && n > 0)
        ok = fetch(&d, &n);
    PQfinish(d.conn);
    return ok;
}
