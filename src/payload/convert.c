/* convert: see convert.h. Of the pickle's opcodes (Python: Lib/pickletools.py has them all) those
 * for what JSON has: dict, list, str, int, float, bool, None. No memo and no frames, which readers
 * do not need. */
#include "payload/convert.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "payload/internal.h"
#include "payload/json_read.h"

enum { MAX_OPEN = 64 * 1024 * 1024, MAX_NESTED = 500 };

struct writer {
    struct json_reader in;
    struct buf *out;
    int depth;
};

/* ---- opcodes ---- */

static void opcode(struct writer *w, char c)
{
    buf_append_u8(w->out, (uint8_t)c);
}

static void little_endian(struct writer *w, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        buf_append_u8(w->out, (uint8_t)(v >> (8 * i)));
}

/* SHORT_BINUNICODE, BINUNICODE, BINUNICODE8 */
static void put_text(struct writer *w, struct bytes s)
{
    bool is_short = s.len <= UINT8_MAX;
    bool is_long = s.len > UINT32_MAX;
    opcode(w, is_short ? '\x8c' : is_long ? '\x8d' : 'X');
    little_endian(w, s.len, is_short ? 1 : is_long ? 8 : 4);
    buf_append_bytes(w->out, s);
}

/* BININT where it fits; else LONG, which is text and has no limit. */
static void put_integer(struct writer *w, struct bytes digits)
{
    int64_t v;
    if (num_int64(digits, &v) && v >= INT32_MIN && v <= INT32_MAX) {
        opcode(w, 'J');
        little_endian(w, (uint64_t)v, 4);
        return;
    }
    opcode(w, 'L');
    buf_append_bytes(w->out, digits);
    buf_append_cstr(w->out, "L\n");
}

/* BINFLOAT: big-endian. */
static void put_float(struct writer *w, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    opcode(w, 'G');
    buf_append_be64(w->out, bits);
}

/* ---- JSON ---- */

static bool put_value(struct writer *w);

static bool put_number(struct writer *w)
{
    struct bytes text;
    if (!json_take_number(&w->in, &text))
        return false;
    bool whole = true;
    for (size_t i = 0; i < text.len; i++)
        whole = whole && memchr(".eE", text.data[i], 3) == NULL;
    if (whole) {
        put_integer(w, text);
        return true;
    }
    char *copy = mem_strndup(text.data, text.len);
    put_float(w, strtod(copy, NULL)); /* beyond its range an infinity, as in Python */
    mem_free(copy);
    return true;
}

static bool put_word(struct writer *w)
{
    static const char opcodes[] = {[JSON_NULL] = 'N', [JSON_TRUE] = '\x88', [JSON_FALSE] = '\x89'};
    enum json_word word;
    if (!json_take_word(&w->in, &word))
        return false;
    if (word <= JSON_FALSE)
        opcode(w, opcodes[word]);
    else
        put_float(w, word == JSON_NAN ? (double)NAN : word == JSON_INFINITY ? HUGE_VAL : -HUGE_VAL);
    return true;
}

/* EMPTY_DICT MARK key value ... SETITEMS */
static bool put_object(struct writer *w)
{
    struct bytes key;
    opcode(w, '}');
    if (json_take(&w->in, '}'))
        return true;
    opcode(w, '(');
    do {
        if (!json_take(&w->in, '"') || !json_take_string(&w->in, &key))
            return false;
        put_text(w, key);
        if (!json_take(&w->in, ':') || !put_value(w))
            return false;
    } while (json_take(&w->in, ','));
    opcode(w, 'u');
    return json_take(&w->in, '}');
}

/* EMPTY_LIST MARK value ... APPENDS */
static bool put_array(struct writer *w)
{
    opcode(w, ']');
    if (json_take(&w->in, ']'))
        return true;
    opcode(w, '(');
    do {
        if (!put_value(w))
            return false;
    } while (json_take(&w->in, ','));
    opcode(w, 'e');
    return json_take(&w->in, ']');
}

static bool put_value(struct writer *w)
{
    struct bytes text;
    if (json_take(&w->in, '"')) {
        if (!json_take_string(&w->in, &text))
            return false;
        put_text(w, text);
        return true;
    }
    bool object = json_take(&w->in, '{');
    if (!object && !json_take(&w->in, '['))
        return put_word(w) || put_number(w);
    if (++w->depth > MAX_NESTED)
        return false;
    bool done = object ? put_object(w) : put_array(w);
    w->depth--;
    return done;
}

/* Each byte is a character. */
static void append_latin1(struct buf *out, struct bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        append_utf8(out, (unsigned char)s.data[i]);
}

static bool put_document(struct writer *w, struct bytes json)
{
    json_reader_init(&w->in, json);
    json_skip_blanks(&w->in);
    bool object = w->in.p < w->in.end && *w->in.p == '{';
    opcode(w, '\x80'); /* PROTO */
    opcode(w, 4);
    bool done = object && put_value(w) && json_at_end(&w->in);
    opcode(w, '.'); /* STOP */
    json_reader_release(&w->in);
    return done;
}

bool convert_json_to_pickle(struct bytes json, struct buf *out)
{
    struct writer w = {.out = out};
    size_t before = out->len;
    struct buf text;
    buf_init(&text);
    append_latin1(&text, json);
    bool done = put_document(&w, buf_bytes(&text));
    if (!done)
        out->len = before;
    buf_release(&text);
    return done;
}

bool convert_is_json_object(struct bytes s)
{
    struct buf out;
    struct writer w = {.out = &out};
    buf_init(&out);
    bool is = put_document(&w, s);
    buf_release(&out);
    return is;
}

bool convert_is_pickle(struct bytes s)
{
    return s.len >= 4 && (unsigned char)s.data[0] == 0x80 && s.data[1] >= 2 && s.data[1] <= 5 &&
           s.data[s.len - 1] == '.';
}

bool convert_django_open(struct bytes text, struct buf *payload)
{
    size_t before = payload->len;
    if (django_open(text, MAX_OPEN, payload))
        return true;
    payload->len = before;
    return false;
}
