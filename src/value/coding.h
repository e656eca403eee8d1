/* coding: the pieces of which encodings of collections are made: varints (7 bits a byte, the lowest
 * first, the last byte without the high bit) and strings of bytes with their length before them. */
#ifndef RESPGRES_VALUE_CODING_H
#define RESPGRES_VALUE_CODING_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"

/* Bytes of a varint. */
static inline size_t varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

/* Bytes of a string with its length. */
static inline size_t coded_size(size_t len)
{
    return varint_size(len) + len;
}

void put_varint(struct buf *out, uint64_t v);
void put_coded(struct buf *out, struct bytes s);

/* Takes from the front of `in`. False: it is not there, or not the shortest form; `in` is then of
 * no more use. */
MUST_CHECK bool take_varint(struct bytes *in, uint64_t *out);
/* `out` points into `in`. */
MUST_CHECK bool take_coded(struct bytes *in, struct bytes *out);
MUST_CHECK bool take_u8(struct bytes *in, uint8_t *out);

#endif
