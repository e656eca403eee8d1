/* key_place: where in a call the keys are. Mostly their places are in the row of the table; some
 * commands are told how many there are (ZUNION 2 a b), SORT says where it stores, COPY and MOVE
 * name another database. */
#ifndef RESPGRES_COMMAND_KEY_PLACE_H
#define RESPGRES_COMMAND_KEY_PLACE_H

#include "command/command.h"

/* Number of key arguments of this call; 0 if the arguments that tell are wrong. */
int command_key_count(const struct command *c, int argc, const struct bytes *argv);
/* Argument number of the i-th key. */
int command_key_at(const struct command *c, int argc, const struct bytes *argv, int i);

/* The argument that says how many keys follow it; 0 = there is none. */
int command_numkeys_arg(const struct command *c);

/* A key that a call touches: the argument with its name, and its database. */
struct key_place {
    int arg;
    int db;
};

/* How many keys does the handler of this call, made in database `db` of `databases`, want? None if
 * the arguments that tell are wrong. */
int command_place_count(const struct command *c, int argc, const struct bytes *argv, int databases,
                        int db);
/* Where the i-th of them is. */
struct key_place command_place(const struct command *c, int argc, const struct bytes *argv,
                               int databases, int db, int i);

#endif
