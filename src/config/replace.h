/* replace: a file takes the place of another one as a whole, or not at all: written beside it, synced,
 * renamed over it. Mode and owner are the old file's, as far as we may. errno tells what failed. */
#ifndef RESPGRES_CONFIG_REPLACE_H
#define RESPGRES_CONFIG_REPLACE_H

#include "base/buf.h"
#include "base/check.h"

struct replacement {
    const char *path;     /* borrowed: of the file that goes */
    struct buf temporary; /* of the file that comes; mode 0600 unless the old one has another */
    int fd;
};

/* False: there is no such file now, and nothing to end. */
MUST_CHECK bool replacement_begin(struct replacement *r, const char *path);
/* All that is to be in the file, in place of what was written before. On disk when true. */
MUST_CHECK bool replacement_write(struct replacement *r, struct bytes text);
/* With `ok` it takes the place; otherwise, and if that fails, it is removed. */
MUST_CHECK bool replacement_end(struct replacement *r, bool ok);

#endif
