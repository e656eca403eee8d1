/* Lists: one key at a time. Semantics: https://redis.io/docs/latest/commands/?group=list */

#include "base/mem.h"
#include "command/event.h"
#include "command/list.h"

static void push(struct command_ctx *ctx, bool front, bool only_if_there)
{
    const struct deque *old;
    if (!list_or_reply(ctx, 0, &old))
        return;
    if (old == NULL && only_if_there) {
        reply_int(ctx->reply, 0);
        return;
    }
    if (!content_room_or_reply(ctx, 0, 2, 1))
        return;
    struct deque *d = list_change(ctx, 0);
    for (int i = 2; i < ctx->argc; i++)
        deque_insert(d, front ? 0 : deque_count(d), ctx->argv[i]);
    key_event(ctx, EVENT_LIST, front ? "lpush" : "rpush", 0);
    reply_int(ctx->reply, (int64_t)deque_count(d));
}

void list_lpush(struct command_ctx *ctx)
{
    push(ctx, true, false);
}

void list_rpush(struct command_ctx *ctx)
{
    push(ctx, false, false);
}

void list_lpushx(struct command_ctx *ctx)
{
    push(ctx, true, true);
}

void list_rpushx(struct command_ctx *ctx)
{
    push(ctx, false, true);
}

void list_pop_reply(struct command_ctx *ctx, int key, bool front, size_t n, bool as_array)
{
    struct deque *d = list_change(ctx, key);
    size_t count = deque_count(d);
    n = n < count ? n : count;
    if (as_array)
        reply_array(ctx->reply, n);
    struct tree_reader r = deque_reader(d);
    for (size_t i = 0; i < n; i++)
        reply_bulk(ctx->reply, item_bytes(tree_read(&r, front ? i : count - 1 - i).item));
    deque_remove(d, front ? 0 : count - n, n);
    key_event(ctx, EVENT_LIST, front ? "lpop" : "rpop", key);
    content_changed(ctx, key);
}

static void pop(struct command_ctx *ctx, bool front)
{
    if (ctx->argc > 3) {
        command_reply_arity(ctx->reply, ctx->cmd);
        return;
    }
    bool counted = ctx->argc == 3;
    int64_t n = 1;
    const struct deque *d;
    if ((counted && !arg_count_or_reply(ctx, ctx->argv[2], &n)) || !list_or_reply(ctx, 0, &d))
        return;
    if (d == NULL) {
        if (counted)
            reply_null_array(ctx->reply);
        else
            reply_null(ctx->reply);
    } else if (n == 0) {
        reply_empty_array(ctx);
    } else {
        list_pop_reply(ctx, 0, front, (size_t)n, counted);
    }
}

void list_lpop(struct command_ctx *ctx)
{
    pop(ctx, true);
}

void list_rpop(struct command_ctx *ctx)
{
    pop(ctx, false);
}

void list_llen(struct command_ctx *ctx)
{
    const struct deque *d;
    if (list_or_reply(ctx, 0, &d))
        reply_int(ctx->reply, d == NULL ? 0 : (int64_t)deque_count(d));
}

/* A position, counted from the end if negative; false = there is none such. */
static bool position(const struct deque *d, int64_t index, size_t *out)
{
    int64_t count = (int64_t)deque_count(d);
    if (index < 0)
        index += count;
    if (index < 0 || index >= count)
        return false;
    *out = (size_t)index;
    return true;
}

/* An absent key is looked at before the index. */
void list_lindex(struct command_ctx *ctx)
{
    const struct deque *d;
    int64_t index;
    size_t pos;
    if (!list_or_reply(ctx, 0, &d))
        return;
    if (d == NULL) {
        reply_null(ctx->reply);
        return;
    }
    if (!arg_int64_or_reply(ctx, ctx->argv[2], &index))
        return;
    if (position(d, index, &pos))
        reply_bulk(ctx->reply, deque_at(d, pos));
    else
        reply_null(ctx->reply);
}

void list_lset(struct command_ctx *ctx)
{
    const struct deque *d;
    int64_t index;
    size_t pos;
    if (!list_or_reply(ctx, 0, &d))
        return;
    if (d == NULL) {
        reply_error(ctx->reply, "ERR no such key");
        return;
    }
    if (!arg_int64_or_reply(ctx, ctx->argv[2], &index))
        return;
    if (!position(d, index, &pos)) {
        reply_error(ctx->reply, "ERR index out of range");
        return;
    }
    if (!content_room_or_reply(ctx, 0, 3, 1))
        return;
    deque_set(list_change(ctx, 0), pos, ctx->argv[3]);
    key_event(ctx, EVENT_LIST, "lset", 0);
    reply_ok(ctx->reply);
}

void list_lrange(struct command_ctx *ctx)
{
    const struct deque *d;
    int64_t start, end;
    if (!arg_int64_or_reply(ctx, ctx->argv[2], &start) ||
        !arg_int64_or_reply(ctx, ctx->argv[3], &end) || !list_or_reply(ctx, 0, &d))
        return;
    size_t first = 0, n = 0;
    if (d != NULL)
        range_within(start, end, deque_count(d), &first, &n);
    reply_array(ctx->reply, n);
    struct tree_reader r = {0};
    if (n > 0)
        r = deque_reader(d);
    for (size_t i = first; i < first + n; i++)
        reply_bulk(ctx->reply, item_bytes(tree_read(&r, i).item));
}

void list_ltrim(struct command_ctx *ctx)
{
    const struct deque *old;
    int64_t start, end;
    if (!arg_int64_or_reply(ctx, ctx->argv[2], &start) ||
        !arg_int64_or_reply(ctx, ctx->argv[3], &end) || !list_or_reply(ctx, 0, &old))
        return;
    size_t first = 0, n = 0;
    if (old != NULL)
        range_within(start, end, deque_count(old), &first, &n);
    bool cuts = old != NULL && n < deque_count(old);
    if (cuts) {
        struct deque *d = list_change(ctx, 0);
        deque_remove(d, first + n, deque_count(d) - first - n);
        deque_remove(d, 0, first);
    }
    if (old != NULL)
        key_event(ctx, EVENT_LIST, "ltrim", 0);
    if (cuts)
        content_changed(ctx, 0);
    reply_ok(ctx->reply);
}

static bool find(const struct deque *d, struct bytes element, size_t *pos)
{
    struct tree_reader r = deque_reader(d);
    for (size_t i = 0; i < deque_count(d); i++) {
        if (bytes_eq(item_bytes(tree_read(&r, i).item), element)) {
            *pos = i;
            return true;
        }
    }
    return false;
}

void list_linsert(struct command_ctx *ctx)
{
    bool after = bytes_ieq(ctx->argv[2], "after");
    if (!after && !bytes_ieq(ctx->argv[2], "before")) {
        reply_syntax_error(ctx);
        return;
    }
    const struct deque *old;
    size_t pos;
    if (!list_or_reply(ctx, 0, &old))
        return;
    if (old == NULL || !find(old, ctx->argv[3], &pos)) {
        reply_int(ctx->reply, old == NULL ? 0 : -1);
        return;
    }
    if (!content_room_or_reply(ctx, 0, 4, 1))
        return;
    struct deque *d = list_change(ctx, 0);
    deque_insert(d, pos + after, ctx->argv[4]);
    key_event(ctx, EVENT_LIST, "linsert", 0);
    reply_int(ctx->reply, (int64_t)deque_count(d));
}

/* Positions of the elements that are equal, `most` of them, the first found first. */
static size_t matches(const struct deque *d, struct bytes element, bool from_end, size_t most,
                      size_t **out)
{
    size_t count = deque_count(d);
    size_t found = 0;
    size_t room = 0;
    size_t *positions = NULL;
    struct tree_reader r = deque_reader(d);
    for (size_t i = 0; i < count && found < most; i++) {
        size_t pos = from_end ? count - 1 - i : i;
        if (!bytes_eq(item_bytes(tree_read(&r, pos).item), element))
            continue;
        if (found == room) {
            room = room == 0 ? 8 : room * 2;
            positions = mem_realloc(positions, room * sizeof(*positions));
        }
        positions[found++] = pos;
    }
    *out = positions;
    return found;
}

void list_lrem(struct command_ctx *ctx)
{
    const struct deque *old;
    int64_t most;
    if (!arg_int64_or_reply(ctx, ctx->argv[2], &most) || !list_or_reply(ctx, 0, &old))
        return;
    size_t limit = most == 0 ? SIZE_MAX : most > 0 ? (size_t)most : (size_t)0 - (size_t)most;
    size_t *positions = NULL;
    size_t n = old == NULL ? 0 : matches(old, ctx->argv[3], most < 0, limit, &positions);
    if (n > 0) {
        struct deque *d = list_change(ctx, 0);
        for (size_t i = 0; i < n; i++) /* from the end on, so that the others stay where they are */
            deque_remove(d, positions[most < 0 ? i : n - 1 - i], 1);
        key_event(ctx, EVENT_LIST, "lrem", 0);
        content_changed(ctx, 0);
    }
    mem_free(positions);
    reply_int(ctx->reply, (int64_t)n);
}
