/* Parameters as PostgreSQL's binary receive functions read them: int4recv, int8recv, bytearecv,
 * interval_recv and array_recv in src/backend/utils/adt. */
#include "store/postgres/params.h"

#include "test.h"

static const int64_t epoch_2000_us = INT64_C(946684800) * 1000000;

/* ---- reading what was written ---- */

struct array {
    int32_t dimensions;
    int32_t has_null;
    uint32_t oid;
    int32_t n;
    int32_t lower;
    const char *at; /* the next element */
    const char *end;
};

static struct array open_array(const struct params *p, int i)
{
    const char *at = p->values[i];
    struct array a = {pg_int4(at),       pg_int4(at + 4),  (uint32_t)pg_int4(at + 8),
                      pg_int4(at + 12),  pg_int4(at + 16), at + 20,
                      at + p->lengths[i]};
    EXPECT(p->lengths[i] >= 20);
    EXPECT_INT(p->formats[i], 1);
    EXPECT_INT(a.dimensions, 1);
    EXPECT_INT(a.lower, 1);
    return a;
}

/* The next element's bytes; NULL data for a NULL. */
static struct bytes next_element(struct array *a)
{
    EXPECT(a->end - a->at >= 4);
    int32_t len = pg_int4(a->at);
    a->at += 4;
    if (len < 0)
        return (struct bytes){NULL, 0};
    struct bytes element = bytes_of(a->at, (size_t)len);
    a->at += len;
    EXPECT(a->at <= a->end);
    return element;
}

static int64_t next_int(struct array *a)
{
    struct bytes e = next_element(a);
    EXPECT(e.len == 2 || e.len == 4 || e.len == 8);
    return e.len == 2 ? pg_int2(e.data) : e.len == 4 ? pg_int4(e.data) : pg_int8(e.data);
}

/* ---- tests ---- */

static void numbers_are_big_endian(void)
{
    EXPECT_INT(pg_int2("\x01\x02"), 0x0102);
    EXPECT_INT(pg_int2("\xff\xfe"), -2);
    EXPECT_INT(pg_int4("\x80\x00\x00\x00"), INT32_MIN);
    EXPECT_INT(pg_int8("\x7f\xff\xff\xff\xff\xff\xff\xff"), INT64_MAX);
    EXPECT_INT(pg_int8("\x00\x00\x00\x01\x00\x00\x00\x00"), INT64_C(1) << 32);
}

static void scalars(void)
{
    static const int32_t ints[] = {0, 1, -1, INT32_MAX, INT32_MIN};
    static const int64_t bigints[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT64_C(0x0102030405060708)};
    struct params p;
    params_init(&p);
    for (size_t i = 0; i < 5; i++)
        params_int4(&p, ints[i]);
    for (size_t i = 0; i < 6; i++)
        params_int8(&p, bigints[i]);
    params_finish(&p);
    EXPECT_INT(p.n, 11);
    for (int i = 0; i < 5; i++) {
        EXPECT_INT(p.lengths[i], 4);
        EXPECT_INT(p.formats[i], 1);
        EXPECT_INT(pg_int4(p.values[i]), ints[i]);
    }
    for (int i = 0; i < 6; i++) {
        EXPECT_INT(p.lengths[5 + i], 8);
        EXPECT_INT(pg_int8(p.values[5 + i]), bigints[i]);
    }
    params_release(&p);
}

static void bytes_texts_and_null(void)
{
    const struct bytes binary = BYTES_LIT("a\0\xff\r\n");
    struct params p;
    params_init(&p);
    params_bytea(&p, binary);
    params_bytea(&p, BYTES_LIT(""));
    params_null(&p);
    params_text(&p, "text");
    params_text(&p, "");
    params_finish(&p);
    EXPECT(bytes_eq(bytes_of(p.values[0], (size_t)p.lengths[0]), binary));
    EXPECT(p.values[1] != NULL); /* NULL would be SQL's */
    EXPECT_INT(p.lengths[1], 0);
    EXPECT(p.values[2] == NULL);
    EXPECT_INT(p.formats[3], 0);
    EXPECT_CSTR(p.values[3], "text");
    EXPECT_CSTR(p.values[4], "");
    params_release(&p);
}

static void arrays_of_numbers(void)
{
    struct params p;
    params_init(&p);
    int small = params_array(&p, OID_INT2);
    int middle = params_array(&p, OID_INT4);
    int large = params_array(&p, OID_INT8);
    params_int4(&p, 99);
    for (int i = -3; i <= 3; i++) { /* filled in turns, as the batches do */
        params_add_int2(&p, small, (int16_t)(i * 10000));
        params_add_int4(&p, middle, i * 700000000);
        params_add_int8(&p, large, i * (INT64_MAX / 3));
    }
    params_finish(&p);
    EXPECT_INT(pg_int4(p.values[3]), 99);
    static const uint32_t oids[] = {OID_INT2, OID_INT4, OID_INT8};
    for (int n = 0; n < 3; n++) {
        struct array a = open_array(&p, n);
        EXPECT_INT(a.oid, oids[n]);
        EXPECT_INT(a.n, 7);
        EXPECT_INT(a.has_null, 0);
        for (int i = -3; i <= 3; i++)
            EXPECT_INT(next_int(&a), n == 0   ? i * 10000
                                     : n == 1 ? i * 700000000
                                              : i * (INT64_MAX / 3));
        EXPECT(a.at == a.end);
    }
    params_release(&p);
}

static void arrays_of_bytes_and_nulls(void)
{
    const struct bytes binary = BYTES_LIT("\0\xff\0");
    struct params p;
    params_init(&p);
    int array = params_array(&p, OID_BYTEA);
    params_add_bytea(&p, array, binary);
    params_add_null(&p, array);
    params_add_bytea(&p, array, BYTES_LIT(""));
    params_finish(&p);
    struct array a = open_array(&p, 0);
    EXPECT_INT(a.oid, OID_BYTEA);
    EXPECT_INT(a.n, 3);
    EXPECT_INT(a.has_null, 1);
    EXPECT(bytes_eq(next_element(&a), binary));
    EXPECT(next_element(&a).data == NULL);
    struct bytes empty = next_element(&a);
    EXPECT(empty.data != NULL && empty.len == 0);
    EXPECT(a.at == a.end);
    params_release(&p);
}

/* Microseconds, days, months: ours have only the first. */
static void arrays_of_intervals(void)
{
    static const int64_t us[] = {0, 1, -1, INT64_C(9000000000000000000)};
    struct params p;
    params_init(&p);
    int array = params_array(&p, OID_INTERVAL);
    for (size_t i = 0; i < 4; i++)
        params_add_interval(&p, array, us[i]);
    params_finish(&p);
    struct array a = open_array(&p, 0);
    EXPECT_INT(a.oid, OID_INTERVAL);
    for (size_t i = 0; i < 4; i++) {
        struct bytes e = next_element(&a);
        EXPECT_INT(e.len, 16);
        EXPECT_INT(pg_int8(e.data), us[i]);
        EXPECT_INT(pg_int4(e.data + 8), 0);
        EXPECT_INT(pg_int4(e.data + 12), 0);
    }
    params_release(&p);
}

/* Buffers are kept, contents are not. */
static void parameters_are_used_again(void)
{
    struct params p;
    params_init(&p);
    for (int round = 0; round < 3; round++) {
        params_reset(&p);
        EXPECT_INT(p.n, 0);
        int array = params_array(&p, OID_BYTEA);
        if (round != 1)
            params_add_null(&p, array);
        if (round == 2)
            params_null(&p);
        else
            params_int4(&p, round);
        params_finish(&p);
        struct array a = open_array(&p, array);
        EXPECT_INT(a.n, round != 1);
        EXPECT_INT(a.has_null, round != 1);
        EXPECT_INT(p.lengths[0], round != 1 ? 24 : 20);
        EXPECT((p.values[1] == NULL) == (round == 2));
    }
    params_release(&p);
}

static void many_elements(void)
{
    enum { MANY = 100000 };
    struct params p;
    params_init(&p);
    int array = params_array(&p, OID_INT8);
    for (int64_t i = 0; i < MANY; i++)
        params_add_int8(&p, array, i * i);
    params_finish(&p);
    struct array a = open_array(&p, array);
    EXPECT_INT(a.n, MANY);
    bool right = true;
    for (int64_t i = 0; i < MANY; i++)
        right &= next_int(&a) == i * i;
    EXPECT(right && a.at == a.end);
    params_release(&p);
}

static void timestamps(void)
{
    struct params p;
    params_init(&p);
    params_int8(&p, 0);
    params_int8(&p, -epoch_2000_us);
    params_int8(&p, INT64_MAX);
    params_int8(&p, INT64_MIN);
    params_int8(&p, INT64_C(9223371331199999999)); /* the last day of the year 294276, PostgreSQL's last */
    params_int8(&p, INT64_MAX - epoch_2000_us);
    params_int8(&p, INT64_MAX - epoch_2000_us + 1);
    params_finish(&p);
    EXPECT_INT(pg_timestamp_us(p.values[0]), epoch_2000_us);
    EXPECT_INT(pg_timestamp_us(p.values[1]), 0);
    EXPECT_INT(pg_timestamp_us(p.values[2]), INT64_MAX);
    EXPECT_INT(pg_timestamp_us(p.values[3]), INT64_MIN);
    EXPECT_INT(pg_timestamp_us(p.values[4]), INT64_MAX);
    EXPECT_INT(pg_timestamp_us(p.values[5]), INT64_MAX);
    EXPECT_INT(pg_timestamp_us(p.values[6]), INT64_MAX);
    params_release(&p);
}

struct sum {
    size_t n;
    int64_t weighted;
};

static void add_weighted(void *arg, size_t i, int64_t v)
{
    struct sum *s = arg;
    EXPECT_INT(i, s->n);
    s->n++;
    s->weighted += v * (int64_t)(i + 1);
}

static void arrays_are_walked(void)
{
    struct params p;
    params_init(&p);
    int ints = params_array(&p, OID_INT4);
    int bigints = params_array(&p, OID_INT8);
    int none = params_array(&p, OID_INT4);
    for (int i = 1; i <= 3; i++) {
        params_add_int4(&p, ints, -i);
        params_add_int8(&p, bigints, i * INT64_C(10000000000));
    }
    params_finish(&p);
    struct sum s = {0, 0};
    pg_each_int(p.values[ints], add_weighted, &s);
    EXPECT(s.n == 3 && s.weighted == -14);
    s = (struct sum){0, 0};
    pg_each_int(p.values[bigints], add_weighted, &s);
    EXPECT(s.n == 3 && s.weighted == INT64_C(140000000000));
    s = (struct sum){0, 0};
    pg_each_int(p.values[none], add_weighted, &s);
    /* As PostgreSQL sends an empty array: without dimensions. */
    pg_each_int("\0\0\0\0\0\0\0\0\0\0\0\x17", add_weighted, &s);
    EXPECT_INT(s.n, 0);
    params_release(&p);
}

TEST_MAIN(TEST(numbers_are_big_endian), TEST(scalars), TEST(bytes_texts_and_null),
          TEST(arrays_of_numbers), TEST(arrays_of_bytes_and_nulls), TEST(arrays_of_intervals),
          TEST(parameters_are_used_again), TEST(many_elements), TEST(timestamps),
          TEST(arrays_are_walked))
