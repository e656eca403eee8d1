/* The commands of hashes. */
#include "value/hash.h"

#include <math.h>

#include "base/glob.h"
#include "base/mem.h"
#include "base/num.h"
#include "command/collection.h"
#include "command/event.h"
#include "value/coding.h"

/* The hash under the key, NULL if it is absent; false = another type, and the error is written. */
MUST_CHECK static bool find_or_reply(struct command_ctx *ctx, const struct hash **out)
{
    const void *content;
    if (!key_collection_or_reply(ctx, 0, VALUE_HASH, &content))
        return false;
    *out = content;
    return true;
}

/* ---- reading ---- */

static void reply_field(struct reply *r, const struct hash *h, struct bytes field)
{
    struct bytes value;
    if (h != NULL && hash_get(h, field, &value))
        reply_bulk(r, value);
    else
        reply_null(r);
}

void hash_hget(struct command_ctx *ctx)
{
    const struct hash *h;
    if (find_or_reply(ctx, &h))
        reply_field(ctx->reply, h, ctx->argv[2]);
}

void hash_hmget(struct command_ctx *ctx)
{
    const struct hash *h;
    if (!find_or_reply(ctx, &h))
        return;
    reply_array(ctx->reply, (size_t)ctx->argc - 2);
    for (int i = 2; i < ctx->argc; i++)
        reply_field(ctx->reply, h, ctx->argv[i]);
}

static void reply_all(struct command_ctx *ctx, bool fields, bool values)
{
    const struct hash *h;
    if (!find_or_reply(ctx, &h))
        return;
    size_t n = h != NULL ? hash_count(h) : 0;
    if (fields && values)
        reply_map(ctx->reply, n);
    else
        reply_array(ctx->reply, n);
    for (size_t i = 0; i < n; i++) {
        struct bytes field, value;
        hash_at(h, i, &field, &value);
        if (fields)
            reply_bulk(ctx->reply, field);
        if (values)
            reply_bulk(ctx->reply, value);
    }
}

void hash_hgetall(struct command_ctx *ctx)
{
    reply_all(ctx, true, true);
}

void hash_hkeys(struct command_ctx *ctx)
{
    reply_all(ctx, true, false);
}

void hash_hvals(struct command_ctx *ctx)
{
    reply_all(ctx, false, true);
}

void hash_hlen(struct command_ctx *ctx)
{
    const struct hash *h;
    if (find_or_reply(ctx, &h))
        reply_int(ctx->reply, h != NULL ? (int64_t)hash_count(h) : 0);
}

void hash_hexists(struct command_ctx *ctx)
{
    const struct hash *h;
    struct bytes value;
    if (find_or_reply(ctx, &h))
        reply_int(ctx->reply, h != NULL && hash_get(h, ctx->argv[2], &value));
}

void hash_hstrlen(struct command_ctx *ctx)
{
    const struct hash *h;
    struct bytes value = {NULL, 0};
    if (!find_or_reply(ctx, &h))
        return;
    bool found = h != NULL && hash_get(h, ctx->argv[2], &value);
    reply_int(ctx->reply, found ? (int64_t)value.len : 0);
}

/* ---- changing ---- */

static void free_items(struct hash_item **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash_item_free(items[i]);
    mem_free(items);
}

/* `n` pairs of arguments from argument 2 on; NULL = no memory, and the error is written. */
static struct hash_item **make_items_or_reply(struct command_ctx *ctx, size_t n)
{
    struct hash_item **items = mem_alloc(n * sizeof(struct hash_item *));
    for (size_t i = 0; i < n; i++) {
        items[i] = hash_item_new(ctx->argv[2 + 2 * i], ctx->argv[3 + 2 * i]);
        if (items[i] == NULL) {
            free_items(items, i);
            reply_out_of_memory(ctx);
            return NULL;
        }
    }
    return items;
}

static size_t bytes_of_arguments(const struct command_ctx *ctx)
{
    size_t n = 0;
    for (int i = 2; i < ctx->argc; i++)
        n += coded_size(ctx->argv[i].len);
    return n;
}

/* Sets the pairs of arguments; false = the error is written. */
static bool set_all_or_reply(struct command_ctx *ctx, int64_t *added)
{
    size_t n = (size_t)(ctx->argc - 2) / 2;
    struct key_edit edit;
    if (ctx->argc % 2 != 0) {
        command_reply_arity(ctx->reply, ctx->cmd);
        return false;
    }
    struct hash_item **items = make_items_or_reply(ctx, n);
    if (items == NULL)
        return false;
    if (!key_edit_or_reply(ctx, 0, VALUE_HASH, bytes_of_arguments(ctx), &edit)) {
        free_items(items, n);
        return false;
    }
    *added = 0;
    for (size_t i = 0; i < n; i++)
        *added += hash_put(edit.content, items[i]);
    mem_free(items);
    key_edit_end(ctx, 0, &edit, true);
    key_event(ctx, EVENT_HASH, "hset", 0);
    return true;
}

void hash_hset(struct command_ctx *ctx)
{
    int64_t added;
    if (set_all_or_reply(ctx, &added))
        reply_int(ctx->reply, added);
}

void hash_hmset(struct command_ctx *ctx)
{
    int64_t added;
    if (set_all_or_reply(ctx, &added))
        reply_ok(ctx->reply);
}

void hash_hsetnx(struct command_ctx *ctx)
{
    const struct hash *h;
    struct bytes value;
    int64_t added;
    if (!find_or_reply(ctx, &h))
        return;
    if (h != NULL && hash_get(h, ctx->argv[2], &value))
        reply_int(ctx->reply, 0);
    else if (set_all_or_reply(ctx, &added))
        reply_int(ctx->reply, 1);
}

static bool has_any(const struct command_ctx *ctx, const struct hash *h)
{
    struct bytes value;
    for (int i = 2; i < ctx->argc; i++) {
        if (hash_get(h, ctx->argv[i], &value))
            return true;
    }
    return false;
}

void hash_hdel(struct command_ctx *ctx)
{
    const struct hash *h;
    struct key_edit edit;
    int64_t removed = 0;
    if (!find_or_reply(ctx, &h))
        return;
    if (h != NULL && has_any(ctx, h)) {
        if (!key_edit_or_reply(ctx, 0, VALUE_HASH, 0, &edit))
            return;
        for (int i = 2; i < ctx->argc; i++)
            removed += hash_remove(edit.content, ctx->argv[i]);
        key_edit_end(ctx, 0, &edit, true);
        key_event(ctx, EVENT_HASH, "hdel", 0);
        if (key_find(ctx, 0) == NULL)
            key_del_event(ctx, 0);
    }
    reply_int(ctx->reply, removed);
}

/* The field of argument 2 gets this number; false = the error is written. */
static bool set_number_or_reply(struct command_ctx *ctx, struct bytes text, const char *event)
{
    struct key_edit edit;
    struct hash_item *item = hash_item_new(ctx->argv[2], text);
    if (item == NULL) {
        reply_out_of_memory(ctx);
        return false;
    }
    size_t more = coded_size(ctx->argv[2].len) + coded_size(text.len);
    if (!key_edit_or_reply(ctx, 0, VALUE_HASH, more, &edit)) {
        hash_item_free(item);
        return false;
    }
    hash_put(edit.content, item);
    key_edit_end(ctx, 0, &edit, true);
    key_event(ctx, EVENT_HASH, event, 0);
    return true;
}

void hash_hincrby(struct command_ctx *ctx)
{
    const struct hash *h;
    struct bytes old;
    int64_t increment, n = 0;
    if (!arg_int64_or_reply(ctx, ctx->argv[3], &increment) || !find_or_reply(ctx, &h))
        return;
    if (h != NULL && hash_get(h, ctx->argv[2], &old) && !num_int64(old, &n)) {
        reply_error(ctx->reply, "ERR hash value is not an integer");
        return;
    }
    if (!num_add(n, increment, &n)) {
        reply_error(ctx->reply, "ERR increment or decrement would overflow");
        return;
    }
    char text[NUM_INT_SIZE];
    size_t len = num_format_int64(n, text);
    if (set_number_or_reply(ctx, bytes_of(text, len), "hincrby"))
        reply_int(ctx->reply, n);
}

/* Redis tells the infinities from what is no number at all. */
static bool increment_or_reply(struct command_ctx *ctx, long double *out)
{
    if (num_long_double(ctx->argv[3], out) && !isinf(*out))
        return true;
    static const char *const infinities[] = {"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"};
    for (size_t i = 0; i < sizeof(infinities) / sizeof(infinities[0]); i++) {
        if (bytes_ieq(ctx->argv[3], infinities[i])) {
            reply_error(ctx->reply, "ERR value is NaN or Infinity");
            return false;
        }
    }
    reply_error(ctx->reply, "ERR value is not a valid float");
    return false;
}

void hash_hincrbyfloat(struct command_ctx *ctx)
{
    const struct hash *h;
    struct bytes old;
    long double increment, n = 0;
    if (!increment_or_reply(ctx, &increment) || !find_or_reply(ctx, &h))
        return;
    if (h != NULL && hash_get(h, ctx->argv[2], &old) && !num_long_double(old, &n)) {
        reply_error(ctx->reply, "ERR hash value is not a float");
        return;
    }
    n += increment;
    if (isnan(n) || isinf(n)) {
        reply_error(ctx->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[NUM_FLOAT_SIZE];
    size_t len = num_format_long_double(n, text);
    if (set_number_or_reply(ctx, bytes_of(text, len), "hincrbyfloat"))
        reply_bulk(ctx->reply, bytes_of(text, len));
}

/* ---- HSCAN ---- */

struct scanning {
    const struct scan_args *args;
    struct buf elements;
    struct reply reply;
    size_t seen;    /* elements, whether they match or not: a field and its value are two */
    size_t emitted;
};

static void scan_field(void *arg, struct bytes field, struct bytes value)
{
    struct scanning *s = arg;
    s->seen += 2;
    if (s->args->pattern.data != NULL && !glob_match(s->args->pattern, field, false))
        return;
    reply_bulk(&s->reply, field);
    reply_bulk(&s->reply, value);
    s->emitted += 2;
}

void hash_hscan(struct command_ctx *ctx)
{
    struct scan_args args;
    const struct hash *h;
    struct scanning s = {.args = &args};
    if (!scan_cursor_or_reply(ctx, &args) || !find_or_reply(ctx, &h) ||
        (h != NULL && !scan_options_or_reply(ctx, &args)))
        return;
    buf_init(&s.elements);
    s.reply = (struct reply){&s.elements, ctx->reply->proto, false};
    uint64_t cursor = h != NULL ? args.cursor : 0;
    /* Buckets may be empty: it is not to go on for ever to find so many. */
    int64_t tries = args.count < INT64_MAX / 10 ? args.count * 10 : INT64_MAX;
    if (h != NULL) {
        do
            cursor = hash_scan(h, cursor, scan_field, &s);
        while (cursor != 0 && s.seen < (uint64_t)args.count && --tries > 0);
    }
    scan_reply(ctx, cursor, s.emitted, &s.elements);
    buf_release(&s.elements);
}

/* ---- HRANDFIELD ---- */

struct drawing {
    struct command_ctx *ctx;
    const struct hash *h;
    bool values;
};

static void reply_drawn(void *arg, size_t i)
{
    const struct drawing *d = arg;
    struct reply *r = d->ctx->reply;
    struct bytes field, value;
    hash_at(d->h, i, &field, &value);
    if (d->values && r->proto > 2)
        reply_array(r, 2);
    reply_bulk(r, field);
    if (d->values)
        reply_bulk(r, value);
}

/* The array of so many fields, with their values or not. */
static void reply_drawn_head(const struct drawing *d, size_t n)
{
    reply_array(d->ctx->reply, d->values && d->ctx->reply->proto <= 2 ? n * 2 : n);
}

/* With repetition. A count of any size can be asked for in a few bytes: what is answered is bounded. */
static void draw_many(struct drawing *d, uint64_t n)
{
    struct command_ctx *ctx = d->ctx;
    struct draw draw;
    size_t mean = hash_encoded_size(d->h) / hash_count(d->h) + 1;
    if (n > ctx->max_value / mean) {
        reply_error(ctx->reply, "ERR value is out of range");
        return;
    }
    draw_init(&draw);
    reply_drawn_head(d, (size_t)n);
    for (uint64_t i = 0; i < n; i++)
        reply_drawn(d, draw_below(&draw, hash_count(d->h)));
}

static void draw_some(struct drawing *d, uint64_t n)
{
    struct draw draw;
    size_t count = hash_count(d->h);
    size_t k = n < count ? (size_t)n : count;
    size_t before = d->ctx->reply->out->len;
    draw_init(&draw);
    reply_drawn_head(d, k);
    if (draw_distinct(&draw, count, k, reply_drawn, d))
        return;
    d->ctx->reply->out->len = before;
    reply_out_of_memory(d->ctx);
}

void hash_hrandfield(struct command_ctx *ctx)
{
    struct drawing d = {.ctx = ctx};
    int64_t count = 1;
    if ((ctx->argc > 2 && !draw_count_or_reply(ctx, "withvalues", &count, &d.values)) ||
        !find_or_reply(ctx, &d.h))
        return;
    if (ctx->argc == 2 && d.h != NULL) {
        struct draw draw;
        draw_init(&draw);
        reply_drawn(&d, draw_below(&draw, hash_count(d.h)));
    } else if (ctx->argc == 2) {
        reply_null(ctx->reply);
    } else if (d.h == NULL) {
        reply_array(ctx->reply, 0);
    } else if (count < 0) {
        draw_many(&d, (uint64_t)-count);
    } else {
        draw_some(&d, (uint64_t)count);
    }
}
