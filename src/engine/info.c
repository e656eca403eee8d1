/* info: INFO. Field names are Redis' where the meaning is the same; `postgres` is a section of our
 * own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/block.h"
#include "engine/internal.h"
#include "engine/script.h"

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

static void put_size(struct buf *out, const char *name, size_t bytes)
{
    char text[24];
    human(text, bytes);
    buf_printf(out, "%s:%zu\r\n%s_human:%s\r\n", name, bytes, name, text);
}

/* Fields that Redis has and that say one thing here for ever, in Redis' order. */
static void put_fixed(struct buf *out, const char *const *fields, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s\r\n", fields[i]);
}

#define PUT_FIXED(out, ...)                                                \
    do {                                                                   \
        static const char *const fields[] = {__VA_ARGS__};                 \
        put_fixed(out, fields, sizeof(fields) / sizeof(fields[0]));        \
    } while (0)

static const char *executable(char *out, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    return out;
}

/* As Redis, which does not look whether a part of it is a link. */
static void put_config_file(const struct info *i)
{
    const char *path = config_path(i->e->config_store);
    char *folder = path[0] != '\0' && path[0] != '/' ? getcwd(NULL, 0) : NULL;
    buf_printf(i->out, "config_file:%s%s%s\r\n", folder != NULL ? folder : "",
               folder != NULL ? "/" : "", path);
    free(folder);
}

static void section_server(const struct info *i)
{
    struct utsname name;
    char path_of_program[512];
    int64_t up_s = (clock_mono_us() - i->e->started_us) / 1000000;
    uname(&name);
    buf_printf(i->out, "redis_version:%s\r\nrespgres_version:%s\r\n", REDIS_VERSION,
               RESPGRES_VERSION);
    PUT_FIXED(i->out, "redis_git_sha1:00000000", "redis_git_dirty:0", "redis_build_id:0",
              "redis_mode:standalone");
    buf_printf(i->out, "os:%s %s %s\r\narch_bits:%zu\r\nmonotonic_clock:POSIX clock_gettime\r\n",
               name.sysname, name.release, name.machine, sizeof(void *) * 8);
    PUT_FIXED(i->out, "multiplexing_api:libevent", "atomicvar_api:c11-builtin");
    buf_printf(i->out, "gcc_version:%d.%d.%d\r\nprocess_id:%d\r\nprocess_supervised:no\r\n", __GNUC__,
               __GNUC_MINOR__, __GNUC_PATCHLEVEL__, (int)getpid());
    buf_printf(i->out, "run_id:%s\r\ntcp_port:%lld\r\n", i->e->run_id,
               (long long)(i->e->config->port != 0 ? i->e->config->port : i->e->config->tls_port));
    buf_printf(i->out, "server_time_usec:%lld\r\nuptime_in_seconds:%lld\r\n",
               (long long)clock_wall_us(), (long long)up_s);
    buf_printf(i->out, "uptime_in_days:%lld\r\nhz:10\r\nconfigured_hz:10\r\nlru_clock:%lld\r\n",
               (long long)up_s / 86400,
               (long long)(clock_wall_us() / 1000000 & ((1 << 24) - 1)));
    buf_printf(i->out, "executable:%s\r\n", executable(path_of_program, sizeof(path_of_program)));
    put_config_file(i);
    buf_printf(i->out, "io_threads_active:0\r\ninstance_name:%s\r\n", i->e->config->instance_name);
}

static void section_clients(const struct info *i)
{
    size_t most_in = 0;
    size_t most_out = 0;
    LIST_EACH(it, &i->e->clients)
    {
        const struct client *c = LIST_ITEM(it, struct client, node);
        most_in = c->query_memory > most_in ? c->query_memory : most_in;
        most_out = c->out.len > most_out ? c->out.len : most_out;
    }
    buf_printf(i->out, "connected_clients:%zu\r\ncluster_connections:0\r\nmaxclients:%zu\r\n",
               i->e->nclients, i->e->max_clients);
    buf_printf(i->out, "client_recent_max_input_buffer:%zu\r\n"
                       "client_recent_max_output_buffer:%zu\r\n", most_in, most_out);
    buf_printf(i->out, "blocked_clients:%zu\r\ntracking_clients:0\r\nclients_in_timeout_table:%zu\r\n",
               pause_held_clients(i->e) + block_count(i->e), block_timed_count(i->e));
}

static double per_cent(size_t part, size_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static double ratio(size_t a, size_t b)
{
    return b > 0 ? (double)a / (double)b : 0;
}

static void memory_sizes(const struct info *i, const struct memory_use *m, size_t resident)
{
    put_size(i->out, "used_memory", m->used);
    put_size(i->out, "used_memory_rss", resident);
    put_size(i->out, "used_memory_peak", m->peak);
    buf_printf(i->out, "used_memory_peak_perc:%.2f%%\r\n", per_cent(m->used, m->peak));
    buf_printf(i->out, "used_memory_overhead:%zu\r\nused_memory_startup:%zu\r\n", m->overhead,
               m->startup);
    buf_printf(i->out, "used_memory_dataset:%zu\r\nused_memory_dataset_perc:%.2f%%\r\n", m->cache,
               per_cent(m->cache, m->used - m->startup));
    buf_printf(i->out, "allocator_allocated:%zu\r\nallocator_active:%zu\r\nallocator_resident:%zu\r\n",
               m->used, resident, resident);
    put_size(i->out, "total_system_memory", mem_available_total());
}

static void section_memory(const struct info *i)
{
    struct keyspace_stats st;
    keyspace_get_stats(i->e->keyspace, &st);
    struct memory_use use;
    memory_get_use(i->e, &use);
    size_t resident = mem_resident();
    size_t rest = resident > use.used ? resident - use.used : 0;
    memory_sizes(i, &use, resident);
    put_size(i->out, "used_memory_lua", scripts_vm_memory(i->e));
    buf_printf(i->out, "used_memory_vm_eval:%zu\r\nused_memory_scripts_eval:%zu\r\n"
               "number_of_cached_scripts:%zu\r\n",
               scripts_vm_memory(i->e), script_memory_bytes(i->e), script_memory_count(i->e));
    PUT_FIXED(i->out, "number_of_functions:0", "number_of_libraries:0", "used_memory_vm_functions:0");
    put_size(i->out, "used_memory_vm_total", scripts_vm_memory(i->e));
    PUT_FIXED(i->out, "used_memory_functions:0");
    put_size(i->out, "used_memory_scripts", script_memory_bytes(i->e));
    /* Evicting from the cache loses no key. */
    put_size(i->out, "maxmemory", use.cache_max);
    buf_append_cstr(i->out, "maxmemory_policy:noeviction\r\n");
    buf_printf(i->out, "allocator_frag_ratio:1.00\r\nallocator_frag_bytes:0\r\n"
                       "allocator_rss_ratio:1.00\r\nallocator_rss_bytes:0\r\n"
                       "rss_overhead_ratio:1.00\r\nrss_overhead_bytes:0\r\n");
    buf_printf(i->out, "mem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%zu\r\n",
               ratio(resident, use.used), rest);
    PUT_FIXED(i->out, "mem_not_counted_for_evict:0", "mem_replication_backlog:0",
              "mem_total_replication_buffers:0", "mem_clients_slaves:0");
    buf_printf(i->out, "mem_clients_normal:%zu\r\n", use.clients);
    PUT_FIXED(i->out, "mem_cluster_links:0", "mem_aof_buffer:0", "mem_allocator:libc",
              "active_defrag_running:0", "lazyfree_pending_objects:0", "lazyfreed_objects:0");
    buf_printf(i->out, "cached_keys:%zu\r\ncache_evictions:%llu\r\n", st.entries,
               (unsigned long long)st.evicted);
}

static void section_persistence(const struct info *i)
{
    /* `loading` is what clients wait for: 1 until PostgreSQL can be asked. */
    buf_printf(i->out, "loading:%d\r\n", engine_is_loading(i->e));
    PUT_FIXED(i->out, "async_loading:0", "current_cow_peak:0", "current_cow_size:0",
              "current_cow_size_age:0", "current_fork_perc:0.00", "current_save_keys_processed:0",
              "current_save_keys_total:0", "rdb_changes_since_last_save:0",
              "rdb_bgsave_in_progress:0");
    /* As LASTSAVE: what was acknowledged is saved. */
    buf_printf(i->out, "rdb_last_save_time:%lld\r\n",
               (long long)(i->e->store->ops->now_us(i->e->store) / 1000000));
    PUT_FIXED(i->out, "rdb_last_bgsave_status:ok", "rdb_last_bgsave_time_sec:-1",
              "rdb_current_bgsave_time_sec:-1", "rdb_saves:0", "rdb_last_cow_size:0",
              "rdb_last_load_keys_expired:0", "rdb_last_load_keys_loaded:0", "aof_enabled:1",
              "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0",
              "aof_last_rewrite_time_sec:-1", "aof_current_rewrite_time_sec:-1",
              "aof_last_bgrewrite_status:ok", "aof_rewrites:0",
              "aof_rewrites_consecutive_failures:0", "aof_last_write_status:ok",
              "aof_last_cow_size:0", "module_fork_in_progress:0", "module_fork_last_cow_size:0");
}

static void stats_net(const struct info *i)
{
    const struct engine *e = i->e;
    buf_printf(i->out, "total_net_input_bytes:%llu\r\ntotal_net_output_bytes:%llu\r\n",
               (unsigned long long)e->input_bytes, (unsigned long long)e->output_bytes);
    PUT_FIXED(i->out, "total_net_repl_input_bytes:0", "total_net_repl_output_bytes:0");
    buf_printf(i->out, "instantaneous_input_kbps:%.2f\r\ninstantaneous_output_kbps:%.2f\r\n",
               (double)e->input_rate.per_s / 1024, (double)e->output_rate.per_s / 1024);
    PUT_FIXED(i->out, "instantaneous_input_repl_kbps:0.00",
              "instantaneous_output_repl_kbps:0.00");
}

static void section_stats(const struct info *i)
{
    const struct engine *e = i->e;
    buf_printf(i->out, "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n",
               (unsigned long long)e->total_connections, (unsigned long long)e->total_commands);
    buf_printf(i->out, "instantaneous_ops_per_sec:%llu\r\n", (unsigned long long)e->ops_per_s);
    stats_net(i);
    buf_printf(i->out, "rejected_connections:%llu\r\n",
               (unsigned long long)e->rejected_connections);
    PUT_FIXED(i->out, "sync_full:0", "sync_partial_ok:0", "sync_partial_err:0", "expired_keys:0",
              "expired_stale_perc:0.00", "expired_time_cap_reached_count:0",
              "expire_cycle_cpu_milliseconds:0", "evicted_keys:0", "evicted_clients:0",
              "total_eviction_exceeded_time:0", "current_eviction_exceeded_time:0");
    buf_printf(i->out, "keyspace_hits:%llu\r\nkeyspace_misses:%llu\r\n",
               (unsigned long long)e->keyspace_hits, (unsigned long long)e->keyspace_misses);
    pubsub_info(e, i->out);
    PUT_FIXED(i->out, "latest_fork_usec:0", "total_forks:0", "migrate_cached_sockets:0",
              "slave_expires_tracked_keys:0", "active_defrag_hits:0", "active_defrag_misses:0",
              "active_defrag_key_hits:0", "active_defrag_key_misses:0",
              "total_active_defrag_time:0", "current_active_defrag_time:0",
              "tracking_total_keys:0", "tracking_total_items:0", "tracking_total_prefixes:0",
              "unexpected_error_replies:0");
    buf_printf(i->out, "total_error_replies:%llu\r\ndump_payload_sanitizations:0\r\n",
               (unsigned long long)e->total_errors);
    buf_printf(i->out, "total_reads_processed:%llu\r\ntotal_writes_processed:%llu\r\n",
               (unsigned long long)e->socket_reads, (unsigned long long)e->socket_writes);
    PUT_FIXED(i->out, "io_threaded_reads_processed:0", "io_threaded_writes_processed:0",
              "reply_buffer_shrinks:0", "reply_buffer_expands:0");
}

static void section_replication(const struct info *i)
{
    PUT_FIXED(i->out, "role:master", "connected_slaves:0", "master_failover_state:no-failover");
    buf_printf(i->out, "master_replid:%s\r\n", i->e->run_id);
    PUT_FIXED(i->out, "master_replid2:0000000000000000000000000000000000000000",
              "master_repl_offset:0", "second_repl_offset:-1", "repl_backlog_active:0",
              "repl_backlog_size:1048576", "repl_backlog_first_byte_offset:0",
              "repl_backlog_histlen:0");
}

static void put_cpu(struct buf *out, const char *name, const struct timeval *t)
{
    buf_printf(out, "%s:%lld.%06lld\r\n", name, (long long)t->tv_sec, (long long)t->tv_usec);
}

static void section_cpu(const struct info *i)
{
    struct rusage own;
    struct rusage children;
    struct rusage thread;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    getrusage(RUSAGE_THREAD, &thread);
    put_cpu(i->out, "used_cpu_sys", &own.ru_stime);
    put_cpu(i->out, "used_cpu_user", &own.ru_utime);
    put_cpu(i->out, "used_cpu_sys_children", &children.ru_stime);
    put_cpu(i->out, "used_cpu_user_children", &children.ru_utime);
    put_cpu(i->out, "used_cpu_sys_main_thread", &thread.ru_stime);
    put_cpu(i->out, "used_cpu_user_main_thread", &thread.ru_utime);
}

static void section_modules(const struct info *i)
{
    (void)i;
}

static void section_commandstats(const struct info *i)
{
    for (int slot = 0; slot < COMMAND_SLOTS; slot++) {
        const struct command_stats *st = &i->e->commands[slot];
        uint64_t calls = stats_calls(st);
        if (calls == 0 && st->rejected == 0 && st->failed == 0)
            continue;
        buf_printf(i->out, "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
                   "failed_calls=%llu\r\n", stats_command(slot)->name,
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
