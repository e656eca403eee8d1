/* Keyspace notifications: told once, after the commit, and only of what was done. */
#include <stdlib.h>

#include "world.h"

static const char *const all[] = {"--notify-keyspace-events", "EA", "--preload", "no", NULL};
static const char *const none[] = {"--preload", "no", NULL};

static void begin(struct world *w, const char *const *flags)
{
    begin_three(w, flags);
    EXPECT_CSTR(peer_ask(&w->c, "PSUBSCRIBE __key*"), "*3 $10 psubscribe $6 __key* :1");
}

/* What the subscriber has been told, without the words around it. */
static const char *told(struct world *w)
{
    static char out[512];
    out[0] = '\0';
    char *rest = strdup(peer_take(&w->c));
    char *at = rest;
    for (char *channel; (channel = strstr(at, "__keyevent@0__:")) != NULL;) {
        channel += strlen("__keyevent@0__:");
        char *end = strchr(channel, ' ');
        *end = '\0';
        char *message = strchr(end + 1, ' ') + 1;
        at = message + strcspn(message, " ");
        size_t used = strlen(out);
        snprintf(out + used, sizeof(out) - used, "%s%s(%.*s)", used == 0 ? "" : " ", channel,
                 (int)(at - message), message);
    }
    free(rest);
    return out;
}

static void told_after_the_commit(void)
{
    struct world w;
    begin(&w, all);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET x 1");
    EXPECT_CSTR(told(&w), "");
    answer(&w, MEMORY_COMMIT);
    EXPECT_CSTR(peer_take(&w.a), "+OK");
    EXPECT_CSTR(told(&w), "set(x)");
    hold(&w, MEMORY_COMMIT, false);
    end(&w);
}

static void a_second_run_doubles_nothing(void)
{
    struct world w;
    begin(&w, all);
    peer_ask(&w.a, "SET n 1");
    told(&w);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "INCR n");
    memory_store_write(w.ms, 0, "n", "41");
    answer(&w, MEMORY_COMMIT); /* rejected: it runs again */
    EXPECT_CSTR(told(&w), "");
    hold(&w, MEMORY_COMMIT, false);
    rig_turn(&w.rig);
    EXPECT_CSTR(peer_take(&w.a), ":42");
    EXPECT_CSTR(told(&w), "incrby(n)");
    end(&w);
}

static void what_fails_tells_nothing(void)
{
    struct world w;
    begin(&w, all);
    memory_store_refuse(w.ms, 0, "x", "no");
    EXPECT_CSTR(peer_ask(&w.a, "SET x 1"), "-ERR PostgreSQL refused the write: no");
    EXPECT_CSTR(peer_ask(&w.a, "LPUSH l a;INCR l"),
                ":1 -WRONGTYPE Operation against a key holding the wrong kind of value");
    peer_ask(&w.a, "WATCH y");
    memory_store_write(w.ms, 0, "y", "1");
    EXPECT_CSTR(peer_ask(&w.a, "MULTI;SET z 1;EXEC"), "+OK +QUEUED *-1");
    EXPECT_CSTR(told(&w), "lpush(l)");
    end(&w);
}

static void a_block_tells_in_order(void)
{
    struct world w;
    begin(&w, all);
    peer_ask(&w.a, "MULTI;SET x 1 EX 10;RENAME x y;LPUSH l a;LPOP l;DEL y none;EXEC");
    EXPECT_CSTR(told(&w),
                "set(x) expire(x) rename_from(x) rename_to(y) lpush(l) lpop(l) del(l) del(y)");
    end(&w);
}

static void expired_is_told_once(void)
{
    struct world w;
    begin(&w, all);
    peer_ask(&w.a, "SET a 1 PX 1000;SET b 1 PX 1000;SET c 1 PX 1000");
    told(&w);
    rig_advance_ms(&w.rig, 900);
    EXPECT_CSTR(told(&w), "");
    rig_advance_ms(&w.rig, 101);
    EXPECT_CSTR(peer_ask(&w.a, "SET a 2"), "+OK");
    EXPECT_CSTR(told(&w), "expired(a) set(a)");
    rig_advance_ms(&w.rig, 1000);
    EXPECT_CSTR(told(&w), "expired(b) expired(c)");
    EXPECT_CSTR(peer_ask(&w.a, "GET b;SET c 3"), "$-1 +OK");
    rig_advance_ms(&w.rig, 2000);
    EXPECT_CSTR(told(&w), "set(c)");
    end(&w);
}

static void nothing_is_asked_while_nobody_wants_it(void)
{
    struct world w;
    begin(&w, none);
    peer_ask(&w.a, "SET a 1 PX 10");
    uint64_t queries = counts(&w)->queries;
    rig_advance_ms(&w.rig, 3000);
    EXPECT_CSTR(peer_ask(&w.a, "GET a"), "$-1");
    EXPECT_CSTR(told(&w), "");
    EXPECT_INT(counts(&w)->queries, queries);
    EXPECT_CSTR(peer_ask(&w.a, "CONFIG SET notify-keyspace-events Ex"), "+OK");
    rig_advance_ms(&w.rig, 1000);
    EXPECT_CSTR(told(&w), "expired(a)");
    end(&w);
}

TEST_MAIN(TEST(told_after_the_commit), TEST(a_second_run_doubles_nothing),
          TEST(what_fails_tells_nothing), TEST(a_block_tells_in_order), TEST(expired_is_told_once),
          TEST(nothing_is_asked_while_nobody_wants_it))
