/* healthcheck: respgres --healthcheck asks the respgres of this host or container whether it lives,
 * for images without curl: GET /healthz, or PING where http-port is 0. Never whether PostgreSQL
 * does: a restart would not bring that back. */
#ifndef RESPGRES_CLI_HEALTHCHECK_H
#define RESPGRES_CLI_HEALTHCHECK_H

#include "base/buf.h"
#include "config/config.h"

/* The flags that process 1 was started with, if it is a respgres and `argc` says that none were
 * given here: they may have moved the port. What is left out: secrets, which are overwritten there,
 * and the command of --exec. The result is argv's form, for config_load; `keep` holds its strings.
 */
int healthcheck_argv(int argc, char **argv, const char *cmdline_path, struct buf *keep, char **out,
                     int max);

/* True if it answers within 3 seconds; else `error`. */
MUST_CHECK bool healthcheck(const struct config *c, struct buf *error);

#endif
