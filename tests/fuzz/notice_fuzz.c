/* notice_fuzz: what instances tell each other of keys. Whatever somebody NOTIFYs, only buckets that
 * there are become stale, one for three bytes at most; of an instance's own notices nothing is
 * taken; and what is written for keys is read as their buckets. An input that begins with a zero is
 * keys, each behind a byte with its length; any other is the text of a NOTIFY. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/postgres/notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOT = 5, OTHER_SLOT = 6, HEADER = 4, CODE = 3 };

struct heard {
    struct buf buckets; /* of uint32_t */
    int all;
};

static void on_stale(void *arg, uint32_t bucket)
{
    struct heard *h = arg;
    CHECK(bucket < STORE_BUCKETS);
    buf_append(&h->buckets, &bucket, sizeof(bucket));
}

static void on_all_stale(void *arg)
{
    ((struct heard *)arg)->all++;
}

/* As the instance with this slot hears it. The caller releases the buckets. */
static struct heard hear(const char *payload, int slot)
{
    static const struct store_notices to = {.stale = on_stale, .all_stale = on_all_stale};
    struct heard h = {.all = 0};
    buf_init(&h.buckets);
    notice_take(payload, slot, &to, &h);
    return h;
}

static bool is_hex(char c)
{
    return c != '\0' && strchr("0123456789abcdef", c) != NULL;
}

static void take_text(const char *payload)
{
    size_t len = strlen(payload);
    struct heard h = hear(payload, SLOT);
    size_t n = h.buckets.len / sizeof(uint32_t);
    CHECK(h.all == (strcmp(payload, "*") == 0));
    CHECK(n == 0 || (payload[0] == 'k' && n <= (len - HEADER) / CODE));
    for (int i = 1; n > 0 && i < HEADER; i++)
        CHECK(is_hex(payload[i]));
    CHECK(n == 0 || strtol((char[]){payload[1], payload[2], payload[3], '\0'}, NULL, 16) != SLOT);
    buf_release(&h.buckets);
}

static void tell_keys(struct bytes in)
{
    struct buf notice;
    struct buf buckets;
    buf_init(&notice);
    buf_init(&buckets);
    notice_begin(&notice, SLOT);
    while (in.len > 0) {
        size_t n = (unsigned char)in.data[0] < in.len ? (unsigned char)in.data[0] : in.len - 1;
        struct bytes key = bytes_of(in.data + 1, n);
        uint32_t bucket = store_bucket(key);
        notice_add_key(&notice, key);
        buf_append(&buckets, &bucket, sizeof(bucket));
        in = bytes_of(in.data + 1 + n, in.len - 1 - n);
    }
    notice_end(&notice);
    struct heard own = hear(buf_cstr(&notice), SLOT);
    struct heard others = hear(buf_cstr(&notice), OTHER_SLOT);
    CHECK(notice.len < 8000); /* what NOTIFY takes */
    CHECK(own.buckets.len == 0 && own.all == others.all);
    CHECK(others.all ? others.buckets.len == 0
                     : bytes_eq(buf_bytes(&others.buckets), buf_bytes(&buckets)));
    buf_release(&own.buckets);
    buf_release(&others.buckets);
    buf_release(&notice);
    buf_release(&buckets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '\0') {
        tell_keys(bytes_of((const char *)data + 1, size - 1));
        return 0;
    }
    char *payload = malloc(size + 1); /* exactly as long, so that the sanitizer sees each overrun */
    CHECK(payload != NULL);
    if (size > 0)
        memcpy(payload, data, size);
    payload[size] = '\0';
    take_text(payload);
    free(payload);
    return 0;
}
