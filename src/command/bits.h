/* bits: what the commands about bits share. */
#ifndef RESPGRES_COMMAND_BITS_H
#define RESPGRES_COMMAND_BITS_H

#include "command/handler.h"

/* The number of a bit, within the longest string there may be; false = it is none, and the error is
 * written. With a `width`, "#n" is the n-th integer of that many bits. */
MUST_CHECK bool bit_offset_or_reply(struct command_ctx *ctx, struct bytes arg, int width,
                                    uint64_t *out);

/* A copy of `old` (may be NULL), zeros behind it up to `least` bytes; NULL = no memory, and the
 * error is written. */
MUST_CHECK struct value *bits_copy_or_reply(struct command_ctx *ctx, const struct value *old,
                                            size_t least);

#endif
