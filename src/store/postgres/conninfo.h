/* conninfo: whether a connection string can ever work. What it is made of is libpq's to judge; what
 * is found wrong here would otherwise look like a PostgreSQL that is away, for ever. */
#ifndef RESPGRES_STORE_POSTGRES_CONNINFO_H
#define RESPGRES_STORE_POSTGRES_CONNINFO_H

#include <stdbool.h>

#include "base/buf.h"

/* Looks at a URL or keyword=value string, and at what the environment and a service file add to it;
 * false: `why` says what is wrong. Connects to nothing, looks up no name. `why` shows no part of
 * the string but the value of a parameter that is no secret. */
bool conninfo_check(const char *conninfo, struct buf *why);

#endif
