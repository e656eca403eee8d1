/* The table of commands: its rows as an array, lookups in it, and the errors for what is not in
 * it. Nothing here changes after the compiler has made it. */

#include "command/command.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/num.h"
#include "command/handler.h"
#include "command/rename.h"

static const struct command commands[] = {
#define DATA_COMMAND(id_, name_, arity_, flags_, first_, last_, step_, group_, handler_, blind_, \
                     since_, complexity_, summary_, syntax_, key_flags_, tips_)                  \
    {.name = name_,                                                                              \
     .name_len = sizeof(name_) - 1,                                                              \
     .id = CMD_##id_,                                                                            \
     .arity = arity_,                                                                            \
     .flags = flags_,                                                                            \
     .first_key = first_,                                                                        \
     .last_key = last_,                                                                          \
     .key_step = step_,                                                                          \
     .group = group_,                                                                            \
     .handler = handler_,                                                                        \
     .is_blind = blind_,                                                                         \
     .since = since_,                                                                            \
     .complexity = complexity_,                                                                  \
     .summary = summary_,                                                                        \
     .syntax = syntax_,                                                                          \
     .key_flags = key_flags_,                                                                    \
     .tips = tips_},
#define SESSION_COMMAND(id_, name_, arity_, flags_, first_, last_, step_, group_, ...) \
    DATA_COMMAND(id_, name_, arity_, flags_, first_, last_, step_, group_, NULL, NULL, __VA_ARGS__)
#include "command/commands.def"
#undef SESSION_COMMAND
#undef DATA_COMMAND
};

/* A subcommand belongs to the group of its container. */
enum {
    GROUP_OF_ACL = GROUP_SERVER,
    GROUP_OF_CLIENT = GROUP_CONNECTION,
    GROUP_OF_CLUSTER = GROUP_CLUSTER,
    GROUP_OF_COMMAND = GROUP_SERVER,
    GROUP_OF_CONFIG = GROUP_SERVER,
    GROUP_OF_LATENCY = GROUP_SERVER,
    GROUP_OF_MEMORY = GROUP_SERVER,
    GROUP_OF_MODULE = GROUP_SERVER,
    GROUP_OF_OBJECT = GROUP_GENERIC,
    GROUP_OF_SCRIPT = GROUP_SCRIPTING,
    GROUP_OF_PUBSUB = GROUP_PUBSUB,
    GROUP_OF_SLOWLOG = GROUP_SERVER,
};

static const struct command subcommands[] = {
#define DATA_SUBCOMMAND(parent_, id_, name_, arity_, flags_, key_, handler_, since_, complexity_, \
                        summary_, syntax_, key_flags_, tips_)                                     \
    {.name = name_,                                                                               \
     .name_len = sizeof(name_) - 1,                                                               \
     .id = CMD_##parent_,                                                                         \
     .sub = SUB_##parent_##_##id_,                                                                \
     .arity = arity_,                                                                             \
     .flags = flags_,                                                                             \
     .first_key = key_,                                                                           \
     .last_key = key_,                                                                            \
     .key_step = (key_) != 0,                                                                     \
     .group = (enum command_group)GROUP_OF_##parent_,                                             \
     .handler = handler_,                                                                         \
     .since = since_,                                                                             \
     .complexity = complexity_,                                                                   \
     .summary = summary_,                                                                         \
     .syntax = syntax_,                                                                           \
     .key_flags = key_flags_,                                                                     \
     .tips = tips_},
#define SUBCOMMAND(parent_, id_, name_, arity_, flags_, since_, complexity_, summary_, syntax_,   \
                   tips_)                                                                         \
    DATA_SUBCOMMAND(parent_, id_, name_, arity_, flags_, 0, NULL, since_, complexity_, summary_,  \
                    syntax_, "", tips_)
#include "command/subcommands.def"
#undef DATA_SUBCOMMAND
#undef SUBCOMMAND
};

enum { SUBCOMMAND_COUNT = sizeof(subcommands) / sizeof(subcommands[0]) };

/* A few dozen rows, the frequent ones first, told apart by length: going through them costs less
 * than a hash of the name would. */
static const struct command *find_renamed(struct bytes name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        struct bytes current = command_current_name(&commands[i]);
        if (current.len == name.len && name.len > 0 && bytes_ieq(name, current.data))
            return &commands[i];
    }
    return NULL;
}

bool command_asks(const struct command *c, int argc, const struct bytes *argv)
{
    return c->id == CMD_SET ? string_set_asks(argc, argv) : (c->flags & CF_UNASKING) == 0;
}

const struct command *command_find(struct bytes name)
{
    if (command_names_changed())
        return find_renamed(name);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (commands[i].name_len == name.len && bytes_ieq(name, commands[i].name))
            return &commands[i];
    }
    return NULL;
}

const struct command *command_by_id(enum command_id id)
{
    CHECK(id < COMMAND_COUNT);
    return &commands[id];
}

const struct command *command_subs(size_t *count)
{
    *count = SUBCOMMAND_COUNT;
    return subcommands;
}

const struct command *command_find_sub(const struct command *container, struct bytes name)
{
    size_t skip = container->name_len + 1; /* "client|" */
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        const struct command *c = &subcommands[i];
        if (c->id == container->id && c->name_len == skip + name.len &&
            bytes_ieq(name, c->name + skip))
            return c;
    }
    return NULL;
}

const struct command *command_find_full(struct bytes name)
{
    const char *bar = name.len == 0 ? NULL : memchr(name.data, '|', name.len);
    if (bar == NULL)
        return command_find(name);
    size_t len = (size_t)(bar - name.data);
    const struct command *c = command_find(bytes_of(name.data, len));
    if (c == NULL || (c->flags & CF_CONTAINER) == 0)
        return NULL;
    return command_find_sub(c, bytes_of(bar + 1, name.len - len - 1));
}

static void upper_case(const char *s, char *out, size_t size)
{
    size_t i = 0;
    for (; s[i] != '\0' && i + 1 < size; i++)
        out[i] = s[i] >= 'a' && s[i] <= 'z' ? (char)(s[i] - 32) : s[i];
    out[i] = '\0';
}

const struct command *command_lookup_or_reply(int argc, const struct bytes *argv, struct reply *r)
{
    const struct command *c = command_find(argv[0]);
    if (c == NULL) {
        command_reply_unknown(r, argc, argv);
        return NULL;
    }
    if ((c->flags & CF_CONTAINER) != 0 && argc > 1) {
        const struct command *sub = command_find_sub(c, argv[1]);
        if (sub == NULL) {
            char container[64];
            upper_case(command_called(c), container, sizeof(container));
            command_reply_unknown_subcommand(r, container, argv[1]);
            return NULL;
        }
        c = sub;
    }
    if (!command_arity_ok(c, argc)) {
        command_reply_arity(r, c);
        return NULL;
    }
    return c;
}

bool command_arity_ok(const struct command *c, int argc)
{
    return c->arity > 0 ? argc == c->arity : argc >= -c->arity;
}

bool command_uses_keys(const struct command *c)
{
    switch (c->id) {
    case CMD_DEBUG:
    case CMD_EXISTS:
    case CMD_EXPIRETIME:
    case CMD_MEMORY:
    case CMD_OBJECT:
    case CMD_PEXPIRETIME:
    case CMD_PTTL:
    case CMD_TTL:
    case CMD_TYPE:
    case CMD_WATCH:
        return false;
    default:
        return true;
    }
}

const char *command_parse_db(struct bytes arg, int databases, int *out)
{
    int64_t db;
    if (!num_int64(arg, &db))
        return "ERR value is not an integer or out of range";
    if (db < INT32_MIN || db > INT32_MAX)
        return "ERR value is out of range, value must between -2147483648 and 2147483647";
    if (db < 0 || db >= databases)
        return "ERR DB index is out of range";
    *out = (int)db;
    return NULL;
}

int command_key_specs(const struct command *c)
{
    if (c->key_flags[0] == '\0')
        return 0;
    int n = 1;
    for (const char *s = c->key_flags; *s != '\0'; s++)
        n += *s == ';';
    return n;
}

struct bytes command_key_spec_flags(const struct command *c, int i)
{
    const char *s = c->key_flags;
    for (; i > 0; i--)
        s = strchr(s, ';') + 1;
    return bytes_of(s, strcspn(s, ";"));
}

/* Redis prints these as C strings: up to the first NUL, at most `max` bytes. */
static int text_len(struct bytes s, int max)
{
    size_t n = s.len < (size_t)max ? s.len : (size_t)max;
    const char *nul = n == 0 ? NULL : memchr(s.data, '\0', n);
    return nul == NULL ? (int)n : (int)(nul - s.data);
}

enum { SHOWN_MAX = 128 }; /* bytes of a name, and about as many of the arguments */

void command_reply_unknown(struct reply *r, int argc, const struct bytes *argv)
{
    struct buf args;
    buf_init(&args);
    for (int i = 1; i < argc && args.len < SHOWN_MAX; i++) {
        int n = text_len(argv[i], SHOWN_MAX - (int)args.len);
        buf_append_u8(&args, '\'');
        buf_append(&args, argv[i].data, (size_t)n);
        buf_append_cstr(&args, "' ");
    }
    reply_errorf(r, "ERR unknown command '%.*s', with args beginning with: %s",
                 text_len(argv[0], SHOWN_MAX), argv[0].data, buf_cstr(&args));
    buf_release(&args);
}

void command_reply_arity(struct reply *r, const struct command *c)
{
    if (c->id == CMD_EXEC) /* in or out of a transaction */
        reply_error(r, "EXECABORT Transaction discarded because of: "
                       "wrong number of arguments for 'exec' command");
    else
        command_reply_sub_arity(r, c->name);
}

void command_reply_unknown_subcommand(struct reply *r, const char *container, struct bytes sub)
{
    reply_errorf(r, "ERR unknown subcommand '%.*s'. Try %s HELP.", text_len(sub, SHOWN_MAX),
                 sub.data, container);
}

void command_reply_sub_arity(struct reply *r, const char *full)
{
    reply_errorf(r, "ERR wrong number of arguments for '%s' command", full);
}
