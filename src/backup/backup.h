/* backup: every backup-interval a child process of our own binary (respgres --backup) writes all
 * keys into a new file; the loop only starts it and reads the line it leaves. Where and with which
 * options is passed in its environment, for the database's URL must not stand among its arguments.
 */
#ifndef RESPGRES_BACKUP_BACKUP_H
#define RESPGRES_BACKUP_BACKUP_H

#include "base/buf.h"
#include "config/config.h"
#include "event/loop.h"

struct backup;

/* Borrows both until backup_free. While `ready` is not true there is nothing to back up yet. */
struct backup *backup_new(struct loop *loop, const struct config *config, bool (*ready)(void *arg),
                          void *ready_arg);
/* Ends a child that is at work. NULL is allowed. */
void backup_free(struct backup *b);
void backup_config_changed(struct backup *b);

/* What the child does: one backup, and old ones removed. `said` gets a line about it. */
MUST_CHECK bool backup_run(const struct config *c, struct buf *said, struct buf *error);

#endif
