/* rules: which keys' payloads are decoded, and how: the options `decode` and `payload`. */
#ifndef RESPGRES_PAYLOAD_RULES_H
#define RESPGRES_PAYLOAD_RULES_H

#include "payload/payload.h"

struct payload_rules;

/* What session clients call their keys: Flask-Session and Rails' redis-session-store,
 * connect-redis, phpredis, Django, Beaker, Rack, starsessions, aiohttp-session, gorilla, Symfony,
 * Laravel, Spring. */
extern const char payload_session_patterns[];

/* `decode`: blank-separated patterns, "sessions" among them = payload_session_patterns, "no" =
 * nothing is decoded. `formats`: pairs of a pattern and
 * a format's name; whatever such a pattern matches is decoded, too. Pairs that cannot be understood
 * are left out. */
struct payload_rules *payload_rules_new(const char *decode, const char *formats);
void payload_rules_free(struct payload_rules *r);
/* Were they made from these texts? */
bool payload_rules_are(const struct payload_rules *r, const char *decode, const char *formats);

/* Is the value of this key to be decoded, and how? The first pair that matches decides. */
bool payload_rules_match(const struct payload_rules *r, struct bytes key, enum payload_format *out);

#endif
