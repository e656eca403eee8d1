#include "engine/put_back.h"

#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "event/loop.h"
#include "metrics/metrics.h"

enum { PAUSE_US = 250 * 1000 };

/* What one client has not got. */
struct taken {
    struct list node; /* of sent, or of waiting */
    enum command_id id;
    int db;
    bool kept;               /* it could not be written once: that was logged */
    struct request *request; /* that puts it back; each attempt runs a copy */
};

struct put_back {
    struct engine *engine;
    struct client *nobody; /* NULL until it is needed */
    struct list sent;      /* in the order in which nobody is answered */
    struct list waiting;   /* nothing could be written: until `retry` */
    struct timer *retry;
};

static void taken_free(struct taken *t)
{
    list_remove(&t->node);
    request_free(t->request);
    mem_free(t);
}

static void lose(struct taken *t, struct bytes why)
{
    metrics.blocked_pops_lost++;
    log_event(LOG_WARNING, "blocked-pop-lost", "why=\"%.*s\"", (int)why.len, why.data);
    taken_free(t);
}

/* ---- the client that is nobody's ---- */

/* Whether an error says that nothing has been written for now: PostgreSQL is away, or the row is held. */
static bool is_for_now(struct bytes error)
{
    static const char *const starts[] = {"LOADING ", "READONLY ", "MISCONF ", "OOM "};
    static const char held[] = "nothing was written";
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        size_t len = strlen(starts[i]);
        if (error.len >= len && memcmp(error.data, starts[i], len) == 0)
            return true;
    }
    return memmem(error.data, error.len, held, sizeof(held) - 1) != NULL;
}

static void keep(struct put_back *p, struct taken *t, struct bytes why)
{
    if (!t->kept)
        log_event(LOG_NOTICE, "blocked-pop-kept", "why=\"%.*s\"", (int)why.len, why.data);
    t->kept = true;
    list_remove(&t->node);
    list_push_back(&p->waiting, &t->node);
    timer_set(p->retry, PAUSE_US);
}

/* Its replies are of one line each: numbers, or errors. */
static void on_output(void *arg)
{
    struct put_back *p = arg;
    struct buf *out = client_out(p->nobody);
    const char *at = out->data;
    const char *end = at + out->len;
    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        CHECK(line_end != NULL && !list_empty(&p->sent));
        struct taken *t = LIST_ITEM(p->sent.next, struct taken, node);
        struct bytes line = bytes_of(at + 1, (size_t)(line_end - at - 1));
        if (*at != '-') {
            taken_free(t);
        } else if (is_for_now(line)) {
            keep(p, t, line);
        } else {
            lose(t, line);
        }
        at = line_end + 2;
    }
    out->len = 0;
}

static void on_close(void *arg, bool now)
{
    (void)arg;
    (void)now;
}

static void on_resume(void *arg)
{
    (void)arg;
}

static const struct client_io nobodys_io = {on_output, on_close, on_resume};

/* It is in no list of clients and no count of them. */
static struct client *nobody(struct put_back *p)
{
    static const struct client_info info = {.peer = "", .local = "", .fd = -1};
    struct engine *e = p->engine;
    if (p->nobody == NULL) {
        p->nobody = client_new(e, &nobodys_io, p, &info);
        list_remove(&p->nobody->node);
        e->nclients--;
        e->total_connections--;
        p->nobody->user = NULL; /* nor is it a user's: ACL LOAD does not know of it */
    }
    return p->nobody;
}

static void send(struct put_back *p, struct taken *t)
{
    struct client *c = nobody(p);
    list_push_back(&p->sent, &t->node);
    c->db = t->db;
    client_run_later(c, command_by_id(t->id), request_new(t->request->argc, t->request->argv));
}

static void on_retry(void *arg)
{
    struct put_back *p = arg;
    LIST_EACH(it, &p->waiting)
    {
        struct taken *t = LIST_ITEM(it, struct taken, node);
        list_remove(&t->node);
        send(p, t);
    }
}

struct put_back *put_back_new(struct engine *e)
{
    struct put_back *p = mem_zalloc(sizeof(*p));
    p->engine = e;
    list_init(&p->sent);
    list_init(&p->waiting);
    p->retry = timer_new(e->loop, on_retry, p);
    return p;
}

static void lose_all(struct list *all)
{
    LIST_EACH(it, all)
    lose(LIST_ITEM(it, struct taken, node), BYTES_LIT("the server ends"));
}

void put_back_free(struct put_back *p)
{
    if (p->nobody != NULL) {
        LIST_EACH(it, &p->nobody->txns)
        txn_free(LIST_ITEM(it, struct txn, client_node));
        client_free(p->nobody);
    }
    lose_all(&p->sent);
    lose_all(&p->waiting);
    timer_free(p->retry);
    mem_free(p);
}

/* ---- what was taken ---- */

/* The texts in a reply that we have written, one after the other: of arrays the heads are passed
 * over. Returns how many there are; `out` may have room for fewer. */
static size_t texts_of(struct bytes reply, struct bytes *out, size_t room)
{
    size_t n = 0;
    const char *at = reply.data;
    const char *end = at + reply.len;
    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        CHECK(line_end != NULL);
        struct bytes rest = bytes_of(at + 1, (size_t)(line_end - at - 1));
        char kind = *at;
        at = line_end + 2;
        if (kind == '$') {
            int64_t len;
            CHECK(num_int64(rest, &len) && len >= 0 && len <= end - at);
            rest = bytes_of(at, (size_t)len);
            at += len + 2;
        } else if (kind != ',') {
            CHECK(kind == '*');
            continue;
        }
        if (n < room)
            out[n] = rest;
        n++;
    }
    return n;
}

static bool takes_from_front(const struct txn *t)
{
    const struct request *r = t->single.request;
    if (t->single.cmd->id != CMD_BLMPOP)
        return t->single.cmd->id == CMD_BLPOP;
    for (int i = 3; i < r->argc;
         i++) { /* behind the keys, of which there may be one named "left" */
        if (i == 3 + t->single.nkeys)
            return bytes_ieq(r->argv[i], "left");
    }
    return false;
}

/* LPUSH or RPUSH: what was taken first is put back last. */
static size_t list_command(const struct txn *t, const struct bytes *texts, size_t n,
                           struct bytes *argv)
{
    argv[0] = takes_from_front(t) ? BYTES_LIT("lpush") : BYTES_LIT("rpush");
    argv[1] = texts[0];
    for (size_t i = 1; i < n; i++)
        argv[1 + i] = texts[n - i];
    return n + 1;
}

/* ZADD NX: a member that has come anew meanwhile keeps its score. */
static size_t zset_command(const struct bytes *texts, size_t n, struct bytes *argv)
{
    argv[0] = BYTES_LIT("zadd");
    argv[1] = texts[0];
    argv[2] = BYTES_LIT("nx");
    for (size_t i = 1; i + 1 < n; i += 2) {
        argv[2 + i] = texts[i + 1];
        argv[3 + i] = texts[i];
    }
    return n + 2;
}

void put_back(struct put_back *p, const struct txn *t)
{
    struct bytes reply = buf_bytes(&t->reply);
    size_t n = texts_of(reply, NULL, 0);
    struct bytes *texts = mem_alloc(n * sizeof(*texts));
    struct bytes *argv = mem_alloc((n + 3) * sizeof(*argv));
    (void)texts_of(reply, texts, n);
    bool sorted = t->single.cmd->group == GROUP_SORTED_SET;
    size_t argc = sorted ? zset_command(texts, n, argv) : list_command(t, texts, n, argv);
    enum command_id id = sorted ? CMD_ZADD : takes_from_front(t) ? CMD_LPUSH : CMD_RPUSH;
    struct taken *taken = mem_zalloc(sizeof(*taken));
    *taken = (struct taken){.id = id, .db = t->single.db, .request = request_new((int)argc, argv)};
    char name[KEY_NAME_SIZE];
    log_event(LOG_NOTICE, "blocked-pop-put-back", "key=%s", key_log_name(texts[0], name));
    metrics.blocked_pops_put_back += sorted ? (n - 1) / 2 : n - 1;
    send(p, taken);
    mem_free(texts);
    mem_free(argv);
}
