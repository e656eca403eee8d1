/* command_words: a libFuzzer dictionary of every command and option word in the table, so that a
 * new command is fuzzed as soon as it has its row. Words that no table has are in command.dict. */
#include <ctype.h>
#include <stdio.h>

#include "command/command.h"

static void print_upper(const char *s, size_t len)
{
    putchar('"');
    for (size_t i = 0; i < len; i++)
        putchar(s[i] == '|' ? ' ' : toupper((unsigned char)s[i]));
    puts("\"");
}

/* Words of a syntax that are typed as they stand are in capitals there. */
static void print_options(const char *syntax)
{
    for (const char *at = syntax; *at != '\0';) {
        size_t len = 0;
        while (isupper((unsigned char)at[len]) || (len > 0 && at[len] == '_'))
            len++;
        if (len > 1 && !isalnum((unsigned char)at[len]))
            print_upper(at, len);
        at += len > 0 ? len : 1;
    }
}

int main(void)
{
    for (int id = 0; id < COMMAND_COUNT; id++) {
        const struct command *c = command_by_id((enum command_id)id);
        if (c->handler == NULL && c->id != CMD_COMMAND)
            continue; /* the engine's: the target does not run them */
        print_upper(c->name, c->name_len);
        print_options(c->syntax);
    }
    size_t n;
    const struct command *subs = command_subs(&n);
    for (size_t i = 0; i < n; i++) {
        if (subs[i].handler == NULL && subs[i].id != CMD_COMMAND)
            continue;
        print_upper(subs[i].name, subs[i].name_len);
        print_options(subs[i].syntax);
    }
    return 0;
}
