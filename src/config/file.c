/* file: the redis.conf syntax. One option a line, words separated by blanks, '#' as the first
 * character makes a comment. "..." knows \n \r \t \b \a \xHH and \ before any other character;
 * '...' only \'. A closing quote ends its word.
 * Source: https://redis.io/docs/latest/operate/oss_and_stack/management/config/ */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "config/values.h"

enum { MAX_WORDS = 64, MAX_INCLUDES = 8 };

/* A line's words: text holds them behind each other. */
struct words {
    struct buf text;
    size_t end[MAX_WORDS];
    int n;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char escaped(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

/* Reads behind the opening quote at `at` up to and with the closing one; 0 if it is missing. */
static size_t read_quoted(struct bytes line, size_t at, char quote, struct buf *out)
{
    while (at < line.len && line.data[at] != quote) {
        char c = line.data[at++];
        if (c == '\\' && at < line.len && (quote == '"' || line.data[at] == '\'')) {
            char next = line.data[at++];
            int high = at + 1 < line.len ? hex_digit(line.data[at]) : -1;
            int low = at + 1 < line.len ? hex_digit(line.data[at + 1]) : -1;
            if (quote == '"' && next == 'x' && high >= 0 && low >= 0) {
                c = (char)(high * 16 + low);
                at += 2;
            } else {
                c = quote == '"' ? escaped(next) : next;
            }
        }
        buf_append_u8(out, (uint8_t)c);
    }
    return at < line.len ? at + 1 : 0;
}

static bool read_word(struct bytes line, size_t *at, struct buf *out)
{
    while (*at < line.len && !is_blank(line.data[*at])) {
        char c = line.data[*at];
        if (c == '"' || c == '\'') {
            *at = read_quoted(line, *at + 1, c, out);
            return *at != 0 && (*at == line.len || is_blank(line.data[*at]));
        }
        buf_append_u8(out, (uint8_t)c);
        (*at)++;
    }
    return true;
}

static bool split_line(struct bytes line, struct words *w, struct buf *reason)
{
    size_t at = 0;
    w->n = 0;
    w->text.len = 0;
    for (;;) {
        while (at < line.len && is_blank(line.data[at]))
            at++;
        if (at == line.len || (w->n == 0 && line.data[at] == '#'))
            return true;
        if (w->n == MAX_WORDS) {
            buf_append_cstr(reason, "too many values");
            return false;
        }
        if (!read_word(line, &at, &w->text)) {
            buf_append_cstr(reason, "unbalanced quotes");
            return false;
        }
        w->end[w->n++] = w->text.len;
    }
}

static bool read_file(struct values *v, const char *path, int depth, struct buf *error);

/* An included file reports for itself; a line of this one is reported as "file:line: reason". */
static bool read_line(struct values *v, const char *path, int line_number, struct bytes line,
                      int depth, struct words *w, struct buf *error)
{
    struct bytes words[MAX_WORDS];
    struct buf reason;
    buf_init(&reason);
    bool ok = split_line(line, w, &reason);
    for (int i = 0; ok && i < w->n; i++) {
        size_t start = i == 0 ? 0 : w->end[i - 1];
        words[i] = bytes_of(w->text.data + start, w->end[i] - start);
    }
    if (ok && w->n == 2 && bytes_ieq(words[0], "include")) {
        char *name = mem_strndup(words[1].len > 0 ? words[1].data : "", words[1].len);
        ok = depth < MAX_INCLUDES && read_file(v, name, depth + 1, error);
        if (depth >= MAX_INCLUDES)
            buf_append_cstr(&reason, "include: too many files within each other");
        mem_free(name);
    } else if (ok && w->n > 0) {
        ok = values_set(v, words[0], w->n - 1, words + 1, CONFIG_FILE, &reason);
    }
    if (reason.len > 0) {
        buf_printf(error, "%s:%d: ", path, line_number);
        buf_append_bytes(error, buf_bytes(&reason));
    }
    buf_release(&reason);
    return ok;
}

static bool read_file(struct values *v, const char *path, int depth, struct buf *error)
{
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        buf_printf(error, "%s: %s", path, strerror(errno));
        return false;
    }
    char *line = NULL;
    size_t cap = 0;
    struct words w = {0};
    bool ok = true;
    for (int number = 1; ok; number++) {
        ssize_t n = getline(&line, &cap, f);
        if (n < 0)
            break;
        ok = read_line(v, path, number, bytes_of(line, (size_t)n), depth, &w, error);
    }
    if (ok && ferror(f)) {
        buf_printf(error, "%s: %s", path, strerror(errno));
        ok = false;
    }
    buf_release(&w.text);
    mem_free(line);
    fclose(f);
    return ok;
}

bool values_read_file(struct values *v, const char *path, struct buf *error)
{
    return read_file(v, path, 0, error);
}
