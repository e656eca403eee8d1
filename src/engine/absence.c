/* absence: the keys that a client has lately read as absent. A session that SQL has ended is not
 * made again by a request that was under way (docs/sql.md, "Ended stays ended"): its SETEX is told
 * from the one of a new log-in by that the new one's connection has read the key as absent before.
 * Commands that look for whoever sends them (GET, SETNX, APPEND; not HSET, EXPIRE or SET with KEEPTTL, whose
 * sender takes the key for granted: command_asks) know it as well. What the server itself has read to
 * run a command counts for nothing.
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

/* What this run has written itself tells nothing. */
void absence_ask(const struct command *cmd, int argc, const struct bytes *argv, struct key **keys,
                 int n)
{
    bool open = false;
    for (int i = 0; i < n; i++)
        open |= !keys[i]->asked && !keys[i]->blind && keys[i]->change == KEY_UNCHANGED;
    if (!open || !command_asks(cmd, argc, argv))
        return;
    for (int i = 0; i < n; i++)
        keys[i]->asked |= !keys[i]->blind && keys[i]->change == KEY_UNCHANGED;
}

void absence_note(struct client *c, const struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        const struct txn_key *k = &t->keys[i];
        bool untouched = k->observed && k->key.change == KEY_UNCHANGED;
        bool asked = k->key.asked || t->is_watch;
        if (!untouched || k->entry->knowledge == ENTRY_LIVE)
            forget(c, k->entry);
        else if (asked && k->entry->knowledge == ENTRY_ABSENT)
            note(c, k->entry);
    }
}
