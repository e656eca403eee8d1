#include "command/key_place.h"

#include "command/content.h"
#include "command/handler.h"

/* --- by the arguments --- */

int command_numkeys_arg(const struct command *c)
{
    if (command_is_eval(c))
        return 2; /* behind the script */
    bool counted = (c->flags & CF_MOVABLE_KEYS) != 0 && c->id != CMD_SORT && c->id != CMD_SORT_RO;
    if (c->id == CMD_BLMPOP || c->id == CMD_BZMPOP)
        return 2; /* behind the timeout */
    return counted ? c->first_key + 1 : 0; /* behind the destination, if there is one */
}

int command_key_count(const struct command *c, int argc, const struct bytes *argv)
{
    int numkeys = command_numkeys_arg(c);
    if (numkeys != 0) {
        int end = numkeys_end(argc, argv, numkeys);
        return end == 0 ? 0 : end - numkeys - 1 + (c->first_key != 0);
    }
    if (c->first_key == 0 || (c->flags & CF_CHANNELS) != 0)
        return 0;
    if (c->id == CMD_SORT)
        return sort_store_arg(argc, argv) != 0 ? 2 : 1;
    int last = c->last_key < 0 ? argc + c->last_key : c->last_key;
    return last < c->first_key ? 0 : (last - c->first_key) / c->key_step + 1;
}

int command_key_at(const struct command *c, int argc, const struct bytes *argv, int i)
{
    int numkeys = command_numkeys_arg(c);
    if (numkeys != 0)
        return c->first_key == 0 ? numkeys + 1 + i : i == 0 ? c->first_key : numkeys + i;
    if (c->id == CMD_SORT && i == 1)
        return sort_store_arg(argc, argv);
    return c->first_key + i * c->key_step;
}

/* --- in databases --- */

/* Commands that touch two keys: that of their first key argument, and that of their last one in a
 * database which their arguments name. The function returns an error if the arguments are wrong. */
typedef const char *(*other_db)(int argc, const struct bytes *argv, int databases, int db,
                                int *out);

static other_db other_db_of(const struct command *c)
{
    return c->id == CMD_COPY ? generic_copy_db : c->id == CMD_MOVE ? generic_move_db : NULL;
}

int command_place_count(const struct command *c, int argc, const struct bytes *argv, int databases,
                        int db)
{
    other_db other = other_db_of(c);
    if (c->id == CMD_DEBUG)
        return debug_has_key(argc, argv);
    if (other == NULL)
        return command_key_count(c, argc, argv);
    int unused;
    return other(argc, argv, databases, db, &unused) == NULL ? 2 : 0;
}

struct key_place command_place(const struct command *c, int argc, const struct bytes *argv,
                               int databases, int db, int i)
{
    other_db other = other_db_of(c);
    if (c->id == CMD_DEBUG)
        return (struct key_place){2, db};
    if (other == NULL || i == 0)
        return (struct key_place){command_key_at(c, argc, argv, i), db};
    struct key_place place = {c->last_key, db};
    const char *error = other(argc, argv, databases, db, &place.db);
    CHECK(error == NULL && i == 1);
    return place;
}
