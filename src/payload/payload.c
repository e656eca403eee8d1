/* payload: which decoder, in what order, and the zlib wrapper. See payload.h. */
#include "payload/payload.h"

#include "payload/internal.h"

#define ZLIB_CONST
#include <zlib.h>

const struct payload_limits payload_default_limits = {
    .max_input = 1024 * 1024, .max_output = 1024 * 1024, .max_steps = 500 * 1000, .max_depth = 64};

static const struct {
    const char *name;
    decoder decode;
} formats[PAYLOAD_FORMATS] = {
    [PAYLOAD_AUTO] = {"auto", NULL},
    [PAYLOAD_JSON] = {"json", decode_json},
    [PAYLOAD_MSGPACK] = {"msgpack", decode_msgpack},
    [PAYLOAD_PICKLE] = {"pickle", decode_pickle},
    [PAYLOAD_DJANGO] = {"django", decode_django},
    [PAYLOAD_PHP] = {"php", decode_php},
    [PAYLOAD_PHP_SERIALIZE] = {"php-serialize", decode_php_serialize},
    [PAYLOAD_TEXT] = {"text", decode_text},
    [PAYLOAD_NONE] = {"none", NULL},
};

bool payload_format_named(struct bytes name, enum payload_format *out)
{
    for (int i = 0; i < PAYLOAD_FORMATS; i++) {
        if (bytes_ieq(name, formats[i].name)) {
            *out = (enum payload_format)i;
            return true;
        }
    }
    return false;
}

const char *payload_format_name(enum payload_format f)
{
    CHECK(f < PAYLOAD_FORMATS);
    return formats[f].name;
}

/* ---- zlib ---- */

bool is_zlib(struct bytes in)
{
    if (in.len < 8)
        return false;
    unsigned cmf = (unsigned char)in.data[0];
    unsigned flags = (unsigned char)in.data[1];
    return (cmf & 0x0f) == 8 && cmf >> 4 <= 7 && (flags & 0x20) == 0 &&
           (cmf << 8 | flags) % 31 == 0;
}

bool inflate_bounded(struct bytes in, size_t max, struct buf *out)
{
    enum { PIECE = 16 * 1024 };
    z_stream z = {.next_in = (const Bytef *)in.data, .avail_in = (uInt)in.len};
    if (inflateInit(&z) != Z_OK)
        return false;
    size_t start = out->len;
    int status = Z_OK;
    while (status == Z_OK && out->len - start <= max) {
        z.next_out = (Bytef *)buf_reserve(out, PIECE);
        z.avail_out = PIECE;
        status = inflate(&z, Z_NO_FLUSH);
        out->len += PIECE - z.avail_out;
    }
    bool whole = status == Z_STREAM_END && z.avail_in == 0 && out->len - start <= max;
    inflateEnd(&z);
    return whole;
}

/* ---- by content ---- */

/* An attempt; false leaves nothing behind. What hits a limit is not tried as something else. */
static bool attempt(decoder decode, struct bytes in, struct emit *e)
{
    struct emit before = *e;
    size_t len = e->out->len;
    if (decode(in, e) && emit_ok(e))
        return true;
    size_t steps = e->steps_left;
    if (e->result == PAYLOAD_LIMIT)
        before.result = PAYLOAD_LIMIT;
    e->out->len = len;
    *e = before;
    e->steps_left = steps;
    return false;
}

static bool is_pickle_start(struct bytes in)
{
    return in.len >= 4 && (unsigned char)in.data[0] == 0x80 && (unsigned char)in.data[1] <= 5;
}

/* Protocols 0 and 1 have no mark at the start. Without one of these first opcodes they hold no
 * container and no object. */
static bool may_be_old_pickle(struct bytes in)
{
    return in.len >= 2 && in.data[in.len - 1] == '.' && strchr("(]}c", in.data[0]) != NULL;
}

/* Text comes last: most of the others are texts, too. */
bool decode_inner(struct bytes in, struct emit *e)
{
    if (in.len == 0)
        return false;
    if (is_pickle_start(in) && attempt(decode_pickle, in, e))
        return true;
    static const decoder others[] = {decode_json, decode_php_serialize, decode_msgpack, decode_php};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && emit_ok(e); i++) {
        if (attempt(others[i], in, e))
            return true;
    }
    return emit_ok(e) && may_be_old_pickle(in) && attempt(decode_pickle, in, e);
}

static bool decode_any(struct bytes in, struct emit *e)
{
    if (decode_inner(in, e))
        return true;
    if (emit_ok(e) && attempt(decode_django, in, e))
        return true;
    return emit_ok(e) && attempt(decode_text, in, e);
}

static bool decode_as(enum payload_format hint, struct bytes in, struct emit *e)
{
    return hint == PAYLOAD_AUTO ? decode_any(in, e) : attempt(formats[hint].decode, in, e);
}

/* A fixed format may be wrapped as well. What begins like a stream and is none is not wrapped. */
static bool decode_wrapped(enum payload_format hint, struct bytes in, size_t max, struct emit *e)
{
    struct buf plain;
    buf_init(&plain);
    bool done = inflate_bounded(in, max, &plain) && decode_as(hint, buf_bytes(&plain), e);
    buf_release(&plain);
    return done;
}

static enum payload_result decode_once(struct bytes in, enum payload_format hint, size_t max,
                                       struct emit *e)
{
    size_t start = e->out->len;
    bool done = is_zlib(in) && decode_wrapped(hint, in, max, e);
    if (!done && emit_ok(e))
        done = decode_as(hint, in, e);
    if (done && emit_ok(e))
        return PAYLOAD_OK;
    e->out->len = start;
    return emit_ok(e) ? PAYLOAD_UNKNOWN : e->result;
}

enum payload_result payload_decode(struct bytes in, enum payload_format hint,
                                   const struct payload_limits *limits, struct buf *json_out)
{
    struct emit e;
    CHECK(hint < PAYLOAD_FORMATS);
    if (in.len == 0 || hint == PAYLOAD_NONE)
        return PAYLOAD_UNKNOWN;
    if (in.len > limits->max_input)
        return PAYLOAD_LIMIT;
    emit_init(&e, json_out, limits);
    enum payload_result r = decode_once(in, hint, limits->max_input, &e);
    if (r == PAYLOAD_LIMIT && emit_init_reduced(&e, json_out, limits))
        r = decode_once(in, hint, limits->max_input, &e);
    return r;
}
