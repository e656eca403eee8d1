#include "command/content.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "command/event.h"

/* --- keys --- */

void reply_empty_array(struct command_ctx *ctx)
{
    reply_array(ctx->reply, 0);
}

bool list_or_reply(struct command_ctx *ctx, int i, const struct deque **out)
{
    const void *content = NULL;
    bool good = key_collection_or_reply(ctx, i, VALUE_LIST, &content);
    *out = content;
    return good;
}

bool set_or_reply(struct command_ctx *ctx, int i, const struct set **out)
{
    const void *content = NULL;
    bool good = key_collection_or_reply(ctx, i, VALUE_SET, &content);
    *out = content;
    return good;
}

bool zset_or_reply(struct command_ctx *ctx, int i, const struct zset **out)
{
    const void *content = NULL;
    bool good = key_collection_or_reply(ctx, i, VALUE_ZSET, &content);
    *out = content;
    return good;
}

/* What others hold too is copied: that is O(1) for all of these. */
static void *content_change(struct command_ctx *ctx, int i, enum value_type type)
{
    struct value *v = key_find(ctx, i);
    CHECK(v == NULL || (v->type == type && value_is_collection(v)));
    if (v == NULL) {
        v = value_collection_new(type);
        key_put(ctx, i, v);
    } else if (value_is_shared(v)) {
        v = value_collection_copy(v);
        CHECK(v != NULL);
        key_put(ctx, i, v);
    } else {
        value_begin_change(v);
        key_note_change(ctx->keys[i]);
    }
    return value_content(v);
}

struct deque *list_change(struct command_ctx *ctx, int i)
{
    return content_change(ctx, i, VALUE_LIST);
}

struct set *set_change(struct command_ctx *ctx, int i)
{
    return content_change(ctx, i, VALUE_SET);
}

struct zset *zset_change(struct command_ctx *ctx, int i)
{
    return content_change(ctx, i, VALUE_ZSET);
}

static bool size_or_reply(struct command_ctx *ctx, size_t size, size_t more)
{
    if (size <= ctx->max_value && more <= ctx->max_value - size)
        return true;
    reply_error(ctx->reply, "ERR value exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

/* What is large is tried for: so an element is refused before the first change. */
bool content_fits_or_reply(struct command_ctx *ctx, int i, size_t more)
{
    enum { SMALL = 64 * 1024 };
    const struct value *v = key_find(ctx, i);
    if (!size_or_reply(ctx, v == NULL ? 0 : value_size(v), more))
        return false;
    void *room = more > SMALL ? mem_try_alloc(more) : NULL;
    if (more > SMALL && room == NULL) {
        reply_out_of_memory(ctx);
        return false;
    }
    mem_free(room);
    return true;
}

bool content_room_or_reply(struct command_ctx *ctx, int i, int first, int step)
{
    size_t more = 0;
    for (int at = first; at < ctx->argc; at += step)
        more += ctx->argv[at].len;
    return content_fits_or_reply(ctx, i, more);
}

void content_changed(struct command_ctx *ctx, int i)
{
    if (value_count(ctx->keys[i]->value) > 0)
        return;
    key_remove(ctx->keys[i]);
    key_del_event(ctx, i);
}

bool content_store_or_reply(struct command_ctx *ctx, int i, struct value *v, unsigned class,
                            const char *event)
{
    if (!size_or_reply(ctx, value_size(v), 0)) {
        value_unref(v);
        return false;
    }
    if (value_count(v) > 0) {
        key_new_event(ctx, i);
        key_set(ctx->keys[i], v);
        key_event(ctx, class, event, i);
        return true;
    }
    value_unref(v);
    if (key_find(ctx, i) != NULL) {
        key_remove(ctx->keys[i]);
        key_del_event(ctx, i);
    } else {
        key_remove_guessed(ctx->keys[i]);
    }
    return true;
}

/* --- arguments --- */

bool arg_between_or_reply(struct command_ctx *ctx, struct bytes arg, int64_t min, int64_t max,
                          const char *error, int64_t *out)
{
    int64_t v;
    bool is_int = num_int64(arg, &v);
    if (is_int && v >= min && v <= max) {
        *out = v;
        return true;
    }
    if (error != NULL)
        reply_errorf(ctx->reply, "ERR %s", error);
    else if (!is_int)
        reply_error(ctx->reply, "ERR value is not an integer or out of range");
    else
        reply_errorf(ctx->reply, "ERR value is out of range, value must between %lld and %lld",
                     (long long)min, (long long)max);
    return false;
}

bool arg_count_or_reply(struct command_ctx *ctx, struct bytes arg, int64_t *out)
{
    return arg_between_or_reply(ctx, arg, 0, INT64_MAX, "value is out of range, must be positive",
                                out);
}

bool arg_double_or_reply(struct command_ctx *ctx, struct bytes arg, const char *error, double *out)
{
    if (num_double(arg, out))
        return true;
    reply_errorf(ctx->reply, "ERR %s", error != NULL ? error : "value is not a valid float");
    return false;
}

void range_within(int64_t start, int64_t end, size_t count, size_t *first, size_t *n)
{
    int64_t len = (int64_t)count;
    if (start < 0)
        start = start < -len ? 0 : start + len;
    if (end < 0)
        end += len;
    if (end >= len)
        end = len - 1;
    bool any = start <= end && start < len;
    *first = any ? (size_t)start : 0;
    *n = any ? (size_t)(end - start + 1) : 0;
}

bool draws_fit_or_reply(struct command_ctx *ctx, int i, uint64_t n)
{
    const struct value *v = key_find(ctx, i);
    size_t mean = value_size(v) / value_count(v) + 1;
    if (n <= ctx->max_value / mean)
        return true;
    reply_error(ctx->reply, "ERR value is out of range");
    return false;
}

int numkeys_end(int argc, const struct bytes *argv, int at)
{
    int64_t n;
    if (at >= argc || !num_int64(argv[at], &n) || n < 1 || n > argc - at - 1)
        return 0;
    return at + 1 + (int)n;
}

bool mpop_arguments_or_reply(struct command_ctx *ctx, int numkeys_at, const char *one,
                             const char *other, bool *is_other, int64_t *count)
{
    int64_t numkeys;
    if (!arg_between_or_reply(ctx, ctx->argv[numkeys_at], 1, INT64_MAX,
                              "numkeys should be greater than 0", &numkeys))
        return false;
    int end = numkeys_end(ctx->argc, ctx->argv, numkeys_at);
    int at = end == 0 ? ctx->argc : end;
    int left = ctx->argc - at;
    *is_other = left > 0 && bytes_ieq(ctx->argv[at], other);
    *count = 1;
    bool good = left > 0 && (*is_other || bytes_ieq(ctx->argv[at], one));
    if (good && left == 1)
        return true;
    if (!good || left == 2 || !bytes_ieq(ctx->argv[at + 1], "count")) {
        reply_syntax_error(ctx);
        return false;
    }
    if (!arg_between_or_reply(ctx, ctx->argv[at + 2], 1, INT64_MAX, "count should be greater than 0",
                              count))
        return false;
    if (left > 3) /* Redis looks at the count first */
        reply_syntax_error(ctx);
    return left == 3;
}
