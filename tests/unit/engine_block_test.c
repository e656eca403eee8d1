/* engine_block: commands that wait. Who is woken, when, in which order, and what it costs, with
 * every interleaving of commands, batches and other instances held still. What each command answers
 * is compared with Redis in tests/integration/test_blocking.py. */
#include <stdlib.h>

#include "engine/client.h"
#include "metrics/metrics.h"
#include "value/deque.h"
#include "world.h"

static const char *const cached[] = {"--consistency", "cached", NULL};
static const char *const slow_poll[] = {"--block-poll-interval", "3600000", NULL};

/* Another instance writes a list of so many elements: "e". */
static void push_elsewhere(struct world *w, const char *key, int n)
{
    struct value *v = value_collection_new(VALUE_LIST);
    for (int i = 0; i < n; i++)
        deque_insert(value_content(v), 0, BYTES_LIT("e"));
    memory_store_write_value(w->ms, 0, key, v);
    value_unref(v);
}

static bool waits(struct world *w, const char *n)
{
    char line[40];
    snprintf(line, sizeof(line), "blocked_clients:%s ", n);
    return strstr(peer_ask(&w->c, "INFO clients"), line) != NULL;
}

/* How often somebody has been woken, in this process. */
static uint64_t wakes(void)
{
    return metrics.blocked_wakes;
}

static uint64_t calls(struct world *w, const char *command)
{
    char name[40];
    snprintf(name, sizeof(name), "cmdstat_%s:calls=", command);
    const char *at = strstr(peer_ask(&w->c, "INFO commandstats"), name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

/* ---- who is woken ---- */

static void a_push_and_the_pop_it_serves_are_one_batch(void)
{
    struct world w;
    begin_three(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    uint64_t commits = counts(&w)->commits;
    uint64_t reads = counts(&w)->reads;
    EXPECT_CSTR(peer_ask(&w.b, "RPUSH k x"), ":1");
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 x");
    EXPECT_INT(counts(&w)->commits, commits + 1);
    EXPECT_INT(counts(&w)->reads, reads);
    EXPECT_CSTR(peer_ask(&w.b, "EXISTS k"), ":0");
    end(&w);
}

/* All in one gather that cannot go: the order of the commands is kept without it. */
static void order_is_kept_in_an_open_gather(void)
{
    struct world w;
    begin_three(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "RPUSH k 0;RPUSH other 1"), ":1 :1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1"); /* on the wire */
    peer_say(&w.b, "LPOP k");     /* the gather: k is empty */
    peer_say(&w.a, "BLPOP k 0");  /* waits on what the gather has made of it */
    peer_send(&w.b, "RPUSH k 1;LPOP k");
    rig_submit(&w.rig);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 1");
    EXPECT_CSTR(peer_take(&w.b), "$1 0 :1 $-1");
    EXPECT_CSTR(peer_take(&w.c), "+OK");
    end(&w);
}

/* What a wait in a gather rests on is rejected: another instance has written the key. */
static void a_wait_whose_ground_is_rejected_looks_again(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "RPUSH k 0"), ":1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.b, "LPOP k");
    peer_say(&w.c, "SET busy 1");
    EXPECT_CSTR(peer_take(&w.c), "");
    push_elsewhere(&w, "k", 2);
    peer_say(&w.a, "BLPOP k 0");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.b), "$1 e");
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 e");
    end(&w);
}

/* It had not waited in truth: a key of another type is an error. */
static void nor_has_it_waited(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "RPUSH k 0"), ":1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.b, "LPOP k");
    peer_say(&w.a, "BLPOP k 0");
    memory_store_write(w.ms, 0, "k", "text");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT(strncmp(peer_take(&w.b), "-WRONGTYPE", 10) == 0);
    EXPECT(strncmp(peer_take(&w.a), "-WRONGTYPE", 10) == 0);
    end(&w);
}

/* A time that ends while that is not known ends with the answer. */
static void a_short_wait_is_not_answered_before_it_is_proven(void)
{
    struct world w;
    begin_three(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "RPUSH k 0"), ":1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.b, "LPOP k");
    peer_say(&w.a, "BLPOP k 0.01");
    rig_advance_ms(&w.rig, 100);
    EXPECT_CSTR(peer_take(&w.a), "");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    rig_advance_ms(&w.rig, 1);
    EXPECT_CSTR(peer_take(&w.a), "*-1");
    end(&w);
}

/* The timer goes by a coarse clock: it fires while the time is not quite over, and nothing is proven. */
static void a_wait_ends_though_its_timer_fired_early(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "RPUSH k 0"), ":1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "SET busy 1");
    peer_say(&w.b, "LPOP k");
    peer_say(&w.a, "BLPOP k 0.01");
    rig_advance_ms(&w.rig, 8);
    fake_time_fire_early(w.rig.loop, 4000);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "");
    rig_advance_ms(&w.rig, 5);
    EXPECT_CSTR(peer_take(&w.a), "*-1");
    end(&w);
}

static void as_many_are_woken_as_there_are_elements(void)
{
    enum { WAITERS = 50 };
    struct world w;
    struct peer crowd[WAITERS];
    begin_three(&w, slow_poll);
    for (int i = 0; i < WAITERS; i++) {
        peer_open(&w.rig, &crowd[i]);
        peer_say(&crowd[i], "BLPOP k 0");
    }
    EXPECT(waits(&w, "50"));
    uint64_t reads = counts(&w)->reads;
    uint64_t woken = wakes();
    EXPECT_CSTR(peer_ask(&w.a, "RPUSH k x y"), ":2");
    EXPECT_CSTR(peer_take(&crowd[0]), "*2 $1 k $1 x");
    EXPECT_CSTR(peer_take(&crowd[1]), "*2 $1 k $1 y");
    EXPECT(waits(&w, "48"));
    EXPECT_INT(wakes(), woken + 2);
    EXPECT_INT(counts(&w)->reads, reads); /* nobody has had to look whether there is something */
    for (int i = 0; i < WAITERS; i++)
        peer_close(&crowd[i]);
    EXPECT(waits(&w, "0"));
    EXPECT_CSTR(peer_ask(&w.a, "RPUSH k z"), ":1");
    EXPECT_CSTR(peer_ask(&w.a, "LRANGE k 0 -1"), "*1 $1 z");
    for (int i = 0; i < WAITERS; i++)
        peer_release(&crowd[i]);
    end(&w);
}

/* Those who come to wait ask together. */
static void a_crowd_that_comes_asks_in_one_batch(void)
{
    enum { WAITERS = 30 };
    struct world w;
    struct peer crowd[WAITERS];
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "RPUSH k x;DEL k"), ":1 :1");
    hold(&w, MEMORY_READ, true);
    for (int i = 0; i < WAITERS; i++) {
        peer_open(&w.rig, &crowd[i]);
        peer_say(&crowd[i], "BLPOP k 0");
    }
    uint64_t reads = counts(&w)->reads;
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT(waits(&w, "30"));
    EXPECT(counts(&w)->reads <= reads + 2);
    for (int i = 0; i < WAITERS; i++)
        peer_release(&crowd[i]);
    end(&w);
}

static void an_error_hands_the_element_on(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.c, "SET d text"), "+OK");
    EXPECT_CSTR(peer_ask(&w.a, "BLMOVE k d LEFT LEFT 0"), "");
    EXPECT_CSTR(peer_ask(&w.b, "BLPOP k 0"), "");
    EXPECT_CSTR(peer_ask(&w.c, "RPUSH k x"), ":1");
    EXPECT(strncmp(peer_take(&w.a), "-WRONGTYPE", 10) == 0);
    EXPECT_CSTR(peer_take(&w.b), "*2 $1 k $1 x");
    end(&w);
}

/* ---- other instances ---- */

static void a_notice_wakes(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    EXPECT_CSTR(peer_ask(&w.b, "BZPOPMIN k z 0"), "");
    push_elsewhere(&w, "k", 1);
    rig_advance_ms(&w.rig, 1000);
    EXPECT_CSTR(peer_take(&w.a), ""); /* nobody has told */
    memory_store_tell(w.ms, "other");
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "");
    memory_store_tell(w.ms, "k");
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 e");
    EXPECT_CSTR(peer_take(&w.b), "");
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    push_elsewhere(&w, "k", 1);
    memory_store_tell(w.ms, NULL);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 e");
    end(&w);
}

/* The key is asked for, then written and told, and only then the answer is here. */
static void a_notice_that_overtakes_the_answer_is_not_lost(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "RPUSH k x;DEL k"), ":1 :1");
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "BLPOP k 0");
    EXPECT(memory_store_execute(w.ms, MEMORY_READ, 0));
    push_elsewhere(&w, "k", 1);
    memory_store_tell(w.ms, "k");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 e");
    end(&w);
}

static void without_notices_the_poll_finds_it(void)
{
    struct world w;
    begin_three(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k j 0"), "");
    EXPECT_CSTR(peer_ask(&w.b, "BLPOP l 0"), "");
    push_elsewhere(&w, "j", 1);
    push_elsewhere(&w, "l", 1);
    uint64_t reads = counts(&w)->reads;
    rig_advance_ms(&w.rig, 400);
    EXPECT_CSTR(peer_take(&w.a), "");
    EXPECT_INT(counts(&w)->reads, reads);
    rig_advance_ms(&w.rig, 200);
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 j $1 e");
    EXPECT_CSTR(peer_take(&w.b), "*2 $1 l $1 e");
    EXPECT_INT(counts(&w)->reads, reads + 1); /* one batch for all keys */
    rig_advance_ms(&w.rig, 5000);
    EXPECT_INT(counts(&w)->reads, reads + 1); /* nobody waits any more */
    end(&w);
}

/* Another instance was faster: who was woken waits on, in its old place. */
static void the_loser_of_a_race_waits_on(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    EXPECT_CSTR(peer_ask(&w.b, "BLPOP k 0"), "");
    push_elsewhere(&w, "k", 1);
    hold(&w, MEMORY_COMMIT, true);
    memory_store_tell(w.ms, "k");
    rig_turn(&w.rig);
    memory_store_write(w.ms, 0, "k", NULL);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT(waits(&w, "2"));
    EXPECT_CSTR(peer_ask(&w.c, "RPUSH k 1"), ":1");
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 1");
    EXPECT_CSTR(peer_take(&w.b), "");
    EXPECT_INT(calls(&w, "blpop"), 1);
    EXPECT_CSTR(peer_ask(&w.c, "RPUSH k 2"), ":1");
    EXPECT_CSTR(peer_take(&w.b), "*2 $1 k $1 2");
    end(&w);
}

/* The read of a younger command finds what nobody has told. */
static void whoever_finds_an_element_does_not_overtake(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    push_elsewhere(&w, "k", 1);
    EXPECT_CSTR(peer_ask(&w.b, "LPOP k"), "$-1");
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 e");
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    push_elsewhere(&w, "k", 2);
    EXPECT_CSTR(peer_ask(&w.b, "BLPOP k 0"), "*2 $1 k $1 e");
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 e");
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    push_elsewhere(&w, "k", 2);
    EXPECT_CSTR(peer_ask(&w.b, "LLEN k"), ":2"); /* and that look serves it */
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 e");
    end(&w);
}

static void answers_from_memory_do_not_disturb(void)
{
    struct world w;
    begin_three(&w, cached);
    memory_store_set_fresh_until(w.ms, INT64_MAX);
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    EXPECT_CSTR(peer_ask(&w.b, "LLEN k;RPUSH k 1;LLEN k"), ":0 :1 :0");
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 1");
    end(&w);
}

/* ---- troubles ---- */

static void a_lost_read_is_asked_again(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    push_elsewhere(&w, "k", 1);
    hold(&w, MEMORY_READ, true);
    memory_store_tell(w.ms, "k");
    rig_submit(&w.rig);
    EXPECT(memory_store_lose(w.ms, MEMORY_READ, 0, MEMORY_LOST_BEFORE));
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 e");
    end(&w);
}

/* What others do while PostgreSQL is away is looked for when it is back. */
static void after_an_outage_all_is_looked_at(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    memory_store_set_state(w.ms, STORE_AWAY);
    rig_advance_ms(&w.rig, 100);
    push_elsewhere(&w, "k", 1);
    memory_store_tell(w.ms, "k");
    rig_advance_ms(&w.rig, 100);
    memory_store_set_state(w.ms, STORE_ONLINE);
    rig_advance_ms(&w.rig, 100);
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 e");
    end(&w);
}

/* pg-timeout counts for those who wait for PostgreSQL: not while they wait for a key. */
static void the_time_of_a_wait_is_not_postgresqls(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    rig_advance_ms(&w.rig, 10 * RIG_TIMEOUT_MS);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.b, "RPUSH k 1");
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS / 2);
    EXPECT_CSTR(peer_take(&w.a), "");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "*2 $1 k $1 1");
    end(&w);
}

/* ---- the client is gone ---- */

static void what_was_taken_for_nobody_goes_back(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.c, "RPUSH k 1 2 3;ZADD z 1.5 a 2 b"), ":3 :2");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "BLMPOP 0 1 k LEFT COUNT 2");
    peer_say(&w.b, "HELLO 3;BZMPOP 0 1 z MAX COUNT 2");
    peer_close(&w.a);
    peer_close(&w.b);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_ask(&w.c, "LRANGE k 0 -1;ZRANGE z 0 -1 WITHSCORES"),
                "*3 $1 1 $1 2 $1 3 *4 $1 a $3 1.5 $1 b $1 2");
    EXPECT(strstr(peer_ask(&w.c, "INFO respgres"), "blocked_pops_lost:0") != NULL);
    end(&w);
}

/* It was told that nobody knows, and the pop has come to be. */
static void what_was_given_up_goes_back(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.c, "RPUSH k 1 2"), ":2");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "BRPOP k 0");
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS + 100);
    EXPECT(strncmp(peer_take(&w.a), "-ERR PostgreSQL did not confirm", 30) == 0);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_ask(&w.c, "LRANGE k 0 -1"), "*2 $1 1 $1 2");
    end(&w);
}

/* Others wait: they get what was taken for nobody. */
static void what_goes_back_serves_others(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    peer_say(&w.a, "BLPOP k 0");
    peer_say(&w.b, "BLPOP k 0");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.c, "RPUSH k 1");
    peer_close(&w.a);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.c), ":1");
    EXPECT_CSTR(peer_take(&w.b), "*2 $1 k $1 1");
    end(&w);
}

static void a_move_is_where_it_belongs(void)
{
    struct world w;
    begin_three(&w, slow_poll);
    EXPECT_CSTR(peer_ask(&w.c, "RPUSH k 1"), ":1");
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "BLMOVE k d LEFT LEFT 0");
    peer_close(&w.a);
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_ask(&w.c, "EXISTS k;LRANGE d 0 -1"), ":0 *1 $1 1");
    end(&w);
}

/* From the moment on in which it is killed, whatever state its wait is in. */
static void who_is_killed_is_given_nothing(void)
{
    struct world w;
    char kill[60];
    begin_three(&w, slow_poll);
    snprintf(kill, sizeof(kill), "CLIENT KILL ID %s", peer_ask(&w.a, "CLIENT ID") + 1);
    EXPECT_CSTR(peer_ask(&w.a, "BLMOVE k d LEFT LEFT 0"), "");
    peer_say(&w.b, kill);
    EXPECT_CSTR(peer_ask(&w.b, "RPUSH k x"), ":1 :1");
    EXPECT_CSTR(peer_ask(&w.c, "LRANGE k 0 -1;EXISTS d;DEL k"), "*1 $1 x :0 :1");
    EXPECT(w.a.told_close_now);
    end(&w);
    /* It was woken, and what it found was taken by another instance meanwhile: it looks again. */
    begin_three(&w, slow_poll);
    snprintf(kill, sizeof(kill), "CLIENT KILL ID %s", peer_ask(&w.a, "CLIENT ID") + 1);
    EXPECT_CSTR(peer_ask(&w.a, "BLMOVE k d LEFT LEFT 0"), "");
    push_elsewhere(&w, "k", 1);
    hold(&w, MEMORY_COMMIT, true);
    memory_store_tell(w.ms, "k");
    rig_turn(&w.rig);
    push_elsewhere(&w, "k", 2);
    EXPECT_CSTR(peer_ask(&w.b, kill), ":1");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_ask(&w.c, "LLEN k;EXISTS d"), ":2 :0");
    end(&w);
}

/* ---- the end of the instance ---- */

static void who_waits_is_closed_when_the_instance_stops(void)
{
    struct world w;
    begin_three(&w, NULL);
    EXPECT_CSTR(peer_ask(&w.a, "BLPOP k 0"), "");
    EXPECT(engine_idle(w.rig.engine)); /* nobody waits for it to end */
    engine_begin_drain(w.rig.engine);
    rig_turn(&w.rig);
    EXPECT(w.a.told_close && !w.b.told_close);
    EXPECT_CSTR(peer_take(&w.a), "");
    end(&w);
}

TEST_MAIN(TEST(a_push_and_the_pop_it_serves_are_one_batch), TEST(order_is_kept_in_an_open_gather),
          TEST(a_wait_whose_ground_is_rejected_looks_again), TEST(nor_has_it_waited),
          TEST(a_short_wait_is_not_answered_before_it_is_proven),
          TEST(a_wait_ends_though_its_timer_fired_early),
          TEST(as_many_are_woken_as_there_are_elements), TEST(a_crowd_that_comes_asks_in_one_batch),
          TEST(an_error_hands_the_element_on), TEST(a_notice_wakes),
          TEST(a_notice_that_overtakes_the_answer_is_not_lost),
          TEST(without_notices_the_poll_finds_it), TEST(the_loser_of_a_race_waits_on),
          TEST(whoever_finds_an_element_does_not_overtake),
          TEST(answers_from_memory_do_not_disturb), TEST(a_lost_read_is_asked_again),
          TEST(after_an_outage_all_is_looked_at), TEST(the_time_of_a_wait_is_not_postgresqls),
          TEST(what_was_taken_for_nobody_goes_back), TEST(what_was_given_up_goes_back),
          TEST(what_goes_back_serves_others), TEST(a_move_is_where_it_belongs),
          TEST(who_is_killed_is_given_nothing),
          TEST(who_waits_is_closed_when_the_instance_stops))
