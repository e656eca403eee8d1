#include "store/postgres/lane.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct lane {
    struct loop *loop;
    const char *name;
    const struct lane_events *events;
    void *arg;
    struct hosts *hosts;
    enum lane_state state;
    /* the connection attempt */
    struct hosts_search *search;
    struct targets targets;
    char *conninfo;
    const char *application_name;
    PGconn *conn;
    struct io *io;
    struct timer *timer;    /* limit of the connection attempt or of silence in an operation */
    struct timer *failure;  /* reports `lost` from the loop */
    int64_t timeout_us;
    int64_t begun_us;
    int64_t sent_us;
    int64_t heard_us;
    int how;                /* LANE_ANY_SERVER ... */
    /* the operation */
    bool script;            /* simple protocol, pipeline mode off */
    int expected;           /* statements sent */
    int kept_back;          /* the one of them whose result is not handed over, or -1 */
    int nresults;
    PGresult *results[LANE_MAX_RESULTS];
    lane_done done;
    bool commit_uncertain;
    char why[256];
    uint64_t connects;
};

static void set_state(struct lane *l, enum lane_state to)
{
    static const bool legal[4][4] = {
        [LANE_DOWN] = {[LANE_CONNECTING] = true},
        [LANE_CONNECTING] = {[LANE_DOWN] = true, [LANE_READY] = true},
        [LANE_READY] = {[LANE_DOWN] = true, [LANE_BUSY] = true},
        [LANE_BUSY] = {[LANE_DOWN] = true, [LANE_READY] = true},
    };
    CHECK(legal[l->state][to]);
    l->state = to;
}

static void one_line(char *s)
{
    size_t n = strlen(s);
    while (n > 0 && (s[n - 1] == '\n' || s[n - 1] == ' '))
        s[--n] = '\0';
    for (char *p = s; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\r' || *p == '\t')
            *p = ' ';
    }
}

static void drop_results(struct lane *l)
{
    for (int i = 0; i < l->nresults; i++)
        PQclear(l->results[i]);
    l->nresults = 0;
    l->expected = 0;
    l->kept_back = -1;
    l->done = NULL;
    l->script = false;
}

/* Everything of the connection goes; the state is down. */
static void drop_connection(struct lane *l)
{
    timer_clear(l->timer);
    io_free(l->io);
    l->io = NULL;
    hosts_cancel(l->search);
    l->search = NULL;
    targets_release(&l->targets);
    mem_free(l->conninfo);
    l->conninfo = NULL;
    if (l->conn != NULL)
        PQfinish(l->conn);
    l->conn = NULL;
    drop_results(l);
    if (l->state != LANE_DOWN)
        set_state(l, LANE_DOWN);
}

static void fail(struct lane *l, const char *why)
{
    if (l->state == LANE_DOWN)
        return;
    snprintf(l->why, sizeof(l->why), "%s", why);
    one_line(l->why);
    drop_connection(l);
    timer_set(l->failure, 0);
}

static void on_failure(void *arg)
{
    struct lane *l = arg;
    l->events->lost(l->arg, l, l->why);
}

static void on_timer(void *arg)
{
    struct lane *l = arg;
    char why[256] = "no answer in time";
    if (l->search != NULL) {
        snprintf(why, sizeof(why), "no address in time for host name \"%s\"",
                 hosts_missing(l->search));
    } else if (l->state == LANE_CONNECTING) {
        snprintf(why, sizeof(why), "no connection in time: %s, port %s", PQhost(l->conn),
                 PQport(l->conn));
        hosts_failed(l->hosts, &l->targets, l->conn);
    }
    fail(l, why);
}

struct lane *lane_new(struct loop *loop, struct hosts *hosts, const char *name,
                      const struct lane_events *events, void *arg)
{
    struct lane *l = mem_zalloc(sizeof(*l));
    l->loop = loop;
    l->hosts = hosts;
    l->name = name;
    l->events = events;
    l->arg = arg;
    l->kept_back = -1;
    l->timer = timer_new(loop, on_timer, l);
    l->failure = timer_new(loop, on_failure, l);
    return l;
}

void lane_close(struct lane *l)
{
    timer_clear(l->failure);
    drop_connection(l);
}

void lane_free(struct lane *l)
{
    if (l == NULL)
        return;
    lane_close(l);
    timer_free(l->timer);
    timer_free(l->failure);
    mem_free(l);
}

/* ---- connecting ---- */

static void on_notice(void *arg, const PGresult *r)
{
    struct lane *l = arg;
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *function = PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION);
    if (function != NULL && strcmp(function, "SyncRepWaitForLSN") == 0)
        l->commit_uncertain = true;
    if (text == NULL || severity == NULL || strcmp(severity, "WARNING") != 0)
        return;
    char quoted[LOG_QUOTE_SIZE];
    log_event(LOG_NOTICE, "postgres-warning", "lane=%s text=%s", l->name, log_quote(text, quoted));
}

static void on_connecting(void *arg, int events);
static void on_ready(void *arg, int events);

static void connected(struct lane *l)
{
    timer_clear(l->timer);
    hosts_connected(l->hosts, &l->targets, l->conn);
    if (PQsetnonblocking(l->conn, 1) != 0 || PQenterPipelineMode(l->conn) != 1) {
        fail(l, PQerrorMessage(l->conn));
        return;
    }
    l->io = io_new(l->loop, PQsocket(l->conn), on_ready, l);
    io_want(l->io, IO_READ);
    l->connects++;
    set_state(l, LANE_READY);
    l->events->connected(l->arg, l);
}

/* The socket may be another one after each step (several hosts or addresses). */
static void poll_connection(struct lane *l)
{
    PostgresPollingStatusType status = PQconnectPoll(l->conn);
    io_free(l->io);
    l->io = NULL;
    if (status == PGRES_POLLING_OK) {
        connected(l);
    } else if (status == PGRES_POLLING_FAILED) {
        hosts_failed(l->hosts, &l->targets, l->conn);
        fail(l, PQerrorMessage(l->conn));
    } else {
        l->io = io_new(l->loop, PQsocket(l->conn), on_connecting, l);
        io_want(l->io, status == PGRES_POLLING_READING ? IO_READ : IO_WRITE);
    }
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

/* Several addresses of one name are one host. */
static bool knows_who_greets(const struct lane *l)
{
    const struct targets *t = &l->targets;
    for (size_t i = 1; i < t->n; i++) {
        if (!same_text(t->items[i].host, t->items[0].host) ||
            !same_text(t->items[i].port, t->items[0].port))
            return false;
    }
    return (l->how & LANE_BEHIND_POOLER) == 0;
}

/* The end of a connection can be read, too: it is no byte. */
static bool has_bytes(const struct lane *l)
{
    char byte;
    return recv(PQsocket(l->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void on_connecting(void *arg, int events)
{
    struct lane *l = arg;
    if ((events & IO_READ) && knows_who_greets(l) && has_bytes(l))
        l->heard_us = loop_now_us(l->loop);
    poll_connection(l);
}

static void start_connection(struct lane *l)
{
    struct buf lists[3]; /* host, hostaddr, port */
    char user_timeout[24];
    snprintf(user_timeout, sizeof(user_timeout), "%lld", (long long)(l->timeout_us / 1000));
    for (int i = 0; i < 3; i++)
        buf_init(&lists[i]);
    targets_lists(&l->targets, &lists[0], &lists[1], &lists[2]);
    /* What stands before dbname may be overridden by it; what follows it may not, where it is not
     * empty. */
    const char *keywords[] = {"gssencmode", "keepalives_idle", "keepalives_interval",
                              "keepalives_count", "tcp_user_timeout", "target_session_attrs",
                              "dbname", "host", "hostaddr", "port", "application_name",
                              "client_encoding", NULL};
    const char *values[] = {"disable", "5", "2", "3", user_timeout,
                            l->how & LANE_ANY_SERVER ? "any" : "read-write", l->conninfo,
                            buf_cstr(&lists[0]), buf_cstr(&lists[1]), buf_cstr(&lists[2]),
                            l->application_name, "UTF8", NULL};
    l->conn = PQconnectStartParams(keywords, values, 1);
    for (int i = 0; i < 3; i++)
        buf_release(&lists[i]);
    CHECK(l->conn != NULL);
    if (PQstatus(l->conn) == CONNECTION_BAD) {
        fail(l, PQerrorMessage(l->conn));
        return;
    }
    PQsetNoticeReceiver(l->conn, on_notice, l);
    l->io = io_new(l->loop, PQsocket(l->conn), on_connecting, l);
    io_want(l->io, IO_WRITE);
}

static void on_hosts(void *arg, struct targets *found, const char *error)
{
    struct lane *l = arg;
    l->search = NULL;
    l->targets = *found;
    if (error != NULL)
        fail(l, error);
    else
        start_connection(l);
}

void lane_connect(struct lane *l, const char *conninfo, const char *application_name,
                  int64_t timeout_us, int how)
{
    l->how = how;
    set_state(l, LANE_CONNECTING);
    l->conninfo = mem_strdup(conninfo);
    l->application_name = application_name;
    l->timeout_us = timeout_us;
    timer_set(l->timer, timeout_us);
    l->search = hosts_find(l->hosts, conninfo, timeout_us, on_hosts, l);
}

/* ---- operations ---- */

static void flush(struct lane *l)
{
    int rc = PQflush(l->conn);
    if (rc < 0)
        fail(l, PQerrorMessage(l->conn));
    else
        io_want(l->io, rc == 0 ? IO_READ : IO_READ | IO_WRITE);
}

static void drop_kept_back(struct lane *l)
{
    int i = l->kept_back;
    if (i < 0 || PQresultStatus(l->results[i]) != PGRES_TUPLES_OK)
        return;
    PQclear(l->results[i]);
    l->nresults--;
    memmove(&l->results[i], &l->results[i + 1], (size_t)(l->nresults - i) * sizeof(*l->results));
}

static void complete(struct lane *l)
{
    PGresult *results[LANE_MAX_RESULTS];
    lane_done done = l->done;
    if (l->script && PQenterPipelineMode(l->conn) != 1) {
        fail(l, PQerrorMessage(l->conn));
        return;
    }
    CHECK(l->script || l->nresults == l->expected);
    drop_kept_back(l);
    int n = l->nresults;
    memcpy(results, l->results, sizeof(results));
    l->nresults = 0;
    drop_results(l);
    timer_clear(l->timer);
    set_state(l, LANE_READY);
    done(l->arg, l, results, n);
    for (int i = 0; i < n; i++)
        PQclear(results[i]);
}

/* Of a script only the first error or else the last result is of interest. */
static void keep_script_result(struct lane *l, PGresult *r)
{
    if (l->nresults == 1) {
        if (PQresultStatus(l->results[0]) == PGRES_FATAL_ERROR) {
            PQclear(r);
            return;
        }
        PQclear(l->results[0]);
        l->nresults = 0;
    }
    l->results[l->nresults++] = r;
}

/* Takes what has arrived; true when the operation is complete. */
static bool take_results(struct lane *l)
{
    int separators = 0;
    while (l->state == LANE_BUSY && !PQisBusy(l->conn)) {
        PGresult *r = PQgetResult(l->conn);
        if (r == NULL) {
            if (l->script)
                return true;
            /* In pipeline mode NULL only separates the results of two statements. */
            if (++separators > 4)
                return false;
            continue;
        }
        separators = 0;
        if (PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
            PQclear(r);
            return true;
        }
        if (l->script) {
            keep_script_result(l, r);
            continue;
        }
        if (l->nresults == l->expected) {
            /* The Sync's own answer is an error: the backend ended, or the connection, before it. */
            fail(l, PQresultErrorMessage(r));
            PQclear(r);
            return false;
        }
        l->results[l->nresults++] = r;
    }
    return false;
}

static void take_notifications(struct lane *l)
{
    PGnotify *n;
    while ((n = PQnotifies(l->conn)) != NULL) {
        l->events->notified(l->arg, l, n->extra);
        PQfreemem(n);
        CHECK(l->state == LANE_READY || l->state == LANE_BUSY);
    }
}

static void on_ready(void *arg, int events)
{
    struct lane *l = arg;
    if (l->state != LANE_READY && l->state != LANE_BUSY)
        return;
    if ((events & IO_READ) && PQconsumeInput(l->conn) == 0) {
        fail(l, PQerrorMessage(l->conn));
        return;
    }
    if (events & IO_READ)
        l->heard_us = loop_now_us(l->loop);
    take_notifications(l);
    if (l->state == LANE_READY) {
        /* Unasked-for input: a notice, or the end. */
        if (!PQisBusy(l->conn)) {
            PGresult *r = PQgetResult(l->conn);
            PQclear(r);
        }
        if (PQstatus(l->conn) == CONNECTION_BAD)
            fail(l, PQerrorMessage(l->conn));
        return;
    }
    timer_set(l->timer, l->timeout_us);
    flush(l);
    if (l->state == LANE_BUSY && take_results(l))
        complete(l);
    else if (l->state == LANE_BUSY && PQstatus(l->conn) == CONNECTION_BAD)
        fail(l, PQerrorMessage(l->conn));
}

void lane_begin(struct lane *l)
{
    CHECK(l->state == LANE_READY && l->expected == 0);
    l->commit_uncertain = false;
    l->begun_us = clock_mono_us();
}

static void added(struct lane *l, int rc)
{
    CHECK(l->state == LANE_READY && l->expected < LANE_MAX_RESULTS);
    l->expected++;
    if (rc != 1)
        snprintf(l->why, sizeof(l->why), "%s", PQerrorMessage(l->conn));
}

void lane_add_prepare(struct lane *l, const char *name, const char *text)
{
    added(l, PQsendPrepare(l->conn, name, text, 0, NULL));
}

void lane_add(struct lane *l, const char *name, struct params *p, bool binary)
{
    params_finish(p);
    added(l, PQsendQueryPrepared(l->conn, name, p->n, p->values, p->lengths, p->formats, binary));
}

void lane_add_text(struct lane *l, const char *text, struct params *p, bool binary)
{
    params_finish(p);
    added(l, PQsendQueryParams(l->conn, text, p->n, NULL, p->values, p->lengths, p->formats, binary));
}

void lane_keep_back(struct lane *l)
{
    CHECK(l->expected > 0 && l->kept_back < 0);
    l->kept_back = l->expected - 1;
}

static void start(struct lane *l, int64_t timeout_us, lane_done done)
{
    l->done = done;
    l->timeout_us = timeout_us;
    l->sent_us = clock_mono_us();
    set_state(l, LANE_BUSY);
    timer_set(l->timer, timeout_us);
    flush(l);
}

void lane_submit(struct lane *l, int64_t timeout_us, lane_done done)
{
    CHECK(l->expected > 0);
    if (PQpipelineSync(l->conn) != 1) {
        fail(l, PQerrorMessage(l->conn));
        return;
    }
    start(l, timeout_us, done);
}

void lane_script(struct lane *l, const char *script, int64_t timeout_us, lane_done done)
{
    lane_begin(l);
    if (PQexitPipelineMode(l->conn) != 1 || PQsendQuery(l->conn, script) != 1) {
        fail(l, PQerrorMessage(l->conn));
        return;
    }
    l->script = true;
    start(l, timeout_us, done);
}

enum lane_state lane_state(const struct lane *l)
{
    return l->state;
}

bool lane_commit_uncertain(const struct lane *l)
{
    return l->commit_uncertain;
}

int64_t lane_begun_us(const struct lane *l)
{
    return l->begun_us;
}

int64_t lane_sent_us(const struct lane *l)
{
    return l->sent_us;
}

int64_t lane_heard_us(const struct lane *l)
{
    return l->heard_us;
}

uint64_t lane_connects(const struct lane *l)
{
    return l->connects;
}

const PGresult *lane_first_error(PGresult **results, int n)
{
    for (int i = 0; i < n; i++) {
        ExecStatusType s = PQresultStatus(results[i]);
        if (s != PGRES_COMMAND_OK && s != PGRES_TUPLES_OK)
            return results[i];
    }
    return NULL;
}

const char *lane_sqlstate(const PGresult *r)
{
    const char *s = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    return s == NULL ? "" : s;
}

void lane_error_text(const PGresult *r, char *out, size_t size)
{
    const char *s = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    snprintf(out, size, "%s", s != NULL ? s : PQresultErrorMessage(r));
    one_line(out);
}
