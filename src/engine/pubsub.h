/* pubsub: published messages, to the clients of this instance and to those of others.
 *
 * At most once: a message goes to those who are there. Nothing is kept for those who are not, and
 * what is under way to another instance may be lost with a connection. Messages of one publisher
 * arrive in the order in which they were published. */
#ifndef RESPGRES_ENGINE_PUBSUB_H
#define RESPGRES_ENGINE_PUBSUB_H

#include "base/bytes.h"
#include "command/command.h"
#include "engine/channels.h"
#include "resp/reply.h"

struct engine;
struct client;
struct request;
struct txn;
struct txn_command;
struct buf;

/* To all who subscribe to the channel, here and on every other instance. Both are copied. May be
 * called at any time, from within a reply's making, too; nothing runs in-line but appending to the
 * output of clients. */
void pubsub_publish(struct engine *e, struct bytes channel, struct bytes message);
void pubsub_publish_shard(struct engine *e, struct bytes channel, struct bytes message);

/* May anybody in the fleet subscribe to something? False is certain; so is true where somebody here
 * does. Else it is not known before PostgreSQL is asked, which pubsub_publish does, for all that
 * has been published meanwhile together. Costs nothing. */
bool pubsub_anybody(const struct engine *e);

/* ---- for the engine ---- */

void pubsub_init(struct engine *e);
void pubsub_release(struct engine *e);
/* A message of another instance. */
void pubsub_receive(struct engine *e, bool shard, struct bytes channel, struct bytes message);
/* What is heard of other instances has changed. */
void pubsub_hears(struct engine *e);
/* Every 20 ms or so. */
void pubsub_tick(struct engine *e);

bool pubsub_is_publish(enum command_id id);
/* A command of pub/sub that takes its turn among its client's commands: PUBLISH and SUBSCRIBE and
 * its kin. To be called before it is queued. */
bool pubsub_takes_turn(const struct txn_command *tc);
void pubsub_admit(struct txn *t);
/* The same for a block. */
void pubsub_admit_block(struct txn *t);
/* It is not to start yet: a first SUBSCRIBE waits until other instances tell what they publish, for half
 * of pg-timeout at most; a PUBLISH for room on the way to them, for as long as PostgreSQL takes what is on it, and
 * for half of pg-timeout while there is no connection. */
bool pubsub_waits(const struct txn *t);
/* It is done, for good: what it has published goes out. */
void pubsub_done(struct txn *t);

/* In RESP2, a client that subscribes may do little else. */
bool pubsub_refuses(const struct client *c, int command);

/* The client is gone, or was reset. */
void pubsub_leave(struct client *c);

/* Around a change of users' rules: closes clients that may no longer hear what they subscribe to.
 */
void pubsub_before_rules(struct engine *e);
void pubsub_after_rules(struct engine *e, struct client *by);

void pubsub_info(const struct engine *e, struct buf *out);
struct metrics_page;
void pubsub_collect(const struct engine *e, struct metrics_page *p);
/* How many clients subscribe to something. */
size_t pubsub_clients(const struct engine *e);

#endif
