/* warm: a whole file is read back; a damaged one costs what is damaged; the old one stays until the
 * new one is complete. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/mem.h"
#include "journal_rig.h"
#include "store/journal/warm.h"

/* The entries are k0 ... with values that grow. */
struct cache {
    struct journal_rig rig;
    struct warm *w;
    int n;
    int at;
    int per_call;
    int calls;
    int cancel_at; /* > 0: this call cancels */
    int done;
    uint64_t bytes;
    char error[128];
};

static struct journal_clock sample_clock(void)
{
    return (struct journal_clock){.boot_id = "01234567-89ab-cdef-0123-456789abcdef",
                                  .boot_us = 1,
                                  .pg_us = 2,
                                  .wall_us = 3,
                                  .slot = 4,
                                  .incarnation = 5,
                                  .last_stamp = 6};
}

static void make_item(int n, struct journal_item *item, char key[16], char value[1000])
{
    int len = snprintf(key, 16, "k%d", n);
    memset(value, 'a' + n % 26, 1000);
    *item = (struct journal_item){.db = n % 16,
                                  .key = {key, (size_t)len},
                                  .live = n % 5 != 0,
                                  .value = {value, n % 5 == 0 ? 0 : (size_t)n % 1000},
                                  .version = 10 + n,
                                  .base = n % 5 == 0 ? BASE_ABSENT : BASE_LIVE,
                                  .base_version = 10 + n,
                                  .expires_us = INT64_MAX};
}

static void note_item(int n, struct buf *out)
{
    struct journal_item item;
    char key[16];
    char value[1000];
    make_item(n, &item, key, value);
    struct journal_record r = {.kind = JOURNAL_WRITE, .items = &item, .nitems = 1};
    note_record(&r, out);
}

static void note_clock(struct buf *out)
{
    struct journal_record r = {.kind = JOURNAL_CLOCK, .clock = sample_clock()};
    note_record(&r, out);
}

static bool more(void *arg, size_t bytes)
{
    struct cache *c = arg;
    CHECK(bytes > 0);
    c->calls++;
    for (int i = 0; i < c->per_call && c->at < c->n; i++) {
        struct journal_item item;
        char key[16];
        char value[1000];
        make_item(c->at++, &item, key, value);
        warm_add(c->w, &item);
    }
    if (c->calls == c->cancel_at)
        warm_cancel(c->w);
    return c->at < c->n;
}

static void done(void *arg, uint64_t bytes, const char *error)
{
    struct cache *c = arg;
    c->done++;
    c->bytes = bytes;
    snprintf(c->error, sizeof(c->error), "%s", error == NULL ? "" : error);
}

static const struct warm_source source = {more, done};

static void flush(void *arg)
{
    struct cache *c = arg;
    warm_flush(c->w);
}

static void init(struct cache *c)
{
    memset(c, 0, sizeof(*c));
    rig_init(&c->rig);
    c->w = warm_new(c->rig.loop, c->rig.dir, "one", &c->rig.error);
    CHECK(c->w != NULL);
    c->per_call = 7;
    c->rig.turn_end = flush;
    c->rig.turn_arg = c;
}

static void release(struct cache *c)
{
    warm_free(c->w);
    rig_release(&c->rig);
}

static void write_file(struct cache *c, int n)
{
    struct journal_clock clock = sample_clock();
    c->n = n;
    c->at = 0;
    int before = c->done;
    EXPECT(warm_begin(c->w, &clock, &source, c));
    EXPECT(!warm_begin(c->w, &clock, &source, c));
    RIG_UNTIL(&c->rig, c->done > before);
    EXPECT(!warm_is_writing(c->w));
}

static void note(void *arg, const struct journal_record *r)
{
    note_record(r, arg);
}

static void expect_loaded(struct cache *c, int n, int without)
{
    struct buf got;
    struct buf want;
    buf_init(&got);
    buf_init(&want);
    note_clock(&want);
    for (int i = 0; i < n; i++)
        if (i != without)
            note_item(i, &want);
    EXPECT_INT(warm_load(c->rig.dir, note, &got), n + 1 - (without >= 0));
    EXPECT(bytes_eq(buf_bytes(&got), buf_bytes(&want)));
    buf_release(&got);
    buf_release(&want);
}

static void write_and_load(void)
{
    struct cache c;
    struct stat st;
    char path[256];
    init(&c);
    EXPECT_INT(warm_load(c.rig.dir, NULL, NULL), 0);
    EXPECT_INT(warm_load("/nonexistent/folder", NULL, NULL), 0);
    write_file(&c, 0);
    expect_loaded(&c, 0, -1);
    write_file(&c, 1000);
    EXPECT_CSTR(c.error, "");
    EXPECT(c.calls > 100);
    expect_loaded(&c, 1000, -1);
    rig_path(&c.rig, "warm", path);
    EXPECT_INT(stat(path, &st), 0);
    EXPECT_INT(st.st_mode & 0777, 0600);
    EXPECT_INT(st.st_size, c.bytes);
    write_file(&c, 10); /* a shorter one in its place */
    expect_loaded(&c, 10, -1);
    EXPECT_INT(count_files(c.rig.dir, "warm"), 1);
    release(&c);
}

static void the_old_one_stays(void)
{
    struct cache c;
    struct journal_clock clock = sample_clock();
    init(&c);
    write_file(&c, 20);
    fault_errno[CALL_SYNC] = ENOSPC;
    write_file(&c, 100);
    EXPECT(strstr(c.error, "No space left") != NULL);
    EXPECT_INT(c.bytes, 0);
    fault_errno[CALL_SYNC] = 0;
    expect_loaded(&c, 20, -1);
    fault_errno[CALL_RENAME] = EIO;
    write_file(&c, 100);
    EXPECT(c.error[0] != '\0');
    fault_errno[CALL_RENAME] = 0;
    expect_loaded(&c, 20, -1);
    /* Cancelled before, within and after a slice. */
    for (int at = 0; at < 3; at++) {
        int before = c.done;
        c.n = 100;
        c.at = 0;
        c.calls = 0;
        c.cancel_at = at;
        EXPECT(warm_begin(c.w, &clock, &source, &c));
        if (at == 0)
            warm_cancel(c.w);
        RIG_UNTIL(&c.rig, !warm_is_writing(c.w));
        EXPECT_INT(c.done, before);
        expect_loaded(&c, 20, -1);
        EXPECT_INT(count_files(c.rig.dir, "warm.tmp"), 0);
    }
    c.cancel_at = 0;
    c.at = 0;
    EXPECT(warm_begin(c.w, &clock, &source, &c));
    warm_flush(c.w);
    warm_free(c.w); /* with a slice on its way */
    EXPECT_INT(count_files(c.rig.dir, "warm.tmp"), 0);
    c.w = NULL;
    expect_loaded(&c, 20, -1);
    release(&c);
}

static void cut_anywhere(void)
{
    struct cache c;
    struct buf file;
    char path[256];
    buf_init(&file);
    init(&c);
    write_file(&c, 10);
    rig_path(&c.rig, "warm", path);
    read_whole(path, &file);
    uint64_t last = 0;
    for (size_t n = 0; n <= file.len; n++) {
        struct buf got;
        buf_init(&got);
        write_whole(path, bytes_of(file.data, n));
        uint64_t loaded = warm_load(c.rig.dir, note, &got);
        EXPECT(loaded >= last && loaded <= 11);
        last = loaded;
        buf_release(&got);
    }
    EXPECT_INT(last, 11);
    buf_release(&file);
    release(&c);
}

/* A flipped byte costs its record, wherever it is; in the header, all. */
static void flipped_byte_anywhere(void)
{
    struct cache c;
    struct buf file;
    char path[256];
    int lost[12] = {0};
    buf_init(&file);
    init(&c);
    write_file(&c, 10);
    rig_path(&c.rig, "warm", path);
    read_whole(path, &file);
    for (size_t n = 0; n < file.len; n++) {
        struct buf got;
        buf_init(&got);
        file.data[n] ^= 0x21;
        write_whole(path, buf_bytes(&file));
        file.data[n] ^= 0x21;
        uint64_t loaded = warm_load(c.rig.dir, note, &got);
        EXPECT_INT(loaded, n < 256 ? 0 : n < file.len - 21 ? 10 : 11);
        lost[11 - loaded]++;
        buf_release(&got);
    }
    EXPECT_INT(lost[11], 256);
    EXPECT_INT(lost[0], 21);
    size_t at = 256 + 12 + 1 + 37 + 8 * 5 + 4 + 12 + 1; /* in the first entry's lane */
    file.data[at] ^= 1;
    write_whole(path, buf_bytes(&file));
    expect_loaded(&c, 10, 0);
    buf_release(&file);
    release(&c);
}

TEST_MAIN(TEST(write_and_load), TEST(the_old_one_stays), TEST(cut_anywhere),
          TEST(flipped_byte_anywhere))
