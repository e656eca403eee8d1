/* txn: the life of a transaction, from its keys to its reply. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "command/event.h"
#include "command/key_place.h"
#include "engine/block.h"
#include "engine/internal.h"
#include "engine/more.h"
#include "engine/script.h"

enum { MAX_ATTEMPTS = 4 };

static const char error_not_done[] = "LOADING PostgreSQL did not answer in time, nothing was done";
static const char error_unknown[] =
    "ERR PostgreSQL did not confirm in time, the write may or may not have been applied";
static const char error_read_late[] = "LOADING PostgreSQL did not answer in time";
static const char error_locked[] =
    "ERR the row is locked by another transaction in PostgreSQL, nothing was written";

/* ---- entries in use ---- */

struct entry *entry_use(struct engine *e, int db, struct bytes key)
{
    struct entry *entry = keyspace_pin(e->keyspace, db, key);
    if (entry->work == NULL) {
        entry->work = mem_zalloc(sizeof(*entry->work));
        entry->work->entry = entry;
        list_init(&entry->work->queue);
        list_init(&entry->work->wake_node);
    }
    return entry;
}

void entry_unuse(struct engine *e, struct entry *entry)
{
    struct entry_work *w = entry->work;
    if (entry->pins == 1) {
        CHECK(list_empty(&w->queue) && w->gather == NULL && w->readers == 0 && !w->exclusive &&
              w->waited == NULL);
        list_remove(&w->wake_node);
        mem_free(w);
        entry->work = NULL;
    }
    keyspace_unpin(e->keyspace, entry);
}

void entry_wake_later(struct engine *e, struct entry *entry)
{
    struct entry_work *w = entry->work;
    if (!list_empty(&w->queue) && list_empty(&w->wake_node))
        list_push_back(&e->wake, &w->wake_node);
}

/* ---- making and ending ---- */

struct txn *txn_new(struct client *c, struct request *r)
{
    struct engine *e = c->engine;
    struct txn *t = mem_zalloc(sizeof(*t));
    t->engine = e;
    t->client = c;
    t->seq = ++e->next_seq;
    t->arrived_us = loop_now_us(e->loop);
    t->proto = c->proto;
    t->single.request = r;
    t->single.db = c->db;
    t->commands = &t->single;
    t->ncommands = 1;
    t->memory = sizeof(*t) + (r != NULL ? r->memory : 0);
    list_init(&t->work_node);
    list_init(&t->started_node);
    list_push_back(&c->txns, &t->client_node);
    list_push_back(&e->active, &t->age_node);
    c->pending++;
    c->pending_memory += t->memory;
    return t;
}

static void release_keys(struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        value_unref(t->keys[i].key.value);
        entry_unuse(t->engine, t->keys[i].entry);
    }
    if (t->keys != &t->own_key)
        mem_free(t->keys);
    t->keys = NULL;
    t->nkeys = 0;
    more_free(t);
    script_free(t);
}

static void release_commands(struct txn *t)
{
    for (int i = 0; i < t->ncommands; i++) {
        request_free(t->commands[i].request);
        said_free(t->commands[i].said);
        if (t->commands[i].keys != &t->own_key_ref)
            mem_free(t->commands[i].keys);
    }
    if (t->commands != &t->single)
        mem_free(t->commands);
    t->commands = NULL;
    t->ncommands = 0;
    session_forget(t);
}

void txn_free(struct txn *t)
{
    block_forget(t);
    client_rights_asked(t);
    if (t->client != NULL) {
        list_remove(&t->client_node);
        t->client->pending--;
        t->client->pending_memory -= t->memory;
    }
    if (t->state != TXN_DONE)
        list_remove(&t->age_node);
    list_remove(&t->started_node);
    list_remove(&t->work_node);
    for (int i = 0; i < t->nkeys; i++)
        list_remove(&t->keys[i].queue_node);
    release_keys(t);
    release_commands(t);
    buf_release(&t->reply);
    buf_release(&t->rows);
    events_release_txn(t);
    mem_free(t);
}

static bool is_active(enum txn_state s)
{
    return s != TXN_QUEUED && s != TXN_BLOCKED && s != TXN_DONE;
}

void txn_set_state(struct txn *t, enum txn_state to)
{
    static const bool legal[9][9] = {
        [TXN_QUEUED] = {[TXN_WAITING] = true, [TXN_FETCHING] = true, [TXN_GATHERED] = true,
                        [TXN_RUNNING] = true, [TXN_EXCLUSIVE] = true, [TXN_QUERYING] = true,
                        [TXN_BLOCKED] = true, [TXN_DONE] = true},
        [TXN_WAITING] = {[TXN_FETCHING] = true, [TXN_GATHERED] = true, [TXN_EXCLUSIVE] = true,
                         [TXN_RUNNING] = true, [TXN_BLOCKED] = true, [TXN_DONE] = true},
        [TXN_RUNNING] = {[TXN_GATHERED] = true, [TXN_QUEUED] = true, [TXN_BLOCKED] = true,
                         [TXN_DONE] = true},
        [TXN_EXCLUSIVE] = {[TXN_QUEUED] = true, [TXN_BLOCKED] = true, [TXN_DONE] = true},
        [TXN_FETCHING] = {[TXN_GATHERED] = true, [TXN_QUEUED] = true, [TXN_RUNNING] = true,
                          [TXN_BLOCKED] = true, [TXN_DONE] = true},
        [TXN_BLOCKED] = {[TXN_WAITING] = true, [TXN_DONE] = true},
        [TXN_GATHERED] = {[TXN_QUEUED] = true, [TXN_DONE] = true},
        [TXN_QUERYING] = {[TXN_DONE] = true},
    };
    CHECK(legal[t->state][to]);
    struct client *c = t->client;
    if (c != NULL) {
        bool was_active = is_active(t->state);
        c->active += is_active(to);
        c->active -= was_active;
        if (t->readonly)
            client_count_fetching(c, (to == TXN_FETCHING) - (t->state == TXN_FETCHING));
        c->gathered += (to == TXN_GATHERED) - (t->state == TXN_GATHERED);
        if (t->sent_conditional)
            c->sent_conditional--;
        if (is_active(to) && !was_active) {
            client_expect(c, t);
            list_push_back(&t->engine->started, &t->started_node);
        }
        if (!is_active(to)) {
            list_remove(&t->started_node);
            c->expected_bytes -= t->expected_bytes;
            t->expected_bytes = 0;
        }
    }
    t->sent_conditional = false;
    t->state = to;
}

void txn_reply_init(struct txn *t, struct reply *r)
{
    t->reply.len = 0;
    *r = (struct reply){&t->reply, t->proto, false};
}

void txn_done(struct txn *t)
{
    struct engine *e = t->engine;
    struct client *c = t->client;
    int64_t us = loop_now_us(e->loop) - t->arrived_us;
    if (us < 0)
        us = 0;
    stats_note_txn(t, (uint64_t)us);
    slowlog_note(t, us);
    script_note(t);
    block_ended(t);
    pubsub_done(t);
    client_rights_asked(t);
    txn_set_state(t, TXN_DONE);
    list_remove(&t->age_node);
    list_remove(&t->work_node);
    for (int i = 0; i < t->nkeys; i++)
        entry_wake_later(e, t->keys[i].entry);
    if (c != NULL)
        absence_note(c, t);
    if (t->events != NULL)
        events_publish(t);
    release_keys(t);
    release_commands(t);
    if (c == NULL) {
        txn_free(t);
        return;
    }
    if (t->stalls)
        client_unstall(c);
    t->close_after |= t->exec && c->killed_itself;
    client_flush(c);
    client_pump_later(c);
}

static void reply_error_only(struct txn *t, const char *error)
{
    struct reply r;
    txn_reply_init(t, &r);
    reply_error(&r, error);
}

void txn_fail(struct txn *t, const char *error)
{
    script_forget(t);
    session_put_back(t);
    reply_error_only(t, error);
    events_drop(t);
    txn_done(t);
}

void txn_abandon(struct txn *t, const char *error)
{
    struct client *c = t->client;
    CHECK(c != NULL);
    session_put_back(t);
    struct txn *slot = mem_zalloc(sizeof(*slot));
    slot->engine = t->engine;
    slot->client = c;
    slot->state = TXN_DONE;
    slot->proto = t->proto;
    slot->memory = sizeof(*slot);
    slot->close_after = t->close_after;
    slot->silent = t->silent;
    list_init(&slot->age_node);
    list_init(&slot->started_node);
    list_init(&slot->work_node);
    list_insert_after(&t->client_node, &slot->client_node);
    reply_error_only(slot, error);
    stats_note_error_reply(t, &slot->reply);
    c->pending_memory += slot->memory;
    /* The txn leaves its client's counters and list; its holder frees it. */
    client_rights_asked(t);
    c->active--;
    c->expected_bytes -= t->expected_bytes;
    client_count_fetching(c, -(t->readonly && t->state == TXN_FETCHING));
    c->gathered -= t->state == TXN_GATHERED;
    c->sent_conditional -= t->sent_conditional;
    t->sent_conditional = false;
    c->pending_memory -= t->memory;
    list_remove(&t->client_node);
    list_remove(&t->age_node);
    list_remove(&t->started_node);
    if (c->blocked == t)
        c->blocked = NULL;
    t->client = NULL;
    if (t->state == TXN_GATHERED) {
        if (c->open_group == t->group)
            c->open_group = NULL;
        gather_note_abandoned(t->gather);
    }
    if (t->stalls)
        client_unstall(c);
    client_flush(c);
    client_pump_later(c);
}

/* ---- keys ---- */

struct txn_key *txn_add_key(struct txn *t, int db, struct bytes name, bool observed)
{
    struct entry *entry = entry_use(t->engine, db, name);
    struct entry_work *w = entry->work;
    if (w->marking == t) {
        entry_unuse(t->engine, entry);
        return &t->keys[w->mark_at];
    }
    w->marking = t;
    w->mark_at = t->nkeys;
    struct txn_key *k = &t->keys[t->nkeys++];
    *k = (struct txn_key){.txn = t, .entry = entry, .observed = observed};
    k->key.db = db;
    k->key.name = entry_key(entry);
    list_init(&k->queue_node);
    return k;
}

static void add_command_keys(struct txn *t, struct txn_command *tc)
{
    const struct command *cmd = tc->cmd;
    int argc = tc->request->argc;
    const struct bytes *argv = tc->request->argv;
    int databases = t->engine->config->databases;
    tc->nkeys = command_place_count(cmd, argc, argv, databases, tc->db);
    if (tc->nkeys == 0)
        return;
    /* Whether a key is new cannot be told blindly. */
    bool blind = cmd->is_blind != NULL && (t->engine->events & EVENT_NEW) == 0 &&
                 cmd->is_blind(argc, argv);
    tc->keys = t->keys == &t->own_key ? &t->own_key_ref
                                      : mem_alloc((size_t)tc->nkeys * sizeof(*tc->keys));
    for (int i = 0; i < tc->nkeys; i++) {
        struct key_place place = command_place(cmd, argc, argv, databases, tc->db, i);
        tc->keys[i] = &txn_add_key(t, place.db, argv[place.arg], !blind)->key;
    }
}

/* A block that does more than change keys runs with their rows locked and its watches judged, not
 * on what memory knows: what a run has done to the connection or the server cannot be taken back.
 */
static bool has_effect(const struct txn *t)
{
    for (int i = 0; i < t->ncommands; i++) {
        if (session_has_effect(t->commands[i].cmd))
            return true;
    }
    return false;
}

void txn_build_keys(struct txn *t, const struct watch *watches, int nwatches)
{
    size_t most = (size_t)nwatches;
    t->readonly = true;
    for (int i = 0; i < t->ncommands; i++) {
        const struct txn_command *tc = &t->commands[i];
        const struct request *r = tc->request;
        most += (size_t)command_place_count(tc->cmd, r->argc, r->argv,
                                            t->engine->config->databases, tc->db);
        t->readonly &= (tc->cmd->flags & (CF_WRITE | CF_MAY_WRITE)) == 0;
        t->uses_keys |= command_uses_keys(tc->cmd);
    }
    t->keys = most <= 1 ? &t->own_key : mem_zalloc(most * sizeof(*t->keys));
    for (int i = 0; i < nwatches; i++) {
        const struct watch *w = &watches[i];
        struct txn_key *k = txn_add_key(t, w->db, bytes_of(w->key, w->key_len), true);
        if (k->watched)
            continue; /* a second WATCH forgives nothing */
        k->watched = true;
        k->watched_live = w->live;
        k->watched_version = w->version;
        k->watched_space = w->space;
    }
    for (int i = 0; i < t->ncommands; i++)
        add_command_keys(t, &t->commands[i]);
    for (int i = 0; i < t->nkeys; i++)
        t->keys[i].entry->work->marking = NULL;
    t->shared = t->readonly || block_may_wait(t);
    t->exclusive |= t->exec && t->nkeys > 0 && has_effect(t);
    more_init(t);
    script_init(t);
}

/* ---- running ---- */

/* A collection that is being changed passes from txn to txn, so that many changes cost one copy. Whoever
 * takes it is certain to join the gather: what could keep it out has been looked at before. A txn that
 * may yet ask for more keys is not, and gets a reference. */
static void take_working_value(struct txn_key *k, struct item *item)
{
    k->key.value = item->value;
    k->taken = item->value != NULL && value_is_collection(item->value) && !k->txn->readonly &&
               k->txn->more == NULL;
    if (k->taken)
        item->value = NULL;
    else if (item->value != NULL)
        value_ref(item->value);
    k->key.expiry = item->expiry;
}

static void fill_key(struct txn_key *k)
{
    const struct entry *entry = k->entry;
    struct item *item = entry->work->item;
    CHECK(!k->taken);
    value_unref(k->key.value);
    k->key.value = NULL;
    k->key.change = KEY_UNCHANGED;
    k->key.blind = !k->observed;
    k->key.guessed = false;
    k->key.removed = false;
    k->key.asked = k->watched;
    k->key.used_ms = use_of_key(k);
    k->key.expiry = (struct expiry){EXPIRY_NONE, 0};
    if (k->key.blind)
        return;
    if (item != NULL && item->op != COMMIT_CHECK) {
        take_working_value(k, item);
    } else if (entry->knowledge == ENTRY_LIVE) {
        k->key.value = value_ref(entry->value);
        if (entry->expires_us != STORE_NEVER)
            k->key.expiry = (struct expiry){EXPIRY_AT, entry->expires_us};
    } else {
        /* Also what was absent when it was last looked at, or has expired here since it was journalled:
         * another instance may have made it since, or prolonged it. */
        const struct store *store = k->txn->engine->store;
        k->key.guessed = store_state(store) == STORE_AWAY && store_memory_is_truth(store);
    }
}

/* Of a key that was absent and is absent, a FLUSH or SWAPDB leaves no trace but the space. */
bool txn_watch_holds(const struct txn_key *k, bool live, int64_t version)
{
    if (live != k->watched_live)
        return false;
    if (live)
        return version == k->watched_version;
    return version <= k->watched_version &&
           k->txn->engine->spaces[k->key.db] == k->watched_space;
}

/* Is every watched key exactly as WATCH found it? */
static bool watches_hold(const struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        const struct txn_key *k = &t->keys[i];
        const struct entry *entry = k->entry;
        if (!k->watched)
            continue;
        bool dirty = entry->work->item != NULL && entry->work->item->op != COMMIT_CHECK;
        bool live = entry->knowledge == ENTRY_LIVE;
        if (dirty || !txn_watch_holds(k, live, entry->version))
            return false;
    }
    return true;
}

bool txn_may_run(struct txn *t, struct txn_command *tc, struct reply *r)
{
    if (!t->exec || t->client == NULL)
        return true;
    return access_allows_queued(t, tc, r);
}

void txn_run_command(struct txn *t, struct txn_command *tc, struct reply *r)
{
    size_t at = r->out->len;
    r->is_error = false;
    if (!txn_may_run(t, tc, r)) {
        tc->error_at = (uint32_t)at + 1;
        return;
    }
    if (tc->cmd->handler == NULL) {
        if (command_is_eval(tc->cmd))
            script_command(t, tc, r);
        else
            session_run_in(t, tc, r);
        tc->error_at = r->is_error ? (uint32_t)at + 1 : 0;
        return;
    }
    struct command_ctx ctx = {
        .cmd = tc->cmd, .argc = tc->request->argc, .argv = tc->request->argv,
        .now_ms = t->now_ms, .keys = tc->keys, .nkeys = tc->nkeys, .db = tc->db,
        .databases = t->engine->config->databases, .more = more_finder(t),
        .reads_all_keys = tc->reads_all_keys,
        .max_value = (size_t)t->engine->config->proto_max_bulk_len, .reply = r, .events = t->events,
        .lookups = &t->lookups};
    struct command_wait wait;
    ctx.wait = block_offer(t, tc, &wait);
    if (ctx.wait != NULL && block_is_over(t)) { /* as if it found nothing */
        t->wants_wait = true;
        return;
    }
    if (t->events != NULL)
        events_begin_command(t->events);
    lookups_begin_command(&t->lookups);
    absence_ask(tc->cmd, ctx.argc, ctx.argv, ctx.keys, ctx.nkeys);
    tc->cmd->handler(&ctx);
    if (ctx.wait != NULL)
        block_take(t, &wait);
    tc->error_at = r->is_error ? (uint32_t)at + 1 : 0;
}

/* The store's now_us. A clock that was set right ends what an earlier one has told. */
static int64_t look_at_clock(struct engine *e)
{
    int64_t now_us = e->store->ops->now_us(e->store);
    if (e->clock_set != e->store->clock_set)
        e->now_floor_ms = 0;
    e->clock_set = e->store->clock_set;
    return now_us;
}

void txn_set_now(struct txn *t, int64_t now_ms)
{
    struct engine *e = t->engine;
    look_at_clock(e);
    if (now_ms > e->now_floor_ms)
        e->now_floor_ms = now_ms;
    t->now_ms = e->now_floor_ms;
}

/* Good enough where PostgreSQL judges afterwards; never the time of an answer to a read. */
static int64_t estimated_now_ms(struct engine *e)
{
    int64_t now_ms = look_at_clock(e) / 1000;
    return now_ms > e->now_floor_ms ? now_ms : e->now_floor_ms;
}

void txn_run_commands(struct txn *t, struct reply *r)
{
    for (int i = 0; i < t->ncommands && !more_asked(t) && !script_is_void(t); i++)
        txn_run_command(t, &t->commands[i], r);
}

static bool has_changed(const struct txn *t)
{
    bool changed = false;
    for (int i = 0; i < t->nkeys; i++)
        changed |= t->keys[i].key.change != KEY_UNCHANGED;
    return changed;
}

/* Runs all commands over the entries as they are, at t->now_ms; true if a key changed. May be called
 * again. What runs_anew says comes first. */
static bool run(struct txn *t)
{
    struct reply r;
    txn_reply_init(t, &r);
    script_begin(t);
    t->lookups = (struct lookups){0};
    if (t->engine->events != 0 || t->events != NULL)
        events_begin_run(t);
    if (t->exec_abort) {
        if (t->client != NULL)
            client_unwatch(t->client);
        if (t->rows.len > 0) /* EXEC itself was wrong: its error is here */
            buf_append_bytes(r.out, buf_bytes(&t->rows));
        else
            reply_error(&r, "EXECABORT Transaction discarded because of previous errors.");
        return false;
    }
    if (!watches_hold(t)) {
        reply_null_array(&r);
        for (int i = 0; i < t->nkeys; i++)
            t->keys[i].key.change = KEY_UNCHANGED;
        return false;
    }
    for (int i = 0; i < t->nkeys; i++)
        fill_key(&t->keys[i]);
    if (t->exec)
        reply_array(&r, (size_t)t->ncommands);
    more_begin(t);
    if (t->script != NULL)
        script_run(t, &r);
    else
        txn_run_commands(t, &r);
    more_end(t);
    return has_changed(t);
}

/* Nothing of the last run counts: it lacked keys, or took too long for how it was begun. */
static bool runs_anew(struct txn *t)
{
    bool long_one = script_was_too_long(t);
    return more_add_keys(t) || long_one;
}

static bool in_gather(const struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        if (t->keys[i].entry->work->gather != NULL)
            return true;
    }
    return false;
}

static void settle_watch(struct txn *t)
{
    struct client *c = t->client;
    struct reply r;
    txn_reply_init(t, &r);
    reply_ok(&r);
    if (c != NULL && !c->closed) {
        c->watches = mem_realloc(c->watches,
                                 (size_t)(c->nwatches + t->nkeys) * sizeof(*c->watches));
        for (int i = 0; i < t->nkeys; i++) {
            const struct entry *entry = t->keys[i].entry;
            c->watches[c->nwatches++] = (struct watch){
                entry->db, mem_strndup(entry->key, entry->key_len), entry->key_len,
                entry->knowledge == ENTRY_LIVE, entry->version,
                t->engine->spaces[entry->db]};
        }
    }
    txn_done(t);
}

void txn_fetched(struct txn *t)
{
    if (t->is_watch) {
        settle_watch(t);
        return;
    }
    run(t);
    if (script_is_paused(t))
        script_hold(t);
    else
        txn_ran(t);
}

void txn_ran(struct txn *t)
{
    if (runs_anew(t)) {
        txn_again(t);
    } else if (has_changed(t)) {
        size_t lane;
        bool beside_others = t->shared;
        t->shared = t->readonly; /* to write, it has to have its keys alone */
        if (!beside_others && gather_lane_for(t, &lane))
            gather_join(t, lane);
        else
            txn_again(t);
    } else if (!block_park(t)) {
        txn_done(t);
    }
}

/* ---- waiting and starting ---- */

/* Would running now see values that are certainly not the stored ones? Where PostgreSQL can be read and not
 * written, also: that may not be, for no commit would find it out. */
static bool needs_fetch(const struct txn *t)
{
    const struct store *store = t->engine->store;
    bool unchecked = store_state(store) == STORE_AWAY && !store_memory_is_truth(store);
    int64_t now_ms = estimated_now_ms(t->engine);
    for (int i = 0; i < t->nkeys; i++) {
        const struct txn_key *k = &t->keys[i];
        const struct entry *entry = k->entry;
        if (!k->observed || entry->work->gather != NULL)
            continue;
        if (entry->knowledge == ENTRY_UNKNOWN || (unchecked && entry->dirty == NULL) ||
            (entry->knowledge == ENTRY_LIVE && entry->expires_us / 1000 <= now_ms))
            return true;
    }
    return false;
}

static bool group_runs_alone(const struct group *g)
{
    return !list_empty(&g->txns) && LIST_ITEM(g->txns.next, struct txn, work_node)->solo;
}

static bool may_use(const struct txn *t, const struct txn_key *k)
{
    const struct entry_work *w = k->entry->work;
    if (!list_empty(&w->queue) && w->queue.next != &k->queue_node)
        return false;
    if (w->exclusive || ((!t->shared || t->exclusive) && w->readers > 0))
        return false;
    if (w->gather == NULL)
        return true;
    if (w->gather->state != GATHER_OPEN || (t->readonly && t->nkeys > 1))
        return false;
    return !t->is_watch && !t->solo && !group_runs_alone(w->item->group);
}

/* WAY_MEMORY: a read that is answered by what is here. Only of a single key: several would not be of
 * one moment. WAY_TRY: a write that, if it changes nothing, can go with others of the kind. */
enum way { WAY_BLOCKED, WAY_FETCH, WAY_RUN, WAY_EXCLUSIVE, WAY_MEMORY, WAY_TRY };

/* While memory is the truth, what it knows needs no other proof. */
static bool is_known(const struct txn *t)
{
    int64_t now_ms = estimated_now_ms(t->engine);
    for (int i = 0; i < t->nkeys; i++) {
        const struct entry *entry = t->keys[i].entry;
        if (entry->knowledge == ENTRY_UNKNOWN || entry->guessed ||
            (entry->knowledge == ENTRY_LIVE && entry->expires_us / 1000 <= now_ms))
            return false;
    }
    return true;
}

static bool may_answer_from_memory(const struct txn *t)
{
    const struct entry *entry = t->keys[0].entry;
    if (store_memory_is_truth(t->engine->store))
        return is_known(t);
    return t->nkeys == 1 && !t->exec && !t->is_watch && fresh_may_answer(t->engine, entry) &&
           entry->expires_us / 1000 > estimated_now_ms(t->engine);
}

/* Others read its keys: it may look with them, and not write. */
static bool is_read_by_others(const struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        if (t->keys[i].entry->work->readers > 0)
            return true;
    }
    return false;
}

/* A write of one key, about which all that matters is known before it runs. */
static bool is_simple_write(const struct txn *t)
{
    return t->nkeys == 1 && !t->readonly && !t->is_watch && !t->exec && t->more == NULL &&
           t->script == NULL && t->keys[0].observed && !t->exclusive && !block_may_wait(t);
}

/* Writes that change nothing (SADD of a member, SPOP of nothing) are reads, as it turns out, and have no
 * batch to travel in. While some of them are being proven, whoever comes next for the same key is likely
 * to be one, too, and need not wait for them to end. */
static bool may_try(const struct txn *t)
{
    const struct entry_work *w = t->keys[0].entry->work;
    return w->idlers > 0 && !t->tried && !t->shared && is_simple_write(t) && !w->exclusive &&
           w->gather == NULL && (list_empty(&w->queue) || w->queue.next == &t->keys[0].queue_node) &&
           !needs_fetch(t);
}

/* How could this txn go on right now? */
static enum way find_way(const struct txn *t)
{
    if (t->nkeys > 0 && may_try(t))
        return WAY_TRY;
    for (int i = 0; i < t->nkeys; i++) {
        if (!may_use(t, &t->keys[i]))
            return WAY_BLOCKED;
    }
    bool gathered = in_gather(t);
    size_t lane;
    if (t->exclusive)
        return gathered ? WAY_BLOCKED : WAY_EXCLUSIVE;
    if (gathered && (t->ungathered || !gather_lane_for((struct txn *)t, &lane)))
        return WAY_BLOCKED;
    if (t->nkeys == 0)
        return WAY_RUN;
    if (script_is_long(t))
        return gathered ? WAY_BLOCKED : WAY_FETCH;
    if (t->is_watch || t->readonly) {
        if (gathered)
            return WAY_RUN;
        return may_answer_from_memory(t) ? WAY_MEMORY : WAY_FETCH;
    }
    if (!needs_fetch(t) && !is_read_by_others(t))
        return WAY_RUN;
    return gathered ? WAY_BLOCKED : WAY_FETCH;
}

/* Into the queues of all its entries, behind the older ones. */
static void enqueue(struct txn *t)
{
    if (t->state != TXN_WAITING)
        txn_set_state(t, TXN_WAITING);
    for (int i = 0; i < t->nkeys; i++) {
        struct list *queue = &t->keys[i].entry->work->queue;
        struct list *at = queue->prev;
        while (at != queue && LIST_ITEM(at, struct txn_key, queue_node)->txn->seq > t->seq)
            at = at->prev;
        list_insert_after(at, &t->keys[i].queue_node);
    }
}

/* It may stand before younger ones with nothing in its way: somebody has to look. */
void txn_wait(struct txn *t)
{
    enqueue(t);
    for (int i = 0; i < t->nkeys; i++)
        entry_wake_later(t->engine, t->keys[i].entry);
}

/* Its run has changed nothing; now it is looked whether the key is what it ran on. If not, it starts
 * again. */
static void prove_idle(struct txn *t)
{
    t->idle = is_simple_write(t);
    t->shared |= t->idle;
    fetch_join(t, !t->shared);
}

static void try_run(struct txn *t)
{
    struct key *k = &t->keys[0].key;
    t->tried = true;
    t->now_ms = estimated_now_ms(t->engine);
    if (!run(t)) {
        prove_idle(t);
        return;
    }
    value_unref(k->value);
    k->value = NULL;
    txn_wait(t);
}

static void run_unvalidated(struct txn *t)
{
    t->now_ms = estimated_now_ms(t->engine);
    bool changed = run(t);
    size_t lane;
    if (script_is_paused(t)) {
        script_hold(t);
    } else if (t->wants_wait) {
        block_unproven(t);
    } else if (runs_anew(t)) {
        if (t->nkeys > 0)
            txn_wait(t);
        else
            run_unvalidated(t); /* this time it can wait */
    } else if (!changed && (t->nkeys == 0 || (!in_gather(t) && store_memory_is_truth(t->engine->store)))) {
        txn_done(t);
    } else if (!changed && !in_gather(t)) {
        prove_idle(t);
    } else if (gather_lane_for(t, &lane)) {
        gather_join(t, lane);
    } else {
        txn_wait(t); /* only now known: it writes a large value, and the key is on another lane */
    }
}

static void answer_from_memory(struct txn *t)
{
    txn_set_now(t, estimated_now_ms(t->engine));
    if (t->is_watch) {
        settle_watch(t);
        return;
    }
    bool changed = run(t);
    if (runs_anew(t)) {
        txn_wait(t);
        return;
    }
    CHECK(!changed);
    fresh_note_answer(t->engine);
    txn_done(t);
}

static void go(struct txn *t, enum way way)
{
    const char *unavailable = txn_unavailable(t);
    if (unavailable != NULL)
        txn_fail(t, unavailable);
    else if (way == WAY_EXCLUSIVE)
        exclusive_join(t);
    else if (way == WAY_FETCH)
        fetch_join(t, !t->shared);
    else if (way == WAY_MEMORY)
        answer_from_memory(t);
    else if (way == WAY_TRY)
        try_run(t);
    else
        run_unvalidated(t);
}

static void dequeue(struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++) {
        list_remove(&t->keys[i].queue_node);
        entry_wake_later(t->engine, t->keys[i].entry);
    }
}

void txn_start(struct txn *t)
{
    const char *unavailable = txn_unavailable(t);
    enum way way = find_way(t);
    if (unavailable != NULL)
        txn_fail(t, unavailable);
    else if (way == WAY_BLOCKED)
        txn_wait(t);
    else
        go(t, way);
}

bool txn_join_now(struct txn *t)
{
    struct client *c = t->client;
    enum way way = find_way(t);
    size_t lane;
    if (txn_unavailable(t) != NULL || t->nkeys == 0 || t->exclusive)
        return false;
    if ((way == WAY_FETCH || way == WAY_MEMORY) && t->readonly && c->active == c->fetching) {
        if (way == WAY_MEMORY && fetch_shares_key(t))
            return false;
        go(t, way);
        return true;
    }
    bool alone = t->solo || (c->open_group != NULL && group_runs_alone(c->open_group));
    if (way != WAY_RUN || c->active != c->gathered || c->sent_conditional > 0 || alone ||
        !gather_lane_for(t, &lane))
        return false;
    /* What changes nothing is a read, and a read waits for the writes before it. */
    t->now_ms = estimated_now_ms(t->engine);
    bool changed = run(t);
    if (t->wants_wait)
        block_give_back(t);
    if (t->wants_wait || runs_anew(t) || (!changed && !in_gather(t)) ||
        !gather_lane_for(t, &lane))
        return false;
    gather_join(t, lane);
    return true;
}

void txn_again(struct txn *t)
{
    for (int i = 0; i < t->nkeys; i++)
        entry_wake_later(t->engine, t->keys[i].entry);
    if (t->client == NULL) {
        txn_free(t);
        return;
    }
    if (t->wait != NULL)
        block_again(t);
    list_remove(&t->work_node);
    t->gather = NULL;
    t->group = NULL;
    /* Optimism has failed often enough: the next time with its rows locked. */
    t->exclusive |= t->attempts >= MAX_ATTEMPTS;
    txn_set_state(t, TXN_QUEUED);
    struct list *queue = &t->client->queue;
    struct list *at = queue->prev;
    while (at != queue && LIST_ITEM(at, struct txn, work_node)->seq > t->seq)
        at = at->prev;
    list_insert_after(at, &t->work_node);
    client_pump_later(t->client);
}

static void wake_entry(struct entry_work *w)
{
    while (!list_empty(&w->queue)) {
        struct txn *t = LIST_ITEM(w->queue.next, struct txn_key, queue_node)->txn;
        enum way way = find_way(t);
        if (way == WAY_BLOCKED)
            return;
        /* The entry itself may be unused after this: hold it. */
        struct engine *e = t->engine;
        struct entry *entry = w->entry;
        entry_pin_again(entry);
        dequeue(t);
        go(t, way);
        bool last = entry->pins == 1;
        entry_unuse(e, entry);
        if (last)
            return;
    }
}

void engine_wake(struct engine *e)
{
    while (!list_empty(&e->wake)) {
        struct entry_work *w = LIST_ITEM(e->wake.next, struct entry_work, wake_node);
        list_remove(&w->wake_node);
        wake_entry(w);
    }
}

/* ---- limits ---- */

void txn_time_out(struct txn *t)
{
    t->engine->timeouts++;
    switch (t->state) {
    case TXN_QUEUED:
        if ((t->exec || t->exec_abort) && !t->built)
            client_unwatch(t->client);
        txn_fail(t, error_not_done);
        break;
    case TXN_WAITING:
        dequeue(t);
        txn_fail(t, error_not_done);
        break;
    case TXN_FETCHING:
        txn_abandon(t, error_read_late);
        break;
    case TXN_GATHERED:
        if (t->gather->state == GATHER_SENT)
            txn_abandon(t, error_unknown);
        else
            txn_abandon(t, gather_is_locked(t->gather) ? error_locked : error_not_done);
        break;
    case TXN_RUNNING:
        break; /* it waits for nobody */
    case TXN_EXCLUSIVE:
        txn_abandon(t, exclusive_has_begun(t) ? error_unknown : error_not_done);
        break;
    case TXN_QUERYING:
        txn_abandon(t, error_read_late);
        break;
    case TXN_BLOCKED:
    case TXN_DONE:
        check_failed("done txn in the list of active ones", __FILE__, __LINE__);
    }
}
