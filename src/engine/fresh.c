/* fresh: which entries may be answered from memory (`consistency cached`).
 *
 * Others' writes are told by the store as notices about buckets of keys. Notices are counted; each
 * bucket remembers the number of its last one. An entry remembers the number that was current when
 * the statement was sent that told its state (`as_of`). A notice of a later number about its bucket
 * means that the state may be older than somebody's write; otherwise it is the latest, as far as the
 * notices reach. So a notice that overtakes the answer to an earlier statement is not lost, and no
 * list of what is under way is needed.
 *
 * How far the notices reach is the store's to say (fresh_until_us). */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/internal.h"
#include "metrics/page.h"

struct fresh {
    uint64_t now;    /* number of the last notice; starts at 1 */
    uint64_t all;    /* number of the last notice about everything */
    uint64_t notices;
    uint64_t answers;
    uint64_t of_bucket[STORE_BUCKETS];
};

void fresh_note_stale(struct engine *e, uint32_t bucket)
{
    struct fresh *f = e->fresh;
    CHECK(bucket < STORE_BUCKETS);
    if (f == NULL)
        return;
    f->of_bucket[bucket] = ++f->now;
    f->notices++;
}

void fresh_note_all_stale(struct engine *e)
{
    struct fresh *f = e->fresh;
    if (f == NULL)
        return;
    f->all = ++f->now;
    f->notices++;
}

void fresh_init(struct engine *e)
{
    if (e->config->consistency != CONSISTENCY_CACHED)
        return;
    e->fresh = mem_zalloc(sizeof(*e->fresh));
    e->fresh->now = 1;
    bus_want(e, STORE_WANT_CACHING);
}

void fresh_release(struct engine *e)
{
    mem_free(e->fresh);
}

uint64_t fresh_now(const struct engine *e)
{
    return e->fresh != NULL ? e->fresh->now : 0;
}

/* What memory has told about itself is not known to be as in PostgreSQL. */
uint64_t fresh_as_of(const struct engine *e, uint64_t sent_as_of)
{
    return store_memory_is_truth(e->store) ? 0 : sent_as_of;
}

void fresh_forget_all(struct engine *e)
{
    if (e->fresh != NULL)
        e->fresh->all = ++e->fresh->now;
}

/* The clock is read anew: the process may have been stopped since the loop woke. */
bool fresh_may_answer(struct engine *e, const struct entry *entry)
{
    const struct fresh *f = e->fresh;
    if (f == NULL || entry->knowledge != ENTRY_LIVE || entry->as_of < f->all || entry->as_of == 0 ||
        entry->dirty != NULL) /* it may lose when it is merged */
        return false;
    return f->of_bucket[store_bucket(entry_key(entry))] <= entry->as_of &&
           clock_mono_us() < e->store->ops->fresh_until_us(e->store);
}

void fresh_collect(const struct engine *e, struct metrics_page *p)
{
    const struct fresh *f = e->fresh;
    if (f == NULL)
        return;
    page_put(p, METRIC_cached_reads, NULL, (int64_t)f->answers);
    page_put(p, METRIC_notices, NULL, (int64_t)f->notices);
}

void fresh_note_answer(struct engine *e)
{
    if (e->fresh != NULL)
        e->fresh->answers++;
}

void fresh_info(const struct engine *e, struct buf *out)
{
    const struct fresh *f = e->fresh;
    if (f == NULL)
        return;
    buf_printf(out, "postgres_cached_reads:%llu\r\npostgres_notices:%llu\r\n",
               (unsigned long long)f->answers, (unsigned long long)f->notices);
}
