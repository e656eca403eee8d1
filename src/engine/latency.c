/* latency: LATENCY. As in Redis, a command that takes at least latency-monitor-threshold milliseconds
 * is a sample of the event "command", or "fast-command" where COMMAND INFO calls it fast; its time is
 * that of SLOWLOG, PostgreSQL included. An event keeps its latest samples, one per second: the
 * longest. HISTOGRAM is of all calls, threshold or not. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/internal.h"

enum { SAMPLES_MAX = 160, GRAPH_HEIGHT = 4 };

struct sample {
    int64_t time_s; /* 0 = not used yet */
    int64_t ms;
};

struct event {
    const char *name;
    struct sample samples[SAMPLES_MAX]; /* a ring */
    size_t next;
    int64_t max_ms; /* since the last RESET */
};

enum event_id { EVENT_COMMAND, EVENT_FAST_COMMAND, EVENTS };

struct latency {
    struct event events[EVENTS];
};

/* ---- samples ---- */

static void forget(struct event *ev)
{
    const char *name = ev->name;
    *ev = (struct event){.name = name};
}

void latency_init(struct engine *e)
{
    e->latency = mem_zalloc(sizeof(*e->latency));
    e->latency->events[EVENT_COMMAND].name = "command";
    e->latency->events[EVENT_FAST_COMMAND].name = "fast-command";
}

void latency_release(struct engine *e)
{
    mem_free(e->latency);
}

static struct sample *newest(struct event *ev)
{
    return &ev->samples[(ev->next + SAMPLES_MAX - 1) % SAMPLES_MAX];
}

static bool has_samples(struct event *ev)
{
    return newest(ev)->time_s != 0;
}

static void add_sample(struct event *ev, int64_t time_s, int64_t ms)
{
    struct sample *last = newest(ev);
    if (ms > ev->max_ms)
        ev->max_ms = ms;
    if (last->time_s == time_s) {
        last->ms = ms > last->ms ? ms : last->ms;
        return;
    }
    ev->samples[ev->next] = (struct sample){time_s, ms};
    ev->next = (ev->next + 1) % SAMPLES_MAX;
}

void latency_note(struct engine *e, const struct command *cmd, int64_t us)
{
    int64_t threshold_ms = e->config->latency_monitor_threshold_ms;
    if (threshold_ms == 0 || us / 1000 < threshold_ms)
        return;
    enum event_id id = (cmd->flags & CF_FAST) != 0 ? EVENT_FAST_COMMAND : EVENT_COMMAND;
    add_sample(&e->latency->events[id], clock_wall_us() / 1000000, us / 1000);
}

static struct event *find_event(struct engine *e, struct bytes name)
{
    for (int i = 0; i < EVENTS; i++) {
        struct event *ev = &e->latency->events[i];
        if (bytes_eq(name, bytes_cstr(ev->name)) && has_samples(ev))
            return ev;
    }
    return NULL;
}

/* The i-th oldest; NULL if the ring is not so full. */
static const struct sample *sample_at(const struct event *ev, size_t i)
{
    const struct sample *s = &ev->samples[(ev->next + i) % SAMPLES_MAX];
    return s->time_s != 0 ? s : NULL;
}

/* ---- LATEST, HISTORY, RESET ---- */

static void reply_latest(struct engine *e, struct reply *r)
{
    size_t n = 0;
    for (int i = 0; i < EVENTS; i++)
        n += has_samples(&e->latency->events[i]);
    reply_array(r, n);
    for (int i = 0; i < EVENTS; i++) {
        struct event *ev = &e->latency->events[i];
        if (!has_samples(ev))
            continue;
        reply_array(r, 4);
        reply_bulk_cstr(r, ev->name);
        reply_int(r, newest(ev)->time_s);
        reply_int(r, newest(ev)->ms);
        reply_int(r, ev->max_ms);
    }
}

static void reply_history(const struct event *ev, struct reply *r)
{
    size_t n = 0;
    for (size_t i = 0; ev != NULL && i < SAMPLES_MAX; i++)
        n += sample_at(ev, i) != NULL;
    reply_array(r, n);
    for (size_t i = 0; n > 0 && i < SAMPLES_MAX; i++) {
        const struct sample *s = sample_at(ev, i);
        if (s == NULL)
            continue;
        reply_array(r, 2);
        reply_int(r, s->time_s);
        reply_int(r, s->ms);
    }
}

static void reset(struct client *c, const struct request *request, struct reply *r)
{
    int n = 0;
    for (int i = 0; i < EVENTS; i++) {
        struct event *ev = &c->engine->latency->events[i];
        bool named = request->argc == 2;
        for (int j = 2; j < request->argc; j++)
            named |= bytes_eq(request->argv[j], bytes_cstr(ev->name));
        if (!named || !has_samples(ev))
            continue;
        forget(ev);
        n++;
    }
    reply_int(r, n);
}

/* ---- GRAPH ---- */

static void append_age(struct buf *out, int64_t s, size_t line)
{
    char text[24];
    int n = s < 60      ? snprintf(text, sizeof(text), "%llds", (long long)s)
            : s < 3600  ? snprintf(text, sizeof(text), "%lldm", (long long)s / 60)
            : s < 86400 ? snprintf(text, sizeof(text), "%lldh", (long long)s / 3600)
                        : snprintf(text, sizeof(text), "%lldd", (long long)s / 86400);
    buf_append_u8(out, line < (size_t)n ? (uint8_t)text[line] : ' ');
}

/* A column per sample, the oldest on the left, as high as its time between the least and the most; below
 * each, read downwards, how long ago it was. */
static void append_graph(struct buf *out, const struct event *ev, int64_t low, int64_t high)
{
    int64_t now_s = clock_wall_us() / 1000000;
    int64_t span = high > low ? high - low : 1;
    for (int row = GRAPH_HEIGHT - 1; row >= 0; row--) {
        for (size_t i = 0; i < SAMPLES_MAX; i++) {
            const struct sample *s = sample_at(ev, i);
            if (s == NULL)
                continue;
            int64_t top = (s->ms - low) * (GRAPH_HEIGHT - 1) / span;
            buf_append_u8(out, row == top ? (row > 0 ? '#' : '_') : row < top ? '|' : ' ');
        }
        buf_append_cstr(out, "\n");
    }
    buf_append_cstr(out, "\n");
    for (size_t line = 0; line < 4; line++) {
        for (size_t i = 0; i < SAMPLES_MAX; i++) {
            const struct sample *s = sample_at(ev, i);
            if (s != NULL)
                append_age(out, now_s - s->time_s, line);
        }
        buf_append_cstr(out, "\n");
    }
}

static void reply_graph(struct engine *e, struct bytes name, struct reply *r)
{
    struct event *ev = find_event(e, name);
    if (ev == NULL) {
        int shown = name.len > 4096 ? 4096 : (int)name.len;
        reply_errorf(r, "ERR No samples available for event '%.*s'", shown, name.data);
        return;
    }
    int64_t low = INT64_MAX;
    int64_t high = 0;
    for (size_t i = 0; i < SAMPLES_MAX; i++) {
        const struct sample *s = sample_at(ev, i);
        if (s == NULL)
            continue;
        low = s->ms < low ? s->ms : low;
        high = s->ms > high ? s->ms : high;
    }
    struct buf out;
    buf_init(&out);
    buf_printf(&out, "%s - high %lld ms, low %lld ms (all time high %lld ms)\n", ev->name,
               (long long)high, (long long)low, (long long)ev->max_ms);
    for (int i = 0; i < 80; i++)
        buf_append_cstr(&out, "-");
    buf_append_cstr(&out, "\n");
    append_graph(&out, ev, low, high);
    reply_verbatim(r, "txt", buf_bytes(&out));
    buf_release(&out);
}

/* ---- DOCTOR ---- */

static void doctor_event(struct event *ev, struct buf *out)
{
    size_t n = 0;
    int64_t sum = 0;
    for (size_t i = 0; i < SAMPLES_MAX; i++) {
        const struct sample *s = sample_at(ev, i);
        n += s != NULL;
        sum += s != NULL ? s->ms : 0;
    }
    if (n > 0)
        buf_printf(out, "%s: %zu samples, %lld ms on average, %lld ms at most.\n", ev->name, n,
                   (long long)(sum / (int64_t)n), (long long)ev->max_ms);
}

static void reply_doctor(struct engine *e, struct reply *r)
{
    struct buf out;
    buf_init(&out);
    if (e->config->latency_monitor_threshold_ms == 0) {
        buf_append_cstr(&out, "Latency monitoring is off. CONFIG SET latency-monitor-threshold "
                              "<milliseconds> turns it on. ");
    } else {
        for (int i = 0; i < EVENTS; i++)
            doctor_event(&e->latency->events[i], &out);
        if (out.len == 0)
            buf_append_cstr(&out, "No command has taken so long. ");
    }
    buf_append_cstr(&out, "INFO commandstats has the mean time of each command, SLOWLOG the slow "
                          "ones, INFO postgres the round trips to PostgreSQL.\n");
    reply_verbatim(r, "txt", buf_bytes(&out));
    buf_release(&out);
}

/* ---- HISTOGRAM ---- */

/* Counts up to each power of two, as far as they grow. */
static void reply_distribution(const struct histogram *h, struct reply *r)
{
    uint64_t total = histogram_count(h);
    size_t n = 0;
    uint64_t before = 0;
    for (unsigned bits = 1; bits < 63 && before < total; bits++) {
        n += histogram_below(h, bits) > before;
        before = histogram_below(h, bits);
    }
    reply_map(r, 2);
    reply_bulk_cstr(r, "calls");
    reply_int(r, (int64_t)total);
    reply_bulk_cstr(r, "histogram_usec");
    reply_map(r, n);
    before = 0;
    for (unsigned bits = 1; bits < 63 && before < total; bits++) {
        uint64_t below = histogram_below(h, bits);
        if (below > before) {
            reply_int(r, (int64_t)1 << bits);
            reply_int(r, (int64_t)below);
        }
        before = below;
    }
}

static bool is_asked_for(const struct command *c, const struct request *request)
{
    for (int i = 2; i < request->argc; i++) {
        const struct command *named = command_find_full(request->argv[i]);
        if (named == c || (named != NULL && named->sub == SUB_NONE && named->id == c->id))
            return true;
    }
    return request->argc == 2;
}

static void reply_histogram(const struct engine *e, const struct request *request, struct reply *r)
{
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) { /* the first one counts */
        if (pass == 1)
            reply_map(r, n);
        for (int slot = 0; slot < COMMAND_SLOTS; slot++) {
            const struct histogram *h = e->commands[slot].latency;
            if (h == NULL || !is_asked_for(stats_command(slot), request))
                continue;
            n++;
            if (pass == 0)
                continue;
            reply_bulk_cstr(r, stats_command(slot)->name);
            reply_distribution(h, r);
        }
    }
}

void session_latency(struct client *c, const struct txn_command *tc, struct reply *r)
{
    const struct request *request = tc->request;
    switch (tc->cmd->sub) {
    case SUB_LATENCY_LATEST:
        reply_latest(c->engine, r);
        break;
    case SUB_LATENCY_HISTORY:
        reply_history(find_event(c->engine, request->argv[2]), r);
        break;
    case SUB_LATENCY_HISTOGRAM:
        reply_histogram(c->engine, request, r);
        break;
    case SUB_LATENCY_RESET:
        reset(c, request, r);
        break;
    case SUB_LATENCY_DOCTOR:
        reply_doctor(c->engine, r);
        break;
    case SUB_LATENCY_GRAPH:
        reply_graph(c->engine, request->argv[2], r);
        break;
    default:
        command_reply_help(r, command_by_id(CMD_LATENCY));
        break;
    }
}
