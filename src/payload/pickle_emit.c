/* pickle_emit: the nodes of a pickle as JSON. Classes of Python's library that sessions hold are
 * known by name and shown as what they stand for (`known` at the end); all others by name,
 * arguments and state. */
#include "payload/pickle.h"

#include <stdio.h>
#include <string.h>

#include "payload/internal.h"

struct walk {
    struct graph *g;
    struct emit *e;
};

static void walk_node(struct walk *w, uint32_t node);
static uint32_t value_of(struct walk *w, uint32_t dict, const char *key);

static struct node *at(struct walk *w, uint32_t node)
{
    return &w->g->nodes[node];
}

/* The i-th of a tuple or list, 0 if there is none. */
static uint32_t item(struct walk *w, uint32_t container, int i)
{
    if (container == 0 ||
        (at(w, container)->kind != NODE_TUPLE && at(w, container)->kind != NODE_LIST))
        return 0;
    uint32_t c = at(w, container)->cells.head;
    while (c != 0 && i-- > 0)
        c = w->g->cells[c].next;
    return c == 0 ? 0 : w->g->cells[c].value;
}

static bool is_kind(struct walk *w, uint32_t node, enum node_kind kind)
{
    return node != 0 && at(w, node)->kind == kind;
}

static bool is_string(struct walk *w, uint32_t node)
{
    return is_kind(w, node, NODE_TEXT) || is_kind(w, node, NODE_RAW);
}

static bool as_int(struct walk *w, uint32_t node, int64_t *out)
{
    if (!is_kind(w, node, NODE_INT))
        return false;
    *out = at(w, node)->i;
    return true;
}

/* ---- names ---- */

enum { NAME_DEPTH = 8, NAME_SIZE = 512 };

static void append_module(struct buf *out, struct bytes module)
{
    if (bytes_eq(module, BYTES_LIT("__builtin__")))
        module = BYTES_LIT("builtins");
    else if (bytes_eq(module, BYTES_LIT("copy_reg")))
        module = BYTES_LIT("copyreg");
    buf_append_bytes(out, module);
}

/* The dotted name of what is called; false if it has none. */
static bool append_name(struct walk *w, uint32_t callable, struct buf *out, int depth)
{
    if (is_kind(w, callable, NODE_GLOBAL)) {
        struct bytes module = at(w, at(w, callable)->object.callable)->s;
        struct bytes name = at(w, at(w, callable)->object.args)->s;
        if (module.len >= NAME_SIZE || name.len >= NAME_SIZE)
            return false;
        append_module(out, module);
        buf_append_u8(out, '.');
        buf_append_bytes(out, name);
        return true;
    }
    if (!is_kind(w, callable, NODE_OBJECT) || depth == 0)
        return false;
    /* getattr(Class, 'name'), as protocols before 4 say Class.name */
    uint32_t args = at(w, callable)->object.args;
    if (!is_string(w, item(w, args, 1)) || at(w, item(w, args, 1))->s.len >= NAME_SIZE ||
        !append_name(w, item(w, args, 0), out, depth - 1))
        return false;
    buf_append_u8(out, '.');
    buf_append_bytes(out, at(w, item(w, args, 1))->s);
    return true;
}

/* copyreg._reconstructor(cls, base, state) stands for an object of cls: protocols 0 and 1. */
static bool is_reconstructor(const char *name)
{
    return strcmp(name, "copyreg._reconstructor") == 0;
}

struct object {
    char name[NAME_SIZE]; /* "" = none, or too long */
    uint32_t args;        /* 0 = none worth showing */
    bool class_first;     /* the first of them is the class */
    uint32_t state;
    uint32_t items;
    uint32_t pairs;
};

static void take_name(struct walk *w, uint32_t callable, struct object *o)
{
    struct buf name;
    buf_init(&name);
    o->name[0] = '\0';
    if (append_name(w, callable, &name, NAME_DEPTH) && name.len < NAME_SIZE) {
        memcpy(o->name, name.data, name.len);
        o->name[name.len] = '\0';
    }
    buf_release(&name);
}

/* partial(cls.__new__, cls, *args, **keywords)() stands for a class with __getnewargs_ex__ in the protocols
 * 2 and 3. The state of a partial is its function, arguments and keywords. */
static bool take_partial(struct walk *w, uint32_t callable, struct object *o)
{
    if (!is_kind(w, callable, NODE_OBJECT))
        return false;
    const struct node *n = at(w, callable);
    take_name(w, n->object.callable, o);
    uint32_t args = item(w, n->object.state, 1);
    if (strcmp(o->name, "functools.partial") != 0 || item(w, args, 0) == 0)
        return false;
    take_name(w, item(w, args, 0), o);
    o->args = args;
    o->class_first = true;
    if (o->state == 0)
        o->state = item(w, n->object.state, 2);
    return true;
}

static void take_object(struct walk *w, uint32_t node, struct object *o)
{
    const struct node *n = at(w, node);
    o->class_first = false;
    o->args = n->object.args;
    o->state = n->object.state;
    o->items = n->object.items;
    o->pairs = n->object.pairs;
    if (take_partial(w, n->object.callable, o))
        return;
    take_name(w, n->object.callable, o);
    uint32_t class = item(w, o->args, 0);
    if (is_reconstructor(o->name) && class != 0) {
        uint32_t base_state = item(w, o->args, 2);
        take_name(w, class, o);
        if (o->state == 0 && base_state != 0 && !is_kind(w, base_state, NODE_NONE))
            o->state = base_state;
        o->args = 0;
    } else if (strcmp(o->name, "copyreg.__newobj__") == 0 && class != 0) {
        take_name(w, class, o);
    }
}

/* ---- plain values ---- */

/* Two's complement, little-endian, to decimal: in digits of 10^9. */
static void emit_long(struct emit *e, struct bytes s)
{
    enum { MAX_BYTES = 512, MAX_DIGITS = MAX_BYTES * 8 / 29 + 2 };
    uint32_t digits[MAX_DIGITS] = {0};
    char text[MAX_DIGITS * 9 + 2];
    int n = 1;
    if (s.len > MAX_BYTES) {
        emit_bytes(e, s);
        return;
    }
    bool negative = s.len > 0 && (s.data[s.len - 1] & 0x80) != 0;
    unsigned carry = negative; /* the magnitude of a negative one: inverted, plus one */
    unsigned char magnitude[MAX_BYTES];
    for (size_t i = 0; i < s.len; i++) {
        unsigned b = (unsigned char)s.data[i];
        b = (negative ? ~b & 0xff : b) + carry;
        magnitude[i] = (unsigned char)b;
        carry = b >> 8;
    }
    for (size_t i = s.len; i-- > 0;) {
        uint64_t v = magnitude[i];
        for (int d = 0; d < n; d++) {
            v += (uint64_t)digits[d] << 8;
            digits[d] = (uint32_t)(v % 1000000000);
            v /= 1000000000;
        }
        if (v != 0)
            digits[n++] = (uint32_t)v;
    }
    size_t len = (size_t)snprintf(text, sizeof(text), "%s%u", negative ? "-" : "", digits[n - 1]);
    for (int d = n - 2; d >= 0; d--)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%09u", digits[d]);
    emit_step(e, s.len);
    emit_number(e, bytes_of(text, len));
}

static void emit_list(struct walk *w, uint32_t container, bool without_first)
{
    if (!emit_begin(w->e, '['))
        return;
    uint32_t c = container == 0 ? 0 : at(w, container)->cells.head;
    if (c != 0 && without_first)
        c = w->g->cells[c].next;
    for (; c != 0 && emit_ok(w->e) && !emit_closed(w->e); c = w->g->cells[c].next)
        walk_node(w, w->g->cells[c].value);
    emit_end(w->e, ']');
}

static void emit_dict(struct walk *w, uint32_t container)
{
    if (!emit_begin(w->e, '{'))
        return;
    uint32_t c = container == 0 ? 0 : at(w, container)->cells.head;
    while (c != 0 && emit_ok(w->e) && !emit_closed(w->e)) {
        size_t mark = emit_key_begin(w->e);
        walk_node(w, w->g->cells[c].value);
        emit_key_end(w->e, mark);
        c = w->g->cells[c].next;
        walk_node(w, w->g->cells[c].value);
        c = w->g->cells[c].next;
    }
    emit_end(w->e, '}');
}

/* ---- bytes ---- */

/* A text whose characters are all below 256, as bytes. */
static bool append_latin1(struct bytes text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c >= 0x80) {
            if ((c != 0xc2 && c != 0xc3) || i + 1 == text.len)
                return false;
            c = (unsigned char)((c & 3) << 6 | (text.data[++i] & 0x3f));
        }
        buf_append_u8(out, c);
    }
    return true;
}

/* Bytes are bytes from protocol 3 on; before, _codecs.encode(text, 'latin1'), or a str of Python 2.
 * What is longer than `max` is not even looked at: the same text may be met very often. */
static bool append_bytes_of(struct walk *w, uint32_t node, size_t max, struct buf *out)
{
    struct object o;
    if (is_kind(w, node, NODE_OBJECT)) {
        take_object(w, node, &o);
        node = strcmp(o.name, "_codecs.encode") == 0 ? item(w, o.args, 0) : 0;
        if (!is_kind(w, node, NODE_TEXT))
            return false;
    }
    if (is_kind(w, node, NODE_TEXT))
        return at(w, node)->s.len <= max * 2 && append_latin1(at(w, node)->s, out);
    if (!is_kind(w, node, NODE_BYTES) && !is_kind(w, node, NODE_RAW))
        return false;
    if (at(w, node)->s.len > max)
        return false;
    buf_append_bytes(out, at(w, node)->s);
    return true;
}

/* The few bytes that a date is made of. */
static bool fixed_bytes(struct walk *w, uint32_t node, unsigned char *out, size_t n)
{
    struct buf b;
    buf_init(&b);
    bool done = append_bytes_of(w, node, n, &b) && b.len == n;
    if (done)
        memcpy(out, b.data, n);
    buf_release(&b);
    return done;
}

static bool known_bytes(struct walk *w, const struct object *o)
{
    struct buf b;
    buf_init(&b);
    uint32_t first = item(w, o->args, 0);
    bool done = first == 0 || append_bytes_of(w, first, SIZE_MAX / 2, &b);
    if (done)
        emit_bytes(w->e, buf_bytes(&b));
    buf_release(&b);
    return done;
}

/* ---- dates ---- */

enum { TIME_TEXT = 160 };

static bool is_object(struct walk *w, uint32_t node, struct object *o)
{
    if (!is_kind(w, node, NODE_OBJECT))
        return false;
    take_object(w, node, o);
    return true;
}

/* datetime.timedelta(days, seconds, microseconds) in seconds. */
static bool delta_seconds(struct walk *w, uint32_t node, int64_t *out)
{
    struct object o;
    int64_t days;
    int64_t seconds;
    if (!is_object(w, node, &o) || strcmp(o.name, "datetime.timedelta") != 0 ||
        !as_int(w, item(w, o.args, 0), &days) || !as_int(w, item(w, o.args, 1), &seconds) ||
        days < -2 || days > 2)
        return false;
    *out = days * 86400 + seconds;
    return true;
}

static size_t append_offset(char *text, size_t room, int64_t seconds)
{
    if (seconds <= -172800 || seconds >= 172800)
        return 0;
    unsigned s = (unsigned)(seconds < 0 ? -seconds : seconds);
    int n = snprintf(text, room, "%c%02u:%02u", seconds < 0 ? '-' : '+', s / 3600, s / 60 % 60);
    if (s % 60 != 0)
        n += snprintf(text + n, room - (size_t)n, ":%02u", s % 60);
    return (size_t)n;
}

static bool is_utc(const char *name)
{
    static const char *const names[] = {"pytz._UTC", "pytz.UTC", "dateutil.tz.tz.tzutc",
                                        "django.utils.timezone.UTC", "iso8601.iso8601.Utc"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

/* Classes of one offset: minutes or a timedelta, as the first argument or in the state. */
static bool fixed_offset(struct walk *w, const struct object *o, int64_t *seconds)
{
    static const struct {
        const char *name;
        const char *in_state;
    } rows[] = {{"pytz.FixedOffset", NULL},
                {"psycopg2.tz.FixedOffsetTimezone", "_offset"},
                {"django.utils.timezone.FixedOffset", "_FixedOffset__offset"},
                {"dateutil.tz.tz.tzoffset", "_offset"},
                {"dateutil.tz.tzoffset", "_offset"},
                {"iso8601.iso8601.FixedOffset", "_FixedOffset__offset"}};
    size_t i = 0;
    while (i < sizeof(rows) / sizeof(rows[0]) && strcmp(rows[i].name, o->name) != 0)
        i++;
    if (i == sizeof(rows) / sizeof(rows[0]))
        return false;
    int64_t minutes;
    uint32_t held = rows[i].in_state != NULL ? value_of(w, o->state, rows[i].in_state) : 0;
    if (held != 0 && delta_seconds(w, held, seconds))
        return true;
    uint32_t first = item(w, o->args, 0);
    if (delta_seconds(w, first, seconds))
        return true;
    if (!as_int(w, first, &minutes) || minutes <= -2880 || minutes >= 2880)
        return false;
    *seconds = minutes * 60;
    return true;
}

/* An offset, or a name as PostgreSQL knows it; nothing without a zone, or where it is of another kind. */
static size_t append_zone(struct walk *w, uint32_t zone, char *text, size_t room)
{
    struct object o;
    int64_t seconds;
    if (!is_object(w, zone, &o))
        return 0;
    if (fixed_offset(w, &o, &seconds))
        return append_offset(text, room, seconds);
    if (is_utc(o.name))
        return append_offset(text, room, 0);
    if (strcmp(o.name, "datetime.timezone") == 0 && delta_seconds(w, item(w, o.args, 0), &seconds))
        return append_offset(text, room, seconds);
    bool pytz = strcmp(o.name, "pytz._p") == 0;
    if (pytz && as_int(w, item(w, o.args, 1), &seconds))
        return append_offset(text, room, seconds);
    uint32_t name = item(w, o.args, 0);
    if (!is_string(w, name) || at(w, name)->s.len > 60)
        return 0;
    if (!pytz && strncmp(o.name, "zoneinfo.ZoneInfo", 17) != 0)
        return 0;
    int n = snprintf(text, room, " %.*s", (int)at(w, name)->s.len, at(w, name)->s.data);
    return (size_t)n;
}

static size_t append_clock(char *text, size_t room, const unsigned char *b)
{
    int n = snprintf(text, room, "%02u:%02u:%02u", b[0] & 0x7fu, b[1], b[2]);
    unsigned us = (unsigned)b[3] << 16 | (unsigned)b[4] << 8 | b[5];
    if (us != 0)
        n += snprintf(text + n, room - (size_t)n, ".%06u", us);
    return (size_t)n;
}

static size_t append_day(char *text, size_t room, const unsigned char *b)
{
    return (size_t)snprintf(text, room, "%04u-%02u-%02u", (unsigned)b[0] << 8 | b[1], b[2] & 0x7fu,
                            b[3]);
}

/* A zone of an unknown kind: no text that would be read as another moment. */
static bool emit_in_zone(struct walk *w, const char *name, struct bytes text, uint32_t zone)
{
    if (!emit_begin(w->e, '{'))
        return true;
    emit_key_cstr(w->e, "$object");
    emit_cstr(w->e, name);
    emit_key_cstr(w->e, "args");
    if (emit_begin(w->e, '[')) {
        emit_text(w->e, text);
        walk_node(w, zone);
        emit_end(w->e, ']');
    }
    emit_end(w->e, '}');
    return true;
}

/* `n` bytes of `text` are written. */
static bool emit_moment(struct walk *w, const struct object *o, char *text, size_t n)
{
    uint32_t zone = item(w, o->args, 1);
    size_t more = append_zone(w, zone, text + n, TIME_TEXT - n);
    if (more == 0 && zone != 0 && !is_kind(w, zone, NODE_NONE))
        return emit_in_zone(w, o->name, bytes_of(text, n), zone);
    emit_text(w->e, bytes_of(text, n + more));
    return true;
}

/* Year (2), month (with the fold in its high bit), day, hour, minute, second, microsecond (3). */
static bool known_datetime(struct walk *w, const struct object *o)
{
    unsigned char b[10];
    char text[TIME_TEXT];
    if (!fixed_bytes(w, item(w, o->args, 0), b, sizeof(b)))
        return false;
    size_t n = append_day(text, sizeof(text), b);
    text[n++] = 'T';
    n += append_clock(text + n, sizeof(text) - n, b + 4);
    return emit_moment(w, o, text, n);
}

static bool known_date(struct walk *w, const struct object *o)
{
    unsigned char b[4];
    char text[TIME_TEXT];
    if (!fixed_bytes(w, item(w, o->args, 0), b, sizeof(b)))
        return false;
    emit_text(w->e, bytes_of(text, append_day(text, sizeof(text), b)));
    return true;
}

static bool known_time(struct walk *w, const struct object *o)
{
    unsigned char b[6];
    char text[TIME_TEXT];
    if (!fixed_bytes(w, item(w, o->args, 0), b, sizeof(b)))
        return false;
    return emit_moment(w, o, text, append_clock(text, sizeof(text), b));
}

/* An ISO 8601 duration, which PostgreSQL casts to an interval. */
static bool known_timedelta(struct walk *w, const struct object *o)
{
    int64_t days;
    int64_t seconds;
    int64_t us;
    char text[TIME_TEXT];
    if (!as_int(w, item(w, o->args, 0), &days) || !as_int(w, item(w, o->args, 1), &seconds) ||
        !as_int(w, item(w, o->args, 2), &us) || us < 0 || us > 999999)
        return false;
    int n = snprintf(text, sizeof(text), "P%lldDT%lld", (long long)days, (long long)seconds);
    if (us != 0)
        n += snprintf(text + n, sizeof(text) - (size_t)n, ".%06d", (int)us);
    text[n++] = 'S';
    emit_text(w->e, bytes_of(text, (size_t)n));
    return true;
}

/* ---- numbers, UUIDs, texts ---- */

static bool known_decimal(struct walk *w, const struct object *o)
{
    uint32_t text = item(w, o->args, 0);
    if (!is_string(w, text))
        return false;
    emit_number(w->e, at(w, text)->s);
    return true;
}

/* The 16 bytes of an integer below 2^128, the highest first. */
static bool int128_bytes(struct walk *w, uint32_t node, unsigned char out[16])
{
    memset(out, 0, 16);
    if (node == 0)
        return false;
    const struct node *n = at(w, node);
    if (n->kind == NODE_INT && n->i >= 0) {
        for (int i = 0; i < 8; i++)
            out[15 - i] = (unsigned char)(n->i >> (8 * i));
        return true;
    }
    if (n->kind == NODE_LONG && n->s.len <= 17) {
        for (size_t i = 0; i < n->s.len && i < 16; i++)
            out[15 - i] = (unsigned char)n->s.data[i];
        return n->s.len < 17 || n->s.data[16] == '\0';
    }
    if (n->kind != NODE_DIGITS || n->s.len > 39 || n->s.data[0] == '-')
        return false;
    for (size_t i = 0; i < n->s.len; i++) {
        unsigned carry = (unsigned)(n->s.data[i] - '0');
        for (int k = 15; k >= 0; k--) {
            carry += out[k] * 10u;
            out[k] = (unsigned char)carry;
            carry >>= 8;
        }
    }
    return true;
}

/* The value that a dict has under a text. */
static uint32_t value_of(struct walk *w, uint32_t dict, const char *key)
{
    if (!is_kind(w, dict, NODE_DICT))
        return 0;
    for (uint32_t c = at(w, dict)->cells.head; c != 0;) {
        uint32_t k = w->g->cells[c].value;
        uint32_t v = w->g->cells[c].next;
        if (is_string(w, k) && bytes_eq(at(w, k)->s, bytes_cstr(key)))
            return w->g->cells[v].value;
        c = w->g->cells[v].next;
        if (!emit_step(w->e, 1))
            break;
    }
    return 0;
}

static bool known_uuid(struct walk *w, const struct object *o)
{
    unsigned char b[16];
    char text[40];
    int n = 0;
    if (!int128_bytes(w, value_of(w, o->state, "int"), b))
        return false;
    for (int i = 0; i < 16; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%02x",
                      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    emit_text(w->e, bytes_of(text, (size_t)n));
    return true;
}

/* A class derived from str. */
static bool known_text(struct walk *w, const struct object *o)
{
    uint32_t text = item(w, o->args, 0);
    if (!is_string(w, text))
        return false;
    walk_node(w, text);
    return true;
}

/* ---- containers ---- */

static bool known_list(struct walk *w, const struct object *o)
{
    uint32_t first = item(w, o->args, 0);
    uint32_t from = o->items != 0 ? o->items : first;
    if (from != 0 && !is_kind(w, from, NODE_LIST) && !is_kind(w, from, NODE_TUPLE) &&
        !is_kind(w, from, NODE_SET))
        return false;
    emit_list(w, from, false);
    return true;
}

/* OrderedDict([[key, value], ...]) of Python 2. */
static void emit_pairs(struct walk *w, uint32_t list)
{
    if (!emit_begin(w->e, '{'))
        return;
    for (uint32_t c = at(w, list)->cells.head; c != 0 && emit_ok(w->e) && !emit_closed(w->e);
         c = w->g->cells[c].next) {
        uint32_t key = item(w, w->g->cells[c].value, 0);
        uint32_t value = item(w, w->g->cells[c].value, 1);
        if (key == 0 || value == 0) {
            emit_unknown(w->e);
            return;
        }
        size_t mark = emit_key_begin(w->e);
        walk_node(w, key);
        emit_key_end(w->e, mark);
        walk_node(w, value);
    }
    emit_end(w->e, '}');
}

/* OrderedDict, defaultdict(factory), Counter(dict). */
static bool known_dict(struct walk *w, const struct object *o)
{
    uint32_t first = item(w, o->args, 0);
    if (o->pairs == 0 && is_kind(w, first, NODE_LIST))
        emit_pairs(w, first);
    else if (o->pairs == 0 && is_kind(w, first, NODE_DICT))
        emit_dict(w, first);
    else
        emit_dict(w, o->pairs);
    return true;
}

/* ---- objects ---- */

static const struct {
    const char *name;
    bool (*emit)(struct walk *w, const struct object *o); /* false: it is not as expected */
} known[] = {
    {"datetime.datetime", known_datetime},
    {"datetime.date", known_date},
    {"datetime.time", known_time},
    {"datetime.timedelta", known_timedelta},
    {"decimal.Decimal", known_decimal},
    {"uuid.UUID", known_uuid},
    {"collections.OrderedDict", known_dict},
    {"collections.defaultdict", known_dict},
    {"collections.Counter", known_dict},
    {"collections.deque", known_list},
    {"builtins.set", known_list},
    {"builtins.frozenset", known_list},
    {"builtins.list", known_list},
    {"builtins.dict", known_dict},
    {"builtins.bytes", known_bytes},
    {"builtins.bytearray", known_bytes},
    {"_codecs.encode", known_bytes},
    {"markupsafe.Markup", known_text},
    {"django.utils.safestring.SafeString", known_text},
    {"django.utils.safestring.SafeText", known_text},
};

static bool emit_known(struct walk *w, const struct object *o)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, o->name) == 0)
            return known[i].emit(w, o);
    }
    return false;
}

static void emit_part(struct walk *w, const char *name, uint32_t node)
{
    if (node == 0)
        return;
    emit_key_cstr(w->e, name);
    walk_node(w, node);
}

/* A class, a function, or what getattr finds in one (a case of an enum, say). */
static void emit_global(struct walk *w, uint32_t node)
{
    struct object o;
    take_name(w, node, &o);
    if (!emit_begin(w->e, '{'))
        return;
    emit_key_cstr(w->e, "$object");
    emit_cstr(w->e, o.name[0] != '\0' ? o.name : "?");
    emit_end(w->e, '}');
}

static void emit_args(struct walk *w, const struct object *o)
{
    if (o->class_first && item(w, o->args, 1) != 0) {
        emit_key_cstr(w->e, "args");
        emit_list(w, o->args, true);
        return;
    }
    bool any = o->args != 0 && !o->class_first;
    if (any && (!is_kind(w, o->args, NODE_TUPLE) || at(w, o->args)->cells.head != 0))
        emit_part(w, "args", o->args);
}

static void emit_object(struct walk *w, uint32_t node)
{
    struct object o;
    take_object(w, node, &o);
    if (strcmp(o.name, "builtins.getattr") == 0) {
        emit_global(w, node);
        return;
    }
    if (emit_known(w, &o) || !emit_begin(w->e, '{'))
        return;
    emit_key_cstr(w->e, "$object");
    emit_cstr(w->e, o.name[0] != '\0' ? o.name : "?");
    emit_args(w, &o);
    emit_part(w, "state", o.state);
    emit_part(w, "items", o.items);
    emit_part(w, "pairs", o.pairs);
    emit_end(w->e, '}');
}

static void emit_persistent(struct walk *w, uint32_t node)
{
    if (!emit_begin(w->e, '{'))
        return;
    emit_part(w, "$persistent", at(w, node)->object.args);
    emit_end(w->e, '}');
}

/* What can contain itself. */
static void walk_compound(struct walk *w, uint32_t node)
{
    switch (at(w, node)->kind) {
    case NODE_LIST:
    case NODE_TUPLE:
    case NODE_SET:
        emit_list(w, node, false);
        break;
    case NODE_DICT:
        emit_dict(w, node);
        break;
    case NODE_OBJECT:
        emit_object(w, node);
        break;
    case NODE_GLOBAL:
        emit_global(w, node);
        break;
    case NODE_PERSISTENT:
        emit_persistent(w, node);
        break;
    default: /* a mark that an opcode let through */
        emit_unknown(w->e);
    }
}

static void walk_node(struct walk *w, uint32_t node)
{
    struct node *n = at(w, node);
    if (emit_closed(w->e)) /* nothing of it would be written */
        return;
    switch (n->kind) {
    case NODE_NONE:
        emit_null(w->e);
        break;
    case NODE_BOOL:
        emit_bool(w->e, n->i != 0);
        break;
    case NODE_INT:
        emit_int(w->e, n->i);
        break;
    case NODE_LONG:
        emit_long(w->e, n->s);
        break;
    case NODE_DIGITS:
        emit_number(w->e, n->s);
        break;
    case NODE_FLOAT:
        emit_double(w->e, n->d);
        break;
    case NODE_TEXT:
        emit_text(w->e, n->s);
        break;
    case NODE_RAW:
        emit_text_or_bytes(w->e, n->s);
        break;
    case NODE_BYTES:
        emit_bytes(w->e, n->s);
        break;
    default:
        if (n->open) {
            emit_cstr(w->e, "$cycle");
            break;
        }
        n->open = true;
        walk_compound(w, node);
        n->open = false;
    }
}

void pickle_emit(struct graph *g, uint32_t node, struct emit *e)
{
    struct walk w = {.g = g, .e = e};
    walk_node(&w, node);
}
