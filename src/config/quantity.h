/* quantity: numbers with units as options take them: memory sizes, durations, octal modes, and
 * Redis' client-output-buffer-limit. */
#ifndef RESPGRES_CONFIG_QUANTITY_H
#define RESPGRES_CONFIG_QUANTITY_H

#include "base/buf.h"
#include "config/config.h"
#include "config/option.h"

/* Parses a number of one of the numeric kinds: plain, bytes, seconds, milliseconds, octal. */
MUST_CHECK bool quantity_parse(enum option_kind kind, struct bytes text, int64_t *out);

/* What to say when quantity_parse fails; Redis' words where Redis has that kind. */
const char *quantity_complaint(enum option_kind kind);

/* A size: the hard limit of class normal; or groups of "class hard soft seconds". What is not named
 * stays. */
MUST_CHECK bool output_limit_parse(struct bytes text, struct output_limits *out, struct buf *reason);
void output_limit_format(const struct output_limits *l, struct buf *out);

#endif
