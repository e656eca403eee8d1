/* Bits, bitfields and LCS, on a world in memory (command_world.h). */

#include "command_world.h"
#include "test.h"

#define OFFSET_ERROR "-ERR bit offset is not an integer or out of range"
#define NO_INTEGER "-ERR value is not an integer or out of range"
#define NO_TYPE                                                                                   \
    "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "   \
    "i64 is."

static void bits_are_read_and_set(void)
{
    static const struct expectation rows[] = {
        {"GETBIT k 0", ":0"},
        {"SETBIT k 7 1", ":0"},
        {"SETBIT k 7 1", ":1"},
        {"STRLEN k", ":1"},
        {"SETBIT k 1 1", ":0"},
        {"GET k", "$1\r\nA"},
        {"GETBIT k 1", ":1"},
        {"GETBIT k 2", ":0"},
        {"GETBIT k 8", ":0"},
        {"SETBIT k 7 0", ":1"},
        {"GET k", "$1\r\n@"},
        {"SETBIT k 15 0", ":0"},
        {"STRLEN k", ":2"},
        {"GETBIT k 799", ":0"},
        {"GETBIT k 800", OFFSET_ERROR}, /* the longest string has 100 bytes */
        {"SETBIT k 800 1", OFFSET_ERROR},
        {"SETBIT k 799 1", ":0"},
        {"STRLEN k", ":100"},
        {"GETBIT k -1", OFFSET_ERROR},
        {"GETBIT k 01", OFFSET_ERROR},
        {"GETBIT k #1", OFFSET_ERROR},
        {"SETBIT k x x", OFFSET_ERROR},
        {"SETBIT k 0 2", "-ERR bit is not an integer or out of range"},
        {"SETBIT k 0 x", "-ERR bit is not an integer or out of range"},
        {"SETBIT n 20 0", ":0"},
        {"STRLEN n", ":3"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    run(&w, "SETBIT n 20 0");
    EXPECT_INT(w.change, KEY_UNCHANGED);
    run(&w, "EXPIRE n 10");
    run(&w, "SETBIT n 21 1");
    EXPECT_INT(w.change, KEY_WRITTEN);
    EXPECT_CSTR(run(&w, "TTL n"), ":10\r\n");
    world_release(&w);
}

static void bits_are_counted(void)
{
    static const struct expectation rows[] = {
        {"BITCOUNT k", ":0"},
        {"BITCOUNT k x", ":0"}, /* an absent key answers first */
        {"SET k foobar", "+OK"},
        {"BITCOUNT k", ":26"},
        {"BITCOUNT k 0 0", ":4"},
        {"BITCOUNT k 1 1 byte", ":6"},
        {"BITCOUNT k -2 -1", ":7"},
        {"BITCOUNT k -100 0", ":4"},
        {"BITCOUNT k -100 -200", ":0"},
        {"BITCOUNT k -1 -2 foo", ":0"},
        {"BITCOUNT k 5 100", ":4"},
        {"BITCOUNT k 6 100", ":0"},
        {"BITCOUNT k 5 30 BIT", ":17"},
        {"BITCOUNT k 2 2 bit", ":1"},
        {"BITCOUNT k -7 -1 bit", ":4"},
        {"BITCOUNT k -9223372036854775808 9223372036854775807 bit", ":26"},
        {"BITCOUNT k 0", "-ERR syntax error"},
        {"BITCOUNT k 0 1 foo", "-ERR syntax error"},
        {"BITCOUNT k 0 1 bit bit", "-ERR syntax error"},
        {"BITCOUNT k x 1 foo", NO_INTEGER},
        {"SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "+OK"},
        {"BITCOUNT k", ":114"},
        {"BITCOUNT k 1 303 bit", ":114"},
        {"BITCOUNT k 2 301 bit", ":112"},
        {"SET k ~", "+OK"},
        {"BITCOUNT k 0 -1", ":0"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    world_release(&w);
}

static void bits_are_found(void)
{
    static const struct expectation rows[] = {
        {"BITPOS k 1", ":-1"},
        {"BITPOS k 0 x", ":0"},
        {"BITPOS k 2", "-ERR The bit argument must be 1 or 0."},
        {"BITPOS k x", NO_INTEGER},
        {"BITFIELD k SET u8 0 255 SET u8 8 240 SET u8 16 255", "*3\r\n:0\r\n:0\r\n:0"},
        {"BITPOS k 0", ":12"},
        {"BITPOS k 1 1", ":8"},
        {"BITPOS k 0 2", ":24"},
        {"BITPOS k 0 2 -1", ":-1"},
        {"BITPOS k 0 3", ":-1"},
        {"BITPOS k 1 -1", ":16"},
        {"BITPOS k 1 12 15 bit", ":-1"},
        {"BITPOS k 1 12 16 BIT", ":16"},
        {"BITPOS k 0 13 16 BIT", ":13"},
        {"BITPOS k 0 0 11 BIT", ":-1"},
        {"BITPOS k 1 -1 -2", ":-1"},
        {"BITPOS k 1 -100 -200", ":0"},
        {"BITPOS k 1 0 1 foo", "-ERR syntax error"},
        {"BITPOS k 1 0 x foo", "-ERR syntax error"},
        {"BITPOS k 1 0 x", NO_INTEGER},
        {"BITPOS k 1 0 1 bit x", "-ERR syntax error"},
        {"SET k ~", "+OK"},
        {"BITPOS k 0", ":-1"},
        {"BITPOS k 0 0 -1", ":-1"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    world_release(&w);
}

static void strings_are_combined(void)
{
    static const struct expectation rows[] = {
        {"MSET a AAAA b ac", "+OK"},
        {"SET d x EX 10", "+OK"},
        {"BITOP OR d a b", ":4"},
        {"GET d", "$4\r\nacAA"},
        {"TTL d", ":-1"},
        {"BITOP XOR d d a", ":4"},
        {"BITOP xor d d a", ":4"},
        {"GET d", "$4\r\nacAA"},
        {"BITOP OR d a", ":4"},
        {"GET d", "$4\r\nAAAA"},
        {"BITOP AND d a b", ":4"},
        {"GETRANGE d 0 1", "$2\r\nAA"},
        {"BITCOUNT d", ":4"},
        {"BITOP AND d a none b", ":4"},
        {"BITCOUNT d", ":0"},
        {"BITOP NOT d b", ":2"},
        {"BITOP NOT d d", ":2"},
        {"GET d", "$2\r\nac"},
        {"BITOP OR d none none", ":0"},
        {"EXISTS d", ":0"},
        {"BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key."},
        {"BITOP foo d a", "-ERR syntax error"},
        {"BITOP AND d", "-ERR wrong number of arguments for 'bitop' command"},
        {"COMMAND GETKEYSANDFLAGS BITOP AND d a",
         "*2\r\n*2\r\n$1\r\nd\r\n*2\r\n+OW\r\n+update\r\n*2\r\n$1\r\na\r\n*2\r\n+RO\r\n+access"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    EXPECT_CSTR(run(&w, "BITOP OR d none"), ":0\r\n");
    EXPECT_INT(w.change, KEY_UNCHANGED);
    world_release(&w);
}

static void fields_are_read_and_set(void)
{
    static const struct expectation rows[] = {
        {"BITFIELD k", "*0"},
        {"BITFIELD k OVERFLOW SAT", "*0"},
        {"BITFIELD k GET i64 0 GET u63 #1", "*2\r\n:0\r\n:0"},
        {"EXISTS k", ":0"},
        {"BITFIELD k SET u8 #1 65 GET u16 0 GET i4 8 GET i3 9", "*4\r\n:0\r\n:65\r\n:4\r\n:-4"},
        {"STRLEN k", ":2"},
        {"GETRANGE k 1 1", "$1\r\nA"},
        {"BITFIELD k SET i5 13 -1 GET u5 13 INCRBY i5 13 -20", "*3\r\n:4\r\n:31\r\n:11"},
        {"STRLEN k", ":3"},
        {"DEL k", ":1"},
        {"BITFIELD k INCRBY i64 3 -9223372036854775808 GET i64 3 SET i64 3 9223372036854775807",
         "*3\r\n:-9223372036854775808\r\n:-9223372036854775808\r\n:-9223372036854775808"},
        {"BITFIELD k GET u63 4 INCRBY u63 4 1", "*2\r\n:9223372036854775807\r\n:0"},
        {"BITFIELD k SET u8 0", "-ERR syntax error"},
        {"BITFIELD k GET u8", "-ERR syntax error"},
        {"BITFIELD k GET u8 0 foo", "-ERR syntax error"},
        {"BITFIELD k OVERFLOW", "-ERR syntax error"},
        {"BITFIELD k OVERFLOW foo", "-ERR Invalid OVERFLOW type specified"},
        {"BITFIELD k SET u8 0 x", NO_INTEGER},
        {"BITFIELD k GET u64 0", NO_TYPE},
        {"BITFIELD k GET i65 x", NO_TYPE},
        {"BITFIELD k GET u0 0", NO_TYPE},
        {"BITFIELD k GET u08 0", NO_TYPE},
        {"BITFIELD k GET U8 0", NO_TYPE},
        {"BITFIELD k GET ~ 0", NO_TYPE},
        {"BITFIELD k GET u8 800", OFFSET_ERROR},
        {"BITFIELD k GET u8 #100", OFFSET_ERROR},
        {"BITFIELD k GET u8 #99", "*1\r\n:0"},
        {"BITFIELD k GET u63 #9223372036854775807", OFFSET_ERROR},
        {"BITFIELD k GET u8 #-1", OFFSET_ERROR},
        {"BITFIELD k GET u8 #", OFFSET_ERROR},
        {"BITFIELD k GET u8 -1", OFFSET_ERROR},
        {"BITFIELD_RO k", "*0"},
        {"BITFIELD_RO k OVERFLOW FAIL GET u2 4", "*1\r\n:0"},
        {"BITFIELD_RO k GET u8 0 SET u8 0 1",
         "-ERR BITFIELD_RO only supports the GET subcommand"},
        {"BITFIELD_RO k SET u8 0 x", NO_INTEGER},
        {"COMMAND GETKEYSANDFLAGS BITFIELD k OVERFLOW SAT GET u8 0",
         "*1\r\n*2\r\n$1\r\nk\r\n*2\r\n+RO\r\n+access"},
        {"COMMAND GETKEYSANDFLAGS BITFIELD k GET u8 0 SET u8 0 1",
         "*1\r\n*2\r\n$1\r\nk\r\n*3\r\n+RW\r\n+access\r\n+update"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    world_release(&w);
}

static void fields_overflow_as_asked(void)
{
    static const struct expectation rows[] = {
        {"BITFIELD k INCRBY u2 0 3 INCRBY u2 0 1 INCRBY u2 0 -1", "*3\r\n:3\r\n:0\r\n:3"},
        {"BITFIELD k SET u2 0 6 GET u2 0 SET u2 0 -1 GET u2 0", "*4\r\n:3\r\n:2\r\n:2\r\n:3"},
        {"BITFIELD k OVERFLOW SAT SET u2 0 -1 GET u2 0 INCRBY u2 0 -9 INCRBY u2 0 9",
         "*4\r\n:3\r\n:3\r\n:0\r\n:3"},
        {"BITFIELD k overflow fail SET u2 0 4 INCRBY u2 0 1 INCRBY u2 0 -4 GET u2 0",
         "*4\r\n$-1\r\n$-1\r\n$-1\r\n:3"},
        {"DEL k", ":1"},
        {"BITFIELD k SET i8 0 127 INCRBY i8 0 1 INCRBY i8 0 -1 INCRBY i8 0 -512",
         "*4\r\n:0\r\n:-128\r\n:127\r\n:127"},
        {"BITFIELD k OVERFLOW SAT INCRBY i8 0 1 INCRBY i8 0 -1000 OVERFLOW FAIL INCRBY i8 0 -1",
         "*3\r\n:127\r\n:-128\r\n$-1"},
        {"BITFIELD k OVERFLOW SAT SET i8 0 1000 OVERFLOW WRAP SET i8 0 -129 GET i8 0",
         "*3\r\n:-128\r\n:127\r\n:127"},
        {"BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775680 GET i8 0",
         "*2\r\n:127\r\n:-128"},
        {"BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775681 GET i8 0",
         "*2\r\n:-128\r\n:127"}, /* as Redis does */
        {"BITFIELD k OVERFLOW SAT SET i63 0 -4611686018427387905 GET i63 0",
         "*2\r\n:4575657221408423936\r\n:4611686018427387903"},
        {"BITFIELD k OVERFLOW SAT INCRBY i63 0 -9223372036854775808", "*1\r\n:-4611686018427387904"},
        {"DEL k", ":1"},
        {"BITFIELD k SET i64 0 9223372036854775807 INCRBY i64 0 1 INCRBY i64 0 -1",
         "*3\r\n:0\r\n:-9223372036854775808\r\n:9223372036854775807"},
        {"BITFIELD k OVERFLOW SAT INCRBY i64 0 9223372036854775807 OVERFLOW FAIL INCRBY i64 0 1",
         "*2\r\n:9223372036854775807\r\n$-1"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    run(&w, "BITFIELD k OVERFLOW FAIL INCRBY i64 0 1");
    EXPECT_INT(w.change, KEY_UNCHANGED);
    run(&w, "BITFIELD k SET i64 0 9223372036854775807");
    EXPECT_INT(w.change, KEY_UNCHANGED);
    run(&w, "BITFIELD new OVERFLOW FAIL SET u2 100 5");
    EXPECT_CSTR(run(&w, "STRLEN new"), ":13\r\n"); /* it is there, as in Redis */
    world_release(&w);
}

static void common_subsequences_are_found(void)
{
    static const struct expectation rows[] = {
        {"LCS a b", "$0\r\n"},
        {"LCS a b LEN", ":0"},
        {"LCS a b IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0"},
        {"MSET a mytext b mynew", "+OK"},
        {"LCS a b", "$3\r\nmye"},
        {"LCS a b len minmatchlen 3 withmatchlen", ":3"},
        {"LCS a b idx",
         "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:3\r\n:3\r\n*2\r\n:3\r\n:3\r\n"
         "*2\r\n*2\r\n:0\r\n:1\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:3"},
        {"LCS a b IDX WITHMATCHLEN MINMATCHLEN 2",
         "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:0\r\n:1\r\n*2\r\n:0\r\n:1\r\n:2\r\n"
         "$3\r\nlen\r\n:3"},
        {"LCS a b IDX MINMATCHLEN 3", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:3"},
        {"LCS a b MINMATCHLEN 3", "$3\r\nmye"},
        {"LCS a a", "$6\r\nmytext"},
        {"LCS a a IDX MINMATCHLEN -1",
         "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:5\r\n*2\r\n:0\r\n:5\r\n$3\r\nlen\r\n:6"},
        {"LCS a b LEN IDX",
         "-ERR If you want both the length and indexes, please just use IDX."},
        {"LCS a b LEN IDX foo", "-ERR syntax error"},
        {"LCS a b MINMATCHLEN", "-ERR syntax error"},
        {"LCS a b MINMATCHLEN x", NO_INTEGER},
        {"COMMAND GETKEYS LCS a b", "*2\r\n$1\r\na\r\n$1\r\nb"},
    };
    struct world w;
    world_init(&w);
    w.max_value = 7 * 7 * 4;
    EXPECT_ALL(&w, rows);
    w.max_value--;
    EXPECT_CSTR(run(&w, "LCS a a LEN"),
                "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
    w.proto = 3;
    w.max_value++;
    EXPECT_CSTR(run(&w, "LCS none b IDX"), "%2\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
    world_release(&w);
}

TEST_MAIN(TEST(bits_are_read_and_set), TEST(bits_are_counted), TEST(bits_are_found),
          TEST(strings_are_combined), TEST(fields_are_read_and_set), TEST(fields_overflow_as_asked),
          TEST(common_subsequences_are_found))
