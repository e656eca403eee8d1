#include "command/handler.h"

#include "base/num.h"
#include "command/event.h"

/* Looking at a key from outside is no read of it. */
static bool is_read(const struct command *c)
{
    return (c->flags & CF_READONLY) != 0 && c->sub == SUB_NONE;
}

struct value *key_value(const struct command_ctx *ctx, const struct key *k)
{
    if (k->value == NULL)
        return NULL;
    /* Only an absolute expiry can have passed: a relative one has not begun yet. */
    bool expired = k->expiry.kind == EXPIRY_AT && k->expiry.us <= ctx->now_ms * 1000;
    return expired ? NULL : k->value;
}

struct value *key_find(const struct command_ctx *ctx, int i)
{
    CHECK(i < ctx->nkeys);
    struct value *v = key_value(ctx, ctx->keys[i]);
    if (is_read(ctx->cmd))
        key_looked_up(ctx, i, v != NULL);
    return v;
}

static void reply_wrong_type(struct command_ctx *ctx, const struct value *v)
{
    reply_error(ctx->reply,
                v->opaque ? "WRONGTYPE This version of respgres cannot read the value of the key"
                          : "WRONGTYPE Operation against a key holding the wrong kind of value");
}

bool key_is_string_or_reply(struct command_ctx *ctx, const struct value *v)
{
    if (v == NULL || v->type == VALUE_STRING)
        return true;
    reply_wrong_type(ctx, v);
    return false;
}

bool key_collection_or_reply(struct command_ctx *ctx, int i, enum value_type type,
                             const void **content)
{
    const struct value *v = key_find(ctx, i);
    if (v != NULL && (v->type != type || v->opaque)) {
        reply_wrong_type(ctx, v);
        return false;
    }
    *content = v != NULL ? value_content(v) : NULL;
    return true;
}

/* An equal one in the place of one that others hold: for them nothing changes. */
static bool make_own(struct key *k)
{
    if (value_is_shared(k->value)) {
        struct value *copy = value_collection_copy(k->value);
        if (copy == NULL)
            return false;
        value_unref(k->value);
        k->value = copy;
    }
    value_begin_change(k->value);
    return true;
}

static bool has_room_or_reply(struct command_ctx *ctx, const struct value *v, size_t more)
{
    size_t size = v != NULL ? value_size(v) : 0;
    if (more == 0 || (size <= ctx->max_value && more <= ctx->max_value - size))
        return true;
    reply_error(ctx->reply, "ERR value exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

bool key_edit_or_reply(struct command_ctx *ctx, int i, enum value_type type, size_t more,
                       struct key_edit *edit)
{
    struct value *v = key_find(ctx, i);
    if (v != NULL && (v->type != type || v->opaque)) {
        reply_wrong_type(ctx, v);
        return false;
    }
    if (!has_room_or_reply(ctx, v, more))
        return false;
    if (v != NULL && !make_own(ctx->keys[i])) {
        reply_out_of_memory(ctx);
        return false;
    }
    edit->is_new = v == NULL;
    edit->value = edit->is_new ? value_collection_new((uint8_t)type) : ctx->keys[i]->value;
    edit->content = value_content(edit->value);
    return true;
}

void key_edit_end(struct command_ctx *ctx, int i, struct key_edit *edit, bool changed)
{
    bool empty = value_count(edit->value) == 0;
    if (edit->is_new) {
        if (changed && !empty)
            key_put(ctx, i, edit->value);
        else
            value_unref(edit->value);
    } else if (changed && empty) {
        key_remove(ctx->keys[i]);
    } else if (changed) {
        key_note_change(ctx->keys[i]);
    }
}

void key_put(struct command_ctx *ctx, int i, struct value *v)
{
    key_new_event(ctx, i);
    if (key_find(ctx, i) != NULL)
        key_replace(ctx->keys[i], v);
    else
        key_set(ctx->keys[i], v); /* an expired key's expiry must not stay */
}

void reply_out_of_memory(struct command_ctx *ctx)
{
    reply_error(ctx->reply, "ERR out of memory");
}

void reply_syntax_error(struct command_ctx *ctx)
{
    reply_error(ctx->reply, "ERR syntax error");
}

struct value *value_new_or_reply(struct command_ctx *ctx, struct bytes content)
{
    struct value *v = value_string_new(content);
    if (v == NULL)
        reply_out_of_memory(ctx);
    return v;
}

bool arg_int64_or_reply(struct command_ctx *ctx, struct bytes arg, int64_t *out)
{
    if (num_int64(arg, out))
        return true;
    reply_error(ctx->reply, "ERR value is not an integer or out of range");
    return false;
}

/* Milliseconds as an expiry, within what PostgreSQL can store. */
static struct expiry expiry_of(int64_t ms, bool absolute, int64_t now_ms)
{
    int64_t max = absolute ? EXPIRY_MAX_MS : EXPIRY_MAX_MS - now_ms;
    int64_t min = absolute ? 0 : -now_ms;
    ms = ms > max ? max : ms < min ? min : ms;
    return (struct expiry){absolute ? EXPIRY_AT : EXPIRY_RELATIVE, ms * 1000};
}

bool moment_or_reply(struct command_ctx *ctx, struct bytes arg, struct time_unit unit,
                     bool positive, struct moment *out)
{
    int64_t ms;
    if (!arg_int64_or_reply(ctx, arg, &ms))
        return false;
    int64_t at_ms;
    if ((positive && ms <= 0) || (unit.seconds && !num_mul(ms, 1000, &ms)) ||
        !num_add(ms, unit.absolute ? 0 : ctx->now_ms, &at_ms)) {
        reply_errorf(ctx->reply, "ERR invalid expire time in '%s' command", ctx->cmd->name);
        return false;
    }
    *out = (struct moment){at_ms, expiry_of(ms, unit.absolute, ctx->now_ms)};
    return true;
}
