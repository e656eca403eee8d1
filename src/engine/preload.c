/* preload: the keys that are live are read into memory at the start, the newest rows first, as far as it
 * goes, and kept up to date: new rows are followed by their ids, and every entry is compared with PostgreSQL again within
 * preload-refresh: what is live, what was absent, and what is not known any more (`forgotten`), because it was
 * merged or written in a way after which only PostgreSQL can tell. So they are here when PostgreSQL is away.
 *
 * It reads as the engine does, by batches on a read lane that nobody needs at the moment, a few at a
 * time. It pins nothing: an entry that somebody works with is left alone. */
#include "base/log.h"
#include "base/mem.h"
#include "engine/internal.h"

enum {
    TICK_US = 50 * 1000,
    FOLLOW_US = 1000 * 1000,
    PAGE = 500,        /* rows of a query */
    BATCH_KEYS = 200,  /* of a read */
    LATE_ROWS = 200,   /* ids given out earlier may be committed later */
};

enum phase { PHASE_LOADING, PHASE_FOLLOWING };

/* A key to be read; its bytes are in preload.keys. */
struct wanted {
    int db;
    size_t at;
    size_t len;
    int64_t known;
    int64_t known_bytes;
};

struct preload {
    struct engine *engine;
    struct timer *timer;
    enum phase phase;
    int db;               /* whose rows are being asked for */
    int64_t cursor;
    int64_t *last_id;     /* per database */
    int guest_db;         /* looked at in this round although it has had no rows */
    int64_t follow_at_us;
    uint64_t refresh_cursor;
    double refresh_due;   /* entries */
    int64_t refreshed_us;
    bool asking;
    bool reading;
    struct store_query query;
    struct read_batch batch;
    uint64_t as_of;
    struct buf keys;
    struct wanted *wanted;
    size_t nwanted;
    size_t cap;
    uint64_t loaded;
    uint64_t refreshed;
};

/* ---- what to read ---- */

static bool has_room(const struct preload *p)
{
    struct keyspace_stats st;
    keyspace_get_stats(p->engine->keyspace, &st);
    return st.memory < st.max_memory / 10 * 9;
}

static void want(struct preload *p, int db, struct bytes key, int64_t known, int64_t known_bytes)
{
    if (p->nwanted == p->cap) {
        p->cap = p->cap > 0 ? p->cap * 2 : BATCH_KEYS;
        p->wanted = mem_realloc(p->wanted, p->cap * sizeof(*p->wanted));
    }
    p->wanted[p->nwanted++] = (struct wanted){db, p->keys.len, key.len, known, known_bytes};
    buf_append_bytes(&p->keys, key);
}

static void forget_wanted(struct preload *p)
{
    p->nwanted = 0;
    buf_reset(&p->keys, 1 << 16);
}

/* ---- reading ---- */

static void take_item(struct preload *p, struct read_item *it)
{
    struct engine *e = p->engine;
    struct entry *entry = keyspace_find(e->keyspace, it->db, it->key);
    int64_t known = entry == NULL ? 0 : fetch_known_of(entry);
    bool answered = !it->undecided && !it->guessed && !it->local && it->known == known &&
                    (entry == NULL || (entry->pins == 0 && entry->dirty == NULL));
    bool usable = answered && it->changed && (it->version > 0 || entry != NULL);
    struct value *v = it->value;
    it->value = NULL;
    if (answered && !it->changed && entry != NULL) {
        if (entry->knowledge == ENTRY_UNKNOWN)
            entry_set_absent(e->keyspace, entry, 0);
        entry->as_of = p->as_of;
        entry->guessed = false;
        entry->merged_unseen = false;
    }
    if (!usable) {
        value_unref(v);
        return;
    }
    if (v == NULL && it->version > 0)
        v = value_ref(entry->value);
    if (entry == NULL)
        entry = keyspace_pin(e->keyspace, it->db, it->key);
    bool made = entry->pins > 0;
    if (it->version > 0)
        entry_set_live(e->keyspace, entry, v, it->version, it->value_version, it->expires_us);
    else
        entry_set_ended(e->keyspace, entry, -it->version, it->ended);
    entry->as_of = p->as_of;
    if (made)
        keyspace_unpin(e->keyspace, entry);
    p->loaded += made;
}

static void on_read(struct read_batch *b)
{
    struct preload *p = LIST_ITEM(b, struct preload, batch);
    p->reading = false;
    bool told = b->result == STORE_OK && !store_memory_is_truth(p->engine->store);
    p->as_of = fresh_as_of(p->engine, p->as_of);
    for (size_t i = 0; i < b->n; i++) {
        if (told)
            take_item(p, &b->items[i]);
        else
            value_unref(b->items[i].value);
    }
    if (!told && b->result != STORE_REFUSED)
        p->nwanted += b->n; /* they still stand there: asked again when PostgreSQL is back */
    mem_free(b->items);
    b->items = NULL;
    timer_set(p->timer, 1000);
}

/* A lane that has nothing to do, nor anybody who wants it. */
static bool find_lane(const struct engine *e, size_t *lane)
{
    for (size_t i = 0; i < e->nreads; i++) {
        if (list_empty(&e->reads[i].next) && list_empty(&e->reads[i].sent) &&
            e->store->ops->read_lane_idle(e->store, i)) {
            *lane = i;
            return true;
        }
    }
    return false;
}

/* The last ones of what is wanted, so that the others need not move. False = no lane is free. */
static bool read_some(struct preload *p)
{
    size_t lane;
    if (!find_lane(p->engine, &lane))
        return false;
    size_t n = p->nwanted < BATCH_KEYS ? p->nwanted : BATCH_KEYS;
    p->batch = (struct read_batch){.n = n, .done = on_read};
    p->batch.items = mem_zalloc(n * sizeof(*p->batch.items));
    for (size_t i = 0; i < n; i++) {
        const struct wanted *w = &p->wanted[p->nwanted - n + i];
        p->batch.items[i] = (struct read_item){.db = w->db,
                                               .key = bytes_of(p->keys.data + w->at, w->len),
                                               .known = w->known, .known_bytes = w->known_bytes};
    }
    p->nwanted -= n;
    p->reading = true;
    p->as_of = fresh_now(p->engine);
    p->engine->store->ops->read(p->engine->store, lane, &p->batch);
    return true;
}

/* ---- rows ---- */

static void on_row(struct store_query *q, int64_t id, struct bytes key, bool live, uint8_t type)
{
    struct preload *p = LIST_ITEM(q, struct preload, query);
    (void)type;
    if (id > p->last_id[q->db])
        p->last_id[q->db] = id;
    if (!live)
        return;
    const struct entry *entry = keyspace_find(p->engine->keyspace, q->db, key);
    if (entry == NULL)
        want(p, q->db, key, 0, 0);
    else if (entry->knowledge != ENTRY_LIVE && entry->pins == 0 && entry->dirty == NULL)
        want(p, q->db, key, fetch_known_of(entry), 0);
}

static void begin_following(struct preload *p)
{
    p->cursor = 0;
    p->db = 0;
    p->guest_db = (p->guest_db + 1) % (int)p->engine->config->databases;
    if (p->phase == PHASE_LOADING)
        log_event(LOG_NOTICE, "preloaded", "keys=%llu", (unsigned long long)p->loaded);
    p->phase = PHASE_FOLLOWING;
    p->follow_at_us = loop_now_us(p->engine->loop) + FOLLOW_US;
}

/* Of the databases that have had no rows so far, one a round. */
static bool is_worth_following(const struct preload *p)
{
    return p->last_id[p->db] > 0 || p->db == p->guest_db;
}

static void next_db(struct preload *p)
{
    int databases = (int)p->engine->config->databases;
    p->cursor = 0;
    do
        p->db++;
    while (p->db < databases && p->phase == PHASE_FOLLOWING && !is_worth_following(p));
    if (p->db == databases)
        begin_following(p);
}

static void on_page(struct store_query *q)
{
    struct preload *p = LIST_ITEM(q, struct preload, query);
    p->asking = false;
    p->cursor = q->cursor;
    if (q->result != STORE_OK)
        p->cursor = 0;
    else if (q->cursor == 0)
        next_db(p);
    timer_set(p->timer, 1000);
}

static void ask_page(struct preload *p)
{
    int64_t from = p->cursor;
    bool loading = p->phase == PHASE_LOADING;
    if (from == 0 && loading)
        from = INT64_MAX;
    else if (from == 0 && p->last_id[p->db] > LATE_ROWS)
        from = p->last_id[p->db] - LATE_ROWS;
    p->asking = true;
    p->query = (struct store_query){.kind = QUERY_SCAN, .db = p->db, .cursor = from,
                                    .newest_first = loading, .limit = PAGE, .row = on_row,
                                    .done = on_page};
    p->engine->store->ops->query(p->engine->store, &p->query);
}

/* ---- comparing again ---- */

/* Made-up keys can be many, and cost a look into the index each. Of one that nobody has used of late a row would
 * be new, and be met as such. */
static bool is_worth_asking(const struct preload *p, const struct entry *entry)
{
    int64_t recent_s = 2 * p->engine->config->preload_refresh_s;
    if (entry->knowledge != ENTRY_ABSENT || entry->version > 0 || entry->guessed)
        return true;
    return loop_now_us(p->engine->loop) / 1000000 - entry->used_s <= recent_s;
}

static void refresh_entry(struct entry *entry, void *arg)
{
    struct preload *p = arg;
    if (entry->pins == 0 && entry->dirty == NULL && !fresh_may_answer(p->engine, entry) &&
        is_worth_asking(p, entry))
        want(p, entry->db, entry_key(entry), fetch_known_of(entry), entry->value_version);
}

/* As many as are due since the last time. */
static void choose_refresh(struct preload *p)
{
    struct engine *e = p->engine;
    struct keyspace_stats st;
    int64_t now_us = loop_now_us(e->loop);
    keyspace_get_stats(e->keyspace, &st);
    double share = (double)(now_us - p->refreshed_us) / ((double)e->config->preload_refresh_s * 1e6);
    p->refreshed_us = now_us;
    p->refresh_due += share * (double)st.entries;
    if (p->refresh_due > (double)st.entries)
        p->refresh_due = (double)st.entries;
    size_t seen = 0;
    while (p->refresh_due >= 1 && p->nwanted < BATCH_KEYS && seen++ < st.entries) {
        size_t before = p->nwanted;
        p->refresh_cursor = keyspace_scan(e->keyspace, p->refresh_cursor, refresh_entry, p);
        p->refresh_due -= p->nwanted > before ? (double)(p->nwanted - before) : 0.5;
    }
    p->refreshed += p->nwanted;
}

/* ---- a step ---- */

static void step(struct preload *p)
{
    struct engine *e = p->engine;
    if (p->asking || p->reading || store_state(e->store) != STORE_ONLINE)
        return;
    if (p->nwanted > 0) {
        read_some(p);
        return;
    }
    forget_wanted(p);
    bool follow = p->phase == PHASE_FOLLOWING && p->cursor == 0 && p->db == 0 &&
                  loop_now_us(e->loop) < p->follow_at_us;
    if (!follow && has_room(p)) {
        ask_page(p);
    } else {
        if (!follow)
            begin_following(p); /* there is no more room */
        choose_refresh(p);
        if (p->nwanted > 0)
            read_some(p);
    }
}

static void on_timer(void *arg)
{
    struct preload *p = arg;
    step(p);
    timer_set(p->timer, TICK_US);
}

void preload_init(struct engine *e)
{
    if (!e->config->preload || e->config->standalone)
        return;
    struct preload *p = mem_zalloc(sizeof(*p));
    p->engine = e;
    p->last_id = mem_zalloc((size_t)e->config->databases * sizeof(*p->last_id));
    p->timer = timer_new(e->loop, on_timer, p);
    p->refreshed_us = loop_now_us(e->loop);
    buf_init(&p->keys);
    timer_set(p->timer, TICK_US);
    keyspace_keep_forgotten(e->keyspace);
    e->preload = p;
}

void preload_release(struct engine *e)
{
    struct preload *p = e->preload;
    if (p == NULL)
        return;
    timer_free(p->timer);
    mem_free(p->batch.items);
    mem_free(p->last_id);
    mem_free(p->wanted);
    buf_release(&p->keys);
    mem_free(p);
}

void preload_info(const struct engine *e, struct buf *out)
{
    const struct preload *p = e->preload;
    buf_printf(out, "preload_state:%s\r\npreload_keys:%llu\r\npreload_refreshed:%llu\r\n",
               p == NULL ? "off" : p->phase == PHASE_LOADING ? "loading" : "following",
               p == NULL ? 0 : (unsigned long long)p->loaded,
               p == NULL ? 0 : (unsigned long long)p->refreshed);
}
