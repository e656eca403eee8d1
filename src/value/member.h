/* member: where a member of a set, or of a sorted set, stands among the others; and how it is
 * written to and read from stored bytes. Shared by the collections. */
#ifndef RESPGRES_VALUE_MEMBER_H
#define RESPGRES_VALUE_MEMBER_H

#include <stdint.h>

#include "base/bytes.h"
#include "value/tree.h"

/* A hash that is the same in every process and for ever. Members are ordered by it, so a cursor of
 * SSCAN or ZSCAN means the same in every instance and after a restart. Nothing gets slow where a
 * peer makes hashes collide: the order goes on with the bytes. */
uint64_t member_hash(struct bytes s);

/* Cursors stay below 2^53: some clients keep them as doubles. */
enum { MEMBER_CURSOR_SHIFT = 12 };

typedef void (*member_cb)(struct bytes member, const struct item *item, void *arg);

/* A page of a tree that is ordered by hash: calls f for at least `count` members from the cursor on
 * (as far as there are any) and returns the next cursor, 0 at the end. A member that is there from
 * the first page to the last is seen exactly once, whatever is added and removed meanwhile. */
uint64_t member_scan(const struct tree *t, uint64_t cursor, size_t count, member_cb f, void *arg);

/* Bytes that a tree's items take as coded strings (coding.h), or somewhat more. O(1). */
size_t member_coded_size(const struct tree *t);

#endif
