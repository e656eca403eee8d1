#include "event/http_server.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <signal.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "event/loop_base.h"

enum {
    MAX_HEADERS = 8 * 1024,
    MAX_BODY = 1024,
    IDLE_S = 10,
    ACCEPT_RETRY_US = 1000 * 1000, /* after running out of descriptors */
};

struct http_server {
    struct loop *loop;
    struct evhttp *http;
    struct evconnlistener *listeners[LISTENER_MAX];
    int count;
    struct timer *accept_retry;
    http_handler handler;
    void *arg;
};

struct http_exchange {
    struct evhttp_request *request;
    bool answered;
};

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

struct bytes http_exchange_path(const struct http_exchange *x)
{
    const char *uri = evhttp_request_get_uri(x->request);
    return bytes_of(uri, strcspn(uri, "?#"));
}

void http_exchange_reply(struct http_exchange *x, int status, const char *content_type,
                         struct bytes body)
{
    CHECK(!x->answered);
    x->answered = true;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(x->request);
    evhttp_add_header(headers, "Content-Type", content_type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    /* Said by hand: libevent would send a body after HEAD, and count it. */
    char length[NUM_INT_SIZE];
    num_format_int64((int64_t)body.len, length);
    evhttp_add_header(headers, "Content-Length", length);
    struct evbuffer *out = evbuffer_new();
    CHECK(out != NULL);
    if (evhttp_request_get_command(x->request) != EVHTTP_REQ_HEAD)
        evbuffer_add(out, body.data, body.len);
    evhttp_send_reply(x->request, status, reason(status), out);
    evbuffer_free(out);
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct http_server *s = arg;
    struct http_exchange x = {.request = request};
    loop_woke(s->loop);
    s->handler(s->arg, &x);
    CHECK(x.answered);
}

/* Out of descriptors: the listener stays readable, so look away until the next retry. The argument
 * is libevent's own, not the server, hence a retry that is always set. */
static void on_accept_error(struct evconnlistener *listener, void *unused)
{
    (void)unused;
    evconnlistener_disable(listener);
}

static void on_accept_retry(void *arg)
{
    struct http_server *s = arg;
    for (int i = 0; i < s->count; i++)
        evconnlistener_enable(s->listeners[i]);
    timer_set(s->accept_retry, ACCEPT_RETRY_US);
}

static void serve_on(struct http_server *s, int fd)
{
    struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(s->http, fd);
    CHECK(bound != NULL);
    struct evconnlistener *listener = evhttp_bound_socket_get_listener(bound);
    evconnlistener_set_error_cb(listener, on_accept_error);
    s->listeners[s->count++] = listener;
}

struct http_server *http_server_new(struct loop *l, const char *addresses,
                                    const struct listener_options *o, http_handler handler,
                                    void *arg, struct buf *error)
{
    int fds[LISTENER_MAX];
    int count = 0;
    if (!listener_open(addresses, o, fds, &count, error))
        return NULL;
    /* libevent writes without MSG_NOSIGNAL: a gone peer must not end the process. */
    signal(SIGPIPE, SIG_IGN);
    struct http_server *s = mem_zalloc(sizeof(*s));
    s->loop = l;
    s->handler = handler;
    s->arg = arg;
    s->http = evhttp_new(loop_event_base(l));
    CHECK(s->http != NULL);
    s->accept_retry = timer_new(l, on_accept_retry, s);
    timer_set(s->accept_retry, ACCEPT_RETRY_US);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(s->http, MAX_HEADERS);
    evhttp_set_max_body_size(s->http, MAX_BODY);
    evhttp_set_timeout(s->http, IDLE_S);
    evhttp_set_gencb(s->http, on_request, s);
    for (int i = 0; i < count; i++)
        serve_on(s, fds[i]);
    return s;
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    timer_free(s->accept_retry);
    evhttp_free(s->http);
    mem_free(s);
}
