/* See payload_fuzz.h. */
#include "payload/convert.h"
#include "payload_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf payload;
    buf_init(&payload);
    if (!convert_django_open(bytes_of((const char *)data, size), &payload))
        CHECK(payload.len == 0);
    buf_release(&payload);
    return fuzz_payload(data, size, PAYLOAD_DJANGO);
}
