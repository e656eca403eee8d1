/* rename: see rename.h. This is the one thing in this folder that is not constant: names are looked
 * up in many places that have no context but the request, and an instance has one set of names. It
 * is written once, at the start. */
#include "command/rename.h"

#include "base/mem.h"

static char *names[COMMAND_COUNT]; /* NULL = its own, "" = turned off */
static bool changed;

bool command_names_changed(void)
{
    return changed;
}

struct bytes command_current_name(const struct command *c)
{
    return names[c->id] != NULL ? bytes_cstr(names[c->id]) : bytes_of(c->name, c->name_len);
}

const char *command_rename(struct bytes from, struct bytes to)
{
    const struct command *c = command_find(from);
    if (c == NULL)
        return "there is no such command";
    if (to.len > 0 && memchr(to.data, '\0', to.len) != NULL)
        return "a name has no NUL byte";
    if (to.len > 0 && command_find(to) != NULL)
        return "there is a command of the new name";
    mem_free(names[c->id]);
    names[c->id] = mem_strndup(to.len > 0 ? to.data : "", to.len);
    changed = true;
    return NULL;
}

bool command_is_on(const struct command *c)
{
    return names[c->id] == NULL || names[c->id][0] != '\0';
}

int command_count(void)
{
    int n = 0;
    for (int i = 0; i < COMMAND_COUNT; i++)
        n += command_is_on(command_by_id((enum command_id)i));
    return n;
}

const char *command_called(const struct command *c)
{
    return names[c->id] != NULL ? names[c->id] : c->name;
}
