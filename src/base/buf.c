#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void buf_init(struct buf *b)
{
    b->data = NULL;
    b->len = 0;
    b->cap = 0;
}

void buf_release(struct buf *b)
{
    mem_free(b->data);
    buf_init(b);
}

void buf_reset(struct buf *b, size_t keep)
{
    b->len = 0;
    if (b->cap > keep)
        buf_release(b);
}

/* How large it is to be to have room for n more; what it is if it has. */
static size_t cap_for(const struct buf *b, size_t n)
{
    if (b->data != NULL && b->cap - b->len >= n)
        return b->cap;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    CHECK(n < SIZE_MAX / 4 - b->len); /* else the doubling below could overflow */
    while (cap - b->len < n)
        cap += cap < ((size_t)16 << 20) ? cap : cap / 4;
    return cap;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->data == NULL || b->cap - b->len < n) {
        size_t cap = cap_for(b, n);
        b->data = mem_realloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

bool buf_try_reserve(struct buf *b, size_t n)
{
    size_t cap = cap_for(b, n);
    if (b->data != NULL && cap == b->cap)
        return true;
    char *data = mem_try_realloc(b->data, cap);
    if (data == NULL)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}

void buf_append(struct buf *b, const void *data, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), data, n);
    b->len += n;
}

void buf_append_bytes(struct buf *b, struct bytes s)
{
    buf_append(b, s.data, s.len);
}

void buf_append_cstr(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_append_u8(struct buf *b, uint8_t v)
{
    *buf_reserve(b, 1) = (char)v;
    b->len++;
}

void buf_vprintf(struct buf *b, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    char *at = buf_reserve(b, 128);
    size_t room = b->cap - b->len;
    int n = vsnprintf(at, room, format, ap);
    CHECK(n >= 0);
    if ((size_t)n >= room) {
        at = buf_reserve(b, (size_t)n + 1);
        vsnprintf(at, (size_t)n + 1, format, again);
    }
    va_end(again);
    b->len += (size_t)n;
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    buf_vprintf(b, format, ap);
    va_end(ap);
}

static void put_be(char *at, uint64_t v, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        at[i] = (char)(v & 0xff);
        v >>= 8;
    }
}

void buf_append_be16(struct buf *b, uint16_t v)
{
    put_be(buf_reserve(b, 2), v, 2);
    b->len += 2;
}

void buf_append_be32(struct buf *b, uint32_t v)
{
    put_be(buf_reserve(b, 4), v, 4);
    b->len += 4;
}

void buf_append_be64(struct buf *b, uint64_t v)
{
    put_be(buf_reserve(b, 8), v, 8);
    b->len += 8;
}

void buf_put_be32_at(struct buf *b, size_t at, uint32_t v)
{
    CHECK(at + 4 <= b->len);
    put_be(b->data + at, v, 4);
}

void buf_consume(struct buf *b, size_t n)
{
    CHECK(n <= b->len);
    b->len -= n;
    if (b->len > 0)
        memmove(b->data, b->data + n, b->len);
}

const char *buf_cstr(struct buf *b)
{
    *buf_reserve(b, 1) = '\0';
    return b->data;
}
