/* See payload_fuzz.h. */
#include "payload_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_payload(data, size, PAYLOAD_MSGPACK);
}
