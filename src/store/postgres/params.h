/* params: the parameters of one statement in PostgreSQL's binary format (PostgreSQL manual, chapter
 * "Frontend/Backend Protocol", and src/include/catalog/pg_type.dat for the type oids). Buffers are
 * kept between uses. */
#ifndef RESPGRES_STORE_POSTGRES_PARAMS_H
#define RESPGRES_STORE_POSTGRES_PARAMS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

enum { PARAMS_MAX = 21 };

struct params {
    int n;
    struct buf data[PARAMS_MAX];
    bool null[PARAMS_MAX];
    uint32_t elements[PARAMS_MAX];
    /* for libpq: */
    const char *values[PARAMS_MAX];
    int lengths[PARAMS_MAX];
    int formats[PARAMS_MAX];
};

void params_init(struct params *p);
void params_release(struct params *p);
void params_reset(struct params *p);

/* Each appends one parameter. */
void params_int2(struct params *p, int16_t v);
void params_int4(struct params *p, int32_t v);
void params_int8(struct params *p, int64_t v);
void params_bytea(struct params *p, struct bytes v);
void params_interval(struct params *p, int64_t us);
void params_null(struct params *p);
void params_text(struct params *p, const char *v);

/* Types of array elements. */
enum { OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TEXT = 25, OID_INTERVAL = 1186 };

/* Appends an array parameter without elements and returns its number for the calls below. */
int params_array(struct params *p, uint32_t element_oid);
void params_add_int2(struct params *p, int array, int16_t v);
void params_add_int4(struct params *p, int array, int32_t v);
void params_add_int8(struct params *p, int array, int64_t v);
void params_add_bytea(struct params *p, int array, struct bytes v);
void params_add_interval(struct params *p, int array, int64_t us);
void params_add_null(struct params *p, int array);

/* Completes the array headers and the vectors for libpq. */
void params_finish(struct params *p);

/* Decoding of binary results. */
int16_t pg_int2(const char *at);
int32_t pg_int4(const char *at);
int64_t pg_int8(const char *at);
/* timestamptz → microseconds since 1970; infinity, and the years from 294247 on, which are too far for 64
 * bits, become INT64_MAX; -infinity INT64_MIN. */
int64_t pg_timestamp_us(const char *at);
/* Calls f for each element of a one-dimensional int4[] or int8[] without NULLs. */
void pg_each_int(const char *array, void (*f)(void *arg, size_t i, int64_t v), void *arg);

#endif
