#include "store/postgres/params.h"

#include <string.h>

enum { ARRAY_HEADER = 20 };

/* Microseconds from 1970 to 2000, PostgreSQL's epoch. */
static const int64_t epoch_2000_us = 946684800LL * 1000000;

void params_init(struct params *p)
{
    memset(p, 0, sizeof(*p));
}

void params_release(struct params *p)
{
    for (int i = 0; i < PARAMS_MAX; i++)
        buf_release(&p->data[i]);
}

void params_reset(struct params *p)
{
    for (int i = 0; i < PARAMS_MAX; i++) {
        buf_reset(&p->data[i], (size_t)1 << 20);
        p->elements[i] = 0;
        p->null[i] = false;
    }
    p->n = 0;
}

static struct buf *next(struct params *p)
{
    CHECK(p->n < PARAMS_MAX);
    p->formats[p->n] = 1;
    return &p->data[p->n++];
}

void params_int2(struct params *p, int16_t v)
{
    buf_append_be16(next(p), (uint16_t)v);
}

void params_int4(struct params *p, int32_t v)
{
    buf_append_be32(next(p), (uint32_t)v);
}

void params_int8(struct params *p, int64_t v)
{
    buf_append_be64(next(p), (uint64_t)v);
}

void params_bytea(struct params *p, struct bytes v)
{
    struct buf *b = next(p);
    buf_reserve(b, 1);
    buf_append_bytes(b, v);
}

static void append_interval(struct buf *b, int64_t us)
{
    buf_append_be64(b, (uint64_t)us);
    buf_append_be64(b, 0); /* days, months */
}

void params_interval(struct params *p, int64_t us)
{
    append_interval(next(p), us);
}

void params_null(struct params *p)
{
    p->null[p->n] = true;
    next(p);
}

void params_text(struct params *p, const char *v)
{
    p->formats[p->n] = 0;
    struct buf *b = &p->data[p->n++];
    buf_append_cstr(b, v);
    (void)buf_cstr(b);
}

int params_array(struct params *p, uint32_t element_oid)
{
    struct buf *b = next(p);
    buf_append_be32(b, 1); /* dimensions */
    buf_append_be32(b, 0); /* has NULLs: set by params_add_null */
    buf_append_be32(b, element_oid);
    buf_append_be32(b, 0); /* elements: set by params_finish */
    buf_append_be32(b, 1); /* lower bound */
    CHECK(b->len == ARRAY_HEADER);
    return p->n - 1;
}

static struct buf *element(struct params *p, int array, uint32_t len)
{
    struct buf *b = &p->data[array];
    p->elements[array]++;
    buf_append_be32(b, len);
    return b;
}

void params_add_int2(struct params *p, int array, int16_t v)
{
    buf_append_be16(element(p, array, 2), (uint16_t)v);
}

void params_add_int4(struct params *p, int array, int32_t v)
{
    buf_append_be32(element(p, array, 4), (uint32_t)v);
}

void params_add_int8(struct params *p, int array, int64_t v)
{
    buf_append_be64(element(p, array, 8), (uint64_t)v);
}

void params_add_bytea(struct params *p, int array, struct bytes v)
{
    buf_append_bytes(element(p, array, (uint32_t)v.len), v);
}

void params_add_interval(struct params *p, int array, int64_t us)
{
    append_interval(element(p, array, 16), us);
}

void params_add_null(struct params *p, int array)
{
    element(p, array, UINT32_MAX);
    buf_put_be32_at(&p->data[array], 4, 1);
}

void params_finish(struct params *p)
{
    for (int i = 0; i < p->n; i++) {
        struct buf *b = &p->data[i];
        if (p->elements[i] > 0)
            buf_put_be32_at(b, 12, p->elements[i]);
        p->values[i] = p->null[i] ? NULL : b->data;
        p->lengths[i] = (int)b->len;
    }
}

static uint64_t be(const char *at, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

int16_t pg_int2(const char *at)
{
    return (int16_t)be(at, 2);
}

int32_t pg_int4(const char *at)
{
    return (int32_t)be(at, 4);
}

int64_t pg_int8(const char *at)
{
    return (int64_t)be(at, 8);
}

int64_t pg_timestamp_us(const char *at)
{
    int64_t v = pg_int8(at);
    if (v == INT64_MIN)
        return v;
    return v > INT64_MAX - epoch_2000_us ? INT64_MAX : v + epoch_2000_us;
}

void pg_each_int(const char *array, void (*f)(void *arg, size_t i, int64_t v), void *arg)
{
    if (pg_int4(array) == 0)
        return;
    int32_t n = pg_int4(array + 12);
    const char *at = array + ARRAY_HEADER;
    for (int32_t i = 0; i < n; i++) {
        int32_t len = pg_int4(at);
        at += 4;
        CHECK(len == 4 || len == 8);
        f(arg, (size_t)i, len == 4 ? pg_int4(at) : pg_int8(at));
        at += len;
    }
}
