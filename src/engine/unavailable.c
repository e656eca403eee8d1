/* unavailable: why a txn cannot go on because of the store's state: before the first contact, and by the
 * rules of `fallback` while PostgreSQL is away. */
#include "config/policy.h"
#include "engine/internal.h"

static const char error_starting[] = "LOADING respgres is waiting for its first contact with PostgreSQL";
static const char error_away[] = "LOADING PostgreSQL is not reachable, nothing was done";
static const char error_readonly[] = STORE_ERROR_READONLY;
static const char error_not_known[] =
    "LOADING PostgreSQL is not reachable, and the key is not known here";
static const char error_oom[] = "OOM command not allowed when used memory > 'maxmemory'.";

const char *engine_error_starting(void)
{
    return error_starting;
}

static bool fallback_is_off(const struct engine *e)
{
    return policy_fallback(e->config->fallback, bytes_of(NULL, 0)) == FALLBACK_OFF;
}

bool engine_is_out_of_memory(const struct engine *e)
{
    enum store_state state = store_state(e->store);
    return state != STORE_ONLINE && state != STORE_RECOVERING && keyspace_is_full(e->keyspace);
}

bool engine_is_loading(const struct engine *e)
{
    enum store_state state = store_state(e->store);
    return state == STORE_STARTING || (state == STORE_AWAY && fallback_is_off(e));
}

/* Is the key an argument of a command that may write? A block may write others and only read this one. */
static bool may_write(const struct txn *t, const struct txn_key *k)
{
    if (t->more != NULL && !t->readonly)
        return true; /* it may have asked for this one */
    for (int i = 0; i < t->ncommands; i++) {
        const struct txn_command *tc = &t->commands[i];
        for (int j = 0; (tc->cmd->flags & CF_WRITE) != 0 && j < tc->nkeys; j++) {
            if (tc->keys[j] == &k->key)
                return true;
        }
    }
    return false;
}

/* A command over whole databases, anywhere in a block. */
static bool may_write_all(const struct txn *t)
{
    for (int i = 0; i < t->ncommands; i++) {
        if ((t->commands[i].cmd->flags & CF_WRITE) != 0 && t->commands[i].nkeys == 0)
            return true;
    }
    return false;
}

/* What PostgreSQL has told to be absent was so when it was asked: others may have made it since. What has
 * ended here, or has been written here since PostgreSQL went, is as far as anybody knows. */
static bool is_known(const struct engine *e, const struct entry *entry)
{
    if (entry->knowledge == ENTRY_UNKNOWN || entry->guessed)
        return false;
    return entry->knowledge == ENTRY_LIVE || entry->dirty != NULL || entry->ended_here ||
           !store_memory_is_truth(e->store);
}

/* While PostgreSQL is away, each key may have its own rule. */
static const char *key_unavailable(const struct txn *t, const struct txn_key *k)
{
    const struct config *c = t->engine->config;
    enum fallback rule = policy_fallback(c->fallback, entry_key(k->entry));
    if (rule == FALLBACK_OFF)
        return error_away;
    if (rule == FALLBACK_READONLY && may_write(t, k))
        return error_readonly;
    if (k->observed && !is_known(t->engine, k->entry) &&
        policy_away_miss(c->away_miss, entry_key(k->entry)) == AWAY_MISS_ERROR)
        return error_not_known;
    return NULL;
}

static bool wants_memory(const struct txn *t)
{
    for (int i = 0; i < t->ncommands; i++) {
        if (t->commands[i].cmd->flags & CF_DENYOOM)
            return true;
    }
    return false;
}

static const char *away_unavailable(const struct txn *t)
{
    const struct config *c = t->engine->config;
    enum fallback rule = policy_fallback(c->fallback, bytes_of(NULL, 0));
    if (rule == FALLBACK_READONLY && may_write_all(t))
        return error_readonly;
    for (int i = 0; i < t->nkeys; i++) {
        const char *error = key_unavailable(t, &t->keys[i]);
        if (error != NULL)
            return error;
    }
    return NULL;
}

const char *txn_unavailable(const struct txn *t)
{
    const struct engine *e = t->engine;
    enum store_state state = store_state(e->store);
    bool asks = t->nkeys > 0 || t->exclusive || t->is_query;
    if (!asks || state == STORE_ONLINE || state == STORE_RECOVERING)
        return NULL;
    if (state == STORE_STARTING)
        return error_starting;
    if (state == STORE_AWAY && fallback_is_off(e))
        return error_away;
    if (keyspace_is_full(e->keyspace) && wants_memory(t))
        return error_oom;
    return state == STORE_AWAY ? away_unavailable(t) : NULL;
}

void txn_in_vain(struct txn *t)
{
    txn_abandon(t, error_away);
}
