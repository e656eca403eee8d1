/* bench_commit: respgres' commit statement with nothing around it. One connection sends one batch
 * of `rows` plain SETs after the other and waits for each: what the commit path of respgres could
 * reach at most with one lane. The text of the statement and the settings of the connection are
 * respgres' own; the batches are encoded before the clock starts, except for their stamps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "base/mem.h"
#include "histogram.h"
#include "postgres.h"
#include "sample.h"

/* Batches that are sent in turn. */
enum { VARIANTS = 32, SLOT = 1023 };

struct options {
    const char *url;
    const char *schema;
    const char *prefix;
    const char *statement;
    double rows, keys, size, seconds, warmup;
};

struct bare {
    PGconn *conn;
    enum statement_id statement;
    int64_t rows;
    int64_t stamp; /* of the next batch; each row takes one */
    struct params batches[VARIANTS];
    uint64_t sent;
};

/* The lane's row that the statement is guarded by. */
static void claim_lane(struct bare *b, const char *schema)
{
    struct buf text;
    buf_init(&text);
    statement_expand(
        &text,
        "INSERT INTO @.lanes (slot, incarnation, lane, epoch, pid) "
        "VALUES (1023, 1, 0, 1, pg_backend_pid()) ON CONFLICT (slot, incarnation, lane) "
        "DO UPDATE SET epoch = 1",
        schema);
    PQclear(bare_exec(b->conn, buf_cstr(&text), NULL));
    buf_reset(&text, 0);
    statement_expand(&text,
                     "SELECT (greatest(@.stamp(), coalesce((SELECT max(version) "
                     "FROM @.entries), 0)) >> 10) + 1",
                     schema);
    PGresult *r = bare_exec(b->conn, buf_cstr(&text), NULL);
    b->stamp = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    buf_release(&text);
}

/* Different keys, sorted as respgres sends them: one of each of `rows` equal ranges. */
static void choose_keys(uint64_t *keys, uint64_t rows, uint64_t of, struct random *random)
{
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t from = i * of / rows;
        keys[i] = from + random_below(random, (i + 1) * of / rows - from);
    }
}

static void encode_guard(struct params *p)
{
    params_init(p);
    params_int4(p, SLOT);
    params_int8(p, 1);
    params_int4(p, 0);
    params_int8(p, 1);
    params_int8(p, 0); /* the stamp: set when it is sent */
}

static struct bytes key_name(char name[64], const struct options *o, uint64_t key)
{
    int n = snprintf(name, 64, "%s%08llu", o->prefix, (unsigned long long)key);
    return bytes_of(name, (size_t)n);
}

static struct bytes any_value(const struct options *o, const struct sample *sample,
                              struct random *random)
{
    return sample_slice(sample, random_next(random), (size_t)o->size);
}

/* The parameters of STMT_COMMIT_ONE. */
static void encode_one(struct params *p, const struct options *o, const struct sample *sample,
                       struct random *random)
{
    char name[64];
    encode_guard(p);
    params_int4(p, 0);
    params_bytea(p, key_name(name, o, random_below(random, (uint64_t)o->keys)));
    params_int4(p, 0);
    params_int2(p, 0);
    params_bytea(p, any_value(o, sample, random));
    params_interval(p, 0);
    params_null(p);
    params_text(p, "k3ffAAA"); /* nobody is told */
    params_null(p);            /* no document */
    params_int8(p, INT64_MAX); /* nothing was ended by SQL */
    params_finish(p);
}

/* Parameters in the order of the other commit statements; blind writes without an expiry. */
static void encode(struct params *p, const struct options *o, const struct sample *sample,
                   struct random *random)
{
    uint64_t rows = (uint64_t)o->rows;
    uint64_t *keys = mem_alloc(rows * sizeof(*keys));
    choose_keys(keys, rows, (uint64_t)o->keys, random);
    encode_guard(p);
    params_int4(p, (int32_t)rows);
    int db = params_array(p, OID_INT4);
    int key = params_array(p, OID_BYTEA);
    int item = params_array(p, OID_INT4);
    int expected = params_array(p, OID_INT8);
    int type = params_array(p, OID_INT2);
    int value = params_array(p, OID_BYTEA);
    int expiry = params_array(p, OID_INTERVAL);
    int slot = params_array(p, OID_INT4);
    for (uint64_t i = 0; i < rows; i++) {
        char name[64];
        params_add_int4(p, db, 0);
        params_add_bytea(p, key, key_name(name, o, keys[i]));
        params_add_int4(p, item, (int32_t)i);
        params_add_int8(p, expected, 0);
        params_add_int2(p, type, 0);
        params_add_bytea(p, value, any_value(o, sample, random));
        params_add_interval(p, expiry, 0);
        params_add_null(p, slot);
    }
    params_text(p, "k3ffAAA");
    (void)params_array(p, OID_TEXT);
    params_int8(p, INT64_MAX);
    params_finish(p);
    mem_free(keys);
}

static enum statement_id statement_of(const char *name)
{
    for (int id = 0; id < STATEMENT_COUNT; id++) {
        if (strcmp(statement_get((enum statement_id)id)->name, name) == 0)
            return (enum statement_id)id;
    }
    die("respgres has no statement %s", name);
}

static void send_batch(struct bare *b)
{
    enum { STAMP = 4 };
    struct params *p = &b->batches[b->sent++ % VARIANTS];
    int64_t stamp = b->stamp << 10 | SLOT;
    b->stamp += b->rows;
    buf_put_be32_at(&p->data[STAMP], 0, (uint32_t)(stamp >> 32));
    buf_put_be32_at(&p->data[STAMP], 4, (uint32_t)stamp);
    PGresult *r = bare_exec_prepared(b->conn, statement_get(b->statement)->name, p);
    if (PQntuples(r) != 1 || PQgetisnull(r, 0, 0) || !PQgetisnull(r, 0, 1))
        die("a batch was not applied whole");
    PQclear(r);
}

static void run(struct bare *b, const struct options *o)
{
    struct histogram *latency = mem_zalloc(sizeof(*latency));
    for (int64_t until = now_ns() + (int64_t)(o->warmup * 1e9); now_ns() < until;)
        send_batch(b);
    int64_t from = now_ns();
    int64_t until = from + (int64_t)(o->seconds * 1e9);
    int64_t at = from;
    while (at < until) {
        send_batch(b);
        int64_t done = now_ns();
        histogram_add(latency, done - at);
        at = done;
    }
    double rows = (double)latency->n * o->rows;
    double seconds = (double)(at - from) / 1e9;
    printf("requests=%.0f seconds=%.6f per_second=%.1f p50_us=%.1f p99_us=%.1f\n", rows, seconds,
           rows / seconds, histogram_us(latency, 0.5), histogram_us(latency, 0.99));
    mem_free(latency);
}

int main(int argc, char **argv)
{
    struct options o = {.url = "",
                        .schema = "respgres",
                        .prefix = "session:",
                        .statement = "respgres_commit_blind",
                        .rows = 256,
                        .keys = 10000,
                        .size = 512,
                        .seconds = 1,
                        .warmup = 0.2};
    const struct arg args[] = {
        {"url", ARG_TEXT, &o.url, "of the database, whose schema respgres has made"},
        {"schema", ARG_TEXT, &o.schema, "its name (respgres)"},
        {"prefix", ARG_TEXT, &o.prefix, "what keys begin with (session:)"},
        {"statement", ARG_TEXT, &o.statement, "respgres_commit, _commit_one or _commit_blind (this)"},
        {"rows", ARG_NUMBER, &o.rows, "in a batch (256)"},
        {"keys", ARG_NUMBER, &o.keys, "different keys (10000)"},
        {"size", ARG_NUMBER, &o.size, "bytes of a value (512)"},
        {"seconds", ARG_NUMBER, &o.seconds, "how long is measured (1)"},
        {"warmup", ARG_NUMBER, &o.warmup, "seconds before that (0.2)"},
    };
    args_parse(argc, argv, args, sizeof(args) / sizeof(args[0]));
    if (o.rows < 1 || o.rows > o.keys)
        die("a batch has at least one row and at most as many as there are keys");
    struct bare b = {.conn = bare_connect(o.url),
                     .statement = statement_of(o.statement),
                     .rows = (int64_t)o.rows};
    struct sample sample;
    sample_init(&sample, true, 1);
    struct random random = random_from(2);
    bare_lane_session(b.conn);
    bare_prepare(b.conn, b.statement, o.schema);
    claim_lane(&b, o.schema);
    bool one = b.statement == STMT_COMMIT_ONE;
    if (one && o.rows != 1)
        die("respgres_commit_one takes one row");
    for (int i = 0; i < VARIANTS; i++)
        (one ? encode_one : encode)(&b.batches[i], &o, &sample, &random);
    if (b.batches[0].n != statement_get(b.statement)->nparams)
        die("%s has other parameters now: bring %s up to date", o.statement, __FILE__);
    run(&b, &o);
    for (int i = 0; i < VARIANTS; i++)
        params_release(&b.batches[i]);
    sample_release(&sample);
    PQfinish(b.conn);
    return 0;
}
