#include "value/deque.h"

#include "value/coding.h"

enum { DEQUE_FORMAT = 1 };

/* The entries' keys are not used. */
struct deque {
    struct tree tree;
};

struct deque *deque_new(void)
{
    struct deque *d = mem_alloc(sizeof(*d));
    tree_init(&d->tree);
    return d;
}

void deque_free(struct deque *d)
{
    tree_release(&d->tree);
    mem_free(d);
}

struct deque *deque_copy(const struct deque *d)
{
    struct deque *copy = deque_new();
    tree_copy(&copy->tree, &d->tree);
    return copy;
}

size_t deque_memory(const struct deque *d)
{
    return sizeof(*d) + tree_memory(&d->tree);
}

size_t deque_count(const struct deque *d)
{
    return tree_count(&d->tree);
}

void deque_insert(struct deque *d, size_t pos, struct bytes element)
{
    tree_insert(&d->tree, pos, (struct tree_entry){0, item_new(element, NULL, 0)});
}

void deque_set(struct deque *d, size_t pos, struct bytes element)
{
    tree_replace(&d->tree, pos, (struct tree_entry){0, item_new(element, NULL, 0)});
}

void deque_remove(struct deque *d, size_t pos, size_t n)
{
    tree_remove_range(&d->tree, pos, n);
}

struct tree_reader deque_reader(const struct deque *d)
{
    return tree_reader(&d->tree);
}

struct bytes deque_at(const struct deque *d, size_t pos)
{
    return item_bytes(tree_at(&d->tree, pos).item);
}

void deque_encode(const struct deque *d, struct buf *out)
{
    buf_append_u8(out, DEQUE_FORMAT);
    put_varint(out, deque_count(d));
    struct tree_reader r = deque_reader(d);
    for (size_t i = 0; i < deque_count(d); i++)
        put_coded(out, item_bytes(tree_read(&r, i).item));
}

struct deque *deque_decode(struct bytes stored)
{
    uint8_t format;
    uint64_t count;
    if (!take_u8(&stored, &format) || format != DEQUE_FORMAT || !take_varint(&stored, &count) ||
        count == 0)
        return NULL;
    struct deque *d = deque_new();
    bool good = true;
    for (; good && count > 0; count--) {
        struct bytes element;
        good = take_coded(&stored, &element);
        if (good)
            deque_insert(d, deque_count(d), element);
    }
    if (good && stored.len == 0)
        return d;
    deque_free(d);
    return NULL;
}

static size_t op_encoded_size(const void *content)
{
    const struct deque *c = content;
    return 16 + member_coded_size(&c->tree);
}

static void op_to_json(const void *content, struct emit *out)
{
    const struct deque *d = content;
    if (!emit_begin(out, '['))
        return;
    struct tree_reader r = deque_reader(d);
    for (size_t i = 0; i < deque_count(d) && emit_step(out, 1) && !emit_closed(out); i++)
        emit_text_or_bytes(out, item_bytes(tree_read(&r, i).item));
    emit_end(out, ']');
}

/* --- as a value (type.h) --- */

static void *op_new(void)
{
    return deque_new();
}

static void op_free(void *content)
{
    deque_free(content);
}

static void *op_copy(const void *content)
{
    return deque_copy(content);
}

static size_t op_count(const void *content)
{
    return deque_count(content);
}

static size_t op_memory(const void *content)
{
    return deque_memory(content);
}

static void op_encode(const void *content, struct buf *out)
{
    deque_encode(content, out);
}

static void *op_decode(struct bytes stored)
{
    return deque_decode(stored);
}

static const char *op_encoding(const void *content)
{
    (void)content;
    return "quicklist";
}

static void op_each(const void *content, void (*f)(void *arg, struct bytes argument), void *arg)
{
    const struct deque *c = content;
    struct tree_reader r = deque_reader(c);
    for (size_t i = 0; i < deque_count(c); i++)
        f(arg, item_bytes(tree_read(&r, i).item));
}

const struct value_type_ops deque_ops = {
    .name = "list",
    .new_empty = op_new,
    .free = op_free,
    .copy = op_copy,
    .count = op_count,
    .memory = op_memory,
    .encoded_size = op_encoded_size,
    .encode = op_encode,
    .decode = op_decode,
    .to_json = op_to_json,
    .add_command = "RPUSH",
    .add_arguments = 1,
    .each = op_each,
    .encoding = op_encoding,
};
