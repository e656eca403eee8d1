/* absence: the keys that a client has lately read as absent. A session that SQL has ended is not
 * made again by a request that was under way (docs/sql.md, "Ended stays ended"): its SETEX is told
 * from the one of a new log-in by that the new one's connection has read the key as absent before.
 *
 * A handful of keys per client, the oldest forgotten first: a key's hash stands for it. To forget
 * one too early makes a log-in within `revoke-grace` fail, nothing worse. */
#include "engine/internal.h"

bool client_saw_absent(const struct client *c, const struct entry *entry)
{
    for (size_t i = 0; i < c->nabsent; i++) {
        if (c->absent[i] == entry->node.hash)
            return true;
    }
    return false;
}

static void note(struct client *c, const struct entry *entry)
{
    if (client_saw_absent(c, entry))
        return;
    if (c->nabsent == CLIENT_ABSENT_KEYS) {
        memmove(c->absent, c->absent + 1, (CLIENT_ABSENT_KEYS - 1) * sizeof(*c->absent));
        c->nabsent--;
    }
    c->absent[c->nabsent++] = entry->node.hash;
}

static void forget(struct client *c, const struct entry *entry)
{
    for (size_t i = 0; i < c->nabsent; i++) {
        if (c->absent[i] == entry->node.hash) {
            c->absent[i] = c->absent[--c->nabsent];
            return;
        }
    }
}

void absence_note(struct client *c, const struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        const struct txn_key *k = &t->keys[i];
        bool untouched = k->observed && k->key.change == KEY_UNCHANGED;
        if (untouched && k->entry->knowledge == ENTRY_ABSENT)
            note(c, k->entry);
        else if (!untouched || k->entry->knowledge == ENTRY_LIVE)
            forget(c, k->entry);
    }
}
