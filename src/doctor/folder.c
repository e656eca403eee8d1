/* folder: see parts.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "doctor/parts.h"

enum { SYNCS = 8, BLOCK = 4096 };

static const struct {
    long magic;
    const char *name;
    bool ephemeral;
    bool remote;
} kinds[] = {
    {TMPFS_MAGIC, "tmpfs", true, false},
    {RAMFS_MAGIC, "ramfs", true, false},
    {OVERLAYFS_SUPER_MAGIC, "overlay", true, false},
    {EXT4_SUPER_MAGIC, "ext4", false, false},
    {XFS_SUPER_MAGIC, "xfs", false, false},
    {BTRFS_SUPER_MAGIC, "btrfs", false, false},
    {NFS_SUPER_MAGIC, "NFS", false, true},
    {CEPH_SUPER_MAGIC, "Ceph", false, true},
    {FUSE_SUPER_MAGIC, "FUSE", false, true},
};

static void look_at_kind(const char *path, finding_cb found, void *arg)
{
    struct statfs fs;
    char text[400];
    if (statfs(path, &fs) != 0)
        return;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].magic != (long)fs.f_type)
            continue;
        if (kinds[i].ephemeral)
            snprintf(text, sizeof(text),
                     "dir (%s) is on %s: what is written there goes with the %s.", path,
                     kinds[i].name,
                     kinds[i].magic == OVERLAYFS_SUPER_MAGIC ? "container" : "host's memory");
        else
            snprintf(text, sizeof(text), "dir (%s) is on %s.", path, kinds[i].name);
        if (kinds[i].ephemeral)
            found(arg, FINDING_WARNING, text,
                  "Put dir on a volume or disk, if what is written while "
                  "PostgreSQL is away must outlive a restart.");
        else if (kinds[i].remote)
            found(arg, FINDING_NOTE, text, "A local disk does not depend on the network.");
        else
            found(arg, FINDING_GOOD, text, NULL);
        return;
    }
}

static void look_at_room(const char *path, finding_cb found, void *arg)
{
    struct statvfs fs;
    char text[400];
    if (statvfs(path, &fs) != 0)
        return;
    unsigned long long free_mb = (unsigned long long)fs.f_bavail * fs.f_frsize >> 20;
    if (free_mb >= 256)
        return;
    snprintf(text, sizeof(text), "dir (%s) has %llu MB left.", path, free_mb);
    found(arg, FINDING_WARNING, text,
          "Make room: while PostgreSQL is away every write goes there.");
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The median of some; -1 if it does not work. */
static int64_t measure_sync_us(int fd)
{
    static const char block[BLOCK];
    int64_t took[SYNCS];
    for (int i = 0; i < SYNCS; i++) {
        if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
            return -1;
        int64_t before = clock_mono_us();
        if (fdatasync(fd) != 0)
            return -1;
        took[i] = clock_mono_us() - before;
    }
    qsort(took, SYNCS, sizeof(took[0]), by_size);
    return took[SYNCS / 2];
}

static void look_at_speed(const char *path, int fd, finding_cb found, void *arg)
{
    char text[400];
    int64_t us = measure_sync_us(fd);
    if (us < 0) {
        snprintf(text, sizeof(text), "dir (%s) cannot be written to: %s.", path, strerror(errno));
        found(arg, FINDING_BLOCKER, text, "Make room there, or choose another folder.");
        return;
    }
    snprintf(text, sizeof(text), "fdatasync takes %.2f ms in dir (%s).", (double)us / 1000, path);
    if (us > 20000)
        found(arg, FINDING_WARNING, text,
              "A faster disk makes writes faster while PostgreSQL is away.");
    else
        found(arg, FINDING_GOOD, text, NULL);
}

void doctor_folder(const char *path, finding_cb found, void *arg)
{
    char text[400];
    char name[300];
    int n = snprintf(name, sizeof(name), "%s/.respgres-doctor-XXXXXX", path);
    int fd = n > 0 && (size_t)n < sizeof(name) ? mkostemp(name, O_CLOEXEC) : -1;
    if (fd < 0) {
        snprintf(text, sizeof(text), "dir (%s) cannot be written to: %s.", path, strerror(errno));
        found(arg, FINDING_BLOCKER, text,
              "Make the folder, and give it to the user that runs respgres.");
        return;
    }
    (void)unlink(name);
    look_at_kind(path, found, arg);
    look_at_room(path, found, arg);
    look_at_speed(path, fd, found, arg);
    close(fd);
}
