/* redact: arguments that MONITOR and SLOWLOG must not show: passwords, and the rules of users. */
#include "engine/internal.h"

/* HELLO version [AUTH user password] [SETNAME name]: behind AUTH there are two. */
static bool hides_hello(const struct request *r, int i)
{
    for (int at = 2; at < r->argc; at++) {
        if (bytes_ieq(r->argv[at], "auth")) {
            if (i == at + 1 || i == at + 2)
                return true;
            at += 2;
        } else {
            at++;
        }
    }
    return false;
}

bool redact_hides(const struct command *cmd, const struct request *r, int i)
{
    switch (cmd->id) {
    case CMD_AUTH:
        return i > 0;
    case CMD_HELLO:
        return hides_hello(r, i);
    case CMD_ACL:
        return cmd->sub == SUB_ACL_SETUSER && i > 1;
    case CMD_CONFIG:
        return cmd->sub == SUB_CONFIG_SET && i > 2 && i % 2 == 1 &&
               config_is_secret(r->argv[i - 1]);
    default:
        return false;
    }
}
