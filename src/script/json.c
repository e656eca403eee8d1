/* json: the library cjson, Debian's. It writes into memory of its own, and ends the process where
 * that cannot grow: so what a value will take is looked at before. Its settings are the state's:
 * whoever changes one has the last run on that state. */
#include "script/internal.h" /* Lua first: the next one needs its names */

#include <lua-cjson.h>

enum { MAX_DEPTH = 1500, DECODED = 48 /* bytes that a byte of JSON may become */ };

struct measure {
    size_t bytes;
    size_t limit;
};

static void measure_value(lua_State *L, struct measure *m, int depth);

static void add(lua_State *L, struct measure *m, size_t n)
{
    m->bytes += n;
    vm_charge(L, 1 + n / 16);
    if (m->bytes > m->limit)
        vm_stop(L, SCRIPT_STOP_MEMORY);
}

/* An array's holes are written, too. */
static void measure_table(lua_State *L, struct measure *m, int depth)
{
    lua_Number last = 0;
    if (depth > MAX_DEPTH || !lua_checkstack(L, 4))
        return; /* it will be refused */
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) == LUA_TNUMBER && lua_tonumber(L, -2) > last)
            last = lua_tonumber(L, -2);
        measure_value(L, m, depth + 1);
        lua_pop(L, 1);
        measure_value(L, m, depth + 1); /* the key */
    }
    add(L, m, last < 1e15 ? (size_t)last * 5 : m->limit);
}

/* Of the value on the top, which stays. */
static void measure_value(lua_State *L, struct measure *m, int depth)
{
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        add(L, m, lua_objlen(L, -1) * 6 + 3);
        break;
    case LUA_TTABLE:
        add(L, m, 3);
        measure_table(L, m, depth);
        break;
    default:
        add(L, m, 40);
        break;
    }
}

/* The first upvalue of all of them is cjson's own. */
static int encode(lua_State *L)
{
    struct measure m = {0, vm_memory_limit(L)};
    if (lua_gettop(L) == 1)
        measure_value(L, &m, 0);
    return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

/* It must not be interrupted by a lack of memory, which would leave its buffer behind. So the limit
 * waits until it has ended, and the text is no longer than leaves that sound. */
static int decode(lua_State *L)
{
    size_t len = lua_gettop(L) == 1 && lua_isstring(L, 1) ? lua_objlen(L, 1) : 0;
    if (len > vm_memory_limit(L) / 16)
        return vm_stop(L, SCRIPT_STOP_MEMORY);
    vm_charge(L, len / 4 + 1);
    vm_allow(L, len * DECODED + 4096);
    int n = lua_tocfunction(L, lua_upvalueindex(2))(L);
    vm_allow(L, 0);
    return n;
}

static int setting(lua_State *L)
{
    if (lua_gettop(L) > 0)
        vm_taint(L);
    return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

static void wrap(lua_State *L, const char *name, lua_CFunction by)
{
    lua_getfield(L, -1, name);
    if (lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1) != NULL) {
        lua_insert(L, -2);
        lua_pushcclosure(L, by, 2);
        lua_setfield(L, -2, name);
    } else {
        lua_pop(L, 1);
    }
}

static int json_new(lua_State *L)
{
    lua_settop(L, 0);
    json_open(L);
    return 1;
}

void json_open(lua_State *L)
{
    static const char *const settings[] = {"encode_sparse_array",   "encode_max_depth",
                                           "decode_max_depth",      "encode_number_precision",
                                           "encode_keep_buffer",    "encode_invalid_numbers",
                                           "decode_invalid_numbers"};
    lua_pushcfunction(L, luaopen_cjson);
    lua_call(L, 0, 1);
    wrap(L, "encode", encode);
    wrap(L, "decode", decode);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        wrap(L, settings[i], setting);
    lua_pushcfunction(L, json_new);
    lua_setfield(L, -2, "new");
}
