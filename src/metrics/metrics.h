/* metrics: the table of what can be seen from outside (metrics.def: a row each, prose included).
 *
 * Two kinds of rows. A FED one has a plain number in the one `struct metrics` of the process:
 * whoever owns the fact writes `metrics.journal_bytes = n` or `metrics.merge_applied++`, and that
 * is all it has to do for /metrics and INFO. A COLLECTED one is kept where it is worked with, and
 * put on the page (page.h) by its owner when somebody asks. There is one thread, so there are no
 * locks. */
#ifndef RESPGRES_METRICS_METRICS_H
#define RESPGRES_METRICS_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* What a number stands for before it is shown in the unit of its row: as it is, or microseconds
 * that are shown as seconds. */
enum metric_scale { SCALE_ONE, SCALE_US };

enum metric_id {
#define FED(id, ...) METRIC_##id,
#define COLLECTED(id, ...) METRIC_##id,
#include "metrics/metrics.def"
    METRIC_COUNT
};

struct metrics {
#define FED(id, ...) int64_t id;
#define COLLECTED(id, ...)
#include "metrics/metrics.def"
    char unused; /* a struct has a member, whatever the table says */
};

extern struct metrics metrics;

struct metric {
    const char *name; /* Prometheus' */
    enum metric_type type;
    enum metric_scale scale;
    const char *label; /* of its samples, NULL = it has one sample without */
    const char *info;  /* where INFO has it: "section.field", NULL = nowhere */
    bool fed;
    const char *help;
};

const struct metric *metric_get(enum metric_id id);
const char *metric_type_name(enum metric_type type);

/* INFO's lines of the FED rows: "field:value". */
void metrics_info(struct buf *out);
/* CONFIG RESETSTAT: FED counters start again; what tells a state stays. */
void metrics_reset(void);

#endif
