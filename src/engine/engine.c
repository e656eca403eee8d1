/* engine: the one object that holds everything together, and the end of each turn. */
#include "engine/engine.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/block.h"
#include "engine/internal.h"
#include "engine/script.h"

enum { DEADLINE_TICK_US = 20 * 1000, OPS_WINDOW_US = 1000 * 1000 };

static void on_deadlines(void *arg)
{
    struct engine *e = arg;
    int64_t now = loop_now_us(e->loop);
    engine_check_deadlines(e);
    pubsub_tick(e);
    engine_pump_clients(e);
    events_refresh(e);
    if (now - e->ops_at_us >= OPS_WINDOW_US) {
        uint64_t done = e->total_commands - e->ops_at_commands;
        e->ops_per_s = done * 1000000 / (uint64_t)(now - e->ops_at_us);
        e->ops_at_us = now;
        e->ops_at_commands = e->total_commands;
        stats_tick(e);
    }
    timer_set(e->deadlines, DEADLINE_TICK_US);
}

static void on_config_change(void *arg)
{
    struct engine *e = arg;
    keyspace_set_max_memory(e->keyspace, config_maxmemory(e->config));
    access_config_changed(e);
    events_refresh(e);
}

struct engine *engine_new(struct loop *loop, struct config_store *config,
                          struct keyspace *keyspace, struct store *store)
{
    struct engine *e = mem_zalloc(sizeof(*e));
    e->loop = loop;
    e->config_store = config;
    e->config = config_values(config);
    e->store = store;
    e->keyspace = keyspace;
    e->started_us = clock_mono_us();
    e->ops_at_us = e->started_us;
    stats_init(e);
    list_init(&e->clients);
    list_init(&e->monitors);
    list_init(&e->active);
    list_init(&e->started);
    list_init(&e->closing);
    list_init(&e->pumping);
    list_init(&e->wake);
    list_init(&e->querying);
    list_init(&e->slowlog);
    unsigned char id[20];
    random_bytes(id, sizeof(id));
    for (size_t i = 0; i < sizeof(id); i++)
        snprintf(e->run_id + 2 * i, 3, "%02x", id[i]);
    access_init(e);
    bus_init(e);
    fresh_init(e);
    fetch_init(e);
    gather_init(e);
    exclusive_init(e);
    preload_init(e);
    pause_init(e);
    scripts_init(e);
    block_init(e);
    latency_init(e);
    pubsub_init(e);
    events_init(e);
    e->deadlines = timer_new(loop, on_deadlines, e);
    timer_set(e->deadlines, DEADLINE_TICK_US);
    return e;
}

void engine_config_changed(struct engine *e)
{
    on_config_change(e);
}

static void free_client(struct client *c)
{
    LIST_EACH(it, &c->txns)
    txn_free(LIST_ITEM(it, struct txn, client_node));
    client_free(c);
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    timer_free(e->deadlines);
    scripts_release(e);
    preload_release(e);
    fetch_release(e);
    gather_release(e);
    exclusive_release(e);
    LIST_EACH(it, &e->closing)
    free_client(LIST_ITEM(it, struct client, node));
    LIST_EACH(it, &e->clients)
    free_client(LIST_ITEM(it, struct client, node));
    LIST_EACH(it, &e->querying) /* nobody waits for these any more */
    txn_free(LIST_ITEM(it, struct txn, work_node));
    block_release(e);
    pause_release(e);
    latency_release(e);
    pubsub_release(e);
    events_free(e);
    fresh_release(e);
    access_release(e);
    slowlog_release(e);
    stats_release(e);
    mem_free(e);
}

static void free_closed_clients(struct engine *e)
{
    LIST_EACH(it, &e->closing)
    {
        struct client *c = LIST_ITEM(it, struct client, node);
        if (list_empty(&c->txns) && c->nheld == 0)
            client_free(c);
    }
}

bool engine_turn_end(struct engine *e)
{
    bool running = scripts_go_on(e);
    pause_release_replies(e);
    block_turn_end(e);
    engine_pump_clients(e);
    fetch_send(e);
    exclusive_send(e);
    gather_send(e);
    free_closed_clients(e);
    stats_watch_state(e);
    script_memory_turn_end(e);
    return keyspace_evict(e->keyspace) || running;
}

/* What waits only because its client does not read its replies is not in flight. */
static bool in_flight(const struct engine *e)
{
    LIST_EACH(it, (struct list *)&e->active)
    {
        const struct txn *t = LIST_ITEM(it, struct txn, age_node);
        if (t->held || t->state == TXN_BLOCKED)
            continue;
        if (t->state != TXN_QUEUED || t->client->active > 0 || !t->client->output_full)
            return true;
    }
    return false;
}

void engine_begin_drain(struct engine *e)
{
    block_stop(e);
}

bool engine_idle(const struct engine *e)
{
    return !in_flight(e) && !engine_has_gathered(e) && !exclusive_busy(e);
}

bool engine_shutdown_requested(const struct engine *e)
{
    return e->shutdown_requested;
}

void engine_count_input(struct engine *e, size_t bytes)
{
    e->input_bytes += bytes;
    e->socket_reads++;
}

void engine_count_output(struct engine *e, size_t bytes)
{
    e->output_bytes += bytes;
    e->socket_writes++;
}

void engine_count_rejected_connection(struct engine *e)
{
    e->rejected_connections++;
}

void engine_set_max_clients(struct engine *e, size_t n)
{
    e->max_clients = n;
}

size_t engine_client_count(const struct engine *e)
{
    return e->nclients;
}
