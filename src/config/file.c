/* file: the redis.conf syntax. One option a line, words separated by blanks (see words.h), '#' as
 * the first character makes a comment. Source:
 * https://redis.io/docs/latest/operate/oss_and_stack/management/config/ */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "config/url.h"
#include "config/values.h"
#include "config/words.h"

enum { MAX_WORDS = 1024, MAX_INCLUDES = 8 };

/* A line's words: text holds them behind each other. */
struct words {
    struct buf text;
    size_t end[MAX_WORDS];
    int n;
};

static bool split_line(struct bytes line, struct words *w, struct buf *reason)
{
    size_t at = 0;
    bool found;
    w->n = 0;
    w->text.len = 0;
    if (words_comment(line, 0))
        return true;
    while (words_next(line, &at, &w->text, &found)) {
        if (!found)
            return true;
        if (w->n == MAX_WORDS) {
            buf_append_cstr(reason, "too many values");
            return false;
        }
        w->end[w->n++] = w->text.len;
    }
    buf_append_cstr(reason, "unbalanced quotes");
    return false;
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
    bool stop = ok && v->stop_at_rename > 0 && v->renames >= v->stop_at_rename;
    if (reason.len > 0 || (stop && error->len == 0)) {
        buf_append_bytes(error, url_shown(bytes_cstr(path)));
        buf_printf(error, ":%d: ", line_number);
        buf_append_bytes(error, buf_bytes(&reason));
    }
    buf_release(&reason);
    return ok && !stop;
}

static void cannot_read(const char *path, const char *why, struct buf *error)
{
    buf_append_bytes(error, url_shown(bytes_cstr(path)));
    buf_printf(error, ": %s", why);
}

static bool read_file(struct values *v, const char *path, int depth, struct buf *error)
{
    const char *why;
    FILE *f = file_open_stream(path, &why);
    if (f == NULL) {
        cannot_read(path, why, error);
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
        cannot_read(path, strerror(errno), error);
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
