/* rules: see rules.h. Looked at for each key that is written, so a pattern that is a prefix with a
 * star costs a memcmp. */
#include "payload/rules.h"

#include <string.h>

#include "base/glob.h"
#include "base/mem.h"

struct rule {
    struct bytes pattern; /* within the texts */
    size_t prefix;        /* its first part that stands for itself */
    bool only_prefix;     /* ... and a star is all that follows */
    enum payload_format format;
};

struct payload_rules {
    char *decode;
    char *formats;
    struct rule *rules; /* pairs first */
    size_t n;
};

const char payload_session_patterns[] =
    "session:* sess:* PHPREDIS_SESSION:* :*:django.contrib.sessions.* beaker_cache:* "
    "rack:session:* starsessions.* AIOHTTP_SESSION_* session_* sf_s* laravel* spring:session:* "
    "global_state:*";

static bool next_word(const char **at, struct bytes *word)
{
    const char *p = *at + strspn(*at, " ");
    *word = bytes_of(p, strcspn(p, " "));
    *at = p + word->len;
    return word->len > 0;
}

static void add(struct payload_rules *r, struct bytes pattern, enum payload_format format)
{
    struct rule *rule = &r->rules[r->n++];
    rule->pattern = pattern;
    rule->prefix = glob_literal_prefix(pattern);
    rule->only_prefix = rule->prefix + 1 == pattern.len && pattern.data[rule->prefix] == '*';
    rule->format = format;
}

static void add_formats(struct payload_rules *r)
{
    struct bytes pattern;
    struct bytes name;
    enum payload_format format;
    const char *at = r->formats;
    while (next_word(&at, &pattern) && next_word(&at, &name)) {
        if (payload_format_named(name, &format))
            add(r, pattern, format);
    }
}

static void add_patterns(struct payload_rules *r)
{
    struct bytes pattern;
    const char *at = r->decode;
    while (next_word(&at, &pattern)) {
        const char *inner = payload_session_patterns;
        if (!bytes_ieq(pattern, "sessions")) {
            add(r, pattern, PAYLOAD_AUTO);
            continue;
        }
        while (next_word(&inner, &pattern))
            add(r, pattern, PAYLOAD_AUTO);
    }
}

/* No more rules than that: a pattern takes two characters at least, its blank included; the word
 * "sessions" may stand there several times. */
static size_t most_rules(const char *decode, const char *formats)
{
    size_t known = sizeof(payload_session_patterns);
    return strlen(decode) + strlen(formats) + 2 + (strlen(decode) / 8 + 1) * known / 2;
}

struct payload_rules *payload_rules_new(const char *decode, const char *formats)
{
    struct payload_rules *r = mem_zalloc(sizeof(*r));
    r->decode = mem_strdup(decode);
    r->formats = mem_strdup(formats);
    r->rules = mem_alloc(most_rules(decode, formats) * sizeof(*r->rules));
    if (!bytes_ieq(bytes_cstr(decode), "no")) {
        add_formats(r);
        add_patterns(r);
    }
    return r;
}

void payload_rules_free(struct payload_rules *r)
{
    if (r == NULL)
        return;
    mem_free(r->decode);
    mem_free(r->formats);
    mem_free(r->rules);
    mem_free(r);
}

bool payload_rules_are(const struct payload_rules *r, const char *decode, const char *formats)
{
    return r != NULL && strcmp(r->decode, decode) == 0 && strcmp(r->formats, formats) == 0;
}

static bool matches(const struct rule *rule, struct bytes key)
{
    if (!bytes_eq(bytes_of(key.data, key.len < rule->prefix ? key.len : rule->prefix),
                  bytes_of(rule->pattern.data, rule->prefix)))
        return false;
    return rule->only_prefix || glob_match(rule->pattern, key, false);
}

bool payload_rules_match(const struct payload_rules *r, struct bytes key, enum payload_format *out)
{
    for (size_t i = 0; i < r->n; i++) {
        if (matches(&r->rules[i], key)) {
            *out = r->rules[i].format;
            return *out != PAYLOAD_NONE;
        }
    }
    return false;
}
