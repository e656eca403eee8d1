#include "engine/more.h"

#include <string.h>

#include "base/mem.h"

struct more {
    struct key_finder finder;
    struct txn *txn;
    struct buf names; /* of the keys asked for: database, length, bytes */
    int n;
};

/* The names of what is noted. */
struct noted {
    int db;
    size_t len;
};

static bool may_ask(const struct command *cmd)
{
    return cmd->id == CMD_SORT || cmd->id == CMD_SORT_RO || command_is_eval(cmd);
}

/* While it runs, its entries are marked with their places among its keys. One that is there to be written
 * over has not been loaded. */
static struct key *find(struct key_finder *f, int db, struct bytes name)
{
    struct more *m = LIST_ITEM(f, struct more, finder);
    const struct entry *entry = keyspace_find(m->txn->engine->keyspace, db, name);
    if (entry != NULL && entry->work != NULL && entry->work->marking == m->txn) {
        struct txn_key *k = &m->txn->keys[entry->work->mark_at];
        if (k->observed || k->key.change != KEY_UNCHANGED)
            return &k->key;
    }
    struct noted noted = {db, name.len};
    buf_append(&m->names, &noted, sizeof(noted));
    buf_append_bytes(&m->names, name);
    m->n++;
    return NULL;
}

void more_init(struct txn *t)
{
    for (int i = 0; i < t->ncommands; i++) {
        struct txn_command *tc = &t->commands[i];
        if (!may_ask(tc->cmd))
            continue;
        if (!t->exec)
            access_judge_patterns(t->client, tc); /* a block has been judged */
        if (t->more != NULL)
            continue;
        t->more = mem_zalloc(sizeof(*t->more));
        t->more->finder.find = find;
        t->more->txn = t;
        buf_init(&t->more->names);
    }
}

void more_free(struct txn *t)
{
    if (t->more == NULL)
        return;
    buf_release(&t->more->names);
    mem_free(t->more);
    t->more = NULL;
}

static void mark(struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        struct entry_work *w = t->keys[i].entry->work;
        CHECK(w->marking == NULL);
        w->marking = t;
        w->mark_at = i;
    }
}

static void unmark(struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++)
        t->keys[i].entry->work->marking = NULL;
}

void more_begin(struct txn *t)
{
    if (t->more == NULL)
        return;
    t->more->n = 0;
    t->more->names.len = 0;
    mark(t);
}

void more_resume(struct txn *t)
{
    if (t->more != NULL)
        mark(t);
}

void more_end(struct txn *t)
{
    if (t->more != NULL)
        unmark(t);
}

struct key_finder *more_finder(struct txn *t)
{
    return t->more != NULL ? &t->more->finder : NULL;
}

bool more_asked(const struct txn *t)
{
    return t->more != NULL && t->more->n > 0;
}

/* ---- the keys ---- */

/* The commands point into the array of keys. */
static void move_keys(struct txn *t, struct txn_key *to)
{
    const struct txn_key *from = t->keys;
    for (int i = 0; i < t->nkeys; i++) {
        CHECK(list_empty(&t->keys[i].queue_node) && !t->keys[i].taken);
        to[i] = t->keys[i];
        to[i].key.change = KEY_UNCHANGED;
        list_init(&to[i].queue_node);
    }
    for (int i = 0; i < t->ncommands; i++) {
        struct txn_command *tc = &t->commands[i];
        for (int j = 0; j < tc->nkeys; j++)
            tc->keys[j] = &to[LIST_ITEM(tc->keys[j], struct txn_key, key) - from].key;
    }
    if (t->keys != &t->own_key)
        mem_free(t->keys);
    t->keys = to;
}

bool more_add_keys(struct txn *t)
{
    if (!more_asked(t))
        return false;
    struct more *m = t->more;
    move_keys(t, mem_zalloc((size_t)(t->nkeys + m->n) * sizeof(*t->keys)));
    mark(t);
    const char *at = m->names.data;
    for (int i = 0; i < m->n; i++) {
        struct noted noted;
        memcpy(&noted, at, sizeof(noted));
        at += sizeof(noted);
        txn_add_key(t, noted.db, bytes_of(at, noted.len), true)->observed = true;
        at += noted.len;
    }
    unmark(t);
    m->n = 0;
    buf_reset(&m->names, 4096);
    return true;
}
