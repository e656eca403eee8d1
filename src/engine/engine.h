/* engine: runs transactions. See docs/architecture.md for the life of a command. */
#ifndef RESPGRES_ENGINE_ENGINE_H
#define RESPGRES_ENGINE_ENGINE_H

#include <stdint.h>

#include "config/config.h"
#include "event/loop.h"
#include "keyspace/keyspace.h"
#include "store/store.h"

struct engine;

/* Borrows all four until engine_free. */
struct engine *engine_new(struct loop *loop, struct config_store *config, struct keyspace *keyspace,
                          struct store *store);
void engine_free(struct engine *e);

/* End of the loop's turn: submits what was gathered. True if there is more to do at once. */
bool engine_turn_end(struct engine *e);

/* Applies what changed in the configuration at run time. */
void engine_config_changed(struct engine *e);

/* Has a client sent SHUTDOWN? */
bool engine_shutdown_requested(const struct engine *e);

/* Drain: no new requests are taken (net has stopped reading); true once nothing is in flight. */
bool engine_idle(const struct engine *e);

/* For maxclients' error and INFO: connections net refused. */
void engine_count_rejected_connection(struct engine *e);
size_t engine_client_count(const struct engine *e);

#endif
