/* Sorted sets: commands over single members. Semantics:
 * https://redis.io/docs/latest/commands/?group=sorted-set */

#include <math.h>

#include "base/mem.h"
#include "command/content.h"
#include "command/event.h"

enum add_option {
    ADD_NX = 1 << 0,
    ADD_XX = 1 << 1,
    ADD_GT = 1 << 2,
    ADD_LT = 1 << 3,
    ADD_CH = 1 << 4,
    ADD_INCR = 1 << 5,
};

/* Returns where the pairs begin. */
static int add_options(const struct command_ctx *ctx, unsigned *options)
{
    static const struct {
        const char *name;
        unsigned option;
    } rows[] = {{"nx", ADD_NX}, {"xx", ADD_XX}, {"gt", ADD_GT},
                {"lt", ADD_LT}, {"ch", ADD_CH}, {"incr", ADD_INCR}};

    int at = 2;
    for (; at < ctx->argc; at++) {
        unsigned option = 0;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            if (bytes_ieq(ctx->argv[at], rows[i].name))
                option = rows[i].option;
        }
        if (option == 0)
            break;
        *options |= option;
    }
    return at;
}

static bool has_several(unsigned options, unsigned of)
{
    options &= of;
    return (options & (options - 1)) != 0;
}

/* Options and the number of pairs that fit together. */
static bool add_fits_or_reply(struct command_ctx *ctx, unsigned options, int words)
{
    const char *error = NULL;
    if (words == 0 || words % 2 != 0)
        error = "ERR syntax error";
    else if (has_several(options, ADD_NX | ADD_XX))
        error = "ERR XX and NX options at the same time are not compatible";
    else if (has_several(options, ADD_GT | ADD_LT | ADD_NX))
        error = "ERR GT, LT, and/or NX options at the same time are not compatible";
    else if ((options & ADD_INCR) != 0 && words > 2)
        error = "ERR INCR option supports a single increment-element pair";
    if (error != NULL)
        reply_error(ctx->reply, error);
    return error == NULL;
}

/* Reads the scores of all pairs from argument `at` on; to be freed. NULL: one is none, and the
 * error is written. */
static double *scores_or_reply(struct command_ctx *ctx, int at)
{
    size_t n = (size_t)(ctx->argc - at) / 2;
    double *scores = mem_alloc(n * sizeof(*scores));
    for (size_t i = 0; i < n; i++) {
        if (!arg_double_or_reply(ctx, ctx->argv[at + 2 * (int)i], NULL, &scores[i])) {
            mem_free(scores);
            return NULL;
        }
    }
    return scores;
}

enum added { ADD_REFUSED, ADD_NOTHING, ADD_MOVED, ADD_NEW, ADD_NAN };

/* What is to become of a member: with ADD_MOVED and ADD_NEW it is to be put at *score, which is the
 * result, of ADD_NOTHING too. */
static enum added add_decide(const struct zset *z, unsigned options, struct bytes member,
                             double *score)
{
    double current;
    if (z == NULL || !zset_score(z, member, &current))
        return (options & ADD_XX) != 0 ? ADD_REFUSED : ADD_NEW;
    if ((options & ADD_NX) != 0)
        return ADD_REFUSED;
    double wanted = (options & ADD_INCR) != 0 ? current + *score : *score;
    if (isnan(wanted))
        return ADD_NAN;
    if (((options & ADD_LT) != 0 && wanted >= current) ||
        ((options & ADD_GT) != 0 && wanted <= current))
        return ADD_REFUSED;
    *score = wanted;
    return wanted == current ? ADD_NOTHING : ADD_MOVED;
}

/* Nothing is copied before something changes. */
static void add_all(struct command_ctx *ctx, const struct zset *old, unsigned options, int at,
                    double *scores)
{
    struct zset *z = NULL;
    int64_t added = 0, moved = 0;
    enum added last = ADD_REFUSED;
    for (int i = at; i < ctx->argc; i += 2) {
        struct bytes member = ctx->argv[i + 1];
        double *score = &scores[(i - at) / 2];
        last = add_decide(z != NULL ? z : old, options, member, score);
        added += last == ADD_NEW;
        moved += last == ADD_MOVED;
        if (last != ADD_NEW && last != ADD_MOVED)
            continue;
        if (z == NULL)
            z = zset_change(ctx, 0);
        zset_put(z, member, *score);
    }
    if (z != NULL)
        key_event(ctx, EVENT_ZSET, (options & ADD_INCR) != 0 ? "zincr" : "zadd", 0);
    if ((options & ADD_INCR) == 0)
        reply_int(ctx->reply, (options & ADD_CH) != 0 ? added + moved : added);
    else if (last == ADD_NAN)
        reply_error(ctx->reply, "ERR resulting score is not a number (NaN)");
    else if (last == ADD_REFUSED)
        reply_null(ctx->reply);
    else
        reply_double(ctx->reply, scores[0]);
}

static void add(struct command_ctx *ctx, unsigned options)
{
    int at = add_options(ctx, &options);
    if (!add_fits_or_reply(ctx, options, ctx->argc - at))
        return;
    double *scores = scores_or_reply(ctx, at);
    const struct zset *old;
    if (scores == NULL)
        return;
    if (zset_or_reply(ctx, 0, &old) && content_room_or_reply(ctx, 0, at + 1, 2))
        add_all(ctx, old, options, at, scores);
    mem_free(scores);
}

void zset_zadd(struct command_ctx *ctx)
{
    add(ctx, 0);
}

/* ZADD with INCR; it takes the other options, too. */
void zset_zincrby(struct command_ctx *ctx)
{
    add(ctx, ADD_INCR);
}

void zset_zrem(struct command_ctx *ctx)
{
    const struct zset *old;
    if (!zset_or_reply(ctx, 0, &old))
        return;
    int64_t removed = 0;
    struct zset *z = NULL;
    for (int i = 2; i < ctx->argc && old != NULL; i++) {
        double score;
        if (z == NULL && !zset_score(old, ctx->argv[i], &score))
            continue;
        if (z == NULL)
            z = zset_change(ctx, 0);
        removed += zset_remove(z, ctx->argv[i]);
    }
    if (z != NULL) {
        key_event(ctx, EVENT_ZSET, "zrem", 0);
        content_changed(ctx, 0);
    }
    reply_int(ctx->reply, removed);
}

void zset_zcard(struct command_ctx *ctx)
{
    const struct zset *z;
    if (zset_or_reply(ctx, 0, &z))
        reply_int(ctx->reply, z == NULL ? 0 : (int64_t)zset_count(z));
}

static void reply_score(struct command_ctx *ctx, const struct zset *z, struct bytes member)
{
    double score;
    if (z != NULL && zset_score(z, member, &score))
        reply_double(ctx->reply, score);
    else
        reply_null(ctx->reply);
}

void zset_zscore(struct command_ctx *ctx)
{
    const struct zset *z;
    if (zset_or_reply(ctx, 0, &z))
        reply_score(ctx, z, ctx->argv[2]);
}

void zset_zmscore(struct command_ctx *ctx)
{
    const struct zset *z;
    if (!zset_or_reply(ctx, 0, &z))
        return;
    reply_array(ctx->reply, (size_t)ctx->argc - 2);
    for (int i = 2; i < ctx->argc; i++)
        reply_score(ctx, z, ctx->argv[i]);
}

static void rank(struct command_ctx *ctx, bool reverse)
{
    const struct zset *z;
    size_t at;
    if (!zset_or_reply(ctx, 0, &z))
        return;
    if (z == NULL || !zset_rank(z, ctx->argv[2], &at))
        reply_null(ctx->reply);
    else
        reply_int(ctx->reply, (int64_t)(reverse ? zset_count(z) - 1 - at : at));
}

void zset_zrank(struct command_ctx *ctx)
{
    rank(ctx, false);
}

void zset_zrevrank(struct command_ctx *ctx)
{
    rank(ctx, true);
}
