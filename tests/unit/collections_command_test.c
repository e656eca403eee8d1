/* Commands on lists, sets and sorted sets, on a world in memory (command_world.h): each is run
 * twice, and must say the same. Replies in detail are compared with Redis by
 * differential_collections.py. */

#include "command/content.h"
#include "command/key_place.h"
#include "command_world.h"
#include "test.h"

#define WRONG "-WRONGTYPE Operation against a key holding the wrong kind of value"
#define SYNTAX "-ERR syntax error"
#define NO_INT "-ERR value is not an integer or out of range"

static void with_world(const struct expectation *rows, size_t n, int proto)
{
    struct world w;
    world_init(&w);
    w.max_value = 10000;
    w.proto = proto;
    EXPECT_INT(world_expect(&w, rows, n), 0);
    world_release(&w);
}

#define EXPECT_ROWS(rows, proto) with_world(rows, sizeof(rows) / sizeof((rows)[0]), proto)

static void lists_are_pushed_and_popped(void)
{
    static const struct expectation rows[] = {
        {"LPUSHX l a", ":0"},
        {"RPUSH l b c", ":2"},
        {"LPUSH l a z", ":4"},
        {"LRANGE l 0 -1", "*4\r\n$1\r\nz\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc"},
        {"LRANGE l 3 1", "*0"},
        {"LPOP l", "$1\r\nz"},
        {"RPOP l 0", "*0"},
        {"RPOP l 2", "*2\r\n$1\r\nc\r\n$1\r\nb"},
        {"RPUSHX l x", ":2"},
        {"LPOP l 9", "*2\r\n$1\r\na\r\n$1\r\nx"},
        {"EXISTS l", ":0"},
        {"LPOP l", "$-1"},
        {"LPOP l 1", "*-1"},
        {"LPOP l -1", "-ERR value is out of range, must be positive"},
        {"LPOP l 1 2", "-ERR wrong number of arguments for 'lpop' command"},
        {"SET s v", "+OK"},
        {"LPUSH s a", WRONG},
        {"LLEN s", WRONG},
        {"GET l", "$-1"},
        {"RPUSH l a", ":1"},
        {"GET l", WRONG},
        {"TYPE l", "+list"},
        {"OBJECT ENCODING l", "$9\r\nquicklist"},
    };
    EXPECT_ROWS(rows, 2);
}

static void lists_are_changed_within(void)
{
    static const struct expectation rows[] = {
        {"RPUSH l a b a c a", ":5"},
        {"LINSERT l BEFORE c x", ":6"},
        {"LINSERT l after none x", ":-1"},
        {"LINSERT l beside c x", SYNTAX},
        {"LINSERT none BEFORE c x", ":0"},
        {"LSET l -1 z", "+OK"},
        {"LSET l 6 z", "-ERR index out of range"},
        {"LSET none 0 z", "-ERR no such key"},
        {"LRANGE l 0 -1", "*6\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\na\r\n$1\r\nx\r\n$1\r\nc\r\n$1\r\nz"},
        {"LINDEX l 3", "$1\r\nx"},
        {"LINDEX l -7", "$-1"},
        {"LINDEX none x", "$-1"}, /* the key is looked at first */
        {"LINDEX l x", NO_INT},
        {"LPOS l a", ":0"},
        {"LPOS l a RANK -1", ":2"},
        {"LPOS l a COUNT 0", "*2\r\n:0\r\n:2"},
        {"LPOS l a COUNT 0 MAXLEN 2", "*1\r\n:0"},
        {"LPOS l q COUNT 1", "*0"},
        {"LPOS l q", "$-1"},
        {"LPOS l a COUNT -1", "-ERR COUNT can't be negative"},
        {"LREM l -1 a", ":1"},
        {"LREM l 0 q", ":0"},
        {"LTRIM l 1 -2", "+OK"},
        {"LRANGE l 0 -1", "*3\r\n$1\r\nb\r\n$1\r\nx\r\n$1\r\nc"},
        {"LTRIM l 5 9", "+OK"},
        {"EXISTS l", ":0"},
    };
    EXPECT_ROWS(rows, 2);
}

static void elements_move_between_lists(void)
{
    static const struct expectation rows[] = {
        {"RPUSH l a b c", ":3"},
        {"LMOVE l m LEFT RIGHT", "$1\r\na"},
        {"RPOPLPUSH l m", "$1\r\nc"},
        {"LRANGE m 0 -1", "*2\r\n$1\r\nc\r\n$1\r\na"},
        {"LMOVE m m LEFT RIGHT", "$1\r\nc"},
        {"RPOPLPUSH m m", "$1\r\nc"},
        {"LRANGE m 0 -1", "*2\r\n$1\r\nc\r\n$1\r\na"},
        {"LMOVE l l RIGHT LEFT", "$1\r\nb"}, /* a list of one turns round */
        {"LLEN l", ":1"},
        {"LMOVE l m LEFT LEFT", "$1\r\nb"},
        {"EXISTS l", ":0"},
        {"LMOVE l m LEFT LEFT", "$-1"},
        {"LMOVE m s LEFT UP", SYNTAX},
        {"SET s v", "+OK"},
        {"LMOVE m s LEFT LEFT", WRONG},
        {"LLEN m", ":3"},
        {"LMPOP 2 l m RIGHT COUNT 2", "*2\r\n$1\r\nm\r\n*2\r\n$1\r\na\r\n$1\r\nc"},
        {"LMPOP 1 l LEFT", "*-1"},
        {"LMPOP 0 l LEFT", "-ERR numkeys should be greater than 0"},
        {"LMPOP 3 l LEFT", SYNTAX},
        {"LMPOP 1 l LEFT COUNT 0", "-ERR count should be greater than 0"},
        {"LMPOP 2 s m LEFT", WRONG},
    };
    EXPECT_ROWS(rows, 2);
}

/* As in a block or a script: they answer at once. */
static void what_may_not_wait(void)
{
    static const struct expectation rows[] = {
        {"BLPOP l 0", "*-1"},
        {"BLMOVE l m LEFT RIGHT 0", "$-1"},
        {"BRPOPLPUSH l m 0", "$-1"},
        {"BLMPOP 0 2 l m LEFT", "*-1"},
        {"BZPOPMIN z 0", "*-1"},
        {"BZMPOP 0 1 z MAX", "*-1"},
        {"RPUSH l a b c d e", ":5"},
        {"BLPOP m l 0", "*2\r\n$1\r\nl\r\n$1\r\na"},
        {"BRPOP l m 0", "*2\r\n$1\r\nl\r\n$1\r\ne"},
        {"BLMOVE l m RIGHT LEFT 1.5", "$1\r\nd"},
        {"BLMPOP 0 2 x l LEFT COUNT 9", "*2\r\n$1\r\nl\r\n*2\r\n$1\r\nb\r\n$1\r\nc"},
        {"ZADD z 1 a 2.5 b 3 c", ":3"},
        {"BZPOPMAX x z 0", "*3\r\n$1\r\nz\r\n$1\r\nc\r\n$1\r\n3"},
        {"BZMPOP 0 1 z MIN COUNT 2", "*2\r\n$1\r\nz\r\n*2\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$1\r\nb\r\n$3\r\n2.5"},
        {"BLPOP l -1", "-ERR timeout is negative"},
        {"BLPOP l x", "-ERR timeout is not a float or out of range"},
        {"BLMPOP x 0 l LEFT", "-ERR numkeys should be greater than 0"},
        {"SET s v", "+OK"},
        {"BLPOP x s m 0", WRONG},
        {"BLPOP m s 0", "*2\r\n$1\r\nm\r\n$1\r\nd"},
        {"BLMOVE x s LEFT LEFT 0", "$-1"},
    };
    EXPECT_ROWS(rows, 2);
}

static void sets(void)
{
    static const struct expectation rows[] = {
        {"SADD s 3 1 2 1", ":3"},
        {"SMEMBERS s", "~3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3"},
        {"OBJECT ENCODING s", "$6\r\nintset"},
        {"SADD s 3", ":0"},
        {"SMISMEMBER s 1 9", "*2\r\n:1\r\n:0"},
        {"SREM s 9 1", ":1"},
        {"SADD t 2 5", ":2"},
        {"SINTER s t", "~1\r\n$1\r\n2"},
        {"SDIFF s t none", "~1\r\n$1\r\n3"},
        {"SUNION s t none", "~3\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n5"},
        {"SINTERCARD 2 s t LIMIT 0", ":1"},
        {"SINTERCARD 3 s t", "-ERR Number of keys can't be greater than number of args"},
        {"SINTERCARD 2 s t LIMIT -1", "-ERR LIMIT can't be negative"},
        {"SUNIONSTORE s s t", ":3"},
        {"SINTERSTORE u s none", ":0"},
        {"EXISTS u", ":0"},
        {"SMOVE s t 3", ":1"},
        {"SMOVE s t 3", ":0"},
        {"SMOVE s s 2", ":1"},
        {"SCARD t", ":3"},
        {"SPOP t 0", "~0"},
        {"SPOP t 9", "~3\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n5"},
        {"EXISTS t", ":0"},
        {"SPOP t", "_"},
        {"SADD t x", ":1"},
        {"SRANDMEMBER t", "$1\r\nx"},
        {"SRANDMEMBER t -2", "*2\r\n$1\r\nx\r\n$1\r\nx"},
        {"SRANDMEMBER t -9000000000", "-ERR value is out of range"},
        {"OBJECT ENCODING t", "$9\r\nhashtable"},
        {"SSCAN t 0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nx"},
        {"SSCAN t x", "-ERR invalid cursor"},
        {"SPOP t", "$1\r\nx"},
        {"EXISTS t", ":0"},
    };
    EXPECT_ROWS(rows, 3);
}

static void sorted_sets_by_member(void)
{
    static const struct expectation rows[] = {
        {"ZADD z 1 a 2 b", ":2"},
        {"ZADD z XX CH 3 a 9 c", ":1"},
        {"ZADD z NX 9 a 4 c", ":1"},
        {"ZADD z GT 1 a", ":0"},
        {"ZADD z LT INCR -1 a", "$1\r\n2"},
        {"ZADD z LT INCR 1 a", "$-1"},
        {"ZADD z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible"},
        {"ZADD z NX GT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"},
        {"ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair"},
        {"ZADD z 1", "-ERR wrong number of arguments for 'zadd' command"},
        {"ZADD z 1 a x b", "-ERR value is not a valid float"},
        {"ZINCRBY z inf a", "$3\r\ninf"},
        {"ZINCRBY z -inf a", "-ERR resulting score is not a number (NaN)"},
        {"ZSCORE z a", "$3\r\ninf"},
        {"ZMSCORE z a n", "*2\r\n$3\r\ninf\r\n$-1"},
        {"ZRANK z b", ":0"},
        {"ZREVRANK z b", ":2"},
        {"ZREM z b n", ":1"},
        {"ZPOPMAX z", "*2\r\n$1\r\na\r\n$3\r\ninf"},
        {"ZMPOP 2 n z MIN COUNT 5", "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nc\r\n$1\r\n4"},
        {"EXISTS z", ":0"},
        {"ZMPOP 1 z MIN", "*-1"},
    };
    EXPECT_ROWS(rows, 2);
}

static void sorted_sets_by_range(void)
{
    static const struct expectation rows[] = {
        {"ZADD z 1 a 2 b 3 c 4 d", ":4"},
        {"ZRANGE z 1 2 REV", "*2\r\n$1\r\nc\r\n$1\r\nb"},
        {"ZRANGE z (1 3 BYSCORE LIMIT 1 5", "*1\r\n$1\r\nc"},
        {"ZRANGE z 3 (1 BYSCORE REV", "*2\r\n$1\r\nc\r\n$1\r\nb"},
        {"ZRANGE z 0 1 LIMIT 0 1",
         "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"},
        {"ZREVRANGEBYSCORE z +inf 4 WITHSCORES", "*1\r\n*2\r\n$1\r\nd\r\n,4"},
        {"ZRANGEBYSCORE z x 4", "-ERR min or max is not a float"},
        {"ZCOUNT z (1 (4", ":2"},
        {"ZRANGESTORE y z 0 1", ":2"},
        {"ZRANGESTORE y z 9 10", ":0"},
        {"EXISTS y", ":0"},
        {"ZREMRANGEBYRANK z -1 -1", ":1"},
        {"ZREMRANGEBYSCORE z 3 3", ":1"},
        {"ZADD x 0 a 0 b 0 c", ":3"},
        {"ZRANGEBYLEX x [b +", "*2\r\n$1\r\nb\r\n$1\r\nc"},
        {"ZREVRANGEBYLEX x (c -", "*2\r\n$1\r\nb\r\n$1\r\na"},
        {"ZLEXCOUNT x b c", "-ERR min or max not valid string range item"},
        {"ZREMRANGEBYLEX x - (b", ":1"},
        {"ZUNION 2 z x WEIGHTS 2 1 WITHSCORES",
         "*3\r\n*2\r\n$1\r\nc\r\n,0\r\n*2\r\n$1\r\na\r\n,2\r\n*2\r\n$1\r\nb\r\n,4"},
        {"ZINTER 2 z x", "*1\r\n$1\r\nb"},
        {"ZDIFF 2 z x WITHSCORES", "*1\r\n*2\r\n$1\r\na\r\n,1"},
        {"ZINTERCARD 2 z x LIMIT 1", ":1"},
        {"ZUNION 0 z", "-ERR at least 1 input key is needed for 'zunion' command"},
        {"ZDIFFSTORE z 2 z z", ":0"},
        {"EXISTS z", ":0"},
        {"ZRANDMEMBER x 0", "*0"},
        {"ZSCAN x 0 MATCH c", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nc\r\n$1\r\n0"},
    };
    EXPECT_ROWS(rows, 3);
}

static void sort(void)
{
    static const struct expectation rows[] = {
        {"RPUSH l 10 9 x", ":3"},
        {"SORT l", "-ERR One or more scores can't be converted into double"},
        {"SORT l ALPHA DESC LIMIT 0 2", "*2\r\n$1\r\nx\r\n$1\r\n9"},
        {"SORT l BY nosort DESC GET # GET q",
         "*6\r\n$1\r\nx\r\n$-1\r\n$1\r\n9\r\n$-1\r\n$2\r\n10\r\n$-1"},
        {"SORT_RO l ALPHA STORE m", SYNTAX},
        {"SORT l ALPHA STORE m", ":3"},
        {"LRANGE m 0 -1", "*3\r\n$2\r\n10\r\n$1\r\n9\r\n$1\r\nx"},
        {"SORT none STORE m", ":0"},
        {"EXISTS m", ":0"},
    };
    EXPECT_ROWS(rows, 2);
}

/* Keys named by elements. */
static void sort_by_and_get(void)
{
    static const struct expectation rows[] = {
        {"RPUSH l a b c", ":3"},
        {"MSET w_a 3 w_b 20 t_a x t_c y", "+OK"},
        {"HSET o_a f 7 g q", ":2"},
        {"HSET o_c f 1", ":1"},
        {"SORT l BY w_*", "*3\r\n$1\r\nc\r\n$1\r\na\r\n$1\r\nb"}, /* what is absent counts 0 */
        {"SORT l BY w_* DESC", "*3\r\n$1\r\nb\r\n$1\r\na\r\n$1\r\nc"},
        {"SORT l BY w_* ALPHA", "*3\r\n$1\r\nc\r\n$1\r\nb\r\n$1\r\na"},
        {"SORT l BY o_*->f", "*3\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\na"},
        {"SORT l BY o_*->f GET # GET t_* GET o_*->g LIMIT 1 9",
         "*6\r\n$1\r\nc\r\n$1\r\ny\r\n$-1\r\n$1\r\na\r\n$1\r\nx\r\n$1\r\nq"},
        {"SORT l BY t_*", "-ERR One or more scores can't be converted into double"},
        {"SORT l BY none_*", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc"},
        {"SORT l BY none_* ALPHA DESC", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc"},
        {"SORT l BY w_* BY nosort GET w_*", "*3\r\n$1\r\n3\r\n$2\r\n20\r\n$-1"},
        {"SORT l BY w_*-> GET o_*", "*3\r\n$-1\r\n$-1\r\n$-1"}, /* no field: a key of that name */
        {"SORT l ALPHA GET o_*->", "*3\r\n$-1\r\n$-1\r\n$-1"},
        {"SORT l BY w_* GET w_* STORE m", ":3"},
        {"LRANGE m 0 -1", "*3\r\n$0\r\n\r\n$1\r\n3\r\n$2\r\n20"},
    };
    EXPECT_ROWS(rows, 2);
}

static void sort_of_a_user_who_may_not_read_all(void)
{
    struct world w;
    world_init(&w);
    w.restricted = true;
    EXPECT_CSTR(run(&w, "RPUSH l a b"), ":2\r\n");
    EXPECT_CSTR(run(&w, "SORT l BY w_*"),
                "-ERR BY option of SORT denied due to insufficient ACL permissions.\r\n");
    EXPECT_CSTR(run(&w, "SORT_RO l BY nosort GET #"),
                "-ERR GET option of SORT denied due to insufficient ACL permissions.\r\n");
    EXPECT_CSTR(run(&w, "SORT l GET"), "-ERR syntax error\r\n");
    EXPECT_CSTR(run(&w, "SORT l BY nosort DESC"), "*2\r\n$1\r\nb\r\n$1\r\na\r\n");
    world_release(&w);
}

/* What changes nothing leaves the key as it was; a change keeps its expiry. */
static void what_is_written(void)
{
    struct world w;
    world_init(&w);
    w.max_value = 10000;
    run(&w, "SADD k a");
    EXPECT_INT(w.change, KEY_WRITTEN);
    static const char *const nothing[] = {"SADD k a", "SREM k b", "SMOVE k k a", "SMEMBERS k",
                                          "SPOP k 0"};
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        run(&w, nothing[i]);
        EXPECT_INT(w.change, KEY_UNCHANGED);
    }
    run(&w, "EXPIRE k 100");
    run(&w, "SADD k b");
    EXPECT_CSTR(run(&w, "TTL k"), ":100\r\n");
    run(&w, "SREM k a b");
    EXPECT_INT(w.change, KEY_WRITTEN);
    run(&w, "ZADD z 1 a");
    static const char *const none[] = {"ZADD z 1 a", "ZADD z NX 2 a", "ZADD z GT 0 a",
                                       "ZREM z b",   "ZINCRBY z 0 a", "ZREMRANGEBYSCORE z 5 6"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        run(&w, none[i]);
        EXPECT_INT(w.change, KEY_UNCHANGED);
    }
    world_release(&w);
}

/* A collection is as large as a value may be, and no larger. */
static void a_collection_has_a_largest_size(void)
{
    struct world w;
    world_init(&w);
    w.max_value = 60;
    EXPECT_CSTR(run(&w, "RPUSH l 01234567890123456789"), ":1\r\n");
    const char *refused =
        run(&w, "RPUSH l 012345678901234567890123456789012345678901234567890123456789");
    EXPECT(strncmp(refused, "-ERR value exceeds maximum allowed size", 39) == 0);
    EXPECT_CSTR(run(&w, "LLEN l"), ":1\r\n");
    run(&w, "SADD s 01234567890123456789");
    run(&w, "SADD t 0123456789012345678x");
    refused = run(&w, "SUNIONSTORE u s t");
    EXPECT(strncmp(refused, "-ERR value exceeds maximum allowed size", 39) == 0);
    EXPECT_INT(w.change, KEY_UNCHANGED);
    run(&w, "RPUSH m 01234567890123456789");
    refused = run(&w, "LMOVE l m LEFT LEFT");
    EXPECT(strncmp(refused, "-ERR value exceeds maximum allowed size", 39) == 0);
    EXPECT_CSTR(run(&w, "LLEN l"), ":1\r\n");
    world_release(&w);
}

static int count_keys(const char *text)
{
    struct call c = call_of(text);
    return command_key_count(command_find(c.argv[0]), c.argc, c.argv);
}

static int key_at(const char *text, int i)
{
    struct call c = call_of(text);
    return command_key_at(command_find(c.argv[0]), c.argc, c.argv, i);
}

static void keys_are_where_arguments_say(void)
{
    EXPECT_INT(count_keys("ZUNION 2 a b WITHSCORES"), 2);
    EXPECT_INT(key_at("ZUNION 2 a b WITHSCORES", 1), 3);
    EXPECT_INT(count_keys("ZUNIONSTORE d 2 a b"), 3);
    EXPECT_INT(key_at("ZUNIONSTORE d 2 a b", 0), 1);
    EXPECT_INT(key_at("ZUNIONSTORE d 2 a b", 2), 4);
    EXPECT_INT(count_keys("ZUNIONSTORE d 3 a b"), 0);
    EXPECT_INT(count_keys("LMPOP 9223372036854775807 a LEFT"), 0);
    EXPECT_INT(count_keys("LMPOP -1 a LEFT"), 0);
    EXPECT_INT(count_keys("SORT a BY store LIMIT 0 1 STORE b"), 2);
    EXPECT_INT(key_at("SORT a BY store LIMIT 0 1 STORE b", 1), 8);
    EXPECT_INT(count_keys("SORT a GET STORE"), 1);
    EXPECT_INT(count_keys("SORT_RO a STORE b"), 1);
}

TEST_MAIN(TEST(lists_are_pushed_and_popped), TEST(lists_are_changed_within),
          TEST(elements_move_between_lists), TEST(what_may_not_wait), TEST(sets), TEST(sorted_sets_by_member),
          TEST(sorted_sets_by_range), TEST(sort), TEST(sort_by_and_get),
          TEST(sort_of_a_user_who_may_not_read_all), TEST(what_is_written),
          TEST(a_collection_has_a_largest_size), TEST(keys_are_where_arguments_say))
