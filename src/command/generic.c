/* Commands about keys of any type. Those about expiry are in expire.c, those over the whole
 * keyspace belong to the engine. */

#include "command/handler.h"

/* DEL and UNLINK. A key named twice is gone the second time. */
void generic_del(struct command_ctx *ctx)
{
    int64_t removed = 0;
    for (int i = 0; i < ctx->nkeys; i++) {
        if (key_find(ctx, i) == NULL)
            continue;
        key_remove(ctx->keys[i]);
        removed++;
    }
    reply_int(ctx->reply, removed);
}

/* EXISTS and TOUCH: fetching a key is what marks it as used. */
void generic_exists(struct command_ctx *ctx)
{
    int64_t found = 0;
    for (int i = 0; i < ctx->nkeys; i++)
        found += key_find(ctx, i) != NULL;
    reply_int(ctx->reply, found);
}

void generic_type(struct command_ctx *ctx)
{
    const struct value *v = key_find(ctx, 0);
    reply_status(ctx->reply, v == NULL ? "none" : value_type_name(v->type));
}

/* The value goes along with its expiry, also one that has not begun to count. */
static void key_assign(struct key *to, const struct key *from)
{
    key_set(to, value_ref(from->value));
    if (from->expiry.kind != EXPIRY_NONE)
        key_set_expiry(to, from->expiry);
}

static bool key_is_there_or_reply(struct command_ctx *ctx, int i)
{
    if (key_find(ctx, i) != NULL)
        return true;
    reply_error(ctx->reply, "ERR no such key");
    return false;
}

static void rename_key(struct command_ctx *ctx)
{
    key_assign(ctx->keys[1], ctx->keys[0]);
    key_remove(ctx->keys[0]);
}

void generic_rename(struct command_ctx *ctx)
{
    if (!key_is_there_or_reply(ctx, 0))
        return;
    if (ctx->keys[0] != ctx->keys[1])
        rename_key(ctx);
    reply_ok(ctx->reply);
}

/* Its own name is taken. */
void generic_renamenx(struct command_ctx *ctx)
{
    if (!key_is_there_or_reply(ctx, 0))
        return;
    bool is_free = key_find(ctx, 1) == NULL;
    if (is_free)
        rename_key(ctx);
    reply_int(ctx->reply, is_free);
}
