/* See payload_fuzz.h. What becomes a pickle, is one. */
#include "payload/convert.h"
#include "payload_fuzz.h"

static void fuzz_pickle(struct bytes json)
{
    const struct payload_limits limits = {SIZE_MAX / 2, SIZE_MAX / 2, SIZE_MAX / 2,
                                          PAYLOAD_MAX_DEPTH};
    struct buf pickle;
    struct buf out;
    buf_init(&pickle);
    buf_init(&out);
    if (convert_json_to_pickle(json, &pickle)) {
        CHECK(convert_is_pickle(buf_bytes(&pickle)));
        CHECK(payload_decode(buf_bytes(&pickle), PAYLOAD_PICKLE, &limits, &out) != PAYLOAD_UNKNOWN);
    } else {
        CHECK(pickle.len == 0);
    }
    buf_release(&out);
    buf_release(&pickle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_pickle(bytes_of((const char *)data, size));
    return fuzz_payload(data, size, PAYLOAD_JSON);
}
