/* content: what the handlers of lists, sets and sorted sets share: reaching the content of a key to
 * read or to change it, and arguments. */
#ifndef RESPGRES_COMMAND_CONTENT_H
#define RESPGRES_COMMAND_CONTENT_H

#include "command/handler.h"
#include "value/deque.h"
#include "value/set.h"
#include "value/zset.h"

/* The content of the i-th key, NULL if it is absent. False: it is of another type, and WRONGTYPE is
 * written. */
MUST_CHECK bool list_or_reply(struct command_ctx *ctx, int i, const struct deque **out);
MUST_CHECK bool set_or_reply(struct command_ctx *ctx, int i, const struct set **out);
MUST_CHECK bool zset_or_reply(struct command_ctx *ctx, int i, const struct zset **out);

/* The same, to be changed: made if the key is absent. Only after everything has been checked, the
 * type too; `content_changed` says that it is done, behind the event that tells of it, and removes the
 * key if nothing is left in it. */
struct deque *list_change(struct command_ctx *ctx, int i);
struct set *set_change(struct command_ctx *ctx, int i);
struct zset *zset_change(struct command_ctx *ctx, int i);
void content_changed(struct command_ctx *ctx, int i);

/* A value of a collection type as the whole of the i-th key, whatever it held, without an expiry;
 * `event`, of its class, tells of it. An empty one removes the key. Takes `v`. False: it is too large,
 * and the error is written. */
MUST_CHECK bool content_store_or_reply(struct command_ctx *ctx, int i, struct value *v, unsigned class,
                                       const char *event);

/* Is there room in the i-th key for so many bytes more? Otherwise the error is written. */
MUST_CHECK bool content_fits_or_reply(struct command_ctx *ctx, int i, size_t more);
/* Is there room in the i-th key for the arguments from `first` on, every `step`-th of them?
 * Otherwise the error is written. */
MUST_CHECK bool content_room_or_reply(struct command_ctx *ctx, int i, int first, int step);

/* An array that is empty, or nothing at all. */
void reply_empty_array(struct command_ctx *ctx);

/* An integer argument within [min, max]; false = it is none, and `error` is written, or what Redis
 * says if that is NULL. */
MUST_CHECK bool arg_between_or_reply(struct command_ctx *ctx, struct bytes arg, int64_t min,
                                     int64_t max, const char *error, int64_t *out);
/* A count: not negative. */
MUST_CHECK bool arg_count_or_reply(struct command_ctx *ctx, struct bytes arg, int64_t *out);
/* A number, infinite ones too, no NaN; false = it is none, and the error is written. */
MUST_CHECK bool arg_double_or_reply(struct command_ctx *ctx, struct bytes arg, const char *error,
                                    double *out);

/* Redis' way to name a part of `count` elements: positions from the end if negative. What is left
 * lies in [*first, *first + *n). */
void range_within(int64_t start, int64_t end, size_t count, size_t *first, size_t *n);

/* May n elements of the i-th key, which is there, be drawn with repetition? A count of any size can
 * be asked for in a few bytes: what is answered is bounded by proto-max-bulk-len. Else the error is
 * written. */
MUST_CHECK bool draws_fit_or_reply(struct command_ctx *ctx, int i, uint64_t n);

/* What a command with a number of keys says of them: "<numkeys> key [key ...]" from argument `at`
 * on. Where they end, if the arguments are many enough; else 0. */
int numkeys_end(int argc, const struct bytes *argv, int at);

/* The arguments of LMPOP and ZMPOP from argument `at` on: "numkeys key [key ...] <ONE | OTHER> [COUNT
 * count]". False = they are wrong, and the error is written. */
MUST_CHECK bool mpop_arguments_or_reply(struct command_ctx *ctx, int at, const char *one,
                                        const char *other, bool *is_other, int64_t *count);

/* The argument that names SORT's destination; 0 = there is none. */
int sort_store_arg(int argc, const struct bytes *argv);

#endif
