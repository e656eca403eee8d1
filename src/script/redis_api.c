/* redis_api: the table `redis`.
 * Source: https://redis.io/docs/latest/develop/programmability/lua-api/ */
#include <stdio.h>
#include <string.h>

#include "script/internal.h"

enum { REPL_AOF = 1, REPL_REPLICA = 2, REPL_ALL = 3 };

/* ---- errors ---- */

static struct bytes trim(struct bytes s)
{
    while (s.len > 0 && (s.data[0] == '\r' || s.data[0] == '\n'))
        s = bytes_of(s.data + 1, s.len - 1);
    while (s.len > 0 && (s.data[s.len - 1] == '\r' || s.data[s.len - 1] == '\n'))
        s.len--;
    return s;
}

void redis_push_error(lua_State *L, struct bytes text)
{
    struct bytes code = BYTES_LIT("ERR");
    struct bytes message = text;
    if (text.len > 0 && text.data[0] == '-') {
        const char *blank = memchr(text.data, ' ', text.len);
        message = bytes_of(text.data + 1, text.len - 1);
        if (blank != NULL) {
            code = bytes_of(text.data + 1, (size_t)(blank - text.data) - 1);
            message = bytes_of(blank + 1, text.len - (size_t)(blank - text.data) - 1);
        }
    }
    message = trim(message);
    lua_newtable(L);
    lua_pushlstring(L, code.data, code.len);
    lua_pushliteral(L, " ");
    lua_pushlstring(L, message.data, message.len);
    lua_concat(L, 3);
    lua_setfield(L, -2, "err");
}

static int raise(lua_State *L, const char *text)
{
    redis_push_error(L, bytes_cstr(text));
    return lua_error(L);
}

/* ---- calls ---- */

/* Arguments as bytes that live as long as the stack; 0 = an argument is neither string nor number.
 */
static bool take_args(lua_State *L, int argc, struct bytes *argv)
{
    for (int i = 0; i < argc; i++) {
        if (lua_type(L, i + 1) == LUA_TNUMBER) {
            char text[64];
            int n = snprintf(text, sizeof(text), "%.17g", (double)lua_tonumber(L, i + 1));
            lua_pushlstring(L, text, (size_t)n);
            lua_replace(L, i + 1);
        } else if (lua_type(L, i + 1) != LUA_TSTRING) {
            return false;
        }
        argv[i].data = lua_tolstring(L, i + 1, &argv[i].len);
    }
    return true;
}

static const char no_args[] = "Please specify at least one argument for this redis lib call";
static const char bad_args[] = "Lua redis lib command arguments must be strings or integers";

static int answer(lua_State *L, bool raises, const struct buf *reply)
{
    bool is_error = reply->len > 0 && reply->data[0] == '-';
    if (!convert_to_lua(L, buf_bytes(reply)))
        return raise(L, "respgres cannot read its own reply");
    return is_error && raises ? lua_error(L) : 1;
}

static int generic_call(lua_State *L, bool raises)
{
    const struct script_host *host = vm_host(L);
    int argc = lua_gettop(L);
    const char *wrong = NULL;
    struct bytes *argv = argc > 0 ? vm_argv(L, argc) : NULL;
    if (argc == 0)
        wrong = no_args;
    else if (!take_args(L, argc, argv))
        wrong = bad_args;
    if (wrong != NULL) {
        redis_push_error(L, bytes_cstr(wrong));
        return raises ? lua_error(L) : 1;
    }
    if (!vm_enter_call(L))
        return raise(L, "redis.call() within redis.call()");
    struct buf *out = vm_reply_buf(L);
    struct reply r = {out, vm_proto(L), false};
    buf_reset(out, 64 * 1024);
    bool go_on = host->call(host->arg, argc, argv, &r);
    vm_leave_call(L);
    if (!go_on)
        return vm_stop(L, SCRIPT_STOP_DROP);
    vm_charge(L, 100 + out->len / 16);
    lua_settop(L, 0);
    return answer(L, raises, out);
}

static int api_call(lua_State *L)
{
    return generic_call(L, true);
}

static int api_pcall(lua_State *L)
{
    return generic_call(L, false);
}

static int api_acl_check_cmd(lua_State *L)
{
    const struct script_host *host = vm_host(L);
    int argc = lua_gettop(L);
    if (argc == 0)
        return raise(L, no_args);
    struct bytes *argv = vm_argv(L, argc);
    if (!take_args(L, argc, argv))
        return raise(L, bad_args);
    int allowed = host->acl_check(host->arg, argc, argv);
    if (allowed < 0)
        return raise(L, "Invalid command passed to redis.acl_check_cmd()");
    lua_pushboolean(L, allowed);
    return 1;
}

/* ---- replies ---- */

static bool is_one_string(lua_State *L)
{
    if (lua_gettop(L) == 1 && lua_type(L, 1) == LUA_TSTRING)
        return true;
    redis_push_error(L, BYTES_LIT("wrong number or type of arguments"));
    return false;
}

static int api_error_reply(lua_State *L)
{
    if (!is_one_string(L))
        return 1;
    const char *s = lua_tostring(L, 1); /* to its first NUL */
    if (s[0] == '-') {
        redis_push_error(L, bytes_cstr(s));
    } else {
        lua_pushfstring(L, "-%s", s);
        redis_push_error(L, bytes_cstr(lua_tostring(L, -1)));
    }
    return 1;
}

static int api_status_reply(lua_State *L)
{
    if (!is_one_string(L))
        return 1;
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "ok");
    return 1;
}

/* ---- others ---- */

static int api_sha1hex(lua_State *L)
{
    char sha[SCRIPT_SHA_LEN + 1];
    size_t len;
    if (lua_gettop(L) != 1)
        return raise(L, "wrong number of arguments");
    const char *s = lua_tolstring(L, 1, &len);
    script_sha1(bytes_of(s, s != NULL ? len : 0), sha);
    vm_charge(L, s != NULL ? len / 4 : 0);
    lua_pushlstring(L, sha, SCRIPT_SHA_LEN);
    return 1;
}

static int api_log(lua_State *L)
{
    const struct script_host *host = vm_host(L);
    int argc = lua_gettop(L);
    if (argc < 2)
        return raise(L, "redis.log() requires two arguments or more.");
    if (!lua_isnumber(L, 1) || lua_type(L, 1) != LUA_TNUMBER)
        return raise(L, "First argument must be a number (log level).");
    lua_Number level = lua_tonumber(L, 1);
    if (!(level >= 0 && level <= 3))
        return raise(L, "Invalid debug level.");
    struct buf *text = vm_reply_buf(L);
    buf_reset(text, 64 * 1024);
    for (int i = 2; i <= argc; i++) {
        size_t len;
        const char *s = lua_tolstring(L, i, &len);
        if (s == NULL)
            continue;
        if (i > 2)
            buf_append_u8(text, ' ');
        buf_append(text, s, len < 1024 ? len : 1024); /* as much as a line of Redis' log takes */
    }
    host->log(host->arg, (int)level, buf_bytes(text));
    return 0;
}

static int api_setresp(lua_State *L)
{
    if (lua_gettop(L) != 1)
        return raise(L, "redis.setresp() requires one argument.");
    lua_Number v = lua_type(L, 1) == LUA_TNUMBER || lua_isnumber(L, 1) ? lua_tonumber(L, 1) : 0;
    if (v < 2 || v >= 4)
        return raise(L, "RESP version must be 2 or 3.");
    vm_set_proto(L, (int)v);
    return 0;
}

/* A script's effects always go to PostgreSQL as a whole: there is nothing to set. */
static int api_set_repl(lua_State *L)
{
    if (lua_gettop(L) != 1)
        return raise(L, "redis.set_repl() requires two arguments.");
    int flags = (int)lua_tointeger(L, 1);
    if ((flags & ~REPL_ALL) != 0)
        return raise(
            L, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    return 0;
}

static int api_replicate_commands(lua_State *L)
{
    lua_pushboolean(L, 1);
    return 1;
}

/* There is no debugger. */
static int api_breakpoint(lua_State *L)
{
    lua_pushboolean(L, 0);
    return 1;
}

static int api_debug(lua_State *L)
{
    (void)L;
    return 0;
}

static void set_number(lua_State *L, const char *name, int v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

void redis_api_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"call", api_call},
        {"pcall", api_pcall},
        {"acl_check_cmd", api_acl_check_cmd},
        {"error_reply", api_error_reply},
        {"status_reply", api_status_reply},
        {"sha1hex", api_sha1hex},
        {"log", api_log},
        {"setresp", api_setresp},
        {"set_repl", api_set_repl},
        {"replicate_commands", api_replicate_commands},
        {"breakpoint", api_breakpoint},
        {"debug", api_debug},
    };
    lua_newtable(L);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        lua_pushcfunction(L, functions[i].func);
        lua_setfield(L, -2, functions[i].name);
    }
    set_number(L, "LOG_DEBUG", 0);
    set_number(L, "LOG_VERBOSE", 1);
    set_number(L, "LOG_NOTICE", 2);
    set_number(L, "LOG_WARNING", 3);
    set_number(L, "REPL_NONE", 0);
    set_number(L, "REPL_AOF", REPL_AOF);
    set_number(L, "REPL_SLAVE", REPL_REPLICA);
    set_number(L, "REPL_REPLICA", REPL_REPLICA);
    set_number(L, "REPL_ALL", REPL_ALL);
    set_number(L, "REDIS_VERSION_NUM", 0x0007000f);
    lua_pushliteral(L, "7.0.15");
    lua_setfield(L, -2, "REDIS_VERSION");
}
