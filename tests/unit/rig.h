/* rig: an engine on a store in memory, and connections without sockets. Time stands still unless a
 * test moves it. */
#ifndef RESPGRES_TESTS_UNIT_RIG_H
#define RESPGRES_TESTS_UNIT_RIG_H

#include "engine/client.h"
#include "engine/engine.h"
#include "fake_time.h"
#include "memory_store.h"

struct rig {
    struct loop *loop;
    struct config_store *config;
    struct keyspace *keyspace;
    struct memory_store *ms;
    struct engine *engine;
};

/* A connection. What the client sent and was sent stays here. */
struct peer {
    struct rig *rig;
    struct client *client; /* NULL once it is gone */
    bool told_output;      /* net was told that there is something to write */
    bool told_close;       /* net was told to close once all is written */
    bool told_close_now;
    unsigned resumed;
    struct buf in; /* as it came */
    struct buf text;
};

enum { RIG_TIMEOUT_MS = 1000 }; /* pg-timeout */

/* `flags`: options as on the command line, "--name", "value", ..., NULL at the end; NULL = none. */
void rig_init(struct rig *r, size_t read_lanes, size_t commit_lanes, const char *const *flags);
/* Peers are closed, or their clients are the engine's to free. */
void rig_release(struct rig *r);

/* Turns of the loop until the engine and those lanes that are not held have nothing to do. */
void rig_turn(struct rig *r);
/* One end of turn, and no lane is answered. */
void rig_submit(struct rig *r);
/* Time goes on for all; timers fire. Ends with rig_turn. */
void rig_advance_ms(struct rig *r, int64_t ms);

void peer_open(struct rig *r, struct peer *p);
/* The connection goes; what it has asked for goes on. */
void peer_close(struct peer *p);
/* Closes it if it is open, and frees what was kept. */
void peer_release(struct peer *p);

/* Commands, one per ';', arguments split at blanks (`~` = an empty one). Nothing is turned. */
void peer_send(struct peer *p, const char *commands);
void peer_send_argv(struct peer *p, int argc, const struct bytes *argv);
/* Moves what has come to `in`. */
void peer_collect(struct peer *p);
/* What has come since the last time, on one line: every CRLF but the last is a blank. */
const char *peer_take(struct peer *p);
/* Sends and turns. */
void peer_say(struct peer *p, const char *commands);
/* Sends, turns and takes. */
const char *peer_ask(struct peer *p, const char *commands);

#endif
