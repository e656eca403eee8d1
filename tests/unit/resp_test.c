/* The reader against Redis 7.0's observed behaviour, in one piece and byte by byte; the writer
 * under both protocols. */
#include "test.h"

#include "base/mem.h"
#include "resp/reader.h"
#include "resp/reply.h"

static struct reader_limits limits(void)
{
    return (struct reader_limits){.max_args = INT32_MAX,
                                  .max_bulk = (size_t)512 << 20,
                                  .max_inline = 64 * 1024,
                                  .max_query = (size_t)1 << 30};
}

/* Every request as "[arg][arg];", "-text" for an error, to `out`. Returns the final status. */
static enum reader_status drain(struct reader *r, const struct reader_limits *l, struct buf *out)
{
    for (;;) {
        struct request *q = NULL;
        enum reader_status status = reader_next(r, l, &q);
        if (status == READER_ERROR)
            buf_printf(out, "-%s", reader_error(r) ? reader_error(r) : "(silent)");
        if (status != READER_REQUEST)
            return status;
        for (int i = 0; i < q->argc; i++) {
            buf_append_u8(out, '[');
            buf_append_bytes(out, q->argv[i]);
            buf_append_u8(out, ']');
        }
        buf_append_u8(out, ';');
        request_free(q);
    }
}

static void expect_steps(struct bytes in, const struct reader_limits *l, size_t step,
                         const char *want)
{
    struct reader *r = reader_new();
    struct buf out;
    buf_init(&out);
    enum reader_status status = READER_MORE;
    for (size_t i = 0; i < in.len && status != READER_ERROR; i += step) {
        reader_feed(r, in.data + i, in.len - i < step ? in.len - i : step);
        status = drain(r, l, &out);
    }
    EXPECT_TEXT(buf_cstr(&out), out.len, want);
    buf_release(&out);
    reader_free(r);
}

static void expect_limited(struct bytes in, struct reader_limits l, const char *want)
{
    expect_steps(in, &l, in.len, want);
    expect_steps(in, &l, 1, want);
    expect_steps(in, &l, 7, want);
}

#define EXPECT_READ(in, want) expect_limited(BYTES_LIT(in), limits(), want)

static void test_requests(void)
{
    EXPECT_READ("*1\r\n$4\r\nPING\r\n", "[PING];");
    EXPECT_READ("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "[ECHO][];");
    EXPECT_READ("*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n", "[ECHO][\r\n\r\n];");
    EXPECT_READ("*0\r\n*-1\r\n*-5\r\n*1\r\n$1\r\na\r\n", "[a];");
    EXPECT_READ("*1\r\n$1\r\na\r\nping x\r\n\r\n*1\r\n$1\r\nb\r\n", "[a];[ping][x];[b];");
    /* The bytes behind an argument are not looked at. */
    EXPECT_READ("*1\r\n$4\r\nPINGxx*1\r\n$1\r\nb\r\n", "[PING];[b];");
    EXPECT_READ("$4\r\nPING\r\n", "[$4];[PING];");
    EXPECT_READ("*12\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6"
                "\r\n$1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n$2\r\n10\r\n$2\r\n11\r\n",
                "[0][1][2][3][4][5][6][7][8][9][10][11];");
}

static void test_binary(void)
{
    struct reader *r = reader_new();
    struct reader_limits l = limits();
    const char in[] = "*2\r\n$3\r\na\0b\r\n$1\r\n\0\r\n";
    reader_feed(r, in, sizeof(in) - 1);
    struct request *q = NULL;
    EXPECT(reader_next(r, &l, &q) == READER_REQUEST);
    EXPECT_INT(q->argc, 2);
    EXPECT(bytes_eq(q->argv[0], BYTES_LIT("a\0b")));
    EXPECT(bytes_eq(q->argv[1], BYTES_LIT("\0")));
    EXPECT(q->memory > 0);
    request_free(q);
    EXPECT(reader_next(r, &l, &q) == READER_MORE);
    EXPECT_INT(reader_memory(r), 0);
    reader_free(r);
}

static void test_count_errors(void)
{
    const char *want = "-ERR Protocol error: invalid multibulk length";
    EXPECT_READ("*2147483648\r\n", want);
    EXPECT_READ("*9223372036854775808\r\n", want);
    EXPECT_READ("*abc\r\n", want);
    EXPECT_READ("*\r\n", want);
    EXPECT_READ("*+1\r\n", want);
    EXPECT_READ("*01\r\n", want);
    EXPECT_READ("*-0\r\n", want);
    EXPECT_READ("*1 \r\n", want);
    EXPECT_READ("*1\rx$4\r\nPING\r\n", want);
    EXPECT_READ("*2147483647\r\n", "");
    struct reader_limits l = limits();
    l.max_args = 1024;
    expect_limited(BYTES_LIT("*1025\r\n"), l, want);
    expect_limited(BYTES_LIT("*1024\r\n"), l, "");
}

static void test_length_errors(void)
{
    const char *want = "-ERR Protocol error: invalid bulk length";
    EXPECT_READ("*1\r\n$-1\r\n", want);
    EXPECT_READ("*1\r\n$abc\r\n", want);
    EXPECT_READ("*1\r\n$536870913\r\n", want);
    EXPECT_READ("*1\r\n$99999999999999999999\r\n", want);
    EXPECT_READ("*1\r\n$04\r\nPING\r\n", want);
    EXPECT_READ("*1\r\n$-0\r\n", want);
    EXPECT_READ("*1\r\n$4\rXPING\r\n", want);
    EXPECT_READ("*1\r\n$536870912\r\n", "");
    EXPECT_READ("*2\r\n$4\r\nECHO\r\n$-1\r\n", want);
}

static void test_only_flat_bulk_strings(void)
{
    EXPECT_READ("*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'");
    EXPECT_READ("*1\r\n+OK\r\n", "-ERR Protocol error: expected '$', got '+'");
    EXPECT_READ("*1\r\n-ERR\r\n", "-ERR Protocol error: expected '$', got '-'");
    EXPECT_READ("*1\r\n*1\r\n$1\r\na\r\n", "-ERR Protocol error: expected '$', got '*'");
    EXPECT_READ("*1\r\nx\r\n", "-ERR Protocol error: expected '$', got 'x'");
    EXPECT_READ("*1\r\n\r\n", "-ERR Protocol error: expected '$', got ' '");
    EXPECT_READ("*1\r\nxyz", "");
    EXPECT_READ("*1\r\n$1\r\na\r\n*1\r\n:1\r\n", "[a];-ERR Protocol error: expected '$', got ':'");
}

static void test_unauthenticated(void)
{
    struct reader_limits l = limits();
    l.unauthenticated = true;
    expect_limited(BYTES_LIT("*10\r\n"), l, "");
    expect_limited(BYTES_LIT("*11\r\n"), l,
                   "-ERR Protocol error: unauthenticated multibulk length");
    expect_limited(BYTES_LIT("*11x\r\n"), l, "-ERR Protocol error: invalid multibulk length");
    expect_limited(BYTES_LIT("*1\r\n$16384\r\n"), l, "");
    expect_limited(BYTES_LIT("*1\r\n$16385\r\n"), l,
                   "-ERR Protocol error: unauthenticated bulk length");
    expect_limited(BYTES_LIT("*1\r\n$600000000\r\n"), l,
                   "-ERR Protocol error: invalid bulk length");
    /* All arguments together. */
    expect_limited(BYTES_LIT("*3\r\n$4\r\nAUTH\r\n$1\r\nx\r\n$16379\r\n"), l, "");
    expect_limited(BYTES_LIT("*3\r\n$4\r\nAUTH\r\n$1\r\nx\r\n$16380\r\n"), l,
                   "-ERR Protocol error: unauthenticated bulk length");
}

/* `head` and n digits without a line end. */
static void expect_long_line(const char *head, size_t n, const char *want)
{
    struct buf in;
    buf_init(&in);
    buf_append_cstr(&in, head);
    memset(buf_reserve(&in, n), '1', n);
    in.len += n;
    struct reader_limits l = limits();
    expect_steps(buf_bytes(&in), &l, in.len, want);
    expect_steps(buf_bytes(&in), &l, 16, want);
    expect_steps(buf_bytes(&in), &l, 1, want);
    buf_release(&in);
}

static void test_long_lines(void)
{
    expect_long_line("*", 65535, "");
    expect_long_line("*", 65536, "-ERR Protocol error: too big mbulk count string");
    expect_long_line("*1\r\n$", 65535, "");
    expect_long_line("*1\r\n$", 65536, "-ERR Protocol error: too big bulk count string");
    expect_long_line("x", 65535, "");
    expect_long_line("x", 65536, "-ERR Protocol error: too big inline request");
}

static void test_inline(void)
{
    const char *unbalanced = "-ERR Protocol error: unbalanced quotes in request";
    EXPECT_READ("\r\n\n  \r\nping\n", "[ping];");
    EXPECT_READ(" set  k\tv \r\n", "[set][k][v];");
    EXPECT_READ("e \"a b\"\r\n", "[e][a b];");
    EXPECT_READ("e \"a\\x41\\n\\r\\t\\b\\a\\q\\\"\"\r\n", "[e][aA\n\r\t\b\aq\"];");
    EXPECT_READ("e 'it\\'s' '\\n'\r\n", "[e][it's][\\n];");
    EXPECT_READ("e foo\"bar baz\" x\n", "[e][foobar baz][x];");
    EXPECT_READ("e a\vb\n", "[e][a\vb];");
    EXPECT_READ(" \v\f e\n", "[e];");
    EXPECT_READ("e \"\" ''\n", "[e][][];");
    EXPECT_READ("e \"\\xZZ\" \"\\x4\"\n", "[e][xZZ][x4];");
    EXPECT_READ("e 'a\\x'\n", "[e][a\\x];");
    EXPECT_READ("e x\r\r\n", "[e][x];");
    EXPECT_READ("e 'a'b\n", unbalanced);
    EXPECT_READ("e \"a\"b\n", unbalanced);
    EXPECT_READ("e \"a\"\"b\"\n", unbalanced);
    EXPECT_READ("e \"a\n", unbalanced);
    EXPECT_READ("e 'a\n", unbalanced);
    EXPECT_READ("e \"a\\\n", unbalanced);
    EXPECT_READ("e a\\\"b\n", unbalanced);
}

/* A request of `args` arguments of `len` bytes each, `rounds` times, in steps. */
static void expect_big(size_t args, size_t len, int rounds, size_t step)
{
    struct buf in;
    buf_init(&in);
    for (int round = 0; round < rounds; round++) {
        buf_printf(&in, "*%zu\r\n", args);
        for (size_t i = 0; i < args; i++) {
            buf_printf(&in, "$%zu\r\n", len + i % 3);
            memset(buf_reserve(&in, len + 3), 'a' + (int)(i % 26), len + i % 3);
            in.len += len + i % 3;
            buf_append_cstr(&in, "\r\n");
        }
    }
    struct reader *r = reader_new();
    struct reader_limits l = limits();
    int got = 0;
    size_t most = 0;
    for (size_t at = 0; at < in.len; at += step) {
        reader_feed(r, in.data + at, in.len - at < step ? in.len - at : step);
        struct request *q = NULL;
        while (reader_next(r, &l, &q) == READER_REQUEST) {
            got++;
            EXPECT_INT(q->argc, args);
            for (int i = 0; i < q->argc; i++) {
                struct bytes a = q->argv[i];
                bool same = a.len == len + (size_t)i % 3 &&
                            (a.len == 0 || a.data[0] == 'a' + i % 26) &&
                            (a.len < 2 || memcmp(a.data, a.data + 1, a.len - 1) == 0);
                EXPECT(same);
            }
            request_free(q);
        }
        most = reader_memory(r) > most ? reader_memory(r) : most;
    }
    EXPECT_INT(got, rounds);
    EXPECT_INT(reader_memory(r), 0);
    EXPECT(most <= 2 * (in.len + step) + args * 64);
    reader_free(r);
    buf_release(&in);
}

static void test_big_requests(void)
{
    expect_big(3, 16382, 4, 1);
    expect_big(3, 16383, 4, 4096);
    expect_big(2, 16384, 4, 65536);
    expect_big(4, 70000, 3, 1000);
    expect_big(4, 70000, 3, (size_t)1 << 22);
    expect_big(50000, 3, 2, 1);
    expect_big(50000, 3, 2, (size_t)1 << 22);
    expect_big(100, 5000, 5, 65536);
    expect_big(100000, 0, 1, 16384);
    expect_big(1, (size_t)100 << 20, 2, 65536);
    expect_big(1, (size_t)8 << 20, 1, 1);
}

static void test_declared_is_not_allocated(void)
{
    struct reader *r = reader_new();
    struct reader_limits l = limits();
    const char *in = "*2147483647\r\n$536870912\r\nabc";
    reader_feed(r, in, strlen(in));
    struct request *q = NULL;
    EXPECT(reader_next(r, &l, &q) == READER_MORE);
    EXPECT(reader_memory(r) < 1024);
    reader_free(r);
}

static void test_query_limit_is_silent(void)
{
    struct reader_limits l = limits();
    l.max_query = 1000;
    struct reader *r = reader_new();
    char chunk[600];
    memset(chunk, 'x', sizeof(chunk));
    struct request *q = NULL;
    reader_feed(r, "*1\r\n$500000\r\n", 13);
    EXPECT(reader_next(r, &l, &q) == READER_MORE);
    reader_feed(r, chunk, sizeof(chunk));
    EXPECT(reader_next(r, &l, &q) == READER_MORE);
    reader_feed(r, chunk, sizeof(chunk));
    EXPECT(reader_next(r, &l, &q) == READER_ERROR);
    EXPECT(reader_error(r) == NULL);
    reader_feed(r, chunk, sizeof(chunk));
    EXPECT(reader_next(r, &l, &q) == READER_ERROR);
    reader_free(r);
}

static void test_free_half_way(void)
{
    const char *in[] = {"*3\r\n$1\r\na\r\n",
                        "*3\r\n$1\r\na\r\n$20000\r\nabc",
                        "*3\r\n$20000\r\n",
                        "*1000000\r\n",
                        "$",
                        "ab"};
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
        struct reader *r = reader_new();
        struct reader_limits l = limits();
        reader_feed(r, in[i], strlen(in[i]));
        struct request *q = NULL;
        EXPECT(reader_next(r, &l, &q) == READER_MORE);
        reader_free(r);
    }
    reader_free(NULL);
    request_free(NULL);
}

static void test_request_new(void)
{
    struct bytes argv[] = {BYTES_LIT("SET"), BYTES_LIT(""), BYTES_LIT("a\0b")};
    struct request *q = request_new(3, argv);
    EXPECT_INT(q->argc, 3);
    for (int i = 0; i < 3; i++) {
        EXPECT(bytes_eq(q->argv[i], argv[i]));
        EXPECT(q->argv[i].data != argv[i].data);
    }
    request_free(q);
}

/* ---- the writer ---- */

static struct buf written;

static struct reply begin(int proto)
{
    buf_release(&written);
    return (struct reply){.out = &written, .proto = proto};
}

#define EXPECT_REPLY(call, resp2, resp3)                     \
    do {                                                     \
        struct reply r_ = begin(2);                          \
        struct reply *r = &r_;                               \
        call;                                                \
        EXPECT_TEXT(buf_cstr(&written), written.len, resp2); \
        EXPECT(!r_.is_error);                                \
        r_ = begin(3);                                       \
        call;                                                \
        EXPECT_TEXT(buf_cstr(&written), written.len, resp3); \
        buf_release(&written);                               \
    } while (0)

static void test_replies(void)
{
    EXPECT_REPLY(reply_status(r, "PONG"), "+PONG\r\n", "+PONG\r\n");
    EXPECT_REPLY(reply_ok(r), "+OK\r\n", "+OK\r\n");
    EXPECT_REPLY(reply_int(r, 0), ":0\r\n", ":0\r\n");
    EXPECT_REPLY(reply_int(r, 10), ":10\r\n", ":10\r\n");
    EXPECT_REPLY(reply_int(r, -1), ":-1\r\n", ":-1\r\n");
    EXPECT_REPLY(reply_int(r, INT64_MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n");
    EXPECT_REPLY(reply_bulk_cstr(r, "hi"), "$2\r\nhi\r\n", "$2\r\nhi\r\n");
    EXPECT_REPLY(reply_bulk(r, BYTES_LIT("")), "$0\r\n\r\n", "$0\r\n\r\n");
    EXPECT_REPLY(reply_bulk_int(r, 12345), "$5\r\n12345\r\n", "$5\r\n12345\r\n");
    EXPECT_REPLY(reply_null(r), "$-1\r\n", "_\r\n");
    EXPECT_REPLY(reply_null_array(r), "*-1\r\n", "_\r\n");
    EXPECT_REPLY(reply_array(r, 3), "*3\r\n", "*3\r\n");
    EXPECT_REPLY(reply_set(r, 3), "*3\r\n", "~3\r\n");
    EXPECT_REPLY(reply_map(r, 3), "*6\r\n", "%3\r\n");
    EXPECT_REPLY(reply_push(r, 3), "*3\r\n", ">3\r\n");
    EXPECT_REPLY(reply_bool(r, true), ":1\r\n", "#t\r\n");
    EXPECT_REPLY(reply_bool(r, false), ":0\r\n", "#f\r\n");
    EXPECT_REPLY(reply_verbatim(r, "txt", BYTES_LIT("abc")), "$3\r\nabc\r\n", "=7\r\ntxt:abc\r\n");
}

static void test_doubles(void)
{
    EXPECT_REPLY(reply_double(r, 3), "$1\r\n3\r\n", ",3\r\n");
    EXPECT_REPLY(reply_double(r, 0.1), "$19\r\n0.10000000000000001\r\n",
                 ",0.10000000000000001\r\n");
    EXPECT_REPLY(reply_double(r, 1e300 * 1e300), "$3\r\ninf\r\n", ",inf\r\n");
    EXPECT_REPLY(reply_double(r, -1e300 * 1e300), "$4\r\n-inf\r\n", ",-inf\r\n");
    EXPECT_REPLY(reply_double(r, -1.5e-7), "$23\r\n-1.4999999999999999e-07\r\n",
                 ",-1.4999999999999999e-07\r\n");
}

static void test_error_replies(void)
{
    struct reply r = begin(2);
    reply_error(&r, "ERR a\r\nb");
    EXPECT_TEXT(buf_cstr(&written), written.len, "-ERR a  b\r\n");
    EXPECT(r.is_error);
    r = begin(3);
    reply_errorf(&r, "ERR unknown command '%s', %d", "x\ny", 7);
    EXPECT_TEXT(buf_cstr(&written), written.len, "-ERR unknown command 'x y', 7\r\n");
    EXPECT(r.is_error);
    buf_release(&written);
}

TEST_MAIN(TEST(test_requests), TEST(test_binary), TEST(test_count_errors), TEST(test_length_errors),
          TEST(test_only_flat_bulk_strings), TEST(test_unauthenticated), TEST(test_long_lines),
          TEST(test_inline), TEST(test_big_requests), TEST(test_declared_is_not_allocated),
          TEST(test_query_limit_is_silent), TEST(test_free_half_way), TEST(test_request_new),
          TEST(test_replies), TEST(test_doubles), TEST(test_error_replies))
