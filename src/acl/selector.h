/* selector: one set of permissions: commands, key patterns and channel patterns that belong
 * together. A user has one, and more in parentheses; a call is allowed if any of them allows all of
 * it. The struct is open to this folder only. Source:
 * https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/ */
#ifndef RESPGRES_ACL_SELECTOR_H
#define RESPGRES_ACL_SELECTOR_H

#include "acl/acl.h"
#include "acl/names.h"
#include "base/buf.h"

/* What is wrong with a rule. */
enum acl_error {
    ACL_FINE,
    ACL_UNKNOWN_NAME,
    ACL_SYNTAX,
    ACL_AFTER_ALL_KEYS,
    ACL_AFTER_ALL_CHANNELS,
    ACL_NO_SUCH_PASSWORD,
    ACL_BAD_HASH,
    ACL_FIRST_ARG_OF_SUB,
};

/* In Redis' words. */
const char *acl_error_text(enum acl_error error);

struct acl_pattern {
    char *text; /* owned */
    size_t len;
    uint8_t may; /* enum acl_permission; of a channel 0 */
};

struct acl_patterns {
    struct acl_pattern *at;
    size_t n;
};

/* "+select|0": a command that is forbidden, allowed with this first argument. */
struct acl_first_arg {
    int command;
    char *text; /* owned */
    size_t len;
};

struct acl_selector {
    const struct acl_names *names;
    bool all_commands; /* nothing was ever taken away since +@all */
    bool future;       /* +@all and no -@all since: what is made later is allowed, too */
    bool all_keys;
    bool all_channels;
    uint64_t allowed[ACL_WORDS]; /* a bit per number of `names` */
    struct acl_patterns keys;
    struct acl_patterns channels;
    struct acl_first_arg *first_args;
    size_t nfirst_args;
};

void acl_selector_init(struct acl_selector *s, const struct acl_names *names, bool all_channels);
void acl_selector_release(struct acl_selector *s);
void acl_selector_copy(struct acl_selector *to, const struct acl_selector *from);

/* Applies one rule; on an error the selector is as before. */
MUST_CHECK enum acl_error acl_selector_set(struct acl_selector *s, struct bytes rule);
/* Applies the rules between the parentheses of "(...)". */
MUST_CHECK enum acl_error acl_selector_parse(struct acl_selector *s, struct bytes text);

bool acl_selector_has(const struct acl_selector *s, int name);
/* As a rule about a command does: with all its subcommands. */
void acl_selector_allow(struct acl_selector *s, int name, bool allow);
void acl_selector_allow_category(struct acl_selector *s, uint32_t category, bool allow);
void acl_selector_allow_all(struct acl_selector *s, bool allow);

/* A call, with what is found out about it once for all selectors. */
struct acl_call {
    const struct command *cmd;
    int name;
    int argc;
    const struct bytes *argv;
};

/* *arg is the refused argument, for a key or channel. */
enum acl_verdict acl_selector_check(const struct acl_selector *s, const struct acl_call *call,
                                    int *arg);

bool acl_selector_may_hear(const struct acl_selector *s, struct bytes channel, bool is_pattern);

/* ---- describe.c ---- */
void acl_describe_commands(const struct acl_selector *s, struct buf *out);
void acl_describe_keys(const struct acl_selector *s, struct buf *out);
void acl_describe_channels(const struct acl_selector *s, struct buf *out);
/* All of it, as rules. */
void acl_describe_selector(const struct acl_selector *s, struct buf *out);

#endif
