/* flags: respgres [FILE] [--option value ...] [--option=value]. An option's values reach up to
 * the next argument with two dashes. */
#include <string.h>

#include "config/values.h"

enum { MAX_WORDS = 256 };

static bool is_flag(const char *arg)
{
    return strncmp(arg, "--", 2) == 0;
}

/* Whoever lists processes sees argv: the option's words become as many 'x'. */
static void scrub(struct bytes name, int n, const struct bytes *words)
{
    const struct option *o = option_find(name);
    if (o == NULL || !(o->flags & OPTION_SECRET))
        return;
    for (int i = 0; i < n; i++)
        memset((char *)words[i].data, 'x', words[i].len); /* argv's own memory, writable */
}

/* The flag at argv[*i], which moves behind its values. */
static bool read_flag(struct values *v, int argc, char **argv, int *i, struct buf *error)
{
    struct bytes words[MAX_WORDS];
    int n = 0;
    if (!is_flag(argv[*i])) {
        buf_append_cstr(error, "command line: only one configuration file may be named");
        return false;
    }
    char *arg = argv[(*i)++] + 2;
    char *equals = strchr(arg, '=');
    struct bytes name = bytes_of(arg, equals != NULL ? (size_t)(equals - arg) : strlen(arg));
    if (equals != NULL)
        words[n++] = bytes_cstr(equals + 1);
    while (*i < argc && !is_flag(argv[*i])) {
        if (n == MAX_WORDS) {
            buf_append_cstr(error, "command line: too many values");
            return false;
        }
        words[n++] = bytes_cstr(argv[(*i)++]);
    }
    struct buf reason;
    buf_init(&reason);
    bool ok = values_set(v, name, n, words, CONFIG_FLAG, &reason);
    if (!ok) {
        buf_append_cstr(error, "command line: ");
        buf_append_bytes(error, buf_bytes(&reason));
    }
    buf_release(&reason);
    scrub(name, n, words);
    return ok;
}

bool values_read_flags(struct values *v, int argc, char **argv, const char **path,
                       struct buf *error)
{
    int i = 1;
    *path = NULL;
    if (i < argc && !is_flag(argv[i]))
        *path = argv[i++];
    while (i < argc) {
        if (!read_flag(v, argc, argv, &i, error))
            return false;
    }
    return true;
}
