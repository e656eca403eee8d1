#include "payload/json_read.h"

#include <stdint.h>
#include <string.h>

#include "payload/emit.h"

const char *const json_words[JSON_WORDS] = {"null", "true",     "false",
                                            "NaN",  "Infinity", "-Infinity"};

void json_reader_init(struct json_reader *r, struct bytes in)
{
    if (in.len == 0)
        in = BYTES_LIT(""); /* not NULL */
    *r = (struct json_reader){.p = in.data, .end = in.data + in.len};
    buf_init(&r->text);
}

void json_reader_release(struct json_reader *r)
{
    buf_release(&r->text);
}

void json_skip_blanks(struct json_reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

bool json_take(struct json_reader *r, char c)
{
    json_skip_blanks(r);
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

/* ---- strings ---- */

static bool take_hex(struct json_reader *r, uint32_t *out)
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
static bool take_code(struct json_reader *r)
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

static bool take_escape(struct json_reader *r)
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

bool json_take_string(struct json_reader *r, struct bytes *out)
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

/* Behind the opening quote. */
static bool skip_string(struct json_reader *r)
{
    while (r->p < r->end && *r->p != '"')
        r->p += *r->p == '\\' && r->end - r->p > 1 ? 2 : 1;
    if (r->p == r->end)
        return false;
    r->p++;
    return true;
}

/* The brackets that are open stand in `text`, so that no depth is too much. */
bool json_skip_inside(struct json_reader *r, char closing)
{
    struct buf *open = &r->text;
    open->len = 0;
    buf_append_u8(open, (uint8_t)closing);
    while (open->len > 0) {
        if (r->p == r->end)
            return false;
        char c = *r->p++;
        if (c == '"' && !skip_string(r))
            return false;
        if (c == '{' || c == '[')
            buf_append_u8(open, c == '{' ? '}' : ']');
        else if ((c == '}' || c == ']') && open->data[--open->len] != c)
            return false;
    }
    return true;
}

bool json_at_end(struct json_reader *r)
{
    json_skip_blanks(r);
    return r->p == r->end;
}

/* ---- words and numbers ---- */

bool json_take_word(struct json_reader *r, enum json_word *out)
{
    for (int i = 0; i < JSON_WORDS; i++) {
        size_t n = strlen(json_words[i]);
        if ((size_t)(r->end - r->p) < n || memcmp(r->p, json_words[i], n) != 0)
            continue;
        r->p += n;
        *out = (enum json_word)i;
        return true;
    }
    return false;
}

bool json_take_number(struct json_reader *r, struct bytes *out)
{
    const char *start = r->p;
    while (r->p < r->end && memchr("+-.0123456789eE", *r->p, 15) != NULL)
        r->p++;
    *out = bytes_of(start, (size_t)(r->p - start));
    return is_json_number(*out);
}
