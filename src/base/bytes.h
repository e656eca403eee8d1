/* bytes: a borrowed {pointer, length}. NUL is data; nothing here allocates or owns. */
#ifndef RESPGRES_BASE_BYTES_H
#define RESPGRES_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct bytes {
    const char *data;
    size_t len;
};

#define BYTES_LIT(s) ((struct bytes){(s), sizeof(s) - 1})

static inline struct bytes bytes_of(const char *data, size_t len)
{
    return (struct bytes){data, len};
}

static inline struct bytes bytes_cstr(const char *s)
{
    return (struct bytes){s, strlen(s)};
}

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* memcmp order, the shorter first where one is a prefix: the order of PostgreSQL's bytea. */
int bytes_cmp(struct bytes a, struct bytes b);

/* ASCII case-insensitive, as Redis compares command names and options. */
bool bytes_ieq(struct bytes a, const char *b);

#endif
