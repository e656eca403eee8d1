/* Sets: commands over one key, and SMOVE. Semantics:
 * https://redis.io/docs/latest/commands/?group=set */

#include "command/collection.h"
#include "command/content.h"
#include "command/event.h"

void set_sadd(struct command_ctx *ctx)
{
    const struct set *old;
    if (!set_or_reply(ctx, 0, &old) || !content_room_or_reply(ctx, 0, 2, 1))
        return;
    int64_t added = 0;
    struct set *s = NULL;
    for (int i = 2; i < ctx->argc; i++) {
        if (s == NULL && old != NULL && set_has(old, ctx->argv[i]))
            continue; /* nothing is copied for what changes nothing */
        if (s == NULL)
            s = set_change(ctx, 0);
        added += set_add(s, ctx->argv[i]);
    }
    if (added > 0)
        key_event(ctx, EVENT_SET, "sadd", 0);
    reply_int(ctx->reply, added);
}

void set_srem(struct command_ctx *ctx)
{
    const struct set *old;
    if (!set_or_reply(ctx, 0, &old))
        return;
    int64_t removed = 0;
    struct set *s = NULL;
    for (int i = 2; i < ctx->argc && old != NULL; i++) {
        if (s == NULL && !set_has(old, ctx->argv[i]))
            continue;
        if (s == NULL)
            s = set_change(ctx, 0);
        removed += set_remove(s, ctx->argv[i]);
    }
    if (s != NULL) {
        key_event(ctx, EVENT_SET, "srem", 0);
        content_changed(ctx, 0);
    }
    reply_int(ctx->reply, removed);
}

void set_sismember(struct command_ctx *ctx)
{
    const struct set *s;
    if (set_or_reply(ctx, 0, &s))
        reply_int(ctx->reply, s != NULL && set_has(s, ctx->argv[2]));
}

void set_smismember(struct command_ctx *ctx)
{
    const struct set *s;
    if (!set_or_reply(ctx, 0, &s))
        return;
    reply_array(ctx->reply, (size_t)ctx->argc - 2);
    for (int i = 2; i < ctx->argc; i++)
        reply_int(ctx->reply, s != NULL && set_has(s, ctx->argv[i]));
}

void set_scard(struct command_ctx *ctx)
{
    const struct set *s;
    if (set_or_reply(ctx, 0, &s))
        reply_int(ctx->reply, s == NULL ? 0 : (int64_t)set_count(s));
}

void set_smove(struct command_ctx *ctx)
{
    const struct set *from, *to;
    if (!set_or_reply(ctx, 0, &from))
        return;
    if (from == NULL) { /* before the other key is looked at */
        reply_int(ctx->reply, 0);
        return;
    }
    struct bytes member = ctx->argv[3];
    if (!set_or_reply(ctx, 1, &to))
        return;
    bool moves = set_has(from, member);
    if (moves && ctx->keys[0] != ctx->keys[1]) {
        if (!content_fits_or_reply(ctx, 1, member.len))
            return;
        set_remove(set_change(ctx, 0), member);
        key_event(ctx, EVENT_SET, "srem", 0);
        content_changed(ctx, 0);
        if (to == NULL || !set_has(to, member)) {
            set_add(set_change(ctx, 1), member);
            key_event(ctx, EVENT_SET, "sadd", 1);
        }
    }
    reply_int(ctx->reply, moves);
}

static void reply_members(struct command_ctx *ctx, const struct set *s)
{
    reply_set(ctx->reply, set_count(s));
    struct tree_reader r = set_reader(s);
    for (size_t i = 0; i < set_count(s); i++)
        reply_bulk(ctx->reply, item_bytes(tree_read(&r, i).item));
}

void set_smembers(struct command_ctx *ctx)
{
    const struct set *s;
    if (!set_or_reply(ctx, 0, &s))
        return;
    if (s == NULL)
        reply_set(ctx->reply, 0);
    else
        reply_members(ctx, s);
}

/* --- members by chance --- */

static void pop_one(struct command_ctx *ctx, struct draw *d)
{
    const struct set *old;
    if (!set_or_reply(ctx, 0, &old))
        return;
    if (old == NULL) {
        reply_null(ctx->reply);
        return;
    }
    struct bytes member = set_at(old, draw_below(d, set_count(old)));
    reply_bulk(ctx->reply, member);
    set_remove(set_change(ctx, 0), member);
    key_event(ctx, EVENT_SET, "spop", 0);
    content_changed(ctx, 0);
}

/* Redis makes a new set of those that stay, if they are few beside those that go: then it may be an
 * intset again. */
static bool pop_rebuilds(size_t count, size_t popped)
{
    enum { FEW = 5 };
    return (count - popped) * FEW <= popped;
}

static void pop_many(struct command_ctx *ctx, struct draw *d, size_t n)
{
    struct set *s = set_change(ctx, 0);
    size_t count = set_count(s);
    key_event(ctx, EVENT_SET, "spop", 0);
    if (n >= count) {
        reply_members(ctx, s);
        key_remove(ctx->keys[0]);
        key_del_event(ctx, 0);
        return;
    }
    reply_set(ctx->reply, n);
    for (size_t i = 0; i < n; i++) {
        struct bytes member = set_at(s, draw_below(d, set_count(s)));
        reply_bulk(ctx->reply, member);
        set_remove(s, member);
    }
    if (pop_rebuilds(count, n))
        set_settle(s);
}

void set_spop(struct command_ctx *ctx)
{
    struct draw d;
    draw_init(&d);
    if (ctx->argc == 2) {
        pop_one(ctx, &d);
        return;
    }
    if (ctx->argc > 3) {
        reply_syntax_error(ctx);
        return;
    }
    int64_t n;
    const struct set *s;
    if (!arg_count_or_reply(ctx, ctx->argv[2], &n) || !set_or_reply(ctx, 0, &s))
        return;
    if (s == NULL || n == 0)
        reply_set(ctx->reply, 0);
    else
        pop_many(ctx, &d, (size_t)n);
}

struct reply_member_arg {
    struct command_ctx *ctx;
    const struct set *set;
};

static void reply_member(void *arg, size_t i)
{
    const struct reply_member_arg *a = arg;
    reply_bulk(a->ctx->reply, set_at(a->set, i));
}

/* n < 0: so many, the same one perhaps more than once. */
static void reply_random_members(struct command_ctx *ctx, const struct set *s, int64_t n)
{
    struct draw d;
    draw_init(&d);
    size_t count = set_count(s);
    struct reply_member_arg arg = {ctx, s};
    if (n < 0) {
        if (!draws_fit_or_reply(ctx, 0, (uint64_t)-n))
            return;
        reply_array(ctx->reply, (size_t)-n);
        for (; n < 0; n++)
            reply_member(&arg, draw_below(&d, count));
        return;
    }
    size_t wanted = (uint64_t)n < count ? (size_t)n : count;
    size_t mark = ctx->reply->out->len;
    reply_array(ctx->reply, wanted);
    if (!draw_distinct(&d, count, wanted, reply_member, &arg)) {
        ctx->reply->out->len = mark;
        reply_out_of_memory(ctx);
    }
}

void set_srandmember(struct command_ctx *ctx)
{
    bool counted = ctx->argc == 3;
    int64_t n = 0;
    const struct set *s;
    if (ctx->argc > 3) {
        reply_syntax_error(ctx);
        return;
    }
    if ((counted && !arg_between_or_reply(ctx, ctx->argv[2], -INT64_MAX, INT64_MAX, NULL, &n)) ||
        !set_or_reply(ctx, 0, &s))
        return;
    if (s == NULL && !counted) {
        reply_null(ctx->reply);
    } else if (s == NULL || (counted && n == 0)) {
        reply_empty_array(ctx);
    } else if (!counted) {
        struct draw d;
        draw_init(&d);
        reply_bulk(ctx->reply, set_at(s, draw_below(&d, set_count(s))));
    } else {
        reply_random_members(ctx, s, n);
    }
}
