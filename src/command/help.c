/* HELP of the containers: the lines of help.def, or what the table of subcommands says. */

#include "command/command.h"
#include "command/rename.h"

struct help_line {
    enum command_id id;
    const char *text;
};

static const struct help_line lines[] = {
#define HELP(container, line) {CMD_##container, line},
#include "command/help.def"
};

enum { LINES = sizeof(lines) / sizeof(lines[0]) };

/* Puts lines into an array whose length is not known before. */
struct help {
    struct buf out;
    struct reply reply;
    size_t n;
};

static void add(struct help *h, const char *text)
{
    reply_status(&h->reply, text);
    h->n++;
}

static void add_head(struct help *h, const struct command *container)
{
    struct buf line;
    buf_init(&line);
    for (const char *s = command_called(container); *s != '\0'; s++)
        buf_append_u8(&line, *s >= 'a' && *s <= 'z' ? (uint8_t)(*s - 32) : (uint8_t)*s);
    buf_append_cstr(&line, " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    add(h, buf_cstr(&line));
    buf_release(&line);
}

static void add_subcommand(struct help *h, const struct command *container,
                           const struct command *sub)
{
    struct buf line;
    buf_init(&line);
    for (const char *s = sub->name + container->name_len + 1; *s != '\0'; s++)
        buf_append_u8(&line, *s >= 'a' && *s <= 'z' ? (uint8_t)(*s - 32) : (uint8_t)*s);
    buf_printf(&line, "%s%s", sub->syntax[0] != '\0' ? " " : "", sub->syntax);
    add(h, buf_cstr(&line));
    buf_reset(&line, 256);
    buf_printf(&line, "    %s", sub->summary);
    add(h, buf_cstr(&line));
    buf_release(&line);
}

static bool is_help(const struct command *c)
{
    return c->name_len > 5 && bytes_eq(bytes_of(c->name + c->name_len - 5, 5), BYTES_LIT("|help"));
}

void command_reply_help(struct reply *r, const struct command *container)
{
    size_t nsubs;
    const struct command *subs = command_subs(&nsubs);
    struct help h = {.n = 0};
    buf_init(&h.out);
    h.reply = (struct reply){&h.out, r->proto, false};
    add_head(&h, container);
    bool written = false;
    for (size_t i = 0; i < LINES; i++) {
        if (lines[i].id == container->id)
            add(&h, lines[i].text);
        written |= lines[i].id == container->id;
    }
    for (size_t i = 0; i < nsubs && !written; i++) {
        if (subs[i].id == container->id && !is_help(&subs[i]))
            add_subcommand(&h, container, &subs[i]);
    }
    add(&h, "HELP");
    add(&h, "    Prints this help.");
    reply_array(r, h.n);
    buf_append_bytes(r->out, buf_bytes(&h.out));
    buf_release(&h.out);
}
