/* set: different byte strings. Like Redis, a set of at most 512 integers is in the order of the
 * integers ("intset"); once it is not, it is in the order of a hash ("hashtable") for good.
 *
 * Find, add and remove are O(log n) in nodes of dozens, a copy is O(1), and any position is read in
 * O(log n): a random member is one of a random position. */
#ifndef RESPGRES_VALUE_SET_H
#define RESPGRES_VALUE_SET_H

#include "base/buf.h"
#include "value/member.h"
#include "value/type.h"

enum { SET_MAX_INTSET_ENTRIES = 512 };

struct set;

struct set *set_new(void);
void set_free(struct set *s);
/* The two share what neither of them changes. O(1). */
struct set *set_copy(const struct set *s);
/* Makes it an intset again if it can be one. */
void set_settle(struct set *s);
/* Bytes of memory held. O(1). */
size_t set_memory(const struct set *s);

size_t set_count(const struct set *s);
bool set_has(const struct set *s, struct bytes member);
/* False: it was there. */
bool set_add(struct set *s, struct bytes member);
/* False: it was not there. */
bool set_remove(struct set *s, struct bytes member);

/* All members by position: entries' items, as tree_read gives them. */
struct tree_reader set_reader(const struct set *s);
/* The member at position i, until the set changes. */
struct bytes set_at(const struct set *s, size_t i);

/* A page of SSCAN, see member_scan. An intset is one page, whatever the cursor. */
uint64_t set_scan(const struct set *s, uint64_t cursor, size_t count, member_cb f, void *arg);

/* Redis' name of how it is stored. */
const char *set_encoding(const struct set *s);

/* Stored form: version 1, "is it an intset", number of members, members in order. */
void set_encode(const struct set *s, struct buf *out);
/* NULL: the bytes are not such. */
MUST_CHECK struct set *set_decode(struct bytes stored);

#endif
