/* php: serialize(), and the session handler `php`: name|value for each variable
 * (php.net/manual, serialize() and session.serialize_handler). Strings are bytes there: text where
 * they are UTF-8. An array whose keys are 0, 1, 2 ... becomes an array, any other an object. A
 * reference becomes {"$ref": n}, n counting the values from 1 as PHP does.
 *
 * Whether an array is a list shows at its end. So each value is looked through before it is written,
 * once, and what was found of its containers (`shapes`) is taken in the same order afterwards. */
#include "payload/internal.h"

#include <string.h>

/* Of an array or an object. */
struct shape {
    uint32_t end;  /* where it ends, from the start of the input */
    uint32_t next; /* the first shape behind those in it */
    bool list;
};

struct php {
    const char *start;
    const char *p;
    const char *end;
    struct emit *e;
    struct buf shapes;
    size_t next_shape;
};

static void open_input(struct php *s, struct bytes in, struct emit *e)
{
    *s = (struct php){.start = in.data, .p = in.data, .end = in.data + in.len, .e = e};
    buf_init(&s->shapes);
}

static bool take(struct php *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

static bool take_size(struct php *s, size_t *out)
{
    size_t v = 0;
    int digits = 0;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9' && digits < 10) {
        v = v * 10 + (size_t)(*s->p++ - '0');
        digits++;
    }
    *out = v;
    return digits > 0;
}

/* Up to `stop`, which is taken, too. */
static bool take_until(struct php *s, char stop, size_t max, struct bytes *out)
{
    size_t left = (size_t)(s->end - s->p);
    const char *at = memchr(s->p, stop, left < max ? left : max);
    if (at == NULL)
        return false;
    *out = bytes_of(s->p, (size_t)(at - s->p));
    s->p = at + 1;
    return true;
}

/* size:"bytes", as strings and names of classes have it. */
static bool take_string(struct php *s, struct bytes *out)
{
    size_t n;
    if (!take_size(s, &n) || !take(s, ':') || !take(s, '"') || (size_t)(s->end - s->p) < n)
        return false;
    *out = bytes_of(s->p, n);
    s->p += n;
    return take(s, '"');
}

static bool is_integer(struct bytes s)
{
    return is_json_number(s) && s.len > 0 && memchr(s.data, '.', s.len) == NULL &&
           memchr(s.data, 'e', s.len) == NULL && memchr(s.data, 'E', s.len) == NULL;
}

/* The letter of a type and its colon. */
static bool take_type(struct php *s, char *type)
{
    if (s->p == s->end)
        return false;
    *type = *s->p++;
    return *type == 'N' || take(s, ':');
}

enum { NUMBER_SIZE = 64 };

/* Integers and strings can be keys. */
static bool take_key(struct php *s, char *type, struct bytes *key)
{
    if (!take_type(s, type))
        return false;
    if (*type == 'i')
        return take_until(s, ';', NUMBER_SIZE, key) && is_integer(*key);
    return *type == 's' && take_string(s, key) && take(s, ';');
}

/* ---- looking ahead ---- */

enum { MAX_NESTED = 4096 }; /* as PHP's own unserialize has it */

static struct shape *shape_at(struct php *s, size_t i)
{
    return (struct shape *)(void *)s->shapes.data + i;
}

static bool scan(struct php *s, int depth);

/* Is this the key of the i-th element of a list? */
static bool is_index(char type, struct bytes key, size_t i)
{
    size_t v = 0;
    if (type != 'i' || key.len > 9 || key.data[0] == '-')
        return false;
    for (size_t d = 0; d < key.len; d++)
        v = v * 10 + (size_t)(key.data[d] - '0');
    return v == i;
}

/* n pairs, or n bytes of a class' own, and the closing brace. */
static bool scan_inside(struct php *s, char of, size_t n, int depth)
{
    struct shape shape = {.list = of == 'a'};
    size_t at = s->shapes.len / sizeof(shape);
    struct bytes key;
    char type;
    if (depth > MAX_NESTED)
        return false;
    buf_append(&s->shapes, (const char *)&shape, sizeof(shape));
    for (size_t i = 0; i < n && of != 'C'; i++) {
        if (!take_key(s, &type, &key))
            return false;
        shape.list = shape.list && is_index(type, key, i);
        if (!scan(s, depth + 1))
            return false;
    }
    if (of == 'C') {
        if ((size_t)(s->end - s->p) < n)
            return false;
        s->p += n;
    }
    shape.end = (uint32_t)(s->p - s->start);
    shape.next = (uint32_t)(s->shapes.len / sizeof(shape));
    *shape_at(s, at) = shape;
    return take(s, '}');
}

/* Moves behind the value at s->p. */
static bool scan(struct php *s, int depth)
{
    struct bytes ignored;
    char type;
    size_t n;
    if (!emit_step(s->e, 1) || !take_type(s, &type))
        return false;
    if (type == 'N')
        return take(s, ';');
    if (memchr("bidRr", type, 5) != NULL)
        return take_until(s, ';', NUMBER_SIZE, &ignored);
    if (type == 's' || type == 'E')
        return take_string(s, &ignored) && take(s, ';');
    if (type == 'O' || type == 'C') {
        if (!take_string(s, &ignored) || !take(s, ':'))
            return false;
    } else if (type != 'a') {
        return false;
    }
    return take_size(s, &n) && take(s, ':') && take(s, '{') && scan_inside(s, type, n, depth);
}

/* What is about the value at s->p has to be known before it is read. */
static bool look_ahead(struct php *s)
{
    const char *from = s->p;
    s->shapes.len = 0;
    s->next_shape = 0;
    bool known = scan(s, 0);
    s->p = from;
    return known;
}

/* ---- values ---- */

static bool read_value(struct php *s);

/* Private and protected properties have their class (or "*") between NULs before the name. */
static struct bytes property_name(struct bytes key)
{
    if (key.len < 2 || key.data[0] != '\0')
        return key;
    const char *second = memchr(key.data + 1, '\0', key.len - 1);
    if (second == NULL)
        return key;
    size_t at = (size_t)(second - key.data) + 1;
    return bytes_of(key.data + at, key.len - at);
}

static void emit_php_key(struct emit *e, struct bytes key)
{
    size_t mark = emit_key_begin(e);
    emit_bytes(e, key);
    emit_key_end(e, mark);
}

/* Nothing more of this container is written. */
static void skip_inside(struct php *s, const struct shape *shape)
{
    s->p = s->start + shape->end;
    s->next_shape = shape->next;
}

/* n pairs and the closing brace. */
static bool read_pairs(struct php *s, size_t n, bool properties)
{
    struct bytes key;
    char type;
    struct shape shape = *shape_at(s, s->next_shape++);
    if (!emit_begin(s->e, shape.list ? '[' : '{'))
        return false;
    for (size_t i = 0; i < n && !emit_closed(s->e); i++) {
        if (!take_key(s, &type, &key))
            return false;
        if (!shape.list)
            emit_php_key(s->e, properties ? property_name(key) : key);
        if (!read_value(s))
            return false;
    }
    skip_inside(s, &shape);
    emit_end(s->e, shape.list ? ']' : '}');
    return take(s, '}') && emit_ok(s->e);
}

static bool read_array(struct php *s)
{
    size_t n;
    return take_size(s, &n) && take(s, ':') && take(s, '{') && read_pairs(s, n, false);
}

static bool read_raw_state(struct php *s, size_t n)
{
    if ((size_t)(s->end - s->p) < n)
        return false;
    s->next_shape++;
    emit_text_or_bytes(s->e, bytes_of(s->p, n));
    s->p += n;
    return take(s, '}');
}

/* 'O' has properties, 'C' has what the class itself wrote. */
static bool read_object(struct php *s, char type)
{
    struct bytes name;
    size_t n;
    if (!take_string(s, &name) || !take(s, ':') || !take_size(s, &n) || !take(s, ':') ||
        !take(s, '{') || !emit_begin(s->e, '{'))
        return false;
    emit_key_cstr(s->e, "$object");
    emit_text(s->e, name);
    emit_key_cstr(s->e, "state");
    if (!(type == 'O' ? read_pairs(s, n, true) : read_raw_state(s, n)))
        return false;
    emit_end(s->e, '}');
    return emit_ok(s->e);
}

static bool read_number(struct php *s, char type)
{
    static const char *const names[][2] = {
        {"NAN", "NaN"}, {"INF", "Infinity"}, {"-INF", "-Infinity"}};
    struct bytes text;
    if (!take_until(s, ';', type == 'i' ? NUMBER_SIZE : 512, &text))
        return false;
    for (int i = 0; i < 3 && type == 'd'; i++) {
        if (bytes_eq(text, bytes_cstr(names[i][0]))) {
            emit_cstr(s->e, names[i][1]);
            return emit_ok(s->e);
        }
    }
    if (type == 'i' ? !is_integer(text) : !is_json_number(text))
        return false;
    emit_number(s->e, text);
    return emit_ok(s->e);
}

static bool read_bool(struct php *s)
{
    bool v = s->p < s->end && *s->p == '1';
    if (!v && (s->p == s->end || *s->p != '0'))
        return false;
    s->p++;
    emit_bool(s->e, v);
    return take(s, ';');
}

static bool read_reference(struct php *s)
{
    size_t n;
    if (!take_size(s, &n) || !take(s, ';') || !emit_begin(s->e, '{'))
        return false;
    emit_key_cstr(s->e, "$ref");
    emit_uint(s->e, n);
    emit_end(s->e, '}');
    return emit_ok(s->e);
}

static bool read_string(struct php *s, char type)
{
    struct bytes text;
    if (!take_string(s, &text) || !take(s, ';'))
        return false;
    if (type == 's') {
        emit_text_or_bytes(s->e, text);
        return emit_ok(s->e);
    }
    if (!emit_begin(s->e, '{')) /* a case of an enum: "Suit:Hearts" */
        return false;
    emit_key_cstr(s->e, "$object");
    emit_text(s->e, text);
    emit_end(s->e, '}');
    return emit_ok(s->e);
}

static bool read_value(struct php *s)
{
    char type;
    if (!take_type(s, &type))
        return false;
    switch (type) {
    case 'N':
        emit_null(s->e);
        return take(s, ';');
    case 'b':
        return read_bool(s);
    case 'i':
    case 'd':
        return read_number(s, type);
    case 's':
    case 'E':
        return read_string(s, type);
    case 'a':
        return read_array(s);
    case 'O':
    case 'C':
        return read_object(s, type);
    case 'R':
    case 'r':
        return read_reference(s);
    default:
        return false;
    }
}

static bool decode_whole(struct bytes in, struct emit *e)
{
    struct php s;
    open_input(&s, in, e);
    bool whole = look_ahead(&s) && read_value(&s) && s.p == s.end;
    buf_release(&s.shapes);
    return whole;
}

/* Laravel serializes the session, and its cache the string that this gives. */
static bool is_serialized_twice(struct bytes in, struct bytes *inner)
{
    struct php s = {.p = in.data, .end = in.data + in.len};
    return take(&s, 's') && take(&s, ':') && take_string(&s, inner) && take(&s, ';') &&
           s.p == s.end && inner->len >= 6 && memcmp(inner->data, "a:", 2) == 0 &&
           inner->data[inner->len - 1] == '}';
}

bool decode_php_serialize(struct bytes in, struct emit *e)
{
    struct bytes inner;
    if (is_serialized_twice(in, &inner))
        in = inner;
    return decode_whole(in, e) || emit_unknown(e);
}

/* ---- the session handler ---- */

static bool is_name(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.data[i] < 0x20)
            return false;
    }
    return s.len > 0;
}

/* A "!" before a name says that the variable has no value. */
static bool read_variables(struct php *s)
{
    enum { NAME_SIZE = 256 };
    struct bytes name;
    if (!emit_begin(s->e, '{'))
        return false;
    while (s->p < s->end && emit_ok(s->e)) {
        bool unset = take(s, '!');
        if (!take_until(s, '|', NAME_SIZE, &name) || !is_name(name))
            return false;
        emit_php_key(s->e, name);
        if (unset)
            emit_null(s->e);
        else if (!look_ahead(s) || !read_value(s))
            return false;
    }
    emit_end(s->e, '}');
    return s->p > s->start;
}

bool decode_php(struct bytes in, struct emit *e)
{
    struct php s;
    open_input(&s, in, e);
    bool whole = read_variables(&s);
    buf_release(&s.shapes);
    return whole ? emit_ok(e) : emit_unknown(e);
}
