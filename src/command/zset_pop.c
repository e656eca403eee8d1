/* Sorted sets: members taken off an end, and members by chance. */

#include "command/collection.h"
#include "command/event.h"
#include "command/zset.h"

void zset_pop_reply(struct command_ctx *ctx, int key, bool max, size_t n, bool pairs)
{
    size_t count = zset_count(value_content(key_find(ctx, key)));
    n = n < count ? n : count;
    reply_array(ctx->reply, pairs ? n : 2 * n);
    zset_pop_members(ctx, key, max, n, pairs);
}

void zset_pop_members(struct command_ctx *ctx, int key, bool max, size_t n, bool pairs)
{
    struct zset *z = zset_change(ctx, key);
    size_t count = zset_count(z);
    CHECK(n <= count);
    struct tree_reader r = zset_reader(z);
    for (size_t i = 0; i < n; i++) {
        const struct item *it = tree_read(&r, max ? count - 1 - i : i).item;
        if (pairs)
            reply_array(ctx->reply, 2);
        reply_bulk(ctx->reply, item_bytes(it));
        reply_double(ctx->reply, zset_item_score(it));
    }
    zset_remove_range(z, max ? count - n : 0, n);
    key_event(ctx, EVENT_ZSET, max ? "zpopmax" : "zpopmin", key);
    content_changed(ctx, key);
}

static void pop(struct command_ctx *ctx, bool max)
{
    bool counted = ctx->argc == 3;
    int64_t n = 1;
    const struct zset *z;
    if (ctx->argc > 3) {
        reply_syntax_error(ctx);
        return;
    }
    if ((counted && !arg_count_or_reply(ctx, ctx->argv[2], &n)) || !zset_or_reply(ctx, 0, &z))
        return;
    if (z == NULL || n == 0)
        reply_empty_array(ctx);
    else
        zset_pop_reply(ctx, 0, max, (size_t)n, counted && ctx->reply->proto >= 3);
}

void zset_zpopmin(struct command_ctx *ctx)
{
    pop(ctx, false);
}

void zset_zpopmax(struct command_ctx *ctx)
{
    pop(ctx, true);
}

void zset_zmpop(struct command_ctx *ctx)
{
    int64_t n;
    bool max;
    if (!mpop_arguments_or_reply(ctx, 1, "min", "max", &max, &n))
        return;
    for (int i = 0; i < ctx->nkeys; i++) {
        const struct zset *z;
        if (!zset_or_reply(ctx, i, &z))
            return;
        if (z == NULL)
            continue;
        reply_array(ctx->reply, 2);
        reply_bulk(ctx->reply, ctx->keys[i]->name);
        zset_pop_reply(ctx, i, max, (size_t)n, true);
        return;
    }
    reply_null_array(ctx->reply);
}

/* --- by chance --- */

struct reply_member_arg {
    struct command_ctx *ctx;
    const struct zset *zset;
    bool with_score;
};

static const struct item *item_at(const struct zset *z, size_t rank)
{
    struct tree_reader r = zset_reader(z);
    return tree_read(&r, rank).item;
}

static void reply_member(void *arg, size_t rank)
{
    const struct reply_member_arg *a = arg;
    reply_pair(a->ctx, item_at(a->zset, rank), a->with_score);
}

/* n < 0: so many, the same one perhaps more than once. */
static void reply_random_members(struct command_ctx *ctx, const struct zset *z, int64_t n,
                                 bool with_scores)
{
    struct draw d;
    draw_init(&d);
    size_t count = zset_count(z);
    struct reply_member_arg arg = {ctx, z, with_scores};
    if (n < 0) {
        if (!draws_fit_or_reply(ctx, 0, (uint64_t)-n))
            return;
        reply_pairs_begin(ctx, (size_t)-n, with_scores);
        for (; n < 0; n++)
            reply_member(&arg, draw_below(&d, count));
        return;
    }
    size_t wanted = (uint64_t)n < count ? (size_t)n : count;
    size_t mark = ctx->reply->out->len;
    reply_pairs_begin(ctx, wanted, with_scores);
    if (!draw_distinct(&d, count, wanted, reply_member, &arg)) {
        ctx->reply->out->len = mark;
        reply_out_of_memory(ctx);
    }
}

void zset_zrandmember(struct command_ctx *ctx)
{
    bool counted = ctx->argc > 2;
    bool with_scores = false;
    int64_t n = 0;
    const struct zset *z;
    if ((counted && !draw_count_or_reply(ctx, "withscores", &n, &with_scores)) ||
        !zset_or_reply(ctx, 0, &z))
        return;
    if (z == NULL && !counted) {
        reply_null(ctx->reply);
    } else if (z == NULL || (counted && n == 0)) {
        reply_empty_array(ctx);
    } else if (!counted) {
        struct draw d;
        draw_init(&d);
        reply_bulk(ctx->reply, item_bytes(item_at(z, draw_below(&d, zset_count(z)))));
    } else {
        reply_random_members(ctx, z, n, with_scores);
    }
}
