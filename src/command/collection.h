/* collection: what the commands of the collection types have in common: cursors (HSCAN, SSCAN, ZSCAN)
 * and draws (HRANDFIELD, SRANDMEMBER, ZRANDMEMBER, SPOP). */
#ifndef RESPGRES_COMMAND_COLLECTION_H
#define RESPGRES_COMMAND_COLLECTION_H

#include "command/handler.h"

/* ---- cursors ---- */

struct scan_args {
    uint64_t cursor;
    int64_t count;       /* 10 unless told */
    struct bytes pattern; /* data == NULL = everything */
};

/* The cursor at argument 2; false = the error is written. To be read before the key is looked at. */
MUST_CHECK bool scan_cursor_or_reply(struct command_ctx *ctx, struct scan_args *out);
/* MATCH and COUNT from argument 3 on. To be read after the key has been found: Redis does not look at
 * them where there is none. */
MUST_CHECK bool scan_options_or_reply(struct command_ctx *ctx, struct scan_args *out);
/* The answer: next cursor and `n` elements, which stand in `elements` as replies. */
void scan_reply(struct command_ctx *ctx, uint64_t cursor, size_t n, const struct buf *elements);

/* ---- draws ---- */

/* A source of random numbers for one command. */
struct draw {
    uint64_t state;
};

void draw_init(struct draw *d);
/* 0 <= result < n, each with the same chance. */
size_t draw_below(struct draw *d, size_t n);
/* Calls f for `k` different numbers below n (k <= n), each set of them with the same chance, in rising
 * order. False = no memory. */
MUST_CHECK bool draw_distinct(struct draw *d, size_t n, size_t k, void (*f)(void *arg, size_t i),
                              void *arg);

/* The count of ...RANDFIELD and ...RANDMEMBER, and its last word (WITHVALUES, WITHSCORES, or NULL) at
 * argument 3: false = the error is written. */
MUST_CHECK bool draw_count_or_reply(struct command_ctx *ctx, const char *with_word, int64_t *count,
                                    bool *with);

#endif
