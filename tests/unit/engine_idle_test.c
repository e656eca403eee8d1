/* Writes that change nothing: SADD of a member, HSETNX of a field, SPOP of nothing. They are reads, as it
 * turns out, and travel together, as reads do; whoever does change something waits until they are proven,
 * and they for it. */
#include "world.h"

static void begin_with_a_set(struct world *w)
{
    begin_three(w, NULL);
    EXPECT_CSTR(peer_ask(&w->a, "SADD s m"), ":1");
}

static void they_travel_together(void)
{
    struct world w;
    begin_with_a_set(&w);
    struct memory_counts before = *counts(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "SADD s m");
    peer_say(&w.b, "SADD s m");
    peer_say(&w.c, "SREM s nobody");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":0");
    EXPECT_CSTR(peer_take(&w.b), ":0");
    EXPECT_CSTR(peer_take(&w.c), ":0");
    EXPECT_INT(counts(&w)->reads, before.reads + 2); /* the first, and those who came meanwhile */
    EXPECT_INT(counts(&w)->commits, before.commits);
    end(&w);
}

static void of_a_key_that_is_not_there(void)
{
    struct world w;
    begin_with_a_set(&w);
    EXPECT_CSTR(peer_ask(&w.a, "SPOP s;SPOP s"), "$1 m $-1");
    struct memory_counts before = *counts(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "SPOP s");
    peer_say(&w.b, "ZPOPMIN s");
    peer_say(&w.c, "DEL s");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), "$-1");
    EXPECT_CSTR(peer_take(&w.b), "*0");
    EXPECT_CSTR(peer_take(&w.c), ":0");
    EXPECT_INT(counts(&w)->reads, before.reads + 2);
    EXPECT_INT(counts(&w)->commits, before.commits);
    end(&w);
}

static void who_changes_something_waits_for_them(void)
{
    struct world w;
    begin_with_a_set(&w);
    struct memory_counts before = *counts(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "SADD s m");
    peer_say(&w.b, "SADD s n");
    peer_say(&w.c, "SADD s n");
    EXPECT_INT(counts(&w)->commits, before.commits);
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":0");
    EXPECT_CSTR(peer_take(&w.b), ":1");
    EXPECT_CSTR(peer_take(&w.c), ":0"); /* behind it, and in its batch */
    EXPECT_INT(counts(&w)->reads, before.reads + 1);
    EXPECT_INT(counts(&w)->commits, before.commits + 1);
    EXPECT_CSTR(peer_ask(&w.a, "SMISMEMBER s m n"), "*2 :1 :1");
    end(&w);
}

/* What they ran on was not what is there. */
static void somebody_else_has_removed_it(void)
{
    struct world w;
    begin_with_a_set(&w);
    struct memory_counts before = *counts(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "SADD s m");
    memory_store_write(w.ms, 0, "s", NULL);
    peer_say(&w.b, "SADD s m");
    peer_say(&w.c, "SADD s m");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1");
    EXPECT_CSTR(peer_take(&w.b), ":0");
    EXPECT_CSTR(peer_take(&w.c), ":0");
    EXPECT_INT(counts(&w)->commits, before.commits + 1);
    EXPECT_CSTR(peer_ask(&w.b, "SCARD s"), ":1");
    end(&w);
}

static void of_another_type_meanwhile(void)
{
    struct world w;
    begin_with_a_set(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "SADD s m");
    memory_store_write(w.ms, 0, "s", "text");
    peer_say(&w.b, "SADD s m");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    static const char wrong[] = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    EXPECT_CSTR(peer_take(&w.a), wrong);
    EXPECT_CSTR(peer_take(&w.b), wrong);
    end(&w);
}

/* What one client has sent after it waits for it, also a read. */
static void a_client_stays_in_order(void)
{
    struct world w;
    begin_with_a_set(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.b, "SADD s m");
    memory_store_write(w.ms, 0, "s", NULL);
    peer_say(&w.a, "SADD s m;SCARD s;SADD s m;SREM s m;SCARD s");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.b), ":1");
    EXPECT_CSTR(peer_take(&w.a), ":0 :1 :0 :1 :0");
    end(&w);
}

static void who_looks_may_leave(void)
{
    struct world w;
    begin_with_a_set(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "SADD s m");
    peer_say(&w.b, "SADD s m");
    peer_say(&w.c, "SADD s n");
    peer_close(&w.a);
    peer_close(&w.b);
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.c), ":1");
    EXPECT_CSTR(peer_ask(&w.c, "SCARD s;SADD s n"), ":2 :0");
    end(&w);
}

/* Reads are no sign of it: a write beside them waits without being tried. */
static void beside_reads(void)
{
    struct world w;
    begin_with_a_set(&w);
    struct memory_counts before = *counts(&w);
    hold(&w, MEMORY_READ, true);
    peer_say(&w.a, "SCARD s");
    peer_say(&w.b, "SADD s n");
    peer_say(&w.c, "SCARD s");
    hold(&w, MEMORY_READ, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":1");
    EXPECT_CSTR(peer_take(&w.b), ":1");
    EXPECT_INT(counts(&w)->commits, before.commits + 1);
    EXPECT_CSTR(peer_take(&w.c), ":2");
    end(&w);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(they_travel_together),
        TEST(of_a_key_that_is_not_there),
        TEST(who_changes_something_waits_for_them),
        TEST(somebody_else_has_removed_it),
        TEST(of_another_type_meanwhile),
        TEST(a_client_stays_in_order),
        TEST(who_looks_may_leave),
        TEST(beside_reads),
    };
    return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL);
}
