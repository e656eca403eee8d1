/* info: INFO. Field names are Redis' where the meaning is the same; `postgres` is a section of our
 * own. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/internal.h"

#define REDIS_VERSION "7.0.15"

struct info {
    struct engine *e;
    struct buf *out;
    const struct store_keyspace *keyspace;
    size_t nkeyspace;
};

static void human(char out[24], size_t bytes)
{
    static const char units[] = "BKMGT";
    double v = (double)bytes;
    int u = 0;
    while (v >= 1024 && u < 4) {
        v /= 1024;
        u++;
    }
    if (u == 0)
        snprintf(out, 24, "%zuB", bytes);
    else
        snprintf(out, 24, "%.2f%c", v, units[u]);
}

static void section_server(const struct info *i)
{
    struct utsname name;
    int64_t up_s = (clock_mono_us() - i->e->started_us) / 1000000;
    const char *path = config_path(i->e->config_store);
    uname(&name);
    buf_printf(i->out, "redis_version:%s\r\nrespgres_version:%s\r\nredis_mode:standalone\r\n",
               REDIS_VERSION, RESPGRES_VERSION);
    buf_printf(i->out, "os:%s %s %s\r\narch_bits:%zu\r\nmultiplexing_api:libevent\r\n",
               name.sysname, name.release, name.machine, sizeof(void *) * 8);
    buf_printf(i->out, "process_id:%d\r\nrun_id:%s\r\ntcp_port:%lld\r\n", (int)getpid(),
               i->e->run_id,
               (long long)(i->e->config->port != 0 ? i->e->config->port : i->e->config->tls_port));
    buf_printf(i->out, "server_time_usec:%lld\r\nuptime_in_seconds:%lld\r\n",
               (long long)clock_wall_us(), (long long)up_s);
    buf_printf(i->out, "uptime_in_days:%lld\r\nconfig_file:%s\r\n", (long long)up_s / 86400,
               path != NULL ? path : "");
    buf_printf(i->out, "instance_name:%s\r\n", i->e->config->instance_name);
}

static void section_clients(const struct info *i)
{
    buf_printf(i->out, "connected_clients:%zu\r\nmaxclients:%lld\r\nblocked_clients:0\r\n",
               i->e->nclients, (long long)i->e->config->maxclients);
    buf_printf(i->out, "tracking_clients:0\r\nclients_in_timeout_table:0\r\n");
}

static void section_memory(const struct info *i)
{
    struct keyspace_stats st;
    char used[24];
    char most[24];
    char total[24];
    keyspace_get_stats(i->e->keyspace, &st);
    human(used, st.memory);
    human(most, st.max_memory);
    human(total, mem_available_total());
    buf_printf(i->out, "used_memory:%zu\r\nused_memory_human:%s\r\nused_memory_rss:%zu\r\n",
               st.memory, used, mem_resident());
    buf_printf(i->out, "total_system_memory:%zu\r\ntotal_system_memory_human:%s\r\n",
               mem_available_total(), total);
    /* Evicting from the cache loses no key. */
    buf_printf(i->out, "maxmemory:%zu\r\nmaxmemory_human:%s\r\nmaxmemory_policy:noeviction\r\n",
               st.max_memory, most);
    buf_printf(i->out, "cached_keys:%zu\r\ncache_evictions:%llu\r\nmem_allocator:libc\r\n",
               st.entries, (unsigned long long)st.evicted);
}

static void section_persistence(const struct info *i)
{
    /* `loading` is what clients wait for: 1 until PostgreSQL can be asked. */
    buf_printf(i->out, "loading:%d\r\nasync_loading:0\r\nrdb_changes_since_last_save:0\r\n",
               engine_is_loading(i->e));
    buf_printf(i->out, "rdb_bgsave_in_progress:0\r\nrdb_last_bgsave_status:ok\r\naof_enabled:1\r\n");
    buf_printf(i->out, "aof_rewrite_in_progress:0\r\naof_last_write_status:ok\r\n");
}

static void section_stats(const struct info *i)
{
    const struct engine *e = i->e;
    buf_printf(i->out, "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n",
               (unsigned long long)e->total_connections, (unsigned long long)e->total_commands);
    buf_printf(i->out, "instantaneous_ops_per_sec:%llu\r\nrejected_connections:%llu\r\n",
               (unsigned long long)e->ops_per_s, (unsigned long long)e->rejected_connections);
    buf_printf(i->out, "keyspace_hits:%llu\r\nkeyspace_misses:%llu\r\nevicted_keys:0\r\n",
               (unsigned long long)e->keyspace_hits, (unsigned long long)e->keyspace_misses);
    buf_printf(i->out, "total_error_replies:%llu\r\npubsub_channels:0\r\npubsub_patterns:0\r\n",
               (unsigned long long)e->total_errors);
}

static void section_replication(const struct info *i)
{
    buf_printf(i->out, "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n");
    buf_printf(i->out, "master_replid:%s\r\nmaster_repl_offset:0\r\n", i->e->run_id);
}

static void section_cpu(const struct info *i)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    buf_printf(i->out, "used_cpu_sys:%lld.%06lld\r\nused_cpu_user:%lld.%06lld\r\n",
               (long long)u.ru_stime.tv_sec, (long long)u.ru_stime.tv_usec,
               (long long)u.ru_utime.tv_sec, (long long)u.ru_utime.tv_usec);
}

static void section_modules(const struct info *i)
{
    (void)i;
}

static void section_commandstats(const struct info *i)
{
    for (int id = 0; id < COMMAND_COUNT; id++) {
        const struct command_stats *st = &i->e->commands[id];
        uint64_t calls = stats_calls(st);
        if (calls == 0 && st->rejected == 0 && st->failed == 0)
            continue;
        buf_printf(i->out, "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
                   "failed_calls=%llu\r\n", command_by_id((enum command_id)id)->name,
                   (unsigned long long)calls, (unsigned long long)st->us,
                   calls ? (double)st->us / (double)calls : 0, (unsigned long long)st->rejected,
                   (unsigned long long)st->failed);
    }
}

static void section_errorstats(const struct info *i)
{
    stats_info_errors(i->e, i->out);
}

static void section_latencystats(const struct info *i)
{
    stats_info_latency(i->e, i->out);
}

static void section_respgres(const struct info *i)
{
    stats_info_respgres(i->e, i->out);
}

static void section_cluster(const struct info *i)
{
    buf_append_cstr(i->out, "cluster_enabled:0\r\n");
}

static void section_keyspace(const struct info *i)
{
    for (size_t n = 0; n < i->nkeyspace; n++) {
        const struct store_keyspace *k = &i->keyspace[n];
        buf_printf(i->out, "db%d:keys=%lld,expires=%lld,avg_ttl=%lld\r\n", k->db,
                   (long long)k->keys, (long long)k->expires, (long long)k->avg_ttl_ms);
    }
}

static void section_postgres(const struct info *i)
{
    const struct engine *e = i->e;
    e->store->ops->info(e->store, i->out);
    buf_printf(i->out, "postgres_conflicts:%llu\r\npostgres_timeouts:%llu\r\n",
               (unsigned long long)e->conflicts, (unsigned long long)e->timeouts);
    buf_printf(i->out, "postgres_locked_groups:%zu\r\n", e->nparked);
    fresh_info(e, i->out);
    preload_info(e, i->out);
    buf_printf(i->out, "postgres_reads_revalidated:%llu\r\npostgres_reads_fetched:%llu\r\n",
               (unsigned long long)e->revalidated, (unsigned long long)e->fetched);
}

enum { SHOWN_BY_DEFAULT = 1 };

static const struct {
    const char *name;
    const char *title;
    void (*write)(const struct info *i);
    int flags;
} sections[] = {
    {"server", "Server", section_server, SHOWN_BY_DEFAULT},
    {"clients", "Clients", section_clients, SHOWN_BY_DEFAULT},
    {"memory", "Memory", section_memory, SHOWN_BY_DEFAULT},
    {"persistence", "Persistence", section_persistence, SHOWN_BY_DEFAULT},
    {"stats", "Stats", section_stats, SHOWN_BY_DEFAULT},
    {"replication", "Replication", section_replication, SHOWN_BY_DEFAULT},
    {"cpu", "CPU", section_cpu, SHOWN_BY_DEFAULT},
    {"modules", "Modules", section_modules, SHOWN_BY_DEFAULT},
    {"commandstats", "Commandstats", section_commandstats, 0},
    {"errorstats", "Errorstats", section_errorstats, SHOWN_BY_DEFAULT},
    {"latencystats", "Latencystats", section_latencystats, 0},
    {"cluster", "Cluster", section_cluster, SHOWN_BY_DEFAULT},
    {"keyspace", "Keyspace", section_keyspace, SHOWN_BY_DEFAULT},
    {"postgres", "Postgres", section_postgres, SHOWN_BY_DEFAULT},
    {"respgres", "Respgres", section_respgres, SHOWN_BY_DEFAULT},
};

static bool wanted(const char *name, int flags, int n, const struct bytes *asked)
{
    if (n == 0)
        return flags & SHOWN_BY_DEFAULT;
    for (int i = 0; i < n; i++) {
        if (bytes_ieq(asked[i], name) || bytes_ieq(asked[i], "all") ||
            bytes_ieq(asked[i], "everything") ||
            (bytes_ieq(asked[i], "default") && (flags & SHOWN_BY_DEFAULT)))
            return true;
    }
    return false;
}

bool info_wants_keyspace(int nsections, const struct bytes *asked)
{
    return wanted("keyspace", SHOWN_BY_DEFAULT, nsections, asked);
}

void info_append(struct engine *e, struct buf *out, int nsections, const struct bytes *asked,
                 const struct store_keyspace *keyspace, size_t nkeyspace)
{
    struct info i = {e, out, keyspace, nkeyspace};
    for (size_t s = 0; s < sizeof(sections) / sizeof(sections[0]); s++) {
        if (!wanted(sections[s].name, sections[s].flags, nsections, asked))
            continue;
        if (out->len > 0)
            buf_append_cstr(out, "\r\n");
        buf_printf(out, "# %s\r\n", sections[s].title);
        sections[s].write(&i);
    }
}

void engine_info(struct engine *e, struct buf *out)
{
    info_append(e, out, 0, NULL, NULL, 0);
}

/* Without the numbers of keys: inside MULTI, or while PostgreSQL cannot be asked. */
void session_info(struct client *c, const struct txn_command *tc, struct reply *r)
{
    struct buf out;
    buf_init(&out);
    info_append(c->engine, &out, tc->request->argc - 1, tc->request->argv + 1, NULL, 0);
    reply_verbatim(r, "txt", buf_bytes(&out));
    buf_release(&out);
}
