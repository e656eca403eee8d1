#include "value/value.h"

#include "base/mem.h"

/* What `data` of a collection holds. */
struct collection {
    void *content;
    struct buf encoded; /* empty = not encoded, or changed since */
};

_Static_assert(offsetof(struct value, data) % _Alignof(struct collection) == 0, "alignment");

static const struct value_type_ops *const types[VALUE_TYPES] = {
    [VALUE_LIST] = &deque_ops,
    [VALUE_SET] = &set_ops,
    [VALUE_ZSET] = &zset_ops,
    [VALUE_HASH] = &hash_ops,
};

static struct collection *collection_of(const struct value *v)
{
    CHECK(value_is_collection(v));
    return (struct collection *)(void *)v->data;
}

const struct value_type_ops *value_type_ops(uint8_t type)
{
    return type < VALUE_TYPES ? types[type] : NULL;
}

/* ---- making and ending ---- */
/* From this length on there must be room for the copies that a value's way to PostgreSQL or to a
 * client takes: a statement's parameter, libpq's buffer, a reply. */
enum { LARGE = 256 * 1024, COPIES = 3 };

struct value *value_string_alloc(size_t len)
{
    if (len >= LARGE && len < SIZE_MAX / COPIES && !mem_has_room(COPIES * len))
        return NULL;
    struct value *v = mem_try_alloc(sizeof(*v) + len);
    if (v == NULL)
        return NULL;
    v->refs = 1;
    v->type = VALUE_STRING;
    v->opaque = false;
    v->len = len;
    return v;
}

struct value *value_string_new(struct bytes content)
{
    struct value *v = value_string_alloc(content.len);
    if (v != NULL && content.len > 0)
        memcpy(v->data, content.data, content.len);
    return v;
}

/* Takes the content. */
static struct value *collection_new(uint8_t type, void *content)
{
    struct value *v = mem_alloc(sizeof(*v) + sizeof(struct collection));
    v->refs = 1;
    v->type = type;
    v->opaque = false;
    v->len = 0;
    struct collection *c = collection_of(v);
    c->content = content;
    buf_init(&c->encoded);
    return v;
}

struct value *value_collection_new(uint8_t type)
{
    const struct value_type_ops *ops = value_type_ops(type);
    CHECK(ops != NULL);
    return collection_new(type, ops->new_empty());
}

struct value *value_collection_copy(const struct value *v)
{
    void *content = value_type_ops(v->type)->copy(value_content(v));
    return content != NULL ? collection_new(v->type, content) : NULL;
}

struct value *value_decode(uint8_t type, struct bytes stored)
{
    const struct value_type_ops *ops = value_type_ops(type);
    void *content = ops != NULL ? ops->decode(stored) : NULL;
    if (content != NULL)
        return collection_new(type, content);
    struct value *v = value_string_new(stored);
    if (v != NULL) {
        v->type = type;
        v->opaque = type != VALUE_STRING;
    }
    return v;
}

struct value *value_ref(struct value *v)
{
    CHECK(v->refs > 0);
    v->refs++;
    return v;
}

static void collection_free(struct value *v)
{
    struct collection *c = collection_of(v);
    buf_release(&c->encoded);
    value_type_ops(v->type)->free(c->content);
}

void value_unref(struct value *v)
{
    if (v == NULL)
        return;
    CHECK(v->refs > 0);
    if (--v->refs > 0)
        return;
    if (value_is_collection(v))
        collection_free(v);
    mem_free(v);
}

/* ---- collections ---- */

void *value_content(const struct value *v)
{
    return collection_of(v)->content;
}

size_t value_count(const struct value *v)
{
    return value_type_ops(v->type)->count(value_content(v));
}

void value_begin_change(struct value *v)
{
    CHECK(v->refs == 1);
    value_drop_bytes(v);
}

/* ---- stored bytes ---- */

struct bytes value_encoded(const struct value *v)
{
    struct collection *c = collection_of(v);
    if (c->encoded.len == 0) {
        const struct value_type_ops *ops = value_type_ops(v->type);
        buf_reserve(&c->encoded, ops->encoded_size(c->content));
        ops->encode(c->content, &c->encoded);
        CHECK(c->encoded.len > 0 && c->encoded.len <= ops->encoded_size(c->content));
    }
    return buf_bytes(&c->encoded);
}

void value_drop_bytes(const struct value *v)
{
    if (!value_is_collection(v))
        return;
    struct collection *c = collection_of(v);
    buf_release(&c->encoded);
    buf_init(&c->encoded);
}

size_t value_size(const struct value *v)
{
    if (!value_is_collection(v))
        return v->len;
    return value_type_ops(v->type)->encoded_size(value_content(v));
}

size_t value_memory(const struct value *v)
{
    if (!value_is_collection(v))
        return sizeof(*v) + v->len;
    return sizeof(*v) + sizeof(struct collection) +
           value_type_ops(v->type)->memory(value_content(v));
}

/* ---- names ---- */

const char *value_type_name(uint8_t type)
{
    if (type == VALUE_STRING)
        return "string";
    const struct value_type_ops *ops = value_type_ops(type);
    return ops != NULL ? ops->name : "unknown";
}

bool value_type_by_name(struct bytes name, uint8_t *out)
{
    for (uint8_t type = 0; type < VALUE_TYPES; type++) {
        bool known = type == VALUE_STRING || types[type] != NULL;
        if (known && bytes_ieq(name, value_type_name(type))) {
            *out = type;
            return true;
        }
    }
    return false;
}
