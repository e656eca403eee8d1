/* base: bytes, buf, list, map, num, glob, hash, log, mem. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/glob.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"

static void bytes_compare(void)
{
    struct bytes none = {NULL, 0};
    EXPECT(bytes_eq(none, BYTES_LIT("")));
    EXPECT(bytes_eq(BYTES_LIT("a\0b"), BYTES_LIT("a\0b")));
    EXPECT(!bytes_eq(BYTES_LIT("a\0b"), BYTES_LIT("a\0c")));
    EXPECT(!bytes_eq(BYTES_LIT("a"), BYTES_LIT("ab")));
    EXPECT_INT(bytes_cmp(none, BYTES_LIT("")), 0);
    EXPECT(bytes_cmp(none, BYTES_LIT("a")) < 0);
    EXPECT(bytes_cmp(BYTES_LIT("ab"), BYTES_LIT("a")) > 0);
    EXPECT(bytes_cmp(BYTES_LIT("a"), BYTES_LIT("b")) < 0);
    EXPECT(bytes_cmp(BYTES_LIT("\xff"), BYTES_LIT("a")) > 0);
    EXPECT(bytes_cmp(BYTES_LIT("a\0a"), BYTES_LIT("a\0b")) < 0);
}

static void bytes_ignore_case(void)
{
    EXPECT(bytes_ieq(BYTES_LIT("GeT"), "get"));
    EXPECT(bytes_ieq(BYTES_LIT(""), ""));
    EXPECT(!bytes_ieq(BYTES_LIT("get"), "gets"));
    EXPECT(!bytes_ieq(BYTES_LIT("gets"), "get"));
    EXPECT(!bytes_ieq(BYTES_LIT("ge\0"), "ge"));
    EXPECT(!bytes_ieq(BYTES_LIT("["), "{"));
    EXPECT(!bytes_ieq(BYTES_LIT("\xc4"), "\xe4"));
}

static void buf_append_and_consume(void)
{
    struct buf b;
    buf_init(&b);
    EXPECT_CSTR(buf_cstr(&b), "");
    buf_append(&b, NULL, 0);
    buf_append_cstr(&b, "abc");
    buf_append_u8(&b, 'd');
    buf_append_bytes(&b, BYTES_LIT("ef"));
    EXPECT_TEXT(b.data, b.len, "abcdef");
    EXPECT_CSTR(buf_cstr(&b), "abcdef");
    EXPECT_INT(b.len, 6);
    buf_consume(&b, 0);
    buf_consume(&b, 2);
    EXPECT_TEXT(b.data, b.len, "cdef");
    buf_consume(&b, 4);
    EXPECT_INT(b.len, 0);
    buf_release(&b);
    EXPECT(b.data == NULL && b.cap == 0);
    buf_consume(&b, 0);
    EXPECT(buf_reserve(&b, 0) != NULL);
    buf_release(&b);
}

static void buf_grow_and_reset(void)
{
    struct buf b;
    buf_init(&b);
    for (int i = 0; i < 100000; i++)
        buf_append_u8(&b, (uint8_t)i);
    EXPECT_INT(b.len, 100000);
    EXPECT_INT((unsigned char)b.data[99999], 99999 & 0xff);
    EXPECT(b.cap >= b.len);
    buf_reset(&b, 1 << 20);
    EXPECT(b.data != NULL && b.len == 0);
    buf_reset(&b, 100);
    EXPECT(b.data == NULL && b.cap == 0);
    char *at = buf_reserve(&b, 40 << 20);
    memset(at, 'x', 40 << 20);
    b.len = 40 << 20;
    at = buf_reserve(&b, 1 << 20);
    EXPECT(at == b.data + b.len && b.cap - b.len >= 1 << 20);
    buf_release(&b);
}

static void buf_print(void)
{
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%d-%s", 42, "x");
    EXPECT_TEXT(b.data, b.len, "42-x");
    char text[500];
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (size_t n = 100; n < sizeof(text); n++) { /* across every boundary of the first try */
        b.len = 0;
        buf_printf(&b, "%s", text + sizeof(text) - 1 - n);
        EXPECT_INT(b.len, n);
        EXPECT_TEXT(b.data, b.len, text + sizeof(text) - 1 - n);
    }
    buf_release(&b);
}

static void buf_big_endian(void)
{
    struct buf b;
    buf_init(&b);
    buf_append_be16(&b, 0x0102);
    buf_append_be32(&b, 0xfffefdfc);
    buf_append_be64(&b, 0x0102030405060708);
    EXPECT_INT(b.len, 14);
    EXPECT(memcmp(b.data, "\1\2\xff\xfe\xfd\xfc\1\2\3\4\5\6\7\x8", 14) == 0);
    buf_put_be32_at(&b, 2, 7);
    EXPECT(memcmp(b.data, "\1\2\0\0\0\7\1", 7) == 0);
    buf_release(&b);
}

struct item {
    int id;
    struct list node;
};

static int list_sum(struct list *head)
{
    int sum = 0;
    LIST_EACH(it, head)
    sum = sum * 10 + LIST_ITEM(it, struct item, node)->id;
    return sum;
}

static void list_operations(void)
{
    struct list head;
    struct list other;
    struct item items[6];
    list_init(&head);
    list_init(&other);
    EXPECT(list_empty(&head));
    for (int i = 0; i < 6; i++) {
        items[i].id = i + 1;
        list_init(&items[i].node);
        list_push_back(i < 3 ? &head : &other, &items[i].node);
    }
    EXPECT_INT(list_sum(&head), 123);
    list_append_all(&head, &other);
    EXPECT(list_empty(&other));
    EXPECT_INT(list_sum(&head), 123456);
    list_append_all(&head, &other);
    list_append_all(&other, &head);
    EXPECT(list_empty(&head));
    EXPECT_INT(list_sum(&other), 123456);
    list_remove(&items[0].node);
    list_remove(&items[0].node); /* in no list: harmless */
    list_push_front(&other, &items[0].node);
    EXPECT_INT(list_sum(&other), 123456);
    LIST_EACH(it, &other)
    {
        if (LIST_ITEM(it, struct item, node)->id % 2 == 0)
            list_remove(it);
    }
    EXPECT_INT(list_sum(&other), 135);
    LIST_EACH(it, &other)
    list_remove(it);
    EXPECT(list_empty(&other));
}

struct entry {
    struct map_node node;
    int key;
    bool present;
};

enum { ENTRIES = 5000 };

static bool entry_is(const struct map_node *node, const void *key)
{
    return ((const struct entry *)(const void *)node)->key == *(const int *)key;
}

/* Some hashes collide on purpose. */
static uint64_t entry_hash(int key)
{
    return (uint64_t)(key / 3) * 0x9e3779b97f4a7c15u;
}

static void expect_map(struct map *m, const struct entry *entries)
{
    size_t present = 0;
    int wrong = 0;
    for (int i = 0; i < ENTRIES; i++) {
        const struct map_node *n = map_find(m, entry_hash(i), entry_is, &i);
        wrong += n != (entries[i].present ? &entries[i].node : NULL);
        present += entries[i].present;
    }
    EXPECT_INT(wrong, 0);
    EXPECT_INT(map_count(m), present);
}

static void map_grow_and_shrink(void)
{
    static struct entry entries[ENTRIES];
    struct map m;
    int key = 0;
    map_init(&m);
    EXPECT(map_find(&m, 1, entry_is, &key) == NULL);
    EXPECT_INT(map_memory(&m), 0);
    for (int i = 0; i < ENTRIES; i++) {
        entries[i] = (struct entry){.key = i, .present = true};
        map_insert(&m, &entries[i].node, entry_hash(i));
        if (i % 500 == 0 || (i > 4090 && i < 4110))
            expect_map(&m, entries);
    }
    expect_map(&m, entries);
    size_t full = map_memory(&m);
    EXPECT(full >= ENTRIES / 2 * sizeof(void *));
    for (int i = 0; i < ENTRIES - 10; i++) {
        int k = i * 7 % ENTRIES;
        map_remove(&m, &entries[k].node);
        entries[k].present = false;
        if (i % 500 == 0)
            expect_map(&m, entries);
    }
    expect_map(&m, entries);
    for (int i = 0; i < 4000; i++) { /* shrinking takes calls */
        struct entry passing = {.key = -1};
        map_insert(&m, &passing.node, (uint64_t)i);
        map_remove(&m, &passing.node);
    }
    expect_map(&m, entries);
    EXPECT(map_memory(&m) < full / 16);
    map_release(&m);
    EXPECT_INT(map_memory(&m), 0);
}

static void map_random(void)
{
    static struct entry entries[ENTRIES];
    struct map m;
    unsigned seed = 7;
    map_init(&m);
    for (int i = 0; i < ENTRIES; i++)
        entries[i] = (struct entry){.key = i};
    for (int round = 0; round < 200000; round++) {
        seed = seed * 1103515245u + 12345u;
        int i = (int)((seed >> 8) % ENTRIES);
        bool grow = round / 40000 % 2 == 0;
        if (entries[i].present && (!grow || (seed >> 28) < 4)) {
            map_remove(&m, &entries[i].node);
            entries[i].present = false;
        } else if (!entries[i].present && grow) {
            map_insert(&m, &entries[i].node, entry_hash(i));
            entries[i].present = true;
        }
        if (round % 20000 == 0)
            expect_map(&m, entries);
    }
    expect_map(&m, entries);
    map_release(&m);
}

struct sweep {
    struct map *map;
    int seen;
    int modulus;
};

static void sweep_entry(struct map_node *node, void *arg)
{
    struct sweep *s = arg;
    struct entry *e = (struct entry *)(void *)node;
    s->seen++;
    if (e->key % s->modulus == 0) {
        map_remove(s->map, node);
        mem_free(e);
    }
}

/* Entries are freed in the callback, also when the map was in the middle of a move. */
static void map_each_removes(void)
{
    for (int count = 0; count < 300; count += 7) {
        struct map m;
        map_init(&m);
        for (int i = 0; i < count; i++) {
            struct entry *e = mem_zalloc(sizeof(*e));
            e->key = i;
            map_insert(&m, &e->node, entry_hash(i));
        }
        struct sweep s = {&m, 0, 2};
        map_each(&m, sweep_entry, &s);
        EXPECT_INT(s.seen, count);
        EXPECT_INT(map_count(&m), count / 2);
        s = (struct sweep){&m, 0, 1};
        map_each(&m, sweep_entry, &s);
        EXPECT_INT(s.seen, count / 2);
        EXPECT_INT(map_count(&m), 0);
        struct entry again = {.key = 1};
        map_insert(&m, &again.node, 1);
        EXPECT_INT(map_count(&m), 1);
        map_release(&m);
    }
}

static void num_integers(void)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"-0", false, 0},
        {"00", false, 0},
        {"01", false, 0},
        {"-01", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"0x1", false, 0},
        {"1e3", false, 0},
        {"/", false, 0},
        {":", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t v = 77;
        bool ok = num_int64(bytes_cstr(cases[i].text), &v);
        EXPECT_INT(ok, cases[i].ok);
        EXPECT_INT(v, ok ? cases[i].value : 77); /* untouched on failure */
        char text[NUM_INT_SIZE];
        if (ok) {
            EXPECT_INT(num_format_int64(v, text), strlen(cases[i].text));
            EXPECT_CSTR(text, cases[i].text);
        }
    }
    int64_t v;
    EXPECT(!num_int64(BYTES_LIT("1\0"), &v));
}

static void expect_float(long double v, const char *want)
{
    char text[NUM_FLOAT_SIZE];
    size_t n = num_format_long_double(v, text);
    EXPECT_TEXT(text, n, want);
}

static void num_floats(void)
{
    static const char *const bad[] = {"",    " 1",     "1 ",  "abc", "1.5x",   "nan",
                                      "\t1", "1e9999", "--1", "1,5", "1e-9999"};
    long double v = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(!num_long_double(bytes_cstr(bad[i]), &v));
    EXPECT(!num_long_double(BYTES_LIT("1\0"), &v));
    EXPECT(v == 7);
    EXPECT(num_long_double(BYTES_LIT("-3.0e3"), &v) && v == -3000);
    EXPECT(num_long_double(BYTES_LIT("inf"), &v) && isinf(v));
    expect_float(3.0e3L, "3000");
    expect_float(10.5L + 0.1L, "10.6");
    expect_float(-0.0L, "0");
    expect_float(-1e-30L, "0");
    expect_float(0.1L, "0.1");
    expect_float(100, "100");
    expect_float(INFINITY, "inf");
    expect_float(-INFINITY, "-inf");
    char text[NUM_FLOAT_SIZE];
    EXPECT_INT(num_format_long_double(__LDBL_MAX__, text), 4933);
}

static void num_overflow(void)
{
    int64_t v = 5;
    EXPECT(num_add(INT64_MAX - 1, 1, &v) && v == INT64_MAX);
    EXPECT(!num_add(INT64_MAX, 1, &v) && !num_add(INT64_MIN, -1, &v));
    EXPECT(v == INT64_MAX);
    EXPECT(num_mul(INT64_MAX, -1, &v) && v == -INT64_MAX);
    EXPECT(!num_mul(INT64_MIN, -1, &v) && !num_mul(INT64_MAX, 2, &v));
}

static bool matches(const char *pattern, const char *text)
{
    return glob_match(bytes_cstr(pattern), bytes_cstr(text), false);
}

static void glob_patterns(void)
{
    EXPECT(matches("", "") && !matches("", "a") && !matches("a", ""));
    EXPECT(matches("*", "") && matches("*", "abc") && matches("***", "x"));
    EXPECT(matches("h?llo", "hello") && !matches("h?llo", "hllo") && !matches("?", ""));
    EXPECT(matches("h*llo", "hllo") && matches("h*llo", "heeeello") && !matches("h*llo", "hell"));
    EXPECT(matches("a*b*c", "aXbYbZc") && !matches("a*b*c", "acb"));
    EXPECT(matches("*abc", "ababc") && matches("*a", "aaa") && !matches("*ab", "aba"));
    EXPECT(matches("h[ae]llo", "hallo") && !matches("h[ae]llo", "hillo"));
    EXPECT(matches("h[^e]llo", "hallo") && !matches("h[^e]llo", "hello"));
    EXPECT(matches("h[a-c]llo", "hbllo") && !matches("h[a-c]llo", "hdllo"));
    EXPECT(matches("h[c-a]llo", "hbllo"));
    /* An open range swallows the bracket, as in Redis. */
    EXPECT(matches("[a-]", "a") && matches("[a-]", "]") && !matches("[a-]", "-"));
    EXPECT(matches("[\\]]", "]") && matches("[\\^a]", "^") && matches("[]a", "a") == false);
    EXPECT(matches("[a", "a") && !matches("[a", "b") && !matches("[", "["));
    EXPECT(matches("\\*", "*") && !matches("\\*", "a") && matches("\\", "\\"));
    EXPECT(matches("a\\", "a\\") && matches("\\a", "a"));
    EXPECT(matches("[abc]*x?", "b--xy") && !matches("[abc]*x?", "b--x"));
    EXPECT(!matches("ABC", "abc"));
    EXPECT(glob_match(BYTES_LIT("A[B-D]*Z"), BYTES_LIT("acxxz"), true));
    EXPECT(glob_match(BYTES_LIT("a?b"), BYTES_LIT("a\0b"), false));
    EXPECT(!glob_match(BYTES_LIT("a\0c"), BYTES_LIT("a\0b"), false));
    EXPECT(glob_match(BYTES_LIT("[\xf0-\xff]"), BYTES_LIT("\xf5"), false));
}

/* An exponential matcher would need centuries for these. */
static void glob_pathological(void)
{
    static char text[4000];
    static char pattern[2001];
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i + 1 < sizeof(pattern); i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[sizeof(pattern) - 1] = 'b';
    clock_t start = clock(); /* of this process alone */
    struct bytes t = bytes_of(text, sizeof(text));
    EXPECT(!glob_match(bytes_of(pattern, sizeof(pattern)), t, false));
    EXPECT(glob_match(bytes_of(pattern, sizeof(pattern) - 1), t, false));
    EXPECT(!glob_match(BYTES_LIT("*a*a*a*a*a*a*a*a*a*a*a*a*a*[^a]"), t, true));
    memset(pattern, '[', sizeof(pattern));
    EXPECT(!glob_match(bytes_of(pattern, sizeof(pattern)), t, false));
    memset(pattern, '*', sizeof(pattern));
    EXPECT(glob_match(bytes_of(pattern, sizeof(pattern)), t, false));
    EXPECT(clock() - start < 5 * CLOCKS_PER_SEC);
}

static void glob_prefix(void)
{
    EXPECT_INT(glob_literal_prefix(BYTES_LIT("session:*")), 8);
    EXPECT_INT(glob_literal_prefix(BYTES_LIT("*")), 0);
    EXPECT_INT(glob_literal_prefix(BYTES_LIT("abc")), 3);
    EXPECT_INT(glob_literal_prefix(BYTES_LIT("a?c")), 1);
    EXPECT_INT(glob_literal_prefix(BYTES_LIT("ab[c]")), 2);
    EXPECT_INT(glob_literal_prefix(BYTES_LIT("ab\\*c")), 2);
    EXPECT_INT(glob_literal_prefix(BYTES_LIT("")), 0);
    EXPECT(glob_literal_prefix(BYTES_LIT("a\0b*")) <= 3);
}

static void hash_seeded(void)
{
    uint64_t unseeded = hash_bytes(BYTES_LIT("key"), 0);
    EXPECT(unseeded == hash_bytes(BYTES_LIT("key"), 0));
    hash_seed();
    uint64_t h = hash_bytes(BYTES_LIT("key"), 0);
    EXPECT(h != unseeded);
    EXPECT(h == hash_bytes(BYTES_LIT("key"), 0));
    EXPECT(h != hash_bytes(BYTES_LIT("key"), 1));
    EXPECT(h != hash_bytes(BYTES_LIT("key\0"), 0));
    EXPECT(hash_bytes(BYTES_LIT("12345678"), 0) != hash_bytes(BYTES_LIT("12345679"), 0));
    EXPECT(hash_bytes(bytes_of(NULL, 0), 0) == hash_bytes(BYTES_LIT(""), 0));
    unsigned char a[16] = {0};
    unsigned char b[16] = {0};
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    EXPECT(memcmp(a, b, sizeof(a)) != 0);
}

static void expect_key_name(struct bytes key, const char *prefix)
{
    char name[KEY_NAME_SIZE];
    EXPECT(key_log_name(key, name) == name);
    EXPECT_INT(strlen(name), strlen(prefix) + 8);
    EXPECT(strncmp(name, prefix, strlen(prefix)) == 0);
    EXPECT_INT(strspn(name + strlen(prefix), "0123456789abcdef"), 8);
}

/* A session key is a bearer token: nothing behind the first colon may show. */
static void hash_key_log_name(void)
{
    expect_key_name(BYTES_LIT("session:0123456789abcdef"), "session:");
    expect_key_name(BYTES_LIT("0123456789abcdef"), "");
    expect_key_name(BYTES_LIT("short"), "");
    expect_key_name(BYTES_LIT(":1:views.cache"), "");
    expect_key_name(BYTES_LIT("a:b:c"), "a:");
    expect_key_name(BYTES_LIT("sixteen-bytes-ab:x"), "sixteen-bytes-ab:");
    expect_key_name(BYTES_LIT("seventeen-bytes-a:x"), "");
    expect_key_name(BYTES_LIT("a b:c"), "");
    expect_key_name(BYTES_LIT("a\"b:c"), "");
    expect_key_name(BYTES_LIT("a=b:c"), "");
    expect_key_name(BYTES_LIT("a\nb:c"), "");
    expect_key_name(BYTES_LIT("a\0b:c"), "");
    expect_key_name(BYTES_LIT("\xc3\xa4:c"), "");
    expect_key_name(bytes_of(NULL, 0), "");
    char one[KEY_NAME_SIZE];
    char two[KEY_NAME_SIZE];
    EXPECT(strcmp(key_log_name(BYTES_LIT("s:1"), one), key_log_name(BYTES_LIT("s:2"), two)) != 0);
    EXPECT_CSTR(key_log_name(BYTES_LIT("s:1"), one), key_log_name(BYTES_LIT("s:1"), two));
}

static void log_quoting(void)
{
    char out[LOG_QUOTE_SIZE];
    EXPECT(log_quote("x", out) == out);
    EXPECT_CSTR(log_quote("", out), "\"\"");
    EXPECT_CSTR(log_quote("plain text", out), "\"plain text\"");
    EXPECT_CSTR(log_quote("a\"b\\c\nd\te\x1b", out), "\"a'b'c d e \"");
    char text[2 * LOG_QUOTE_SIZE];
    memset(text, 'z', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_quote(text, out);
    EXPECT(strlen(out) < LOG_QUOTE_SIZE && strlen(out) > LOG_QUOTE_SIZE - 10);
    EXPECT(out[strlen(out) - 1] == '"');
}

static void log_levels(void)
{
    enum log_level before = log_get_level();
    log_set_level(LOG_WARNING);
    EXPECT_INT(log_get_level(), LOG_WARNING);
    log_event(LOG_NOTICE, "not-shown", "%s", "");
    log_set_level(before);
}

static void mem_basics(void)
{
    char *zero = mem_zalloc(16);
    EXPECT(zero[0] == 0 && zero[15] == 0);
    mem_free(zero);
    mem_free(NULL);
    mem_free(mem_alloc(0));
    char *copy = mem_strndup("abcdef", 3);
    EXPECT_CSTR(copy, "abc");
    mem_free(copy);
    EXPECT(mem_available_total() > 1 << 20);
    EXPECT(mem_resident() > 0);
}

TEST_MAIN(TEST(bytes_compare), TEST(bytes_ignore_case), TEST(buf_append_and_consume),
          TEST(buf_grow_and_reset), TEST(buf_print), TEST(buf_big_endian), TEST(list_operations),
          TEST(map_grow_and_shrink), TEST(map_random), TEST(map_each_removes), TEST(num_integers),
          TEST(num_floats), TEST(num_overflow), TEST(glob_patterns), TEST(glob_pathological),
          TEST(glob_prefix), TEST(hash_seeded), TEST(hash_key_log_name), TEST(log_quoting),
          TEST(log_levels), TEST(mem_basics))
