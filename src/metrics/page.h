/* page: one answer to /metrics in Prometheus' text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). Owners put their samples in any
 * order; the page groups them by row, as the format wants it, in the order of metrics.def. */
#ifndef RESPGRES_METRICS_PAGE_H
#define RESPGRES_METRICS_PAGE_H

#include "base/buf.h"
#include "metrics/histogram.h"
#include "metrics/metrics.h"

struct metrics_page;

/* Holds the FED rows already. */
struct metrics_page *page_new(void);
void page_free(struct metrics_page *p);

/* A sample of a COLLECTED row. `label` is the value of the row's label, NULL where it has none.
 * `value` is in what the row's scale says. */
void page_put(struct metrics_page *p, enum metric_id id, const char *label, int64_t value);
/* Buckets are powers of two from 2^low to 2^high, of the row's scale; `sum` of all that was noted.
 */
void page_put_histogram(struct metrics_page *p, enum metric_id id, const struct histogram *h,
                        unsigned low, unsigned high, int64_t sum);

void page_write(const struct metrics_page *p, struct buf *out);

#endif
