/* postgres: the store whose keys are rows in PostgreSQL. libpq's home. */
#ifndef RESPGRES_STORE_POSTGRES_POSTGRES_H
#define RESPGRES_STORE_POSTGRES_POSTGRES_H

#include "config/config.h"
#include "event/loop.h"
#include "store/store.h"

/* Starts connecting at once. `fatal` is called when going on makes no sense (a schema that this
 * binary cannot serve), with the reason. Borrows loop and config until freed. */
struct store *postgres_store_new(struct loop *loop, const struct config *config,
                                 void (*fatal)(void *arg, const char *why), void *arg);

#endif
