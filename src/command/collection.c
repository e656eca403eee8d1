#include "command/collection.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"

/* ---- cursors ---- */

/* As Redis' strtoul: an empty one is 0, a negative one wraps round, and it ends at a NUL. */
bool scan_cursor_or_reply(struct command_ctx *ctx, struct scan_args *out)
{
    struct bytes s = ctx->argv[2];
    char text[24];
    char *end;
    *out = (struct scan_args){.count = 10};
    errno = 0;
    if (s.len < sizeof(text) && (s.len == 0 || !isspace((unsigned char)s.data[0]))) {
        memcpy(text, s.data, s.len);
        text[s.len] = '\0';
        out->cursor = strtoull(text, &end, 10);
        if (*end == '\0' && errno == 0)
            return true;
    }
    reply_error(ctx->reply, "ERR invalid cursor");
    return false;
}

bool scan_options_or_reply(struct command_ctx *ctx, struct scan_args *out)
{
    for (int i = 3; i < ctx->argc; i += 2) {
        bool more = i + 1 < ctx->argc;
        if (more && bytes_ieq(ctx->argv[i], "match")) {
            out->pattern = ctx->argv[i + 1];
        } else if (more && bytes_ieq(ctx->argv[i], "count")) {
            if (!arg_int64_or_reply(ctx, ctx->argv[i + 1], &out->count))
                return false;
            if (out->count < 1) {
                reply_syntax_error(ctx);
                return false;
            }
        } else {
            reply_syntax_error(ctx);
            return false;
        }
    }
    return true;
}

void scan_reply(struct command_ctx *ctx, uint64_t cursor, size_t n, const struct buf *elements)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, cursor);
    reply_array(ctx->reply, 2);
    reply_bulk_cstr(ctx->reply, text);
    reply_array(ctx->reply, n);
    buf_append_bytes(ctx->reply->out, buf_bytes(elements));
}

/* ---- draws ---- */

void draw_init(struct draw *d)
{
    random_bytes(&d->state, sizeof(d->state));
}

/* splitmix64: https://prng.di.unimi.it/splitmix64.c */
static uint64_t next(struct draw *d)
{
    uint64_t v = d->state += 0x9e3779b97f4a7c15;
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
    v = (v ^ v >> 27) * 0x94d049bb133111eb;
    return v ^ v >> 31;
}

size_t draw_below(struct draw *d, size_t n)
{
    return (size_t)(((unsigned __int128)next(d) * n) >> 64);
}

/* Marks are set for those drawn, or, where these are more than half, for the others. */
bool draw_distinct(struct draw *d, size_t n, size_t k, void (*f)(void *arg, size_t i), void *arg)
{
    CHECK(k <= n);
    bool others = k > n / 2;
    size_t marks = others ? n - k : k;
    unsigned char *marked = mem_try_alloc(n / 8 + 1);
    if (marked == NULL)
        return false;
    memset(marked, 0, n / 8 + 1);
    while (marks > 0) {
        size_t i = draw_below(d, n);
        if ((marked[i / 8] >> i % 8 & 1) != 0)
            continue;
        marked[i / 8] |= (unsigned char)(1 << i % 8);
        marks--;
    }
    for (size_t i = 0; i < n; i++) {
        if (((marked[i / 8] >> i % 8 & 1) != 0) != others)
            f(arg, i);
    }
    mem_free(marked);
    return true;
}

bool draw_count_or_reply(struct command_ctx *ctx, const char *with_word, int64_t *count, bool *with)
{
    if (!arg_int64_or_reply(ctx, ctx->argv[2], count))
        return false;
    if (*count == INT64_MIN) {
        reply_errorf(ctx->reply,
                     "ERR value is out of range, value must between %" PRId64 " and %" PRId64,
                     -INT64_MAX, INT64_MAX);
        return false;
    }
    *with = with_word != NULL && ctx->argc == 4 && bytes_ieq(ctx->argv[3], with_word);
    if (ctx->argc > 3 && !*with) {
        reply_syntax_error(ctx);
        return false;
    }
    if (*with && (*count < -(INT64_MAX / 2) || *count > INT64_MAX / 2)) {
        reply_error(ctx->reply, "ERR value is out of range");
        return false;
    }
    return true;
}
