/* configured: the users that the configuration says: requirepass, and user lines or an aclfile. */
#ifndef RESPGRES_ACL_CONFIGURED_H
#define RESPGRES_ACL_CONFIGURED_H

#include "acl/acl.h"
#include "config/config.h"

/* NULL if a rule is wrong or the file cannot be read: `error` says where and why, never a password.
 */
struct acl *acl_from_config(const struct config *c, struct buf *error);

/* Does it say more than requirepass? */
bool acl_is_configured(const struct config *c);

#endif
