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

size_t member_coded_size(const struct tree *t)
{
    enum { LENGTH_MAX = 5 }; /* of 32 bits */
    return t->item_bytes + tree_count(t) * LENGTH_MAX;
}
