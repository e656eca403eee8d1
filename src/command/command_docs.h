/* command_docs: COMMAND DOCS, which redis-cli asks for its hints. */
#ifndef RESPGRES_COMMAND_COMMAND_DOCS_H
#define RESPGRES_COMMAND_COMMAND_DOCS_H

#include "base/bytes.h"
#include "command/command.h"
#include "resp/reply.h"

/* `names`: the commands asked for; without any (n == 0), all. */
void command_docs(int n, const struct bytes *names, struct reply *r);

/* As Redis' documentation calls it: "string". */
const char *command_group_name(enum command_group group);

#endif
