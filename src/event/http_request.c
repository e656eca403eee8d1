#include "event/http_request.h"

#include <strings.h>

/* Source: RFC 9112 (messages) and RFC 9110, 5.6.2 (tokens). A line may end with LF alone. */

static bool is_token_char(char ch)
{
    return ch > ' ' && ch < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", ch) == NULL;
}

static bool is_token(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_token_char(s.data[i]))
            return false;
    }
    return s.len > 0;
}

static bool ieq(struct bytes s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.data, text, s.len) == 0;
}

/* Takes a line off `in`; false = its end has not come. */
static bool take_line(struct bytes *in, struct bytes *line)
{
    const char *end = in->len > 0 ? memchr(in->data, '\n', in->len) : NULL;
    if (end == NULL)
        return false;
    size_t len = (size_t)(end - in->data);
    *line = bytes_of(in->data, len > 0 && end[-1] == '\r' ? len - 1 : len);
    *in = bytes_of(end + 1, in->len - len - 1);
    return true;
}

static struct bytes take_word(struct bytes *line)
{
    size_t n = 0;
    while (n < line->len && line->data[n] != ' ')
        n++;
    struct bytes word = bytes_of(line->data, n);
    n += n < line->len;
    *line = bytes_of(line->data + n, line->len - n);
    return word;
}

/* Printable ASCII alone: what a request line may be made of, finished or not. */
static bool is_printable(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        bool last_cr = s.data[i] == '\r' && i + 1 == s.len;
        if ((s.data[i] < ' ' || s.data[i] >= 0x7f) && !last_cr)
            return false;
    }
    return true;
}

static enum http_parse parse_line(struct bytes line, struct http_request *r)
{
    struct bytes method = take_word(&line);
    struct bytes target = take_word(&line);
    if (!is_token(method) || target.len == 0 || target.data[0] != '/' || !is_printable(target))
        return HTTP_BAD;
    if (!bytes_eq(line, BYTES_LIT("HTTP/1.1")) && !bytes_eq(line, BYTES_LIT("HTTP/1.0")))
        return HTTP_BAD;
    r->keep_alive = line.data[line.len - 1] == '1';
    r->head = bytes_eq(method, BYTES_LIT("HEAD"));
    const char *query = memchr(target.data, '?', target.len);
    size_t path = query == NULL ? target.len : (size_t)(query - target.data);
    r->path = bytes_of(target.data, path);
    r->query = query == NULL ? bytes_of("", 0) : bytes_of(query + 1, target.len - path - 1);
    return r->head || bytes_eq(method, BYTES_LIT("GET")) ? HTTP_COMPLETE : HTTP_BAD_METHOD;
}

static struct bytes trimmed(struct bytes s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = bytes_of(s.data + 1, s.len - 1);
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* The options of a Connection field: a list with commas. */
static void take_connection(struct bytes value, struct http_request *r)
{
    while (value.len > 0) {
        const char *comma = memchr(value.data, ',', value.len);
        size_t n = comma == NULL ? value.len : (size_t)(comma - value.data);
        struct bytes option = trimmed(bytes_of(value.data, n));
        if (ieq(option, "close"))
            r->keep_alive = false;
        else if (ieq(option, "keep-alive"))
            r->keep_alive = true;
        n += comma != NULL;
        value = bytes_of(value.data + n, value.len - n);
    }
}

static enum http_parse parse_field(struct bytes line, struct http_request *r)
{
    const char *colon = memchr(line.data, ':', line.len);
    if (colon == NULL)
        return HTTP_BAD;
    size_t n = (size_t)(colon - line.data);
    struct bytes name = bytes_of(line.data, n);
    struct bytes value = trimmed(bytes_of(colon + 1, line.len - n - 1));
    if (!is_token(name) || memchr(value.data, '\0', value.len) != NULL ||
        memchr(value.data, '\r', value.len) != NULL)
        return HTTP_BAD;
    if (ieq(name, "connection"))
        take_connection(value, r);
    if (ieq(name, "transfer-encoding"))
        return HTTP_HAS_BODY;
    if (!ieq(name, "content-length"))
        return HTTP_COMPLETE;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return HTTP_BAD;
        if (value.data[i] != '0')
            return HTTP_HAS_BODY;
    }
    return value.len > 0 ? HTTP_COMPLETE : HTTP_BAD;
}

enum http_parse http_request_parse(struct bytes in, struct http_request *out)
{
    struct http_request r = {0};
    struct bytes rest = in;
    struct bytes line;
    do { /* empty lines in front of a request are allowed */
        if (!take_line(&rest, &line))
            return is_printable(rest) ? HTTP_INCOMPLETE : HTTP_BAD;
    } while (line.len == 0);
    enum http_parse result = parse_line(line, &r);
    if (result == HTTP_BAD)
        return result;
    while (take_line(&rest, &line)) {
        if (line.len == 0) {
            if (result != HTTP_COMPLETE)
                return result;
            r.len = in.len - rest.len;
            *out = r;
            return HTTP_COMPLETE;
        }
        enum http_parse field = parse_field(line, &r);
        if (field == HTTP_BAD)
            return field;
        if (result == HTTP_COMPLETE)
            result = field;
    }
    return HTTP_INCOMPLETE;
}
