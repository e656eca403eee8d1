/* selector: see selector.h. */
#include "acl/selector.h"

#include <ctype.h>
#include <string.h>

#include "base/glob.h"
#include "base/mem.h"
#include "command/key_place.h"
#include "config/words.h"

/* ---- errors ---- */

const char *acl_error_text(enum acl_error error)
{
    switch (error) {
    case ACL_UNKNOWN_NAME:
        return "Unknown command or category name in ACL";
    case ACL_AFTER_ALL_KEYS:
        return "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does "
               "not have any effect. Try 'resetkeys' to start with an empty list of patterns";
    case ACL_AFTER_ALL_CHANNELS:
        return "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and "
               "does not have any effect. Try 'resetchannels' to start with an empty list of "
               "channels";
    case ACL_NO_SUCH_PASSWORD:
        return "The password you are trying to remove from the user does not exist";
    case ACL_BAD_HASH:
        return "The password hash must be exactly 64 characters and contain only lowercase "
               "hexadecimal characters";
    case ACL_FIRST_ARG_OF_SUB:
        return "Allowing first-arg of a subcommand is not supported";
    case ACL_FINE:
    case ACL_SYNTAX:
        break;
    }
    return "Syntax error";
}

/* ---- patterns ---- */

static void patterns_clear(struct acl_patterns *p)
{
    for (size_t i = 0; i < p->n; i++)
        mem_free(p->at[i].text);
    mem_free(p->at);
    *p = (struct acl_patterns){NULL, 0};
}

/* One that is there already gets the permissions besides. */
static void patterns_add(struct acl_patterns *p, struct bytes text, uint8_t may)
{
    for (size_t i = 0; i < p->n; i++) {
        if (bytes_eq(bytes_of(p->at[i].text, p->at[i].len), text)) {
            p->at[i].may |= may;
            return;
        }
    }
    p->at = mem_realloc(p->at, (p->n + 1) * sizeof(*p->at));
    p->at[p->n++] = (struct acl_pattern){mem_strndup(text.data, text.len), text.len, may};
}

static void patterns_copy(struct acl_patterns *to, const struct acl_patterns *from)
{
    *to = (struct acl_patterns){NULL, 0};
    for (size_t i = 0; i < from->n; i++)
        patterns_add(to, bytes_of(from->at[i].text, from->at[i].len), from->at[i].may);
}

/* ---- first arguments ---- */

static void first_args_clear(struct acl_selector *s)
{
    for (size_t i = 0; i < s->nfirst_args; i++)
        mem_free(s->first_args[i].text);
    mem_free(s->first_args);
    s->first_args = NULL;
    s->nfirst_args = 0;
}

static void first_args_clear_of(struct acl_selector *s, int command)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->nfirst_args; i++) {
        if (s->first_args[i].command == command)
            mem_free(s->first_args[i].text);
        else
            s->first_args[kept++] = s->first_args[i];
    }
    s->nfirst_args = kept;
}

static bool first_args_have(const struct acl_selector *s, int command, struct bytes text)
{
    for (size_t i = 0; i < s->nfirst_args; i++) {
        const struct acl_first_arg *f = &s->first_args[i];
        if (f->command == command && f->len == text.len && bytes_ieq(text, f->text))
            return true;
    }
    return false;
}

static void first_args_add(struct acl_selector *s, int command, struct bytes text)
{
    if (first_args_have(s, command, text))
        return;
    s->first_args = mem_realloc(s->first_args, (s->nfirst_args + 1) * sizeof(*s->first_args));
    s->first_args[s->nfirst_args++] =
        (struct acl_first_arg){command, mem_strndup(text.data, text.len), text.len};
}

/* ---- life ---- */

void acl_selector_init(struct acl_selector *s, const struct acl_names *names, bool all_channels)
{
    *s = (struct acl_selector){.names = names, .all_channels = all_channels};
}

void acl_selector_release(struct acl_selector *s)
{
    patterns_clear(&s->keys);
    patterns_clear(&s->channels);
    first_args_clear(s);
}

void acl_selector_copy(struct acl_selector *to, const struct acl_selector *from)
{
    *to = *from;
    patterns_copy(&to->keys, &from->keys);
    patterns_copy(&to->channels, &from->channels);
    to->first_args = NULL;
    to->nfirst_args = 0;
    for (size_t i = 0; i < from->nfirst_args; i++)
        first_args_add(to, from->first_args[i].command,
                       bytes_of(from->first_args[i].text, from->first_args[i].len));
}

/* ---- commands ---- */

bool acl_selector_has(const struct acl_selector *s, int name)
{
    return ((s->allowed[name / 64] >> (name % 64)) & 1) != 0;
}

static void set_bit(struct acl_selector *s, int name, bool allow)
{
    uint64_t bit = UINT64_C(1) << (name % 64);
    if (allow) {
        s->allowed[name / 64] |= bit;
    } else {
        s->allowed[name / 64] &= ~bit;
        s->all_commands = false;
    }
}

void acl_selector_allow(struct acl_selector *s, int name, bool allow)
{
    set_bit(s, name, allow);
    first_args_clear_of(s, name);
    const struct acl_name *a = acl_names_at(s->names, name);
    for (int i = a->first_child; i != ACL_NO_NAME; i = acl_names_at(s->names, i)->next)
        set_bit(s, i, allow);
}

/* Containers before their subcommands, as they stand in the list by name. */
void acl_selector_allow_category(struct acl_selector *s, uint32_t category, bool allow)
{
    const struct acl_names *n = s->names;
    for (int i = acl_names_first(n); i != ACL_NO_NAME; i = acl_names_at(n, i)->next) {
        if ((acl_names_at(n, i)->categories & category) != 0)
            acl_selector_allow(s, i, allow);
        for (int j = acl_names_at(n, i)->first_child; j != ACL_NO_NAME;
             j = acl_names_at(n, j)->next) {
            if ((acl_names_at(n, j)->categories & category) != 0)
                acl_selector_allow(s, j, allow);
        }
    }
}

void acl_selector_allow_all(struct acl_selector *s, bool allow)
{
    memset(s->allowed, allow ? 0xff : 0, sizeof(s->allowed));
    s->all_commands = allow;
    s->future = allow;
    first_args_clear(s);
}

/* ---- rules ---- */

/* Rules are separated by blanks where they are written down, so none may be inside. */
static bool has_blank(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\0' || isspace((unsigned char)text.data[i]))
            return true;
    }
    return false;
}

static struct bytes rest_of(struct bytes text, size_t from)
{
    return bytes_of(text.data + from, text.len - from);
}

/* "~x" and "%R~x", with "~", "%R" and the like as patterns that are empty. */
static enum acl_error add_key_pattern(struct acl_selector *s, struct bytes rule)
{
    uint8_t may = 0;
    size_t at = 1;
    bool fine = true;
    if (s->all_keys)
        return ACL_AFTER_ALL_KEYS;
    if (rule.data[0] == '~')
        may = ACL_READ | ACL_WRITE;
    for (; rule.data[0] == '%' && fine && at < rule.len; at++) {
        char c = rule.data[at];
        if ((c == 'R' || c == 'r') && !(may & ACL_READ)) {
            may |= ACL_READ;
        } else if ((c == 'W' || c == 'w') && !(may & ACL_WRITE)) {
            may |= ACL_WRITE;
        } else if (c == '~') {
            at++;
            break;
        } else {
            fine = false;
        }
    }
    if (!fine || may == 0 || has_blank(rest_of(rule, at)))
        return ACL_SYNTAX;
    patterns_add(&s->keys, rest_of(rule, at), may);
    return ACL_FINE;
}

static enum acl_error add_channel_pattern(struct acl_selector *s, struct bytes rule)
{
    if (s->all_channels)
        return ACL_AFTER_ALL_CHANNELS;
    if (has_blank(rest_of(rule, 1)))
        return ACL_SYNTAX;
    patterns_add(&s->channels, rest_of(rule, 1), 0);
    return ACL_FINE;
}

static const char *last_bar(struct bytes text)
{
    return text.len == 0 ? NULL : memrchr(text.data, '|', text.len);
}

/* "+select|0". Redis discourages it, and files have it. */
static enum acl_error add_first_arg(struct acl_selector *s, int command, struct bytes arg)
{
    if (has_blank(arg))
        return ACL_SYNTAX;
    first_args_add(s, command, arg);
    return ACL_FINE;
}

static enum acl_error add_command(struct acl_selector *s, struct bytes name)
{
    const char *bar = last_bar(name);
    size_t len = bar == NULL ? name.len : (size_t)(bar - name.data);
    int command = acl_names_find(s->names, bytes_of(name.data, len));
    if (command == ACL_NO_NAME)
        return ACL_UNKNOWN_NAME;
    if (bar != NULL) {
        const struct acl_name *a = acl_names_at(s->names, command);
        if (a->parent != ACL_NO_NAME)
            return ACL_FIRST_ARG_OF_SUB;
        if (len + 1 == name.len)
            return ACL_SYNTAX;
        if (a->first_child == ACL_NO_NAME)
            return add_first_arg(s, command, rest_of(name, len + 1));
        command = acl_names_find(s->names, name);
        if (command == ACL_NO_NAME)
            return ACL_UNKNOWN_NAME;
    }
    acl_selector_allow(s, command, true);
    return ACL_FINE;
}

static enum acl_error set_commands(struct acl_selector *s, struct bytes rule)
{
    bool allow = rule.data[0] == '+';
    struct bytes name = rest_of(rule, 1);
    if (name.len > 0 && name.data[0] == '@') {
        uint32_t category = category_find(rest_of(name, 1));
        if (category == 0)
            return ACL_UNKNOWN_NAME;
        acl_selector_allow_category(s, category, allow);
        return ACL_FINE;
    }
    if (allow)
        return add_command(s, name);
    int command = acl_names_find(s->names, name);
    if (command == ACL_NO_NAME)
        return ACL_UNKNOWN_NAME;
    acl_selector_allow(s, command, false);
    return ACL_FINE;
}

/* Rules that are one word. */
static bool set_word(struct acl_selector *s, struct bytes rule)
{
    if (bytes_ieq(rule, "allkeys") || bytes_ieq(rule, "~*") || bytes_ieq(rule, "resetkeys")) {
        s->all_keys = !bytes_ieq(rule, "resetkeys");
        patterns_clear(&s->keys);
    } else if (bytes_ieq(rule, "allchannels") || bytes_ieq(rule, "&*") ||
               bytes_ieq(rule, "resetchannels")) {
        s->all_channels = !bytes_ieq(rule, "resetchannels");
        patterns_clear(&s->channels);
    } else if (bytes_ieq(rule, "allcommands") || bytes_ieq(rule, "+@all")) {
        acl_selector_allow_all(s, true);
    } else if (bytes_ieq(rule, "nocommands") || bytes_ieq(rule, "-@all")) {
        acl_selector_allow_all(s, false);
    } else {
        return false;
    }
    return true;
}

enum acl_error acl_selector_set(struct acl_selector *s, struct bytes rule)
{
    if (rule.len == 0)
        return ACL_SYNTAX;
    if (set_word(s, rule))
        return ACL_FINE;
    switch (rule.data[0]) {
    case '~':
    case '%':
        return add_key_pattern(s, rule);
    case '&':
        return add_channel_pattern(s, rule);
    case '+':
    case '-':
        return set_commands(s, rule);
    default:
        return ACL_SYNTAX;
    }
}

/* Would it come back as it is when it is written between parentheses? Redis takes quotes, and a
 * parenthesis at the end of a pattern, and then cannot read what it has written. */
static bool is_writable(struct bytes rule)
{
    for (size_t i = 0; i < rule.len; i++) {
        if (rule.data[i] == '"' || rule.data[i] == '\'')
            return false;
    }
    return rule.len == 0 || rule.data[rule.len - 1] != ')';
}

enum acl_error acl_selector_parse(struct acl_selector *s, struct bytes text)
{
    enum acl_error error = ACL_FINE;
    struct buf rule;
    size_t at = 0;
    bool found = true;
    buf_init(&rule);
    while (error == ACL_FINE && found) {
        rule.len = 0;
        if (!words_next(text, &at, &rule, &found) || !is_writable(buf_bytes(&rule)))
            error = ACL_SYNTAX;
        else if (found)
            error = acl_selector_set(s, buf_bytes(&rule));
    }
    buf_release(&rule);
    return error;
}

/* ---- checks ---- */

static bool may_run(const struct acl_selector *s, const struct acl_call *call)
{
    if (s->all_commands || (call->cmd->flags & CF_NO_AUTH) != 0 || acl_selector_has(s, call->name))
        return true;
    return call->argc > 1 && first_args_have(s, call->name, call->argv[1]);
}

static bool may_use_key(const struct acl_selector *s, struct bytes key, uint8_t needs)
{
    for (size_t i = 0; i < s->keys.n; i++) {
        const struct acl_pattern *p = &s->keys.at[i];
        if ((p->may & needs) == needs && glob_match(bytes_of(p->text, p->len), key, false))
            return true;
    }
    return false;
}

static uint8_t needs_of_key(const struct acl_name *a, const struct acl_call *call, int key)
{
    if (a->variable_keys || a->nspecs == 0)
        return acl_permission_of(command_call_key_flags(call->cmd, call->argc, call->argv, key));
    return a->needs[key < a->nspecs ? key : a->nspecs - 1];
}

static bool may_use_keys(const struct acl_selector *s, const struct acl_call *call, int *arg)
{
    const struct acl_name *a = acl_names_at(s->names, call->name);
    int n = s->all_keys ? 0 : command_key_count(call->cmd, call->argc, call->argv);
    for (int i = 0; i < n; i++) {
        int at = command_key_at(call->cmd, call->argc, call->argv, i);
        if (!may_use_key(s, call->argv[at], needs_of_key(a, call, i))) {
            *arg = at;
            return false;
        }
    }
    return true;
}

static bool may_use_channel(const struct acl_selector *s, struct bytes channel, bool is_pattern)
{
    for (size_t i = 0; i < s->channels.n; i++) {
        struct bytes p = bytes_of(s->channels.at[i].text, s->channels.at[i].len);
        if (is_pattern ? bytes_eq(p, channel) : glob_match(p, channel, false))
            return true;
    }
    return false;
}

static bool may_use_channels(const struct acl_selector *s, const struct acl_call *call, int *arg)
{
    enum acl_channels kind = acl_names_at(s->names, call->name)->channels;
    if (s->all_channels || kind == ACL_CHANNELS_NONE)
        return true;
    int end = kind == ACL_CHANNELS_FIRST ? 2 : call->argc;
    for (int i = 1; i < end && i < call->argc; i++) {
        if (!may_use_channel(s, call->argv[i], kind == ACL_CHANNELS_PATTERNS)) {
            *arg = i;
            return false;
        }
    }
    return true;
}

bool acl_selector_may_hear(const struct acl_selector *s, struct bytes channel, bool is_pattern)
{
    return s->all_channels || may_use_channel(s, channel, is_pattern);
}

enum acl_verdict acl_selector_check(const struct acl_selector *s, const struct acl_call *call,
                                    int *arg)
{
    if (!may_run(s, call))
        return ACL_DENIED_COMMAND;
    if (!may_use_keys(s, call, arg))
        return ACL_DENIED_KEY;
    if (!may_use_channels(s, call, arg))
        return ACL_DENIED_CHANNEL;
    return ACL_ALLOWED;
}
