/* files: backups in their folder: respgres-YYYYMMDDTHHMMSSZ.resp, the time in UTC. Other files
 * there are nobody's business. */
#ifndef RESPGRES_BACKUP_FILES_H
#define RESPGRES_BACKUP_FILES_H

#include "base/buf.h"
#include "config/config.h"

/* Appends the folder of these options. */
void backup_folder(const struct config *c, struct buf *out);
/* Appends the path of a backup begun at `time_s` (since 1970). */
void backup_path(const struct config *c, int64_t time_s, struct buf *out);
/* Makes the folder, its parents included. */
MUST_CHECK bool backup_make_folder(const struct config *c, struct buf *error);
/* The latest backup there is: when it was begun, and its size. False: there is none. */
bool backup_latest(const struct config *c, int64_t *time_s, int64_t *bytes);
/* Removes all but the latest backup-keep of them, and what processes that have died left unfinished
 * more than a day ago. */
void backup_prune(const struct config *c, int64_t now_s);

#endif
