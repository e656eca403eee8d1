/* `consistency cached`: what may be answered from memory, and what others' notices do to it. */
#include "world.h"

static const char *const cached[] = {"--consistency", "cached", NULL};

static void begin(struct world *w)
{
    begin_two(w, cached);
    memory_store_set_fresh_until(w->ms, INT64_MAX);
    EXPECT_CSTR(peer_ask(&w->a, "SET k one"), "+OK");
}

static uint64_t reads(const struct world *w)
{
    return counts(w)->reads;
}

static void what_was_written_or_read_is_answered_from_memory(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "GET k;STRLEN k;EXISTS k"), "$3 one :3 :1");
    EXPECT_INT(reads(&w), 0);
    memory_store_write(w.ms, 0, "other", "two");
    EXPECT_CSTR(peer_ask(&w.a, "GET other"), "$3 two");
    EXPECT_INT(reads(&w), 1);
    EXPECT_CSTR(peer_ask(&w.b, "GET other;TTL other"), "$3 two :-1");
    EXPECT_INT(reads(&w), 1);
    end(&w);
}

static void strict_asks_every_time(void)
{
    struct world w;
    begin_two(&w, NULL);
    memory_store_set_fresh_until(w.ms, INT64_MAX);
    EXPECT_CSTR(peer_ask(&w.a, "SET k one"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 one");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 one");
    EXPECT_INT(reads(&w), 2);
    end(&w);
}

static void what_is_not_proven_is_asked_for(void)
{
    struct world w;
    begin(&w);
    memory_store_set_fresh_until(w.ms, 1);
    memory_store_write(w.ms, 0, "k", "two");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 two");
    memory_store_set_fresh_until(w.ms, INT64_MAX);
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 two");
    EXPECT_INT(reads(&w), 1);
    end(&w);
}

static void a_notice_makes_its_key_stale(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", "two");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 one"); /* nobody has said so yet */
    memory_store_tell(w.ms, "other");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 one");
    memory_store_tell(w.ms, "k");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 two");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 two");
    EXPECT_INT(reads(&w), 1);
    end(&w);
}

static void a_notice_about_everything(void)
{
    struct world w;
    begin(&w);
    memory_store_write(w.ms, 0, "k", NULL);
    memory_store_tell(w.ms, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$-1");
    end(&w);
}

/* The read's snapshot is older than the write that the notice is about: what it found must not be
 * taken for the latest. */
static void a_notice_overtakes_the_answer_to_a_read(void)
{
    struct world w;
    begin(&w);
    memory_store_tell(w.ms, "k");
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "GET k");
    EXPECT(memory_store_execute(w.ms, MEMORY_READ, 0));
    memory_store_write(w.ms, 0, "k", "two");
    memory_store_tell(w.ms, "k");
    answer(&w, MEMORY_READ);
    hold(&w, MEMORY_READ, false);
    EXPECT_CSTR(peer_take(&w.a), "$3 one"); /* it was so when it was asked */
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 two");
    end(&w);
}

static void a_notice_overtakes_the_answer_to_a_write(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET k mine");
    EXPECT(memory_store_execute(w.ms, MEMORY_COMMIT, 0));
    memory_store_write(w.ms, 0, "k", "theirs");
    memory_store_tell(w.ms, "k");
    answer(&w, MEMORY_COMMIT);
    hold(&w, MEMORY_COMMIT, false);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$6 theirs");
    end(&w);
}

static void what_is_absent_is_asked_for(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "GET none;DEL k"), "$-1 :1");
    memory_store_write(w.ms, 0, "none", "there");
    memory_store_write(w.ms, 0, "k", "again");
    EXPECT_CSTR(peer_ask(&w.a, "GET none"), "$5 there");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$5 again");
    end(&w);
}

static void what_has_expired_is_asked_for(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "PEXPIRE k 100"), ":1");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 one");
    uint64_t before = reads(&w);
    memory_store_touch(w.ms, 0, "k", memory_store_now_us(w.ms) + 10000000);
    rig_advance_ms(&w.rig, 200);
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$3 one");
    EXPECT_INT(reads(&w), before + 1);
    end(&w);
}

static void several_keys_are_of_one_moment(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SET l one"), "+OK");
    memory_store_write(w.ms, 0, "k", "two");
    memory_store_write(w.ms, 0, "l", "two");
    EXPECT_CSTR(peer_ask(&w.a, "MGET k l"), "*2 $3 two $3 two");
    memory_store_write(w.ms, 0, "k", "three");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;GET k;EXEC"), "+OK +QUEUED *1 $5 three");
    memory_store_write(w.ms, 0, "k", "four");
    EXPECT_CSTR(peer_ask(&w.a, "WATCH k;MULTI;SET k five;EXEC"), "+OK +OK +QUEUED *1 +OK");
    end(&w);
}

static void a_client_reads_what_it_has_written(void)
{
    struct world w;
    begin(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET k two;GET k");
    EXPECT_CSTR(peer_take(&w.a), "");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), ""); /* another client waits for the outcome, too */
    answer(&w, MEMORY_COMMIT);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "+OK $3 two");
    EXPECT_CSTR(peer_take(&w.b), "$3 two");
    end(&w);
}

static void our_own_flush_and_swap_are_seen(void)
{
    struct world w;
    begin(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SWAPDB 0 1;GET k"), "+OK $-1");
    EXPECT_CSTR(peer_ask(&w.a, "SWAPDB 0 1;GET k"), "+OK $3 one");
    EXPECT_CSTR(peer_ask(&w.a, "FLUSHDB;GET k"), "+OK $-1");
    EXPECT_CSTR(peer_ask(&w.a, "SET k one;MULTI;FLUSHDB;EXEC"), "+OK +OK +QUEUED *1 +OK");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$-1");
    end(&w);
}

/* The write was answered OK, but what it wrote reads as absent. */
static void a_write_that_sql_has_forestalled(void)
{
    struct world w;
    begin(&w);
    memory_store_end_session(w.ms, 0, "k");
    EXPECT_CSTR(peer_ask(&w.a, "SET k two"), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$-1");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$-1");
    EXPECT_CSTR(peer_ask(&w.a, "SET k three"), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$5 three");
    end(&w);
}

/* Each connection is told by what it has read itself. */
static void only_who_saw_it_gone_makes_it_anew(void)
{
    struct world w;
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "SET k one"), "+OK");
    memory_store_end_session(w.ms, 0, "k");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$-1");
    EXPECT_CSTR(peer_ask(&w.a, "SET k two"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET k two;SET other x;EXEC"), "+OK +QUEUED +QUEUED *2 +OK +OK");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$-1");
    EXPECT_CSTR(peer_ask(&w.b, "SET k three"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$5 three");
    /* Once it has been there, having seen it absent is of no use any more. */
    memory_store_end_session(w.ms, 0, "k");
    EXPECT_CSTR(peer_ask(&w.b, "SET k four"), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$-1");
    EXPECT_CSTR(peer_ask(&w.a, "SET k five NX"), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$4 five");
    end(&w);
}

/* A client remembers some keys, the last ones. */
static void absent_keys_are_forgotten(void)
{
    struct world w;
    char command[64];
    begin_two(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "SET k one"), "+OK");
    memory_store_end_session(w.ms, 0, "k");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$-1");
    for (int i = 0; i < 15; i++) {
        snprintf(command, sizeof(command), "GET other%d", i);
        EXPECT_CSTR(peer_ask(&w.b, command), "$-1");
    }
    EXPECT_CSTR(peer_ask(&w.b, "SET k two"), "+OK");
    EXPECT_CSTR(peer_ask(&w.b, "GET k"), "$3 two");
    memory_store_end_session(w.ms, 0, "k");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$-1");
    for (int i = 0; i < 16; i++) {
        snprintf(command, sizeof(command), "GET another%d", i);
        EXPECT_CSTR(peer_ask(&w.a, command), "$-1");
    }
    EXPECT_CSTR(peer_ask(&w.a, "SET k three"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "GET k"), "$-1");
    end(&w);
}

TEST_MAIN(TEST(a_write_that_sql_has_forestalled),
          TEST(only_who_saw_it_gone_makes_it_anew),
          TEST(absent_keys_are_forgotten),
          TEST(what_was_written_or_read_is_answered_from_memory),
          TEST(strict_asks_every_time),
          TEST(what_is_not_proven_is_asked_for),
          TEST(a_notice_makes_its_key_stale),
          TEST(a_notice_about_everything),
          TEST(a_notice_overtakes_the_answer_to_a_read),
          TEST(a_notice_overtakes_the_answer_to_a_write),
          TEST(what_is_absent_is_asked_for),
          TEST(what_has_expired_is_asked_for),
          TEST(several_keys_are_of_one_moment),
          TEST(a_client_reads_what_it_has_written),
          TEST(our_own_flush_and_swap_are_seen))
