/* Lua under Redis' rules, with a host that answers calls from a table: conversions both ways, the
 * sandbox, limits, and interruption. Expected texts are those of Redis 7.0.15 where it has them. */
#include "test.h"

#include "base/mem.h"
#include "script/script.h"

/* ---- the host ---- */

struct world {
    struct script_vm *vm;
    struct buf out;
    struct buf log;
    int proto; /* of the client */
    int calls;
    int ticks;
    int pause_every;       /* ticks; 0 = never */
    enum script_stop stop; /* at tick `stop_at` */
    int stop_at;
    bool drop_call;
    int64_t now_us;   /* 0 = it has no clock */
    int64_t tick_us;  /* by so much it goes on from tick to tick */
    bool ticked;
    int nargs;        /* 0 = the usual ones */
    const struct bytes *args;
    bool counts; /* script_eval's result */
    const char *text;
};

/* Long strings that differ in what Lua's hash does not look at. */
enum { MANY = 4000, LONG = 900 };

static const struct bytes *many(void)
{
    static char text[MANY][LONG];
    static struct bytes list[MANY];
    for (int i = 0; i < MANY && list[MANY - 1].data == NULL; i++) {
        memset(text[i], 'x', LONG);
        int n = snprintf(text[i], LONG, "%05d", i);
        text[i][n] = 'x';
        list[i] = bytes_of(text[i], LONG);
    }
    return list;
}

static struct bytes many_as_json(void)
{
    static char text[MANY * (LONG + 3) + 1];
    size_t at = 0;
    for (int i = 0; i < MANY; i++) {
        text[at++] = i == 0 ? '[' : ',';
        text[at++] = '"';
        memcpy(text + at, many()[i].data, LONG);
        at += LONG;
        text[at++] = '"';
    }
    text[at++] = ']';
    return bytes_of(text, at);
}

static bool on_call(void *arg, int argc, const struct bytes *argv, struct reply *r)
{
    struct world *w = arg;
    w->calls++;
    if (w->drop_call)
        return false;
    if (bytes_ieq(argv[0], "args")) {
        reply_array(r, (size_t)argc - 1);
        for (int i = 1; i < argc; i++)
            reply_bulk(r, argv[i]);
    } else if (bytes_ieq(argv[0], "many")) {
        reply_array(r, MANY);
        for (int i = 0; i < MANY; i++)
            reply_bulk(r, many()[i]);
    } else if (bytes_ieq(argv[0], "json")) {
        reply_bulk(r, many_as_json());
    } else if (bytes_ieq(argv[0], "map")) {
        reply_map(r, 1);
        reply_bulk_cstr(r, "k");
        reply_double(r, 1.5);
    } else if (bytes_ieq(argv[0], "set")) {
        reply_set(r, 1);
        reply_bool(r, true);
    } else if (bytes_ieq(argv[0], "null")) {
        reply_null(r);
    } else if (bytes_ieq(argv[0], "nullarray")) {
        reply_null_array(r);
    } else if (bytes_ieq(argv[0], "int")) {
        reply_int(r, 42);
    } else if (bytes_ieq(argv[0], "ok")) {
        reply_ok(r);
    } else if (bytes_ieq(argv[0], "verbatim")) {
        reply_verbatim(r, "txt", BYTES_LIT("hello"));
    } else {
        reply_error(r, "WRONGTYPE no");
    }
    return true;
}

static int on_acl(void *arg, int argc, const struct bytes *argv)
{
    (void)arg;
    return argc > 1 ? 1 : bytes_ieq(argv[0], "no") ? 0 : -1;
}

static void on_log(void *arg, int level, struct bytes text)
{
    struct world *w = arg;
    buf_printf(&w->log, "%d:", level);
    buf_append_bytes(&w->log, text);
}

static enum script_stop on_tick(void *arg)
{
    struct world *w = arg;
    w->ticks++;
    w->ticked = true;
    if (w->pause_every > 0 && w->ticks % w->pause_every == 0)
        script_vm_pause(w->vm);
    return w->stop_at > 0 && w->ticks >= w->stop_at ? w->stop : SCRIPT_GO;
}

static int64_t on_now(void *arg)
{
    struct world *w = arg;
    if (!w->ticked)
        w->now_us += w->tick_us;
    w->ticked = false;
    return w->now_us;
}

static void body(void *arg)
{
    struct world *w = arg;
    static const struct bytes keys[] = {{"k1", 2}, {"k2", 2}};
    static const struct bytes args[] = {{"a\0b", 3}};
    struct script_host host = {on_call, on_acl, on_log, on_tick, w->now_us != 0 ? on_now : NULL, w};
    char sha[SCRIPT_SHA_LEN + 1];
    struct bytes text = bytes_cstr(w->text);
    script_sha1(text, sha);
    struct script_call call = {sha, text, 2, keys, 1, args, 0};
    if (w->nargs > 0) {
        call.nargs = w->nargs;
        call.args = w->args;
    }
    struct reply r = {&w->out, w->proto, false};
    w->counts = script_eval(w->vm, &call, &host, &r);
}

static void world_init(struct world *w, size_t limit)
{
    *w = (struct world){.proto = 2};
    buf_init(&w->out);
    buf_init(&w->log);
    w->vm = script_vm_new(limit);
    EXPECT(w->vm != NULL);
}

static void world_release(struct world *w)
{
    script_vm_free(w->vm);
    buf_release(&w->out);
    buf_release(&w->log);
}

/* The number of pauses. */
static int eval(struct world *w, const char *text)
{
    int pauses = 0;
    w->text = text;
    w->out.len = 0;
    w->ticks = 0;
    for (bool ended = script_vm_run(w->vm, body, w); !ended; ended = script_vm_resume(w->vm))
        pauses++;
    return pauses;
}

static void expect_in(struct world *w, const char *text, const char *want, const char *file,
                      int line)
{
    eval(w, text);
    if (w->out.len != strlen(want) || memcmp(w->out.data, want, w->out.len) != 0) {
        test_failures++;
        printf("  %s:%d: %s\n    got  %.*s\n    not  %s\n", file, line, text, (int)w->out.len,
               w->out.data, want);
    }
}

#define EXPECT_EVAL(w, text, want) expect_in((w), (text), (want), __FILE__, __LINE__)

/* The beginning of an error, without the place, which has the script's SHA1 in it. */
static void expect_error(struct world *w, const char *text, const char *want, const char *file,
                         int line)
{
    eval(w, text);
    size_t n = strlen(want);
    if (w->out.len < n || memcmp(w->out.data, want, n) != 0) {
        test_failures++;
        printf("  %s:%d: %s\n    got  %.*s\n    not  %s\n", file, line, text, (int)w->out.len,
               w->out.data, want);
    }
}

#define EXPECT_ERROR(w, text, want) expect_error((w), (text), (want), __FILE__, __LINE__)

/* ---- conversions ---- */

static void test_values_to_replies(void)
{
    struct world w;
    world_init(&w, 16 << 20);
    EXPECT_EVAL(&w, "return 1", ":1\r\n");
    EXPECT_EVAL(&w, "return -1.9", ":-1\r\n");
    EXPECT_EVAL(&w, "return 0/0", ":-9223372036854775808\r\n");
    EXPECT_EVAL(&w, "return 'a'", "$1\r\na\r\n");
    EXPECT_EVAL(&w, "return #ARGV[1]", ":3\r\n");
    EXPECT_EVAL(&w, "return {1,2,nil,4}", "*2\r\n:1\r\n:2\r\n");
    EXPECT_EVAL(&w, "return {{},{KEYS[1],KEYS[2]}}", "*2\r\n*0\r\n*2\r\n$2\r\nk1\r\n$2\r\nk2\r\n");
    EXPECT_EVAL(&w, "return true", ":1\r\n");
    EXPECT_EVAL(&w, "return false", "$-1\r\n");
    EXPECT_EVAL(&w, "return nil", "$-1\r\n");
    EXPECT_EVAL(&w, "return", "$-1\r\n");
    EXPECT_EVAL(&w, "return {ok='fi\\nne'}", "+fi ne\r\n");
    EXPECT_EVAL(&w, "return {err='My Err\\n'}", "-My Err\r\n");
    EXPECT_EVAL(&w, "return {double=1.5}", "$3\r\n1.5\r\n");
    w.proto = 3;
    EXPECT_EVAL(&w, "return {double=1.5}", ",1.5\r\n");
    EXPECT_EVAL(&w, "return nil", "_\r\n");
    EXPECT_EVAL(&w, "return true", ":1\r\n");
    EXPECT_EVAL(&w, "redis.setresp(3) return true", "#t\r\n");
    EXPECT_EVAL(&w, "return {map={a=1}}", "%1\r\n$1\r\na\r\n:1\r\n");
    EXPECT_EVAL(&w, "return {set={a=true}}", "~1\r\n$1\r\na\r\n");
    EXPECT_EVAL(&w, "return {big_number='12'}", "(12\r\n");
    EXPECT_EVAL(&w, "return {verbatim_string={string='x',format='mkd'}}", "=5\r\nmkd:x\r\n");
    EXPECT_EVAL(&w, "return {verbatim_string={string='x',format='markdown'}}", "=5\r\nmar:x\r\n");
    EXPECT_EVAL(&w, "return {verbatim_string={string='x',format='a\\0b'}}", "=5\r\na  :x\r\n");
    world_release(&w);
}

static void test_replies_to_values(void)
{
    struct world w;
    world_init(&w, 16 << 20);
    EXPECT_EVAL(&w, "return redis.call('int') + 1", ":43\r\n");
    EXPECT_EVAL(&w, "return redis.call('ok').ok", "$2\r\nOK\r\n");
    EXPECT_EVAL(&w, "return redis.call('null') == false and redis.call('nullarray') == false",
                ":1\r\n");
    EXPECT_EVAL(&w, "return redis.call('args', 1.5, 'x', 10)",
                "*3\r\n$3\r\n1.5\r\n$1\r\nx\r\n$2\r\n10\r\n");
    EXPECT_EVAL(&w, "return redis.pcall('nope').err", "$12\r\nWRONGTYPE no\r\n");
    EXPECT_EVAL(&w, "return redis.pcall('nope')", "-WRONGTYPE no\r\n");
    EXPECT_ERROR(&w, "return redis.call('nope')", "-WRONGTYPE no script: ");
    EXPECT_EVAL(&w, "return redis.call('map')", "*2\r\n$1\r\nk\r\n$3\r\n1.5\r\n");
    EXPECT_EVAL(&w, "redis.setresp(3) return redis.call('map').map.k.double * 2", ":3\r\n");
    EXPECT_EVAL(&w, "redis.setresp(3) return redis.call('set').set[true] and 1", ":1\r\n");
    EXPECT_EVAL(&w, "redis.setresp(3) return redis.call('null') == nil and 1", ":1\r\n");
    EXPECT_EVAL(&w, "redis.setresp(3) return redis.call('verbatim').verbatim_string.string",
                "$5\r\nhello\r\n");
    EXPECT_EVAL(&w, "return redis.acl_check_cmd('no')", "$-1\r\n");
    EXPECT_EVAL(&w, "return redis.acl_check_cmd('no', 'x')", ":1\r\n");
    EXPECT_ERROR(&w, "return redis.acl_check_cmd('x')",
                 "-ERR Invalid command passed to redis.acl_check_cmd()");
    eval(&w, "redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b')");
    EXPECT_TEXT(w.log.data, w.log.len, "3:a 1 b");
    world_release(&w);
}

/* ---- the sandbox ---- */

static void test_nothing_stays_behind(void)
{
    struct world w;
    world_init(&w, 16 << 20);
    static const char *const readonly[] = {
        "x = 1",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "setmetatable(_G, {})",
        "string.x = 1",
        "redis.call = nil",
        "table.insert(string, 1)",
        "rawset(redis, 'x', 1)",
        "cjson.null = 1",
        "table.remove(math)",
        ("for k, v in pairs(_G) do if type(v) == 'table' and v ~= KEYS and v ~= ARGV "
         "then v.x = 1 end end"),
        "local f, t = pairs(string) t.x = 1",
        "function f() end"};
    for (size_t i = 0; i < sizeof(readonly) / sizeof(readonly[0]); i++) {
        eval(&w, readonly[i]);
        EXPECT(w.out.len > 40 &&
               memmem(w.out.data, w.out.len, "Attempt to modify a readonly table", 34));
    }
    EXPECT_EVAL(&w, "return getmetatable('') or getmetatable(_G) or 'none'", "$4\r\nnone\r\n");
    EXPECT_EVAL(&w, "local n = 0 for k in pairs(string) do n = n + 1 end return n > 10", ":1\r\n");
    EXPECT_EVAL(&w, "return rawget(_G, 'redis') ~= nil and next(_G) ~= nil", ":1\r\n");
    EXPECT(script_vm_good(w.vm));
    static const char *const absent[] = {"print",   "os",       "io",     "require",
                                         "dofile",  "loadfile", "debug",  "getfenv",
                                         "setfenv", "newproxy", "module", "package"};
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        char text[80];
        snprintf(text, sizeof(text), "return %s", absent[i]);
        EXPECT_ERROR(
            &w, text,
            "-ERR user_script:1: Script attempted to access nonexistent global variable '");
    }
    EXPECT_EVAL(&w, "return loadstring('\\27Lua') == nil", ":1\r\n");
    EXPECT_EVAL(&w, "return loadstring(string.dump(loadstring('return 1'))) == nil", ":1\r\n");
    EXPECT_EVAL(
        &w,
        "return load(coroutine.wrap(function() coroutine.yield('\\27Lu') coroutine.yield('a') "
        "end)) == nil",
        ":1\r\n");
    EXPECT_ERROR(&w, "\x1bLua", "-ERR Error compiling script (new function): ");
    EXPECT(script_vm_good(w.vm));
    eval(&w, "cjson.encode_max_depth(3)");
    EXPECT(!script_vm_good(w.vm));
    world_release(&w);
}

static void test_random_is_the_same_every_time(void)
{
    struct world w;
    world_init(&w, 16 << 20);
    for (int i = 0; i < 2; i++) {
        EXPECT_EVAL(&w, "return {math.random(1000), math.random(1000)}", "*2\r\n:171\r\n:750\r\n");
        EXPECT_EVAL(&w,
                    "math.randomseed(7) local a = math.random() math.randomseed(7) "
                    "return a == math.random() and a ~= math.random()",
                    ":1\r\n");
    }
    world_release(&w);
}

/* ---- limits ---- */

static void test_memory(void)
{
    static const char *const hungry[] = {
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "return string.rep('x', 1e9)",
        "local s = 'x' while true do s = s .. s end",
        "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end",
        "local t = {'x'} for i = 1, 40 do t = {t, t} end return t",
        "local t = {('x'):rep(1000)} for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
        "return cjson.encode({[1e9] = 1, 2})",
        "local function f(n) return {f(n + 1)} end return f(1)",
        ("return table.concat({('x'):rep(4e6), ('x'):rep(4e6), ('y'):rep(4e6), ('x'):rep(4e6), "
         "('z'):rep(4e6)})")};
    for (size_t i = 0; i < sizeof(hungry) / sizeof(hungry[0]); i++) {
        struct world w;
        world_init(&w, 8 << 20);
        eval(&w, hungry[i]);
        EXPECT(w.out.len > 0 && w.out.data[0] == '-');
        if (i != 7) {
            EXPECT_TEXT(w.out.data, w.out.len,
                        "-ERR Script needs more memory than lua-memory-limit allows\r\n");
            EXPECT(!w.counts && !script_vm_good(w.vm));
        }
        world_release(&w);
    }
    struct world w;
    world_init(&w, 8 << 20);
    /* What is garbage is no memory. */
    EXPECT_EVAL(&w, "local s for i = 1, 200 do s = ('x'):rep(1e6) .. i end return #s",
                ":1000003\r\n");
    EXPECT_EVAL(&w, "for i = 1, 300000 do local t = {i} end return 1", ":1\r\n");
    world_release(&w);
}

/* No pcall, handler or coroutine keeps a run alive that is to stop. */
static void test_stopping(void)
{
    static const char *const stubborn[] = {
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() error('x') end, function() while true do end end) end",
        "local co = coroutine.create(function() while true do end end) while true do "
        "coroutine.resume(co) end",
        "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() "
        "end",
        "while true do local co = coroutine.create(function() while true do coroutine.yield() end "
        "end) "
        "coroutine.resume(co) coroutine.resume(co) end",
        "return string.find(('a'):rep(40), ('a?'):rep(40) .. ('a'):rep(41))",
        "return (('a'):rep(3000)):match('.-.-.-.-b')",
        "local t = {} for i = 1, 50000 do t[i] = i % 1000 end while true do table.sort(t) end",
        "local t = {} for i = 1, 50000 do t[i] = i end while true do table.insert(t, 1, 0) "
        "table.remove(t, 1) end",
        "while true do collectgarbage() end",
        "return table.concat(setmetatable({}, {__index = function() while true do end end}), ',') "
        ".. "
        "setmetatable({}, {__index = function() while true do end end}).x",
        "return ('x'):gsub('x', function() while true do end end)",
        "load(function() return ' ' end)",
        "while true do redis.pcall('nope') end",
        "repeat until next({}) "};
    for (size_t i = 0; i < sizeof(stubborn) / sizeof(stubborn[0]); i++) {
        static const enum script_stop stops[] = {SCRIPT_STOP_KILLED, SCRIPT_STOP_TIME,
                                                 SCRIPT_STOP_DROP};
        for (size_t k = 0; k < (i < 5 ? 3 : 1); k++) {
            struct world w;
            world_init(&w, 16 << 20);
            w.stop = stops[k];
            w.stop_at = 20;
            eval(&w, stubborn[i]);
            if (w.counts)
                printf("    %s\n", stubborn[i]);
            EXPECT(!w.counts && w.ticks >= 20 && w.ticks < 60);
            if (k == 0 && i == 0)
                EXPECT_ERROR(&w, stubborn[i],
                             "-ERR Script killed by user with SCRIPT KILL... script: ");
            world_release(&w);
        }
    }
}

static void test_pausing(void)
{
    struct world w;
    world_init(&w, 16 << 20);
    w.pause_every = 1;
    int pauses = eval(&w, "local n = 0 for i = 1, 100000 do n = n + i % 7 end return n");
    EXPECT(pauses > 50);
    EXPECT_TEXT(w.out.data, w.out.len, ":300000\r\n");
    pauses =
        eval(&w, "local co = coroutine.wrap(function() for i = 1, 1e5 do if i % 100 == 0 then "
                 "coroutine.yield(pcall(string.gsub, 'abc', '%w', '%0%0')) end end return 9 end) "
                 "for i = 1, 1000 do co() end return co()");
    EXPECT(pauses > 20);
    EXPECT_TEXT(w.out.data, w.out.len, ":9\r\n");
    world_release(&w);
}

/* Strings may cost much, wherever they come from: each way is interrupted, and ends when it is told to. */
static void test_strings_are_interrupted(void)
{
    static const char *const ways[] = {
        "return #ARGV", "return #redis.call('many')",
        "local t = {} for i = 1, 4000 do t[i] = string.rep('x', 900) .. i end return #t",
        "return #cjson.decode(redis.call('json'))",
        "return #(string.rep('x', 4000):gsub('x', function(c) return c .. c end)) / 2"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct world w;
        world_init(&w, 64 << 20);
        w.args = many();
        w.nargs = i == 0 ? MANY : 0;
        w.pause_every = 1;
        int pauses = eval(&w, ways[i]);
        if (pauses <= 10)
            printf("    %d: %s\n", pauses, ways[i]);
        EXPECT(w.counts && pauses > 10);
        EXPECT_TEXT(w.out.data, w.out.len, ":4000\r\n");
        world_release(&w); /* where its strings are still known */
        world_init(&w, 64 << 20);
        w.args = many();
        w.nargs = i == 0 ? MANY : 0;
        w.stop = SCRIPT_STOP_KILLED;
        w.stop_at = 5;
        eval(&w, ways[i]);
        if (w.counts)
            printf("    %d ticks: %s\n", w.ticks, ways[i]);
        EXPECT(!w.counts && w.ticks < 100);
        buf_append_u8(&w.out, 0);
        EXPECT(strstr(w.out.data, "-ERR Script killed by user with SCRIPT KILL... script: ") == w.out.data);
        world_release(&w);
    }
}

static void test_a_large_reply_is_interrupted(void)
{
    struct world w;
    world_init(&w, 64 << 20);
    w.pause_every = 1;
    int few = eval(&w, "local t = {} for i = 1, 20000 do t[i] = 'x' end return 1");
    int more = eval(&w, "local t = {} for i = 1, 20000 do t[i] = 'x' end return t");
    EXPECT(more > few + 5);
    world_release(&w);
}

/* Where a tick comes late, the next one comes after less work; where it comes early, after more again. */
static void test_ticks_by_the_clock(void)
{
    static const char loop[] = "local n = 0 for i = 1, 100000 do n = n + i % 7 end return n";
    int ticks[2];
    for (int i = 0; i < 2; i++) {
        struct world w;
        world_init(&w, 16 << 20);
        w.now_us = 1;
        w.tick_us = i == 0 ? 100 : 20000;
        eval(&w, loop);
        EXPECT_TEXT(w.out.data, w.out.len, ":300000\r\n");
        ticks[i] = w.ticks;
        w.tick_us = 100;
        eval(&w, loop);
        EXPECT(w.ticks < 2 * ticks[0]);
        world_release(&w);
    }
    EXPECT(ticks[0] > 50 && ticks[1] > 100 * ticks[0]);
}

static void test_dropped_call(void)
{
    struct world w;
    world_init(&w, 16 << 20);
    w.drop_call = true;
    eval(&w,
         "for i = 1, 100 do pcall(redis.call, 'get', 'x') redis.pcall('get', 'y') end return 1");
    EXPECT(!w.counts);
    EXPECT_INT(w.calls, 1);
    world_release(&w);
}

/* ---- patterns: as Lua's own, which the tests against Redis look at in bulk ---- */

static void test_patterns(void)
{
    struct world w;
    world_init(&w, 16 << 20);
    EXPECT_EVAL(&w, "return {string.find('hello world', 'o w')}", "*2\r\n:5\r\n:7\r\n");
    EXPECT_EVAL(&w, "return {string.find('a.b', '.', 1, true)}", "*2\r\n:2\r\n:2\r\n");
    EXPECT_EVAL(&w, "return {('key=value'):match('^(%w+)=(%w+)$')}",
                "*2\r\n$3\r\nkey\r\n$5\r\nvalue\r\n");
    EXPECT_EVAL(&w, "return {('f(a(b)c)d'):match('%b()')}", "*1\r\n$7\r\n(a(b)c)\r\n");
    EXPECT_EVAL(&w, "return {('THE (quick) fox'):find('%f[%a]%a+%f[%A]')}", "*2\r\n:1\r\n:3\r\n");
    EXPECT_EVAL(&w, "return {('abc'):gsub('', '-')}", "*2\r\n$7\r\n-a-b-c-\r\n:4\r\n");
    EXPECT_EVAL(&w, "return {('hello'):gsub('(l)(l)', '%2%1%%%0')}",
                "*2\r\n$8\r\nhell%llo\r\n:1\r\n");
    EXPECT_EVAL(&w, "return (('x=1,y=2'):gsub('(%w)=(%w)', {x='X'}))", "$5\r\nX,y=2\r\n");
    EXPECT_EVAL(
        &w,
        "local t = {} for k, v in ('a=1,b=2'):gmatch('(%w)=(%w)') do t[#t+1] = k .. v end return t",
        "*2\r\n$2\r\na1\r\n$2\r\nb2\r\n");
    EXPECT_EVAL(&w, "return {('abab'):find('(a)(b)%1%2')}",
                "*4\r\n:1\r\n:4\r\n$1\r\na\r\n$1\r\nb\r\n");
    EXPECT_EVAL(&w, "return {('ab'):match('()b()')}", "*2\r\n:2\r\n:3\r\n");
    EXPECT_EVAL(&w, "return (('  trim '):gsub('^%s*(.-)%s*$', '%1'))", "$4\r\ntrim\r\n");
    EXPECT_EVAL(&w, "return ('a]b-c^d'):gsub('[%]^-]', '')", "$4\r\nabcd\r\n");
    EXPECT_ERROR(&w, "return ('a'):find('[a')",
                 "-ERR user_script:1: malformed pattern (missing ']')");
    EXPECT_ERROR(&w, "return ('a'):find('%')",
                 "-ERR user_script:1: malformed pattern (ends with '%')");
    EXPECT_ERROR(&w, "return ('a'):find('(a')", "-ERR user_script:1: unfinished capture");
    EXPECT_ERROR(&w, "return ('a'):match('a)')", "-ERR user_script:1: invalid pattern capture");
    EXPECT_ERROR(&w, "return ('a'):rep(40):find(('(a'):rep(33))",
                 "-ERR user_script:1: too many captures");
    EXPECT_ERROR(&w, "return (('b'):rep(5000)):find(('b?'):rep(5000))",
                 "-ERR user_script:1: pattern too complex");
    world_release(&w);
}

static void test_shebang(void)
{
    static const struct {
        const char *text;
        const char *error;
        unsigned flags;
    } cases[] = {{"return 1", "", SCRIPT_COMPAT},
                 {"#!lua\nreturn 1", "", 0},
                 {"#!lua flags=no-writes,allow-oom\n", "", SCRIPT_NO_WRITES | SCRIPT_ALLOW_OOM},
                 {"#!lua flags=\n", "", 0},
                 {"#!lua", "ERR Invalid script shebang", 0},
                 {"#!foo\n", "ERR Unexpected engine in script shebang: #!foo", 0},
                 {"#!lua name=x\n", "ERR Unknown lua shebang option: name=x", 0},
                 {"#!lua flags=foo\n", "ERR Unexpected flag in script shebang: foo", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned flags = 0;
        size_t len;
        struct buf error;
        buf_init(&error);
        bool ok = script_shebang(bytes_cstr(cases[i].text), &flags, &len, &error);
        EXPECT(ok == (cases[i].error[0] == '\0'));
        EXPECT_TEXT(buf_cstr(&error), error.len, cases[i].error);
        if (ok)
            EXPECT_INT(flags, cases[i].flags);
        buf_release(&error);
    }
}

static void test_sha1(void)
{
    char sha[SCRIPT_SHA_LEN + 1];
    script_sha1(BYTES_LIT("return 1"), sha);
    EXPECT_CSTR(sha, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
}

TEST_MAIN(TEST(test_values_to_replies), TEST(test_replies_to_values),
          TEST(test_nothing_stays_behind), TEST(test_random_is_the_same_every_time),
          TEST(test_memory), TEST(test_stopping), TEST(test_pausing), TEST(test_strings_are_interrupted),
          TEST(test_a_large_reply_is_interrupted), TEST(test_ticks_by_the_clock), TEST(test_dropped_call),
          TEST(test_patterns), TEST(test_shebang), TEST(test_sha1))
