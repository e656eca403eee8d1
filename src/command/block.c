/* Commands that wait for a key to hold something. A handler does not wait: where it finds nothing
 * and ctx->wait is there, it says what it waits for, and the engine runs it again when there may be
 * something. What it replies then is for when the time is up.
 *
 * Like those that do not wait they check everything first. Once one has waited, only the
 * destination of a move may still be wrong: a key of another type is one that it goes on waiting
 * for. */

#include <math.h>

#include "base/num.h"
#include "command/list.h"
#include "command/zset.h"

/* Seconds → milliseconds, rounded up so that a short time is not none. False = it is no time, and
 * the error is written. Redis 7.0 calls a number negative that its integers cannot hold. */
static bool timeout_or_reply(struct command_ctx *ctx, struct bytes arg, int64_t *ms)
{
    long double s;
    if (!num_long_double(arg, &s)) {
        reply_error(ctx->reply, "ERR timeout is not a float or out of range");
        return false;
    }
    long double rounded = ceill(s * 1000);
    if (rounded < 0 || rounded >= 0x1p63L) {
        reply_error(ctx->reply, "ERR timeout is negative");
        return false;
    }
    *ms = (int64_t)rounded;
    return true;
}

/* The i-th of n keys in the order in which they are to be looked at. */
static int key_in_turn(const struct command_ctx *ctx, int i)
{
    int first = ctx->wait != NULL ? ctx->wait->first : -1;
    if (first < 0)
        return i;
    return i == 0 ? first : i <= first ? i - 1 : i;
}

/* The first of n keys that holds something of the type, -1 if none does. False = one is of another
 * type, and WRONGTYPE is written. */
static bool ready_or_reply(struct command_ctx *ctx, int n, enum value_type type, int *key)
{
    bool passes_over = ctx->wait != NULL && ctx->wait->waited;
    *key = -1;
    for (int i = 0; i < n; i++) {
        int at = key_in_turn(ctx, i);
        const void *content;
        const struct value *v = key_find(ctx, at);
        if (passes_over && v != NULL && (v->type != type || v->opaque))
            continue;
        if (!key_collection_or_reply(ctx, at, type, &content))
            return false;
        if (content != NULL) {
            *key = at;
            return true;
        }
    }
    return true;
}

static void wait_for(struct command_ctx *ctx, int nkeys, enum value_type type, int64_t timeout_ms)
{
    reply_null_array(ctx->reply);
    ctx->wait->wanted = true;
    ctx->wait->timeout_ms = timeout_ms;
    ctx->wait->nkeys = nkeys;
    ctx->wait->type = (uint8_t)type;
}

static void nothing(struct command_ctx *ctx, enum value_type type, int64_t timeout_ms)
{
    if (ctx->wait != NULL)
        wait_for(ctx, ctx->nkeys, type, timeout_ms);
    else
        reply_null_array(ctx->reply);
}

/* The reply of a pop begins: so many parts, the first is the key's name. False: there is an error,
 * or nothing to pop. */
static bool begin_pop(struct command_ctx *ctx, struct bytes timeout, enum value_type type,
                      size_t parts, int *key)
{
    int64_t ms;
    if (!timeout_or_reply(ctx, timeout, &ms) || !ready_or_reply(ctx, ctx->nkeys, type, key))
        return false;
    if (*key < 0) {
        nothing(ctx, type, ms);
        return false;
    }
    reply_array(ctx->reply, parts);
    reply_bulk(ctx->reply, ctx->keys[*key]->name);
    return true;
}

/* ---- lists ---- */

static void pop(struct command_ctx *ctx, bool front)
{
    int key;
    if (begin_pop(ctx, ctx->argv[ctx->argc - 1], VALUE_LIST, 2, &key))
        list_pop_reply(ctx, key, front, 1, false);
}

void block_blpop(struct command_ctx *ctx)
{
    pop(ctx, true);
}

void block_brpop(struct command_ctx *ctx)
{
    pop(ctx, false);
}

/* Only the source is waited for. In a block the reply to nothing is not the one to a wait in vain.
 */
static void move(struct command_ctx *ctx, bool from_front, bool to_front, struct bytes timeout)
{
    int64_t ms;
    int key;
    if (!timeout_or_reply(ctx, timeout, &ms) || !ready_or_reply(ctx, 1, VALUE_LIST, &key))
        return;
    if (key >= 0)
        list_move(ctx, from_front, to_front);
    else if (ctx->wait != NULL)
        wait_for(ctx, 1, VALUE_LIST, ms);
    else
        reply_null(ctx->reply);
}

void block_blmove(struct command_ctx *ctx)
{
    bool from_front, to_front;
    if (list_end_or_reply(ctx, ctx->argv[3], &from_front) &&
        list_end_or_reply(ctx, ctx->argv[4], &to_front))
        move(ctx, from_front, to_front, ctx->argv[5]);
}

void block_brpoplpush(struct command_ctx *ctx)
{
    move(ctx, false, true, ctx->argv[3]);
}

void block_blmpop(struct command_ctx *ctx)
{
    int64_t count;
    bool back;
    int key;
    if (mpop_arguments_or_reply(ctx, 2, "left", "right", &back, &count) &&
        begin_pop(ctx, ctx->argv[1], VALUE_LIST, 2, &key))
        list_pop_reply(ctx, key, !back, (size_t)count, true);
}

/* ---- sorted sets ---- */

static void zpop(struct command_ctx *ctx, bool max)
{
    int key;
    if (begin_pop(ctx, ctx->argv[ctx->argc - 1], VALUE_ZSET, 3, &key))
        zset_pop_members(ctx, key, max, 1, false);
}

void block_bzpopmin(struct command_ctx *ctx)
{
    zpop(ctx, false);
}

void block_bzpopmax(struct command_ctx *ctx)
{
    zpop(ctx, true);
}

void block_bzmpop(struct command_ctx *ctx)
{
    int64_t count;
    bool max;
    int key;
    if (mpop_arguments_or_reply(ctx, 2, "min", "max", &max, &count) &&
        begin_pop(ctx, ctx->argv[1], VALUE_ZSET, 2, &key))
        zset_pop_reply(ctx, key, max, (size_t)count, true);
}
