/* values: see values.h. */
#include "config/values.h"

#include <string.h>

#include "config/url.h"
#include "config/words.h"

void values_init(struct values *v)
{
    config_init(&v->config);
    v->renames = v->stop_at_rename = 0;
    for (size_t i = 0; i < OPTION_COUNT; i++)
        v->source[i] = CONFIG_DEFAULT;
}

void values_release(struct values *v)
{
    config_release(&v->config);
}

void values_overlay(struct values *v, const struct values *above)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (above->source[i] == CONFIG_DEFAULT)
            continue;
        option_copy(&options[i], &v->config, &above->config);
        v->source[i] = above->source[i];
    }
}

static void join(int n, const struct bytes *words, struct buf *out)
{
    for (int i = 0; i < n; i++) {
        if (i > 0)
            buf_append_u8(out, ' ');
        buf_append_bytes(out, words[i]);
    }
}

/* "port 6379" in a file made for Redis sets an option; "appendonly yes" only states a fact. */
static bool set_fixed(const struct option_fixed *f, struct bytes text, struct buf *reason)
{
    if (bytes_ieq(text, f->value))
        return true;
    buf_printf(reason, "%s: always \"%s\" here", f->name, f->value);
    return false;
}

static bool set_option(struct values *v, const struct option *o, int n, struct bytes text,
                       enum config_source source, struct buf *reason)
{
    buf_printf(reason, "%s: ", o->name);
    if (n != 1 && !(o->flags & OPTION_LIST)) {
        buf_append_cstr(reason, n == 0 ? "needs a value" : "takes one value (quote blanks)");
        return false;
    }
    if (n == 0) {
        buf_append_cstr(reason, "needs a value");
        return false;
    }
    if (!option_parse(o, text, &v->config, reason))
        return false;
    v->source[o - options] = source;
    return true;
}

/* Adds the words of one text: a variable has all pairs in it. */
static bool add_words(struct bytes text, struct buf *out, int *count)
{
    struct buf word;
    size_t at = 0;
    bool found = true;
    bool ok = true;
    buf_init(&word);
    while (ok && found) {
        word.len = 0;
        ok = words_next(text, &at, &word, &found);
        if (ok && found) {
            buf_append_cstr(out, out->len > 0 ? " " : "");
            words_append(out, buf_bytes(&word));
            (*count)++;
        }
    }
    buf_release(&word);
    return ok;
}

/* What the same source has said before stays; what others have said goes. */
static bool add_pairs(struct values *v, const struct option *o, int n, const struct bytes *words,
                      enum config_source source, struct buf *reason)
{
    struct buf all;
    int count = 0;
    bool ok = true;
    buf_init(&all);
    if (v->source[o - options] == source)
        buf_append_cstr(&all, *option_string(o, &v->config));
    else
        v->renames = 0;
    if (n == 1) {
        ok = add_words(words[0], &all, &count);
    } else {
        for (int i = 0; i < n; i++, count++) {
            buf_append_cstr(&all, all.len > 0 ? " " : "");
            words_append(&all, words[i]);
        }
    }
    bool none = n == 1 && count == 0; /* "" takes away what a lower source has said */
    if (!ok || (count == 0 && !none) || count % 2 != 0) {
        buf_printf(reason, "%s: %s", o->name,
                   ok ? "needs a command and its new name" : "unbalanced quotes");
        ok = false;
    } else {
        ok = option_parse(o, buf_bytes(&all), &v->config, reason);
        v->source[o - options] = source;
        v->renames += (size_t)count / 2;
    }
    buf_release(&all);
    return ok;
}

/* One line of a text: a variable has a line for each user. Blank lines and comments say nothing. */
static bool add_text_line(struct bytes line, struct buf *out, bool *any)
{
    int count = 0;
    struct buf words;
    buf_init(&words);
    bool ok = words_comment(line, 0) || add_words(line, &words, &count);
    if (ok && count > 0) {
        buf_append_bytes(out, buf_bytes(&words));
        buf_append_u8(out, '\n');
        *any = true;
    }
    buf_release(&words);
    return ok;
}

static bool add_text(struct bytes text, struct buf *out, bool *any)
{
    bool ok = true;
    for (size_t at = 0; ok && at < text.len;) {
        const char *newline = memchr(text.data + at, '\n', text.len - at);
        size_t len = newline != NULL ? (size_t)(newline - text.data) - at : text.len - at;
        ok = add_text_line(bytes_of(text.data + at, len), out, any);
        at += len + 1;
    }
    return ok;
}

/* As add_pairs. A file has said which words there are; a variable, or a flag's only value, is text. */
static bool add_line(struct values *v, const struct option *o, int n, const struct bytes *words,
                     enum config_source source, struct buf *reason)
{
    struct buf all;
    bool any = false;
    bool ok = n > 0;
    buf_init(&all);
    if (v->source[o - options] == source)
        buf_append_cstr(&all, *option_string(o, &v->config));
    if (n == 1 && (source != CONFIG_FILE || words[0].len == 0)) {
        ok = add_text(words[0], &all, &any);
    } else {
        for (int i = 0; i < n; i++) {
            buf_append_cstr(&all, i > 0 ? " " : "");
            words_append(&all, words[i]);
        }
        buf_append_u8(&all, '\n');
    }
    if (!ok) {
        buf_printf(reason, "%s: %s", o->name, n == 0 ? "needs a value" : "unbalanced quotes");
    } else {
        ok = option_parse(o, buf_bytes(&all), &v->config, reason);
        v->source[o - options] = source;
    }
    buf_release(&all);
    return ok;
}

/* What the file, a variable or a flag called an option may be anything; show what is harmless. */
static void append_name(struct buf *out, struct bytes name)
{
    for (size_t i = 0; i < name.len && i < 64; i++) {
        char c = name.data[i];
        buf_append_u8(out, c > ' ' && c <= '~' ? (uint8_t)c : '?');
    }
}

bool values_set(struct values *v, struct bytes name, int n, const struct bytes *words,
                enum config_source source, struct buf *reason)
{
    const struct option *o = option_find(name);
    const struct option_fixed *f = option_fixed_find(name);
    if (o == NULL && f == NULL) {
        buf_append_cstr(reason, "unknown option '");
        append_name(reason, url_shown(name));
        buf_append_u8(reason, '\'');
        return false;
    }
    if (o != NULL && (o->flags & OPTION_MULTI))
        return add_pairs(v, o, n, words, source, reason);
    if (o != NULL && (o->flags & OPTION_LINES))
        return add_line(v, o, n, words, source, reason);
    struct buf text;
    struct buf why;
    buf_init(&text);
    buf_init(&why);
    join(n, words, &text);
    bool ok = o != NULL ? set_option(v, o, n, buf_bytes(&text), source, &why)
                        : set_fixed(f, buf_bytes(&text), &why);
    if (!ok)
        buf_append_bytes(reason, buf_bytes(&why));
    buf_release(&text);
    buf_release(&why);
    return ok;
}
