/* acl: the set of users, sorted by name. Each of them stands in memory of its own, so that clients
 * may point to it. */
#include "acl/acl.h"

#include <ctype.h>
#include <string.h>

#include "acl/user.h"
#include "base/mem.h"

static const char default_name[] = "default";

struct acl {
    struct acl_names *names;
    struct acl_user **users;
    size_t nusers;
    struct acl_user *default_user;
    struct acl_user *nobody; /* not one of the users */
    bool all_channels;
    bool default_said; /* a line of the configuration was about the default user */
};

/* ---- life ---- */

static void set_or_die(struct acl_user *u, const char *rule)
{
    enum acl_error error = acl_user_set(u, bytes_cstr(rule));
    CHECK(error == ACL_FINE);
}

struct acl *acl_new(bool all_channels)
{
    struct acl *a = mem_zalloc(sizeof(*a));
    a->names = acl_names_new();
    a->all_channels = all_channels;
    a->default_user = acl_make_user(a, bytes_cstr(default_name));
    a->nobody = acl_user_new(a->names, BYTES_LIT("(removed)"), false);
    set_or_die(a->default_user, "+@all");
    set_or_die(a->default_user, "~*");
    set_or_die(a->default_user, "&*");
    set_or_die(a->default_user, "on");
    set_or_die(a->default_user, "nopass");
    return a;
}

void acl_free(struct acl *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->nusers; i++)
        acl_user_free(a->users[i]);
    acl_user_free(a->nobody);
    mem_free(a->users);
    acl_names_free(a->names);
    mem_free(a);
}

void acl_set_channel_default(struct acl *a, bool all_channels)
{
    a->all_channels = all_channels;
    for (size_t i = 0; i < a->nusers; i++)
        a->users[i]->rules->all_channels = all_channels;
}

/* ---- lookups ---- */

/* Where the user of this name is, or would be. */
static size_t place_of(const struct acl *a, struct bytes name, bool *found)
{
    size_t low = 0;
    size_t high = a->nusers;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = bytes_cmp(acl_user_name(a->users[middle]), name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct acl_user *acl_default_user(const struct acl *a)
{
    return a->default_user;
}

struct acl_user *acl_find_user(const struct acl *a, struct bytes name)
{
    bool found;
    size_t at = place_of(a, name, &found);
    return found ? a->users[at] : NULL;
}

size_t acl_user_count(const struct acl *a)
{
    return a->nusers;
}

struct acl_user *acl_user_at(const struct acl *a, size_t i)
{
    CHECK(i < a->nusers);
    return a->users[i];
}

struct acl_user *acl_nobody(const struct acl *a)
{
    return a->nobody;
}

/* ---- changes ---- */

bool acl_name_ok(struct bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '\0' || isspace((unsigned char)name.data[i]))
            return false;
    }
    return true;
}

struct acl_user *acl_make_user(struct acl *a, struct bytes name)
{
    bool found;
    size_t at = place_of(a, name, &found);
    if (found)
        return NULL;
    a->users = mem_realloc(a->users, (a->nusers + 1) * sizeof(struct acl_user *));
    memmove(a->users + at + 1, a->users + at, (a->nusers - at) * sizeof(struct acl_user *));
    a->users[at] = acl_user_new(a->names, name, a->all_channels);
    a->nusers++;
    return a->users[at];
}

void acl_remove_user(struct acl *a, struct acl_user *u)
{
    bool found;
    size_t at = place_of(a, acl_user_name(u), &found);
    CHECK(found && a->users[at] == u && u != a->default_user);
    a->nusers--;
    memmove(a->users + at, a->users + at + 1, (a->nusers - at) * sizeof(struct acl_user *));
    acl_user_free(u);
}

/* Applies all rules, or stops at the first that is wrong. */
static bool apply(struct acl_user *u, const struct acl_rule_list *l, int *wrong,
                  enum acl_error *why)
{
    for (int i = 0; i < l->n; i++) {
        *why = acl_user_set(u, l->at[i]);
        if (*why != ACL_FINE) {
            *wrong = i;
            return false;
        }
    }
    return true;
}

/* Tries the rules on a copy, then makes or changes the user. */
static void commit(struct acl *a, struct bytes name, struct acl_user *u,
                   const struct acl_user *copy)
{
    if (u == NULL)
        u = acl_make_user(a, name);
    acl_user_copy(u, copy);
}

bool acl_set_user(struct acl *a, struct bytes name, int nrules, const struct bytes *rules,
                  struct buf *error)
{
    struct acl_rule_list list;
    enum acl_error why = ACL_FINE;
    int wrong;
    if (!acl_rules_merge(nrules, rules, &list, &wrong)) {
        buf_printf(error, "ERR Unmatched parenthesis in acl selector starting at '%.*s'.",
                   (int)rules[wrong].len, rules[wrong].data);
        return false;
    }
    struct acl_user *u = acl_find_user(a, name);
    struct acl_user *copy = acl_user_new(a->names, name, a->all_channels);
    if (u != NULL)
        acl_user_copy(copy, u);
    bool ok = apply(copy, &list, &wrong, &why);
    if (ok)
        commit(a, name, u, copy);
    else
        buf_printf(error, "ERR Error in ACL SETUSER modifier '%.*s': %s", (int)list.at[wrong].len,
                   list.at[wrong].data, acl_error_text(why));
    acl_user_free(copy);
    acl_rules_release(&list);
    return ok;
}

void acl_set_default_password(struct acl *a, struct bytes password)
{
    struct acl_user *u = a->default_user;
    if (password.len == 0) {
        set_or_die(u, "nopass");
        return;
    }
    struct buf rule;
    buf_init(&rule);
    buf_append_u8(&rule, '>');
    buf_append_bytes(&rule, password);
    set_or_die(u, "resetpass");
    set_or_die(u, buf_cstr(&rule)); /* an option has no NUL in it */
    buf_release(&rule);
}

/* A rule that is wrong, where a password must not be seen. */
static void append_rule(struct buf *out, struct bytes rule)
{
    if (rule.len > 0 && strchr("><#!", rule.data[0]) != NULL)
        rule.len = 1;
    for (size_t i = 0; i < rule.len && i < 128; i++) {
        char c = rule.data[i];
        buf_append_u8(out, c >= ' ' && c <= '~' ? (uint8_t)c : '?');
    }
}

static bool fill(struct acl_user *u, int n, const struct bytes *words, struct buf *error)
{
    struct acl_rule_list list;
    enum acl_error why = ACL_FINE;
    int wrong;
    if (!acl_rules_merge(n, words, &list, &wrong)) {
        buf_append_cstr(error, "Unmatched parenthesis in acl selector starting at '");
        append_rule(error, words[wrong]);
        buf_append_u8(error, '\'');
        return false;
    }
    bool ok = apply(u, &list, &wrong, &why);
    if (!ok) {
        buf_append_u8(error, '\'');
        append_rule(error, list.at[wrong]);
        buf_printf(error, "': %s", acl_error_text(why));
    }
    acl_rules_release(&list);
    return ok;
}

bool acl_add_line(struct acl *a, int n, const struct bytes *words, struct buf *error)
{
    if (n == 0) {
        buf_append_cstr(error, "user: needs a name");
        return false;
    }
    if (!acl_name_ok(words[0])) {
        buf_append_cstr(error, "user: Usernames can't contain spaces or null characters");
        return false;
    }
    buf_append_cstr(error, "user ");
    append_rule(error, words[0]);
    buf_append_cstr(error, ": ");
    bool is_default = bytes_eq(words[0], bytes_cstr(default_name));
    struct acl_user *u = is_default ? a->default_user : acl_make_user(a, words[0]);
    if (u == NULL || (is_default && a->default_said)) {
        buf_append_cstr(error,
                        "Duplicate user found. A user can only be defined once in config files");
        return false;
    }
    if (is_default) {
        a->default_said = true;
        set_or_die(u, "reset");
    }
    bool ok = fill(u, n - 1, words + 1, error);
    if (ok)
        error->len = 0;
    return ok;
}

/* ---- judging ---- */

bool acl_needs_password(const struct acl *a)
{
    const struct acl_user_rules *r = a->default_user->rules;
    return !r->nopass || !r->on;
}

struct acl_user *acl_authenticate(const struct acl *a, struct bytes name, struct bytes password)
{
    static const char nobody[ACL_HASH_LEN + 1];
    char hash[ACL_HASH_LEN + 1];
    struct acl_user *u = acl_find_user(a, name);
    bool same = false;
    acl_hash_password(password, hash);
    for (size_t i = 0; u != NULL && i < u->rules->nhashes; i++)
        same |= acl_same_hash(u->rules->hashes[i], hash);
    if (u == NULL || u->rules->nhashes == 0) /* the same work for a name that nobody has */
        (void)acl_same_hash(nobody, hash);
    if (u == NULL || !u->rules->on)
        return NULL;
    return same || u->rules->nopass ? u : NULL;
}

struct bytes acl_call_name(const struct acl_user *u, const struct command *c, int argc,
                           const struct bytes *argv)
{
    const struct acl_names *n = u->rules->names;
    return acl_names_at(n, acl_names_of_call(n, c, argc, argv))->name;
}

bool acl_may_hear(const struct acl_user *u, struct bytes channel, bool is_pattern)
{
    const struct acl_user_rules *r = u->rules;
    for (size_t i = 0; i < r->nselectors; i++) {
        if (acl_selector_may_hear(&r->selectors[i], channel, is_pattern))
            return true;
    }
    return u->unrestricted;
}

enum acl_verdict acl_check(const struct acl_user *u, const struct command *c, int argc,
                           const struct bytes *argv, int *arg)
{
    const struct acl_user_rules *r = u->rules;
    struct acl_call call = {c, acl_names_of_call(r->names, c, argc, argv), argc, argv};
    enum acl_verdict told = ACL_DENIED_COMMAND;
    *arg = 0;
    if (u->unrestricted)
        return ACL_ALLOWED;
    for (size_t i = 0; i < r->nselectors; i++) {
        int at = 0;
        enum acl_verdict v = acl_selector_check(&r->selectors[i], &call, &at);
        if (v == ACL_ALLOWED)
            return ACL_ALLOWED;
        if (v > told || (v == told && at > *arg)) {
            told = v;
            *arg = at;
        }
    }
    return told;
}

static bool reads_all_keys(const struct acl_selector *s)
{
    bool all = s->all_keys;
    for (size_t i = 0; i < s->keys.n && !all; i++)
        all = (s->keys.at[i].may & ACL_READ) != 0 &&
              bytes_eq(bytes_of(s->keys.at[i].text, s->keys.at[i].len), BYTES_LIT("*"));
    return all;
}

bool acl_reads_all_keys(const struct acl_user *u, const struct command *c, int argc,
                        const struct bytes *argv)
{
    const struct acl_user_rules *r = u->rules;
    struct acl_call call = {c, acl_names_of_call(r->names, c, argc, argv), argc, argv};
    for (size_t i = 0; i < r->nselectors; i++) {
        int unused;
        if (reads_all_keys(&r->selectors[i]) &&
            acl_selector_check(&r->selectors[i], &call, &unused) == ACL_ALLOWED)
            return true;
    }
    return u->unrestricted;
}
