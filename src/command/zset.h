/* zset: what the handlers of sorted sets share. */
#ifndef RESPGRES_COMMAND_ZSET_H
#define RESPGRES_COMMAND_ZSET_H

#include "command/content.h"

/* A border of a range of scores, or of members that have one score. */
struct score_border {
    double score;
    bool excluded;
};

enum lex_kind { LEX_FIRST, LEX_MEMBER, LEX_LAST }; /* '-', a member, '+' */

struct lex_border {
    enum lex_kind kind;
    bool excluded;
    struct bytes member;
};

/* From argument `min` and `max`; false = one is no border, and the error is written. */
MUST_CHECK bool score_borders_or_reply(struct command_ctx *ctx, struct bytes min, struct bytes max,
                                       struct score_border out[2]);
MUST_CHECK bool lex_borders_or_reply(struct command_ctx *ctx, struct bytes min, struct bytes max,
                                     struct lex_border out[2]);

/* The ranks [*first, *first + *n) that are between the borders. */
void score_range(const struct zset *z, const struct score_border borders[2], size_t *first,
                 size_t *n);
void lex_range(const struct zset *z, const struct lex_border borders[2], size_t *first, size_t *n);

/* Members with scores: pairs under RESP3, one after the other under RESP2. */
void reply_pairs_begin(struct command_ctx *ctx, size_t n, bool with_scores);
void reply_pair(struct command_ctx *ctx, const struct item *it, bool with_score);

/* Takes up to n members off an end of a set that is there, and replies with an array of them. `pairs`:
 * each is an array with its score, also under RESP2. */
void zset_pop_reply(struct command_ctx *ctx, int key, bool max, size_t n, bool pairs);
/* The same for n that are there, without the head of the array. */
void zset_pop_members(struct command_ctx *ctx, int key, bool max, size_t n, bool pairs);

#endif
