/* docs/commands.md ends with what the table of commands says, no more and no less.
 * RESPGRES_UPDATE=1 in the environment writes that part anew. */
#include <stdlib.h>

#include "command/reference.h"
#include "test.h"

static const char path[] = RESPGRES_SOURCE_DIR "/docs/commands.md";

static bool read_page(struct buf *out)
{
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return false;
    size_t n;
    while ((n = fread(buf_reserve(out, 4096), 1, 4096, f)) > 0)
        out->len += n;
    fclose(f);
    (void)buf_cstr(out);
    return true;
}

static void write_page(struct bytes before, struct bytes made)
{
    FILE *f = fopen(path, "w");
    if (f == NULL)
        abort();
    fwrite(before.data, 1, before.len, f);
    fwrite(made.data, 1, made.len, f);
    fclose(f);
}

static void page_ends_with_the_table(void)
{
    struct buf page;
    struct buf made;
    char heading[80];
    buf_init(&page);
    buf_init(&made);
    command_reference(&made);
    EXPECT(read_page(&page));
    snprintf(heading, sizeof(heading), "\n%s\n", command_reference_heading);
    const char *at = strstr(page.data, heading);
    size_t before = at != NULL ? (size_t)(at - page.data) + 1 : page.len;
    if (getenv("RESPGRES_UPDATE") != NULL) {
        write_page(bytes_of(page.data, before), buf_bytes(&made));
    } else {
        EXPECT(at != NULL);
        /* else: run with RESPGRES_UPDATE=1 */
        EXPECT(bytes_eq(bytes_of(page.data + before, page.len - before), buf_bytes(&made)));
    }
    buf_release(&page);
    buf_release(&made);
}

TEST_MAIN(TEST(page_ends_with_the_table))
