#include "backup/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

enum {
    NAME_LEN = sizeof("respgres-YYYYMMDDTHHMMSSZ.resp") - 1,
    LEFTOVER_S = 24 * 3600,
};

static const char name_format[] = "respgres-%Y%m%dT%H%M%SZ.resp";
static const char unfinished[] = ".tmp.";

/* The names found, ascending, which is by time. */
struct names {
    char **names;
    size_t n;
};

void backup_folder(const struct config *c, struct buf *out)
{
    if (c->backup_dir[0] != '\0')
        buf_append_cstr(out, c->backup_dir);
    else
        buf_printf(out, "%s/backups", c->dir[0] != '\0' ? c->dir : ".");
}

void backup_path(const struct config *c, int64_t time_s, struct buf *out)
{
    char name[NAME_LEN + 1];
    time_t t = (time_t)time_s;
    struct tm tm;
    gmtime_r(&t, &tm);
    backup_folder(c, out);
    if (strftime(name, sizeof(name), name_format, &tm) == NAME_LEN)
        buf_printf(out, "/%s", name);
    CHECK(strlen(buf_cstr(out)) > NAME_LEN);
}

/* When the backup of this name was begun, -1 = it is none. */
static int64_t time_of(const char *name)
{
    struct tm tm = {0};
    if (strlen(name) != NAME_LEN)
        return -1;
    const char *end = strptime(name, name_format, &tm);
    return end != NULL && *end == '\0' ? (int64_t)timegm(&tm) : -1;
}

bool backup_make_folder(const struct config *c, struct buf *error)
{
    struct buf path;
    buf_init(&path);
    backup_folder(c, &path);
    bool ok = true;
    buf_cstr(&path);
    for (size_t i = 1; ok && i <= path.len; i++) {
        char ch = path.data[i];
        if (ch != '/' && i < path.len)
            continue;
        path.data[i] = '\0';
        ok = mkdir(path.data, 0700) == 0 || errno == EEXIST;
        if (!ok)
            buf_printf(error, "%s: %s", path.data, strerror(errno));
        path.data[i] = ch;
    }
    buf_release(&path);
    return ok;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* `take` chooses the names. */
static struct names list(const char *folder, bool (*take)(const char *name))
{
    struct names found = {0};
    DIR *d = opendir(folder);
    if (d == NULL)
        return found;
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        if (!take(e->d_name))
            continue;
        found.names = mem_realloc(found.names, (found.n + 1) * sizeof(*found.names));
        found.names[found.n++] = mem_strdup(e->d_name);
    }
    closedir(d);
    if (found.n > 0)
        qsort(found.names, found.n, sizeof(*found.names), compare_names);
    return found;
}

static void names_release(struct names *l)
{
    for (size_t i = 0; i < l->n; i++)
        mem_free(l->names[i]);
    mem_free(l->names);
}

static bool is_backup(const char *name)
{
    return time_of(name) >= 0;
}

static bool is_unfinished(const char *name)
{
    if (strlen(name) <= NAME_LEN)
        return false;
    char *whole = mem_strndup(name, NAME_LEN);
    bool ours = is_backup(whole) && strncmp(name + NAME_LEN, unfinished, strlen(unfinished)) == 0;
    mem_free(whole);
    return ours;
}

static char *join(const char *folder, const char *name)
{
    struct buf path;
    buf_init(&path);
    buf_printf(&path, "%s/%s", folder, name);
    char *joined = mem_strdup(buf_cstr(&path));
    buf_release(&path);
    return joined;
}

static void remove_file(const char *folder, const char *name)
{
    char *path = join(folder, name);
    char quoted[LOG_QUOTE_SIZE];
    if (unlink(path) != 0 && errno != ENOENT)
        log_event(LOG_WARNING, "backup-not-removed", "file=%s errno=%d", log_quote(path, quoted),
                  errno);
    mem_free(path);
}

bool backup_latest(const struct config *c, int64_t *time_s, int64_t *bytes)
{
    struct buf folder;
    struct stat st;
    bool found = false;
    buf_init(&folder);
    backup_folder(c, &folder);
    struct names l = list(buf_cstr(&folder), is_backup);
    if (l.n > 0) {
        char *path = join(buf_cstr(&folder), l.names[l.n - 1]);
        found = stat(path, &st) == 0;
        mem_free(path);
    }
    if (found) {
        *time_s = time_of(l.names[l.n - 1]);
        *bytes = (int64_t)st.st_size;
    }
    names_release(&l);
    buf_release(&folder);
    return found;
}

void backup_prune(const struct config *c, int64_t now_s)
{
    struct buf folder;
    buf_init(&folder);
    backup_folder(c, &folder);
    struct names l = list(buf_cstr(&folder), is_backup);
    for (size_t i = 0; i + (size_t)c->backup_keep < l.n; i++)
        remove_file(buf_cstr(&folder), l.names[i]);
    names_release(&l);
    l = list(buf_cstr(&folder), is_unfinished);
    for (size_t i = 0; i < l.n; i++) {
        char *whole = mem_strndup(l.names[i], NAME_LEN);
        if (time_of(whole) < now_s - LEFTOVER_S)
            remove_file(buf_cstr(&folder), l.names[i]);
        mem_free(whole);
    }
    names_release(&l);
    buf_release(&folder);
}
