/* url: database URLs as frameworks write them, made into what libpq takes.
 * Source: https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING */
#ifndef RESPGRES_CONFIG_URL_H
#define RESPGRES_CONFIG_URL_H

#include "config/config.h"

enum url_class {
    URL_POSTGRESQL,    /* a URL with one of the schemes we know */
    URL_KEYWORDS,      /* keyword=value */
    URL_FOREIGN,       /* another scheme */
    URL_BAD_PARAMETER, /* PostgreSQL's, but a parameter has no '=', or two */
    URL_BAD_ESCAPE,    /* a '%' without two hexadecimal digits, or %00 */
    URL_BAD_PLACE,     /* hosts, ports and database cannot be told apart */
    URL_NOT
};

/* What stands where a name or a number should, for a message: the text itself, or "<URL>" where it looks
 * like a URL or a connection string, which may hold a password. */
struct bytes url_shown(struct bytes text);

enum url_class url_classify(struct bytes url);

#endif
