/* Strings, keys and the table of commands, on a world in memory (command_world.h). */

#include "command/command.h"
#include "command/handler.h"
#include "command/key_place.h"
#include "command/syntax.h"
#include "command_world.h"
#include "test.h"

/* --- strings --- */

static void strings_are_set_and_read(void)
{
    static const struct expectation rows[] = {
        {"GET k", "$-1"},
        {"SET k v", "+OK"},
        {"get k", "$1\r\nv"},
        {"SET k w GET", "$1\r\nv"},
        {"SET k x NX", "$-1"},
        {"SET k x NX GET", "$1\r\nw"},
        {"SET n x XX", "$-1"},
        {"SET n x XX GET", "$-1"},
        {"SET k ~ XX", "+OK"},
        {"GET k", "$0\r\n"},
        {"SETNX k v", ":0"},
        {"SETNX n v", ":1"},
        {"GETSET n m", "$1\r\nv"},
        {"GETSET new m", "$-1"},
        {"GETDEL n", "$1\r\nm"},
        {"GETDEL n", "$-1"},
        {"MSET a 1 b 2 a 3", "+OK"},
        {"MGET a b n a", "*4\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n$1\r\n3"},
        {"MSETNX c 1 a 2", ":0"},
        {"EXISTS c", ":0"},
        {"MSETNX c 1 c 2", ":1"},
        {"GET c", "$1\r\n2"},
        {"DEL a a n b", ":2"},
        {"EXISTS c c n", ":2"},
        {"TOUCH c c n", ":2"},
        {"TYPE c", "+string"},
        {"TYPE n", "+none"},
        {"UNLINK c", ":1"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    world_release(&w);
}

static void strings_are_changed_in_part(void)
{
    static const struct expectation rows[] = {
        {"APPEND k ~", ":0"},
        {"EXISTS k", ":1"},
        {"APPEND k Hello", ":5"},
        {"APPEND k World", ":10"},
        {"STRLEN k", ":10"},
        {"STRLEN n", ":0"},
        {"GETRANGE k 0 4", "$5\r\nHello"},
        {"GETRANGE k -5 -1", "$5\r\nWorld"},
        {"SUBSTR k 8 100", "$2\r\nld"},
        {"GETRANGE k -1 -5", "$0\r\n"},
        {"GETRANGE k 5 4", "$0\r\n"},
        {"GETRANGE k -100 0", "$1\r\nH"},
        {"GETRANGE k -9223372036854775808 9223372036854775807", "$10\r\nHelloWorld"},
        {"GETRANGE n 0 -1", "$0\r\n"},
        {"SETRANGE k 5 There", ":10"},
        {"GET k", "$10\r\nHelloThere"},
        {"SETRANGE k 0 ~", ":10"},
        {"SETRANGE n 3 ~", ":0"},
        {"EXISTS n", ":0"},
        {"SETRANGE n 2 x", ":3"},
        {"SETRANGE k -1 x", "-ERR offset is out of range"},
        {"SETRANGE k x x", "-ERR value is not an integer or out of range"},
        {"SETRANGE k 99 x", ":100"},
        {"SETRANGE k 100 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
        {"SETRANGE k 9223372036854775807 x",
         "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
        {"APPEND k x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
        {"APPEND k ~", ":100"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    const char padded[] = "$3\r\n\0\0x\r\n";
    run(&w, "GET n");
    EXPECT(bytes_eq(buf_bytes(&w.out), bytes_of(padded, sizeof(padded) - 1)));
    world_release(&w);
}

static void numbers_are_counted(void)
{
    static const struct expectation rows[] = {
        {"INCR k", ":1"},
        {"DECRBY k 11", ":-10"},
        {"INCRBY k 9223372036854775807", ":9223372036854775797"},
        {"INCRBY k 11", "-ERR increment or decrement would overflow"},
        {"DECRBY k -9223372036854775808", "-ERR decrement would overflow"},
        {"INCRBY k 1.5", "-ERR value is not an integer or out of range"},
        {"SET k 01", "+OK"},
        {"DECR k", "-ERR value is not an integer or out of range"},
        {"INCRBYFLOAT k 0.5", "$3\r\n1.5"},
        {"INCRBYFLOAT k -1.5", "$1\r\n0"},
        {"INCRBYFLOAT k 3.0e3", "$4\r\n3000"},
        {"INCRBYFLOAT k 0.25", "$7\r\n3000.25"},
        {"INCRBYFLOAT k x", "-ERR value is not a valid float"},
        {"INCRBYFLOAT k nan", "-ERR value is not a valid float"},
        {"SET k x", "+OK"},
        {"INCRBYFLOAT k 1", "-ERR value is not a valid float"},
        {"GET k", "$1\r\nx"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    world_release(&w);
}

static void bad_options_are_refused(void)
{
    static const struct expectation rows[] = {
        {"SET k v NX XX", "-ERR syntax error"},
        {"SET k v EX", "-ERR syntax error"},
        {"SET k v EX 1 PX 1", "-ERR syntax error"},
        {"SET k v EX 1 KEEPTTL", "-ERR syntax error"},
        {"SET k v PERSIST", "-ERR syntax error"},
        {"SET k v FOO", "-ERR syntax error"},
        {"SET k v EX 0", "-ERR invalid expire time in 'set' command"},
        {"SET k v PX -1", "-ERR invalid expire time in 'set' command"},
        {"SET k v EX x", "-ERR value is not an integer or out of range"},
        {"SET k v EX 9223372036854776", "-ERR invalid expire time in 'set' command"},
        {"SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command"},
        {"SETEX k 0 v", "-ERR invalid expire time in 'setex' command"},
        {"PSETEX k -5 v", "-ERR invalid expire time in 'psetex' command"},
        {"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"},
        {"MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command"},
        {"GETEX k EX 0", "$-1"},
        {"EXISTS k a b", ":0"},
        {"SET k v EX 5 EX 7", "+OK"},
        {"TTL k", ":7"},
        {"GETEX k EX 0", "-ERR invalid expire time in 'getex' command"},
        {"GETEX k KEEPTTL", "-ERR syntax error"},
        {"GETEX k PERSIST EX 1", "-ERR syntax error"},
        {"GETEX k NX", "-ERR syntax error"},
        {"EXPIRE k x", "-ERR value is not an integer or out of range"},
        {"EXPIRE k 9223372036854776", "-ERR invalid expire time in 'expire' command"},
        {"EXPIRE n 9223372036854776", "-ERR invalid expire time in 'expire' command"},
        {"PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"},
        {"EXPIREAT k -9223372036854776", "-ERR invalid expire time in 'expireat' command"},
        {"EXPIRE k 1 foo", "-ERR Unsupported option foo"},
        {"EXPIRE k x foo", "-ERR Unsupported option foo"},
        {"EXPIRE k 1 NX GT",
         "-ERR NX and XX, GT or LT options at the same time are not compatible"},
        {"EXPIRE k 1 GT LT", "-ERR GT and LT options at the same time are not compatible"},
        {"EXPIRE k", "-ERR wrong number of arguments for 'expire' command"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    world_release(&w);
}

/* --- expiry --- */

static void keys_expire(void)
{
    struct world w;
    world_init(&w);
    run(&w, "SET k v EX 10");
    EXPECT_INT(w.expiry.kind, EXPIRY_RELATIVE);
    EXPECT_INT(w.expiry.us, 10000000);
    EXPECT_CSTR(run(&w, "PTTL k"), ":10000\r\n");
    EXPECT_INT(w.change, KEY_UNCHANGED);
    w.now_ms += 8600;
    EXPECT_CSTR(run(&w, "TTL k"), ":1\r\n");
    EXPECT_CSTR(run(&w, "SET k w KEEPTTL"), "+OK\r\n");
    EXPECT_CSTR(run(&w, "PTTL k"), ":1400\r\n");
    EXPECT_CSTR(run(&w, "APPEND k !"), ":2\r\n");
    EXPECT_CSTR(run(&w, "PEXPIRETIME k"), ":1700000010000\r\n");
    EXPECT_CSTR(run(&w, "EXPIRETIME k"), ":1700000010\r\n");
    w.now_ms += 1400;
    EXPECT_CSTR(run(&w, "GET k"), "$-1\r\n");
    EXPECT_CSTR(run(&w, "TTL k"), ":-2\r\n");
    EXPECT_CSTR(run(&w, "EXPIRE k 10"), ":0\r\n");
    EXPECT_CSTR(run(&w, "APPEND k new"), ":3\r\n");
    EXPECT_CSTR(run(&w, "TTL k"), ":-1\r\n");
    EXPECT_CSTR(run(&w, "EXPIRETIME k"), ":-1\r\n");
    EXPECT_CSTR(run(&w, "GETEX k PXAT 1700000020000"), "$3\r\nnew\r\n");
    EXPECT_INT(w.change, KEY_TOUCHED);
    EXPECT_CSTR(run(&w, "PTTL k"), ":10000\r\n");
    EXPECT_CSTR(run(&w, "GETEX k"), "$3\r\nnew\r\n");
    EXPECT_INT(w.change, KEY_UNCHANGED);
    EXPECT_CSTR(run(&w, "SET k v"), "+OK\r\n");
    EXPECT_CSTR(run(&w, "TTL k"), ":-1\r\n");
    world_release(&w);
}

static void past_times_remove(void)
{
    static const char *const removing[] = {
        "EXPIRE k -1",     "EXPIRE k 0",         "PEXPIRE k -9223372036854775808",
        "EXPIREAT k 1000", "PEXPIREAT k -5",     "PEXPIREAT k 1700000000000",
        "EXPIRE k -1 LT",  "EXPIREAT k 1000 LT",
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < sizeof(removing) / sizeof(removing[0]); i++) {
        run(&w, "SET k v");
        EXPECT_CSTR(run(&w, removing[i]), ":1\r\n");
        EXPECT_INT(w.change, KEY_WRITTEN);
        EXPECT_CSTR(run(&w, "EXISTS k"), ":0\r\n");
        EXPECT_CSTR(run(&w, removing[i]), ":0\r\n");
        EXPECT_INT(w.change, KEY_UNCHANGED);
    }
    run(&w, "SET k v");
    EXPECT_CSTR(run(&w, "GETEX k EXAT 1000"), "$1\r\nv\r\n");
    EXPECT_CSTR(run(&w, "GET k"), "$-1\r\n");
    EXPECT_CSTR(run(&w, "SET k v EXAT 1000"), "+OK\r\n");
    EXPECT_CSTR(run(&w, "GET k"), "$-1\r\n");
    EXPECT_CSTR(run_all(&w, "SET k v PXAT 1000; GET k; TTL k; DEL k; SETNX k w; TTL k"),
                "+OK\r\n$-1\r\n:-2\r\n:0\r\n:1\r\n:-1\r\n");
    EXPECT_CSTR(run(&w, "GET k"), "$1\r\nw\r\n");
    EXPECT_CSTR(run_all(&w, "SET k 5 PXAT 1000; INCR k; TTL k"), "+OK\r\n:1\r\n:-1\r\n");
    world_release(&w);
}

static void expiry_conditions_compare(void)
{
    static const struct expectation rows[] = {
        {"SET k v", "+OK"},
        {"EXPIRE k 100 XX", ":0"},
        {"EXPIRE k 100 GT", ":0"},
        {"EXPIRE k 100 LT", ":1"},
        {"EXPIRE k 200 NX", ":0"},
        {"EXPIRE k 100 GT", ":0"},
        {"EXPIRE k 100 LT", ":0"},
        {"PEXPIRE k 100001 gt xx", ":1"},
        {"EXPIREAT k 1700000100 XX LT", ":1"},
        {"TTL k", ":100"},
        {"PERSIST k", ":1"},
        {"PERSIST k", ":0"},
        {"PERSIST n", ":0"},
        {"EXPIRE k 100 NX", ":1"},
        {"GETEX k PERSIST", "$1\r\nv"},
        {"TTL k", ":-1"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    run(&w, "PERSIST k");
    EXPECT_INT(w.change, KEY_UNCHANGED);
    run(&w, "GETEX k PERSIST");
    EXPECT_INT(w.change, KEY_UNCHANGED);
    EXPECT_CSTR(run_all(&w, "SET k v EX 100; TTL k; EXPIRE k 50 GT; EXPIRE k 50 LT; PTTL k; "
                            "EXPIRE k 60 NX; PERSIST k; TTL k"),
                "+OK\r\n:100\r\n:0\r\n:1\r\n:50000\r\n:0\r\n:1\r\n:-1\r\n");
    world_release(&w);
}

static void far_times_are_cut(void)
{
    struct world w;
    world_init(&w);
    EXPECT_CSTR(run(&w, "SET k v PXAT 9223372036854775807"), "+OK\r\n");
    EXPECT_INT(w.expiry.us, EXPIRY_MAX_MS * 1000);
    EXPECT_CSTR(run(&w, "PEXPIRETIME k"), ":9000000000000000\r\n");
    EXPECT_CSTR(run(&w, "PEXPIRE k 9223370000000000000"), ":1\r\n");
    EXPECT_INT(w.expiry.kind, EXPIRY_RELATIVE);
    EXPECT_INT(w.expiry.us, (EXPIRY_MAX_MS - w.now_ms) * 1000);
    EXPECT_CSTR(run(&w, "PEXPIRETIME k"), ":9000000000000000\r\n");
    EXPECT_CSTR(run(&w, "EXPIREAT k 9223372036854775"), ":1\r\n");
    EXPECT_CSTR(run(&w, "PEXPIRETIME k"), ":9000000000000000\r\n");
    world_release(&w);
}

/* --- names --- */

static void keys_are_renamed(void)
{
    static const struct expectation rows[] = {
        {"RENAME k n", "-ERR no such key"},
        {"RENAMENX k k", "-ERR no such key"},
        {"MSET k 1 taken 2", "+OK"},
        {"RENAMENX k taken", ":0"},
        {"RENAMENX k k", ":0"},
        {"RENAMENX k n", ":1"},
        {"EXPIRE taken 9", ":1"},
        {"RENAME n taken", "+OK"},
        {"TTL taken", ":-1"},
        {"MGET k n taken", "*3\r\n$-1\r\n$-1\r\n$1\r\n1"},
        {"EXPIRE taken 9", ":1"},
        {"SET n ~", "+OK"},
        {"RENAME taken n", "+OK"},
        {"TTL n", ":9"},
        {"GET n", "$1\r\n1"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    EXPECT_CSTR(run(&w, "RENAME n n"), "+OK\r\n");
    EXPECT_INT(w.change, KEY_UNCHANGED);
    /* A time to live that has not begun goes along as it is. */
    EXPECT_CSTR(run_all(&w, "SET k v EX 10; RENAME k l; PTTL l; RENAME l k; EXISTS k l; PTTL k"),
                "+OK\r\n+OK\r\n:10000\r\n+OK\r\n:1\r\n:10000\r\n");
    EXPECT_INT(w.expiry.kind, EXPIRY_RELATIVE);
    w.now_ms += 10000;
    EXPECT_CSTR(run(&w, "RENAME k l"), "-ERR no such key\r\n");
    world_release(&w);
}

static void keys_are_copied_and_moved(void)
{
    static const struct expectation rows[] = {
        {"COPY k n", ":0"},
        {"MOVE k 1", ":0"},
        {"SET k v EX 10", "+OK"},
        {"COPY k n", ":1"},
        {"TTL n", ":10"},
        {"SET n w", "+OK"},
        {"COPY n k", ":0"},
        {"COPY n k REPLACE", ":1"},
        {"TTL k", ":-1"},
        {"MGET k n", "*2\r\n$1\r\nw\r\n$1\r\nw"},
        {"COPY k k", "-ERR source and destination objects are the same"},
        {"COPY none none db 0", "-ERR source and destination objects are the same"},
        {"COPY k k DB 1", ":1"},
        {"COPY n k DB 1", ":0"},
        {"COPY k k DB 15 db 1 replace replace", ":1"},
        {"COPY k n DB", "-ERR syntax error"},
        {"COPY k n foo DB x", "-ERR syntax error"},
        {"COPY k n DB x foo", "-ERR value is not an integer or out of range"},
        {"COPY k n DB 16", "-ERR DB index is out of range"},
        {"COPY none n DB -1", "-ERR DB index is out of range"},
        {"COPY k n DB 2147483648",
         "-ERR value is out of range, value must between -2147483648 and 2147483647"},
        {"MOVE k 1", ":0"},
        {"MOVE k 0", "-ERR source and destination objects are the same"},
        {"MOVE k 01", "-ERR value is not an integer or out of range"},
        {"MOVE k 16", "-ERR DB index is out of range"},
        {"EXPIRE k 9", ":1"},
        {"MOVE k 2", ":1"},
        {"MOVE k 2", ":0"},
        {"EXISTS k", ":0"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    w.db = 2;
    EXPECT_CSTR(run(&w, "TTL k"), ":9\r\n");
    EXPECT_CSTR(run_all(&w, "SET k v EX 5; MOVE k 3; EXISTS k; COPY k k DB 3; MOVE k 0"),
                "+OK\r\n:1\r\n:0\r\n:0\r\n:0\r\n");
    w.db = 3;
    EXPECT_CSTR(run(&w, "PTTL k"), ":5000\r\n");
    EXPECT_CSTR(run(&w, "COPY k l"), ":1\r\n");
    EXPECT_INT(w.change, KEY_UNCHANGED); /* of k */
    w.now_ms += 5000;
    EXPECT_CSTR(run(&w, "COPY k m"), ":0\r\n");
    world_release(&w);
}

static void objects_are_described(void)
{
    static const struct expectation rows[] = {
        {"OBJECT ENCODING k", "$-1"},
        {"OBJECT REFCOUNT k", "$-1"},
        {"OBJECT IDLETIME k", "$-1"},
        {"OBJECT FREQ k", "$-1"},
        {"SET k 9223372036854775807", "+OK"},
        {"OBJECT ENCODING k", "$3\r\nint"},
        {"OBJECT REFCOUNT k", ":1"},
        {"OBJECT IDLETIME k", ":0"},
        {"SET k 9999", "+OK"},
        {"OBJECT REFCOUNT k", ":2147483647"},
        {"SET k 01", "+OK"},
        {"OBJECT ENCODING k", "$6\r\nembstr"},
        {"SET k 12345678901234567890123456789012345678901234", "+OK"},
        {"OBJECT ENCODING k", "$6\r\nembstr"},
        {"APPEND k 5", ":45"},
        {"OBJECT ENCODING k", "$3\r\nraw"},
        {"OBJECT nosuch k", "-ERR unknown subcommand 'nosuch'. Try OBJECT HELP."},
        {"OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);
    EXPECT(strncmp(run(&w, "OBJECT FREQ k"), "-ERR An LFU maxmemory policy is not", 35) == 0);
    world_release(&w);
}

/* --- runs --- */

static void changes_are_told(void)
{
    static const struct {
        const char *command;
        enum key_change change;
    } rows[] = {
        {"SET k v", KEY_WRITTEN},      {"SET k v", KEY_WRITTEN},
        {"SET k w NX", KEY_UNCHANGED}, {"GET k", KEY_UNCHANGED},
        {"TOUCH k", KEY_UNCHANGED},    {"EXISTS k", KEY_UNCHANGED},
        {"APPEND k ~", KEY_WRITTEN},   {"SETRANGE k 0 ~", KEY_UNCHANGED},
        {"EXPIRE k 9", KEY_TOUCHED},   {"PERSIST k", KEY_TOUCHED},
        {"GETSET k v", KEY_WRITTEN},   {"INCR k", KEY_UNCHANGED},
        {"GETDEL k", KEY_WRITTEN},     {"DEL k", KEY_UNCHANGED},
        {"SET k v XX", KEY_UNCHANGED}, {"SET k v EX 0", KEY_UNCHANGED},
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run(&w, rows[i].command);
        EXPECT_INT(w.change, rows[i].change);
    }
    world_release(&w);
}

static void blind_calls_are_recognised(void)
{
    static const struct {
        const char *command;
        bool blind;
    } rows[] = {
        {"SET k v", true},
        {"SET k v EX 10", true},
        {"SET k v pxat 10", true},
        {"SET k v NX", false},
        {"SET k v EX 10 XX", false},
        {"SET k v GET", false},
        {"SET k v KEEPTTL", false},
        {"SETEX k 10 v", true},
        {"PSETEX k 10 v", true},
        {"MSET a 1 b 2", true},
        {"MSETNX a 1 b 2", false},
        {"GETSET k v", false},
        {"SETNX k v", false},
        {"GET k", false},
        {"DEL k", false},
        {"APPEND k v", false},
        {"EXPIRE k 10", false},
        {"GETEX k", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct call c = call_of(rows[i].command);
        const struct command *cmd = command_find(c.argv[0]);
        EXPECT_INT(cmd->is_blind != NULL && cmd->is_blind(c.argc, c.argv), rows[i].blind);
    }
    struct world w;
    world_init(&w);
    run(&w, "SET k old EX 10");
    EXPECT_CSTR(run_blind(&w, "SET k new"), "+OK\r\n");
    EXPECT_CSTR(run(&w, "GET k"), "$3\r\nnew\r\n");
    EXPECT_CSTR(run(&w, "TTL k"), ":-1\r\n");
    EXPECT_CSTR(run_blind(&w, "MSET k 1 k 2"), "+OK\r\n");
    EXPECT_CSTR(run(&w, "GET k"), "$1\r\n2\r\n");
    EXPECT_CSTR(run_blind(&w, "SETEX k 0 v"), "-ERR invalid expire time in 'setex' command\r\n");
    EXPECT_CSTR(run(&w, "GET k"), "$1\r\n2\r\n");
    EXPECT_CSTR(run_blind(&w, "SET k v EXAT 1"), "+OK\r\n");
    EXPECT_CSTR(run(&w, "GET k"), "$-1\r\n");
    world_release(&w);
}

static void a_transaction_sees_its_own_changes(void)
{
    struct world w;
    world_init(&w);
    EXPECT_CSTR(
        run_all(&w, "INCR n; INCR n; SET n 7; INCRBY n 3; DEL n; INCR n; EXPIRE n 5; TTL n"),
        ":1\r\n:2\r\n+OK\r\n:10\r\n:1\r\n:1\r\n:1\r\n:5\r\n");
    EXPECT_CSTR(run(&w, "GET n"), "$1\r\n1\r\n");
    EXPECT_CSTR(run_all(&w, "MSET a 1 b 2; MSETNX b 3 c 4; INCR b; GETDEL a; EXISTS a b c"),
                "+OK\r\n:0\r\n:3\r\n$1\r\n1\r\n:1\r\n");
    world_release(&w);
}

static void nulls_differ_under_resp3(void)
{
    static const struct expectation rows[] = {
        {"GET k", "_"},
        {"MGET k", "*1\r\n_"},
        {"SET k v XX", "_"},
        {"GETDEL k", "_"},
        {"GETEX k", "_"},
        {"INCRBYFLOAT k 1.5", "$3\r\n1.5"},
        {"COMMAND INFO nosuch", "*1\r\n_"},
        {"COMMAND DOCS nosuch", "%0"},
    };
    struct world w;
    world_init(&w);
    w.proto = 3;
    EXPECT_ALL(&w, rows);
    world_release(&w);
}

/* --- the table --- */

static int expected_min_words(const struct command *c)
{
    return (c->arity < 0 ? -c->arity : c->arity) - 1 - (c->sub != SUB_NONE);
}

static void check_syntax(const struct command *c)
{
    struct syntax s;
    syntax_parse(&s, c->syntax);
    bool open = syntax_is_open(&s, s.first);
    if (c->id != CMD_QUIT) /* takes anything, as in Redis */
        EXPECT_INT(c->arity < 0, open);
    if (syntax_min_words(&s, s.first) != (c->id == CMD_QUIT ? 0 : expected_min_words(c))) {
        EXPECT(!"the syntax fits the arity");
        printf("  %s\n", c->name);
    }
}

static void check_row(const struct command *c)
{
    EXPECT_INT(strlen(c->name), c->name_len);
    for (const char *s = c->name; *s != '\0'; s++)
        EXPECT(*s < 'A' || *s > 'Z');
    EXPECT(c->arity != 0);
    EXPECT(strlen(c->summary) > 5 && c->summary[strlen(c->summary) - 1] == '.');
    EXPECT(c->complexity[0] != '\0');
    EXPECT(c->since[0] >= '1' && c->since[0] <= '7');
    bool has_keys = c->first_key != 0 || (c->flags & CF_MOVABLE_KEYS) != 0;
    EXPECT_INT(has_keys, c->key_flags[0] != '\0');
    EXPECT_INT(c->first_key != 0, c->key_step != 0);
    EXPECT(!((c->flags & CF_WRITE) != 0 && (c->flags & CF_READONLY) != 0));
    if ((c->flags & CF_CONTAINER) == 0 || c->sub != SUB_NONE)
        check_syntax(c);
    EXPECT(command_find_full(bytes_cstr(c->name)) == c); /* names are unique */
}

static void the_table_is_consistent(void)
{
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command *c = command_by_id((enum command_id)i);
        EXPECT_INT(c->id, i);
        check_row(c);
        EXPECT_INT(c->sub, SUB_NONE);
        if (c->handler == NULL)
            continue;
        if (c->id != CMD_DEBUG) { /* its first argument tells whether there is a key */
            EXPECT(c->first_key > 0 || (c->flags & CF_MOVABLE_KEYS) != 0);
            EXPECT((c->flags & (CF_WRITE | CF_READONLY)) != 0);
        }
        EXPECT((c->flags & CF_QUERY) == 0);
        EXPECT(c->is_blind == NULL || (c->flags & CF_WRITE) != 0);
    }
#define DATA_COMMAND(id, ...) EXPECT(command_by_id(CMD_##id)->handler != NULL);
#define SESSION_COMMAND(id, ...) EXPECT(command_by_id(CMD_##id)->handler == NULL);
#include "command/commands.def"
#undef DATA_COMMAND
#undef SESSION_COMMAND
    size_t n;
    const struct command *subs = command_subs(&n);
    EXPECT_INT(n, SUB_END - 1);
    for (size_t i = 0; i < n; i++) {
        const struct command *container = command_by_id(subs[i].id);
        EXPECT_INT(subs[i].sub, i + 1);
        EXPECT((container->flags & CF_CONTAINER) != 0);
        EXPECT_INT(subs[i].group, container->group);
        EXPECT(strncmp(subs[i].name, container->name, container->name_len) == 0);
        EXPECT_INT(subs[i].handler != NULL, subs[i].first_key != 0);
        check_row(&subs[i]);
    }
}

static void keys_are_found(void)
{
    const struct command *mset = command_by_id(CMD_MSET);
    EXPECT_INT(command_key_count(mset, 5, NULL), 2);
    EXPECT_INT(command_key_count(mset, 4, NULL), 2); /* an odd one: the handler refuses it */
    EXPECT_INT(command_key_at(mset, 5, NULL, 1), 3);
    EXPECT_INT(command_key_count(command_by_id(CMD_DEL), 4, NULL), 3);
    EXPECT_INT(command_key_count(command_by_id(CMD_SET), 5, NULL), 1);
    EXPECT_INT(command_key_count(command_by_id(CMD_PING), 2, NULL), 0);
    EXPECT(command_find(BYTES_LIT("GeT")) == command_by_id(CMD_GET));
    EXPECT(command_find(bytes_of("GET\0", 4)) == NULL);
    EXPECT(command_find(BYTES_LIT("")) == NULL);
    EXPECT(command_find_full(BYTES_LIT("CONFIG|Get"))->sub == SUB_CONFIG_GET);
    EXPECT(command_find_full(BYTES_LIT("get|x")) == NULL);
    EXPECT(command_find_full(BYTES_LIT("config|")) == NULL);
    EXPECT(command_find_full(BYTES_LIT("|")) == NULL);
}

static void unknown_commands_are_named(void)
{
    static const struct expectation rows[] = {
        {"foo", "-ERR unknown command 'foo', with args beginning with: "},
        {"foo a ~ b", "-ERR unknown command 'foo', with args beginning with: 'a' '' 'b' "},
        {"client nosuch x", "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP."},
        {"client", "-ERR wrong number of arguments for 'client' command"},
        {"Client ID x", "-ERR wrong number of arguments for 'client|id' command"},
        {"exec x", "-EXECABORT Transaction discarded because of: wrong number of arguments for "
                   "'exec' command"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);

    char name[200], arg[200], want[600];
    memset(name, 'n', sizeof(name));
    memset(arg, 'a', sizeof(arg));
    struct call call = {
        {bytes_of(name, 200), bytes_of(arg, 100), bytes_of(arg, 200), BYTES_LIT("z")}, 4};
    /* 128 bytes of the name; of the arguments what is left of 128 when their turn comes. */
    snprintf(want, sizeof(want),
             "-ERR unknown command '%.128s', with args beginning with: '%.100s' '%.25s' \r\n", name,
             arg, arg);
    EXPECT_CSTR(calls_run(&w, &call, 1, false), want);

    struct call odd = {{bytes_of("a\r\nb\0c", 6), bytes_of("x\0y", 3), BYTES_LIT("\n")}, 3};
    EXPECT_CSTR(calls_run(&w, &odd, 1, false),
                "-ERR unknown command 'a  b', with args beginning with: 'x' ' ' \r\n");
    world_release(&w);
}

/* --- COMMAND --- */

static void command_describes_commands(void)
{
    static const struct expectation rows[] = {
        {"COMMAND COUNT x", "-ERR wrong number of arguments for 'command|count' command"},
        {"COMMAND GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb"},
        {"COMMAND GETKEYS nosuch x", "-ERR Invalid command specified"},
        {"COMMAND GETKEYSANDFLAGS RENAME a b",
         "*2\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+delete\r\n"
         "*2\r\n$1\r\nb\r\n*2\r\n+OW\r\n+update"},
        {"COMMAND GETKEYS CONFIG nosuch", "-ERR Invalid command specified"},
        {"COMMAND GETKEYS PING x", "-ERR The command has no key arguments"},
        {"COMMAND GETKEYS GET a b", "-ERR Invalid number of arguments specified for command"},
        {"COMMAND GETKEYSANDFLAGS SET a b", "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+OW\r\n+update"},
        {"COMMAND GETKEYSANDFLAGS SET a b get",
         "*1\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+update"},
        {"COMMAND GETKEYSANDFLAGS DEL a", "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+RM\r\n+delete"},
        {"COMMAND LIST FILTERBY PATTERN GETS*", "*1\r\n$6\r\ngetset"},
        {"COMMAND LIST FILTERBY ACLCAT Transaction",
         "*5\r\n$5\r\nmulti\r\n$4\r\nexec\r\n$7\r\ndiscard\r\n$5\r\nwatch\r\n$7\r\nunwatch"},
        {"COMMAND LIST FILTERBY ACLCAT nosuch", "*0"},
        {"COMMAND LIST FILTERBY MODULE x", "*0"},
        {"COMMAND LIST FILTERBY PATTERN", "-ERR syntax error"},
        {"COMMAND LIST x", "-ERR syntax error"},
        {"COMMAND INFO nosuch", "*1\r\n$-1"},
        {"COMMAND DOCS nosuch", "*0"},
        {"COMMAND INFO mget",
         "*1\r\n*10\r\n$4\r\nmget\r\n:-2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:-1\r\n:1\r\n"
         "*3\r\n+@read\r\n+@string\r\n+@fast\r\n*1\r\n$26\r\nrequest_policy:multi_shard\r\n"
         "*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n"
         "$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n"
         "*2\r\n$5\r\nindex\r\n:1\r\n"
         "$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n"
         "*6\r\n$7\r\nlastkey\r\n:-1\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0"},
        {"COMMAND INFO config|help",
         "*1\r\n*10\r\n$11\r\nconfig|help\r\n:2\r\n*2\r\n+loading\r\n+stale\r\n:0\r\n:0\r\n:0\r\n"
         "*1\r\n+@slow\r\n*0\r\n*0\r\n*0"},
    };
    struct world w;
    world_init(&w);
    EXPECT_ALL(&w, rows);

    char want[32];
    snprintf(want, sizeof(want), ":%d\r\n", COMMAND_COUNT);
    EXPECT_CSTR(run(&w, "COMMAND COUNT"), want);
    snprintf(want, sizeof(want), "*%d\r\n*10\r\n", COMMAND_COUNT);
    EXPECT(strncmp(run(&w, "COMMAND"), want, strlen(want)) == 0);
    snprintf(want, sizeof(want), "*%d\r\n", 2 * COMMAND_COUNT);
    EXPECT(strncmp(run(&w, "COMMAND DOCS"), want, strlen(want)) == 0);
    EXPECT(strncmp(run(&w, "COMMAND HELP"), "*21\r\n+COMMAND <subcommand>", 26) == 0);
    world_release(&w);
}

static void command_documents_arguments(void)
{
    static const struct expectation rows[] = {
        {"COMMAND DOCS client|pause nosuch",
         "%1\r\n$12\r\nclient|pause\r\n%5\r\n"
         "$7\r\nsummary\r\n$50\r\nHolds the clients' commands for some milliseconds.\r\n"
         "$5\r\nsince\r\n$6\r\n2.9.50\r\n$5\r\ngroup\r\n$10\r\nconnection\r\n"
         "$10\r\ncomplexity\r\n$4\r\nO(1)\r\n$9\r\narguments\r\n"
         "*2\r\n%2\r\n$4\r\nname\r\n$7\r\ntimeout\r\n$4\r\ntype\r\n$7\r\ninteger\r\n"
         "%4\r\n$4\r\nname\r\n$9\r\nwrite_all\r\n$4\r\ntype\r\n$5\r\noneof\r\n"
         "$5\r\nflags\r\n~1\r\n+optional\r\n$9\r\narguments\r\n"
         "*2\r\n%3\r\n$4\r\nname\r\n$5\r\nwrite\r\n$4\r\ntype\r\n$10\r\npure-token\r\n"
         "$5\r\ntoken\r\n$5\r\nWRITE\r\n"
         "%3\r\n$4\r\nname\r\n$3\r\nall\r\n$4\r\ntype\r\n$10\r\npure-token\r\n"
         "$5\r\ntoken\r\n$3\r\nALL"},
        {"COMMAND DOCS get", "%1\r\n$3\r\nget\r\n%5\r\n$7\r\nsummary\r\n$15\r\nReads a string.\r\n"
                             "$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$6\r\nstring\r\n"
                             "$10\r\ncomplexity\r\n$4\r\nO(1)\r\n$9\r\narguments\r\n"
                             "*1\r\n%3\r\n$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n"
                             "$14\r\nkey_spec_index\r\n:0"},
    };
    struct world w;
    world_init(&w);
    w.proto = 3;
    EXPECT_ALL(&w, rows);
    world_release(&w);
}

/* A tree as text: NAME for a literal, name:token, (…) a block, <…> one of, ? optional, + multiple,
 * * also its token. */
static void syntax_text(const struct syntax *s, int first, struct buf *out)
{
    for (int i = first; i >= 0; i = s->nodes[i].next) {
        const struct syntax_node *n = &s->nodes[i];
        if (i != first)
            buf_append_cstr(out, " ");
        if (n->token.len > 0)
            buf_append_bytes(out, n->token);
        if (n->token.len > 0 && n->kind != SYNTAX_TOKEN)
            buf_append_cstr(out, ":");
        if (n->child >= 0) {
            buf_append_cstr(out, n->kind == SYNTAX_BLOCK ? "(" : "<");
            syntax_text(s, n->child, out);
            buf_append_cstr(out, n->kind == SYNTAX_BLOCK ? ")" : ">");
        } else if (n->kind != SYNTAX_TOKEN) {
            buf_append_bytes(out, n->name);
        }
        buf_append_cstr(out, n->optional ? "?" : "");
        buf_append_cstr(out, n->multiple ? "+" : "");
        buf_append_cstr(out, n->multiple_token ? "*" : "");
    }
}

static void syntax_is_parsed(void)
{
    static const struct {
        const char *text;
        const char *tree;
        int min_words;
    } rows[] = {
        {"", "", 0},
        {"key value", "key value", 2},
        {"key [key ...]", "key+", 1},
        {"key value [key value ...]", "(key value)+", 2},
        {"[section [section ...]]", "section?+", 0},
        {"key [EX seconds | KEEPTTL]", "key <EX:seconds KEEPTTL>?", 1},
        {"[protover [AUTH username password] [SETNAME name]]",
         "(protover AUTH:(username password)? SETNAME:name?)?", 0},
        {"<ON | OFF> [PREFIX prefix [PREFIX prefix ...]]", "<ON OFF> PREFIX:prefix?+*", 1},
        {"[ID client-id [client-id ...]]", "ID:client-id?+", 0},
        {"[FILTERBY <MODULE m | PATTERN p>]", "FILTERBY:<MODULE:m PATTERN:p>?", 0},
        {"a:b | <ID i | TYPE <X | Y>> ...", "<a:b <ID:i TYPE:<X Y>>+>", 1},
        {"LIB-NAME n | LIB-VER v", "<LIB-NAME:n LIB-VER:v>", 2},
    };
    struct buf out;
    buf_init(&out);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct syntax s;
        syntax_parse(&s, rows[i].text);
        buf_reset(&out, 256);
        syntax_text(&s, s.first, &out);
        EXPECT_CSTR(buf_cstr(&out), rows[i].tree);
        EXPECT_INT(syntax_min_words(&s, s.first), rows[i].min_words);
    }
    buf_release(&out);
}

TEST_MAIN(TEST(strings_are_set_and_read), TEST(strings_are_changed_in_part),
          TEST(numbers_are_counted), TEST(bad_options_are_refused), TEST(keys_expire),
          TEST(past_times_remove), TEST(expiry_conditions_compare), TEST(far_times_are_cut), TEST(keys_are_renamed), TEST(keys_are_copied_and_moved),
          TEST(objects_are_described),
          TEST(changes_are_told), TEST(blind_calls_are_recognised),
          TEST(a_transaction_sees_its_own_changes), TEST(nulls_differ_under_resp3),
          TEST(the_table_is_consistent), TEST(keys_are_found), TEST(unknown_commands_are_named),
          TEST(command_describes_commands), TEST(command_documents_arguments),
          TEST(syntax_is_parsed))
