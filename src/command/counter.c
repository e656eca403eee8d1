/* Strings that hold a number: INCR and its relatives. The number is stored as its decimal text. */

#include <math.h>

#include "base/num.h"
#include "command/event.h"
#include "command/handler.h"

static void add_int(struct command_ctx *ctx, int64_t increment)
{
    const struct value *old = key_find(ctx, 0);
    if (!key_is_string_or_reply(ctx, old))
        return;
    int64_t n = 0;
    if (old != NULL && !arg_int64_or_reply(ctx, value_bytes(old), &n))
        return;
    if (!num_add(n, increment, &n)) {
        reply_error(ctx->reply, "ERR increment or decrement would overflow");
        return;
    }
    char text[NUM_INT_SIZE];
    size_t len = num_format_int64(n, text);
    struct value *v = value_new_or_reply(ctx, bytes_of(text, len));
    if (v == NULL)
        return;
    key_put(ctx, 0, v);
    key_event(ctx, EVENT_STRING, "incrby", 0);
    reply_int(ctx->reply, n);
}

void string_incr(struct command_ctx *ctx)
{
    add_int(ctx, 1);
}

void string_decr(struct command_ctx *ctx)
{
    add_int(ctx, -1);
}

void string_incrby(struct command_ctx *ctx)
{
    int64_t n;
    if (arg_int64_or_reply(ctx, ctx->argv[2], &n))
        add_int(ctx, n);
}

void string_decrby(struct command_ctx *ctx)
{
    int64_t n;
    if (!arg_int64_or_reply(ctx, ctx->argv[2], &n))
        return;
    if (n == INT64_MIN)
        reply_error(ctx->reply, "ERR decrement would overflow");
    else
        add_int(ctx, -n);
}

void string_incrbyfloat(struct command_ctx *ctx)
{
    const struct value *old = key_find(ctx, 0);
    if (!key_is_string_or_reply(ctx, old))
        return;
    long double n = 0, increment;
    if ((old != NULL && !num_long_double(value_bytes(old), &n)) ||
        !num_long_double(ctx->argv[2], &increment)) {
        reply_error(ctx->reply, "ERR value is not a valid float");
        return;
    }
    n += increment;
    if (isnan(n) || isinf(n)) {
        reply_error(ctx->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[NUM_FLOAT_SIZE];
    size_t len = num_format_long_double(n, text);
    struct value *v = value_new_or_reply(ctx, bytes_of(text, len));
    if (v == NULL)
        return;
    key_put(ctx, 0, v);
    key_event(ctx, EVENT_STRING, "incrbyfloat", 0);
    reply_bulk(ctx->reply, value_bytes(v));
}
