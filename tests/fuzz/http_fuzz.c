/* http_fuzz: the parser of HTTP requests. Whatever the bytes, it neither reads beyond them nor
 * takes more than there are; what it has found lies within them; and with bytes behind it, a
 * complete request is the same request. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "event/http_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool within(struct bytes part, struct bytes all)
{
    return part.len == 0 || (part.data >= all.data && part.data + part.len <= all.data + all.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1); /* exactly as long, so that the sanitizer sees each overrun */
    struct bytes all = bytes_of(copy, size);
    struct http_request r;
    CHECK(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    enum http_parse whole = http_request_parse(all, &r);
    if (whole == HTTP_COMPLETE) {
        CHECK(r.len > 0 && r.len <= size);
        CHECK(within(r.path, all) && within(r.query, all));
        CHECK(r.path.len > 0 && r.path.data[0] == '/');
        struct http_request again;
        CHECK(http_request_parse(bytes_of(copy, r.len), &again) == HTTP_COMPLETE);
        CHECK(again.len == r.len && bytes_eq(again.path, r.path));
        CHECK(http_request_parse(bytes_of(copy, r.len - 1), &again) == HTTP_INCOMPLETE);
    }
    free(copy);
    return 0;
}
