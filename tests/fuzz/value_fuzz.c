/* Whatever the bytes, a value of any type is made of them without a crash. One that can be read takes
 * what it says, has each of its elements where they are looked for, is encoded to the same bytes again,
 * copies to an equal one, can be changed without a change of what it was copied from, and becomes JSON
 * within the limits. The first byte of the input is the type. */
#include <stdint.h>

#include "base/hash.h"
#include "base/mem.h"
#include "value/deque.h"
#include "value/hash.h"
#include "value/set.h"
#include "value/value.h"
#include "value/zset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *arg, struct bytes argument)
{
    size_t *n = arg;
    CHECK(argument.len == 0 || argument.data != NULL);
    ++*n;
}

static void check_json(const struct value *v)
{
    static const struct payload_limits small = {
        .max_input = 4096, .max_output = 200, .max_steps = 300, .max_depth = 5};
    const struct payload_limits *limits[] = {&payload_default_limits, &small};
    for (size_t i = 0; i < 2; i++) {
        struct buf out;
        struct emit e;
        buf_init(&out);
        emit_init(&e, &out, limits[i]);
        value_type_ops(v->type)->to_json(value_content(v), &e);
        CHECK(out.len <= limits[i]->max_output);
        CHECK(!emit_ok(&e) || out.len > 0);
        buf_release(&out);
    }
}

/* ---- elements ---- */

static void check_hash(const struct hash *h)
{
    for (size_t i = 0; i < hash_count(h); i++) {
        struct bytes field, value, found;
        hash_at(h, i, &field, &value);
        CHECK(hash_get(h, field, &found) && bytes_eq(found, value));
    }
}

static void check_set(const struct set *s)
{
    for (size_t i = 0; i < set_count(s); i++)
        CHECK(set_has(s, set_at(s, i)));
}

static void check_zset(const struct zset *z)
{
    struct tree_reader r = zset_reader(z);
    for (size_t i = 0; i < zset_count(z); i++) {
        const struct item *it = tree_read(&r, i).item;
        double score;
        size_t rank;
        CHECK(zset_score(z, item_bytes(it), &score) && zset_rank(z, item_bytes(it), &rank));
        CHECK(score == zset_item_score(it) && rank == i);
        CHECK(zset_below(z, score, false) <= i && zset_below(z, score, true) > i);
    }
}

static void check_deque(const struct deque *d)
{
    struct tree_reader r = deque_reader(d);
    for (size_t i = 0; i < deque_count(d); i++)
        CHECK(bytes_eq(item_bytes(tree_read(&r, i).item), deque_at(d, i)));
}

static void check_elements(const struct value *v)
{
    const void *content = value_content(v);
    if (v->type == VALUE_HASH)
        check_hash(content);
    else if (v->type == VALUE_SET)
        check_set(content);
    else if (v->type == VALUE_ZSET)
        check_zset(content);
    else
        check_deque(content);
}

/* ---- a change ---- */

static char long_word[80]; /* longer than what a small hash, set or sorted set has */

/* Its first element goes, the one in the middle becomes another, two are added. */
static void change_hash(struct hash *h)
{
    struct bytes field, value;
    hash_at(h, hash_count(h) / 2, &field, &value);
    (void)hash_put(h, hash_item_new(field, BYTES_LIT("other")));
    hash_at(h, 0, &field, &value);
    CHECK(hash_remove(h, field));
    (void)hash_put(h, hash_item_new(BYTES_LIT("new"), BYTES_LIT("")));
    (void)hash_put(h, hash_item_new(BYTES_LIT("long"), bytes_of(long_word, sizeof(long_word))));
}

static void change_set(struct set *s)
{
    CHECK(set_remove(s, set_at(s, 0)));
    (void)set_add(s, BYTES_LIT("17"));
    (void)set_add(s, BYTES_LIT("new"));
    set_settle(s);
}

static void change_zset(struct zset *z)
{
    zset_unsettle(z);
    zset_remove_range(z, 0, 1);
    (void)zset_put(z, BYTES_LIT("new"), -0.0);
    (void)zset_put(z, bytes_of(long_word, sizeof(long_word)), 1.5);
    zset_settle(z);
}

static void change_deque(struct deque *d)
{
    deque_set(d, deque_count(d) / 2, BYTES_LIT("other"));
    deque_remove(d, 0, 1);
    deque_insert(d, 0, BYTES_LIT("new"));
    deque_insert(d, deque_count(d), bytes_of(long_word, sizeof(long_word)));
}

static void change(struct value *v)
{
    value_begin_change(v);
    if (v->type == VALUE_HASH)
        change_hash(value_content(v));
    else if (v->type == VALUE_SET)
        change_set(value_content(v));
    else if (v->type == VALUE_ZSET)
        change_zset(value_content(v));
    else
        change_deque(value_content(v));
}

/* Of a copy: what it was copied from, whose nodes it may share, stays; what is stored of it is read again. */
static void check_change(const struct value *v, struct bytes stored)
{
    struct value *copy = value_collection_copy(v);
    CHECK(copy != NULL);
    change(copy);
    check_elements(copy);
    struct value *again = value_decode(copy->type, value_bytes(copy));
    CHECK(again != NULL && !again->opaque && value_count(again) == value_count(copy));
    CHECK(bytes_eq(value_bytes(again), value_bytes(copy)));
    check_elements(again);
    value_unref(again);
    value_unref(copy);
    value_drop_bytes(v);
    CHECK(bytes_eq(value_bytes(v), stored));
    check_elements(v);
}

static void check_collection(const struct value *v, struct bytes stored)
{
    const struct value_type_ops *ops = value_type_ops(v->type);
    size_t arguments = 0;
    CHECK(value_count(v) > 0); /* an empty one is never stored */
    CHECK(bytes_eq(value_bytes(v), stored) && value_size(v) >= stored.len);
    CHECK(value_memory(v) >= stored.len / 8 && ops->encoding(value_content(v)) != NULL);
    ops->each(value_content(v), count, &arguments);
    CHECK(arguments == value_count(v) * (size_t)ops->add_arguments);
    struct value *copy = value_collection_copy(v);
    CHECK(copy != NULL && bytes_eq(value_bytes(copy), stored));
    value_unref(copy);
    check_elements(v);
    check_change(v, stored);
    check_json(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t type = data[0] % (VALUE_TYPES + 1);
    char *exact = mem_alloc(size); /* so that a read behind the end is seen */
    memcpy(exact, data + 1, size - 1);
    struct bytes stored = bytes_of(exact, size - 1);
    struct value *v = value_decode(type, stored);
    CHECK(v != NULL && v->type == type);
    if (value_is_collection(v))
        check_collection(v, stored);
    else
        CHECK(bytes_eq(value_bytes(v), stored) && v->opaque == (type != VALUE_STRING));
    value_unref(v);
    mem_free(exact);
    return 0;
}
