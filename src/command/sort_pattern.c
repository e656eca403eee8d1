/* sort_pattern: see sort_pattern.h. */
#include "command/sort_pattern.h"

#include "command/lookups.h"
#include "value/hash.h"

static size_t c_length(struct bytes s)
{
    const char *end = s.len > 0 ? memchr(s.data, '\0', s.len) : NULL;
    return end != NULL ? (size_t)(end - s.data) : s.len;
}

/* Behind the `*`: "…->field", where the field is not empty, names a hash. */
static void split_field(struct sort_pattern *p, struct bytes rest)
{
    p->kind = PATTERN_STRING;
    p->after = rest;
    size_t end = c_length(rest);
    for (size_t i = 0; i + 2 < end; i++) {
        if (rest.data[i] != '-' || rest.data[i + 1] != '>')
            continue;
        p->kind = PATTERN_FIELD;
        p->after = bytes_of(rest.data, i);
        p->field = bytes_of(rest.data + i + 2, rest.len - i - 2);
        return;
    }
}

struct sort_pattern sort_pattern_of(struct bytes text)
{
    struct sort_pattern p = {.kind = PATTERN_NOTHING};
    size_t end = c_length(text);
    if (end == 1 && text.data[0] == '#') {
        p.kind = PATTERN_ELEMENT;
        return p;
    }
    const char *star = end > 0 ? memchr(text.data, '*', end) : NULL;
    if (star == NULL)
        return p;
    size_t at = (size_t)(star - text.data);
    p.before = bytes_of(text.data, at);
    split_field(&p, bytes_of(star + 1, text.len - at - 1));
    return p;
}

static bool bytes_under(const struct command_ctx *ctx, const struct sort_pattern *p,
                        const struct key *k, bool counts, struct bytes *out)
{
    const struct value *v = key_value(ctx, k);
    if (counts && ctx->lookups != NULL)
        lookups_count(ctx->lookups, v != NULL);
    if (v == NULL || v->opaque)
        return false;
    if (p->kind == PATTERN_FIELD)
        return v->type == VALUE_HASH && hash_get(value_content(v), p->field, out);
    if (v->type != VALUE_STRING)
        return false;
    *out = value_bytes(v);
    return true;
}

enum sort_found sort_pattern_find(const struct command_ctx *ctx, const struct sort_pattern *p,
                                  struct bytes element, bool counts, struct buf *name,
                                  struct bytes *out)
{
    if (p->kind == PATTERN_NOTHING)
        return SORT_ABSENT;
    if (p->kind == PATTERN_ELEMENT) {
        *out = element;
        return SORT_FOUND;
    }
    CHECK(ctx->more != NULL);
    name->len = 0;
    buf_append_bytes(name, p->before);
    buf_append_bytes(name, element);
    buf_append_bytes(name, p->after);
    if (name->len > KEY_MAX_LEN)
        return SORT_ABSENT;
    const struct key *k = ctx->more->find(ctx->more, ctx->db, buf_bytes(name));
    if (k == NULL)
        return SORT_NOT_LOADED;
    return bytes_under(ctx, p, k, counts, out) ? SORT_FOUND : SORT_ABSENT;
}
