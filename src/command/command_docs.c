/* The shape: https://redis.io/docs/latest/develop/reference/command-arguments/ */

#include "command/command_docs.h"

#include <string.h>

#include "command/command.h"
#include "command/rename.h"
#include "command/syntax.h"

const char *command_group_name(enum command_group group)
{
    switch (group) {
    case GROUP_STRING:
        return "string";
    case GROUP_BITMAP:
        return "bitmap";
    case GROUP_HASH:
        return "hash";
    case GROUP_LIST:
        return "list";
    case GROUP_SET:
        return "set";
    case GROUP_SORTED_SET:
        return "sorted-set";
    case GROUP_GENERIC:
        return "generic";
    case GROUP_CONNECTION:
        return "connection";
    case GROUP_SERVER:
        return "server";
    case GROUP_CLUSTER:
        return "cluster";
    case GROUP_TRANSACTIONS:
        return "transactions";
    case GROUP_SCRIPTING:
        return "scripting";
    case GROUP_PUBSUB:
        return "pubsub";
    }
    check_failed("command group", __FILE__, __LINE__);
}

/* A value's type follows from its name. */
static const char *arg_type(const struct command *c, struct bytes name)
{
    static const struct {
        const char *command;
        const char *name;
        const char *type;
    } types[] = {
#define ARG_TYPE(command, name, type) {command, name, type},
#include "command/arg_types.def"
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (bytes_ieq(name, types[i].name) &&
            (types[i].command == NULL || strcmp(types[i].command, c->name) == 0))
            return types[i].type;
    }
    return "string";
}

static const char *node_type(const struct command *c, const struct syntax_node *n)
{
    switch (n->kind) {
    case SYNTAX_ARG:
        return arg_type(c, n->name);
    case SYNTAX_TOKEN:
        return "pure-token";
    case SYNTAX_ONE_OF:
        return "oneof";
    case SYNTAX_BLOCK:
        return "block";
    }
    check_failed("syntax kind", __FILE__, __LINE__);
}

static void reply_field(struct reply *r, const char *name, const char *text)
{
    reply_bulk_cstr(r, name);
    reply_bulk_cstr(r, text);
}

static void reply_arg_flags(struct reply *r, const struct syntax_node *n)
{
    reply_bulk_cstr(r, "flags");
    reply_set(r, (size_t)n->optional + n->multiple + n->multiple_token);
    if (n->optional)
        reply_status(r, "optional");
    if (n->multiple)
        reply_status(r, "multiple");
    if (n->multiple_token)
        reply_status(r, "multiple_token");
}

/* Which of the command's key specifications a key argument belongs to. */
static int key_spec_of(const struct command *c, const struct syntax *s, const struct syntax_node *n)
{
    int before = 0;
    for (const struct syntax_node *m = s->nodes; m != n; m++)
        before += strcmp(node_type(c, m), "key") == 0;
    int last = command_key_specs(c) - 1;
    return before < last ? before : last;
}

static void reply_args(struct reply *r, const struct command *c, const struct syntax *s, int first);

static void reply_arg(struct reply *r, const struct command *c, const struct syntax *s,
                      const struct syntax_node *n)
{
    const char *type = node_type(c, n);
    bool is_key = strcmp(type, "key") == 0;
    bool has_flags = n->optional || n->multiple;
    reply_map(r, 2 + (size_t)is_key + (n->token.len > 0) + has_flags + (n->child >= 0));
    reply_bulk_cstr(r, "name");
    reply_bulk(r, n->name);
    reply_field(r, "type", type);
    if (is_key) {
        reply_bulk_cstr(r, "key_spec_index");
        reply_int(r, key_spec_of(c, s, n));
    }
    if (n->token.len > 0) {
        reply_bulk_cstr(r, "token");
        reply_bulk(r, n->token);
    }
    if (has_flags)
        reply_arg_flags(r, n);
    if (n->child >= 0) {
        reply_bulk_cstr(r, "arguments");
        reply_args(r, c, s, n->child);
    }
}

static void reply_args(struct reply *r, const struct command *c, const struct syntax *s, int first)
{
    size_t count = 0;
    for (int i = first; i >= 0; i = s->nodes[i].next)
        count++;
    reply_array(r, count);
    for (int i = first; i >= 0; i = s->nodes[i].next)
        reply_arg(r, c, s, &s->nodes[i]);
}

/* What Redis says of some commands besides; `since` is NULL of one that is the system's own. */
static const struct mark {
    const char *name;
    const char *since;
    const char *replaced_by;
} marks[] = {
#define DEPRECATED(name, since, replaced_by) {name, since, replaced_by},
#define SYSTEM_COMMAND(name) {name, NULL, NULL},
#include "command/deprecated.def"
};

static const struct mark *mark_of(const struct command *c)
{
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (strcmp(marks[i].name, c->name) == 0)
            return &marks[i];
    }
    return NULL;
}

static size_t mark_fields(const struct mark *m)
{
    return m == NULL ? 0 : m->since == NULL ? 1 : 3;
}

static void reply_mark(struct reply *r, const struct mark *m)
{
    if (m == NULL)
        return;
    reply_bulk_cstr(r, "doc_flags");
    reply_set(r, 1);
    reply_status(r, m->since != NULL ? "deprecated" : "syscmd");
    if (m->since == NULL)
        return;
    reply_field(r, "deprecated_since", m->since);
    reply_field(r, "replaced_by", m->replaced_by);
}

static void reply_docs(struct reply *r, const struct command *c);

static void reply_sub_docs(struct reply *r, const struct command *c)
{
    size_t n, own = 0;
    const struct command *subs = command_subs(&n);
    for (size_t i = 0; i < n; i++)
        own += subs[i].id == c->id;
    reply_bulk_cstr(r, "subcommands");
    reply_map(r, own);
    for (size_t i = 0; i < n; i++) {
        if (subs[i].id == c->id)
            reply_docs(r, &subs[i]);
    }
}

/* A name and what belongs to it: two elements of a map. */
static void reply_docs(struct reply *r, const struct command *c)
{
    bool has_args = c->syntax[0] != '\0';
    bool container = (c->flags & CF_CONTAINER) != 0 && c->sub == SUB_NONE;
    reply_bulk(r, bytes_of(c->name, c->name_len));
    const struct mark *mark = mark_of(c);
    reply_map(r, 4 + (size_t)has_args + container + mark_fields(mark));
    reply_field(r, "summary", c->summary);
    reply_field(r, "since", c->since);
    reply_field(r, "group", command_group_name(c->group));
    reply_field(r, "complexity", c->complexity);
    reply_mark(r, mark);
    if (has_args) {
        struct syntax s;
        syntax_parse(&s, c->syntax);
        reply_bulk_cstr(r, "arguments");
        reply_args(r, c, &s, s.first);
    }
    if (container)
        reply_sub_docs(r, c);
}

void command_docs(int n, const struct bytes *names, struct reply *r)
{
    if (n == 0) {
        reply_map(r, (size_t)command_count());
        for (int i = 0; i < COMMAND_COUNT; i++) {
            const struct command *c = command_by_id((enum command_id)i);
            if (command_is_on(c))
                reply_docs(r, c);
        }
        return;
    }
    size_t found = 0;
    for (int i = 0; i < n; i++)
        found += command_find_full(names[i]) != NULL;
    reply_map(r, found);
    for (int i = 0; i < n; i++) {
        const struct command *c = command_find_full(names[i]);
        if (c != NULL)
            reply_docs(r, c);
    }
}
