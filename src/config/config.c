/* config: the store. `live` is what the server runs with; `flags` is what the flags said at the start,
 * kept for reloads, which read file, environment and the secrets' files again. Every change at run time is made on a copy and moved over
 * as a whole, so that a failure leaves no trace. */
#include "config/config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/glob.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/check.h"
#include "config/store.h"
#include "config/words.h"

static void set_instance_name(struct config *c, int64_t passing_port)
{
    char host[65];
    if (gethostname(host, sizeof(host)) != 0 || host[0] == '\0' || host[0] == '.')
        snprintf(host, sizeof(host), "localhost");
    host[sizeof(host) - 1] = '\0';
    for (char *p = host; *p != '\0'; p++) {
        if (!instance_name_char(*p))
            *p = '-';
    }
    struct buf name;
    buf_init(&name);
    int64_t port = c->port != 0 ? c->port : c->tls_port;
    if (port == passing_port)
        buf_printf(&name, "%s:exec", host);
    else
        buf_printf(&name, "%s:%lld", host, (long long)port);
    mem_free(c->instance_name);
    c->instance_name = mem_strdup(buf_cstr(&name));
    buf_release(&name);
}

static void normalise_database_url(struct config *c, struct buf *dropped)
{
    struct buf url;
    buf_init(&url);
    config_normalise_url(c->database_url, &url, dropped);
    mem_free(c->database_url);
    c->database_url = mem_strdup(buf_cstr(&url));
    buf_release(&url);
}

/* Stacks file, environment and flags on the defaults and fills in what follows from other
 * options. `dropped` lists what the database URL lost. */
static bool read_all(const struct config_store *s, struct values *v, struct buf *dropped,
                     struct buf *error)
{
    if (s->path != NULL && !values_read_file(v, s->path, error))
        return false;
    if (!values_read_environment(v, s->env, error))
        return false;
    values_overlay(v, &s->flags);
    if (v->config.instance_name[0] == '\0')
        set_instance_name(&v->config, s->passing_port);
    normalise_database_url(&v->config, dropped);
    return check_together(&v->config, error);
}

static bool read_flags(struct config_store *s, int argc, char **argv, struct buf *error)
{
    const char *path;
    if (!values_read_flags(&s->flags, argc, argv, &path, error))
        return false;
    s->path = path != NULL ? mem_strdup(path) : NULL;
    return true;
}

struct config_store *config_load(int argc, char **argv, char **env, struct buf *error)
{
    return config_load_passing(argc, argv, env, -1, error);
}

struct config_store *config_load_passing(int argc, char **argv, char **env, int64_t passing_port,
                                         struct buf *error)
{
    struct config_store *s = mem_zalloc(sizeof(*s));
    struct buf dropped;
    buf_init(&dropped);
    values_init(&s->live);
    values_init(&s->flags);
    s->env = env;
    s->passing_port = passing_port;
    bool ok = read_flags(s, argc, argv, error) && read_all(s, &s->live, &dropped, error);
    if (ok && dropped.len > 0) {
        char quoted[LOG_QUOTE_SIZE];
        log_event(LOG_WARNING, "database-url-parameters-dropped", "names=%s",
                  log_quote(buf_cstr(&dropped), quoted));
    }
    buf_release(&dropped);
    if (!ok) {
        config_free(s);
        return NULL;
    }
    return s;
}

void config_free(struct config_store *s)
{
    if (s == NULL)
        return;
    values_release(&s->live);
    values_release(&s->flags);
    mem_free(s->path);
    mem_free(s);
}

const struct config *config_values(const struct config_store *s)
{
    return &s->live.config;
}

const char *config_path(const struct config_store *s)
{
    return s->path != NULL ? s->path : "";
}

void config_on_change(struct config_store *s, void (*f)(void *arg), void *arg)
{
    s->on_change = f;
    s->on_change_arg = arg;
}

static void changed(struct config_store *s)
{
    if (s->on_change != NULL)
        s->on_change(s->on_change_arg);
}

/* What would be the live values: options that cannot change while running stay, and are named in
 * `kept`. */
static void keep_immutable(const struct config_store *s, struct values *fresh, struct buf *kept)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options[i];
        if (option_equal(o, &fresh->config, &s->live.config) ||
            (o->flags & (OPTION_MUTABLE | OPTION_RELOADABLE)))
            continue;
        option_copy(o, &fresh->config, &s->live.config);
        fresh->source[i] = s->live.source[i];
        buf_printf(kept, "%s%s", kept->len > 0 ? ", " : "", o->name);
    }
}

void config_on_prepare(struct config_store *s,
                       bool (*f)(void *arg, const char *name, const struct config *fresh,
                                 struct buf *reason),
                       void *arg)
{
    s->on_prepare = f;
    s->on_prepare_arg = arg;
}

static bool prepare(struct config_store *s, const char *name, const struct config *fresh,
                    struct buf *reason)
{
    return s->on_prepare == NULL || s->on_prepare(s->on_prepare_arg, name, fresh, reason);
}

void config_on_reload(struct config_store *s,
                      bool (*f)(void *arg, const struct config *fresh, struct buf *reason),
                      void *arg)
{
    s->on_reload = f;
    s->on_reload_arg = arg;
}

/* Both must agree; whoever agreed first is told if the other one did not. */
static bool prepare_reload(struct config_store *s, const struct config *fresh, struct buf *reason)
{
    if (s->on_reload != NULL && !s->on_reload(s->on_reload_arg, fresh, reason))
        return false;
    bool ok = prepare(s, NULL, fresh, reason);
    if (!ok && s->on_reload != NULL)
        (void)s->on_reload(s->on_reload_arg, NULL, reason);
    return ok;
}

bool config_reload(struct config_store *s, struct buf *error)
{
    struct values fresh;
    struct buf note; /* names of database-url's parameters, then of options: of no interest on failure */
    buf_init(&note);
    values_init(&fresh);
    bool ok = read_all(s, &fresh, &note, error);
    if (ok) {
        note.len = 0;
        keep_immutable(s, &fresh, &note);
        ok = prepare_reload(s, &fresh.config, error);
    }
    for (size_t i = 0; ok && i < OPTION_COUNT; i++) {
        option_copy(&options[i], &s->live.config, &fresh.config);
        s->live.source[i] = fresh.source[i];
    }
    if (ok)
        buf_append_bytes(error, buf_bytes(&note));
    values_release(&fresh);
    buf_release(&note);
    if (ok)
        changed(s);
    return ok;
}

/* Up to a NUL, blanks for control characters: what Redis makes of a name in an error reply. */
static void append_printable(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.len && text.data[i] != '\0'; i++)
        buf_append_u8(out, (unsigned char)text.data[i] < ' ' ? ' ' : (uint8_t)text.data[i]);
}

static bool refuse(struct buf *error, struct bytes name, const char *why)
{
    buf_append_cstr(error, "ERR CONFIG SET failed (possibly related to argument '");
    append_printable(error, name);
    buf_printf(error, "') - %s", why);
    return false;
}

/* Redis looks at all names before it looks at a value. */
static bool check_name(int i, const struct bytes *names, struct bytes value, struct buf *error)
{
    const struct option *o = option_find(names[i]);
    const struct option_fixed *f = option_fixed_find(names[i]);
    if (o == NULL && f == NULL) {
        buf_append_cstr(error, "ERR Unknown option or number of arguments for CONFIG SET - '");
        append_printable(error, names[i]);
        buf_append_u8(error, '\'');
        return false;
    }
    if (o != NULL ? !(o->flags & OPTION_MUTABLE) : !bytes_ieq(value, f->value))
        return refuse(error, names[i], "can't set immutable config");
    for (int j = 0; j < i; j++) {
        if (o != NULL ? option_find(names[j]) == o : option_fixed_find(names[j]) == f)
            return refuse(error, names[i], "duplicate parameter");
    }
    return true;
}

static bool set_one(struct values *v, struct bytes name, struct bytes value, struct buf *error)
{
    const struct option *o = option_find(name);
    if (o == NULL)
        return true; /* fixed, and at its value */
    struct buf reason;
    buf_init(&reason);
    bool ok = option_parse(o, value, &v->config, &reason);
    if (ok)
        v->source[o - options] = CONFIG_SET;
    else
        refuse(error, bytes_cstr(o->name), buf_cstr(&reason));
    buf_release(&reason);
    return ok;
}

/* The options that were named and are marked PREPARED are ready for what they would be. */
static bool prepare_set(struct config_store *s, int n, const struct bytes *names,
                        const struct config *fresh, struct buf *error)
{
    struct buf reason;
    buf_init(&reason);
    bool ok = true;
    for (int i = 0; ok && i < n; i++) {
        const struct option *o = option_find(names[i]);
        if (o == NULL || !(o->flags & OPTION_PREPARED))
            continue;
        ok = check_together(fresh, &reason) && prepare(s, o->name, fresh, &reason);
        if (!ok)
            refuse(error, names[i], buf_cstr(&reason));
    }
    buf_release(&reason);
    return ok;
}

bool config_set(struct config_store *s, int n, const struct bytes *names,
                const struct bytes *values, struct buf *error)
{
    for (int i = 0; i < n; i++) {
        if (!check_name(i, names, values[i], error))
            return false;
    }
    struct values fresh;
    values_init(&fresh);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        option_copy(&options[i], &fresh.config, &s->live.config);
    bool ok = true;
    for (int i = 0; ok && i < n; i++)
        ok = set_one(&fresh, names[i], values[i], error);
    ok = ok && prepare_set(s, n, names, &fresh.config, error);
    if (ok)
        values_overlay(&s->live, &fresh);
    values_release(&fresh);
    if (ok)
        changed(s);
    return ok;
}

/* Under which name CONFIG GET shows an option: as it was asked for, if without wildcards; NULL if
 * no pattern matches. */
static const char *shown_name(const char *name, int n, const struct bytes *patterns, char typed[64])
{
    for (int i = 0; i < n; i++) {
        if (bytes_ieq(patterns[i], name) && patterns[i].len < 64) {
            memcpy(typed, patterns[i].data, patterns[i].len);
            typed[patterns[i].len] = '\0';
            return typed;
        }
        if (glob_match(patterns[i], bytes_cstr(name), true))
            return name;
    }
    return NULL;
}

void config_each_matching(const struct config_store *s, int n, const struct bytes *patterns,
                          void (*f)(void *arg, const char *name, const char *value), void *arg)
{
    char typed[64];
    struct buf value;
    buf_init(&value);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *name = shown_name(options[i].name, n, patterns, typed);
        if (name == NULL)
            continue;
        value.len = 0;
        option_format(&options[i], &s->live.config, &value);
        f(arg, name, buf_cstr(&value));
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *alias = option_alias(&options[i]);
        const char *name = alias != NULL ? shown_name(alias, n, patterns, typed) : NULL;
        if (name == NULL)
            continue;
        value.len = 0;
        option_format(&options[i], &s->live.config, &value);
        f(arg, name, buf_cstr(&value));
    }
    for (size_t i = 0; i < option_fixed_count; i++) {
        const char *name = shown_name(option_fixed[i].name, n, patterns, typed);
        if (name != NULL)
            f(arg, name, option_fixed[i].value);
    }
    buf_release(&value);
}

static const char *const source_names[] = {"default", "file", "environment", "flag", "config-set"};

void config_report(const struct config_store *s, struct buf *out)
{
    if (s->path != NULL)
        buf_printf(out, "# file: %s\n", s->path);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        struct buf value;
        buf_init(&value);
        option_format(&options[i], &s->live.config, &value);
        buf_printf(out, "%s %s  # %s\n", options[i].name, value.len > 0 ? buf_cstr(&value) : "\"\"",
                   source_names[s->live.source[i]]);
        buf_release(&value);
    }
}

bool config_each_rename(const struct config *c,
                        bool (*f)(void *arg, struct bytes from, struct bytes to), void *arg)
{
    struct bytes text = bytes_cstr(c->rename_command);
    struct buf words[2];
    size_t at = 0;
    bool found = true;
    bool go_on = true;
    buf_init(&words[0]);
    buf_init(&words[1]);
    while (go_on && found) {
        for (int i = 0; i < 2; i++) {
            words[i].len = 0;
            bool read = words_next(text, &at, &words[i], &found);
            CHECK(read); /* it is as values.c has written it */
        }
        go_on = !found || f(arg, buf_bytes(&words[0]), buf_bytes(&words[1]));
    }
    buf_release(&words[0]);
    buf_release(&words[1]);
    return go_on;
}

static bool each_word(struct bytes line, struct buf *text, size_t *ends, int max, int *n)
{
    size_t at = 0;
    bool found = true;
    *n = 0;
    text->len = 0;
    while (found) {
        bool read = words_next(line, &at, text, &found);
        CHECK(read); /* it is as values.c has written it */
        if (found && *n == max)
            return false;
        if (found)
            ends[(*n)++] = text->len;
    }
    return true;
}

enum { USER_WORDS = 1024 };

bool config_each_user(const struct config *c,
                      bool (*f)(void *arg, int n, const struct bytes *words), void *arg)
{
    struct bytes *words = mem_alloc(USER_WORDS * sizeof(*words));
    size_t *ends = mem_alloc(USER_WORDS * sizeof(*ends));
    struct buf text;
    bool go_on = true;
    buf_init(&text);
    for (const char *line = c->user; go_on && *line != '\0';) {
        size_t len = strcspn(line, "\n");
        int n;
        go_on = each_word(bytes_of(line, len), &text, ends, USER_WORDS, &n);
        for (int i = 0; i < n; i++) {
            size_t start = i == 0 ? 0 : ends[i - 1];
            words[i] = bytes_of(text.data + start, ends[i] - start);
        }
        go_on = go_on && f(arg, n, words);
        line += len + (line[len] == '\n');
    }
    buf_release(&text);
    mem_free(words);
    mem_free(ends);
    return go_on;
}

void config_set_users(struct config_store *s, const char *lines)
{
    mem_free(s->live.config.user);
    s->live.config.user = mem_strdup(lines);
    s->live.source[OPT_user] = CONFIG_SET;
}

void config_lower_maxclients(struct config_store *s, int64_t effective)
{
    CHECK(effective <= s->live.config.maxclients);
    s->live.config.maxclients = effective;
}

bool config_is_secret(struct bytes name)
{
    const struct option *o = option_find(name);
    return o != NULL && (o->flags & OPTION_SECRET) != 0;
}

bool config_option_text(const struct config_store *s, const char *name, struct buf *out)
{
    const struct option *o = option_find(bytes_cstr(name));
    if (o != NULL)
        option_format(o, &s->live.config, out);
    return o != NULL;
}

void config_log(const struct config_store *s)
{
    struct config defaults;
    struct buf value;
    config_init(&defaults);
    buf_init(&value);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        enum config_source source = s->live.source[i];
        if (source == CONFIG_DEFAULT || option_equal(&options[i], &s->live.config, &defaults))
            continue;
        char quoted[LOG_QUOTE_SIZE];
        value.len = 0;
        option_format(&options[i], &s->live.config, &value);
        log_event(LOG_NOTICE, "option", "name=%s value=%s source=%s", options[i].name,
                  log_quote(buf_cstr(&value), quoted), source_names[source]);
    }
    buf_release(&value);
    config_release(&defaults);
}

size_t config_maxmemory(const struct config *c)
{
    return c->maxmemory > 0 ? (size_t)c->maxmemory : mem_available_total() / 4;
}
