/* user: see user.h. */
#include "acl/user.h"

#include <string.h>

#include "base/mem.h"
#include "config/words.h"

/* ---- life ---- */

static struct acl_selector *add_selector(struct acl_user_rules *r)
{
    r->selectors = mem_realloc(r->selectors, (r->nselectors + 1) * sizeof(*r->selectors));
    return &r->selectors[r->nselectors++];
}

static void drop_selectors(struct acl_user_rules *r, size_t keep)
{
    while (r->nselectors > keep)
        acl_selector_release(&r->selectors[--r->nselectors]);
}

struct acl_user *acl_user_new(const struct acl_names *names, struct bytes name, bool all_channels)
{
    struct acl_user *u = mem_zalloc(sizeof(*u));
    struct acl_user_rules *r = mem_zalloc(sizeof(*r));
    u->rules = r;
    r->name = mem_strndup(name.len > 0 ? name.data : "", name.len);
    r->name_len = name.len;
    r->names = names;
    r->all_channels = all_channels;
    acl_selector_init(add_selector(r), names, all_channels);
    return u;
}

static void release_rules(struct acl_user_rules *r)
{
    drop_selectors(r, 0);
    mem_free(r->selectors);
    mem_free(r->hashes);
}

void acl_user_free(struct acl_user *u)
{
    release_rules(u->rules);
    mem_free(u->rules->name);
    mem_free(u->rules);
    mem_free(u);
}

void acl_user_copy(struct acl_user *to, const struct acl_user *from)
{
    struct acl_user_rules *r = to->rules;
    const struct acl_user_rules *f = from->rules;
    struct acl_user_rules fresh = *f;
    fresh.name = r->name;
    fresh.name_len = r->name_len;
    fresh.hashes = NULL;
    fresh.selectors = NULL;
    fresh.nselectors = 0;
    if (f->nhashes > 0) {
        fresh.hashes = mem_alloc(f->nhashes * sizeof(*f->hashes));
        memcpy(fresh.hashes, f->hashes, f->nhashes * sizeof(*f->hashes));
    }
    for (size_t i = 0; i < f->nselectors; i++)
        acl_selector_copy(add_selector(&fresh), &f->selectors[i]);
    release_rules(r);
    *r = fresh;
    to->unrestricted = from->unrestricted;
}

static void judge_whole(struct acl_user *u)
{
    u->unrestricted = false;
    for (size_t i = 0; i < u->rules->nselectors; i++) {
        const struct acl_selector *s = &u->rules->selectors[i];
        u->unrestricted |= s->all_commands && s->all_keys && s->all_channels;
    }
}

/* ---- passwords ---- */

static size_t find_hash(const struct acl_user_rules *r, const char *hash)
{
    size_t i = 0;
    while (i < r->nhashes && !acl_same_hash(r->hashes[i], hash))
        i++;
    return i;
}

static void add_hash(struct acl_user_rules *r, const char *hash)
{
    r->nopass = false;
    if (find_hash(r, hash) < r->nhashes)
        return;
    r->hashes = mem_realloc(r->hashes, (r->nhashes + 1) * sizeof(*r->hashes));
    memcpy(r->hashes[r->nhashes++], hash, sizeof(*r->hashes));
}

static enum acl_error remove_hash(struct acl_user_rules *r, const char *hash)
{
    size_t i = find_hash(r, hash);
    if (i == r->nhashes)
        return ACL_NO_SUCH_PASSWORD;
    r->nhashes--;
    memmove(r->hashes[i], r->hashes[i + 1], (r->nhashes - i) * sizeof(*r->hashes));
    return ACL_FINE;
}

/* ">password", "#hash", "<password", "!hash". */
static enum acl_error set_password(struct acl_user_rules *r, struct bytes rule)
{
    char kind = rule.data[0];
    char hash[ACL_HASH_LEN + 1];
    struct bytes text = bytes_of(rule.data + 1, rule.len - 1);
    if (kind == '>' || kind == '<') {
        acl_hash_password(text, hash);
    } else {
        if (!acl_is_hash(text))
            return ACL_BAD_HASH;
        memcpy(hash, text.data, ACL_HASH_LEN);
        hash[ACL_HASH_LEN] = '\0';
    }
    if (kind == '<' || kind == '!')
        return remove_hash(r, hash);
    add_hash(r, hash);
    return ACL_FINE;
}

/* ---- rules ---- */

static enum acl_error add_in_parentheses(struct acl_user_rules *r, struct bytes rule)
{
    struct acl_selector s;
    acl_selector_init(&s, r->names, r->all_channels);
    enum acl_error error = acl_selector_parse(&s, bytes_of(rule.data + 1, rule.len - 2));
    if (error == ACL_FINE)
        *add_selector(r) = s;
    else
        acl_selector_release(&s);
    return error;
}

static void reset(struct acl_user_rules *r)
{
    r->on = false;
    r->nopass = false;
    r->nhashes = 0;
    r->sanitize = ACL_SANITIZE_ON;
    drop_selectors(r, 0);
    acl_selector_init(add_selector(r), r->names, r->all_channels);
}

/* Rules that are one word and about the user. */
static bool set_word(struct acl_user_rules *r, struct bytes rule)
{
    if (bytes_ieq(rule, "on") || bytes_ieq(rule, "off")) {
        r->on = bytes_ieq(rule, "on");
    } else if (bytes_ieq(rule, "nopass") || bytes_ieq(rule, "resetpass")) {
        r->nopass = bytes_ieq(rule, "nopass");
        r->nhashes = 0;
    } else if (bytes_ieq(rule, "skip-sanitize-payload")) {
        r->sanitize = ACL_SANITIZE_SKIP;
    } else if (bytes_ieq(rule, "sanitize-payload")) {
        r->sanitize = ACL_SANITIZE_ON;
    } else if (bytes_ieq(rule, "clearselectors")) {
        drop_selectors(r, 1);
    } else if (bytes_ieq(rule, "reset")) {
        reset(r);
    } else {
        return false;
    }
    return true;
}

enum acl_error acl_user_set(struct acl_user *u, struct bytes rule)
{
    struct acl_user_rules *r = u->rules;
    enum acl_error error = ACL_FINE;
    if (rule.len == 0 || set_word(r, rule))
        error = ACL_FINE;
    else if (strchr("><#!", rule.data[0]) != NULL && rule.data[0] != '\0')
        error = set_password(r, rule);
    else if (rule.data[0] == '(' && rule.data[rule.len - 1] == ')' && rule.len > 1)
        error = add_in_parentheses(r, rule);
    else
        error = acl_selector_set(&r->selectors[0], rule);
    judge_whole(u);
    return error;
}

/* ---- words to rules ---- */

static bool opens(struct bytes word)
{
    return word.len > 0 && word.data[0] == '(' && word.data[word.len - 1] != ')';
}

static bool closes(struct bytes word)
{
    return word.len > 0 && word.data[word.len - 1] == ')';
}

static void add_joined(struct acl_rule_list *l, struct buf *text)
{
    char *copy = mem_strndup(text->data, text->len);
    l->joined[l->njoined++] = copy;
    l->at[l->n++] = bytes_of(copy, text->len);
    text->len = 0;
}

bool acl_rules_merge(int n, const struct bytes *words, struct acl_rule_list *out, int *open)
{
    struct buf text;
    int opened = -1;
    buf_init(&text);
    *out = (struct acl_rule_list){NULL, 0, NULL, 0};
    out->at = mem_alloc((size_t)(n + 1) * sizeof(*out->at));
    out->joined = mem_alloc((size_t)(n + 1) * sizeof(*out->joined));
    for (int i = 0; i < n; i++) {
        if (opened < 0 && !opens(words[i])) {
            out->at[out->n++] = words[i];
            continue;
        }
        if (opened < 0)
            opened = i;
        else
            buf_append_u8(&text, ' ');
        buf_append_bytes(&text, words[i]);
        if (opened != i && closes(words[i])) {
            add_joined(out, &text);
            opened = -1;
        }
    }
    buf_release(&text);
    if (opened < 0)
        return true;
    acl_rules_release(out);
    *open = opened;
    return false;
}

void acl_rules_release(struct acl_rule_list *l)
{
    for (int i = 0; i < l->njoined; i++)
        mem_free(l->joined[i]);
    mem_free(l->joined);
    mem_free(l->at);
    *l = (struct acl_rule_list){NULL, 0, NULL, 0};
}

/* ---- descriptions ---- */

struct bytes acl_user_name(const struct acl_user *u)
{
    return bytes_of(u->rules->name, u->rules->name_len);
}

bool acl_user_nopass(const struct acl_user *u)
{
    return u->rules->nopass;
}

/* Writes the flags' names, and returns how many there are. */
static int flag_names(const struct acl_user_rules *r, const char *names[3])
{
    int n = 0;
    names[n++] = r->on ? "on" : "off";
    if (r->nopass)
        names[n++] = "nopass";
    if (r->sanitize != ACL_SANITIZE_UNSAID)
        names[n++] =
            r->sanitize == ACL_SANITIZE_SKIP ? "skip-sanitize-payload" : "sanitize-payload";
    return n;
}

void acl_describe_user(const struct acl_user *u, struct buf *out)
{
    const struct acl_user_rules *r = u->rules;
    const char *flags[3];
    int n = flag_names(r, flags);
    for (int i = 0; i < n; i++)
        buf_printf(out, "%s ", flags[i]);
    for (size_t i = 0; i < r->nhashes; i++)
        buf_printf(out, "#%s ", r->hashes[i]);
    acl_describe_selector(&r->selectors[0], out);
    for (size_t i = 1; i < r->nselectors; i++) {
        buf_append_cstr(out, " (");
        acl_describe_selector(&r->selectors[i], out);
        buf_append_u8(out, ')');
    }
}

/* No rule has a blank in it, so blanks part the words. */
void acl_describe_line(const struct acl_user *u, struct buf *out)
{
    struct buf text;
    buf_init(&text);
    words_append(out, acl_user_name(u));
    acl_describe_user(u, &text);
    for (size_t at = 0; at < text.len;) {
        const char *blank = memchr(text.data + at, ' ', text.len - at);
        size_t len = blank == NULL ? text.len - at : (size_t)(blank - text.data) - at;
        buf_append_u8(out, ' ');
        words_append(out, bytes_of(text.data + at, len));
        at += len + 1;
    }
    buf_release(&text);
}

bool acl_same_user(const struct acl_user *a, const struct acl_user *b)
{
    struct buf x, y;
    buf_init(&x);
    buf_init(&y);
    acl_describe_user(a, &x);
    acl_describe_user(b, &y);
    bool same = bytes_eq(buf_bytes(&x), buf_bytes(&y));
    buf_release(&x);
    buf_release(&y);
    return same;
}

static void reply_text(struct reply *r, const char *field, const struct acl_selector *s,
                       void (*describe)(const struct acl_selector *s, struct buf *out))
{
    struct buf text;
    buf_init(&text);
    describe(s, &text);
    reply_bulk_cstr(r, field);
    reply_bulk(r, buf_bytes(&text));
    buf_release(&text);
}

static void reply_selector(struct reply *r, const struct acl_selector *s)
{
    reply_text(r, "commands", s, acl_describe_commands);
    reply_text(r, "keys", s, acl_describe_keys);
    reply_text(r, "channels", s, acl_describe_channels);
}

void acl_reply_user(struct reply *r, const struct acl_user *u)
{
    const struct acl_user_rules *rules = u->rules;
    const char *flags[3];
    int n = flag_names(rules, flags);
    reply_map(r, 6);
    reply_bulk_cstr(r, "flags");
    reply_set(r, (size_t)n);
    for (int i = 0; i < n; i++)
        reply_bulk_cstr(r, flags[i]);
    reply_bulk_cstr(r, "passwords");
    reply_array(r, rules->nhashes);
    for (size_t i = 0; i < rules->nhashes; i++)
        reply_bulk_cstr(r, rules->hashes[i]);
    reply_selector(r, &rules->selectors[0]);
    reply_bulk_cstr(r, "selectors");
    reply_array(r, rules->nselectors - 1);
    for (size_t i = 1; i < rules->nselectors; i++) {
        reply_map(r, 3);
        reply_selector(r, &rules->selectors[i]);
    }
}
