/* convert: replies to Lua values, and Lua values to replies, by Redis' rules.
 * Source: https://redis.io/docs/latest/develop/programmability/lua-api/#data-type-conversion */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "script/internal.h"

/* ---- replies to Lua ---- */

struct cursor {
    const char *at;
    const char *end;
};

/* The rest of the line behind the type's byte. */
static bool line(struct cursor *c, struct bytes *out)
{
    const char *cr = memchr(c->at, '\r', (size_t)(c->end - c->at));
    if (cr == NULL || c->end - cr < 2)
        return false;
    *out = bytes_of(c->at, (size_t)(cr - c->at));
    c->at = cr + 2;
    return true;
}

static bool line_int(struct cursor *c, int64_t *v)
{
    struct bytes s;
    return line(c, &s) && num_int64(s, v);
}

static bool blob(struct cursor *c, int64_t len, struct bytes *out)
{
    if (len < 0 || c->end - c->at < 2 || len > c->end - c->at - 2)
        return false;
    *out = bytes_of(c->at, (size_t)len);
    c->at += len + 2;
    return true;
}

static void set_field(lua_State *L, const char *name, struct bytes s)
{
    lua_pushlstring(L, s.data, s.len);
    lua_setfield(L, -2, name);
}

static void push_error(lua_State *L, struct bytes text)
{
    lua_pushliteral(L, "-");
    lua_pushlstring(L, text.data, text.len);
    lua_concat(L, 2);
    struct bytes all;
    all.data = lua_tolstring(L, -1, &all.len);
    redis_push_error(L, all);
    lua_remove(L, -2);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "ignore_error_stats_update");
}

static bool push_value(lua_State *L, struct cursor *c);

static bool push_array(lua_State *L, struct cursor *c, int64_t n)
{
    lua_createtable(L, n > 0 && n < c->end - c->at ? (int)(n < 1 << 20 ? n : 1 << 20) : 0, 0);
    for (int64_t i = 1; i <= n; i++) {
        if (!push_value(L, c))
            return false;
        lua_rawseti(L, -2, (int)i);
    }
    return true;
}

/* {map = {...}} and {set = {member = true}}. A null is no key of a table: it is left out. */
static bool push_pairs(lua_State *L, struct cursor *c, int64_t n, bool map)
{
    lua_newtable(L);
    lua_newtable(L);
    for (int64_t i = 0; i < n; i++) {
        if (!push_value(L, c))
            return false;
        if (!map)
            lua_pushboolean(L, 1);
        else if (!push_value(L, c))
            return false;
        if (lua_isnil(L, -2))
            lua_pop(L, 2);
        else
            lua_rawset(L, -3);
    }
    lua_setfield(L, -2, map ? "map" : "set");
    return true;
}

static bool push_double(lua_State *L, struct bytes s)
{
    char text[64];
    if (s.len >= sizeof(text))
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    lua_newtable(L);
    lua_pushnumber(L, strtod(text, NULL));
    lua_setfield(L, -2, "double");
    return true;
}

static bool push_verbatim(lua_State *L, struct bytes s)
{
    if (s.len < 4)
        return false;
    lua_newtable(L);
    lua_newtable(L);
    set_field(L, "string", bytes_of(s.data + 4, s.len - 4));
    set_field(L, "format", bytes_of(s.data, 3));
    lua_setfield(L, -2, "verbatim_string");
    return true;
}

static bool push_text(lua_State *L, char type, struct bytes s)
{
    switch (type) {
    case '+':
        lua_newtable(L);
        set_field(L, "ok", s);
        return true;
    case '-':
        push_error(L, s);
        return true;
    case '(':
        lua_newtable(L);
        set_field(L, "big_number", s);
        return true;
    case ',':
        return push_double(L, s);
    case '#':
        lua_pushboolean(L, s.len == 1 && s.data[0] == 't');
        return true;
    default: /* '_' */
        lua_pushnil(L);
        return true;
    }
}

static bool push_counted(lua_State *L, struct cursor *c, char type, int64_t n)
{
    struct bytes s;
    switch (type) {
    case ':':
        lua_pushnumber(L, (lua_Number)n);
        return true;
    case '$':
    case '=':
        if (n < 0) {
            lua_pushboolean(L, 0);
            return true;
        }
        if (!blob(c, n, &s))
            return false;
        vm_charge(L, VM_STRING_CHARGE(s.len));
        if (type == '=')
            return push_verbatim(L, s);
        lua_pushlstring(L, s.data, s.len);
        return true;
    case '%':
    case '~':
        return push_pairs(L, c, n, type == '%');
    default: /* '*', and '>', which no command answers */
        if (n >= 0)
            return push_array(L, c, n);
        lua_pushboolean(L, 0);
        return true;
    }
}

static bool push_value(lua_State *L, struct cursor *c)
{
    luaL_checkstack(L, 8, "too many nested replies");
    vm_charge(L, 10);
    if (c->at == c->end)
        return false;
    char type = *c->at++;
    struct bytes s;
    int64_t n;
    if (strchr("+-(,#_", type) != NULL)
        return type != '\0' && line(c, &s) && push_text(L, type, s);
    if (strchr(":$=%~*>", type) == NULL || !line_int(c, &n))
        return false;
    return push_counted(L, c, type, n);
}

bool convert_to_lua(lua_State *L, struct bytes reply)
{
    struct cursor c = {reply.data, reply.data + reply.len};
    return push_value(L, &c) && c.at == c.end;
}

/* ---- Lua to replies ---- */

struct out {
    struct reply *r;
    size_t from;
    size_t limit;
};

static void write_value(lua_State *L, struct out *o);

/* As C's conversion does it on the machines that Redis runs on. */
static int64_t to_int64(lua_Number v)
{
    return v >= -9223372036854775808.0 && v < 9223372036854775808.0 ? (int64_t)v : INT64_MIN;
}

static void append_line(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf_append_u8(out, s[i] == '\r' || s[i] == '\n' ? ' ' : (uint8_t)s[i]);
    buf_append_cstr(out, "\r\n");
}

/* Behind its field's name: is it a string? Then it ends at its first NUL. */
static const char *string_field(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    if (lua_type(L, -1) == LUA_TSTRING)
        return lua_tostring(L, -1);
    lua_pop(L, 1);
    return NULL;
}

static bool table_field(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    if (lua_istable(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

static bool write_text(lua_State *L, struct out *o)
{
    const char *s = string_field(L, "err");
    if (s != NULL) {
        size_t len = strlen(s);
        while (len > 0 && (s[len - 1] == '\r' || s[len - 1] == '\n'))
            len--;
        o->r->is_error = true;
        buf_append_u8(o->r->out, '-');
        append_line(o->r->out, s, len);
        return true;
    }
    s = string_field(L, "ok");
    if (s == NULL)
        return false;
    buf_append_u8(o->r->out, '+');
    append_line(o->r->out, s, strlen(s));
    return true;
}

static bool write_number(lua_State *L, struct out *o)
{
    lua_pushliteral(L, "double");
    lua_rawget(L, -2);
    if (lua_type(L, -1) == LUA_TNUMBER) {
        reply_double(o->r, lua_tonumber(L, -1));
        return true;
    }
    lua_pop(L, 1);
    const char *s = string_field(L, "big_number");
    if (s == NULL)
        return false;
    /* CR and LF become blanks in RESP2, too. */
    if (o->r->proto < 3)
        buf_printf(o->r->out, "$%zu\r\n", strlen(s));
    else
        buf_append_u8(o->r->out, '(');
    append_line(o->r->out, s, strlen(s));
    return true;
}

static bool write_verbatim(lua_State *L, struct out *o)
{
    size_t len;
    if (!table_field(L, "verbatim_string"))
        return false;
    lua_getfield(L, -1, "string");
    lua_getfield(L, -2, "format");
    bool is = lua_type(L, -1) == LUA_TSTRING && lua_type(L, -2) == LUA_TSTRING;
    if (is) {
        const char *format = lua_tostring(L, -1); /* ends at its first NUL, as Redis' does */
        const char *s = lua_tolstring(L, -2, &len);
        char three[4] = "   ";
        memcpy(three, format, strnlen(format, 3));
        reply_verbatim(o->r, three, bytes_of(s, len));
    }
    lua_pop(L, is ? 2 : 3);
    return is;
}

static size_t count_pairs(lua_State *L)
{
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        vm_charge(L, 20);
        n++;
    }
    return n;
}

static bool write_pairs(lua_State *L, struct out *o, bool map)
{
    if (!table_field(L, map ? "map" : "set"))
        return false;
    size_t n = count_pairs(L);
    if (map)
        reply_map(o->r, n);
    else
        reply_set(o->r, n);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2); /* the key stays, for the next step */
        write_value(L, o);
        if (map)
            write_value(L, o);
        else
            lua_pop(L, 1);
    }
    return true;
}

static void write_array(lua_State *L, struct out *o)
{
    size_t n = 0;
    for (;; n++) {
        lua_rawgeti(L, -1, (int)n + 1);
        bool end = lua_isnil(L, -1);
        lua_pop(L, 1);
        if (end)
            break;
        vm_charge(L, 5);
    }
    reply_array(o->r, n);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, (int)i);
        write_value(L, o);
    }
}

static void write_table(lua_State *L, struct out *o)
{
    if (write_text(L, o) || write_number(L, o) || write_pairs(L, o, true) ||
        write_pairs(L, o, false) || write_verbatim(L, o)) {
        lua_pop(L, 1); /* the field */
        return;
    }
    write_array(L, o);
}

static void write_scalar(lua_State *L, struct out *o)
{
    size_t len;
    switch (lua_type(L, -1)) {
    case LUA_TSTRING: {
        const char *s = lua_tolstring(L, -1, &len);
        vm_charge(L, len / 16);
        reply_bulk(o->r, bytes_of(s, len));
        break;
    }
    case LUA_TBOOLEAN:
        /* A script that speaks RESP2 with the server has no booleans: false is null, true is 1. */
        if (vm_proto(L) >= 3)
            reply_bool(o->r, lua_toboolean(L, -1));
        else if (lua_toboolean(L, -1))
            reply_int(o->r, 1);
        else
            reply_null(o->r);
        break;
    case LUA_TNUMBER:
        reply_int(o->r, to_int64(lua_tonumber(L, -1)));
        break;
    default:
        reply_null(o->r);
        break;
    }
}

static void write_value(lua_State *L, struct out *o)
{
    vm_charge(L, 10);
    if (o->r->out->len - o->from > o->limit)
        vm_stop(L, SCRIPT_STOP_MEMORY);
    if (!lua_checkstack(L, 4)) {
        reply_error(o->r, "ERR reached lua stack limit");
    } else if (lua_istable(L, -1)) {
        write_table(L, o);
    } else {
        write_scalar(L, o);
    }
    lua_pop(L, 1);
}

void convert_to_reply(lua_State *L, struct reply *r, size_t limit)
{
    struct out o = {r, r->out->len, limit};
    write_value(L, &o);
}
