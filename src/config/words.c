/* words: see words.h. */
#include "config/words.h"

#include <string.h>

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

bool words_comment(struct bytes line, size_t at)
{
    while (at < line.len && is_blank(line.data[at]))
        at++;
    return at < line.len && line.data[at] == '#';
}

bool words_next(struct bytes line, size_t *at, struct buf *out, bool *found)
{
    while (*at < line.len && is_blank(line.data[*at]))
        (*at)++;
    *found = *at < line.len;
    return !*found || read_word(line, at, out);
}

/* Bytes beyond ASCII stay as they are: words_next reads them so. */
static bool is_plain(struct bytes word)
{
    for (size_t i = 0; i < word.len; i++) {
        unsigned char c = (unsigned char)word.data[i];
        if (c <= ' ' || c == 0x7f || strchr("\"'\\", c) != NULL)
            return false;
    }
    return word.len > 0 && word.data[0] != '#';
}

void words_append(struct buf *out, struct bytes word)
{
    if (is_plain(word)) {
        buf_append_bytes(out, word);
        return;
    }
    buf_append_u8(out, '"');
    for (size_t i = 0; i < word.len; i++) {
        unsigned char c = (unsigned char)word.data[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_append_u8(out, c);
    }
    buf_append_u8(out, '"');
}
