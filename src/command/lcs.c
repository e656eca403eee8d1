/* LCS: the longest common subsequence of two strings, by the table of the lengths for all pairs of
 * prefixes. Semantics: https://redis.io/docs/latest/commands/lcs/ */

#include "base/mem.h"
#include "base/num.h"
#include "command/handler.h"

struct lcs_options {
    bool len;
    bool idx;
    bool with_match_len;
    int64_t min_match_len;
};

struct lcs {
    struct bytes a;
    struct bytes b;
    uint32_t *lengths; /* (a.len + 1) rows of b.len + 1 */
};

/* Bytes of `a` from `a_at` on that are those of `b` from `b_at` on. */
struct run {
    size_t a_at;
    size_t b_at;
    size_t len;
};

static bool options_or_reply(struct command_ctx *ctx, struct lcs_options *o)
{
    *o = (struct lcs_options){0};
    for (int i = 3; i < ctx->argc; i++) {
        struct bytes arg = ctx->argv[i];
        if (bytes_ieq(arg, "idx")) {
            o->idx = true;
        } else if (bytes_ieq(arg, "len")) {
            o->len = true;
        } else if (bytes_ieq(arg, "withmatchlen")) {
            o->with_match_len = true;
        } else if (bytes_ieq(arg, "minmatchlen") && i + 1 < ctx->argc) {
            if (!arg_int64_or_reply(ctx, ctx->argv[++i], &o->min_match_len))
                return false;
        } else {
            reply_syntax_error(ctx);
            return false;
        }
    }
    if (o->idx && o->len)
        reply_error(ctx->reply,
                    "ERR If you want both the length and indexes, please just use IDX.");
    return !(o->idx && o->len);
}

static uint32_t *length_of(const struct lcs *l, size_t i, size_t j)
{
    return &l->lengths[i * (l->b.len + 1) + j];
}

/* Redis makes the same table, and has the same limit for it. */
static bool table_or_reply(struct command_ctx *ctx, struct lcs *l)
{
    uint64_t cells = ((uint64_t)l->a.len + 1) * ((uint64_t)l->b.len + 1);
    if (cells * sizeof(uint32_t) > ctx->max_value) {
        reply_error(ctx->reply, "ERR Insufficient memory, transient memory for LCS exceeds "
                                "proto-max-bulk-len");
        return false;
    }
    l->lengths = mem_try_alloc(cells * sizeof(uint32_t));
    if (l->lengths == NULL)
        reply_error(ctx->reply,
                    "ERR Insufficient memory, failed allocating transient memory for LCS");
    return l->lengths != NULL;
}

static void table_fill(struct lcs *l)
{
    memset(l->lengths, 0, (l->b.len + 1) * sizeof(uint32_t));
    for (size_t i = 1; i <= l->a.len; i++) {
        const uint32_t *above = length_of(l, i - 1, 0);
        uint32_t *row = length_of(l, i, 0);
        row[0] = 0;
        for (size_t j = 1; j <= l->b.len; j++) {
            if (l->a.data[i - 1] == l->b.data[j - 1])
                row[j] = above[j - 1] + 1;
            else
                row[j] = above[j] > row[j - 1] ? above[j] : row[j - 1];
        }
    }
}

/* The last common run before the one in `run` (a_at and b_at at the ends of the strings for the
 * first call); false if there is none. */
static bool run_before(const struct lcs *l, struct run *run)
{
    size_t i = run->a_at, j = run->b_at;
    while (i > 0 && j > 0 && l->a.data[i - 1] != l->b.data[j - 1]) {
        if (*length_of(l, i - 1, j) > *length_of(l, i, j - 1))
            i--;
        else
            j--;
    }
    run->len = 0;
    while (i > 0 && j > 0 && l->a.data[i - 1] == l->b.data[j - 1]) {
        i--;
        j--;
        run->len++;
    }
    run->a_at = i;
    run->b_at = j;
    return run->len > 0;
}

static void reply_string(struct command_ctx *ctx, const struct lcs *l, size_t len)
{
    char *text = mem_try_alloc(len + 1);
    if (text == NULL) {
        reply_out_of_memory(ctx);
        return;
    }
    size_t at = len;
    for (struct run run = {l->a.len, l->b.len, 0}; run_before(l, &run);) {
        at -= run.len;
        memcpy(text + at, l->a.data + run.a_at, run.len);
    }
    CHECK(at == 0);
    reply_bulk(ctx->reply, bytes_of(text, len));
    mem_free(text);
}

static void reply_span(struct reply *r, size_t from, size_t len)
{
    reply_array(r, 2);
    reply_int(r, (int64_t)from);
    reply_int(r, (int64_t)(from + len - 1));
}

static void reply_matches(struct command_ctx *ctx, const struct lcs *l,
                          const struct lcs_options *o, size_t len)
{
    size_t matches = 0;
    for (struct run run = {l->a.len, l->b.len, 0}; run_before(l, &run);)
        matches += (int64_t)run.len >= o->min_match_len;
    reply_map(ctx->reply, 2);
    reply_bulk_cstr(ctx->reply, "matches");
    reply_array(ctx->reply, matches);
    for (struct run run = {l->a.len, l->b.len, 0}; run_before(l, &run);) {
        if ((int64_t)run.len < o->min_match_len)
            continue;
        reply_array(ctx->reply, o->with_match_len ? 3 : 2);
        reply_span(ctx->reply, run.a_at, run.len);
        reply_span(ctx->reply, run.b_at, run.len);
        if (o->with_match_len)
            reply_int(ctx->reply, (int64_t)run.len);
    }
    reply_bulk_cstr(ctx->reply, "len");
    reply_int(ctx->reply, (int64_t)len);
}

static struct bytes content_of(const struct value *v)
{
    return v == NULL ? BYTES_LIT("") : value_bytes(v);
}

void string_lcs(struct command_ctx *ctx)
{
    const struct value *a = key_find(ctx, 0), *b = key_find(ctx, 1);
    if ((a != NULL && a->type != VALUE_STRING) || (b != NULL && b->type != VALUE_STRING)) {
        reply_error(ctx->reply, "ERR The specified keys must contain string values");
        return;
    }
    struct lcs_options o;
    struct lcs l = {content_of(a), content_of(b), NULL};
    if (!options_or_reply(ctx, &o) || !table_or_reply(ctx, &l))
        return;
    table_fill(&l);
    size_t len = *length_of(&l, l.a.len, l.b.len);
    if (o.idx)
        reply_matches(ctx, &l, &o, len);
    else if (o.len)
        reply_int(ctx->reply, (int64_t)len);
    else
        reply_string(ctx, &l, len);
    mem_free(l.lengths);
}
