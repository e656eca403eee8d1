#include "store/postgres/notice.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

enum { SLOT_DIGITS = 3, CODE = 3, MAX_PAYLOAD = 7900 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hex[] = "0123456789abcdef";

_Static_assert(STORE_BUCKETS == 1 << (6 * CODE), "a bucket fits its code");

void notice_begin(struct buf *out, int slot)
{
    buf_reset(out, 0);
    buf_printf(out, "k%03x", (unsigned)slot & 0xfff);
}

void notice_add_key(struct buf *out, struct bytes key)
{
    uint32_t bucket = store_bucket(key);
    char code[CODE] = {alphabet[bucket >> 12], alphabet[bucket >> 6 & 63], alphabet[bucket & 63]};
    buf_append(out, code, CODE);
}

void notice_end(struct buf *out)
{
    if (out->len > MAX_PAYLOAD) {
        buf_reset(out, 0);
        buf_append_cstr(out, "*");
    }
    (void)buf_cstr(out);
}

void notice_ping(struct buf *out, int slot, int64_t incarnation, uint64_t number)
{
    buf_reset(out, 0);
    buf_printf(out, "p%d.%" PRId64 ".%" PRIu64, slot, incarnation, number);
    (void)buf_cstr(out);
}

static bool take_code(const char *code, uint32_t *bucket)
{
    *bucket = 0;
    for (int i = 0; i < CODE; i++) {
        const char *at = code[i] == '\0' ? NULL : strchr(alphabet, code[i]);
        if (at == NULL)
            return false;
        *bucket = *bucket << 6 | (uint32_t)(at - alphabet);
    }
    return true;
}

/* Exactly these digits: strtol would take a sign, blanks and "0x", too. */
static bool take_slot(const char *digits, int *slot)
{
    *slot = 0;
    for (int i = 0; i < SLOT_DIGITS; i++) {
        const char *at = digits[i] == '\0' ? NULL : strchr(hex, digits[i]);
        if (at == NULL)
            return false;
        *slot = *slot << 4 | (int)(at - hex);
    }
    return true;
}

static void take_keys(const char *payload, int slot, const struct store_notices *to, void *arg)
{
    int writer;
    uint32_t bucket;
    if (!take_slot(payload + 1, &writer) || (writer == slot && slot != 0))
        return;
    for (const char *at = payload + 1 + SLOT_DIGITS; take_code(at, &bucket); at += CODE)
        to->stale(arg, bucket);
}

void notice_take(const char *payload, int slot, const struct store_notices *to, void *arg)
{
    if (payload[0] == 'k')
        take_keys(payload, slot, to, arg);
    else if (strcmp(payload, "*") == 0)
        to->all_stale(arg);
}
