#include "config/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static void dress(int fd, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return;
    int ignored = fchmod(fd, st.st_mode & 07777);
    ignored |= fchown(fd, st.st_uid, st.st_gid);
    (void)ignored;
}

/* The file itself is safe; if this fails, at worst it is the old one after a crash. */
static void sync_folder_of(const char *path)
{
    char *copy = mem_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    mem_free(copy);
}

bool replacement_begin(struct replacement *r, const char *path)
{
    r->path = path;
    buf_init(&r->temporary);
    buf_printf(&r->temporary, "%s-XXXXXX", path);
    (void)buf_cstr(&r->temporary);
    r->fd = mkostemp(r->temporary.data, O_CLOEXEC);
    if (r->fd < 0) {
        buf_release(&r->temporary);
        return false;
    }
    dress(r->fd, path);
    return true;
}

bool replacement_write(struct replacement *r, struct bytes text)
{
    if (ftruncate(r->fd, 0) != 0 || lseek(r->fd, 0, SEEK_SET) != 0)
        return false;
    for (size_t at = 0; at < text.len;) {
        ssize_t n = write(r->fd, text.data + at, text.len - at);
        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    return fsync(r->fd) == 0;
}

bool replacement_end(struct replacement *r, bool ok)
{
    ok = ok && rename(r->temporary.data, r->path) == 0;
    int why = errno;
    close(r->fd);
    if (ok)
        sync_folder_of(r->path);
    else
        (void)unlink(r->temporary.data);
    buf_release(&r->temporary);
    errno = why;
    return ok;
}
