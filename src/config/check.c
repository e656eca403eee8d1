/* check: see check.h. */
#include "config/check.h"

#include <sys/un.h>

#include "config/config.h"
#include "config/url.h"

enum { BIND_MAX = 16, MAX_ADDRESS = 256, INSTANCE_NAME_MAX = 128, PG_NAME_MAX = 63 };

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool fail(struct buf *reason, const char *text)
{
    buf_append_cstr(reason, text);
    return false;
}

bool check_bind(struct bytes text, struct buf *reason)
{
    int words = 0;
    size_t length = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == ' ' || c == '\t') {
            length = 0;
            continue;
        }
        if (c == '\0' || (!is_alnum(c) && strchr(".:%*_-", c) == NULL))
            return fail(reason, "argument must be addresses separated by blanks");
        words += length == 0;
        if (words > BIND_MAX)
            return fail(reason, "Too many bind addresses specified.");
        if (++length >= MAX_ADDRESS)
            return fail(reason, "address too long");
    }
    return true;
}

bool check_unixsocket(struct bytes text, struct buf *reason)
{
    struct sockaddr_un address;
    if (text.len >= sizeof(address.sun_path))
        return fail(reason, "path too long for a Unix socket");
    return true;
}

bool instance_name_char(char c)
{
    return is_alnum(c) || c == '.' || c == '_' || c == ':' || c == '-';
}

bool check_instance_name(struct bytes text, struct buf *reason)
{
    bool fits = text.len <= INSTANCE_NAME_MAX && text.data[0] != '.';
    for (size_t i = 0; fits && i < text.len; i++)
        fits = instance_name_char(text.data[i]);
    if (!fits)
        return fail(reason, "argument must be at most 128 letters, digits, '.', '_', ':' or '-', "
                            "not starting with '.'");
    return true;
}

bool check_pg_schema(struct bytes text, struct buf *reason)
{
    bool fits = text.len <= PG_NAME_MAX && !(text.data[0] >= '0' && text.data[0] <= '9');
    for (size_t i = 0; fits && i < text.len; i++) {
        char c = text.data[i];
        fits = c == '_' || (is_alnum(c) && !(c >= 'A' && c <= 'Z'));
    }
    if (!fits)
        return fail(reason, "argument must be at most 63 lower-case letters, digits or '_', not "
                            "starting with a digit");
    if (text.len >= 3 && memcmp(text.data, "pg_", 3) == 0)
        return fail(reason, "names that start with pg_ are PostgreSQL's own");
    return true;
}

bool check_database_url(struct bytes text, struct buf *reason)
{
    switch (url_classify(text)) {
    case URL_POSTGRESQL:
    case URL_KEYWORDS:
        return true;
    case URL_FOREIGN:
        return fail(reason, "the URL's scheme is not PostgreSQL's: use postgresql://");
    case URL_BAD_PARAMETER:
        return fail(reason, "a parameter behind '?' has no '=', or two (in a user name or "
                            "password, write / as %2F, ? as %3F, = as %3D and @ as %40)");
    case URL_BAD_ESCAPE:
        return fail(reason,
                    "a % is not followed by two hexadecimal digits, or by 00 (write % itself as "
                    "%25)");
    case URL_BAD_PLACE:
        return fail(reason,
                    "host, port and database cannot be told apart (in a user name or password, "
                    "write / as %2F, ? as %3F and @ as %40; a port is a number)");
    case URL_NOT:
        break;
    }
    return fail(reason, "neither a postgresql:// URL nor keyword=value");
}

/* The formats of src/payload, which this folder knows nothing of. */
static bool is_format(struct bytes word)
{
    static const char *const names[] = {"auto", "json", "msgpack", "pickle", "django",
                                        "php", "php-serialize", "text", "none"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (bytes_ieq(word, names[i]))
            return true;
    }
    return false;
}

bool check_payload(struct bytes text, struct buf *reason)
{
    int words = 0;
    for (size_t i = 0; i < text.len;) {
        size_t n = 0;
        while (i + n < text.len && text.data[i + n] != ' ' && text.data[i + n] != '\t')
            n++;
        if (n > 0 && words++ % 2 == 1 && !is_format(bytes_of(text.data + i, n)))
            return fail(reason, "argument must be pairs of a pattern and one of auto, json, msgpack, "
                                "pickle, django, php, php-serialize, text, none");
        i += n + 1;
    }
    return words % 2 == 0 || fail(reason, "a pattern has no format behind it");
}

bool check_tls_protocols(struct bytes text, struct buf *reason)
{
    static const char *const names[] = {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
    for (size_t i = 0; i < text.len;) {
        size_t n = 0;
        while (i + n < text.len && text.data[i + n] != ' ' && text.data[i + n] != '\t')
            n++;
        bool known = n == 0;
        for (size_t k = 0; !known && k < sizeof(names) / sizeof(names[0]); k++)
            known = bytes_ieq(bytes_of(text.data + i, n), names[k]);
        if (!known)
            return fail(reason, "Invalid tls-protocols specified. Use a combination of 'TLSv1', "
                                "'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'.");
        i += n + 1;
    }
    return true;
}

bool check_together(const struct config *c, struct buf *reason)
{
    if (c->aclfile[0] != '\0' && c->user[0] != '\0')
        return fail(reason, "aclfile: users are defined by the option user as well: define them in the "
                            "file, or by the option, not both");
    if (c->pg_pooler == POOLER_TRANSACTION && c->consistency != CONSISTENCY_STRICT)
        return fail(reason, "consistency: only strict works with pg-pooler transaction: anything else "
                            "needs a connection that LISTENs, and behind a pooler in transaction mode "
                            "none can");
    if (c->tls_port != 0 && c->tls_port == c->port)
        return fail(reason, "tls-port: the same as port: each needs one of its own, and port 0 leaves "
                            "TLS alone");
    return true;
}
