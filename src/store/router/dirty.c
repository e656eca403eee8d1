/* dirty: the keys that PostgreSQL does not have as they are here. */
#include "base/mem.h"
#include "store/router/internal.h"

/* Not live when PostgreSQL was last asked, or removed here, or expired as far as is known here; others may have
 * made it since, or prolonged it. While the row is still the same the write is based on it; a live row is
 * not to be replaced by what somebody writes who could not find it. */
static void base_on_absence(const struct router *r, const struct entry *e, struct journal_item *it)
{
    it->base = r->flushed[e->db] ? BASE_ABSENT : BASE_UNKNOWN;
    it->base_version = e->version;
    if (e->version == 0 && it->base == BASE_UNKNOWN && r->pg != NULL)
        it->base_version = BASE_NO_ROW;
}

void dirty_base_of(const struct router *r, const struct entry *e, int64_t now_us,
                   struct journal_item *it)
{
    const struct dirty *d = e->dirty;
    it->maybe_version = 0;
    if (d != NULL) {
        it->base = d->base;
        it->base_version = d->base_version;
        it->maybe_version = d->maybe_version;
        if (d->base == BASE_UNKNOWN && !d->live) { /* a DEL applies to whatever there was: it is known */
            it->base = BASE_ABSENT;
            it->base_version = d->base_version > BASE_NO_ROW ? d->base_version : d->version;
        }
        return;
    }
    it->base_version = 0;
    if (e->knowledge == ENTRY_UNKNOWN || e->guessed) {
        it->base = r->flushed[e->db] ? BASE_ABSENT : BASE_UNKNOWN;
        return;
    }
    if (!local_is_live(e, now_us)) {
        base_on_absence(r, e, it);
        return;
    }
    it->base = e->merged_unseen ? BASE_UNKNOWN : BASE_LIVE;
    it->base_version = e->version;
    if (e->merged_unseen) /* known, if it is what has come to the row */
        it->maybe_version = e->version;
}

/* A write behind a removal that is not journalled by itself: the same as if it were. */
void dirty_base_if_removed(bool removed, struct journal_item *it)
{
    if (!removed || it->base != BASE_UNKNOWN)
        return;
    it->base = BASE_ABSENT;
    if (it->base_version == BASE_NO_ROW)
        it->base_version = 0;
}

struct dirty *dirty_note(struct router *r, struct entry *e, const struct journal_item *it)
{
    struct dirty *d = e->dirty;
    if (d == NULL) {
        d = mem_zalloc(sizeof(*d));
        d->entry = e;
        list_init(&d->set_node);
        list_push_back(&r->dirty, &d->node);
        if (r->ndirty++ == 0)
            r->oldest_us = STAMP_US(it->version);
        entry_set_dirty(r->keyspace, e, d);
    }
    d->base = it->base;
    d->base_version = it->base_version;
    d->maybe_version = it->maybe_version;
    d->version = it->version;
    d->live = it->live;
    d->expires_us = it->expires_us;
    return d;
}

static void leave_set(struct dirty *d)
{
    struct merge_set *set = d->set;
    if (set == NULL)
        return;
    list_remove(&d->set_node);
    d->set = NULL;
    if (--set->n == 0)
        mem_free(set);
}

void dirty_drop(struct router *r, struct dirty *d)
{
    for (size_t i = 0; d->merging && i < r->batch.n; i++) {
        if (r->sent[i] == d)
            r->sent[i] = NULL;
    }
    leave_set(d);
    list_remove(&d->node);
    r->ndirty--;
    r->release_due = true;
    d->entry->as_of = 0; /* nobody has read it since; it may have lost */
    entry_set_dirty(r->keyspace, d->entry, NULL);
    mem_free(d);
}

void dirty_drop_db(struct router *r, int db)
{
    LIST_EACH(it, &r->dirty)
    {
        struct dirty *d = LIST_ITEM(it, struct dirty, node);
        if (db < 0 || d->entry->db == db)
            dirty_drop(r, d);
    }
}

static struct merge_set *set_of(struct dirty *d)
{
    if (d->set == NULL) {
        d->set = mem_zalloc(sizeof(*d->set));
        list_init(&d->set->members);
        list_push_back(&d->set->members, &d->set_node);
        d->set->n = 1;
    }
    return d->set;
}

void dirty_unite(struct dirty *a, struct dirty *b)
{
    if (a == b)
        return;
    struct merge_set *to = set_of(a);
    struct merge_set *from = set_of(b);
    if (to == from || to->n + from->n > MERGE_MAX)
        return;
    if (to->n < from->n) {
        struct merge_set *t = to;
        to = from;
        from = t;
    }
    LIST_EACH(it, &from->members)
    LIST_ITEM(it, struct dirty, set_node)->set = to;
    to->n += from->n;
    list_append_all(&to->members, &from->members);
    mem_free(from);
}

void dirty_item(const struct dirty *d, bool bytes, struct journal_item *it)
{
    const struct entry *e = d->entry;
    *it = (struct journal_item){
        .db = e->db, .key = entry_key(e), .live = d->live, .version = d->version,
        .expires_us = d->expires_us, .base = d->base, .base_version = d->base_version,
        .maybe_version = d->maybe_version};
    if (!d->live)
        return;
    it->value_version = e->value_version;
    if (e->value != NULL) { /* else it has expired, and its bytes are of no use to anybody */
        it->type = e->value->type;
        it->value = bytes ? value_bytes(e->value) : bytes_of(NULL, 0);
    }
}

/* ---- FLUSH ---- */

void router_note_flush(struct router *r, int db, int64_t stamp)
{
    LIST_EACH(it, &r->flushes)
    {
        struct flushed *f = LIST_ITEM(it, struct flushed, node);
        if (db >= 0 && f->db != db)
            continue;
        list_remove(&f->node);
        mem_free(f);
    }
    struct flushed *f = mem_zalloc(sizeof(*f));
    f->db = db;
    f->stamp = stamp;
    list_push_back(&r->flushes, &f->node);
}

/* Of a database that is as PostgreSQL has it nothing is known but by its entries. */
void router_know_flushed(struct router *r)
{
    for (int i = 0; i < r->config->databases; i++)
        r->flushed[i] = false;
    LIST_EACH(it, &r->flushes)
    {
        const struct flushed *f = LIST_ITEM(it, const struct flushed, node);
        for (int i = 0; i < r->config->databases; i++)
            r->flushed[i] |= f->db < 0 || f->db == i;
    }
}

struct absence {
    struct router *r;
    int db;
};

static void make_absent(struct entry *e, void *arg)
{
    const struct absence *a = arg;
    if (a->db < 0 || e->db == a->db)
        entry_set_absent(a->r->keyspace, e, 0);
}

void router_apply_flush(struct router *r, int db)
{
    struct absence a = {r, db};
    dirty_drop_db(r, db);
    keyspace_drop(r->keyspace, db);
    /* What is left is in use. */
    uint64_t cursor = 0;
    do
        cursor = keyspace_scan(r->keyspace, cursor, make_absent, &a);
    while (cursor != 0);
    for (int i = 0; i < r->config->databases; i++)
        r->flushed[i] |= db < 0 || db == i;
}
