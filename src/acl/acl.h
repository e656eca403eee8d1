/* acl: who may do what. A set of users; each has passwords (their SHA-256) and selectors, sets of
 * commands, key patterns and channel patterns. Pure: rules make users, users judge calls, and
 * descriptions are rules again. No sockets, no clients, no clock.
 * Source: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/ */
#ifndef RESPGRES_ACL_ACL_H
#define RESPGRES_ACL_ACL_H

#include "base/buf.h"
#include "base/check.h"
#include "command/command.h"
#include "resp/reply.h"

/* In the order in which one of several selectors' refusals is told. */
enum acl_verdict { ACL_ALLOWED, ACL_DENIED_COMMAND, ACL_DENIED_KEY, ACL_DENIED_CHANNEL };

struct acl;
struct acl_user_rules;

/* Belongs to its set, and stays where it is until it is removed from there. */
struct acl_user {
    bool unrestricted; /* may call everything: no other look at it is needed */
    struct acl_user_rules *rules;
    struct acl_user *successor; /* while another set takes the place of its own: the caller's */
};

/* With the user "default", who needs no password and may do everything. `all_channels`: what
 * acl-pubsub-default says. */
struct acl *acl_new(bool all_channels);
void acl_free(struct acl *a);
void acl_set_channel_default(struct acl *a, bool all_channels);

struct acl_user *acl_default_user(const struct acl *a);
/* Is in no list, and may do nothing: what a client is whose user was removed. */
struct acl_user *acl_nobody(const struct acl *a);
/* NULL if there is none. */
struct acl_user *acl_find_user(const struct acl *a, struct bytes name);
/* Sorted by name. */
size_t acl_user_count(const struct acl *a);
struct acl_user *acl_user_at(const struct acl *a, size_t i);

/* ---- changes ---- */

bool acl_name_ok(struct bytes name);
/* ACL SETUSER: makes the user if there is none. All or nothing; on failure `error` is the reply. */
MUST_CHECK bool acl_set_user(struct acl *a, struct bytes name, int nrules,
                             const struct bytes *rules, struct buf *error);
/* Not the default user. Frees it. */
void acl_remove_user(struct acl *a, struct acl_user *u);
/* requirepass: the default user's only password; "" = it needs none. */
void acl_set_default_password(struct acl *a, struct bytes password);

/* The words behind `user` in a configuration file. `error` says what is wrong, never a password. */
MUST_CHECK bool acl_add_line(struct acl *a, int n, const struct bytes *words, struct buf *error);
/* Adds the lines of an aclfile to a new set. On failure `error` has all errors, with line numbers,
 * and the set is half filled: throw it away. *has_default: one was the default user's. */
MUST_CHECK bool acl_read_file(struct acl *a, const char *path, struct buf *error);
/* Atomic and durable; blocks for an fsync. On failure errno tells. */
MUST_CHECK bool acl_write_file(const struct acl *a, const char *path);

/* ---- what users are ---- */

struct bytes acl_user_name(const struct acl_user *u);
/* As rules: "on nopass ~* &* +@all". */
void acl_describe_user(const struct acl_user *u, struct buf *out);
/* Its description as words of a line of a configuration file, name first. */
void acl_describe_line(const struct acl_user *u, struct buf *out);
/* What ACL GETUSER answers. */
void acl_reply_user(struct reply *r, const struct acl_user *u);
/* Same rules? */
bool acl_same_user(const struct acl_user *a, const struct acl_user *b);
bool acl_user_nopass(const struct acl_user *u);

/* Must a client that has not logged in do so first? */
bool acl_needs_password(const struct acl *a);
/* NULL: there is no such user, or it is off, or that is not its password. All passwords are
 * compared, in a time that does not depend on where they differ. */
struct acl_user *acl_authenticate(const struct acl *a, struct bytes name, struct bytes password);

/* The name under which a call is judged: "config|get". */
struct bytes acl_call_name(const struct acl_user *u, const struct command *c, int argc,
                           const struct bytes *argv);
/* May the user hear what is published there? A pattern must stand in its rules as it is. */
bool acl_may_hear(const struct acl_user *u, struct bytes channel, bool is_pattern);
/* *arg is the argument that was refused: a key or a channel. */
enum acl_verdict acl_check(const struct acl_user *u, const struct command *c, int argc,
                           const struct bytes *argv, int *arg);
/* May it make this call under rules that let it read every key? */
bool acl_reads_all_keys(const struct acl_user *u, const struct command *c, int argc,
                        const struct bytes *argv);

#endif
