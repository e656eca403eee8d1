#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_open(const char *path, const char **why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno != ENXIO) { /* ENXIO: a socket */
        *why = strerror(errno);
        return -1;
    }
    st.st_mode = 0;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    *why = S_ISDIR(st.st_mode) ? strerror(EISDIR) : "not a regular file";
    if (fd >= 0)
        close(fd);
    errno = EINVAL;
    return -1;
}

FILE *file_open_stream(const char *path, const char **why)
{
    int fd = file_open(path, why);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (fd >= 0 && f == NULL) {
        *why = strerror(errno);
        close(fd);
    }
    return f;
}
