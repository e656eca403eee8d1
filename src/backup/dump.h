/* dump: all keys as RESP commands, which redis-cli --pipe, and whatever speaks the protocol, takes.
 */
#ifndef RESPGRES_BACKUP_DUMP_H
#define RESPGRES_BACKUP_DUMP_H

#include "base/buf.h"
#include "config/config.h"

struct dump_totals {
    uint64_t keys;
    uint64_t bytes;
};

/* To `path`, or to standard output where that is NULL. A file appears under its name only when it
 * is whole and on the disk: before, it has ".tmp." and the process' number behind it. */
MUST_CHECK bool dump_write(const struct config *c, const char *path, struct dump_totals *totals,
                           struct buf *error);

#endif
