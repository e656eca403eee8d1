/* environment: RESPGRES_CONF_<OPTION>, and DATABASE_URL, which platforms set. Nothing else with
 * RESPGRES_ in front is read: a Kubernetes service named respgres makes RESPGRES_PORT=tcp://... */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "config/values.h"

#define PREFIX "RESPGRES_CONF_"
#define FILE_SUFFIX "_FILE"

enum { SECRET_MAX = 64 * 1024 };

/* The value of variable `name`, NULL if it is not set. */
static const char *lookup(char **env, const char *name)
{
    size_t n = strlen(name);
    for (; *env != NULL; env++) {
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    }
    return NULL;
}

/* A secret's file without the newline at its end. */
static bool read_secret(const char *path, struct buf *out, struct buf *reason)
{
    const char *why;
    int fd = file_open(path, &why);
    ssize_t n = -1;
    while (fd >= 0 && out->len <= SECRET_MAX) {
        n = read(fd, buf_reserve(out, 4096), 4096);
        if (n <= 0)
            break;
        out->len += (size_t)n;
    }
    if (fd >= 0 && n < 0)
        why = strerror(errno);
    if (fd >= 0)
        close(fd);
    if (n < 0) {
        buf_printf(reason, "cannot read the file: %s", why);
        return false;
    }
    if (out->len > SECRET_MAX) {
        buf_append_cstr(reason, "the file is too long");
        return false;
    }
    if (out->len > 0 && out->data[out->len - 1] == '\n')
        out->len--;
    if (out->len > 0 && out->data[out->len - 1] == '\r')
        out->len--;
    if (out->len == 0) { /* mounted empty by mistake; a server without a password must not come of it */
        buf_append_cstr(reason, "the file is empty");
        return false;
    }
    return true;
}

/* Sets option `name` from a variable's text or, `is_file`, from the file it names. */
static bool set_from(struct values *v, struct bytes name, const char *text, bool is_file,
                     struct buf *reason)
{
    struct buf content;
    buf_init(&content);
    bool ok = true;
    if (is_file)
        ok = read_secret(text, &content, reason);
    else
        buf_append_cstr(&content, text);
    struct bytes value = buf_bytes(&content);
    ok = ok && values_set(v, name, 1, &value, CONFIG_ENV, reason);
    buf_release(&content);
    return ok;
}

/* DATABASE_URL and DATABASE_URL_FILE, of which an empty one counts as not set: compose files and
 * charts pass them on unconditionally. */
static bool read_database_url(struct values *v, char **env, struct buf *error)
{
    if (lookup(env, PREFIX "DATABASE_URL") != NULL ||
        lookup(env, PREFIX "DATABASE_URL" FILE_SUFFIX) != NULL)
        return true; /* ours wins: what DATABASE_URL says may be another program's */
    const char *url = lookup(env, "DATABASE_URL");
    const char *file = lookup(env, "DATABASE_URL" FILE_SUFFIX);
    bool has_url = url != NULL && url[0] != '\0';
    bool has_file = file != NULL && file[0] != '\0';
    if (has_url && has_file) {
        buf_append_cstr(error, "DATABASE_URL and DATABASE_URL_FILE are both set: set one");
        return false;
    }
    if (!has_url && !has_file)
        return true;
    struct buf reason;
    buf_init(&reason);
    bool ok = set_from(v, BYTES_LIT("database-url"), has_url ? url : file, has_file, &reason);
    if (!ok) {
        buf_append_cstr(error, has_url ? "DATABASE_URL: " : "DATABASE_URL_FILE: ");
        buf_append_bytes(error, buf_bytes(&reason));
    }
    buf_release(&reason);
    return ok;
}

/* "HTTP_PORT" to "http-port". Lower case stays what it is not: such a name is unknown. */
static char *option_name(const char *variable, size_t n)
{
    char *name = mem_strndup(variable, n);
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z')
            name[i] = (char)(c + 32);
        else if (c == '_')
            name[i] = '-';
        else if (c < '0' || c > '9')
            name[i] = '?';
    }
    return name;
}

static bool apply_variable(struct values *v, char **env, const char *name, size_t n,
                           const char *text, struct buf *reason)
{
    size_t suffix = strlen(FILE_SUFFIX);
    char *option = option_name(name, n);
    /* TLS_CERT_FILE is an option, not a file that holds one. */
    bool is_file = n > suffix && memcmp(name + n - suffix, FILE_SUFFIX, suffix) == 0 &&
                   option_find(bytes_cstr(option)) == NULL;
    if (is_file) {
        n -= suffix;
        option[n] = '\0';
    }
    const struct option *o = option_find(bytes_cstr(option));
    bool ok = false;
    if (o == NULL && option_fixed_find(bytes_cstr(option)) == NULL) {
        buf_append_cstr(reason, "there is no such option");
    } else if (is_file && (o == NULL || !(o->flags & OPTION_SECRET))) {
        buf_append_cstr(reason, "only secrets can be given as a file");
    } else {
        char *plain = mem_alloc(sizeof(PREFIX) + n);
        memcpy(plain, PREFIX, sizeof(PREFIX) - 1);
        memcpy(plain + sizeof(PREFIX) - 1, name, n);
        plain[sizeof(PREFIX) - 1 + n] = '\0';
        if (is_file && lookup(env, plain) != NULL)
            buf_printf(reason, "%s is set as well: set one", plain);
        else
            ok = set_from(v, bytes_cstr(option), text, is_file, reason);
        mem_free(plain);
    }
    mem_free(option);
    return ok;
}

bool values_read_environment(struct values *v, char **env, struct buf *error)
{
    if (env == NULL)
        return true;
    if (!read_database_url(v, env, error))
        return false;
    for (char **e = env; *e != NULL; e++) {
        const char *equals = strchr(*e, '=');
        if (equals == NULL || strncmp(*e, PREFIX, sizeof(PREFIX) - 1) != 0)
            continue;
        const char *name = *e + sizeof(PREFIX) - 1;
        struct buf reason;
        buf_init(&reason);
        bool ok = apply_variable(v, env, name, (size_t)(equals - name), equals + 1, &reason);
        if (!ok) {
            buf_printf(error, "%.*s: ", (int)(equals - *e), *e);
            buf_append_bytes(error, buf_bytes(&reason));
        }
        buf_release(&reason);
        if (!ok)
            return false;
    }
    return true;
}
