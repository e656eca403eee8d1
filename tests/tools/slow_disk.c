/* slow_disk: fdatasync that takes long now and then, as on a disk that others use, too. Preloaded
 * into PostgreSQL, whose commits then wait for it: before what they have written is on the disk, or
 * after.
 *
 * The file that RESPGRES_SLOW_DISK names holds two numbers: of a thousand calls so many take
 * longer, and by how many milliseconds at most. Without the file none does. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Each process another series. */
static unsigned dice(unsigned sides)
{
    static uint64_t state;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    state = (state ^ (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32) * 6364136223846793005u +
            1442695040888963407u;
    return (unsigned)(state >> 33) % sides;
}

static void wait_as_ordered(void)
{
    const char *path = getenv("RESPGRES_SLOW_DISK");
    FILE *f = path != NULL ? fopen(path, "re") : NULL;
    unsigned permille = 0;
    unsigned most_ms = 0;
    if (f == NULL)
        return;
    int read = fscanf(f, "%u %u", &permille, &most_ms);
    fclose(f);
    if (read == 2 && dice(1000) < permille)
        usleep(dice(most_ms * 1000 + 1));
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (dice(2) == 0) {
        wait_as_ordered();
        return real(fd);
    }
    int result = real(fd);
    wait_as_ordered();
    return result;
}
