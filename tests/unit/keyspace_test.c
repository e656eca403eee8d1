#include "keyspace/keyspace.h"

#include "base/hash.h"
#include "base/mem.h"
#include "test.h"

enum { NO_LIMIT = 1 << 30 };

static struct value *text_value(const char *text)
{
    struct value *v = value_string_new(bytes_cstr(text));
    CHECK(v != NULL);
    return v;
}

static struct entry *pin(struct keyspace *ks, const char *key)
{
    return keyspace_pin(ks, 0, bytes_cstr(key));
}

/* Makes the key known and leaves it in the cache. */
static void cache(struct keyspace *ks, int db, const char *key, const char *text)
{
    struct entry *e = keyspace_pin(ks, db, bytes_cstr(key));
    entry_set_live(ks, e, text_value(text), 7, 7, INT64_MAX);
    keyspace_unpin(ks, e);
}

static size_t entries(const struct keyspace *ks)
{
    struct keyspace_stats st;
    keyspace_get_stats(ks, &st);
    return st.entries;
}

static size_t memory(const struct keyspace *ks)
{
    struct keyspace_stats st;
    keyspace_get_stats(ks, &st);
    return st.memory;
}

static bool is_cached(struct keyspace *ks, int db, const char *key)
{
    struct entry *e = keyspace_pin(ks, db, bytes_cstr(key));
    bool known = e->knowledge != ENTRY_UNKNOWN;
    keyspace_unpin(ks, e);
    return known;
}

static void an_entry_per_key(void)
{
    struct keyspace *ks = keyspace_new(NO_LIMIT);
    struct entry *a = pin(ks, "a");
    EXPECT(pin(ks, "a") == a);
    EXPECT_INT(a->pins, 2);
    EXPECT_INT(a->knowledge, ENTRY_UNKNOWN);
    EXPECT(a->expires_us == INT64_MAX && a->version == 0 && a->value == NULL && a->work == NULL);
    EXPECT_TEXT(entry_key(a).data, entry_key(a).len, "a");
    struct entry *other = keyspace_pin(ks, 1, BYTES_LIT("a"));
    EXPECT(other != a && other->db == 1);
    const struct bytes binary = BYTES_LIT("a\0b");
    struct entry *b = keyspace_pin(ks, 0, binary);
    EXPECT(b != a && bytes_eq(entry_key(b), binary));
    struct entry *empty = keyspace_pin(ks, 0, BYTES_LIT(""));
    EXPECT_INT(empty->key_len, 0);
    EXPECT_INT(entries(ks), 4);
    keyspace_unpin(ks, a);
    keyspace_unpin(ks, a);
    keyspace_unpin(ks, b);
    keyspace_unpin(ks, other);
    keyspace_unpin(ks, empty);
    EXPECT_INT(entries(ks), 0);
    keyspace_free(ks);
    keyspace_free(NULL);
}

static void what_is_known_stays(void)
{
    struct keyspace *ks = keyspace_new(NO_LIMIT);
    struct entry *e = pin(ks, "k");
    struct value *v = text_value("v");
    entry_set_live(ks, e, v, 20, 10, 5000);
    EXPECT(e->value == v && e->version == 20 && e->value_version == 10 && e->expires_us == 5000);
    keyspace_unpin(ks, e);
    EXPECT(pin(ks, "k") == e);
    EXPECT_INT(e->knowledge, ENTRY_LIVE);
    entry_set_absent(ks, e, 30);
    EXPECT_INT(e->knowledge, ENTRY_ABSENT);
    EXPECT(e->value == NULL && e->version == 30 && e->value_version == 0 &&
           e->expires_us == INT64_MAX);
    keyspace_unpin(ks, e);
    EXPECT_INT(entries(ks), 1);
    EXPECT(pin(ks, "k") == e);
    entry_set_unknown(ks, e);
    EXPECT(e->knowledge == ENTRY_UNKNOWN && e->version == 0);
    keyspace_unpin(ks, e);
    EXPECT_INT(entries(ks), 0);
    keyspace_free(ks);
}

/* That its row is locked is worth knowing, too. */
static void a_suspect_stays(void)
{
    struct keyspace *ks = keyspace_new(NO_LIMIT);
    struct entry *e = pin(ks, "k");
    e->suspect = true;
    keyspace_unpin(ks, e);
    EXPECT_INT(entries(ks), 1);
    EXPECT(pin(ks, "k")->suspect);
    e->suspect = false;
    keyspace_unpin(ks, e);
    EXPECT_INT(entries(ks), 0);
    keyspace_free(ks);
}

static void values_are_shared(void)
{
    struct keyspace *ks = keyspace_new(NO_LIMIT);
    struct value *v = text_value("v");
    struct entry *e = pin(ks, "k");
    entry_set_live(ks, e, value_ref(v), 1, 1, INT64_MAX);
    EXPECT_INT(v->refs, 2);
    entry_set_live(ks, e, value_ref(v), 2, 1, INT64_MAX); /* the same bytes */
    EXPECT_INT(v->refs, 2);
    keyspace_unpin(ks, e);
    keyspace_free(ks);
    EXPECT_INT(v->refs, 1);
    value_unref(v);
}

static void memory_is_counted(void)
{
    struct keyspace *ks = keyspace_new(NO_LIMIT);
    size_t empty = memory(ks);
    cache(ks, 0, "key", "value");
    size_t small = memory(ks);
    EXPECT(small >= empty + sizeof(struct entry) + 3 + 5);
    char *large = mem_zalloc(100001);
    memset(large, 'x', 100000);
    cache(ks, 0, "key", large);
    EXPECT_INT(memory(ks) - small, 100000 - 5);
    struct entry *e = pin(ks, "key");
    entry_set_absent(ks, e, 1);
    EXPECT(memory(ks) < small);
    entry_set_unknown(ks, e);
    keyspace_unpin(ks, e);
    EXPECT(memory(ks) < small);
    mem_free(large);
    keyspace_free(ks);
}

static void the_least_recently_used_goes_first(void)
{
    char key[16];
    struct keyspace *ks = keyspace_new(NO_LIMIT);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "key:%d", i);
        cache(ks, 0, key, "some value");
    }
    EXPECT(!keyspace_evict(ks));
    EXPECT_INT(entries(ks), 100);
    EXPECT(is_cached(ks, 0, "key:0")); /* and is the most recently used from now on */
    keyspace_set_max_memory(ks, memory(ks) / 2);
    EXPECT(!keyspace_evict(ks));
    struct keyspace_stats st;
    keyspace_get_stats(ks, &st);
    EXPECT(st.memory <= st.max_memory && st.entries > 20 && st.entries < 80);
    EXPECT_INT(st.evicted, 100 - st.entries);
    EXPECT(is_cached(ks, 0, "key:0") && is_cached(ks, 0, "key:99"));
    EXPECT(!is_cached(ks, 0, "key:1") && !is_cached(ks, 0, "key:20"));
    keyspace_set_max_memory(ks, 0);
    EXPECT(!keyspace_evict(ks));
    EXPECT_INT(entries(ks), 0);
    keyspace_free(ks);
}

static void what_is_pinned_is_not_evicted(void)
{
    struct keyspace *ks = keyspace_new(0);
    struct entry *a = pin(ks, "a");
    entry_set_live(ks, a, text_value("v"), 1, 1, INT64_MAX);
    cache(ks, 0, "b", "v");
    EXPECT(!keyspace_evict(ks));
    EXPECT_INT(entries(ks), 1);
    EXPECT(a->value != NULL && pin(ks, "a") == a);
    keyspace_unpin(ks, a);
    EXPECT(!keyspace_evict(ks));
    EXPECT_INT(entries(ks), 1);
    keyspace_unpin(ks, a);
    EXPECT(!keyspace_evict(ks));
    EXPECT_INT(entries(ks), 0);
    keyspace_free(ks);
}

/* Much to evict is done in portions. */
static void eviction_takes_turns(void)
{
    enum { MANY = 10000 };
    char key[16];
    struct keyspace *ks = keyspace_new(NO_LIMIT);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "key:%d", i);
        cache(ks, 0, key, "v");
    }
    keyspace_set_max_memory(ks, 0);
    int turns = 1;
    size_t before = entries(ks);
    while (keyspace_evict(ks)) {
        EXPECT(entries(ks) < before);
        before = entries(ks);
        turns++;
    }
    EXPECT(turns > 1 && turns < 100);
    EXPECT_INT(entries(ks), 0);
    keyspace_free(ks);
}

static void dropping_a_database(void)
{
    struct keyspace *ks = keyspace_new(NO_LIMIT);
    cache(ks, 0, "a", "v");
    cache(ks, 1, "a", "v");
    cache(ks, 1, "b", "v");
    struct entry *pinned = keyspace_pin(ks, 1, BYTES_LIT("c"));
    entry_set_absent(ks, pinned, 1);
    keyspace_drop(ks, 1);
    EXPECT(is_cached(ks, 0, "a") && !is_cached(ks, 1, "a") && !is_cached(ks, 1, "b"));
    EXPECT_INT(entries(ks), 2);
    keyspace_drop(ks, -1);
    EXPECT_INT(entries(ks), 1);
    EXPECT_INT(pinned->knowledge, ENTRY_ABSENT);
    keyspace_unpin(ks, pinned);
    keyspace_drop(ks, -1);
    EXPECT_INT(entries(ks), 0);
    keyspace_free(ks);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(an_entry_per_key),
        TEST(what_is_known_stays),
        TEST(a_suspect_stays),
        TEST(values_are_shared),
        TEST(memory_is_counted),
        TEST(the_least_recently_used_goes_first),
        TEST(what_is_pinned_is_not_evicted),
        TEST(eviction_takes_turns),
        TEST(dropping_a_database),
    };
    hash_seed();
    return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL);
}
