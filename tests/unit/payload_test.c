/* Payloads to JSON: a corpus that real libraries made (tests/payload/make_corpus), with the JSON
 * that must come out; then the limits, and which keys are decoded. */
#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/mem.h"
#include "payload/payload.h"
#include "payload/rules.h"
#include "test.h"

#define CORPUS RESPGRES_SOURCE_DIR "/tests/payload/corpus"

static bool read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return false;
    size_t n;
    do {
        n = fread(buf_reserve(out, 65536), 1, 65536, f);
        out->len += n;
    } while (n > 0);
    fclose(f);
    return true;
}

/* An independent reader agrees that it is JSON; it has no numbers beyond 64 bits, and says so. */
static bool is_json(struct bytes s)
{
    json_error_t error;
    json_t *v = json_loadb(s.data, s.len, JSON_DECODE_ANY, &error);
    bool good = v != NULL || json_error_code(&error) == json_error_numeric_overflow;
    if (!good)
        printf("  jansson: %s\n", error.text);
    json_decref(v);
    return good;
}

static void expect_decoded(const char *name, struct bytes in, enum payload_format hint,
                           struct bytes want)
{
    struct buf out;
    buf_init(&out);
    buf_append_cstr(&out, "before");
    EXPECT_INT(payload_decode(in, hint, &payload_default_limits, &out), PAYLOAD_OK);
    struct bytes got = bytes_of(out.data + 6, out.len - 6);
    if (!bytes_eq(got, want)) {
        size_t same = 0; /* long ones differ late */
        while (same < got.len && same < want.len && got.data[same] == want.data[same])
            same++;
        printf("  %s as %s: from byte %zu on \"%.*s\", not \"%.*s\"\n", name,
               payload_format_name(hint), same, got.len - same > 200 ? 200 : (int)(got.len - same),
               got.data + same, want.len - same > 200 ? 200 : (int)(want.len - same),
               want.data + same);
        test_failures++;
    }
    EXPECT(got.len == 0 || is_json(got));
    buf_release(&out);
}

static void expect_not_decoded(const char *name, struct bytes in, enum payload_format hint)
{
    struct buf out;
    buf_init(&out);
    buf_append_cstr(&out, "before");
    if (payload_decode(in, hint, &payload_default_limits, &out) == PAYLOAD_OK) {
        printf("  %s was taken: %.*s\n", name, (int)out.len, out.data);
        test_failures++;
    }
    EXPECT_TEXT(out.data, out.len, "before");
    buf_release(&out);
}

/* Whatever it is taken for, what comes out is JSON. */
static void expect_no_nonsense(struct bytes in)
{
    struct buf out;
    buf_init(&out);
    for (int f = 0; f < PAYLOAD_FORMATS; f++) {
        out.len = 0;
        if (payload_decode(in, (enum payload_format)f, &payload_default_limits, &out) == PAYLOAD_OK)
            EXPECT(is_json(buf_bytes(&out)));
        else
            EXPECT_INT(out.len, 0);
    }
    buf_release(&out);
}

static void check_payload(enum payload_format format, const char *name)
{
    char path[1024];
    struct buf in;
    struct buf want;
    buf_init(&in);
    buf_init(&want);
    snprintf(path, sizeof(path), CORPUS "/%s/%s.in", payload_format_name(format), name);
    EXPECT(read_file(path, &in));
    snprintf(path, sizeof(path), CORPUS "/%s/%s.json", payload_format_name(format), name);
    if (read_file(path, &want)) {
        CHECK(want.len > 0 && want.data[want.len - 1] == '\n');
        want.len--;
        expect_decoded(name, buf_bytes(&in), format, buf_bytes(&want));
        expect_decoded(name, buf_bytes(&in), PAYLOAD_AUTO, buf_bytes(&want));
    } else {
        expect_not_decoded(name, buf_bytes(&in), format);
    }
    expect_no_nonsense(buf_bytes(&in));
    buf_release(&in);
    buf_release(&want);
}

/* Every payload of a format; at least `least`, so that a missing corpus is noticed. */
static void check_format(enum payload_format format, int least)
{
    char path[1024];
    int n = 0;
    snprintf(path, sizeof(path), CORPUS "/%s", payload_format_name(format));
    DIR *folder = opendir(path);
    EXPECT(folder != NULL);
    for (struct dirent *d; folder != NULL && (d = readdir(folder)) != NULL;) {
        char name[256];
        char *dot = strrchr(d->d_name, '.');
        if (dot == NULL || strcmp(dot, ".in") != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(dot - d->d_name), d->d_name);
        check_payload(format, name);
        n++;
    }
    if (folder != NULL)
        closedir(folder);
    EXPECT(n >= least);
}

static void pickles_of_all_protocols(void)
{
    check_format(PAYLOAD_PICKLE, 90);
}

static void msgpack_with_its_extensions(void)
{
    check_format(PAYLOAD_MSGPACK, 15);
}

static void json_that_jsonb_would_refuse(void)
{
    check_format(PAYLOAD_JSON, 15);
}

static void signed_texts_of_django(void)
{
    check_format(PAYLOAD_DJANGO, 6);
}

static void php_in_both_forms(void)
{
    check_format(PAYLOAD_PHP_SERIALIZE, 15);
    check_format(PAYLOAD_PHP, 5);
}

static void texts_and_integers(void)
{
    check_format(PAYLOAD_TEXT, 5);
}

/* ---- limits ---- */

static enum payload_result decode_limited(struct bytes in, struct payload_limits limits)
{
    struct buf out;
    buf_init(&out);
    enum payload_result r = payload_decode(in, PAYLOAD_AUTO, &limits, &out);
    EXPECT(r == PAYLOAD_OK || out.len == 0);
    EXPECT(out.len <= limits.max_output);
    buf_release(&out);
    return r;
}

static void limits_hold(void)
{
    struct payload_limits l = payload_default_limits;
    struct bytes in = BYTES_LIT("[[[1,2,3]]]");
    EXPECT_INT(decode_limited(in, l), PAYLOAD_OK);
    l.max_depth = 3;
    EXPECT_INT(decode_limited(in, l), PAYLOAD_OK);
    l.max_depth = 2;
    EXPECT_INT(decode_limited(in, l), PAYLOAD_LIMIT);
    l = payload_default_limits;
    l.max_output = 11;
    EXPECT_INT(decode_limited(in, l), PAYLOAD_OK);
    l.max_output = 10;
    EXPECT_INT(decode_limited(in, l), PAYLOAD_LIMIT);
    l = payload_default_limits;
    l.max_input = 10;
    EXPECT_INT(decode_limited(in, l), PAYLOAD_LIMIT);
    l = payload_default_limits;
    l.max_steps = 5;
    EXPECT_INT(decode_limited(in, l), PAYLOAD_LIMIT);
    EXPECT_INT(decode_limited(BYTES_LIT(""), payload_default_limits), PAYLOAD_UNKNOWN);
}

/* 256 kB, full of what costs most per byte: nothing takes long, or much memory. */
static void the_worst_payloads_are_bounded(void)
{
    static const struct {
        const char *head;
        const char *body;
    } rows[] = {
        {"\x80\x02", "("}, /* marks, and nothing else */
        {"\x80\x02]q\x01", "h\x01"
                           "a"}, /* a list that holds itself */
        {"\x80\x02]", "]a"},
        {"\x80\x02}", "}K\x01s"},
        {"\x80\x02(", "(l"},
        {"", "a:1:{i:0;"},
        {"", "["},
        {"", "{\"a\":"},
        {"", "\x91"},
        {"a:9999:{", "i:0;a:1:{i:0;N;}"},
        {"", "\x81\x81\x81\x81\xa1\""}, /* keys in keys in keys */
        {"", "[0,{\"a\":[]}],"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf in;
        buf_init(&in);
        buf_append_cstr(&in, rows[i].head);
        while (in.len < payload_default_limits.max_input - 32)
            buf_append_cstr(&in, rows[i].body);
        buf_append_u8(&in, '.');
        decode_limited(buf_bytes(&in), payload_default_limits);
        buf_release(&in);
    }
}

/* ---- which keys ---- */

static void expect_rule(const struct payload_rules *r, const char *key, int want)
{
    enum payload_format f = PAYLOAD_FORMATS;
    bool matched = payload_rules_match(r, bytes_cstr(key), &f);
    EXPECT_INT(matched ? (int)f : -1, want);
}

static void patterns_choose_the_keys(void)
{
    struct payload_rules *r = payload_rules_new(
        "session:* :*:django.* exact", "session:p:* pickle  raw:* MSGPACK session:x none odd");
    EXPECT(payload_rules_are(r, "session:* :*:django.* exact",
                             "session:p:* pickle  raw:* MSGPACK session:x none odd"));
    EXPECT(!payload_rules_are(r, "session:*", ""));
    EXPECT(!payload_rules_are(NULL, "", ""));
    expect_rule(r, "session:1", PAYLOAD_AUTO);
    expect_rule(r, "session:p:1", PAYLOAD_PICKLE);
    expect_rule(r, "raw:1", PAYLOAD_MSGPACK);
    expect_rule(r, "session:x", -1);
    expect_rule(r, ":1:django.contrib.sessions.cacheabc", PAYLOAD_AUTO);
    expect_rule(r, "exact", PAYLOAD_AUTO);
    expect_rule(r, "exact2", -1);
    expect_rule(r, "sessio", -1);
    expect_rule(r, "", -1);
    payload_rules_free(r);
    r = payload_rules_new("sessions cart:*", "");
    expect_rule(r, "PHPREDIS_SESSION:abc", PAYLOAD_AUTO);
    expect_rule(r, ":1:django.contrib.sessions.cacheabc", PAYLOAD_AUTO);
    expect_rule(r, "cart:1", PAYLOAD_AUTO);
    expect_rule(r, "sessions", -1);
    payload_rules_free(r);
    r = payload_rules_new("no", "raw:* json");
    expect_rule(r, "raw:1", -1);
    payload_rules_free(r);
    payload_rules_free(NULL);
}

static void formats_have_names(void)
{
    for (int f = 0; f < PAYLOAD_FORMATS; f++) {
        enum payload_format found;
        EXPECT(
            payload_format_named(bytes_cstr(payload_format_name((enum payload_format)f)), &found));
        EXPECT_INT(found, f);
    }
    enum payload_format unused;
    EXPECT(!payload_format_named(BYTES_LIT("yaml"), &unused));
}

TEST_MAIN(TEST(pickles_of_all_protocols), TEST(msgpack_with_its_extensions),
          TEST(json_that_jsonb_would_refuse), TEST(signed_texts_of_django), TEST(php_in_both_forms),
          TEST(texts_and_integers), TEST(limits_hold), TEST(the_worst_payloads_are_bounded),
          TEST(patterns_choose_the_keys), TEST(formats_have_names))
