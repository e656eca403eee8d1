/* list: what the handlers of lists share. */
#ifndef RESPGRES_COMMAND_LIST_H
#define RESPGRES_COMMAND_LIST_H

#include "command/content.h"

/* Takes up to n elements off an end of a list that is there, and replies with them. */
void list_pop_reply(struct command_ctx *ctx, int key, bool front, size_t n, bool as_array);

#endif
