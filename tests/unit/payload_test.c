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
    l.max_depth = 2; /* what is deeper is marked */
    EXPECT_INT(decode_limited(in, l), PAYLOAD_OK);
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

/* ---- what does not fit ---- */

static void append_u32(struct buf *out, size_t v, bool big)
{
    for (int i = 0; i < 4; i++)
        buf_append_u8(out, (uint8_t)(v >> 8 * (big ? 3 - i : i)));
}

static void append_times(struct buf *out, struct bytes s, size_t n)
{
    while (n-- > 0)
        buf_append_bytes(out, s);
}

/* A session whose messages alone are too much for a document, its owner behind them:
 * {"messages": [text, ...], "note": long text, "passport": {"user": "kim"}, "username": "ada"} */
struct big {
    enum payload_format format;
    void (*make)(struct buf *out);
};

enum { TEXTS = 900, TEXT = 1000, NOTE = 60000 };

static void append_filled(struct buf *out, size_t n)
{
    append_times(out, BYTES_LIT("\x7f\xff"), n / 2); /* U+FFFD is three bytes */
}

static void make_json(struct buf *out)
{
    buf_append_cstr(out, "{\"messages\":[0");
    for (int i = 0; i < TEXTS; i++) {
        buf_append_cstr(out, ",\"");
        append_filled(out, TEXT);
        buf_append_cstr(out, "\"");
    }
    buf_append_cstr(out, "],\"note\":\"");
    append_filled(out, NOTE);
    buf_append_cstr(out, "\",\"passport\":{\"user\":\"kim\"},\"username\":\"ada\"}");
}

static void make_msgpack(struct buf *out)
{
    buf_append_cstr(out, "\x84\xa8messages\xdd");
    append_u32(out, TEXTS, true);
    for (int i = 0; i < TEXTS; i++) {
        buf_append_u8(out, 0xdb);
        append_u32(out, TEXT, true);
        append_times(out, BYTES_LIT("\x01"), TEXT); /* six bytes each */
    }
    buf_append_cstr(out, "\xa4note\xdb");
    append_u32(out, NOTE, true);
    append_times(out, BYTES_LIT("\x01"), NOTE);
    buf_append_cstr(out, "\xa8passport\x81\xa4user\xa3kim\xa8username\xa3"
                         "ada");
}

static void make_php(struct buf *out)
{
    char text[64];
    snprintf(text, sizeof(text), "a:4:{s:8:\"messages\";a:%d:{", TEXTS);
    buf_append_cstr(out, text);
    for (int i = 0; i < TEXTS; i++) {
        snprintf(text, sizeof(text), "i:%d;s:%d:\"", i, TEXT);
        buf_append_cstr(out, text);
        append_times(out, BYTES_LIT("\x01"), TEXT);
        buf_append_cstr(out, "\";");
    }
    snprintf(text, sizeof(text), "}s:4:\"note\";s:%d:\"", NOTE);
    buf_append_cstr(out, text);
    append_times(out, BYTES_LIT("\x01"), NOTE);
    buf_append_cstr(out, "\";s:8:\"passport\";a:1:{s:4:\"user\";s:3:\"kim\";}"
                         "s:8:\"username\";s:3:\"ada\";}");
}

static void put_pickled(struct buf *out, size_t n)
{
    buf_append_u8(out, 'X');
    append_u32(out, n, false);
    append_times(out, BYTES_LIT("\x01"), n);
}

static void make_pickle(struct buf *out)
{
    buf_append(out, "\x80\x04}(X\x08\0\0\0messages](", 19);
    for (int i = 0; i < TEXTS; i++)
        put_pickled(out, TEXT);
    buf_append(out, "eX\x04\0\0\0note", 10);
    put_pickled(out, NOTE);
    buf_append(out, "X\x08\0\0\0passport}X\x04\0\0\0userX\x03\0\0\0kims", 32);
    buf_append(out, "X\x08\0\0\0usernameX\x03\0\0\0adau.", 23);
}

static bool holds(struct bytes s, const char *part)
{
    return memmem(s.data, s.len, part, strlen(part)) != NULL;
}

static void what_does_not_fit_is_marked(void)
{
    static const struct big rows[] = {{PAYLOAD_JSON, make_json},
                                      {PAYLOAD_MSGPACK, make_msgpack},
                                      {PAYLOAD_PHP_SERIALIZE, make_php},
                                      {PAYLOAD_PICKLE, make_pickle}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf in;
        struct buf out;
        buf_init(&in);
        buf_init(&out);
        rows[i].make(&in);
        for (int hint = 0; hint < 2; hint++) {
            enum payload_format f = hint == 0 ? PAYLOAD_AUTO : rows[i].format;
            out.len = 0;
            EXPECT_INT(payload_decode(buf_bytes(&in), f, &payload_default_limits, &out), PAYLOAD_OK);
            struct bytes doc = buf_bytes(&out);
            EXPECT(doc.len <= payload_default_limits.max_output / 4 && is_json(doc));
            EXPECT(holds(doc, "\"passport\":{\"user\":\"kim\"},\"username\":\"ada\"}"));
            EXPECT(holds(doc, ",{\"$omitted\":\"too long\"}],\"note\":{\"$omitted\":\"too long\"},"));
        }
        buf_release(&in);
        buf_release(&out);
    }
}

/* A bracket more or less, 200,000 deep: a mark, and what is beside it. */
static void depth_hides_nothing_beside_it(void)
{
    struct buf in;
    struct buf out;
    buf_init(&in);
    buf_init(&out);
    for (int missing = 0; missing < 2; missing++) {
        in.len = 0;
        buf_append_cstr(&in, "{\"a\":");
        append_times(&in, BYTES_LIT("["), 200000);
        append_times(&in, BYTES_LIT("]"), 200000 - (size_t)missing);
        buf_append_cstr(&in, ",\"username\":\"ada\"}");
        EXPECT_INT(payload_decode(buf_bytes(&in), PAYLOAD_JSON, &payload_default_limits, &out),
                   missing ? PAYLOAD_UNKNOWN : PAYLOAD_OK);
    }
    EXPECT(holds(buf_bytes(&out), "[{\"$omitted\":\"too deep\"}]"));
    EXPECT(holds(buf_bytes(&out), "],\"username\":\"ada\"}"));
    buf_release(&in);
    buf_release(&out);
}

/* Too many members: those of which there is no more room are counted as one. */
static void too_many_members_end_in_a_mark(void)
{
    struct buf in;
    struct buf out;
    buf_init(&in);
    buf_init(&out);
    buf_append_cstr(&in, "\xdf");
    append_u32(&in, 90000, true);
    append_times(&in, BYTES_LIT("\xa1k\xcb\x3f\xd5\x55\x55\x55\x55\x55\x55"), 90000);
    EXPECT_INT(payload_decode(buf_bytes(&in), PAYLOAD_AUTO, &payload_default_limits, &out), PAYLOAD_OK);
    EXPECT(is_json(buf_bytes(&out)) && holds(buf_bytes(&out), ",\"$omitted\":\"too long\"}"));
    buf_release(&in);
    buf_release(&out);
}

/* As large as can be, full of what costs most per byte: nothing takes long, or much memory. */
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
          TEST(texts_and_integers), TEST(limits_hold),
          TEST(what_does_not_fit_is_marked), TEST(depth_hides_nothing_beside_it), TEST(too_many_members_end_in_a_mark), TEST(the_worst_payloads_are_bounded),
          TEST(patterns_choose_the_keys), TEST(formats_have_names))
