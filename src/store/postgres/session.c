/* session: how statements travel on a link, by what stands between it and PostgreSQL.
 *
 * Without a pooler (`pg-pooler none`) a connection is a session: its settings are made once, and its
 * statements are prepared once.
 *
 * With one in transaction mode (`pg-pooler transaction`) a connection has another backend for each
 * transaction, and nothing that belongs to a session may be left in it. So each operation, which is
 * one transaction, brings its settings along, for itself alone, and its statements as texts.
 *
 * A transaction of several operations (xact.c, schema.c) begins with its settings and goes on with
 * lane_begin. */
#include "store/postgres/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUM_TEXT = 24 };

static bool pooled(const struct link *k)
{
    return k->store->config->pg_pooler == POOLER_TRANSACTION;
}

/* Far below pg-timeout: whoever shares a batch with a locked row waits so long, once. The listener locks
 * no row that others do; it waits for those who notify. */
static int64_t lock_timeout_ms(const struct link *k)
{
    int64_t most = k->store->config->pg_timeout_ms;
    if (k->kind == LINK_QUERY || k->kind == LINK_LISTEN)
        return most;
    return most / 16 < 20 ? 20 : most / 16;
}

static void fill_settings(struct link *k)
{
    const struct config *c = k->store->config;
    bool lane = k->kind != LINK_QUERY;
    struct params *p = &k->settings;
    char lock_ms[NUM_TEXT];
    char statement_ms[NUM_TEXT];
    /* Below pg-timeout, so that PostgreSQL gives up before we do: then it is known that nothing
     * was applied. */
    snprintf(lock_ms, sizeof(lock_ms), "%" PRId64, lock_timeout_ms(k));
    snprintf(statement_ms, sizeof(statement_ms), "%" PRId64,
             !lane || k->bulk || k->kind == LINK_LISTEN ? STORE_BULK_TIMEOUT_MS : c->pg_timeout_ms * 4 / 5);
    params_reset(p);
    params_text(p, lane ? "1" : "0");
    params_text(p, lock_ms);
    params_text(p, statement_ms);
    /* What is told is no record of anything. */
    bool relaxed = c->durability == DURABILITY_RELAXED || k->kind == LINK_LISTEN;
    params_text(p, relaxed ? "off" : "on");
}

/* What a commit lane's batch is found by while it runs: see STMT_SETTINGS_COMMIT. */
static void add_lane(struct params *p, const struct link *k)
{
    char number[NUM_TEXT];
    snprintf(number, sizeof(number), "%d", k->slot);
    params_text(p, number);
    snprintf(number, sizeof(number), "%" PRId64, k->incarnation);
    params_text(p, number);
    snprintf(number, sizeof(number), "%d", k->number);
    params_text(p, number);
}

static void add_settings(struct link *k, enum statement_id id)
{
    fill_settings(k);
    if (id == STMT_SETTINGS_COMMIT)
        add_lane(&k->settings, k);
    lane_add_text(k->lane, store_text(k->store, id), &k->settings, false);
    lane_keep_back(k->lane);
}

void link_add_settings(struct link *k)
{
    if (pooled(k))
        add_settings(k, k->kind == LINK_COMMIT ? STMT_SETTINGS_COMMIT : STMT_SETTINGS);
}

void link_begin(struct link *k)
{
    lane_begin(k->lane);
    link_add_settings(k);
}

void link_add(struct link *k, enum statement_id id, struct params *p, bool binary)
{
    if (pooled(k))
        lane_add_text(k->lane, store_text(k->store, id), p, binary);
    else
        lane_add(k->lane, statement_get(id)->name, p, binary);
}

void link_prepare(struct link *k, const enum statement_id *ids, size_t n)
{
    for (size_t i = 0; i < n && !pooled(k); i++)
        lane_add_prepare(k->lane, statement_get(ids[i])->name, store_text(k->store, ids[i]));
}

void session_begin(struct link *k)
{
    struct params none;
    params_init(&none);
    link_begin(k);
    if (!pooled(k))
        add_settings(k, STMT_SESSION);
    lane_add_text(k->lane, store_text(k->store, STMT_SERVER), &none, false);
}

bool session_begun(struct link *k, PGresult *const *results)
{
    enum {
        COLUMN_RECOVERY,
        COLUMN_VERSION,
        COLUMN_READ_ONLY,
        COLUMN_ISOLATION,
        COLUMN_ENCODING,
        COLUMN_CLOCK,
    };
    const PGresult *r = results[0];
    bool read_only = strcmp(first_text(r, COLUMN_RECOVERY), "true") == 0 ||
                     strcmp(first_text(r, COLUMN_READ_ONLY), "on") == 0;
    k->read_only = read_only && k->kind == LINK_READ && store_takes_read_only(k->store);
    if (read_only && !k->read_only) {
        link_lost(k, "the server is read-only");
        return false;
    }
    /* A checked batch's third statement needs a fresh snapshot. Once a transaction has begun, its
     * level cannot be set beside the other settings. */
    if (pooled(k) && strcmp(first_text(r, COLUMN_ISOLATION), "read committed") != 0) {
        link_lost(k, "default_transaction_isolation is not read committed; behind a pooler it must be: "
                     "ALTER ROLE ... SET default_transaction_isolation");
        return false;
    }
    if (!k->read_only) /* that one's clock is its own. No disk is waited for here */
        store_clock_sample(k->store, strtoll(first_text(r, COLUMN_CLOCK), NULL, 10), k->lane);
    snprintf(k->store->server_version, sizeof(k->store->server_version), "%s",
             first_text(r, COLUMN_VERSION));
    /* jsonb refuses what the database's encoding does not have. */
    k->store->docs.off = strcmp(first_text(r, COLUMN_ENCODING), "UTF8") != 0;
    return true;
}

const char *session_hint(const PGresult *error)
{
    /* A statement that a fresh session has prepared is there already, or not there. */
    const char *code = lane_sqlstate(error);
    bool foreign = strcmp(code, "42P05") == 0 || strcmp(code, "26000") == 0;
    return foreign ? " (with a pooler in transaction mode set pg-pooler transaction)" : "";
}
