/* LPOS: where in a list an element is. */

#include "base/mem.h"
#include "command/content.h"

struct pos_options {
    int64_t rank;    /* the how manieth match is the first; negative: from the end */
    int64_t count;   /* matches wanted, 0 = all; -1 = one, and not as an array */
    int64_t max_len; /* elements compared, 0 = all */
};

static bool options_or_reply(struct command_ctx *ctx, struct pos_options *o)
{
    *o = (struct pos_options){.rank = 1, .count = -1};
    for (int i = 3; i < ctx->argc; i += 2) {
        bool more = i + 1 < ctx->argc;
        struct bytes arg = more ? ctx->argv[i + 1] : BYTES_LIT("");
        if (more && bytes_ieq(ctx->argv[i], "rank")) {
            if (!arg_int64_or_reply(ctx, arg, &o->rank))
                return false;
            if (o->rank == 0) {
                reply_error(ctx->reply,
                            "ERR RANK can't be zero: use 1 to start from the first match, 2 from "
                            "the second ... or use negative to start from the end of the list");
                return false;
            }
        } else if (more && bytes_ieq(ctx->argv[i], "count")) {
            if (!arg_between_or_reply(ctx, arg, 0, INT64_MAX, "COUNT can't be negative", &o->count))
                return false;
        } else if (more && bytes_ieq(ctx->argv[i], "maxlen")) {
            if (!arg_between_or_reply(ctx, arg, 0, INT64_MAX, "MAXLEN can't be negative",
                                      &o->max_len))
                return false;
        } else {
            reply_syntax_error(ctx);
            return false;
        }
    }
    return true;
}

/* Walks twice, counting first, so that the array's length is known: `positions` is NULL then. */
static size_t search(const struct deque *d, struct bytes element, const struct pos_options *o,
                     size_t *positions)
{
    size_t count = deque_count(d);
    size_t limit = o->max_len == 0 || (uint64_t)o->max_len > count ? count : (size_t)o->max_len;
    size_t most = o->count == 0 ? SIZE_MAX : o->count < 0 ? 1 : (size_t)o->count;
    int64_t skip = o->rank < 0 ? -(o->rank + 1) : o->rank - 1;
    size_t found = 0;
    struct tree_reader r = deque_reader(d);
    for (size_t i = 0; i < limit && found < most; i++) {
        size_t pos = o->rank < 0 ? count - 1 - i : i;
        if (!bytes_eq(item_bytes(tree_read(&r, pos).item), element) || skip-- > 0)
            continue;
        if (positions != NULL)
            positions[found] = pos;
        found++;
    }
    return found;
}

void list_lpos(struct command_ctx *ctx)
{
    struct pos_options o;
    const struct deque *d;
    if (!options_or_reply(ctx, &o) || !list_or_reply(ctx, 0, &d))
        return;
    size_t n = d == NULL ? 0 : search(d, ctx->argv[2], &o, NULL);
    size_t *positions = mem_alloc(n * sizeof(*positions));
    if (n > 0)
        search(d, ctx->argv[2], &o, positions);
    if (o.count >= 0)
        reply_array(ctx->reply, n);
    else if (n == 0)
        reply_null(ctx->reply);
    for (size_t i = 0; i < n; i++)
        reply_int(ctx->reply, (int64_t)positions[i]);
    mem_free(positions);
}
