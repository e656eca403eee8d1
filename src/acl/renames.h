/* renames: carries out rename-command of the configuration. A file made for Redis may rename or
 * turn off commands that are not here: their names are taken, too, and nothing comes of it. */
#ifndef RESPGRES_ACL_RENAMES_H
#define RESPGRES_ACL_RENAMES_H

#include "config/config.h"

/* Once, before the first command is looked up. On failure `error` says where and what. */
MUST_CHECK bool renames_apply(const struct config_store *config, struct buf *error);

#endif
