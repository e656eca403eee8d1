/* Lists: commands over two keys, or over the first of several that has elements. */

#include "base/num.h"
#include "command/event.h"
#include "command/list.h"

bool list_end_or_reply(struct command_ctx *ctx, struct bytes arg, bool *front)
{
    *front = bytes_ieq(arg, "left");
    if (*front || bytes_ieq(arg, "right"))
        return true;
    reply_syntax_error(ctx);
    return false;
}

void list_move(struct command_ctx *ctx, bool from_front, bool to_front)
{
    const struct deque *from, *to;
    if (!list_or_reply(ctx, 0, &from))
        return;
    if (from == NULL) {
        reply_null(ctx->reply);
        return;
    }
    if (!list_or_reply(ctx, 1, &to))
        return;
    size_t pos = from_front ? 0 : deque_count(from) - 1;
    struct bytes element = deque_at(from, pos);
    if (ctx->keys[0] != ctx->keys[1] && !content_fits_or_reply(ctx, 1, element.len))
        return;
    reply_bulk(ctx->reply, element);
    /* First put, then taken, so that a list of one that turns round does not vanish; the put one
     * moves the other only if both are one. */
    struct deque *target = list_change(ctx, 1);
    deque_insert(target, to_front ? 0 : deque_count(target), element);
    key_event(ctx, EVENT_LIST, to_front ? "lpush" : "rpush", 1);
    struct deque *source = list_change(ctx, 0);
    deque_remove(source, pos + (source == target && to_front), 1);
    key_event(ctx, EVENT_LIST, from_front ? "lpop" : "rpop", 0);
    content_changed(ctx, 0);
}

void list_lmove(struct command_ctx *ctx)
{
    bool from_front, to_front;
    if (list_end_or_reply(ctx, ctx->argv[3], &from_front) && list_end_or_reply(ctx, ctx->argv[4], &to_front))
        list_move(ctx, from_front, to_front);
}

void list_rpoplpush(struct command_ctx *ctx)
{
    list_move(ctx, false, true);
}

void list_lmpop(struct command_ctx *ctx)
{
    int64_t count;
    bool back;
    if (!mpop_arguments_or_reply(ctx, 1, "left", "right", &back, &count))
        return;
    for (int i = 0; i < ctx->nkeys; i++) {
        const struct deque *d;
        if (!list_or_reply(ctx, i, &d))
            return;
        if (d == NULL)
            continue;
        reply_array(ctx->reply, 2);
        reply_bulk(ctx->reply, ctx->keys[i]->name);
        list_pop_reply(ctx, i, !back, (size_t)count, true);
        return;
    }
    reply_null_array(ctx->reply);
}
