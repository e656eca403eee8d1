/* doctor: see doctor.h. The statements here are for this purpose alone, so they stand here and not
 * in statements.c. Only what the role of the configuration can see is looked at. */
#include "store/postgres/doctor.h"

#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/policy.h"
#include "store/postgres/conninfo.h"
#include "store/postgres/migrations.h"

struct exam {
    const struct config *config;
    PGconn *conn;
    finding_cb found;
    void *arg;
    bool pooled;      /* something stands between */
    bool transaction; /* and it pools transactions */
    int64_t round_trip_us;
};

static void say(struct exam *x, enum finding_level level, const char *remedy, const char *format,
                ...) PRINTF_LIKE(4, 5);

static void say(struct exam *x, enum finding_level level, const char *remedy, const char *format,
                ...)
{
    struct buf what;
    va_list ap;
    buf_init(&what);
    va_start(ap, format);
    buf_vprintf(&what, format, ap);
    va_end(ap);
    x->found(x->arg, level, buf_cstr(&what), remedy);
    buf_release(&what);
}

/* ---- asking ---- */

/* One row with what was asked for; NULL after a failure, of which is told. */
static PGresult *ask(struct exam *x, const char *about, const char *sql)
{
    PGresult *r = PQexec(x->conn, sql);
    if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1)
        return r;
    char *message = mem_strdup(PQresultErrorMessage(r));
    message[strcspn(message, "\n")] = '\0';
    say(x, FINDING_WARNING, "Look at PostgreSQL's log.", "%s could not be found out: %s", about,
        message[0] != '\0' ? message : "no answer");
    mem_free(message);
    PQclear(r);
    return NULL;
}

static long number(const PGresult *r, int column)
{
    return strtol(PQgetvalue(r, 0, column), NULL, 10);
}

static bool yes(const PGresult *r, int column)
{
    return PQgetvalue(r, 0, column)[0] == 't';
}

static bool is(const PGresult *r, int column, const char *text)
{
    return strcmp(PQgetvalue(r, 0, column), text) == 0;
}

/* `text` with every % replaced by the schema's name, which needs no quotes inside of a string. */
static PGresult *ask_schema(struct exam *x, const char *about, const char *text)
{
    struct buf sql;
    buf_init(&sql);
    for (; *text != '\0'; text++) {
        if (*text == '%')
            buf_append_cstr(&sql, x->config->pg_schema);
        else
            buf_append_u8(&sql, (uint8_t)*text);
    }
    PGresult *r = ask(x, about, buf_cstr(&sql));
    buf_release(&sql);
    return r;
}

/* ---- connecting ---- */

static PGconn *connect_once(const struct config *c)
{
    static const char *const keywords[] = {"gssencmode", "target_session_attrs", "connect_timeout",
                                           "dbname",     "application_name",     NULL};
    const char *const values[] = {"disable",       "read-write",      "5",
                                  c->database_url, "respgres doctor", NULL};
    return PQconnectdbParams(keywords, values, 1);
}

/* What libpq and PostgreSQL say when there is no connection, and what helps. */
static const char *connect_remedy(const char *message)
{
    static const char *const remedies[][2] = {
        {"password authentication failed",
         "Correct user and password in database-url (in a URL, escape "
         "/ as %2F, ? as %3F, @ as %40)."},
        {"no password supplied", "Give the password: in database-url, PGPASSWORD, or a passfile."},
        {"no pg_hba.conf entry", "Add sslmode=require to database-url, or allow this host in "
                                 "PostgreSQL's pg_hba.conf."},
        {"does not exist", "Make that database or role, or name another one in database-url."},
        {"could not translate host name",
         "Correct the host in database-url, or this host's resolver."},
        {"Connection refused", "Start PostgreSQL, or correct host and port in database-url."},
        {"timeout expired",
         "Look whether a firewall or security group stands between, and whether the "
         "address is right."},
        {"No such file or directory",
         "Correct the folder of the Unix socket in database-url, or start "
         "PostgreSQL."},
        {"session is read-only", "Name the primary in database-url, or all servers, separated by "
                                 "commas."},
        {"in recovery", "Name the primary in database-url, or all servers, separated by commas."},
        {"remaining connection slots", "Raise max_connections, or end other clients."},
        {"too many",
         "Raise the limit of connections (of the server, role or database), or end other "
         "clients."},
        {"certificate",
         "Correct sslrootcert, or the host's name: the certificate must be made for it."},
        {"SSL", "Correct sslmode in database-url."},
    };
    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        if (strstr(message, remedies[i][0]) != NULL)
            return remedies[i][1];
    }
    return "Correct database-url, or look at PostgreSQL's log.";
}

/* Blanks for tabs and newlines, none of them twice or at the end. */
static char *one_line(const char *text)
{
    char *line = mem_strdup(text);
    size_t n = 0;
    for (const char *p = text; *p != '\0'; p++) {
        bool blank = *p == ' ' || *p == '\t' || *p == '\n';
        if (!blank)
            line[n++] = *p;
        else if (n > 0 && line[n - 1] != ' ')
            line[n++] = ' ';
    }
    while (n > 0 && line[n - 1] == ' ')
        n--;
    line[n] = '\0';
    return line;
}

static bool connect_to(struct exam *x)
{
    struct buf why;
    buf_init(&why);
    bool good = conninfo_check(x->config->database_url, &why);
    if (!good)
        say(x, FINDING_BLOCKER, "Write it as postgresql://user:password@host:5432/name.",
            "database-url: %s.", buf_cstr(&why));
    buf_release(&why);
    if (!good)
        return false;
    x->conn = connect_once(x->config);
    if (PQstatus(x->conn) == CONNECTION_OK)
        return true;
    char *message = one_line(PQerrorMessage(x->conn));
    say(x, FINDING_BLOCKER, connect_remedy(message), "PostgreSQL cannot be reached: %s", message);
    mem_free(message);
    return false;
}

/* ---- the server ---- */

static void look_at_version(struct exam *x)
{
    PGresult *r =
        ask(x, "The version",
            "SELECT current_setting('server_version_num'), current_setting('server_version'),"
            " current_database(), current_user");
    if (r == NULL)
        return;
    long version = number(r, 0);
    if (version < 130000)
        say(x, FINDING_BLOCKER, "Use PostgreSQL 13 or later.", "PostgreSQL %s is too old.",
            PQgetvalue(r, 0, 1));
    else
        say(x, FINDING_GOOD, NULL, "PostgreSQL %s answers: database %s, role %s.",
            PQgetvalue(r, 0, 1), PQgetvalue(r, 0, 2), PQgetvalue(r, 0, 3));
    PQclear(r);
}

static bool is_local(const PGconn *conn)
{
    const char *host = PQhost(conn);
    const char *address = PQhostaddr(conn);
    return host == NULL || host[0] == '/' || host[0] == '\0' ||
           (address != NULL && (strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0));
}

static void look_at_tls(struct exam *x)
{
    char mode[16] = "";
    PQconninfoOption *options = PQconninfo(x->conn);
    for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
        if (strcmp(o->keyword, "sslmode") == 0 && o->val != NULL)
            snprintf(mode, sizeof(mode), "%s", o->val);
    }
    PQconninfoFree(options);
    if (PQsslInUse(x->conn) && strncmp(mode, "verify", 6) == 0)
        say(x, FINDING_GOOD, NULL,
            "The connection is encrypted, and the server's certificate is checked "
            "(sslmode %s).",
            mode);
    else if (PQsslInUse(x->conn))
        say(x, FINDING_NOTE,
            "sslmode=verify-full with sslrootcert=<the authority's file> checks to whom "
            "it speaks.",
            "The connection is encrypted, but nobody looks at the server's certificate "
            "(sslmode %s).",
            mode);
    else if (is_local(x->conn))
        say(x, FINDING_GOOD, NULL, "The connection is not encrypted, and stays on this host.");
    else
        say(x, FINDING_WARNING, "Add sslmode=require to database-url, or better verify-full.",
            "The connection to another host is not encrypted (sslmode %s).", mode);
}

static void look_at_writing(struct exam *x)
{
    PGresult *r =
        ask(x, "Whether it can be written to",
            "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')");
    if (r == NULL)
        return;
    if (yes(r, 0))
        say(x, FINDING_BLOCKER,
            "Name the primary in database-url, or all servers, separated by commas.",
            "This server is a standby: it cannot be written to.");
    else if (is(r, 1, "on"))
        say(x, FINDING_BLOCKER,
            "ALTER ROLE or ALTER DATABASE ... RESET default_transaction_read_only.",
            "Transactions of this role are read-only.");
    PQclear(r);
}

static void look_at_durability(struct exam *x)
{
    PGresult *r = ask(x, "Durability",
                      "SELECT current_setting('fsync'), current_setting('full_page_writes'),"
                      " current_setting('synchronous_commit'), current_setting('autovacuum'),"
                      " current_setting('track_counts')");
    if (r == NULL)
        return;
    bool relaxed = x->config->durability == DURABILITY_RELAXED;
    if (is(r, 0, "off") || is(r, 1, "off"))
        say(x, FINDING_WARNING, "Set fsync and full_page_writes on, unless the data may be lost.",
            "fsync is %s and full_page_writes is %s: a crash of PostgreSQL's host may lose or "
            "corrupt "
            "everything, also what was answered with OK.",
            PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1));
    else if (relaxed)
        say(x, FINDING_NOTE, "durability commit waits for the disk.",
            "durability is relaxed: a crash of PostgreSQL may lose the last moments.");
    else if (is(r, 2, "off") || is(r, 2, "local"))
        say(x, FINDING_GOOD, NULL,
            "synchronous_commit is %s for others; respgres sets it to on for its "
            "own writes (durability commit).",
            PQgetvalue(r, 0, 2));
    else
        say(x, FINDING_GOOD, NULL, "fsync is on, synchronous_commit is %s: OK means on disk.",
            PQgetvalue(r, 0, 2));
    if (is(r, 3, "off") || is(r, 4, "off"))
        say(x, FINDING_WARNING, "Set autovacuum and track_counts on.",
            "autovacuum is %s and track_counts is %s: the table of sessions will grow without "
            "bound.",
            PQgetvalue(r, 0, 3), PQgetvalue(r, 0, 4));
    PQclear(r);
}

/* ---- distance and time ---- */

enum { ROUND_TRIPS = 9 };

static void look_at_time(struct exam *x)
{
    int64_t best = INT64_MAX;
    int64_t offset = 0;
    for (int i = 0; i < ROUND_TRIPS; i++) {
        int64_t before = clock_mono_us();
        int64_t wall = clock_wall_us();
        PGresult *r =
            PQexec(x->conn, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8");
        int64_t took = clock_mono_us() - before;
        if (PQresultStatus(r) == PGRES_TUPLES_OK && took < best) {
            best = took;
            offset = strtoll(PQgetvalue(r, 0, 0), NULL, 10) - (wall + took / 2);
        }
        PQclear(r);
    }
    if (best == INT64_MAX)
        return;
    x->round_trip_us = best;
    bool far = best > 5000;
    say(x, far ? FINDING_WARNING : FINDING_GOOD,
        far ? "Run respgres in the region and network of PostgreSQL." : NULL,
        "A round trip takes %.2f ms%s.", (double)best / 1000,
        far ? ": each command of a client waits that long at least" : "");
    if (x->config->pg_timeout_ms * 1000 < 8 * best)
        say(x, FINDING_WARNING, "Raise pg-timeout.",
            "pg-timeout is %lld ms, %.1f round trips: commands "
            "will get errors.",
            (long long)x->config->pg_timeout_ms,
            (double)x->config->pg_timeout_ms * 1000 / (double)best);
    bool wrong = llabs(offset) > 1000000 + best;
    say(x, wrong ? FINDING_WARNING : FINDING_GOOD,
        wrong ? "Let both hosts keep time by NTP." : NULL, "The clocks differ by %.3f s%s.",
        (double)llabs(offset) / 1e6,
        wrong ? ". Expiry follows PostgreSQL's; the application and the logs follow this host's"
              : "");
}

/* ---- a pooler ---- */

static long backend_of(PGconn *conn)
{
    PGresult *r = PQexec(conn, "SELECT pg_backend_pid()");
    long pid = PQresultStatus(r) == PGRES_TUPLES_OK ? number(r, 0) : -1;
    PQclear(r);
    return pid;
}

/* Two connections that are both open have one backend: transactions are pooled. Others of the pool
 * may get in between, so it is tried some times. */
static bool shares_backends(struct exam *x)
{
    PGconn *other = connect_once(x->config);
    bool shared = false;
    for (int i = 0; i < 10 && !shared && PQstatus(other) == CONNECTION_OK; i++) {
        long here = backend_of(x->conn);
        shared = here > 0 && here == backend_of(other);
    }
    PQfinish(other);
    return shared;
}

static void look_at_pooler(struct exam *x)
{
    bool expected = x->config->pg_pooler == POOLER_TRANSACTION;
    long backend = backend_of(x->conn);
    x->transaction = shares_backends(x);
    x->pooled = x->transaction || (backend > 0 && backend != PQbackendPID(x->conn));
    if (x->transaction && !expected)
        say(x, FINDING_BLOCKER,
            "Set pg-pooler transaction, or better connect to PostgreSQL itself.",
            "A pooler in transaction mode stands between: prepared statements and settings of a "
            "session "
            "get lost there.");
    else if (x->transaction)
        say(x, FINDING_NOTE, "A direct connection is two to three times as fast.",
            "A pooler in transaction mode stands between, as pg-pooler says: published messages "
            "of other instances arrive by a look at a table ten times a second.");
    else if (expected && !x->pooled)
        say(x, FINDING_WARNING, "Set pg-pooler none.",
            "pg-pooler is transaction, but this is PostgreSQL "
            "itself, or it is well hidden: respgres would be slower than it need be.");
    else if (x->pooled)
        say(x, FINDING_NOTE, "If it pools transactions when it is busy, set pg-pooler transaction.",
            "A pooler or proxy stands between; as far as can be seen it keeps a connection for "
            "each "
            "client.");
    if (!x->transaction)
        return;
    PGresult *r =
        ask(x, "The isolation level", "SELECT current_setting('default_transaction_isolation')");
    if (r != NULL && !is(r, 0, "read committed"))
        say(x, FINDING_BLOCKER, "ALTER ROLE ... RESET default_transaction_isolation.",
            "default_transaction_isolation is %s; behind a pooler it must be read committed.",
            PQgetvalue(r, 0, 0));
    PQclear(r);
}

/* ---- connections ---- */

/* Of one instance: queries, reads, commits; and the bulk lane and a listener, made when they are
 * needed. */
static long connections_needed(const struct config *c)
{
    return 3 + (long)c->pg_read_lanes + (long)c->pg_commit_lanes;
}

/* Without what comes later. */
static long connections_at_start(const struct config *c)
{
    return connections_needed(c) - 2 + (c->consistency == CONSISTENCY_CACHED);
}

/* Instances that have been seen lately; 0 where there is no schema yet. Their connections are used.
 */
static long instances_running(struct exam *x)
{
    struct buf sql;
    buf_init(&sql);
    buf_printf(&sql,
               "SELECT coalesce(has_table_privilege(to_regclass('%s.fleet'), 'SELECT'), false)",
               x->config->pg_schema);
    PGresult *r = ask(x, "The view of instances", buf_cstr(&sql));
    long n = 0;
    if (r != NULL && yes(r, 0)) {
        PQclear(r);
        r = ask_schema(x, "The number of instances", "SELECT count(*) FROM %.fleet");
        n = r != NULL ? number(r, 0) : 0;
    }
    PQclear(r);
    buf_release(&sql);
    return n;
}

/* The first instance needs room for itself and for the one that replaces it; those that run, for as
 * many again. */
static void judge_room(struct exam *x, long left, const char *room)
{
    static const char remedy[] =
        "Raise the limit, end other clients, or lower pg-read-lanes and pg-commit-lanes.";
    long needed = connections_needed(x->config);
    long running = instances_running(x);
    long first = connections_at_start(x->config);
    if (left < first && running == 0)
        say(x, FINDING_BLOCKER, remedy, "%s; an instance takes up to %ld.", room, needed);
    else if (left < first)
        say(x, FINDING_WARNING, remedy,
            "%s; an instance takes up to %ld, so that none can be added to the "
            "%ld that run, or replace one before it has ended.",
            room, needed, running);
    else if (left < needed * (running > 0 ? running : 2))
        say(x, FINDING_WARNING, remedy,
            "%s; an instance takes up to %ld, and %ld run: they cannot all be "
            "replaced at the same time.",
            room, needed, running);
    else
        say(x, FINDING_GOOD, NULL, "%s; an instance takes up to %ld, and %ld run.", room, needed,
            running);
}

/* What of the limits leaves least. */
static void look_at_connections(struct exam *x)
{
    if (x->pooled)
        return; /* they are the pooler's */
    PGresult *r =
        ask(x, "The room for connections",
            "SELECT current_setting('max_connections')::int"
            "  - CASE WHEN r.rolsuper THEN 0 ELSE "
            "current_setting('superuser_reserved_connections')::int"
            "    + coalesce(current_setting('reserved_connections', true)::int, 0) END,"
            " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            "   AND application_name IS DISTINCT FROM 'respgres doctor'),"
            " r.rolconnlimit, (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user"
            "   AND application_name IS DISTINCT FROM 'respgres doctor'),"
            " d.datconnlimit, (SELECT count(*) FROM pg_stat_activity WHERE datname = d.datname"
            "   AND application_name IS DISTINCT FROM 'respgres doctor')"
            " FROM pg_roles r, pg_database d"
            " WHERE r.rolname = current_user AND d.datname = current_database()");
    if (r == NULL)
        return;
    static const char *const owners[] = {"the server", "the role", "the database"};
    long left = INT32_MAX;
    int which = 0;
    for (int i = 0; i < 3; i++) {
        long limit = number(r, 2 * i);
        if (limit >= 0 && limit - number(r, 2 * i + 1) < left) {
            left = limit - number(r, 2 * i + 1);
            which = i;
        }
    }
    struct buf room;
    buf_init(&room);
    buf_printf(&room, "%s has room for %ld more connections (%ld of %ld are used)", owners[which],
               left < 0 ? 0 : left, number(r, 2 * which + 1), number(r, 2 * which));
    judge_room(x, left, buf_cstr(&room));
    buf_release(&room);
    PQclear(r);
}

/* ---- the schema ---- */

/* As docs/postgresql.md has it for a role that does not own the schema. */
static const char grants_sql[] =
    "SELECT string_agg(format('GRANT %s ON %s%I.%I TO %I;', privilege,"
    "   CASE kind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END, '%', name, current_user), ' ')"
    " FROM (VALUES ('r', 'meta', 'SELECT'), ('r', 'fleet', 'SELECT'),"
    "   ('r', 'spaces', 'SELECT'), ('r', 'spaces', 'INSERT'), ('r', 'spaces', 'UPDATE'),"
    "   ('r', 'instances', 'SELECT'), ('r', 'instances', 'INSERT'), ('r', 'instances', 'UPDATE'),"
    "   ('r', 'entries', 'SELECT'), ('r', 'entries', 'INSERT'), ('r', 'entries', 'UPDATE'),"
    "   ('r', 'entries', 'DELETE'), ('r', 'lanes', 'SELECT'), ('r', 'lanes', 'INSERT'),"
    "   ('r', 'lanes', 'UPDATE'), ('r', 'lanes', 'DELETE'), ('r', 'abandoned_spaces', 'SELECT'),"
    "   ('r', 'abandoned_spaces', 'INSERT'), ('r', 'abandoned_spaces', 'DELETE'),"
    "   ('r', 'conflicts', 'SELECT'), ('r', 'conflicts', 'DELETE'), ('r', 'merges', 'SELECT'),"
    "   ('r', 'merges', 'DELETE'), ('r', 'messages', 'SELECT'), ('r', 'messages', 'INSERT'),"
    "   ('r', 'messages', 'DELETE'), ('S', 'space_seq', 'USAGE'), ('S', 'entries_id_seq', 'UPDATE'),"
    /* for a merge */
    "   ('m', 'journals', 'SELECT'), ('m', 'journals', 'INSERT'), ('m', 'journals', 'UPDATE'),"
    "   ('m', 'merges', 'INSERT'), ('m', 'merges', 'UPDATE'), ('m', 'conflicts', 'INSERT'))"
    " AS g (kind, name, privilege)"
    " JOIN pg_class c ON c.relname = g.name AND c.relnamespace = '%'::regnamespace"
    " WHERE NOT CASE g.kind WHEN 'S' THEN has_sequence_privilege(c.oid, privilege)"
    "   ELSE has_table_privilege(c.oid, privilege) END";

static bool needs_merges(const struct exam *x)
{
    return policy_fallback(x->config->fallback, bytes_of(NULL, 0)) != FALLBACK_OFF;
}

static void look_at_grants(struct exam *x)
{
    struct buf sql;
    buf_init(&sql);
    /* format() has a % of its own. */
    for (const char *at = grants_sql; *at != '\0'; at++) {
        if (at[0] == '\'' && at[1] == '%' && at[2] == '\'') {
            buf_printf(&sql, "'%s'", x->config->pg_schema);
            at += 2;
        } else {
            buf_append_u8(&sql, (uint8_t)*at);
        }
    }
    if (!needs_merges(x))
        buf_append_cstr(&sql, " AND g.kind <> 'm'");
    PGresult *r = ask(x, "The grants", buf_cstr(&sql));
    buf_release(&sql);
    if (r == NULL)
        return;
    if (PQgetvalue(r, 0, 0)[0] != '\0')
        say(x, FINDING_BLOCKER, PQgetvalue(r, 0, 0),
            "The role lacks rights on the tables of schema %s.", x->config->pg_schema);
    else
        say(x, FINDING_GOOD, NULL, "The role has the rights it needs on the tables of schema %s.",
            x->config->pg_schema);
    PQclear(r);
}

static void judge_version(struct exam *x, bool owner)
{
    PGresult *r = ask_schema(x, "The schema's version", "SELECT version, least_binary FROM %.meta");
    if (r == NULL)
        return;
    long version = number(r, 0);
    const char *schema = x->config->pg_schema;
    if (number(r, 1) > migration_count)
        say(x, FINDING_BLOCKER, "Install a newer respgres.",
            "Schema %s is at version %ld and serves only "
            "binaries made for %ld or later; this one is made for %d.",
            schema, version, number(r, 1), migration_count);
    else if (version >= migration_count)
        say(x, FINDING_GOOD, NULL, "Schema %s is at version %ld; this binary needs %d.", schema,
            version, migration_count);
    else if (!x->config->auto_migrate || !owner)
        say(x, FINDING_BLOCKER, "Run respgres --migrate as the schema's owner.",
            "Schema %s is at version %ld, this binary needs %d, and %s.", schema, version,
            migration_count, owner ? "auto-migrate is no" : "the role does not own it");
    else
        say(x, FINDING_NOTE, NULL, "Schema %s is at version %ld; the start brings it to %d.",
            schema, version, migration_count);
    PQclear(r);
}

static void judge_missing(struct exam *x, bool may_create, const PGresult *r)
{
    const char *schema = x->config->pg_schema;
    struct buf grant;
    buf_init(&grant);
    buf_printf(&grant,
               "GRANT CREATE ON DATABASE \"%s\" TO \"%s\"; or: CREATE SCHEMA %s AUTHORIZATION "
               "\"%s\";",
               PQgetvalue(r, 0, 4), PQgetvalue(r, 0, 5), schema, PQgetvalue(r, 0, 5));
    if (!x->config->auto_migrate)
        say(x, FINDING_BLOCKER, "Run respgres --migrate, or set auto-migrate yes.",
            "There are no tables in schema %s, and auto-migrate is no.", schema);
    else if (!may_create)
        say(x, FINDING_BLOCKER, buf_cstr(&grant),
            "There is no schema %s with tables, and the role may not "
            "make it.",
            schema);
    else
        say(x, FINDING_GOOD, NULL, "There are no tables in schema %s yet; the start makes them.",
            schema);
    buf_release(&grant);
}

static void look_at_schema(struct exam *x)
{
    PGresult *r = ask_schema(
        x, "The schema",
        "SELECT n.oid IS NOT NULL, coalesce(pg_has_role(n.nspowner, 'USAGE'), false),"
        " has_database_privilege(current_database(), 'CREATE'),"
        " EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid AND relname = 'meta'),"
        " current_database(), current_user, coalesce(has_schema_privilege(n.oid, 'USAGE'), false),"
        " coalesce(has_schema_privilege(n.oid, 'CREATE'), false)"
        " FROM (VALUES (1)) AS one LEFT JOIN pg_namespace n ON n.nspname = '%'");
    if (r == NULL)
        return;
    bool there = yes(r, 0), owner = yes(r, 1), tables = yes(r, 3);
    if (!tables) {
        judge_missing(x, there ? yes(r, 7) : yes(r, 2), r);
    } else if (!yes(r, 6)) {
        say(x, FINDING_BLOCKER,
            "GRANT USAGE ON SCHEMA ... TO the role, and the grants of "
            "docs/postgresql.md.",
            "The role %s may not use schema %s.", PQgetvalue(r, 0, 5), x->config->pg_schema);
    } else {
        look_at_grants(x);
        judge_version(x, owner);
        if (!owner && x->config->vacuum)
            say(x, FINDING_NOTE, "Set vacuum no.",
                "The role does not own the tables: before PostgreSQL "
                "17 it cannot VACUUM them.");
    }
    PQclear(r);
}

void postgres_doctor(const struct config *config, finding_cb found, void *arg)
{
    struct exam x = {.config = config, .found = found, .arg = arg};
    if (connect_to(&x)) {
        look_at_version(&x);
        look_at_tls(&x);
        look_at_writing(&x);
        look_at_schema(&x);
        look_at_pooler(&x);
        look_at_connections(&x);
        look_at_durability(&x);
        look_at_time(&x);
    }
    PQfinish(x.conn);
}
