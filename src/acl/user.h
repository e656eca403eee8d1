/* user: one user's state and rules. Inside this folder only. */
#ifndef RESPGRES_ACL_USER_H
#define RESPGRES_ACL_USER_H

#include "acl/acl.h"
#include "acl/password.h"
#include "acl/selector.h"

enum acl_sanitize { ACL_SANITIZE_UNSAID, ACL_SANITIZE_SKIP, ACL_SANITIZE_ON };

struct acl_user_rules {
    char *name; /* owned */
    size_t name_len;
    const struct acl_names *names;
    bool all_channels; /* of new selectors: acl-pubsub-default */
    bool on;
    bool nopass;
    enum acl_sanitize sanitize; /* of RESTORE's payloads: kept and told, nothing more */
    char (*hashes)[ACL_HASH_LEN + 1];
    size_t nhashes;
    struct acl_selector *selectors; /* the first is the one outside parentheses */
    size_t nselectors;
};

struct acl_user *acl_user_new(const struct acl_names *names, struct bytes name, bool all_channels);
void acl_user_free(struct acl_user *u);
/* The rules of `from`; the name stays. */
void acl_user_copy(struct acl_user *to, const struct acl_user *from);

/* One rule; "(...)" is one. On an error the user is as before. */
MUST_CHECK enum acl_error acl_user_set(struct acl_user *u, struct bytes rule);

/* Words as rules: what stands between "(" and ")" becomes one. */
struct acl_rule_list {
    struct bytes *at;
    int n;
    char **joined; /* owned */
    int njoined;
};

/* False if a parenthesis is not closed: *open is the word with it, and the list is empty. */
MUST_CHECK bool acl_rules_merge(int n, const struct bytes *words, struct acl_rule_list *out,
                                int *open);
void acl_rules_release(struct acl_rule_list *l);

/* ---- acl.c ---- */

/* NULL if there is one of that name. */
struct acl_user *acl_make_user(struct acl *a, struct bytes name);

#endif
