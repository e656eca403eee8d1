#include "value/coding.h"

void put_varint(struct buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_append_u8(out, (uint8_t)(v | 0x80));
    buf_append_u8(out, (uint8_t)v);
}

void put_coded(struct buf *out, struct bytes s)
{
    char *at = buf_reserve(out, coded_size(s.len));
    size_t len = s.len;
    for (; len >= 0x80; len >>= 7)
        *at++ = (char)(len | 0x80);
    *at++ = (char)len;
    if (s.len > 0)
        memcpy(at, s.data, s.len);
    out->len += coded_size(s.len);
}

bool take_u8(struct bytes *in, uint8_t *out)
{
    if (in->len == 0)
        return false;
    *out = (uint8_t)in->data[0];
    in->data++;
    in->len--;
    return true;
}

bool take_varint(struct bytes *in, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b;
        if (!take_u8(in, &b) || (shift == 63 && b > 1))
            return false;
        v |= (uint64_t)(b & 0x7f) << shift;
        if ((b & 0x80) == 0) {
            *out = v;
            return b != 0 ||
                   shift == 0; /* a last byte of 0 says nothing: there is a shorter form */
        }
    }
    return false;
}

bool take_coded(struct bytes *in, struct bytes *out)
{
    uint64_t len;
    if (!take_varint(in, &len) || len > in->len)
        return false;
    *out = bytes_of(in->data, (size_t)len);
    in->data += len;
    in->len -= (size_t)len;
    return true;
}
