/* The engine's order and batches: who waits for whom, what shares a commit, what a read may see. */
#include "base/mem.h"
#include "world.h"

static void begin(struct world *w)
{
    begin_three(w, NULL);
}

static size_t in_flight(const struct world *w, enum memory_lane kind)
{
    return memory_store_in_flight(w->ms, kind, 0);
}

/* ---- replies ---- */

static void replies_come_in_order(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    EXPECT_CSTR(peer_ask(&w.a, "GET k;PING;ECHO x;NOSUCH;PING 1 2 3"), "");
    EXPECT_INT(client_pending(w.a.client), 5);
    answer(&w, MEMORY_READ);
    EXPECT_CSTR(peer_take(&w.a), "$-1 +PONG $1 x -ERR unknown command 'NOSUCH', with args "
                                 "beginning with:  -ERR wrong number of arguments for 'ping' "
                                 "command");
    EXPECT_INT(client_pending(w.a.client), 0);
    EXPECT_INT(client_pending_memory(w.a.client), 0);
    end(&w);
}

static void ok_is_held_until_the_commit(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v;PING"), "");
    EXPECT_INT(in_flight(&w, MEMORY_COMMIT), 1);
    EXPECT(memory_store_execute(w.ms, MEMORY_COMMIT, 0));
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "v");
    EXPECT_CSTR(peer_take(&w.a), "");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), "+OK +PONG");
    end(&w);
}

static void one_clients_wait_is_not_anothers(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v"), "");
    EXPECT_CSTR(peer_ask(&w.b, "GET other;PING"), "$-1 +PONG");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT_CSTR(peer_take(&w.b), "$1 v");
    end(&w);
}

/* ---- batches ---- */

static void what_waits_for_a_lane_shares_a_batch(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET first 1");
    peer_say(&w.a, "SET x 1");
    peer_say(&w.b, "SET y 1");
    peer_say(&w.c, "SET z 1;SET x 2");
    EXPECT_INT(in_flight(&w, MEMORY_COMMIT), 1);
    answer(&w, MEMORY_COMMIT);
    EXPECT_INT(in_flight(&w, MEMORY_COMMIT), 3);
    answer(&w, MEMORY_COMMIT);
    EXPECT_INT(counts(&w)->commits, 2);
    EXPECT_INT(counts(&w)->checked, 0);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "2");
    EXPECT_CSTR(peer_take(&w.c), "+OK +OK");
    end(&w);
}

static void a_plain_set_needs_no_fetch(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET a 1"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "SET b 1 EX 10"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "SETEX c 10 1"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "PSETEX d 10 1"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "MSET e 1 f 2"), "+OK");
    EXPECT_INT(counts(&w)->reads, 0);
    EXPECT_INT(counts(&w)->checked, 0);
    EXPECT_CSTR(peer_ask(&w.a, "SET b 1 EX 10 KEEPTTL"), "-ERR syntax error");
    end(&w);
}

static void increments_of_many_cost_one_write(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_send(&w.a, "INCR n");
    peer_send(&w.b, "INCRBY n 10");
    rig_turn(&w.rig);
    peer_say(&w.b, "INCR n");
    answer(&w, MEMORY_COMMIT);
    peer_say(&w.a, "INCR n");
    EXPECT_INT(counts(&w)->writes, 2);
    EXPECT_CSTR(peer_take(&w.b), "");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "12");
    EXPECT_CSTR(peer_take(&w.a), ":1");
    EXPECT_CSTR(peer_take(&w.b), ":11 :12");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), ":13");
    end(&w);
}

static void a_pipelined_write_joins_the_one_before_it(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "INCR n;INCRBY n 10;SET other 1;INCR n"), ":1 :11 +OK :12");
    EXPECT_INT(counts(&w)->commits, 1);
    end(&w);
}

static void keys_are_served_in_order_of_arrival(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "APPEND k a");
    peer_say(&w.b, "APPEND k b");
    peer_say(&w.c, "GET k");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1");
    EXPECT_CSTR(peer_take(&w.b), ":2");
    EXPECT_CSTR(peer_take(&w.c), "$2 ab");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "ab");
    end(&w);
}

/* A later GET of the key does not pass the writer that waits. */
static void readers_do_not_starve_a_writer(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k");
    peer_say(&w.b, "APPEND k b");
    peer_say(&w.c, "GET k");
    answer(&w, MEMORY_READ);
    EXPECT_CSTR(peer_take(&w.a), "$-1");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.c), "$1 b");
    end(&w);
}

/* ---- one client's order ---- */

static void a_write_waits_for_the_read_before_it(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k old"), "+OK");
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k;SET k new;SET other 1");
    EXPECT_INT(in_flight(&w, MEMORY_COMMIT), 0);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "other"), "(nil)");
    answer(&w, MEMORY_READ);
    EXPECT_CSTR(peer_take(&w.a), "$3 old +OK +OK");
    end(&w);
}

static void a_read_waits_for_the_write_before_it(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET k 1;GET other");
    EXPECT_INT(counts(&w)->reads, 0);
    memory_store_write(w.ms, 0, "other", "late");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), "+OK $4 late");
    end(&w);
}

/* SETNX that changes nothing is a read, and comes after the client's earlier write like one. */
static void an_idle_write_command_waits_like_a_read(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET other 1"), "+OK");
    hold(&w, MEMORY_COMMIT, true);
    uint64_t reads = counts(&w)->reads;
    peer_say(&w.a, "SET k 1;SETNX other 2");
    EXPECT_INT(counts(&w)->reads, reads);
    memory_store_write(w.ms, 0, "other", NULL);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK :1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "other"), "2");
    end(&w);
}

static void a_get_rides_on_its_own_set(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET k 1;GET k;INCR k;GET k;STRLEN k;TTL k");
    EXPECT_INT(counts(&w)->reads, 0);
    EXPECT_INT(counts(&w)->commits, 1);
    EXPECT_INT(counts(&w)->writes, 1);
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), "+OK $1 1 :2 $1 2 :1 :-1");
    end(&w);
}

static void a_clients_writes_share_a_batch(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET x 1;SET y 2;SET x 3");
    EXPECT_INT(in_flight(&w, MEMORY_COMMIT), 2);
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK +OK");
    end(&w);
}

/* x is rejected: y, which was sent with it, must not be there before x. */
static void a_rejected_write_is_not_overtaken(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET x 1;GET x"), "+OK $1 1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "INCR x;SET y after");
    memory_store_write(w.ms, 0, "x", "10");
    hold(&w, MEMORY_READ, true);
    answer(&w, MEMORY_COMMIT);
    while (memory_store_answer(w.ms, MEMORY_COMMIT, 0))
        rig_turn(&w.rig);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "(nil)");
    hold(&w, MEMORY_READ, false);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":11 +OK");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "11");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "after");
    end(&w);
}

/* The same for what was sent while the conditional write was on the wire. */
static void nothing_joins_behind_a_conditional_write_on_the_wire(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET x 1;GET x"), "+OK $1 1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "INCR x");
    peer_say(&w.a, "SET y after");
    peer_say(&w.b, "SET z 1");
    memory_store_write(w.ms, 0, "x", "10");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), "");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "(nil)");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "z"), "1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "(nil)");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":11 +OK");
    end(&w);
}

static void reads_of_one_client_share_a_fetch(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET x;GET y;MGET x z;EXISTS x");
    EXPECT_INT(counts(&w)->reads, 1);
    EXPECT_INT(in_flight(&w, MEMORY_READ), 3);
    answer(&w, MEMORY_READ);
    EXPECT_CSTR(peer_take(&w.a), "$-1 $-1 *2 $-1 $-1 :0");
    end(&w);
}

/* ---- SET of the same bytes ---- */

static void the_same_bytes_only_move_the_expiry(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v EX 100"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "SET k v EX 200;TTL k"), "+OK :200");
    EXPECT_INT(counts(&w)->writes, 1);
    EXPECT_INT(counts(&w)->touches, 1);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v"), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "TTL k;GET k"), ":-1 $1 v");
    EXPECT_INT(counts(&w)->writes, 1);
    EXPECT_INT(counts(&w)->touches, 2);
    EXPECT_INT(counts(&w)->read_bytes_sent, 0);
    end(&w);
}

static void a_touch_that_misses_becomes_a_write(void)
{
    static const char *const others[] = {"theirs", NULL};
    struct world w;
    begin(&w);
    for (size_t i = 0; i < 2; i++) {
        EXPECT_CSTR(peer_ask(&w.a, "SET k v"), "+OK");
        memory_store_write(w.ms, 0, "k", others[i]);
        EXPECT_CSTR(peer_ask(&w.a, "SET k v EX 100"), "+OK");
        EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "v");
        EXPECT_CSTR(peer_ask(&w.b, "TTL k"), ":100");
    }
    EXPECT_INT(counts(&w)->rejected, 2);
    /* Another's touch leaves the bytes, so ours still fits. */
    uint64_t touches = counts(&w)->touches;
    memory_store_touch(w.ms, 0, "k", STORE_NEVER);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v EX 50;TTL k"), "+OK :50");
    EXPECT_INT(counts(&w)->touches, touches + 1);
    EXPECT_INT(counts(&w)->rejected, 2);
    end(&w);
}

static void a_group_of_writes_is_not_made_conditional_by_a_touch(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "MSET x 1 y 2"), "+OK");
    memory_store_write(w.ms, 0, "x", "theirs");
    EXPECT_CSTR(peer_ask(&w.a, "MSET x 1 y 3"), "+OK");
    EXPECT_INT(counts(&w)->rejected, 0);
    EXPECT_INT(counts(&w)->checked, 0);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "3");
    end(&w);
}

/* The touch is only an offer: what the same batch makes of the key counts. */
static void a_touch_and_more_in_one_batch(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k 5"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "SET k 5;INCR k;EXPIRE k 9;SET k 5;TTL k;GET k"),
                "+OK :6 :1 +OK :-1 $1 5");
    EXPECT_CSTR(peer_ask(&w.a, "SET k 5;DEL k;GET k"), "+OK :1 $-1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "(nil)");
    end(&w);
}

/* ---- atomic groups, snapshots ---- */

static void a_group_commits_whole_or_not_at_all(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "MGET x y"), "*2 $-1 $-1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "MSETNX x 1 y 1");
    EXPECT_INT(in_flight(&w, MEMORY_COMMIT), 2);
    memory_store_write(w.ms, 0, "y", "theirs");
    EXPECT(memory_store_execute(w.ms, MEMORY_COMMIT, 0));
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "(nil)");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":0");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "(nil)");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "theirs");
    end(&w);
}

/* y is only read by DEL x y's sibling; that it is absent is part of the answer. */
static void what_was_only_read_is_checked(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET x 1;MGET x y"), "+OK *2 $1 1 $-1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "DEL x y");
    EXPECT_INT(counts(&w)->checks, 1);
    memory_store_write(w.ms, 0, "y", "theirs");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":2");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "(nil)");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "(nil)");
    end(&w);
}

static void a_rejected_group_leaves_its_neighbours(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET x 1"), "+OK");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.a, "INCR x");
    peer_say(&w.b, "INCR y");
    peer_say(&w.b, "SET z 1");
    memory_store_write(w.ms, 0, "x", "5");
    answer(&w, MEMORY_COMMIT);
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), "");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.b), ":1 +OK");
    EXPECT_CSTR(peer_take(&w.a), ":6");
    end(&w);
}

static void mget_sees_one_snapshot(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "MSET x 1 y 1"), "+OK");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.a, "SET x 2");
    peer_say(&w.b, "MGET x y");
    peer_say(&w.c, "MGET y x");
    EXPECT_CSTR(peer_take(&w.b), "");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.b), "*2 $1 2 $1 1");
    EXPECT_CSTR(peer_take(&w.c), "+OK *2 $1 1 $1 2");
    end(&w);
}

/* Both are read by one statement, though one of them is known. */
static void mget_never_mixes_known_and_new(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "x", "1");
    memory_store_write(w.ms, 0, "y", "1");
    EXPECT_CSTR(peer_ask(&w.a, "GET x"), "$1 1");
    memory_store_write(w.ms, 0, "x", "2");
    memory_store_write(w.ms, 0, "y", "2");
    EXPECT_CSTR(peer_ask(&w.a, "MGET x y"), "*2 $1 2 $1 2");
    end(&w);
}

/* More keys than a batch should have: one txn is never divided. */
static void very_many_keys(void)
{
    enum { MANY = 1500 };
    struct world w;
    begin(&w);
    char(*names)[16] = mem_alloc(MANY * sizeof(*names));
    struct bytes *argv = mem_alloc((2 * MANY + 1) * sizeof(*argv));
    for (int round = 0; round < 2; round++) {
        argv[0] = BYTES_LIT("MSET");
        for (int i = 0; i < MANY; i++) {
            snprintf(names[i], sizeof(names[i]), "%d:%d", round, i);
            argv[1 + 2 * i] = bytes_cstr(names[i]);
            argv[2 + 2 * i] = BYTES_LIT("v");
        }
        peer_send_argv(&w.a, 2 * MANY + 1, argv);
    }
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK");
    EXPECT_CSTR(peer_ask(&w.b, "DBSIZE"), ":3000");
    hold(&w, MEMORY_READ, true);
    argv[0] = BYTES_LIT("EXISTS");
    for (int i = 0; i < MANY; i++)
        argv[1 + i] = bytes_cstr(names[i]);
    peer_send_argv(&w.a, MANY + 1, argv);
    peer_send(&w.b, "GET 0:1;GET 0:2");
    rig_turn(&w.rig);
    EXPECT_INT(in_flight(&w, MEMORY_READ), MANY);
    answer(&w, MEMORY_READ);
    EXPECT_INT(in_flight(&w, MEMORY_READ), 2);
    answer(&w, MEMORY_READ);
    EXPECT_CSTR(peer_take(&w.a), ":1500");
    EXPECT_CSTR(peer_take(&w.b), "$1 v $1 v");
    mem_free(argv);
    mem_free(names);
    end(&w);
}

/* ---- validation ---- */

static void a_read_is_answered_by_a_statement_sent_after_it(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k 1"), "+OK");
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k");
    EXPECT(memory_store_execute(w.ms, MEMORY_READ, 0));
    memory_store_write(w.ms, 0, "k", "2");
    peer_say(&w.b, "GET k");
    answer(&w, MEMORY_READ);
    EXPECT_CSTR(peer_take(&w.a), "$1 1");
    EXPECT_CSTR(peer_take(&w.b), "");
    answer(&w, MEMORY_READ);
    EXPECT_CSTR(peer_take(&w.b), "$1 2");
    end(&w);
}

static void a_known_value_is_revalidated_not_sent(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "1");
    EXPECT_CSTR(peer_ask(&w.a, "GET k;GET none"), "$1 1 $-1");
    EXPECT_INT(counts(&w)->read_bytes_sent, 1);
    EXPECT_CSTR(peer_ask(&w.b, "GET k;GET none"), "$1 1 $-1");
    memory_store_touch(w.ms, 0, "k", memory_store_now_us(w.ms) + 5000000);
    EXPECT_CSTR(peer_ask(&w.b, "GET k;TTL k"), "$1 1 :5");
    EXPECT_INT(counts(&w)->read_bytes_sent, 1);
    memory_store_write(w.ms, 0, "k", "22");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$2 22");
    EXPECT_INT(counts(&w)->read_bytes_sent, 2);
    memory_store_write(w.ms, 0, "k", NULL);
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$-1");
    memory_store_purge(w.ms, 0, "k");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$-1");
    end(&w);
}

struct stale_case {
    const char *known; /* what the instance saw last, NULL = absent */
    const char *stored;
    const char *command;
    const char *reply;
    const char *after;
};

/* From the stale value these would change nothing; from the stored one they do, and the other way
 * round. */
static void no_answer_comes_from_a_stale_entry(void)
{
    static const struct stale_case cases[] = {
        {"1", NULL, "SETNX k new", ":1", "new"},
        {NULL, "1", "SETNX k new", ":0", "1"},
        {NULL, "x", "GETDEL k", "$1 x", "(nil)"},
        {"x", NULL, "GETDEL k", "$-1", "(nil)"},
        {"words", "5", "INCR k", ":6", "6"},
        {"5", "words", "INCR k", "-ERR value is not an integer or out of range", "words"},
        {NULL, "x", "SET k y XX", "+OK", "y"},
        {"x", NULL, "SET k y XX", "$-1", "(nil)"},
        {"x", "y", "SET k z GET", "$1 y", "z"},
        {NULL, "x", "EXPIRE k 100", ":1", "x"},
        {"x", NULL, "EXPIRE k 100", ":0", "(nil)"},
        {NULL, "x", "PERSIST k", ":0", "x"},
        {NULL, "x", "DEL k", ":1", "(nil)"},
        {"x", NULL, "DEL k", ":0", "(nil)"},
        {"x", "y", "GETEX k EX 100", "$1 y", "y"},
        {NULL, "ab", "APPEND k c", ":3", "abc"},
        {"x", NULL, "MSETNX k 1 l 2", ":1", "1"},
        {NULL, "x", "MSETNX k 1 l 2", ":0", "x"},
    };
    struct world w;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct stale_case *t = &cases[i];
        int before = test_failures;
        begin(&w);
        if (t->known != NULL)
            memory_store_write(w.ms, 0, "k", t->known);
        peer_say(&w.b, "GET k");
        memory_store_write(w.ms, 0, "k", t->stored);
        EXPECT_CSTR(peer_ask(&w.a, t->command), t->reply);
        EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), t->after);
        end(&w);
        if (test_failures != before)
            printf("  in: %s\n", t->command);
    }
}

static void an_error_is_not_answered_from_a_stale_entry(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k words"), "+OK");
    hold(&w, MEMORY_READ, true);
    EXPECT_CSTR(peer_ask(&w.a, "INCR k"), "");
    EXPECT_INT(in_flight(&w, MEMORY_READ), 1);
    memory_store_write(w.ms, 0, "k", "41");
    answer(&w, MEMORY_READ);
    EXPECT_CSTR(peer_take(&w.a), ":42");
    end(&w);
}

/* The statement was under way when the command came: its answer is not for it. */
static void validation_is_not_borrowed_from_an_earlier_fetch(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "1");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$1 1");
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k");
    EXPECT(memory_store_execute(w.ms, MEMORY_READ, 0));
    memory_store_write(w.ms, 0, "k", NULL);
    peer_say(&w.b, "SETNX k new");
    answer(&w, MEMORY_READ);
    EXPECT_CSTR(peer_take(&w.a), "$1 1");
    EXPECT_CSTR(peer_take(&w.b), "");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.b), ":1");
    end(&w);
}

/* ---- conflicts ---- */

static void a_conflict_runs_again_on_what_is_stored(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET n 1"), "+OK");
    memory_store_write(w.ms, 0, "n", "10");
    EXPECT_CSTR(peer_ask(&w.a, "INCR n"), ":11");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "INCR n");
    peer_send(&w.b, "INCR n");
    rig_turn(&w.rig);
    memory_store_write(w.ms, 0, "n", NULL);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1");
    EXPECT_CSTR(peer_take(&w.b), ":2");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "2");
    end(&w);
}

/* Beaten again and again, it gets there in the end. */
static void a_txn_that_always_loses_finishes(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET n 0"), "+OK");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "INCR n");
    int rounds = 0;
    for (; rounds < 50 && in_flight(&w, MEMORY_COMMIT) > 0; rounds++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", 100 * (rounds + 1));
        const struct bytes key = BYTES_LIT("n");
        if (!memory_store_is_locked(w.ms, 0, key))
            memory_store_write(w.ms, 0, "n", text);
        answer(&w, MEMORY_COMMIT);
    }
    EXPECT(rounds < 50);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    const char *reply = peer_take(&w.a);
    EXPECT(reply[0] == ':');
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), reply + 1);
    end(&w);
}

/* The oldest of them alone; those behind it stay together and cost one write. */
static void many_that_always_lose_finish(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET n 0"), "+OK");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET plug 1");
    peer_say(&w.a, "INCR n");
    peer_say(&w.b, "INCR n");
    peer_say(&w.c, "INCR n");
    int rounds = 0;
    for (bool first = true; rounds < 50 && in_flight(&w, MEMORY_COMMIT) > 0; rounds++) {
        const struct bytes key = BYTES_LIT("n");
        if (first && !memory_store_is_locked(w.ms, 0, key))
            memory_store_write(w.ms, 0, "n", "100");
        else
            first = false; /* from now on nobody else writes */
        answer(&w, MEMORY_COMMIT);
    }
    EXPECT(rounds > 4 && rounds < 50);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK :101");
    EXPECT_CSTR(peer_take(&w.b), ":102");
    EXPECT_CSTR(peer_take(&w.c), ":103");
    uint64_t writes = 0;
    size_t n;
    const struct memory_change *changes = memory_store_changes(w.ms, &n);
    for (size_t i = 0; i < n; i++)
        writes += changes[i].value != NULL && bytes_eq(value_bytes(changes[i].value), BYTES_LIT("102"));
    EXPECT_INT(writes, 0);
    end(&w);
}

/* A row of an instance whose clock is ahead: our version is above it all the same. */
static void versions_rise_above_a_clock_that_is_ahead(void)
{
    struct world w;
    begin(&w);
    memory_store_set_foreign_ahead(w.ms, 3600 * INT64_C(1000000));
    memory_store_write(w.ms, 0, "n", "1");
    EXPECT_CSTR(peer_ask(&w.a, "INCR n;INCR n"), ":2 :3");
    EXPECT_CSTR(peer_ask(&w.a, "SET n 7;SET n 8"), "+OK +OK");
    EXPECT_CSTR(peer_ask(&w.a, "INCR n"), ":9");
    EXPECT_CSTR(peer_ask(&w.a, "DEL n"), ":1");
    EXPECT_CSTR(peer_ask(&w.a, "SETNX n 1"), ":1");
    memory_store_write(w.ms, 0, "n", "20");
    EXPECT_CSTR(peer_ask(&w.a, "GET n;INCR n"), "$2 20 :21");
    EXPECT_INT(counts(&w)->rejected, 0);
    end(&w);
}

/* ---- expiry ---- */

static void what_has_expired_is_absent(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v PX 100;PTTL k"), "+OK :100");
    rig_advance_ms(&w.rig, 60);
    EXPECT_CSTR(peer_ask(&w.a, "GET k;PTTL k"), "$1 v :40");
    EXPECT_CSTR(peer_ask(&w.a, "APPEND k w;PTTL k"), ":2 :40");
    rig_advance_ms(&w.rig, 40);
    EXPECT_CSTR(peer_ask(&w.a, "GET k;EXISTS k;TTL k"), "$-1 :0 :-2");
    EXPECT_CSTR(peer_ask(&w.a, "SETNX k new;TTL k"), ":1 :-1");
    EXPECT_CSTR(peer_ask(&w.a, "SET k v PX 50"), "+OK");
    rig_advance_ms(&w.rig, 50);
    EXPECT_CSTR(peer_ask(&w.a, "PERSIST k;INCR k;TTL k"), ":0 :1 :-1");
    EXPECT_CSTR(peer_ask(&w.a, "SET k v EXAT 1000;GET k;DEL k"), "+OK $-1 :0");
    end(&w);
}

/* A PERSIST whose commit is late must not revive what others have seen as gone. */
static void what_expires_on_the_way_is_not_revived(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v PX 100;GET k"), "+OK $1 v");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "PERSIST k");
    EXPECT_INT(in_flight(&w, MEMORY_COMMIT), 1);
    memory_store_advance(w.ms, 200000);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":0");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "(nil)");
    end(&w);
}

TEST_MAIN(TEST(replies_come_in_order), TEST(ok_is_held_until_the_commit),
          TEST(one_clients_wait_is_not_anothers), TEST(what_waits_for_a_lane_shares_a_batch),
          TEST(a_plain_set_needs_no_fetch), TEST(increments_of_many_cost_one_write),
          TEST(a_pipelined_write_joins_the_one_before_it),
          TEST(keys_are_served_in_order_of_arrival), TEST(readers_do_not_starve_a_writer),
          TEST(a_write_waits_for_the_read_before_it), TEST(a_read_waits_for_the_write_before_it),
          TEST(an_idle_write_command_waits_like_a_read), TEST(a_get_rides_on_its_own_set),
          TEST(a_clients_writes_share_a_batch), TEST(a_rejected_write_is_not_overtaken),
          TEST(nothing_joins_behind_a_conditional_write_on_the_wire),
          TEST(reads_of_one_client_share_a_fetch), TEST(the_same_bytes_only_move_the_expiry),
          TEST(a_touch_that_misses_becomes_a_write),
          TEST(a_group_of_writes_is_not_made_conditional_by_a_touch),
          TEST(a_touch_and_more_in_one_batch), TEST(a_group_commits_whole_or_not_at_all),
          TEST(what_was_only_read_is_checked), TEST(a_rejected_group_leaves_its_neighbours),
          TEST(mget_sees_one_snapshot), TEST(mget_never_mixes_known_and_new), TEST(very_many_keys),
          TEST(a_read_is_answered_by_a_statement_sent_after_it),
          TEST(a_known_value_is_revalidated_not_sent), TEST(no_answer_comes_from_a_stale_entry),
          TEST(an_error_is_not_answered_from_a_stale_entry),
          TEST(validation_is_not_borrowed_from_an_earlier_fetch),
          TEST(a_conflict_runs_again_on_what_is_stored), TEST(a_txn_that_always_loses_finishes),
          TEST(many_that_always_lose_finish),
          TEST(versions_rise_above_a_clock_that_is_ahead), TEST(what_has_expired_is_absent),
          TEST(what_expires_on_the_way_is_not_revived))
