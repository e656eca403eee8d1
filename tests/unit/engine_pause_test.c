/* engine_pause: CLIENT PAUSE and DEBUG SLEEP, what LATENCY remembers, and when a key was last used. */
#include "engine/client.h"
#include "world.h"

static const char *const debug_on[] = {"--enable-debug-command", "yes", NULL};
static const char *const debug_local[] = {"--enable-debug-command", "local", NULL};

/* ---- pauses ---- */

static void writes_are_paused(void)
{
    struct world w;
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT PAUSE 500 write"), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "GET k;PING"), "$1 v +PONG");
    /* What follows a held one is held, too. */
    EXPECT_CSTR(peer_ask(&w.b, "GET k;SET k w;GET k"), "$1 v");
    EXPECT(strstr(peer_ask(&w.a, "INFO clients"), "blocked_clients:1") != NULL);
    EXPECT(strstr(peer_ask(&w.a, "CLIENT LIST"), "flags=b") != NULL);
    rig_advance_ms(&w.rig, 400);
    EXPECT_CSTR(peer_take(&w.b), "");
    rig_advance_ms(&w.rig, 200);
    EXPECT_CSTR(peer_take(&w.b), "+OK $1 w");
    EXPECT(strstr(peer_ask(&w.a, "INFO clients"), "blocked_clients:0") != NULL);
    end(&w);
}

static void everything_is_paused(void)
{
    struct world w;
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT PAUSE 500"), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "PING"), "");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT UNPAUSE"), ""); /* as in Redis: this one waits, too */
    rig_advance_ms(&w.rig, 600);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT_CSTR(peer_take(&w.b), "+PONG");
    EXPECT_CSTR(peer_ask(&w.b, "PING"), "+PONG");
    end(&w);
}

/* An error needs no turn, and QUIT is always obeyed. */
static void errors_are_not_paused(void)
{
    struct world w;
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT PAUSE 500 ALL"), "+OK");
    EXPECT(strncmp(peer_ask(&w.b, "NOSUCH"), "-ERR unknown command", 20) == 0);
    EXPECT(strncmp(peer_ask(&w.b, "GET"), "-ERR wrong number", 17) == 0);
    EXPECT_CSTR(peer_ask(&w.b, "QUIT"), "+OK");
    rig_advance_ms(&w.rig, 600);
    end(&w);
}

static void the_longer_pause_counts(void)
{
    struct world w;
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT PAUSE 1000 WRITE;CLIENT PAUSE 10 WRITE"), "+OK +OK");
    rig_advance_ms(&w.rig, 500);
    EXPECT_CSTR(peer_ask(&w.b, "SET k v"), "");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT UNPAUSE"), "+OK");
    EXPECT_CSTR(peer_take(&w.b), "+OK");
    end(&w);
}

static void a_block_that_writes_is_paused(void)
{
    struct world w;
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.b, "MULTI;SET k v"), "+OK +QUEUED");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT PAUSE 500 WRITE;MULTI;GET k;EXEC"),
                "+OK +OK +QUEUED *1 $-1");
    EXPECT_CSTR(peer_ask(&w.b, "EXEC"), "");
    rig_advance_ms(&w.rig, 600);
    EXPECT_CSTR(peer_take(&w.b), "*1 +OK");
    end(&w);
}

/* After the OK nothing is written. */
static void the_pause_waits_for_what_is_under_way(void)
{
    struct world w;
    begin_two(&w, NULL);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.b, "SET k v");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT PAUSE 500 WRITE"), "");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.b), "+OK");
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    end(&w);
}

/* A paused request has not been taken: who does not wait for it does not get it done. */
static void who_leaves_takes_it_along(void)
{
    struct world w;
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT PAUSE 500 WRITE"), "+OK");
    peer_say(&w.b, "SET k v");
    peer_close(&w.b);
    rig_advance_ms(&w.rig, 600);
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$-1");
    end(&w);
}

static void a_protocol_error_comes_after_what_is_paused(void)
{
    struct world w;
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT PAUSE 500 WRITE"), "+OK");
    peer_say(&w.b, "SET k v");
    client_protocol_error(w.b.client, "ERR Protocol error: x");
    rig_advance_ms(&w.rig, 600);
    EXPECT_CSTR(peer_take(&w.b), "+OK -ERR Protocol error: x");
    end(&w);
}

/* ---- DEBUG ---- */

static void sleeping_is_a_pause_of_all(void)
{
    struct world w;
    begin_two(&w, debug_on);
    EXPECT_CSTR(peer_ask(&w.a, "DEBUG SLEEP 0.5;PING"), "");
    EXPECT_CSTR(peer_ask(&w.b, "PING"), "");
    rig_advance_ms(&w.rig, 400);
    EXPECT_CSTR(peer_take(&w.a), "");
    rig_advance_ms(&w.rig, 200);
    EXPECT_CSTR(peer_take(&w.a), "+OK +PONG");
    EXPECT_CSTR(peer_take(&w.b), "+PONG");
    /* Longer than pg-timeout, which is about PostgreSQL. */
    EXPECT_CSTR(peer_ask(&w.a, "DEBUG SLEEP 3"), "");
    rig_advance_ms(&w.rig, 2000);
    EXPECT_CSTR(peer_take(&w.a), "");
    rig_advance_ms(&w.rig, 1100);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "DEBUG SLEEP 0;DEBUG SLEEP x;DEBUG SLEEP -1"), "+OK +OK +OK");
    end(&w);
}

static void debug_is_off(void)
{
    struct world w;
    begin_two(&w, NULL);
    const char *answer = peer_ask(&w.a, "DEBUG SLEEP 1");
    EXPECT(strncmp(answer, "-ERR DEBUG command not allowed. If the enable-debug-command", 59) == 0);
    EXPECT_CSTR(peer_ask(&w.a, "PING"), "+PONG");
    end(&w);
    begin_two(&w, debug_local);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v;DEBUG SDSLEN k;MULTI;DEBUG SLEEP 1;EXEC"),
                "+OK +key_sds_len:1, key_sds_avail:0, key_zmalloc: 1, val_sds_len:1, "
                "val_sds_avail:0, val_zmalloc: 17 +OK +QUEUED *1 +OK");
    EXPECT_CSTR(peer_ask(&w.a, "DEBUG OBJECT none;DEBUG LISTPACK k;DEBUG nosuch"),
                "-ERR no such key -ERR Not a listpack encoded object. -ERR unknown subcommand or "
                "wrong number of arguments for 'nosuch'. Try DEBUG HELP.");
    end(&w);
}

/* ---- LATENCY ---- */

static void slow_commands_are_samples(void)
{
    struct world w;
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "CONFIG SET latency-monitor-threshold 100"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "SET k v;LATENCY LATEST;LATENCY RESET"), "+OK *0 :0");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET k v");
    rig_advance_ms(&w.rig, 300);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT(strstr(peer_ask(&w.a, "LATENCY LATEST"), "*1 *4 $7 command ") != NULL);
    EXPECT(strstr(peer_ask(&w.a, "LATENCY HISTORY command"), "*1 *2 ") != NULL);
    EXPECT_CSTR(peer_ask(&w.a, "LATENCY HISTORY fast-command"), "*0");
    EXPECT(strstr(peer_ask(&w.a, "LATENCY GRAPH command"), "command - high ") != NULL);
    EXPECT(strstr(peer_ask(&w.a, "LATENCY DOCTOR"), "command: 1 samples, ") != NULL);
    EXPECT(strstr(peer_ask(&w.a, "LATENCY HISTOGRAM set"), "*2 $3 set *4 $5 calls :2 ") != NULL);
    EXPECT_CSTR(peer_ask(&w.a, "LATENCY HISTOGRAM nosuch"), "*0");
    EXPECT_CSTR(peer_ask(&w.a, "LATENCY RESET fast-command;LATENCY RESET command"), ":0 :1");
    EXPECT_CSTR(peer_ask(&w.a, "LATENCY LATEST"), "*0");
    end(&w);
}

/* ---- OBJECT IDLETIME ---- */

static void looking_is_no_use(void)
{
    struct world w;
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v;OBJECT IDLETIME k"), "+OK :0");
    rig_advance_ms(&w.rig, 10000);
    EXPECT_CSTR(peer_ask(&w.a, "TTL k;EXISTS k;TYPE k;OBJECT IDLETIME k"),
                ":-1 :1 +string :10");
    EXPECT_CSTR(peer_ask(&w.b, "GET k;OBJECT IDLETIME k"), "$1 v :0");
    rig_advance_ms(&w.rig, 5000);
    EXPECT_CSTR(peer_ask(&w.a, "OBJECT IDLETIME k;TOUCH k;OBJECT IDLETIME k"), ":5 :1 :0");
    end(&w);
}

TEST_MAIN(TEST(writes_are_paused), TEST(everything_is_paused), TEST(errors_are_not_paused),
          TEST(the_longer_pause_counts), TEST(a_block_that_writes_is_paused),
          TEST(the_pause_waits_for_what_is_under_way), TEST(who_leaves_takes_it_along),
          TEST(a_protocol_error_comes_after_what_is_paused), TEST(sleeping_is_a_pause_of_all),
          TEST(debug_is_off), TEST(slow_commands_are_samples), TEST(looking_is_no_use))
