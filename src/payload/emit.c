/* emit: see emit.h. */
#include "payload/emit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/num.h"

static const char mark_long[] = "{\"$omitted\":\"too long\"}";
static const char mark_deep[] = "{\"$omitted\":\"too deep\"}";

void emit_init(struct emit *e, struct buf *out, const struct payload_limits *limits)
{
    CHECK(limits->max_depth <= PAYLOAD_MAX_DEPTH);
    *e = (struct emit){.out = out,
                       .end = out->len + limits->max_output,
                       .edge = out->len + limits->max_output,
                       .steps_left = limits->max_steps,
                       .max_depth = limits->max_depth,
                       .max_inner = limits->max_input,
                       .result = PAYLOAD_OK};
}

bool emit_init_reduced(struct emit *e, struct buf *out, const struct payload_limits *limits)
{
    emit_init(e, out, limits);
    if (limits->max_output / 4 < (size_t)EMIT_MARGIN + 64)
        return false;
    e->end = out->len + limits->max_output / 4;
    e->edge = e->end - EMIT_MARGIN;
    e->reduced = true;
    return true;
}

static void limit(struct emit *e)
{
    if (e->result == PAYLOAD_OK)
        e->result = PAYLOAD_LIMIT;
}

bool emit_unknown(struct emit *e)
{
    if (e->result == PAYLOAD_OK)
        e->result = PAYLOAD_UNKNOWN;
    return false;
}

bool emit_step(struct emit *e, size_t n)
{
    if (e->steps_left < n)
        limit(e);
    else
        e->steps_left -= n;
    return emit_ok(e);
}

/* What holds the document together, and marks: up to the very end. */
static void put(struct emit *e, const char *data, size_t n)
{
    if (e->end - e->out->len < n)
        limit(e);
    if (emit_ok(e))
        buf_append(e->out, data, n);
}

static void put_cstr(struct emit *e, const char *text)
{
    put(e, text, strlen(text));
}

/* For n bytes of a value or key: up to the edge. */
static bool room(struct emit *e, size_t n)
{
    size_t left = e->edge > e->out->len ? e->edge - e->out->len : 0;
    if (left >= n)
        return emit_ok(e) && !e->over;
    if (e->reduced)
        e->over = true;
    else
        limit(e);
    return false;
}

static void raw(struct emit *e, const char *data, size_t n)
{
    if (room(e, n))
        buf_append(e->out, data, n);
}

/* ---- what is left out ---- */

static bool is_full(const struct emit *e)
{
    return e->reduced && e->out->len >= e->edge;
}

/* A member of the top level begins. */
static void set_edge(struct emit *e)
{
    size_t last = e->end - EMIT_MARGIN;
    if (e->reduced)
        e->edge = e->out->len + (last > e->out->len ? (last - e->out->len) / 8 : 0);
}

static void put_comma(struct emit *e)
{
    if (e->comma)
        put(e, ",", 1);
    e->comma = true;
}

/* What every value begins with; false: it is not to be written. */
static bool value(struct emit *e)
{
    bool element = !e->key && !e->keyed;
    if (!emit_step(e, 2) || emit_closed(e))
        return false;
    e->keyed = false;
    if (element && e->depth == 1)
        set_edge(e);
    if (element && e->depth > 0 && is_full(e)) {
        put_comma(e);
        put_cstr(e, mark_long);
        e->rest = true;
        return false;
    }
    put_comma(e);
    return emit_ok(e);
}

/* What every value but a container ends with. A key that is too long is seen to by emit_key_end. */
static void ended(struct emit *e, size_t start)
{
    if (!e->over || e->key)
        return;
    e->out->len = start;
    e->over = false;
    put_cstr(e, mark_long);
}

static void scalar(struct emit *e, const char *text, size_t n)
{
    if (!value(e))
        return;
    size_t start = e->out->len;
    raw(e, text, n);
    ended(e, start);
}

bool emit_begin(struct emit *e, char bracket)
{
    bool shown = value(e);
    if (!emit_ok(e))
        return false;
    if (shown && (e->depth >= e->max_depth || is_full(e))) {
        put_cstr(e, e->depth >= e->max_depth ? mark_deep : mark_long);
        shown = false;
    }
    if (!shown) {
        e->hidden++;
        return emit_ok(e);
    }
    e->depth++;
    e->comma = false;
    e->key = false;
    put(e, &bracket, 1);
    return emit_ok(e);
}

void emit_end(struct emit *e, char bracket)
{
    if (e->hidden > 0) {
        e->hidden--;
        return;
    }
    e->rest = false;
    e->depth--;
    e->comma = true;
    put(e, &bracket, 1);
}

/* ---- texts ---- */

/* The length of the UTF-8 sequence at p, 0 if there is none (surrogates and overlong forms count as
 * none). RFC 3629. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

bool is_utf8(struct bytes s)
{
    for (size_t i = 0, len; i < s.len; i += len) {
        len = utf8_length((const unsigned char *)s.data + i, s.len - i);
        if (len == 0)
            return false;
    }
    return true;
}

bool is_clean_utf8(struct bytes s)
{
    return is_utf8(s) && (s.len == 0 || memchr(s.data, '\0', s.len) == NULL);
}

void append_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_append_u8(out, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        buf_append_u8(out, (uint8_t)(0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            buf_append_u8(out, (uint8_t)(0xe0 | c >> 12));
        } else {
            buf_append_u8(out, (uint8_t)(0xf0 | c >> 18));
            buf_append_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        }
        buf_append_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_append_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* What is not a plain character at p; returns how many bytes it took. */
static size_t escape(struct emit *e, const unsigned char *p, size_t n)
{
    static const char replacement[] = "\xef\xbf\xbd";
    if (p[0] >= 0x80) {
        size_t len = utf8_length(p, n);
        if (len > 0) {
            raw(e, (const char *)p, len);
            return len;
        }
        raw(e, replacement, 3);
        /* a surrogate is one mistake, not three */
        return p[0] == 0xed && n >= 3 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 ? 3 : 1;
    }
    if (p[0] == '\0') {
        raw(e, replacement, 3);
        return 1;
    }
    static const char named[] = "\"\"\\\\\nn\tt\rr\bb\ff";
    for (const char *at = named; *at != '\0'; at += 2) {
        if ((unsigned char)*at == p[0]) {
            char two[2] = {'\\', at[1]};
            raw(e, two, 2);
            return 1;
        }
    }
    char text[8];
    snprintf(text, sizeof(text), "\\u%04x", p[0]);
    raw(e, text, 6);
    return 1;
}

static void quoted(struct emit *e, struct bytes s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    if (!room(e, s.len + 2)) /* what is very long is not even looked at */
        return;
    raw(e, "\"", 1);
    for (size_t i = 0; i < s.len && emit_ok(e) && !e->over;) {
        size_t plain = 0;
        while (i + plain < s.len && is_plain(p[i + plain]))
            plain++;
        raw(e, s.data + i, plain);
        i += plain;
        if (i < s.len)
            i += escape(e, p + i, s.len - i);
    }
    raw(e, "\"", 1);
}

void emit_text(struct emit *e, struct bytes text)
{
    if (!value(e))
        return;
    size_t start = e->out->len;
    quoted(e, text);
    ended(e, start);
}

void emit_cstr(struct emit *e, const char *text)
{
    emit_text(e, bytes_cstr(text));
}

static void base64(struct emit *e, struct bytes b)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = (b.len + 2) / 3 * 4;
    if (!room(e, n + 2))
        return;
    char *at = buf_reserve(e->out, n + 2);
    *at++ = '"';
    for (size_t i = 0; i < b.len; i += 3, at += 4) {
        uint32_t v = (uint32_t)(unsigned char)b.data[i] << 16;
        v |= i + 1 < b.len ? (uint32_t)(unsigned char)b.data[i + 1] << 8 : 0;
        v |= i + 2 < b.len ? (uint32_t)(unsigned char)b.data[i + 2] : 0;
        at[0] = alphabet[v >> 18];
        at[1] = alphabet[v >> 12 & 63];
        at[2] = i + 1 < b.len ? alphabet[v >> 6 & 63] : '=';
        at[3] = i + 2 < b.len ? alphabet[v & 63] : '=';
    }
    *at = '"';
    e->out->len += n + 2;
}

void emit_bytes(struct emit *e, struct bytes b)
{
    if (!value(e))
        return;
    size_t start = e->out->len;
    if (!room(e, b.len)) {
        ended(e, start);
        return;
    }
    if (!e->key) {
        raw(e, "{\"$bytes\":", 10);
        base64(e, b);
        raw(e, "}", 1);
    } else if (is_clean_utf8(b)) {
        quoted(e, b);
    } else {
        base64(e, b);
    }
    ended(e, start);
}

void emit_base64(struct emit *e, struct bytes b)
{
    if (!value(e))
        return;
    size_t start = e->out->len;
    base64(e, b);
    ended(e, start);
}

void emit_text_or_bytes(struct emit *e, struct bytes s)
{
    size_t left = e->edge > e->out->len ? e->edge - e->out->len : 0;
    if (emit_closed(e) || s.len > left || is_clean_utf8(s)) /* it will not fit, whatever it is */
        emit_text(e, s);
    else
        emit_bytes(e, s);
}

/* ---- keys ---- */

enum { MAX_KEY_JSON = 4096 };

size_t emit_key_begin(struct emit *e)
{
    if (emit_closed(e) || !emit_ok(e))
        return e->out->len;
    if (e->depth == 1)
        set_edge(e);
    if (is_full(e)) {
        put_comma(e);
        put_cstr(e, "\"$omitted\":\"too long\"");
        e->rest = true;
        return e->out->len;
    }
    put_comma(e);
    e->comma = false;
    e->key = true;
    return e->out->len;
}

/* A key that is no text becomes its JSON as text. Each key in a key in a key doubles the backslashes of
 * the one within: so there is a limit. */
static void settle_key(struct emit *e, size_t mark)
{
    struct buf text;
    bool is_text = e->out->len > mark && e->out->data[mark] == '"';
    if (e->over || (!is_text && e->out->len - mark > MAX_KEY_JSON)) {
        e->over = false;
        e->out->len = mark;
        put_cstr(e, "\"$omitted\"");
        return;
    }
    if (is_text)
        return;
    buf_init(&text);
    buf_append(&text, e->out->data + mark, e->out->len - mark);
    e->out->len = mark;
    quoted(e, buf_bytes(&text));
    buf_release(&text);
    if (e->over)
        settle_key(e, mark);
}

void emit_key_end(struct emit *e, size_t mark)
{
    if (emit_closed(e) || !emit_ok(e))
        return;
    e->key = false;
    e->comma = false;
    e->keyed = true;
    settle_key(e, mark);
    put(e, ":", 1);
}

void emit_key(struct emit *e, struct bytes text)
{
    size_t mark = emit_key_begin(e);
    emit_text(e, text);
    emit_key_end(e, mark);
}

void emit_key_cstr(struct emit *e, const char *text)
{
    emit_key(e, bytes_cstr(text));
}

/* ---- the rest ---- */

void emit_null(struct emit *e)
{
    scalar(e, "null", 4);
}

void emit_bool(struct emit *e, bool v)
{
    scalar(e, v ? "true" : "false", v ? 4 : 5);
}

void emit_int(struct emit *e, int64_t v)
{
    char text[NUM_INT_SIZE];
    size_t n = num_format_int64(v, text);
    scalar(e, text, n);
}

void emit_uint(struct emit *e, uint64_t v)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    scalar(e, text, (size_t)n);
}

/* The shortest digits that read back as the same number: that is more work than anything else. */
void emit_double(struct emit *e, double v)
{
    char text[40];
    if (!emit_step(e, 16) || emit_closed(e)) {
        emit_null(e); /* written by nobody */
        return;
    }
    if (isnan(v) || isinf(v)) {
        emit_cstr(e, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    if (strspn(text, "-0123456789") == strlen(text))
        memcpy(text + strlen(text), ".0", 3); /* it is not an integer there, either */
    scalar(e, text, strlen(text));
}

static size_t digits_at(struct bytes s, size_t i)
{
    size_t n = 0;
    while (i + n < s.len && s.data[i + n] >= '0' && s.data[i + n] <= '9')
        n++;
    return n;
}

/* RFC 8259, section 6. */
bool is_json_number(struct bytes s)
{
    size_t i = s.len > 0 && s.data[0] == '-';
    size_t n = digits_at(s, i);
    if (n == 0 || (n > 1 && s.data[i] == '0'))
        return false;
    i += n;
    if (i < s.len && s.data[i] == '.') {
        n = digits_at(s, ++i);
        if (n == 0)
            return false;
        i += n;
    }
    if (i < s.len && (s.data[i] == 'e' || s.data[i] == 'E')) {
        i++;
        i += i < s.len && (s.data[i] == '+' || s.data[i] == '-');
        n = digits_at(s, i);
        if (n == 0)
            return false;
        i += n;
    }
    return i == s.len;
}

/* jsonb has numbers of 131,072 digits, but nobody wants to read them. */
static bool is_bearable(struct bytes s)
{
    enum { MAX_LENGTH = 300, MAX_EXPONENT = 308 };
    if (s.len > MAX_LENGTH)
        return false;
    size_t i = 0;
    while (i < s.len && s.data[i] != 'e' && s.data[i] != 'E')
        i++;
    if (i == s.len)
        return true;
    int exponent = 0;
    for (i++; i < s.len && exponent <= MAX_EXPONENT; i++) {
        if (s.data[i] >= '0' && s.data[i] <= '9')
            exponent = exponent * 10 + (s.data[i] - '0');
    }
    return exponent <= MAX_EXPONENT;
}

void emit_number(struct emit *e, struct bytes text)
{
    if (!is_json_number(text) || !is_bearable(text))
        emit_text(e, text);
    else
        scalar(e, text.data, text.len);
}

void emit_time_utc(struct emit *e, int64_t seconds, uint32_t nanos)
{
    char text[64];
    struct tm tm;
    time_t t = (time_t)seconds;
    /* the years that ISO 8601 and PostgreSQL agree on without a sign */
    if (seconds < -62135596800 || seconds > 253402300799 || gmtime_r(&t, &tm) == NULL) {
        emit_int(e, seconds);
        return;
    }
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    int year = tm.tm_year + 1900;
    if (year < 1000) /* %Y does not pad */
        n = (size_t)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d", year,
                             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (nanos >= 1000)
        n += (size_t)snprintf(text + n, sizeof(text) - n, ".%06u", nanos / 1000 % 1000000);
    text[n++] = 'Z';
    emit_text(e, bytes_of(text, n));
}
