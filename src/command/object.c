/* What OBJECT and MEMORY USAGE tell of values, as far as it means something here: there is one way
 * to store a string, so ENCODING and REFCOUNT say what Redis would for a value that was just set. */

#include "base/num.h"
#include "command/lookups.h"
#include "command/handler.h"

/* As Redis decides for a new string. */
enum { EMBSTR_MAX = 44, SHARED_INTEGERS = 10000 };

/* NULL: it is absent, and null is written. OBJECT's look counts as one, as in Redis, and tells nobody of a
 * key that was missed. */
static const struct value *value_or_reply(struct command_ctx *ctx)
{
    const struct value *v = key_find(ctx, 0);
    if (ctx->cmd->id == CMD_OBJECT && ctx->lookups != NULL)
        lookups_count(ctx->lookups, v != NULL);
    if (v == NULL)
        reply_null(ctx->reply);
    return v;
}

const char *object_encoding_name(const struct value *v)
{
    int64_t n;
    if (v->type != VALUE_STRING)
        return v->opaque ? "unknown" : value_type_ops(v->type)->encoding(value_content(v));
    return num_int64(value_bytes(v), &n) ? "int" : v->len <= EMBSTR_MAX ? "embstr" : "raw";
}

void object_encoding(struct command_ctx *ctx)
{
    const struct value *v = value_or_reply(ctx);
    if (v == NULL)
        return;
    reply_bulk_cstr(ctx->reply, object_encoding_name(v));
}

/* Small integers are one object that is never freed. */
void object_refcount(struct command_ctx *ctx)
{
    const struct value *v = value_or_reply(ctx);
    if (v == NULL)
        return;
    int64_t n;
    bool shared = v->type == VALUE_STRING && num_int64(value_bytes(v), &n) && n >= 0 && n < SHARED_INTEGERS;
    reply_int(ctx->reply, shared ? INT32_MAX : 1);
}

/* The last use by this instance, or the last write by any. */
void object_idletime(struct command_ctx *ctx)
{
    if (value_or_reply(ctx) != NULL)
        reply_int(ctx->reply, key_idle_ms(ctx->keys[0], ctx->now_ms) / 1000);
}

void object_freq(struct command_ctx *ctx)
{
    if (value_or_reply(ctx) != NULL)
        reply_error(ctx->reply,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                    "Please note that when switching between policies at runtime LRU and LFU data "
                    "will take some time to adjust.");
}

/* SAMPLES is for what has parts that differ in size: here the whole is always known. */
void memory_usage(struct command_ctx *ctx)
{
    for (int i = 3; i < ctx->argc; i += 2) {
        int64_t samples = -1;
        bool named = bytes_ieq(ctx->argv[i], "samples") && i + 1 < ctx->argc;
        if (named && !arg_int64_or_reply(ctx, ctx->argv[i + 1], &samples))
            return;
        if (samples < 0) {
            reply_syntax_error(ctx);
            return;
        }
    }
    const struct value *v = value_or_reply(ctx);
    if (v != NULL)
        reply_int(ctx->reply, (int64_t)(value_memory(v) + ctx->keys[0]->name.len));
}
