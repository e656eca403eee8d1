/* log: what ACL LOG answers: calls and logins that were refused, the latest first. Refusals of the
 * same kind within a minute are one entry. Bounded by acllog-max-len. */
#ifndef RESPGRES_ACL_LOG_H
#define RESPGRES_ACL_LOG_H

#include "acl/acl.h"

enum acl_reason { ACL_REASON_COMMAND, ACL_REASON_KEY, ACL_REASON_CHANNEL, ACL_REASON_AUTH };

enum acl_context { ACL_TOPLEVEL, ACL_IN_MULTI, ACL_IN_SCRIPT };

struct acl_log;

struct acl_refusal {
    enum acl_reason reason;
    enum acl_context context; /* while a transaction is queued or run; a script's call */
    struct bytes object; /* the command's name, the key, the channel, or the word AUTH */
    struct bytes user;
    struct bytes client; /* as CLIENT INFO describes it */
};

struct acl_log *acl_log_new(void);
void acl_log_free(struct acl_log *l);

/* Copies what it is given. `now_ms` is of any clock that does not go back. */
void acl_log_note(struct acl_log *l, const struct acl_refusal *f, int64_t now_ms, size_t max_len);
/* The latest `count` entries. */
void acl_log_reply(const struct acl_log *l, size_t count, int64_t now_ms, struct reply *r);
void acl_log_reset(struct acl_log *l);

#endif
