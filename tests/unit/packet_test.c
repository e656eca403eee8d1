/* What is published, as instances tell each other. */
#include "store/postgres/packet.h"

#include "test.h"

static void expect_frame(struct bytes *frames, bool shard, const char *channel, struct bytes text)
{
    struct frame f;
    EXPECT(frame_next(frames, &f));
    EXPECT(!f.is_reference);
    EXPECT_INT(f.shard, shard);
    EXPECT_TEXT(f.channel.data, f.channel.len, channel);
    EXPECT(bytes_eq(f.message, text));
}

static void there_and_back(void)
{
    struct buf raw = {0};
    struct buf text = {0};
    struct buf back = {0};
    unsigned char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    for (size_t n = 0; n < 5; n++) { /* each way that base64 can end */
        struct bytes filler = bytes_of((char *)all, n);
        struct bytes binary = bytes_of((char *)all, sizeof(all));
        uint64_t sender;
        struct bytes frames;
        struct frame f;
        text.len = 0;
        packet_begin(&raw, UINT64_C(0xfedcba9876543210), 7);
        packet_add(&raw, false, bytes_cstr("news"), binary);
        packet_add(&raw, true, bytes_of("", 0), bytes_of("", 0));
        packet_add_reference(&raw, UINT64_C(1) << 63 | 5, 123456789012);
        packet_add(&raw, false, bytes_cstr("x"), filler);
        EXPECT_INT(raw.len, PACKET_HEADER + packet_frame_size(bytes_cstr("news"), binary) +
                                packet_frame_size(bytes_of("", 0), bytes_of("", 0)) +
                                PACKET_REFERENCE_SIZE + packet_frame_size(bytes_cstr("x"), filler));
        packet_encode(&raw, &text);
        EXPECT(strspn(buf_cstr(&text),
                      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") ==
               text.len);
        EXPECT(packet_decode(buf_cstr(&text), &back, &sender, &frames));
        EXPECT(sender == UINT64_C(0xfedcba9876543210));
        expect_frame(&frames, false, "news", binary);
        expect_frame(&frames, true, "", bytes_of("", 0));
        EXPECT(frame_next(&frames, &f));
        EXPECT(f.is_reference && f.number == (UINT64_C(1) << 63 | 5) && f.size == 123456789012);
        expect_frame(&frames, false, "x", filler);
        EXPECT(!frame_next(&frames, &f));
    }
    buf_release(&raw);
    buf_release(&text);
    buf_release(&back);
}

static void the_longest_fits_a_notify(void)
{
    struct buf raw = {0};
    struct buf text = {0};
    packet_begin(&raw, 1, 2);
    while (raw.len < PACKET_RAW_MAX)
        buf_append_u8(&raw, 0xff);
    packet_encode(&raw, &text);
    EXPECT(text.len < 7950);
    buf_release(&raw);
    buf_release(&text);
}

/* Anybody may NOTIFY. Whatever it is, it ends. */
static void what_is_none(void)
{
    static const char *const texts[] = {"",   "m",       "x",       "m=", "mAAAA",
                                        "m!", "mAAAA\n", "k000AAA", "*"};
    struct buf back = {0};
    struct buf raw = {0};
    struct buf text = {0};
    uint64_t sender;
    struct bytes frames;
    struct frame f;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        EXPECT(!packet_decode(texts[i], &back, &sender, &frames));
    for (int kind = 0; kind < 256; kind++) {
        for (size_t len = 0; len < 40; len++) { /* cut anywhere; lengths that are not there */
            text.len = 0;
            packet_begin(&raw, 1, 1);
            buf_append_u8(&raw, (uint8_t)kind);
            for (size_t i = 0; i < len; i++)
                buf_append_u8(&raw, (uint8_t)(i == 3                ? 4
                                              : i == 7              ? 9
                                              : i % 2 == 0 && i > 8 ? 0xff
                                                                    : 0));
            packet_encode(&raw, &text);
            EXPECT(packet_decode(buf_cstr(&text), &back, &sender, &frames));
            int n = 0;
            while (frame_next(&frames, &f)) {
                EXPECT(f.channel.len + f.message.len <= len);
                n++;
            }
            EXPECT(n <= 5);
            EXPECT_INT(frames.len, 0);
        }
    }
    buf_release(&raw);
    buf_release(&text);
    buf_release(&back);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {TEST(there_and_back), TEST(the_longest_fits_a_notify),
                                        TEST(what_is_none)};
    return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL);
}
