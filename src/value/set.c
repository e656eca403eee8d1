#include "value/set.h"

#include <stdlib.h>

#include "base/num.h"
#include "value/coding.h"

enum { SET_FORMAT = 1 };

/* An entry's key is the integer (of an intset) or the hash; see key_of. */
struct set {
    struct tree tree;
    bool ints;
};

struct set *set_new(void)
{
    struct set *s = mem_alloc(sizeof(*s));
    *s = (struct set){.ints = true};
    tree_init(&s->tree);
    return s;
}

void set_free(struct set *s)
{
    tree_release(&s->tree);
    mem_free(s);
}

struct set *set_copy(const struct set *s)
{
    struct set *copy = set_new();
    copy->ints = s->ints;
    tree_copy(&copy->tree, &s->tree);
    return copy;
}

size_t set_memory(const struct set *s)
{
    return sizeof(*s) + tree_memory(&s->tree);
}

size_t set_count(const struct set *s)
{
    return tree_count(&s->tree);
}

/* The key under which a member is, or would be; false: an intset can't hold it. */
static bool key_of(const struct set *s, struct bytes member, uint64_t *key)
{
    if (!s->ints) {
        *key = member_hash(member);
        return true;
    }
    int64_t n;
    if (!num_int64(member, &n))
        return false;
    *key = (uint64_t)n ^ UINT64_C(1) << 63; /* in the order of the integers */
    return true;
}

static bool find(const struct set *s, struct bytes member, uint64_t *key, size_t *pos)
{
    return key_of(s, member, key) && tree_find(&s->tree, *key, member, pos);
}

bool set_has(const struct set *s, struct bytes member)
{
    uint64_t key;
    size_t pos;
    return find(s, member, &key, &pos);
}

/* From an intset to a set in the order of the hash. */
static void convert(struct set *s)
{
    struct tree old = s->tree;
    tree_init(&s->tree);
    s->ints = false;
    struct tree_reader r = tree_reader(&old);
    for (size_t i = 0; i < tree_count(&old); i++) {
        struct item *it = tree_read(&r, i).item;
        uint64_t key = 0;
        size_t pos;
        bool there = find(s, item_bytes(it), &key, &pos);
        CHECK(!there);
        tree_insert(&s->tree, pos, (struct tree_entry){key, item_ref(it)});
    }
    tree_release(&old);
}

bool set_add(struct set *s, struct bytes member)
{
    uint64_t key;
    if (!key_of(s, member, &key)) {
        convert(s);
        return set_add(s, member);
    }
    size_t pos;
    if (tree_find(&s->tree, key, member, &pos))
        return false;
    tree_insert(&s->tree, pos, (struct tree_entry){key, item_new(member, NULL, 0)});
    if (s->ints && set_count(s) > SET_MAX_INTSET_ENTRIES)
        convert(s);
    return true;
}

bool set_remove(struct set *s, struct bytes member)
{
    uint64_t key;
    size_t pos;
    if (!find(s, member, &key, &pos))
        return false;
    tree_remove(&s->tree, pos);
    return true;
}

struct tree_reader set_reader(const struct set *s)
{
    return tree_reader(&s->tree);
}

struct bytes set_at(const struct set *s, size_t i)
{
    return item_bytes(tree_at(&s->tree, i).item);
}

void set_settle(struct set *s)
{
    struct set *again = set_new();
    struct tree_reader r = set_reader(s);
    for (size_t i = 0; i < set_count(s); i++)
        set_add(again, item_bytes(tree_read(&r, i).item));
    tree_release(&s->tree);
    *s = *again;
    mem_free(again);
}

uint64_t set_scan(const struct set *s, uint64_t cursor, size_t count, member_cb f, void *arg)
{
    if (!s->ints)
        return member_scan(&s->tree, cursor, count, f, arg);
    struct tree_reader r = set_reader(s);
    for (size_t i = 0; i < set_count(s); i++) {
        const struct item *it = tree_read(&r, i).item;
        f(item_bytes(it), it, arg);
    }
    return 0;
}

const char *set_encoding(const struct set *s)
{
    return s->ints ? "intset" : "hashtable";
}

void set_encode(const struct set *s, struct buf *out)
{
    buf_append_u8(out, SET_FORMAT);
    buf_append_u8(out, s->ints);
    put_varint(out, set_count(s));
    struct tree_reader r = set_reader(s);
    for (size_t i = 0; i < set_count(s); i++)
        put_coded(out, item_bytes(tree_read(&r, i).item));
}

/* Adds a stored member; they are stored in order, so none twice. */
static bool add_stored(struct set *s, struct bytes member)
{
    uint64_t key;
    size_t pos;
    if (!key_of(s, member, &key) || tree_find(&s->tree, key, member, &pos) || pos < set_count(s))
        return false;
    tree_insert(&s->tree, pos, (struct tree_entry){key, item_new(member, NULL, 0)});
    return true;
}

struct set *set_decode(struct bytes stored)
{
    uint8_t format, ints;
    uint64_t count;
    if (!take_u8(&stored, &format) || format != SET_FORMAT || !take_u8(&stored, &ints) ||
        ints > 1 || !take_varint(&stored, &count) || count == 0 ||
        (ints && count > SET_MAX_INTSET_ENTRIES))
        return NULL;
    struct set *s = set_new();
    s->ints = ints;
    bool good = true;
    for (; good && count > 0; count--) {
        struct bytes member;
        good = take_coded(&stored, &member) && add_stored(s, member);
    }
    if (good && stored.len == 0)
        return s;
    set_free(s);
    return NULL;
}

static size_t op_encoded_size(const void *content)
{
    const struct set *c = content;
    return 16 + member_coded_size(&c->tree);
}

static int compare_items(const void *a, const void *b)
{
    const struct item *const *x = a;
    const struct item *const *y = b;
    return bytes_cmp(item_bytes(*x), item_bytes(*y));
}

/* In the order of the bytes: the same text for the same set, however it is stored. */
static void op_to_json(const void *content, struct emit *out)
{
    const struct set *s = content;
    size_t n = set_count(s);
    if (!emit_step(out, n) || !emit_begin(out, '['))
        return;
    const struct item **items = mem_alloc(n * sizeof(*items));
    struct tree_reader r = set_reader(s);
    for (size_t i = 0; i < n; i++)
        items[i] = tree_read(&r, i).item;
    qsort(items, n, sizeof(*items), compare_items);
    for (size_t i = 0; i < n && emit_ok(out) && !emit_closed(out); i++)
        emit_text_or_bytes(out, item_bytes(items[i]));
    mem_free(items);
    emit_end(out, ']');
}

/* --- as a value (type.h) --- */

static void *op_new(void)
{
    return set_new();
}

static void op_free(void *content)
{
    set_free(content);
}

static void *op_copy(const void *content)
{
    return set_copy(content);
}

static size_t op_count(const void *content)
{
    return set_count(content);
}

static size_t op_memory(const void *content)
{
    return set_memory(content);
}

static void op_encode(const void *content, struct buf *out)
{
    set_encode(content, out);
}

static void *op_decode(struct bytes stored)
{
    return set_decode(stored);
}

static const char *op_encoding(const void *content)
{
    return set_encoding(content);
}

static void op_each(const void *content, void (*f)(void *arg, struct bytes argument), void *arg)
{
    const struct set *c = content;
    struct tree_reader r = set_reader(c);
    for (size_t i = 0; i < set_count(c); i++)
        f(arg, item_bytes(tree_read(&r, i).item));
}

const struct value_type_ops set_ops = {
    .name = "set",
    .new_empty = op_new,
    .free = op_free,
    .copy = op_copy,
    .count = op_count,
    .memory = op_memory,
    .encoded_size = op_encoded_size,
    .encode = op_encode,
    .decode = op_decode,
    .to_json = op_to_json,
    .add_command = "SADD",
    .add_arguments = 1,
    .each = op_each,
    .encoding = op_encoding,
};
