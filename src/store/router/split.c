/* split: PostgreSQL is away for writes, but can be read (read-only, disk full). Keys that it does not
 * have as they are here are answered from memory, all others by it: a batch of both kinds is sent
 * without the former. */
#include "base/mem.h"
#include "store/router/internal.h"

struct split_read {
    struct read_batch batch; /* what PostgreSQL is asked */
    struct router *router;
    struct read_batch *whole;
    size_t *of;              /* of each of its items: the place in `whole` */
};

static bool is_dirty(struct router *r, const struct read_item *it)
{
    const struct entry *e = keyspace_find(r->keyspace, it->db, it->key);
    return (e != NULL && e->dirty != NULL) || r->flushed[it->db];
}

static void on_part(struct read_batch *b)
{
    struct split_read *s = LIST_ITEM(b, struct split_read, batch);
    struct read_batch *whole = s->whole;
    for (size_t i = 0; i < b->n; i++)
        whole->items[s->of[i]] = b->items[i];
    whole->result = b->result;
    whole->time_us = b->time_us;
    mem_free(b->items);
    mem_free(s->of);
    mem_free(s);
    whole->done(whole);
}

void split_read(struct router *r, size_t lane, struct read_batch *b)
{
    struct split_read *s = mem_zalloc(sizeof(*s));
    s->router = r;
    s->whole = b;
    s->of = mem_alloc((b->n + 1) * sizeof(*s->of));
    s->batch = (struct read_batch){.spaces = b->spaces, .nspaces = b->nspaces, .done = on_part};
    s->batch.items = mem_alloc((b->n + 1) * sizeof(*s->batch.items));
    for (size_t i = 0; i < b->n; i++) {
        if (is_dirty(r, &b->items[i])) {
            local_answer_item(r, &b->items[i]);
        } else {
            s->of[s->batch.n] = i;
            s->batch.items[s->batch.n++] = b->items[i];
        }
    }
    if (s->batch.n > 0) {
        r->pg->ops->read(r->pg, lane, &s->batch);
        return;
    }
    mem_free(s->batch.items);
    mem_free(s->of);
    mem_free(s);
    local_read(r, lane, b);
}
