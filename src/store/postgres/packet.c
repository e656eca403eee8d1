#include "store/postgres/packet.h"

#include <string.h>

enum { KIND_PLAIN, KIND_SHARD, KIND_REFERENCE };

enum { FRAME_HEADER = 9 };

void packet_begin(struct buf *raw, uint64_t sender, uint64_t number)
{
    buf_reset(raw, 64 * 1024);
    buf_append_be64(raw, sender);
    buf_append_be64(raw, number);
}

size_t packet_frame_size(struct bytes channel, struct bytes message)
{
    return FRAME_HEADER + channel.len + message.len;
}

void packet_add(struct buf *raw, bool shard, struct bytes channel, struct bytes message)
{
    buf_append_u8(raw, shard ? KIND_SHARD : KIND_PLAIN);
    buf_append_be32(raw, (uint32_t)channel.len);
    buf_append_be32(raw, (uint32_t)message.len);
    buf_append_bytes(raw, channel);
    buf_append_bytes(raw, message);
}

void packet_add_reference(struct buf *raw, uint64_t number, uint64_t size)
{
    buf_append_u8(raw, KIND_REFERENCE);
    buf_append_be64(raw, number);
    buf_append_be64(raw, size);
}

/* ---- base64 ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void packet_encode(const struct buf *raw, struct buf *text)
{
    const unsigned char *at = (const unsigned char *)raw->data;
    char *out = buf_reserve(text, 2 + raw->len / 3 * 4 + 4);
    char *start = out;
    *out++ = 'm';
    for (size_t left = raw->len; left > 0;) {
        size_t n = left < 3 ? left : 3;
        uint32_t v =
            (uint32_t)at[0] << 16 | (n > 1 ? (uint32_t)at[1] << 8 : 0) | (n > 2 ? at[2] : 0);
        out[0] = digits[v >> 18];
        out[1] = digits[v >> 12 & 63];
        out[2] = n > 1 ? digits[v >> 6 & 63] : '=';
        out[3] = n > 2 ? digits[v & 63] : '=';
        out += 4;
        at += n;
        left -= n;
    }
    text->len += (size_t)(out - start);
}

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool decode(struct bytes text, struct buf *raw)
{
    uint32_t v = 0;
    int have = 0;
    while (text.len > 0 && text.data[text.len - 1] == '=')
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0)
            return false;
        v = v << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_append_u8(raw, (uint8_t)(v >> have));
        }
    }
    return true;
}

/* ---- reading ---- */

static uint64_t be(const char *at, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

bool packet_decode(const char *text, struct buf *raw, uint64_t *sender, struct bytes *frames)
{
    buf_reset(raw, 64 * 1024);
    if (text[0] != 'm' || !decode(bytes_cstr(text + 1), raw) || raw->len < PACKET_HEADER)
        return false;
    *sender = be(raw->data, 8);
    *frames = bytes_of(raw->data + PACKET_HEADER, raw->len - PACKET_HEADER);
    return true;
}

static bool take(struct bytes *from, size_t n, struct bytes *out)
{
    if (from->len < n)
        return false;
    *out = bytes_of(from->data, n);
    *from = bytes_of(from->data + n, from->len - n);
    return true;
}

static bool take_frame(struct bytes *frames, struct frame *out)
{
    struct bytes head;
    struct bytes kind;
    *out = (struct frame){.shard = false};
    if (!take(frames, 1, &kind))
        return false;
    if (kind.data[0] == KIND_REFERENCE) {
        out->is_reference = true;
        if (!take(frames, PACKET_REFERENCE_SIZE - 1, &head))
            return false;
        out->number = be(head.data, 8);
        out->size = be(head.data + 8, 8);
        return true;
    }
    out->shard = kind.data[0] == KIND_SHARD;
    return (kind.data[0] == KIND_SHARD || kind.data[0] == KIND_PLAIN) &&
           take(frames, FRAME_HEADER - 1, &head) &&
           take(frames, (size_t)be(head.data, 4), &out->channel) &&
           take(frames, (size_t)be(head.data + 4, 4), &out->message);
}

bool frame_next(struct bytes *frames, struct frame *out)
{
    if (take_frame(frames, out))
        return true;
    frames->len = 0;
    return false;
}
