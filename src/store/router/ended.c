/* ended: a session that SQL has ended is not made again by a request that was under way, also if
 * PostgreSQL has gone in between (docs/sql.md, "Ended stays ended").
 *
 * While PostgreSQL is there its statement decides that, by the row. Here the entry tells it: it is
 * absent since an end by SQL, not longer ago than `revoke-grace`. That is the version's stamp where SQL has
 * given it (slot 0), and is remembered beside it where a write has been held back since. Which keys
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

static int64_t end_of(const struct entry *e)
{
    if (entry_ended(e) != 0 || e->knowledge != ENTRY_ABSENT)
        return entry_ended(e);
    return STORE_STAMP_IS_OF_SQL(e->version) ? e->version : 0;
}

bool ended_by_sql(struct router *r, const struct commit_item *it, const struct entry *e,
                  int64_t now_us)
{
    int64_t grace_us = r->config->revoke_grace_s * 1000000;
    int64_t ended = e != NULL && e->dirty == NULL ? end_of(e) : 0;
    return ended > 0 && STAMP_US(ended) > now_us - grace_us && is_under_way(it) &&
           is_session(r, it->key);
}
