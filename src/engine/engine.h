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

/* The users that the configuration says take the place of those there are. */
MUST_CHECK bool engine_load_users(struct engine *e, struct buf *error);
/* For config_on_reload: reads the users that `fresh` says, which take effect with the change. */
MUST_CHECK bool engine_read_users(struct engine *e, const struct config *fresh, struct buf *error);
/* Is everybody let in who connects (for protected-mode)? */
bool engine_is_open(const struct engine *e);

/* Has a client sent SHUTDOWN? */
bool engine_shutdown_requested(const struct engine *e);

/* A clean stop begins: connections that wait for a key are closed. */
void engine_begin_drain(struct engine *e);

/* Drain: no new requests are taken (net has stopped reading); true once nothing is in flight. */
bool engine_idle(const struct engine *e);

/* For maxclients' error and INFO: connections net refused. */
void engine_count_rejected_connection(struct engine *e);
/* What net has read from and written to clients by one call each. */
void engine_count_input(struct engine *e, size_t bytes);
void engine_count_output(struct engine *e, size_t bytes);

/* How many clients are let in: `maxclients`, or fewer where the system allows fewer files. */
void engine_set_max_clients(struct engine *e, size_t n);
size_t engine_client_count(const struct engine *e);

/* ---- seen from outside ---- */

struct metrics_page;

struct engine_status {
    enum store_state state;
    const char *state_name;
    int64_t age_us;  /* since it came into this state */
    const char *why; /* in words for people; valid until the loop goes on */
    bool ready;      /* commands with keys are served */
};

void engine_get_status(struct engine *e, struct engine_status *out);
/* Puts what engine, cache and store know on the page. */
void engine_collect(struct engine *e, struct metrics_page *p);
/* INFO of its default sections, without the numbers of keys, which PostgreSQL would have to count. */
void engine_info(struct engine *e, struct buf *out);

#endif
