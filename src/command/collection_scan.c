/* SSCAN and ZSCAN: a collection in pages. Where the members are in the order of a hash, the cursor is
 * where in that order a page begins (value/member.h). */

#include <errno.h>
#include <stdlib.h>

#include "base/glob.h"
#include "base/num.h"
#include "command/collection.h"

struct scan {
    struct command_ctx *ctx;
    uint64_t cursor;
    int64_t count;
    bool has_pattern;
    struct bytes pattern;
    bool with_score;
    size_t found;
    struct buf page; /* the replied elements */
};

/* As Redis' strtoul: an empty one is 0, a negative one wraps round to beyond all. */
static bool cursor_or_reply(struct command_ctx *ctx, struct bytes s, uint64_t *out)
{
    char text[24];
    char *end;
    bool good = s.len < sizeof(text) && !(s.len > 0 && s.data[0] == ' ');
    if (good) {
        if (s.len > 0)
            memcpy(text, s.data, s.len);
        text[s.len] = '\0';
        errno = 0;
        *out = strtoul(text, &end, 10);
        good = (size_t)(end - text) == s.len && errno != ERANGE;
    }
    if (!good)
        reply_error(ctx->reply, "ERR invalid cursor");
    return good;
}

static bool options_or_reply(struct command_ctx *ctx, struct scan *s)
{
    for (int i = 3; i < ctx->argc; i += 2) {
        bool more = i + 1 < ctx->argc;
        if (more && bytes_ieq(ctx->argv[i], "count")) {
            if (!arg_int64_or_reply(ctx, ctx->argv[i + 1], &s->count))
                return false;
            if (s->count >= 1)
                continue;
        } else if (more && bytes_ieq(ctx->argv[i], "match")) {
            s->has_pattern = true;
            s->pattern = ctx->argv[i + 1];
            continue;
        }
        reply_syntax_error(ctx);
        return false;
    }
    return true;
}

static void add_member(struct bytes member, const struct item *item, void *arg)
{
    struct scan *s = arg;
    if (s->has_pattern && !glob_match(s->pattern, member, false))
        return;
    struct reply r = {.out = &s->page, .proto = s->ctx->reply->proto};
    reply_bulk(&r, member);
    s->found++;
    if (!s->with_score)
        return;
    /* A bulk string, also in RESP3. */
    r.proto = 2;
    reply_double(&r, zset_item_score(item));
    s->found++;
}

static void answer(struct scan *s, uint64_t next)
{
    struct reply *r = s->ctx->reply;
    char text[24];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)next);
    reply_array(r, 2);
    reply_bulk(r, bytes_of(text, (size_t)n));
    reply_array(r, s->found);
    buf_append_bytes(r->out, buf_bytes(&s->page));
    buf_release(&s->page);
}

static struct scan scan_of(struct command_ctx *ctx)
{
    struct scan s = {.ctx = ctx, .count = 10};
    buf_init(&s.page);
    return s;
}

void set_sscan(struct command_ctx *ctx)
{
    struct scan s = scan_of(ctx);
    const struct set *set;
    if (!cursor_or_reply(ctx, ctx->argv[2], &s.cursor) || !set_or_reply(ctx, 0, &set) ||
        (set != NULL && !options_or_reply(ctx, &s)))
        return;
    answer(&s, set == NULL ? 0 : set_scan(set, s.cursor, (size_t)s.count, add_member, &s));
}

void zset_zscan(struct command_ctx *ctx)
{
    struct scan s = scan_of(ctx);
    const struct zset *zset;
    s.with_score = true;
    if (!cursor_or_reply(ctx, ctx->argv[2], &s.cursor) || !zset_or_reply(ctx, 0, &zset) ||
        (zset != NULL && !options_or_reply(ctx, &s)))
        return;
    answer(&s, zset == NULL ? 0 : zset_scan(zset, s.cursor, (size_t)s.count, add_member, &s));
}
