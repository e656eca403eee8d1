/* internal: the decoders. Nothing outside this folder includes it.
 *
 * A decoder gets the whole payload and an emitter, and says whether the payload was, from the first
 * byte to the last, one of its format. It leaves what it has emitted so far when it was not. */
#ifndef RESPGRES_PAYLOAD_INTERNAL_H
#define RESPGRES_PAYLOAD_INTERNAL_H

#include "payload/emit.h"

typedef bool (*decoder)(struct bytes in, struct emit *e);

bool decode_json(struct bytes in, struct emit *e);
bool decode_msgpack(struct bytes in, struct emit *e);
bool decode_pickle(struct bytes in, struct emit *e);
bool decode_django(struct bytes in, struct emit *e);
bool decode_php(struct bytes in, struct emit *e);
bool decode_php_serialize(struct bytes in, struct emit *e);
bool decode_text(struct bytes in, struct emit *e);

/* For what wraps another payload: one of the decoders that content chooses. Never a wrapper again.
 */
bool decode_inner(struct bytes in, struct emit *e);

/* The payload of a signed text of Django, inflated to `max` bytes at most; django.c. */
bool django_open(struct bytes in, size_t max, struct buf *out);

/* Does it begin like a zlib stream (RFC 1950)? */
bool is_zlib(struct bytes in);
/* Appends the inflated bytes; false if it is no complete stream or holds more than `max`. */
bool inflate_bounded(struct bytes in, size_t max, struct buf *out);

#endif
