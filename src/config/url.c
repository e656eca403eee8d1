/* url: see url.h and config_normalise_url in config.h. Nothing here shows a part of the URL but
 * the names of parameters, and these only where they look like names. */
#include "config/url.h"

static const char *const schemes[] = {
    "postgresql", "postgres", "pgsql",  "psql",      "postgis",      "psycopg2",
    "psycopg",    "asyncpg",  "pg8000", "timescale", "timescalegis",
};

/* libpq's parameters as of PostgreSQL 15, chapter 34.1.2 (config does not depend on libpq). */
static const char *const keywords[] = {
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "requirepeer",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
};

/* Values of "ssl" (asyncpg, JDBC, Node) and the sslmode they mean. */
static const char *const ssl_modes[][2] = {
    {"true", "require"},        {"1", "require"},
    {"yes", "require"},         {"on", "require"},
    {"false", "disable"},       {"0", "disable"},
    {"no", "disable"},          {"off", "disable"},
    {"disable", "disable"},     {"allow", "allow"},
    {"prefer", "prefer"},       {"require", "require"},
    {"verify-ca", "verify-ca"}, {"verify-full", "verify-full"},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Length of "scheme" in "scheme://", 0 if the text does not start so. */
static size_t scheme_length(struct bytes url)
{
    size_t n = 0;
    while (n < url.len && url.data[n] != '\0' &&
           strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+.-_",
                  url.data[n]) != NULL)
        n++;
    return url.len - n >= 3 && memcmp(url.data + n, "://", 3) == 0 ? n : 0;
}

/* "postgresql+psycopg2": what is behind the plus sign is the framework's driver. */
static bool scheme_known(struct bytes scheme)
{
    const char *plus = memchr(scheme.data, '+', scheme.len);
    if (plus != NULL)
        scheme.len = (size_t)(plus - scheme.data);
    for (size_t i = 0; i < COUNT(schemes); i++) {
        if (bytes_ieq(scheme, schemes[i]))
            return true;
    }
    return false;
}

/* Where the '?' of the parameters is, url.len if there are none. As libpq reads it: an '@' before
 * the first '/' ends user and password, in which '?' is an ordinary character. */
static size_t query_start(struct bytes url, size_t authority)
{
    size_t at = authority;
    while (at < url.len && url.data[at] != '@' && url.data[at] != '/')
        at++;
    if (at == url.len || url.data[at] == '/')
        at = authority;
    while (at < url.len && url.data[at] != '?')
        at++;
    return at;
}

/* The parameter at *at, which moves behind its '&'; false at the end. */
static bool next_parameter(struct bytes url, size_t *at, struct bytes *name, struct bytes *value)
{
    if (*at >= url.len)
        return false;
    const char *start = url.data + *at;
    const char *amp = memchr(start, '&', url.len - *at);
    size_t len = amp != NULL ? (size_t)(amp - start) : url.len - *at;
    const char *equals = memchr(start, '=', len);
    *at += len + 1;
    *name = bytes_of(start, equals != NULL ? (size_t)(equals - start) : len);
    *value = equals != NULL ? bytes_of(equals + 1, len - name->len - 1) : bytes_of(NULL, 0);
    return true;
}

static bool known_keyword(struct bytes name)
{
    for (size_t i = 0; i < COUNT(keywords); i++) {
        if (bytes_eq(name, bytes_cstr(keywords[i])))
            return true;
    }
    return false;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool escapes_good(struct bytes url)
{
    for (size_t i = 0; i < url.len; i++) {
        if (url.data[i] != '%')
            continue;
        if (i + 2 >= url.len || !is_hex(url.data[i + 1]) || !is_hex(url.data[i + 2]) ||
            memcmp(url.data + i, "%00", 3) == 0)
            return false;
    }
    return true;
}

/* "name", "name:5432", "[::1]:5432", "" */
static bool host_good(struct bytes host)
{
    size_t at = 0;
    if (host.len > 0 && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.len);
        if (end == NULL || end == host.data + 1)
            return false;
        at = (size_t)(end - host.data) + 1;
        if (at < host.len && host.data[at] != ':')
            return false;
    }
    while (at < host.len && host.data[at] != ':')
        at++;
    for (at++; at < host.len; at++) {
        if (host.data[at] < '0' || host.data[at] > '9')
            return false;
    }
    return true;
}

/* What is between user and parameters. An '@', or a port that is no number, is the rest of a
 * password that was not escaped: libpq's error would show it. */
static bool place_good(struct bytes url, size_t authority, size_t query)
{
    size_t at = authority;
    while (at < query && url.data[at] != '@' && url.data[at] != '/')
        at++;
    size_t start = at < query && url.data[at] == '@' ? at + 1 : authority;
    if (start < query && memchr(url.data + start, '@', query - start) != NULL)
        return false;
    size_t end = start;
    while (end < query && url.data[end] != '/')
        end++;
    while (start <= end) {
        const char *comma = start < end ? memchr(url.data + start, ',', end - start) : NULL;
        size_t len = comma != NULL ? (size_t)(comma - (url.data + start)) : end - start;
        if (!host_good(bytes_of(url.data + start, len)))
            return false;
        start += len + 1;
    }
    return true;
}

enum url_class url_classify(struct bytes url)
{
    size_t scheme = scheme_length(url);
    if (scheme == 0)
        return memchr(url.data, '=', url.len) != NULL ? URL_KEYWORDS : URL_NOT;
    if (!scheme_known(bytes_of(url.data, scheme)))
        return URL_FOREIGN;
    size_t query = query_start(url, scheme + 3);
    size_t at = query + 1;
    struct bytes name;
    struct bytes value;
    while (next_parameter(url, &at, &name, &value)) {
        /* What is not known is dropped, however it looks. */
        if (value.data == NULL ||
            (known_keyword(name) && value.len > 0 && memchr(value.data, '=', value.len) != NULL))
            return URL_BAD_PARAMETER;
    }
    if (!escapes_good(url))
        return URL_BAD_ESCAPE;
    return place_good(url, scheme + 3, query) ? URL_POSTGRESQL : URL_BAD_PLACE;
}

static const char *ssl_mode(struct bytes name, struct bytes value)
{
    if (!bytes_eq(name, BYTES_LIT("ssl")))
        return NULL;
    for (size_t i = 0; i < COUNT(ssl_modes); i++) {
        if (bytes_ieq(value, ssl_modes[i][0]))
            return ssl_modes[i][1];
    }
    return NULL;
}

/* A name that is no name may be part of a password with an unescaped '?' in it. */
static void list_dropped(struct bytes name, struct buf *dropped)
{
    bool plain = name.len > 0 && name.len <= 40;
    for (size_t i = 0; plain && i < name.len; i++) {
        char c = name.data[i];
        plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '_' || c == '-' || c == '.';
    }
    if (dropped->len > 0)
        buf_append_u8(dropped, ',');
    buf_append_bytes(dropped, plain ? name : BYTES_LIT("?"));
}

/* An '@' would end user and password, once a dropped parameter has taken away the '/' before it. */
static void append_value(struct buf *out, struct bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '@')
            buf_append_cstr(out, "%40");
        else
            buf_append_u8(out, (uint8_t)value.data[i]);
    }
}

struct bytes url_shown(struct bytes text)
{
    static const char *const marks[] = {"://", "password="};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (text.len > 0 && memmem(text.data, text.len, marks[i], strlen(marks[i])) != NULL)
            return BYTES_LIT("<URL>");
    }
    return text;
}

void config_normalise_url(const char *url, struct buf *out, struct buf *dropped)
{
    struct bytes text = bytes_cstr(url);
    if (text.len == 0 || url_classify(text) != URL_POSTGRESQL) {
        buf_append_bytes(out, text);
        return;
    }
    size_t authority = scheme_length(text) + 3;
    size_t query = query_start(text, authority);
    buf_append_cstr(out, "postgresql://");
    buf_append(out, text.data + authority, query - authority);
    size_t at = query + 1;
    char separator = '?';
    struct bytes name;
    struct bytes value;
    while (next_parameter(text, &at, &name, &value)) {
        const char *mode = ssl_mode(name, value);
        if (mode == NULL && !known_keyword(name)) {
            list_dropped(name, dropped);
            continue;
        }
        buf_append_u8(out, (uint8_t)separator);
        buf_append_bytes(out, mode != NULL ? BYTES_LIT("sslmode") : name);
        buf_append_u8(out, '=');
        append_value(out, mode != NULL ? bytes_cstr(mode) : value);
        separator = '&';
    }
}
