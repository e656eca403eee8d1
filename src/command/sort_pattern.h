/* sort_pattern: what SORT's BY and GET name: "weight_*" the key whose name has an element in the
 * place of the first `*`, "object_*->field" a field of a hash, "#" the element itself. As in Redis
 * a pattern ends at its first NUL, but for a field and what stands behind the `*`.
 *
 * The keys are no arguments: the transaction is asked for them (ctx->more). */
#ifndef RESPGRES_COMMAND_SORT_PATTERN_H
#define RESPGRES_COMMAND_SORT_PATTERN_H

#include "base/buf.h"
#include "command/handler.h"

struct sort_pattern {
    enum { PATTERN_NOTHING, PATTERN_ELEMENT, PATTERN_STRING, PATTERN_FIELD } kind;
    struct bytes before; /* the `*` */
    struct bytes after;
    struct bytes field;
};

/* Points into `text`. */
struct sort_pattern sort_pattern_of(struct bytes text);

/* Does it name keys? */
static inline bool sort_pattern_has_keys(const struct sort_pattern *p)
{
    return p->kind == PATTERN_STRING || p->kind == PATTERN_FIELD;
}

enum sort_found { SORT_FOUND, SORT_ABSENT, SORT_NOT_LOADED };

/* What the pattern names for an element. *out stays until the handler returns, as long as it
 * changes nothing. `name` is room for a key's name. Absent: the key, the field, or it is of another
 * type. Not loaded: it has been asked for, and the handler is to give up. `counts`: it is a lookup for
 * keyspace_hits or keyspace_misses. */
enum sort_found sort_pattern_find(const struct command_ctx *ctx, const struct sort_pattern *p,
                                  struct bytes element, bool counts, struct buf *name,
                                  struct bytes *out);

#endif
