#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __GLIBC__ /* the headers above tell */
#include <malloc.h>
#endif

static void *or_die(void *p, size_t n)
{
    if (p == NULL) {
        fprintf(stderr, "event=out-of-memory bytes=%zu\n", n);
        abort();
    }
    return p;
}

void *mem_alloc(size_t n)
{
    return or_die(malloc(n ? n : 1), n);
}

void *mem_zalloc(size_t n)
{
    return or_die(calloc(1, n ? n : 1), n);
}

void *mem_realloc(void *p, size_t n)
{
    return or_die(realloc(p, n ? n : 1), n);
}

void *mem_try_alloc(size_t n)
{
    return malloc(n ? n : 1);
}

void *mem_try_realloc(void *p, size_t n)
{
    return realloc(p, n ? n : 1);
}

bool mem_has_room(size_t n)
{
    if (n == 0)
        return true;
    /* Not malloc: its thresholds would learn from what is never used. */
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED && munmap(p, n) == 0;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t n)
{
    char *p = mem_alloc(n + 1);
    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

void mem_free(void *p)
{
    free(p);
}

/* A cgroup file holds a number or "max"; SIZE_MAX where there is no limit to be read. */
static size_t cgroup_limit(const char *path)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return SIZE_MAX;
    unsigned long long v;
    int n = fscanf(f, "%llu", &v);
    fclose(f);
    return n == 1 && v > 0 ? (size_t)v : SIZE_MAX;
}

size_t mem_available_total(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);
    size_t total = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : (size_t)1 << 30;
    size_t v2 = cgroup_limit("/sys/fs/cgroup/memory.max");
    size_t v1 = cgroup_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    if (v2 < total)
        total = v2;
    if (v1 < total)
        total = v1;
    return total;
}

size_t mem_resident(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    unsigned long long size;
    unsigned long long resident;
    int n = fscanf(f, "%llu %llu", &size, &resident);
    fclose(f);
    return n == 2 ? (size_t)resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* A sanitizer has an allocator of its own. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

size_t mem_allocated(void)
{
    if (__sanitizer_get_current_allocated_bytes != NULL)
        return __sanitizer_get_current_allocated_bytes();
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
#else
    return 0;
#endif
}

void mem_give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
