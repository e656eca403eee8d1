/* action: see action.h. */
#include "cli/action.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/healthcheck.h"
#include "doctor/doctor.h"
#include "store/postgres/doctor.h"
#include "store/postgres/postgres.h"

static bool url_good(const struct config *c, struct buf *error)
{
    if (c->database_url[0] == '\0' || postgres_reads_url(c->database_url))
        return true;
    buf_append_cstr(error, "database-url: libpq cannot read it (in keyword=value form, values with "
                           "blanks stand in single quotes)");
    return false;
}

bool action_has_database(const struct config *c, struct buf *error)
{
    if (c->database_url[0] != '\0')
        return url_good(c, error);
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
struct action action_take(int *argc, char **argv)
{
    struct action a = {0};
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--migrate") == 0) {
            a.migrate = true;
        } else if (strcmp(argv[i], "--check-config") == 0) {
            a.check_config = true;
        } else if (strcmp(argv[i], "--doctor") == 0) {
            a.doctor = true;
        } else if (strcmp(argv[i], "--healthcheck") == 0) {
            a.healthcheck = true;
        } else if (strcmp(argv[i], "--print-schema") == 0) {
            a.print_schema = true;
            if (i + 1 < *argc && argv[i + 1][0] >= '0' && argv[i + 1][0] <= '9')
                a.from = (int)strtol(argv[++i], NULL, 10);
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

static int check_health(const struct config *c, struct buf *error)
{
    if (healthcheck(c, error))
        return 0;
    fprintf(stderr, "respgres: %s\n", buf_cstr(error));
    return 1;
}

/* On standard output: what respgres would run with. */
static int check_config(const struct config_store *config, struct buf *error)
{
    struct buf text;
    if (!url_good(config_values(config), error)) {
        fprintf(stderr, "respgres: %s\n", buf_cstr(error));
        return 1;
    }
    buf_init(&text);
    config_report(config, &text);
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
    return migrate(c, error);
}

bool action_run(const struct action *a, const struct config_store *config, int *exit_code)
{
    if (!a->check_config && !a->doctor && !a->healthcheck && !a->print_schema && !a->migrate)
        return false;
    struct buf error;
    buf_init(&error);
    *exit_code = run(a, config, &error);
    buf_release(&error);
    return true;
}
