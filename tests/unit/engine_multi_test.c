/* MULTI, EXEC, DISCARD, WATCH, and what may stand inside a block. */
#include "world.h"

static void begin(struct world *w)
{
    begin_two(w, NULL);
}

/* ---- blocks ---- */

static void a_block_runs_as_one(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET x 1;GET x;INCR x;SET y 5;GET none"),
                "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED");
    EXPECT_INT(counts(&w)->commits + counts(&w)->reads, 0);
    EXPECT_CSTR(peer_ask(&w.a, "EXEC"), "*5 +OK $1 1 :2 +OK $-1");
    EXPECT_INT(counts(&w)->commits, 1);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "2");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;PING;EXEC"), "+OK +QUEUED *1 +PONG");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;EXEC"), "+OK *0");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;GET x;GET y;EXEC"), "+OK +QUEUED +QUEUED *2 $1 2 $1 5");
    end(&w);
}

static void wrong_blocks(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "EXEC"), "-ERR EXEC without MULTI");
    EXPECT_CSTR(peer_ask(&w.a, "DISCARD"), "-ERR DISCARD without MULTI");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;MULTI;SET x 1;WATCH y;EXEC"),
                "+OK -ERR MULTI calls can not be nested +QUEUED -ERR WATCH inside MULTI is not "
                "allowed *1 +OK");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET x 2;NOSUCH;EXEC"),
                "+OK +QUEUED -ERR unknown command 'NOSUCH', with args beginning with:  -EXECABORT "
                "Transaction discarded because of previous errors.");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET x;SET x 3;EXEC"),
                "+OK -ERR wrong number of arguments for 'set' command +QUEUED -EXECABORT "
                "Transaction discarded because of previous errors.");
    EXPECT_CSTR(peer_ask(&w.a, "EXEC;GET x"), "-ERR EXEC without MULTI $1 1");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET x 2;EXEC now;EXEC;GET x"),
                "+OK +QUEUED -EXECABORT Transaction discarded because of: wrong number of "
                "arguments for 'exec' command -ERR EXEC without MULTI $1 1");
    end(&w);
}

static void discard_drops_the_block(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET x 1;DISCARD;GET x"), "+OK +QUEUED +OK $-1");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;NOSUCH;DISCARD;SET x 2;EXEC"),
                "+OK -ERR unknown command 'NOSUCH', with args beginning with:  +OK +OK -ERR EXEC "
                "without MULTI");
    EXPECT_INT(client_pending_memory(w.a.client), 0);
    end(&w);
}

static void an_error_within_leaves_the_rest(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET x words;INCR x;SET y 1;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED *3 +OK -ERR value is not an integer or out of range "
                "+OK");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "words");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "1");
    end(&w);
}

/* A plain SET needs no look at the key; one that fails has not overwritten it either. */
static void a_failed_plain_write_does_not_hide_the_key(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "n", "41");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET n x EX 0;GET n;EXEC"),
                "+OK +QUEUED +QUEUED *2 -ERR invalid expire time in 'set' command $2 41");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SETEX n 0 x;INCR n;EXEC"),
                "+OK +QUEUED +QUEUED *2 -ERR invalid expire time in 'setex' command :42");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;MSET n 1 m;APPEND n 0;EXEC"),
                "+OK +QUEUED +QUEUED *2 -ERR wrong number of arguments for 'mset' command :3");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "420");
    end(&w);
}

static void others_never_see_half_a_block(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "MULTI;SET x 1;SET y 1;EXEC");
    peer_say(&w.b, "MGET x y");
    EXPECT_CSTR(peer_take(&w.b), "");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.b), "*2 $1 1 $1 1");
    EXPECT_CSTR(peer_take(&w.a), "+OK +QUEUED +QUEUED *2 +OK +OK");
    /* An instance changes y between our look at x and y and our commit: x is not written either. */
    peer_say(&w.a, "MULTI;INCR x;INCR y;EXEC");
    memory_store_write(w.ms, 0, "y", "10");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "1");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK +QUEUED +QUEUED *2 :2 :11");
    end(&w);
}

/* ---- SELECT and other session commands within ---- */

static void select_within_a_block(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET k zero;SELECT 1;SET k one;GET k;SELECT 99;GET k;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED "
                "*6 +OK +OK +OK $3 one -ERR DB index is out of range $3 one");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "zero");
    EXPECT_CSTR(memory_store_text(w.ms, 1, "k"), "one");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 one");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SELECT 2;DISCARD;GET k"), "+OK +QUEUED +OK $3 one");
    end(&w);
}

/* The block runs late, and again after its transaction was lost: what was sent behind it selects later. */
static void a_late_block_does_not_undo_a_later_select(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET n 1;GET n"), "+OK $1 1");
    hold(&w, MEMORY_COMMIT, true);
    memory_store_write(w.ms, 0, "n", "5");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;INCR n;SELECT 1;DBSIZE;INCR n;EXEC;SELECT 2;SET where 2"),
                "+OK +QUEUED +QUEUED +QUEUED +QUEUED");
    answer(&w, MEMORY_COMMIT); /* its rows are locked: it runs, to the query */
    EXPECT(memory_store_lose(w.ms, MEMORY_COMMIT, 0, MEMORY_LOST_BEFORE));
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "*4 :6 +OK :0 :1 +OK +OK");
    EXPECT_CSTR(peer_ask(&w.a, "SET still 2"), "+OK");
    EXPECT_CSTR(memory_store_text(w.ms, 2, "where"), "2");
    EXPECT_CSTR(memory_store_text(w.ms, 2, "still"), "2");
    end(&w);
}

/* As in Redis: a block that did not run has not selected either. */
static void a_block_that_is_nil_has_selected_nothing(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "+OK");
    memory_store_write(w.ms, 0, "k", "v");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SELECT 1;EXEC"), "+OK +QUEUED *-1");
    EXPECT_CSTR(peer_ask(&w.a, "SET where 0"), "+OK");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "where"), "0");
    end(&w);
}

static void quit_and_reset_within_a_block(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SELECT 3;MULTI;SET x 1;RESET;EXEC;GET x;SET y 1"),
                "+OK +OK +QUEUED +RESET -ERR EXEC without MULTI $-1 +OK");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "1");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET x 1;QUIT;SET z 1"), "+OK +QUEUED +OK");
    EXPECT(w.a.told_close);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "z"), "(nil)");
    end(&w);
}

/* What comes behind RESET is read in the state that RESET leaves, however late RESET's turn is. */
static void reset_in_a_pipeline(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SELECT 3;WATCH k;SET k 1;RESET;SET k 2;MULTI;SET l 2;EXEC");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK +OK +RESET +OK +OK +QUEUED *1 +OK");
    EXPECT_CSTR(memory_store_text(w.ms, 3, "k"), "1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "2");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "l"), "2");
    end(&w);
}

static void killing_oneself_within_a_block_closes(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET x 1;CLIENT KILL ID 1 SKIPME no;EXEC"),
                "+OK +QUEUED +QUEUED *2 +OK :1");
    EXPECT(w.a.told_close || w.a.told_close_now);
    end(&w);
}

/* ---- WATCH ---- */

struct watch_case {
    const char *name;
    const char *before;    /* the watched key k: a value, NULL = no row */
    const char *meanwhile; /* what another connection of this instance does */
    const char *written;   /* what another instance writes; "-" = nothing, NULL = a tombstone */
    bool runs;
};

static void exec_is_nil_exactly_when_changed(void)
{
    static const struct watch_case cases[] = {
        {"nothing", "v", "PING", "-", true},
        {"read", "v", "GET k;TTL k;EXISTS k;STRLEN k", "-", true},
        {"touch", "v", "TOUCH k", "-", true},
        {"set", "v", "SET k w", "-", false},
        {"the same bytes", "v", "SET k v", "-", false},
        {"expire", "v", "EXPIRE k 100", "-", false},
        {"persist without a ttl", "v", "PERSIST k", "-", true},
        {"delete", "v", "DEL k", "-", false},
        {"delete and set", "v", "DEL k;SET k v", "-", false},
        {"setnx in vain", "v", "SETNX k w", "-", true},
        {"another's write", "v", "PING", "w", false},
        {"another's same bytes", "v", "PING", "v", false},
        {"another's delete", "v", "PING", NULL, false},
        {"another key", "v", "SET other 1", "-", true},
        {"absent", NULL, "PING", "-", true},
        {"absent, delete", NULL, "DEL k", "-", true},
        {"absent, expire", NULL, "EXPIRE k 5", "-", true},
        {"absent, set", NULL, "SET k v", "-", false},
        {"absent, set and delete", NULL, "SET k v;DEL k", "-", false},
        {"absent, another's write", NULL, "PING", "w", false},
        {"absent, another's tombstone", NULL, "PING", NULL, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct watch_case *t = &cases[i];
        int before = test_failures;
        struct world w;
        begin(&w);
        if (t->before != NULL)
            memory_store_write(w.ms, 0, "k", t->before);
        EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "+OK");
        EXPECT(peer_ask(&w.b, t->meanwhile)[0] != '\0');
        if (t->written == NULL || strcmp(t->written, "-") != 0)
            memory_store_write(w.ms, 0, "k", t->written);
        EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET done 1;EXEC"),
                    t->runs ? "+OK +QUEUED *1 +OK" : "+OK +QUEUED *-1");
        EXPECT_CSTR(memory_store_text(w.ms, 0, "done"), t->runs ? "1" : "(nil)");
        /* Either way the watch is gone. */
        peer_say(&w.b, "SET k x");
        EXPECT_CSTR(peer_ask(&w.a, "MULTI;PING;EXEC"), "+OK +QUEUED *1 +PONG");
        end(&w);
        if (test_failures != before)
            printf("  case: %s\n", t->name);
    }
}

/* The same changes, made while EXEC's commit is on its way, and to a block that writes the key. */
static void a_change_on_the_way_makes_exec_nil(void)
{
    static const char *const blocks[] = {"MULTI;SET done 1;EXEC", "MULTI;SET k mine;EXEC",
                                         "MULTI;GET k;SET done 1;EXEC", "MULTI;APPEND k mine;EXEC"};
    static const char *const before[] = {"v", NULL};
    static const char *const written[] = {"v", "w", NULL};
    for (size_t i = 0; i < 4 * 2 * 3; i++) {
        struct world w;
        begin(&w);
        if (before[i / 4 % 2] != NULL)
            memory_store_write(w.ms, 0, "k", before[i / 4 % 2]);
        EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "+OK");
        hold(&w, MEMORY_COMMIT, true);
        peer_say(&w.a, blocks[i % 4]);
        EXPECT(memory_store_in_flight(w.ms, MEMORY_COMMIT, 0) > 0);
        memory_store_write(w.ms, 0, "k", written[i / 8]);
        hold(&w, MEMORY_COMMIT, false);
        rig_turn(&w.rig);
        const char *reply = peer_take(&w.a);
        EXPECT_CSTR(reply + strlen(reply) - 4, " *-1");
        EXPECT_CSTR(memory_store_text(w.ms, 0, "done"), "(nil)");
        EXPECT_CSTR(memory_store_text(w.ms, 0, "k"),
                    written[i / 8] != NULL ? written[i / 8] : "(nil)");
        end(&w);
    }
}

static void a_tombstone_written_anew_is_a_change(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", NULL);
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k;MULTI;SET done 1;EXEC"), "+OK +OK +QUEUED *1 +OK");
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "+OK");
    memory_store_purge(w.ms, 0, "k");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET done 2;EXEC"), "+OK +QUEUED *1 +OK");
    memory_store_write(w.ms, 0, "k", NULL);
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "+OK");
    memory_store_write(w.ms, 0, "k", "v");
    memory_store_write(w.ms, 0, "k", NULL);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET done 3;EXEC"), "+OK +QUEUED *-1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "done"), "2");
    end(&w);
}

static void what_has_expired_since_is_a_change(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v PX 50;WATCH k"), "+OK +OK");
    rig_advance_ms(&w.rig, 60);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET done 1;EXEC"), "+OK +QUEUED *-1");
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k;MULTI;SET done 2;EXEC"), "+OK +OK +QUEUED *1 +OK");
    end(&w);
}

static void ones_own_write_is_a_change(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k;SET k 1;MULTI;GET k;EXEC"), "+OK +OK +OK +QUEUED *-1");
    EXPECT_CSTR(peer_ask(&w.a, "SET k 2;WATCH k;GET k;MULTI;INCR k;EXEC"),
                "+OK +OK $1 2 +OK +QUEUED *1 :3");
    end(&w);
}

/* The second WATCH of a key does not forgive what has happened since the first. */
static void watching_twice_keeps_the_first(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "+OK");
    memory_store_write(w.ms, 0, "k", "v");
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k;MULTI;SET done 1;EXEC"), "+OK +OK +QUEUED *-1");
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k k;WATCH k;MULTI;SET done 1;EXEC"),
                "+OK +OK +OK +QUEUED *1 +OK");
    end(&w);
}

static void unwatch_discard_and_abort_forget(void)
{
    static const char *const ways[] = {"UNWATCH", "MULTI;DISCARD", "MULTI;NOSUCH;EXEC",
                                       "MULTI;PING;EXEC", "MULTI;UNWATCH;EXEC"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct world w;
        begin(&w);
        EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "+OK");
        EXPECT(peer_ask(&w.a, ways[i])[0] != '\0');
        memory_store_write(w.ms, 0, "k", "v");
        EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET done 1;EXEC"), "+OK +QUEUED *1 +OK");
        end(&w);
    }
}

static void a_watch_in_a_pipeline_comes_in_order(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "WATCH k;MULTI;SET done 1;EXEC;UNWATCH;PING");
    EXPECT_CSTR(peer_take(&w.a), "");
    EXPECT(memory_store_execute(w.ms, MEMORY_READ, 0));
    memory_store_write(w.ms, 0, "k", "v");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK +QUEUED *-1 +OK +PONG");
    end(&w);
}

/* WATCH of a key that is just being written waits for that write. */
static void a_watch_sees_what_is_committed(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.b, "SET k v");
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "");
    answer(&w, MEMORY_COMMIT);
    hold(&w, MEMORY_COMMIT, false);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;APPEND k w;EXEC"), "+OK +QUEUED *1 :2");
    end(&w);
}

static void watches_of_two_against_each_other(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "WATCH x"), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "WATCH y"), "+OK");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "MULTI;SET y 1;EXEC");
    peer_say(&w.b, "MULTI;SET x 1;EXEC");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK +QUEUED *1 +OK");
    EXPECT_CSTR(peer_take(&w.b), "+OK +QUEUED *-1");
    end(&w);
}

static void a_watch_and_a_flush(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v;WATCH k"), "+OK +OK");
    EXPECT_CSTR(peer_ask(&w.b, "FLUSHDB"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET done 1;EXEC"), "+OK +QUEUED *-1");
    /* Made and flushed away: no row tells of it. */
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "SET k v;FLUSHALL"), "+OK +OK");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET done 1;EXEC"), "+OK +QUEUED *-1");
    end(&w);
}

/* ---- whole-keyspace commands within ---- */

static void queries_within_a_block(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET old 1"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;DBSIZE;SET x 1;DBSIZE;KEYS x*;SELECT 1;DBSIZE;SELECT 0;"
                               "FLUSHDB;GET x;SET y 1;DBSIZE;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED "
                "+QUEUED +QUEUED *11 :1 +OK :2 *1 $1 x +OK :0 +OK +OK $-1 +OK :1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "(nil)");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "1");
    EXPECT_CSTR(peer_ask(&w.a, "DBSIZE;GET y"), ":1 $1 1");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SCAN x;SETEX z 100 1;SWAPDB 0 99;DBSIZE;TTL z;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED *5 -ERR invalid cursor +OK "
                "-ERR DB index is out of range :2 :100");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;TTL z;DBSIZE;PERSIST z;TTL z;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED +QUEUED *4 :100 :2 :1 :-1");
    end(&w);
}

static void swapdb_within_a_block(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k zero;SELECT 1;SET k one;SELECT 0"), "+OK +OK +OK +OK");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;GET k;SWAPDB 0 1;GET k;APPEND k !;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED +QUEUED *4 $4 zero +OK $3 one :4");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "one!");
    EXPECT_CSTR(memory_store_text(w.ms, 1, "k"), "zero");
    EXPECT_CSTR(peer_ask(&w.b, "GET k;SELECT 1;GET k"), "$4 one! +OK $4 zero");
    end(&w);
}

static void a_watched_block_with_a_query(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k 1;WATCH k;MULTI;DBSIZE;INCR k;EXEC"),
                "+OK +OK +OK +QUEUED +QUEUED *2 :1 :2");
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "+OK");
    memory_store_write(w.ms, 0, "k", "9");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;DBSIZE;INCR k;EXEC"), "+OK +QUEUED +QUEUED *-1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "9");
    end(&w);
}

/* Others' commands on the block's keys wait for it, the rest do not. */
static void a_block_with_a_query_has_its_keys_to_itself(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "MULTI;INCR k;DBSIZE;EXEC");
    peer_say(&w.b, "GET other;INCR k");
    EXPECT_CSTR(peer_take(&w.b), "$-1");
    for (int i = 0; i < 3; i++)
        answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), "+OK +QUEUED +QUEUED *2 :1 :1");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.b), ":2");
    end(&w);
}

/* Its connection goes before COMMIT: nothing was done, so it is done again. */
static void a_lost_block_with_a_query_runs_again(void)
{
    static const char *const blocks[] = {"MULTI;DBSIZE;EXEC", "MULTI;INCR k;DBSIZE;EXEC"};
    static const char *const replies[] = {"+OK +QUEUED *1 :0", "+OK +QUEUED +QUEUED *2 :1 :1"};
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        begin(&w);
        hold(&w, MEMORY_COMMIT, true);
        peer_say(&w.a, blocks[i / 2]);
        if (i % 2 == 1)
            answer(&w, MEMORY_COMMIT);
        EXPECT(memory_store_lose(w.ms, MEMORY_COMMIT, 0, MEMORY_LOST_BEFORE));
        hold(&w, MEMORY_COMMIT, false);
        rig_turn(&w.rig);
        rig_turn(&w.rig);
        EXPECT_CSTR(peer_take(&w.a), replies[i / 2]);
        rig_advance_ms(&w.rig, 2 * RIG_TIMEOUT_MS);
        end(&w);
    }
}

TEST_MAIN(TEST(a_block_runs_as_one), TEST(wrong_blocks), TEST(discard_drops_the_block),
          TEST(an_error_within_leaves_the_rest), TEST(a_failed_plain_write_does_not_hide_the_key),
          TEST(others_never_see_half_a_block), TEST(select_within_a_block),
          TEST(a_late_block_does_not_undo_a_later_select),
          TEST(a_block_that_is_nil_has_selected_nothing), TEST(quit_and_reset_within_a_block),
          TEST(reset_in_a_pipeline), TEST(killing_oneself_within_a_block_closes),
          TEST(exec_is_nil_exactly_when_changed), TEST(a_change_on_the_way_makes_exec_nil),
          TEST(a_tombstone_written_anew_is_a_change), TEST(what_has_expired_since_is_a_change),
          TEST(ones_own_write_is_a_change), TEST(watching_twice_keeps_the_first),
          TEST(unwatch_discard_and_abort_forget), TEST(a_watch_in_a_pipeline_comes_in_order),
          TEST(a_watch_sees_what_is_committed), TEST(watches_of_two_against_each_other),
          TEST(a_watch_and_a_flush), TEST(queries_within_a_block), TEST(swapdb_within_a_block),
          TEST(a_watched_block_with_a_query), TEST(a_block_with_a_query_has_its_keys_to_itself),
          TEST(a_lost_block_with_a_query_runs_again))
