/* policy: options that say one word for all keys, and others for some: "on lock:* off cache:* readonly".
 * The first word is for all; pairs of a pattern (as of KEYS) and a word follow; the first pattern that
 * matches a key counts. */
#ifndef RESPGRES_CONFIG_POLICY_H
#define RESPGRES_CONFIG_POLICY_H

#include "base/buf.h"
#include "base/bytes.h"

enum fallback { FALLBACK_ON, FALLBACK_READONLY, FALLBACK_OFF };
enum away_miss { AWAY_MISS_ABSENT, AWAY_MISS_ERROR };

/* For one key; `key.data` NULL: the word for all. The text has passed the check below. */
enum fallback policy_fallback(const char *text, struct bytes key);
enum away_miss policy_away_miss(const char *text, struct bytes key);

/* false = it says no such thing; the reason is appended. */
MUST_CHECK bool check_fallback(struct bytes text, struct buf *reason);
MUST_CHECK bool check_away_miss(struct bytes text, struct buf *reason);

#endif
