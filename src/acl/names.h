/* names: everything that a rule can name, numbered: the rows of commands.def, those of
 * subcommands.def, and behind them what Redis 7.0 has besides (redis.def). A selector's bitmap has
 * a bit per number. Made once, then constant. */
#ifndef RESPGRES_ACL_NAMES_H
#define RESPGRES_ACL_NAMES_H

#include "command/category.h"
#include "command/command.h"

enum { ACL_NAMES_MAX = 1024, ACL_NO_NAME = -1, ACL_WORDS = ACL_NAMES_MAX / 64 };

/* What a rule allows to do with a key. */
enum acl_permission { ACL_READ = 1, ACL_WRITE = 2 };

/* Which arguments are channels of pub/sub. */
enum acl_channels {
    ACL_CHANNELS_NONE,
    ACL_CHANNELS_ALL,      /* all arguments */
    ACL_CHANNELS_FIRST,    /* the first one */
    ACL_CHANNELS_PATTERNS, /* all, and they are patterns */
};

enum { ACL_KEY_SPECS = 4 };

struct acl_name {
    struct bytes name;         /* lower case, "config|get" */
    uint32_t categories;       /* enum command_category */
    const struct command *own; /* NULL: only Redis has it */
    int parent;                /* the container's number */
    int first_child;           /* by name */
    int next;                  /* the next child of its container, or command, by name */
    bool counted;              /* Redis 7.0 has it: see describe.c */
    bool variable_keys;        /* its arguments tell what it does to its keys */
    enum acl_channels channels;
    int nspecs;
    uint8_t needs[ACL_KEY_SPECS]; /* enum acl_permission, per key specification */
};

struct acl_names;

struct acl_names *acl_names_new(void);
void acl_names_free(struct acl_names *n);

/* How many there are, and the i-th. */
int acl_names_count(const struct acl_names *n);
const struct acl_name *acl_names_at(const struct acl_names *n, int i);
/* A bit per number: those of the category 1 << i that Redis 7.0 has. */
const uint64_t *acl_names_in_category(const struct acl_names *n, size_t i);
/* The first command by name; the others follow by `next`. */
int acl_names_first(const struct acl_names *n);

/* By "get" or "config|get", in any case; ACL_NO_NAME if there is none. */
int acl_names_find(const struct acl_names *n, struct bytes name);
/* Of a call: of a container that has no subcommands in our table, the argument tells. */
int acl_names_of_call(const struct acl_names *n, const struct command *c, int argc,
                      const struct bytes *argv);

/* What the words of a key specification want: "RW access update". */
uint8_t acl_permission_of(struct bytes key_flags);

#endif
