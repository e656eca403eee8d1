/* When keys expire: EXPIRE and TTL with their relatives.
 * Semantics: https://redis.io/docs/latest/commands/expire/ */

#include "command/event.h"
#include "command/handler.h"

enum expire_option { EO_NX = 1 << 0, EO_XX = 1 << 1, EO_GT = 1 << 2, EO_LT = 1 << 3 };

static void reply_unsupported_option(struct command_ctx *ctx, struct bytes option)
{
    /* As a C string, and Redis cuts line ends off an error's end. */
    const char *nul = option.len == 0 ? NULL : memchr(option.data, '\0', option.len);
    size_t n = nul == NULL ? option.len : (size_t)(nul - option.data);
    while (n > 0 && (option.data[n - 1] == '\r' || option.data[n - 1] == '\n'))
        n--;
    int shown = n > INT32_MAX ? INT32_MAX : (int)n;
    reply_errorf(ctx->reply, "ERR Unsupported option %.*s", shown, option.data);
}

static bool options_or_reply(struct command_ctx *ctx, unsigned *out)
{
    static const struct {
        const char *name;
        unsigned option;
    } rows[] = {{"NX", EO_NX}, {"XX", EO_XX}, {"GT", EO_GT}, {"LT", EO_LT}};

    unsigned given = 0;
    for (int i = 3; i < ctx->argc; i++) {
        unsigned option = 0;
        for (size_t j = 0; j < sizeof(rows) / sizeof(rows[0]); j++) {
            if (bytes_ieq(ctx->argv[i], rows[j].name))
                option = rows[j].option;
        }
        if (option == 0) {
            reply_unsupported_option(ctx, ctx->argv[i]);
            return false;
        }
        given |= option;
    }
    const char *error = NULL;
    if ((given & EO_NX) != 0 && (given & (EO_XX | EO_GT | EO_LT)) != 0)
        error = "ERR NX and XX, GT or LT options at the same time are not compatible";
    else if ((given & EO_GT) != 0 && (given & EO_LT) != 0)
        error = "ERR GT and LT options at the same time are not compatible";
    if (error != NULL) {
        reply_error(ctx->reply, error);
        return false;
    }
    *out = given;
    return true;
}

/* A key without an expiry lives longer than any other. */
static bool options_allow(unsigned options, int64_t current_ms, int64_t new_ms)
{
    bool has = current_ms != -1;
    if ((options & EO_NX) != 0 && has)
        return false;
    if ((options & EO_XX) != 0 && !has)
        return false;
    if ((options & EO_GT) != 0 && (!has || new_ms <= current_ms))
        return false;
    return (options & EO_LT) == 0 || !has || new_ms < current_ms;
}

void key_expire(struct command_ctx *ctx, const struct moment *m)
{
    if (moment_passed(m, ctx->now_ms)) {
        key_remove(ctx->keys[0]);
        key_del_event(ctx, 0);
    } else {
        key_set_expiry(ctx->keys[0], m->expiry);
        key_event(ctx, EVENT_GENERIC, "expire", 0);
    }
}

bool key_persist(struct command_ctx *ctx)
{
    struct key *k = ctx->keys[0];
    if (k->expiry.kind == EXPIRY_NONE)
        return false;
    key_set_expiry(k, (struct expiry){EXPIRY_NONE, 0});
    key_event(ctx, EVENT_GENERIC, "persist", 0);
    return true;
}

static void expire(struct command_ctx *ctx, struct time_unit unit)
{
    unsigned options;
    struct moment m;
    if (!options_or_reply(ctx, &options) || !moment_or_reply(ctx, ctx->argv[2], unit, false, &m))
        return;
    struct key *k = ctx->keys[0];
    if (key_find(ctx, 0) == NULL ||
        !options_allow(options, key_expires_ms(k, ctx->now_ms), m.at_ms)) {
        reply_int(ctx->reply, 0);
        return;
    }
    key_expire(ctx, &m);
    reply_int(ctx->reply, 1);
}

void expire_expire(struct command_ctx *ctx)
{
    expire(ctx, (struct time_unit){.seconds = true, .absolute = false});
}

void expire_pexpire(struct command_ctx *ctx)
{
    expire(ctx, (struct time_unit){.seconds = false, .absolute = false});
}

void expire_expireat(struct command_ctx *ctx)
{
    expire(ctx, (struct time_unit){.seconds = true, .absolute = true});
}

void expire_pexpireat(struct command_ctx *ctx)
{
    expire(ctx, (struct time_unit){.seconds = false, .absolute = true});
}

/* -2 for no key, -1 for no expiry, or the time; seconds are rounded to the nearest. */
static void reply_expiry(struct command_ctx *ctx, struct time_unit unit)
{
    const struct key *k = ctx->keys[0];
    int64_t ms = -2;
    if (key_find(ctx, 0) != NULL)
        ms = unit.absolute ? key_expires_ms(k, ctx->now_ms) : key_ttl_ms(k, ctx->now_ms);
    reply_int(ctx->reply, ms < 0 || !unit.seconds ? ms : (ms + 500) / 1000);
}

void expire_ttl(struct command_ctx *ctx)
{
    reply_expiry(ctx, (struct time_unit){.seconds = true, .absolute = false});
}

void expire_pttl(struct command_ctx *ctx)
{
    reply_expiry(ctx, (struct time_unit){.seconds = false, .absolute = false});
}

void expire_expiretime(struct command_ctx *ctx)
{
    reply_expiry(ctx, (struct time_unit){.seconds = true, .absolute = true});
}

void expire_pexpiretime(struct command_ctx *ctx)
{
    reply_expiry(ctx, (struct time_unit){.seconds = false, .absolute = true});
}

void expire_persist(struct command_ctx *ctx)
{
    reply_int(ctx->reply, key_find(ctx, 0) != NULL && key_persist(ctx));
}
