/* hosts: the servers that a connection string names, as libpq is to try them. libpq would look names
 * up itself, and block; so each name is replaced by its addresses (`hostaddr`), beside the name that
 * certificates and .pgpass are checked against. A name without an address is left out.
 *
 * libpq tries them in order, but a server that does not answer takes all the time there is, and one
 * that ends the connection ends the attempt. So the next attempt begins behind the one at which this
 * one ended, and later ones with the one that was last connected to. */
#ifndef RESPGRES_STORE_POSTGRES_HOSTS_H
#define RESPGRES_STORE_POSTGRES_HOSTS_H

#include <libpq-fe.h>

#include "base/buf.h"
#include "event/loop.h"

struct hosts;
struct hosts_search;

/* What stands at the same place of libpq's lists; "" = not given. */
struct target {
    char *host;
    char *hostaddr;
    char *port;
};

struct targets {
    struct target *items;
    size_t n;
};

struct hosts *hosts_new(struct loop *loop);
/* Without searches. */
void hosts_free(struct hosts *h); /* NULL is allowed */

/* Takes the targets; none: libpq may read the string as it is. Or `error`, and no targets. */
typedef void (*hosts_found)(void *arg, struct targets *found, const char *error);

/* `found` is called once: before this returns where nothing must be looked up (then NULL is
 * returned), else from the loop. With half of `time_us` gone, names that are still being looked up
 * are left out if there is anything else. */
struct hosts_search *hosts_find(struct hosts *h, const char *conninfo, int64_t time_us,
                                hosts_found found, void *arg);
void hosts_cancel(struct hosts_search *s); /* NULL is allowed */
/* A name whose address is not known yet. */
const char *hosts_missing(const struct hosts_search *s);

/* What became of an attempt, as `conn` has it. */
void hosts_connected(struct hosts *h, const struct targets *t, const PGconn *conn);
void hosts_failed(struct hosts *h, const struct targets *t, const PGconn *conn);

/* libpq's lists. */
void targets_lists(const struct targets *t, struct buf *host, struct buf *hostaddr,
                   struct buf *port);
void targets_release(struct targets *t);

#endif
