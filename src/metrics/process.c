#include "metrics/process.h"

#include <dirent.h>
#include <sys/resource.h>

#include "base/mem.h"

static int64_t us_of(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

/* -1 if unknown. The one that counts is not counted. */
static int64_t open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int64_t n = -1 - 2; /* ".", "..", and its own */
    if (d == NULL)
        return -1;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

void process_collect(struct metrics_page *p)
{
    struct rusage u;
    struct rlimit limit;
    int64_t fds = open_fds();
    if (getrusage(RUSAGE_SELF, &u) == 0) {
        page_put(p, METRIC_cpu, "user", us_of(u.ru_utime));
        page_put(p, METRIC_cpu, "sys", us_of(u.ru_stime));
    }
    page_put(p, METRIC_rss, NULL, (int64_t)mem_resident());
    if (fds >= 0)
        page_put(p, METRIC_fds, NULL, fds);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        page_put(p, METRIC_max_fds, NULL, (int64_t)limit.rlim_cur);
}
