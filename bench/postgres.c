#include "postgres.h"

#include "args.h"

PGconn *bare_connect(const char *url)
{
    PGconn *conn = PQconnectdb(url);
    if (PQstatus(conn) != CONNECTION_OK)
        die("%s", PQerrorMessage(conn));
    return conn;
}

static PGresult *checked(PGconn *conn, PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        die("%s", PQerrorMessage(conn));
    return r;
}

PGresult *bare_exec(PGconn *conn, const char *text, struct params *p)
{
    if (p == NULL)
        return checked(conn, PQexec(conn, text));
    params_finish(p);
    return checked(conn,
                   PQexecParams(conn, text, p->n, NULL, p->values, p->lengths, p->formats, 0));
}

PGresult *bare_exec_prepared(PGconn *conn, const char *name, const struct params *p)
{
    return checked(conn, PQexecPrepared(conn, name, p->n, p->values, p->lengths, p->formats, 1));
}

void bare_lane_session(PGconn *conn)
{
    struct params p;
    params_init(&p);
    params_text(&p, "1");
    params_text(&p, "0");
    params_text(&p, "0");
    params_text(&p, "on");
    PQclear(bare_exec(conn, statement_get(STMT_SESSION)->text, &p));
    params_release(&p);
}

void bare_prepare(PGconn *conn, enum statement_id id, const char *schema)
{
    struct buf text;
    buf_init(&text);
    statement_expand(&text, statement_get(id)->text, schema);
    PQclear(checked(conn, PQprepare(conn, statement_get(id)->name, buf_cstr(&text), 0, NULL)));
    buf_release(&text);
}
