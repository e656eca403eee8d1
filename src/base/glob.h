/* glob: the patterns of KEYS, SCAN MATCH and CONFIG GET: * ? [a-z] [^a] and \ escapes.
 * Source: https://redis.io/docs/latest/commands/keys/ */
#ifndef RESPGRES_BASE_GLOB_H
#define RESPGRES_BASE_GLOB_H

#include "base/bytes.h"

/* Time is at most proportional to pattern times text, whatever the pattern. */
bool glob_match(struct bytes pattern, struct bytes text, bool nocase);

/* Length of the pattern's first part that stands for itself (no special character, no escape):
 * every text that matches starts with it. */
size_t glob_literal_prefix(struct bytes pattern);

#endif
