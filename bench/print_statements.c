/* bench_statements: every statement respgres sends, as `name<TAB>text` lines, for bench/plans. */
#include <stdio.h>

#include "args.h"
#include "base/check.h"
#include "store/postgres/statements.h"

int main(int argc, char **argv)
{
    const char *schema = "respgres";
    const struct arg args[] = {{"schema", ARG_TEXT, &schema, "name of the schema (respgres)"}};
    args_parse(argc, argv, args, 1);
    for (int id = 0; id < STATEMENT_COUNT; id++) {
        const struct statement *s = statement_get((enum statement_id)id);
        struct buf text;
        buf_init(&text);
        statement_expand(&text, s->text, schema);
        CHECK(memchr(text.data, '\n', text.len) == NULL &&
              memchr(text.data, '\t', text.len) == NULL);
        printf("%s\t%s\n", s->name, buf_cstr(&text));
        buf_release(&text);
    }
    return 0;
}
