/* Commands about the connection, the server and the whole keyspace: how they fit in between the
 * others. */
#include "command/command.h"
#include "world.h"

static void begin(struct world *w)
{
    begin_two(w, NULL);
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* ---- whole-keyspace commands ---- */

static void queries_are_barriers(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    hold(&w, MEMORY_QUERY, true);
    peer_say(&w.a, "SET x 1;DBSIZE;SET y 1;GET x;DBSIZE");
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_QUERY, 0), 0);
    answer(&w, MEMORY_COMMIT);
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_QUERY, 0), 1);
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_COMMIT, 0), 0);
    EXPECT_CSTR(peer_ask(&w.b, "GET x"), "$1 1");
    answer(&w, MEMORY_QUERY);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    answer(&w, MEMORY_QUERY);
    EXPECT_CSTR(peer_take(&w.a), "+OK :1 +OK $1 1 :2");
    end(&w);
}

static void keys_and_scan(void)
{
    struct world w;
    begin(&w);
    peer_say(&w.a, "MSET user:1 a user:2 b other c;SET gone 1 PXAT 1");
    memory_store_write(w.ms, 0, "dead", NULL);
    EXPECT_CSTR(peer_ask(&w.b, "DBSIZE;KEYS user:*"), ":3 *2 $6 user:1 $6 user:2");
    EXPECT_CSTR(peer_ask(&w.b, "KEYS *r:1"), "*1 $6 user:1");
    EXPECT_CSTR(peer_ask(&w.b, "SCAN 0 COUNT 100"), "*2 $1 0 *3 $6 user:1 $6 user:2 $5 other");
    EXPECT_CSTR(peer_ask(&w.b, "SCAN 0 COUNT 2"), "*2 $1 2 *2 $6 user:1 $6 user:2");
    EXPECT_CSTR(peer_ask(&w.b, "SCAN 2 COUNT 2 MATCH o*"), "*2 $1 4 *1 $5 other");
    EXPECT_CSTR(peer_ask(&w.b, "SCAN 4 COUNT 2"), "*2 $1 0 *0");
    EXPECT_CSTR(peer_ask(&w.b, "SCAN 0 TYPE list COUNT 9"), "*2 $1 0 *0");
    EXPECT_CSTR(peer_ask(&w.b, "SCAN 0 COUNT 0;SCAN x;SCAN 0 NOPE 1"),
                "-ERR syntax error -ERR invalid cursor -ERR syntax error");
    end(&w);
}

static void flushing(void)
{
    struct world w;
    begin(&w);
    peer_say(&w.a, "SET k zero;SELECT 1;SET k one");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$4 zero");
    EXPECT_CSTR(peer_ask(&w.a, "FLUSHDB;GET k;SETNX k two"), "+OK +OK +OK +OK $-1 :1");
    EXPECT_CSTR(peer_ask(&w.b, "GET k;FLUSHALL ASYNC;GET k;FLUSHDB NOW"),
                "$4 zero +OK $-1 -ERR syntax error");
    EXPECT_CSTR(peer_ask(&w.a, "GET k;INCR n"), "$-1 :1");
    end(&w);
}

/* A FLUSH meets a write that was computed from what it takes away. */
static void a_flush_beats_what_was_read_before_it(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET n 5;GET n;SET same v"), "+OK $1 5 +OK");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "INCR n");
    peer_say(&w.a, "SET same v");
    EXPECT_CSTR(peer_ask(&w.b, "FLUSHDB"), "+OK");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1 +OK");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "same"), "v");
    end(&w);
}

/* The rows change places; what is known of them must not stay behind. */
static void swapping(void)
{
    struct world w;
    begin(&w);
    peer_say(&w.a, "SET k zero;SELECT 1;SET k one;EXPIRE k 100;GET k;SELECT 0;GET k");
    EXPECT_CSTR(peer_ask(&w.b, "SWAPDB 0 1;GET k;TTL k;SELECT 1;GET k;TTL k"),
                "+OK $3 one :100 +OK $4 zero :-1");
    EXPECT_CSTR(peer_ask(&w.b, "SWAPDB 0 99;SWAPDB x 1;SWAPDB 0 x"),
                "-ERR DB index is out of range -ERR invalid first DB index -ERR invalid second DB "
                "index");
    end(&w);
}

/* The same while an entry is in use, so that the cache cannot just drop it. */
static void swapping_under_a_reader(void)
{
    struct world w;
    begin(&w);
    peer_say(&w.a, "SELECT 1;SET k one;SELECT 0;SET k zero;GET k;SELECT 1;EXPIRE k 100;SELECT 0");
    peer_take(&w.a);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k");
    EXPECT(memory_store_execute(w.ms, MEMORY_READ, 0));
    EXPECT_CSTR(peer_ask(&w.b, "SWAPDB 0 1"), "+OK");
    peer_say(&w.b, "GET k");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "$4 zero");
    EXPECT_CSTR(peer_take(&w.b), "$3 one");
    end(&w);
}

static void a_lost_query_says_so(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_QUERY, true);
    peer_say(&w.a, "DBSIZE;FLUSHDB;PING");
    EXPECT(memory_store_lose(w.ms, MEMORY_QUERY, 0, MEMORY_LOST_FENCED));
    EXPECT(memory_store_lose(w.ms, MEMORY_QUERY, 0, MEMORY_LOST_FENCED));
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "-LOADING PostgreSQL is not reachable -ERR PostgreSQL did not "
                                 "confirm, it may or may not have been done +PONG");
    end(&w);
}

/* They may take their time, and what waits behind them too. */
static void a_slow_query_does_not_time_out(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_QUERY, true);
    peer_say(&w.a, "DBSIZE;GET k");
    rig_advance_ms(&w.rig, 10 * RIG_TIMEOUT_MS);
    EXPECT_CSTR(peer_take(&w.a), "");
    hold(&w, MEMORY_QUERY, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":0 $-1");
    end(&w);
}

static void info_counts_keys(void)
{
    struct world w;
    begin(&w);
    peer_say(&w.a, "SET x 1;SET y 1 EX 100;SELECT 2;SET z 1");
    EXPECT_CSTR(peer_ask(&w.b, "INFO keyspace"),
                "$76 # Keyspace db0:keys=2,expires=1,avg_ttl=0 db2:keys=1,expires=0,avg_ttl=0 ");
    EXPECT(has(peer_ask(&w.b, "INFO"), "memory_store_commits:") ||
           has(peer_ask(&w.b, "INFO everything"), "memory_store_commits:"));
    EXPECT(has(peer_ask(&w.b, "INFO commandstats"), "cmdstat_set:calls=3,"));
    EXPECT(has(peer_ask(&w.b, "CONFIG RESETSTAT;INFO commandstats"), "+OK"));
    EXPECT(!has(peer_ask(&w.b, "INFO commandstats"), "cmdstat_set:"));
    end(&w);
}

/* ---- databases, passwords, protocols ---- */

static void databases_are_apart(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET k zero;SELECT 1;SET k one;SELECT 16;SELECT x;GET k;SELECT 0;GET k");
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_COMMIT, 0), 2);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK +OK -ERR DB index is out of range -ERR value is not an "
                                 "integer or out of range $3 one +OK $4 zero");
    end(&w);
}

static void without_the_password_nothing_runs(void)
{
    static const char *const flags[] = {"--requirepass", "secret", NULL};
    static const char noauth[] = "-NOAUTH Authentication required.";
    struct world w;
    begin_two(&w, flags);
    EXPECT(!client_authenticated(w.a.client));
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), noauth);
    EXPECT_CSTR(peer_ask(&w.a, "PING"), noauth);
    EXPECT_CSTR(peer_ask(&w.a, "AUTH wrong"),
                "-WRONGPASS invalid username-password pair or user is disabled.");
    EXPECT_CSTR(peer_ask(&w.a, "AUTH secret;GET k"), "+OK $-1");
    EXPECT(client_authenticated(w.a.client));
    EXPECT(has(peer_ask(&w.b, "HELLO 3 AUTH default secret SETNAME bob"), "%7 "));
    EXPECT_CSTR(peer_ask(&w.b, "CLIENT GETNAME;GET k"), "$3 bob _");
    EXPECT_CSTR(peer_ask(&w.b, "RESET;GET k"), "+RESET -NOAUTH Authentication required.");
    end(&w);
}

/* A reply has the protocol of its request's moment. */
static void hello_in_a_pipeline(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k;HELLO 3;GET k");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    const char *got = peer_take(&w.a);
    EXPECT(strncmp(got, "$-1 %7 ", 7) == 0);
    EXPECT(strcmp(got + strlen(got) - 2, " _") == 0);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;GET k;EXEC;WATCH k"), "+OK +QUEUED *1 _ +OK");
    memory_store_write(w.ms, 0, "k", "v");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;GET k;EXEC"), "+OK +QUEUED _");
    end(&w);
}

/* Also where a query of the whole keyspace makes the block one of several steps. */
static void hello_in_a_block(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;HELLO 3;DBSIZE;GET none;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED *3 %7 $6 server $5 redis $7 version $6 7.0.15 $5 proto :3 "
                "$2 id :1 $4 mode $10 standalone $4 role $6 master $7 modules *0 :0 _");
    EXPECT_CSTR(peer_ask(&w.a, "GET none"), "_");
    end(&w);
}

static void keys_that_are_too_long(void)
{
    struct world w;
    char key[2602];
    begin(&w);
    memset(key, 'k', sizeof(key));
    struct bytes argv[] = {BYTES_LIT("SET"), bytes_of(key, 2601), BYTES_LIT("v")};
    peer_send_argv(&w.a, 3, argv);
    argv[1].len = 2600;
    peer_send_argv(&w.a, 3, argv);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "-ERR key is too long (the limit is 2600 bytes) +OK");
    end(&w);
}

/* ---- replies off, leaving, killing ---- */

static void replies_off_and_on(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT REPLY SKIP;SET k 1;GET k"), "$1 1");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT REPLY SKIP;NOSUCH;PING"), "+PONG");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT REPLY OFF;SET k 2;GET k;NOSUCH;CLIENT REPLY SKIP;PING"), "");
    EXPECT_INT(client_pending(w.a.client), 0);
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT REPLY ON;GET k"), "+OK $1 2");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT REPLY NONE"), "-ERR syntax error");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT REPLY OFF;RESET;GET k"), "+RESET $1 2");
    end(&w);
}

static void quit_comes_after_what_was_asked(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k;QUIT;SET never 1");
    EXPECT(!w.a.told_close);
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "$-1 +OK");
    EXPECT(w.a.told_close);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "never"), "(nil)");
    end(&w);
}

static void protocol_errors_close(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k");
    client_protocol_error(w.a.client, "ERR Protocol error: invalid bulk length");
    EXPECT(!w.a.told_close);
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "$-1 -ERR Protocol error: invalid bulk length");
    EXPECT(w.a.told_close);
    end(&w);
}

/* A browser that was made to talk to us must not get further than its first line. */
static void http_is_cut_off(void)
{
    static const char *const lines[] = {"POST / HTTP/1.1", "Host: 127.0.0.1:6379"};
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        begin(&w);
        EXPECT_CSTR(peer_ask(&w.a, lines[i]), "");
        EXPECT(w.a.told_close || w.a.told_close_now);
        peer_say(&w.a, "SET k 1");
        EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "(nil)");
        end(&w);
    }
}

static void killing(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.b, "SET k 1");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT ID;CLIENT KILL ID 2;CLIENT KILL ID 9"), ":1 :1 :0");
    EXPECT(w.b.told_close_now);
    peer_say(&w.b, "SET k 2");
    peer_close(&w.b);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "1");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT KILL ID 1"), ":0");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT KILL ID 1 SKIPME no;PING"), ":1");
    EXPECT(w.a.told_close && !w.a.told_close_now);
    end(&w);
}

static void killing_by_address(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT KILL 1.2.3.4:5"), "-ERR No such client");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT KILL 127.0.0.1:50001"), "+OK");
    EXPECT(w.a.told_close);
    EXPECT(w.b.told_close_now);
    end(&w);
}

static void clients_are_listed(void)
{
    struct world w;
    begin(&w);
    peer_say(&w.a, "CLIENT SETNAME alice;SELECT 3;MULTI;SET k 1");
    const char *list = peer_ask(&w.b, "CLIENT LIST");
    EXPECT(has(list, "id=1 addr=127.0.0.1:50001 laddr=127.0.0.1:6379 fd=7 name=alice "));
    EXPECT(has(list, " db=3 ") && has(list, " multi=1 ") && has(list, "cmd=client|list"));
    EXPECT(!has(peer_ask(&w.b, "CLIENT LIST ID 2"), "alice"));
    EXPECT_CSTR(peer_ask(&w.b, "CLIENT LIST TYPE master"), "$0 ");
    end(&w);
}

/* ---- monitor, slowlog ---- */

static void monitors_see_commands(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.b, "MONITOR"), "+OK");
    EXPECT(!client_may_idle_out(w.b.client));
    peer_say(&w.a, "SET k v;NOSUCH;CONFIG GET port;GET k");
    const char *got = peer_take(&w.b);
    EXPECT(has(got, " [0 127.0.0.1:50001] \"SET\" \"k\" \"v\""));
    EXPECT(has(got, "\"GET\" \"k\""));
    EXPECT(!has(got, "NOSUCH") && !has(got, "CONFIG"));
    struct bytes argv[] = {BYTES_LIT("ECHO"), BYTES_LIT("\r\n\"\x01\\")};
    peer_send_argv(&w.a, 2, argv);
    peer_say(&w.a, "SELECT 2;HELLO 2 AUTH default secret;GET k");
    got = peer_take(&w.b);
    EXPECT(has(got, "\"\\r\\n\\\"\\x01\\\\\""));
    EXPECT(!has(got, "secret"));
    EXPECT(has(got, " [2 127.0.0.1:50001] \"GET\""));
    EXPECT_CSTR(peer_ask(&w.b, "RESET"), "+RESET"); /* shown after it has run: to no one here */
    peer_say(&w.a, "GET k");
    EXPECT_CSTR(peer_take(&w.b), "");
    end(&w);
}

/* Redis shows a block's commands when they run, between MULTI and EXEC. */
static void monitors_see_blocks(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.b, "MONITOR"), "+OK");
    peer_say(&w.a, "MULTI;SET k v;INCR n;EXEC");
    const char *got = peer_take(&w.b);
    const char *multi = strstr(got, "\"MULTI\"");
    const char *set = strstr(got, "\"SET\" \"k\" \"v\"");
    const char *incr = strstr(got, "\"INCR\" \"n\"");
    const char *exec = strstr(got, "\"EXEC\"");
    EXPECT(multi != NULL && set != NULL && incr != NULL && exec != NULL);
    EXPECT(multi < set && set < incr && incr < exec);
    end(&w);
}

static void a_monitor_that_leaves(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.b, "MONITOR;MONITOR"), "+OK +OK");
    peer_close(&w.b);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v;MONITOR;QUIT"), "+OK +OK +OK");
    end(&w);
}

static void slow_commands_are_logged(void)
{
    static const char *const flags[] = {"--slowlog-log-slower-than", "50000", "--slowlog-max-len",
                                        "2", NULL};
    struct world w;
    begin_two(&w, flags);
    EXPECT_CSTR(peer_ask(&w.a, "GET fast;SLOWLOG LEN"), "$-1 :0");
    for (int i = 0; i < 3; i++) {
        char command[32];
        snprintf(command, sizeof(command), "SET slow:%d v", i);
        hold(&w, MEMORY_COMMIT, true);
        peer_say(&w.a, command);
        rig_advance_ms(&w.rig, 100);
        hold(&w, MEMORY_COMMIT, false);
        rig_turn(&w.rig);
    }
    EXPECT_CSTR(peer_ask(&w.b, "SLOWLOG LEN"), ":2");
    const char *got = peer_ask(&w.b, "SLOWLOG GET");
    EXPECT(has(got, "*2 *6 :2 "));
    EXPECT(has(got, " :100000 *3 $3 SET $6 slow:2 $1 v $15 127.0.0.1:50001 $0 "));
    EXPECT(has(got, "slow:1") && !has(got, "slow:0"));
    EXPECT(!has(peer_ask(&w.b, "SLOWLOG GET 1"), "slow:1"));
    EXPECT_CSTR(peer_ask(&w.b, "SLOWLOG RESET;SLOWLOG LEN"), "+OK :0");
    end(&w);
}

/* What a client owes and holds is counted, for net's limits. */
static void pending_is_counted(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k;GET l;MULTI;SET k v");
    EXPECT_INT(client_pending(w.a.client), 4);
    size_t memory = client_pending_memory(w.a.client);
    EXPECT(memory > 200);
    EXPECT(!client_may_idle_out(w.a.client));
    unsigned resumed = w.a.resumed;
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT(w.a.resumed > resumed);
    EXPECT_INT(client_pending(w.a.client), 0);
    EXPECT_INT(client_pending_memory(w.a.client), 0); /* a block is paid for as what was not read */
    EXPECT(client_queued_memory(w.a.client) > 0);
    EXPECT(client_may_idle_out(w.a.client));
    peer_say(&w.a, "EXEC");
    EXPECT_INT(client_pending_memory(w.a.client), 0);
    end(&w);
}

/* ---- names ---- */

static void a_rename_is_whole(void)
{
    struct world w;
    begin(&w);
    peer_say(&w.a, "SET k v EX 100;GET l");
    peer_take(&w.a);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "RENAME k l;GET l");
    peer_say(&w.b, "MGET k l");
    EXPECT_CSTR(peer_take(&w.b), "");
    memory_store_write(w.ms, 0, "l", "another instance's");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "v"); /* neither is written, it runs again */
    EXPECT_CSTR(memory_store_text(w.ms, 0, "l"), "another instance's");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK $1 v");
    EXPECT_CSTR(peer_take(&w.b), "*2 $-1 $1 v");
    EXPECT_CSTR(peer_ask(&w.b, "TTL l"), ":100");
    end(&w);
}

/* What was computed from names that others have changed meanwhile is not written. */
static void renaming_looks_at_both_names(void)
{
    struct world w;
    begin(&w);
    peer_say(&w.a, "MSET k 1 source 2;EXISTS l copy");
    peer_take(&w.a);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "RENAMENX k l");
    peer_say(&w.b, "COPY source copy");
    memory_store_write(w.ms, 0, "l", "taken");
    memory_store_write(w.ms, 0, "source", NULL);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":0");
    EXPECT_CSTR(peer_take(&w.b), ":0");
    EXPECT_CSTR(peer_ask(&w.a, "MGET k l source copy"), "*4 $1 1 $5 taken $-1 $-1");
    end(&w);
}

static void keys_change_databases(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v EX 9;MOVE k 1;GET k;SELECT 1;TTL k;COPY k k DB 0;MOVE k 0"),
                "+OK :1 $-1 +OK :9 :1 :0");
    EXPECT_CSTR(peer_ask(&w.a, "COPY k k;COPY k k DB 99;MOVE k x"),
                "-ERR source and destination objects are the same -ERR DB index is out of range "
                "-ERR value is not an integer or out of range");
    /* The database of a queued command is that of its place in the block. */
    peer_say(&w.b, "MULTI;MOVE k 2;SELECT 1;MOVE k 0;COPY k l DB 2;SELECT 2;MGET k l");
    peer_take(&w.b);
    EXPECT_CSTR(peer_ask(&w.b, "EXEC"), "*6 :1 +OK :1 :0 +OK *2 $1 v $-1");
    EXPECT_CSTR(peer_ask(&w.b, "TTL k;SELECT 0;TTL k"), ":9 +OK :9");
    EXPECT_CSTR(memory_store_text(w.ms, 1, "k"), "(nil)");
    end(&w);
}

static void some_key_is_named(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "RANDOMKEY;SET k v;RANDOMKEY;DEL k;RANDOMKEY"),
                "$-1 +OK $1 k :1 $-1");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;RANDOMKEY;SET k v;RANDOMKEY;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED *3 $-1 +OK $1 k");
    end(&w);
}

/* ---- SHUTDOWN ---- */

static void shutting_down(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.b, "SHUTDOWN ABORT"), "-ERR No shutdown in progress.");
    EXPECT(!engine_shutdown_requested(w.rig.engine));
    EXPECT_CSTR(peer_ask(&w.b, "SHUTDOWN NOW;PING"), "");
    EXPECT(engine_shutdown_requested(w.rig.engine));
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET k v;SHUTDOWN;SET late v");
    EXPECT(!engine_idle(w.rig.engine) && !w.a.told_close);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT(engine_idle(w.rig.engine) && w.a.told_close);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "late"), "(nil)");
    end(&w);
}

/* ---- all of them ---- */

/* The row's command with as many arguments as it needs at least, all of them "1". */
static void ask_with_least(struct world *w, const struct command *c)
{
    struct bytes argv[8];
    const char *bar = strchr(c->name, '|');
    int n = 0;
    argv[n++] = bytes_of(c->name, bar != NULL ? (size_t)(bar - c->name) : c->name_len);
    if (bar != NULL)
        argv[n++] = bytes_cstr(bar + 1);
    int least = c->arity < 0 ? -c->arity : c->arity;
    CHECK(least <= 8);
    while (n < least)
        argv[n++] = BYTES_LIT("1");
    peer_send_argv(&w->a, n, argv);
    rig_turn(&w->rig);
    rig_advance_ms(&w->rig, command_waits(c) ? 1100 : 10); /* BLPOP 1 1, CLIENT PAUSE 1 */
    if (peer_take(&w->a)[0] != '\0')
        return;
    EXPECT(!"it is answered");
    printf("  %s\n", c->name);
}

/* No row of the tables is without a function. */
static void every_command_is_answered(void)
{
    struct world w;
    begin(&w);
    size_t nsubs;
    const struct command *subs = command_subs(&nsubs);
    for (size_t i = 0; i < COMMAND_COUNT + nsubs; i++) {
        const struct command *c =
            i < COMMAND_COUNT ? command_by_id((enum command_id)i) : &subs[i - COMMAND_COUNT];
        /* These end the connection, or have it show what others do. */
        if (c->id != CMD_QUIT && c->id != CMD_SHUTDOWN && c->id != CMD_MONITOR)
            ask_with_least(&w, c);
    }
    end(&w);
}

TEST_MAIN(TEST(queries_are_barriers), TEST(keys_and_scan), TEST(flushing),
          TEST(a_flush_beats_what_was_read_before_it), TEST(swapping),
          TEST(swapping_under_a_reader), TEST(a_lost_query_says_so),
          TEST(a_slow_query_does_not_time_out), TEST(info_counts_keys), TEST(databases_are_apart),
          TEST(without_the_password_nothing_runs), TEST(hello_in_a_pipeline),
          TEST(hello_in_a_block), TEST(keys_that_are_too_long), TEST(replies_off_and_on),
          TEST(quit_comes_after_what_was_asked), TEST(protocol_errors_close), TEST(http_is_cut_off),
          TEST(killing), TEST(killing_by_address), TEST(clients_are_listed),
          TEST(monitors_see_commands), TEST(monitors_see_blocks), TEST(a_monitor_that_leaves),
          TEST(slow_commands_are_logged), TEST(pending_is_counted),
          TEST(a_rename_is_whole), TEST(renaming_looks_at_both_names),
          TEST(keys_change_databases), TEST(some_key_is_named), TEST(shutting_down),
          TEST(every_command_is_answered))
