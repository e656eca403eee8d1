/* SSCAN and ZSCAN: a collection in pages. Where the members are in the order of a hash, the cursor
 * is where in that order a page begins (value/member.h). */

#include "base/glob.h"
#include "command/collection.h"
#include "command/content.h"

struct page {
    const struct scan_args *args;
    bool with_scores;
    bool listpack;
    size_t found;
    struct buf elements;
};

/* A bulk string, also under RESP3. In a listpack Redis has whole numbers as integers. */
static void reply_score(struct reply *r, double score, bool listpack)
{
    const double limit = (double)(INT64_MAX / 2);
    if (listpack && score >= -limit && score <= limit && score == (double)(int64_t)score)
        reply_bulk_int(r, (int64_t)score);
    else
        reply_double(r, score);
}

static void add_member(struct bytes member, const struct item *item, void *arg)
{
    struct page *p = arg;
    if (p->args->pattern.data != NULL && !glob_match(p->args->pattern, member, false))
        return;
    struct reply r = {.out = &p->elements, .proto = 2};
    reply_bulk(&r, member);
    p->found++;
    if (!p->with_scores)
        return;
    reply_score(&r, zset_item_score(item), p->listpack);
    p->found++;
}

static void answer(struct command_ctx *ctx, struct page *p, uint64_t next)
{
    scan_reply(ctx, next, p->found, &p->elements);
    buf_release(&p->elements);
}

void set_sscan(struct command_ctx *ctx)
{
    struct scan_args args;
    const struct set *s;
    if (!scan_cursor_or_reply(ctx, &args) || !set_or_reply(ctx, 0, &s) ||
        (s != NULL && !scan_options_or_reply(ctx, &args)))
        return;
    struct page p = {.args = &args};
    uint64_t next = 0;
    if (s != NULL)
        next = set_scan(s, args.cursor, (size_t)args.count, add_member, &p);
    answer(ctx, &p, next);
}

void zset_zscan(struct command_ctx *ctx)
{
    struct scan_args args;
    const struct zset *z;
    if (!scan_cursor_or_reply(ctx, &args) || !zset_or_reply(ctx, 0, &z) ||
        (z != NULL && !scan_options_or_reply(ctx, &args)))
        return;
    struct page p = {.args = &args, .with_scores = true};
    p.listpack = z != NULL && !zset_is_skiplist(z);
    uint64_t next = 0;
    if (z != NULL)
        next = zset_scan(z, args.cursor, (size_t)args.count, add_member, &p);
    answer(ctx, &p, next);
}
