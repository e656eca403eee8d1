/* fail_malloc: malloc, calloc and realloc that fail when a test says so. Linked into
 * respgres_starved in the place of the real ones (-Wl,--wrap), so it hits what src/ asks for, not
 * what libraries do.
 *
 * The file that RESPGRES_STARVE names holds three numbers, which the test may change at any time:
 * requests of at least so many bytes fail, so many in a thousand of them, in an order that the seed
 * gives. A file of zeros lets all pass. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct orders {
    uint64_t least; /* bytes */
    uint64_t permille;
    uint64_t seed;
};

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static const volatile struct orders *orders;
static _Thread_local uint64_t state;

__attribute__((constructor)) static void map_orders(void)
{
    const char *path = getenv("RESPGRES_STARVE");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *p = mmap(NULL, sizeof(struct orders), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    orders = p == MAP_FAILED ? NULL : p;
}

/* xorshift: any order will do, but the same for a seed. */
static uint64_t draw(void)
{
    if (state == 0)
        state = orders->seed | 1;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % 1000;
}

static int fails(size_t n)
{
    return orders != NULL && orders->permille > 0 && n >= orders->least &&
           draw() < orders->permille;
}

void *__wrap_malloc(size_t n)
{
    return fails(n) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails(n * size) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails(n) ? NULL : __real_realloc(p, n);
}
