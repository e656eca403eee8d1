/* postgres: what the tools that talk to PostgreSQL without respgres share. */
#ifndef RESPGRES_BENCH_POSTGRES_H
#define RESPGRES_BENCH_POSTGRES_H

#include <libpq-fe.h>

#include "store/postgres/params.h"
#include "store/postgres/statements.h"

/* Ends the program if that fails. */
PGconn *bare_connect(const char *url);

/* Each ends the program if the statement fails; the caller clears the result. */
PGresult *bare_exec(PGconn *conn, const char *text, struct params *p);
PGresult *bare_exec_prepared(PGconn *conn, const char *name, const struct params *p);

/* The settings of respgres' lanes, by its own statement. */
void bare_lane_session(PGconn *conn);

/* Prepares one of respgres' statements under its own name. */
void bare_prepare(PGconn *conn, enum statement_id id, const char *schema);

#endif
