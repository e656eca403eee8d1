/* Configuration: the words of a line, and the database's URL. The first byte chooses.
 *
 * What words_append writes is what words_next reads. A URL that is accepted is read by libpq as
 * well, after it was normalised: else libpq's complaint would show a part of it. Normalising it
 * again changes nothing. */
#include <libpq-fe.h>
#include <string.h>

#include "base/mem.h"
#include "config/option.h"
#include "config/url.h"
#include "config/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_words(struct bytes line)
{
    struct buf word;
    struct buf written;
    struct buf again;
    size_t at = 0;
    bool found = true;
    buf_init(&word);
    buf_init(&written);
    buf_init(&again);
    while (found && words_next(line, &at, &word, &found) && found) {
        size_t back = 0;
        bool same;
        written.len = again.len = 0;
        words_append(&written, buf_bytes(&word));
        bool read = words_next(buf_bytes(&written), &back, &again, &same);
        CHECK(read && same && back == written.len);
        CHECK(bytes_eq(buf_bytes(&word), buf_bytes(&again)));
        word.len = 0;
    }
    buf_release(&word);
    buf_release(&written);
    buf_release(&again);
}

static void check_accepted(const char *url)
{
    struct buf once;
    struct buf twice;
    struct buf dropped;
    buf_init(&once);
    buf_init(&twice);
    buf_init(&dropped);
    config_normalise_url(url, &once, &dropped);
    config_normalise_url(buf_cstr(&once), &twice, &dropped);
    CHECK(bytes_eq(buf_bytes(&once), buf_bytes(&twice)));
    if (url_classify(bytes_cstr(url)) == URL_POSTGRESQL) {
        char *message = NULL;
        PQconninfoOption *read = PQconninfoParse(buf_cstr(&once), &message);
        CHECK(read != NULL);
        PQconninfoFree(read);
        PQfreemem(message);
    }
    buf_release(&once);
    buf_release(&twice);
    buf_release(&dropped);
}

static void check_url(struct bytes text)
{
    struct config c;
    struct buf reason;
    config_init(&c);
    buf_init(&reason);
    if (option_parse(&options[OPT_database_url], text, &c, &reason) && c.database_url[0] != '\0')
        check_accepted(c.database_url);
    buf_release(&reason);
    config_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes rest = bytes_of((const char *)data + 1, size - 1);
    if (data[0] == 'w')
        check_words(rest);
    else
        check_url(rest);
    return 0;
}
