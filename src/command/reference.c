/* reference: see reference.h. */
#include "command/reference.h"

#include <string.h>

#include "command/command.h"
#include "command/command_docs.h"

const char command_reference_heading[] = "## Reference";

enum { GROUPS_MAX = 32 };

/* In capitals, a blank for the bar of a subcommand. */
static void append_name(struct buf *out, const char *name)
{
    for (; *name != '\0'; name++) {
        if (*name == '|')
            buf_append_u8(out, ' ');
        else
            buf_append_u8(out,
                          *name >= 'a' && *name <= 'z' ? (uint8_t)(*name - 32) : (uint8_t)*name);
    }
}

/* A bar would end the cell. */
static void append_cell(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            buf_append_u8(out, '\\');
        buf_append_u8(out, (uint8_t)*text);
    }
}

static void append_row(struct buf *out, const struct command *c)
{
    buf_append_cstr(out, "| `");
    append_name(out, c->name);
    buf_append_cstr(out, c->syntax[0] != '\0' ? " " : "");
    append_cell(out, c->syntax);
    buf_printf(out, "` | %s | ", c->since);
    append_cell(out, c->complexity);
    buf_append_cstr(out, " | ");
    append_cell(out, c->summary);
    buf_append_cstr(out, " |\n");
}

/* A container is a row for each of its subcommands. */
static void append_command(struct buf *out, const struct command *c)
{
    size_t n;
    const struct command *subs = command_subs(&n);
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (subs[i].id == c->id)
            append_row(out, &subs[i]);
        any |= subs[i].id == c->id;
    }
    if (!any)
        append_row(out, c);
}

static void append_group(struct buf *out, enum command_group group)
{
    bool any = false;
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command *c = command_by_id((enum command_id)i);
        if (c->group != group)
            continue;
        if (!any)
            buf_printf(
                out, "\n### Group %s\n\n| call | since Redis | complexity | |\n|---|---|---|---|\n",
                command_group_name(group));
        any = true;
        append_command(out, c);
    }
}

void command_reference(struct buf *out)
{
    buf_append_cstr(out, command_reference_heading);
    buf_append_cstr(
        out, "\n\nThis section is made from the table of commands (`src/command/commands.def`, "
             "`subcommands.def`):\n`RESPGRES_UPDATE=1 build-asan/tests/reference_test` writes "
             "it, and as a test compares it.\n");
    for (int group = 0; group < GROUPS_MAX; group++)
        append_group(out, (enum command_group)group);
}
