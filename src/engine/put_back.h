/* put_back: an element that was taken for a client, and the client has gone before it could be
 * handed over, goes back to the end that it came from.
 *
 * It goes by a command of its own, of a client that is nobody's: to the same key, if that holds
 * what the element fits into by then. While nothing can be written there (PostgreSQL is away, the row is
 * held) it is kept here and tried again. An expiry that went with the last element does not come back.
 */
#ifndef RESPGRES_ENGINE_PUT_BACK_H
#define RESPGRES_ENGINE_PUT_BACK_H

#include "engine/internal.h"

struct put_back *put_back_new(struct engine *e);
void put_back_free(struct put_back *p);

/* `t` has taken what its reply says. */
void put_back(struct put_back *p, const struct txn *t);

#endif
