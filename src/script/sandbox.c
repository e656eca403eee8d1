/* sandbox: what a script finds among its globals, and what it cannot do with them.
 *
 * The tables that scripts share (the globals, the libraries) are behind empty ones: reads go
 * through
 * `__index` to what is there, writes are errors. Functions of Lua's libraries that write to a table
 * without asking its metatable look first. */
#include <math.h>
#include <string.h>

#include "script/internal.h"

#include <lua-bitop.h>

enum { BIG_SORT = 10000 };

static const char readonly_text[] = "Attempt to modify a readonly table";
static const char globals_name[] = "respgres.globals";

/* ---- tables that are read-only ---- */

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "%s", readonly_text);
}

/* In the place of what is on the top, an empty table through which it can be read. */
static void protect(lua_State *L)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* Is it such a one? Then what is behind it is pushed. */
static bool push_behind(lua_State *L, int i)
{
    if (!lua_istable(L, i) || !lua_getmetatable(L, i))
        return false;
    lua_pushliteral(L, "__newindex");
    lua_rawget(L, -2);
    bool is = lua_tocfunction(L, -1) == refuse_write;
    lua_pop(L, 1);
    if (is) {
        lua_pushliteral(L, "__index");
        lua_rawget(L, -2);
        lua_remove(L, -2);
        return true;
    }
    lua_pop(L, 1);
    return false;
}

/* In the function that is called; no place is named, as in Redis. */
static void refuse_protected(lua_State *L)
{
    if (!push_behind(L, 1))
        return;
    lua_pushstring(L, readonly_text);
    lua_error(L);
}

/* A library's function that changes its first argument, or takes time by its length. */
static int guarded(lua_State *L)
{
    refuse_protected(L);
    if (lua_istable(L, 1))
        vm_charge(L, lua_objlen(L, 1) / 8 + 1);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int less(lua_State *L)
{
    vm_charge(L, 1);
    lua_pushboolean(L, lua_lessthan(L, 1, 2));
    return 1;
}

/* A large one is to be interrupted: comparing in Lua's own way runs no instructions. */
static int guarded_sort(lua_State *L)
{
    refuse_protected(L);
    if (lua_istable(L, 1) && lua_objlen(L, 1) > BIG_SORT && lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        lua_pushcfunction(L, less);
    }
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static void guard(lua_State *L, const char *name, lua_CFunction by)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, by, 1);
    lua_setfield(L, -2, name);
}

/* Reads of what is behind. */
static int base_rawget(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    if (push_behind(L, 1))
        lua_replace(L, 1);
    lua_rawget(L, 1);
    return 1;
}

/* It may go over many empty places in one call. */
static int base_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    vm_charge(L, 20);
    if (push_behind(L, 1))
        lua_replace(L, 1);
    if (lua_next(L, 1))
        return 2;
    lua_pushnil(L);
    return 1;
}

static int base_pairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushvalue(L, lua_upvalueindex(1)); /* next */
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* ---- errors that must not be kept ---- */

static int base_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    if (status != 0 && vm_is_stopping(L))
        return lua_error(L);
    if (status != 0 &&
        lua_istable(L, -1)) { /* as in Redis: of an error's table only the text is told */
        lua_getfield(L, -1, "err");
        if (lua_isstring(L, -1))
            lua_replace(L, -2);
    }
    lua_pushboolean(L, status == 0);
    lua_insert(L, 1);
    return lua_gettop(L);
}

/* An error that a hook has raised finds hooks off: then a handler could not be interrupted. */
static int call_handler(lua_State *L)
{
    if (vm_is_stopping(L))
        return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int base_xpcall(lua_State *L)
{
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    lua_pushcclosure(L, call_handler, 1);
    lua_insert(L, 1); /* the handler, below the function */
    int status = lua_pcall(L, 0, LUA_MULTRET, 1);
    if (status != 0 && vm_is_stopping(L))
        return lua_error(L);
    lua_pushboolean(L, status == 0);
    lua_replace(L, 1);
    return lua_gettop(L);
}

/* ---- coroutines ---- */

static const char *why_not_resumable(lua_State *L, lua_State *co)
{
    lua_Debug ar;
    if (L == co)
        return "cannot resume running coroutine";
    if (lua_status(co) == LUA_YIELD)
        return NULL;
    if (lua_status(co) != 0)
        return "cannot resume dead coroutine";
    if (lua_getstack(co, 0, &ar) > 0)
        return "cannot resume normal coroutine";
    return lua_gettop(co) == 0 ? "cannot resume dead coroutine" : NULL;
}

/* Results or an error on the stack: their number, or -1. */
static int resume(lua_State *L, lua_State *co, int nargs)
{
    const char *why = why_not_resumable(L, co);
    if (!lua_checkstack(co, nargs))
        luaL_error(L, "too many arguments to resume");
    if (why != NULL) {
        lua_pushstring(L, why);
        return -1;
    }
    vm_charge(L, 500); /* a switch begins the count of instructions anew */
    lua_xmove(L, co, nargs);
    lua_setlevel(L, co);
    lua_State *before = vm_switch(L, co);
    int status = lua_resume(co, nargs);
    vm_switch(L, before);
    if (status != 0 && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return vm_is_stopping(L) ? lua_error(L) : -1;
    }
    int n = lua_gettop(co);
    if (!lua_checkstack(L, n + 1))
        luaL_error(L, "too many results to resume");
    lua_xmove(co, L, n);
    return n;
}

static int co_resume(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argcheck(L, co != NULL, 1, "coroutine expected");
    int n = resume(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    lua_insert(L, n >= 0 ? -(n + 1) : -2);
    return n >= 0 ? n + 1 : 2;
}

static int wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = resume(L, co, lua_gettop(L));
    if (n >= 0)
        return n;
    if (lua_isstring(L, -1)) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int co_wrap(lua_State *L)
{
    luaL_argcheck(L, lua_isfunction(L, 1) && !lua_iscfunction(L, 1), 1, "Lua function expected");
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

/* ---- code from text ---- */

/* Bytecode can do anything: it is no text. */
static int load_text(lua_State *L, struct bytes s, const char *name)
{
    vm_charge(L, s.len / 4);
    if (s.len > 0 && s.data[0] == LUA_SIGNATURE[0]) {
        lua_pushnil(L);
        lua_pushfstring(L, "%s: bytecode is not loaded", name);
        return 2;
    }
    if (luaL_loadbuffer(L, s.data, s.len, name) == 0)
        return 1;
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

static int base_loadstring(lua_State *L)
{
    struct bytes s;
    s.data = luaL_checklstring(L, 1, &s.len);
    return load_text(L, s, luaL_optstring(L, 2, s.data));
}

static int base_load(lua_State *L)
{
    const char *name = luaL_optstring(L, 2, "=(load)");
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 2);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (;;) {
        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        if (lua_isnil(L, -1) || (lua_isstring(L, -1) && lua_objlen(L, -1) == 0)) {
            lua_pop(L, 1);
            break;
        }
        if (!lua_isstring(L, -1)) {
            lua_pushnil(L);
            lua_pushliteral(L, "reader function must return a string");
            return 2;
        }
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    struct bytes s;
    s.data = lua_tolstring(L, -1, &s.len);
    return load_text(L, s, name);
}

/* ---- others ---- */

/* Whether and when memory is collected is the state's: a script that changes it is the last there.
 */
static int base_collectgarbage(lua_State *L)
{
    const char *what = luaL_optstring(L, 1, "collect");
    bool harmless = strcmp(what, "collect") == 0 || strcmp(what, "count") == 0;
    if (!harmless)
        vm_taint(L);
    if (strcmp(what, "count") != 0)
        vm_charge(L, (size_t)lua_gc(L, LUA_GCCOUNT, 0) + 1);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int string_rep(lua_State *L)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    int n = luaL_checkint(L, 2);
    if (n <= 0 || len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (len > vm_memory_limit(L) / (size_t)n)
        return vm_stop(L, SCRIPT_STOP_MEMORY);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (n-- > 0)
        luaL_addlstring(&b, s, len);
    luaL_pushresult(&b);
    return 1;
}

/* The generator of drand48(3), as in Redis. */
static int32_t next_random(uint64_t *x)
{
    *x = (*x * UINT64_C(0x5DEECE66D) + 0xB) & ((UINT64_C(1) << 48) - 1);
    return (int32_t)(*x >> 17);
}

static void seed(uint64_t *x, int32_t s)
{
    *x = ((uint64_t)(uint32_t)s << 16) | 0x330E;
}

static int math_random(lua_State *L)
{
    lua_Number r = (lua_Number)(next_random(vm_random(L)) % INT32_MAX) / (lua_Number)INT32_MAX;
    int low = 1, high;
    switch (lua_gettop(L)) {
    case 0:
        lua_pushnumber(L, r);
        return 1;
    case 1:
        high = luaL_checkint(L, 1);
        luaL_argcheck(L, 1 <= high, 1, "interval is empty");
        lua_pushnumber(L, floor(r * high) + 1);
        return 1;
    case 2:
        low = luaL_checkint(L, 1);
        high = luaL_checkint(L, 2);
        luaL_argcheck(L, low <= high, 2, "interval is empty");
        lua_pushnumber(L, floor(r * ((lua_Number)high - low + 1)) + low);
        return 1;
    default:
        return luaL_error(L, "wrong number of arguments");
    }
}

static int math_randomseed(lua_State *L)
{
    seed(vm_random(L), (int32_t)luaL_checkint(L, 1));
    return 0;
}

/* ---- opening ---- */

static void open(lua_State *L, lua_CFunction library, const char *name)
{
    lua_pushcfunction(L, library);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

static void set_function(lua_State *L, const char *name, lua_CFunction f)
{
    lua_pushcfunction(L, f);
    lua_setfield(L, -2, name);
}

static void open_string(lua_State *L)
{
    lua_getfield(L, LUA_GLOBALSINDEX, "string");
    set_function(L, "find", pattern_find);
    set_function(L, "match", pattern_match);
    set_function(L, "gmatch", pattern_gmatch);
    set_function(L, "gfind", pattern_gmatch);
    set_function(L, "gsub", pattern_gsub);
    set_function(L, "rep", string_rep);
    /* ("x"):rep goes to it, and nobody gets hold of the metatable. */
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
    protect(L);
}

static void open_table(lua_State *L)
{
    static const char *const names[] = {"concat", "foreach", "foreachi", "getn",
                                        "insert", "maxn",    "remove",   "setn"};
    lua_getfield(L, LUA_GLOBALSINDEX, "table");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        guard(L, names[i], guarded);
    guard(L, "sort", guarded_sort);
    protect(L);
}

static void open_math(lua_State *L)
{
    lua_getfield(L, LUA_GLOBALSINDEX, "math");
    set_function(L, "random", math_random);
    set_function(L, "randomseed", math_randomseed);
    protect(L);
}

static void open_coroutine(lua_State *L)
{
    lua_getfield(L, LUA_GLOBALSINDEX, "coroutine");
    set_function(L, "resume", co_resume);
    set_function(L, "wrap", co_wrap);
    protect(L);
}

static void open_bit(lua_State *L)
{
    lua_pushcfunction(L, luaopen_bit);
    lua_call(L, 0, 1);
    protect(L);
}

/* Into the table on the top, from Lua's own globals. */
static void take_base(lua_State *L)
{
    static const char *const as_they_are[] = {"assert",   "error",    "gcinfo", "getmetatable",
                                              "ipairs",   "rawequal", "select", "tonumber",
                                              "tostring", "type",     "unpack", "_VERSION"};
    static const char *const guarded_names[] = {"rawset", "setmetatable"};
    for (size_t i = 0; i < sizeof(as_they_are) / sizeof(as_they_are[0]); i++) {
        lua_getfield(L, LUA_GLOBALSINDEX, as_they_are[i]);
        lua_setfield(L, -2, as_they_are[i]);
    }
    for (size_t i = 0; i < sizeof(guarded_names) / sizeof(guarded_names[0]); i++) {
        lua_getfield(L, LUA_GLOBALSINDEX, guarded_names[i]);
        lua_pushcclosure(L, guarded, 1);
        lua_setfield(L, -2, guarded_names[i]);
    }
    lua_getfield(L, LUA_GLOBALSINDEX, "collectgarbage");
    lua_pushcclosure(L, base_collectgarbage, 1);
    lua_setfield(L, -2, "collectgarbage");
    set_function(L, "pcall", base_pcall);
    set_function(L, "xpcall", base_xpcall);
    set_function(L, "load", base_load);
    set_function(L, "loadstring", base_loadstring);
    set_function(L, "rawget", base_rawget);
    set_function(L, "next", base_next);
    lua_pushcfunction(L, base_next);
    lua_pushcclosure(L, base_pairs, 1);
    lua_setfield(L, -2, "pairs");
}

static int no_such_global(lua_State *L)
{
    return luaL_error(L, "Script attempted to access nonexistent global variable '%s'",
                      lua_tostring(L, 2) != NULL ? lua_tostring(L, 2) : "?");
}

static void take_libraries(lua_State *L)
{
    open_string(L);
    lua_setfield(L, -2, "string");
    open_table(L);
    lua_setfield(L, -2, "table");
    open_math(L);
    lua_setfield(L, -2, "math");
    open_coroutine(L);
    lua_setfield(L, -2, "coroutine");
    open_bit(L);
    lua_setfield(L, -2, "bit");
    json_open(L);
    protect(L);
    lua_setfield(L, -2, "cjson");
    redis_api_open(L);
    protect(L);
    lua_setfield(L, -2, "redis");
}

void sandbox_open(lua_State *L)
{
    open(L, luaopen_base, "");
    open(L, luaopen_table, LUA_TABLIBNAME);
    open(L, luaopen_string, LUA_STRLIBNAME);
    open(L, luaopen_math, LUA_MATHLIBNAME);
    lua_newtable(L); /* the globals */
    take_base(L);
    take_libraries(L);
    lua_newtable(L);
    set_function(L, "__index", no_such_global);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, globals_name);
    lua_pushvalue(L, -1);
    protect(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "_G");
    lua_replace(L, LUA_GLOBALSINDEX);
    lua_pop(L, 1);
}

void sandbox_set(lua_State *L, const char *name)
{
    lua_getfield(L, LUA_REGISTRYINDEX, globals_name);
    lua_insert(L, -2);
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

void sandbox_seed(lua_State *L, int32_t s)
{
    seed(vm_random(L), s);
}
