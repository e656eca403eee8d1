/* django: the texts that Django makes of a session where it does not trust its storage.
 *
 * signing.dumps: base64url(payload) ":" timestamp ":" signature, with a "." before it if the
 * payload is compressed (docs.djangoproject.com, "Cryptographic signing"). Before Django 3.1:
 * base64(hash ":" payload). The payload is JSON or a pickle. Signatures are not checked: nobody
 * acts on what is shown. */
#include "payload/internal.h"

#include <string.h>

enum { HASH_LENGTH = 40, MIN_SIGNATURE = 20, MAX_SIGNATURE = 128 };

static int digit64(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-' || c == '+')
        return 62;
    return c == '_' || c == '/' ? 63 : -1;
}

/* Either alphabet, with or without padding. */
static bool unbase64(struct bytes in, struct buf *out)
{
    uint32_t v = 0;
    int bits = 0;
    while (in.len > 0 && in.data[in.len - 1] == '=')
        in.len--;
    if (in.len == 0 || in.len % 4 == 1)
        return false;
    buf_reserve(out, in.len);
    for (size_t i = 0; i < in.len; i++) {
        int d = digit64(in.data[i]);
        if (d < 0)
            return false;
        v = (v << 6 | (uint32_t)d) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_append_u8(out, (uint8_t)(v >> bits));
        }
    }
    return true;
}

static bool all_digits64(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (digit64(s.data[i]) < 0)
            return false;
    }
    return s.len > 0;
}

/* base64 of the payload, behind a dot if that is compressed. */
static bool open_signed(struct bytes body, size_t max, struct buf *out)
{
    struct buf raw;
    if (body.len == 0 || body.data[0] != '.')
        return unbase64(body, out);
    buf_init(&raw);
    bool done = unbase64(bytes_of(body.data + 1, body.len - 1), &raw) &&
                inflate_bounded(buf_bytes(&raw), max, out);
    buf_release(&raw);
    return done;
}

static bool is_hash(struct bytes s)
{
    for (size_t i = 0; i < HASH_LENGTH; i++) {
        if (memchr("0123456789abcdef", s.data[i], 16) == NULL)
            return false;
    }
    return s.data[HASH_LENGTH] == ':';
}

static bool open_hashed(struct bytes in, struct buf *out)
{
    struct buf raw;
    buf_init(&raw);
    bool done = unbase64(in, &raw) && raw.len > HASH_LENGTH + 1 && is_hash(buf_bytes(&raw));
    if (done)
        buf_append(out, raw.data + HASH_LENGTH + 1, raw.len - HASH_LENGTH - 1);
    buf_release(&raw);
    return done;
}

/* Cuts what stands behind the last colon off `s`. */
static bool cut_last(struct bytes *s, struct bytes *last)
{
    const char *colon = memrchr(s->data, ':', s->len);
    if (colon == NULL)
        return false;
    size_t at = (size_t)(colon - s->data);
    *last = bytes_of(colon + 1, s->len - at - 1);
    s->len = at;
    return true;
}

bool django_open(struct bytes in, size_t max, struct buf *out)
{
    struct bytes body = in;
    struct bytes signature;
    struct bytes timestamp;
    if (in.len == 0)
        return false;
    if (!cut_last(&body, &signature))
        return open_hashed(in, out);
    if (signature.len < MIN_SIGNATURE || signature.len > MAX_SIGNATURE || !all_digits64(signature))
        return false;
    if (cut_last(&body, &timestamp) && !all_digits64(timestamp))
        return false;
    return open_signed(body, max, out);
}

bool decode_django(struct bytes in, struct emit *e)
{
    struct buf payload;
    buf_init(&payload);
    bool done = django_open(in, e->max_inner, &payload) && decode_inner(buf_bytes(&payload), e);
    buf_release(&payload);
    return done || emit_unknown(e);
}
