/* words: a line of redis.conf as words. "..." knows \n \r \t \b \a \xHH and \ before any other
 * character; '...' only \'. A closing quote ends its word. */
#ifndef RESPGRES_CONFIG_WORDS_H
#define RESPGRES_CONFIG_WORDS_H

#include "base/buf.h"

/* Appends the word at or behind *at to `out`; *at moves behind it. *found is false at the end of
 * the line. Returns false on quotes that are not closed. */
MUST_CHECK bool words_next(struct bytes line, size_t *at, struct buf *out, bool *found);

/* The rest is a comment. */
bool words_comment(struct bytes line, size_t at);

/* Appends a word so that words_next reads it back: in quotes where it must be. */
void words_append(struct buf *out, struct bytes word);

#endif
