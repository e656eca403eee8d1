/* packet_fuzz: what instances publish to each other. Everybody who may NOTIFY can send any text, so
 * whatever it is, what is found in it lies within what came, and is what makes the same packet: a
 * length in it is believed only as far as there are bytes. An input that begins with 'm' is the
 * text of a NOTIFY; of any other, the bytes behind the first one are a packet before its encoding.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/postgres/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool within(struct bytes part, struct bytes all)
{
    return part.len == 0 || (part.data >= all.data && part.data + part.len <= all.data + all.len);
}

/* An allocation of exactly that size, so that the sanitizer sees each overrun. */
static char *exact_copy(struct bytes in)
{
    char *copy = malloc(in.len + 1);
    CHECK(copy != NULL);
    if (in.len > 0)
        memcpy(copy, in.data, in.len);
    copy[in.len] = '\0';
    return copy;
}

/* Packs what was found, which makes the bytes that it was found in. */
static void take_frames(struct bytes frames)
{
    struct buf again;
    struct frame f;
    char *copy = exact_copy(frames);
    struct bytes all = bytes_of(copy, frames.len);
    struct bytes rest = all;
    buf_init(&again);
    while (frame_next(&rest, &f)) {
        CHECK(within(f.channel, all) && within(f.message, all) && within(rest, all));
        if (f.is_reference)
            packet_add_reference(&again, f.number, f.size);
        else
            packet_add(&again, f.shard, f.channel, f.message);
        CHECK(again.len + rest.len == all.len);
    }
    CHECK(rest.len == 0 && !frame_next(&rest, &f));
    CHECK(again.len <= all.len && (again.len == 0 || memcmp(again.data, all.data, again.len) == 0));
    buf_release(&again);
    free(copy);
}

/* False if it is none. */
static bool take_text(const char *text, struct buf *raw)
{
    struct bytes frames = bytes_of("", 0);
    uint64_t sender = 0;
    if (!packet_decode(text, raw, &sender, &frames))
        return false;
    CHECK(raw->len <= strlen(text) && raw->len == PACKET_HEADER + frames.len);
    CHECK(within(frames, buf_bytes(raw)));
    take_frames(frames);
    return true;
}

/* Any bytes that are long enough come through as they are. */
static void there_and_back(const struct buf *raw)
{
    struct buf text;
    struct buf back;
    buf_init(&text);
    buf_init(&back);
    packet_encode(raw, &text);
    CHECK(strlen(buf_cstr(&text)) == text.len);
    CHECK(take_text(buf_cstr(&text), &back) == (raw->len >= PACKET_HEADER));
    CHECK(raw->len < PACKET_HEADER || bytes_eq(buf_bytes(&back), buf_bytes(raw)));
    buf_release(&text);
    buf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf raw;
    buf_init(&raw);
    if (size > 0 && data[0] != 'm') {
        buf_append(&raw, data + 1, size - 1);
        there_and_back(&raw);
    } else {
        char *text = exact_copy(bytes_of((const char *)data, size));
        if (take_text(text, &raw))
            there_and_back(&raw);
        free(text);
    }
    buf_release(&raw);
    return 0;
}
