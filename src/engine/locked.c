/* locked: groups that wait for rows that somebody else holds. A batch that met such a row was not
 * carried out; a query finds out which of its rows it is (probing), the groups that have it are parked
 * one by one, and the others go out again. Parked ones are asked about until their rows are free. */
#include "engine/gather.h"
#include "engine/internal.h"

#include <string.h>

#include "base/mem.h"

enum { PROBE_INTERVAL_US = 50 * 1000 };

static void on_probe(struct store_query *q);
static void on_probe_row(struct store_query *q, int64_t i, struct bytes key, bool live, uint8_t type);
static void on_parked_timer(void *arg);

void locked_init(struct engine *e)
{
    list_init(&e->parked);
    e->parked_timer = timer_new(e->loop, on_parked_timer, e);
}

void locked_release(struct engine *e)
{
    LIST_EACH(it, &e->parked)
    gather_drop(LIST_ITEM(it, struct gather, node));
    timer_free(e->parked_timer);
}

bool gather_is_locked(const struct gather *g)
{
    return g->state == GATHER_PARKED || g->state == GATHER_PROBING;
}

void locked_park(struct group *grp, bool unseen)
{
    struct engine *e = grp->gather->engine;
    struct gather *g = gather_new(e, grp->gather->lane);
    g->state = GATHER_PARKED;
    g->unseen = unseen;
    group_hold_back_clients(grp);
    group_move(grp, g);
    list_push_back(&e->parked, &g->node);
    if (e->nparked++ == 0)
        timer_set(e->parked_timer, PROBE_INTERVAL_US);
}

/* Which rows are locked? Or, where none of them can be seen to be: is anything? */
static void probe(struct gather *g, enum store_query_kind kind)
{
    struct engine *e = g->engine;
    gather_set_state(g, GATHER_PROBING);
    g->locked = mem_realloc(g->locked, g->nitems + 1);
    memset(g->locked, 0, g->nitems + 1);
    g->probe = (struct store_query){.kind = kind, .items = g->commit_items, .n = g->batch.n,
                                    .row = on_probe_row, .done = on_probe};
    e->store->ops->query(e->store, &g->probe);
}

void locked_find(struct gather *g)
{
    struct engine *e = g->engine;
    list_push_back(&e->parked, &g->node);
    e->nparked++;
    probe(g, QUERY_FIND_LOCKED);
}

static void on_probe_row(struct store_query *q, int64_t i, struct bytes key, bool live,
                         uint8_t type)
{
    struct gather *g = LIST_ITEM(q, struct gather, probe);
    (void)key;
    (void)live;
    (void)type;
    CHECK(i >= 0 && (size_t)i < g->batch.n);
    g->locked[i] = true;
}

/* Groups with a locked row are parked one by one; returns whether there were any. */
static bool park_locked(struct gather *g)
{
    bool any = false;
    size_t i = 0;
    LIST_EACH(at, &g->groups)
    {
        struct group *grp = LIST_ITEM(at, struct group, node);
        bool locked = false;
        LIST_EACH(it, &grp->items)
        {
            struct entry *entry = LIST_ITEM(it, struct item, node)->entry;
            entry->suspect = g->locked[i];
            locked |= g->locked[i++];
        }
        if (locked)
            locked_park(grp, false);
        any |= locked;
    }
    return any;
}

/* No row of it can be seen to be locked, and yet it could not be written: somebody's INSERT of a key
 * is under way. Halves are tried, off the commit lane, down to the group that waits. */
static void corner(struct gather *g)
{
    struct engine *e = g->engine;
    size_t half = gather_count_groups(g) / 2;
    if (half == 0) {
        struct group *only = LIST_ITEM(g->groups.next, struct group, node);
        LIST_EACH(it, &only->items)
        LIST_ITEM(it, struct item, node)->entry->suspect = true;
        locked_park(only, true);
        gather_free(g);
        return;
    }
    struct gather *other = gather_new(e, g->lane);
    other->state = GATHER_PARKED;
    for (size_t i = 0; i < half; i++)
        group_move(LIST_ITEM(g->groups.next, struct group, node), other);
    g->state = GATHER_PARKED;
    struct gather *both[] = {g, other};
    for (size_t i = 0; i < 2; i++) {
        list_push_back(&e->parked, &both[i]->node);
        e->nparked++;
        gather_fill_batch(both[i]);
        probe(both[i], QUERY_TRY_LOCK);
    }
}

static void clear_suspicion(struct gather *g)
{
    LIST_EACH(at, &g->groups)
    {
        LIST_EACH(it, &LIST_ITEM(at, struct group, node)->items)
        LIST_ITEM(it, struct item, node)->entry->suspect = false;
    }
}

static void on_probe(struct store_query *q)
{
    struct gather *g = LIST_ITEM(q, struct gather, probe);
    struct engine *e = g->engine;
    engine_check_deadlines(e); /* whose time is over is told that nothing was written, and is not sent again */
    list_remove(&g->node);
    e->nparked--;
    if (q->kind == QUERY_TRY_LOCK && q->result == STORE_LOCKED) {
        corner(g);
    } else if (q->kind == QUERY_FIND_LOCKED && q->result == STORE_OK && !park_locked(g)) {
        list_push_back(&e->parked, &g->node);
        e->nparked++;
        g->state = GATHER_PARKED;
        probe(g, QUERY_TRY_LOCK);
    } else if (list_empty(&g->groups)) {
        gather_free(g);
    } else {
        if (q->kind == QUERY_TRY_LOCK)
            clear_suspicion(g);
        gather_ready_again(g);
    }
    if (e->nparked > 0)
        timer_set(e->parked_timer, PROBE_INTERVAL_US);
    engine_pump_clients(e);
}

/* All that wait for rows that can be seen ask together. */
static void on_parked_timer(void *arg)
{
    struct engine *e = arg;
    struct gather *all = NULL;
    LIST_EACH(it, &e->parked)
    {
        struct gather *g = LIST_ITEM(it, struct gather, node);
        if (g->state != GATHER_PARKED)
            continue;
        struct group *grp = LIST_ITEM(g->groups.next, struct group, node);
        if (group_has_given_up(grp)) {
            group_run_again(grp, false);
            e->nparked--;
            gather_free(g);
        } else if (g->unseen) {
            gather_fill_batch(g);
            probe(g, QUERY_TRY_LOCK);
        } else if (all == NULL || all->lane != g->lane || all->nitems > MAX_GATHER_ITEMS) {
            if (all != NULL) {
                gather_fill_batch(all);
                probe(all, QUERY_FIND_LOCKED);
            }
            all = g;
        } else {
            group_move(grp, all);
            e->nparked--;
            gather_free(g);
        }
    }
    if (all != NULL) {
        gather_fill_batch(all);
        probe(all, QUERY_FIND_LOCKED);
    }
    if (e->nparked > 0)
        timer_set(e->parked_timer, PROBE_INTERVAL_US);
    engine_pump_clients(e);
}
