/* SORT and SORT_RO: the elements of a list, a set or a sorted set in another order.
 * Semantics: https://redis.io/docs/latest/commands/sort/
 *
 * BY and GET name keys by the elements (sort_pattern.h). All that are wanted are asked for at once
 * where that can be told before the elements have an order: so the command runs twice, with a LIMIT
 * and GET three times. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "command/content.h"
#include "command/event.h"
#include "command/sort_pattern.h"

struct sort {
    bool read_only; /* SORT_RO: STORE is no option */
    bool descending;
    bool alpha;
    bool unsorted;
    bool has_by;
    struct sort_pattern by;
    int store_arg; /* 0 = the reply is the result */
    int64_t offset;
    int64_t count;             /* -1 and less = all */
    struct sort_pattern *gets; /* room for one per argument */
    int ngets;
    struct buf name; /* of a key, while it is looked for */
};

struct sorted {
    struct bytes bytes;
    double score;
    struct bytes by; /* what BY names: data is NULL if that is absent */
    size_t at;       /* what is equal stays in this order */
};

static bool denied_or_reply(struct command_ctx *ctx, const char *error)
{
    if (ctx->reads_all_keys)
        return true;
    reply_error(ctx->reply, error);
    return false;
}

/* A BY that names no key: nothing is to be ordered, whatever other BYs say. */
static bool by_or_reply(struct command_ctx *ctx, struct sort *s, struct bytes pattern)
{
    s->by = sort_pattern_of(pattern);
    s->has_by = true;
    if (!sort_pattern_has_keys(&s->by))
        s->unsorted = true;
    else
        return denied_or_reply(ctx,
                               "ERR BY option of SORT denied due to insufficient ACL permissions.");
    return true;
}

static bool get_or_reply(struct command_ctx *ctx, struct sort *s, struct bytes pattern)
{
    s->gets[s->ngets++] = sort_pattern_of(pattern);
    return denied_or_reply(ctx,
                           "ERR GET option of SORT denied due to insufficient ACL permissions.");
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
    } else if (more >= 1 && bytes_ieq(word, "by")) {
        return by_or_reply(ctx, s, ctx->argv[++*at]);
    } else if (more >= 1 && bytes_ieq(word, "get")) {
        return get_or_reply(ctx, s, ctx->argv[++*at]);
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
    key_looked_up(ctx, 0, v != NULL);
    if (v == NULL)
        return true;
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

static int by_score(const void *x, const void *y)
{
    const struct sorted *a = x;
    const struct sorted *b = y;
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    int order = bytes_cmp(a->bytes, b->bytes);
    return order != 0 ? order : a->at < b->at ? -1 : 1;
}

/* What is absent comes first. */
static int by_text(const void *x, const void *y)
{
    const struct sorted *a = x;
    const struct sorted *b = y;
    int order = 0;
    if (a->by.data == NULL || b->by.data == NULL)
        order = (a->by.data != NULL) - (b->by.data != NULL);
    else
        order = bytes_cmp(a->by, b->by);
    return order != 0 ? order : a->at < b->at ? -1 : 1;
}

static void turn_round(struct sorted *elements, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        struct sorted other = elements[i];
        elements[i] = elements[n - 1 - i];
        elements[n - 1 - i] = other;
    }
}

/* False: an element, or what BY names for it, is no number, and the error is written. */
static bool order_or_reply(struct command_ctx *ctx, const struct sort *s, struct sorted *elements,
                           size_t n)
{
    bool good = true;
    for (size_t i = 0; i < n && good; i++) {
        elements[i].at = s->descending ? n - i : i; /* it will be turned round */
        if (!s->alpha && elements[i].by.data != NULL)
            good = number(elements[i].by, &elements[i].score);
    }
    if (!good) {
        reply_error(ctx->reply, "ERR One or more scores can't be converted into double");
        return false;
    }
    if (n > 0)
        qsort(elements, n, sizeof(*elements), s->alpha ? by_text : by_score);
    if (s->descending)
        turn_round(elements, n);
    return true;
}

/* --- keys that patterns name --- */

/* False: one is not loaded. */
static bool load_gets(struct command_ctx *ctx, struct sort *s, const struct sorted *elements,
                      size_t n)
{
    bool loaded = true;
    struct bytes unused;
    for (int g = 0; g < s->ngets; g++) {
        for (size_t i = 0; i < n && sort_pattern_has_keys(&s->gets[g]); i++)
            loaded &= sort_pattern_find(ctx, &s->gets[g], elements[i].bytes, false, &s->name,
                                        &unused) != SORT_NOT_LOADED;
    }
    return loaded;
}

/* What the elements are to be ordered by, if they are; and where all of them will be shown, the
 * keys of all GETs, too. False: one is not loaded. */
static bool load(struct command_ctx *ctx, struct sort *s, struct sorted *elements, size_t n)
{
    bool loaded = true;
    for (size_t i = 0; i < n && !s->unsorted; i++) {
        struct sorted *e = &elements[i];
        enum sort_found found = SORT_FOUND;
        if (s->has_by)
            found = sort_pattern_find(ctx, &s->by, e->bytes, true, &s->name, &e->by);
        else
            e->by = e->bytes;
        loaded &= found != SORT_NOT_LOADED;
        if (found == SORT_FOUND && e->by.data == NULL)
            e->by = BYTES_LIT("");
    }
    bool all = s->offset <= 0 && (s->count < 0 || (uint64_t)s->count >= n);
    return (!all || load_gets(ctx, s, elements, n)) && loaded;
}

/* --- the result --- */

/* Calls f for what is told of an element: itself, or what each GET names. */
static void each_output(struct command_ctx *ctx, struct sort *s, struct bytes element,
                        void (*f)(void *arg, struct bytes bytes, bool there), void *arg)
{
    if (s->ngets == 0)
        f(arg, element, true);
    for (int i = 0; i < s->ngets; i++) {
        struct bytes named = BYTES_LIT("");
        enum sort_found found =
            sort_pattern_find(ctx, &s->gets[i], element, true, &s->name, &named);
        CHECK(found != SORT_NOT_LOADED);
        f(arg, named, found == SORT_FOUND);
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

static void answer(struct command_ctx *ctx, struct sort *s, const struct sorted *elements, size_t n)
{
    size_t first, shown;
    limit(s, n, &first, &shown);
    if (!load_gets(ctx, s, elements + first, shown))
        return;
    size_t outputs = shown * (size_t)(s->ngets > 0 ? s->ngets : 1);
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

static void sort_source(struct command_ctx *ctx, struct sort *s)
{
    struct tree_reader r = {0};
    const struct value *source;
    size_t n;
    if (!source_or_reply(ctx, &r, &n, &source))
        return;
    /* A set has no order that a stored list could have. */
    if (s->unsorted && s->store_arg != 0 && source != NULL && source->type == VALUE_SET) {
        s->unsorted = false;
        s->alpha = true;
        s->has_by = false;
    }
    struct sorted *elements = mem_zalloc(n * sizeof(*elements));
    for (size_t i = 0; i < n; i++)
        elements[i].bytes = item_bytes(tree_read(&r, i).item);
    bool has_order = source != NULL && source->type != VALUE_SET;
    if (s->unsorted && s->descending && has_order)
        turn_round(elements, n);
    if (load(ctx, s, elements, n) && (s->unsorted || order_or_reply(ctx, s, elements, n)))
        answer(ctx, s, elements, n);
    mem_free(elements);
}

static void sort(struct command_ctx *ctx, bool read_only)
{
    struct sort s = {.read_only = read_only, .count = -1};
    s.gets = mem_alloc((size_t)ctx->argc * sizeof(*s.gets));
    buf_init(&s.name);
    bool good = true;
    for (int i = 2; good && i < ctx->argc; i++)
        good = option_or_reply(ctx, &s, &i);
    if (good)
        sort_source(ctx, &s);
    buf_release(&s.name);
    mem_free(s.gets);
}

void generic_sort(struct command_ctx *ctx)
{
    sort(ctx, false);
}

void generic_sort_ro(struct command_ctx *ctx)
{
    sort(ctx, true);
}
