#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static enum log_level threshold = LOG_NOTICE;

void log_set_level(enum log_level level)
{
    threshold = level;
}

enum log_level log_get_level(void)
{
    return threshold;
}

const char *log_quote(const char *text, char out[LOG_QUOTE_SIZE])
{
    size_t n = 0;
    out[n++] = '"';
    for (const char *p = text; *p != '\0' && n < LOG_QUOTE_SIZE - 3; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            out[n++] = '\'';
        else
            out[n++] = c < ' ' ? ' ' : (char)c;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

/* A log that cannot be written (its disk is full, its reader has gone, or does not read) must not stop
 * the server. What was not written is counted, and told when writing works again. Threads log, too. */
static atomic_size_t lost_lines;
static atomic_bool torn; /* a line's beginning was written, its end was not */

/* stderr is shared with whoever started us: it is asked instead of being made non-blocking. A pipe that
 * can be written has room for PIPE_BUF, which is more than a line. (A child that fills it between the two
 * calls can still hold us up.) */
static bool would_block(void)
{
    struct pollfd to = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&to, 1, 0) == 0;
}

static bool write_line(const char *line, size_t n)
{
    if (would_block())
        return false;
    ssize_t written = write(STDERR_FILENO, line, n);
    if (written > 0 && (size_t)written < n)
        torn = true;
    return written == (ssize_t)n;
}

/* "time=… level=… event=… "; returns its length. */
static size_t begin_line(char *line, size_t size, enum log_level level, const char *event)
{
    static const char *const names[] = {"debug", "verbose", "notice", "warning"};
    struct timeval tv;
    struct tm tm;
    gettimeofday(&tv, NULL);
    gmtime_r(&tv.tv_sec, &tm);
    size_t n = strftime(line, size, "time=%Y-%m-%dT%H:%M:%S", &tm);
    return n + (size_t)snprintf(line + n, size - n, ".%03dZ level=%s event=%s ",
                                (int)(tv.tv_usec / 1000), names[level], event);
}

/* False if it still does not work. */
static bool tell_lost(void)
{
    size_t lost = lost_lines;
    if (lost == 0)
        return true;
    char line[200];
    line[0] = '\n';
    size_t n = 1 + begin_line(line + 1, sizeof(line) - 1, LOG_WARNING, "log-lines-lost");
    n += (size_t)snprintf(line + n, sizeof(line) - n, "count=%zu\n", lost);
    size_t from = torn ? 0 : 1;
    if (!write_line(line + from, n - from))
        return false;
    torn = false;
    lost_lines -= lost;
    return true;
}

void log_event(enum log_level level, const char *event, const char *fields, ...)
{
    if (level < threshold)
        return;
    char line[2048];
    size_t n = begin_line(line, sizeof(line), level, event);
    va_list ap;
    va_start(ap, fields);
    int more = vsnprintf(line + n, sizeof(line) - n, fields, ap);
    va_end(ap);
    if (more > 0)
        n += (size_t)more;
    if (n > sizeof(line) - 2)
        n = sizeof(line) - 2;
    if (line[n - 1] == ' ')
        n--;
    line[n++] = '\n';
    if (!tell_lost() || !write_line(line, n))
        lost_lines++;
}
