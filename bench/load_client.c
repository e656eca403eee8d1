#include "load_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

enum { KEY_SIZE = 64, READ_SIZE = 64 * 1024 };

/* One request of a round: its key, and in the session pattern the bytes that came. */
struct slot {
    uint64_t key;
    struct buf body;
};

void client_init(struct client *c, int fd, int depth)
{
    memset(c, 0, sizeof(*c));
    c->fd = fd;
    c->depth = depth;
    buf_init(&c->in);
    buf_init(&c->out);
    c->slots = mem_zalloc((size_t)depth * sizeof(*c->slots));
    for (int i = 0; i < depth; i++)
        buf_init(&c->slots[i].body);
}

void client_release(struct client *c)
{
    close(c->fd);
    buf_release(&c->in);
    buf_release(&c->out);
    for (int i = 0; i < c->depth; i++)
        buf_release(&c->slots[i].body);
    mem_free(c->slots);
}

/* ---- requests ---- */

static void put_bulk(struct buf *out, struct bytes s)
{
    buf_printf(out, "$%zu\r\n", s.len);
    buf_append_bytes(out, s);
    buf_append(out, "\r\n", 2);
}

static void put_key(const struct load *load, struct buf *out, uint64_t key)
{
    char text[KEY_SIZE];
    int n = snprintf(text, sizeof(text), "%s%08" PRIu64, load->prefix, key);
    put_bulk(out, bytes_of(text, (size_t)n));
}

static void put_setex(const struct load *load, struct buf *out, uint64_t key, struct bytes value)
{
    char seconds[16];
    snprintf(seconds, sizeof(seconds), "%d", load->ttl_s);
    buf_append_cstr(out, "*4\r\n$5\r\nSETEX\r\n");
    put_key(load, out, key);
    put_bulk(out, bytes_cstr(seconds));
    put_bulk(out, value);
}

static void put_get(const struct load *load, struct buf *out, uint64_t key)
{
    buf_append_cstr(out, "*2\r\n$3\r\nGET\r\n");
    put_key(load, out, key);
}

static struct bytes fresh_value(struct load *load)
{
    return sample_slice(&load->sample, random_next(&load->random), load->size);
}

/* The n-th state of a growing session: always the same text, from its start. */
static struct bytes grown_value(const struct load *load, uint64_t key, uint64_t step)
{
    uint64_t steps = load->requests / load->keys;
    size_t len = load->size * (step + 1) / (steps > 0 ? steps : 1);
    return sample_slice(&load->sample, key, len < load->size ? len : load->size);
}

/* Each key once per `keys` numbers, neighbours far apart, as sessions come back in no order. */
static uint64_t key_in_turn(const struct load *load, uint64_t number)
{
    static const uint64_t stride = 7919; /* prime, so that any other number of keys will do */
    return number % load->keys * stride % load->keys;
}

static void put_request(struct load *load, struct buf *out, struct slot *slot, uint64_t number)
{
    slot->key = random_below(&load->random, load->keys);
    switch (load->pattern) {
    case PATTERN_PING:
        buf_append_cstr(out, "*1\r\n$4\r\nPING\r\n");
        break;
    case PATTERN_SET:
        buf_append_cstr(out, "*3\r\n$3\r\nSET\r\n");
        put_key(load, out, slot->key);
        put_bulk(out, fresh_value(load));
        break;
    case PATTERN_GET:
    case PATTERN_SESSION:
        put_get(load, out, slot->key);
        break;
    case PATTERN_INCR_HOT:
        slot->key = 0;
        /* fall through */
    case PATTERN_INCR:
        buf_append_cstr(out, "*2\r\n$4\r\nINCR\r\n");
        put_key(load, out, slot->key);
        break;
    case PATTERN_FILL:
        put_setex(load, out, number % load->keys, fresh_value(load));
        break;
    case PATTERN_REWRITE:
        put_setex(load, out, key_in_turn(load, number), fresh_value(load));
        break;
    case PATTERN_GROW:
        slot->key = key_in_turn(load, number);
        put_setex(load, out, slot->key, grown_value(load, slot->key, number / load->keys));
        break;
    }
}

void client_begin_round(struct client *c, struct load *load, int limit)
{
    c->round = limit < load->depth ? limit : load->depth;
    c->awaited = c->round;
    c->writing = false;
    c->sent = 0;
    c->out.len = 0;
    c->begun_ns = now_ns();
    for (int i = 0; i < c->round; i++)
        put_request(load, &c->out, &c->slots[i], load->issued++);
}

/* The session pattern's second half: most sessions are written as they were read. */
static void begin_writing(struct client *c, struct load *load)
{
    c->writing = true;
    c->awaited = c->round;
    c->sent = 0;
    c->out.len = 0;
    for (int i = 0; i < c->round; i++) {
        struct slot *slot = &c->slots[i];
        bool same = random_below(&load->random, 100) < load->same_percent && slot->body.len > 0;
        put_setex(load, &c->out, slot->key, same ? buf_bytes(&slot->body) : fresh_value(load));
    }
}

enum client_state client_send(struct client *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return CLIENT_WAITS;
        if (n < 0)
            return CLIENT_LOST;
        c->sent += (size_t)n;
    }
    return CLIENT_IDLE;
}

/* ---- replies ---- */

static void note_error(struct load *load, struct bytes line)
{
    if (load->errors++ == 0)
        snprintf(load->first_error, sizeof(load->first_error), "%.*s", (int)line.len, line.data);
}

static bool wants_value(const struct client *c, const struct load *load)
{
    return load->pattern == PATTERN_GET || (load->pattern == PATTERN_SESSION && !c->writing);
}

static void take_reply(struct client *c, struct load *load, struct bytes line, struct bytes body)
{
    struct slot *slot = &c->slots[c->round - c->awaited];
    c->awaited--;
    if (line.data[0] == '-')
        note_error(load, line);
    else if (wants_value(c, load) && body.len != load->size)
        load->missing++;
    if (load->pattern == PATTERN_SESSION && !c->writing) {
        slot->body.len = 0;
        buf_append_bytes(&slot->body, body);
    }
}

/* Takes one reply off the front of `s`: a line, and behind `$` a body. Returns its length, 0 if it
 * is not complete. */
static size_t parse_reply(struct client *c, struct load *load, struct bytes s)
{
    const char *end = s.len > 0 ? memchr(s.data, '\n', s.len) : NULL;
    if (end == NULL || end == s.data)
        return 0;
    struct bytes line = bytes_of(s.data, (size_t)(end - s.data) - 1);
    size_t used = line.len + 2;
    struct bytes body = {NULL, 0};
    if (line.data[0] == '$') {
        long len = strtol(line.data + 1, NULL, 10);
        if (len >= 0) {
            if (s.len < used + (size_t)len + 2)
                return 0;
            body = bytes_of(s.data + used, (size_t)len);
            used += (size_t)len + 2;
        }
    }
    take_reply(c, load, line, body);
    return used;
}

static void round_complete(struct client *c, struct load *load)
{
    int64_t took_ns = now_ns() - c->begun_ns;
    load->completed += (uint64_t)c->round;
    if (!load->measuring)
        return;
    load->measured += (uint64_t)c->round;
    for (int i = 0; i < c->round; i++)
        histogram_add(&load->latency, took_ns);
}

enum client_state client_receive(struct client *c, struct load *load)
{
    for (;;) {
        char *at = buf_reserve(&c->in, READ_SIZE);
        ssize_t n = recv(c->fd, at, READ_SIZE, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return CLIENT_WAITS;
        if (n <= 0)
            return CLIENT_LOST;
        c->in.len += (size_t)n;
        size_t used = 0;
        while (c->awaited > 0) {
            size_t took = parse_reply(c, load, bytes_of(c->in.data + used, c->in.len - used));
            if (took == 0)
                break;
            used += took;
        }
        buf_consume(&c->in, used);
        if (c->awaited > 0)
            continue;
        if (load->pattern != PATTERN_SESSION || c->writing) {
            round_complete(c, load);
            return CLIENT_IDLE;
        }
        begin_writing(c, load);
        if (client_send(c) == CLIENT_LOST)
            return CLIENT_LOST;
        c->waits_to_write = c->sent < c->out.len;
    }
}
