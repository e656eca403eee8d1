/* option: see option.h. Strings in a struct config belong to it and are never NULL once
 * config_init has run. */
#include "config/option.h"

#include <inttypes.h>
#include <string.h>

#include "base/keyspace_events.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/check.h"
#include "config/policy.h"
#include "config/quantity.h"

enum { MUTABLE = OPTION_MUTABLE, SECRET = OPTION_SECRET, LIST = OPTION_LIST,
       RELOADABLE = OPTION_RELOADABLE, MULTI = OPTION_MULTI, PREPARED = OPTION_PREPARED,
       LINES = OPTION_LINES };

const struct option options[OPTION_COUNT] = {
#define SECTION(title, first)
#define OPTION(name, kind, field, fallback, min, max, flags, words, prose) \
    {name, OPTION_##kind, offsetof(struct config, field), fallback, min, max, flags, words, prose},
#include "config/options.def"
};

const struct option_section option_sections[] = {
#define SECTION(title, first) {OPT_##first, title},
#define OPTION(name, kind, field, fallback, min, max, flags, words, prose)
#include "config/options.def"
};
const size_t option_section_count = sizeof(option_sections) / sizeof(option_sections[0]);

const struct option_fixed option_fixed[] = {
#define FIXED(name, value) {name, value},
#include "config/fixed.def"
};
const size_t option_fixed_count = sizeof(option_fixed) / sizeof(option_fixed[0]);

/* A kind and the type of its field must agree. */
#define FIELD_INT int64_t
#define FIELD_MEMORY int64_t
#define FIELD_OCTAL int64_t
#define FIELD_SECONDS int64_t
#define FIELD_MILLIS int64_t
#define FIELD_OUTPUT_LIMIT struct output_limits
#define FIELD_EVENTS int64_t
#define FIELD_BOOL bool
#define FIELD_ENUM int
#define FIELD_STRING char *
#define SECTION(title, first)
#define OPTION(name, kind, field, fallback, min, max, flags, words, prose)               \
    _Static_assert(_Generic(((struct config *)0)->field, FIELD_##kind : 1, default : 0), \
                   "the type of " #field " does not fit its kind");
#include "config/options.def"

/* An enum's words stand in the order of these. */
_Static_assert(LOG_DEBUG == 0 && LOG_VERBOSE == 1 && LOG_NOTICE == 2 && LOG_WARNING == 3,
               "loglevel");
_Static_assert(CONSISTENCY_STRICT == 0 && CONSISTENCY_CACHED == 1, "consistency");
_Static_assert(POOLER_NONE == 0 && POOLER_TRANSACTION == 1, "pg-pooler");
_Static_assert(ACL_PUBSUB_ALL == 0 && ACL_PUBSUB_RESET == 1, "acl-pubsub-default");
_Static_assert(TLS_AUTH_NO == 0 && TLS_AUTH_YES == 1 && TLS_AUTH_OPTIONAL == 2, "tls-auth-clients");
_Static_assert(DURABILITY_COMMIT == 0 && DURABILITY_RELAXED == 1, "durability");

static const struct {
    enum option_id id;
    bool (*check)(struct bytes text, struct buf *reason);
} checks[] = {
    {OPT_bind, check_bind},
    {OPT_http_bind, check_bind},
    {OPT_unixsocket, check_unixsocket},
    {OPT_instance_name, check_instance_name},
    {OPT_pg_schema, check_pg_schema},
    {OPT_database_url, check_database_url},
    {OPT_fallback, check_fallback},
    {OPT_away_miss, check_away_miss},
    {OPT_payload, check_payload},
    {OPT_tls_protocols, check_tls_protocols},
};

const char *option_alias(const struct option *o)
{
    return o == &options[OPT_busy_reply_threshold_ms] ? "lua-time-limit" : NULL;
}

const struct option *option_find(struct bytes name)
{
    if (bytes_ieq(name, "lua-time-limit"))
        name = BYTES_LIT("busy-reply-threshold");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (bytes_ieq(name, options[i].name))
            return &options[i];
    }
    return NULL;
}

const struct option_fixed *option_fixed_find(struct bytes name)
{
    for (size_t i = 0; i < option_fixed_count; i++) {
        if (bytes_ieq(name, option_fixed[i].name))
            return &option_fixed[i];
    }
    return NULL;
}

static void *field_of(const struct option *o, struct config *c)
{
    return (char *)c + o->offset;
}

static const void *const_field_of(const struct option *o, const struct config *c)
{
    return (const char *)c + o->offset;
}

char **option_string(const struct option *o, struct config *c)
{
    CHECK(o->kind == OPTION_STRING);
    return field_of(o, c);
}

/* The first blank-separated word at *cursor, which moves behind it; false at the end. */
static bool next_word(const char **cursor, struct bytes *word)
{
    const char *p = *cursor + strspn(*cursor, " ");
    size_t len = strcspn(p, " ");
    if (len == 0)
        return false;
    *word = bytes_of(p, len);
    *cursor = p + len;
    return true;
}

static bool parse_bool(struct bytes text, bool *out, struct buf *reason)
{
    bool yes = bytes_ieq(text, "yes");
    if (!yes && !bytes_ieq(text, "no")) {
        buf_append_cstr(reason, "argument must be 'yes' or 'no'");
        return false;
    }
    *out = yes;
    return true;
}

static bool word_is(struct bytes word, struct bytes text)
{
    char name[32];
    CHECK(word.len < sizeof(name));
    memcpy(name, word.data, word.len);
    name[word.len] = '\0';
    return bytes_ieq(text, name);
}

static bool parse_enum(const struct option *o, struct bytes text, int *out, struct buf *reason)
{
    const char *cursor = o->words;
    struct bytes word;
    for (int i = 0; next_word(&cursor, &word); i++) {
        if (word_is(word, text)) {
            *out = i;
            return true;
        }
    }
    buf_append_cstr(reason, "argument(s) must be one of the following: ");
    cursor = o->words;
    for (int i = 0; next_word(&cursor, &word); i++) {
        buf_append_cstr(reason, i == 0 ? "" : ", ");
        buf_append_bytes(reason, word);
    }
    return false;
}

/* Letters, or none at all. */
static bool parse_events(struct bytes text, int64_t *out, struct buf *reason)
{
    unsigned events;
    if (!keyspace_events_parse(text, &events)) {
        buf_append_cstr(reason, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        return false;
    }
    *out = events;
    return true;
}

static bool parse_number(const struct option *o, struct bytes text, int64_t *out,
                         struct buf *reason)
{
    int64_t v;
    if (!quantity_parse(o->kind, text, &v)) {
        buf_append_cstr(reason, quantity_complaint(o->kind));
        return false;
    }
    if (v < o->min || v > o->max) {
        if (o->kind == OPTION_OCTAL)
            buf_printf(reason, "argument must be between %" PRIo64 " and %" PRIo64 " inclusive",
                       (uint64_t)o->min, (uint64_t)o->max);
        else
            buf_printf(reason, "argument must be between %" PRId64 " and %" PRId64 " inclusive",
                       o->min, o->max);
        return false;
    }
    *out = v;
    return true;
}

/* A list is stored with single blanks between its words. */
static char *copy_text(const struct option *o, struct bytes text)
{
    if (!(o->flags & OPTION_LIST) || (o->flags & (OPTION_MULTI | OPTION_LINES)))
        return mem_strndup(text.data ? text.data : "", text.len);
    char *out = mem_alloc(text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool blank = text.data[i] == ' ' || text.data[i] == '\t';
        if (!blank)
            out[n++] = text.data[i];
        else if (n > 0 && out[n - 1] != ' ')
            out[n++] = ' ';
    }
    if (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
    return out;
}

static bool parse_string(const struct option *o, struct bytes text, char **out, struct buf *reason)
{
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL) {
        buf_append_cstr(reason, "argument must not contain a NUL byte");
        return false;
    }
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (&options[checks[i].id] == o && text.len > 0 && !checks[i].check(text, reason))
            return false;
    }
    if (o == &options[OPT_pg_schema] && text.len == 0) {
        buf_append_cstr(reason, "argument must not be empty");
        return false;
    }
    mem_free(*out);
    *out = copy_text(o, text);
    return true;
}

bool option_parse(const struct option *o, struct bytes text, struct config *c, struct buf *reason)
{
    void *field = field_of(o, c);
    switch (o->kind) {
    case OPTION_STRING:
        return parse_string(o, text, field, reason);
    case OPTION_BOOL:
        return parse_bool(text, field, reason);
    case OPTION_ENUM:
        return parse_enum(o, text, field, reason);
    case OPTION_OUTPUT_LIMIT:
        return output_limit_parse(text, field, reason);
    case OPTION_EVENTS:
        return parse_events(text, field, reason);
    case OPTION_INT:
    case OPTION_MEMORY:
    case OPTION_OCTAL:
    case OPTION_SECONDS:
    case OPTION_MILLIS:
        break;
    }
    return parse_number(o, text, field, reason);
}

static void format_enum(const struct option *o, int v, struct buf *out)
{
    const char *cursor = o->words;
    struct bytes word = {0};
    for (int i = 0; i <= v; i++)
        CHECK(next_word(&cursor, &word));
    buf_append_bytes(out, word);
}

void option_format(const struct option *o, const struct config *c, struct buf *out)
{
    const void *field = const_field_of(o, c);
    switch (o->kind) {
    case OPTION_STRING: {
        const char *s = *(char *const *)field;
        buf_append_cstr(out, (o->flags & OPTION_SECRET) && s[0] != '\0' ? "(redacted)" : s);
        return;
    }
    case OPTION_BOOL:
        buf_append_cstr(out, *(const bool *)field ? "yes" : "no");
        return;
    case OPTION_ENUM:
        format_enum(o, *(const int *)field, out);
        return;
    case OPTION_OCTAL:
        buf_printf(out, "%" PRIo64, *(const uint64_t *)field);
        return;
    case OPTION_OUTPUT_LIMIT:
        output_limit_format(field, out);
        return;
    case OPTION_EVENTS:
        keyspace_events_format((unsigned)*(const int64_t *)field, out);
        return;
    case OPTION_INT:
    case OPTION_MEMORY:
    case OPTION_SECONDS:
    case OPTION_MILLIS:
        buf_printf(out, "%" PRId64, *(const int64_t *)field);
        return;
    }
}

bool option_equal(const struct option *o, const struct config *a, const struct config *b)
{
    const void *fa = const_field_of(o, a);
    const void *fb = const_field_of(o, b);
    switch (o->kind) {
    case OPTION_STRING:
        return strcmp(*(char *const *)fa, *(char *const *)fb) == 0;
    case OPTION_BOOL:
        return *(const bool *)fa == *(const bool *)fb;
    case OPTION_ENUM:
        return *(const int *)fa == *(const int *)fb;
    case OPTION_OUTPUT_LIMIT:
        return memcmp(fa, fb, sizeof(struct output_limits)) == 0;
    default:
        return *(const int64_t *)fa == *(const int64_t *)fb;
    }
}

void option_copy(const struct option *o, struct config *to, const struct config *from)
{
    void *ft = field_of(o, to);
    const void *ff = const_field_of(o, from);
    switch (o->kind) {
    case OPTION_STRING: {
        char *copy = mem_strdup(*(char *const *)ff);
        mem_free(*(char **)ft);
        *(char **)ft = copy;
        break;
    }
    case OPTION_BOOL:
        *(bool *)ft = *(const bool *)ff;
        break;
    case OPTION_ENUM:
        *(int *)ft = *(const int *)ff;
        break;
    case OPTION_OUTPUT_LIMIT:
        *(struct output_limits *)ft = *(const struct output_limits *)ff;
        break;
    default:
        *(int64_t *)ft = *(const int64_t *)ff;
        break;
    }
}

void config_init(struct config *c)
{
    *c = (struct config){0};
    struct buf reason;
    buf_init(&reason);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        bool parsed = option_parse(&options[i], bytes_cstr(options[i].fallback), c, &reason);
        CHECK(parsed);
    }
    buf_release(&reason);
}

void config_release(struct config *c)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (options[i].kind == OPTION_STRING)
            mem_free(*option_string(&options[i], c));
    }
    *c = (struct config){0};
}
