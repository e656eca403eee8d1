/* manual: respgres(1). The options and their prose come from the table; what stands here is what a
 * table cannot say. Source of the format: man-pages(7), groff_man(7). */
#include <string.h>

#include "config/text.h"

/* A backslash, and a dot or quote at the beginning of a line, mean something to groff; a hyphen
 * must be one that can be searched for and copied. */
static void append_text(struct buf *out, const char *text)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            buf_append_cstr(out, "\\&");
        if (*text == '\\')
            buf_append_cstr(out, "\\e");
        else if (*text == '-')
            buf_append_cstr(out, "\\-");
        else
            buf_append_u8(out, (uint8_t)*text);
        line_start = *text == '\n';
    }
}

static void append_paragraph(struct buf *out, const char *text)
{
    append_text(out, text);
    buf_append_u8(out, '\n');
}

static void section(struct buf *out, const char *title)
{
    buf_append_cstr(out, ".SH ");
    for (; *title != '\0'; title++)
        buf_append_u8(out,
                      *title >= 'a' && *title <= 'z' ? (uint8_t)(*title - 32) : (uint8_t)*title);
    buf_append_u8(out, '\n');
}

static void append_option(struct buf *out, const struct option *o)
{
    struct buf placeholder;
    buf_init(&placeholder);
    text_placeholder(&placeholder, o);
    buf_append_cstr(out, ".TP\n.BI ");
    append_text(out, "--");
    append_text(out, o->name);
    buf_append_cstr(out, " \" ");
    append_text(out, buf_cstr(&placeholder));
    buf_append_cstr(out, "\"\n");
    append_text(out, o->prose);
    buf_append_cstr(out, "\nDefault: \\(lq");
    append_text(out, o->fallback);
    buf_append_cstr(out, "\\(rq.");
    if (o->flags & OPTION_MUTABLE)
        buf_append_cstr(out, " CONFIG SET can change it.");
    buf_append_u8(out, '\n');
    buf_release(&placeholder);
}

static void append_introduction(struct buf *out)
{
    buf_append_cstr(
        out, ".SH NAME\nrespgres \\- the Redis protocol in front of PostgreSQL\n"
             ".SH SYNOPSIS\n.B respgres\n.RI [ FILE ]\n.RI [ \\-\\-option \" value\" \\&...]\n"
             ".br\n.B respgres\n.RI [ FILE ]\n.RI [ \\-\\-option \" value\" \\&...]\n.B "
             "\\-\\-exec \\-\\-\n.IR COMMAND \" ...\"\n");
    section(out, "description");
    append_paragraph(out,
                     "respgres is a server that speaks the Redis protocol and keeps every key as a "
                     "row in PostgreSQL. It stays in the foreground and writes its log to standard "
                     "error, a line per event.");
    buf_append_cstr(out, ".PP\n");
    append_paragraph(
        out, "Options come from FILE, which has the syntax of redis.conf; from the "
             "environment, as RESPGRES_CONF_ and the option's name in capitals with _ for -; "
             "and from flags. Later ones in this list win. The only one that must be given "
             "is the database, as database-url or DATABASE_URL.");
}

static void append_signals(struct buf *out)
{
    static const char *const rows[][2] = {
        {"SIGTERM, SIGINT",
         "Takes no new connections, answers what was taken, and ends with 0; a second "
         "one ends it at once, with 1."},
        {"SIGHUP", "Reads FILE and the files of secrets again."},
    };
    section(out, "signals");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_printf(out, ".TP\n.B %s\n", rows[i][0]);
        append_paragraph(out, rows[i][1]);
    }
}

static void append_end(struct buf *out)
{
    section(out, "environment");
    buf_append_cstr(out, ".TP\n.B DATABASE_URL\n");
    append_paragraph(out, "Sets database-url, unless RESPGRES_CONF_DATABASE_URL does.");
    buf_append_cstr(out, ".TP\n.BI RESPGRES_CONF_ OPTION\n");
    append_paragraph(out,
                     "Sets an option. Secrets can be in a file instead, which is named by the same "
                     "variable with _FILE behind it; so can DATABASE_URL.");
    section(out, "files");
    buf_append_cstr(out, ".TP\n.I /etc/respgres/respgres.conf\n");
    append_paragraph(out, "What the service of the Debian package reads.");
    buf_append_cstr(out, ".TP\n.I /etc/default/respgres\n");
    append_paragraph(out, "The environment of that service: the place for DATABASE_URL.");
    section(out, "see also");
    buf_append_cstr(out, ".BR psql (1),\n.BR redis\\-cli (1)\n");
}

void config_manual(struct buf *out)
{
    buf_append_cstr(out,
                    ".\\\" Made from the table of options by src/config/manual.c.\n"
                    ".TH RESPGRES 1 \"\" \"respgres " RESPGRES_VERSION "\" \"User Commands\"\n");
    append_introduction(out);
    section(out, "commands");
    buf_append_cstr(out, ".TP\n.BR \\-\\-help \", \" \\-\\-version\n");
    append_paragraph(out, "Print the options; the version.");
    for (size_t i = 0; i < action_text_count; i++) {
        buf_append_cstr(out, ".TP\n.B ");
        append_paragraph(out, action_texts[i].flag);
        append_paragraph(out, action_texts[i].prose);
    }
    section(out, "options");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *title = text_section_at((enum option_id)i);
        if (title != NULL)
            buf_printf(out, ".SS %s\n", title);
        append_option(out, &options[i]);
    }
    append_signals(out);
    append_end(out);
}
