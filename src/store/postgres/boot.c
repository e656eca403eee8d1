/* boot: what happens between "connected" and "usable".
 *
 * Query link: session settings → schema (migrated if it is older, under an advisory lock) →
 * databases → slot → prepared statements. Read link: settings and statements. Commit link: the same,
 * then the outcome of a batch that was in flight when its last connection went, then a new epoch.
 * Any failure drops the connection; the link tries again with backoff. */
#include "store/postgres/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

const char lease_seconds[] = "30";

enum { NUM_TEXT = 24 };

void boot_failed(struct link *k, const PGresult *error, const char *step)
{
    char text[200];
    char why[300];
    lane_error_text(error, text, sizeof(text));
    snprintf(why, sizeof(why), "%s: %s%s", step, text, session_hint(error));
    link_lost(k, why);
}

bool boot_good(struct link *k, PGresult **results, int n, const char *step)
{
    const PGresult *error = lane_first_error(results, n);
    if (error == NULL)
        return true;
    boot_failed(k, error, step);
    return false;
}

static struct params *fresh(struct link *k)
{
    params_reset(&k->params);
    return &k->params;
}

static void add_text(struct link *k, enum statement_id id)
{
    lane_add_text(k->lane, store_text(k->store, id), &k->params, false);
}

/* ---- commit links ---- */

static void settle(struct link *k);
static void claim_lane(struct link *k);

static bool slot_is(const struct pg_store *s, int slot, int64_t incarnation)
{
    return s->slot == slot && s->incarnation == incarnation;
}

/* Another slot is claimed at once. That is no failure of this connection: the store is not away. */
static void wait_for_slot(struct link *k)
{
    k->waits_for_slot = true;
    timer_set(k->retry, store_timeout_us(k->store));
}

static void on_lane_claimed(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (!boot_good(k, results, n, "claim lane"))
        return;
    if (!slot_is(k->store, k->claiming_slot, k->claiming_incarnation)) {
        claim_lane(k); /* what was asked for has gone meanwhile */
        return;
    }
    if (PQntuples(results[0]) == 0) {
        slot_lost(k->store);
        wait_for_slot(k);
        return;
    }
    k->slot = k->claiming_slot;
    k->incarnation = k->claiming_incarnation;
    k->epoch = pg_int8(PQgetvalue(results[0], 0, 0));
    link_became_usable(k);
    if (k->committing != NULL)
        batch_resend(k);
}

static void claim_lane(struct link *k)
{
    struct pg_store *s = k->store;
    if (s->slot == 0) {
        wait_for_slot(k);
        return;
    }
    k->claiming_slot = s->slot;
    k->claiming_incarnation = s->incarnation;
    struct params *p = fresh(k);
    params_int4(p, k->claiming_slot);
    params_int8(p, k->claiming_incarnation);
    params_int4(p, k->number);
    params_int8(p, s->claimed_us);
    params_int4(p, s->config->pg_pooler == POOLER_TRANSACTION);
    link_begin(k);
    link_add(k, STMT_CLAIM_LANE, p, true);
    lane_submit(k->lane, store_timeout_us(s), on_lane_claimed);
}

void boot_goes_on(struct link *k)
{
    k->waits_for_slot = false;
    timer_clear(k->retry);
    claim_lane(k);
}

static void add_old_lane(struct link *k, enum statement_id id)
{
    struct params *p = fresh(k);
    params_int4(p, k->slot);
    params_int8(p, k->incarnation);
    params_int4(p, k->number);
    link_add(k, id, p, true);
}

static void on_terminated(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (boot_good(k, results, n, "end the lost connection's backend"))
        settle(k);
}

static void on_settled(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL && strcmp(lane_sqlstate(error), "55P03") == 0) {
        /* The lost connection's backend is still at it. */
        link_begin(k);
        add_old_lane(k, k->store->config->pg_pooler == POOLER_NONE ? STMT_TERMINATE_LANE
                                                                   : STMT_TERMINATE_BATCH);
        lane_submit(k->lane, store_timeout_us(k->store), on_terminated);
        return;
    }
    if (error != NULL) {
        boot_failed(k, error, "settle the last batch");
        return;
    }
    if (lane_commit_uncertain(k->lane)) {
        /* What was found has been committed here, but a failover may yet undo it. */
        link_lost(k, "settle the last batch: the standby did not confirm");
        return;
    }
    if (k->owed.slot != 0) {
        handover_settled(k->store, &k->owed, results[0]);
        k->owed.slot = 0;
        if (k->owes_xact && k->store->notices != NULL) /* what it wrote is told to everybody but us */
            k->store->notices->all_stale(k->store->notices_arg);
        k->owes_xact = false;
    } else {
        batch_settle(k, results[0]);
    }
    claim_lane(k);
}

static void settle(struct link *k)
{
    link_begin(k);
    add_old_lane(k, STMT_SETTLE_LANE);
    lane_submit(k->lane, store_timeout_us(k->store), on_settled);
}

/* ---- read and commit links ---- */

static void on_link_session(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (!boot_good(k, results, n, "prepare") || !session_begun(k, results))
        return;
    if (k->kind == LINK_READ)
        link_became_usable(k);
    else if (k->kind == LINK_LISTEN)
        listen_begin(k);
    else if (k->committing != NULL || k->owed.slot != 0)
        settle(k);
    else
        claim_lane(k);
}

static void boot_lane_link(struct link *k)
{
    static const enum statement_id read[] = {STMT_READ, STMT_READ_FEW};
    static const enum statement_id commit[] = {
        STMT_COMMIT,         STMT_SHARE_SPACES, STMT_LOCK_KEYS,     STMT_COMMIT_CHECKED,
        STMT_SETTLE_LANE,    STMT_CLAIM_LANE,   STMT_TERMINATE_LANE, STMT_OWN_SPACES,
        STMT_READ_LOCKED,    STMT_SCAN,         STMT_KEYS,          STMT_DBSIZE,
        STMT_FLUSH,          STMT_SWAP,         STMT_COMMIT_BLIND,  STMT_COMMIT_ONE,
        STMT_RANDOM};
    static const enum statement_id bulk[] = {
        STMT_OPEN_JOURNAL, STMT_TERMINATE_MERGE,  STMT_MERGE_NUMBER, STMT_MERGE_LOCK_KEYS,
        STMT_MERGE,        STMT_MERGE_LOCK_TABLE, STMT_MERGE_FLUSH};
    static const enum statement_id listen[] = {
        STMT_ENLIST,  STMT_OLDER_WRITERS, STMT_OLDER_WRITERS_LEFT, STMT_PING, STMT_HEARERS,
        STMT_PUBLISH, STMT_FETCH_MESSAGES, STMT_LOCK_TIMEOUT, STMT_CLAIM_LANE, STMT_SETTLE_LANE,
        STMT_TERMINATE_LANE};
    session_begin(k);
    if (k->kind == LINK_READ)
        link_prepare(k, read, sizeof(read) / sizeof(read[0]));
    else if (k->kind == LINK_LISTEN)
        link_prepare(k, listen, sizeof(listen) / sizeof(listen[0]));
    else
        link_prepare(k, commit, sizeof(commit) / sizeof(commit[0]));
    if (k->bulk)
        link_prepare(k, bulk, sizeof(bulk) / sizeof(bulk[0]));
    lane_submit(k->lane, store_timeout_us(k->store), on_link_session);
}

/* ---- query link: the slot ---- */

static void on_query_prepared(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (!boot_good(k, results, n, "prepare"))
        return;
    if (k->store->slot == 0) { /* a commit link has found that out meanwhile */
        link_lost(k, "the slot has another owner");
        return;
    }
    k->store->booted = true;
    link_became_usable(k);
    store_open_links(k->store);
    query_pump(k->store);
}

static void prepare_queries(struct link *k)
{
    static const enum statement_id ids[] = {
        STMT_SCAN,  STMT_KEYS,  STMT_DBSIZE,          STMT_KEYSPACE, STMT_FLUSH,       STMT_SWAP,
        STMT_SWEEP, STMT_EXPIRE, STMT_BY_INDEX, STMT_EVENTS, STMT_SWEEP_ABANDONED, STMT_HEARTBEAT, STMT_RELEASE_SLOT, STMT_FIND_LOCKED,
        STMT_FORGET_CACHING, STMT_FLEET,
        STMT_OLDEST_XMIN, STMT_TABLE_SIZE, STMT_SHORT_WAIT, STMT_TRY_LOCK, STMT_ADVANCE_SEQUENCE,
        STMT_RANDOM, STMT_SCAN_DOWN, STMT_SETTLE_LANE, STMT_TERMINATE_LANE,
        STMT_SWEEP_CONFLICTS, STMT_SWEEP_MESSAGES, STMT_SCRIPT_SAVE, STMT_SCRIPT_FIND, STMT_SCRIPT_EXISTS,
        STMT_SCRIPT_FLUSH, STMT_SCRIPT_FLUSHES};
    link_begin(k);
    link_prepare(k, ids, sizeof(ids) / sizeof(ids[0]));
    lane_submit(k->lane, BOOT_TIMEOUT_US, on_query_prepared);
}

/* Its last owner may yet come back with a journal whose stamps have this slot's number. */
static void warn_of_reissue(const struct pg_store *s, const PGresult *r)
{
    enum { COLUMN_OWNER = 5 };
    char quoted[LOG_QUOTE_SIZE];
    if (first_text(r, COLUMN_OWNER)[0] != '\0')
        log_event(LOG_WARNING, "slot-reissued", "slot=%d journal-of=%s", s->slot,
                  log_quote(first_text(r, COLUMN_OWNER), quoted));
}

static void on_slot_claimed(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    struct pg_store *s = k->store;
    if (!boot_good(k, results, n, "claim a slot"))
        return;
    const PGresult *r = results[1];
    s->slot = (int)strtol(first_text(r, 0), NULL, 10);
    s->stamp_slot = s->slot;
    s->incarnation = strtoll(first_text(r, 1), NULL, 10);
    int64_t high = strtoll(first_text(r, 2), NULL, 10);
    if (high > s->last_stamp)
        s->last_stamp = high;
    store_clock_sample(s, strtoll(first_text(r, 3), NULL, 10), l);
    s->claimed_us = strtoll(first_text(r, 4), NULL, 10);
    log_event(LOG_NOTICE, "slot-claimed", "slot=%d incarnation=%" PRId64, s->slot, s->incarnation);
    warn_of_reissue(s, r);
    prepare_queries(k);
}

static void claim_slot(struct link *k)
{
    struct pg_store *s = k->store;
    char pid[NUM_TEXT];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    link_begin(k);
    params_text(fresh(k), s->config->pg_schema);
    add_text(k, STMT_SLOT_LOCK);
    struct params *p = fresh(k);
    params_text(p, s->config->instance_name);
    params_text(p, s->host);
    params_text(p, pid);
    params_text(p, RESPGRES_VERSION);
    params_text(p, lease_seconds);
    char retention[NUM_TEXT];
    snprintf(retention, sizeof(retention), "%" PRId64, s->config->tombstone_retention_s);
    params_text(p, retention);
    params_text(p, s->holds_journal ? "1" : "0");
    add_text(k, STMT_CLAIM_SLOT);
    lane_submit(k->lane, BOOT_TIMEOUT_US, on_slot_claimed);
}

static void on_still_ours(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (!boot_good(k, results, n, "heartbeat"))
        return;
    if (strcmp(PQcmdTuples(results[0]), "0") == 0) {
        slot_lost(k->store);
        claim_slot(k);
    } else {
        prepare_queries(k);
    }
}

/* After a reconnection: is the slot still ours? */
void boot_schema_ready(struct link *k)
{
    if (k->store->slot == 0 || k->store->claimed_us == 0) {
        claim_slot(k);
        return;
    }
    link_begin(k);
    heartbeat_params(k->store, fresh(k));
    add_text(k, STMT_HEARTBEAT);
    lane_submit(k->lane, BOOT_TIMEOUT_US, on_still_ours);
}

void heartbeat_params(const struct pg_store *s, struct params *p)
{
    char number[NUM_TEXT];
    snprintf(number, sizeof(number), "%d", s->slot);
    params_text(p, number);
    snprintf(number, sizeof(number), "%" PRId64, s->incarnation);
    params_text(p, number);
    snprintf(number, sizeof(number), "%" PRId64, s->last_stamp);
    params_text(p, number);
    snprintf(number, sizeof(number), "%" PRId64, s->claimed_us);
    params_text(p, number);
    params_text(p, (s->stopping ? s->keep_slot : s->holds_journal) ? "1" : "0");
    snprintf(number, sizeof(number), "%u", store_own_events(s));
    params_text(p, number);
}

void slot_lost(struct pg_store *s)
{
    if (s->slot == 0)
        return;
    log_event(LOG_WARNING, "slot-lost", "slot=%d incarnation=%" PRId64, s->slot, s->incarnation);
    s->slot = 0;
    for (size_t i = 0; i < s->nlinks; i++) {
        struct link *k = &s->links[i];
        if ((k->kind == LINK_COMMIT || k->kind == LINK_LISTEN) && k->usable)
            link_lost(k, "the slot has another owner");
    }
    struct link *query = &s->links[0];
    if (query->usable)
        link_lost(query, "the slot has another owner");
}

/* ---- query link: after connecting ---- */

static void on_query_session(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    if (boot_good(k, results, n, "session") && session_begun(k, results))
        schema_prepare(k);
}

void boot_link(struct link *k)
{
    if (k->kind != LINK_QUERY) {
        boot_lane_link(k);
        return;
    }
    session_begin(k);
    lane_submit(k->lane, BOOT_TIMEOUT_US, on_query_session);
}
