#include "engine/script.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "engine/more.h"
#include "metrics/metrics.h"
#include "script/script.h"

enum {
    FIRST_SLICE_US = 30 * 1000,
    NEXT_SLICE_US = 5 * 1000,
    IDLE_VMS = 4,
    MAX_PAUSED = 64, /* each has a Lua state; those beyond are told BUSY */
};

static const char error_busy[] =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
static const char error_noscript[] = "NOSCRIPT No matching script. Please use EVAL.";

struct txn_script {
    struct txn *txn;
    struct list node;     /* in scripts.paused */
    struct script_vm *vm; /* while it runs */
    struct reply reply;   /* of the txn, while it runs */
    struct script_calls calls;
    int64_t began_us;
    int64_t slice_until_us;
    bool paused;
    bool held; /* has its keys for itself */
    bool drop; /* the run does not count */
    bool killed;
    bool stopped; /* a limit or a kill has ended a script that had written */
    bool is_long;
    int32_t seed;
    bool too_long;     /* the last run was dropped for that */
    int64_t *versions; /* of its keys as it saw them, while it is held */
};

struct scripts {
    struct script_vm *idle[IDLE_VMS];
    int nidle;
    size_t limit; /* lua-memory-limit of the idle ones */
    struct list paused;
    size_t npaused;
};

/* ---- Lua states ---- */

static void free_idle(struct scripts *s)
{
    while (s->nidle > 0)
        script_vm_free(s->idle[--s->nidle]);
}

static struct script_vm *take_vm(struct engine *e)
{
    struct scripts *s = e->scripts;
    size_t limit = (size_t)e->config->lua_memory_limit;
    if (s->limit != limit)
        free_idle(s);
    s->limit = limit;
    if (s->nidle > 0)
        return s->idle[--s->nidle];
    return script_vm_new(limit);
}

static void give_vm(struct engine *e, struct script_vm *vm)
{
    struct scripts *s = e->scripts;
    if (vm != NULL && script_vm_good(vm) && s->nidle < IDLE_VMS)
        s->idle[s->nidle++] = vm;
    else
        script_vm_free(vm);
}

size_t scripts_vm_memory(const struct engine *e)
{
    const struct scripts *s = e->scripts;
    size_t n = 0;
    for (int i = 0; i < s->nidle; i++)
        n += script_vm_memory(s->idle[i]);
    LIST_EACH(it, (struct list *)&s->paused)
    n += script_vm_memory(LIST_ITEM(it, struct txn_script, node)->vm);
    return n;
}

void scripts_init(struct engine *e)
{
    e->scripts = mem_zalloc(sizeof(*e->scripts));
    list_init(&e->scripts->paused);
    e->script_memory = script_memory_new(e);
}

void scripts_release(struct engine *e)
{
    LIST_EACH(it, &e->scripts->paused)
    script_drop(LIST_ITEM(it, struct txn_script, node)->txn);
    free_idle(e->scripts);
    mem_free(e->scripts);
    script_memory_free(e->script_memory);
}

/* ---- a txn's ---- */

void script_init(struct txn *t)
{
    for (int i = 0; i < t->ncommands && t->script == NULL; i++) {
        if (!command_is_eval(t->commands[i].cmd))
            continue;
        t->script = mem_zalloc(sizeof(*t->script));
        t->script->txn = t;
        t->script->calls.txn = t;
        list_init(&t->script->node);
        random_bytes(&t->script->seed, sizeof(t->script->seed));
    }
}

void script_free(struct txn *t)
{
    if (t->script == NULL)
        return;
    CHECK(!t->script->paused);
    script_calls_release(&t->script->calls);
    mem_free(t->script->versions);
    mem_free(t->script);
    t->script = NULL;
}

bool script_is_paused(const struct txn *t)
{
    return t->script != NULL && t->script->paused;
}

bool script_is_void(const struct txn *t)
{
    return t->script != NULL && t->script->drop;
}

bool script_was_stopped(const struct txn *t)
{
    return t->script != NULL && t->script->stopped;
}

bool script_is_long(const struct txn *t)
{
    return t->script != NULL && t->script->is_long;
}

bool script_was_too_long(struct txn *t)
{
    bool was = t->script != NULL && t->script->too_long;
    if (was)
        t->script->too_long = false;
    return was;
}

void script_forget(struct txn *t)
{
    if (t->script != NULL)
        t->script->calls.published.len = 0;
}

void script_begin(struct txn *t)
{
    if (t->script != NULL)
        script_calls_begin(&t->script->calls);
}

void script_note(struct txn *t)
{
    if (t->script != NULL)
        script_calls_note(&t->script->calls);
}

size_t script_publish(const struct txn *t, int command, size_t at)
{
    return t->script != NULL ? script_calls_publish(&t->script->calls, command, at) : at;
}

/* ---- the host ---- */

static enum script_stop on_tick(void *arg)
{
    struct txn_script *s = arg;
    const struct config *c = s->txn->engine->config;
    int64_t now = clock_mono_us();
    if (!s->drop && now >= s->slice_until_us) {
        s->paused = true;
        script_vm_pause(s->vm);
        s->paused = false;
    }
    if (s->drop)
        return SCRIPT_STOP_DROP;
    if (s->killed)
        return SCRIPT_STOP_KILLED;
    if (c->script_time_limit_ms > 0 && now - s->began_us > c->script_time_limit_ms * 1000)
        return SCRIPT_STOP_TIME;
    return SCRIPT_GO;
}

static int64_t on_now(void *arg)
{
    (void)arg;
    return clock_mono_us();
}

static bool on_call(void *arg, int argc, const struct bytes *argv, struct reply *r)
{
    struct txn_script *s = arg;
    return script_call(&s->calls, argc, argv, r);
}

static int on_acl_check(void *arg, int argc, const struct bytes *argv)
{
    struct txn_script *s = arg;
    return script_acl_check(&s->calls, argc, argv);
}

/* What is logged by a run that is dropped is not. */
static void on_log(void *arg, int level, struct bytes text)
{
    enum { MAX_LOG = 1 << 20 };
    struct txn_script *s = arg;
    if (s->calls.log.len > MAX_LOG)
        return;
    buf_append(&s->calls.log, &level, sizeof(level));
    buf_append(&s->calls.log, &text.len, sizeof(text.len));
    buf_append_bytes(&s->calls.log, text);
}

/* ---- running ---- */

static void run_commands(struct txn_script *s)
{
    if (s->txn->state == TXN_EXCLUSIVE)
        exclusive_run_commands(s->txn);
    else
        txn_run_commands(s->txn, &s->reply);
}

static void body(void *arg)
{
    struct txn_script *s = arg;
    run_commands(s);
}

/* A script that was stopped after it had written: nothing of its txn is applied. */
static void discard(struct txn_script *s)
{
    struct txn *t = s->txn;
    for (int i = 0; i < t->nkeys; i++)
        t->keys[i].key.change = KEY_UNCHANGED;
    script_forget(t);
    events_drop(t);
    if (!t->exec)
        return;
    session_put_back(t);
    t->reply.len = 0;
    reply_error(&s->reply, "EXECABORT Transaction discarded because a script in it was stopped.");
}

static void settle(struct txn_script *s)
{
    give_vm(s->txn->engine, s->vm);
    s->vm = NULL;
    if (s->stopped && !s->drop)
        discard(s);
}

static bool resume(struct txn_script *s, int64_t slice_us)
{
    s->slice_until_us = clock_mono_us() + slice_us;
    more_resume(s->txn);
    bool ended = script_vm_resume(s->vm);
    more_end(s->txn);
    return ended;
}

/* To its end, at once: whatever it does next is refused. */
static void end_dropped(struct txn_script *s)
{
    s->drop = true;
    s->slice_until_us = INT64_MAX;
    bool ended = script_vm_resume(s->vm);
    CHECK(ended);
    settle(s);
}

void script_run(struct txn *t, struct reply *r)
{
    struct txn_script *s = t->script;
    s->reply = *r;
    s->drop = s->killed = s->stopped = s->too_long = false;
    s->began_us = clock_mono_us();
    s->slice_until_us = s->began_us + FIRST_SLICE_US;
    s->calls.wrote = false;
    s->calls.guesses = 0;
    s->vm = take_vm(t->engine);
    if (s->vm == NULL) {
        run_commands(s); /* what needs a state has an error for it */
    } else if (!script_vm_run(s->vm, body, s)) {
        /* It can wait if its keys are fetched, or locked. */
        if (s->is_long || t->state == TXN_EXCLUSIVE)
            return;
        end_dropped(s);
        s->too_long = s->is_long = true;
        return;
    }
    settle(s);
}

/* ---- waiting ---- */

void script_hold(struct txn *t)
{
    struct txn_script *s = t->script;
    struct scripts *all = t->engine->scripts;
    list_push_back(&all->paused, &s->node);
    all->npaused++;
    if (t->state == TXN_EXCLUSIVE)
        return;
    s->held = true;
    s->versions = mem_realloc(s->versions, ((size_t)t->nkeys + 1) * sizeof(*s->versions));
    for (int i = 0; i < t->nkeys; i++) {
        struct entry_work *w = t->keys[i].entry->work;
        CHECK(w->gather == NULL && !w->exclusive);
        if (t->shared)
            w->readers++;
        else
            w->exclusive = true;
        s->versions[i] = fetch_known_of(t->keys[i].entry);
    }
    txn_set_state(t, TXN_RUNNING);
}

/* True: its keys are as they were. */
static bool let_go(struct txn_script *s)
{
    struct txn *t = s->txn;
    bool same = true;
    list_remove(&s->node);
    t->engine->scripts->npaused--;
    for (int i = 0; s->held && i < t->nkeys; i++) {
        struct entry *entry = t->keys[i].entry;
        if (t->shared)
            entry->work->readers--;
        else
            entry->work->exclusive = false;
        same &= s->versions[i] == fetch_known_of(entry);
        entry_wake_later(t->engine, entry);
    }
    s->held = false;
    return same;
}

void script_drop(struct txn *t)
{
    if (!script_is_paused(t))
        return;
    end_dropped(t->script);
    let_go(t->script);
}

static void go_on(struct txn_script *s)
{
    struct txn *t = s->txn;
    if (!resume(s, NEXT_SLICE_US))
        return;
    settle(s);
    bool same = let_go(s);
    if (t->state == TXN_EXCLUSIVE)
        exclusive_ran(t);
    else if (same)
        txn_ran(t);
    else
        txn_again(t);
}

bool scripts_go_on(struct engine *e)
{
    struct scripts *s = e->scripts;
    LIST_EACH(it, &s->paused)
    go_on(LIST_ITEM(it, struct txn_script, node));
    return !list_empty(&s->paused);
}

/* ---- BUSY ---- */

static bool is_busy(const struct txn_script *s, int64_t now_us)
{
    int64_t threshold = s->txn->engine->config->busy_reply_threshold_ms;
    return threshold > 0 && now_us - s->began_us >= threshold * 1000;
}

/* Those of the client whose script it is wait for it, like for any command. */
const char *scripts_busy(const struct client *c)
{
    const struct engine *e = c->engine;
    if (list_empty(&e->scripts->paused))
        return NULL;
    int64_t now = clock_mono_us();
    bool busy = e->scripts->npaused >= MAX_PAUSED;
    LIST_EACH(it, &e->scripts->paused)
    {
        const struct txn_script *s = LIST_ITEM(it, struct txn_script, node);
        if (s->txn->client == c)
            return NULL;
        busy |= is_busy(s, now);
    }
    return busy ? error_busy : NULL;
}

void scripts_kill_all(struct engine *e)
{
    LIST_EACH(it, &e->scripts->paused)
    {
        struct txn_script *s = LIST_ITEM(it, struct txn_script, node);
        metrics.scripts_killed += !s->killed;
        s->killed = true;
        s->stopped |= s->calls.wrote;
    }
}

/* The one that has run for the longest and may be killed. In Redis what it had written would stay.
 */
static void kill_one(struct engine *e, struct reply *r)
{
    if (list_empty(&e->scripts->paused)) {
        reply_error(r, "NOTBUSY No scripts in execution right now.");
        return;
    }
    LIST_EACH(it, &e->scripts->paused)
    {
        struct txn_script *s = LIST_ITEM(it, struct txn_script, node);
        if (s->calls.wrote || s->killed)
            continue;
        s->killed = true;
        metrics.scripts_killed++;
        reply_ok(r);
        return;
    }
    reply_error(
        r, "UNKILLABLE Sorry the script already executed write commands against the dataset. You "
           "can either wait the script termination or kill the server in a hard way using the "
           "SHUTDOWN NOSAVE command.");
}

/* ---- EVAL ---- */

static bool take_numkeys(const struct request *q, int64_t *n, struct reply *r)
{
    const char *error = NULL;
    if (!num_int64(q->argv[2], n))
        error = "ERR value is not an integer or out of range";
    else if (*n > q->argc - 3)
        error = "ERR Number of keys can't be greater than number of args";
    else if (*n < 0)
        error = "ERR Number of keys can't be negative";
    if (error != NULL)
        reply_error(r, error);
    return error == NULL;
}

static const struct known_script *learn(struct engine *e, struct script_vm *vm, struct bytes body_,
                                        bool loaded, struct reply *r)
{
    char sha[SCRIPT_SHA_LEN + 1];
    unsigned flags;
    size_t skip;
    struct buf error;
    script_sha1(body_, sha);
    const struct known_script *k = script_find(e, bytes_of(sha, SCRIPT_SHA_LEN));
    if (k != NULL && !loaded)
        return k;
    buf_init(&error);
    bool good = script_shebang(body_, &flags, &skip, &error);
    if (!good)
        reply_error(r, buf_cstr(&error));
    buf_release(&error);
    if (!good || !script_compile_or_reply(vm, sha, body_, r))
        return NULL;
    return script_add(e, sha, body_, flags, loaded);
}

const struct known_script *script_learn_or_reply(struct engine *e, struct bytes body_, bool loaded,
                                                 struct reply *r)
{
    struct script_vm *vm = take_vm(e);
    if (vm == NULL) {
        reply_error(r, "ERR out of memory");
        return NULL;
    }
    const struct known_script *k = learn(e, vm, body_, loaded, r);
    give_vm(e, vm);
    return k;
}

static const struct known_script *find_or_reply(struct txn_script *s, const struct txn_command *tc,
                                                struct reply *r)
{
    struct engine *e = s->txn->engine;
    bool by_sha = tc->cmd->id == CMD_EVALSHA || tc->cmd->id == CMD_EVALSHA_RO;
    if (!by_sha)
        return learn(e, s->vm, tc->request->argv[1], false, r);
    const struct known_script *k = script_find(e, tc->request->argv[1]);
    if (k == NULL)
        reply_error(r, error_noscript);
    return k;
}

static bool flags_allow_or_reply(struct txn_script *s, const struct known_script *k, bool ro,
                                 struct reply *r)
{
    struct engine *e = s->txn->engine;
    if ((k->flags & SCRIPT_COMPAT) != 0)
        return true;
    if (ro && (k->flags & SCRIPT_NO_WRITES) == 0) {
        reply_error(r, "ERR Can not execute a script with write flag using *_ro command.");
        return false;
    }
    if ((k->flags & (SCRIPT_ALLOW_OOM | SCRIPT_NO_WRITES)) == 0 && engine_is_out_of_memory(e)) {
        reply_error(
            r, "OOM allow-oom flag is not set on the script, can not run it when used memory > "
               "'maxmemory'");
        return false;
    }
    return true;
}

void script_command(struct txn *t, struct txn_command *tc, struct reply *r)
{
    struct txn_script *s = t->script;
    const struct request *q = tc->request;
    bool by_sha = tc->cmd->id == CMD_EVALSHA || tc->cmd->id == CMD_EVALSHA_RO;
    bool ro = (tc->cmd->flags & CF_READONLY) != 0;
    int64_t n;
    if (by_sha && q->argv[1].len != SCRIPT_SHA_LEN) {
        reply_error(r, error_noscript);
        return;
    }
    if (!take_numkeys(q, &n, r))
        return;
    if (s->vm == NULL) {
        reply_error(r, "ERR out of memory");
        return;
    }
    const struct known_script *k = find_or_reply(s, tc, r);
    if (k == NULL || !flags_allow_or_reply(s, k, ro, r))
        return;
    char sha[SCRIPT_SHA_LEN + 1];
    memcpy(sha, k->sha, sizeof(sha));
    s->calls.command = (int)(tc - t->commands);
    s->calls.db = tc->db;
    s->calls.flags = k->flags;
    s->calls.readonly = ro || (k->flags & SCRIPT_NO_WRITES) != 0;
    struct script_host host = {on_call, on_acl_check, on_log, on_tick, on_now, s};
    struct script_call call = {.sha = sha,
                               .body = bytes_of(k->body, k->len),
                               .nkeys = (int)n,
                               .keys = q->argv + 3,
                               .nargs = q->argc - 3 - (int)n,
                               .args = q->argv + 3 + n,
                               .seed = s->seed};
    s->stopped |= !script_eval(s->vm, &call, &host, r) && s->calls.wrote;
}

bool script_may_write(struct engine *e, const struct command *cmd, const struct request *q)
{
    unsigned flags = SCRIPT_COMPAT;
    size_t skip;
    struct buf error;
    if ((cmd->flags & CF_MAY_WRITE) == 0)
        return (cmd->flags & CF_WRITE) != 0;
    const struct known_script *k = script_find(e, q->argv[1]);
    if (cmd->id == CMD_EVALSHA)
        return k == NULL || (k->flags & SCRIPT_NO_WRITES) == 0;
    buf_init(&error);
    bool good = script_shebang(q->argv[1], &flags, &skip, &error);
    buf_release(&error);
    return !good || (flags & SCRIPT_NO_WRITES) == 0;
}

/* ---- SCRIPT, where it is no query ---- */

void session_script(struct client *c, const struct txn_command *tc, struct reply *r)
{
    struct engine *e = c->engine;
    const struct request *q = tc->request;
    const struct known_script *k;
    switch (tc->cmd->sub) {
    case SUB_SCRIPT_KILL:
        kill_one(e, r);
        break;
    case SUB_SCRIPT_DEBUG:
        if (bytes_ieq(q->argv[2], "no"))
            reply_ok(r);
        else if (bytes_ieq(q->argv[2], "yes") || bytes_ieq(q->argv[2], "sync"))
            reply_error(r, "ERR SCRIPT DEBUG is not supported: there is no debugger");
        else
            reply_error(r, "ERR Use SCRIPT DEBUG YES/SYNC/NO");
        break;
    case SUB_SCRIPT_LOAD:
        k = script_learn_or_reply(e, q->argv[2], true, r);
        if (k != NULL)
            reply_bulk_cstr(r, k->sha);
        break;
    case SUB_SCRIPT_EXISTS:
        reply_array(r, (size_t)q->argc - 2);
        for (int i = 2; i < q->argc; i++)
            reply_int(r, script_find(e, q->argv[i]) != NULL);
        break;
    case SUB_SCRIPT_FLUSH:
        script_flush_or_reply(e, q, r);
        break;
    default:
        command_reply_help(r, command_by_id(CMD_SCRIPT));
        break;
    }
}
