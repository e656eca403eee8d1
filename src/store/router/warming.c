/* warming: the warm file, a copy of what is known in memory, for a start without PostgreSQL. Written
 * every warm-file-interval while PostgreSQL is there, and at a clean stop; read at the start, before
 * the journal, whose keys are newer. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/journal/warm.h"
#include "store/router/internal.h"

/* ---- reading ---- */

static void on_loaded(void *arg, const struct journal_record *rec)
{
    struct router *r = arg;
    if (rec->kind == JOURNAL_CLOCK)
        journaling_take_clock(r, &rec->clock);
    for (size_t i = 0; rec->kind == JOURNAL_WRITE && i < rec->nitems; i++) {
        const struct journal_item *it = &rec->items[i];
        struct value *v;
        if (it->db < 0 || it->db >= r->config->databases || !it->live ||
            keyspace_is_full(r->keyspace) || (v = value_decode(it->type, it->value)) == NULL)
            continue;
        struct entry *e = keyspace_pin(r->keyspace, it->db, it->key);
        entry_set_live(r->keyspace, e, v, it->version, it->value_version, it->expires_us);
        e->merged_unseen = it->base == BASE_UNKNOWN;
        keyspace_unpin(r->keyspace, e);
    }
}

void warming_load(struct router *r)
{
    int64_t began_us = clock_mono_us();
    uint64_t n = warm_load(r->journal_dir, on_loaded, r);
    if (n > 0)
        log_event(LOG_NOTICE, "warm-file", "keys=%" PRIu64 " ms=%" PRId64, n - 1,
                  (clock_mono_us() - began_us) / 1000);
}

/* ---- writing ---- */

struct slice {
    struct router *r;
    size_t bytes;
};

static void add_entry(struct entry *e, void *arg)
{
    struct slice *s = arg;
    if (e->dirty != NULL || e->knowledge != ENTRY_LIVE)
        return;
    struct journal_item it = {
        .db = e->db, .key = entry_key(e), .live = true, .type = e->value->type,
        .value = value_bytes(e->value), .version = e->version, .value_version = e->value_version,
        .expires_us = e->expires_us, .base = e->merged_unseen ? BASE_UNKNOWN : BASE_LIVE,
        .base_version = e->version};
    warm_add(s->r->warm, &it);
    value_drop_bytes(e->value);
    s->bytes += it.key.len + it.value.len + 64;
}

static bool on_more(void *arg, size_t bytes)
{
    struct slice s = {arg, 0};
    struct router *r = arg;
    do
        r->warm_cursor = keyspace_scan(r->keyspace, r->warm_cursor, add_entry, &s);
    while (r->warm_cursor != 0 && s.bytes < bytes);
    return r->warm_cursor != 0;
}

static void on_done(void *arg, uint64_t bytes, const char *error)
{
    struct router *r = arg;
    char quoted[LOG_QUOTE_SIZE];
    (void)bytes;
    if (error != NULL)
        log_event(LOG_WARNING, "no-warm-file", "dir=%s why=%s", r->journal_dir,
                  log_quote(error, quoted));
}

static const struct warm_source source = {on_more, on_done};

bool warming_begin(struct router *r)
{
    struct journal_clock clock = {0};
    if (r->warm == NULL || r->config->warm_file_interval_s == 0 || postgres_slot(r->pg) == 0)
        return false;
    journaling_fill_clock(r, &clock);
    r->warm_cursor = 0;
    return warm_begin(r->warm, &clock, &source, r);
}

static void on_timer(void *arg)
{
    struct router *r = arg;
    if (r->state == STORE_ONLINE && warming_begin(r))
        r->warm_count++;
    warming_schedule(r);
}

void warming_schedule(struct router *r)
{
    /* The first ones come soon: a start without PostgreSQL has to know who this instance was. */
    static const int64_t early_s[] = {1, 5, 15};
    size_t n = r->warm_count;
    int64_t s = r->config->warm_file_interval_s;
    s = s > 0 ? s : 60;
    if (n < sizeof(early_s) / sizeof(early_s[0]) && early_s[n] < s)
        s = early_s[n];
    timer_set(r->warm_timer, s * 1000000);
}

void warming_start(struct router *r)
{
    struct buf error;
    if (r->pg == NULL || r->journal == NULL)
        return;
    buf_init(&error);
    r->warm = warm_new(r->loop, r->journal_dir, r->config->instance_name, &error);
    if (r->warm == NULL)
        log_event(LOG_WARNING, "no-warm-file", "dir=%s", r->journal_dir);
    buf_release(&error);
    r->warm_timer = timer_new(r->loop, on_timer, r);
    warming_schedule(r);
}
