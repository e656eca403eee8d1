/* bench_load: N clients of a server that speaks RESP, in one thread, with one epoll loop. Prints
 * one line of name=value: requests per second and their latency.
 *
 * redis-benchmark has no pattern of two commands and no way to change the bytes of each SET; this
 * generator makes every number of bench/compare that a RESP server has a part in. A request of the
 * session pattern is a GET and the SETEX behind it. Latency is that of a round (all `depth`
 * requests are sent together), from before it is sent until its last reply. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "args.h"
#include "base/mem.h"
#include "load_client.h"

struct options {
    const char *socket; /* path; NULL = TCP */
    double port;
    const char *pattern;
    const char *content;
    const char *prefix;
    double clients, depth, seconds, warmup, requests, rate, keys, size, same, ttl, seed;
    bool hold;
};

struct run {
    struct load load;
    int epoll;
    size_t nclients;
    struct client *clients;
    double rate; /* requests per second; 0 = as fast as they are answered */
    int64_t started_ns;
    int64_t measured_ns; /* when the warm-up was over */
    int64_t deadline_ns; /* INT64_MAX = when `requests` are done */
};

static const char *const pattern_names[] = {"ping",    "set",  "get",     "incr", "incr-hot",
                                            "session", "fill", "rewrite", "grow"};

static enum pattern pattern_of(const char *name)
{
    for (size_t i = 0; i < sizeof(pattern_names) / sizeof(pattern_names[0]); i++) {
        if (strcmp(name, pattern_names[i]) == 0)
            return (enum pattern)i;
    }
    die("no pattern '%s'", name);
}

static int connect_to(const struct options *o)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
    bool tcp = o->socket == NULL;
    int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
    if (tcp) {
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", o->socket);
    }
    const struct sockaddr *to = tcp ? (struct sockaddr *)&in : (struct sockaddr *)&un;
    if (fd < 0 || connect(fd, to, tcp ? sizeof(in) : sizeof(un)) != 0)
        die("cannot connect: %s", strerror(errno));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void watch(struct run *r, struct client *c, int how, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(r->epoll, how, c->fd, &e) != 0)
        die("epoll: %s", strerror(errno));
}

static void update_watch(struct run *r, struct client *c)
{
    bool waits = c->sent < c->out.len;
    if (waits == c->waits_to_write)
        return;
    c->waits_to_write = waits;
    watch(r, c, EPOLL_CTL_MOD, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* How many requests may be issued now. */
static uint64_t allowance(const struct run *r)
{
    const struct load *l = &r->load;
    uint64_t most = l->requests > 0 ? l->requests - l->issued : UINT64_MAX;
    if (r->rate > 0) {
        double due = floor(r->rate * (double)(now_ns() - r->started_ns) / 1e9) + 1;
        uint64_t now = due > (double)l->issued ? (uint64_t)(due - (double)l->issued) : 0;
        most = now < most ? now : most;
    }
    return most;
}

static void go_on(struct run *r, struct client *c)
{
    uint64_t most = allowance(r);
    c->parked = most == 0;
    if (c->parked)
        return;
    client_begin_round(c, &r->load, most > 1 << 20 ? 1 << 20 : (int)most);
    if (client_send(c) == CLIENT_LOST)
        die("a connection was lost: %s", strerror(errno));
    update_watch(r, c);
}

static void on_event(struct run *r, struct client *c, uint32_t events)
{
    if ((events & EPOLLOUT) && client_send(c) == CLIENT_LOST)
        die("a connection was lost: %s", strerror(errno));
    if (!(events & ~(uint32_t)EPOLLOUT)) {
        update_watch(r, c);
        return;
    }
    switch (client_receive(c, &r->load)) {
    case CLIENT_LOST:
        die("a connection was closed; replies so far: %llu, first error: %s",
            (unsigned long long)r->load.completed, r->load.first_error);
    case CLIENT_IDLE:
        go_on(r, c);
        break;
    case CLIENT_WAITS:
        update_watch(r, c);
        break;
    }
}

static void wake_parked(struct run *r)
{
    for (size_t i = 0; i < r->nclients && allowance(r) > 0; i++) {
        if (r->clients[i].parked)
            go_on(r, &r->clients[i]);
    }
}

static bool finished(const struct run *r)
{
    if (r->load.requests > 0 && r->load.completed >= r->load.requests)
        return true;
    return now_ns() >= r->deadline_ns;
}

static void run_loop(struct run *r)
{
    struct epoll_event events[256];
    for (size_t i = 0; i < r->nclients; i++)
        go_on(r, &r->clients[i]);
    while (!finished(r)) {
        int n = epoll_wait(r->epoll, events, 256, r->rate > 0 ? 1 : 10);
        if (n < 0 && errno != EINTR)
            die("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++)
            on_event(r, events[i].data.ptr, events[i].events);
        if (r->rate > 0)
            wake_parked(r);
        if (!r->load.measuring && now_ns() >= r->measured_ns) {
            r->load.measuring = true;
            r->measured_ns = now_ns();
        }
    }
}

static void open_clients(struct run *r, const struct options *o)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    r->epoll = epoll_create1(0);
    r->nclients = (size_t)o->clients;
    r->clients = mem_zalloc(r->nclients * sizeof(*r->clients));
    for (size_t i = 0; i < r->nclients; i++) {
        client_init(&r->clients[i], connect_to(o), (int)o->depth);
        watch(r, &r->clients[i], EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void run_init(struct run *r, const struct options *o)
{
    memset(r, 0, sizeof(*r));
    struct load *l = &r->load;
    l->pattern = pattern_of(o->pattern);
    l->prefix = o->prefix;
    l->keys = (uint64_t)o->keys;
    l->depth = (int)o->depth;
    l->size = (size_t)o->size;
    l->same_percent = (uint64_t)o->same;
    l->ttl_s = (int)o->ttl;
    l->requests = l->pattern == PATTERN_FILL ? l->keys : (uint64_t)o->requests;
    if (o->clients < 1 || l->depth < 1 || l->keys < 1 || l->size < 1 || l->size > SAMPLE_MAX)
        die("clients, depth, keys and size must be at least 1, and size at most %d", SAMPLE_MAX);
    if (strcmp(o->content, "text") != 0 && strcmp(o->content, "random") != 0)
        die("content is text or random");
    sample_init(&l->sample, strcmp(o->content, "text") == 0, (uint64_t)o->seed);
    l->random = random_from((uint64_t)o->seed + 1);
    open_clients(r, o);
    r->rate = o->rate;
    r->started_ns = now_ns();
    r->measured_ns = r->started_ns;
    r->deadline_ns = INT64_MAX;
    if (l->requests == 0) {
        r->measured_ns += (int64_t)(o->warmup * 1e9);
        r->deadline_ns = r->measured_ns + (int64_t)(o->seconds * 1e9);
    } else {
        l->measuring = true;
    }
}

static void report(const struct run *r)
{
    const struct load *l = &r->load;
    double seconds = (double)(now_ns() - r->measured_ns) / 1e9;
    printf("requests=%llu seconds=%.6f per_second=%.1f p50_us=%.1f p99_us=%.1f max_us=%.1f "
           "missing=%llu errors=%llu\n",
           (unsigned long long)l->measured, seconds, (double)l->measured / seconds,
           histogram_us(&l->latency, 0.5), histogram_us(&l->latency, 0.99),
           (double)l->latency.max_ns / 1000, (unsigned long long)l->missing,
           (unsigned long long)l->errors);
    fflush(stdout);
    if (l->errors > 0)
        fprintf(stderr, "first error: %s\n", l->first_error);
}

int main(int argc, char **argv)
{
    struct options o = {.port = 6379,
                        .pattern = "set",
                        .content = "text",
                        .prefix = "session:",
                        .clients = 50,
                        .depth = 1,
                        .seconds = 1,
                        .warmup = 0.2,
                        .keys = 10000,
                        .size = 512,
                        .same = 90,
                        .ttl = 3600,
                        .seed = 1};
    const struct arg args[] = {
        {"socket", ARG_TEXT, &o.socket, "path of the server's Unix socket; without it TCP"},
        {"port", ARG_NUMBER, &o.port, "TCP port on 127.0.0.1 (6379)"},
        {"pattern", ARG_TEXT, &o.pattern,
         "ping, set, get, incr, incr-hot, session, fill, rewrite or grow (set)"},
        {"clients", ARG_NUMBER, &o.clients, "connections (50)"},
        {"depth", ARG_NUMBER, &o.depth, "requests a client sends before it reads (1)"},
        {"seconds", ARG_NUMBER, &o.seconds, "how long is measured (1)"},
        {"warmup", ARG_NUMBER, &o.warmup, "seconds before that (0.2)"},
        {"requests", ARG_NUMBER, &o.requests, "so many, instead of by time"},
        {"rate", ARG_NUMBER, &o.rate, "requests per second at most (0: no limit)"},
        {"keys", ARG_NUMBER, &o.keys, "different keys (10000)"},
        {"prefix", ARG_TEXT, &o.prefix, "what their names begin with (session:)"},
        {"size", ARG_NUMBER, &o.size, "bytes of a value (512)"},
        {"content", ARG_TEXT, &o.content, "text or random (text)"},
        {"same", ARG_NUMBER, &o.same, "session: percent of writes with the bytes just read (90)"},
        {"ttl", ARG_NUMBER, &o.ttl, "seconds in SETEX (3600)"},
        {"seed", ARG_NUMBER, &o.seed, "of all choices (1)"},
        {"hold", ARG_FLAG, &o.hold, "keep the connections open until standard input ends"},
    };
    args_parse(argc, argv, args, sizeof(args) / sizeof(args[0]));
    struct run r;
    run_init(&r, &o);
    run_loop(&r);
    report(&r);
    if (o.hold) {
        while (getchar() != EOF)
            ;
    }
    bool failed = r.load.errors > 0;
    for (size_t i = 0; i < r.nclients; i++)
        client_release(&r.clients[i]);
    mem_free(r.clients);
    sample_release(&r.load.sample);
    return failed ? 1 : 0;
}
