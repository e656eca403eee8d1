/* action: see action.h. */
#include "cli/action.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl/configured.h"
#include "backup/backup.h"
#include "backup/dump.h"
#include "cli/healthcheck.h"
#include "doctor/doctor.h"
#include "store/journal/journal.h"
#include "store/postgres/conninfo.h"
#include "store/postgres/postgres.h"
#include "tls/context.h"

static bool url_good(const struct config *c, struct buf *error)
{
    buf_append_cstr(error, "database-url: ");
    if (!conninfo_check(c->database_url, error))
        return false;
    error->len = 0;
    return true;
}

bool action_has_database(const struct config *c, struct buf *error)
{
    if (c->standalone && c->database_url[0] != '\0') {
        buf_append_cstr(error, "standalone yes and a database-url exclude each other: take one away");
        return false;
    }
    if (c->database_url[0] != '\0')
        return url_good(c, error);
    if (c->standalone)
        return true;
    buf_append_cstr(error, "no database: set DATABASE_URL, or database-url in the configuration "
                           "file, or pass --database-url postgresql://user:password@host/name");
    return false;
}

/* --help and --version; true if there was one. */
bool action_answered(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--exec") != 0; i++) {
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-v") == 0) {
            printf("respgres %s\n", RESPGRES_VERSION);
            return true;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            struct buf text;
            buf_init(&text);
            config_usage(&text);
            fputs(buf_cstr(&text), stdout);
            buf_release(&text);
            return true;
        }
    }
    return false;
}

/* Takes what is no option (--migrate, --print-schema [VERSION] ...) out of argv; what is left is
 * configuration. */
static bool take_with_argument(struct action *a, int argc, char **argv, int *i)
{
    const char *next = *i + 1 < argc ? argv[*i + 1] : NULL;
    const char *word = argv[*i];
    if (strcmp(word, "--dump") == 0) {
        a->dump = true;
        if (next == NULL || strncmp(next, "--", 2) == 0)
            return true;
        a->dump_path = strcmp(next, "-") == 0 ? NULL : next;
    } else if (strcmp(word, "--print-schema") == 0) {
        a->print_schema = true;
        if (next == NULL || next[0] < '0' || next[0] > '9')
            return true;
        a->from = (int)strtol(next, NULL, 10);
    } else if (strcmp(word, "--check-journal") == 0 || strcmp(word, "--repair-journal") == 0) {
        a->journal = word[2] == 'c' ? journal_check : journal_repair;
        a->journal_dir = next;
    } else if (strcmp(word, "--merge-journal") == 0) {
        a->merge_journal = true;
        a->journal_dir = next;
    } else {
        return false;
    }
    *i += next != NULL;
    return true;
}

struct action action_take(int *argc, char **argv)
{
    struct action a = {0};
    int kept = 0;
    import_take(&a.import, argc, argv);
    for (int i = 0; i < *argc; i++) {
        if (take_with_argument(&a, *argc, argv, &i)) {
            continue;
        } else if (strcmp(argv[i], "--migrate") == 0) {
            a.migrate = true;
        } else if (strcmp(argv[i], "--backup") == 0) {
            a.backup = true;
        } else if (strcmp(argv[i], "--check-config") == 0) {
            a.check_config = true;
        } else if (strcmp(argv[i], "--doctor") == 0) {
            a.doctor = true;
        } else if (strcmp(argv[i], "--healthcheck") == 0) {
            a.healthcheck = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    argv[kept] = NULL;
    return a;
}

static int print_schema(const struct config *c, int from)
{
    struct buf text;
    buf_init(&text);
    postgres_print_schema(c->pg_schema, from, &text);
    bool written = fputs(buf_cstr(&text), stdout) >= 0 && fflush(stdout) == 0;
    buf_release(&text);
    return written ? 0 : 1;
}

static int migrate(const struct config *c, struct buf *error)
{
    int before;
    int after;
    if (!action_has_database(c, error) || !postgres_migrate(c, &before, &after, error)) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(error));
        return 1;
    }
    if (before == after)
        printf("schema %s is at version %d, nothing to do\n", c->pg_schema, after);
    else
        printf("schema %s was at version %d and is at version %d now\n", c->pg_schema, before,
               after);
    return 0;
}

/* Nothing is said on standard output but the keys. */
static int dump(const struct config *c, const char *path, struct buf *error)
{
    struct dump_totals totals;
    if (!action_has_database(c, error) || !dump_write(c, path, &totals, error)) {
        fprintf(stderr, "respgres: no dump: %s\n", buf_cstr(error));
        return 1;
    }
    if (path != NULL)
        fprintf(stderr, "%llu keys, %llu bytes\n", (unsigned long long)totals.keys,
                (unsigned long long)totals.bytes);
    return 0;
}

static int back_up(const struct config *c, struct buf *error)
{
    struct buf said;
    buf_init(&said);
    bool ok = action_has_database(c, error) && backup_run(c, &said, error);
    if (ok)
        puts(buf_cstr(&said));
    else
        fprintf(stderr, "respgres: no backup: %s\n", buf_cstr(error));
    buf_release(&said);
    return ok ? 0 : 1;
}

static int import(const struct import_job *job, const struct config *c, struct buf *error)
{
    if (c->standalone)
        buf_append_cstr(error, "standalone yes: keys are imported into PostgreSQL");
    else if (action_has_database(c, error)) {
        enum import_end end = import_run(job, c, error);
        if (end != IMPORT_FAILED)
            return (int)end;
    }
    fprintf(stderr, "respgres: no import: %s\n", buf_cstr(error));
    return IMPORT_FAILED;
}

/* What it says is for people, on standard output. */
bool action_run_early(const struct action *a, int *exit_code)
{
    struct buf text;
    if (a->journal == NULL)
        return false;
    *exit_code = 1;
    if (a->journal_dir == NULL) {
        fprintf(stderr, "respgres: --check-journal and --repair-journal need the journal's folder\n");
        return true;
    }
    buf_init(&text);
    bool ok = a->journal(a->journal_dir, &text);
    bool written = fputs(buf_cstr(&text), stdout) >= 0 && fflush(stdout) == 0;
    buf_release(&text);
    *exit_code = ok && written ? 0 : 1;
    return true;
}

/* A folder by mistake would get an empty journal, and be called merged. */
static bool has_journal(const char *dir)
{
    DIR *d = opendir(dir);
    bool found = false;
    const struct dirent *it;
    while (d != NULL && !found && (it = readdir(d)) != NULL)
        found = strncmp(it->d_name, "journal.", 8) == 0 || strncmp(it->d_name, "snapshot.", 9) == 0;
    if (d != NULL)
        closedir(d);
    return found;
}

bool action_prepare_merge(const struct action *a, struct buf *error)
{
    static const char *const settings[][2] = {
        {"RESPGRES_CONF_STANDALONE", "no"}, {"RESPGRES_CONF_FALLBACK", "on"},
        {"RESPGRES_CONF_PRELOAD", "no"}, {"RESPGRES_CONF_WARM_FILE_INTERVAL", "0"}};
    char path[PATH_MAX];
    if (a->journal_dir == NULL || realpath(a->journal_dir, path) == NULL) {
        buf_printf(error, "--merge-journal needs the folder of a journal%s%s",
                   a->journal_dir != NULL ? ": " : "", a->journal_dir != NULL ? strerror(errno) : "");
        return false;
    }
    if (!has_journal(path)) {
        buf_printf(error, "there is no journal in %s: --merge-journal needs the folder that holds "
                   "journal.* or snapshot.*", path);
        return false;
    }
    char *name = strrchr(path, '/');
    *name++ = '\0';
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        setenv(settings[i][0], settings[i][1], 1);
    setenv("RESPGRES_CONF_DIR", path[0] != '\0' ? path : "/", 1);
    setenv("RESPGRES_CONF_INSTANCE_NAME", name, 1);
    return true;
}

static int check_health(const struct config *c, struct buf *error)
{
    if (healthcheck(c, error))
        return 0;
    fprintf(stderr, "respgres: %s\n", buf_cstr(error));
    return 1;
}

/* The files of TLS, which a start would read. */
static bool report_tls(const struct config *c, struct buf *out, struct buf *error)
{
    if (c->tls_port == 0)
        return true;
    struct tls_context *t = tls_context_new(c, error);
    if (t == NULL)
        return false;
    buf_printf(out, "# certificate: %s, until ", tls_context_subject(t));
    tls_append_time(out, tls_context_validity(t)->until_s);
    buf_append_cstr(out, "\n");
    tls_context_free(t);
    return true;
}

/* On standard output: what respgres would run with. */
static int check_config(const struct config_store *config, struct buf *error)
{
    struct buf text;
    struct acl *users = acl_from_config(config_values(config), error);
    acl_free(users);
    if (users == NULL || !action_has_database(config_values(config), error)) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(error));
        return 1;
    }
    buf_init(&text);
    config_report(config, &text);
    if (!report_tls(config_values(config), &text, error)) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(error));
        buf_release(&text);
        return 1;
    }
    bool written = fputs(buf_cstr(&text), stdout) >= 0 && fflush(stdout) == 0;
    buf_release(&text);
    return written ? 0 : 1;
}

static int run(const struct action *a, const struct config_store *config, struct buf *error)
{
    const struct config *c = config_values(config);
    if (a->check_config)
        return check_config(config, error);
    if (a->doctor)
        return doctor(config) ? 0 : 1;
    if (a->healthcheck)
        return check_health(c, error);
    if (a->print_schema)
        return print_schema(c, a->from);
    if (a->dump)
        return dump(c, a->dump_path, error);
    if (a->backup)
        return back_up(c, error);
    if (a->import.kind != NULL)
        return import(&a->import, c, error);
    return migrate(c, error);
}

bool action_run(const struct action *a, const struct config_store *config, int *exit_code)
{
    if (!a->check_config && !a->doctor && !a->healthcheck && !a->print_schema && !a->migrate &&
        !a->dump && !a->backup && a->import.kind == NULL)
        return false;
    struct buf error;
    buf_init(&error);
    *exit_code = run(a, config, &error);
    buf_release(&error);
    return true;
}
