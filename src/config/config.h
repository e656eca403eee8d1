/* config: one table of options (options.def: a row each, prose included) read from the file
 * (redis.conf syntax), the environment and the flags. Precedence: flags, environment, file,
 * default. CONFIG GET and SET, the sample file and the manual come from the same table. */
#ifndef RESPGRES_CONFIG_CONFIG_H
#define RESPGRES_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"

enum consistency { CONSISTENCY_STRICT, CONSISTENCY_CACHED };
enum pooler { POOLER_NONE, POOLER_TRANSACTION };
enum durability { DURABILITY_COMMIT, DURABILITY_RELAXED };
enum acl_pubsub { ACL_PUBSUB_ALL, ACL_PUBSUB_RESET };
enum tls_auth { TLS_AUTH_NO, TLS_AUTH_YES, TLS_AUTH_OPTIONAL };
enum protected_action { PROTECTED_NO, PROTECTED_YES, PROTECTED_LOCAL };
enum dir_is { DIR_PERSISTENT, DIR_EPHEMERAL };

/* Classes of clients, for what they may leave unread. There are no replicas: what is set is kept. */
enum output_class { OUTPUT_NORMAL, OUTPUT_REPLICA, OUTPUT_PUBSUB };
enum { OUTPUT_CLASSES = OUTPUT_PUBSUB + 1 };

struct output_limit {
    int64_t hard;   /* bytes, 0 = none */
    int64_t soft;   /* bytes that are too many if it lasts, 0 = none */
    int64_t soft_s; /* ... for longer than this */
};

struct output_limits {
    struct output_limit of[OUTPUT_CLASSES];
};

/* The options' values. One field per row of options.def; strings are never NULL ("" = unset). */
struct config {
    /* network */
    int64_t port; /* 0 = no TCP */
    char *bind;   /* blank-separated addresses; "-" before one: failing to bind it is fine */
    char *unixsocket;
    int64_t unixsocketperm; /* octal in the file, 0 = umask decides */
    int64_t tcp_backlog;
    bool so_reuseport;
    int64_t maxclients;
    int64_t timeout_s; /* 0 = never */
    int64_t tcp_keepalive_s;
    int64_t proto_max_bulk_len;
    int64_t client_query_buffer_limit;
    struct output_limits client_output_buffer_limit;
    bool protected_mode;
    int64_t tls_port; /* 0 = no TLS */
    char *tls_cert_file;
    char *tls_key_file;
    char *tls_key_file_pass;
    char *tls_ca_cert_file;
    char *tls_ca_cert_dir;
    int tls_auth_clients; /* enum tls_auth */
    char *tls_protocols;
    char *tls_ciphers;
    char *tls_ciphersuites;
    bool tls_prefer_server_ciphers;
    bool tls_session_caching;
    int64_t tls_session_cache_size;
    int64_t tls_session_cache_timeout_s;
    char *tls_dh_params_file;
    int64_t http_port; /* 0 = off */
    char *http_bind;
    char *requirepass;
    char *user;    /* a line of quoted words for each: config_each_user */
    char *aclfile; /* "" = none */
    int acl_pubsub_default; /* enum acl_pubsub */
    int64_t acllog_max_len;
    char *rename_command; /* pairs of words: config_each_rename */
    /* server */
    int64_t databases;
    int loglevel;        /* enum log_level */
    char *instance_name; /* default host:port */
    int64_t maxmemory;   /* bytes; 0 = a quarter of the smaller of RAM and cgroup limit */
    int64_t slowlog_log_slower_than_us; /* < 0 = off */
    int64_t slowlog_max_len;
    int64_t busy_reply_threshold_ms; /* 0 = never */
    int64_t script_time_limit_ms;    /* 0 = none */
    int64_t lua_memory_limit;
    int64_t latency_monitor_threshold_ms; /* 0 = off */
    int64_t notify_keyspace_events;       /* of enum keyspace_event, base/keyspace_events.h */
    int enable_debug_command;             /* enum protected_action */
    int64_t shutdown_timeout_s;
    char *dir;
    int64_t backup_interval_s; /* 0 = none */
    char *backup_dir;          /* "" = below dir */
    int64_t backup_keep;
    /* PostgreSQL */
    char *database_url;
    char *pg_schema;
    bool auto_migrate;
    int pg_pooler; /* enum pooler */
    int64_t pg_timeout_ms;
    int64_t block_poll_interval_ms;
    int64_t pg_read_lanes;
    int64_t pg_commit_lanes;
    int consistency; /* enum consistency */
    int64_t cached_max_lag_ms;
    int durability;  /* enum durability */
    int64_t tombstone_retention_s;
    int64_t conflict_retention_s;
    int64_t sweep_interval_ms;
    bool vacuum;
    /* while PostgreSQL is away */
    char *fallback;  /* see policy.h */
    char *away_miss; /* see policy.h */
    int dir_is;        /* enum dir_is */
    int journal_fsync; /* enum journal_fsync of the journal */
    int64_t journal_max_size; /* 0 = no limit */
    bool standalone;
    bool preload;
    int64_t preload_refresh_s;
    int64_t warm_file_interval_s; /* 0 = never */
    /* for people */
    char *decode;
    char *payload;
    int64_t revoke_grace_s; /* 0 = off */
};

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_FLAG, CONFIG_SET };

struct config_store; /* the values, each value's source, and where the file is */

/* Reads everything. On failure returns NULL and writes "file:line: reason" (or flag/variable:
 * reason) to `error`. `argv` as of main(); a first argument without "--" is the file. Values that
 * hold secrets (database-url, requirepass) are overwritten in argv. `_FILE` secrets are read. The
 * database URL is normalised (config_normalise_url) here; what was dropped is logged. */
MUST_CHECK struct config_store *config_load(int argc, char **argv, char **environ,
                                            struct buf *error);

/* The same where `passing_port` was not chosen by the user but for this run: a name with it in would be
 * another one at each start, and the journal of the last one would be left behind. So the default
 * instance-name has the word "exec" in the place of that port. -1 = there is none. */
MUST_CHECK struct config_store *config_load_passing(int argc, char **argv, char **environ,
                                                    int64_t passing_port, struct buf *error);
void config_free(struct config_store *s);

/* The live values; the pointer stays valid, the values change by CONFIG SET and SIGHUP. */
const struct config *config_values(const struct config_store *s);

/* Reads the file and the files of secrets again (flags and environment stay above it) and applies
 * what may change at run time. `environ` of config_load must still be there. All or nothing: on failure nothing changes and `error` says why. Options that differ but
 * cannot change while running are named in `error` (comma-separated) with return true. What CONFIG
 * SET changed goes back to what file, environment and flags say. */
MUST_CHECK bool config_reload(struct config_store *s, struct buf *error);

/* CONFIG SET name value [name value ...]: all or nothing. On failure `error` holds the reply text
 * in Redis 7.0's words, "ERR Unknown option or number of arguments for CONFIG SET - 'x'" or
 * "ERR CONFIG SET failed (possibly related to argument 'x') - ...". */
MUST_CHECK bool config_set(struct config_store *s, int n, const struct bytes *names,
                           const struct bytes *values, struct buf *error);

/* CONFIG REWRITE: writes what was changed into the file that was read, as Redis does: comments and
 * lines that still hold stay, changed values are changed, others are appended. Atomic. Secrets are
 * written only if CONFIG SET gave them, database-url never. Blocks for an fsync. On failure `error`
 * holds the reply text. */
MUST_CHECK bool config_rewrite(struct config_store *s, struct buf *error);

/* The pairs of rename-command, until f returns false. */
bool config_each_rename(const struct config *c,
                        bool (*f)(void *arg, struct bytes from, struct bytes to), void *arg);

/* The words behind each `user`, until f returns false; the words are valid within the call. */
bool config_each_user(const struct config *c,
                      bool (*f)(void *arg, int n, const struct bytes *words), void *arg);

/* The users have changed at run time: `lines` is what CONFIG REWRITE is to write for them, words as
 * words_append quotes them, a newline behind each line. */
void config_set_users(struct config_store *s, const char *lines);

/* What the system allows of `maxclients`: from here on its value. */
void config_lower_maxclients(struct config_store *s, int64_t effective);

/* Is this an option whose value must not be seen? */
bool config_is_secret(struct bytes name);

/* CONFIG GET: calls f for each option whose name matches one of the patterns (nocase), each once.
 * Secrets come redacted. Includes the redis.conf names that clients ask for and that have a fixed
 * answer here ("save" → "", "appendonly" → "yes", "maxmemory-policy" → "noeviction", ...). */
void config_each_matching(const struct config_store *s, int n, const struct bytes *patterns,
                          void (*f)(void *arg, const char *name, const char *value), void *arg);

/* Called after every successful change at run time, so that the holders can apply it. */
void config_on_change(struct config_store *s, void (*f)(void *arg), void *arg);

/* Asked before a change at run time, for each option marked PREPARED that it concerns, or whose file may
 * hold something else (a CONFIG SET to the same name); `name` NULL: a reload, for all of them. `fresh` is
 * what would be. False and a reason refuse it; true promises that `config_on_change`'s call will find it all
 * ready. */
void config_on_prepare(struct config_store *s,
                       bool (*f)(void *arg, const char *name, const struct config *fresh,
                                 struct buf *reason),
                       void *arg);

/* The same for a reload alone. `fresh` NULL: the reload that was just agreed to does not come. */
void config_on_reload(struct config_store *s,
                      bool (*f)(void *arg, const struct config *fresh, struct buf *reason),
                      void *arg);

/* Logs each option that is not at its default with its source, never a secret's value. */
void config_log(const struct config_store *s);

/* For --check-config: every option as a line "name value  # source", secrets redacted. */
void config_report(const struct config_store *s, struct buf *out);

/* Appends an option's value as CONFIG GET shows it; false if there is no such option. */
MUST_CHECK bool config_option_text(const struct config_store *s, const char *name, struct buf *out);

/* The file that was read, "" if none. */
const char *config_path(const struct config_store *s);

/* maxmemory in bytes, with 0 made into what it stands for (CONFIG GET shows it as configured). */
size_t config_maxmemory(const struct config *c);

/* Writes the usage text of --help from the table. */
void config_usage(struct buf *out);

/* Writes the manual page respgres(1), as man(7) has it. */
void config_manual(struct buf *out);

/* Writes conf/respgres.conf: each option with its prose, commented out at its default. */
void config_sample(struct buf *out);

/* SQLAlchemy's and Django's URL schemes ("postgresql+psycopg2://", "postgres://", "psycopg2://",
 * "pgsql://", "postgis://") → "postgresql://"; drops URL parameters that libpq does not know and
 * lists their names in `dropped`, comma-separated. A keyword=value string passes unchanged. */
void config_normalise_url(const char *url, struct buf *out, struct buf *dropped);

#endif
