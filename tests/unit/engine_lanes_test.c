/* The engine on several lanes, and the one for large values. */
#include "base/mem.h"
#include "world.h"

static void begin(struct world *w)
{
    begin_three(w, NULL);
}

/* ---- several lanes ---- */

static void reads_on_two_lanes_may_cross(void)
{
    struct world w;
    begin_lanes(&w, 2, 1, NULL);
    peer_open(&w.rig, &w.c);
    memory_store_write(w.ms, 0, "k", "1");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$1 1");
    for (size_t i = 0; i < 2; i++)
        memory_store_hold(w.ms, MEMORY_READ, i, true);
    peer_say(&w.a, "GET k");
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_READ, 0), 1);
    memory_store_touch(w.ms, 0, "k", memory_store_now_us(w.ms) + 1000000);
    EXPECT(memory_store_execute(w.ms, MEMORY_READ, 0)); /* as known, but for the expiry */
    memory_store_write(w.ms, 0, "k", NULL);
    peer_say(&w.b, "GET k");
    EXPECT(memory_store_answer(w.ms, MEMORY_READ, 1));
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.b), "$-1");
    EXPECT(memory_store_answer(w.ms, MEMORY_READ, 0));
    for (size_t i = 0; i < 2; i++)
        memory_store_hold(w.ms, MEMORY_READ, i, false);
    rig_turn(&w.rig);
    peer_take(&w.a); /* either was true while it waited */
    EXPECT_CSTR(peer_ask(&w.a, "GET k;SETNX k 2;GET k"), "$-1 :1 $1 2");
    end(&w);
}

/* Another instance's write is under way, and may have come in time. */
static void what_may_have_expired_is_asked_for_again(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v PX 100;GET k"), "+OK $1 v");
    hold(&w, MEMORY_READ, true);
    memory_store_advance(w.ms, 200000);
    memory_store_set_undecided(w.ms, 0, "k", true);
    peer_say(&w.a, "MGET k j");
    peer_say(&w.b, "GETDEL k");
    for (int i = 0; i < 3; i++) {
        EXPECT(memory_store_answer(w.ms, MEMORY_READ, 0));
        rig_turn(&w.rig);
        EXPECT_CSTR(peer_take(&w.a), "");
    }
    memory_store_set_undecided(w.ms, 0, "k", false);
    memory_store_write(w.ms, 0, "k", "w"); /* it had */
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 w $-1");
    EXPECT_CSTR(peer_take(&w.b), "$1 w");
    end(&w);
}

/* A lane's answer is older than what others have been told since: by their time the key has expired,
 * but PostgreSQL has not said so. */
static void what_expires_behind_an_answer_is_asked_for_again(void)
{
    struct world w;
    begin_lanes(&w, 2, 1, NULL);
    peer_open(&w.rig, &w.c);
    EXPECT_CSTR(peer_ask(&w.a, "SET k v PX 100;GET k"), "+OK $1 v");
    memory_store_hold(w.ms, MEMORY_READ, 0, true);
    peer_say(&w.a, "GET k");
    EXPECT(memory_store_execute(w.ms, MEMORY_READ, 0));
    memory_store_advance(w.ms, 200000);
    EXPECT_CSTR(peer_ask(&w.b, "GET j"), "$-1");
    memory_store_write(w.ms, 0, "k", "w"); /* it came before the expiry, and has committed now */
    EXPECT(memory_store_answer(w.ms, MEMORY_READ, 0));
    memory_store_hold(w.ms, MEMORY_READ, 0, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "$1 w");
    end(&w);
}

static void a_client_stays_on_its_commit_lane(void)
{
    struct world w;
    begin_lanes(&w, 1, 2, NULL);
    peer_open(&w.rig, &w.c);
    for (size_t i = 0; i < 2; i++)
        memory_store_hold(w.ms, MEMORY_COMMIT, i, true);
    peer_say(&w.a, "SET x 1");
    peer_say(&w.b, "SET y 1");
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_COMMIT, 0), 1);
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_COMMIT, 1), 1);
    EXPECT(memory_store_answer(w.ms, MEMORY_COMMIT, 1));
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.b), "+OK");
    peer_say(&w.a, "SET z 1");
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_COMMIT, 1), 0);
    for (size_t i = 0; i < 2; i++)
        memory_store_hold(w.ms, MEMORY_COMMIT, i, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK");
    end(&w);
}

/* A key is in one batch at a time, whatever the lanes. */
static void a_key_is_in_one_batch_at_a_time(void)
{
    struct world w;
    begin_lanes(&w, 1, 2, NULL);
    peer_open(&w.rig, &w.c);
    for (size_t i = 0; i < 2; i++)
        memory_store_hold(w.ms, MEMORY_COMMIT, i, true);
    peer_say(&w.a, "SET k a");
    peer_say(&w.b, "SET k b");
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_COMMIT, 1), 0);
    EXPECT(memory_store_answer(w.ms, MEMORY_COMMIT, 0));
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    for (size_t i = 0; i < 2; i++)
        memory_store_hold(w.ms, MEMORY_COMMIT, i, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(memory_store_text(w.ms, 0, "k"), "b");
    end(&w);
}

/* ---- the bulk lane, which is lane 1 here ---- */

enum { LARGE = 300 * 1000, BULK_LANE = 1 };

static void send_large(struct peer *p, const char *key)
{
    char *value = mem_alloc(LARGE);
    memset(value, 'x', LARGE);
    struct bytes argv[] = {BYTES_LIT("SET"), bytes_cstr(key), bytes_of(value, LARGE)};
    peer_send_argv(p, 3, argv);
    mem_free(value);
}

static size_t stored_length(const struct world *w, const char *key)
{
    const struct memory_row *row = memory_store_row(w->ms, 0, bytes_cstr(key));
    return row == NULL || row->value == NULL ? 0 : row->value->len;
}

static void hold_both(struct world *w, bool on)
{
    hold(w, MEMORY_COMMIT, on);
    memory_store_hold(w->ms, MEMORY_COMMIT, BULK_LANE, on);
    rig_turn(&w->rig);
}

static void a_large_value_does_not_hold_up_the_others(void)
{
    struct world w;
    begin(&w);
    memory_store_hold(w.ms, MEMORY_COMMIT, BULK_LANE, true);
    send_large(&w.a, "large");
    send_large(&w.c, "larger");
    rig_turn(&w.rig);
    EXPECT_INT(memory_store_in_flight(w.ms, MEMORY_COMMIT, BULK_LANE), 1);
    EXPECT_CSTR(peer_ask(&w.b, "SET small 1;GET small"), "+OK $1 1");
    rig_advance_ms(&w.rig, 10 * RIG_TIMEOUT_MS);
    EXPECT_CSTR(peer_take(&w.a), "");
    hold_both(&w, false);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT_CSTR(peer_take(&w.c), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "STRLEN large;SETRANGE larger 300000 y"), ":300000 :300001");
    end(&w);
}

/* It is sent behind the small one that is gathered for its key already. */
static void a_large_value_behind_a_small_one(void)
{
    struct world w;
    begin(&w);
    hold_both(&w, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.a, "SET k 1");
    send_large(&w.b, "k");
    rig_turn(&w.rig);
    peer_say(&w.c, "STRLEN k");
    hold_both(&w, false);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT_CSTR(peer_take(&w.b), "+OK");
    EXPECT_CSTR(peer_take(&w.c), "+OK :300000");
    end(&w);
}

static void a_large_value_that_waits_for_its_key(void)
{
    struct world w;
    begin(&w);
    hold_both(&w, true);
    peer_say(&w.a, "SET k 1");
    peer_say(&w.b, "APPEND k 2");
    send_large(&w.c, "k");
    rig_turn(&w.rig);
    peer_say(&w.a, "APPEND k 3");
    hold_both(&w, false);
    EXPECT_CSTR(peer_take(&w.a), "+OK :300001");
    EXPECT_CSTR(peer_take(&w.b), ":2");
    EXPECT_CSTR(peer_take(&w.c), "+OK");
    end(&w);
}

/* What is large may only come out when it runs. */
static void a_value_that_grows_large(void)
{
    struct world w;
    begin(&w);
    hold_both(&w, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.a, "SETRANGE k 10 x");
    peer_say(&w.b, "SETRANGE k 299999 y");
    peer_say(&w.a, "STRLEN k");
    hold_both(&w, false);
    EXPECT_CSTR(peer_take(&w.a), ":11 :300000");
    EXPECT_CSTR(peer_take(&w.b), ":300000");
    memory_store_write(w.ms, 0, "k", "short");
    EXPECT_CSTR(peer_ask(&w.b, "SETRANGE k 299999 z;SETRANGE k 299998 z"), ":300000 :300000");
    end(&w);
}

static void a_large_value_keeps_its_place_in_a_pipeline(void)
{
    struct world w;
    begin(&w);
    hold_both(&w, true);
    peer_send(&w.a, "SET before 1");
    send_large(&w.a, "large");
    peer_send(&w.a, "SET after 1;STRLEN large");
    rig_turn(&w.rig);
    for (int i = 0; i < 10; i++) {
        bool large = stored_length(&w, "large") > 0;
        EXPECT(!large || stored_length(&w, "before") > 0);
        EXPECT(stored_length(&w, "after") == 0 || large);
        if (!memory_store_answer(w.ms, MEMORY_COMMIT, 0))
            memory_store_answer(w.ms, MEMORY_COMMIT, BULK_LANE);
        rig_turn(&w.rig);
    }
    hold_both(&w, false);
    EXPECT_CSTR(peer_take(&w.a), "+OK +OK +OK :300000");
    end(&w);
}

TEST_MAIN(TEST(reads_on_two_lanes_may_cross), TEST(what_may_have_expired_is_asked_for_again),
          TEST(what_expires_behind_an_answer_is_asked_for_again),
          TEST(a_client_stays_on_its_commit_lane),
          TEST(a_key_is_in_one_batch_at_a_time), TEST(a_large_value_does_not_hold_up_the_others),
          TEST(a_large_value_behind_a_small_one), TEST(a_large_value_that_waits_for_its_key),
          TEST(a_value_that_grows_large), TEST(a_large_value_keeps_its_place_in_a_pipeline))
