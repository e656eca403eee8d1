#include "http/status_page.h"

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>respgres</title>\n<style>\n"
    "body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 1rem auto; "
    "padding: 0 1rem; }\n"
    "table { border-collapse: collapse; }\n"
    "th, td { text-align: left; padding: 0 1.5rem 0 0; font-weight: normal; "
    "overflow-wrap: anywhere; }\n"
    "td { font-variant-numeric: tabular-nums; }\n"
    ".state { font-size: 1.4rem; }\n"
    "</style>\n</head>\n<body>\n";

static void append_escaped(struct buf *out, struct bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.data[i];
        if (ch == '<' || ch == '>' || ch == '&' || ch == '"' || ch == '\'')
            buf_printf(out, "&#%d;", ch);
        else
            buf_append_u8(out, (uint8_t)ch);
    }
}

/* A line of INFO: a section's title, a field, or nothing. */
static void append_line(struct buf *out, struct bytes line, bool *in_table)
{
    if (line.len > 2 && line.data[0] == '#') {
        buf_printf(out, "%s<h2>", *in_table ? "</table>\n" : "");
        append_escaped(out, bytes_of(line.data + 2, line.len - 2));
        buf_append_cstr(out, "</h2>\n<table>\n");
        *in_table = true;
        return;
    }
    const char *colon = line.len > 0 ? memchr(line.data, ':', line.len) : NULL;
    if (colon == NULL)
        return;
    size_t n = (size_t)(colon - line.data);
    buf_append_cstr(out, "<tr><th scope=\"row\">");
    append_escaped(out, bytes_of(line.data, n));
    buf_append_cstr(out, "</th><td>");
    append_escaped(out, bytes_of(colon + 1, line.len - n - 1));
    buf_append_cstr(out, "</td></tr>\n");
}

static void append_info(struct engine *e, struct buf *out)
{
    struct buf info;
    bool in_table = false;
    buf_init(&info);
    engine_info(e, &info);
    struct bytes rest = buf_bytes(&info);
    while (rest.len > 0) {
        const char *end = memchr(rest.data, '\n', rest.len);
        size_t n = end == NULL ? rest.len : (size_t)(end - rest.data);
        size_t len = n > 0 && rest.data[n - 1] == '\r' ? n - 1 : n;
        append_line(out, bytes_of(rest.data, len), &in_table);
        n += end != NULL;
        rest = bytes_of(rest.data + n, rest.len - n);
    }
    if (in_table)
        buf_append_cstr(out, "</table>\n");
    buf_release(&info);
}

void status_page_write(struct engine *e, const char *instance, bool ready, struct buf *out)
{
    struct engine_status st;
    engine_get_status(e, &st);
    buf_append_cstr(out, head);
    buf_append_cstr(out, "<h1>respgres ");
    append_escaped(out, bytes_cstr(instance));
    buf_printf(out, "</h1>\n<p class=\"state\">%s, %s, for %lld s: ", ready ? "ready" : "not ready",
               st.state_name, (long long)(st.age_us / 1000000));
    append_escaped(out, bytes_cstr(st.why));
    buf_append_cstr(out, "</p>\n<p><a href=\"/readyz\">readyz</a> <a href=\"/healthz\">healthz</a> "
                         "<a href=\"/metrics\">metrics</a></p>\n");
    append_info(e, out);
    buf_append_cstr(out, "</body>\n</html>\n");
}
