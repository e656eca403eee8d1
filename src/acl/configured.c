/* configured: the users that the configuration says: requirepass, and user lines or an aclfile. */
#include "acl/configured.h"

struct adding {
    struct acl *acl;
    struct buf *error;
};

static bool add_user(void *arg, int n, const struct bytes *words)
{
    struct adding *a = arg;
    return acl_add_line(a->acl, n, words, a->error);
}

struct acl *acl_from_config(const struct config *c, struct buf *error)
{
    struct acl *a = acl_new(c->acl_pubsub_default == ACL_PUBSUB_ALL);
    struct adding adding = {a, error};
    /* Where file or lines say something of the default user, that counts instead. */
    acl_set_default_password(a, bytes_cstr(c->requirepass));
    bool ok = c->aclfile[0] == '\0' || acl_read_file(a, c->aclfile, error);
    ok = ok && config_each_user(c, add_user, &adding);
    if (!ok && error->len == 0)
        buf_append_cstr(error, "user: too many rules");
    if (ok)
        return a;
    acl_free(a);
    return NULL;
}

bool acl_is_configured(const struct config *c)
{
    return c->aclfile[0] != '\0' || c->user[0] != '\0';
}
