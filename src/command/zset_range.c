/* Sorted sets: ranges by rank, score and bytes: replied, stored, counted, removed. */

#include "base/mem.h"
#include "base/num.h"
#include "command/event.h"
#include "command/zset.h"

enum range_by { BY_RANK, BY_SCORE, BY_LEX };

struct range {
    enum range_by by;
    bool reverse;
    bool with_scores;
    int64_t offset;
    int64_t limit; /* -1 and less = all */
    int64_t start, end;
    struct score_border scores[2];
    struct lex_border lex[2];
};

/* What a command takes for options, besides LIMIT. */
struct range_kind {
    bool chooses; /* BYSCORE, BYLEX and REV are options */
    bool store;   /* WITHSCORES is none */
};

static bool option_or_reply(struct command_ctx *ctx, struct range *g, struct range_kind kind,
                            int *at)
{
    struct bytes word = ctx->argv[*at];
    if (!kind.store && bytes_ieq(word, "withscores")) {
        g->with_scores = true;
    } else if (bytes_ieq(word, "limit") && *at + 2 < ctx->argc) {
        if (!arg_int64_or_reply(ctx, ctx->argv[*at + 1], &g->offset) ||
            !arg_int64_or_reply(ctx, ctx->argv[*at + 2], &g->limit))
            return false;
        *at += 2;
    } else if (kind.chooses && !g->reverse && bytes_ieq(word, "rev")) {
        g->reverse = true;
    } else if (kind.chooses && g->by == BY_RANK && bytes_ieq(word, "bylex")) {
        g->by = BY_LEX;
    } else if (kind.chooses && g->by == BY_RANK && bytes_ieq(word, "byscore")) {
        g->by = BY_SCORE;
    } else {
        reply_syntax_error(ctx);
        return false;
    }
    return true;
}

static bool borders_or_reply(struct command_ctx *ctx, struct range *g, int at)
{
    bool swap = g->reverse && g->by != BY_RANK;
    struct bytes min = ctx->argv[at + swap];
    struct bytes max = ctx->argv[at + !swap];
    switch (g->by) {
    case BY_RANK:
        return arg_int64_or_reply(ctx, min, &g->start) && arg_int64_or_reply(ctx, max, &g->end);
    case BY_SCORE:
        return score_borders_or_reply(ctx, min, max, g->scores);
    case BY_LEX:
        return lex_borders_or_reply(ctx, min, max, g->lex);
    }
    check_failed("range by", __FILE__, __LINE__);
}

/* The borders are the arguments from `at` on; options follow. */
static bool range_or_reply(struct command_ctx *ctx, struct range *g, struct range_kind kind, int at)
{
    g->offset = 0;
    g->limit = -1;
    for (int i = at + 2; i < ctx->argc; i++) {
        if (!option_or_reply(ctx, g, kind, &i))
            return false;
    }
    if (g->limit != -1 && g->by == BY_RANK) {
        reply_error(ctx->reply, "ERR syntax error, LIMIT is only supported in combination with "
                                "either BYSCORE or BYLEX");
        return false;
    }
    if (g->with_scores && g->by == BY_LEX) {
        reply_error(ctx->reply,
                    "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    return borders_or_reply(ctx, g, at);
}

/* A range in the order in which it is told: `n` ranks from `first` on, upwards or downwards. */
static void range_find(const struct zset *z, const struct range *g, size_t *first, size_t *n)
{
    size_t count = zset_count(z);
    if (g->by == BY_RANK)
        range_within(g->start, g->end, count, first, n);
    else if (g->by == BY_SCORE)
        score_range(z, g->scores, first, n);
    else
        lex_range(z, g->lex, first, n);
    if (g->by == BY_RANK) {
        if (g->reverse)
            *first = count - 1 - *first;
        return;
    }
    if (g->reverse && *n > 0)
        *first += *n - 1;
    size_t skip = g->offset < 0 || (uint64_t)g->offset > *n ? *n : (size_t)g->offset;
    *n -= skip;
    if (g->limit >= 0 && (uint64_t)g->limit < *n)
        *n = (size_t)g->limit;
    if (*n > 0)
        *first = g->reverse ? *first - skip : *first + skip;
}

static size_t rank_at(const struct range *g, size_t first, size_t i)
{
    return g->reverse ? first - i : first + i;
}

void reply_pairs_begin(struct command_ctx *ctx, size_t n, bool with_scores)
{
    reply_array(ctx->reply, with_scores && ctx->reply->proto < 3 ? 2 * n : n);
}

void reply_pair(struct command_ctx *ctx, const struct item *it, bool with_score)
{
    if (with_score && ctx->reply->proto >= 3)
        reply_array(ctx->reply, 2);
    reply_bulk(ctx->reply, item_bytes(it));
    if (with_score)
        reply_double(ctx->reply, zset_item_score(it));
}

static void range_reply(struct command_ctx *ctx, struct range *g, bool chooses)
{
    const struct zset *z;
    size_t first = 0, n = 0;
    if (!range_or_reply(ctx, g, (struct range_kind){.chooses = chooses}, 2) ||
        !zset_or_reply(ctx, 0, &z))
        return;
    struct tree_reader r = {0};
    if (z != NULL) {
        range_find(z, g, &first, &n);
        r = zset_reader(z);
    }
    reply_pairs_begin(ctx, n, g->with_scores);
    for (size_t i = 0; i < n; i++)
        reply_pair(ctx, tree_read(&r, rank_at(g, first, i)).item, g->with_scores);
}

void zset_zrange(struct command_ctx *ctx)
{
    range_reply(ctx, &(struct range){.by = BY_RANK}, true);
}

void zset_zrevrange(struct command_ctx *ctx)
{
    range_reply(ctx, &(struct range){.by = BY_RANK, .reverse = true}, false);
}

void zset_zrangebyscore(struct command_ctx *ctx)
{
    range_reply(ctx, &(struct range){.by = BY_SCORE}, false);
}

void zset_zrevrangebyscore(struct command_ctx *ctx)
{
    range_reply(ctx, &(struct range){.by = BY_SCORE, .reverse = true}, false);
}

void zset_zrangebylex(struct command_ctx *ctx)
{
    range_reply(ctx, &(struct range){.by = BY_LEX}, false);
}

void zset_zrevrangebylex(struct command_ctx *ctx)
{
    range_reply(ctx, &(struct range){.by = BY_LEX, .reverse = true}, false);
}

void zset_zrangestore(struct command_ctx *ctx)
{
    struct range g = {.by = BY_RANK};
    const struct zset *z;
    if (!range_or_reply(ctx, &g, (struct range_kind){.chooses = true, .store = true}, 3) ||
        !zset_or_reply(ctx, 1, &z))
        return;
    key_looked_up(ctx, 1, z != NULL);
    size_t first = 0, n = 0;
    struct value *result = value_collection_new(VALUE_ZSET);
    struct zset *out = value_content(result);
    struct tree_reader r = {0};
    if (z != NULL) {
        range_find(z, &g, &first, &n);
        r = zset_reader(z);
    }
    for (size_t i = 0; i < n; i++) {
        const struct item *it = tree_read(&r, rank_at(&g, first, i)).item;
        zset_put(out, item_bytes(it), zset_item_score(it));
    }
    if (content_store_or_reply(ctx, 0, result, EVENT_ZSET, "zrangestore"))
        reply_int(ctx->reply, (int64_t)n);
}

/* --- counted, removed --- */

static void count(struct command_ctx *ctx, enum range_by by)
{
    struct range g = {.by = by, .limit = -1};
    const struct zset *z;
    size_t first, n = 0;
    if (!borders_or_reply(ctx, &g, 2) || !zset_or_reply(ctx, 0, &z))
        return;
    if (z != NULL)
        range_find(z, &g, &first, &n);
    reply_int(ctx->reply, (int64_t)n);
}

void zset_zcount(struct command_ctx *ctx)
{
    count(ctx, BY_SCORE);
}

void zset_zlexcount(struct command_ctx *ctx)
{
    count(ctx, BY_LEX);
}

static void remove_range(struct command_ctx *ctx, enum range_by by)
{
    static const char *const events[] = {"zremrangebyrank", "zremrangebyscore", "zremrangebylex"};
    struct range g = {.by = by, .limit = -1};
    const struct zset *z;
    size_t first, n = 0;
    if (!borders_or_reply(ctx, &g, 2) || !zset_or_reply(ctx, 0, &z))
        return;
    if (z != NULL)
        range_find(z, &g, &first, &n);
    if (n > 0) {
        zset_remove_range(zset_change(ctx, 0), first, n);
        key_event(ctx, EVENT_ZSET, events[by], 0);
        content_changed(ctx, 0);
    }
    reply_int(ctx->reply, (int64_t)n);
}

void zset_zremrangebyrank(struct command_ctx *ctx)
{
    remove_range(ctx, BY_RANK);
}

void zset_zremrangebyscore(struct command_ctx *ctx)
{
    remove_range(ctx, BY_SCORE);
}

void zset_zremrangebylex(struct command_ctx *ctx)
{
    remove_range(ctx, BY_LEX);
}
