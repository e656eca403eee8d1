/* stats: what the engine counts, as INFO and /metrics show it. The counters stand where they are
 * counted (struct engine, the cache, the store); here they are read, and each is read in one place.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/block.h"
#include "engine/internal.h"
#include "engine/pubsub.h"
#include "engine/script.h"
#include "metrics/metrics.h"
#include "metrics/page.h"

static const char *const state_names[STORE_STATES] = {
    [STORE_STARTING] = "starting",     [STORE_ONLINE] = "online",         [STORE_AWAY] = "away",
    [STORE_RECOVERING] = "recovering", [STORE_STANDALONE] = "standalone",
};

static const char *const stage_names[] = {
    [TXN_QUEUED] = "queued",     [TXN_WAITING] = "waiting",     [TXN_FETCHING] = "fetching",
    [TXN_GATHERED] = "gathered", [TXN_RUNNING] = "running",   [TXN_EXCLUSIVE] = "exclusive",
    [TXN_QUERYING] = "querying", [TXN_BLOCKED] = "blocked",
};
enum { STAGES = TXN_DONE }; /* those before it */

/* Bounds of the histogram over all commands: 16 us to 67 s. */
enum { LATENCY_LOW_BITS = 4, LATENCY_HIGH_BITS = 26 };

void stats_init(struct engine *e)
{
    e->history.state = STORE_STARTING;
    e->history.since_us = loop_now_us(e->loop); /* by the clock that tells when it ends */
    e->started_wall_us = clock_wall_us();
}

void stats_release(struct engine *e)
{
    for (int i = 0; i < COMMAND_SLOTS; i++)
        mem_free(e->commands[i].latency);
}

void stats_reset(struct engine *e)
{
    stats_release(e);
    memset(e->commands, 0, sizeof(e->commands));
    e->nerrors = 0;
    e->total_errors = 0;
}

const struct command *stats_command(int slot)
{
    size_t n;
    const struct command *subs = command_subs(&n);
    if (slot < COMMAND_COUNT)
        return command_by_id((enum command_id)slot);
    /* The ids of subcommands are in the order of their rows, and begin behind SUB_NONE. */
    size_t row = (size_t)(slot - COMMAND_COUNT) - 1;
    return slot == COMMAND_COUNT ? NULL : &subs[row];
}

static void rate_tick(struct rate *r, uint64_t now)
{
    r->per_s = now >= r->at ? now - r->at : now;
    r->at = now;
}

void stats_tick(struct engine *e)
{
    struct memory_use use;
    rate_tick(&e->input_rate, e->input_bytes);
    rate_tick(&e->output_rate, e->output_bytes);
    memory_get_use(e, &use); /* notes the peak */
}

struct histogram *stats_new_latency(struct command_stats *st)
{
    st->latency = mem_zalloc(sizeof(*st->latency));
    return st->latency;
}

uint64_t stats_calls(const struct command_stats *st)
{
    return st->latency != NULL ? histogram_count(st->latency) : 0;
}

void stats_note_error(struct engine *e, struct bytes reply)
{
    size_t n = 1;
    while (n < reply.len && reply.data[n] != ' ' && reply.data[n] != '\r')
        n++;
    e->total_errors++;
    struct bytes word = bytes_of(reply.data + 1, n - 1);
    for (size_t i = 0; i < e->nerrors; i++) {
        if (bytes_eq(word, bytes_cstr(e->errors[i].word))) {
            e->errors[i].count++;
            return;
        }
    }
    if (e->nerrors == ERROR_KINDS_MAX || word.len >= sizeof(e->errors[0].word))
        return;
    struct error_stats *st = &e->errors[e->nerrors++];
    memcpy(st->word, word.data, word.len);
    st->word[word.len] = '\0';
    st->count = 1;
}

void stats_state_changed(struct engine *e, enum store_state to)
{
    struct state_history *h = &e->history;
    int64_t now = loop_now_us(e->loop);
    h->us[h->state] += now - h->since_us;
    h->state = to;
    h->since_us = now;
    h->to[to]++;
}

/* ---- the state ---- */

static const char *reason(const struct engine *e)
{
    if (e->store->ops->why != NULL)
        return e->store->ops->why(e->store);
    return store_state(e->store) == STORE_ONLINE ? "PostgreSQL answers" : "no reason is known";
}

void engine_get_status(struct engine *e, struct engine_status *out)
{
    stats_watch_state(e);
    const struct state_history *h = &e->history;
    *out = (struct engine_status){.state = h->state,
                                  .state_name = state_names[h->state],
                                  .age_us = loop_now_us(e->loop) - h->since_us,
                                  .why = reason(e),
                                  .ready = !engine_is_loading(e)};
}

static int64_t time_in(const struct engine *e, const struct engine_status *st, enum store_state s)
{
    return e->history.us[s] + (st->state == s ? st->age_us : 0);
}

static void count_stages(const struct engine *e, size_t counts[STAGES])
{
    memset(counts, 0, STAGES * sizeof(*counts));
    LIST_EACH(it, (struct list *)&e->active)
    {
        const struct txn *t = LIST_ITEM(it, struct txn, age_node);
        if (t->state != TXN_DONE)
            counts[t->state]++;
    }
}

/* ---- what a txn leaves ---- */

/* `reply`, which its client gets, is an error of the whole. */
void stats_note_error_reply(const struct txn *t, const struct buf *reply)
{
    stats_note_error(t->engine, buf_bytes(reply));
    if (t->ncommands == 1 && !t->exec)
        t->engine->commands[command_slot(t->commands[0].cmd)].failed++;
}

/* Errors inside the array that a block answers. */
static void note_block_errors(const struct txn *t)
{
    for (int i = 0; i < t->ncommands; i++) {
        const struct txn_command *tc = &t->commands[i];
        if (tc->error_at == 0 || tc->error_at > t->reply.len)
            continue;
        t->engine->commands[command_slot(tc->cmd)].failed++;
        stats_note_error(t->engine, bytes_of(t->reply.data + tc->error_at - 1,
                                             t->reply.len - tc->error_at + 1));
    }
}

/* A command may run several times, and counts as one: so this looks at the reply that has come of it.
 * Without a client, what that was told has been counted. */
void stats_note_txn(const struct txn *t, uint64_t us)
{
    if (t->ncommands == 1) {
        stats_note_call(t->engine, t->commands[0].cmd, us);
    } else {
        for (int i = 0; i < t->ncommands; i++)
            stats_note_call(t->engine, t->commands[i].cmd, us / (uint64_t)t->ncommands);
    }
    if (t->client == NULL)
        return;
    t->engine->keyspace_hits += t->lookups.hits;
    t->engine->keyspace_misses += t->lookups.misses;
    if (reply_is_error(&t->reply))
        stats_note_error_reply(t, &t->reply);
    else if (t->exec)
        note_block_errors(t);
}

/* ---- INFO ---- */

void stats_info_latency(const struct engine *e, struct buf *out)
{
    for (int slot = 0; slot < COMMAND_SLOTS; slot++) {
        const struct histogram *h = e->commands[slot].latency;
        if (h == NULL)
            continue;
        buf_printf(out, "latency_percentiles_usec_%s:p50=%llu.000,p99=%llu.000,p99.9=%llu.000\r\n",
                   stats_command(slot)->name,
                   (unsigned long long)histogram_quantile(h, 500),
                   (unsigned long long)histogram_quantile(h, 990),
                   (unsigned long long)histogram_quantile(h, 999));
    }
}

void stats_info_errors(const struct engine *e, struct buf *out)
{
    for (size_t i = 0; i < e->nerrors; i++)
        buf_printf(out, "errorstat_%s:count=%llu\r\n", e->errors[i].word,
                   (unsigned long long)e->errors[i].count);
}

void stats_info_respgres(struct engine *e, struct buf *out)
{
    struct engine_status st;
    size_t stages[STAGES];
    engine_get_status(e, &st);
    count_stages(e, stages);
    buf_printf(out, "store_state:%s\r\nstore_state_age_us:%lld\r\nstore_state_why:%s\r\n",
               st.state_name, (long long)st.age_us, st.why);
    buf_printf(out, "store_ready:%d\r\n", st.ready);
    for (int s = 0; s < STORE_STATES; s++)
        buf_printf(out, "store_%s_us:%lld\r\nstore_transitions_to_%s:%llu\r\n", state_names[s],
                   (long long)time_in(e, &st, (enum store_state)s), state_names[s],
                   (unsigned long long)e->history.to[s]);
    for (int s = 0; s < STAGES; s++)
        buf_printf(out, "queue_%s:%zu\r\n", stage_names[s], stages[s]);
    buf_printf(out, "subscribed_clients:%zu\r\n", pubsub_clients(e));
    metrics_info(out);
}

/* ---- /metrics ---- */

static void put(struct metrics_page *p, enum metric_id id, uint64_t value)
{
    page_put(p, id, NULL, (int64_t)value);
}

static void collect_state(struct engine *e, struct metrics_page *p)
{
    struct engine_status st;
    size_t stages[STAGES];
    engine_get_status(e, &st);
    count_stages(e, stages);
    page_put(p, METRIC_state_age, NULL, st.age_us);
    page_put(p, METRIC_ready, NULL, st.ready);
    for (int s = 0; s < STORE_STATES; s++) {
        const char *name = state_names[s];
        page_put(p, METRIC_state, name, (int)st.state == s);
        page_put(p, METRIC_state_seconds, name, time_in(e, &st, (enum store_state)s));
        page_put(p, METRIC_state_transitions, name, (int64_t)e->history.to[s]);
    }
    for (int s = 0; s < STAGES; s++)
        page_put(p, METRIC_waiting, stage_names[s], (int64_t)stages[s]);
    put(p, METRIC_locked_groups, e->nparked);
}

static void collect_commands(const struct engine *e, struct metrics_page *p)
{
    struct histogram all = {0};
    uint64_t us = 0;
    for (int slot = 0; slot < COMMAND_SLOTS; slot++) {
        const struct command_stats *st = &e->commands[slot];
        uint64_t calls = stats_calls(st);
        if (calls == 0 && st->rejected == 0 && st->failed == 0)
            continue;
        const char *name = stats_command(slot)->name;
        page_put(p, METRIC_command_calls, name, (int64_t)calls);
        page_put(p, METRIC_command_seconds, name, (int64_t)st->us);
        page_put(p, METRIC_command_failed, name, (int64_t)st->failed);
        page_put(p, METRIC_command_rejected, name, (int64_t)st->rejected);
        us += st->us;
        if (st->latency != NULL)
            histogram_add(&all, st->latency);
    }
    page_put_histogram(p, METRIC_command_latency, &all, LATENCY_LOW_BITS, LATENCY_HIGH_BITS,
                       (int64_t)us);
    for (size_t i = 0; i < e->nerrors; i++)
        page_put(p, METRIC_errors, e->errors[i].word, (int64_t)e->errors[i].count);
}

static void collect_cache(const struct engine *e, struct metrics_page *p)
{
    struct keyspace_stats st;
    keyspace_get_stats(e->keyspace, &st);
    put(p, METRIC_cache_entries, st.entries);
    put(p, METRIC_cache_bytes, st.memory);
    put(p, METRIC_cache_max_bytes, st.max_memory);
    put(p, METRIC_cache_evictions, st.evicted);
    put(p, METRIC_hits, e->keyspace_hits);
    put(p, METRIC_misses, e->keyspace_misses);
    put(p, METRIC_revalidated, e->revalidated);
    put(p, METRIC_fetched, e->fetched);
    fresh_collect(e, p);
}

static void collect_waiting_clients(const struct engine *e, struct metrics_page *p)
{
    put(p, METRIC_blocked_clients, pause_held_clients(e) + block_count(e));
    put(p, METRIC_subscribed_clients, pubsub_clients(e));
    pubsub_collect(e, p);
}

static void collect_scripts(const struct engine *e, struct metrics_page *p)
{
    put(p, METRIC_cached_scripts, script_memory_count(e));
    page_put(p, METRIC_script_bytes, "scripts", (int64_t)script_memory_bytes(e));
    page_put(p, METRIC_script_bytes, "vm", (int64_t)scripts_vm_memory(e));
}

void engine_collect(struct engine *e, struct metrics_page *p)
{
    collect_state(e, p);
    put(p, METRIC_clients, e->nclients);
    put(p, METRIC_max_clients, e->max_clients);
    put(p, METRIC_connections, e->total_connections);
    put(p, METRIC_rejected_connections, e->rejected_connections);
    put(p, METRIC_commands, e->total_commands);
    put(p, METRIC_timeouts, e->timeouts);
    put(p, METRIC_conflicts, e->conflicts);
    collect_commands(e, p);
    collect_cache(e, p);
    collect_waiting_clients(e, p);
    collect_scripts(e, p);
    page_put(p, METRIC_build, RESPGRES_VERSION, 1);
    page_put(p, METRIC_start_time, NULL, e->started_wall_us);
    if (e->store->ops->collect != NULL)
        e->store->ops->collect(e->store, p);
}
