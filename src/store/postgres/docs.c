/* docs: see docs.h. Decoding is done when a batch is sent, for values whose bytes are new (a touch
 * keeps the row's document). */
#include "store/postgres/docs.h"

void docs_init(struct docs *d, const struct config *config)
{
    *d = (struct docs){.config = config};
    buf_init(&d->json);
}

void docs_release(struct docs *d)
{
    payload_rules_free(d->rules);
    buf_release(&d->json);
}

/* The options may have changed since the last batch. */
static void refresh(struct docs *d)
{
    const struct config *c = d->config;
    if (payload_rules_are(d->rules, c->decode, c->payload))
        return;
    payload_rules_free(d->rules);
    d->rules = payload_rules_new(c->decode, c->payload);
}

/* A collection is what it is, whatever format the rules name. */
static bool decode_value(struct docs *d, const struct value *v, enum payload_format format)
{
    const struct payload_limits *limits = &payload_default_limits;
    if (!value_is_collection(v))
        return v->type == VALUE_STRING &&
               payload_decode(value_bytes(v), format, limits, &d->json) == PAYLOAD_OK;
    struct emit e;
    emit_init(&e, &d->json, limits);
    value_type_ops(v->type)->to_json(value_content(v), &e);
    if (e.result == PAYLOAD_LIMIT) {
        d->json.len = 0;
        if (!emit_init_reduced(&e, &d->json, limits))
            return false;
        value_type_ops(v->type)->to_json(value_content(v), &e);
    }
    return emit_ok(&e);
}

static bool decode(struct docs *d, const struct commit_item *it)
{
    enum payload_format format;
    if (it->op != COMMIT_WRITE || it->value == NULL ||
        !payload_rules_match(d->rules, it->key, &format))
        return false;
    buf_reset(&d->json, (size_t)1 << 20);
    if (!decode_value(d, it->value, format))
        return false;
    d->decoded++;
    return true;
}

size_t docs_add(struct docs *d, struct params *p, const struct commit_batch *b, const int *order,
                bool without)
{
    size_t sent = 0;
    size_t missing = 0; /* NULLs that are due before the next document */
    int array = params_array(p, OID_TEXT);
    if (without || d->off)
        return 0;
    refresh(d);
    for (size_t i = 0; i < b->n; i++) {
        if (!decode(d, &b->items[order[i]])) {
            missing++;
            continue;
        }
        for (; missing > 0; missing--)
            params_add_null(p, array);
        params_add_bytea(p, array, buf_bytes(&d->json));
        sent++;
    }
    return sent;
}

size_t docs_add_one(struct docs *d, struct params *p, const struct commit_item *it, bool without)
{
    if (!without && !d->off) {
        refresh(d);
        if (decode(d, it)) {
            params_bytea(p, buf_bytes(&d->json));
            return 1;
        }
    }
    params_null(p);
    return 0;
}
