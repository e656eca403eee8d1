/* What the engine does when PostgreSQL refuses, blocks, is late or is gone, when clients leave in
 * the middle, and when memory is short. */
#include <stdlib.h>

#include "world.h"

static const char not_done[] = "-LOADING PostgreSQL did not answer in time, nothing was done";
static const char read_late[] = "-LOADING PostgreSQL did not answer in time";
static const char away[] = "-LOADING PostgreSQL is not reachable, nothing was done";
static const char starting[] = "-LOADING respgres is waiting for its first contact with PostgreSQL";
static const char unknown_late[] =
    "-ERR PostgreSQL did not confirm in time, the write may or may not have been applied";
static const char unknown_lost[] =
    "-ERR PostgreSQL did not confirm, the write may or may not have been applied";
static const char locked[] =
    "-ERR the row is locked by another transaction in PostgreSQL, nothing was written";
static const char refused[] = "-ERR PostgreSQL refused the write: no thanks";

static void begin(struct world *w)
{
    begin_three(w, NULL);
}

static void hold_none(struct world *w)
{
    hold(w, MEMORY_READ, false);
    hold(w, MEMORY_COMMIT, false);
    hold(w, MEMORY_QUERY, false);
    rig_turn(&w->rig);
}

/* ---- refused ---- */

static void only_the_guilty_one_is_refused(void)
{
    struct world w;
    begin(&w);
    memory_store_refuse(w.ms, 0, "bad", "no thanks");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET busy 1");
    peer_say(&w.a, "SET a 1");
    peer_say(&w.b, "SET bad 1");
    peer_say(&w.c, "SET c 1;INCR d");
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK");
    EXPECT_CSTR(peer_take(&w.b), refused);
    EXPECT_CSTR(peer_take(&w.c), "+OK :1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "bad"), "(nil)");
    memory_store_refuse(w.ms, 0, "bad", NULL);
    EXPECT_CSTR(peer_ask(&w.b, "GET bad;INCR bad"), "$-1 :1");
    end(&w);
}

/* Those that share its key run on what is stored, one by one. */
static void neighbours_on_the_key_are_not_refused_for_it(void)
{
    struct world w;
    begin(&w);
    memory_store_refuse(w.ms, 0, "bad", "no thanks");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.a, "INCR n");
    peer_say(&w.b, "MULTI;INCR n;SET bad 1;EXEC");
    peer_say(&w.a, "GET n");
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.a), ":1 $1 1");
    const char *reply = peer_take(&w.b);
    EXPECT(strlen(reply) > sizeof(refused) &&
           strcmp(reply + strlen(reply) - strlen(refused), refused) == 0);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "1");
    end(&w);
}

/* A client's txns are one group; the good ones come through all the same, in order. */
static void the_rest_of_a_pipeline_is_not_refused(void)
{
    static const char *const pipelines[] = {"SET x 1;SET bad 1;SET y 1", "INCR x;INCR bad;INCR y",
                                            "SET bad 1;SET x 1;SET y 1"};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        char want[300];
        begin(&w);
        memory_store_refuse(w.ms, 0, "bad", "no thanks");
        hold(&w, MEMORY_COMMIT, true);
        peer_say(&w.c, "SET busy 1");
        peer_send(&w.a, pipelines[i]);
        hold(&w, MEMORY_COMMIT, false);
        /* Not hold_none: refused for ever, it would never be done. */
        for (int turns = 0; turns < 100; turns++) {
            rig_submit(&w.rig);
            memory_store_turn(w.ms);
        }
        snprintf(want, sizeof(want),
                 i == 1   ? ":1 %s :1"
                 : i == 0 ? "+OK %s +OK"
                          : "%s +OK +OK",
                 refused);
        EXPECT_CSTR(peer_take(&w.a), want);
        EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "1");
        EXPECT_CSTR(memory_store_text(w.ms, 0, "y"), "1");
        memory_store_refuse(w.ms, 0, "bad", NULL);
        end(&w);
    }
}

/* ---- locked ---- */

static void a_locked_row_holds_up_only_its_own(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "1");
    memory_store_lock(w.ms, 0, "k", true);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.a, "SET k 2");
    peer_say(&w.b, "SET other 2");
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.b), "+OK");
    EXPECT_CSTR(peer_take(&w.a), "");
    EXPECT_CSTR(peer_ask(&w.c, "INCR other;GET busy"), "+OK :3 $1 1");
    rig_advance_ms(&w.rig, 300);
    EXPECT_CSTR(peer_take(&w.a), "");
    memory_store_lock(w.ms, 0, "k", false);
    rig_advance_ms(&w.rig, 100);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "2");
    end(&w);
}

/* What we have slept through is not what PostgreSQL has taken. */
static void a_hold_up_of_our_own_is_not_postgresqls(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "1");
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k");
    rig_advance_ms(&w.rig, 50);
    for (int i = 0; i < 3; i++) {
        fake_time_stall(2 * RIG_TIMEOUT_MS * 1000);
        rig_advance_ms(&w.rig, 50);
        EXPECT_CSTR(peer_take(&w.a), "");
    }
    peer_say(&w.b, "GET k");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "$1 1");
    EXPECT_CSTR(peer_take(&w.b), "$1 1");
    /* From then on it has its time, and no more. */
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k");
    fake_time_stall(2 * RIG_TIMEOUT_MS * 1000);
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS - 100);
    EXPECT_CSTR(peer_take(&w.a), "");
    rig_advance_ms(&w.rig, 150);
    EXPECT_CSTR(peer_take(&w.a), read_late);
    hold(&w, MEMORY_READ, false);
    end(&w);
}

/* While it is known to be locked no batch is spoilt by it; what can be seen is probed first. */
static void a_suspect_row_is_probed_before_it_is_written(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "1");
    memory_store_lock(w.ms, 0, "k", true);
    peer_say(&w.a, "SET k 2");
    uint64_t commits = counts(&w)->commits;
    rig_advance_ms(&w.rig, 500);
    EXPECT_INT(counts(&w)->commits, commits);
    EXPECT(counts(&w)->queries > 3);
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS);
    EXPECT_CSTR(peer_take(&w.a), locked);
    peer_say(&w.b, "SET k 3");
    peer_say(&w.c, "SET other 1");
    EXPECT_CSTR(peer_take(&w.c), "+OK");
    EXPECT_CSTR(peer_take(&w.b), "");
    memory_store_lock(w.ms, 0, "k", false);
    rig_advance_ms(&w.rig, 100);
    EXPECT_CSTR(peer_take(&w.b), "+OK");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "3");
    EXPECT_CSTR(peer_ask(&w.b, "SET k 4"), "+OK");
    end(&w);
}

/* Somebody is inserting the key: there is no row that a probe could find. */
static void a_lock_that_cannot_be_seen(void)
{
    struct world w;
    begin(&w);
    memory_store_lock(w.ms, 0, "k", true);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.a, "SET k 2");
    peer_say(&w.b, "SET other 2");
    hold(&w, MEMORY_COMMIT, false);
    rig_advance_ms(&w.rig, 300);
    EXPECT_CSTR(peer_take(&w.b), "+OK");
    EXPECT_CSTR(peer_take(&w.a), "");
    EXPECT_CSTR(peer_ask(&w.b, "SET more 1"), "+OK");
    memory_store_lock(w.ms, 0, "k", false);
    rig_advance_ms(&w.rig, 100);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "SET k 3"), "+OK");
    end(&w);
}

/* Its client's next write does not pass it. */
static void a_write_that_is_held_up_is_not_overtaken(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "1");
    memory_store_lock(w.ms, 0, "k", true);
    peer_say(&w.a, "SET k 2");
    peer_say(&w.a, "SET next 1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "next"), "(nil)");
    memory_store_lock(w.ms, 0, "k", false);
    rig_advance_ms(&w.rig, 100);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK");
    end(&w);
}

/* At which change of the rows the key became live; 0 = never. */
static uint64_t written_at(const struct world *w, const char *key)
{
    size_t n;
    const struct memory_change *changes = memory_store_changes(w->ms, &n);
    for (size_t i = n; i > 0; i--) {
        const struct memory_change *c = &changes[i - 1];
        if (c->value != NULL && bytes_eq(buf_bytes(&c->key), bytes_cstr(key)))
            return c->number;
    }
    return 0;
}

/* What its clients sent while it was on the wire has gathered behind it, and others' writes with that. */
static void what_has_gathered_behind_a_locked_write_waits(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "1");
    memory_store_lock(w.ms, 0, "k", true);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET k 2");
    peer_say(&w.a, "SET shared 1;SET next 1");
    peer_say(&w.b, "SET shared 2;SET theirs 2");
    peer_say(&w.c, "SET other 2");
    hold_none(&w);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "next"), "(nil)");
    EXPECT_CSTR(peer_take(&w.c), "+OK");
    EXPECT_CSTR(peer_take(&w.a), "");
    memory_store_lock(w.ms, 0, "k", false);
    rig_advance_ms(&w.rig, 100);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK +OK");
    EXPECT_CSTR(peer_take(&w.b), "+OK +OK");
    EXPECT(written_at(&w, "k") < written_at(&w, "next"));
    EXPECT_CSTR(memory_store_text(w.ms, 0, "theirs"), "2");
    end(&w);
}

/* As many keys as a batch has at most, so that what follows is in the next one. */
static void fill_a_batch(struct peer *p, const char *first)
{
    static char names[1000][8];
    struct bytes argv[2001];
    int argc = 0;
    argv[argc++] = BYTES_LIT("MSET");
    for (int i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof(names[i]), "f%d", i);
        argv[argc++] = bytes_cstr(i == 0 ? first : names[i]);
        argv[argc++] = BYTES_LIT("1");
    }
    peer_send_argv(p, argc, argv);
}

/* Of two batches that wait the first has a row that is known to be locked. */
static void nor_behind_one_that_is_not_sent_at_all(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "1");
    memory_store_lock(w.ms, 0, "k", true);
    peer_say(&w.c, "SET k 2");
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS + 50);
    EXPECT_CSTR(peer_take(&w.c), locked);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.b, "SET busy 1");
    fill_a_batch(&w.a, "k");
    peer_say(&w.a, "SET next 1");
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.b), "+OK");
    EXPECT_INT(written_at(&w, "next"), 0);
    memory_store_lock(w.ms, 0, "k", false);
    rig_advance_ms(&w.rig, 100);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK");
    EXPECT(written_at(&w, "f1") < written_at(&w, "next"));
    end(&w);
}

/* A batch that PostgreSQL refused is taken apart, and its txns run again one by one. */
static void nor_behind_a_refused_batch(void)
{
    struct world w;
    begin(&w);
    memory_store_refuse(w.ms, 0, "bad", "no thanks");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.b, "MULTI;SET k 1;SET bad 1;EXEC");
    peer_say(&w.a, "SET k 2");
    answer(&w, MEMORY_COMMIT);
    peer_say(&w.a, "SET next 1");
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK");
    EXPECT_CSTR(peer_take(&w.b), "+OK +QUEUED +QUEUED -ERR PostgreSQL refused the write: no thanks");
    EXPECT(written_at(&w, "k") > 0 && written_at(&w, "k") < written_at(&w, "next"));
    memory_store_refuse(w.ms, 0, "bad", NULL);
    end(&w);
}

static void a_locked_group_is_parked_whole(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "x", "1");
    memory_store_write(w.ms, 0, "y", "1");
    memory_store_lock(w.ms, 0, "y", true);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;INCR x;INCR y;EXEC"), "+OK +QUEUED +QUEUED");
    rig_advance_ms(&w.rig, 200);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "1");
    memory_store_lock(w.ms, 0, "y", false);
    rig_advance_ms(&w.rig, 100);
    EXPECT_CSTR(peer_take(&w.a), "*2 :2 :2");
    end(&w);
}

/* ---- too late ---- */

static void a_late_read_gets_an_error(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k;PING");
    peer_say(&w.b, "INCR k");
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS + 50);
    char want[200];
    snprintf(want, sizeof(want), "%s +PONG", read_late);
    EXPECT_CSTR(peer_take(&w.a), want);
    EXPECT_CSTR(peer_take(&w.b), not_done);
    peer_say(&w.a, "GET k");
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.a), "$-1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "(nil)");
    end(&w);
}

/* What was told "nothing was done" is never done, whatever it was waiting for. */
static void what_was_not_sent_in_time_is_never_applied(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS / 2);
    peer_say(&w.a, "SET x 1");
    peer_say(&w.b, "INCR n");
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS - 50);
    EXPECT_CSTR(peer_take(&w.c), unknown_late);
    peer_say(&w.c, "INCR n");
    rig_advance_ms(&w.rig, 100);
    EXPECT_CSTR(peer_take(&w.a), not_done);
    EXPECT_CSTR(peer_take(&w.b), not_done);
    hold_none(&w);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "(nil)");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "1");
    EXPECT_CSTR(peer_take(&w.c), ":1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "busy"), "1");
    end(&w);
}

/* It waited for its key; the one before it was sent and is in doubt. */
static void what_waited_for_a_key_is_never_applied(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET k a");
    peer_say(&w.b, "SET k b;SET k c");
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS + 50);
    EXPECT_CSTR(peer_take(&w.a), unknown_late);
    char want[200];
    snprintf(want, sizeof(want), "%s %s", not_done, not_done);
    EXPECT_CSTR(peer_take(&w.b), want);
    hold_none(&w);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "a");
    end(&w);
}

static void a_block_in_doubt_is_not_sent_a_second_time(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "INCR n");
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS + 50);
    EXPECT_CSTR(peer_take(&w.a), unknown_late);
    EXPECT(memory_store_lose(w.ms, MEMORY_COMMIT, 0, MEMORY_LOST_BEFORE));
    hold_none(&w);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "(nil)");
    EXPECT_CSTR(peer_ask(&w.a, "INCR n"), ":1");
    end(&w);
}

static void silent_clients_stay_silent(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT REPLY OFF"), "");
    hold(&w, MEMORY_READ, true);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "GET k;SET k 1");
    peer_say(&w.b, "CLIENT REPLY SKIP;SET l 1;PING");
    rig_advance_ms(&w.rig, 2 * RIG_TIMEOUT_MS + 100);
    EXPECT_CSTR(peer_take(&w.b), "+PONG");
    EXPECT_CSTR(peer_ask(&w.a, "CLIENT REPLY ON;PING"), "+OK +PONG");
    hold_none(&w);
    end(&w);
}

static void timeouts_do_not_break_a_locked_group_apart(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "1");
    memory_store_lock(w.ms, 0, "k", true);
    peer_say(&w.a, "INCR k");
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS / 2);
    peer_say(&w.b, "INCR k");
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS / 2 + 50);
    EXPECT_CSTR(peer_take(&w.a), locked);
    memory_store_lock(w.ms, 0, "k", false);
    rig_advance_ms(&w.rig, 200);
    EXPECT_CSTR(peer_take(&w.b), ":2");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "2");
    end(&w);
}

/* An EXEC that timed out in the queue has ended its block, and with it the watches. */
static void a_late_exec_forgets_its_watches(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), "+OK");
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET other;MULTI;SET done 1;EXEC");
    rig_advance_ms(&w.rig, 2 * RIG_TIMEOUT_MS + 100);
    hold_none(&w);
    char want[300];
    snprintf(want, sizeof(want), "%s +OK +QUEUED %s", read_late, not_done);
    EXPECT_CSTR(peer_take(&w.a), want);
    memory_store_write(w.ms, 0, "k", "v");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET done 2;EXEC"), "+OK +QUEUED *1 +OK");
    end(&w);
}

/* A block with a query runs with its rows locked. Each attempt on a row that somebody else holds
 * takes PostgreSQL's lock_timeout; all of them together take no longer than any other txn. */
static void a_block_with_a_query_does_not_wait_for_ever(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "1");
    memory_store_lock(w.ms, 0, "k", true);
    hold(&w, MEMORY_COMMIT, true);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;INCR k;DBSIZE;EXEC"), "+OK +QUEUED +QUEUED");
    for (int ms = 0; ms < 3 * RIG_TIMEOUT_MS; ms += RIG_TIMEOUT_MS / 4) {
        rig_advance_ms(&w.rig, RIG_TIMEOUT_MS / 4);
        if (memory_store_in_flight(w.ms, MEMORY_COMMIT, 0) > 0)
            answer(&w, MEMORY_COMMIT);
    }
    EXPECT(peer_take(&w.a)[0] == '-');
    memory_store_lock(w.ms, 0, "k", false);
    hold_none(&w);
    EXPECT_CSTR(peer_ask(&w.b, "INCR k"), ":2");
    end(&w);
}

static void a_block_with_a_query_is_refused(void)
{
    struct world w;
    begin(&w);
    memory_store_refuse(w.ms, 0, "bad", "no thanks");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET x 1;DBSIZE;SET bad 1;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED -ERR PostgreSQL refused the write: no thanks");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET bad 1;DBSIZE;SET x 1;EXEC"),
                "+OK +QUEUED +QUEUED +QUEUED -ERR PostgreSQL refused the write: no thanks");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "x"), "(nil)");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET x 1;DBSIZE;EXEC"), "+OK +QUEUED +QUEUED *2 +OK :1");
    end(&w);
}

static void a_block_with_a_query_in_an_outage(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "MULTI;INCR n;DBSIZE;EXEC");
    peer_say(&w.b, "MULTI;INCR n;DBSIZE;EXEC");
    peer_say(&w.c, "MULTI;DBSIZE;INCR m;EXEC");
    peer_close(&w.c);
    answer(&w, MEMORY_COMMIT);
    memory_store_set_state(w.ms, STORE_AWAY);
    EXPECT(memory_store_lose(w.ms, MEMORY_COMMIT, 0, MEMORY_LOST_BEFORE));
    rig_turn(&w.rig);
    char want[200];
    snprintf(want, sizeof(want), "+OK +QUEUED +QUEUED %s", away);
    EXPECT_CSTR(peer_take(&w.a), want);
    rig_advance_ms(&w.rig, 2 * RIG_TIMEOUT_MS);
    EXPECT(strstr(peer_take(&w.b), "+OK +QUEUED +QUEUED -") != NULL);
    memory_store_set_state(w.ms, STORE_ONLINE);
    hold_none(&w);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "(nil)");
    EXPECT_CSTR(peer_ask(&w.a, "INCR n"), ":1");
    end(&w);
}

static void the_timeout_is_settable(void)
{
    static const char *const flags[] = {"--pg-timeout", "100", NULL};
    struct world w;
    begin_three(&w, flags);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k");
    rig_advance_ms(&w.rig, 80);
    EXPECT_CSTR(peer_take(&w.a), "");
    rig_advance_ms(&w.rig, 60);
    EXPECT_CSTR(peer_take(&w.a), read_late);
    EXPECT_CSTR(peer_ask(&w.b, "CONFIG SET pg-timeout 5s"), "+OK");
    peer_say(&w.a, "GET l");
    rig_advance_ms(&w.rig, 4900);
    EXPECT_CSTR(peer_take(&w.a), "");
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.a), "$-1");
    end(&w);
}

/* ---- lost connections ---- */

static void a_lost_read_is_read_again(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "v");
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k;MGET k l");
    peer_say(&w.b, "INCR n");
    EXPECT(memory_store_execute(w.ms, MEMORY_READ, 0));
    memory_store_write(w.ms, 0, "k", "w");
    EXPECT(memory_store_lose(w.ms, MEMORY_READ, 0, MEMORY_LOST_BEFORE));
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.a), "$1 w *2 $1 w $-1");
    EXPECT_CSTR(peer_take(&w.b), ":1");
    end(&w);
}

static void the_outcome_of_a_lost_commit_is_found_out(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "INCR n");
    EXPECT(memory_store_lose(w.ms, MEMORY_COMMIT, 0, MEMORY_LOST_AFTER));
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1");
    peer_say(&w.a, "INCR n");
    EXPECT(memory_store_lose(w.ms, MEMORY_COMMIT, 0, MEMORY_LOST_BEFORE));
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), ":2");
    hold_none(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET n 2;GET n;INCR n"), "+OK $1 2 :3");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "3");
    end(&w);
}

static void what_cannot_be_found_out_is_said(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "INCR n");
    peer_say(&w.b, "SET k 1");
    EXPECT(memory_store_execute(w.ms, MEMORY_COMMIT, 0));
    EXPECT(memory_store_lose(w.ms, MEMORY_COMMIT, 0, MEMORY_LOST_FENCED));
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.a), unknown_lost);
    EXPECT_CSTR(peer_take(&w.b), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "GET n;INCR n"), "$1 1 :2");
    end(&w);
}

/* ---- states ---- */

static void before_the_first_contact(void)
{
    struct world w;
    begin(&w);
    memory_store_set_state(w.ms, STORE_STARTING);
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), starting);
    EXPECT_CSTR(peer_ask(&w.a, "SET k 1"), starting);
    EXPECT_CSTR(peer_ask(&w.a, "PING"), starting);
    EXPECT_CSTR(peer_ask(&w.a, "DBSIZE"), starting);
    EXPECT_CSTR(peer_ask(&w.a, "ECHO x;SELECT 1;SELECT 0;CLIENT ID"), "$1 x +OK +OK :1");
    EXPECT(strstr(peer_ask(&w.a, "INFO persistence"), "loading:1") != NULL);
    EXPECT(strstr(peer_ask(&w.a, "INFO keyspace"), "# Keyspace") != NULL);
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k"), starting);
    peer_say(&w.a, "MULTI;SET k 1;EXEC");
    EXPECT(strstr(peer_take(&w.a), "-EXECABORT") != NULL);
    memory_store_set_state(w.ms, STORE_ONLINE);
    EXPECT_CSTR(peer_ask(&w.a, "GET k;PING"), "$-1 +PONG");
    EXPECT(strstr(peer_ask(&w.a, "INFO persistence"), "loading:0") != NULL);
    end(&w);
}

static void while_postgresql_is_away(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k 1;GET k"), "+OK $1 1");
    hold(&w, MEMORY_READ, true);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "GET k");
    peer_say(&w.b, "SET l 1");
    peer_say(&w.b, "SET m 1");
    memory_store_set_state(w.ms, STORE_AWAY);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), away);
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), away);
    EXPECT_CSTR(peer_ask(&w.a, "SET k 2"), away);
    EXPECT_CSTR(peer_ask(&w.a, "DBSIZE"), away);
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET k 2;EXEC"), "+OK +QUEUED -LOADING PostgreSQL is not "
                                                      "reachable, nothing was done");
    EXPECT_CSTR(peer_ask(&w.a, "PING;MULTI;PING;EXEC"), "+PONG +OK +QUEUED *1 +PONG");
    EXPECT_CSTR(peer_take(&w.b), "");
    memory_store_set_state(w.ms, STORE_ONLINE);
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.b), "+OK +OK");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$1 1");
    end(&w);
}

static void an_outage_that_lasts(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET sent 1");
    peer_say(&w.b, "SET unsent 1");
    memory_store_set_state(w.ms, STORE_AWAY);
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS + 50);
    EXPECT_CSTR(peer_take(&w.a), unknown_late);
    EXPECT_CSTR(peer_take(&w.b), not_done);
    EXPECT(memory_store_lose(w.ms, MEMORY_COMMIT, 0, MEMORY_LOST_BEFORE));
    memory_store_set_state(w.ms, STORE_ONLINE);
    hold_none(&w);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "sent"), "(nil)");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "unsent"), "(nil)");
    end(&w);
}

/* ---- clients that leave ---- */

static void what_was_sent_before_leaving_is_done(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    hold(&w, MEMORY_COMMIT, true);
    hold(&w, MEMORY_QUERY, true);
    peer_say(&w.a, "INCR n;SET k 1;WATCH k;MULTI;SET l 1;EXEC;MULTI;SET never 1");
    peer_say(&w.b, "GET n;DBSIZE;SET m 1");
    peer_close(&w.a);
    peer_close(&w.b);
    EXPECT_INT(engine_client_count(w.rig.engine), 1);
    hold_none(&w);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "l"), "1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "m"), "1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "never"), "(nil)");
    EXPECT_CSTR(peer_ask(&w.c, "GET n"), "$1 1");
    end(&w);
}

/* What waits behind a block that may select another database is no exception. */
static void what_was_held_behind_a_block_is_done(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "MULTI;SELECT 1;INCR n;EXEC;SET k 1");
    peer_close(&w.a);
    hold_none(&w);
    EXPECT_CSTR(memory_store_text(w.ms, 1, "n"), "1");
    EXPECT_CSTR(memory_store_text(w.ms, 1, "k"), "1");
    end(&w);
}

/* Garbage behind a block that holds back what follows it: that is answered first. */
static void an_error_behind_a_block_keeps_its_place(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "MULTI;SELECT 1;INCR n;EXEC;PING");
    client_protocol_error(w.a.client, "ERR Protocol error: garbage");
    EXPECT_CSTR(peer_take(&w.a), "+OK +QUEUED +QUEUED");
    EXPECT(!w.a.told_close);
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.a), "*2 +OK :1 +PONG -ERR Protocol error: garbage");
    EXPECT(w.a.told_close);
    end(&w);
}

/* A client that asks for much and reads nothing, and then goes. */
static void leaving_with_replies_unread(void)
{
    struct world w;
    begin(&w);
    peer_say(&w.a, "SETRANGE large 700000 x");
    peer_send(&w.b, "GET large;GET large;GET large;SET k 1;GET large;DBSIZE;INCR n");
    rig_turn(&w.rig);
    EXPECT(client_pending(w.b.client) > 0);
    EXPECT(client_out(w.b.client)->len < 3000000);
    peer_close(&w.b);
    rig_advance_ms(&w.rig, 2 * RIG_TIMEOUT_MS);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "1");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "1");
    end(&w);
}

static void reading_late_gets_everything(void)
{
    struct world w;
    begin(&w);
    peer_say(&w.a, "SETRANGE large 700000 x");
    peer_send(&w.b, "GET large;GET large;GET large;SET k 1;GET large;DBSIZE;INCR n");
    rig_advance_ms(&w.rig, 3 * RIG_TIMEOUT_MS);
    for (int i = 0; i < 20 && client_pending(w.b.client) > 0; i++) {
        peer_collect(&w.b);
        rig_turn(&w.rig);
    }
    peer_collect(&w.b);
    EXPECT_INT(w.b.in.len,
               4 * strlen("$700001\r\n\r\n") + 4 * 700001 + strlen("+OK\r\n:2\r\n:1\r\n"));
    end(&w);
}

static void leaving_and_timing_out(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_READ, true);
    hold(&w, MEMORY_COMMIT, true);
    hold(&w, MEMORY_QUERY, true);
    peer_say(&w.a, "GET x;SET n 1;SET k 1");
    peer_say(&w.b, "SET y 1;GET y;DBSIZE");
    peer_say(&w.c, "SET y 2");
    peer_close(&w.a);
    peer_close(&w.b);
    rig_advance_ms(&w.rig, 3 * RIG_TIMEOUT_MS);
    hold_none(&w);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "n"), "(nil)");
    EXPECT_CSTR(peer_ask(&w.c, "GET y"), "-LOADING PostgreSQL did not answer in time, nothing was "
                                         "done $1 1");
    end(&w);
}

/* The end of the process: everything is under way, nothing will be answered. */
static void the_engine_ends_with_everything_under_way(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "locked", "1");
    memory_store_lock(w.ms, 0, "locked", true);
    EXPECT_CSTR(peer_ask(&w.c, "SET known 1"), "+OK");
    peer_say(&w.a, "SET locked 2");
    rig_advance_ms(&w.rig, 60);
    hold(&w, MEMORY_READ, true);
    hold(&w, MEMORY_COMMIT, true);
    hold(&w, MEMORY_QUERY, true);
    peer_say(&w.b, "GET x;SET x 1;GET x;MULTI;SET z 1;EXEC");
    peer_say(&w.c, "INCR known;SET y 1");
    enum { MORE = 9 };
    struct peer more[MORE];
    static const char *const sends[MORE] = {
        "INCR known;GET known",
        "SET y 2",
        "DBSIZE;GET x",
        "SET x 3;MULTI;SET x 1",
        "SET fresh 1",
        "MULTI;DBSIZE;EXEC",
        "MULTI;DBSIZE;INCR other;SELECT 1;EXEC;SET held 1",
        "SETRANGE large 300000 x",
        "SETRANGE larger 300000 x",
    };
    for (size_t i = 0; i < MORE; i++) {
        peer_open(&w.rig, &more[i]);
        peer_say(&more[i], sends[i]);
    }
    peer_close(&more[0]);
    rig_submit(&w.rig);
    EXPECT(!engine_idle(w.rig.engine));
    for (size_t i = 0; i < MORE; i++)
        peer_release(&more[i]);
    release(&w);
}

static void the_engine_ends_within_a_transaction(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "MULTI;INCR n;DBSIZE;INCR n;EXEC");
    peer_say(&w.b, "MULTI;INCR n;DBSIZE;EXEC");
    peer_say(&w.c, "MULTI;DBSIZE;INCR m;EXEC");
    answer(&w, MEMORY_COMMIT);
    EXPECT(!engine_idle(w.rig.engine));
    release(&w);
}

/* ---- memory ---- */

static const char *const little_memory[] = {"--maxmemory", "100kb", NULL};

static size_t cached_keys(struct peer *p)
{
    const char *at = strstr(peer_ask(p, "INFO memory"), "cached_keys:");
    return at != NULL ? strtoul(at + strlen("cached_keys:"), NULL, 10) : 0;
}

static void what_is_in_use_is_not_evicted(void)
{
    struct world w;
    char command[200];
    begin_three(&w, little_memory);
    EXPECT_CSTR(peer_ask(&w.a, "SET keep 1"), "+OK");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "INCR keep");
    for (int i = 0; i < 3000; i++) {
        snprintf(command, sizeof(command), "GET key:%04d", i);
        EXPECT_CSTR(peer_ask(&w.b, command), "$-1");
    }
    size_t n = cached_keys(&w.b);
    EXPECT(n > 10 && n < 2000);
    peer_say(&w.c, "INCR keep");
    hold_none(&w);
    EXPECT_CSTR(peer_take(&w.a), ":2");
    EXPECT_CSTR(peer_take(&w.c), ":3");
    EXPECT_CSTR(memory_store_text(w.ms, 0, "keep"), "3");
    end(&w);
}

static void evicted_keys_are_not_lost(void)
{
    struct world w;
    char command[200];
    begin_three(&w, little_memory);
    for (int i = 0; i < 1000; i++) {
        snprintf(command, sizeof(command), "SET key:%04d value-that-takes-some-room-%04d", i, i);
        EXPECT_CSTR(peer_ask(&w.a, command), "+OK");
    }
    EXPECT(cached_keys(&w.a) < 1000);
    for (int i = 0; i < 1000; i += 111) {
        char want[64];
        snprintf(command, sizeof(command), "GET key:%04d", i);
        snprintf(want, sizeof(want), "$31 value-that-takes-some-room-%04d", i);
        EXPECT_CSTR(peer_ask(&w.a, command), want);
    }
    EXPECT_CSTR(peer_ask(&w.a, "CONFIG SET maxmemory 1mb"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "DBSIZE"), ":1000");
    end(&w);
}

TEST_MAIN(TEST(only_the_guilty_one_is_refused), TEST(neighbours_on_the_key_are_not_refused_for_it),
          TEST(the_rest_of_a_pipeline_is_not_refused), TEST(a_locked_row_holds_up_only_its_own),
          TEST(a_hold_up_of_our_own_is_not_postgresqls),
          TEST(a_suspect_row_is_probed_before_it_is_written), TEST(a_lock_that_cannot_be_seen),
          TEST(a_write_that_is_held_up_is_not_overtaken),
          TEST(what_has_gathered_behind_a_locked_write_waits),
          TEST(nor_behind_one_that_is_not_sent_at_all), TEST(nor_behind_a_refused_batch),
          TEST(a_locked_group_is_parked_whole),
          TEST(a_late_read_gets_an_error), TEST(what_was_not_sent_in_time_is_never_applied),
          TEST(what_waited_for_a_key_is_never_applied),
          TEST(a_block_in_doubt_is_not_sent_a_second_time), TEST(silent_clients_stay_silent),
          TEST(timeouts_do_not_break_a_locked_group_apart), TEST(a_late_exec_forgets_its_watches),
          TEST(a_block_with_a_query_does_not_wait_for_ever), TEST(a_block_with_a_query_is_refused),
          TEST(a_block_with_a_query_in_an_outage), TEST(the_timeout_is_settable),
          TEST(a_lost_read_is_read_again), TEST(the_outcome_of_a_lost_commit_is_found_out),
          TEST(what_cannot_be_found_out_is_said), TEST(before_the_first_contact),
          TEST(while_postgresql_is_away), TEST(an_outage_that_lasts),
          TEST(what_was_sent_before_leaving_is_done), TEST(what_was_held_behind_a_block_is_done),
          TEST(an_error_behind_a_block_keeps_its_place),
          TEST(leaving_with_replies_unread), TEST(reading_late_gets_everything),
          TEST(leaving_and_timing_out), TEST(the_engine_ends_with_everything_under_way),
          TEST(the_engine_ends_within_a_transaction), TEST(what_is_in_use_is_not_evicted),
          TEST(evicted_keys_are_not_lost))
