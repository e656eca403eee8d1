/* conninfo: see conninfo.h.
 *
 * libpq looks at the values when it connects, at some of them before it has a socket. So it is
 * asked to connect to a Unix socket that cannot be there. If it complains of something else, that
 * is it. */
#include "store/postgres/conninfo.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define NOWHERE "/nonexistent"

enum { MOST_PARAMETERS = 128, HIGHEST_PORT = 65535 };

/* Whether `text` is a number between the bounds, with blanks around it at most, as libpq reads it.
 */
static bool is_number(const char *text, size_t len, long least, long most)
{
    char digits[24], *end;
    if (len >= sizeof(digits))
        return false;
    memcpy(digits, text, len);
    digits[len] = '\0';
    long value = strtol(digits, &end, 10);
    return end != digits && end[strspn(end, " \t\r\n")] == '\0' && value >= least && value <= most;
}

/* A port for all hosts, or a list of them; an empty one is the default. */
static bool are_ports(const char *list)
{
    for (;;) {
        size_t len = strcspn(list, ",");
        if (len > 0 && !is_number(list, len, 1, HIGHEST_PORT))
            return false;
        if (list[len] == '\0')
            return true;
        list += len + 1;
    }
}

/* The numbers, which libpq reads late, or only where it waits itself. */
static bool number_good(const PQconninfoOption *o)
{
    static const char *const numbers[] = {"connect_timeout",  "keepalives",
                                          "keepalives_idle",  "keepalives_interval",
                                          "keepalives_count", "tcp_user_timeout"};
    if (strcmp(o->keyword, "port") == 0)
        return are_ports(o->val);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(o->keyword, numbers[i]) == 0)
            return is_number(o->val, strlen(o->val), INT32_MIN, INT32_MAX);
    }
    return true;
}

/* As many places to connect to as the string names: libpq compares their number with the ports'. */
static void append_nowhere(struct buf *hosts, const char *named)
{
    buf_append_cstr(hosts, NOWHERE);
    for (; named != NULL && *named != '\0'; named++) {
        if (*named == ',')
            buf_append_cstr(hosts, "," NOWHERE);
    }
}

static bool is_replaced(const char *keyword)
{
    static const char *const replaced[] = {"host", "hostaddr", "password", "passfile"};
    for (size_t i = 0; i < sizeof(replaced) / sizeof(replaced[0]); i++) {
        if (strcmp(keyword, replaced[i]) == 0)
            return true;
    }
    return false;
}

/* Whether libpq, given all values, comes as far as the first socket. */
static bool values_good(const PQconninfoOption *given, struct buf *why)
{
    const char *keywords[MOST_PARAMETERS + 3], *values[MOST_PARAMETERS + 3];
    const char *host = NULL, *hostaddr = NULL;
    int n = 0;
    for (const PQconninfoOption *o = given; o->keyword != NULL; o++) {
        if (strcmp(o->keyword, "host") == 0)
            host = o->val;
        if (strcmp(o->keyword, "hostaddr") == 0)
            hostaddr = o->val;
        if (o->val == NULL || o->val[0] == '\0' || is_replaced(o->keyword))
            continue;
        CHECK(n < MOST_PARAMETERS);
        keywords[n] = o->keyword;
        values[n++] = o->val;
    }
    struct buf hosts;
    buf_init(&hosts);
    append_nowhere(&hosts, hostaddr != NULL && hostaddr[0] != '\0' ? hostaddr : host);
    keywords[n] = "host";
    values[n++] = buf_cstr(&hosts);
    keywords[n] = "password"; /* so that no file is searched for one */
    values[n++] = "x";
    keywords[n] = NULL;
    values[n] = NULL;
    PGconn *conn = PQconnectStartParams(keywords, values, 0);
    buf_release(&hosts);
    CHECK(conn != NULL);
    const char *said = PQerrorMessage(conn);
    bool good = said[0] == '\0' || strstr(said, "socket") != NULL; /* it has come so far */
    if (!good)
        buf_append(why, said, strcspn(said, "\r\n"));
    PQfinish(conn);
    return good;
}

bool conninfo_check(const char *conninfo, struct buf *why)
{
    PQconninfoOption *given = PQconninfoParse(conninfo, NULL);
    if (given == NULL) { /* libpq's complaint may show a part of a password */
        buf_append_cstr(why,
                        "libpq cannot read it (in keyword=value form, values with blanks stand "
                        "in single quotes)");
        return false;
    }
    bool good = true;
    for (const PQconninfoOption *o = given; good && o->keyword != NULL; o++) {
        good = o->val == NULL || o->val[0] == '\0' || number_good(o);
        if (!good)
            buf_printf(why, "%s is not valid: %s", o->keyword, o->val);
    }
    good = good && values_good(given, why);
    PQconninfoFree(given);
    return good;
}
