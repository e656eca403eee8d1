/* Strings: reading and writing them whole, several at once, and in part. The counters are in
 * counter.c. Semantics: https://redis.io/docs/latest/commands/?group=string */

#include "base/mem.h"
#include "base/num.h"
#include "command/event.h"
#include "command/handler.h"
#include "command/string_options.h"

static void reply_value(struct reply *r, const struct value *v)
{
    if (v == NULL)
        reply_null(r);
    else
        reply_bulk(r, value_bytes(v));
}

void string_get(struct command_ctx *ctx)
{
    const struct value *v = key_find(ctx, 0);
    if (key_is_string_or_reply(ctx, v))
        reply_value(ctx->reply, v);
}

void string_mget(struct command_ctx *ctx)
{
    reply_array(ctx->reply, (size_t)ctx->nkeys);
    for (int i = 0; i < ctx->nkeys; i++) {
        const struct value *v = key_find(ctx, i);
        reply_value(ctx->reply, v != NULL && v->type == VALUE_STRING ? v : NULL);
    }
}

void string_strlen(struct command_ctx *ctx)
{
    const struct value *v = key_find(ctx, 0);
    if (key_is_string_or_reply(ctx, v))
        reply_int(ctx->reply, v == NULL ? 0 : (int64_t)v->len);
}

/* Certainly a valid time to live, whatever the clock says: up to 300,000 years. */
static bool is_plain_time(struct bytes arg)
{
    int64_t v;
    return num_int64(arg, &v) && v > 0 && v <= 10000000000000;
}

bool string_set_is_blind(int argc, const struct bytes *argv)
{
    struct string_options o;
    return string_options_parse(argc, argv, 3, true, &o) &&
           (o.given & (SO_NX | SO_XX | SO_GET | SO_KEEPTTL)) == 0 &&
           (!o.has_time || is_plain_time(o.time));
}

bool string_set_asks(int argc, const struct bytes *argv)
{
    struct string_options o;
    return !string_options_parse(argc, argv, 3, true, &o) || (o.given & (SO_NX | SO_GET)) != 0;
}

bool string_setex_is_blind(int argc, const struct bytes *argv)
{
    return argc == 4 && is_plain_time(argv[2]);
}

bool string_mset_is_blind(int argc, const struct bytes *argv)
{
    (void)argv;
    return argc % 2 == 1;
}

static void set_key(struct command_ctx *ctx, int i, struct value *v)
{
    key_new_event(ctx, i);
    key_set(ctx->keys[i], v);
    key_event(ctx, EVENT_STRING, "set", i);
}

/* What SET stands for: `m` may be NULL. */
static void set_with_expiry(struct command_ctx *ctx, struct value *v, bool keep_ttl,
                            const struct moment *m)
{
    struct key *k = ctx->keys[0];
    struct expiry kept = k->expiry;
    set_key(ctx, 0, v);
    if (keep_ttl)
        k->expiry = kept;
    if (m == NULL)
        return;
    key_set_expiry(k, m->expiry);
    key_event(ctx, EVENT_GENERIC, "expire", 0);
}

void string_set(struct command_ctx *ctx)
{
    struct string_options o;
    if (!string_options_parse(ctx->argc, ctx->argv, 3, true, &o)) {
        reply_syntax_error(ctx);
        return;
    }
    struct moment m;
    if (o.has_time && !moment_or_reply(ctx, o.time, o.unit, true, &m))
        return;
    struct value *old = key_find(ctx, 0);
    bool get = (o.given & SO_GET) != 0;
    if (get)
        key_looked_up(ctx, 0, old != NULL);
    if (get && !key_is_string_or_reply(ctx, old))
        return;
    if (((o.given & SO_NX) != 0 && old != NULL) || ((o.given & SO_XX) != 0 && old == NULL)) {
        reply_value(ctx->reply, get ? old : NULL);
        return;
    }
    struct value *v = value_new_or_reply(ctx, ctx->argv[2]);
    if (v == NULL)
        return;
    if (get && old != NULL)
        value_ref(old);
    bool keep = (o.given & SO_KEEPTTL) != 0 && old != NULL;
    set_with_expiry(ctx, v, keep, o.has_time ? &m : NULL);
    if (get) {
        reply_value(ctx->reply, old);
        value_unref(old);
    } else {
        reply_ok(ctx->reply);
    }
}

static void set_for(struct command_ctx *ctx, bool seconds)
{
    struct moment m;
    if (!moment_or_reply(ctx, ctx->argv[2], (struct time_unit){seconds, false}, true, &m))
        return;
    struct value *v = value_new_or_reply(ctx, ctx->argv[3]);
    if (v == NULL)
        return;
    set_with_expiry(ctx, v, false, &m);
    reply_ok(ctx->reply);
}

void string_setex(struct command_ctx *ctx)
{
    set_for(ctx, true);
}

void string_psetex(struct command_ctx *ctx)
{
    set_for(ctx, false);
}

void string_setnx(struct command_ctx *ctx)
{
    if (key_find(ctx, 0) != NULL) {
        reply_int(ctx->reply, 0);
        return;
    }
    struct value *v = value_new_or_reply(ctx, ctx->argv[2]);
    if (v == NULL)
        return;
    set_key(ctx, 0, v);
    reply_int(ctx->reply, 1);
}

void string_getset(struct command_ctx *ctx)
{
    struct value *old = key_find(ctx, 0);
    key_looked_up(ctx, 0, old != NULL);
    if (!key_is_string_or_reply(ctx, old))
        return;
    struct value *v = value_new_or_reply(ctx, ctx->argv[2]);
    if (v == NULL)
        return;
    if (old != NULL)
        value_ref(old);
    set_key(ctx, 0, v);
    reply_value(ctx->reply, old);
    value_unref(old);
}

void string_getdel(struct command_ctx *ctx)
{
    struct value *old = key_find(ctx, 0);
    key_looked_up(ctx, 0, old != NULL);
    if (!key_is_string_or_reply(ctx, old))
        return;
    if (old != NULL) {
        value_ref(old);
        key_remove(ctx->keys[0]);
        key_del_event(ctx, 0);
    } else {
        key_remove_guessed(ctx->keys[0]);
    }
    reply_value(ctx->reply, old);
    value_unref(old);
}

/* An absent key answers before the time is looked at, as in Redis. */
void string_getex(struct command_ctx *ctx)
{
    struct string_options o;
    if (!string_options_parse(ctx->argc, ctx->argv, 2, false, &o)) {
        reply_syntax_error(ctx);
        return;
    }
    struct value *v = key_find(ctx, 0);
    key_looked_up(ctx, 0, v != NULL);
    if (v == NULL) {
        reply_null(ctx->reply);
        return;
    }
    if (!key_is_string_or_reply(ctx, v))
        return;
    struct moment m;
    if (o.has_time && !moment_or_reply(ctx, o.time, o.unit, true, &m))
        return;
    value_ref(v);
    if (o.has_time)
        key_expire(ctx, &m);
    else if ((o.given & SO_PERSIST) != 0)
        key_persist(ctx);
    reply_bulk(ctx->reply, value_bytes(v));
    value_unref(v);
}

/* MSET and MSETNX, once the values may be written. */
static bool set_pairs_or_reply(struct command_ctx *ctx)
{
    size_t n = (size_t)ctx->nkeys;
    struct value **values = mem_try_alloc(n * sizeof(*values));
    if (values == NULL) {
        reply_out_of_memory(ctx);
        return false;
    }
    size_t made = 0;
    while (made < n && (values[made] = value_string_new(ctx->argv[2 + 2 * made])) != NULL)
        made++;
    bool ok = made == n;
    for (size_t i = 0; i < made; i++) {
        if (ok)
            set_key(ctx, (int)i, values[i]);
        else
            value_unref(values[i]);
    }
    mem_free(values);
    if (!ok)
        reply_out_of_memory(ctx);
    return ok;
}

static bool pairs_complete_or_reply(struct command_ctx *ctx)
{
    if (ctx->argc % 2 == 1)
        return true;
    command_reply_arity(ctx->reply, ctx->cmd);
    return false;
}

void string_mset(struct command_ctx *ctx)
{
    if (pairs_complete_or_reply(ctx) && set_pairs_or_reply(ctx))
        reply_ok(ctx->reply);
}

void string_msetnx(struct command_ctx *ctx)
{
    if (!pairs_complete_or_reply(ctx))
        return;
    for (int i = 0; i < ctx->nkeys; i++) {
        if (key_find(ctx, i) != NULL) {
            reply_int(ctx->reply, 0);
            return;
        }
    }
    if (set_pairs_or_reply(ctx))
        reply_int(ctx->reply, 1);
}

/* May a string of `len` bytes be written `at` bytes into another? */
static bool length_allowed_or_reply(struct command_ctx *ctx, uint64_t at, uint64_t len)
{
    uint64_t max = ctx->max_value;
    if (at <= max && len <= max - at)
        return true;
    reply_error(ctx->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

/* `old` (may be NULL) with `part` put at `at`, zero bytes where nothing was; NULL = no memory. */
static struct value *value_patched(const struct value *old, size_t at, struct bytes part)
{
    size_t old_len = old == NULL ? 0 : old->len;
    size_t end = at + part.len;
    struct value *v = value_string_alloc(end > old_len ? end : old_len);
    if (v == NULL)
        return NULL;
    if (old_len > 0)
        memcpy(v->data, old->data, old_len);
    if (at > old_len)
        memset(v->data + old_len, 0, at - old_len);
    if (part.len > 0)
        memcpy(v->data + at, part.data, part.len);
    return v;
}

static void put_patched(struct command_ctx *ctx, const struct value *old, size_t at,
                        struct bytes part, const char *event)
{
    struct value *v = value_patched(old, at, part);
    if (v == NULL) {
        reply_out_of_memory(ctx);
        return;
    }
    size_t len = v->len;
    key_put(ctx, 0, v);
    key_event(ctx, EVENT_STRING, event, 0);
    reply_int(ctx->reply, (int64_t)len);
}

void string_append(struct command_ctx *ctx)
{
    const struct value *old = key_find(ctx, 0);
    if (!key_is_string_or_reply(ctx, old))
        return;
    struct bytes part = ctx->argv[2];
    /* A new string is as long as its argument, which the reader has let pass. */
    if (old != NULL && !length_allowed_or_reply(ctx, old->len, part.len))
        return;
    put_patched(ctx, old, old == NULL ? 0 : old->len, part, "append");
}

void string_setrange(struct command_ctx *ctx)
{
    int64_t offset;
    if (!arg_int64_or_reply(ctx, ctx->argv[2], &offset))
        return;
    if (offset < 0) {
        reply_error(ctx->reply, "ERR offset is out of range");
        return;
    }
    const struct value *old = key_find(ctx, 0);
    if (!key_is_string_or_reply(ctx, old))
        return;
    struct bytes part = ctx->argv[3];
    if (part.len == 0)
        reply_int(ctx->reply, old == NULL ? 0 : (int64_t)old->len);
    else if (length_allowed_or_reply(ctx, (uint64_t)offset, part.len))
        put_patched(ctx, old, (size_t)offset, part, "setrange");
}

/* GETRANGE and SUBSTR: both ends included, negative ones count from the end of the string. */
void string_getrange(struct command_ctx *ctx)
{
    int64_t start, end;
    if (!arg_int64_or_reply(ctx, ctx->argv[2], &start) ||
        !arg_int64_or_reply(ctx, ctx->argv[3], &end))
        return;
    const struct value *v = key_find(ctx, 0);
    if (!key_is_string_or_reply(ctx, v))
        return;
    int64_t len = v == NULL ? 0 : (int64_t)v->len;
    bool reversed = start < 0 && end < 0 && start > end;
    start = start < 0 ? len + start : start;
    end = end < 0 ? len + end : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end >= len ? len - 1 : end;
    if (reversed || start > end || len == 0)
        reply_bulk(ctx->reply, BYTES_LIT(""));
    else
        reply_bulk(ctx->reply, bytes_of(v->data + start, (size_t)(end - start + 1)));
}
