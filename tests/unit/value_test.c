/* Values: references, collections that are changed in place, stored forms; the hash. */
#include "value/value.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "test.h"
#include "value/coding.h"
#include "value/hash.h"

static void put(struct hash *h, const char *field, struct bytes value)
{
    struct hash_item *item = hash_item_new(bytes_cstr(field), value);
    if (item != NULL)
        hash_put(h, item);
}

static void put_number(struct hash *h, int i, const char *value)
{
    char field[16];
    snprintf(field, sizeof(field), "f%d", i);
    put(h, field, bytes_cstr(value));
}

static bool has_number(const struct hash *h, int i)
{
    char field[16];
    struct bytes value;
    snprintf(field, sizeof(field), "f%d", i);
    return hash_get(h, bytes_cstr(field), &value);
}

static struct value *hash_of(int n)
{
    struct value *v = value_collection_new(VALUE_HASH);
    for (int i = 0; i < n; i++)
        put_number(value_content(v), i, "value");
    return v;
}

/* ---- coding ---- */

static void varints_have_one_form(void)
{
    static const uint64_t numbers[] = {
        0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct buf b;
        uint64_t out = 0;
        buf_init(&b);
        put_varint(&b, numbers[i]);
        EXPECT_INT(b.len, varint_size(numbers[i]));
        struct bytes in = buf_bytes(&b);
        EXPECT(take_varint(&in, &out) && out == numbers[i] && in.len == 0);
        for (size_t cut = 0; cut < b.len; cut++) {
            in = bytes_of(b.data, cut);
            EXPECT(!take_varint(&in, &out));
        }
        buf_release(&b);
    }
    static const char *const longer[] = {"\x80\x00", "\xff\x80\x00"};
    struct bytes two = bytes_of(longer[0], 2);
    struct bytes three = bytes_of(longer[1], 3);
    struct bytes beyond = BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
    uint64_t out;
    EXPECT(!take_varint(&two, &out) && !take_varint(&three, &out) && !take_varint(&beyond, &out));
}

/* ---- values ---- */

static void opaque_values_keep_their_bytes(void)
{
    static const uint8_t types[] = {VALUE_HASH, 77};
    for (size_t i = 0; i < 2; i++) {
        struct value *v = value_decode(types[i], BYTES_LIT("\x02what a later version writes"));
        EXPECT(v->opaque && !value_is_collection(v));
        EXPECT_INT(v->type, types[i]);
        EXPECT_TEXT(value_bytes(v).data, value_bytes(v).len, "\x02what a later version writes");
        value_unref(v);
    }
    EXPECT_CSTR(value_type_name(77), "unknown");
}

static void types_have_names(void)
{
    uint8_t type = 99;
    EXPECT(value_type_by_name(BYTES_LIT("HASH"), &type) && type == VALUE_HASH);
    EXPECT(value_type_by_name(BYTES_LIT("string"), &type) && type == VALUE_STRING);
    EXPECT(!value_type_by_name(BYTES_LIT("unknown"), &type) &&
           !value_type_by_name(BYTES_LIT(""), &type));
    EXPECT_CSTR(value_type_name(VALUE_HASH), "hash");
}

static void encoding_is_kept_until_a_change(void)
{
    struct value *v = hash_of(3);
    const char *first = value_bytes(v).data;
    EXPECT(value_bytes(v).data == first);
    size_t memory = value_memory(v);
    value_drop_bytes(v);
    EXPECT_INT(value_memory(v), memory); /* what the keyspace counts does not move */
    struct value *copy = value_collection_copy(v);
    EXPECT(bytes_eq(value_bytes(v), value_bytes(copy)));
    value_begin_change(copy);
    put_number(value_content(copy), 3, "new");
    EXPECT(!bytes_eq(value_bytes(v), value_bytes(copy)));
    for (int i = 0; i < 4; i++)
        EXPECT(has_number(value_content(copy), i) && has_number(value_content(v), i) == (i < 3));
    EXPECT_INT(value_count(v), 3);
    value_unref(copy);
    value_unref(v);
}

/* ---- hashes ---- */

static void small_hashes_keep_their_order(void)
{
    struct hash *h = hash_new();
    struct bytes field, value;
    for (int i = 0; i < HASH_MAX_LISTPACK_ENTRIES; i++)
        put_number(h, i, "v");
    put(h, "f7", BYTES_LIT("changed")); /* in its place */
    EXPECT(hash_remove(h, BYTES_LIT("f2")) && !hash_remove(h, BYTES_LIT("f2")));
    EXPECT_CSTR(hash_encoding(h), "listpack");
    hash_at(h, 2, &field, &value);
    EXPECT_TEXT(field.data, field.len, "f3");
    hash_at(h, 6, &field, &value);
    EXPECT_TEXT(value.data, value.len, "changed");
    put(h, "f2", BYTES_LIT("again"));
    hash_at(h, hash_count(h) - 1, &field, &value);
    EXPECT_TEXT(field.data, field.len, "f2");
    EXPECT_CSTR(hash_encoding(h), "listpack");
    put(h, "one more", BYTES_LIT(""));
    EXPECT_CSTR(hash_encoding(h), "hashtable");
    while (hash_count(h) > 1) {
        hash_at(h, 0, &field, &value);
        char name[16];
        size_t len = field.len < sizeof(name) ? field.len : sizeof(name);
        memcpy(name, field.data, len);
        EXPECT(hash_remove(h, bytes_of(name, len)));
    }
    EXPECT_CSTR(hash_encoding(h), "hashtable"); /* for good */
    hash_free(h);
}

static void long_parts_make_a_hash_large(void)
{
    char text[HASH_MAX_LISTPACK_VALUE + 2];
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 2; i++) {
        struct hash *h = hash_new();
        text[HASH_MAX_LISTPACK_VALUE] = '\0';
        put(h, i == 0 ? text : "f", bytes_of(text, i == 0 ? 1 : HASH_MAX_LISTPACK_VALUE));
        EXPECT_CSTR(hash_encoding(h), "listpack");
        text[HASH_MAX_LISTPACK_VALUE] = 'x';
        text[HASH_MAX_LISTPACK_VALUE + 1] = '\0';
        put(h, i == 0 ? text : "f", bytes_of(text, i == 0 ? 1 : HASH_MAX_LISTPACK_VALUE + 1));
        EXPECT_CSTR(hash_encoding(h), "hashtable");
        hash_free(h);
    }
}

static void hashes_come_back_from_their_bytes(void)
{
    static const int sizes[] = {1, 2, 31, 32, 33, 200, 512, 513, 5000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct value *v = hash_of(sizes[i]);
        struct value *again = value_decode(VALUE_HASH, value_bytes(v));
        struct value *copy = value_collection_copy(again);
        for (int k = 0; k < sizes[i]; k++)
            EXPECT(has_number(value_content(copy), k) && has_number(value_content(again), k));
        value_unref(copy);
        EXPECT(!again->opaque);
        EXPECT_INT(value_count(again), sizes[i]);
        EXPECT(bytes_eq(value_bytes(v), value_bytes(again)));
        EXPECT_INT(value_bytes(v).len, value_size(v));
        EXPECT(has_number(value_content(again), sizes[i] - 1) &&
               !has_number(value_content(again), sizes[i]));
        value_unref(again);
        value_unref(v);
    }
}

static void what_is_no_hash_is_refused(void)
{
    struct value *v = hash_of(3);
    struct bytes good = value_bytes(v);
    for (size_t cut = 0; cut < good.len; cut++)
        EXPECT(hash_decode(bytes_of(good.data, cut)) == NULL);
    static const struct bytes bad[] = {
        {"", 0},
        {"\x02\x00\x01\x01"
         "a\x01"
         "b",
         7}, /* another version */
        {"\x01\x02\x01\x01"
         "a\x01"
         "b",
         7},                 /* unknown flags */
        {"\x01\x00\x00", 3}, /* empty */
        {"\x01\x00\x02\x01"
         "a\x01"
         "b\x01"
         "a\x01"
         "b",
         11}, /* a field twice */
        {"\x01\x00\xff\xff\xff\xff\x0f\x01"
         "a\x01"
         "b",
         11}, /* more than there is room for */
        {"\x01\x00\x01\x01"
         "a\x01"
         "bc",
         8}, /* something behind it */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(hash_decode(bad[i]) == NULL);
    value_unref(v);
}

struct walk {
    unsigned char seen[4096];
    size_t calls;
};

static void see(void *arg, struct bytes field, struct bytes value)
{
    struct walk *w = arg;
    int i = -1;
    (void)value;
    if (field.len > 1 && field.len < 8 && field.data[0] == 'f') {
        char text[8] = {0};
        memcpy(text, field.data + 1, field.len - 1);
        i = atoi(text);
    }
    EXPECT(i >= 0 && i < 4096);
    w->seen[i < 0 ? 0 : i] = 1;
}

/* The guarantee of HSCAN: while others come and go, and even by way of another instance. */
static void a_walk_sees_what_is_there_all_the_time(void)
{
    struct hash *h = hash_new();
    struct walk w = {0};
    uint64_t cursor = 0;
    int extra = 1000;
    for (int i = 0; i < 1000; i++)
        put_number(h, i, "v");
    do {
        cursor = hash_scan(h, cursor, see, &w);
        w.calls++;
        for (int i = 0; i < 3 && extra < 4000; i++)
            put_number(h, extra++, "new");
        if (w.calls % 50 ==
            0) { /* decoded by another process: a table of another size, the same seed */
            struct buf stored;
            buf_init(&stored);
            hash_encode(h, &stored);
            hash_free(h);
            h = hash_decode(buf_bytes(&stored));
            buf_release(&stored);
            EXPECT(h != NULL);
        }
    } while (cursor != 0 && h != NULL);
    for (int i = 0; i < 1000; i++)
        EXPECT(w.seen[i] == 1);
    EXPECT(w.calls > 100);
    hash_free(h);
}

static void sizes_are_counted(void)
{
    struct hash *h = hash_new();
    size_t empty = hash_memory(h);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 700; i++)
            put_number(h, i, round == 1 ? "a longer value" : "v");
        struct buf out;
        buf_init(&out);
        hash_encode(h, &out);
        EXPECT_INT(out.len, hash_encoded_size(h));
        buf_release(&out);
    }
    EXPECT(hash_memory(h) > empty + 700 * 8);
    for (int i = 0; i < 700; i++) {
        char field[16];
        snprintf(field, sizeof(field), "f%d", i);
        EXPECT(hash_remove(h, bytes_cstr(field)));
    }
    EXPECT_INT(hash_count(h), 0);
    EXPECT_INT(hash_encoded_size(h), 2 + 8 + 1);
    hash_free(h);
}

static void hashes_become_json(void)
{
    struct hash *h = hash_new();
    struct buf out;
    struct emit e;
    put(h, "name", BYTES_LIT("\"Ann\"\n"));
    put(h, "visits", BYTES_LIT("7"));
    put(h, "java", bytes_of("\xac\xed\x00\x05", 4));
    put(h, "\xff\xfe", BYTES_LIT(""));
    buf_init(&out);
    emit_init(&e, &out, &payload_default_limits);
    hash_to_json(h, &e);
    EXPECT(emit_ok(&e));
    EXPECT_TEXT(out.data, out.len,
                "{\"name\":\"\\\"Ann\\\"\\n\",\"visits\":\"7\",\"java\":{\"$bytes\":\"rO0ABQ==\"},"
                "\"//4=\":\"\"}");
    buf_release(&out);
    hash_free(h);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(varints_have_one_form),
        TEST(opaque_values_keep_their_bytes),
        TEST(types_have_names),
        TEST(encoding_is_kept_until_a_change),
        TEST(small_hashes_keep_their_order),
        TEST(long_parts_make_a_hash_large),
        TEST(hashes_come_back_from_their_bytes),
        TEST(what_is_no_hash_is_refused),
        TEST(a_walk_sees_what_is_there_all_the_time),
        TEST(sizes_are_counted),
        TEST(hashes_become_json),
    };
    hash_seed();
    return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL);
}
