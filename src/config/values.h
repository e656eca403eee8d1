/* values: the options' values together with where each came from, and the three places they are
 * read from. config.c stacks them: default, file, environment, flags. */
#ifndef RESPGRES_CONFIG_VALUES_H
#define RESPGRES_CONFIG_VALUES_H

#include "config/option.h"

struct values {
    struct config config;
    enum config_source source[OPTION_COUNT];
    size_t renames;        /* pairs of rename-command that its source has given */
    size_t stop_at_rename; /* the reader of files ends with "file:line: " where it has so many; 0 = never */
};

/* All at their defaults, source CONFIG_DEFAULT. */
void values_init(struct values *v);
void values_release(struct values *v);

/* Sets one option from n words. `reason` says which option and what is wrong, never a value. */
MUST_CHECK bool values_set(struct values *v, struct bytes name, int n, const struct bytes *words,
                           enum config_source source, struct buf *reason);

/* Everything that `above` sets (source other than CONFIG_DEFAULT) goes over `v`. */
void values_overlay(struct values *v, const struct values *above);

/* The readers. On failure `error` holds "place: reason" and `v` is half filled: throw it away. */
MUST_CHECK bool values_read_file(struct values *v, const char *path, struct buf *error);
MUST_CHECK bool values_read_environment(struct values *v, char **env, struct buf *error);
/* *path becomes the file argument, borrowed from argv, or NULL. Overwrites secrets in argv. */
MUST_CHECK bool values_read_flags(struct values *v, int argc, char **argv, const char **path,
                                  struct buf *error);

#endif
