/* text: what people read of the table: --help and conf/respgres.conf. */
#include <string.h>

#include "config/text.h"

enum { WIDTH = 90 };

/* `text` in lines of at most WIDTH, each behind `prefix`. */
static void append_wrapped(struct buf *out, const char *prefix, const char *text)
{
    size_t room = WIDTH - strlen(prefix);
    while (*text != '\0') {
        size_t n = strlen(text);
        if (n > room) {
            n = room;
            while (n > 0 && text[n] != ' ')
                n--;
            if (n == 0)
                n = strcspn(text, " ");
        }
        buf_append_cstr(out, prefix);
        buf_append(out, text, n);
        buf_append_u8(out, '\n');
        text += n;
        text += strspn(text, " ");
    }
}

const char *text_section_at(enum option_id id)
{
    for (size_t i = 0; i < option_section_count; i++) {
        if (option_sections[i].first == id)
            return option_sections[i].title;
    }
    return NULL;
}

/* As a file would have it. */
static void append_default(struct buf *out, const struct option *o)
{
    buf_append_cstr(out, o->fallback[0] != '\0' ? o->fallback : "\"\"");
}

void text_placeholder(struct buf *out, const struct option *o)
{
    static const char *const by_kind[] = {
        [OPTION_INT] = "<number>",    [OPTION_BOOL] = "yes|no",
        [OPTION_STRING] = "<text>",   [OPTION_MEMORY] = "<size>",
        [OPTION_OCTAL] = "<octal>",   [OPTION_SECONDS] = "<seconds>",
        [OPTION_MILLIS] = "<millis>", [OPTION_OUTPUT_LIMIT] = "<size>",
        [OPTION_EVENTS] = "<letters>",
    };
    if (o->kind != OPTION_ENUM) {
        buf_append_cstr(out, by_kind[o->kind]);
        return;
    }
    for (const char *p = o->words; *p != '\0'; p++)
        buf_append_u8(out, *p == ' ' ? '|' : (uint8_t)*p);
}

/* What is asked for besides serving. */
const struct action_text action_texts[] = {
    {"--check-config", "Checks all options, prints each with its value and where that came from, and "
                       "exits: 0 if they are good."},
    {"--doctor", "Looks at the options, PostgreSQL and this host, says in plain words what is wrong or "
                 "will be, with a remedy for each, and exits: 1 if respgres could not serve."},
    {"--healthcheck", "Asks the respgres of this host or container whether it lives, and exits: for "
                      "images without curl. Says nothing about PostgreSQL."},
    {"--dump [FILE]", "Writes all keys as commands for redis-cli --pipe, to FILE or standard output, and "
                      "exits."},
    {"--backup", "Does the same into a new file in backup-dir, removes old ones, and exits."},
    {"--import sqlalchemy|connect-pg-simple|django",
     "Makes the sessions in the table of this session backend keys for its Redis backend, and exits: 2 "
     "if there are rows that could not be made keys. The table is only read; what lives here, or has "
     "ended here, stays as it is (docs/adoption.md). With it: --from URL, the database of that table "
     "(or IMPORT_DATABASE_URL; default: database-url), --table NAME, --prefix TEXT of the keys, --as "
     "pickle|json|text of Django's values, --time-zone NAME of expiries without one, --ttl SECONDS "
     "where there is no expiry, --into-db N, --batch ROWS, --overwrite, --dry-run."},
    {"--check-journal DIR", "Says what the journal in DIR (dir/instance-name) holds, and exits: 0 if it is "
                            "whole."},
    {"--repair-journal DIR", "Keeps what can be read of a damaged one, and exits."},
    {"--merge-journal DIR", "Merges the journal that another instance has left in DIR into PostgreSQL, "
                            "and exits: 0 when nothing is left in it."},
    {"--migrate", "Makes or upgrades the schema, and exits."},
    {"--print-schema",
     "Prints the SQL of that, and exits. With the schema's version behind it: of an "
     "upgrade."},
    {"--exec -- COMMAND ...",
     "Serves, and runs COMMAND beside: it finds respgres in its REDIS_URL, a "
     "Unix socket that only it can enter. Signals go to COMMAND; respgres "
     "ends after it, with its exit code. TCP is off unless --port is given."},
    {"--exec-url unix|tcp", "With tcp, COMMAND is given a port of 127.0.0.1 and a password, in "
                            "REDIS_URL and in REDIS_HOST, REDIS_PORT and REDIS_PASSWORD."},
};
const size_t action_text_count = sizeof(action_texts) / sizeof(action_texts[0]);

void config_usage(struct buf *out)
{
    buf_append_cstr(out, "Usage: respgres [FILE] [--option value ...]\n\n");
    append_wrapped(out, "",
                   "Speaks the Redis protocol and keeps its keys as rows in PostgreSQL. FILE has "
                   "redis.conf's syntax. Each option is also read from the environment, as "
                   "RESPGRES_CONF_ and its name in capitals with _ for -; passwords also from a "
                   "file, whose name is given in the same variable with _FILE behind it. Flags "
                   "come before the environment, the environment before the file.");
    buf_append_cstr(out, "\n  --help\n  --version\n");
    for (size_t i = 0; i < action_text_count; i++) {
        buf_printf(out, "  %s\n", action_texts[i].flag);
        append_wrapped(out, "      ", action_texts[i].prose);
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options[i];
        const char *title = text_section_at((enum option_id)i);
        if (title != NULL)
            buf_printf(out, "\n%s\n", title);
        buf_printf(out, "  --%s ", o->name);
        text_placeholder(out, o);
        buf_append_cstr(out, "  (default: ");
        append_default(out, o);
        buf_append_cstr(out, ")\n");
        append_wrapped(out, "      ", o->prose);
    }
}

void config_sample(struct buf *out)
{
    append_wrapped(out, "# ",
                   "respgres: every option with its default. Take away the # before an option to "
                   "change it. One option a line; values with blanks go into double quotes. Sizes "
                   "know the units k, m, g (powers of 1000) and kb, mb, gb (powers of 1024). An "
                   "option marked [run time] can be changed by CONFIG SET, and here followed by a "
                   "reload (SIGHUP). Flags and the environment (RESPGRES_CONF_<OPTION>) come "
                   "before this file. \"include <path>\" reads another file at that point.");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options[i];
        const char *title = text_section_at((enum option_id)i);
        if (title != NULL)
            buf_printf(out, "\n# ---- %s ----\n", title);
        buf_append_u8(out, '\n');
        append_wrapped(out, "# ", o->prose);
        if (o->kind == OPTION_ENUM) {
            buf_append_cstr(out, "# One of ");
            text_placeholder(out, o);
            buf_append_cstr(out, ".\n");
        }
        if (o->flags & OPTION_MUTABLE)
            buf_append_cstr(out, "# [run time]\n");
        buf_printf(out, "#%s ", o->name);
        append_default(out, o);
        buf_append_u8(out, '\n');
    }
}
