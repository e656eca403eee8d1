/* more: a transaction that learns of keys only while it runs: those that SORT makes of elements,
 * those that a script touches without having declared them.
 *
 * A handler finds such a key by ctx->more (command/command.h). If the transaction does not have it,
 * it is noted, the handler is given NULL, and gives up: what it has replied and changed is dropped.
 * The transaction gets the noted keys beside those it had, and begins anew: it waits for them,
 * reads all from one snapshot, and runs from its first command. Keys are only ever added, so it
 * comes to an end; pg-timeout bounds it.
 *
 * Nothing that such a run does may be seen before it has run to its end. So it is never given the
 * only reference to a working value of a gather (txn.c, take_working_value). */
#ifndef RESPGRES_ENGINE_MORE_H
#define RESPGRES_ENGINE_MORE_H

#include "engine/internal.h"

/* The commands are complete: can one of them ask for keys? */
void more_init(struct txn *t);
void more_free(struct txn *t);

/* Around every run of its commands. */
void more_begin(struct txn *t);
void more_end(struct txn *t);
/* The same run goes on: what it has asked for stays. */
void more_resume(struct txn *t);

/* For ctx->more; NULL if it never asks. */
struct key_finder *more_finder(struct txn *t);

/* Has this run asked? */
bool more_asked(const struct txn *t);

/* If the run that has ended asked for keys, the txn has them from now on: true, and it is to run
 * again. It must stand in no queue. */
MUST_CHECK bool more_add_keys(struct txn *t);

#endif
