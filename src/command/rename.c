/* rename: see rename.h. This is the one thing in this folder that is not constant: names are looked
 * up in many places that have no context but the request, and an instance has one set of names. It
 * is written once, at the start. */
#include "command/rename.h"

#include <strings.h>

#include "base/mem.h"

static char *names[COMMAND_COUNT]; /* NULL = its own, "" = turned off */
static bool changed;

/* Commands that only Redis has, as far as somebody has named them. */
static struct other {
    char *name;
    char *now; /* "" = turned off */
} *others;
static size_t nothers;

bool command_names_changed(void)
{
    return changed;
}

struct bytes command_current_name(const struct command *c)
{
    return names[c->id] != NULL ? bytes_cstr(names[c->id]) : bytes_of(c->name, c->name_len);
}

static bool same_name(struct bytes name, const char *other)
{
    return name.len > 0 && bytes_ieq(name, other);
}

/* The command that only Redis has and that is called `name` by now; a new one if it is called so from the
 * beginning, as redis_has tells. NULL = there is none. */
static struct other *find_other(struct bytes name, bool (*redis_has)(void *arg, struct bytes name),
                                void *arg)
{
    for (size_t i = 0; i < nothers; i++) {
        if (same_name(name, others[i].now))
            return &others[i];
    }
    for (size_t i = 0; i < nothers; i++) {
        if (same_name(name, others[i].name))
            return NULL; /* it has another name now */
    }
    if (!redis_has(arg, name))
        return NULL;
    others = mem_realloc(others, (nothers + 1) * sizeof(*others));
    others[nothers] = (struct other){.name = mem_strndup(name.data, name.len),
                                     .now = mem_strndup(name.data, name.len)};
    return &others[nothers++];
}

static void set_name(char **name, struct bytes to)
{
    mem_free(*name);
    *name = mem_strndup(to.len > 0 ? to.data : "", to.len);
}

const char *command_rename(struct bytes from, struct bytes to,
                           bool (*redis_has)(void *arg, struct bytes name), void *arg)
{
    const struct command *c = command_find(from);
    if (c == NULL && find_other(from, redis_has, arg) == NULL)
        return "there is no such command";
    if (to.len > 0 && memchr(to.data, '\0', to.len) != NULL)
        return "a name has no NUL byte";
    if (from.len == to.len && strncasecmp(from.data, to.data, to.len) == 0)
        return NULL; /* it has that name */
    if (to.len > 0 && (command_find(to) != NULL || find_other(to, redis_has, arg) != NULL))
        return "there is a command of the new name";
    if (c == NULL) {
        set_name(&find_other(from, redis_has, arg)->now, to);
        return NULL;
    }
    set_name(&names[c->id], to);
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
