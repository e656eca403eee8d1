/* config: parsing, precedence, secrets, CONFIG GET and SET, reload, refused URLs, and that
 * the sample file says what the table says. */
#include "test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/check.h"
#include "config/option.h"

enum { MAX_ARGS = 16 };

static char *no_env[] = {NULL};
static char folder[] = "/tmp/respgres-config-XXXXXX";

static void path_of(const char *name, char out[128])
{
    static bool made; /* the name that was made may have an X in it */
    if (!made && mkdtemp(folder) == NULL)
        abort();
    made = true;
    snprintf(out, 128, "%s/%s", folder, name);
}

static void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "w");
    if (f == NULL || fwrite(data, 1, n, f) != n || fclose(f) != 0)
        abort();
}

/* Loads with arguments that are writable, as main()'s are; the words are separated by '|'. */
static struct config_store *load(const char *args, char **env, struct buf *error)
{
    char *copy = mem_strdup(args);
    char *argv[MAX_ARGS];
    int argc = 0;
    char program[] = "respgres";
    argv[argc++] = program;
    for (char *p = copy; *args != '\0' && p != NULL && argc < MAX_ARGS;) {
        argv[argc++] = p;
        p = strchr(p, '|');
        if (p != NULL)
            *p++ = '\0';
    }
    struct config_store *s = config_load(argc, argv, env, error);
    mem_free(copy);
    return s;
}

/* A load that must go well; what it complains about is printed. */
static struct config_store *load_ok(const char *args, char **env)
{
    struct buf error;
    buf_init(&error);
    struct config_store *s = load(args, env, &error);
    EXPECT_CSTR(buf_cstr(&error), "");
    buf_release(&error);
    if (s == NULL)
        abort();
    return s;
}

static void expect_refused(const char *args, char **env, const char *want)
{
    struct buf error;
    buf_init(&error);
    struct config_store *s = load(args, env, &error);
    EXPECT(s == NULL);
    EXPECT_CSTR(buf_cstr(&error), want);
    config_free(s);
    buf_release(&error);
}

/* Writes `text` as a file, loads it, expects "FILE" + want. */
static void expect_file_refused(const char *text, const char *want)
{
    char path[128];
    char message[512];
    path_of("bad.conf", path);
    write_file(path, text, strlen(text));
    snprintf(message, sizeof(message), "%s%s", path, want);
    expect_refused(path, no_env, message);
}

static struct config_store *load_text(const char *text, size_t n)
{
    char path[128];
    path_of("good.conf", path);
    write_file(path, text, n);
    return load_ok(path, no_env);
}

static void collect(void *arg, const char *name, const char *value)
{
    buf_printf(arg, "%s=%s;", name, value);
}

static void expect_get(const struct config_store *s, const char *pattern, const char *want)
{
    struct buf out;
    struct bytes p = bytes_cstr(pattern);
    buf_init(&out);
    config_each_matching(s, 1, &p, collect, &out);
    EXPECT_CSTR(buf_cstr(&out), want);
    buf_release(&out);
}

static void defaults(void)
{
    struct config_store *s = load_ok("", no_env);
    const struct config *c = config_values(s);
    EXPECT_INT(c->port, 6379);
    EXPECT_CSTR(c->bind, "127.0.0.1 -::1");
    EXPECT_CSTR(c->unixsocket, "");
    EXPECT_INT(c->maxclients, 10000);
    EXPECT_INT(c->tcp_keepalive_s, 300);
    EXPECT_INT(c->proto_max_bulk_len, 512 << 20);
    EXPECT_INT(c->client_query_buffer_limit, 1 << 30);
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_NORMAL].hard, 0);
    EXPECT(c->protected_mode && !c->so_reuseport);
    EXPECT_INT(c->loglevel, LOG_NOTICE);
    EXPECT_INT(c->databases, 16);
    EXPECT_CSTR(c->database_url, "");
    EXPECT_CSTR(c->pg_schema, "respgres");
    EXPECT_INT(c->tombstone_retention_s, 7 * 86400);
    EXPECT_INT(c->shutdown_timeout_s, 25);
    EXPECT_INT(c->durability, DURABILITY_COMMIT);
    EXPECT_CSTR(config_path(s), "");
    size_t n = strlen(c->instance_name);
    EXPECT(n > 5 && strcmp(c->instance_name + n - 5, ":6379") == 0);
    EXPECT_INT(config_maxmemory(c), mem_available_total() / 4);
    config_free(s);
}

static void file_syntax(void)
{
    static const char text[] = "# a comment\n"
                               "\n"
                               "   \t\n"
                               "  # another\r\n"
                               "PORT 7000\r\n"
                               "\tbind  127.0.0.1\t ::1  -10.0.0.1 \n"
                               "requirepass \"a b\\n\\r\\t\\x41\\\"\\\\\\q\"\n"
                               "unixsocket '/tmp/it\\'s \\n'\n"
                               "MaxMemory 2Kb\n"
                               "unixsocketperm 0770\n"
                               "tombstone-retention 2h\n"
                               "pg-timeout 3s\n"
                               "so-reuseport YES\n"
                               "loglevel Debug\n"
                               "save \"\"\n"
                               "appendonly yes\n"
                               "timeout 5\n"
                               "timeout 6\n"
                               "instance-name \"\"\n"
                               "slowlog-log-slower-than -1";
    struct config_store *s = load_text(text, sizeof(text) - 1);
    const struct config *c = config_values(s);
    EXPECT_INT(c->port, 7000);
    EXPECT_CSTR(c->bind, "127.0.0.1 ::1 -10.0.0.1");
    EXPECT_CSTR(c->requirepass, "a b\n\r\tA\"\\q");
    EXPECT_CSTR(c->unixsocket, "/tmp/it's \\n");
    EXPECT_INT(c->maxmemory, 2048);
    EXPECT_INT(config_maxmemory(c), 2048);
    EXPECT_INT(c->unixsocketperm, 0770);
    EXPECT_INT(c->tombstone_retention_s, 7200);
    EXPECT_INT(c->pg_timeout_ms, 3000);
    EXPECT(c->so_reuseport);
    EXPECT_INT(c->loglevel, LOG_DEBUG);
    EXPECT_INT(c->timeout_s, 6);
    EXPECT_INT(c->slowlog_log_slower_than_us, -1);
    expect_get(s, "unixsocketperm", "unixsocketperm=770;");
    config_free(s);
}

static void file_errors(void)
{
    expect_file_refused("port 1\n\nnope 3\n", ":3: unknown option 'nope'");
    expect_file_refused("port x\n", ":1: port: argument couldn't be parsed into an integer");
    expect_file_refused("port 70000\n", ":1: port: argument must be between 0 and 65535 inclusive");
    expect_file_refused("port\n", ":1: port: needs a value");
    expect_file_refused("bind\n", ":1: bind: needs a value");
    expect_file_refused("port 1 2\n", ":1: port: takes one value (quote blanks)");
    expect_file_refused("port 6379 # standard\n", ":1: port: takes one value (quote blanks)");
    expect_file_refused("requirepass \"abc\n", ":1: unbalanced quotes");
    expect_file_refused("requirepass \"abc\\\"", ":1: unbalanced quotes");
    expect_file_refused("requirepass \"abc\"d\n", ":1: unbalanced quotes");
    expect_file_refused("requirepass 'abc\n", ":1: unbalanced quotes");
    expect_file_refused("unixsocket \"a\\x00b\"\n",
                        ":1: unixsocket: argument must not contain a NUL byte");
    expect_file_refused(
        "consistency sometimes\n",
        ":1: consistency: argument(s) must be one of the following: strict, cached");
    expect_file_refused("durability no\n", ":1: durability: argument(s) must be one of the "
                                           "following: commit, relaxed");
    expect_file_refused("so-reuseport 1\n", ":1: so-reuseport: argument must be 'yes' or 'no'");
    expect_file_refused("appendonly no\n", ":1: appendonly: always \"yes\" here");
    expect_file_refused("unixsocketperm 888\n",
                        ":1: unixsocketperm: argument couldn't be parsed as an octal number");
    expect_file_refused("unixsocketperm 1777\n",
                        ":1: unixsocketperm: argument must be between 0 and 777 inclusive");
    expect_file_refused("pg-schema Ab\n",
                        ":1: pg-schema: argument must be at most 63 lower-case letters, digits or "
                        "'_', not starting with a digit");
    expect_file_refused("pg-schema pg_x\n",
                        ":1: pg-schema: names that start with pg_ are PostgreSQL's own");
    expect_file_refused("pg-schema ''\n", ":1: pg-schema: argument must not be empty");
    expect_file_refused("instance-name a/b\n",
                        ":1: instance-name: argument must be at most 128 letters, digits, '.', "
                        "'_', ':' or '-', not starting with '.'");
    expect_file_refused("bind 127.0.0.1,::1\n",
                        ":1: bind: argument must be addresses separated by blanks");
    expect_file_refused("bind 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n",
                        ":1: bind: Too many bind addresses specified.");
    expect_refused("/nonexistent/x.conf", no_env, "/nonexistent/x.conf: No such file or directory");
    expect_refused("/tmp", no_env, "/tmp: Is a directory");
}

static void file_include(void)
{
    char inner[128];
    char text[512];
    path_of("inner.conf", inner);
    write_file(inner, "port 7001\ntimeout 7\n", 20);
    int n = snprintf(text, sizeof(text), "port 7000\ninclude %s\ntimeout 8\n", inner);
    struct config_store *s = load_text(text, (size_t)n);
    EXPECT_INT(config_values(s)->port, 7001);
    EXPECT_INT(config_values(s)->timeout_s, 8);
    config_free(s);
    char self[128];
    path_of("self.conf", self);
    n = snprintf(text, sizeof(text), "\ninclude \"%s\"\n", self);
    write_file(self, text, (size_t)n);
    snprintf(text, sizeof(text), "%s:2: include: too many files within each other", self);
    expect_refused(self, no_env, text);
    write_file(inner, "oops 1\n", 7);
    n = snprintf(text, sizeof(text), "include %s\n", inner);
    write_file(self, text, (size_t)n);
    snprintf(text, sizeof(text), "%s:1: unknown option 'oops'", inner);
    expect_refused(self, no_env, text);
}

static void units(void)
{
    static const struct {
        const char *text;
        int64_t bytes; /* -1 = refused */
    } sizes[] = {
        {"0", 0},
        {"1b", 1},
        {"1k", 1000},
        {"1KB", 1024},
        {"3m", 3000000},
        {"1Mb", 1 << 20},
        {"1g", 1000000000},
        {"1gB", 1 << 30},
        {"", -1},
        {"-1", -1},
        {"kb", -1},
        {"1.5gb", -1},
        {"1 kb", -1},
        {"1tb", -1},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", -1},
        {"9223372036854775807kb", -1},
    };
    struct config c;
    struct buf reason;
    config_init(&c);
    buf_init(&reason);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        c.maxmemory = -1;
        bool ok = option_parse(&options[OPT_maxmemory], bytes_cstr(sizes[i].text), &c, &reason);
        EXPECT_INT(c.maxmemory, sizes[i].bytes);
        EXPECT_INT(ok, sizes[i].bytes >= 0);
    }
    reason.len = 0;
    EXPECT(!option_parse(&options[OPT_maxmemory], BYTES_LIT("x"), &c, &reason));
    EXPECT_CSTR(buf_cstr(&reason), "argument must be a memory value");
    const struct option *seconds = &options[OPT_tombstone_retention_s];
    EXPECT(option_parse(seconds, BYTES_LIT("24h"), &c, &reason));
    EXPECT_INT(c.tombstone_retention_s, 86400);
    EXPECT(option_parse(seconds, BYTES_LIT("60s"), &c, &reason));
    EXPECT_INT(c.tombstone_retention_s, 60);
    EXPECT(option_parse(seconds, BYTES_LIT("1W"), &c, &reason));
    EXPECT_INT(c.tombstone_retention_s, 604800);
    EXPECT(!option_parse(seconds, BYTES_LIT("5ms"), &c, &reason));
    EXPECT(!option_parse(seconds, BYTES_LIT("d"), &c, &reason));
    EXPECT(!option_parse(seconds, BYTES_LIT("99999999999999999d"), &c, &reason));
    EXPECT_INT(c.tombstone_retention_s, 604800);
    const struct option *millis = &options[OPT_pg_timeout_ms];
    EXPECT(option_parse(millis, BYTES_LIT("250"), &c, &reason) && c.pg_timeout_ms == 250);
    EXPECT(option_parse(millis, BYTES_LIT("250ms"), &c, &reason) && c.pg_timeout_ms == 250);
    EXPECT(option_parse(millis, BYTES_LIT("2m"), &c, &reason) && c.pg_timeout_ms == 120000);
    buf_release(&reason);
    config_release(&c);
}

static void flags(void)
{
    struct config_store *s =
        load_ok("--port|7000|--bind|127.0.0.1|-::1|--timeout=9|--slowlog-log-slower-than|-1"
                "|--http-bind=*|::*|--requirepass=--x=y|--save||--appendonly|yes",
                no_env);
    const struct config *c = config_values(s);
    EXPECT_INT(c->port, 7000);
    EXPECT_CSTR(c->bind, "127.0.0.1 -::1");
    EXPECT_INT(c->timeout_s, 9);
    EXPECT_INT(c->slowlog_log_slower_than_us, -1);
    EXPECT_CSTR(c->http_bind, "* ::*");
    EXPECT_CSTR(c->requirepass, "--x=y");
    config_free(s);
    expect_refused("--port", no_env, "command line: port: needs a value");
    expect_refused("--port|--bind|x", no_env, "command line: port: needs a value");
    expect_refused("--nope|hush", no_env, "command line: unknown option 'nope'");
    expect_refused("--nope=hush", no_env, "command line: unknown option 'nope'");
    expect_refused("--", no_env, "command line: unknown option ''");
    expect_refused("--maxmemory-policy|allkeys-lru", no_env,
                   "command line: maxmemory-policy: always \"noeviction\" here");
    /* Whatever is wrong with a secret, it is not in the message. */
    expect_refused("--requirepass|hush|hush", no_env,
                   "command line: requirepass: takes one value (quote blanks)");
}

static void flags_scrubbed(void)
{
    char program[] = "respgres";
    char url[] = "--database-url=postgres://u:secret@h/d";
    char name[] = "--RequirePass";
    char pass[] = "hunter2";
    char port[] = "--port=7000";
    char *argv[] = {program, url, name, pass, port, NULL};
    struct buf error;
    buf_init(&error);
    struct config_store *s = config_load(5, argv, no_env, &error);
    EXPECT(s != NULL);
    EXPECT_CSTR(url, "--database-url=xxxxxxxxxxxxxxxxxxxxxxx");
    EXPECT_CSTR(name, "--RequirePass");
    EXPECT_CSTR(pass, "xxxxxxx");
    EXPECT_CSTR(port, "--port=7000");
    EXPECT_CSTR(config_values(s)->database_url, "postgresql://u:secret@h/d");
    EXPECT_CSTR(config_values(s)->requirepass, "hunter2");
    config_free(s);
    buf_release(&error);
}

static void environment(void)
{
    char *env[] = {(char[]){"RESPGRES_PORT=tcp://10.0.0.1:6379"},
                   (char[]){"RESPGRES_CONF_PORT=7000"},
                   (char[]){"RESPGRES_CONF_HTTP_BIND=* -::*"},
                   (char[]){"RESPGRES_CONF_CLIENT_OUTPUT_BUFFER_LIMIT=normal 1mb 0 0"},
                   (char[]){"RESPGRES_CONF_REQUIREPASS=a b"},
                   (char[]){"DATABASE_URL=postgres://env"},
                   NULL};
    struct config_store *s = load_ok("", env);
    const struct config *c = config_values(s);
    EXPECT_INT(c->port, 7000);
    EXPECT_CSTR(c->http_bind, "* -::*");
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_NORMAL].hard, 1 << 20);
    EXPECT_CSTR(c->requirepass, "a b");
    EXPECT_CSTR(c->database_url, "postgresql://env");
    config_free(s);
    char *ours[] = {(char[]){"RESPGRES_CONF_DATABASE_URL=dbname=x"},
                    (char[]){"DATABASE_URL=mysql://other"}, NULL};
    s = load_ok("", ours);
    EXPECT_CSTR(config_values(s)->database_url, "dbname=x");
    config_free(s);
    char *empty[] = {(char[]){"DATABASE_URL="}, (char[]){"DATABASE_URL_FILE="}, NULL};
    s = load_ok("", empty);
    EXPECT_CSTR(config_values(s)->database_url, "");
    config_free(s);
    char *unknown[] = {(char[]){"RESPGRES_CONF_PROT=7000"}, NULL};
    expect_refused("", unknown, "RESPGRES_CONF_PROT: there is no such option");
    char *lower[] = {(char[]){"RESPGRES_CONF_port=7000"}, NULL};
    expect_refused("", lower, "RESPGRES_CONF_port: there is no such option");
    char *bad[] = {(char[]){"RESPGRES_CONF_PORT=x"}, NULL};
    expect_refused("", bad,
                   "RESPGRES_CONF_PORT: port: argument couldn't be parsed into an integer");
    char *none[] = {(char[]){"RESPGRES_CONF_="}, NULL};
    expect_refused("", none, "RESPGRES_CONF_: there is no such option");
}

static void environment_secret_files(void)
{
    char path[128];
    char url_file[192];
    char pass_file[192];
    path_of("secret", path);
    snprintf(url_file, sizeof(url_file), "DATABASE_URL_FILE=%s", path);
    snprintf(pass_file, sizeof(pass_file), "RESPGRES_CONF_REQUIREPASS_FILE=%s", path);
    write_file(path, "host=h password=s\r\n", 19);
    char *env[] = {url_file, pass_file, NULL};
    struct config_store *s = load_ok("", env);
    EXPECT_CSTR(config_values(s)->database_url, "host=h password=s");
    EXPECT_CSTR(config_values(s)->requirepass, "host=h password=s");
    config_free(s);
    write_file(path, "two\n\n", 5); /* one newline belongs to the file, not more */
    char *pass_only[] = {pass_file, NULL};
    s = load_ok("", pass_only);
    EXPECT_CSTR(config_values(s)->requirepass, "two\n");
    config_free(s);
    char *both[] = {pass_file, (char[]){"RESPGRES_CONF_REQUIREPASS=x"}, NULL};
    expect_refused("", both,
                   "RESPGRES_CONF_REQUIREPASS_FILE: RESPGRES_CONF_REQUIREPASS is set as well: set "
                   "one");
    char *urls[] = {url_file, (char[]){"DATABASE_URL=x=y"}, NULL};
    expect_refused("", urls, "DATABASE_URL and DATABASE_URL_FILE are both set: set one");
    char *missing[] = {(char[]){"DATABASE_URL_FILE=/nonexistent"}, NULL};
    expect_refused("", missing,
                   "DATABASE_URL_FILE: cannot read the file: No such file or directory");
    char *port[] = {(char[]){"RESPGRES_CONF_PORT_FILE=/nonexistent"}, NULL};
    expect_refused("", port, "RESPGRES_CONF_PORT_FILE: only secrets can be given as a file");
    /* The name of an option may end like that of a variable for a file. */
    char *cert[] = {(char[]){"RESPGRES_CONF_TLS_CERT_FILE=/a.crt"},
                    (char[]){"RESPGRES_CONF_TLS_KEY_FILE=/a.key"},
                    (char[]){"RESPGRES_CONF_TLS_KEY_FILE_PASS=p"}, NULL};
    s = load_ok("", cert);
    EXPECT_CSTR(config_values(s)->tls_cert_file, "/a.crt");
    EXPECT_CSTR(config_values(s)->tls_key_file, "/a.key");
    EXPECT_CSTR(config_values(s)->tls_key_file_pass, "p");
    config_free(s);
    static char big[70000];
    memset(big, 'x', sizeof(big));
    write_file(path, big, sizeof(big));
    expect_refused("", pass_only, "RESPGRES_CONF_REQUIREPASS_FILE: the file is too long");
}

static void precedence(void)
{
    char path[128];
    char args[256];
    static const char text[] = "port 1\ntimeout 1\ndatabases 1\ndatabase-url host=file\n";
    path_of("order.conf", path);
    write_file(path, text, sizeof(text) - 1);
    char *env[] = {(char[]){"RESPGRES_CONF_PORT=2"}, (char[]){"RESPGRES_CONF_TIMEOUT=2"},
                   (char[]){"DATABASE_URL=host=env"}, NULL};
    snprintf(args, sizeof(args), "%s|--port|3", path);
    struct config_store *s = load_ok(args, env);
    const struct config *c = config_values(s);
    EXPECT_INT(c->port, 3);
    EXPECT_INT(c->timeout_s, 2);
    EXPECT_INT(c->databases, 1);
    EXPECT_CSTR(c->database_url, "host=env");
    EXPECT_CSTR(config_path(s), path);
    config_free(s);
}

static void get(void)
{
    struct config_store *s = load_ok("--requirepass|hush|--database-url|postgres://u:hush@h/d"
                                     "|--maxmemory|1mb|--pg-timeout|2s",
                                     no_env);
    expect_get(s, "maxmemory", "maxmemory=1048576;");
    expect_get(s, "MAXMEMORY", "MAXMEMORY=1048576;"); /* as Redis 7.0 does */
    expect_get(s, "MaxMem*", "maxmemory=1048576;maxmemory-policy=noeviction;maxmemory-samples=5;");
    expect_get(s, "requirepass", "requirepass=(redacted);");
    expect_get(s, "database-url", "database-url=(redacted);");
    expect_get(s, "pg-timeout", "pg-timeout=2000;");
    expect_get(s, "protected-mode", "protected-mode=yes;");
    expect_get(s, "loglevel", "loglevel=notice;");
    expect_get(s, "tcp-?acklog", "tcp-backlog=511;");
    expect_get(s, "save", "save=;");
    expect_get(s, "appendonly", "appendonly=yes;");
    expect_get(s, "nothing", "");
    expect_get(s, "client-output-buffer-limit",
               "client-output-buffer-limit=normal 0 0 0 slave 268435456 67108864 60 pubsub "
               "33554432 8388608 60;");
    struct buf out;
    buf_init(&out);
    const struct bytes patterns[] = {BYTES_LIT("timeo*"), BYTES_LIT("TIMEOUT"), BYTES_LIT("port")};
    config_each_matching(s, 3, patterns, collect, &out);
    EXPECT_CSTR(buf_cstr(&out), "port=6379;timeout=0;");
    out.len = 0;
    const struct bytes all = BYTES_LIT("*");
    config_each_matching(s, 1, &all, collect, &out);
    EXPECT(strstr(buf_cstr(&out), "hush") == NULL);
    buf_release(&out);
    config_free(s);
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

/* CONFIG SET with up to two pairs; the reply text, "" for OK. */
static void expect_set(struct config_store *s, const char *name1, const char *value1,
                       const char *name2, const char *value2, const char *want)
{
    struct bytes names[2] = {bytes_cstr(name1)};
    struct bytes values[2] = {bytes_cstr(value1)};
    if (name2 != NULL) {
        names[1] = bytes_cstr(name2);
        values[1] = bytes_cstr(value2);
    }
    struct buf error;
    buf_init(&error);
    bool ok = config_set(s, name2 != NULL ? 2 : 1, names, values, &error);
    EXPECT_INT(ok, want[0] == '\0');
    EXPECT_CSTR(buf_cstr(&error), want);
    buf_release(&error);
}

#define FAILED(name) "ERR CONFIG SET failed (possibly related to argument '" name "') - "

/* The texts are those of a real Redis 7.0.15. */
static void set(void)
{
    struct config_store *s = load_ok("", no_env);
    const struct config *c = config_values(s);
    int calls = 0;
    config_on_change(s, count_call, &calls);
    expect_set(s, "Timeout", "5", "maxmemory", "10kB", "");
    EXPECT_INT(c->timeout_s, 5);
    EXPECT_INT(c->maxmemory, 10240);
    EXPECT_INT(calls, 1);
    expect_set(s, "requirepass", "x\ny", NULL, NULL, "");
    EXPECT_CSTR(c->requirepass, "x\ny");
    expect_set(s, "requirepass", "", "loglevel", "WARNING", "");
    EXPECT_CSTR(c->requirepass, "");
    EXPECT_INT(c->loglevel, LOG_WARNING);
    expect_set(s, "save", "", "APPENDONLY", "Yes", "");
    EXPECT_INT(calls, 4);
    expect_set(s, "timeout", "6", "maxclients", "0",
               FAILED("maxclients") "argument must be between 1 and 4294967295 inclusive");
    EXPECT_INT(c->timeout_s, 5);
    expect_set(s, "MaxClients", "abc", NULL, NULL,
               FAILED("maxclients") "argument couldn't be parsed into an integer");
    expect_set(s, "timeout", "99999999999999999999", NULL, NULL,
               FAILED("timeout") "argument couldn't be parsed into an integer");
    expect_set(s, "protected-mode", "maybe", NULL, NULL,
               FAILED("protected-mode") "argument must be 'yes' or 'no'");
    expect_set(s, "loglevel", "loud", NULL, NULL,
               FAILED("loglevel") "argument(s) must be one of the following: debug, verbose, "
                                  "notice, warning");
    expect_set(s, "maxmemory", "-1", NULL, NULL,
               FAILED("maxmemory") "argument must be a memory value");
    expect_set(s, "proto-max-bulk-len", "5", NULL, NULL,
               FAILED("proto-max-bulk-len") "argument must be between 1048576 and "
                                            "9223372036854775807 inclusive");
    expect_set(s, "nope", "1", NULL, NULL,
               "ERR Unknown option or number of arguments for CONFIG SET - 'nope'");
    expect_set(s, "a\nb", "1", NULL, NULL,
               "ERR Unknown option or number of arguments for CONFIG SET - 'a b'");
    expect_set(s, "databases", "16", NULL, NULL, FAILED("databases") "can't set immutable config");
    expect_set(s, "databases", "1", "nope", "1", FAILED("databases") "can't set immutable config");
    expect_set(s, "timeout", "x", "Nope", "1",
               "ERR Unknown option or number of arguments for CONFIG SET - 'Nope'");
    expect_set(s, "Timeout", "1", "TIMEOUT", "2", FAILED("TIMEOUT") "duplicate parameter");
    expect_set(
        s, "notify-keyspace-events", "q", NULL, NULL,
        FAILED("notify-keyspace-events") "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    expect_set(s, "notify-keyspace-events", "nKmE$g", NULL, NULL, "");
    expect_get(s, "notify-keyspace-events", "notify-keyspace-events=g$nKEm;");
    expect_set(s, "notify-keyspace-events", "nlhzxetdEKg$s", NULL, NULL, "");
    expect_get(s, "notify-keyspace-events", "notify-keyspace-events=AKE;");
    expect_set(s, "notify-keyspace-events", "", NULL, NULL, "");
    expect_get(s, "notify-keyspace-events", "notify-keyspace-events=;");
    expect_set(s, "save", "", "save", "", FAILED("save") "duplicate parameter");
    expect_set(s, "payload", "a:*  json", NULL, NULL, "");
    expect_set(s, "payload", "a:* json b:*", NULL, NULL,
               FAILED("payload") "a pattern has no format behind it");
    expect_get(s, "payload", "payload=a:* json;");
    EXPECT_INT(calls, 8);
    config_free(s);
}

static void output_limit(void)
{
    static const char name[] = "client-output-buffer-limit";
    struct config_store *s = load_ok("", no_env);
    const struct config *c = config_values(s);
    expect_set(s, name, "normal 1mb 2mb 10", NULL, NULL, "");
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_NORMAL].hard, 1 << 20);
    expect_set(s, name, "replica 5 0 0 PubSub 6 0 0", NULL, NULL, "");
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_NORMAL].hard, 1 << 20);
    expect_set(s, name, "", NULL, NULL, "");
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_NORMAL].hard, 1 << 20);
    expect_set(s, name, "normal 5 0 1 normal 6 0 0", NULL, NULL, "");
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_NORMAL].hard, 6);
    expect_set(s, name, "2kb", NULL, NULL, "");
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_NORMAL].hard, 2048);
    expect_get(s, name, "client-output-buffer-limit=normal 2048 0 0 slave 5 0 0 pubsub 6 0 0;");
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_PUBSUB].hard, 6);
    expect_set(s, name, "pubsub 3k 2k 9", NULL, NULL, "");
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_PUBSUB].hard, 3000);
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_PUBSUB].soft, 2000);
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_PUBSUB].soft_s, 9);
    expect_set(s, name, "normal 0 0 0 pubsub 0 0", NULL, NULL,
               FAILED("client-output-buffer-limit") "Wrong number of arguments in buffer limit "
                                                    "configuration.");
    expect_set(s, name, "foo 1 1 1", NULL, NULL,
               FAILED("client-output-buffer-limit") "Invalid client class specified in buffer "
                                                    "limit configuration.");
    expect_set(s, name, "normal 5 0 -1", NULL, NULL,
               FAILED("client-output-buffer-limit") "Error in hard, soft or soft_seconds setting "
                                                    "in buffer limit configuration.");
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_NORMAL].hard, 2048);
    /* What CONFIG GET shows can be set again. */
    expect_set(s, name, "normal 7 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", NULL,
               NULL, "");
    EXPECT_INT(c->client_output_buffer_limit.of[OUTPUT_NORMAL].hard, 7);
    config_free(s);
}

static void reload(void)
{
    char path[128];
    char args[256];
    struct buf error;
    int calls = 0;
    buf_init(&error);
    path_of("reload.conf", path);
    write_file(path, "timeout 1\nport 7000\n", 20);
    snprintf(args, sizeof(args), "%s|--maxclients|50", path);
    struct config_store *s = load_ok(args, no_env);
    const struct config *c = config_values(s);
    config_on_change(s, count_call, &calls);
    write_file(path, "timeout 2\nport 7001\nmaxclients 60\ndatabases 4\n", 46);
    EXPECT(config_reload(s, &error));
    EXPECT_CSTR(buf_cstr(&error), "port, databases, instance-name");
    EXPECT_INT(c->timeout_s, 2);
    EXPECT_INT(c->port, 7000);
    EXPECT_INT(c->databases, 16);
    EXPECT_INT(c->maxclients, 50); /* the flag stays above the file */
    EXPECT_INT(calls, 1);
    write_file(path, "timeout 3\nport x\n", 17);
    error.len = 0;
    EXPECT(!config_reload(s, &error));
    EXPECT(strstr(buf_cstr(&error), ":2: port: ") != NULL);
    EXPECT_INT(c->timeout_s, 2);
    EXPECT_INT(calls, 1);
    /* CONFIG SET lasts until the next reload. */
    expect_set(s, "maxclients", "70", "timeout", "9", "");
    write_file(path, "port 7000\n", 10);
    error.len = 0;
    EXPECT(config_reload(s, &error));
    EXPECT_CSTR(buf_cstr(&error), "");
    EXPECT_INT(c->maxclients, 50);
    EXPECT_INT(c->timeout_s, 0);
    unlink(path);
    EXPECT(!config_reload(s, &error));
    EXPECT_INT(c->port, 7000);
    buf_release(&error);
    config_free(s);
}

struct preparer {
    int asked;
    int named; /* -1 = a reload */
    bool agrees;
    int64_t tls_port;
    int64_t port;
};

static bool on_prepare(void *arg, const char *name, const struct config *fresh, struct buf *reason)
{
    struct preparer *p = arg;
    p->named = name != NULL ? strcmp(name, "tls-port") == 0 : -1;
    p->asked++;
    p->tls_port = fresh->tls_port;
    p->port = fresh->port;
    if (!p->agrees)
        buf_append_cstr(reason, "not today");
    return p->agrees;
}

/* Somebody has a say before options become live, and sees them as they would be. */
static void prepared(void)
{
    char path[128];
    struct preparer p = {.agrees = true};
    struct buf error;
    int calls = 0;
    buf_init(&error);
    path_of("reload.conf", path);
    write_file(path, "port 7000\n", 10);
    struct config_store *s = load_ok(path, no_env);
    const struct config *c = config_values(s);
    config_on_change(s, count_call, &calls);
    config_on_prepare(s, on_prepare, &p);
    expect_set(s, "timeout", "1", NULL, NULL, "");
    EXPECT_INT(p.asked, 0);
    expect_set(s, "timeout", "2", "tls-port", "7001", "");
    EXPECT_INT(p.asked, 1);
    EXPECT_INT(p.named, 1);
    EXPECT_INT(p.tls_port, 7001);
    expect_set(s, "tls-port", "7001", NULL, NULL, ""); /* files behind it may have changed */
    EXPECT_INT(p.asked, 2);
    expect_set(
        s, "tls-port", "7000", NULL, NULL,
        FAILED("tls-port") "tls-port: the same as port: each needs one of its own, and port 0 "
                           "leaves TLS alone");
    expect_set(s, "tls-port", "x", NULL, NULL,
               FAILED("tls-port") "argument couldn't be parsed into an integer");
    EXPECT_INT(p.asked, 2);
    p.agrees = false;
    expect_set(s, "timeout", "3", "TLS-Port", "7002", FAILED("TLS-Port") "not today");
    EXPECT_INT(c->timeout_s, 2);
    EXPECT_INT(c->tls_port, 7001);
    EXPECT_INT(calls, 3);
    /* A reload asks always, with what cannot change as it is. */
    write_file(path, "port 7003\ntls-port 7004\n", 24);
    EXPECT(!config_reload(s, &error));
    EXPECT_CSTR(buf_cstr(&error), "not today");
    EXPECT_INT(p.named, -1);
    EXPECT_INT(p.port, 7000);
    EXPECT_INT(p.tls_port, 7004);
    EXPECT_INT(c->tls_port, 7001);
    EXPECT_INT(calls, 3);
    p.agrees = true;
    error.len = 0;
    EXPECT(config_reload(s, &error));
    EXPECT_CSTR(buf_cstr(&error), "port, instance-name");
    EXPECT_INT(c->tls_port, 7004);
    EXPECT_INT(c->timeout_s, 0);
    unlink(path);
    buf_release(&error);
    config_free(s);
}

static void tls_protocols(void)
{
    struct config_store *s =
        load_ok("--tls-protocols|TLSv1.2 tlsv1.3|--tls-auth-clients|Optional", no_env);
    EXPECT_CSTR(config_values(s)->tls_protocols, "TLSv1.2 tlsv1.3");
    EXPECT_INT(config_values(s)->tls_auth_clients, TLS_AUTH_OPTIONAL);
    config_free(s);
    expect_file_refused("tls-protocols TLSv1.2 TLSv2\n",
                        ":1: tls-protocols: Invalid tls-protocols specified. Use a combination of "
                        "'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'.");
    expect_file_refused("tls-cluster yes\n", ":1: tls-cluster: always \"no\" here");
}

/* The files that variables name are read again, and database-url may change. */
static void reload_of_secrets(void)
{
    char url[128];
    char password[128];
    char url_variable[256];
    char password_variable[256];
    struct buf error;
    buf_init(&error);
    path_of("url", url);
    path_of("password", password);
    snprintf(url_variable, sizeof(url_variable), "DATABASE_URL_FILE=%s", url);
    snprintf(password_variable, sizeof(password_variable), "RESPGRES_CONF_REQUIREPASS_FILE=%s",
             password);
    char *env[] = {url_variable, password_variable, NULL};
    write_file(url, "postgres://u:old@h/d\n", 21);
    write_file(password, "old\n", 4);
    struct config_store *s = load_ok("--maxclients|50", env);
    const struct config *c = config_values(s);
    EXPECT_CSTR(c->database_url, "postgresql://u:old@h/d");
    write_file(url, "postgres://u:new@h/d\n", 21);
    write_file(password, "new\n", 4);
    EXPECT(config_reload(s, &error));
    EXPECT_CSTR(buf_cstr(&error), "");
    EXPECT_CSTR(c->database_url, "postgresql://u:new@h/d");
    EXPECT_CSTR(c->requirepass, "new");
    EXPECT_INT(c->maxclients, 50);
    unlink(url);
    EXPECT(!config_reload(s, &error));
    EXPECT(strstr(buf_cstr(&error), "DATABASE_URL_FILE: ") != NULL);
    EXPECT_CSTR(c->database_url, "postgresql://u:new@h/d");
    unlink(password);
    struct bytes name = BYTES_LIT("database-url");
    struct bytes value = BYTES_LIT("postgresql://elsewhere/d");
    error.len = 0;
    EXPECT(!config_set(s, 1, &name, &value, &error));
    EXPECT(strstr(buf_cstr(&error), "immutable") != NULL);
    buf_release(&error);
    config_free(s);
}

static void url_refused(void)
{
    expect_refused("--database-url|mysql://u:hush@h/d", no_env,
                   "command line: database-url: the URL's scheme is not PostgreSQL's: use "
                   "postgresql://");
    expect_refused("--database-url|localhost", no_env,
                   "command line: database-url: neither a postgresql:// URL nor keyword=value");
    expect_refused(
        "--database-url|postgres://u:a/hu?sh@h/d", no_env,
        "command line: database-url: a parameter behind '?' has no '=', or two (in a user "
        "name or password, write / as %2F, ? as %3F, = as %3D and @ as %40)");
    expect_refused(
        "--database-url|postgres://h/d?password=hu=sh", no_env,
        "command line: database-url: a parameter behind '?' has no '=', or two (in a user "
        "name or password, write / as %2F, ? as %3F, = as %3D and @ as %40)");
    static const char *const places[] = {"postgres://u:hu@sh@h/d", "postgres://u:hu/sh@h/d",
                                         "postgres://u:12/sh@h/d", "postgres://u:p@h:12x/d",
                                         "postgres://u:p@[::1/d",  "postgres://u:p@[]/d",
                                         "postgres://u:p@a,b:x/d", "postgres://u:p@[::1]x/d"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char args[100];
        snprintf(args, sizeof(args), "--database-url|%s", places[i]);
        expect_refused(
            args, no_env,
            "command line: database-url: host, port and database cannot be told apart (in "
            "a user name or password, write / as %2F, ? as %3F and @ as %40; a port is a "
            "number)");
    }
    expect_refused(
        "--database-url|postgres://u:hu%zzsh@h/d", no_env,
        "command line: database-url: a % is not followed by two hexadecimal digits, or by "
        "00 (write % itself as %25)");
    expect_refused(
        "--database-url|postgres://u:hush@h/d%00", no_env,
        "command line: database-url: a % is not followed by two hexadecimal digits, or by "
        "00 (write % itself as %25)");
    static const char *const good[] = {
        "postgresql://",
        "postgresql://h",
        "postgresql://h:5432",
        "postgresql:///d",
        "postgresql://@/d",
        "postgresql://u@a:1,b:2,c/d",
        "postgresql://[::1]/d",
        "postgresql://[::1]:5/d",
        "postgresql://%2Frun%2Fpg/d",
        "postgresql://a,[fe80::1],b:7/d?host=x",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char args[100];
        snprintf(args, sizeof(args), "--database-url|%s", good[i]);
        struct config_store *s = load_ok(args, no_env);
        EXPECT_CSTR(config_values(s)->database_url, good[i]);
        config_free(s);
    }
    struct config_store *s = load_ok("--database-url|postgresql+psycopg2://u:p?x@h/d", no_env);
    EXPECT_CSTR(config_values(s)->database_url, "postgresql://u:p?x@h/d");
    config_free(s);
}

static void bind_addresses(void)
{
    struct config_store *s = load_ok("--bind|*|-::*|::1|-fe80::1%eth0", no_env);
    EXPECT_CSTR(config_values(s)->bind, "* -::* ::1 -fe80::1%eth0");
    expect_get(s, "bind", "bind=* -::* ::1 -fe80::1%eth0;");
    config_free(s);
    s = load_ok("--bind|", no_env);
    EXPECT_CSTR(config_values(s)->bind, "");
    config_free(s);
}

/* No line of the start's log has a secret in it. */
static void logged(void)
{
    char path[128];
    path_of("log", path);
    fflush(stdout);
    int saved = dup(STDERR_FILENO);
    if (freopen(path, "w", stderr) == NULL)
        abort();
    struct config_store *s =
        load_ok("--requirepass|hush|--database-url|postgres://u:hush@h/d?pool=3|--port|7000"
                "|--timeout|0",
                no_env);
    config_log(s);
    config_free(s);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    char text[4096] = "";
    FILE *f = fopen(path, "r");
    size_t n = f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f != NULL)
        fclose(f);
    text[n] = '\0';
    EXPECT(strstr(text, "hush") == NULL);
    EXPECT(strstr(text, "names=\"pool\"") != NULL);
    EXPECT(strstr(text, "event=option name=port value=\"7000\" source=flag\n") != NULL);
    EXPECT(strstr(text, "name=requirepass value=\"(redacted)\" source=flag") != NULL);
    EXPECT(strstr(text, "name=database-url value=\"(redacted)\" source=flag") != NULL);
    EXPECT(strstr(text, "name=timeout") == NULL); /* given, but at its default */
    EXPECT(strstr(text, "name=bind") == NULL);
}

static size_t read_whole(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return 0;
    size_t n;
    while ((n = fread(buf_reserve(out, 4096), 1, 4096, f)) > 0)
        out->len += n;
    fclose(f);
    return out->len;
}

/* conf/respgres.conf is what the table makes of it, no more and no less: each option with its
 * default and its prose. RESPGRES_UPDATE=1 in the environment writes it anew. */
static void sample_file(void)
{
    static const char path[] = RESPGRES_SOURCE_DIR "/conf/respgres.conf";
    struct buf want;
    struct buf got;
    buf_init(&want);
    buf_init(&got);
    config_sample(&want);
    if (getenv("RESPGRES_UPDATE") != NULL)
        write_file(path, want.data, want.len);
    EXPECT(read_whole(path, &got) > 0);
    EXPECT(bytes_eq(buf_bytes(&got), buf_bytes(&want))); /* else: run with RESPGRES_UPDATE=1 */
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char line[128];
        snprintf(line, sizeof(line), "\n#%s ", options[i].name);
        EXPECT(strstr(buf_cstr(&got), line) != NULL);
    }
    buf_release(&want);
    buf_release(&got);
}

/* The sample loads as it is, and with every option's # taken away it changes nothing. */
static void sample_file_loads(void)
{
    struct buf text;
    struct config_store *plain = load_ok("", no_env);
    struct config_store *s = load_ok(RESPGRES_SOURCE_DIR "/conf/respgres.conf", no_env);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        EXPECT(option_equal(&options[i], config_values(s), config_values(plain)));
    config_free(s);
    buf_init(&text);
    config_sample(&text);
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.data[i] == '#' && (i == 0 || text.data[i - 1] == '\n') && text.data[i + 1] != ' ')
            text.data[i] = ' ';
    }
    s = load_text(text.data, text.len);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        EXPECT(option_equal(&options[i], config_values(s), config_values(plain)));
    config_free(s);
    config_free(plain);
    buf_release(&text);
}

static void options_that_exclude_each_other(void)
{
    struct config c;
    struct buf reason;
    config_init(&c);
    buf_init(&reason);
    EXPECT(check_together(&c, &reason));
    c.consistency = CONSISTENCY_STRICT + 1;
    EXPECT(check_together(&c, &reason));
    c.pg_pooler = POOLER_TRANSACTION;
    EXPECT(!check_together(&c, &reason));
    EXPECT(strstr(buf_cstr(&reason), "pg-pooler transaction") != NULL);
    EXPECT(strstr(buf_cstr(&reason), "LISTEN") != NULL);
    c.consistency = CONSISTENCY_STRICT;
    EXPECT(check_together(&c, &reason));
    buf_release(&reason);
    config_release(&c);
}

static void usage(void)
{
    struct buf out;
    buf_init(&out);
    config_usage(&out);
    const char *text = buf_cstr(&out);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char flag[128];
        snprintf(flag, sizeof(flag), "  --%s ", options[i].name);
        EXPECT(strstr(text, flag) != NULL);
        EXPECT(strlen(options[i].prose) > 20);
    }
    for (const char *p = text; *p != '\0'; p += strcspn(p, "\n") + 1)
        EXPECT(strcspn(p, "\n") <= 100);
    buf_release(&out);
}

static void clean_up(void)
{
    static const char *const names[] = {"bad.conf",   "good.conf", "inner.conf", "self.conf",
                                        "order.conf", "secret",    "log"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        path_of(names[i], path);
        unlink(path);
    }
    EXPECT_INT(rmdir(folder), 0);
}

TEST_MAIN(TEST(defaults), TEST(file_syntax), TEST(file_errors), TEST(file_include), TEST(units),
          TEST(flags), TEST(flags_scrubbed), TEST(environment), TEST(environment_secret_files),
          TEST(precedence), TEST(get), TEST(set), TEST(output_limit), TEST(reload),
          TEST(reload_of_secrets), TEST(prepared), TEST(tls_protocols), TEST(url_refused),
          TEST(bind_addresses), TEST(logged), TEST(sample_file), TEST(sample_file_loads),
          TEST(options_that_exclude_each_other), TEST(usage), TEST(clean_up))
