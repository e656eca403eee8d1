#include "http/http.h"

#include "base/mem.h"
#include "event/http_server.h"

enum { BACKLOG = 128 };

struct http {
    struct http_server *server; /* NULL = turned off */
    struct engine *engine;      /* for answers about the store's state */
};

struct route {
    struct bytes path;
    void (*answer)(struct http *h, struct http_exchange *x);
};

static void answer_text(struct http_exchange *x, int status, struct bytes body)
{
    http_exchange_reply(x, status, "text/plain; charset=utf-8", body);
}

static void answer_healthz(struct http *h, struct http_exchange *x)
{
    (void)h;
    answer_text(x, 200, BYTES_LIT("ok\n"));
}

static const struct route routes[] = {
    {{"/healthz", sizeof("/healthz") - 1}, answer_healthz},
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

void http_free(struct http *h)
{
    if (h == NULL)
        return;
    http_server_free(h->server);
    mem_free(h);
}
