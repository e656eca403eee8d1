/* zset: members, each with a score; in the order of (score, bytes), and found by member. Scores are
 * never NaN. Like Redis, one of at most 128 members of at most 64 bytes calls itself "listpack";
 * once it is not, it is a "skiplist" for good.
 *
 * Insert, remove, score, rank and every border of a range are O(log n); a copy is O(1). */
#ifndef RESPGRES_VALUE_ZSET_H
#define RESPGRES_VALUE_ZSET_H

#include "base/buf.h"
#include "value/member.h"
#include "value/type.h"

enum { ZSET_MAX_LISTPACK_ENTRIES = 128, ZSET_MAX_LISTPACK_VALUE = 64 };

struct zset;

struct zset *zset_new(void);
void zset_free(struct zset *z);
/* The two share what neither of them changes. O(1). */
struct zset *zset_copy(const struct zset *z);
/* Bytes of memory held. O(1). */
size_t zset_memory(const struct zset *z);

size_t zset_count(const struct zset *z);
/* False: no such member. */
bool zset_score(const struct zset *z, struct bytes member, double *score);
/* How many are before it. False: no such member. */
bool zset_rank(const struct zset *z, struct bytes member, size_t *rank);
/* Adds a member or moves it to another score. True: it is new. */
bool zset_put(struct zset *z, struct bytes member, double score);
/* False: no such member. */
bool zset_remove(struct zset *z, struct bytes member);
void zset_remove_range(struct zset *z, size_t rank, size_t n);

/* How many have a lower score, or with `or_equal` no higher one. */
size_t zset_below(const struct zset *z, double score, bool or_equal);
/* How many come before these bytes (or, with `or_equal`, not after them), if all have the same
 * score. */
size_t zset_below_lex(const struct zset *z, struct bytes member, bool or_equal);

/* All members by rank: items, as tree_read gives them; see zset_item_score. */
struct tree_reader zset_reader(const struct zset *z);
double zset_item_score(const struct item *it);

/* A page of ZSCAN, see member_scan. A listpack is one page, whatever the cursor. */
uint64_t zset_scan(const struct zset *z, uint64_t cursor, size_t count, member_cb f, void *arg);

bool zset_is_skiplist(const struct zset *z);
/* Redis' name of how it is stored. */
const char *zset_encoding(const struct zset *z);
/* Makes it a skiplist, and a listpack again if it can be one: what commands do with a whole result.
 * The scores -0 and 0 are one in a listpack, as in Redis. */
void zset_unsettle(struct zset *z);
void zset_settle(struct zset *z);

/* Stored form: version 1, "is it a skiplist", number of members, and by rank the score (IEEE 754,
 * network order) and the member. */
void zset_encode(const struct zset *z, struct buf *out);
/* NULL: the bytes are not such. */
MUST_CHECK struct zset *zset_decode(struct bytes stored);

#endif
