/* shebang: "#!lua flags=no-writes,allow-oom". A script with such a line states what it does; one
 * without is treated as before there were any. */
#include "script/script.h"

struct flag_word {
    const char *word;
    unsigned flag;
};

static const struct flag_word words[] = {
    {"no-writes", SCRIPT_NO_WRITES},
    {"allow-oom", SCRIPT_ALLOW_OOM},
    {"allow-stale", SCRIPT_ALLOW_STALE},
    {"no-cluster", SCRIPT_NO_CLUSTER},
    {"allow-cross-slot-keys", SCRIPT_CROSS_SLOT},
};

/* The part of *rest before `separator`, taken off its front; false at the end. */
static bool next_part(struct bytes *rest, char separator, struct bytes *part)
{
    if (rest->data == NULL)
        return false;
    const char *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    if (end == NULL) {
        *part = *rest;
        *rest = bytes_of(NULL, 0);
        return true;
    }
    size_t n = (size_t)(end - rest->data);
    *part = bytes_of(rest->data, n);
    *rest = bytes_of(end + 1, rest->len - n - 1);
    return true;
}

static bool starts_with(struct bytes s, struct bytes prefix)
{
    return s.len >= prefix.len && memcmp(s.data, prefix.data, prefix.len) == 0;
}

static bool take_flag(struct bytes word, unsigned *flags)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (bytes_eq(word, bytes_cstr(words[i].word))) {
            *flags |= words[i].flag;
            return true;
        }
    }
    return false;
}

static bool fail(struct buf *error, const char *what, struct bytes which)
{
    buf_append_cstr(error, what);
    buf_append_bytes(error, which);
    return false;
}

static bool take_flags(struct bytes list, unsigned *flags, struct buf *error)
{
    struct bytes word;
    if (list.len == 0)
        return true;
    while (next_part(&list, ',', &word)) {
        if (!take_flag(word, flags))
            return fail(error, "ERR Unexpected flag in script shebang: ", word);
    }
    return true;
}

bool script_shebang(struct bytes body, unsigned *flags, size_t *len, struct buf *error)
{
    static const struct bytes option = {"flags=", 6};
    *flags = SCRIPT_COMPAT;
    *len = 0;
    if (!starts_with(body, BYTES_LIT("#!")))
        return true;
    const char *end = memchr(body.data, '\n', body.len);
    if (end == NULL)
        return fail(error, "ERR Invalid script shebang", bytes_of(NULL, 0));
    *flags = 0;
    *len = (size_t)(end - body.data);
    struct bytes rest = bytes_of(body.data, *len);
    struct bytes part;
    if (!next_part(&rest, ' ', &part) || !bytes_eq(part, BYTES_LIT("#!lua")))
        return fail(error, "ERR Unexpected engine in script shebang: ", part);
    while (next_part(&rest, ' ', &part)) {
        if (part.len == 0)
            continue;
        if (!starts_with(part, option))
            return fail(error, "ERR Unknown lua shebang option: ", part);
        if (!take_flags(bytes_of(part.data + option.len, part.len - option.len), flags, error))
            return false;
    }
    return true;
}
