/* DEBUG, as far as it means something here. It is refused unless enable-debug-command allows it
 * (client.c); what needs the server's loop or memory (SLEEP) is done by the engine before this
 * handler would run. OBJECT and SDSLEN have a key, which command_place finds. */

#include <stdio.h>

#include "base/log.h"
#include "base/num.h"
#include "command/handler.h"

typedef void (*debug_function)(struct command_ctx *ctx);

static void debug_ok(struct command_ctx *ctx)
{
    reply_ok(ctx->reply);
}

static void debug_help(struct command_ctx *ctx)
{
    command_reply_help(ctx->reply, ctx->cmd);
}

/* ---- values ---- */

static const struct value *find_or_reply(struct command_ctx *ctx)
{
    const struct value *v = ctx->nkeys == 1 ? key_find(ctx, 0) : NULL;
    if (v == NULL)
        reply_error(ctx->reply, "ERR no such key");
    return v;
}

/* A value's place in memory is not told. */
static void debug_object(struct command_ctx *ctx)
{
    const struct value *v = find_or_reply(ctx);
    char text[200];
    if (v == NULL)
        return;
    int64_t idle_ms = key_idle_ms(ctx->keys[0], ctx->now_ms);
    int64_t used_s = (ctx->now_ms - idle_ms) / 1000;
    snprintf(text, sizeof(text),
             "Value at:0x0 refcount:1 encoding:%s serializedlength:%zu lru:%lld lru_seconds_idle:%lld",
             object_encoding_name(v), v->len, (long long)(used_s & ((1 << 24) - 1)),
             (long long)idle_ms / 1000);
    reply_status(ctx->reply, text);
}

static void debug_sdslen(struct command_ctx *ctx)
{
    const struct value *v = find_or_reply(ctx);
    char text[200];
    if (v == NULL)
        return;
    if (v->type != VALUE_STRING) {
        reply_error(ctx->reply, "ERR Not an sds encoded string.");
        return;
    }
    size_t key = ctx->keys[0]->name.len;
    snprintf(text, sizeof(text),
             "key_sds_len:%zu, key_sds_avail:0, key_zmalloc: %zu, val_sds_len:%zu, "
             "val_sds_avail:0, val_zmalloc: %zu",
             key, key, v->len, value_memory(v));
    reply_status(ctx->reply, text);
}

static void debug_listpack(struct command_ctx *ctx)
{
    if (find_or_reply(ctx) != NULL)
        reply_error(ctx->reply, "ERR Not a listpack encoded object.");
}

static void debug_quicklist(struct command_ctx *ctx)
{
    if (find_or_reply(ctx) != NULL)
        reply_error(ctx->reply, "ERR Not a quicklist encoded object.");
}

/* ---- texts ---- */

static void debug_error(struct command_ctx *ctx)
{
    struct bytes text = ctx->argv[2];
    reply_errorf(ctx->reply, "%.*s", text.len > 4096 ? 4096 : (int)text.len, text.data);
}

static void debug_log(struct command_ctx *ctx)
{
    char quoted[LOG_QUOTE_SIZE];
    char text[200];
    struct bytes message = ctx->argv[2];
    snprintf(text, sizeof(text), "%.*s", message.len > 199 ? 199 : (int)message.len, message.data);
    log_event(LOG_WARNING, "debug-log", "message=%s", log_quote(text, quoted));
    reply_ok(ctx->reply);
}

static void debug_threshold(struct command_ctx *ctx)
{
    int64_t n;
    if (num_int64(ctx->argv[2], &n) && n >= 0 && n <= UINT32_MAX)
        reply_ok(ctx->reply);
    else
        reply_error(ctx->reply,
                    "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
}

static void debug_reload(struct command_ctx *ctx)
{
    for (int i = 2; i < ctx->argc; i++) {
        if (!bytes_ieq(ctx->argv[i], "merge") && !bytes_ieq(ctx->argv[i], "noflush") &&
            !bytes_ieq(ctx->argv[i], "nosave")) {
            reply_error(ctx->reply,
                        "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
            return;
        }
    }
    reply_ok(ctx->reply);
}

/* ---- PROTOCOL: a reply of each kind, for authors of client libraries ---- */

static void protocol_map(struct reply *r)
{
    reply_map(r, 3);
    for (int i = 0; i < 3; i++) {
        reply_int(r, i);
        reply_bool(r, i == 1);
    }
}

static void protocol_numbers(struct reply *r, bool set)
{
    if (set)
        reply_set(r, 3);
    else
        reply_array(r, 3);
    for (int i = 0; i < 3; i++)
        reply_int(r, i);
}

static void protocol_attribute(struct reply *r)
{
    if (r->proto > 2) {
        buf_append_cstr(r->out, "|1\r\n");
        reply_bulk_cstr(r, "key-popularity");
        reply_array(r, 2);
        reply_bulk_cstr(r, "key:123");
        reply_int(r, 90);
    }
    reply_bulk_cstr(r, "Some real reply following the attribute");
}

static void protocol_push(struct reply *r)
{
    if (r->proto < 3) {
        reply_error(r, "ERR RESP2 is not supported by this command");
        return;
    }
    reply_push(r, 2);
    reply_bulk_cstr(r, "server-cpu-usage");
    reply_int(r, 42);
    reply_bulk_cstr(r, "Some real reply following the push reply");
}

static void protocol_bignum(struct reply *r)
{
    static const char digits[] = "1234567999999999999999999999999999999";
    if (r->proto > 2)
        buf_printf(r->out, "(%s\r\n", digits);
    else
        reply_bulk_cstr(r, digits);
}

static void debug_protocol(struct command_ctx *ctx)
{
    struct reply *r = ctx->reply;
    struct bytes kind = ctx->argv[2];
    if (bytes_ieq(kind, "string"))
        reply_bulk_cstr(r, "Hello World");
    else if (bytes_ieq(kind, "integer"))
        reply_int(r, 12345);
    else if (bytes_ieq(kind, "double"))
        reply_double(r, 3.141);
    else if (bytes_ieq(kind, "bignum"))
        protocol_bignum(r);
    else if (bytes_ieq(kind, "null"))
        reply_null(r);
    else if (bytes_ieq(kind, "array") || bytes_ieq(kind, "set"))
        protocol_numbers(r, bytes_ieq(kind, "set"));
    else if (bytes_ieq(kind, "map"))
        protocol_map(r);
    else if (bytes_ieq(kind, "attrib"))
        protocol_attribute(r);
    else if (bytes_ieq(kind, "push"))
        protocol_push(r);
    else if (bytes_ieq(kind, "verbatim"))
        reply_verbatim(r, "txt", BYTES_LIT("This is a verbatim\nstring"));
    else if (bytes_ieq(kind, "true") || bytes_ieq(kind, "false"))
        reply_bool(r, bytes_ieq(kind, "true"));
    else
        reply_error(r, "ERR Wrong protocol type name. Please use one of the following: "
                       "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|"
                       "true|false");
}

/* ---- the table ---- */

static const struct {
    const char *name;
    int min_argc;
    int max_argc;
    bool has_key;
    debug_function run;
} functions[] = {
    {"help", 2, 2, false, debug_help},
    {"object", 3, 3, true, debug_object},
    {"sdslen", 3, 3, true, debug_sdslen},
    {"listpack", 3, 3, true, debug_listpack},
    {"quicklist", 3, 4, true, debug_quicklist},
    {"error", 3, 3, false, debug_error},
    {"log", 3, 3, false, debug_log},
    {"protocol", 3, 3, false, debug_protocol},
    {"quicklist-packed-threshold", 3, 3, false, debug_threshold},
    {"reload", 2, INT32_MAX, false, debug_reload},
    {"loadaof", 2, 2, false, debug_ok},
    {"set-active-expire", 3, 3, false, debug_ok},
    {"set-skip-checksum-validation", 3, 3, false, debug_ok},
    {"pause-cron", 3, 3, false, debug_ok},
    {"change-repl-id", 2, 2, false, debug_ok},
    {"replicate", 3, INT32_MAX, false, debug_ok},
    {"sleep", 3, 3, false, debug_ok}, /* within a block, where it cannot */
};

enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

static int find(int argc, const struct bytes *argv)
{
    for (int i = 0; i < FUNCTIONS; i++) {
        if (argc >= functions[i].min_argc && argc <= functions[i].max_argc &&
            bytes_ieq(argv[1], functions[i].name))
            return i;
    }
    return -1;
}

bool debug_has_key(int argc, const struct bytes *argv)
{
    int at = find(argc, argv);
    return at >= 0 && functions[at].has_key;
}

void debug_debug(struct command_ctx *ctx)
{
    int at = find(ctx->argc, ctx->argv);
    struct bytes name = ctx->argv[1];
    if (at >= 0)
        functions[at].run(ctx);
    else
        reply_errorf(ctx->reply,
                     "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG HELP.",
                     name.len > 128 ? 128 : (int)name.len, name.data);
}
