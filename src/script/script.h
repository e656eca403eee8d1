/* script: Lua 5.1 for EVAL: the sandbox, the `redis` table, and replies to Lua values and back, as
 * in Redis 7.0. Pure: it knows no keys, no clients and no clock; its host carries out the calls.
 *
 * A state (script_vm) runs one script at a time, on a stack of its own (fiber.h), so that a long
 * one can be interrupted: every so many instructions it asks the host (`tick`), which may let it
 * pause.
 *
 * Hostile scripts: memory is counted by the state's allocator and ends the run above the limit. C
 * functions of Lua's libraries that take long without executing instructions are replaced
 * (patterns), charged for what they touch, or pause where they allocate. Bytecode is not loaded. A run that is to be stopped
 * cannot be kept alive by pcall: see script_stop. What one script does to a state no other script
 * can see: library tables are read-only, and a state with other settings than at its beginning is
 * not used again (script_vm_good). Sources:
 * https://redis.io/docs/latest/develop/programmability/lua-api/, the Lua 5.1 manual. */
#ifndef RESPGRES_SCRIPT_SCRIPT_H
#define RESPGRES_SCRIPT_SCRIPT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"
#include "resp/reply.h"

enum { SCRIPT_SHA_LEN = 40 };

/* Lower-case hex, and a NUL. */
void script_sha1(struct bytes s, char out[SCRIPT_SHA_LEN + 1]);

/* ---- what the first line says ---- */

enum script_flag {
    SCRIPT_NO_WRITES = 1 << 0,
    SCRIPT_ALLOW_OOM = 1 << 1,
    SCRIPT_ALLOW_STALE = 1 << 2,
    SCRIPT_NO_CLUSTER = 1 << 3,
    SCRIPT_CROSS_SLOT = 1 << 4,
    SCRIPT_COMPAT = 1 << 8, /* there is no such line: the rules of earlier versions */
};

/* Flags of a body, and how much of it its first line ("#!lua ...") is. False: *error says why, in
 * full. */
MUST_CHECK bool script_shebang(struct bytes body, unsigned *flags, size_t *len, struct buf *error);

/* ---- the host ---- */

enum script_stop {
    SCRIPT_GO,
    SCRIPT_STOP_DROP,   /* what the run has replied does not count */
    SCRIPT_STOP_KILLED, /* SCRIPT KILL */
    SCRIPT_STOP_TIME,
    SCRIPT_STOP_MEMORY,
};

struct script_host {
    /* One redis.call or redis.pcall: its reply goes to r, in the protocol that r says. False: stop,
     * and drop the run. */
    bool (*call)(void *arg, int argc, const struct bytes *argv, struct reply *r);
    /* May the user call it? 1 yes, 0 no, -1 there is no such command. */
    int (*acl_check)(void *arg, int argc, const struct bytes *argv);
    void (*log)(void *arg, int level, struct bytes text);
    /* Asked again and again while a script runs. May call script_vm_pause. */
    enum script_stop (*tick)(void *arg);
    /* A clock by which the ticks come in time; NULL: after as much work as is usually quick. */
    int64_t (*now_us)(void *arg);
    void *arg;
};

/* ---- states ---- */

struct script_vm;

/* NULL: there is no memory. `memory_limit` in bytes, for what Lua allocates, and for the reply. */
struct script_vm *script_vm_new(size_t memory_limit);
void script_vm_free(struct script_vm *vm);
size_t script_vm_memory(const struct script_vm *vm);
/* Is it as a new one? If not, it is to be freed, not used again. */
bool script_vm_good(const struct script_vm *vm);

/* Runs body(arg) on the state's stack; true: it has ended. False: it has paused within script_eval,
 * and goes on by script_vm_resume. */
bool script_vm_run(struct script_vm *vm, void (*body)(void *arg), void *arg);
bool script_vm_resume(struct script_vm *vm);
/* Within tick. */
void script_vm_pause(struct script_vm *vm);

struct script_call {
    const char *sha;
    struct bytes body; /* with its first line */
    int nkeys;
    const struct bytes *keys;
    int nargs;
    const struct bytes *args;
    int32_t seed; /* of math.random: equal for every run of one call */
};

/* Within script_vm_run: runs the script, whose reply goes to r. False: it was stopped by a limit or
 * the host, and what it did should not count. */
bool script_eval(struct script_vm *vm, const struct script_call *call,
                 const struct script_host *host, struct reply *r);

/* Does it compile? False: the error is written. */
MUST_CHECK bool script_compile_or_reply(struct script_vm *vm, const char *sha, struct bytes body,
                                        struct reply *r);

#endif
