/* exec_place: where the child of --exec finds respgres, and what its environment says about it. */
#ifndef RESPGRES_CLI_EXEC_PLACE_H
#define RESPGRES_CLI_EXEC_PLACE_H

#include "base/buf.h"
#include "config/config.h"

enum { EXEC_FLAGS_MAX = 10 };

struct exec_place {
    bool tcp;
    char folder[80];   /* "" = none */
    char path[108];    /* of the socket in it: as long as sockaddr_un allows */
    char port[8];      /* with tcp */
    char password[33]; /* "" = the user's own, or none */
};

/* A folder of mode 0700, or a free port and a password. `has_password`: the user gives one. */
MUST_CHECK bool exec_place_make(struct exec_place *p, bool tcp, bool has_password,
                                struct buf *error);
void exec_place_remove(struct exec_place *p);

/* The flags that make respgres serve there; returns how many words. They point into `p`. */
int exec_place_flags(struct exec_place *p, char *flags[EXEC_FLAGS_MAX]);

/* `environ` with REDIS_URL, and with tcp REDIS_HOST, REDIS_PORT and REDIS_PASSWORD, as the
 * configuration has it. The caller frees it by exec_place_free_environment. */
char **exec_place_environment(const struct exec_place *p, const struct config *c, char **environ);
void exec_place_free_environment(char **env);

#endif
