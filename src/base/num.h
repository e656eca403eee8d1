/* num: strict text to number and back, with Redis' rules (no blanks, no '+', no leading zeros). */
#ifndef RESPGRES_BASE_NUM_H
#define RESPGRES_BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"

/* Exactly the decimal form of a 64-bit integer: what Redis' string2ll accepts. */
MUST_CHECK bool num_int64(struct bytes s, int64_t *out);

/* A long double as INCRBYFLOAT reads it: no blanks, no NaN, within range. */
MUST_CHECK bool num_long_double(struct bytes s, long double *out);

/* A double as Redis reads scores and weights: what strtod takes whole, no blank before it, no NaN. */
MUST_CHECK bool num_double(struct bytes s, double *out);

/* Room for any number's text, NUL included (a long double printed with %.17Lf). */
enum { NUM_INT_SIZE = 24, NUM_FLOAT_SIZE = 5 * 1024 };

/* Writes the decimal form and a NUL; returns the length. */
size_t num_format_int64(int64_t v, char out[NUM_INT_SIZE]);

/* Human-friendly form as Redis writes INCRBYFLOAT results: %.17Lf without trailing zeros. */
size_t num_format_long_double(long double v, char out[NUM_FLOAT_SIZE]);

/* Sums and products that tell about overflow: false = would overflow. */
MUST_CHECK bool num_add(int64_t a, int64_t b, int64_t *out);
MUST_CHECK bool num_mul(int64_t a, int64_t b, int64_t *out);

#endif
