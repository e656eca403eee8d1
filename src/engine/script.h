/* script: EVAL and its kin in the engine.
 *
 * A script is a command of its txn: it runs from beginning to end over the txn's own view of the
 * keys, its calls run handlers on them, and nothing of it is seen before the txn has committed. A
 * key that it has not declared is asked for (more.h), and it runs anew.
 *
 * A txn with scripts runs all its commands on the stack of a Lua state, so that it can be
 * interrupted (script/script.h). The first slice of time is enough for nearly all. One that needs
 * more begins anew in a way in which it can wait: its keys read, and held by it alone
 * (TXN_RUNNING), or inside a PostgreSQL transaction of its own. From then on it gets a slice at the
 * end of each turn, and everybody else goes on; after busy-reply-threshold they are told BUSY, as
 * in Redis. */
#ifndef RESPGRES_ENGINE_SCRIPT_H
#define RESPGRES_ENGINE_SCRIPT_H

#include "base/map.h"
#include "engine/internal.h"

struct scripts;
struct txn_script;

void scripts_init(struct engine *e);
void scripts_release(struct engine *e);

/* Of a txn whose commands are complete: has it scripts? */
void script_init(struct txn *t);
void script_free(struct txn *t);

/* A run of the txn begins: what the last one has noted, logged and published does not count. */
void script_begin(struct txn *t);
/* Runs the txn's commands (txn_run_commands) to their end, or to a query, or pauses. */
void script_run(struct txn *t, struct reply *r);
bool script_is_paused(const struct txn *t);
/* What has been run so far does not count: the rest need not be run. */
bool script_is_void(const struct txn *t);
/* It was too long for how it was begun; it is to begin anew, as one that can wait. Tells it once.
 */
bool script_was_too_long(struct txn *t);
/* A limit has ended a script that had written: nothing of the txn is to be applied. */
bool script_was_stopped(const struct txn *t);
/* It can wait only alone: its keys are to be fetched. */
bool script_is_long(const struct txn *t);
/* A paused one that keeps its keys (but for one in EXCLUSIVE). */
void script_hold(struct txn *t);
/* Ends a paused one; nothing of it counts. */
void script_drop(struct txn *t);
/* One command of it: EVAL, EVALSHA and so on. */
void script_command(struct txn *t, struct txn_command *tc, struct reply *r);
/* What it has published does not go out. */
void script_forget(struct txn *t);
/* It has ended: statistics of its calls, MONITOR, what it logged. */
void script_note(struct txn *t);
/* The same for what it has published, one of the txn's commands after the other; at first `at` is 0. */
size_t script_publish(const struct txn *t, int command, size_t at);

/* At the end of the turn: lets those that have paused go on; true if some have not ended. */
bool scripts_go_on(struct engine *e);
/* The error for this client's commands while a script is busy, or NULL. */
const char *scripts_busy(const struct client *c);
/* May this call of any command write? Of a script, its first line may say no. */
bool script_may_write(struct engine *e, const struct command *cmd, const struct request *q);
/* SHUTDOWN NOSAVE. */
void scripts_kill_all(struct engine *e);

/* ---- script_call.c: what a script calls ---- */

struct script_host;
/* A run of one EVAL. */
struct script_calls {
    struct txn *txn;
    int command; /* of the txn: its index */
    int db;
    bool readonly;
    unsigned flags; /* of the script */
    bool wrote;
    int guesses; /* keys that are not here, and were taken for absent to find out what else is
                    needed */
    int64_t guess_until_us;
    struct key **keys; /* of one call */
    struct key *guessed;
    int keys_cap;
    struct buf noted;   /* calls made: struct noted_call */
    struct buf monitor; /* lines for MONITOR */
    struct buf log;     /* what it wrote with redis.log: level, length, bytes */
    struct buf published; /* messages: struct published, channel, text */
};
bool script_call(struct script_calls *s, int argc, const struct bytes *argv, struct reply *r);
int script_acl_check(struct script_calls *s, int argc, const struct bytes *argv);
void script_calls_begin(struct script_calls *s);
void script_calls_release(struct script_calls *s);
void script_calls_note(struct script_calls *s);
/* Publishes what this command has, which begins at `at` if there is any; where the next one's does. */
size_t script_calls_publish(const struct script_calls *s, int command, size_t at);

/* ---- script_store.c: which scripts are known ---- */

struct known_script {
    struct map_node node;
    struct list order_node;
    char sha[41];
    unsigned flags;
    bool stored; /* PostgreSQL has it */
    bool loaded; /* by SCRIPT LOAD: it stays */
    char *body;
    size_t len;
};

struct script_memory;
struct script_memory *script_memory_new(struct engine *e);
void script_memory_free(struct script_memory *m);
/* NULL: it is not known here. `sha` in any case. */
const struct known_script *script_find(struct engine *e, struct bytes sha);
const struct known_script *script_add(struct engine *e, const char *sha, struct bytes body,
                                      unsigned flags, bool loaded);
/* Before it starts: has it to wait because PostgreSQL is asked for a script? */
void script_look_up(struct txn *t);
bool script_waits(const struct txn *t);
void script_memory_turn_end(struct engine *e);
/* SCRIPT: as a query; false = the reply is written. */
bool script_command_is_query(const struct txn_command *tc);
void script_flush_or_reply(struct engine *e, const struct request *q, struct reply *r);
bool script_query_prepare(struct txn *t, const struct txn_command *tc, struct reply *r);
size_t script_memory_count(const struct engine *e);
size_t script_memory_bytes(const struct engine *e);

/* Memory of Lua's states. */
size_t scripts_vm_memory(const struct engine *e);
/* Checks a body and makes it known; NULL: the error is written. Any state will do. */
const struct known_script *script_learn_or_reply(struct engine *e, struct bytes body, bool loaded,
                                                 struct reply *r);

#endif
