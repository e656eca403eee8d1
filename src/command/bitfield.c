/* BITFIELD: integers of 1 to 64 bits anywhere in a string. The arguments are gone through twice:
 * the first time they are checked, the second time they are carried out, on a copy if they write.
 * Semantics: https://redis.io/docs/latest/commands/bitfield/ */

#include "base/num.h"
#include "command/bits.h"
#include "command/event.h"

enum field_op { FIELD_GET, FIELD_SET, FIELD_INCRBY, FIELD_OVERFLOW };
enum overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

struct field_step {
    enum field_op op;
    bool is_signed;
    int width;
    uint64_t offset; /* of its first bit */
    int64_t operand;
    enum overflow overflow; /* FIELD_OVERFLOW: that of the steps to come */
};

/* What all the steps of a call come to. */
struct field_plan {
    size_t replies;
    bool writes;
    size_t least_len; /* bytes, for the writes */
};

/* ---- arguments ---- */

static bool overflow_or_reply(struct command_ctx *ctx, struct bytes arg, enum overflow *out)
{
    static const char *const names[] = {"wrap", "sat", "fail"};
    for (int i = 0; i < 3; i++) {
        if (bytes_ieq(arg, names[i])) {
            *out = (enum overflow)i;
            return true;
        }
    }
    reply_error(ctx->reply, "ERR Invalid OVERFLOW type specified");
    return false;
}

static bool type_or_reply(struct command_ctx *ctx, struct bytes arg, struct field_step *step)
{
    int64_t width = 0;
    bool is_signed = arg.len > 0 && arg.data[0] == 'i';
    bool known = is_signed || (arg.len > 0 && arg.data[0] == 'u');
    if (!known || !num_int64(bytes_of(arg.data + 1, arg.len - 1), &width) || width < 1 ||
        width > (is_signed ? 64 : 63)) {
        reply_error(ctx->reply, "ERR Invalid bitfield type. Use something like i16 u8. Note that "
                                "u64 is not supported but i64 is.");
        return false;
    }
    step->is_signed = is_signed;
    step->width = (int)width;
    return true;
}

/* Reads the step that begins at argument *at, and moves that on. step->overflow is what holds
 * before it, and after it. */
static bool step_or_reply(struct command_ctx *ctx, int *at, struct field_step *step)
{
    static const struct {
        const char *name;
        enum field_op op;
        int args;
    } rows[] = {
        {"get", FIELD_GET, 2},
        {"set", FIELD_SET, 3},
        {"incrby", FIELD_INCRBY, 3},
        {"overflow", FIELD_OVERFLOW, 1},
    };
    const struct bytes *argv = ctx->argv + *at;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!bytes_ieq(argv[0], rows[i].name) || *at + rows[i].args >= ctx->argc)
            continue;
        step->op = rows[i].op;
        *at += 1 + rows[i].args;
        if (step->op == FIELD_OVERFLOW)
            return overflow_or_reply(ctx, argv[1], &step->overflow);
        return type_or_reply(ctx, argv[1], step) &&
               bit_offset_or_reply(ctx, argv[2], step->width, &step->offset) &&
               (step->op == FIELD_GET || arg_int64_or_reply(ctx, argv[3], &step->operand));
    }
    reply_syntax_error(ctx);
    return false;
}

static bool plan_or_reply(struct command_ctx *ctx, struct field_plan *plan)
{
    *plan = (struct field_plan){0};
    struct field_step step = {.overflow = OVERFLOW_WRAP};
    for (int at = 2; at < ctx->argc;) {
        if (!step_or_reply(ctx, &at, &step))
            return false;
        if (step.op == FIELD_OVERFLOW)
            continue;
        plan->replies++;
        if (step.op == FIELD_GET)
            continue;
        size_t len = (step.offset + (uint64_t)step.width - 1) / 8 + 1;
        plan->writes = true;
        plan->least_len = len > plan->least_len ? len : plan->least_len;
    }
    return true;
}

/* ---- integers ---- */

__extension__ typedef __int128 wide;

/* Bits behind the end of the string are zeros. */
static wide field_read(const struct value *v, const struct field_step *f)
{
    uint64_t bits = 0;
    for (uint64_t at = f->offset; at < f->offset + (uint64_t)f->width; at++) {
        bool in = v != NULL && at / 8 < v->len;
        unsigned byte = in ? (unsigned char)v->data[at / 8] : 0;
        bits = bits << 1 | (byte >> (7 - at % 8) & 1);
    }
    bool negative = f->is_signed && (bits >> (f->width - 1) & 1) != 0;
    return negative ? (wide)bits - ((wide)1 << f->width) : (wide)bits;
}

static void field_write(struct value *v, const struct field_step *f, wide n)
{
    uint64_t bits = (uint64_t)n;
    for (int i = 0; i < f->width; i++) {
        uint64_t at = f->offset + (uint64_t)i;
        unsigned mask = 0x80u >> at % 8;
        unsigned byte = (unsigned char)v->data[at / 8];
        bool bit = (bits >> (f->width - 1 - i) & 1) != 0;
        v->data[at / 8] = (char)(bit ? byte | mask : byte & ~mask);
    }
}

/* The limit that a number outside of the range has passed. Redis takes one that is SET for too large,
 * however small it is, where 64 bits cannot tell how far it is from the largest. */
static wide limit_passed(const struct field_step *f, wide n, wide min, wide max)
{
    bool is_small = n < min && (f->op == FIELD_INCRBY || max - n <= INT64_MAX);
    return is_small ? min : max;
}

/* Brings a number into the field's range in the way asked for; false = it fails. */
static bool field_fit(const struct field_step *f, wide *n)
{
    wide all = (wide)1 << f->width;
    wide min = f->is_signed ? -(all / 2) : 0;
    wide max = f->is_signed ? all / 2 - 1 : all - 1;
    if (*n >= min && *n <= max)
        return true;
    switch (f->overflow) {
    case OVERFLOW_WRAP:
        *n = (*n - min) % all;
        *n += *n < 0 ? all + min : min;
        return true;
    case OVERFLOW_SAT:
        *n = limit_passed(f, *n, min, max);
        return true;
    case OVERFLOW_FAIL:
        return false;
    }
    check_failed("overflow", __FILE__, __LINE__);
}

/* A SET of an unsigned field takes a negative operand for the 64 bits it is made of. */
static wide field_wanted(const struct field_step *f, wide old)
{
    if (f->op == FIELD_INCRBY)
        return old + f->operand;
    return f->is_signed ? (wide)f->operand : (wide)(uint64_t)f->operand;
}

/* ---- the commands ---- */

/* Carries a step out, and replies; true if `v` is another afterwards. */
static bool step_run(struct command_ctx *ctx, struct value *v, const struct field_step *f)
{
    wide old = field_read(v, f);
    if (f->op == FIELD_GET) {
        reply_int(ctx->reply, (int64_t)old);
        return false;
    }
    wide n = field_wanted(f, old);
    if (!field_fit(f, &n)) {
        reply_null(ctx->reply);
        return false;
    }
    field_write(v, f, n);
    reply_int(ctx->reply, (int64_t)(f->op == FIELD_SET ? old : n));
    return n != old;
}

/* Arguments that have been found good; `v` is ours if one of them writes. */
static bool steps_run(struct command_ctx *ctx, struct value *v, size_t replies)
{
    bool changed = false;
    struct field_step step = {.overflow = OVERFLOW_WRAP};
    reply_array(ctx->reply, replies);
    for (int at = 2; at < ctx->argc;) {
        bool ok = step_or_reply(ctx, &at, &step);
        CHECK(ok);
        if (step.op != FIELD_OVERFLOW)
            changed |= step_run(ctx, v, &step);
    }
    return changed;
}

void bits_bitfield(struct command_ctx *ctx)
{
    struct field_plan plan;
    if (!plan_or_reply(ctx, &plan))
        return;
    struct value *old = key_find(ctx, 0);
    if (!key_is_string_or_reply(ctx, old))
        return;
    if (!plan.writes) {
        key_looked_up(ctx, 0, old != NULL);
        steps_run(ctx, old, plan.replies);
        return;
    }
    struct value *v = bits_copy_or_reply(ctx, old, plan.least_len);
    if (v == NULL)
        return;
    bool changed = steps_run(ctx, v, plan.replies);
    if (changed || old == NULL || v->len > old->len) {
        key_put(ctx, 0, v);
        key_event(ctx, EVENT_STRING, "setbit", 0);
    } else {
        value_unref(v);
    }
}

void bits_bitfield_ro(struct command_ctx *ctx)
{
    struct field_plan plan;
    if (!plan_or_reply(ctx, &plan))
        return;
    struct value *v = key_find(ctx, 0);
    if (plan.writes)
        reply_error(ctx->reply, "ERR BITFIELD_RO only supports the GET subcommand");
    else if (key_is_string_or_reply(ctx, v))
        steps_run(ctx, v, plan.replies);
}
