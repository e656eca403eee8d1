/* file: the aclfile, in which ACL SAVE keeps the users: a line "user NAME rule ..." each. It is
 * plain: words are parted by blanks, there are no quotes and no comments. The errors are Redis'
 * own, all of a file's in one text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl/user.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/replace.h"

struct reading {
    struct acl *acl;
    const char *path;
    int line;
    bool has_default;
    struct buf *error;
};

/* ---- reading ---- */

static bool is_edge(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct bytes trimmed(struct bytes text, bool blanks)
{
    while (text.len > 0 && is_edge(text.data[0]) && (blanks || text.data[0] != ' '))
        text = bytes_of(text.data + 1, text.len - 1);
    while (text.len > 0 && is_edge(text.data[text.len - 1]) &&
           (blanks || text.data[text.len - 1] != ' '))
        text.len--;
    return text;
}

/* Words between single blanks; two blanks make an empty one, which says nothing. */
static int split(struct bytes line, struct bytes **out)
{
    int n = 1;
    for (size_t i = 0; i < line.len; i++)
        n += line.data[i] == ' ';
    *out = mem_alloc((size_t)n * sizeof(**out));
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const char *blank = memchr(line.data + at, ' ', line.len - at);
        size_t len = blank == NULL ? line.len - at : (size_t)(blank - line.data) - at;
        (*out)[i] = bytes_of(line.data + at, len);
        at += len + 1;
        if (at > line.len)
            at = line.len;
    }
    return n;
}

/* What names a command that there is not is shown; what may hold a secret is not, and only the
 * first of these errors, since others may follow from it. */
static void apply_rules(struct reading *f, struct acl_user *u, const struct acl_rule_list *l)
{
    bool told = false;
    for (int i = 0; i < l->n; i++) {
        struct bytes rule = trimmed(l->at[i], false);
        enum acl_error why = acl_user_set(u, rule);
        if (why == ACL_UNKNOWN_NAME) {
            buf_printf(f->error, "%s:%d: Error in applying operation '%.*s': %s. ", f->path,
                       f->line, (int)rule.len, rule.data, acl_error_text(why));
        } else if (why != ACL_FINE && !told) {
            buf_printf(f->error, "%s:%d: %s. ", f->path, f->line, acl_error_text(why));
            told = true;
        }
    }
}

/* NULL: there is one already. The default user, who is there from the start, begins as any other if
 * the file has a line about it. */
static struct acl_user *user_of_line(struct reading *f, struct bytes name)
{
    struct acl_user *u = acl_default_user(f->acl);
    if (f->has_default || !bytes_eq(name, acl_user_name(u)))
        return acl_make_user(f->acl, name);
    f->has_default = true;
    struct acl_user *blank = acl_user_new(u->rules->names, name, u->rules->all_channels);
    acl_user_copy(u, blank);
    acl_user_free(blank);
    return u;
}

static void read_user(struct reading *f, int n, const struct bytes *words)
{
    struct acl_rule_list list;
    int open;
    if (!acl_name_ok(words[1])) {
        buf_printf(f->error, "'%s:%d: username '%.*s' contains invalid characters. ", f->path,
                   f->line, (int)words[1].len, words[1].data);
        return;
    }
    struct acl_user *u = user_of_line(f, words[1]);
    if (u == NULL) {
        buf_printf(f->error, "WARNING: Duplicate user '%.*s' found on line %d. ", (int)words[1].len,
                   words[1].data, f->line);
    } else if (!acl_rules_merge(n - 2, words + 2, &list, &open)) {
        buf_printf(f->error, "%s:%d: Unmatched parenthesis in selector definition.", f->path,
                   f->line);
    } else {
        apply_rules(f, u, &list);
        acl_rules_release(&list);
    }
}

static void read_line(struct reading *f, struct bytes line)
{
    struct bytes *words;
    line = trimmed(line, true);
    if (line.len == 0)
        return;
    int n = split(line, &words);
    if (n < 2 || !bytes_eq(words[0], BYTES_LIT("user")))
        buf_printf(f->error, "%s:%d should start with user keyword followed by the username. ",
                   f->path, f->line);
    else
        read_user(f, n, words);
    mem_free(words);
}

bool acl_read_file(struct acl *a, const char *path, struct buf *error)
{
    struct reading f = {a, path, 0, false, error};
    const char *why;
    FILE *in = file_open_stream(path, &why);
    if (in == NULL) {
        buf_printf(error, "Error loading ACLs, opening file '%s': %s", path, why);
        return false;
    }
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    errno = 0;
    while ((n = getline(&line, &cap, in)) >= 0) {
        f.line++;
        read_line(&f, bytes_of(line, (size_t)n));
        errno = 0;
    }
    bool failed = ferror(in) != 0;
    if (failed)
        buf_printf(error, "Error loading ACLs, reading file '%s': %s", path, strerror(errno));
    else if (error->len > 0)
        buf_append_cstr(error, "WARNING: ACL errors detected, no change to the previously active "
                               "ACL rules was performed");
    free(line);
    fclose(in);
    return error->len == 0;
}

/* ---- writing ---- */

static bool replace(const char *path, struct bytes text)
{
    struct replacement r;
    return replacement_begin(&r, path) && replacement_end(&r, replacement_write(&r, text));
}

bool acl_write_file(const struct acl *a, const char *path)
{
    struct buf text;
    buf_init(&text);
    for (size_t i = 0; i < acl_user_count(a); i++) {
        const struct acl_user *u = acl_user_at(a, i);
        buf_append_cstr(&text, "user ");
        buf_append_bytes(&text, acl_user_name(u));
        buf_append_u8(&text, ' ');
        acl_describe_user(u, &text);
        buf_append_u8(&text, '\n');
    }
    char *real = realpath(path, NULL); /* a link stays one */
    bool ok = replace(real != NULL ? real : path, buf_bytes(&text));
    int why = errno;
    free(real);
    buf_release(&text);
    errno = why;
    return ok;
}
