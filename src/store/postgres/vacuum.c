/* vacuum: keeps rewritten large values from making the table grow. In line, an update reuses its page
 * (HOT); in TOAST every rewrite leaves the old bytes until a VACUUM comes, and autovacuum looks once a
 * minute. So we count what our commits leave behind, and run one on the bulk lane when it would make
 * up a third of the table. */
#include "base/log.h"
#include "store/postgres/internal.h"

/* About where PostgreSQL begins to move a value out of line. */
enum { TOAST_BYTES = 2000 };

static const int64_t least_rewritten = 1 << 20;
static const int64_t largest_table = 1 << 30;

void vacuum_note(struct pg_store *s, const struct commit_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct commit_item *it = &b->items[i];
        if (it->applied && it->op == COMMIT_WRITE && it->value != NULL &&
            value_size(it->value) > TOAST_BYTES)
            s->rewritten_bytes += (int64_t)value_size(it->value);
    }
}

static bool is_due(const struct pg_store *s)
{
    return s->config->vacuum && !s->vacuuming && !s->stopping && s->booted &&
           s->rewritten_bytes >= least_rewritten && s->rewritten_bytes > s->table_bytes / 5 &&
           s->table_bytes <= largest_table;
}

static void on_vacuumed(void *arg, struct lane *l, PGresult **results, int n)
{
    struct link *k = arg;
    (void)l;
    const PGresult *error = lane_first_error(results, n);
    k->store->vacuuming = false;
    k->store->vacuums++;
    if (error != NULL) {
        char why[160];
        char quoted[LOG_QUOTE_SIZE];
        lane_error_text(error, why, sizeof(why));
        log_event(LOG_NOTICE, "vacuum-failed", "why=%s", log_quote(why, quoted));
    }
    merge_pump(k->store);
}

void vacuum_pump(struct pg_store *s)
{
    struct link *k = store_bulk_link(s);
    if (!is_due(s))
        return;
    if (!k->wanted) {
        k->wanted = true;
        timer_set(k->retry, 0);
        return;
    }
    if (!k->usable || k->committing != NULL || k->xact != NULL || lane_state(k->lane) != LANE_READY)
        return;
    s->vacuuming = true;
    s->rewritten_bytes = 0;
    lane_script(k->lane, store_text(s, STMT_VACUUM), link_timeout_us(k), on_vacuumed);
}
