/* buf: a growable byte buffer. `data[0, len)` is valid, `cap` allocated. Owns its memory. */
#ifndef RESPGRES_BASE_BUF_H
#define RESPGRES_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"

struct buf {
    char *data;
    size_t len;
    size_t cap;
};

void buf_init(struct buf *b);
void buf_release(struct buf *b);

/* Forgets the content; gives memory back if more than `keep` bytes are allocated. */
void buf_reset(struct buf *b, size_t keep);

/* Room for n more bytes; returns where they go. */
char *buf_reserve(struct buf *b, size_t n);

/* The same where a peer decides how much it is: false, with nothing changed, if there is no memory. */
MUST_CHECK bool buf_try_reserve(struct buf *b, size_t n);

void buf_append(struct buf *b, const void *data, size_t n);
void buf_append_bytes(struct buf *b, struct bytes s);
void buf_append_cstr(struct buf *b, const char *s);
void buf_append_u8(struct buf *b, uint8_t v);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *format, va_list ap) PRINTF_LIKE(2, 0);

/* Network byte order, as PostgreSQL's binary formats want it. */
void buf_append_be16(struct buf *b, uint16_t v);
void buf_append_be32(struct buf *b, uint32_t v);
void buf_append_be64(struct buf *b, uint64_t v);
void buf_put_be32_at(struct buf *b, size_t at, uint32_t v);

/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);

/* A terminating NUL behind the content, not counted in len. */
const char *buf_cstr(struct buf *b);

static inline struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){b->data, b->len};
}

#endif
