/* key: what a handler sees of one key. The engine fills it in before the run (value, expiry) and
 * takes the change out afterwards; the handler reads and changes it, and nothing else.
 *
 * A transaction has one `struct key` per distinct (db, name), so the commands of a MULTI block
 * see each other's changes. A handler checks everything, then changes, then replies; after the
 * first change nothing can fail (STYLE: rule 8). Running it again is always allowed: the engine
 * drops the keys and fills them anew. */
#ifndef RESPGRES_COMMAND_KEY_H
#define RESPGRES_COMMAND_KEY_H

#include <stdint.h>

#include "base/bytes.h"
#include "value/expiry.h"
#include "value/value.h"

/* Bytes of a name; PostgreSQL's btree holds keys of up to 2,704. Where an argument names a longer one,
 * the command is refused with KEY_TOO_LONG. */
enum { KEY_MAX_LEN = 2600 };
#define KEY_TOO_LONG "ERR key is too long (the limit is 2600 bytes)"

/* Ordered: a later one includes the earlier. */
enum key_change {
    KEY_UNCHANGED,
    KEY_TOUCHED,  /* the expiry moved, the bytes did not */
    KEY_WRITTEN,  /* new bytes, or removed (value == NULL) */
};

struct key {
    int db;
    struct bytes name;    /* borrowed from the transaction */
    struct value *value;  /* NULL = absent; one reference */
    struct expiry expiry; /* meaningless while absent */
    enum key_change change;
    bool blind;           /* this run did not know the value: it only ever overwrites */
    int64_t used_ms;      /* when it was last used, as far as is known here; milliseconds since 1970 */
    bool guessed;         /* absent as far as is known here while PostgreSQL is away: it may be there */
    bool asked;           /* this run has looked whether it is there, for whoever sent it: see command_asks */
    bool removed;         /* this run has removed it, whatever it did with it afterwards */
};

/* Sets new bytes and clears the expiry: what SET does. Takes `v`. */
void key_set(struct key *k, struct value *v);

/* Sets new bytes and keeps the expiry: what APPEND does. Takes `v`. */
void key_replace(struct key *k, struct value *v);

/* Its collection has been changed in place. */
void key_note_change(struct key *k);

/* Moves the expiry of a key that is there. */
void key_set_expiry(struct key *k, struct expiry e);

/* Removes a key that is there. */
void key_remove(struct key *k);

/* Of a key that is not there, as far as is known, or has expired: if that is a guess, it is removed all
 * the same. */
void key_remove_guessed(struct key *k);

/* Remaining time in milliseconds at `now_ms` (milliseconds since 1970); -1 = no expiry. */
int64_t key_ttl_ms(const struct key *k, int64_t now_ms);

/* Milliseconds since 1970 at which the key expires; -1 = never. */
int64_t key_expires_ms(const struct key *k, int64_t now_ms);

/* For how long it has not been used, as far as is known here. */
int64_t key_idle_ms(const struct key *k, int64_t now_ms);

#endif
