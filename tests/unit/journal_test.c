/* journal: what is read is what was written, whatever happens in between. */
#include "test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "journal_rig.h"
#include "store/journal/format.h"

/* Appends n writes from k<from> on, each a group of its own. */
static void append_groups(struct journal_rig *r, int from, int n, size_t size, struct buf *want)
{
    for (int i = from; i < from + n; i++) {
        uint64_t position = rig_append(r, i, size);
        EXPECT(position > 0);
        RIG_UNTIL(r, r->durable >= position);
        if (want != NULL)
            note_append(i, size, want);
    }
}

static void expect_replay(struct journal_rig *r, struct buf *want)
{
    bool ok = rig_open(r);
    EXPECT(ok);
    if (!ok)
        printf("  %s\n", buf_cstr(&r->error));
    EXPECT_INT(r->replayed.len, want->len);
    EXPECT(bytes_eq(buf_bytes(&r->replayed), buf_bytes(want)));
}

static void crc_known(void)
{
    /* RFC 3720, B.4 */
    char zeros[32] = {0};
    char up[32];
    for (int i = 0; i < 32; i++)
        up[i] = (char)i;
    EXPECT_INT(crc32c(0, zeros, 32), 0x8a9136aa);
    EXPECT_INT(crc32c(0, up, 32), 0x46dd794e);
    EXPECT_INT(crc32c(0, "123456789", 9), 0xe3069283);
    EXPECT_INT(crc32c(crc32c(0, "12345", 5), "6789", 4), 0xe3069283);
    EXPECT_INT(crc32c(0, NULL, 0), 0);
}

static const struct journal_item sample_items[] = {
    {.db = 3,
     .key = {"a\0b", 3},
     .live = true,
     .type = 4,
     .value = {"\xff\0v", 3},
     .version = -1,
     .value_version = INT64_MAX,
     .expires_us = INT64_MIN,
     .base = BASE_LIVE,
     .base_version = 7,
     .maybe_version = 8},
    {.db = -1, .key = {"", 0}, .touch = true, .live = true, .base = BASE_ABSENT},
    {.db = 15, .key = {"gone", 4}, .version = 99, .base = BASE_UNKNOWN},
};

/* SETTLED and MERGE_BEGIN keep db, key and version of an item only. */
static const struct journal_item short_items[] = {
    {.db = 1, .key = {"x", 1}, .version = 5},
    {.db = 2, .key = {"", 0}, .version = INT64_MIN},
};

static const struct journal_record samples[] = {
    {.kind = JOURNAL_WRITE,
     .items = (struct journal_item *)sample_items,
     .nitems = 3,
     .lane = {.slot = 1023, .incarnation = INT64_MAX, .lane = -2, .stamp = 5}},
    {.kind = JOURNAL_WRITE},
    {.kind = JOURNAL_SETTLED,
     .items = (struct journal_item *)short_items,
     .nitems = 2,
     .lane = {.slot = 1, .incarnation = 2, .lane = 3, .stamp = 4},
     .applied = true},
    {.kind = JOURNAL_FLUSH, .db = -1, .stamp = INT64_MIN},
    {.kind = JOURNAL_MERGE_BEGIN,
     .number = UINT64_MAX,
     .items = (struct journal_item *)short_items,
     .nitems = 1},
    {.kind = JOURNAL_MERGE_END, .number = 17, .applied = true},
    {.kind = JOURNAL_CLOCK,
     .clock = {.boot_id = "01234567-89ab-cdef-0123-456789abcdef",
               .boot_us = 1,
               .pg_us = 2,
               .wall_us = 3,
               .slot = 4,
               .incarnation = 5,
               .last_stamp = 6}},
    {.kind = JOURNAL_CLOCK},
};

enum { NSAMPLES = sizeof(samples) / sizeof(samples[0]) };

static void encode_and_decode(void)
{
    struct buf bytes;
    struct buf want;
    struct buf got;
    buf_init(&bytes);
    buf_init(&want);
    buf_init(&got);
    for (int i = 0; i < NSAMPLES; i++) {
        struct journal_record r;
        size_t used = 0;
        buf_reset(&bytes, 4096);
        buf_reset(&want, 4096);
        buf_reset(&got, 4096);
        journal_encode(&samples[i], &bytes);
        size_t len = bytes.len;
        EXPECT_INT(journal_decode(buf_bytes(&bytes), &r, &used), JOURNAL_PARSED);
        EXPECT_INT(used, len);
        note_record(&samples[i], &want);
        note_record(&r, &got);
        EXPECT(bytes_eq(buf_bytes(&got), buf_bytes(&want)));
        mem_free(r.items);
        for (size_t n = 0; n < len; n++) {
            char *exact = mem_alloc(n); /* so that a read behind it is seen */
            memcpy(exact, bytes.data, n);
            EXPECT_INT(journal_decode(bytes_of(exact, n), &r, &used), JOURNAL_INCOMPLETE);
            mem_free(exact);
            bytes.data[n] ^= 0x40;
            EXPECT(journal_decode(buf_bytes(&bytes), &r, &used) != JOURNAL_PARSED);
            bytes.data[n] ^= 0x40;
        }
    }
    buf_release(&bytes);
    buf_release(&want);
    buf_release(&got);
}

static void every_kind_is_read_in_order(void)
{
    struct journal_rig r;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    EXPECT_INT(strlen(journal_id(r.j)), 32);
    uint64_t last = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < NSAMPLES; i++) {
            uint64_t position = journal_append(r.j, &samples[i]);
            EXPECT(position > last);
            last = position;
            note_record(&samples[i], &want);
        }
        RIG_UNTIL(&r, r.durable == last);
    }
    EXPECT_INT(r.ndurable, 3); /* a round is a group */
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

static void what_is_pending_is_written_when_closing(void)
{
    struct journal_rig r;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    for (int i = 0; i < 10; i++) {
        EXPECT(rig_append(&r, i, 10) > 0);
        note_append(i, 10, &want);
        if (i == 5)
            journal_flush(r.j);
    }
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

static void files_are_private(void)
{
    struct journal_rig r;
    struct stat st;
    char path[256];
    rig_init(&r);
    strcat(r.dir, "/deep/er");
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 1, 10, NULL);
    EXPECT_INT(stat(r.dir, &st), 0);
    EXPECT_INT(st.st_mode & 0777, 0700);
    rig_path(&r, "journal.0000000001", path);
    EXPECT_INT(stat(path, &st), 0);
    EXPECT_INT(st.st_mode & 0777, 0600);
    rig_close(&r);
    remove_folder(r.dir);
    *strrchr(r.dir, '/') = '\0';
    remove_folder(r.dir);
    *strrchr(r.dir, '/') = '\0';
    rig_release(&r);
}

/* The only segment, without what is set aside, and where its groups begin. */
struct image {
    struct buf bytes;
    char path[256];
    size_t ends[8];
};

static void make_image(struct journal_rig *r, struct image *m, int groups, struct buf *wants)
{
    rig_init(r);
    buf_init(&m->bytes);
    EXPECT(rig_open(r));
    rig_path(r, "journal.0000000001", m->path);
    for (int i = 0; i < groups; i++) {
        struct journal_stats stats;
        append_groups(r, i, 1, 20, NULL);
        journal_get_stats(r->j, &stats);
        m->ends[i] = stats.bytes;
        buf_init(&wants[i]);
        if (i > 0)
            buf_append_bytes(&wants[i], buf_bytes(&wants[i - 1]));
        note_append(i, 20, &wants[i]);
    }
    rig_close(r);
    read_whole(m->path, &m->bytes);
    EXPECT_INT(m->bytes.len, m->ends[groups - 1]);
}

static void release_image(struct journal_rig *r, struct image *m, int groups, struct buf *wants)
{
    for (int i = 0; i < groups; i++)
        buf_release(&wants[i]);
    buf_release(&m->bytes);
    rig_release(r);
}

static void torn_tail_at_every_byte(void)
{
    struct journal_rig r;
    struct image m;
    struct buf wants[3];
    make_image(&r, &m, 3, wants);
    for (size_t n = m.ends[1] + 1; n < m.ends[2]; n++) {
        write_whole(m.path, bytes_of(m.bytes.data, n));
        expect_replay(&r, &wants[1]);
        rig_close(&r);
        EXPECT(file_bytes(m.path) <= (int64_t)m.ends[1] + 37); /* the mark may be whole */
    }
    /* Cut within the header: nothing was acknowledged. */
    for (size_t n = 0; n < 256; n++) {
        struct buf none = {0};
        write_whole(m.path, bytes_of(m.bytes.data, n));
        expect_replay(&r, &none);
        rig_close(&r);
        EXPECT_INT(file_bytes(m.path), -1);
    }
    release_image(&r, &m, 3, wants);
}

/* Zeros were set aside, and the process ended without cutting them. */
static void zeros_behind_are_no_damage(void)
{
    struct journal_rig r;
    struct image m;
    struct buf wants[2];
    make_image(&r, &m, 2, wants);
    memset(buf_reserve(&m.bytes, 100000), 0, 100000);
    for (size_t n = m.ends[1]; n < m.ends[1] + 100000; n += 9999) {
        write_whole(m.path, bytes_of(m.bytes.data, n));
        expect_replay(&r, &wants[1]);
        rig_close(&r);
        EXPECT_INT(file_bytes(m.path), (int64_t)m.ends[1]);
    }
    /* A torn group, and zeros behind it. */
    memset(m.bytes.data + m.ends[1] - 5, 0, 5);
    write_whole(m.path, bytes_of(m.bytes.data, m.ends[1] + 100000));
    expect_replay(&r, &wants[0]);
    release_image(&r, &m, 2, wants);
}

static void expect_damage_at(struct journal_rig *r, size_t offset)
{
    char text[64];
    snprintf(text, sizeof(text), "damaged at offset %zu:", offset);
    EXPECT(!rig_open(r));
    EXPECT(strstr(buf_cstr(&r->error), text) != NULL);
    EXPECT(strstr(buf_cstr(&r->error), "journal.0000000001") != NULL);
    EXPECT(strstr(buf_cstr(&r->error), "respgres --check-journal ") != NULL);
    EXPECT(strstr(buf_cstr(&r->error), "respgres --repair-journal ") != NULL);
    rig_close(r);
}

static void flipped_byte_everywhere(void)
{
    enum { MARK = 37 };
    struct journal_rig r;
    struct image m;
    struct buf wants[4];
    make_image(&r, &m, 4, wants);
    for (size_t n = 0; n < m.ends[3]; n++) {
        m.bytes.data[n] ^= 0x10;
        write_whole(m.path, buf_bytes(&m.bytes));
        m.bytes.data[n] ^= 0x10;
        if (n < 256) {
            expect_damage_at(&r, 0);
        } else if (n < m.ends[2]) {
            size_t group = n < m.ends[0] ? 256 : n < m.ends[1] ? m.ends[0] : m.ends[1];
            expect_damage_at(&r, n < group + MARK ? group : group + MARK);
            EXPECT_INT(file_bytes(m.path), (int64_t)m.bytes.len); /* nothing was changed */
        } else {
            expect_replay(&r, &wants[2]);
            rig_close(&r);
        }
    }
    release_image(&r, &m, 4, wants);
}

/* The last group has three records; what the disk kept of it is anything. */
static void the_last_group_counts_up_to_the_hole(void)
{
    struct journal_rig r;
    struct buf want;
    struct buf file;
    char path[256];
    buf_init(&want);
    buf_init(&file);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 2, 20, &want);
    uint64_t last = 0;
    for (int i = 2; i < 5; i++)
        last = rig_append(&r, i, 20);
    note_append(2, 20, &want);
    RIG_UNTIL(&r, r.durable == last);
    rig_close(&r);
    rig_path(&r, "journal.0000000001", path);
    read_whole(path, &file);
    size_t record = (size_t)(last / 5); /* they are of one size */
    file.data[file.len - 2 * record + 30] ^= 1;
    write_whole(path, buf_bytes(&file));
    expect_replay(&r, &want);
    EXPECT_INT(file_bytes(path), file.len - 2 * record);
    append_groups(&r, 9, 1, 20, &want);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
    buf_release(&file);
}

/* A client's value holds marks that claim everything was acknowledged, and is torn: no damage. */
static void a_value_cannot_pretend(void)
{
    struct journal_rig r;
    struct buf want;
    struct buf file;
    struct buf value;
    char path[256];
    uint8_t id[ID_SIZE] = {7};
    buf_init(&want);
    buf_init(&file);
    buf_init(&value);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 2, 20, &want);
    for (int i = 0; i < 50; i++) {
        mark_encode(350 + (uint64_t)i, id, buf_reserve(&value, MARK_SIZE));
        value.len += MARK_SIZE;
        note_append(i, 10, &value);
    }
    journal_encode(&samples[0], &value); /* and a whole record */
    struct journal_item item = {.key = {"k", 1}, .live = true, .value = buf_bytes(&value)};
    struct journal_record record = {.kind = JOURNAL_WRITE, .items = &item, .nitems = 1};
    uint64_t position = journal_append(r.j, &record);
    RIG_UNTIL(&r, r.durable == position);
    rig_close(&r);
    rig_path(&r, "journal.0000000001", path);
    read_whole(path, &file);
    write_whole(path, bytes_of(file.data, file.len - 1));
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
    buf_release(&file);
    buf_release(&value);
}

/* A failed group is left behind, and the segment that was to follow did not get its header. */
static void a_segment_that_was_not_born(void)
{
    struct journal_rig r;
    struct image m;
    struct buf wants[2];
    char path[256];
    make_image(&r, &m, 2, wants);
    rig_path(&r, "journal.0000000002", path);
    for (size_t n = 0; n < 2; n++) {
        char zeros[4096] = {0};
        write_whole(m.path, bytes_of(m.bytes.data, m.ends[1] - 1));
        write_whole(path, bytes_of(zeros, n * sizeof(zeros)));
        expect_replay(&r, &wants[0]);
        rig_close(&r);
        EXPECT_INT(file_bytes(path), -1);
    }
    release_image(&r, &m, 2, wants);
}

static void a_file_of_another_journal(void)
{
    struct journal_rig r;
    struct journal_rig other;
    struct buf text;
    struct buf want;
    char from[256];
    char to[256];
    buf_init(&text);
    buf_init(&want);
    rig_init(&r);
    rig_init(&other);
    for (int i = 0; i < 2; i++) {
        EXPECT(rig_open(&r) && rig_open(&other));
        append_groups(&r, 10 * i, 2, 20, &want);
        append_groups(&other, 50, 1, 20, NULL);
        rig_close(&r);
        rig_close(&other);
    }
    rig_path(&r, "journal.0000000001", from);
    rig_path(&other, "journal.0000000001", to);
    EXPECT_INT(rename(from, to), 0);
    EXPECT(!rig_open(&other));
    EXPECT(strstr(buf_cstr(&other.error), "it belongs to another journal") != NULL);
    EXPECT(journal_repair(other.dir, &text));
    EXPECT_INT(count_files(other.dir, "journal.0000000001.damaged"), 1);
    buf_reset(&want, 4096);
    note_append(50, 20, &want);
    expect_replay(&other, &want);
    rig_release(&r);
    rig_release(&other);
    buf_release(&text);
    buf_release(&want);
}

/* 145 MB in values of 5 MB: three segments, read back byte for byte in order. */
static void large_values_and_many_segments(void)
{
    struct journal_rig r;
    struct journal_stats stats;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    r.options.fsync = JOURNAL_FSYNC_NO;
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 28, 5000000, &want);
    EXPECT_INT(count_files(r.dir, "journal."), 2);
    append_groups(&r, 28, 1, 5000000, &want);
    EXPECT_INT(count_files(r.dir, "journal."), 3);
    journal_get_stats(r.j, &stats);
    EXPECT(stats.bytes > 29 * 5000000);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

static void only_one_process(void)
{
    struct journal_rig r;
    char text[64];
    rig_init(&r);
    EXPECT(rig_open(&r));
    struct journal *first = r.j;
    EXPECT(!rig_open(&r));
    snprintf(text, sizeof(text), "in use by process %d", (int)getpid());
    EXPECT(strstr(buf_cstr(&r.error), text) != NULL);
    r.j = first;
    rig_close(&r);
    EXPECT(rig_open(&r));
    rig_release(&r);
}

static void the_id_stays(void)
{
    struct journal_rig r;
    char id[33];
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 2, 10, NULL);
    strcpy(id, journal_id(r.j));
    rig_close(&r);
    EXPECT(rig_open(&r));
    EXPECT_CSTR(journal_id(r.j), id);
    journal_clear(r.j);
    RIG_UNTIL(&r, !journal_is_compacting(r.j));
    rig_close(&r);
    EXPECT_INT(count_files(r.dir, "journal."), 0);
    EXPECT(rig_open(&r));
    EXPECT_INT(r.nreplayed, 0);
    EXPECT_CSTR(journal_id(r.j), id);
    rig_release(&r);
}

static void clear_and_go_on(void)
{
    struct journal_rig r;
    struct journal_stats stats;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 5, 1000, NULL);
    journal_clear(r.j);
    EXPECT(journal_is_compacting(r.j));
    append_groups(&r, 10, 2, 100, &want);
    RIG_UNTIL(&r, !journal_is_compacting(r.j));
    journal_get_stats(r.j, &stats);
    EXPECT(stats.bytes < 1500);
    EXPECT_INT(stats.compactions, 1);
    append_groups(&r, 20, 2, 100, &want);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

static void compact_while_appending(void)
{
    struct journal_rig r;
    struct journal_stats stats;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 1000, 50, 5000, NULL);
    r.snapshot_n = 20;
    for (int i = 0; i < 20; i++)
        note_append(i, 100, &want);
    journal_compact(r.j);
    append_groups(&r, 0, 30, 200, &want); /* a slice each */
    RIG_UNTIL(&r, !journal_is_compacting(r.j));
    EXPECT_INT(r.snapshot_at, 20);
    append_groups(&r, 30, 5, 200, &want);
    journal_get_stats(r.j, &stats);
    EXPECT(stats.bytes < 30000);
    EXPECT_INT(stats.compactions, 1);
    EXPECT_INT(stats.compaction_failures, 0);
    rig_close(&r);
    EXPECT_INT(count_files(r.dir, "snapshot."), 1);
    EXPECT_INT(count_files(r.dir, "journal."), 1);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* ---- failures ---- */

static void a_failed_sync_is_final(void)
{
    struct journal_rig r;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 3, 50, &want);
    uint64_t good = r.durable;
    fault_errno[CALL_SYNC] = EIO;
    EXPECT(rig_append(&r, 3, 50) > good);
    RIG_UNTIL(&r, r.failures == 1);
    EXPECT_INT(r.durable, good);
    EXPECT(strstr(r.why, "Input/output error") != NULL);
    EXPECT_CSTR(journal_error(r.j), r.why);
    EXPECT_INT(rig_append(&r, 4, 50), 0);
    fault_errno[CALL_SYNC] = 0;
    EXPECT(journal_retry(r.j));
    EXPECT(journal_retry(r.j)); /* under way */
    RIG_UNTIL(&r, journal_error(r.j) == NULL);
    EXPECT_INT(r.failures, 1);
    append_groups(&r, 5, 3, 50, &want);
    EXPECT_INT(count_files(r.dir, "journal."), 2);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* The folder's entry for a new segment is not safe: the segment does not count. */
static void a_new_segment_needs_its_name(void)
{
    struct journal_rig r;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    fault_errno[CALL_SYNC_FOLDER] = EIO;
    EXPECT(rig_append(&r, 0, 50) > 0);
    RIG_UNTIL(&r, r.failures == 1);
    EXPECT_INT(count_files(r.dir, "journal."), 0);
    EXPECT(journal_retry(r.j));
    RIG_UNTIL(&r, r.failures == 2);
    fault_errno[CALL_SYNC_FOLDER] = 0;
    EXPECT(journal_retry(r.j));
    RIG_UNTIL(&r, journal_error(r.j) == NULL);
    append_groups(&r, 1, 2, 50, &want);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* Not even what was not acknowledged can be cut: the next segment's header says where it ends. */
static void what_failed_is_not_read(void)
{
    struct journal_rig r;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 3, 50, &want);
    fault_errno[CALL_SYNC] = EIO;
    fault_errno[CALL_TRUNCATE] = EIO;
    EXPECT(rig_append(&r, 3, 50) > 0);
    RIG_UNTIL(&r, r.failures == 1);
    fault_errno[CALL_SYNC] = 0;
    EXPECT(journal_retry(r.j));
    RIG_UNTIL(&r, journal_error(r.j) == NULL);
    append_groups(&r, 5, 3, 50, &want);
    rig_close(&r);
    fault_errno[CALL_TRUNCATE] = 0;
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

TEST_MAIN(TEST(crc_known), TEST(encode_and_decode), TEST(every_kind_is_read_in_order),
          TEST(what_is_pending_is_written_when_closing), TEST(files_are_private),
          TEST(torn_tail_at_every_byte), TEST(zeros_behind_are_no_damage),
          TEST(flipped_byte_everywhere), TEST(the_last_group_counts_up_to_the_hole),
          TEST(a_value_cannot_pretend), TEST(a_segment_that_was_not_born),
          TEST(a_file_of_another_journal), TEST(large_values_and_many_segments),
          TEST(a_new_segment_needs_its_name), TEST(only_one_process), TEST(the_id_stays),
          TEST(clear_and_go_on), TEST(compact_while_appending), TEST(a_failed_sync_is_final),
          TEST(what_failed_is_not_read))
