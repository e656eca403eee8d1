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
