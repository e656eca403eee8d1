/* vm: one Lua state, its memory, and the run of a script on it.
 *
 * A script asks its host now and then how it is to go on (a tick): after so many instructions, so much
 * work that executes none (vm_charge), and so many allocations. What these cost differs by orders of
 * magnitude: Lua keeps every string once, in a table whose hash looks at some 32 bytes of a string, so
 * among many long strings that are alike each new one is compared with very many. So the pace is kept by
 * the host's clock: where a tick comes late, the next ones come after less work.
 *
 * An allocation is in the middle of whatever Lua is doing. There a script may pause, since nobody else
 * touches its state meanwhile; it cannot end there, and does so at its next instruction or charge. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "script/fiber.h"
#include "script/internal.h"

enum {
    FULL_PACE = 1000, /* instructions between ticks, where they are quick */
    PACE_CHARGE = 20, /* charged for one of them */
    PACE_FRESH = 4,   /* allocations count as so many of them */
    FRESH_BYTES = 4096, /* count as an allocation */
    TICK_EARLY_US = 250,
    TICK_LATE_US = 2000,
    TICK_BYTES = 4 << 20,   /* allocated */
    STACK_BYTES = 16 << 20, /* of addresses; it has memory where it is used */
    MAX_FUNCTIONS = 2000,
};

struct script_vm {
    lua_State *L;
    lua_State *current; /* the coroutine that runs */
    struct fiber *fiber;
    size_t used;
    size_t limit;
    size_t allocated;   /* since the last tick */
    size_t charged;     /* since the last tick */
    size_t fresh;       /* allocations since the host was last asked */
    size_t pace;        /* 1 to FULL_PACE */
    int64_t asked_us;   /* when the host was last asked */
    bool deaf;          /* the host is not asked: what is under way must not pause */
    size_t collected;   /* `used` after the last full collection */
    int functions;      /* compiled and kept */
    size_t extra;       /* allowed above the limit */
    bool unlimited;     /* while it is made */
    bool out_of_memory; /* the run cannot go on */
    bool tainted;
    bool in_call;
    enum script_stop stop;
    const struct script_host *host;
    int proto;
    uint64_t random;
    struct buf reply;
    struct bytes *argv;
    int argv_cap;
};

static const char functions_name[] = "respgres.functions";

struct script_vm *vm_of(lua_State *L)
{
    void *vm;
    lua_getallocf(L, &vm);
    return vm;
}

/* ---- interrupting ---- */

static void on_count(lua_State *L, lua_Debug *ar);

/* At the next instruction: lua_sethook may be called at any moment. */
static void interrupt(struct script_vm *vm)
{
    if (vm->current != NULL)
        lua_sethook(vm->current, on_count, LUA_MASKCOUNT, 1);
}

/* NULL: it is not told in these words. */
static const char *stop_text(enum script_stop stop)
{
    return stop == SCRIPT_STOP_KILLED ? "Script killed by user with SCRIPT KILL..."
           : stop == SCRIPT_STOP_TIME ? "Script ran for longer than script-time-limit."
                                      : NULL;
}

static int raise_stop(lua_State *L)
{
    const char *text = stop_text(vm_of(L)->stop);
    if (text != NULL)
        redis_push_error(L, bytes_cstr(text));
    else
        lua_pushliteral(L, "the script is stopped");
    return lua_error(L);
}

int vm_stop(lua_State *L, enum script_stop why)
{
    struct script_vm *vm = vm_of(L);
    if (vm->stop == SCRIPT_GO)
        vm->stop = why;
    interrupt(vm);
    return raise_stop(L);
}

bool vm_is_stopping(lua_State *L)
{
    const struct script_vm *vm = vm_of(L);
    return vm->stop != SCRIPT_GO || vm->out_of_memory;
}

/* Lua 5.1 does not collect because an allocation fails. */
static void collect(struct script_vm *vm, lua_State *L)
{
    if (vm->used < vm->limit / 2 || vm->used < vm->collected + vm->limit / 8)
        return;
    lua_gc(L, LUA_GCCOLLECT, 0);
    vm->collected = vm->used;
}

/* Up slowly and down at once: quick work is often followed by more that is slow. */
static void keep_pace(struct script_vm *vm, int64_t took_us)
{
    size_t before = vm->pace;
    if (took_us > TICK_LATE_US)
        vm->pace = vm->pace * TICK_LATE_US / (size_t)took_us;
    else if (took_us < TICK_EARLY_US)
        vm->pace += 4;
    vm->pace = vm->pace < 1 ? 1 : vm->pace > FULL_PACE ? FULL_PACE : vm->pace;
    if (vm->pace < before && vm->current != NULL)
        lua_sethook(vm->current, on_count, LUA_MASKCOUNT, (int)vm->pace);
}

/* How is it to go on? Raises no error. */
static void ask_host(struct script_vm *vm)
{
    const struct script_host *host = vm->host;
    vm->fresh = 0;
    if (host == NULL || vm->deaf || vm->stop != SCRIPT_GO || vm->out_of_memory)
        return;
    if (host->now_us != NULL)
        keep_pace(vm, host->now_us(host->arg) - vm->asked_us);
    enum script_stop stop = host->tick(host->arg);
    if (host->now_us != NULL) /* what it was paused for is not its own */
        vm->asked_us = host->now_us(host->arg);
    if (stop == SCRIPT_GO)
        return;
    vm->stop = stop;
    interrupt(vm);
}

static void tick(lua_State *L)
{
    struct script_vm *vm = vm_of(L);
    vm->allocated = 0;
    vm->charged = 0;
    vm->extra = 0; /* an error may have ended what it was for */
    ask_host(vm);
    if (!vm_is_stopping(L) && vm->host != NULL)
        collect(vm, L);
    if (vm_is_stopping(L)) {
        interrupt(vm);
        raise_stop(L);
    }
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    lua_sethook(L, on_count, LUA_MASKCOUNT, (int)vm_of(L)->pace);
    tick(L);
}

void vm_charge(lua_State *L, size_t steps)
{
    struct script_vm *vm = vm_of(L);
    vm->charged += steps;
    if (vm->charged >= vm->pace * PACE_CHARGE)
        tick(L);
}

lua_State *vm_switch(lua_State *L, lua_State *to)
{
    struct script_vm *vm = vm_of(L);
    lua_State *before = vm->current;
    vm->current = to;
    if (to != NULL)
        lua_sethook(to, on_count, LUA_MASKCOUNT, vm_is_stopping(L) ? 1 : (int)vm->pace);
    return before;
}

/* ---- memory ---- */

static void *allocate(void *arg, void *ptr, size_t old, size_t size)
{
    struct script_vm *vm = arg;
    if (size == 0) {
        free(ptr);
        vm->used -= old;
        return NULL;
    }
    bool grows = size > old;
    size_t limit = vm->limit + vm->extra;
    void *p = NULL;
    if (!grows || vm->unlimited || (size - old <= limit && vm->used <= limit - (size - old)))
        p = realloc(ptr, size);
    if (p == NULL) {
        vm->out_of_memory = true;
        interrupt(vm);
        return NULL;
    }
    vm->used += size - old;
    vm->allocated += grows ? size - old : 0;
    vm->fresh += grows ? 1 + (size - old) / FRESH_BYTES : 0;
    if (vm->fresh * PACE_FRESH >= vm->pace)
        ask_host(vm);
    if (vm->allocated >= TICK_BYTES)
        interrupt(vm);
    return p;
}

/* ---- small things ---- */

void vm_taint(lua_State *L)
{
    vm_of(L)->tainted = true;
}

const struct script_host *vm_host(lua_State *L)
{
    CHECK(vm_of(L)->host != NULL);
    return vm_of(L)->host;
}

size_t vm_memory_limit(lua_State *L)
{
    return vm_of(L)->limit;
}

void vm_allow(lua_State *L, size_t bytes)
{
    struct script_vm *vm = vm_of(L);
    vm->extra = bytes;
    if (bytes == 0 && vm->used > vm->limit)
        vm_stop(L, SCRIPT_STOP_MEMORY);
}

int vm_proto(lua_State *L)
{
    return vm_of(L)->proto;
}

void vm_set_proto(lua_State *L, int proto)
{
    vm_of(L)->proto = proto;
}

struct buf *vm_reply_buf(lua_State *L)
{
    return &vm_of(L)->reply;
}

struct bytes *vm_argv(lua_State *L, int argc)
{
    struct script_vm *vm = vm_of(L);
    if (argc > vm->argv_cap) {
        vm->argv = mem_realloc(vm->argv, (size_t)argc * sizeof(*vm->argv));
        vm->argv_cap = argc;
    }
    return vm->argv;
}

bool vm_enter_call(lua_State *L)
{
    struct script_vm *vm = vm_of(L);
    if (vm->in_call)
        return false;
    vm->in_call = true;
    return true;
}

void vm_leave_call(lua_State *L)
{
    vm_of(L)->in_call = false;
}

uint64_t *vm_random(lua_State *L)
{
    return &vm_of(L)->random;
}

/* ---- making and ending ---- */

static int set_up(lua_State *L)
{
    sandbox_open(L);
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, functions_name);
    return 0;
}

struct script_vm *script_vm_new(size_t memory_limit)
{
    struct script_vm *vm = mem_zalloc(sizeof(*vm));
    vm->limit = memory_limit;
    vm->pace = FULL_PACE;
    vm->unlimited = true;
    buf_init(&vm->reply);
    vm->fiber = fiber_new(STACK_BYTES);
    vm->L = vm->fiber != NULL ? lua_newstate(allocate, vm) : NULL;
    if (vm->L == NULL || lua_cpcall(vm->L, set_up, NULL) != 0) {
        script_vm_free(vm);
        return NULL;
    }
    vm->unlimited = false;
    return vm;
}

void script_vm_free(struct script_vm *vm)
{
    if (vm == NULL)
        return;
    if (vm->L != NULL)
        lua_close(vm->L);
    fiber_free(vm->fiber);
    buf_release(&vm->reply);
    mem_free(vm->argv);
    mem_free(vm);
}

size_t script_vm_memory(const struct script_vm *vm)
{
    return vm->used;
}

bool script_vm_good(const struct script_vm *vm)
{
    return !vm->tainted && vm->used < vm->limit / 4;
}

bool script_vm_run(struct script_vm *vm, void (*body)(void *arg), void *arg)
{
    return fiber_start(vm->fiber, body, arg);
}

bool script_vm_resume(struct script_vm *vm)
{
    return fiber_resume(vm->fiber);
}

void script_vm_pause(struct script_vm *vm)
{
    fiber_pause(vm->fiber);
}

/* ---- a run ---- */

struct run {
    const struct script_call *call;
    struct reply *r;
};

/* What Redis' own handler makes of an error: a table, with where it was raised. */
static int on_error(lua_State *L)
{
    lua_Debug ar;
    bool found = lua_getstack(L, 1, &ar) != 0 && lua_getinfo(L, "nSl", &ar) != 0;
    if (found && strcmp(ar.what, "C") == 0)
        found = lua_getstack(L, 2, &ar) != 0 && lua_getinfo(L, "nSl", &ar) != 0;
    lua_settop(L, 1);
    if (!lua_istable(L, 1)) {
        lua_getglobal(L, "tostring");
        lua_insert(L, 1);
        lua_call(L, 1, 1);
        lua_newtable(L);
        lua_pushliteral(L, "ERR ");
        lua_pushvalue(L, 1);
        lua_concat(L, 2);
        lua_setfield(L, -2, "err");
        lua_replace(L, 1);
    }
    if (found) {
        lua_pushliteral(L, "source");
        lua_pushstring(L, ar.source);
        lua_rawset(L, 1);
        lua_pushliteral(L, "line");
        lua_pushinteger(L, ar.currentline);
        lua_rawset(L, 1);
    }
    return 1;
}

static const char *text_field(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    const char *s = lua_isstring(L, -1) ? lua_tostring(L, -1) : NULL;
    lua_setfield(L, LUA_REGISTRYINDEX, name); /* lives as long as it is looked at */
    return s;
}

/* The error on the top. */
static void write_error(lua_State *L, const char *sha, struct reply *r)
{
    if (!lua_istable(L, -1)) {
        const char *s = lua_isstring(L, -1) ? lua_tostring(L, -1) : "execution failure";
        reply_errorf(r, "ERR Error running script %s, %.100s", sha, s);
        return;
    }
    const char *err = text_field(L, "err");
    const char *source = text_field(L, "source");
    const char *at = text_field(L, "line");
    if (err == NULL)
        err = "ERR unknown error";
    if (source != NULL && at != NULL)
        reply_errorf(r, "%s script: %s, on %s:%s.", err, sha, source, at);
    else
        reply_errorf(r, "%s", err);
}

/* Pushes the function, or the error. */
static bool compile(lua_State *L, struct bytes body)
{
    unsigned flags;
    size_t skip = 0;
    struct buf error;
    buf_init(&error);
    bool ok = script_shebang(body, &flags, &skip, &error);
    buf_release(&error);
    struct bytes text = skip > 0 ? bytes_of(body.data + skip, body.len - skip) : body;
    if (ok && text.len > 0 && text.data[0] == LUA_SIGNATURE[0]) {
        lua_pushliteral(L, "user_script:1: unexpected symbol near 'char(27)'");
        return false;
    }
    return luaL_loadbuffer(L, text.data, text.len, "@user_script") == 0;
}

static void push_functions(lua_State *L)
{
    struct script_vm *vm = vm_of(L);
    if (vm->functions++ >= MAX_FUNCTIONS) {
        vm->functions = 0;
        lua_newtable(L);
        lua_setfield(L, LUA_REGISTRYINDEX, functions_name);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, functions_name);
}

/* The script's function; false: the error is written. */
static bool push_function(lua_State *L, const char *sha, struct bytes body, struct reply *r)
{
    lua_getfield(L, LUA_REGISTRYINDEX, functions_name);
    lua_getfield(L, -1, sha);
    lua_remove(L, -2);
    if (lua_isfunction(L, -1))
        return true;
    lua_pop(L, 1);
    if (!compile(L, body)) {
        reply_errorf(r, "ERR Error compiling script (new function): %s", lua_tostring(L, -1));
        return false;
    }
    push_functions(L);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, sha);
    lua_pop(L, 1);
    return true;
}

static void set_list(lua_State *L, const char *name, int n, const struct bytes *items)
{
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushlstring(L, items[i].data, items[i].len);
        lua_rawseti(L, -2, i + 1);
        vm_charge(L, VM_STRING_CHARGE(items[i].len));
    }
    sandbox_set(L, name);
}

static int run(lua_State *L)
{
    const struct run *run = lua_touserdata(L, 1);
    lua_settop(L, 0);
    sandbox_seed(L, run->call->seed);
    lua_pushcfunction(L, on_error);
    vm_of(L)->deaf = true; /* the host keeps the body until the first pause */
    bool found = push_function(L, run->call->sha, run->call->body, run->r);
    vm_of(L)->deaf = false;
    if (!found)
        return 0;
    set_list(L, "KEYS", run->call->nkeys, run->call->keys);
    set_list(L, "ARGV", run->call->nargs, run->call->args);
    if (lua_pcall(L, 0, 1, 1) != 0)
        write_error(L, run->call->sha, run->r);
    else
        convert_to_reply(L, run->r, vm_of(L)->limit);
    return 0;
}

/* It has ended outside its function's pcall. */
static void write_end(struct script_vm *vm, const char *sha, struct reply *r)
{
    const char *text = stop_text(vm->stop);
    if (text != NULL)
        reply_errorf(r, "ERR %s script: %s", text, sha);
    else
        reply_errorf(r, "ERR Error running script: %.100s",
                     lua_isstring(vm->L, -1) ? lua_tostring(vm->L, -1) : "execution failure");
}

/* Runs f in a state that is ready; where it cannot end in the usual way, the error is the reply. */
static void protected(struct script_vm *vm, lua_CFunction f, void *arg, const char *sha,
                      struct reply *r)
{
    size_t at = r->out->len;
    vm->stop = SCRIPT_GO;
    vm->out_of_memory = false;
    vm->in_call = false;
    vm->proto = 2;
    vm->charged = vm->allocated = vm->fresh = vm->extra = 0;
    vm->pace = FULL_PACE;
    vm->deaf = false;
    vm->collected = vm->used;
    vm_switch(vm->L, vm->L);
    int status = lua_cpcall(vm->L, f, arg);
    if (vm->out_of_memory || vm->stop == SCRIPT_STOP_MEMORY) {
        r->out->len = at;
        reply_error(r, "ERR Script needs more memory than lua-memory-limit allows");
        vm->tainted = true;
    } else if (status != 0) {
        r->out->len = at;
        write_end(vm, sha, r);
    }
    vm_switch(vm->L, NULL);
    lua_sethook(vm->L, NULL, 0, 0);
    vm->tainted |= vm->stop != SCRIPT_GO;
    lua_settop(vm->L, 0);
}

bool script_eval(struct script_vm *vm, const struct script_call *call,
                 const struct script_host *host, struct reply *r)
{
    struct run arg = {call, r};
    vm->host = host;
    vm->asked_us = host->now_us != NULL ? host->now_us(host->arg) : 0;
    protected(vm, run, &arg, call->sha, r);
    vm->host = NULL;
    return vm->stop == SCRIPT_GO && !vm->out_of_memory;
}

struct compiling {
    const char *sha;
    struct bytes body;
    struct reply *r;
    bool ok;
};

static int compile_only(lua_State *L)
{
    struct compiling *c = lua_touserdata(L, 1);
    lua_settop(L, 0);
    c->ok = push_function(L, c->sha, c->body, c->r);
    return 0;
}

bool script_compile_or_reply(struct script_vm *vm, const char *sha, struct bytes body,
                             struct reply *r)
{
    struct compiling c = {sha, body, r, false};
    size_t at = r->out->len;
    protected(vm, compile_only, &c, sha, r);
    return c.ok && r->out->len == at;
}
