#include "value/value.h"

#include "base/mem.h"

struct value *value_string_alloc(size_t len)
{
    struct value *v = mem_try_alloc(sizeof(*v) + len);
    if (v == NULL)
        return NULL;
    v->refs = 1;
    v->type = VALUE_STRING;
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

struct value *value_ref(struct value *v)
{
    CHECK(v->refs > 0);
    v->refs++;
    return v;
}

void value_unref(struct value *v)
{
    if (v == NULL)
        return;
    CHECK(v->refs > 0);
    if (--v->refs == 0)
        mem_free(v);
}

size_t value_memory(const struct value *v)
{
    return sizeof(*v) + v->len;
}

const char *value_type_name(uint8_t type)
{
    CHECK(type == VALUE_STRING);
    return "string";
}

bool value_type_by_name(struct bytes name, uint8_t *out)
{
    if (!bytes_ieq(name, "string"))
        return false;
    *out = VALUE_STRING;
    return true;
}

struct value *value_decode(uint8_t type, struct bytes stored)
{
    return type == VALUE_STRING ? value_string_new(stored) : NULL;
}
