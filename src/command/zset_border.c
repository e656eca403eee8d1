/* Sorted sets: the borders of ranges, and what is between them. */

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "command/zset.h"

/* As strtod reads a C string: blanks before it are allowed, nothing is 0. */
static bool score_border(struct bytes arg, struct score_border *out)
{
    out->excluded = arg.len > 0 && arg.data[0] == '(';
    size_t from = out->excluded;
    char *text = mem_strndup(arg.data + from, arg.len - from);
    char *end;
    out->score = strtod(text, &end);
    bool good = *end == '\0' && !isnan(out->score);
    mem_free(text);
    return good;
}

bool score_borders_or_reply(struct command_ctx *ctx, struct bytes min, struct bytes max,
                            struct score_border out[2])
{
    if (score_border(min, &out[0]) && score_border(max, &out[1]))
        return true;
    reply_error(ctx->reply, "ERR min or max is not a float");
    return false;
}

static bool lex_border(struct bytes arg, struct lex_border *out)
{
    char first = arg.len > 0 ? arg.data[0] : '\0';
    *out = (struct lex_border){.kind = LEX_MEMBER};
    switch (first) {
    case '-':
    case '+':
        out->kind = first == '-' ? LEX_FIRST : LEX_LAST;
        return arg.len == 1 || arg.data[1] == '\0';
    case '(':
    case '[':
        out->excluded = first == '(';
        out->member = bytes_of(arg.data + 1, arg.len - 1);
        return true;
    default:
        return false;
    }
}

bool lex_borders_or_reply(struct command_ctx *ctx, struct bytes min, struct bytes max,
                          struct lex_border out[2])
{
    if (lex_border(min, &out[0]) && lex_border(max, &out[1]))
        return true;
    reply_error(ctx->reply, "ERR min or max not valid string range item");
    return false;
}

static void between(size_t from, size_t to, size_t *first, size_t *n)
{
    *first = from < to ? from : 0;
    *n = from < to ? to - from : 0;
}

void score_range(const struct zset *z, const struct score_border borders[2], size_t *first,
                 size_t *n)
{
    between(zset_below(z, borders[0].score, borders[0].excluded),
            zset_below(z, borders[1].score, !borders[1].excluded), first, n);
}

/* How many are before the border; `or_equal`: with a member that is equal. */
static size_t lex_below(const struct zset *z, const struct lex_border *b, bool or_equal)
{
    if (b->kind == LEX_MEMBER)
        return zset_below_lex(z, b->member, or_equal);
    return b->kind == LEX_FIRST ? 0 : zset_count(z);
}

void lex_range(const struct zset *z, const struct lex_border borders[2], size_t *first, size_t *n)
{
    between(lex_below(z, &borders[0], borders[0].excluded),
            lex_below(z, &borders[1], !borders[1].excluded), first, n);
}
