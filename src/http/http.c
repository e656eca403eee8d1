#include "http/http.h"

#include "base/mem.h"
#include "event/http_server.h"
#include "http/status_page.h"
#include "metrics/page.h"
#include "metrics/process.h"

enum { BACKLOG = 128 };

struct http {
    struct http_server *server; /* NULL = turned off */
    struct engine *engine;      /* for answers about the store's state */
    const struct config *config;
    bool draining;
};

struct route {
    struct bytes path;
    void (*answer)(struct http *h, struct http_exchange *x);
};

static const char text_type[] = "text/plain; charset=utf-8";

static void answer_text(struct http_exchange *x, int status, struct bytes body)
{
    http_exchange_reply(x, status, text_type, body);
}

static void answer_healthz(struct http *h, struct http_exchange *x)
{
    (void)h;
    answer_text(x, 200, BYTES_LIT("ok\n"));
}

/* ---- /readyz ---- */

static void append_json_text(struct buf *out, const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char ch = (unsigned char)*s;
        if (ch == '"' || ch == '\\')
            buf_printf(out, "\\%c", ch);
        else if (ch < ' ' || ch >= 0x7f) /* whatever encoding it had */
            buf_append_u8(out, '?');
        else
            buf_append_u8(out, ch);
    }
}

static void append_age(struct buf *out, int64_t us)
{
    buf_printf(out, "%lld.%03lld", (long long)us / 1000000, (long long)us % 1000000 / 1000);
}

static void write_ready_json(const struct engine_status *st, bool ready, const char *why,
                             const char *dir_is, struct buf *out)
{
    buf_printf(out,
               "{\"ready\": %s, \"state\": \"%s\", \"age_seconds\": ", ready ? "true" : "false",
               st->state_name);
    append_age(out, st->age_us);
    buf_append_cstr(out, ", \"why\": \"");
    append_json_text(out, why);
    buf_printf(out, "\", \"dir_is\": \"%s\"}\n", dir_is);
}

static void write_ready_text(const struct engine_status *st, bool ready, const char *why,
                             const char *dir_is, struct buf *out)
{
    buf_printf(out, "%s\nstate: %s\nage_seconds: ", ready ? "ready" : "not ready", st->state_name);
    append_age(out, st->age_us);
    buf_printf(out, "\nwhy: %s\ndir_is: %s\n", why, dir_is);
}

static void answer_readyz(struct http *h, struct http_exchange *x)
{
    struct engine_status st;
    struct buf body;
    engine_get_status(h->engine, &st);
    bool needs_pg = http_exchange_asks(x, "pg=1");
    bool ready = !h->draining && st.ready && (!needs_pg || st.state == STORE_ONLINE);
    const char *why = h->draining ? "the server is about to end" : st.why;
    /* As configured; what is there tells nobody whether it will be there tomorrow. */
    const char *dir_is = h->config->dir_is == DIR_PERSISTENT ? "persistent" : "ephemeral";
    bool json = http_exchange_asks(x, "format=json");
    buf_init(&body);
    if (json)
        write_ready_json(&st, ready, why, dir_is, &body);
    else
        write_ready_text(&st, ready, why, dir_is, &body);
    http_exchange_reply(x, ready ? 200 : 503, json ? "application/json" : text_type,
                        buf_bytes(&body));
    buf_release(&body);
}

/* ---- the others ---- */

static void answer_metrics(struct http *h, struct http_exchange *x)
{
    struct buf body;
    buf_init(&body);
    struct metrics_page *page = page_new();
    engine_collect(h->engine, page);
    process_collect(page);
    page_write(page, &body);
    page_free(page);
    http_exchange_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_bytes(&body));
    buf_release(&body);
}

static void answer_status(struct http *h, struct http_exchange *x)
{
    struct engine_status st;
    struct buf body;
    engine_get_status(h->engine, &st);
    buf_init(&body);
    status_page_write(h->engine, h->config->instance_name, st.ready && !h->draining, &body);
    http_exchange_reply(x, 200, "text/html; charset=utf-8", buf_bytes(&body));
    buf_release(&body);
}

#define ROUTE(path, answer)              \
    {                                    \
        {path, sizeof(path) - 1}, answer \
    }

static const struct route routes[] = {
    ROUTE("/healthz", answer_healthz),
    ROUTE("/readyz", answer_readyz),
    ROUTE("/metrics", answer_metrics),
    ROUTE("/", answer_status),
};

static void on_request(void *arg, struct http_exchange *x)
{
    struct http *h = arg;
    struct bytes path = http_exchange_path(x);
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (bytes_eq(path, routes[i].path)) {
            routes[i].answer(h, x);
            return;
        }
    }
    answer_text(x, 404, BYTES_LIT("not found\n"));
}

struct http *http_new(struct loop *loop, struct config_store *config, struct engine *engine,
                      struct buf *error)
{
    const struct config *c = config_values(config);
    struct http *h = mem_zalloc(sizeof(*h));
    h->engine = engine;
    h->config = c;
    if (c->http_port == 0)
        return h;
    struct listener_options o = {.name = "http-bind",
                                 .port = (uint16_t)c->http_port,
                                 .backlog = BACKLOG,
                                 .reuseport = c->so_reuseport};
    h->server = http_server_new(loop, c->http_bind, &o, on_request, h, error);
    if (h->server == NULL) {
        http_free(h);
        return NULL;
    }
    return h;
}

void http_begin_drain(struct http *h)
{
    h->draining = true;
}

void http_free(struct http *h)
{
    if (h == NULL)
        return;
    http_server_free(h->server);
    mem_free(h);
}
