/* rename: the names that rename-command of the configuration gives to commands. They count where a
 * name is looked up. As in Redis, COMMAND INFO and LIST, commandstats and errors show a command's
 * own name; one that was turned off is left out of COMMAND. */
#ifndef RESPGRES_COMMAND_RENAME_H
#define RESPGRES_COMMAND_RENAME_H

#include "command/command.h"

/* Gives the command that is found as `from` the name `to`, "" for none. Only before the first
 * command of a client is looked up. Returns the error. Of a command that only Redis has, which `redis_has`
 * tells, there is only the name: the next ones may rename it, too, and may not take it. */
MUST_CHECK const char *command_rename(struct bytes from, struct bytes to,
                                      bool (*redis_has)(void *arg, struct bytes name), void *arg);

/* Of a command or subcommand: whether it can be called. */
bool command_is_on(const struct command *c);
/* How many commands can. */
int command_count(void);
/* What a container is called by. */
const char *command_called(const struct command *c);

/* For command_find: NULL while nothing was renamed; else what to compare with row `id`'s name,
 * with its length. */
bool command_names_changed(void);
struct bytes command_current_name(const struct command *c);

#endif
