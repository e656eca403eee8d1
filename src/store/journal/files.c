#include "store/journal/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum { WINDOW_SIZE = 256 * 1024, LOCK_TRIES = 10, LOCK_PAUSE_NS = 20 * 1000 * 1000 };

static const char *const prefixes[] = {[FILE_SEGMENT] = "journal.", [FILE_SNAPSHOT] = "snapshot."};

const char *file_name(enum file_kind kind, uint64_t number, char out[FILENAME_SIZE])
{
    if (kind == FILE_WARM) {
        snprintf(out, FILENAME_SIZE, "warm");
        return out;
    }
    snprintf(out, FILENAME_SIZE, "%s%010" PRIu64, prefixes[kind], number);
    return out;
}

/* Exactly what file_name makes: nothing else in the folder is ours. */
static bool parse_name(const char *name, struct file_entry *out)
{
    for (enum file_kind kind = FILE_SEGMENT; kind <= FILE_SNAPSHOT; kind++) {
        size_t n = strlen(prefixes[kind]);
        char again[FILENAME_SIZE];
        if (strncmp(name, prefixes[kind], n) != 0)
            continue;
        uint64_t number = strtoull(name + n, NULL, 10);
        if (strcmp(file_name(kind, number, again), name) != 0)
            continue;
        *out = (struct file_entry){kind, number};
        return true;
    }
    return false;
}

/* ---- the folder ---- */

static bool make_folders(const char *dir)
{
    char *path = mem_strdup(dir);
    bool ok = true;
    for (char *p = path + 1; ok && *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        ok = mkdir(path, 0700) == 0 || errno == EEXIST;
        *p = '/';
    }
    ok = ok && (mkdir(path, 0700) == 0 || errno == EEXIST);
    mem_free(path);
    return ok;
}

int folder_open(const char *dir, bool make, struct buf *error)
{
    if (make && !make_folders(dir)) {
        buf_printf(error, "journal folder %s cannot be made: %s", dir, strerror(errno));
        return -1;
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        buf_printf(error, "journal folder %s cannot be opened: %s", dir, strerror(errno));
    return fd;
}

static void explain_lock(int fd, const char *dir, struct buf *error)
{
    char pid[24] = "";
    ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
    pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
    if (errno == EWOULDBLOCK)
        buf_printf(error,
                   "journal folder %s is in use by process %s: instances need an "
                   "instance-name of their own each (two with --exec on one host have the same one "
                   "by default: set it, or give each another dir)",
                   dir, pid[0] == '\0' ? "(unknown)" : pid);
    else
        buf_printf(error, "journal folder %s cannot be locked: %s", dir, strerror(errno));
}

/* Somebody who only asks has it for a moment. */
static bool try_lock(int fd)
{
    struct timespec pause = {0, LOCK_PAUSE_NS};
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            return false;
        nanosleep(&pause, NULL);
    }
    errno = EWOULDBLOCK;
    return false;
}

int folder_lock(int dirfd, const char *dir, struct buf *error)
{
    char pid[24];
    int fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        buf_printf(error, "journal folder %s cannot be written: %s", dir, strerror(errno));
        return -1;
    }
    if (!try_lock(fd)) {
        explain_lock(fd, dir, error);
        close(fd);
        return -1;
    }
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    bool noted = ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) == n;
    (void)noted; /* for people only */
    return fd;
}

bool folder_is_locked(int dirfd)
{
    int fd = openat(dirfd, "lock", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return locked;
}

static DIR *open_listing(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL && fd >= 0)
        close(fd);
    return d;
}

static int compare_entries(const void *a, const void *b)
{
    const struct file_entry *x = a;
    const struct file_entry *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return (x->kind == FILE_SEGMENT) - (y->kind == FILE_SEGMENT);
}

bool folder_list(int dirfd, struct file_entry **out, size_t *count)
{
    DIR *d = open_listing(dirfd);
    struct file_entry *v = NULL;
    struct file_entry e;
    size_t n = 0;
    if (d == NULL)
        return false;
    for (struct dirent *it = readdir(d); it != NULL; it = readdir(d)) {
        if (!parse_name(it->d_name, &e))
            continue;
        v = mem_realloc(v, (n + 1) * sizeof(*v));
        v[n++] = e;
    }
    closedir(d);
    if (n > 0)
        qsort(v, n, sizeof(*v), compare_entries);
    *out = v;
    *count = n;
    return true;
}

void folder_remove_unfinished(int dirfd)
{
    DIR *d = open_listing(dirfd);
    if (d == NULL)
        return;
    for (struct dirent *it = readdir(d); it != NULL; it = readdir(d)) {
        size_t n = strlen(it->d_name);
        bool ours = strncmp(it->d_name, "snapshot.", 9) == 0 || strncmp(it->d_name, "warm", 4) == 0;
        if (ours && n > 4 && strcmp(it->d_name + n - 4, ".tmp") == 0)
            unlinkat(dirfd, it->d_name, 0);
    }
    closedir(d);
}

void folder_remove_below(int dirfd, uint64_t number)
{
    struct file_entry *v;
    size_t n;
    char name[FILENAME_SIZE];
    if (!folder_list(dirfd, &v, &n))
        return;
    for (size_t i = 0; i < n && v[i].number < number; i++)
        unlinkat(dirfd, file_name(v[i].kind, v[i].number, name), 0);
    mem_free(v);
}

/* ---- reading ---- */

bool window_open(struct window *w, int dirfd, const char *name)
{
    struct stat st;
    *w = (struct window){.fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC)};
    if (w->fd < 0)
        return false;
    if (fstat(w->fd, &st) != 0) {
        int error = errno;
        close(w->fd);
        errno = error;
        return false;
    }
    w->size = (uint64_t)st.st_size;
    buf_init(&w->buf);
    return true;
}

void window_close(struct window *w)
{
    buf_release(&w->buf);
    close(w->fd);
}

/* Reads until n bytes are there, if there are as many. */
static void fill(struct window *w, uint64_t at, size_t n)
{
    w->at = at;
    buf_reset(&w->buf, WINDOW_SIZE * 4);
    char *to = buf_reserve(&w->buf, n);
    while (w->buf.len < n) {
        ssize_t got = pread(w->fd, to + w->buf.len, n - w->buf.len, (off_t)(at + w->buf.len));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            w->error = errno;
        if (got <= 0)
            return;
        w->buf.len += (size_t)got;
    }
}

struct bytes window_get(struct window *w, uint64_t at, size_t n)
{
    if (at >= w->size)
        return (struct bytes){NULL, 0};
    if (n > w->size - at)
        n = (size_t)(w->size - at);
    if (at < w->at || at + n > w->at + w->buf.len) {
        size_t ahead = n < WINDOW_SIZE ? WINDOW_SIZE : n;
        fill(w, at, ahead > w->size - at ? (size_t)(w->size - at) : ahead);
    }
    if (n > w->buf.len - (size_t)(at - w->at))
        n = w->buf.len - (size_t)(at - w->at);
    return bytes_of(w->buf.data + (at - w->at), n);
}

bool window_is_zero(struct window *w, uint64_t at)
{
    static const char zeros[4096];
    while (at < w->size) {
        struct bytes s = window_get(w, at, sizeof(zeros));
        if (s.len == 0 || memcmp(s.data, zeros, s.len) != 0)
            return false;
        at += s.len;
    }
    return true;
}
