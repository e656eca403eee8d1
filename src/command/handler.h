/* handler: what the handlers share, and their declarations, drawn from the table.
 *
 * A handler checks everything, then changes, then replies. It reads a key through `key_find`
 * only, so that a key whose time has passed within the run is absent everywhere. */
#ifndef RESPGRES_COMMAND_HANDLER_H
#define RESPGRES_COMMAND_HANDLER_H

#include "command/command.h"

#define DATA_COMMAND(id, name, arity, flags, first, last, step, group, handler, ...) \
    void handler(struct command_ctx *ctx);
#define SESSION_COMMAND(...)
#include "command/commands.def"
#undef SESSION_COMMAND
#undef DATA_COMMAND

#define DATA_SUBCOMMAND(parent, id, name, arity, flags, key, handler, ...) \
    void handler(struct command_ctx *ctx);
#define SUBCOMMAND(...)
#include "command/subcommands.def"
#undef SUBCOMMAND
#undef DATA_SUBCOMMAND

/* Only a call that certainly succeeds is blind: what follows it in a MULTI block takes its value for
 * the key's. */
bool string_setex_is_blind(int argc, const struct bytes *argv);
bool string_mset_is_blind(int argc, const struct bytes *argv);
bool string_set_is_blind(int argc, const struct bytes *argv);
bool string_set_asks(int argc, const struct bytes *argv);

/* The database of the second key (see command_place); the error if the arguments are wrong. */
const char *generic_copy_db(int argc, const struct bytes *argv, int databases, int db, int *out);
const char *generic_move_db(int argc, const struct bytes *argv, int databases, int db, int *out);

/* Does this call of DEBUG look at a key? That is argument 2. */
bool debug_has_key(int argc, const struct bytes *argv);

/* Redis' name for the way it would store the value. */
const char *object_encoding_name(const struct value *v);

/* The i-th key's value; NULL if the key is absent or expired. */
struct value *key_find(const struct command_ctx *ctx, int i);
/* The same of a key that ctx->more has found. */
struct value *key_value(const struct command_ctx *ctx, const struct key *k);

/* Is the value a string? If not, WRONGTYPE is written. An absent one (NULL) passes. */
MUST_CHECK bool key_is_string_or_reply(struct command_ctx *ctx, const struct value *v);

/* The i-th key's collection, to be read: its structure, or NULL if the key is absent. False = it is of
 * another type, and WRONGTYPE is written. */
MUST_CHECK bool key_collection_or_reply(struct command_ctx *ctx, int i, enum value_type type,
                                        const void **content);

/* A collection about to be changed. Between begin and end a handler prepares what can fail, then
 * changes `content`; the key may not be looked at meanwhile. */
struct key_edit {
    struct value *value;
    void *content; /* its structure: the caller's alone until key_edit_end */
    bool is_new;   /* the key was absent: it is empty */
};

/* The collection under the i-th key, copied if anybody else holds it; a new one if the key is absent.
 * `more`: bytes by which its stored form may grow. False = it is of another type, it would become too
 * large, or there is no memory, and the error is written. Whoever would change nothing should find out
 * by key_collection_or_reply before. */
MUST_CHECK bool key_edit_or_reply(struct command_ctx *ctx, int i, enum value_type type, size_t more,
                                  struct key_edit *edit);
/* Ends it. Changed: the key is written, its expiry kept, or removed if nothing is left in it. */
void key_edit_end(struct command_ctx *ctx, int i, struct key_edit *edit, bool changed);

/* Puts new bytes under the i-th key, whose expiry stays if it is there. Takes `v`. */
void key_put(struct command_ctx *ctx, int i, struct value *v);

/* A copy of `content` as a value; NULL = no memory, and the error is written. */
MUST_CHECK struct value *value_new_or_reply(struct command_ctx *ctx, struct bytes content);
void reply_out_of_memory(struct command_ctx *ctx);
void reply_syntax_error(struct command_ctx *ctx);

/* An integer argument; false = it is none, and the error is written. */
MUST_CHECK bool arg_int64_or_reply(struct command_ctx *ctx, struct bytes arg, int64_t *out);

/* How a command states a time. */
struct time_unit {
    bool seconds;  /* or milliseconds */
    bool absolute; /* since 1970, or from now on */
};

/* A time given to a command. */
struct moment {
    int64_t at_ms; /* since 1970; in the past for a negative relative time */
    struct expiry expiry;
};

/* Reads a time; false = it is none or out of range, and the error is written. `positive`: zero
 * and less are errors too. What lies beyond EXPIRY_MAX_MS is brought back to it. */
MUST_CHECK bool moment_or_reply(struct command_ctx *ctx, struct bytes arg, struct time_unit unit,
                                bool positive, struct moment *out);

/* Has this moment passed? Redis removes a key whose expiry is set to such a one. */
static inline bool moment_passed(const struct moment *m, int64_t now_ms)
{
    return m->at_ms <= now_ms;
}

/* Of the first key, which is there. An expiry that has passed removes it; false = it has none that could
 * be taken away. */
void key_expire(struct command_ctx *ctx, const struct moment *m);
bool key_persist(struct command_ctx *ctx);

/* PostgreSQL's timestamps end in the year 294276; Redis' go on for 292 million years. */
#define EXPIRY_MAX_MS INT64_C(9000000000000000)

#endif
