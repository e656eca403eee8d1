/* Sets, sorted sets and lists against models that are too simple to be wrong: random programs over
 * several versions of one collection at a time, copied from each other, written and read back. */

#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/num.h"
#include "test.h"
#include "value/deque.h"
#include "value/set.h"
#include "value/zset.h"

enum { DOMAIN = 600, VERSIONS = 4 };

static uint64_t random_state;

static unsigned chance(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 11) % n;
}

/* A member of the domain: a number as it is ("12"), or with `word` a text of some length. */
static struct bytes name_of(unsigned i, bool word, char out[32])
{
    int n = word ? snprintf(out, 32, "m%0*u", 1 + (int)(i % 7), i)
                 : snprintf(out, 32, "%d", (int)i - 40);
    return bytes_of(out, (size_t)n);
}

/* --- sets --- */

struct set_model {
    struct set *set;
    bool has[2][DOMAIN]; /* numbers, words */
    size_t count;
    bool ints;
};

static void set_model_check(struct set_model *m)
{
    EXPECT_INT(set_count(m->set), m->count);
    EXPECT_CSTR(set_encoding(m->set), m->ints ? "intset" : "hashtable");
    char name[32];
    for (unsigned word = 0; word < 2; word++) {
        for (unsigned i = 0; i < DOMAIN; i++)
            EXPECT_INT(set_has(m->set, name_of(i, word, name)), m->has[word][i]);
    }
    struct tree_reader r = set_reader(m->set);
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < set_count(m->set); i++) {
        struct bytes member = item_bytes(tree_read(&r, i).item);
        int64_t n;
        bool is_int = num_int64(member, &n);
        EXPECT(!m->ints || (is_int && n > last));
        last = n;
        EXPECT(bytes_eq(member, set_at(m->set, i)));
    }
}

static void set_model_step(struct set_model *m, bool words, bool grows)
{
    char name[32];
    unsigned word = words && chance(4) > 0;
    unsigned i = chance(DOMAIN);
    struct bytes member = name_of(i, word, name);
    if (chance(grows ? 12 : 3) > 0) {
        EXPECT_INT(set_add(m->set, member), !m->has[word][i]);
        m->count += !m->has[word][i];
        m->has[word][i] = true;
        m->ints = m->ints && !word && m->count <= SET_MAX_INTSET_ENTRIES;
    } else {
        EXPECT_INT(set_remove(m->set, member), m->has[word][i]);
        m->count -= m->has[word][i];
        m->has[word][i] = false;
    }
}

static struct set *set_round_trip(const struct set *s)
{
    struct buf b;
    buf_init(&b);
    set_encode(s, &b);
    EXPECT(set_ops.encoded_size(s) >= b.len);
    struct set *again = set_decode(buf_bytes(&b));
    EXPECT((again == NULL) == (set_count(s) == 0));
    buf_release(&b);
    return again != NULL ? again : set_copy(s);
}

static void sets_follow_the_model(void)
{
    for (unsigned program = 0; program < 12; program++) {
        static struct set_model versions[VERSIONS];
        for (unsigned v = 0; v < VERSIONS; v++)
            versions[v] = (struct set_model){.set = set_new(), .ints = true};
        for (unsigned step = 0; step < 6000; step++) {
            unsigned v = chance(VERSIONS);
            set_model_step(&versions[v], program % 2 == 1, program % 3 == 0);
            unsigned to = chance(VERSIONS);
            if (chance(300) == 0 && to != v) {
                set_free(versions[to].set);
                versions[to] = versions[v];
                versions[to].set =
                    chance(2) ? set_copy(versions[v].set) : set_round_trip(versions[v].set);
            }
            if (step % 1000 == 999)
                set_model_check(&versions[v]);
        }
        for (unsigned v = 0; v < VERSIONS; v++) {
            set_model_check(&versions[v]);
            set_free(versions[v].set);
        }
    }
}

static void a_settled_set_is_an_intset_if_it_can_be(void)
{
    struct set *s = set_new();
    set_add(s, BYTES_LIT("2"));
    set_add(s, BYTES_LIT("x"));
    set_add(s, BYTES_LIT("-1"));
    set_settle(s);
    EXPECT_CSTR(set_encoding(s), "hashtable");
    EXPECT(set_remove(s, BYTES_LIT("x")));
    EXPECT_CSTR(set_encoding(s), "hashtable");
    struct set *before = set_copy(s);
    set_settle(s);
    EXPECT_CSTR(set_encoding(s), "intset");
    EXPECT_CSTR(set_encoding(before), "hashtable");
    EXPECT(bytes_eq(set_at(s, 0), BYTES_LIT("-1")));
    set_free(s);
    set_free(before);
}

struct scan_seen {
    unsigned times[DOMAIN];
    size_t total;
};

static void scan_note(struct bytes member, const struct item *item, void *arg)
{
    struct scan_seen *seen = arg;
    (void)item;
    int64_t i;
    seen->total++;
    if (num_int64(bytes_of(member.data + 1, member.len - 1), &i) && i < DOMAIN)
        seen->times[i]++;
}

/* What is there from the first page to the last is seen once, whatever comes and goes. */
static void a_scan_sees_all_that_stays(void)
{
    struct set *s = set_new();
    char name[32];
    for (unsigned i = 1; i < DOMAIN; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        set_add(s, bytes_cstr(name));
    }
    static struct scan_seen seen;
    seen = (struct scan_seen){0};
    uint64_t cursor = 0;
    unsigned pages = 0;
    do {
        cursor = set_scan(s, cursor, 10, scan_note, &seen);
        pages++;
        EXPECT(cursor < UINT64_C(1) << 53);
        for (unsigned i = 0; i < 20; i++) { /* odd ones stay */
            snprintf(name, sizeof(name), "m%u", 2 * (1 + chance(DOMAIN / 2 - 1)));
            if (chance(2))
                set_remove(s, bytes_cstr(name));
            else
                set_add(s, bytes_cstr(name));
        }
    } while (cursor != 0);
    EXPECT(pages > 20);
    for (unsigned i = 1; i < DOMAIN; i += 2)
        EXPECT_INT(seen.times[i], 1);
    EXPECT_INT(set_scan(s, UINT64_MAX, 10, scan_note, &seen), 0);
    set_free(s);
}

/* --- sorted sets --- */

struct zset_model {
    struct zset *zset;
    bool has[DOMAIN];
    double score[DOMAIN];
    size_t count;
    bool skiplist;
};

static struct bytes zname(unsigned i, char out[96])
{
    int n = snprintf(out, 96, "%0*u", i == 7 ? 70 : 3, i);
    return bytes_of(out, (size_t)n);
}

/* Does i come before j? */
static bool model_before(const struct zset_model *m, unsigned i, unsigned j)
{
    if (m->score[i] != m->score[j])
        return m->score[i] < m->score[j];
    char a[96], b[96];
    return bytes_cmp(zname(i, a), zname(j, b)) < 0;
}

static size_t model_rank(const struct zset_model *m, unsigned j)
{
    size_t rank = 0;
    for (unsigned i = 0; i < DOMAIN; i++)
        rank += m->has[i] && model_before(m, i, j);
    return rank;
}

static void zset_model_borders(struct zset_model *m)
{
    for (unsigned n = 0; n < 20; n++) {
        double border = n == 0 ? -INFINITY : n == 1 ? INFINITY : (double)chance(30) / 4 - 3;
        size_t below = 0;
        size_t not_above = 0;
        for (unsigned i = 0; i < DOMAIN; i++) {
            below += m->has[i] && m->score[i] < border;
            not_above += m->has[i] && m->score[i] <= border;
        }
        EXPECT_INT(zset_below(m->zset, border, false), below);
        EXPECT_INT(zset_below(m->zset, border, true), not_above);
    }
}

static void zset_model_check(struct zset_model *m)
{
    EXPECT_INT(zset_count(m->zset), m->count);
    EXPECT_CSTR(zset_encoding(m->zset), m->skiplist ? "skiplist" : "listpack");
    char name[96];
    struct tree_reader r = zset_reader(m->zset);
    for (unsigned i = 0; i < DOMAIN; i++) {
        double score = 0;
        size_t rank = 0;
        EXPECT_INT(zset_score(m->zset, zname(i, name), &score), m->has[i]);
        EXPECT_INT(zset_rank(m->zset, zname(i, name), &rank), m->has[i]);
        if (!m->has[i])
            continue;
        EXPECT(score == m->score[i]);
        EXPECT_INT(rank, model_rank(m, i));
        const struct item *it = tree_read(&r, rank).item;
        EXPECT(bytes_eq(item_bytes(it), zname(i, name)) && zset_item_score(it) == score);
    }
    zset_model_borders(m);
}

static double random_score(void)
{
    switch (chance(12)) {
    case 0:
        return INFINITY;
    case 1:
        return -INFINITY;
    case 2:
        return 0;
    case 3:
        return -0.0;
    default:
        return (double)chance(24) / 4 - 3;
    }
}

static void zset_model_step(struct zset_model *m, bool grows)
{
    char name[96];
    unsigned i = chance(DOMAIN);
    struct bytes member = zname(i, name);
    if (chance(grows ? 4 : 10) > 0 && (grows || chance(2))) {
        double score = random_score();
        EXPECT_INT(zset_put(m->zset, member, score), !m->has[i]);
        m->count += !m->has[i];
        m->skiplist = m->skiplist || (!m->has[i] && (m->count > 128 || member.len > 64));
        m->has[i] = true;
        m->score[i] = score;
    } else {
        EXPECT_INT(zset_remove(m->zset, member), m->has[i]);
        m->count -= m->has[i];
        m->has[i] = false;
    }
}

static void zset_model_cut(struct zset_model *m)
{
    size_t from = chance((unsigned)m->count + 1);
    size_t n = chance((unsigned)(m->count - from) + 1) / 3;
    size_t ranks[DOMAIN];
    for (unsigned i = 0; i < DOMAIN; i++)
        ranks[i] = m->has[i] ? model_rank(m, i) : SIZE_MAX;
    for (unsigned i = 0; i < DOMAIN; i++) {
        if (m->has[i] && ranks[i] >= from && ranks[i] < from + n)
            m->has[i] = false;
    }
    m->count -= n;
    zset_remove_range(m->zset, from, n);
}

static struct zset *zset_round_trip(const struct zset *z)
{
    struct buf b;
    buf_init(&b);
    zset_encode(z, &b);
    EXPECT(zset_ops.encoded_size(z) >= b.len);
    struct zset *again = zset_decode(buf_bytes(&b));
    EXPECT((again == NULL) == (zset_count(z) == 0));
    buf_release(&b);
    return again != NULL ? again : zset_copy(z);
}

static void zsets_follow_the_model(void)
{
    for (unsigned program = 0; program < 8; program++) {
        static struct zset_model versions[VERSIONS];
        for (unsigned v = 0; v < VERSIONS; v++)
            versions[v] = (struct zset_model){.zset = zset_new()};
        for (unsigned step = 0; step < 4000; step++) {
            unsigned v = chance(VERSIONS);
            zset_model_step(&versions[v], program % 2 == 0);
            if (chance(500) == 0)
                zset_model_cut(&versions[v]);
            unsigned to = chance(VERSIONS);
            if (chance(200) == 0 && to != v) {
                zset_free(versions[to].zset);
                versions[to] = versions[v];
                versions[to].zset =
                    chance(2) ? zset_copy(versions[v].zset) : zset_round_trip(versions[v].zset);
            }
            if (step % 1000 == 999)
                zset_model_check(&versions[v]);
        }
        for (unsigned v = 0; v < VERSIONS; v++) {
            zset_model_check(&versions[v]);
            zset_free(versions[v].zset);
        }
    }
}

static double score_of(const struct zset *z)
{
    double score = 1;
    EXPECT(zset_score(z, BYTES_LIT("m"), &score));
    return score;
}

static void zeros_of_a_listpack_have_no_sign(void)
{
    struct zset *z = zset_new();
    zset_put(z, BYTES_LIT("m"), -0.0);
    EXPECT(!signbit(score_of(z)));
    zset_remove(z, BYTES_LIT("m"));
    zset_unsettle(z);
    zset_put(z, BYTES_LIT("m"), -0.0);
    EXPECT(signbit(score_of(z)));
    zset_settle(z);
    EXPECT(!signbit(score_of(z)));
    EXPECT_CSTR(zset_encoding(z), "listpack");
    zset_free(z);
}

static void lexical_borders(void)
{
    struct zset *z = zset_new();
    EXPECT_INT(zset_below_lex(z, BYTES_LIT("a"), true), 0);
    static const char *const names[] = {"a", "b", "bb", "c"};
    for (size_t i = 0; i < 4; i++)
        zset_put(z, bytes_cstr(names[i]), -1.5);
    EXPECT_INT(zset_below_lex(z, BYTES_LIT(""), true), 0);
    EXPECT_INT(zset_below_lex(z, BYTES_LIT("b"), false), 1);
    EXPECT_INT(zset_below_lex(z, BYTES_LIT("b"), true), 2);
    EXPECT_INT(zset_below_lex(z, BYTES_LIT("ba"), false), 2);
    EXPECT_INT(zset_below_lex(z, BYTES_LIT("d"), true), 4);
    zset_free(z);
}

/* --- lists --- */

enum { LIST_MAX = 4000 };

struct deque_model {
    struct deque *deque;
    unsigned elements[LIST_MAX];
    size_t count;
};

static void deque_model_insert(struct deque_model *m, size_t pos, unsigned element)
{
    char name[32];
    memmove(m->elements + pos + 1, m->elements + pos, (m->count - pos) * sizeof(unsigned));
    m->elements[pos] = element;
    m->count++;
    deque_insert(m->deque, pos, name_of(element, true, name));
}

static void deque_model_remove(struct deque_model *m, size_t pos, size_t n)
{
    memmove(m->elements + pos, m->elements + pos + n, (m->count - pos - n) * sizeof(unsigned));
    m->count -= n;
    deque_remove(m->deque, pos, n);
}

static void deque_model_step(struct deque_model *m, unsigned removals)
{
    char name[32];
    unsigned element = chance(DOMAIN);
    if (m->count == 0 || (m->count < LIST_MAX && chance(10) >= removals)) {
        static const unsigned places = 4;
        unsigned place = chance(places);
        deque_model_insert(m,
                           place == 0   ? 0
                           : place == 1 ? chance((unsigned)m->count + 1)
                                        : m->count,
                           element);
        return;
    }
    size_t pos = chance((unsigned)m->count);
    switch (chance(20)) {
    case 0:
        m->elements[pos] = element;
        deque_set(m->deque, pos, name_of(element, true, name));
        return;
    case 1:
        deque_model_remove(m, pos, chance((unsigned)(m->count - pos)) / 8);
        return;
    case 2:
        deque_model_remove(m, pos, 1);
        return;
    default:
        deque_model_remove(m, chance(2) ? 0 : m->count - 1, 1);
    }
}

static void deque_model_check(struct deque_model *m)
{
    EXPECT_INT(deque_count(m->deque), m->count);
    char name[32];
    struct tree_reader r = deque_reader(m->deque);
    struct tree_reader back = deque_reader(m->deque);
    for (size_t i = 0; i < m->count; i++) {
        EXPECT(bytes_eq(item_bytes(tree_read(&r, i).item), name_of(m->elements[i], true, name)));
        size_t j = m->count - 1 - i;
        EXPECT(bytes_eq(item_bytes(tree_read(&back, j).item), name_of(m->elements[j], true, name)));
        EXPECT(bytes_eq(deque_at(m->deque, i), name_of(m->elements[i], true, name)));
    }
}

static struct deque *deque_round_trip(const struct deque *d)
{
    struct buf b;
    buf_init(&b);
    deque_encode(d, &b);
    EXPECT(deque_ops.encoded_size(d) >= b.len);
    struct deque *again = deque_decode(buf_bytes(&b));
    EXPECT((again == NULL) == (deque_count(d) == 0));
    buf_release(&b);
    return again != NULL ? again : deque_copy(d);
}

static void lists_follow_the_model(void)
{
    for (unsigned program = 0; program < 6; program++) {
        static struct deque_model versions[VERSIONS];
        for (unsigned v = 0; v < VERSIONS; v++) {
            versions[v].count = 0;
            versions[v].deque = deque_new();
        }
        for (unsigned step = 0; step < 20000; step++) {
            unsigned v = chance(VERSIONS);
            deque_model_step(&versions[v], 1 + 4 * (step / 5000 % 2) + program % 3);
            unsigned to = chance(VERSIONS);
            if (chance(500) == 0 && to != v) {
                deque_free(versions[to].deque);
                versions[to] = versions[v];
                versions[to].deque =
                    chance(2) ? deque_copy(versions[v].deque) : deque_round_trip(versions[v].deque);
            }
            if (step % 2000 == 1999)
                deque_model_check(&versions[v]);
        }
        for (unsigned v = 0; v < VERSIONS; v++) {
            deque_model_check(&versions[v]);
            deque_free(versions[v].deque);
        }
    }
}

/* --- bytes that are not such --- */

static void set_try(struct bytes s)
{
    struct set *set = set_decode(s);
    if (set == NULL)
        return;
    EXPECT(set_count(set) > 0);
    set_free(set_round_trip(set));
    set_free(set);
}

static void zset_try(struct bytes s)
{
    struct zset *zset = zset_decode(s);
    if (zset == NULL)
        return;
    EXPECT(zset_count(zset) > 0);
    zset_free(zset_round_trip(zset));
    zset_free(zset);
}

static void deque_try(struct bytes s)
{
    struct deque *deque = deque_decode(s);
    if (deque == NULL)
        return;
    EXPECT(deque_count(deque) > 0);
    deque_free(deque_round_trip(deque));
    deque_free(deque);
}

/* Cut anywhere, with bytes changed, and from chance: refused or a collection, never more. */
static void damage(const struct buf *good, void (*try)(struct bytes s))
{
    char copy[4096];
    CHECK(good->len <= sizeof(copy));
    for (unsigned n = 0; n < 3000; n++) {
        memcpy(copy, good->data, good->len);
        for (unsigned i = chance(4); i > 0; i--)
            copy[chance((unsigned)good->len)] = (char)chance(256);
        size_t len = chance(2) ? good->len : chance((unsigned)good->len + 1);
        char *exact =
            memcpy(mem_alloc(len), copy, len); /* so that a sanitizer sees a step beyond */
        try(bytes_of(exact, len));
        mem_free(exact);
    }
}

static void damaged_bytes_are_refused(void)
{
    struct set *set = set_new();
    struct zset *zset = zset_new();
    struct deque *deque = deque_new();
    char name[96];
    for (unsigned i = 0; i < 40; i++) {
        set_add(set, name_of(i, true, name));
        zset_put(zset, zname(i, name), random_score());
        deque_insert(deque, 0, name_of(i, true, name));
    }
    struct buf b;
    buf_init(&b);
    set_encode(set, &b);
    damage(&b, set_try);
    buf_reset(&b, 0);
    zset_encode(zset, &b);
    damage(&b, zset_try);
    buf_reset(&b, 0);
    deque_encode(deque, &b);
    damage(&b, deque_try);
    buf_release(&b);
    set_free(set);
    zset_free(zset);
    deque_free(deque);
}

static void some_bytes_are_certainly_wrong(void)
{
    static const struct bytes sets[] = {
        BYTES_LIT(""),
        BYTES_LIT("\1"),
        BYTES_LIT("\1\0\0"),                                        /* empty */
        BYTES_LIT("\2\0\1\1a"),                                     /* another version */
        BYTES_LIT("\1\2\1\1a"),                                     /* another encoding */
        BYTES_LIT("\1\1\1\1a"),                                     /* no integer */
        BYTES_LIT("\1\0\2\1a\1a"),                                  /* twice the same */
        BYTES_LIT("\1\0\1\1a\1"),                                   /* more behind it */
        BYTES_LIT("\1\0\1\2a"),                                     /* cut */
        BYTES_LIT("\1\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\1a"), /* 2^64 - 1 members */
        BYTES_LIT("\1\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\2\1a"), /* no number of 64 bits */
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        EXPECT(set_decode(sets[i]) == NULL);
    struct set *good = set_decode(BYTES_LIT("\1\1\2\1"
                                            "1"
                                            "\1"
                                            "2"));
    EXPECT(good != NULL && set_has(good, BYTES_LIT("1")));
    if (good != NULL)
        set_free(good);
    EXPECT(set_decode(BYTES_LIT("\1\1\2\1"
                                "2"
                                "\1"
                                "1")) == NULL);                              /* not in order */
    EXPECT(zset_decode(BYTES_LIT("\1\0\1\x7f\xf8\0\0\0\0\0\0\1a")) == NULL); /* not a number */
    EXPECT(zset_decode(BYTES_LIT("\1\0\2\0\0\0\0\0\0\0\0\1a\0\0\0\0\0\0\0\0\1a")) == NULL);
    EXPECT(deque_decode(BYTES_LIT("\1\0")) == NULL);
}

/* --- JSON --- */

static void expect_json(const struct value_type_ops *ops, const void *content, const char *want)
{
    struct payload_limits limits = payload_default_limits;
    struct emit e;
    struct buf b;
    buf_init(&b);
    emit_init(&e, &b, &limits);
    ops->to_json(content, &e);
    EXPECT(emit_ok(&e));
    EXPECT_TEXT(b.data, b.len, want);
    buf_release(&b);
}

static void collections_as_json(void)
{
    struct set *set = set_new();
    struct zset *zset = zset_new();
    struct deque *deque = deque_new();
    static const char *const names[] = {"10", "9", "b\"", "a", "9"};
    for (size_t i = 0; i < 5; i++) {
        set_add(set, bytes_cstr(names[i]));
        zset_put(zset, bytes_cstr(names[i]), i == 3 ? -INFINITY : 1.5 * (double)i);
        deque_insert(deque, i, bytes_cstr(names[i]));
    }
    expect_json(&set_ops, set, "[\"10\",\"9\",\"a\",\"b\\\"\"]");
    expect_json(&zset_ops, zset,
                "[[\"a\",\"-Infinity\"],[\"10\",0.0],[\"b\\\"\",3.0],[\"9\",6.0]]");
    expect_json(&deque_ops, deque, "[\"10\",\"9\",\"b\\\"\",\"a\",\"9\"]");
    set_free(set);
    zset_free(zset);
    deque_free(deque);
}

/* --- size --- */

static void large_ones(void)
{
    enum { N = 100000 };
    struct zset *z = zset_new();
    struct deque *d = deque_new();
    char name[32];
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "%u", i * 7919U % N);
        zset_put(z, bytes_cstr(name), (double)(i * 7919U % N));
        deque_insert(d, i % 2 ? 0 : i, bytes_cstr(name));
    }
    struct zset *old = zset_copy(z);
    for (unsigned i = 0; i < N; i += 997) {
        size_t rank = 0;
        snprintf(name, sizeof(name), "%u", i);
        EXPECT(zset_rank(z, bytes_cstr(name), &rank) && rank == i);
    }
    zset_remove_range(z, 10, N - 20);
    EXPECT_INT(zset_count(z), 20);
    EXPECT_INT(zset_count(old), N);
    EXPECT_INT(zset_below(z, 50000, false), 10);
    EXPECT_INT(zset_below(old, 50000, false), 50000);
    EXPECT(zset_memory(z) < zset_memory(old) / 1000);
    EXPECT(zset_memory(old) > N * 60 && zset_memory(old) < N * 200);
    deque_remove(d, 5, N - 10);
    EXPECT_INT(deque_count(d), 10);
    zset_free(z);
    zset_free(old);
    deque_free(d);
}

int main(int argc, char **argv)
{
    const char *seed = getenv("RESPGRES_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) * 2 + 1 : 20250;
    printf("RESPGRES_SEED=%s\n", seed != NULL ? seed : "(none)");
    const struct test tests[] = {
        TEST(sets_follow_the_model),
        TEST(a_settled_set_is_an_intset_if_it_can_be),
        TEST(a_scan_sees_all_that_stays),
        TEST(zsets_follow_the_model),
        TEST(zeros_of_a_listpack_have_no_sign),
        TEST(lexical_borders),
        TEST(lists_follow_the_model),
        TEST(damaged_bytes_are_refused),
        TEST(some_bytes_are_certainly_wrong),
        TEST(collections_as_json),
        TEST(large_ones),
    };
    return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL);
}
