/* msgpack: https://github.com/msgpack/msgpack/blob/master/spec.md. A text (str) and bytes (bin) are
 * different things; the extension -1 is a point in time, others become {"$ext": n, "$bytes": ...}.
 * By content only a map or an array is taken for MessagePack: any byte is a valid small number. */
#include "payload/internal.h"

#include <string.h>

struct unpacker {
    const unsigned char *p;
    const unsigned char *end;
    struct emit *e;
};

static bool unpack(struct unpacker *u);

static bool have(const struct unpacker *u, size_t n)
{
    return (size_t)(u->end - u->p) >= n;
}

/* n bytes, big-endian; the caller has looked that they are there. */
static uint64_t take_be(struct unpacker *u, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | *u->p++;
    return v;
}

static bool take_bytes(struct unpacker *u, uint64_t n, struct bytes *out)
{
    if (!have(u, n))
        return false;
    *out = bytes_of((const char *)u->p, n);
    u->p += n;
    return true;
}

/* What the code of a value is followed by: bytes of a length, bytes of content, values. */
static void shape_of(unsigned code, int *length, uint64_t *content, uint64_t *values)
{
    static const uint8_t lengths[32] = {[0x04] = 1, 2, 4, 1, 2, 4, [0x19] = 1, 2, 4, 2, 4, 2, 4};
    static const uint8_t contents[32] = {[0x07] = 1, 1, 1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17};
    bool coded = code >= 0xc0 && code < 0xe0;
    *length = coded ? lengths[code - 0xc0] : 0;
    *content = coded ? contents[code - 0xc0] : code >= 0xa0 && code < 0xc0 ? code & 0x1f : 0;
    *values = code >= 0x80 && code < 0x90   ? (uint64_t)(code & 0x0f) * 2
              : code >= 0x90 && code < 0xa0 ? code & 0x0f
                                            : 0;
}

/* n values that are not written. */
static bool skip(struct unpacker *u, uint64_t n)
{
    const unsigned char *from = u->p;
    for (; n > 0; n--) {
        int length;
        uint64_t content;
        uint64_t values;
        if (!have(u, 1) || *u->p == 0xc1)
            return false;
        unsigned code = *u->p++;
        shape_of(code, &length, &content, &values);
        if (!have(u, (size_t)length))
            return false;
        uint64_t counted = take_be(u, length);
        if (code >= 0xdc && code <= 0xdf)
            values = code <= 0xdd ? counted : counted * 2;
        else
            content += counted;
        if (!have(u, content) || !have(u, values))
            return false;
        u->p += content;
        n += values;
    }
    return emit_step(u->e, (size_t)(u->p - from) / 16);
}

static bool unpack_array(struct unpacker *u, uint64_t n)
{
    if (!emit_begin(u->e, '['))
        return false;
    for (uint64_t i = 0; i < n; i++) {
        if (emit_closed(u->e)) {
            if (!skip(u, n - i))
                return false;
            break;
        }
        if (!unpack(u))
            return false;
    }
    emit_end(u->e, ']');
    return emit_ok(u->e);
}

static bool unpack_map(struct unpacker *u, uint64_t n)
{
    if (!emit_begin(u->e, '{'))
        return false;
    for (uint64_t i = 0; i < n; i++) {
        if (emit_closed(u->e)) {
            if (!skip(u, (n - i) * 2))
                return false;
            break;
        }
        size_t mark = emit_key_begin(u->e);
        if (!unpack(u))
            return false;
        emit_key_end(u->e, mark);
        if (!unpack(u))
            return false;
    }
    emit_end(u->e, '}');
    return emit_ok(u->e);
}

static bool unpack_text(struct unpacker *u, uint64_t n)
{
    struct bytes s;
    if (!take_bytes(u, n, &s))
        return false;
    if (is_utf8(s))
        emit_text(u->e, s);
    else
        emit_bytes(u->e, s); /* writers before 2013 had no bin */
    return emit_ok(u->e);
}

static bool unpack_bin(struct unpacker *u, uint64_t n)
{
    struct bytes s;
    if (!take_bytes(u, n, &s))
        return false;
    emit_bytes(u->e, s);
    return emit_ok(u->e);
}

/* Seconds in 32 bits; or 30 bits of nanoseconds and 34 of seconds; or 32 and 64. */
static bool emit_timestamp(struct emit *e, struct bytes s)
{
    struct unpacker u = {.p = (const unsigned char *)s.data, .end = NULL, .e = e};
    uint32_t nanos = 0;
    int64_t seconds;
    if (s.len == 4) {
        seconds = (int64_t)take_be(&u, 4);
    } else if (s.len == 8) {
        uint64_t both = take_be(&u, 8);
        nanos = (uint32_t)(both >> 34);
        seconds = (int64_t)(both & (((uint64_t)1 << 34) - 1));
    } else if (s.len == 12) {
        nanos = (uint32_t)take_be(&u, 4);
        seconds = (int64_t)take_be(&u, 8);
    } else {
        return false;
    }
    if (nanos > 999999999)
        return false;
    emit_time_utc(e, seconds, nanos);
    return true;
}

static bool unpack_ext(struct unpacker *u, uint64_t n)
{
    struct bytes s;
    if (!have(u, 1))
        return false;
    int8_t type = (int8_t)take_be(u, 1);
    if (!take_bytes(u, n, &s))
        return false;
    if (type == -1 && emit_timestamp(u->e, s))
        return emit_ok(u->e);
    if (!emit_begin(u->e, '{'))
        return false;
    emit_key_cstr(u->e, "$ext");
    emit_int(u->e, type);
    emit_key_cstr(u->e, "$bytes");
    emit_base64(u->e, s);
    emit_end(u->e, '}');
    return emit_ok(u->e);
}

static bool unpack_float(struct unpacker *u, int size)
{
    if (!have(u, (size_t)size))
        return false;
    if (size == 4) {
        uint32_t bits = (uint32_t)take_be(u, 4);
        float f;
        memcpy(&f, &bits, 4);
        emit_double(u->e, (double)f);
    } else {
        uint64_t bits = take_be(u, 8);
        double d;
        memcpy(&d, &bits, 8);
        emit_double(u->e, d);
    }
    return emit_ok(u->e);
}

static bool unpack_int(struct unpacker *u, int size, bool is_signed)
{
    if (!have(u, (size_t)size))
        return false;
    uint64_t v = take_be(u, size);
    if (!is_signed) {
        emit_uint(u->e, v);
    } else {
        int unused = 64 - 8 * size;
        emit_int(u->e, (int64_t)(v << unused) >> unused);
    }
    return emit_ok(u->e);
}

/* 0xc0 to 0xdf: what has a size, and the small ones. */
static bool unpack_sized(struct unpacker *u, unsigned code)
{
    static const int8_t size_bytes[32] = {
        [0x04] = 1, [0x05] = 2, [0x06] = 4, [0x07] = 1, [0x08] = 2, [0x09] = 4, [0x19] = 1,
        [0x1a] = 2, [0x1b] = 4, [0x1c] = 2, [0x1d] = 4, [0x1e] = 2, [0x1f] = 4};
    int bytes = size_bytes[code - 0xc0];
    if (!have(u, (size_t)bytes))
        return false;
    uint64_t n = take_be(u, bytes);
    if (code <= 0xc6)
        return unpack_bin(u, n);
    if (code <= 0xc9)
        return unpack_ext(u, n);
    if (code <= 0xdb)
        return unpack_text(u, n);
    return code <= 0xdd ? unpack_array(u, n) : unpack_map(u, n);
}

static bool unpack_coded(struct unpacker *u, unsigned code)
{
    if (code == 0xc0)
        emit_null(u->e);
    else if (code == 0xc1)
        return false;
    else if (code <= 0xc3)
        emit_bool(u->e, code == 0xc3);
    else if (code == 0xca || code == 0xcb)
        return unpack_float(u, code == 0xca ? 4 : 8);
    else if (code >= 0xcc && code <= 0xd3)
        return unpack_int(u, 1 << (code & 3), code >= 0xd0);
    else if (code >= 0xd4 && code <= 0xd8)
        return unpack_ext(u, (uint64_t)1 << (code - 0xd4));
    else
        return unpack_sized(u, code);
    return emit_ok(u->e);
}

static bool unpack(struct unpacker *u)
{
    if (!have(u, 1))
        return false;
    unsigned code = *u->p++;
    if (code < 0x80 || code >= 0xe0)
        emit_int(u->e, (int8_t)code);
    else if (code < 0x90)
        return unpack_map(u, code & 0x0f);
    else if (code < 0xa0)
        return unpack_array(u, code & 0x0f);
    else if (code < 0xc0)
        return unpack_text(u, code & 0x1f);
    else
        return unpack_coded(u, code);
    return emit_ok(u->e);
}

static bool is_container(unsigned char c)
{
    return (c >= 0x80 && c <= 0x9f) || (c >= 0xdc && c <= 0xdf);
}

bool decode_msgpack(struct bytes in, struct emit *e)
{
    struct unpacker u = {.p = (const unsigned char *)in.data, .e = e};
    u.end = u.p + in.len;
    if (in.len == 0 || !is_container(u.p[0]))
        return emit_unknown(e);
    return (unpack(&u) && u.p == u.end) || emit_unknown(e);
}
