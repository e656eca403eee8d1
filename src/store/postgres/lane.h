/* lane: one non-blocking libpq connection in pipeline mode, one operation in flight at a time. An
 * operation is a few statements and a Sync, queued whole before the first flush; its results are
 * handed over together when the Sync has been answered. Each item sent is one expectation, each
 * result pops one.
 *
 * States: down → connecting → ready ⇄ busy; any → down. `lost` is reported once per connection, from
 * the loop, never from within a call. */
#ifndef RESPGRES_STORE_POSTGRES_LANE_H
#define RESPGRES_STORE_POSTGRES_LANE_H

#include <libpq-fe.h>

#include "event/loop.h"
#include "store/postgres/hosts.h"
#include "store/postgres/params.h"

enum lane_state { LANE_DOWN, LANE_CONNECTING, LANE_READY, LANE_BUSY };

enum { LANE_MAX_RESULTS = 32 };

struct lane;

struct lane_events {
    void (*connected)(void *arg, struct lane *l);
    /* The connection is gone (or was never made); the lane is down. An operation in flight has no
     * other end than this. `why` is one line without secrets. */
    void (*lost)(void *arg, struct lane *l, const char *why);
    /* A NOTIFY for a channel that the session listens to; before the results that came behind it. Must
     * not close the lane. */
    void (*notified)(void *arg, struct lane *l, const char *payload);
};

/* `name` appears in application_name and logs; borrowed, as `hosts` is, which all lanes share. */
struct lane *lane_new(struct loop *loop, struct hosts *hosts, const char *name,
                      const struct lane_events *events, void *arg);
void lane_free(struct lane *l);

/* How to connect, together: */
enum {
    LANE_ANY_SERVER = 1,    /* a read-only one, too */
    LANE_BEHIND_POOLER = 2, /* what greets is not PostgreSQL */
};

/* Only from down. `application_name` is borrowed until the lane is ready or down. Nothing blocks,
 * unless the string names a service of libpq's with host names in it. */
void lane_connect(struct lane *l, const char *conninfo, const char *application_name,
                  int64_t timeout_us, int how);
/* Closes at once without a report. */
void lane_close(struct lane *l);

enum lane_state lane_state(const struct lane *l);

/* ---- one operation: begin, add statements, submit ---- */

typedef void (*lane_done)(void *arg, struct lane *l, PGresult **results, int n);

/* Only when ready. */
void lane_begin(struct lane *l);
void lane_add_prepare(struct lane *l, const char *name, const char *text);
/* A prepared statement; results in binary, or in text. */
void lane_add(struct lane *l, const char *name, struct params *p, bool binary);
/* An unprepared statement. */
void lane_add_text(struct lane *l, const char *text, struct params *p, bool binary);
/* The result of the statement added last is not handed over, unless it is an error: then it stands in
 * its place. Once per operation. */
void lane_keep_back(struct lane *l);
/* `done` gets the results in order; they are freed after it returns. The lane is ready again when
 * it is called. If PostgreSQL sends nothing for `timeout_us`, the connection is given up. */
void lane_submit(struct lane *l, int64_t timeout_us, lane_done done);

/* A script of several statements by the simple protocol (migrations), as an operation of its own;
 * only the last result, or the first error, is handed over. */
void lane_script(struct lane *l, const char *script, int64_t timeout_us, lane_done done);

/* The server said, since the last lane_begin, that a commit is not known to be replicated: success
 * with the warning "canceling wait for synchronous replication" is no acknowledgement. */
bool lane_commit_uncertain(const struct lane *l);

/* clock_mono_us() when the last operation began: nothing of it was sent before. libpq sends what is large
 * while it is being added. */
int64_t lane_begun_us(const struct lane *l);

/* clock_mono_us() at its lane_submit, for statistics. */
int64_t lane_sent_us(const struct lane *l);

/* When PostgreSQL last sent a byte (clock_mono_us), on whatever connection; 0 = never. While connecting,
 * only where it is known who greets: not behind a pooler, nor with several hosts. */
int64_t lane_heard_us(const struct lane *l);

/* Counters since the start. */
uint64_t lane_connects(const struct lane *l);

/* The first failed result, or NULL. Aborted ones behind it do not count. */
const PGresult *lane_first_error(PGresult **results, int n);
/* SQLSTATE, "" if there is none. */
const char *lane_sqlstate(const PGresult *r);
/* The error's primary message on one line into `out`. */
void lane_error_text(const PGresult *r, char *out, size_t size);

#endif
