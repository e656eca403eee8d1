/* What every fuzz target of a payload format does: tests/fuzz/payload_FORMAT_fuzz.c names its
 * format. Whatever the bytes, what comes out is JSON to another reader (jansson), within the
 * limits, the same twice; what does not come out leaves nothing behind; and small limits hold as
 * well. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "payload/payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* jansson has no integers beyond 64 bits, and says so. */
static void check_json(struct bytes s)
{
    json_error_t error;
    json_t *v = json_loadb(s.data, s.len, JSON_DECODE_ANY, &error);
    CHECK(v != NULL || json_error_code(&error) == json_error_numeric_overflow);
    json_decref(v);
}

static void run(struct bytes in, enum payload_format f, const struct payload_limits *l)
{
    struct buf out;
    buf_init(&out);
    buf_append_cstr(&out, "x");
    enum payload_result r = payload_decode(in, f, l, &out);
    CHECK(out.data[0] == 'x');
    if (r == PAYLOAD_OK) {
        CHECK(out.len > 1 && out.len - 1 <= l->max_output);
        check_json(bytes_of(out.data + 1, out.len - 1));
        size_t len = out.len;
        CHECK(payload_decode(in, f, l, &out) == PAYLOAD_OK);
        CHECK(out.len == len * 2 - 1);
        CHECK(memcmp(out.data + 1, out.data + len, len - 1) == 0);
    } else {
        CHECK(out.len == 1);
    }
    buf_release(&out);
}

static int fuzz_payload(const uint8_t *data, size_t size, enum payload_format f)
{
    static const struct payload_limits small = {
        .max_input = 4096, .max_output = 200, .max_steps = 300, .max_depth = 5};
    static const struct payload_limits reducing = {
        .max_input = 65536, .max_output = 40000, .max_steps = 3000, .max_depth = 5};
    struct bytes in = bytes_of((const char *)data, size);
    run(in, f, &payload_default_limits);
    run(in, f, &small);
    run(in, f, &reducing);
    run(in, PAYLOAD_AUTO, &payload_default_limits);
    return 0;
}
