/* metrics: histograms, the page, and that docs/monitoring.md shows the table as it is. */
#include <stdlib.h>

#include "base/mem.h"
#include "metrics/histogram.h"
#include "metrics/metrics.h"
#include "metrics/page.h"
#include "test.h"

/* ---- histograms ---- */

static void buckets_are_in_order_and_without_gaps(void)
{
    size_t last = 0;
    for (uint64_t v = 0; v < 1U << 20; v++) {
        size_t at = histogram_bucket(v);
        EXPECT(at == last || at == last + 1);
        last = at;
    }
    for (unsigned bits = 3; bits < 64; bits++) {
        uint64_t v = 1ULL << bits;
        size_t at = histogram_bucket(v);
        EXPECT(at < HISTOGRAM_BUCKETS);
        EXPECT(histogram_bucket(v - 1) <= at);
    }
    EXPECT_INT(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void powers_of_two_end_buckets(void)
{
    struct histogram h = {0};
    for (unsigned bits = 0; bits < 64; bits++) {
        histogram_note(&h, (1ULL << bits) - 1);
        histogram_note(&h, 1ULL << bits);
    }
    for (unsigned bits = 0; bits < 64; bits++)
        EXPECT_INT(histogram_below(&h, bits), 2 * bits + 1);
    EXPECT_INT(histogram_count(&h), 2 * 64);
    EXPECT_INT(histogram_below(&h, 64), 2 * 64);
}

static void quantiles_are_close(void)
{
    struct histogram h = {0};
    EXPECT_INT(histogram_quantile(&h, 500), 0);
    histogram_note(&h, 0);
    EXPECT_INT(histogram_quantile(&h, 999), 0);
    struct histogram top = {0};
    histogram_note(&top, UINT64_MAX - 5);
    EXPECT(histogram_quantile(&top, 500) == UINT64_MAX);
    struct histogram many = {0};
    for (uint64_t v = 1; v <= 100000; v++)
        histogram_note(&many, v);
    static const unsigned shares[] = {1, 500, 900, 990, 999, 1000};
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        uint64_t exact = 100 * shares[i];
        uint64_t got = histogram_quantile(&many, shares[i]);
        EXPECT(got >= exact && got <= exact + exact / 8 + 1);
    }
    histogram_add(&h, &many);
    EXPECT_INT(histogram_count(&h), 100001);
}

/* ---- the page ---- */

static bool has(const struct buf *b, const char *text)
{
    return memmem(b->data, b->len, text, strlen(text)) != NULL;
}

static void a_page_is_in_prometheus_format(void)
{
    struct histogram h = {0};
    struct buf out;
    buf_init(&out);
    metrics.journal_bytes = 4711;
    metrics.journal_fsync_us = 1500000;
    histogram_note(&h, 15);
    histogram_note(&h, 16);
    struct metrics_page *p = page_new();
    page_put(p, METRIC_build, "a\"b\\c\nd", 1);
    page_put(p, METRIC_clock_offset, NULL, -1);
    page_put_histogram(p, METRIC_command_latency, &h, 4, 5, 31);
    page_write(p, &out);
    EXPECT(has(&out, "\n# TYPE respgres_journal_bytes gauge\nrespgres_journal_bytes 4711\n"));
    EXPECT(has(&out, "\nrespgres_journal_fsync_seconds_total 1.500000\n"));
    EXPECT(has(&out, "\nrespgres_build_info{version=\"a\\\"b\\\\c\\nd\"} 1\n"));
    EXPECT(has(&out, "\nrespgres_clock_offset_seconds -0.000001\n"));
    EXPECT(has(&out, "_bucket{le=\"0.000016\"} 1\n"
                     "respgres_command_duration_seconds_bucket{le=\"0.000032\"} 2\n"
                     "respgres_command_duration_seconds_bucket{le=\"+Inf\"} 2\n"
                     "respgres_command_duration_seconds_sum 0.000031\n"
                     "respgres_command_duration_seconds_count 2\n"));
    page_free(p);
    buf_release(&out);
}

static void a_reset_leaves_what_tells_a_state(void)
{
    metrics.journal_bytes = 1;
    metrics.journal_records = 1;
    metrics_reset();
    EXPECT_INT(metrics.journal_bytes, 1);
    EXPECT_INT(metrics.journal_records, 0);
}

/* https://prometheus.io/docs/practices/naming/ */
static void names_end_as_they_should(void)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct metric *m = metric_get((enum metric_id)i);
        size_t n = strlen(m->name);
        bool total = n > 6 && strcmp(m->name + n - 6, "_total") == 0;
        EXPECT(total == (m->type == METRIC_COUNTER));
        EXPECT((strstr(m->name, "_seconds") != NULL) ||
               (m->scale == SCALE_ONE)); /* what is kept in microseconds is shown in seconds */
        EXPECT(m->help[strlen(m->help) - 1] == '.');
    }
}

/* ---- docs/monitoring.md ---- */

static const char table_begin[] = "<!-- made from src/metrics/metrics.def -->\n";
static const char table_end[] = "<!-- end -->\n";

static void write_table(struct buf *out)
{
    buf_append_cstr(out, "| metric | type | label | INFO | |\n|---|---|---|---|---|\n");
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct metric *m = metric_get((enum metric_id)i);
        buf_printf(out, "| `%s` | %s | ", m->name, metric_type_name(m->type));
        buf_append_cstr(out, m->label != NULL ? m->label : "");
        if (m->info != NULL)
            buf_printf(out, " | `%s`", m->info);
        else
            buf_append_cstr(out, " |");
        buf_printf(out, " | %s |\n", m->help);
    }
}

static void read_all(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    EXPECT(f != NULL);
    if (f == NULL)
        return;
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buf_append(out, chunk, n);
    fclose(f);
}

/* RESPGRES_UPDATE=1 in the environment writes the table anew. */
static void the_manual_has_the_table(void)
{
    static const char path[] = RESPGRES_SOURCE_DIR "/docs/monitoring.md";
    struct buf page;
    struct buf table;
    buf_init(&page);
    buf_init(&table);
    read_all(path, &page);
    write_table(&table);
    const char *text = buf_cstr(&page);
    const char *begin = strstr(text, table_begin);
    const char *end = begin != NULL ? strstr(begin, table_end) : NULL;
    EXPECT(end != NULL);
    if (end != NULL) {
        begin += strlen(table_begin);
        if (getenv("RESPGRES_UPDATE") != NULL) {
            FILE *f = fopen(path, "wb");
            EXPECT(f != NULL);
            if (f != NULL) {
                fwrite(text, 1, (size_t)(begin - text), f);
                fwrite(table.data, 1, table.len, f);
                fputs(end, f);
                fclose(f);
            }
        } else {
            /* else: run with RESPGRES_UPDATE=1 */
            EXPECT(bytes_eq(bytes_of(begin, (size_t)(end - begin)), buf_bytes(&table)));
        }
    }
    buf_release(&page);
    buf_release(&table);
}

TEST_MAIN(TEST(buckets_are_in_order_and_without_gaps), TEST(powers_of_two_end_buckets),
          TEST(quantiles_are_close), TEST(a_page_is_in_prometheus_format),
          TEST(a_reset_leaves_what_tells_a_state), TEST(names_end_as_they_should),
          TEST(the_manual_has_the_table))
