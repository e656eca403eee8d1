/* Commands about keys of any type. Those about expiry are in expire.c, those over the whole
 * keyspace belong to the engine. */

#include "command/event.h"
#include "command/handler.h"

static const char error_same[] = "ERR source and destination objects are the same";

/* DEL and UNLINK. A key named twice is gone the second time. */
void generic_del(struct command_ctx *ctx)
{
    int64_t removed = 0;
    for (int i = 0; i < ctx->nkeys; i++) {
        if (key_find(ctx, i) == NULL) {
            key_remove_guessed(ctx->keys[i]);
            continue;
        }
        key_remove(ctx->keys[i]);
        key_del_event(ctx, i);
        removed++;
    }
    reply_int(ctx->reply, removed);
}

/* EXISTS and TOUCH: fetching a key is what marks it as used. */
void generic_exists(struct command_ctx *ctx)
{
    int64_t found = 0;
    for (int i = 0; i < ctx->nkeys; i++)
        found += key_find(ctx, i) != NULL;
    reply_int(ctx->reply, found);
}

void generic_type(struct command_ctx *ctx)
{
    const struct value *v = key_find(ctx, 0);
    reply_status(ctx->reply, v == NULL ? "none" : value_type_name(v->type));
}

/* The value of the first key goes to the second along with its expiry, also one that has not begun to
 * count. What was there makes room: in Redis, the key is a new one. */
static void key_assign(struct command_ctx *ctx)
{
    const struct key *from = ctx->keys[0];
    struct key *to = ctx->keys[1];
    key_set(to, value_ref(from->value));
    if (from->expiry.kind != EXPIRY_NONE)
        key_set_expiry(to, from->expiry);
    key_event(ctx, EVENT_NEW, "new", 1);
}

static bool key_is_there_or_reply(struct command_ctx *ctx, int i)
{
    if (key_find(ctx, i) != NULL)
        return true;
    reply_error(ctx->reply, "ERR no such key");
    return false;
}

static void rename_key(struct command_ctx *ctx, const char *from_event, const char *to_event)
{
    key_assign(ctx);
    key_remove(ctx->keys[0]);
    key_event(ctx, EVENT_GENERIC, from_event, 0);
    key_event(ctx, EVENT_GENERIC, to_event, 1);
}

void generic_rename(struct command_ctx *ctx)
{
    if (!key_is_there_or_reply(ctx, 0))
        return;
    if (ctx->keys[0] != ctx->keys[1])
        rename_key(ctx, "rename_from", "rename_to");
    reply_ok(ctx->reply);
}

/* Its own name is taken. */
void generic_renamenx(struct command_ctx *ctx)
{
    if (!key_is_there_or_reply(ctx, 0))
        return;
    bool is_free = key_find(ctx, 1) == NULL;
    if (is_free)
        rename_key(ctx, "rename_from", "rename_to");
    reply_int(ctx->reply, is_free);
}

/* COPY's options. Returns the error, or NULL. */
static const char *copy_parse(int argc, const struct bytes *argv, int databases, int own_db,
                              int *db, bool *replace)
{
    *db = own_db;
    *replace = false;
    for (int i = 3; i < argc; i++) {
        if (bytes_ieq(argv[i], "replace")) {
            *replace = true;
        } else if (bytes_ieq(argv[i], "db") && i + 1 < argc) {
            const char *error = command_parse_db(argv[++i], databases, db);
            if (error != NULL)
                return error;
        } else {
            return "ERR syntax error";
        }
    }
    bool same = *db == own_db && bytes_eq(argv[1], argv[2]);
    return same ? error_same : NULL;
}

const char *generic_copy_db(int argc, const struct bytes *argv, int databases, int db, int *out)
{
    bool replace;
    return copy_parse(argc, argv, databases, db, out, &replace);
}

void generic_copy(struct command_ctx *ctx)
{
    int db;
    bool replace;
    const char *error = copy_parse(ctx->argc, ctx->argv, ctx->databases, ctx->db, &db, &replace);
    if (error != NULL) {
        reply_error(ctx->reply, error);
        return;
    }
    bool found = key_find(ctx, 0) != NULL;
    bool copies = found && (replace || key_find(ctx, 1) == NULL);
    key_looked_up(ctx, 0, found);
    if (copies) {
        key_assign(ctx);
        key_event(ctx, EVENT_GENERIC, "copy_to", 1);
    }
    reply_int(ctx->reply, copies);
}

const char *generic_move_db(int argc, const struct bytes *argv, int databases, int db, int *out)
{
    (void)argc;
    const char *error = command_parse_db(argv[2], databases, out);
    return error == NULL && *out == db ? error_same : error;
}

void generic_move(struct command_ctx *ctx)
{
    int db;
    const char *error = generic_move_db(ctx->argc, ctx->argv, ctx->databases, ctx->db, &db);
    if (error != NULL) {
        reply_error(ctx->reply, error);
        return;
    }
    bool moves = key_find(ctx, 0) != NULL && key_find(ctx, 1) == NULL;
    if (moves)
        rename_key(ctx, "move_from", "move_to");
    reply_int(ctx->reply, moves);
}
