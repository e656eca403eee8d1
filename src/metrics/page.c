#include "metrics/page.h"

#include "base/check.h"
#include "base/mem.h"

struct metrics_page {
    struct buf samples[METRIC_COUNT];
};

static void append_escaped(struct buf *out, const char *s)
{
    for (; *s != '\0'; s++) {
        if (*s == '\\' || *s == '"')
            buf_printf(out, "\\%c", *s);
        else if (*s == '\n')
            buf_append_cstr(out, "\\n");
        else
            buf_append_u8(out, (uint8_t)*s);
    }
}

static void append_number(struct buf *out, enum metric_scale scale, int64_t value)
{
    if (scale == SCALE_ONE) {
        buf_printf(out, "%lld", (long long)value);
        return;
    }
    uint64_t us = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    buf_printf(out, "%s%llu.%06llu", value < 0 ? "-" : "", (unsigned long long)(us / 1000000),
               (unsigned long long)(us % 1000000));
}

void page_put(struct metrics_page *p, enum metric_id id, const char *label, int64_t value)
{
    const struct metric *m = metric_get(id);
    struct buf *out = &p->samples[id];
    CHECK((label != NULL) == (m->label != NULL) && m->type != METRIC_HISTOGRAM);
    buf_append_cstr(out, m->name);
    if (label != NULL) {
        buf_printf(out, "{%s=\"", m->label);
        append_escaped(out, label);
        buf_append_cstr(out, "\"}");
    }
    buf_append_u8(out, ' ');
    append_number(out, m->scale, value);
    buf_append_u8(out, '\n');
}

void page_put_histogram(struct metrics_page *p, enum metric_id id, const struct histogram *h,
                        unsigned low, unsigned high, int64_t sum)
{
    const struct metric *m = metric_get(id);
    struct buf *out = &p->samples[id];
    CHECK(m->type == METRIC_HISTOGRAM && high < 63);
    for (unsigned bits = low; bits <= high; bits++) {
        buf_printf(out, "%s_bucket{le=\"", m->name);
        append_number(out, m->scale, (int64_t)1 << bits);
        buf_printf(out, "\"} %llu\n", (unsigned long long)histogram_below(h, bits));
    }
    unsigned long long count = histogram_count(h);
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum ", m->name, count, m->name);
    append_number(out, m->scale, sum);
    buf_printf(out, "\n%s_count %llu\n", m->name, count);
}

struct metrics_page *page_new(void)
{
    struct metrics_page *p = mem_alloc(sizeof(*p));
    for (int i = 0; i < METRIC_COUNT; i++)
        buf_init(&p->samples[i]);
#define FED(id, ...) page_put(p, METRIC_##id, NULL, metrics.id);
#define COLLECTED(id, ...)
#include "metrics/metrics.def"
    return p;
}

void page_free(struct metrics_page *p)
{
    for (int i = 0; i < METRIC_COUNT; i++)
        buf_release(&p->samples[i]);
    mem_free(p);
}

void page_write(const struct metrics_page *p, struct buf *out)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct metric *m = metric_get((enum metric_id)i);
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                   metric_type_name(m->type));
        buf_append_bytes(out, buf_bytes(&p->samples[i]));
    }
}
