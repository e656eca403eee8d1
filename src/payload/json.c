/* json: JSON (RFC 8259) → the same in the form that jsonb accepts. Digits are passed on as they
 * are, so that no number loses any. NaN and Infinity are understood: Python writes them. */
#include "payload/internal.h"
#include "payload/json_read.h"

struct reader {
    struct json_reader in;
    struct emit *e;
};

/* ---- values ---- */

static bool read_value(struct reader *r);

/* Nothing more of this container is written. */
static bool skip(struct reader *r, char closing)
{
    const char *from = r->in.p;
    if (!json_skip_inside(&r->in, closing) || !emit_step(r->e, (size_t)(r->in.p - from) / 16))
        return false;
    emit_end(r->e, closing);
    return emit_ok(r->e);
}

static bool read_object(struct reader *r)
{
    struct bytes key;
    if (!emit_begin(r->e, '{'))
        return false;
    if (!json_take(&r->in, '}')) {
        do {
            if (emit_closed(r->e))
                return skip(r, '}');
            if (!json_take(&r->in, '"') || !json_take_string(&r->in, &key))
                return false;
            emit_key(r->e, key);
            if (!json_take(&r->in, ':') || !read_value(r))
                return false;
        } while (json_take(&r->in, ','));
        if (!json_take(&r->in, '}'))
            return false;
    }
    emit_end(r->e, '}');
    return emit_ok(r->e);
}

static bool read_array(struct reader *r)
{
    if (!emit_begin(r->e, '['))
        return false;
    if (!json_take(&r->in, ']')) {
        do {
            if (emit_closed(r->e))
                return skip(r, ']');
            if (!read_value(r))
                return false;
        } while (json_take(&r->in, ','));
        if (!json_take(&r->in, ']'))
            return false;
    }
    emit_end(r->e, ']');
    return emit_ok(r->e);
}

static bool read_word(struct reader *r)
{
    enum json_word word;
    if (!json_take_word(&r->in, &word))
        return false;
    if (word == JSON_NULL)
        emit_null(r->e);
    else if (word <= JSON_FALSE)
        emit_bool(r->e, word == JSON_TRUE);
    else
        emit_cstr(r->e, json_words[word]);
    return emit_ok(r->e);
}

static bool read_number(struct reader *r)
{
    struct bytes text;
    if (!json_take_number(&r->in, &text))
        return false;
    emit_number(r->e, text);
    return emit_ok(r->e);
}

static bool read_value(struct reader *r)
{
    struct bytes text;
    json_skip_blanks(&r->in);
    if (r->in.p == r->in.end)
        return false;
    switch (*r->in.p) {
    case '{':
        r->in.p++;
        return read_object(r);
    case '[':
        r->in.p++;
        return read_array(r);
    case '"':
        r->in.p++;
        if (!json_take_string(&r->in, &text))
            return false;
        emit_text(r->e, text);
        return emit_ok(r->e);
    default:
        return read_word(r) || read_number(r);
    }
}

bool decode_json(struct bytes in, struct emit *e)
{
    struct reader r = {.e = e};
    json_reader_init(&r.in, in);
    bool whole = read_value(&r) && json_at_end(&r.in);
    json_reader_release(&r.in);
    return whole || emit_unknown(e);
}
