/* hosts: see hosts.h. A search has an entry per server in the string; an entry is known from the
 * beginning (a socket, an address), or becomes known, or fails. */
#include "store/postgres/hosts.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "store/postgres/resolve.h"

/* A name with more addresses than anybody has servers. */
enum { MAX_TARGETS = 64, MAX_ENTRIES = 64 };

struct entry {
    struct hosts_search *search;
    char *host;
    char *hostaddr;
    char *port;
    struct resolve *question;
    int error;
    char **addresses;
    size_t n;
};

struct hosts_search {
    struct hosts *hosts;
    struct entry *entries;
    size_t n;
    struct timer *patience;
    bool impatient;
    hosts_found found;
    void *arg;
};

struct hosts {
    struct loop *loop;
    struct resolver *resolver;
    struct target first; /* where to begin; all NULL = as the string says */
};

/* ---- targets ---- */

static void release_target(struct target *t)
{
    mem_free(t->host);
    mem_free(t->hostaddr);
    mem_free(t->port);
    *t = (struct target){NULL, NULL, NULL};
}

static struct target copy_target(const struct target *t)
{
    return (struct target){mem_strdup(t->host), mem_strdup(t->hostaddr), mem_strdup(t->port)};
}

void targets_release(struct targets *t)
{
    for (size_t i = 0; i < t->n; i++)
        release_target(&t->items[i]);
    mem_free(t->items);
    *t = (struct targets){NULL, 0};
}

static void add_target(struct targets *t, const char *host, const char *hostaddr, const char *port)
{
    if (t->n == MAX_TARGETS)
        return;
    t->items = mem_realloc(t->items, (t->n + 1) * sizeof(*t->items));
    t->items[t->n++] =
        (struct target){mem_strdup(host), mem_strdup(hostaddr), mem_strdup(port)};
}

void targets_lists(const struct targets *t, struct buf *host, struct buf *hostaddr,
                   struct buf *port)
{
    for (size_t i = 0; i < t->n; i++) {
        const char *comma = i > 0 ? "," : "";
        buf_printf(host, "%s%s", comma, t->items[i].host);
        buf_printf(hostaddr, "%s%s", comma, t->items[i].hostaddr);
        buf_printf(port, "%s%s", comma, t->items[i].port);
    }
}

static bool same_target(const struct target *a, const struct target *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->hostaddr, b->hostaddr) == 0 &&
           strcmp(a->port, b->port) == 0;
}

/* So that the list begins with `first`, if that is in it. */
static void rotate(struct targets *t, const struct target *first)
{
    size_t at = 0;
    while (at < t->n && !same_target(&t->items[at], first))
        at++;
    if (at == 0 || at == t->n)
        return;
    struct target *items = mem_alloc(t->n * sizeof(*items));
    for (size_t i = 0; i < t->n; i++)
        items[i] = t->items[(at + i) % t->n];
    mem_free(t->items);
    t->items = items;
}

/* Which of them is the connection at? False if that cannot be said. */
static bool find_current(const struct targets *t, const PGconn *conn, size_t *at)
{
    const char *host = PQhost(conn);
    const char *hostaddr = PQhostaddr(conn);
    const char *port = PQport(conn);
    if (host == NULL || hostaddr == NULL || port == NULL)
        return false;
    for (size_t i = 0; i < t->n; i++) {
        const struct target *it = &t->items[i];
        if ((it->host[0] == '\0' || strcmp(it->host, host) == 0) &&
            (it->hostaddr[0] == '\0' || strcmp(it->hostaddr, hostaddr) == 0) &&
            (it->port[0] == '\0' || strcmp(it->port, port) == 0)) {
            *at = i;
            return true;
        }
    }
    return false;
}

static void begin_with(struct hosts *h, const struct targets *t, const PGconn *conn, size_t step)
{
    size_t at;
    if (t->n < 2 || !find_current(t, conn, &at))
        return;
    release_target(&h->first);
    h->first = copy_target(&t->items[(at + step) % t->n]);
}

void hosts_connected(struct hosts *h, const struct targets *t, const PGconn *conn)
{
    begin_with(h, t, conn, 0);
}

void hosts_failed(struct hosts *h, const struct targets *t, const PGconn *conn)
{
    begin_with(h, t, conn, 1);
}

/* ---- the string ---- */

/* libpq's option after string and environment; NULL if neither has it. */
static const char *option(const PQconninfoOption *given, const PQconninfoOption *defaults,
                          const char *name)
{
    const PQconninfoOption *lists[] = {given, defaults};
    for (int i = 0; i < 2; i++) {
        for (const PQconninfoOption *o = lists[i]; o != NULL && o->keyword != NULL; o++) {
            if (strcmp(o->keyword, name) == 0 && o->val != NULL && o->val[0] != '\0')
                return o->val;
        }
    }
    return NULL;
}

static size_t count_elements(const char *list)
{
    size_t n = 1;
    for (; list != NULL && *list != '\0'; list++)
        n += *list == ',';
    return n;
}

/* The i-th element of a list with commas; "" where there is no list. */
static char *element(const char *list, size_t i)
{
    if (list == NULL)
        return mem_strdup("");
    for (; i > 0; i--)
        list = strchr(list, ',') + 1;
    return mem_strndup(list, strcspn(list, ","));
}

static bool is_address(const char *host)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found;
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    freeaddrinfo(found);
    return true;
}

static bool is_name(const struct entry *e)
{
    return e->hostaddr[0] == '\0' && e->host[0] != '\0' && e->host[0] != '/' &&
           e->host[0] != '@' && !is_address(e->host);
}

/* As libpq does (34.1.1.3 of its manual). Lists that do not fit are its to complain about: no
 * entries. */
static void read_entries(struct hosts_search *s, const char *host, const char *hostaddr,
                         const char *port)
{
    size_t n = count_elements(hostaddr != NULL ? hostaddr : host);
    size_t ports = count_elements(port);
    if ((host == NULL && hostaddr == NULL) || n > MAX_ENTRIES || (ports > 1 && ports != n) ||
        (host != NULL && count_elements(host) != n))
        return;
    s->n = n;
    s->entries = mem_zalloc(n * sizeof(*s->entries));
    for (size_t i = 0; i < n; i++) {
        struct entry *e = &s->entries[i];
        e->search = s;
        e->host = element(host, i);
        e->hostaddr = element(hostaddr, i);
        e->port = element(port, ports > 1 ? i : 0);
    }
}

static void read_string(struct hosts_search *s, const char *conninfo)
{
    PQconninfoOption *given = PQconninfoParse(conninfo, NULL);
    PQconninfoOption *defaults = PQconndefaults();
    if (given != NULL && option(given, NULL, "service") == NULL)
        read_entries(s, option(given, defaults, "host"), option(given, defaults, "hostaddr"),
                     option(given, defaults, "port"));
    PQconninfoFree(given);
    PQconninfoFree(defaults);
}

/* ---- searches ---- */

void hosts_cancel(struct hosts_search *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n; i++) {
        struct entry *e = &s->entries[i];
        if (e->question != NULL)
            resolve_cancel(e->question);
        for (size_t a = 0; a < e->n; a++)
            mem_free(e->addresses[a]);
        mem_free(e->addresses);
        mem_free(e->host);
        mem_free(e->hostaddr);
        mem_free(e->port);
    }
    mem_free(s->entries);
    timer_free(s->patience);
    mem_free(s);
}

const char *hosts_missing(const struct hosts_search *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->entries[i].question != NULL)
            return s->entries[i].host;
    }
    return "";
}

static struct targets targets_of(const struct hosts_search *s)
{
    struct targets t = {NULL, 0};
    for (size_t i = 0; i < s->n; i++) {
        const struct entry *e = &s->entries[i];
        if (e->question == NULL && e->error == 0 && e->n == 0)
            add_target(&t, e->host, e->hostaddr, e->port);
        for (size_t a = 0; a < e->n; a++)
            add_target(&t, e->host, e->addresses[a], e->port);
    }
    if (s->hosts->first.host != NULL)
        rotate(&t, &s->hosts->first);
    return t;
}

static void finish(struct hosts_search *s, struct targets *t)
{
    hosts_found found = s->found;
    void *arg = s->arg;
    char error[256] = "";
    for (size_t i = 0; i < s->n && t->n == 0; i++) {
        if (s->entries[i].error != 0)
            snprintf(error, sizeof(error), "could not translate host name \"%s\" to address: %s",
                     s->entries[i].host, gai_strerror(s->entries[i].error));
    }
    hosts_cancel(s);
    found(arg, t, error[0] != '\0' ? error : NULL);
}

/* Ends the search if enough is known. */
static void look(struct hosts_search *s)
{
    bool waiting = hosts_missing(s)[0] != '\0';
    if (waiting && !s->impatient)
        return;
    struct targets t = targets_of(s);
    if (waiting && t.n == 0)
        return;
    finish(s, &t);
}

static void on_impatient(void *arg)
{
    struct hosts_search *s = arg;
    s->impatient = true;
    look(s);
}

static void on_resolved(void *arg, const struct addrinfo *found, int error)
{
    struct entry *e = arg;
    char text[NI_MAXHOST];
    e->question = NULL;
    e->error = error;
    for (; found != NULL && e->n < MAX_TARGETS; found = found->ai_next) {
        if (getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0,
                        NI_NUMERICHOST) != 0)
            continue;
        e->addresses = mem_realloc(e->addresses, (e->n + 1) * sizeof(*e->addresses));
        e->addresses[e->n++] = mem_strdup(text);
    }
    if (error == 0 && e->n == 0)
        e->error = EAI_NONAME;
    look(e->search);
}

struct hosts_search *hosts_find(struct hosts *h, const char *conninfo, int64_t time_us,
                                hosts_found found, void *arg)
{
    struct hosts_search *s = mem_zalloc(sizeof(*s));
    s->hosts = h;
    s->found = found;
    s->arg = arg;
    s->patience = timer_new(h->loop, on_impatient, s);
    read_string(s, conninfo);
    bool waiting = false;
    for (size_t i = 0; i < s->n; i++) {
        struct entry *e = &s->entries[i];
        if (!is_name(e))
            continue;
        e->question = resolve_ask(h->resolver, e->host, on_resolved, e);
        waiting = true;
    }
    if (waiting) {
        timer_set(s->patience, time_us / 2);
        return s;
    }
    struct targets t = targets_of(s);
    finish(s, &t);
    return NULL;
}

struct hosts *hosts_new(struct loop *loop)
{
    struct hosts *h = mem_zalloc(sizeof(*h));
    h->loop = loop;
    h->resolver = resolver_new(loop);
    return h;
}

void hosts_free(struct hosts *h)
{
    if (h == NULL)
        return;
    resolver_free(h->resolver);
    release_target(&h->first);
    mem_free(h);
}
