/* http_request: which bytes are a request, which may become one, and which never will. */
#include "event/http_request.h"

#include "test.h"

static enum http_parse parse(const char *text, struct http_request *r)
{
    return http_request_parse(bytes_cstr(text), r);
}

#define EXPECT_PARSE(text, want)            \
    do {                                    \
        struct http_request r_;             \
        EXPECT_INT(parse(text, &r_), want); \
    } while (0)

static void proper_requests(void)
{
    struct http_request r;
    EXPECT_INT(parse("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET", &r), HTTP_COMPLETE);
    EXPECT_TEXT(r.path.data, r.path.len, "/metrics");
    EXPECT_INT(r.query.len, 0);
    EXPECT(!r.head && r.keep_alive);
    EXPECT_INT(r.len, 34);
    EXPECT_INT(parse("\r\n\r\nHEAD /readyz?pg=1&x HTTP/1.0\n\n", &r), HTTP_COMPLETE);
    EXPECT_TEXT(r.path.data, r.path.len, "/readyz");
    EXPECT_TEXT(r.query.data, r.query.len, "pg=1&x");
    EXPECT(r.head && !r.keep_alive);
    EXPECT_INT(parse("GET / HTTP/1.0\r\nConnection: foo , Keep-Alive\r\n\r\n", &r), HTTP_COMPLETE);
    EXPECT(r.keep_alive);
    EXPECT_INT(parse("GET / HTTP/1.1\r\ncOnnection:close\r\ncontent-length: 0\r\n\r\n", &r),
               HTTP_COMPLETE);
    EXPECT(!r.keep_alive);
}

/* Cut anywhere, it is incomplete, and nothing is written. */
static void the_end_has_not_come(void)
{
    static const char text[] = "GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        struct http_request r = {.len = 77};
        EXPECT_INT(http_request_parse(bytes_of(text, n), &r), HTTP_INCOMPLETE);
        EXPECT_INT(r.len, 77);
    }
}

static void garbage(void)
{
    EXPECT_PARSE("\x16\x03\x01", HTTP_BAD); /* TLS */
    EXPECT_PARSE("*1\r\n$4\r\nPING\r\n", HTTP_BAD);
    EXPECT_PARSE("GET\r\n", HTTP_BAD);
    EXPECT_PARSE("GET / HTTP/2.0\r\n", HTTP_BAD);
    EXPECT_PARSE("GET / HTTP/1.1 \r\n", HTTP_BAD);
    EXPECT_PARSE("GET /\r\n", HTTP_BAD);
    EXPECT_PARSE("GET  / HTTP/1.1\r\n", HTTP_BAD);
    EXPECT_PARSE("GET http://a/ HTTP/1.1\r\n", HTTP_BAD);
    EXPECT_PARSE("GET /\x80 HTTP/1.1\r\n", HTTP_BAD);
    EXPECT_PARSE("G(T / HTTP/1.1\r\n", HTTP_BAD);
    EXPECT_PARSE("GET / HTTP/1.1\r\nno colon\r\n", HTTP_BAD);
    EXPECT_PARSE("GET / HTTP/1.1\r\n folded: x\r\n", HTTP_BAD);
    EXPECT_PARSE("GET / HTTP/1.1\r\nname : x\r\n", HTTP_BAD);
    EXPECT_PARSE("GET / HTTP/1.1\r\n: x\r\n", HTTP_BAD);
    EXPECT_PARSE("GET / HTTP/1.1\r\nContent-Length: -1\r\n", HTTP_BAD);
    EXPECT_PARSE("GET / HTTP/1.1\r\nContent-Length:\r\n", HTTP_BAD);
    EXPECT_PARSE("GET / HTTP/1.1\r\nA: b\rc\r\n", HTTP_BAD);
    struct http_request r;
    EXPECT_INT(http_request_parse(BYTES_LIT("GET / HTTP/1.1\r\nA: b\0c\r\n"), &r), HTTP_BAD);
}

static void other_methods_and_bodies(void)
{
    EXPECT_PARSE("POST / HTTP/1.1\r\n\r\n", HTTP_BAD_METHOD);
    EXPECT_PARSE("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", HTTP_BAD_METHOD);
    EXPECT_PARSE("get / HTTP/1.1\r\n\r\n", HTTP_BAD_METHOD);
    EXPECT_PARSE("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", HTTP_HAS_BODY);
    EXPECT_PARSE("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_HAS_BODY);
    EXPECT_PARSE("GET / HTTP/1.1\r\nContent-Length: 3\r\n", HTTP_INCOMPLETE);
}

TEST_MAIN(TEST(proper_requests), TEST(the_end_has_not_come), TEST(garbage),
          TEST(other_methods_and_bodies))
