/* SORT and SORT_RO: the elements of a list, a set or a sorted set in another order.
 * Semantics: https://redis.io/docs/latest/commands/sort/
 *
 * Keys that BY or GET would make of the elements are known only when these have been read; the
 * engine loads what a command names. So a pattern with a `*` is refused. One without orders
 * nothing, or reads nothing, as in Redis. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "command/content.h"
#include "command/event.h"

struct sort {
    bool read_only; /* SORT_RO: STORE is no option */
    bool descending;
    bool alpha;
    bool unsorted;
    int store_arg; /* 0 = the reply is the result */
    int64_t offset;
    int64_t count; /* -1 and less = all */
    int gets;
};

struct sorted {
    struct bytes bytes;
    double score;
};

static const char pattern_error[] =
    "ERR SORT cannot read keys that BY or GET make of the elements here";

static bool has_star(struct bytes pattern)
{
    return pattern.len > 0 && memchr(pattern.data, '*', pattern.len) != NULL;
}

/* The option at *at; its arguments are skipped. */
static bool option_or_reply(struct command_ctx *ctx, struct sort *s, int *at)
{
    struct bytes word = ctx->argv[*at];
    int more = ctx->argc - *at - 1;
    if (bytes_ieq(word, "asc")) {
        s->descending = false;
    } else if (bytes_ieq(word, "desc")) {
        s->descending = true;
    } else if (bytes_ieq(word, "alpha")) {
        s->alpha = true;
    } else if (bytes_ieq(word, "limit") && more >= 2) {
        if (!arg_int64_or_reply(ctx, ctx->argv[*at + 1], &s->offset) ||
            !arg_int64_or_reply(ctx, ctx->argv[*at + 2], &s->count))
            return false;
        *at += 2;
    } else if (!s->read_only && more >= 1 && bytes_ieq(word, "store")) {
        s->store_arg = ++*at;
    } else if (more >= 1 && (bytes_ieq(word, "by") || bytes_ieq(word, "get"))) {
        if (has_star(ctx->argv[++*at])) {
            reply_error(ctx->reply, pattern_error);
            return false;
        }
        if (bytes_ieq(word, "by"))
            s->unsorted = true;
        else
            s->gets++;
    } else {
        reply_syntax_error(ctx);
        return false;
    }
    return true;
}

int sort_store_arg(int argc, const struct bytes *argv)
{
    int store = 0;
    for (int i = 2; i < argc; i++) {
        if (bytes_ieq(argv[i], "limit"))
            i += 2;
        else if (bytes_ieq(argv[i], "get") || bytes_ieq(argv[i], "by"))
            i++;
        else if (bytes_ieq(argv[i], "store") && i + 1 < argc)
            store = ++i;
    }
    return store;
}

/* --- elements --- */

static bool source_or_reply(struct command_ctx *ctx, struct tree_reader *r, size_t *n,
                            const struct value **source)
{
    const struct value *v = key_find(ctx, 0);
    *source = v;
    *n = 0;
    if (v == NULL) {
        key_missed(ctx, 0);
        return true;
    }
    if (v->type == VALUE_LIST) {
        const struct deque *d;
        if (!list_or_reply(ctx, 0, &d))
            return false;
        *r = deque_reader(d);
    } else if (v->type == VALUE_SET) {
        const struct set *s;
        if (!set_or_reply(ctx, 0, &s))
            return false;
        *r = set_reader(s);
    } else {
        const struct zset *z;
        if (!zset_or_reply(ctx, 0, &z))
            return false;
        *r = zset_reader(z);
    }
    *n = value_count(v);
    return true;
}

/* As strtod reads a C string; nothing is 0. */
static bool number(struct bytes s, double *out)
{
    char *text = mem_strndup(s.data, s.len);
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    bool good = *end == '\0' && errno != ERANGE && !isnan(*out);
    mem_free(text);
    return good;
}

static int by_bytes(const void *x, const void *y)
{
    const struct sorted *a = x;
    const struct sorted *b = y;
    return bytes_cmp(a->bytes, b->bytes);
}

static int by_score(const void *x, const void *y)
{
    const struct sorted *a = x;
    const struct sorted *b = y;
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return by_bytes(x, y);
}

static void turn_round(struct sorted *elements, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        struct sorted other = elements[i];
        elements[i] = elements[n - 1 - i];
        elements[n - 1 - i] = other;
    }
}

/* False: an element is no number, and the error is written. */
static bool order_or_reply(struct command_ctx *ctx, const struct sort *s, struct sorted *elements,
                           size_t n)
{
    for (size_t i = 0; i < n && !s->alpha; i++) {
        if (!number(elements[i].bytes, &elements[i].score)) {
            reply_error(ctx->reply, "ERR One or more scores can't be converted into double");
            return false;
        }
    }
    if (n > 0)
        qsort(elements, n, sizeof(*elements), s->alpha ? by_bytes : by_score);
    if (s->descending)
        turn_round(elements, n);
    return true;
}

/* --- the result --- */

static bool gets_itself(const struct command_ctx *ctx, int at)
{
    return bytes_eq(ctx->argv[at], BYTES_LIT("#"));
}

/* Calls f for what is told of an element: itself, or for each GET itself ('#') or nothing. */
static void each_output(struct command_ctx *ctx, const struct sort *s, struct bytes element,
                        void (*f)(void *arg, struct bytes bytes, bool there), void *arg)
{
    if (s->gets == 0) {
        f(arg, element, true);
        return;
    }
    for (int i = 2; i < ctx->argc; i++) {
        if (bytes_ieq(ctx->argv[i], "limit"))
            i += 2;
        else if (bytes_ieq(ctx->argv[i], "by") || bytes_ieq(ctx->argv[i], "store"))
            i++;
        else if (bytes_ieq(ctx->argv[i], "get"))
            f(arg, element, gets_itself(ctx, ++i));
    }
}

static void output_reply(void *arg, struct bytes bytes, bool there)
{
    struct reply *r = arg;
    if (there)
        reply_bulk(r, bytes);
    else
        reply_null(r);
}

static void output_store(void *arg, struct bytes bytes, bool there)
{
    struct deque *d = arg;
    deque_insert(d, deque_count(d), there ? bytes : BYTES_LIT(""));
}

/* Redis cuts a LIMIT to what there is. */
static void limit(const struct sort *s, size_t n, size_t *first, size_t *shown)
{
    *first = s->offset < 0 ? 0 : (uint64_t)s->offset < n ? (size_t)s->offset : n;
    *shown = n - *first;
    if (s->count >= 0 && (uint64_t)s->count < *shown)
        *shown = (size_t)s->count;
}

static void answer(struct command_ctx *ctx, const struct sort *s, const struct sorted *elements,
                   size_t n)
{
    size_t first, shown;
    limit(s, n, &first, &shown);
    size_t outputs = shown * (size_t)(s->gets > 0 ? s->gets : 1);
    if (s->store_arg == 0) {
        reply_array(ctx->reply, outputs);
        for (size_t i = first; i < first + shown; i++)
            each_output(ctx, s, elements[i].bytes, output_reply, ctx->reply);
        return;
    }
    struct value *result = value_collection_new(VALUE_LIST);
    for (size_t i = first; i < first + shown; i++)
        each_output(ctx, s, elements[i].bytes, output_store, value_content(result));
    if (content_store_or_reply(ctx, 1, result, EVENT_LIST, "sortstore"))
        reply_int(ctx->reply, (int64_t)outputs);
}

static void sort(struct command_ctx *ctx, bool read_only)
{
    struct sort s = {.read_only = read_only, .count = -1};
    for (int i = 2; i < ctx->argc; i++) {
        if (!option_or_reply(ctx, &s, &i))
            return;
    }
    struct tree_reader r = {0};
    const struct value *source;
    size_t n;
    if (!source_or_reply(ctx, &r, &n, &source))
        return;
    /* A set has no order that a stored list could have. */
    if (s.unsorted && s.store_arg != 0 && source != NULL && source->type == VALUE_SET) {
        s.unsorted = false;
        s.alpha = true;
    }
    struct sorted *elements = mem_alloc(n * sizeof(*elements));
    for (size_t i = 0; i < n; i++)
        elements[i] = (struct sorted){.bytes = item_bytes(tree_read(&r, i).item)};
    bool has_order = source != NULL && source->type != VALUE_SET;
    if (s.unsorted && s.descending && has_order)
        turn_round(elements, n);
    if (s.unsorted || order_or_reply(ctx, &s, elements, n))
        answer(ctx, &s, elements, n);
    mem_free(elements);
}

void generic_sort(struct command_ctx *ctx)
{
    sort(ctx, false);
}

void generic_sort_ro(struct command_ctx *ctx)
{
    sort(ctx, true);
}
