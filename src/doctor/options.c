/* options: see parts.h. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "acl/configured.h"
#include "base/mem.h"
#include "doctor/parts.h"

/* Whether some address of the list is not of this host alone. */
static bool reachable(const char *list)
{
    for (list += strspn(list, " -"); *list != '\0'; list += strspn(list, " -")) {
        size_t n = strcspn(list, " ");
        bool local = strncmp(list, "127.", 4) == 0 || (n == 3 && strncmp(list, "::1", 3) == 0) ||
                     (n == 9 && strncmp(list, "localhost", 9) == 0);
        if (!local)
            return true;
        list += n;
    }
    return false;
}

/* Does a client have to say who it is? */
static bool asks_for_password(const struct config *c, finding_cb found, void *arg)
{
    struct buf why;
    buf_init(&why);
    struct acl *users = acl_from_config(c, &why);
    bool asks = users == NULL || acl_needs_password(users);
    if (users == NULL)
        found(arg, FINDING_BLOCKER, buf_cstr(&why), "Correct the users: docs/acl.md has the rules.");
    acl_free(users);
    buf_release(&why);
    return asks;
}

static void look_at_doors(const struct config *c, finding_cb found, void *arg)
{
    bool open = (c->port != 0 || c->tls_port != 0) && c->bind[0] != '\0';
    bool password = asks_for_password(c, found, arg);
    if (!open && c->unixsocket[0] == '\0')
        found(arg, FINDING_BLOCKER,
              "There is nothing to listen on: port and tls-port, or bind, and unixsocket are off.",
              "Set port and bind, or unixsocket.");
    if (open && reachable(c->bind) && !password && c->protected_mode)
        found(arg, FINDING_WARNING,
              "bind names addresses that other hosts can reach, but without a "
              "password their commands are refused (protected-mode).",
              "Set requirepass; or bind 127.0.0.1 if only this host is meant.");
    if (open && reachable(c->bind) && !password && !c->protected_mode)
        found(arg, FINDING_WARNING,
              "Whoever reaches the port can read and change all sessions: there is "
              "no password, and protected-mode is off.",
              "Set requirepass, unless the network lets only the application through.");
    if (c->unixsocket[0] != '\0' && (c->unixsocketperm & 0002) != 0 && !password)
        found(arg, FINDING_WARNING,
              "Every user of this host may use the Unix socket, and there is no "
              "password.",
              "Set unixsocketperm 770, or requirepass.");
    if (c->http_port != 0 && (c->http_port == c->port || c->http_port == c->tls_port))
        found(arg, FINDING_BLOCKER,
              c->http_port == c->port ? "http-port and port are the same."
                                      : "http-port and tls-port are the same.",
              "Choose another http-port.");
    if (c->http_port == 0)
        found(arg, FINDING_NOTE, "http-port is 0: there is no /healthz to ask.",
              "Set http-port where the platform checks health.");
}

static void look_at_limits(const struct config *c, finding_cb found, void *arg)
{
    char text[200];
    size_t memory = mem_available_total();
    if (c->maxmemory > 0 && (size_t)c->maxmemory > memory / 4 * 3) {
        snprintf(text, sizeof(text),
                 "maxmemory is %lld MB, and there are %zu MB for the whole process: it "
                 "may be killed.",
                 (long long)(c->maxmemory >> 20), memory >> 20);
        found(arg, FINDING_WARNING, text, "Lower maxmemory to half of that, or leave it at 0.");
    }
    struct rlimit files;
    rlim_t wanted = (rlim_t)c->maxclients + 64;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < wanted) {
        snprintf(text, sizeof(text), "maxclients is %lld, but the limit of open files is %llu.",
                 (long long)c->maxclients, (unsigned long long)files.rlim_max);
        found(arg, FINDING_WARNING, text,
              "Raise the limit (ulimit -n, LimitNOFILE), or lower "
              "maxclients.");
    }
    if (c->shutdown_timeout_s == 0)
        found(arg, FINDING_WARNING,
              "shutdown-timeout is 0: replies that are due are lost when it stops.",
              "Set it to a few seconds less than the platform waits.");
    if (c->consistency == CONSISTENCY_CACHED && c->cached_max_lag_ms < 100)
        found(arg, FINDING_NOTE,
              "cached-max-lag is below 100 ms: a pause of PostgreSQL or the network "
              "makes reads strict.",
              "Set it to what the application can bear.");
}

void doctor_options(const struct config *c, finding_cb found, void *arg)
{
    look_at_doors(c, found, arg);
    look_at_limits(c, found, arg);
}
