#include "base/log.h"

#include <stdarg.h>
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

void log_event(enum log_level level, const char *event, const char *fields, ...)
{
    static const char *const names[] = {"debug", "verbose", "notice", "warning"};
    if (level < threshold)
        return;
    struct timeval tv;
    struct tm tm;
    gettimeofday(&tv, NULL);
    gmtime_r(&tv.tv_sec, &tm);
    char line[2048];
    size_t n = strftime(line, sizeof(line), "time=%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03dZ level=%s event=%s ",
                          (int)(tv.tv_usec / 1000), names[level], event);
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
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored; /* a log that cannot be written must not stop the server */
}
