#include "metrics/metrics.h"

#include <string.h>

#include "base/check.h"

struct metrics metrics;

static const struct metric rows[METRIC_COUNT] = {
#define FED(id, name, type, scale, info, help) \
    {"respgres_" name, METRIC_##type, SCALE_##scale, NULL, info, true, help},
#define COLLECTED(id, name, type, scale, label, info, help) \
    {"respgres_" name, METRIC_##type, SCALE_##scale, label, info, false, help},
#include "metrics/metrics.def"
};

const struct metric *metric_get(enum metric_id id)
{
    CHECK(id >= 0 && id < METRIC_COUNT);
    return &rows[id];
}

const char *metric_type_name(enum metric_type type)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};
    return names[type];
}

static void info_line(struct buf *out, enum metric_id id, int64_t value)
{
    const char *field = rows[id].info != NULL ? strchr(rows[id].info, '.') : NULL;
    if (field != NULL)
        buf_printf(out, "%s:%lld\r\n", field + 1, (long long)value);
}

void metrics_info(struct buf *out)
{
#define FED(id, ...) info_line(out, METRIC_##id, metrics.id);
#define COLLECTED(id, ...)
#include "metrics/metrics.def"
}

void metrics_reset(void)
{
#define FED(id, ...)                              \
    if (rows[METRIC_##id].type == METRIC_COUNTER) \
        metrics.id = 0;
#define COLLECTED(id, ...)
#include "metrics/metrics.def"
}
