/* Whatever a script is: it has one well-formed reply, it ends, and the next script on the state, if
 * that is still good, sees nothing of it.
 *
 * An input is its first byte (bit 0: RESP3, bit 1: it is interrupted at every tick, bit 2: the rest
 * is the script as it stands) and then a byte per piece of the script, from the table below. Calls
 * run the real handlers over a few keys in memory. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/num.h"
#include "command/command.h"
#include "command/key_place.h"
#include "script/script.h"

enum { KEYS = 16, KEYS_PER_CALL = 8, MAX_TICKS = 60, LIMIT = 2 << 20, DEPTH = 9000 };

static const char *const pieces[] = {"return ",
                                     "local t={} ",
                                     "t[1]=t ",
                                     "t[#t+1]=",
                                     "{",
                                     "}",
                                     "(",
                                     ")",
                                     ",",
                                     "=",
                                     " ",
                                     ";",
                                     "\n",
                                     "'x'",
                                     "'%a+'",
                                     "'('",
                                     "1",
                                     "0",
                                     "-1",
                                     "1e9",
                                     "2^53",
                                     "nil",
                                     "true",
                                     "false",
                                     "t",
                                     "x",
                                     "f",
                                     "KEYS[1]",
                                     "ARGV[1]",
                                     "#",
                                     "..",
                                     "+",
                                     "<",
                                     "==",
                                     "not ",
                                     "[1]",
                                     "redis.call(",
                                     "redis.pcall(",
                                     "redis.setresp(3) ",
                                     "redis.error_reply(",
                                     "redis.status_reply(",
                                     "redis.sha1hex(",
                                     "redis.log(1,",
                                     "redis.acl_check_cmd(",
                                     "'set'",
                                     "'get'",
                                     "'hgetall'",
                                     "'hset'",
                                     "'lrange'",
                                     "'rpush'",
                                     "'zadd'",
                                     "'zrange'",
                                     "'nosuch'",
                                     "string.rep(",
                                     "string.find(",
                                     "string.gsub(",
                                     "string.format(",
                                     "string.dump(",
                                     "('a'):rep(40)",
                                     "('a?'):rep(40)",
                                     "'[%w-]*'",
                                     "'%b()'",
                                     "'(.-)%1'",
                                     "'%f[%a]'",
                                     "table.insert(",
                                     "table.sort(",
                                     "table.concat(",
                                     "table.remove(",
                                     "unpack(",
                                     "select('#',",
                                     "pcall(",
                                     "xpcall(",
                                     "error(",
                                     "assert(",
                                     "loadstring(",
                                     "load(",
                                     "coroutine.wrap(",
                                     "coroutine.create(",
                                     "coroutine.resume(",
                                     "coroutine.yield(",
                                     "cjson.encode(",
                                     "cjson.decode(",
                                     "'[1,{\"a\":null}]'",
                                     "cjson.encode_max_depth(",
                                     "bit.band(",
                                     "bit.tohex(",
                                     "setmetatable(",
                                     "getmetatable(",
                                     "rawset(",
                                     "rawget(",
                                     "next(",
                                     "pairs(",
                                     "tostring(",
                                     "tonumber(",
                                     "collectgarbage(",
                                     "_G",
                                     "string",
                                     "redis",
                                     "while true do ",
                                     "for i=1,99 do ",
                                     "repeat ",
                                     "until ",
                                     "if ",
                                     " then ",
                                     " else ",
                                     " end ",
                                     "function(...) ",
                                     "local function f(a) ",
                                     "return f(",
                                     "...",
                                     "__index=",
                                     "__newindex=",
                                     "__call=",
                                     "__concat=",
                                     "__gc=",
                                     "__metatable=",
                                     "math.random(",
                                     "math.floor(",
                                     "{map={a=1}}",
                                     "{double=1.5}",
                                     "{err='e'}",
                                     "{ok='k'}",
                                     "{set={a=1}}",
                                     "{big_number='1'}",
                                     "{verbatim_string={string='a',format='txt'}}",
                                     "\"\\0\\255\"",
                                     "[[",
                                     "]]",
                                     "--",
                                     "'\\27Lua'",
                                     "do ",
                                     "local a,b=",
                                     "a",
                                     "b"};

struct world {
    struct script_vm *vm;
    struct key keys[KEYS];
    struct buf names[KEYS];
    int nkeys;
    int ticks;
    bool pauses;
    int proto;
    struct bytes text;
    struct buf out;
    bool counts;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the host ---- */

static struct key *key_of(struct world *w, int db, struct bytes name)
{
    for (int i = 0; i < w->nkeys; i++) {
        if (w->keys[i].db == db && bytes_eq(w->keys[i].name, name))
            return &w->keys[i];
    }
    if (w->nkeys == KEYS)
        return NULL;
    int i = w->nkeys++;
    buf_init(&w->names[i]);
    buf_append_bytes(&w->names[i], name);
    w->keys[i] = (struct key){.db = db, .name = buf_bytes(&w->names[i])};
    return &w->keys[i];
}

static bool on_call(void *arg, int argc, const struct bytes *argv, struct reply *r)
{
    struct world *w = arg;
    const struct command *cmd = command_lookup_or_reply(argc, argv, r);
    struct key *keys[KEYS_PER_CALL];
    if (cmd == NULL)
        return true;
    if (cmd->handler == NULL || (cmd->flags & (CF_NOSCRIPT | CF_MOVABLE_KEYS)) != 0) {
        reply_error(r, "ERR no");
        return true;
    }
    int n = command_place_count(cmd, argc, argv, 4, 0);
    for (int i = 0; i < n; i++) {
        struct key_place place = command_place(cmd, argc, argv, 4, 0, i);
        keys[i < KEYS_PER_CALL ? i : 0] = key_of(w, place.db, argv[place.arg]);
        if (i >= KEYS_PER_CALL || keys[i] == NULL)
            return false;
    }
    struct command_ctx ctx = {.cmd = cmd,
                              .argc = argc,
                              .argv = argv,
                              .now_ms = 1000000,
                              .keys = keys,
                              .nkeys = n,
                              .databases = 4,
                              .max_value = 1 << 20,
                              .reply = r};
    cmd->handler(&ctx);
    for (int i = 0; i < n; i++) {
        if (keys[i]->expiry.kind == EXPIRY_RELATIVE)
            keys[i]->expiry = (struct expiry){EXPIRY_AT, 1000000000 + keys[i]->expiry.us};
    }
    return true;
}

static int on_acl(void *arg, int argc, const struct bytes *argv)
{
    (void)arg;
    return command_find(argv[0]) != NULL ? argc % 2 : -1;
}

static void on_log(void *arg, int level, struct bytes text)
{
    (void)arg;
    CHECK(level >= 0 && level <= 3 && (text.len == 0 || text.data != NULL));
}

static enum script_stop on_tick(void *arg)
{
    struct world *w = arg;
    CHECK(w->ticks < MAX_TICKS * 1000); /* it ends when it is told to */
    if (++w->ticks > MAX_TICKS)
        return SCRIPT_STOP_TIME;
    if (w->pauses)
        script_vm_pause(w->vm);
    return SCRIPT_GO;
}

/* ---- replies ---- */

static const char *line_end(const char *at, const char *end)
{
    const char *cr = memchr(at, '\r', (size_t)(end - at));
    CHECK(cr != NULL && cr + 1 < end && cr[1] == '\n');
    return cr;
}

/* The end of the reply at `at`. */
static const char *skip_reply(const char *at, const char *end, int depth)
{
    CHECK(at < end && depth < DEPTH);
    char type = *at;
    const char *cr = line_end(at, end);
    int64_t n = 0;
    CHECK(strchr("+-:$*%~,#_=(", type) != NULL);
    if (strchr("$*%~=", type) == NULL)
        return cr + 2;
    bool number = num_int64(bytes_of(at + 1, (size_t)(cr - at - 1)), &n);
    CHECK(number);
    at = cr + 2;
    if (type == '$' || type == '=') {
        CHECK(n < 0 || n + 2 <= end - at);
        return n < 0 ? at : at + n + 2;
    }
    for (int64_t i = 0; i < (type == '%' ? 2 * n : n); i++)
        at = skip_reply(at, end, depth + 1);
    return at;
}

/* ---- scripts ---- */

static void body(void *arg)
{
    struct world *w = arg;
    static const struct bytes keys[] = {{"k", 1}};
    static const struct bytes args[] = {{"a\0\xff", 3}};
    struct script_host host = {on_call, on_acl, on_log, on_tick, NULL, w};
    char sha[SCRIPT_SHA_LEN + 1];
    script_sha1(w->text, sha);
    struct script_call call = {sha, w->text, 1, keys, 1, args, 7};
    struct reply r = {&w->out, w->proto, false};
    w->counts = script_eval(w->vm, &call, &host, &r);
}

static void eval(struct world *w, struct bytes text)
{
    w->text = text;
    w->out.len = 0;
    w->ticks = 0;
    for (bool ended = script_vm_run(w->vm, body, w); !ended; ended = script_vm_resume(w->vm))
        ;
    const char *end = w->out.data + w->out.len;
    const char *last = skip_reply(w->out.data, end, 0);
    CHECK(last == end);
}

/* Whoever comes next finds everything as it was. */
static void look(struct world *w)
{
    static const char canary[] =
        "local n = 0 for _, t in pairs({_G, string, table, math, redis, bit, coroutine}) do for k "
        "in pairs(t) do "
        "n = n + 1 end end return tostring(n) .. cjson.encode({1}) .. ('x'):rep(2) .. #KEYS .. "
        "#ARGV .. "
        "type(redis.call('get', 'nokey')) .. tostring(pcall(rawset, _G, 'a', 1))";
    static struct buf first;
    w->pauses = false;
    eval(w, bytes_of(canary, sizeof(canary) - 1));
    CHECK(w->counts && w->out.data[0] == '$');
    if (first.len == 0)
        buf_append_bytes(&first, buf_bytes(&w->out));
    CHECK(bytes_eq(buf_bytes(&first), buf_bytes(&w->out)));
}

static void write_script(struct buf *out, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buf_append_cstr(out, pieces[data[i] % (sizeof(pieces) / sizeof(pieces[0]))]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct script_vm *vm; /* goes on, as in the server, while it is good */
    struct buf text;
    if (size == 0)
        return 0;
    if (vm == NULL)
        vm = script_vm_new(LIMIT);
    CHECK(vm != NULL);
    struct world w = {.vm = vm, .proto = data[0] & 1 ? 3 : 2, .pauses = (data[0] & 2) != 0};
    buf_init(&text);
    buf_init(&w.out);
    if (data[0] & 4)
        buf_append(&text, data + 1, size - 1);
    else
        write_script(&text, data + 1, size - 1);
    eval(&w, buf_bytes(&text));
    if (script_vm_good(vm))
        look(&w);
    if (!script_vm_good(vm)) {
        script_vm_free(vm);
        vm = NULL;
    }
    for (int i = 0; i < w.nkeys; i++) {
        value_unref(w.keys[i].value);
        buf_release(&w.names[i]);
    }
    buf_release(&text);
    buf_release(&w.out);
    return 0;
}
