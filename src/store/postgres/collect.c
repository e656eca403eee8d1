/* collect: the PostgreSQL store's part of /metrics, and the words for its state. */
#include <stdio.h>

#include "base/clock.h"
#include "metrics/page.h"
#include "store/postgres/internal.h"

/* Bounds of the histograms: 64 us to 67 s, and 1 to 32,768 keys. */
enum { TIME_LOW_BITS = 6, TIME_HIGH_BITS = 26, KEYS_HIGH_BITS = 15 };

static const struct pg_store *self(const struct store *base)
{
    return (const struct pg_store *)base;
}

static void collect_batches(const struct op_stats *st, struct metrics_page *p, enum metric_id keys,
                            enum metric_id seconds)
{
    page_put_histogram(p, keys, &st->sizes, 0, KEYS_HIGH_BITS, (int64_t)st->items);
    page_put_histogram(p, seconds, &st->times, TIME_LOW_BITS, TIME_HIGH_BITS, (int64_t)st->us);
}

static void collect_listening(const struct pg_store *s, struct metrics_page *p)
{
    const struct listening *l = &s->listening;
    if (s->config->consistency != CONSISTENCY_CACHED)
        return;
    page_put(p, METRIC_cache_trusted, NULL,
             l->trusted && clock_mono_us() < listen_fresh_until_us(s));
    page_put(p, METRIC_cached_lag, NULL, l->lag_us);
}

void pg_collect(const struct store *base, struct metrics_page *p)
{
    const struct pg_store *s = self(base);
    collect_batches(&s->reads, p, METRIC_read_keys, METRIC_read_seconds);
    collect_batches(&s->commits, p, METRIC_commit_keys, METRIC_commit_seconds);
    for (size_t i = 0; i < s->nlinks; i++) {
        const struct link *k = &s->links[i];
        if (k->kind == LINK_LISTEN && !k->usable && !listen_is_wanted(s))
            continue;
        page_put(p, METRIC_lane_up, k->name, k->usable);
        page_put(p, METRIC_lane_connects, k->name, (int64_t)lane_connects(k->lane));
    }
    collect_listening(s, p);
    messages_collect(s, p);
    page_put(p, METRIC_lost_connections, NULL, (int64_t)s->lost_connections);
    page_put(p, METRIC_rejected_items, NULL, (int64_t)s->rejected_items);
    page_put(p, METRIC_settled, "applied", (int64_t)s->settled_applied);
    page_put(p, METRIC_settled, "not_applied", (int64_t)s->settled_not_applied);
    page_put(p, METRIC_swept, NULL, (int64_t)s->swept);
    page_put(p, METRIC_vacuums, NULL, (int64_t)s->vacuums);
    page_put(p, METRIC_table_bytes, NULL, s->table_bytes);
    page_put(p, METRIC_xmin_age, NULL, s->oldest_xmin_age);
    page_put(p, METRIC_clock_offset, NULL, clock_mono_us() + clock_offset_us(&s->clock) - clock_wall_us());
    page_put(p, METRIC_clock_error, NULL, clock_offset_error_us(&s->clock, clock_mono_us()));
}

void pg_note_loss(struct pg_store *s, const char *why)
{
    snprintf(s->last_loss, sizeof(s->last_loss), "%s", why);
    for (char *at = s->last_loss; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ')
            *at = ' ';
    }
}

const char *pg_why(const struct store *base)
{
    const struct pg_store *s = self(base);
    if (s->state == STORE_ONLINE)
        return "PostgreSQL answers";
    if (s->last_loss[0] != '\0')
        return s->last_loss;
    return s->booted ? "connections are being made" : "PostgreSQL has not answered yet";
}
