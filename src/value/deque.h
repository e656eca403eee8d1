/* deque: the list of Redis (base/list.h has the other kind): byte strings in the order that
 * commands gave them. Both ends and any position are reached in O(log n), in a few nodes of dozens;
 * a copy is O(1). */
#ifndef RESPGRES_VALUE_DEQUE_H
#define RESPGRES_VALUE_DEQUE_H

#include "base/buf.h"
#include "value/member.h"
#include "value/type.h"

struct deque;

struct deque *deque_new(void);
void deque_free(struct deque *d);
/* The two share what neither of them changes. O(1). */
struct deque *deque_copy(const struct deque *d);
/* Bytes of memory held. O(1). */
size_t deque_memory(const struct deque *d);

size_t deque_count(const struct deque *d);
/* Puts an element before position `pos`; at the count it comes last. */
void deque_insert(struct deque *d, size_t pos, struct bytes element);
void deque_set(struct deque *d, size_t pos, struct bytes element);
void deque_remove(struct deque *d, size_t pos, size_t n);

/* All elements by position: items, as tree_read gives them. */
struct tree_reader deque_reader(const struct deque *d);
/* The element at a position, until the list changes. */
struct bytes deque_at(const struct deque *d, size_t pos);

/* Stored form: version 1, number of elements, elements. */
void deque_encode(const struct deque *d, struct buf *out);
/* NULL: the bytes are not such. */
MUST_CHECK struct deque *deque_decode(struct bytes stored);

#endif
