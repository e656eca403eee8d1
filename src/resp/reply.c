/* reply: see the header. Counted kinds are formatted by hand: they are in every reply. */
#include "resp/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/num.h"

/* A type byte, a number, CRLF. */
static void header(struct reply *r, char type, int64_t v)
{
    char *at = buf_reserve(r->out, NUM_INT_SIZE + 3);
    at[0] = type;
    size_t n = 1;
    if (v >= 0 && v <= 9)
        at[n++] = (char)('0' + v);
    else
        n += num_format_int64(v, at + 1);
    at[n++] = '\r';
    at[n++] = '\n';
    r->out->len += n;
}

static void literal(struct reply *r, struct bytes s)
{
    buf_append_bytes(r->out, s);
}

void reply_status(struct reply *r, const char *s)
{
    size_t n = strlen(s);
    char *at = buf_reserve(r->out, n + 3);
    at[0] = '+';
    memcpy(at + 1, s, n);
    memcpy(at + 1 + n, "\r\n", 2);
    r->out->len += n + 3;
}

void reply_ok(struct reply *r)
{
    literal(r, BYTES_LIT("+OK\r\n"));
}

/* Ends the error line that began at `from`: a text from a client must not end it early. */
static void error_end(struct reply *r, size_t from)
{
    struct buf *out = r->out;
    for (size_t i = from; i < out->len; i++) {
        if (out->data[i] == '\r' || out->data[i] == '\n')
            out->data[i] = ' ';
    }
    literal(r, BYTES_LIT("\r\n"));
    r->is_error = true;
}

void reply_error(struct reply *r, const char *text)
{
    size_t from = r->out->len;
    buf_append_u8(r->out, '-');
    buf_append_cstr(r->out, text);
    error_end(r, from);
}

void reply_errorf(struct reply *r, const char *format, ...)
{
    size_t from = r->out->len;
    buf_append_u8(r->out, '-');
    va_list ap;
    va_start(ap, format);
    buf_vprintf(r->out, format, ap);
    va_end(ap);
    error_end(r, from);
}

void reply_int(struct reply *r, int64_t v)
{
    header(r, ':', v);
}

/* Replies are as large as what clients have stored. Where there is no memory for one, or for this
 * element of one, there is an error in its place. */
void reply_bulk(struct reply *r, struct bytes s)
{
    if (!buf_try_reserve(r->out, s.len + NUM_INT_SIZE + 5)) {
        reply_error(r, "OOM out of memory for this reply");
        return;
    }
    header(r, '$', (int64_t)s.len);
    literal(r, s);
    literal(r, BYTES_LIT("\r\n"));
}

void reply_bulk_cstr(struct reply *r, const char *s)
{
    reply_bulk(r, bytes_cstr(s));
}

void reply_bulk_int(struct reply *r, int64_t v)
{
    char text[NUM_INT_SIZE];
    size_t n = num_format_int64(v, text);
    reply_bulk(r, bytes_of(text, n));
}

void reply_null(struct reply *r)
{
    literal(r, r->proto >= 3 ? BYTES_LIT("_\r\n") : BYTES_LIT("$-1\r\n"));
}

void reply_null_array(struct reply *r)
{
    literal(r, r->proto >= 3 ? BYTES_LIT("_\r\n") : BYTES_LIT("*-1\r\n"));
}

void reply_array(struct reply *r, size_t n)
{
    header(r, '*', (int64_t)n);
}

void reply_set(struct reply *r, size_t n)
{
    header(r, r->proto >= 3 ? '~' : '*', (int64_t)n);
}

void reply_map(struct reply *r, size_t pairs)
{
    if (r->proto >= 3)
        header(r, '%', (int64_t)pairs);
    else
        header(r, '*', (int64_t)(2 * pairs));
}

void reply_push(struct reply *r, size_t n)
{
    header(r, r->proto >= 3 ? '>' : '*', (int64_t)n);
}

void reply_bool(struct reply *r, bool v)
{
    if (r->proto >= 3)
        literal(r, v ? BYTES_LIT("#t\r\n") : BYTES_LIT("#f\r\n"));
    else
        header(r, ':', v);
}

void reply_double(struct reply *r, double v)
{
    char text[40];
    int n;
    if (isinf(v))
        n = snprintf(text, sizeof(text), "%s", v > 0 ? "inf" : "-inf");
    else
        n = snprintf(text, sizeof(text), "%.17g", v);
    CHECK(n > 0 && (size_t)n < sizeof(text));
    if (r->proto < 3) {
        reply_bulk(r, bytes_of(text, (size_t)n));
        return;
    }
    buf_append_u8(r->out, ',');
    buf_append(r->out, text, (size_t)n);
    literal(r, BYTES_LIT("\r\n"));
}

void reply_verbatim(struct reply *r, const char *format, struct bytes s)
{
    if (r->proto < 3) {
        reply_bulk(r, s);
        return;
    }
    CHECK(strlen(format) == 3);
    header(r, '=', (int64_t)s.len + 4);
    buf_append(r->out, format, 3);
    buf_append_u8(r->out, ':');
    literal(r, s);
    literal(r, BYTES_LIT("\r\n"));
}
