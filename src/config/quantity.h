/* quantity: numbers with units as options take them: memory sizes, durations, octal modes, and
 * Redis' client-output-buffer-limit. */
#ifndef RESPGRES_CONFIG_QUANTITY_H
#define RESPGRES_CONFIG_QUANTITY_H

#include "base/buf.h"
#include "config/option.h"

/* Parses a number of one of the numeric kinds: plain, bytes, seconds, milliseconds, octal. */
MUST_CHECK bool quantity_parse(enum option_kind kind, struct bytes text, int64_t *out);

/* What to say when quantity_parse fails; Redis' words where Redis has that kind. */
const char *quantity_complaint(enum option_kind kind);

/* A size, or groups of "class hard soft seconds": the hard limit of class normal, in bytes.
 * Other classes and the soft limits are checked and have no effect. */
MUST_CHECK bool output_limit_parse(struct bytes text, int64_t *out, struct buf *reason);
void output_limit_format(int64_t hard, struct buf *out);

#endif
