/* Sorted sets: unions, intersections and differences with weights, of sorted sets and of sets
 * (whose members have the score 1), replied or stored. */

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "command/event.h"
#include "command/zset.h"

enum operation { UNION, INTERSECTION, DIFFERENCE };
enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

struct operand {
    const struct zset *zset; /* both NULL: the key is absent */
    const struct set *set;
    double weight;
    size_t order; /* as given */
};

struct operation_args {
    enum operation what;
    bool store;
    bool count_only; /* ZINTERCARD */
    bool with_scores;
    enum aggregate aggregate;
    int64_t limit; /* of ZINTERCARD; 0 = none */
    size_t n;
    struct operand *operands;
};

/* --- operands --- */

static size_t operand_count(const struct operand *o)
{
    return o->zset != NULL ? zset_count(o->zset) : o->set != NULL ? set_count(o->set) : 0;
}

static struct tree_reader operand_reader(const struct operand *o)
{
    if (o->zset != NULL)
        return zset_reader(o->zset);
    return o->set != NULL ? set_reader(o->set) : (struct tree_reader){0};
}

static double item_score(const struct operand *o, const struct item *it)
{
    return o->zset != NULL ? zset_item_score(it) : 1.0;
}

static bool operand_score(const struct operand *o, struct bytes member, double *score)
{
    *score = 1.0;
    if (o->zset != NULL)
        return zset_score(o->zset, member, score);
    return o->set != NULL && set_has(o->set, member);
}

static bool operand_or_reply(struct command_ctx *ctx, int key, struct operand *o)
{
    const struct value *v = key_find(ctx, key);
    key_looked_up(ctx, key, v != NULL);
    if (v != NULL && v->type == VALUE_SET)
        return set_or_reply(ctx, key, &o->set);
    return zset_or_reply(ctx, key, &o->zset);
}

/* --- arguments --- */

static bool weights_or_reply(struct command_ctx *ctx, struct operation_args *a, int at)
{
    for (size_t i = 0; i < a->n; i++) {
        if (!arg_double_or_reply(ctx, ctx->argv[at + (int)i], "weight value is not a float",
                                 &a->operands[i].weight))
            return false;
    }
    return true;
}

static bool aggregate_or_reply(struct command_ctx *ctx, struct bytes word, enum aggregate *out)
{
    static const char *const names[] = {"sum", "min", "max"};
    for (int i = 0; i < 3; i++) {
        if (bytes_ieq(word, names[i])) {
            *out = (enum aggregate)i;
            return true;
        }
    }
    reply_syntax_error(ctx);
    return false;
}

static bool options_or_reply(struct command_ctx *ctx, struct operation_args *a, int at)
{
    bool combines = a->what != DIFFERENCE && !a->count_only;
    while (at < ctx->argc) {
        struct bytes word = ctx->argv[at];
        size_t more = (size_t)(ctx->argc - at - 1);
        if (combines && more >= a->n && bytes_ieq(word, "weights")) {
            if (!weights_or_reply(ctx, a, at + 1))
                return false;
            at += 1 + (int)a->n;
        } else if (combines && more >= 1 && bytes_ieq(word, "aggregate")) {
            if (!aggregate_or_reply(ctx, ctx->argv[at + 1], &a->aggregate))
                return false;
            at += 2;
        } else if (!a->store && !a->count_only && bytes_ieq(word, "withscores")) {
            a->with_scores = true;
            at++;
        } else if (a->count_only && more >= 1 && bytes_ieq(word, "limit")) {
            if (!arg_between_or_reply(ctx, ctx->argv[at + 1], 0, INT64_MAX,
                                      "LIMIT can't be negative", &a->limit))
                return false;
            at += 2;
        } else {
            reply_syntax_error(ctx);
            return false;
        }
    }
    return true;
}

/* "numkeys key [key ...]" and options, the first of which is argument `at`. `operands` is to be
 * freed also if it fails. */
static bool arguments_or_reply(struct command_ctx *ctx, struct operation_args *a, int at)
{
    int64_t numkeys;
    if (!arg_int64_or_reply(ctx, ctx->argv[at], &numkeys))
        return false;
    if (numkeys < 1) {
        reply_errorf(ctx->reply, "ERR at least 1 input key is needed for '%s' command",
                     ctx->cmd->name);
        return false;
    }
    int end = numkeys_end(ctx->argc, ctx->argv, at);
    if (end == 0) {
        reply_syntax_error(ctx);
        return false;
    }
    a->n = (size_t)numkeys;
    a->operands = mem_alloc(a->n * sizeof(*a->operands));
    for (size_t i = 0; i < a->n; i++) {
        a->operands[i] = (struct operand){.weight = 1.0, .order = i};
        if (!operand_or_reply(ctx, (int)i + a->store, &a->operands[i]))
            return false;
    }
    return options_or_reply(ctx, a, end);
}

/* --- the operations --- */

static double no_nan(double v)
{
    return isnan(v) ? 0 : v;
}

static double combine(enum aggregate how, double a, double b)
{
    switch (how) {
    case AGGREGATE_SUM:
        return no_nan(a + b); /* of the two infinities */
    case AGGREGATE_MIN:
        return b < a ? b : a;
    case AGGREGATE_MAX:
        return b > a ? b : a;
    }
    check_failed("aggregate", __FILE__, __LINE__);
}

/* Redis begins with the smallest: sums of doubles depend on the order. */
static int smaller_first(const void *x, const void *y)
{
    const struct operand *a = x;
    const struct operand *b = y;
    size_t m = operand_count(a), n = operand_count(b);
    if (m != n)
        return m < n ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static void unite(const struct operation_args *a, struct zset *out)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct operand *o = &a->operands[i];
        struct tree_reader r = operand_reader(o);
        for (size_t j = 0; j < operand_count(o); j++) {
            const struct item *it = tree_read(&r, j).item;
            double score = no_nan(o->weight * item_score(o, it));
            double before;
            if (zset_score(out, item_bytes(it), &before))
                score = combine(a->aggregate, before, score);
            zset_put(out, item_bytes(it), score);
        }
    }
}

static bool in_all(const struct operation_args *a, struct bytes member, double *score)
{
    for (size_t i = 1; i < a->n; i++) {
        double other;
        if (!operand_score(&a->operands[i], member, &other))
            return false;
        *score = combine(a->aggregate, *score, a->operands[i].weight * other);
    }
    return true;
}

/* Into `out` unless that is NULL; returns how many. */
static size_t intersect(const struct operation_args *a, struct zset *out)
{
    const struct operand *o = &a->operands[0];
    struct tree_reader r = operand_reader(o);
    size_t found = 0;
    for (size_t i = 0; i < operand_count(o) && (a->limit == 0 || found < (size_t)a->limit); i++) {
        const struct item *it = tree_read(&r, i).item;
        double score = no_nan(o->weight * item_score(o, it));
        if (!in_all(a, item_bytes(it), &score))
            continue;
        found++;
        if (out != NULL)
            zset_put(out, item_bytes(it), score);
    }
    return found;
}

static bool in_any_other(const struct operation_args *a, struct bytes member)
{
    double score;
    for (size_t i = 1; i < a->n; i++) {
        if (operand_score(&a->operands[i], member, &score))
            return true;
    }
    return false;
}

static void subtract(const struct operation_args *a, struct zset *out)
{
    const struct operand *o = &a->operands[0];
    struct tree_reader r = operand_reader(o);
    for (size_t i = 0; i < operand_count(o); i++) {
        const struct item *it = tree_read(&r, i).item;
        if (!in_any_other(a, item_bytes(it)))
            zset_put(out, item_bytes(it), item_score(o, it));
    }
}

/* Takes the result. */
static void answer(struct command_ctx *ctx, const struct operation_args *a, struct value *result)
{
    static const char *const events[] = {"zunionstore", "zinterstore", "zdiffstore"};
    struct zset *z = value_content(result);
    size_t n = zset_count(z);
    if (a->store) {
        zset_settle(z);
        if (content_store_or_reply(ctx, 0, result, EVENT_ZSET, events[a->what]))
            reply_int(ctx->reply, (int64_t)n);
        return;
    }
    reply_pairs_begin(ctx, n, a->with_scores);
    struct tree_reader r = zset_reader(z);
    for (size_t i = 0; i < n; i++)
        reply_pair(ctx, tree_read(&r, i).item, a->with_scores);
    value_unref(result);
}

static void calculate(struct command_ctx *ctx, const struct operation_args *a)
{
    if (a->what != DIFFERENCE)
        qsort(a->operands, a->n, sizeof(*a->operands), smaller_first);
    if (a->count_only) {
        reply_int(ctx->reply, (int64_t)intersect(a, NULL));
        return;
    }
    struct value *result = value_collection_new(VALUE_ZSET);
    struct zset *out = value_content(result);
    zset_unsettle(out);
    switch (a->what) {
    case UNION:
        unite(a, out);
        break;
    case INTERSECTION:
        intersect(a, out);
        break;
    case DIFFERENCE:
        subtract(a, out);
        break;
    }
    answer(ctx, a, result);
}

static void operate(struct command_ctx *ctx, struct operation_args a)
{
    if (arguments_or_reply(ctx, &a, a.store ? 2 : 1))
        calculate(ctx, &a);
    mem_free(a.operands);
}

void zset_zunion(struct command_ctx *ctx)
{
    operate(ctx, (struct operation_args){.what = UNION});
}

void zset_zunionstore(struct command_ctx *ctx)
{
    operate(ctx, (struct operation_args){.what = UNION, .store = true});
}

void zset_zinter(struct command_ctx *ctx)
{
    operate(ctx, (struct operation_args){.what = INTERSECTION});
}

void zset_zinterstore(struct command_ctx *ctx)
{
    operate(ctx, (struct operation_args){.what = INTERSECTION, .store = true});
}

void zset_zintercard(struct command_ctx *ctx)
{
    operate(ctx, (struct operation_args){.what = INTERSECTION, .count_only = true});
}

void zset_zdiff(struct command_ctx *ctx)
{
    operate(ctx, (struct operation_args){.what = DIFFERENCE});
}

void zset_zdiffstore(struct command_ctx *ctx)
{
    operate(ctx, (struct operation_args){.what = DIFFERENCE, .store = true});
}
