#include "acl/renames.h"

#include "acl/names.h"
#include "command/rename.h"

struct renaming {
    const struct config_store *config;
    struct acl_names *names;
    size_t pair;
    struct buf *error;
};

static bool only_redis_has(void *arg, struct bytes name)
{
    const struct acl_names *names = arg;
    int i = acl_names_find(names, name);
    if (i == ACL_NO_NAME)
        return false;
    const struct acl_name *a = acl_names_at(names, i);
    return a->own == NULL && a->parent == ACL_NO_NAME;
}

static bool apply_one(void *arg, struct bytes from, struct bytes to)
{
    struct renaming *r = arg;
    const char *why = command_rename(from, to, only_redis_has, r->names);
    r->pair++;
    if (why == NULL)
        return true;
    config_append_rename_place(r->config, r->pair, r->error);
    buf_printf(r->error, "rename-command %.*s: %s", (int)(from.len < 64 ? from.len : 64), from.data,
               why);
    return false;
}

bool renames_apply(const struct config_store *config, struct buf *error)
{
    struct renaming r = {config, acl_names_new(), 0, error};
    bool ok = config_each_rename(config_values(config), apply_one, &r);
    acl_names_free(r.names);
    return ok;
}
