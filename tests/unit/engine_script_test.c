/* Scripts in the engine: keys that were not declared, what a run that is dropped leaves behind
 * (nothing), conflicts, blocks with queries. Tabs are the blanks of scripts here: peer_say splits
 * commands at blanks. */
#include "world.h"

static void begin(struct world *w)
{
    begin_two(w, NULL);
}

static void keys_that_were_not_declared(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "a", "b");
    memory_store_write(w.ms, 0, "b", "c");
    EXPECT_CSTR(peer_ask(&w.a, "EVAL return(redis.call('append',redis.call('get','a'),'!')) 0"),
                ":2");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "b"), "c!");
    /* It is in no other database. */
    EXPECT_CSTR(
        peer_ask(&w.a, "EVAL redis.call('select',1)\treturn(redis.call('exists','a')) 0;EXISTS a"),
        ":0 :1");
    EXPECT_CSTR(peer_ask(&w.a, "EVAL_RO return(redis.call('get','a')) 0"), "$1 b");
    EXPECT_CSTR(peer_ask(&w.a, "EVAL return(redis.call('sort','none','by','w*')) 0"), "*0");
    end(&w);
}

/* A loop does not begin anew for each of its keys. */
static void a_loop_reads_its_keys_together(void)
{
    struct world w;
    begin(&w);
    uint64_t reads = counts(&w)->reads;
    EXPECT_CSTR(
        peer_ask(&w.a, "EVAL for\ti=1,100\tdo\tredis.call('incr','k'..i)\tend\treturn(1) 0"), ":1");
    EXPECT(counts(&w)->reads - reads <= 3);
    EXPECT_INT(counts(&w)->commits, 1);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k100"), "1");
    EXPECT_CSTR(
        peer_ask(&w.a, "EVAL for\ti=1,100\tdo\tredis.call('incr','k'..i)\tend\treturn(1) 0;GET k7"),
        ":1 $1 2");
    end(&w);
}

/* What was changed before a key was missing does not count twice, in place or not. */
static void a_dropped_run_leaves_nothing(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.b, "RPUSH list a");
    peer_say(
        &w.a,
        "EVAL "
        "redis.call('rpush',KEYS[1],'b')\tredis.call('get','other'..redis.call('llen',KEYS[1]))\t"
        "return(redis.call('lrange',KEYS[1],0,-1)) 1 list");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.b), ":1");
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 a $1 b");
    EXPECT_CSTR(peer_ask(&w.a, "LRANGE list 0 -1"), "*2 $1 a $1 b");
    end(&w);
}

static void a_conflict_runs_it_again(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET n 1"), "+OK");
    memory_store_write(w.ms, 0, "n", "41"); /* behind our back */
    EXPECT_CSTR(peer_ask(&w.a, "EVAL return(redis.call('incr','n')) 1 n"), ":42");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "42");
    end(&w);
}

static void blocks_with_queries_and_scripts(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "x", "1");
    EXPECT_CSTR(
        peer_ask(&w.a, "MULTI;INCR n;DBSIZE;EVAL return(redis.call('incr','x')) 0;DBSIZE;EXEC"),
        "+OK +QUEUED +QUEUED +QUEUED +QUEUED *4 :1 :2 :2 :2");
    EXPECT_CSTR(peer_ask(&w.a, "MGET n x"), "*2 $1 1 $1 2");
    EXPECT_CSTR(
        peer_ask(&w.a, "MULTI;SET y 1;FLUSHDB;EVAL return(redis.call('exists','x','y')) 0;EXEC"),
        "+OK +QUEUED +QUEUED +QUEUED *3 +OK +OK :0");
    end(&w);
}

/* It waits for its keys; its client becomes somebody else behind it. */
static void its_rights_are_those_of_who_sent_it(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "secret", "1");
    EXPECT_CSTR(peer_ask(&w.a, "ACL SETUSER limited on >p ~x* +@all;RPUSH xl 1 2"), "+OK :2");
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "EVAL return(redis.call('get','secret')) 0;AUTH limited p;GET secret");
    peer_say(&w.b, "AUTH limited p;EVAL return(redis.call('get','secret')) 0;AUTH default p;GET secret");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "$1 1 +OK -NOPERM this user has no permissions to access one of the "
                                 "keys used as arguments");
    EXPECT_CSTR(peer_take(&w.b),
                "+OK -ERR The user executing the script can't access at least one of the keys mentioned "
                "in the command arguments script: 839d23af27fd1dbf4950b054fe2cde84e74615e7, on @user_script:1. +OK $1 1");
    release(&w);
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "ACL SETUSER limited on >p ~x* +@all;RPUSH xl 1 2"), "+OK :2");
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "SORT xl BY weight*;AUTH limited p;ACL WHOAMI");
    peer_say(&w.b, "MULTI;EVAL return(redis.call('get','secret')) 0;EXEC;AUTH limited p;ACL WHOAMI");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 1 $1 2 +OK $7 limited");
    EXPECT_CSTR(peer_take(&w.b), "+OK +QUEUED *1 $-1 +OK $7 limited");
    end(&w);
}

static void errors_and_what_is_known(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "EVALSHA 572625a1039fb30b308c236ab7091a2bd7724d22 0"),
                "-NOSCRIPT No matching script. Please use EVAL.");
    EXPECT_CSTR(
        peer_ask(&w.a,
                 "SCRIPT LOAD return(2);SCRIPT EXISTS 572625a1039fb30b308c236ab7091a2bd7724d22 "
                 "x;EVALSHA 572625a1039fb30b308c236ab7091a2bd7724d22 0"),
        "$40 572625a1039fb30b308c236ab7091a2bd7724d22 *2 :1 :0 :2");
    EXPECT_CSTR(
        peer_ask(&w.a, "SCRIPT FLUSH;SCRIPT EXISTS 572625a1039fb30b308c236ab7091a2bd7724d22"),
        "+OK *1 :0");
    EXPECT_CSTR(peer_ask(&w.a, "EVAL redis.call('set','s',1)\terror('x') 0;GET s"),
                "-ERR user_script:1: x script: b4003e760da2cb81281061b16ce833a90feb7209, on "
                "@user_script:1. $1 1");
    EXPECT_CSTR(peer_ask(&w.a, "EVAL return(redis.call('keys','*')) 0"),
                "-ERR Commands over the whole keyspace are not supported in scripts script: "
                "63cec110a6e711c1bff6b26b8cf2da340079031e, on "
                "@user_script:1.");
    end(&w);
}

TEST_MAIN(TEST(keys_that_were_not_declared), TEST(a_loop_reads_its_keys_together),
          TEST(a_dropped_run_leaves_nothing), TEST(a_conflict_runs_it_again),
          TEST(blocks_with_queries_and_scripts),
          TEST(its_rights_are_those_of_who_sent_it), TEST(errors_and_what_is_known))
