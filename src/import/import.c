/* import: see import.h. Rows come one by one, are made items of a batch, and a full batch is
 * written: what is in memory is a batch and a row. */
#include "import/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "command/key.h"
#include "config/check.h"
#include "config/url.h"
#include "import/kinds.h"
#include "store/postgres/conninfo.h"

enum {
    BATCH_DEFAULT = 1000,
    BATCH_MAX = 100000,
    BATCH_BYTES = 4 * 1024 * 1024,  /* a batch that has so many is full */
    TTL_DEFAULT_S = 31 * 24 * 3600, /* PERMANENT_SESSION_LIFETIME of Flask */
    SHOWN_MAX = 20,                 /* rows that could not be taken, by name */
    TELL_S = 2,
};

/* Where an item's bytes are in `bytes`, which moves as it grows. */
struct place {
    size_t key;
    size_t key_len;
    size_t value_len;
    int64_t expires_us;
};

struct import {
    const struct config *config;
    const struct import_job *job;
    const struct import_form *form;
    const char *prefix;
    size_t batch;
    int64_t ttl_s;
    int64_t started_us; /* on this host's clock: a row without an expiry counts from here */
    struct import_target *target;
    struct place *places;
    struct import_item *items;
    size_t n;
    struct buf bytes;
    uint64_t rows;
    uint64_t expired; /* there */
    uint64_t skipped;
    struct import_counts counts;
    time_t told;
    struct buf *error;
};

/* ---- rows that cannot become keys ---- */

static void skip(struct import *im, struct bytes key, const char *why)
{
    char name[KEY_NAME_SIZE];
    if (++im->skipped > SHOWN_MAX)
        return;
    fprintf(stderr, "respgres: row %llu, %s: %s\n", (unsigned long long)im->rows,
            key_log_name(key, name), why);
    if (im->skipped == SHOWN_MAX)
        fprintf(stderr, "respgres: more of them are counted only\n");
}

static void on_refused(void *arg, const struct import_item *it, const char *why)
{
    struct import *im = arg;
    char name[KEY_NAME_SIZE];
    if (++im->skipped <= SHOWN_MAX)
        fprintf(stderr, "respgres: %s: %s\n", key_log_name(it->key, name), why);
}

/* ---- batches ---- */

static void tell(struct import *im)
{
    time_t now = time(NULL);
    if (now - im->told < TELL_S)
        return;
    im->told = now;
    fprintf(stderr, "respgres: %llu rows read, %llu %s\n", (unsigned long long)im->rows,
            (unsigned long long)im->counts.written,
            im->job->dry_run ? "would be written" : "written");
}

static bool flush(struct import *im)
{
    if (im->n == 0)
        return true;
    for (size_t i = 0; i < im->n; i++) {
        const struct place *p = &im->places[i];
        const char *at = im->bytes.data + p->key;
        im->items[i] = (struct import_item){bytes_of(at, p->key_len),
                                            bytes_of(at + p->key_len, p->value_len), p->expires_us};
    }
    bool ok = import_write(im->target, im->items, im->n, &im->counts, on_refused, im, im->error);
    im->n = 0;
    buf_reset(&im->bytes, 2 * (size_t)BATCH_BYTES);
    tell(im);
    return ok;
}

static int64_t expiry_of(const struct import *im, const struct import_row *r)
{
    return r->has_expiry ? r->expires_us : im->started_us + im->ttl_s * 1000000;
}

/* Appends key and value; false = it is skipped. */
static bool add(struct import *im, const struct import_row *r)
{
    struct place *p = &im->places[im->n];
    p->key = im->bytes.len;
    buf_append_cstr(&im->bytes, im->prefix);
    buf_append_bytes(&im->bytes, r->key);
    p->key_len = im->bytes.len - p->key;
    const char *why = im->form->convert(r->value, &im->bytes);
    p->value_len = im->bytes.len - p->key - p->key_len;
    if (why == NULL && p->key_len > KEY_MAX_LEN)
        why = "its key would be longer than commands accept";
    if (why == NULL && p->value_len > (size_t)im->config->proto_max_bulk_len)
        why = "it is larger than proto-max-bulk-len";
    if (why != NULL) {
        skip(im, bytes_of(im->bytes.data + p->key, p->key_len), why);
        im->bytes.len = p->key;
        return false;
    }
    p->expires_us = expiry_of(im, r);
    im->n++;
    return true;
}

static bool on_row(void *arg, const struct import_row *r)
{
    struct import *im = arg;
    im->rows++;
    if (r->expired) {
        im->expired++;
        return true;
    }
    if (!r->has_key || !r->has_value) {
        skip(im, r->key, r->has_key ? "it has no value" : "it has no key");
        return true;
    }
    if (!add(im, r))
        return true;
    return (im->n < im->batch && im->bytes.len < BATCH_BYTES) || flush(im);
}

/* ---- the job ---- */

static bool bad(struct buf *error, const char *what, const char *value, const char *remedy)
{
    struct bytes shown = url_shown(bytes_cstr(value));
    buf_printf(error, "%s %.*s: %s", what, (int)shown.len, shown.data, remedy);
    return false;
}

static bool number(const char *what, const char *text, int64_t least, int64_t most, int64_t *out,
                   struct buf *error)
{
    if (text == NULL)
        return true;
    if (num_int64(bytes_cstr(text), out) && *out >= least && *out <= most)
        return true;
    struct bytes shown = url_shown(bytes_cstr(text));
    buf_printf(error, "%s %.*s: a number from %lld to %lld", what, (int)shown.len, shown.data,
               (long long)least, (long long)most);
    return false;
}

/* The words into what is to be done. */
static bool understand(struct import *im, struct import_table *t, struct import_mode *mode)
{
    const struct import_job *job = im->job;
    struct buf *error = im->error;
    const struct import_kind *kind = import_kind_named(job->kind);
    int64_t batch = BATCH_DEFAULT;
    int64_t db = 0;
    im->ttl_s = TTL_DEFAULT_S;
    if (job->incomplete)
        return bad(error, "--import", "KIND", "a word of it misses its value");
    if (kind == NULL)
        return bad(error, "--import", job->kind, "one of sqlalchemy, connect-pg-simple, django");
    im->form = import_form_named(kind, job->as);
    if (im->form == NULL)
        return bad(error, "--as", job->as, "pickle, json or text, of django only");
    if (!number("--batch", job->batch, 1, BATCH_MAX, &batch, error) ||
        !number("--ttl", job->ttl, 1, INT64_C(1000000000), &im->ttl_s, error) ||
        !number("--into-db", job->db, 0, im->config->databases - 1, &db, error))
        return false;
    im->batch = (size_t)batch;
    im->prefix = job->prefix != NULL ? job->prefix : im->form->prefix;
    *t = kind->table;
    t->name = job->table != NULL ? job->table : t->name;
    t->time_zone = job->time_zone != NULL ? job->time_zone : t->time_zone;
    *mode = (struct import_mode){(int)db, job->dry_run, job->overwrite};
    return true;
}

/* Where the table is, and who says so; an empty variable says nothing. */
static const char *source_url(const struct import *im, const char **whose)
{
    const char *variable = getenv("IMPORT_DATABASE_URL");
    *whose = im->job->from != NULL ? "--from" : "IMPORT_DATABASE_URL";
    if (im->job->from != NULL)
        return im->job->from;
    return variable != NULL && variable[0] != '\0' ? variable : NULL;
}

/* The application's URL may be one of SQLAlchemy or Django. It is judged as database-url is: what
 * libpq cannot read it would take for the name of a database, and show it. */
static bool append_source_url(const struct import *im, struct buf *url)
{
    const char *whose;
    const char *from = source_url(im, &whose);
    struct buf dropped;
    if (from == NULL) {
        buf_append_cstr(url, im->config->database_url);
        return true;
    }
    buf_printf(im->error, "%s: ", whose);
    if (!check_database_url(bytes_cstr(from), im->error))
        return false;
    buf_init(&dropped);
    config_normalise_url(from, url, &dropped);
    if (dropped.len > 0)
        fprintf(stderr, "respgres: %s: parameters that libpq does not know are left out: %s\n", whose,
                buf_cstr(&dropped));
    buf_release(&dropped);
    if (!conninfo_check(buf_cstr(url), im->error))
        return false;
    im->error->len = 0;
    return true;
}

/* Reads the table, and writes keys. */
static bool copy(struct import *im, const char *url, const struct import_table *table,
                 const struct import_mode *mode)
{
    im->target = import_target_open(im->config, mode, im->error);
    if (im->target == NULL)
        return false;
    im->places = mem_alloc(im->batch * sizeof(*im->places));
    im->items = mem_alloc(im->batch * sizeof(*im->items));
    return import_read(url, table, (int64_t)im->batch, on_row, im, im->error) && flush(im);
}

static bool carry_out(struct import *im)
{
    struct import_table table;
    struct import_mode mode;
    struct buf url;
    buf_init(&url);
    bool ok = understand(im, &table, &mode) && append_source_url(im, &url) &&
              copy(im, buf_cstr(&url), &table, &mode);
    buf_release(&url);
    return ok;
}

static void report(const struct import *im, FILE *out)
{
    const struct import_counts *n = &im->counts;
    fprintf(out,
            "%llu rows: %llu %s, %llu the same here already, %llu kept as they live here, "
            "%llu ended here, %llu expired, %llu could not become keys\n",
            (unsigned long long)im->rows, (unsigned long long)n->written,
            im->job->dry_run ? "would be written" : "written", (unsigned long long)n->same,
            (unsigned long long)n->live, (unsigned long long)n->ended,
            (unsigned long long)(n->expired + im->expired), (unsigned long long)im->skipped);
}

enum import_end import_run(const struct import_job *job, const struct config *c, struct buf *error)
{
    struct import im = {.config = c, .job = job, .error = error, .told = time(NULL)};
    im.started_us = (int64_t)im.told * 1000000;
    buf_init(&im.bytes);
    bool ok = carry_out(&im);
    import_target_free(im.target);
    buf_release(&im.bytes);
    mem_free(im.places);
    mem_free(im.items);
    if (ok || im.rows > 0)
        report(&im, ok ? stdout : stderr);
    if (!ok)
        return IMPORT_FAILED;
    return im.skipped > 0 ? IMPORT_SKIPPED : IMPORT_DONE;
}
