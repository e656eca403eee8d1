#include "value/member.h"

/* FNV-1a, and the last step of MurmurHash3, which spreads the low bits over the high ones. */
uint64_t member_hash(struct bytes s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < s.len; i++) {
        h ^= (unsigned char)s.data[i];
        h *= UINT64_C(0x100000001b3);
    }
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

/* Members whose hashes do not differ in a cursor's bits are of one page. */
uint64_t member_scan(const struct tree *t, uint64_t cursor, size_t count, member_cb f, void *arg)
{
    if (cursor > UINT64_MAX >> MEMBER_CURSOR_SHIFT)
        return 0;
    size_t pos;
    (void)tree_find(t, cursor << MEMBER_CURSOR_SHIFT, BYTES_LIT(""), &pos);
    struct tree_reader r = tree_reader(t);
    uint64_t last = 0;
    for (size_t seen = 0; pos < tree_count(t); pos++, seen++) {
        struct tree_entry e = tree_read(&r, pos);
        uint64_t at = e.key >> MEMBER_CURSOR_SHIFT;
        if (seen >= count && at != last)
            return at;
        last = at;
        f(item_bytes(e.item), e.item, arg);
    }
    return 0;
}

void member_put_number(struct buf *out, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        buf_append_u8(out, (uint8_t)(n | 0x80));
    buf_append_u8(out, (uint8_t)n);
}

void member_put(struct buf *out, struct bytes s)
{
    member_put_number(out, s.len);
    buf_append_bytes(out, s);
}

bool member_take_u8(struct bytes *in, uint8_t *out)
{
    if (in->len == 0)
        return false;
    *out = (uint8_t)*in->data;
    *in = bytes_of(in->data + 1, in->len - 1);
    return true;
}

bool member_take_number(struct bytes *in, uint64_t *out)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b;
        if (!member_take_u8(in, &b) || (shift == 63 && b > 1))
            return false;
        n |= (uint64_t)(b & 0x7f) << shift;
        if ((b & 0x80) == 0) {
            *out = n;
            return true;
        }
    }
    return false;
}

bool member_take(struct bytes *in, struct bytes *out)
{
    uint64_t len;
    if (!member_take_number(in, &len) || len > in->len || len > UINT32_MAX)
        return false;
    *out = bytes_of(in->data, (size_t)len);
    *in = bytes_of(in->data + len, in->len - (size_t)len);
    return true;
}
