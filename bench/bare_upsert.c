/* bench_upsert: one connection that upserts one row per prepared statement and waits for each: the
 * least that a durable write in PostgreSQL costs a quiet client. The table is one that somebody
 * would make by hand (bench/pgbench/tables.sql). */
#include <stdio.h>

#include "args.h"
#include "base/mem.h"
#include "histogram.h"
#include "postgres.h"
#include "sample.h"

struct options {
    const char *url;
    double keys, size, seconds, warmup;
};

static const char upsert[] =
    "INSERT INTO bench.rows AS r (key, value, expires_at) VALUES ($1::text, $2::bytea, NULL) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at";

static void send_one(PGconn *conn, struct params *p, const struct options *o,
                     const struct sample *sample, struct random *random)
{
    char name[64];
    int n = snprintf(name, sizeof(name), "session:%08llu",
                     (unsigned long long)random_below(random, (uint64_t)o->keys));
    params_reset(p);
    params_bytea(p, bytes_of(name, (size_t)n));
    params_bytea(p, sample_slice(sample, random_next(random), (size_t)o->size));
    params_finish(p);
    PQclear(bare_exec_prepared(conn, "bare_upsert", p));
}

int main(int argc, char **argv)
{
    struct options o = {.url = "", .keys = 10000, .size = 512, .seconds = 1, .warmup = 0.2};
    const struct arg args[] = {
        {"url", ARG_TEXT, &o.url, "of the database, which has the table bench.rows"},
        {"keys", ARG_NUMBER, &o.keys, "different keys (10000)"},
        {"size", ARG_NUMBER, &o.size, "bytes of a value (512)"},
        {"seconds", ARG_NUMBER, &o.seconds, "how long is measured (1)"},
        {"warmup", ARG_NUMBER, &o.warmup, "seconds before that (0.2)"},
    };
    args_parse(argc, argv, args, sizeof(args) / sizeof(args[0]));
    PGconn *conn = bare_connect(o.url);
    PGresult *r = PQprepare(conn, "bare_upsert", upsert, 0, NULL);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        die("%s", PQerrorMessage(conn));
    PQclear(r);
    struct sample sample;
    sample_init(&sample, true, 1);
    struct random random = random_from(2);
    struct params p;
    params_init(&p);
    struct histogram *latency = mem_zalloc(sizeof(*latency));
    int64_t from = now_ns() + (int64_t)(o.warmup * 1e9);
    int64_t until = from + (int64_t)(o.seconds * 1e9);
    for (int64_t at = now_ns(); at < until;) {
        send_one(conn, &p, &o, &sample, &random);
        int64_t done = now_ns();
        if (at >= from)
            histogram_add(latency, done - at);
        at = done;
    }
    printf("requests=%llu seconds=%.6f per_second=%.1f p50_us=%.1f p99_us=%.1f\n",
           (unsigned long long)latency->n, o.seconds, (double)latency->n / o.seconds,
           histogram_us(latency, 0.5), histogram_us(latency, 0.99));
    mem_free(latency);
    params_release(&p);
    sample_release(&sample);
    PQfinish(conn);
    return 0;
}
