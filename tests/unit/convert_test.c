/* A session of one store in the form of another. That Python loads the pickles is seen by
 * tests/integration/test_import.py. */
#include "payload/convert.h"
#include "payload/payload.h"
#include "test.h"

static void expect_pickle(const char *json, struct bytes want)
{
    struct buf out;
    buf_init(&out);
    buf_append_cstr(&out, "x");
    EXPECT(convert_json_to_pickle(bytes_cstr(json), &out));
    EXPECT_INT(out.len - 1, want.len);
    if (!bytes_eq(bytes_of(out.data + 1, out.len - 1), want)) {
        printf("  %s is another pickle\n", json);
        test_failures++;
    }
    buf_release(&out);
}

static void json_becomes_a_pickle(void)
{
    expect_pickle("{}", BYTES_LIT("\x80\x04}."));
    expect_pickle(" {\"a\": [1, null]}\n", BYTES_LIT("\x80\x04}(\x8c\x01"
                                                     "a](J\x01\0\0\0Neu."));
    expect_pickle("{\"\":-1,\"b\":true}", BYTES_LIT("\x80\x04}(\x8c\0J\xff\xff\xff\xff\x8c\x01"
                                                    "b\x88u."));
    expect_pickle("{\"n\":4294967296,\"f\":1.5}",
                  BYTES_LIT("\x80\x04}(\x8c\x01nL4294967296L\n\x8c\x01"
                            "fG\x3f\xf8\0\0\0\0\0\0u."));
    expect_pickle("{\"s\":\"\\u00e9\\ud83d\\ude00\\ud800\"}",
                  BYTES_LIT("\x80\x04}(\x8c\x01s\x8c\x09\xc3\xa9\xf0\x9f\x98\x80\xed\xa0\x80u."));
    expect_pickle("{\"s\":\"\xe9\"}", BYTES_LIT("\x80\x04}(\x8c\x01s\x8c\x02\xc3\xa9u."));
}

/* Nested so deep, as an object within arrays within an object. */
static bool nested(int depth)
{
    struct buf json;
    struct buf out;
    buf_init(&json);
    buf_init(&out);
    buf_append_cstr(&json, "{\"a\":");
    for (int i = 1; i < depth; i++)
        buf_append_u8(&json, '[');
    for (int i = 1; i < depth; i++)
        buf_append_u8(&json, ']');
    buf_append_u8(&json, '}');
    bool done = convert_json_to_pickle(buf_bytes(&json), &out);
    EXPECT(done || out.len == 0);
    buf_release(&out);
    buf_release(&json);
    return done;
}

static void what_is_no_object_fails(void)
{
    static const char *const wrong[] = {"",  " ",   "1",       "[]",        "\"x\"",
                                        "{", "{}}", "{\"a\"}", "{\"a\":1,}"};
    struct buf out;
    buf_init(&out);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        EXPECT(!convert_json_to_pickle(bytes_cstr(wrong[i]), &out));
        EXPECT(!convert_is_json_object(bytes_cstr(wrong[i])));
        EXPECT_INT(out.len, 0);
    }
    EXPECT(nested(500));
    EXPECT(!nested(501));
    buf_release(&out);
}

/* Made by django.core.signing.dumps({"a": 1}), with and without compress. */
static void signed_texts_are_opened(void)
{
    static const char signature[] = ":1qXYZa:0123456789012345678901234567890123456789012";
    struct buf text;
    struct buf out;
    buf_init(&text);
    buf_init(&out);
    buf_printf(&text, "eyJhIjoxfQ%s", signature);
    EXPECT(convert_django_open(buf_bytes(&text), &out));
    EXPECT_TEXT(out.data, out.len, "{\"a\":1}");
    EXPECT(!convert_django_open(BYTES_LIT("eyJhIjoxfQ"), &out));
    EXPECT(!convert_django_open(BYTES_LIT(""), &out));
    EXPECT(
        !convert_django_open(BYTES_LIT(".eyJhIjoxfQ:1qXYZa:0123456789012345678901234567"), &out));
    EXPECT_TEXT(out.data, out.len, "{\"a\":1}");
    buf_release(&out);
    buf_release(&text);
}

static void pickles_are_told_from_the_rest(void)
{
    EXPECT(convert_is_pickle(BYTES_LIT("\x80\x02}.")));
    EXPECT(convert_is_pickle(BYTES_LIT("\x80\x05}.")));
    EXPECT(!convert_is_pickle(BYTES_LIT("\x80\x06}.")));
    EXPECT(!convert_is_pickle(BYTES_LIT("\x80\x04}")));
    EXPECT(!convert_is_pickle(BYTES_LIT("{}")));
}

TEST_MAIN(TEST(json_becomes_a_pickle), TEST(what_is_no_object_fails), TEST(signed_texts_are_opened),
          TEST(pickles_are_told_from_the_rest))
