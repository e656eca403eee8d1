/* internal: what the files of this folder share. Lua's headers have their home here. */
#ifndef RESPGRES_SCRIPT_INTERNAL_H
#define RESPGRES_SCRIPT_INTERNAL_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "script/script.h"

struct script_vm;

/* ---- vm.c ---- */
struct script_vm *vm_of(lua_State *L);
/* Work that executes no instructions: counts as so many of them. May pause; raises an error if the
 * run is to stop. */
void vm_charge(lua_State *L, size_t steps);
/* For a string that is made. */
#define VM_STRING_CHARGE(len) (60 + (len) / 16)
/* The run is to stop: an error that no pcall keeps. */
int vm_stop(lua_State *L, enum script_stop why);
/* Is it? */
bool vm_is_stopping(lua_State *L);
/* This state is not to be used for other scripts. */
void vm_taint(lua_State *L);
/* What the script that runs may ask of its host; NULL while a state is made. */
const struct script_host *vm_host(lua_State *L);
size_t vm_memory_limit(lua_State *L);
/* So much above the limit is allowed for now; with 0 the run is stopped if it is above. */
void vm_allow(lua_State *L, size_t bytes);
/* Protocol of the replies to redis.call: 2 or 3. */
int vm_proto(lua_State *L);
void vm_set_proto(lua_State *L, int proto);
/* For redis.call: the reply, and arguments; kept between calls. */
struct buf *vm_reply_buf(lua_State *L);
struct bytes *vm_argv(lua_State *L, int argc);
bool vm_enter_call(lua_State *L);
void vm_leave_call(lua_State *L);
/* Which coroutine runs: it is the one that is interrupted. Returns the one before. */
lua_State *vm_switch(lua_State *L, lua_State *to);
uint64_t *vm_random(lua_State *L);

/* ---- sandbox.c ---- */
void sandbox_open(lua_State *L);
/* Sets KEYS or ARGV to the table on the top, which it pops. */
void sandbox_set(lua_State *L, const char *name);
/* At the beginning of a run: of math.random. */
void sandbox_seed(lua_State *L, int32_t seed);

/* ---- redis_api.c ---- */
void redis_api_open(lua_State *L);
/* {err = "CODE text"} on the stack. `text` may begin with "-CODE". */
void redis_push_error(lua_State *L, struct bytes text);

/* ---- json.c ---- */
void json_open(lua_State *L);

/* ---- convert.c ---- */
/* Pushes the value of a reply; false: it is none. */
MUST_CHECK bool convert_to_lua(lua_State *L, struct bytes reply);
/* Writes the value on the top, which it pops. */
void convert_to_reply(lua_State *L, struct reply *r, size_t limit);

/* ---- pattern.c ---- */
int pattern_find(lua_State *L);
int pattern_match(lua_State *L);
int pattern_gmatch(lua_State *L);
int pattern_gsub(lua_State *L);

#endif
