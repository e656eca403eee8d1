/* json: JSON (RFC 8259) → the same in the form that jsonb accepts. Digits are passed on as they
 * are, so that no number loses any. NaN and Infinity are understood: Python writes them. */
#include "payload/internal.h"

#include <string.h>

struct reader {
    const char *p;
    const char *end;
    struct emit *e;
    struct buf text; /* of a string with escapes */
};

static void skip_blanks(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

static bool take(struct reader *r, char c)
{
    skip_blanks(r);
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

/* ---- strings ---- */

static bool take_hex(struct reader *r, uint32_t *out)
{
    uint32_t v = 0;
    if (r->end - r->p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = *r->p++;
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0)
            return false;
        v = v << 4 | (uint32_t)d;
    }
    *out = v;
    return true;
}

/* Behind "\u". Two surrogates are one character. */
static bool take_code(struct reader *r)
{
    uint32_t c;
    uint32_t low;
    if (!take_hex(r, &c))
        return false;
    const char *behind = r->p;
    if (c >= 0xd800 && c < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u') {
        r->p += 2;
        if (!take_hex(r, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000)
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        else
            r->p = behind;
    }
    append_utf8(&r->text, c);
    return true;
}

static bool take_escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    char c = *r->p++;
    if (c == 'u')
        return take_code(r);
    const char *at = c == '\0' ? NULL : strchr(from, c);
    if (at == NULL)
        return false;
    buf_append_u8(&r->text, (uint8_t)to[at - from]);
    return true;
}

/* Behind the opening quote; the bytes are good until the next string. */
static bool take_string(struct reader *r, struct bytes *out)
{
    const char *start = r->p;
    bool escaped = false;
    r->text.len = 0;
    while (r->p < r->end && *r->p != '"') {
        if ((unsigned char)*r->p < 0x20)
            return false;
        if (*r->p != '\\') {
            if (escaped)
                buf_append_u8(&r->text, (uint8_t)*r->p);
            r->p++;
            continue;
        }
        if (!escaped)
            buf_append(&r->text, start, (size_t)(r->p - start));
        escaped = true;
        if (++r->p == r->end || !take_escape(r))
            return false;
    }
    if (r->p == r->end)
        return false;
    *out = escaped ? buf_bytes(&r->text) : bytes_of(start, (size_t)(r->p - start));
    r->p++;
    return true;
}

/* ---- values ---- */

static bool read_value(struct reader *r);

static bool read_object(struct reader *r)
{
    struct bytes key;
    if (!emit_begin(r->e, '{'))
        return false;
    if (!take(r, '}')) {
        do {
            if (!take(r, '"') || !take_string(r, &key))
                return false;
            emit_key(r->e, key);
            if (!take(r, ':') || !read_value(r))
                return false;
        } while (take(r, ','));
        if (!take(r, '}'))
            return false;
    }
    emit_end(r->e, '}');
    return emit_ok(r->e);
}

static bool read_array(struct reader *r)
{
    if (!emit_begin(r->e, '['))
        return false;
    if (!take(r, ']')) {
        do {
            if (!read_value(r))
                return false;
        } while (take(r, ','));
        if (!take(r, ']'))
            return false;
    }
    emit_end(r->e, ']');
    return emit_ok(r->e);
}

static bool read_word(struct reader *r)
{
    static const char *const words[] = {"null", "true", "false", "NaN", "Infinity", "-Infinity"};
    for (int i = 0; i < 6; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(r->end - r->p) < n || memcmp(r->p, words[i], n) != 0)
            continue;
        r->p += n;
        if (i == 0)
            emit_null(r->e);
        else if (i <= 2)
            emit_bool(r->e, i == 1);
        else
            emit_cstr(r->e, words[i]);
        return emit_ok(r->e);
    }
    return false;
}

static bool read_number(struct reader *r)
{
    const char *start = r->p;
    while (r->p < r->end && memchr("+-.0123456789eE", *r->p, 15) != NULL)
        r->p++;
    struct bytes text = bytes_of(start, (size_t)(r->p - start));
    if (!is_json_number(text))
        return false;
    emit_number(r->e, text);
    return emit_ok(r->e);
}

static bool read_value(struct reader *r)
{
    struct bytes text;
    skip_blanks(r);
    if (r->p == r->end)
        return false;
    switch (*r->p) {
    case '{':
        r->p++;
        return read_object(r);
    case '[':
        r->p++;
        return read_array(r);
    case '"':
        r->p++;
        if (!take_string(r, &text))
            return false;
        emit_text(r->e, text);
        return emit_ok(r->e);
    default:
        return read_word(r) || read_number(r);
    }
}

bool decode_json(struct bytes in, struct emit *e)
{
    struct reader r = {.p = in.data, .end = in.data + in.len, .e = e};
    buf_init(&r.text);
    bool whole = read_value(&r);
    skip_blanks(&r);
    whole = whole && r.p == r.end;
    buf_release(&r.text);
    return whole || emit_unknown(e);
}
