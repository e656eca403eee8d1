/* Sets: intersections, unions and differences, replied or stored. */

#include <stdlib.h>

#include "base/mem.h"
#include "command/content.h"
#include "command/event.h"

/* The sets of the keys [first, nkeys), NULL for an absent key; to be freed. NULL: one is of another
 * type, and the error is written. */
static const struct set **operands_or_reply(struct command_ctx *ctx, int first, size_t *n)
{
    *n = (size_t)(ctx->nkeys - first);
    const struct set **sets = mem_alloc(*n * sizeof(const struct set *));
    for (size_t i = 0; i < *n; i++) {
        key_looked_up(ctx, first + (int)i, key_find(ctx, first + (int)i) != NULL);
        if (!set_or_reply(ctx, first + (int)i, &sets[i])) {
            mem_free(sets);
            return NULL;
        }
    }
    return sets;
}

static size_t count_of(const struct set *s)
{
    return s == NULL ? 0 : set_count(s);
}

static int smaller_first(const void *a, const void *b)
{
    size_t x = count_of(*(const struct set *const *)a);
    size_t y = count_of(*(const struct set *const *)b);
    return x < y ? -1 : x > y;
}

static bool in_all(const struct set **sets, size_t n, struct bytes member)
{
    for (size_t i = 0; i < n; i++) {
        if (!set_has(sets[i], member))
            return false;
    }
    return true;
}

/* Of at most `limit` members, 0 = all, into `out` unless that is NULL; returns how many. */
static size_t intersect(const struct set **sets, size_t n, size_t limit, struct set *out)
{
    qsort(sets, n, sizeof(const struct set *), smaller_first);
    size_t found = 0;
    struct tree_reader r = {0};
    if (count_of(sets[0]) > 0)
        r = set_reader(sets[0]);
    for (size_t i = 0; i < count_of(sets[0]) && (limit == 0 || found < limit); i++) {
        struct bytes member = item_bytes(tree_read(&r, i).item);
        if (!in_all(sets + 1, n - 1, member))
            continue;
        found++;
        if (out != NULL)
            set_add(out, member);
    }
    return found;
}

static void unite(const struct set **sets, size_t n, struct set *out)
{
    for (size_t i = 0; i < n; i++) {
        struct tree_reader r = {0};
        if (sets[i] != NULL)
            r = set_reader(sets[i]);
        for (size_t j = 0; j < count_of(sets[i]); j++)
            set_add(out, item_bytes(tree_read(&r, j).item));
    }
}

static bool in_any(const struct set **sets, size_t n, struct bytes member)
{
    for (size_t i = 0; i < n; i++) {
        if (sets[i] != NULL && set_has(sets[i], member))
            return true;
    }
    return false;
}

static void subtract(const struct set **sets, size_t n, struct set *out)
{
    struct tree_reader r = {0};
    if (sets[0] != NULL)
        r = set_reader(sets[0]);
    for (size_t i = 0; i < count_of(sets[0]); i++) {
        struct bytes member = item_bytes(tree_read(&r, i).item);
        if (!in_any(sets + 1, n - 1, member))
            set_add(out, member);
    }
}

enum operation { INTERSECTION, UNION, DIFFERENCE };

/* Takes the result. */
static void answer(struct command_ctx *ctx, enum operation what, bool store, struct value *result)
{
    static const char *const events[] = {"sinterstore", "sunionstore", "sdiffstore"};
    const struct set *s = value_content(result);
    size_t n = set_count(s);
    if (store) {
        if (content_store_or_reply(ctx, 0, result, EVENT_SET, events[what]))
            reply_int(ctx->reply, (int64_t)n);
        return;
    }
    reply_set(ctx->reply, n);
    struct tree_reader r = set_reader(s);
    for (size_t i = 0; i < n; i++)
        reply_bulk(ctx->reply, item_bytes(tree_read(&r, i).item));
    value_unref(result);
}

static void operate(struct command_ctx *ctx, enum operation what, bool store)
{
    size_t n;
    const struct set **sets = operands_or_reply(ctx, store ? 1 : 0, &n);
    if (sets == NULL)
        return;
    struct value *result = value_collection_new(VALUE_SET);
    struct set *out = value_content(result);
    switch (what) {
    case INTERSECTION:
        intersect(sets, n, 0, out);
        break;
    case UNION:
        unite(sets, n, out);
        break;
    case DIFFERENCE:
        subtract(sets, n, out);
        break;
    }
    mem_free(sets);
    answer(ctx, what, store, result);
}

void set_sinter(struct command_ctx *ctx)
{
    operate(ctx, INTERSECTION, false);
}

void set_sinterstore(struct command_ctx *ctx)
{
    operate(ctx, INTERSECTION, true);
}

void set_sunion(struct command_ctx *ctx)
{
    operate(ctx, UNION, false);
}

void set_sunionstore(struct command_ctx *ctx)
{
    operate(ctx, UNION, true);
}

void set_sdiff(struct command_ctx *ctx)
{
    operate(ctx, DIFFERENCE, false);
}

void set_sdiffstore(struct command_ctx *ctx)
{
    operate(ctx, DIFFERENCE, true);
}

void set_sintercard(struct command_ctx *ctx)
{
    int64_t numkeys;
    int64_t limit = 0;
    if (!arg_between_or_reply(ctx, ctx->argv[1], 1, INT64_MAX, "numkeys should be greater than 0",
                              &numkeys))
        return;
    int end = numkeys_end(ctx->argc, ctx->argv, 1);
    if (end == 0) {
        reply_error(ctx->reply, "ERR Number of keys can't be greater than number of args");
        return;
    }
    for (int i = end; i < ctx->argc; i += 2) {
        if (!bytes_ieq(ctx->argv[i], "limit") || i + 1 == ctx->argc) {
            reply_syntax_error(ctx);
            return;
        }
        if (!arg_between_or_reply(ctx, ctx->argv[i + 1], 0, INT64_MAX, "LIMIT can't be negative",
                                  &limit))
            return;
    }
    size_t n;
    const struct set **sets = operands_or_reply(ctx, 0, &n);
    if (sets == NULL)
        return;
    reply_int(ctx->reply, (int64_t)intersect(sets, n, (size_t)limit, NULL));
    mem_free(sets);
}
