/* exec: respgres --exec -- COMMAND: one start command for an application and its respgres. The
 * command is a child that finds respgres in its REDIS_URL: a Unix socket in a folder that nobody
 * else can enter, or (--exec-url tcp) a port of 127.0.0.1 with a password.
 *
 * The child ends first: signals go to it, and respgres drains when it has ended. Its exit code
 * becomes ours, 128+n after signal n. As process 1 of a container, whatever processes the child
 * leaves behind are reaped here; elsewhere too, as they are given to us (PR_SET_CHILD_SUBREAPER).
 */
#ifndef RESPGRES_CLI_EXEC_H
#define RESPGRES_CLI_EXEC_H

#include "base/buf.h"
#include "config/config.h"
#include "event/loop.h"

struct exec;

/* Takes `--exec-url KIND` and `--exec [--] COMMAND ...` out of argv. Without --exec *x is NULL.
 * With it the place is made, and argv is a new one, in which the flags for that place stand before
 * the user's own: these win. The strings stay main()'s, so that secrets in them can be overwritten.
 */
MUST_CHECK bool exec_take(int *argc, char ***argv, char **environ, struct exec **x,
                          struct buf *error);
/* Removes the place. The child must have ended. NULL is allowed. */
void exec_free(struct exec *x);

/* The port that was chosen for this run, 0 with a Unix socket; -1 without --exec. */
int64_t exec_port(const struct exec *x);

/* The child is to start soon: when respgres serves, but after 5 s at the latest. `ended` is called
 * once, with the exit code that is to be ours. Borrows all. */
MUST_CHECK bool exec_prepare(struct exec *x, struct loop *loop, const struct config *c,
                             void (*ended)(void *arg, int code), void *arg, struct buf *error);

/* At the end of each turn until the server drains: starts the child if it is time. NULL is allowed. */
MUST_CHECK bool exec_turn(struct exec *x, bool serves, struct buf *error);

/* Whether there is a child that has not ended. NULL is allowed. */
bool exec_running(const struct exec *x);

void exec_signal(struct exec *x, int signo);

/* SIGTERM, and SIGKILL after `patience_us`: when there is nothing left that could serve it. */
void exec_end(struct exec *x, struct loop *loop, int64_t patience_us);

/* Signals that say nothing to respgres and are passed on; ends with 0. */
extern const int exec_passed_signals[];

/* Zombies are reaped from now on: for a respgres without child that is process 1. */
void exec_reap_orphans(void);

#endif
