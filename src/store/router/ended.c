/* ended: a session that SQL has ended is not made again by a request that was under way, also if
 * PostgreSQL has gone in between (docs/sql.md, "Ended stays ended").
 *
 * While PostgreSQL is there its statement decides that, by the row. Here the entry tells it: it is
 * absent, at a version that SQL has given (slot 0), not longer ago than `revoke-grace`. Which keys
 * are sessions says a table of the database; here it is the keys that are decoded. */
#include "payload/rules.h"
#include "store/router/internal.h"

static bool is_session(struct router *r, struct bytes key)
{
    const struct config *c = r->config;
    if (!payload_rules_are(r->sessions, c->decode, c->payload)) {
        payload_rules_free(r->sessions);
        r->sessions = payload_rules_new(c->decode, c->payload);
    }
    enum payload_format format;
    return payload_rules_match(r->sessions, key, &format);
}

/* A plain SET or HSET, by a client that does not know that there is nothing any more. */
static bool is_under_way(const struct commit_item *it)
{
    return it->op == COMMIT_WRITE && it->value != NULL && !it->saw_absent;
}

bool ended_by_sql(struct router *r, const struct commit_item *it, const struct entry *e,
                  int64_t now_us)
{
    int64_t grace_us = r->config->revoke_grace_s * 1000000;
    return e != NULL && e->knowledge == ENTRY_ABSENT && e->dirty == NULL && e->version > 0 &&
           (e->version & 1023) == 0 && STAMP_US(e->version) > now_us - grace_us &&
           is_under_way(it) && is_session(r, it->key);
}
