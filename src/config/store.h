/* store: what config.c keeps, for those of this folder that work on it. */
#ifndef RESPGRES_CONFIG_STORE_H
#define RESPGRES_CONFIG_STORE_H

#include "config/values.h"

struct config_store {
    struct values live;
    struct values flags;
    char **env; /* of main(), borrowed */
    char *path; /* NULL = no file */
    int64_t passing_port; /* see config_load_passing */
    void (*on_change)(void *arg);
    void *on_change_arg;
    bool (*on_prepare)(void *arg, const char *name, const struct config *fresh, struct buf *reason);
    void *on_prepare_arg;
    bool (*on_reload)(void *arg, const struct config *fresh, struct buf *reason);
    void *on_reload_arg;
};

#endif
