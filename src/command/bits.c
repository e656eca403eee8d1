/* Strings as arrays of bits, the most significant one of a byte first. Integers within them are in
 * bitfield.c. Semantics: https://redis.io/docs/latest/commands/?group=bitmap */

#include "command/bits.h"

#include "base/mem.h"
#include "base/num.h"
#include "command/event.h"

bool bit_offset_or_reply(struct command_ctx *ctx, struct bytes arg, int width, uint64_t *out)
{
    bool counts_fields = width > 0 && arg.len > 0 && arg.data[0] == '#';
    if (counts_fields)
        arg = bytes_of(arg.data + 1, arg.len - 1);
    int64_t offset;
    bool ok = num_int64(arg, &offset) && offset >= 0 &&
              (!counts_fields || num_mul(offset, width, &offset)) &&
              (uint64_t)offset / 8 < ctx->max_value;
    if (ok)
        *out = (uint64_t)offset;
    else
        reply_error(ctx->reply, "ERR bit offset is not an integer or out of range");
    return ok;
}

struct value *bits_copy_or_reply(struct command_ctx *ctx, const struct value *old, size_t least)
{
    size_t old_len = old == NULL ? 0 : old->len;
    size_t len = old_len > least ? old_len : least;
    struct value *v = value_string_alloc(len);
    if (v == NULL) {
        reply_out_of_memory(ctx);
        return NULL;
    }
    if (old_len > 0)
        memcpy(v->data, old->data, old_len);
    memset(v->data + old_len, 0, len - old_len);
    return v;
}

static bool bit_at(const struct value *v, uint64_t offset)
{
    if (v == NULL || offset / 8 >= v->len)
        return false;
    return ((unsigned char)v->data[offset / 8] >> (7 - offset % 8) & 1) != 0;
}

void bits_getbit(struct command_ctx *ctx)
{
    uint64_t offset;
    if (!bit_offset_or_reply(ctx, ctx->argv[2], 0, &offset))
        return;
    const struct value *v = key_find(ctx, 0);
    if (key_is_string_or_reply(ctx, v))
        reply_int(ctx->reply, bit_at(v, offset));
}

/* A bit that is so already is no change, unless the string has to grow for it. */
void bits_setbit(struct command_ctx *ctx)
{
    uint64_t offset;
    if (!bit_offset_or_reply(ctx, ctx->argv[2], 0, &offset))
        return;
    int64_t bit;
    if (!num_int64(ctx->argv[3], &bit) || bit < 0 || bit > 1) {
        reply_error(ctx->reply, "ERR bit is not an integer or out of range");
        return;
    }
    const struct value *old = key_find(ctx, 0);
    if (!key_is_string_or_reply(ctx, old))
        return;
    size_t at = offset / 8;
    bool was = bit_at(old, offset);
    if (old == NULL || at >= old->len || was != (bit == 1)) {
        struct value *v = bits_copy_or_reply(ctx, old, at + 1);
        if (v == NULL)
            return;
        unsigned char mask = (unsigned char)(0x80 >> offset % 8);
        unsigned char byte = (unsigned char)v->data[at];
        v->data[at] = (char)(bit == 1 ? byte | mask : byte & ~mask);
        key_put(ctx, 0, v);
        key_event(ctx, EVENT_STRING, "setbit", 0);
    }
    reply_int(ctx->reply, was);
}

/* ---- ranges ---- */

/* Bits `from` up to, not including, `to`. */
struct bit_range {
    uint64_t from;
    uint64_t to;
};

static bool unit_or_reply(struct command_ctx *ctx, struct bytes arg, int64_t *bits)
{
    if (bytes_ieq(arg, "byte")) {
        *bits = 8;
    } else if (bytes_ieq(arg, "bit")) {
        *bits = 1;
    } else {
        reply_syntax_error(ctx);
        return false;
    }
    return true;
}

/* First and last unit, both included, negative ones counted from the end of `len` bytes. */
static struct bit_range range_of(int64_t first, int64_t last, int64_t unit_bits, size_t len)
{
    int64_t units = (int64_t)len * 8 / unit_bits;
    first = first < 0 ? units + first : first;
    last = last < 0 ? units + last : last;
    first = first < 0 ? 0 : first;
    last = last < 0 ? 0 : last;
    last = last >= units ? units - 1 : last;
    if (first > last)
        return (struct bit_range){0, 0};
    return (struct bit_range){(uint64_t)(first * unit_bits), (uint64_t)((last + 1) * unit_bits)};
}

/* The byte at bit `at`, with the bits outside of the range as `fill` has them. */
static unsigned char byte_in_range(const struct value *v, uint64_t at, struct bit_range range,
                                   unsigned char fill)
{
    unsigned char mask = 0xff;
    uint64_t start = at / 8 * 8;
    if (range.from > start)
        mask = (unsigned char)(mask & 0xff >> (range.from - start));
    if (range.to < start + 8)
        mask = (unsigned char)(mask & 0xff << (start + 8 - range.to));
    unsigned char byte = (unsigned char)v->data[at / 8];
    return (unsigned char)((byte & mask) | (fill & ~mask));
}

static int64_t count_ones(const struct value *v, struct bit_range range)
{
    int64_t n = 0;
    uint64_t at = range.from;
    while (at < range.to) {
        uint64_t eight;
        if (at % 8 == 0 && range.to - at >= 64) {
            memcpy(&eight, v->data + at / 8, sizeof(eight));
            n += __builtin_popcountll(eight);
            at += 64;
        } else {
            n += __builtin_popcount(byte_in_range(v, at, range, 0));
            at = at / 8 * 8 + 8;
        }
    }
    return n;
}

/* An absent key answers before its further arguments are looked at, and a reversed range before its
 * unit, as in Redis. */
void bits_bitcount(struct command_ctx *ctx)
{
    const struct value *v = key_find(ctx, 0);
    if (!key_is_string_or_reply(ctx, v))
        return;
    if (v == NULL) {
        reply_int(ctx->reply, 0);
        return;
    }
    int64_t first = 0, last = -1, unit_bits = 8;
    if (ctx->argc == 3 || ctx->argc > 5) {
        reply_syntax_error(ctx);
        return;
    }
    if (ctx->argc > 3 && (!arg_int64_or_reply(ctx, ctx->argv[2], &first) ||
                          !arg_int64_or_reply(ctx, ctx->argv[3], &last)))
        return;
    bool reversed = first < 0 && last < 0 && first > last;
    if (reversed)
        reply_int(ctx->reply, 0);
    else if (ctx->argc < 5 || unit_or_reply(ctx, ctx->argv[4], &unit_bits))
        reply_int(ctx->reply, count_ones(v, range_of(first, last, unit_bits, v->len)));
}

/* Where the first such bit in the range is; range.to if there is none. */
static uint64_t find_bit(const struct value *v, struct bit_range range, bool bit)
{
    unsigned char boring = bit ? 0 : 0xff;
    for (uint64_t at = range.from; at < range.to; at = at / 8 * 8 + 8) {
        unsigned char byte = byte_in_range(v, at, range, boring);
        if (byte == boring)
            continue;
        unsigned char ones = (unsigned char)(byte ^ boring);
        return at / 8 * 8 + (uint64_t)(__builtin_clz(ones) - ((int)sizeof(int) - 1) * 8);
    }
    return range.to;
}

static bool bitpos_args_or_reply(struct command_ctx *ctx, int64_t *first, int64_t *last,
                                 int64_t *unit_bits)
{
    *first = 0;
    *last = -1;
    *unit_bits = 8;
    if (ctx->argc > 6) {
        reply_syntax_error(ctx);
        return false;
    }
    return (ctx->argc < 4 || arg_int64_or_reply(ctx, ctx->argv[3], first)) &&
           (ctx->argc < 6 || unit_or_reply(ctx, ctx->argv[5], unit_bits)) &&
           (ctx->argc < 5 || arg_int64_or_reply(ctx, ctx->argv[4], last));
}

/* Behind the end of a string there are zeros, unless the caller says where to stop. */
void bits_bitpos(struct command_ctx *ctx)
{
    int64_t bit;
    if (!arg_int64_or_reply(ctx, ctx->argv[2], &bit))
        return;
    if (bit != 0 && bit != 1) {
        reply_error(ctx->reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    const struct value *v = key_find(ctx, 0);
    if (!key_is_string_or_reply(ctx, v))
        return;
    if (v == NULL) {
        reply_int(ctx->reply, bit == 1 ? -1 : 0);
        return;
    }
    int64_t first, last, unit_bits;
    if (!bitpos_args_or_reply(ctx, &first, &last, &unit_bits))
        return;
    struct bit_range range = range_of(first, last, unit_bits, v->len);
    uint64_t at = find_bit(v, range, bit == 1);
    bool zeros_follow = bit == 0 && ctx->argc < 5 && range.to > 0;
    reply_int(ctx->reply, at < range.to || zeros_follow ? (int64_t)at : -1);
}

/* ---- BITOP ---- */

enum bitop { BITOP_AND, BITOP_OR, BITOP_XOR, BITOP_NOT };

static bool bitop_or_reply(struct command_ctx *ctx, enum bitop *out)
{
    static const char *const names[] = {"and", "or", "xor", "not"};
    for (int i = 0; i < 4; i++) {
        if (!bytes_ieq(ctx->argv[1], names[i]))
            continue;
        *out = (enum bitop)i;
        if (*out != BITOP_NOT || ctx->nkeys == 2)
            return true;
        reply_error(ctx->reply, "ERR BITOP NOT must be called with a single source key.");
        return false;
    }
    reply_syntax_error(ctx);
    return false;
}

/* Puts one more source into the result; behind its end there are zeros. */
static void combine(enum bitop op, struct value *result, const struct value *source)
{
    size_t len = source == NULL ? 0 : source->len;
    for (size_t i = 0; i < len; i++) {
        char c = source->data[i];
        result->data[i] = (char)(op == BITOP_AND  ? result->data[i] & c
                                 : op == BITOP_OR ? result->data[i] | c
                                                  : result->data[i] ^ c);
    }
    if (op == BITOP_AND)
        memset(result->data + len, 0, result->len - len);
}

static void complement(struct value *v)
{
    for (size_t i = 0; i < v->len; i++)
        v->data[i] = (char)~v->data[i];
}

/* The first key is the destination. */
void bits_bitop(struct command_ctx *ctx)
{
    enum bitop op;
    if (!bitop_or_reply(ctx, &op))
        return;
    size_t len = 0;
    for (int i = 1; i < ctx->nkeys; i++) {
        const struct value *v = key_find(ctx, i);
        key_looked_up(ctx, i, v != NULL);
        if (!key_is_string_or_reply(ctx, v))
            return;
        len = v != NULL && v->len > len ? v->len : len;
    }
    if (len == 0) {
        if (key_find(ctx, 0) != NULL) {
            key_remove(ctx->keys[0]);
            key_del_event(ctx, 0);
        }
        reply_int(ctx->reply, 0);
        return;
    }
    struct value *result = bits_copy_or_reply(ctx, key_find(ctx, 1), len);
    if (result == NULL)
        return;
    for (int i = 2; i < ctx->nkeys; i++)
        combine(op, result, key_find(ctx, i));
    if (op == BITOP_NOT)
        complement(result);
    key_new_event(ctx, 0);
    key_set(ctx->keys[0], result);
    key_event(ctx, EVENT_STRING, "set", 0);
    reply_int(ctx->reply, (int64_t)len);
}
