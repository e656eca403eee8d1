/* hash: see hash.h. The items stand in an array: it is their order, and what a random one is drawn
 * from. More than a few of them have a map, too. A large hash always has it, walks through it for
 * HSCAN, and fills the gap of a removed item with the last one. */
#include "value/hash.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "value/coding.h"

enum { HASH_VERSION = 1, FLAG_LARGE = 1, MIN_CAP = 4, INDEX_FROM = 32 };

struct hash_item {
    struct map_node node; /* while the hash has a map */
    uint32_t at;          /* in its array */
    uint32_t field_len;
    size_t value_len;
    char data[]; /* field, value */
};

struct hash {
    struct hash_item **items;
    size_t count;
    size_t cap;
    size_t item_memory; /* of all items */
    size_t item_bytes;  /* of all items, encoded */
    bool large;
    bool indexed;  /* it has a map */
    uint64_t seed; /* of the map's hash */
    struct map map;
};

/* ---- items ---- */

static struct bytes field_of(const struct hash_item *item)
{
    return bytes_of(item->data, item->field_len);
}

static struct bytes value_of(const struct hash_item *item)
{
    return bytes_of(item->data + item->field_len, item->value_len);
}

struct hash_item *hash_item_new(struct bytes field, struct bytes value)
{
    CHECK(field.len <= UINT32_MAX);
    struct hash_item *item = mem_try_alloc(sizeof(*item) + field.len + value.len);
    if (item == NULL)
        return NULL;
    item->field_len = (uint32_t)field.len;
    item->value_len = value.len;
    if (field.len > 0)
        memcpy(item->data, field.data, field.len);
    if (value.len > 0)
        memcpy(item->data + field.len, value.data, value.len);
    return item;
}

void hash_item_free(struct hash_item *item)
{
    mem_free(item);
}

static size_t item_memory(const struct hash_item *item)
{
    return sizeof(*item) + item->field_len + item->value_len;
}

static size_t item_bytes(const struct hash_item *item)
{
    return coded_size(item->field_len) + coded_size(item->value_len);
}

/* It becomes one of them. */
static void account(struct hash *h, const struct hash_item *item)
{
    h->item_memory += item_memory(item);
    h->item_bytes += item_bytes(item);
}

/* It is one no more. */
static void discard(struct hash *h, struct hash_item *item)
{
    h->item_memory -= item_memory(item);
    h->item_bytes -= item_bytes(item);
    hash_item_free(item);
}

/* ---- making and ending ---- */

struct hash *hash_new(void)
{
    struct hash *h = mem_zalloc(sizeof(*h));
    map_init(&h->map);
    return h;
}

void hash_free(struct hash *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < h->count; i++)
        hash_item_free(h->items[i]);
    mem_free(h->items);
    map_release(&h->map);
    mem_free(h);
}

static void append(struct hash *h, struct hash_item *item)
{
    if (h->count == h->cap) {
        h->cap = h->cap < MIN_CAP ? MIN_CAP : h->cap + h->cap / 2;
        h->items = mem_realloc(h->items, h->cap * sizeof(struct hash_item *));
    }
    item->at = (uint32_t)h->count;
    h->items[h->count++] = item;
    account(h, item);
    if (h->indexed)
        map_insert(&h->map, &item->node, hash_bytes_keyed(field_of(item), h->seed));
}

/* `seed` is set. */
static void make_index(struct hash *h)
{
    h->indexed = true;
    for (size_t i = 0; i < h->count; i++) {
        struct hash_item *item = h->items[i];
        map_insert(&h->map, &item->node, hash_bytes_keyed(field_of(item), h->seed));
    }
}

static void make_index_if_due(struct hash *h)
{
    if (h->indexed || h->count <= INDEX_FROM)
        return;
    random_bytes(&h->seed, sizeof(h->seed));
    make_index(h);
}

struct hash *hash_copy(const struct hash *h)
{
    struct hash *copy = hash_new();
    copy->large = h->large;
    copy->indexed = h->indexed;
    copy->seed = h->seed;
    copy->cap = h->count;
    if (h->indexed)
        map_reserve(&copy->map, h->count);
    copy->items = h->count > 0 ? mem_alloc(h->count * sizeof(struct hash_item *)) : NULL;
    for (size_t i = 0; i < h->count; i++) {
        const struct hash_item *from = h->items[i];
        struct hash_item *item = mem_try_alloc(item_memory(from));
        if (item == NULL) {
            hash_free(copy);
            return NULL;
        }
        memcpy(item, from, item_memory(from));
        copy->items[copy->count++] = item;
        if (h->indexed)
            map_insert(&copy->map, &item->node, from->node.hash);
    }
    copy->item_memory = h->item_memory;
    copy->item_bytes = h->item_bytes;
    return copy;
}

/* ---- looking ---- */

static bool match(const struct map_node *node, const void *field)
{
    return bytes_eq(field_of(LIST_ITEM(node, struct hash_item, node)),
                    *(const struct bytes *)field);
}

static struct hash_item *find(const struct hash *h, struct bytes field)
{
    if (h->indexed) {
        struct map_node *node =
            map_find((struct map *)&h->map, hash_bytes_keyed(field, h->seed), match, &field);
        return node != NULL ? LIST_ITEM(node, struct hash_item, node) : NULL;
    }
    for (size_t i = 0; i < h->count; i++) {
        if (bytes_eq(field_of(h->items[i]), field))
            return h->items[i];
    }
    return NULL;
}

bool hash_get(const struct hash *h, struct bytes field, struct bytes *value)
{
    const struct hash_item *item = find(h, field);
    if (item != NULL)
        *value = value_of(item);
    return item != NULL;
}

size_t hash_count(const struct hash *h)
{
    return h->count;
}

size_t hash_memory(const struct hash *h)
{
    return sizeof(*h) + h->cap * sizeof(struct hash_item *) + h->item_memory + map_memory(&h->map);
}

const char *hash_encoding(const struct hash *h)
{
    return h->large ? "hashtable" : "listpack";
}

void hash_at(const struct hash *h, size_t i, struct bytes *field, struct bytes *value)
{
    CHECK(i < h->count);
    *field = field_of(h->items[i]);
    *value = value_of(h->items[i]);
}

struct scan {
    void (*f)(void *arg, struct bytes field, struct bytes value);
    void *arg;
};

static void scan_item(struct map_node *node, void *arg)
{
    const struct scan *s = arg;
    const struct hash_item *item = LIST_ITEM(node, struct hash_item, node);
    s->f(s->arg, field_of(item), value_of(item));
}

uint64_t hash_scan(const struct hash *h, uint64_t cursor,
                   void (*f)(void *arg, struct bytes field, struct bytes value), void *arg)
{
    struct scan s = {f, arg};
    if (h->large)
        return map_scan(&h->map, cursor, scan_item, &s);
    for (size_t i = 0; i < h->count; i++)
        f(arg, field_of(h->items[i]), value_of(h->items[i]));
    return 0;
}

/* ---- changing ---- */

static void make_large(struct hash *h)
{
    h->large = true;
    if (h->indexed)
        return;
    random_bytes(&h->seed, sizeof(h->seed));
    make_index(h);
}

/* In the place of one of the same field. */
static void replace(struct hash *h, struct hash_item *old, struct hash_item *item)
{
    item->at = old->at;
    h->items[item->at] = item;
    account(h, item);
    if (h->indexed) {
        uint64_t hash = old->node.hash;
        map_remove(&h->map, &old->node);
        map_insert(&h->map, &item->node, hash);
    }
    discard(h, old);
}

bool hash_put(struct hash *h, struct hash_item *take)
{
    if (!h->large &&
        (take->field_len > HASH_MAX_LISTPACK_VALUE || take->value_len > HASH_MAX_LISTPACK_VALUE))
        make_large(h);
    struct hash_item *old = find(h, field_of(take));
    if (old != NULL) {
        replace(h, old, take);
        return false;
    }
    CHECK(h->count < UINT32_MAX);
    append(h, take);
    make_index_if_due(h);
    if (!h->large && h->count > HASH_MAX_LISTPACK_ENTRIES)
        make_large(h);
    return true;
}

bool hash_remove(struct hash *h, struct bytes field)
{
    struct hash_item *item = find(h, field);
    if (item == NULL)
        return false;
    size_t at = item->at;
    h->count--;
    if (h->indexed)
        map_remove(&h->map, &item->node);
    if (h->large) {
        h->items[at] = h->items[h->count];
        h->items[at]->at = (uint32_t)at;
    } else {
        for (size_t i = at; i < h->count; i++) {
            h->items[i] = h->items[i + 1];
            h->items[i]->at = (uint32_t)i;
        }
    }
    discard(h, item);
    return true;
}

/* ---- stored form ---- */

size_t hash_encoded_size(const struct hash *h)
{
    return 2 + (h->large ? sizeof(h->seed) : 0) + varint_size(h->count) + h->item_bytes;
}

void hash_encode(const struct hash *h, struct buf *out)
{
    buf_reserve(out, hash_encoded_size(h));
    buf_append_u8(out, HASH_VERSION);
    buf_append_u8(out, h->large ? FLAG_LARGE : 0);
    if (h->large)
        buf_append_be64(out, h->seed);
    put_varint(out, h->count);
    for (size_t i = 0; i < h->count; i++) {
        put_coded(out, field_of(h->items[i]));
        put_coded(out, value_of(h->items[i]));
    }
}

static bool take_seed(struct bytes *in, uint64_t *seed)
{
    for (size_t i = 0; i < sizeof(*seed); i++) {
        uint8_t b;
        if (!take_u8(in, &b))
            return false;
        *seed = *seed << 8 | b;
    }
    return true;
}

/* A field that is there twice is damage; so is a small one that should be large. */
static bool take_item(struct hash *h, struct bytes *in)
{
    struct bytes field, value;
    if (!take_coded(in, &field) || !take_coded(in, &value) || field.len > UINT32_MAX)
        return false;
    bool fits = field.len <= HASH_MAX_LISTPACK_VALUE && value.len <= HASH_MAX_LISTPACK_VALUE &&
                h->count < HASH_MAX_LISTPACK_ENTRIES;
    if ((!h->large && !fits) || find(h, field) != NULL)
        return false;
    struct hash_item *item = hash_item_new(field, value);
    if (item == NULL)
        return false;
    append(h, item);
    make_index_if_due(h);
    return true;
}

static bool take_all(struct hash *h, struct bytes in)
{
    uint8_t version, flags;
    uint64_t count;
    if (!take_u8(&in, &version) || version != HASH_VERSION || !take_u8(&in, &flags) ||
        flags > FLAG_LARGE)
        return false;
    h->large = flags == FLAG_LARGE;
    h->indexed = h->large;
    if ((h->large && !take_seed(&in, &h->seed)) || !take_varint(&in, &count) || count == 0 ||
        count > in.len / 2)
        return false;
    if (h->indexed)
        map_reserve(&h->map, (size_t)count);
    for (uint64_t i = 0; i < count; i++) {
        if (!take_item(h, &in))
            return false;
    }
    return in.len == 0;
}

struct hash *hash_decode(struct bytes stored)
{
    struct hash *h = hash_new();
    if (take_all(h, stored))
        return h;
    hash_free(h);
    return NULL;
}

void hash_to_json(const struct hash *h, struct emit *out)
{
    if (!emit_begin(out, '{'))
        return;
    for (size_t i = 0; i < h->count && emit_ok(out) && !emit_closed(out); i++) {
        size_t mark = emit_key_begin(out);
        emit_text_or_bytes(out, field_of(h->items[i]));
        emit_key_end(out, mark);
        emit_text_or_bytes(out, value_of(h->items[i]));
    }
    emit_end(out, '}');
}

/* ---- the table ---- */

static void *ops_new(void)
{
    return hash_new();
}

static void ops_free(void *content)
{
    hash_free(content);
}

static void *ops_copy(const void *content)
{
    return hash_copy(content);
}

static size_t ops_count(const void *content)
{
    return hash_count(content);
}

static size_t ops_memory(const void *content)
{
    return hash_memory(content);
}

static size_t ops_encoded_size(const void *content)
{
    return hash_encoded_size(content);
}

static void ops_encode(const void *content, struct buf *out)
{
    hash_encode(content, out);
}

static void *ops_decode(struct bytes stored)
{
    return hash_decode(stored);
}

static void ops_to_json(const void *content, struct emit *out)
{
    hash_to_json(content, out);
}

static const char *ops_encoding(const void *content)
{
    return hash_encoding(content);
}

static void ops_each(const void *content, void (*f)(void *arg, struct bytes argument), void *arg)
{
    const struct hash *h = content;
    for (size_t i = 0; i < h->count; i++) {
        f(arg, field_of(h->items[i]));
        f(arg, value_of(h->items[i]));
    }
}

const struct value_type_ops hash_ops = {
    .name = "hash",
    .new_empty = ops_new,
    .free = ops_free,
    .copy = ops_copy,
    .count = ops_count,
    .memory = ops_memory,
    .encoded_size = ops_encoded_size,
    .encode = ops_encode,
    .decode = ops_decode,
    .to_json = ops_to_json,
    .encoding = ops_encoding,
    .add_command = "HSET",
    .add_arguments = 2,
    .each = ops_each,
};
