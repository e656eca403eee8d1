/* Whatever the bytes, a value of any type is made of them without a crash. One that can be read takes
 * what it says, is encoded to the same bytes again, copies to an equal one, and becomes JSON within
 * the limits. The first byte of the input is the type. */
#include <stdint.h>

#include "base/hash.h"
#include "base/mem.h"
#include "value/value.h"

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
