/* The journal when something goes wrong: crashes, full disks, damage, and what repairs it. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "journal_rig.h"

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
    EXPECT(bytes_eq(buf_bytes(&r->replayed), buf_bytes(want)));
    if (!bytes_eq(buf_bytes(&r->replayed), buf_bytes(want)))
        printf("  replayed:\n%s  not:\n%s", buf_cstr(&r->replayed), buf_cstr(want));
}

enum { MANY = 1000000 }; /* slices of a snapshot that does not come to its end */

enum { GROUP = 12 + 1 + 24 + 4 + 55 + 2 + 50 + 37 }; /* a write of k<n> with 50 bytes, and a mark */

static void flip(struct journal_rig *r, const char *name, size_t at)
{
    char path[256];
    struct buf b;
    buf_init(&b);
    rig_path(r, name, path);
    read_whole(path, &b);
    CHECK(at < b.len);
    b.data[at] ^= 0x55;
    write_whole(path, buf_bytes(&b));
    buf_release(&b);
}

/* ---- crashes ---- */

/* Compacts, and appends meanwhile. Each number of appends that are durable goes into the pipe. */
static void crash_child(struct journal_rig *r, int exit_at, int out)
{
    r->loop = loop_new();
    r->snapshot_n = 3;
    bool ok = rig_open(r);
    CHECK(ok);
    fault_exit_at = exit_at;
    journal_compact(r->j);
    for (char i = 0; i < 8; i++) {
        append_groups(r, 100 + i, 1, 30, NULL);
        ssize_t n = write(out, "x", 1);
        CHECK(n == 1);
    }
    RIG_UNTIL(r, !journal_is_compacting(r->j));
    journal_close(r->j);
    _exit(0);
}

/* The child's exit status; `acknowledged` = how many appends it was told are durable. */
static int run_crash(struct journal_rig *r, int exit_at, int *acknowledged)
{
    int fds[2];
    int status;
    char c;
    CHECK(pipe(fds) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        crash_child(r, exit_at, fds[1]);
    close(fds[1]);
    for (*acknowledged = 0; read(fds[0], &c, 1) == 1;)
        ++*acknowledged;
    close(fds[0]);
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool replayed_is(struct journal_rig *r, bool compacted, int appended)
{
    struct buf want;
    buf_init(&want);
    for (int i = 0; i < (compacted ? 3 : 5); i++)
        note_append(compacted ? i : 50 + i, compacted ? 100 : 40, &want);
    for (int i = 0; i < appended; i++)
        note_append(100 + i, 30, &want);
    bool same = bytes_eq(buf_bytes(&r->replayed), buf_bytes(&want));
    buf_release(&want);
    return same;
}

static void crash_anywhere_while_compacting(void)
{
    int compacted = 0;
    int status = 42;
    for (int at = 1; status == 42 && at < 200; at++) {
        struct journal_rig r;
        int n;
        rig_init(&r);
        EXPECT(rig_open(&r));
        append_groups(&r, 50, 5, 40, NULL);
        rig_close(&r);
        status = run_crash(&r, at, &n);
        EXPECT(status == 42 || status == 0);
        EXPECT(rig_open(&r));
        bool with_snapshot = replayed_is(&r, true, n) || replayed_is(&r, true, n + 1);
        EXPECT(with_snapshot || replayed_is(&r, false, n) || replayed_is(&r, false, n + 1));
        compacted += with_snapshot;
        EXPECT_INT(count_files(r.dir, "snapshot."), with_snapshot); /* none half made */
        append_groups(&r, 200, 1, 10, NULL);
        rig_close(&r);
        EXPECT(rig_open(&r));
        rig_release(&r);
    }
    EXPECT_INT(status, 0); /* the last one was not met any more */
    EXPECT(compacted > 3);
}

static void kill_child(struct journal_rig *r, int from, int out)
{
    r->loop = loop_new();
    bool ok = rig_open(r);
    CHECK(ok);
    uint64_t positions[5];
    for (int32_t n = from;; n += 5) {
        for (int i = 0; i < 5; i++)
            positions[i] = rig_append(r, n + i, (size_t)(n + i) * 37 % 3000);
        RIG_UNTIL(r, r->durable >= positions[4]);
        int32_t durable = n + 5;
        if (write(out, &durable, sizeof(durable)) != sizeof(durable))
            _exit(1);
    }
}

static void killed_while_appending(void)
{
    struct journal_rig r;
    struct buf want;
    int32_t told = 0;
    int next = 0;
    buf_init(&want);
    rig_init(&r);
    for (int round = 0; round < 8; round++) {
        int fds[2];
        int status;
        CHECK(pipe(fds) == 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            kill_child(&r, next, fds[1]);
        close(fds[1]);
        /* Twice soon, while it opens maybe; else when it has written something. */
        for (int i = 0; i < round % 4; i++)
            if (read(fds[0], &told, sizeof(told)) != sizeof(told))
                break;
        usleep(10000 + (useconds_t)round * 9000);
        kill(pid, SIGKILL);
        while (read(fds[0], &told, sizeof(told)) == sizeof(told))
            ;
        close(fds[0]);
        CHECK(waitpid(pid, &status, 0) == pid);
        EXPECT(WIFSIGNALED(status));
        EXPECT(rig_open(&r));
        EXPECT((int64_t)r.nreplayed >= told);
        EXPECT((int64_t)r.nreplayed <= (told > next ? told : next) + 5);
        for (; next < (int)r.nreplayed; next++)
            note_append(next, (size_t)next * 37 % 3000, &want);
        EXPECT(bytes_eq(buf_bytes(&r.replayed), buf_bytes(&want)));
        rig_close(&r);
    }
    EXPECT(told > 20);
    rig_release(&r);
    buf_release(&want);
}

/* ---- the disk ---- */

/* Appends groups of 10 kB until it fails; what was durable is in `want`. Returns the next number.
 */
static int append_until_full(struct journal_rig *r, int from, struct buf *want)
{
    int n = from;
    for (; r->failures == 0 && n < from + 1000; n++) {
        uint64_t position = rig_append(r, n, 10000);
        RIG_UNTIL(r, r->durable >= position || r->failures > 0);
        if (r->durable >= position)
            note_append(n, 10000, want);
    }
    EXPECT_INT(r->failures, 1);
    EXPECT_INT(rig_append(r, n, 10), 0);
    EXPECT(journal_error(r->j) != NULL);
    return n;
}

static void go_on_when_there_is_room(struct journal_rig *r, int from, struct buf *want)
{
    EXPECT(journal_retry(r->j));
    RIG_UNTIL(r, journal_error(r->j) == NULL);
    append_groups(r, from, 5, 10000, want);
    rig_close(r);
    expect_replay(r, want);
}

static void file_size_limit(void)
{
    struct journal_rig r;
    struct rlimit before;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    struct rlimit low = {500 * 1000 + 1, before.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
    int n = append_until_full(&r, 0, &want);
    EXPECT(n > 30);
    EXPECT(strstr(r.why, "File too large") != NULL);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    go_on_when_there_is_room(&r, n, &want);
    rig_release(&r);
    buf_release(&want);
}

static bool mount_small(struct journal_rig *r)
{
    return geteuid() == 0 && mount("tmpfs", r->dir, "tmpfs", 0, "size=2m") == 0;
}

static void make_filler(struct journal_rig *r)
{
    char path[256];
    struct buf zeros = {0};
    memset(buf_reserve(&zeros, 1 << 20), 1, 1 << 20);
    zeros.len = 1 << 20;
    rig_path(r, "filler", path);
    write_whole(path, buf_bytes(&zeros));
    buf_release(&zeros);
}

static void full_disk(void)
{
    struct journal_rig r;
    struct buf want;
    char path[256];
    buf_init(&want);
    rig_init(&r);
    if (!mount_small(&r)) {
        printf("  not root, or no mount: left out\n");
        rig_release(&r);
        return;
    }
    make_filler(&r);
    EXPECT(rig_open(&r));
    int n = append_until_full(&r, 0, &want);
    EXPECT(n > 30);
    EXPECT(strstr(r.why, "No space left") != NULL);
    EXPECT(journal_retry(r.j)); /* in vain */
    RIG_UNTIL(&r, r.failures == 2);
    EXPECT_INT(count_files(r.dir, "journal."), 1);
    rig_path(&r, "filler", path);
    unlink(path);
    go_on_when_there_is_room(&r, n, &want);
    EXPECT_INT(count_files(r.dir, "journal."), 2);
    rig_close(&r);
    CHECK(umount(r.dir) == 0);
    rig_release(&r);
    buf_release(&want);
}

/* Takes what is left of the disk. */
static void fill_up(struct journal_rig *r)
{
    static const char page[4096] = {1};
    char path[256];
    rig_path(r, "filler", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    while (write(fd, page, sizeof(page)) == (ssize_t)sizeof(page))
        ;
    EXPECT_INT(errno, ENOSPC);
    close(fd);
}

/* All was merged while the disk is full to the last page. */
static void clear_on_a_full_disk(void)
{
    struct journal_rig r;
    struct journal_stats stats;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    if (!mount_small(&r)) {
        printf("  not root, or no mount: left out\n");
        rig_release(&r);
        return;
    }
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 1, 10, NULL);
    rig_close(&r); /* a segment that may go, and one that is the newest */
    EXPECT(rig_open(&r));
    append_until_full(&r, 0, &want);
    fill_up(&r);
    buf_reset(&want, 0);
    journal_clear(r.j);
    RIG_UNTIL(&r, !journal_is_compacting(r.j));
    journal_get_stats(r.j, &stats);
    EXPECT_INT(stats.compactions, 1);
    EXPECT_INT(count_files(r.dir, "journal."), 0);
    EXPECT(journal_retry(r.j));
    RIG_UNTIL(&r, journal_error(r.j) == NULL);
    append_groups(&r, 7, 3, 10000, &want);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_close(&r);
    CHECK(umount(r.dir) == 0);
    rig_release(&r);
    buf_release(&want);
}

static void everysec_syncs_later(void)
{
    struct journal_rig r;
    struct journal_stats stats;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    r.options.fsync = JOURNAL_FSYNC_EVERYSEC;
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 100, 50, &want);
    journal_get_stats(r.j, &stats);
    EXPECT(stats.fsyncs <= 2); /* the new segment's, and a second may have passed */
    RIG_UNTIL(&r, (journal_get_stats(r.j, &stats), stats.fsyncs) == 2);
    fault_errno[CALL_SYNC] = EIO;
    append_groups(&r, 100, 1, 50, &want);
    RIG_UNTIL(&r, r.failures == 1);
    EXPECT_INT(rig_append(&r, 101, 50), 0);
    fault_errno[CALL_SYNC] = 0;
    EXPECT(journal_retry(r.j));
    RIG_UNTIL(&r, journal_error(r.j) == NULL);
    append_groups(&r, 102, 2, 50, &want);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* A machine that crashes loses what everysec has not synced, in any order: no damage. What was
 * synced is, as soon as something was written behind it. */
static void everysec_promises_what_was_synced(void)
{
    struct journal_rig r;
    struct journal_stats stats;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    r.options.fsync = JOURNAL_FSYNC_EVERYSEC;
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 4, 50, NULL);
    RIG_UNTIL(&r, (journal_get_stats(r.j, &stats), stats.fsyncs) == 2);
    append_groups(&r, 4, 1, 50, NULL);
    append_groups(&r, 5, 3, 50, NULL);
    rig_close(&r);
    flip(&r, "journal.0000000001", 256 + 5 * GROUP + 60);
    for (int i = 0; i < 5; i++)
        note_append(i, 50, &want);
    expect_replay(&r, &want);
    rig_close(&r);
    flip(&r, "journal.0000000001", 256 + 2 * GROUP + 60);
    EXPECT(!rig_open(&r));
    EXPECT(strstr(buf_cstr(&r.error), "damaged at offset 663") != NULL);
    rig_release(&r);
    buf_release(&want);
}

static void no_fsync_never_syncs(void)
{
    struct journal_rig r;
    struct journal_stats stats;
    rig_init(&r);
    r.options.fsync = JOURNAL_FSYNC_NO;
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 20, 50, NULL);
    journal_get_stats(r.j, &stats);
    EXPECT_INT(stats.fsyncs, 1);
    EXPECT_INT(stats.records, 20);
    journal_set_fsync(r.j, JOURNAL_FSYNC_ALWAYS);
    append_groups(&r, 20, 5, 50, NULL);
    journal_get_stats(r.j, &stats);
    EXPECT_INT(stats.fsyncs, 6);
    EXPECT(stats.fsync_us >= stats.fsync_us_max);
    rig_release(&r);
}

/* What comes while one group is on its way goes out as one. */
static void group_commit(void)
{
    struct journal_rig r;
    uint64_t last = 0;
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 1, 50, NULL);
    fault_delay_us = 50000;
    EXPECT(rig_append(&r, 1, 50) > 0);
    journal_flush(r.j);
    for (int i = 2; i < 100; i++) {
        last = rig_append(&r, i, 50);
        journal_flush(r.j);
    }
    RIG_UNTIL(&r, r.durable == last);
    EXPECT_INT(r.ndurable, 3);
    rig_release(&r);
}

static void size_limit(void)
{
    struct journal_rig r;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    r.options.max_bytes = 3000;
    EXPECT(rig_open(&r));
    EXPECT(rig_append(&r, 0, 1000) > 0);
    EXPECT(rig_append(&r, 1, 1000) > 0); /* neither is written yet */
    EXPECT_INT(rig_append(&r, 2, 1000), 0);
    EXPECT(strstr(journal_error(r.j), "3000 bytes") != NULL);
    note_append(0, 1000, &want);
    note_append(1, 1000, &want);
    RIG_UNTIL(&r, r.ndurable == 1);
    EXPECT_INT(rig_append(&r, 2, 1000), 0);
    journal_set_max_bytes(r.j, 4000);
    EXPECT(journal_error(r.j) == NULL);
    append_groups(&r, 2, 1, 1000, &want);
    EXPECT_INT(rig_append(&r, 3, 1000), 0);
    EXPECT_INT(r.failures, 0);
    journal_clear(r.j);
    RIG_UNTIL(&r, !journal_is_compacting(r.j));
    buf_reset(&want, 4096);
    append_groups(&r, 4, 1, 1000, &want);
    EXPECT(journal_error(r.j) == NULL);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

static void a_failed_snapshot_changes_nothing(void)
{
    struct journal_rig r;
    struct journal_stats stats;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 3, 50, &want);
    r.snapshot_n = 2;
    fault_errno[CALL_RENAME] = EIO;
    journal_compact(r.j);
    RIG_UNTIL(&r, !journal_is_compacting(r.j));
    fault_errno[CALL_RENAME] = 0;
    journal_get_stats(r.j, &stats);
    EXPECT_INT(stats.compaction_failures, 1);
    EXPECT_INT(stats.compactions, 0);
    EXPECT_INT(count_files(r.dir, "snapshot."), 0);
    journal_compact(r.j); /* not again at once */
    EXPECT(!journal_is_compacting(r.j));
    append_groups(&r, 3, 3, 50, &want);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* The snapshot may hold what is reported lost: it is given up. */
static void a_failure_ends_compaction(void)
{
    struct journal_rig r;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 3, 50, &want);
    r.snapshot_n = MANY;
    journal_compact(r.j);
    append_groups(&r, 3, 2, 50, &want);
    EXPECT(journal_is_compacting(r.j));
    fault_errno[CALL_WRITE] = EIO;
    EXPECT(rig_append(&r, 9, 50) > 0);
    RIG_UNTIL(&r, r.failures == 1 && !journal_is_compacting(r.j));
    fault_errno[CALL_WRITE] = 0;
    EXPECT_INT(count_files(r.dir, "snapshot."), 0);
    EXPECT(journal_retry(r.j));
    RIG_UNTIL(&r, journal_error(r.j) == NULL);
    append_groups(&r, 5, 2, 50, &want);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* The last slice was asked for while a group was on its way that fails then. */
static void a_snapshot_waits_for_what_it_holds(void)
{
    struct journal_rig r;
    struct journal_stats stats;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 3, 50, &want);
    r.snapshot_n = 1;
    fault_delay_us = 100000;
    fault_errno[CALL_SYNC] = EIO;
    journal_compact(r.j);
    EXPECT(rig_append(&r, 3, 50) > 0);
    journal_flush(r.j);
    EXPECT_INT(r.snapshot_at, 1);
    EXPECT(journal_is_compacting(r.j));
    RIG_UNTIL(&r, r.failures == 1 && !journal_is_compacting(r.j));
    journal_get_stats(r.j, &stats);
    EXPECT_INT(stats.compactions, 0);
    EXPECT_INT(stats.compaction_failures, 0); /* given up, not tried */
    EXPECT_INT(count_files(r.dir, "snapshot."), 0);
    fault_errno[CALL_SYNC] = 0;
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* A group is on its way into a file that the snapshot will replace: its owner knows of it only when it is
 * durable, and has nothing to tell before. */
static void a_snapshot_begins_with_what_older_files_hold(void)
{
    struct journal_rig r;
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 3, 50, NULL);
    r.snapshot_n = 1;
    fault_delay_us = 100000;
    uint64_t position = rig_append(&r, 3, 50);
    journal_flush(r.j);
    journal_compact(r.j);
    journal_flush(r.j);
    EXPECT_INT(r.snapshot_at, 0);
    RIG_UNTIL(&r, r.snapshot_at == 1);
    EXPECT(r.durable >= position);
    RIG_UNTIL(&r, !journal_is_compacting(r.j));
    EXPECT_INT(count_files(r.dir, "snapshot."), 1);
    fault_delay_us = 0;
    rig_close(&r);
    rig_release(&r);
}

static void closing_gives_a_snapshot_up(void)
{
    struct journal_rig r;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 3, 50, &want);
    r.snapshot_n = MANY;
    journal_compact(r.j);
    append_groups(&r, 3, 3, 50, &want);
    EXPECT(journal_is_compacting(r.j));
    EXPECT(r.snapshot_at > 0);
    rig_close(&r);
    EXPECT_INT(count_files(r.dir, "snapshot."), 0);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* All was merged in the middle of a compaction; then again, while it is being cleared. */
static void clear_instead_of_compacting(void)
{
    struct journal_rig r;
    struct journal_stats stats;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 3, 50, NULL);
    r.snapshot_n = MANY;
    journal_compact(r.j);
    append_groups(&r, 3, 2, 50, NULL);
    journal_clear(r.j);
    append_groups(&r, 5, 2, 50, NULL);
    journal_clear(r.j);
    RIG_UNTIL(&r, !journal_is_compacting(r.j));
    EXPECT(r.snapshot_at < MANY);
    append_groups(&r, 7, 2, 50, &want);
    journal_get_stats(r.j, &stats);
    EXPECT(stats.bytes < 1200);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* A clearing that has to wait means what was appended before it was asked for. */
static void clear_means_what_was_before(void)
{
    struct journal_rig r;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 3, 50, NULL);
    r.snapshot_n = MANY;
    journal_compact(r.j);
    append_groups(&r, 3, 2, 50, NULL);
    fault_delay_us = 30000; /* so that the slice is on its way for long */
    RIG_UNTIL(&r, journal_is_compacting(r.j));
    journal_flush(r.j);
    journal_clear(r.j);
    for (int i = 5; i < 9; i++) {
        EXPECT(rig_append(&r, i, 50) > 0);
        note_append(i, 50, &want);
        rig_turn(&r);
    }
    RIG_UNTIL(&r, !journal_is_compacting(r.j));
    fault_delay_us = 0;
    rig_close(&r);
    EXPECT_INT(count_files(r.dir, "snapshot."), 1);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* A segment whose beginning failed, with records in it, and that could not even be deleted. */
static void a_segment_that_was_given_up(void)
{
    struct journal_rig r;
    struct buf want;
    char path[256];
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 2, 50, &want);
    rig_close(&r);
    EXPECT(rig_open(&r));
    fault_errno[CALL_SYNC_FOLDER] = EIO;
    fault_errno[CALL_UNLINK] = EIO;
    EXPECT(rig_append(&r, 9, 50) > 0);
    RIG_UNTIL(&r, r.failures == 1);
    fault_errno[CALL_SYNC_FOLDER] = 0;
    fault_errno[CALL_UNLINK] = 0;
    EXPECT(journal_retry(r.j));
    RIG_UNTIL(&r, journal_error(r.j) == NULL);
    append_groups(&r, 2, 2, 50, &want);
    rig_close(&r);
    EXPECT_INT(count_files(r.dir, "journal."), 3);
    expect_replay(&r, &want);
    rig_path(&r, "journal.0000000002", path);
    EXPECT_INT(file_bytes(path), -1);
    rig_close(&r);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&want);
}

/* ---- looking and repairing ---- */

static void read_only_changes_nothing(void)
{
    struct journal_rig r;
    struct buf want;
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 5, 50, &want);
    struct journal *writer = r.j;
    struct journal_options o = {.dir = r.dir, .read_only = true};
    struct journal_rig reader = r;
    buf_init(&reader.replayed);
    buf_init(&reader.error);
    reader.options = o;
    reader.loop = NULL;
    expect_replay(&reader, &want); /* beside the process that writes */
    EXPECT_CSTR(journal_id(reader.j), journal_id(writer));
    rig_close(&reader);
    append_groups(&r, 5, 1, 50, &want);
    append_groups(&r, 6, 1, 50, NULL);
    rig_close(&r);
    /* A torn tail is read up to, and stays. */
    char path[256];
    struct buf file;
    buf_init(&file);
    rig_path(&r, "journal.0000000001", path);
    read_whole(path, &file);
    write_whole(path, bytes_of(file.data, file.len - 3));
    expect_replay(&reader, &want);
    EXPECT_INT(reader.nreplayed, 6);
    rig_close(&reader);
    EXPECT_INT(file_bytes(path), (int64_t)file.len - 3);
    buf_release(&file);
    buf_release(&reader.replayed);
    buf_release(&reader.error);
    rig_release(&r);
    buf_release(&want);
}

/* Three segments of three records each. */
static void make_segments(struct journal_rig *r)
{
    rig_init(r);
    for (int i = 0; i < 3; i++) {
        EXPECT(rig_open(r));
        append_groups(r, 3 * i, 3, 50, NULL);
        rig_close(r);
    }
}

/* Checks, repairs, and reads what is left: records 0 to 8 without those between `from` and `to`. */
static void expect_repaired(struct journal_rig *r, const char *says, int from, int to)
{
    struct buf text;
    struct buf want;
    buf_init(&text);
    buf_init(&want);
    EXPECT(!rig_open(r));
    EXPECT(!journal_check(r->dir, &text));
    EXPECT(strstr(buf_cstr(&text), "DAMAGED") != NULL);
    EXPECT(strstr(buf_cstr(&text), says) != NULL);
    if (strstr(buf_cstr(&text), says) == NULL)
        printf("%s", buf_cstr(&text));
    buf_reset(&text, 4096);
    EXPECT(journal_repair(r->dir, &text));
    EXPECT(strstr(buf_cstr(&text), "repaired: ") != NULL);
    buf_reset(&text, 4096);
    EXPECT(journal_check(r->dir, &text));
    for (int i = 0; i < 9; i++)
        if (i < from || i > to)
            note_append(i, 50, &want);
    expect_replay(r, &want);
    append_groups(r, 20, 1, 50, &want);
    rig_close(r);
    expect_replay(r, &want);
    rig_close(r);
    buf_release(&text);
    buf_release(&want);
}

static void repair_keeps_the_rest(void)
{
    /* The payload, the length, the marker and the checksum of a frame in the middle. */
    static const size_t places[] = {12 + 40, 4, 7, 0, 9};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct journal_rig r;
        make_segments(&r);
        flip(&r, "journal.0000000002", 256 + GROUP + 37 + places[i]);
        expect_repaired(&r, "journal.0000000002: DAMAGED at offset 478", 4, 4);
        EXPECT_INT(count_files(r.dir, "journal.0000000002.damaged"), 1);
        EXPECT_INT(count_files(r.dir, "journal.0000000001"), 0);
        rig_release(&r);
    }
}

static void repair_a_header(void)
{
    struct journal_rig r;
    make_segments(&r);
    flip(&r, "journal.0000000002", 20);
    expect_repaired(&r, "journal.0000000002: DAMAGED at offset 0", -1, -1);
    EXPECT_INT(count_files(r.dir, "journal.0000000002.damaged"), 1);
    rig_release(&r);
}

/* It is not touched, however little of it can be understood. */
static void a_later_version(void)
{
    struct journal_rig r;
    struct buf file;
    struct buf text;
    char path[256];
    buf_init(&file);
    buf_init(&text);
    make_segments(&r);
    rig_path(&r, "journal.0000000003", path);
    read_whole(path, &file);
    file.data[8] = 2;
    uint32_t crc = crc32c(0, file.data, 252);
    for (int i = 0; i < 4; i++)
        file.data[252 + i] = (char)(crc >> 8 * i & 0xff);
    file.len = 300; /* and without a mark */
    write_whole(path, buf_bytes(&file));
    EXPECT(!rig_open(&r));
    EXPECT(strstr(buf_cstr(&r.error), "format of another version") != NULL);
    EXPECT(!journal_repair(r.dir, &text));
    EXPECT(strstr(buf_cstr(&text), "format of another version") != NULL);
    EXPECT_INT(file_bytes(path), 300);
    EXPECT_INT(count_files(r.dir, "journal."), 3);
    EXPECT_INT(count_files(r.dir, "snapshot."), 0);
    rig_release(&r);
    buf_release(&file);
    buf_release(&text);
}

/* The only file: its id is in the marks, too. */
static void repair_the_only_header(void)
{
    struct journal_rig r;
    char id[33];
    struct buf text;
    struct buf want;
    buf_init(&text);
    buf_init(&want);
    rig_init(&r);
    EXPECT(rig_open(&r));
    append_groups(&r, 0, 3, 50, &want);
    strcpy(id, journal_id(r.j));
    rig_close(&r);
    flip(&r, "journal.0000000001", 100);
    EXPECT(!rig_open(&r));
    EXPECT(journal_repair(r.dir, &text));
    expect_replay(&r, &want);
    EXPECT_CSTR(journal_id(r.j), id);
    rig_release(&r);
    buf_release(&text);
    buf_release(&want);
}

static void repair_without_a_file(void)
{
    struct journal_rig r;
    char path[256];
    make_segments(&r);
    rig_path(&r, "journal.0000000002", path);
    unlink(path);
    expect_repaired(&r, "journal.0000000002, which was before it, is missing", 3, 5);
    EXPECT_INT(count_files(r.dir, "journal.0000000003"), 0); /* it is whole: nothing to keep */
    rig_release(&r);
}

/* A segment that is not the last has lost its end, at a record's border. */
static void repair_a_short_file(void)
{
    struct journal_rig r;
    char path[256];
    make_segments(&r);
    rig_path(&r, "journal.0000000001", path);
    CHECK(truncate(path, 256 + 2 * GROUP) == 0);
    expect_repaired(&r, "journal.0000000001: DAMAGED at offset 626", 2, 2);
    rig_release(&r);
}

static void repair_a_snapshot(void)
{
    struct journal_rig r;
    struct buf text;
    struct buf want;
    buf_init(&text);
    buf_init(&want);
    make_segments(&r);
    EXPECT(rig_open(&r));
    r.snapshot_n = 5;
    journal_compact(r.j);
    RIG_UNTIL(&r, !journal_is_compacting(r.j));
    append_groups(&r, 30, 1, 50, NULL);
    rig_close(&r);
    flip(&r, "snapshot.0000000004", 300);
    EXPECT(!rig_open(&r));
    EXPECT(strstr(buf_cstr(&r.error), "snapshot.0000000004 is damaged at offset 256") != NULL);
    EXPECT(journal_repair(r.dir, &text));
    for (int i = 1; i < 5; i++)
        note_append(i, 100, &want);
    note_append(30, 50, &want);
    expect_replay(&r, &want);
    rig_release(&r);
    buf_release(&text);
    buf_release(&want);
}

static void repair_needs_the_lock(void)
{
    struct journal_rig r;
    struct buf text;
    buf_init(&text);
    rig_init(&r);
    EXPECT(rig_open(&r));
    EXPECT(!journal_repair(r.dir, &text));
    EXPECT(strstr(buf_cstr(&text), "in use by process") != NULL);
    rig_close(&r);
    buf_reset(&text, 4096);
    EXPECT(journal_repair(r.dir, &text));
    EXPECT(strstr(buf_cstr(&text), "nothing is damaged") != NULL);
    rig_release(&r);
    buf_release(&text);
}

/* A folder below the rig's, with a journal of its own. */
static void open_below(struct journal_rig *r, const char *parent, const char *name)
{
    rig_init(r);
    remove_folder(r->dir);
    snprintf(r->dir, sizeof(r->dir), "%.100s/%.20s", parent, name);
    EXPECT(rig_open(r));
}

static void orphans(void)
{
    struct journal_rig top;
    struct journal_rig full;
    struct journal_rig cleared;
    struct journal_rig used;
    struct journal_rig own;
    struct buf text;
    buf_init(&text);
    rig_init(&top);
    open_below(&full, top.dir, "full");
    append_groups(&full, 0, 2, 50, NULL);
    rig_close(&full);
    open_below(&cleared, top.dir, "cleared");
    append_groups(&cleared, 0, 2, 50, NULL);
    journal_clear(cleared.j);
    RIG_UNTIL(&cleared, !journal_is_compacting(cleared.j));
    rig_close(&cleared);
    open_below(&used, top.dir, "used");
    append_groups(&used, 0, 2, 50, NULL);
    open_below(&own, top.dir, "own");
    append_groups(&own, 0, 2, 50, NULL);
    journal_find_orphans(own.dir, &text);
    EXPECT_TEXT(text.data, text.len, "full\n");
    rig_close(&used);
    buf_reset(&text, 4096);
    journal_find_orphans(own.dir, &text);
    EXPECT_INT(text.len, strlen("full\nused\n")); /* in any order */
    rig_release(&full);
    rig_release(&cleared);
    rig_release(&used);
    rig_release(&own);
    rig_release(&top);
    buf_release(&text);
}

TEST_MAIN(TEST(crash_anywhere_while_compacting), TEST(killed_while_appending),
          TEST(file_size_limit), TEST(full_disk), TEST(clear_on_a_full_disk),
          TEST(everysec_syncs_later), TEST(everysec_promises_what_was_synced),
          TEST(no_fsync_never_syncs), TEST(group_commit), TEST(size_limit),
          TEST(a_failed_snapshot_changes_nothing), TEST(a_failure_ends_compaction),
          TEST(a_snapshot_waits_for_what_it_holds),
          TEST(a_snapshot_begins_with_what_older_files_hold), TEST(closing_gives_a_snapshot_up),
          TEST(clear_instead_of_compacting), TEST(clear_means_what_was_before),
          TEST(a_segment_that_was_given_up), TEST(a_later_version), TEST(read_only_changes_nothing),
          TEST(repair_keeps_the_rest), TEST(repair_a_header), TEST(repair_the_only_header),
          TEST(repair_without_a_file), TEST(repair_a_short_file), TEST(repair_a_snapshot),
          TEST(repair_needs_the_lock), TEST(orphans))
