/* Whatever a client sends, in whatever pieces, the reader yields the same requests and the same
 * error, within its limits. The first byte of the input chooses limits and the size of the pieces;
 * in the rest, 0xfe n stands for n * 256 bytes, so that small inputs reach large arguments. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "resp/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expand(const uint8_t *data, size_t size, struct buf *out)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != 0xfe || i + 1 == size) {
            buf_append_u8(out, data[i]);
            continue;
        }
        size_t n = (size_t)data[++i] * 256;
        memset(buf_reserve(out, n + 1), 'z', n);
        out->len += n;
    }
}

/* Requests and error as text: lengths and bytes, so that equal means equal. */
static void note_request(const struct request *q, struct buf *out)
{
    CHECK(q->argc >= 1 && q->memory >= sizeof(*q));
    buf_printf(out, "*%d ", q->argc);
    for (int i = 0; i < q->argc; i++) {
        buf_printf(out, "%zu:", q->argv[i].len);
        buf_append_bytes(out, q->argv[i]);
    }
}

static void run(struct bytes in, size_t step, const struct reader_limits *l, struct buf *out)
{
    struct reader *r = reader_new();
    enum reader_status status = READER_MORE;
    for (size_t at = 0; at < in.len && status == READER_MORE; at += step) {
        reader_feed(r, in.data + at, in.len - at < step ? in.len - at : step);
        struct request *q = NULL;
        while ((status = reader_next(r, l, &q)) == READER_REQUEST) {
            CHECK((size_t)q->argc <= l->max_args || in.len > 0);
            note_request(q, out);
            request_free(q);
        }
        CHECK(reader_memory(r) <= 4 * (in.len + 64) * sizeof(struct bytes));
    }
    if (status == READER_ERROR) {
        CHECK(reader_error(r) != NULL);
        /* hiredis must never object to what the scan let through. */
        CHECK(strstr(reader_error(r), "invalid request") == NULL);
        buf_append_cstr(out, reader_error(r));
    }
    reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    static const size_t steps[] = {1, 2, 3, 7, 64, 1000, 16384, 65536};
    size_t step = steps[data[0] % 8];
    struct reader_limits l = {.max_args = (data[0] & 8) ? 16 : 1024 * 1024,
                              .max_bulk = (data[0] & 16) ? 1000 : 1 << 20,
                              .max_inline = (size_t)1 << 30, /* its error depends on the pieces */
                              .max_query = (size_t)1 << 30,
                              .unauthenticated = (data[0] & 32) != 0};
    struct buf in;
    struct buf whole;
    struct buf pieces;
    buf_init(&in);
    buf_init(&whole);
    buf_init(&pieces);
    expand(data + 1, size - 1, &in);
    if (in.len > 0) {
        run(buf_bytes(&in), in.len, &l, &whole);
        run(buf_bytes(&in), step, &l, &pieces);
    }
    CHECK(bytes_eq(buf_bytes(&whole), buf_bytes(&pieces)));
    buf_release(&in);
    buf_release(&whole);
    buf_release(&pieces);
    return 0;
}
