/* describe: a selector as rules that make it. Redis 7.0 does not remember the rules that were
 * given: it looks for categories that fit what is allowed best, then names the commands that
 * differ. The same is done here, over the same commands, so that the same rules come out. Redis
 * names single commands in the order of a hash table; here it is by name. */
#include <limits.h>

#include "acl/selector.h"

/* How many commands of a category are allowed, and how many not. */
static void count_category(const struct acl_selector *s, size_t category, int *on, int *off)
{
    const uint64_t *in = acl_names_in_category(s->names, category);
    *on = 0;
    *off = 0;
    for (size_t i = 0; i < ACL_WORDS; i++) {
        *on += __builtin_popcountll(in[i] & s->allowed[i]);
        *off += __builtin_popcountll(in[i] & ~s->allowed[i]);
    }
}

/* The category that has more in common with what is left than not, and of these the one that
 * differs least, then the largest; CATEGORY_COUNT if there is none. */
static size_t best_category(const struct acl_selector *left, bool additive, uint32_t applied)
{
    size_t best = CATEGORY_COUNT;
    int least = INT_MAX;
    int most = 0;
    for (size_t i = 0; i < CATEGORY_COUNT; i++) {
        int on, off;
        if (((applied >> i) & 1) != 0)
            continue;
        count_category(left, i, &on, &off);
        int differ = additive ? off : on;
        int same = additive ? on : off;
        if (same > differ && (differ < least || (differ == least && same > most))) {
            best = i;
            least = differ;
            most = same;
        }
    }
    return best;
}

/* `made` follows what is written; `left` is what is not yet told. */
static void describe_categories(const struct acl_selector *s, struct acl_selector *made,
                                struct buf *out)
{
    bool additive = !s->future;
    struct acl_selector left;
    uint32_t applied = 0;
    acl_selector_copy(&left, s);
    for (;;) {
        size_t best = best_category(&left, additive, applied);
        if (best == CATEGORY_COUNT)
            break;
        uint32_t category = UINT32_C(1) << best;
        acl_selector_allow_category(made, category, additive);
        acl_selector_allow_category(&left, category, !additive);
        applied |= category;
        buf_printf(out, " %c%s", additive ? '+' : '-', category_name(best));
    }
    acl_selector_release(&left);
}

static void describe_first_args(const struct acl_selector *s, int command, struct buf *out)
{
    const struct acl_name *a = acl_names_at(s->names, command);
    for (size_t i = 0; i < s->nfirst_args; i++) {
        if (s->first_args[i].command != command)
            continue;
        buf_append_cstr(out, " +");
        buf_append_bytes(out, a->name);
        buf_append_u8(out, '|');
        buf_append(out, s->first_args[i].text, s->first_args[i].len);
    }
}

static void describe_command(const struct acl_selector *s, int command, struct acl_selector *made,
                             struct buf *out)
{
    bool allowed = acl_selector_has(s, command);
    if (allowed != acl_selector_has(made, command)) {
        buf_append_cstr(out, allowed ? " +" : " -");
        buf_append_bytes(out, acl_names_at(s->names, command)->name);
        acl_selector_allow(made, command, allowed);
    }
    int child = acl_names_at(s->names, command)->first_child;
    for (; child != ACL_NO_NAME; child = acl_names_at(s->names, child)->next)
        describe_command(s, child, made, out);
    if (!allowed)
        describe_first_args(s, command, out);
}

void acl_describe_commands(const struct acl_selector *s, struct buf *out)
{
    struct acl_selector made;
    acl_selector_init(&made, s->names, false);
    acl_selector_allow_all(&made, s->future);
    buf_append_cstr(out, s->future ? "+@all" : "-@all");
    describe_categories(s, &made, out);
    for (int i = acl_names_first(s->names); i != ACL_NO_NAME; i = acl_names_at(s->names, i)->next)
        describe_command(s, i, &made, out);
    acl_selector_release(&made);
}

void acl_describe_keys(const struct acl_selector *s, struct buf *out)
{
    static const char *const prefixes[] = {"", "%R~", "%W~", "~"};
    if (s->all_keys)
        buf_append_cstr(out, "~*");
    for (size_t i = 0; i < s->keys.n; i++) {
        const struct acl_pattern *p = &s->keys.at[i];
        buf_append_cstr(out, i > 0 ? " " : "");
        /* "~*" would be all keys, behind which no other pattern may follow */
        bool star = p->len == 1 && p->text[0] == '*' && p->may == (ACL_READ | ACL_WRITE);
        buf_append_cstr(out, star ? "%RW~" : prefixes[p->may]);
        buf_append(out, p->text, p->len);
    }
}

void acl_describe_channels(const struct acl_selector *s, struct buf *out)
{
    if (s->all_channels)
        buf_append_cstr(out, "&*");
    for (size_t i = 0; i < s->channels.n; i++) {
        const struct acl_pattern *p = &s->channels.at[i];
        buf_append_cstr(out, i > 0 ? " &" : "&");
        buf_append(out, p->text, p->len);
    }
}

void acl_describe_selector(const struct acl_selector *s, struct buf *out)
{
    size_t at = out->len;
    acl_describe_keys(s, out);
    if (out->len > at)
        buf_append_u8(out, ' ');
    if (!s->all_channels)
        buf_append_cstr(out, "resetchannels ");
    at = out->len;
    acl_describe_channels(s, out);
    if (out->len > at)
        buf_append_u8(out, ' ');
    acl_describe_commands(s, out);
}
