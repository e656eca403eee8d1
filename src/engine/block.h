/* block: commands that wait for a key to hold something (BLPOP and its like).
 *
 * Such a command is a txn like any other. Where its handler finds nothing, and that is proven, the
 * txn is parked: state TXN_BLOCKED, without a place in any queue, batch or gather, holding nothing
 * but its memory and the pins of its entries. It stands in the lists of the keys that it waits for,
 * in the order of arrival. When one of them comes to hold what it waits for it is woken: it goes
 * into the queues of its entries, to the place that its age gives it, and runs again. So it is
 * served before whatever came later, as in Redis, and it may find nothing again and go on waiting.
 *
 * A key is noticed when a txn of this instance has written it (at once, in the open gather: push
 * and pop share a batch), when any read of this instance finds it, when a notice says that another
 * instance has written it, and by the poll, which looks at all keys that are waited for. A look is
 * part of an ordinary read batch.
 *
 * Only so many are woken as there are elements. Who has waited goes before a younger txn whose own
 * read found the element (block_is_behind).
 *
 * What is waited for in an open gather is provisional: that the key holds nothing is true once that
 * has committed (block_confirm), and if it is rejected the txn runs anew. */
#ifndef RESPGRES_ENGINE_BLOCK_H
#define RESPGRES_ENGINE_BLOCK_H

#include "engine/internal.h"

void block_init(struct engine *e);
void block_release(struct engine *e);

/* ---- a txn ---- */

/* Is it a command that waits where it finds nothing? In a block it does not. */
bool block_may_wait(const struct txn *t);
/* Before the handler: what it is told. NULL = it may not wait. */
struct command_wait *block_offer(const struct txn *t, const struct txn_command *tc,
                                 struct command_wait *wait);
/* It had found nothing before, and by now its client has been killed: nothing is given to it. */
bool block_is_over(const struct txn *t);
/* After it: what it said. */
void block_take(struct txn *t, const struct command_wait *wait);
/* It has run, it is proven that there is nothing, and it wants to wait. Parks it; false = it does
 * not want to, or its time is up, or nobody waits for it: its reply is final. */
MUST_CHECK bool block_park(struct txn *t);
/* It has run on what is remembered or on working values, and wants to wait: asks, or waits for
 * proof. */
void block_unproven(struct txn *t);
/* It has run, and is to stay where it is: working values that it took go back to their gather. */
void block_give_back(struct txn *t);
/* It runs again from the beginning, after a rejected commit or a lost read. */
void block_again(struct txn *t);
/* Somebody older, who has waited, is about to run on one of its keys. */
bool block_is_behind(const struct txn *t);
/* It ends, with what is in its reply. An element that was popped for somebody who is gone by now is
 * put back. */
void block_ended(struct txn *t);
/* It goes without an end. */
void block_forget(struct txn *t);

/* ---- a key that is waited for (entry->work->waited) ---- */

/* It may hold something now, by what is known of it. */
void block_recheck(struct engine *e, struct entry *entry);
/* It has left a gather, or a transaction of its own. */
void block_settled(struct engine *e, struct entry *entry);
/* The gather that it is in has committed. */
void block_confirm(struct engine *e, struct entry *entry);
/* An answer about it came too late to be used. */
void block_look(struct engine *e, struct entry *entry);

static inline bool block_is_waited_for(const struct entry *entry)
{
    return entry->work != NULL && entry->work->waited != NULL;
}

/* Everything may have changed: a FLUSH, a SWAPDB, the end of a pause or of an outage. */
void block_look_all(struct engine *e);

/* ---- looks: keys added to a read batch ---- */

bool block_wants_look(const struct engine *e);
/* Up to `most` entries to be read with the batch of this lane; pinned until block_looked. */
size_t block_begin_look(struct engine *e, size_t lane, struct entry **out, size_t most);
void block_looked(struct engine *e, size_t lane, bool good);

/* ---- a client ---- */

/* It waits at this moment. */
bool block_has(const struct client *c);
/* Its connection has ended, or sends nothing more. */
void block_client_gone(struct client *c);

size_t block_count(const struct engine *e);
/* Those of them whose wait has a limit. */
size_t block_timed_count(const struct engine *e);
/* At the end of a turn. */
void block_turn_end(struct engine *e);
/* The instance stops: connections that wait are closed, as Redis does. */
void block_stop(struct engine *e);

#endif
