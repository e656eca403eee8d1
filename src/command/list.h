/* list: what the handlers of lists share. */
#ifndef RESPGRES_COMMAND_LIST_H
#define RESPGRES_COMMAND_LIST_H

#include "command/content.h"

/* Takes up to n elements off an end of a list that is there, and replies with them. */
void list_pop_reply(struct command_ctx *ctx, int key, bool front, size_t n, bool as_array);

/* LEFT or RIGHT; false = it is neither, and the error is written. */
MUST_CHECK bool list_end_or_reply(struct command_ctx *ctx, struct bytes arg, bool *front);

/* Moves an element from the first key's list to the second's and replies with it, or with nothing. */
void list_move(struct command_ctx *ctx, bool from_front, bool to_front);

#endif
