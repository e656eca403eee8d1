/* reader: bytes from a client → requests.
 *
 * hiredis' reader parses replies: it would take nesting, nil and integers, it buffers a whole bulk
 * before it says a word, and its errors are not Redis'. So nothing reaches it unchecked. `in` holds
 * what has come; a scan over the headers alone checks counts and lengths against the limits, in
 * Redis' order and words, before the bytes they announce have come. What was scanned is the window
 * in[pos, end); it is handed to hiredis when the request is complete or the window is full, and
 * hiredis calls back with each argument.
 *
 * Invariants:
 *  - hiredis is given only a flat array of bulk strings, each whole, about WINDOW_SIZE +
 *    LARGE_ARG bytes at a time: its own buffer stays small and its `int`s never overflow.
 *  - The window's arguments and their bytes are counted by the scan, so their memory is reserved
 *    exactly, before hiredis runs: a usual request is one allocation.
 *  - An argument above LARGE_ARG is never in the window: its bytes go straight to where they stay,
 *    in memory that grows with what has come, and hiredis parses an empty stand-in for it. */
#include "resp/reader.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/num.h"

enum {
    LARGE_ARG = 16 * 1024,
    WINDOW_SIZE = 16 * 1024, /* handed to hiredis at the latest when it is this long */
    KEEP_SIZE = 8 * 1024,    /* what an idle connection's buffers may hold on to */
    LARGE_START = 64 * 1024, /* first memory of a large argument; doubled as bytes come */
    UNAUTHENTICATED_ARGS = 10,
    UNAUTHENTICATED_BYTES = 16384, /* of arguments, or of an inline command */
};

#define STAND_IN "$0\r\n\r\n"

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

/* Memory of arguments that did not come in one window. The bytes never move once they are whole. */
struct block {
    struct block *next;
    char data[];
};

/* What a struct request really is: argv and the bytes follow it in the same allocation, or are in
 * `argv_apart` and `blocks`. */
struct request_memory {
    struct request pub;
    struct bytes *argv_apart;
    struct block *blocks;
};

enum reader_state {
    READER_START,  /* before a request's first byte */
    READER_ARGS,   /* `args_left` arguments to be scanned */
    READER_LARGE,  /* within the bytes of a large argument */
    READER_FAILED, /* `error` tells */
};

struct reader {
    enum reader_state state;
    redisReader *parser; /* NULL until needed */
    bool parser_grown;   /* its buffer is larger than an idle connection should keep */

    struct buf in;
    size_t pos;    /* the window is in[pos, end) */
    size_t end;    /* first byte not scanned */
    size_t looked; /* bytes behind `end` that are known to hold no line end */
    size_t window_args;
    size_t window_bytes; /* of those arguments */
    size_t args_left;
    size_t args_bytes; /* as declared so far; only used before authentication */

    struct request_memory *req; /* the unfinished request, NULL if it is all in the window */
    size_t argv_cap;
    char *room; /* where the next argument's bytes go */
    size_t room_left;

    struct block *large;
    size_t large_len; /* as declared */
    size_t large_got;
    size_t large_cap;
    size_t skip; /* bytes of a large argument's CRLF still to come */

    bool error_silent;
    char error[80];
};

/* ---- requests ---- */

void request_free(struct request *r)
{
    if (r == NULL)
        return;
    struct request_memory *m = (struct request_memory *)(void *)r;
    mem_free(m->argv_apart);
    while (m->blocks != NULL) {
        struct block *b = m->blocks;
        m->blocks = b->next;
        mem_free(b);
    }
    mem_free(m);
}

/* Room for argc arguments and their bytes in one allocation; the caller fills it and sets argc. */
static struct request_memory *request_memory_new(size_t argc, size_t bytes)
{
    size_t size = sizeof(struct request_memory) + argc * sizeof(struct bytes) + bytes;
    struct request_memory *m = mem_try_alloc(size);
    if (m == NULL)
        return NULL;
    m->pub.argc = 0;
    m->pub.argv = (struct bytes *)(void *)(m + 1);
    m->pub.memory = size;
    m->argv_apart = NULL;
    m->blocks = NULL;
    return m;
}

struct request *request_new(int argc, const struct bytes *argv)
{
    CHECK(argc >= 1);
    size_t bytes = 0;
    for (int i = 0; i < argc; i++)
        bytes += argv[i].len;
    struct request_memory *m = request_memory_new((size_t)argc, bytes);
    CHECK(m != NULL);
    char *at = (char *)(m->pub.argv + argc);
    for (int i = 0; i < argc; i++) {
        if (argv[i].len > 0)
            memcpy(at, argv[i].data, argv[i].len);
        m->pub.argv[i] = bytes_of(at, argv[i].len);
        at += argv[i].len;
    }
    m->pub.argc = argc;
    return &m->pub;
}

/* ---- hiredis' object functions: they store, the scan has decided ---- */

static void *create_array(const redisReadTask *task, element_count n)
{
    (void)n;
    return task->parent == NULL ? task->privdata : NULL;
}

static void *create_string(const redisReadTask *task, char *s, size_t len)
{
    struct reader *r = task->privdata;
    struct request_memory *m = r->req;
    if (task->parent == NULL || task->type != REDIS_REPLY_STRING)
        return NULL;
    CHECK(m != NULL && (size_t)m->pub.argc < r->argv_cap && len <= r->room_left);
    if (r->large != NULL) {
        m->pub.argv[m->pub.argc++] = bytes_of(r->large->data, r->large_len);
        r->large->next = m->blocks;
        m->blocks = r->large;
        r->large = NULL;
        return r;
    }
    if (len == 0) {
        m->pub.argv[m->pub.argc++] = BYTES_LIT("");
        return r;
    }
    memcpy(r->room, s, len);
    m->pub.argv[m->pub.argc++] = bytes_of(r->room, len);
    r->room += len;
    r->room_left -= len;
    return r;
}

static void *refuse_integer(const redisReadTask *task, long long v)
{
    (void)task;
    (void)v;
    return NULL;
}

static void *refuse_nil(const redisReadTask *task)
{
    (void)task;
    return NULL;
}

/* The objects are the reader itself. */
static void keep_object(void *object)
{
    (void)object;
}

static redisReplyObjectFunctions object_functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = refuse_integer,
    .createNil = refuse_nil,
    .freeObject = keep_object,
};

/* ---- life ---- */

struct reader *reader_new(void)
{
    struct reader *r = mem_zalloc(sizeof(*r));
    buf_init(&r->in);
    return r;
}

static void drop_parser(struct reader *r)
{
    if (r->parser != NULL)
        redisReaderFree(r->parser);
    r->parser = NULL;
    r->parser_grown = false;
}

static void drop_request(struct reader *r)
{
    if (r->req != NULL)
        request_free(&r->req->pub);
    r->req = NULL;
    mem_free(r->large);
    r->large = NULL;
}

void reader_free(struct reader *r)
{
    if (r == NULL)
        return;
    drop_parser(r);
    drop_request(r);
    buf_release(&r->in);
    mem_free(r);
}

size_t reader_memory(const struct reader *r)
{
    size_t request = r->req != NULL ? r->req->pub.memory : 0;
    return r->in.len - r->pos + request + (r->large != NULL ? r->large_got : 0);
}

const char *reader_error(const struct reader *r)
{
    return r->error_silent ? NULL : r->error;
}

/* ---- errors: all final ---- */

static enum reader_status reader_fail(struct reader *r, const char *text)
{
    r->state = READER_FAILED;
    r->error_silent = text == NULL;
    if (text != NULL)
        snprintf(r->error, sizeof(r->error), "%s", text);
    drop_parser(r);
    drop_request(r);
    buf_release(&r->in);
    r->pos = r->end = 0;
    return READER_ERROR;
}

static enum reader_status fail_no_memory(struct reader *r)
{
    return reader_fail(r, "ERR Protocol error: out of memory for this request");
}

static enum reader_status fail_not_bulk(struct reader *r, char got)
{
    char text[sizeof(r->error)];
    bool line_end = got == '\r' || got == '\n';
    snprintf(text, sizeof(text), "ERR Protocol error: expected '$', got '%c'",
             line_end ? ' ' : got);
    return reader_fail(r, text);
}

/* ---- the window's way through hiredis ---- */

/* Room in the unfinished request for n more arguments and their bytes. */
static bool request_grow(struct reader *r, size_t n, size_t bytes)
{
    if (r->req == NULL) {
        r->req = request_memory_new(0, 0);
        r->argv_cap = 0;
        if (r->req == NULL)
            return false;
    }
    struct request_memory *m = r->req;
    size_t need = (size_t)m->pub.argc + n;
    if (need > r->argv_cap) {
        size_t cap = r->argv_cap * 2 > need ? r->argv_cap * 2 : need;
        struct bytes *argv = mem_try_realloc(m->argv_apart, cap * sizeof(*argv));
        if (argv == NULL)
            return false;
        m->argv_apart = argv;
        m->pub.argv = argv;
        m->pub.memory += (cap - r->argv_cap) * sizeof(*argv);
        r->argv_cap = cap;
    }
    r->room_left = 0;
    if (bytes > 0) {
        struct block *b = mem_try_alloc(sizeof(*b) + bytes);
        if (b == NULL)
            return false;
        b->next = m->blocks;
        m->blocks = b;
        m->pub.memory += sizeof(*b) + bytes;
        r->room = b->data;
        r->room_left = bytes;
    }
    return true;
}

static bool request_reserve(struct reader *r)
{
    if (r->req != NULL || r->args_left > 0)
        return request_grow(r, r->window_args, r->window_bytes);
    r->req = request_memory_new(r->window_args, r->window_bytes);
    if (r->req == NULL)
        return false;
    r->argv_cap = r->window_args;
    r->room = (char *)(r->req->pub.argv + r->window_args);
    r->room_left = r->window_bytes;
    return true;
}

/* Feeds n scanned bytes; READER_REQUEST when they end the request. */
static enum reader_status parse(struct reader *r, const char *data, size_t n)
{
    if (r->parser == NULL) {
        r->parser = redisReaderCreateWithFunctions(&object_functions);
        if (r->parser == NULL)
            return fail_no_memory(r);
        r->parser->privdata = r;
    }
    r->parser_grown |= n > KEEP_SIZE;
    void *object = NULL;
    if (redisReaderFeed(r->parser, data, n) != REDIS_OK ||
        redisReaderGetReply(r->parser, &object) != REDIS_OK)
        return reader_fail(r, "ERR Protocol error: invalid request");
    return object != NULL ? READER_REQUEST : READER_MORE;
}

static enum reader_status parse_window(struct reader *r)
{
    if (r->end == r->pos)
        return READER_MORE;
    if (!request_reserve(r))
        return fail_no_memory(r);
    enum reader_status status = parse(r, r->in.data + r->pos, r->end - r->pos);
    if (status == READER_ERROR)
        return status;
    r->pos = r->end;
    r->window_args = 0;
    r->window_bytes = 0;
    return status;
}

static void take_request(struct reader *r, struct request **out)
{
    *out = &r->req->pub;
    r->req = NULL;
    r->state = READER_START;
}

/* ---- the scan ---- */

enum line { LINE_PART, LINE_WHOLE, LINE_TOO_LONG };

/* The header line at `end`: `*n` or `$n`. Its content is in[end, *stop), CRLF behind it. As Redis,
 * a CR ends the line; unlike Redis, an LF must follow, or the number is called bad (*ok). */
static enum line header_line(struct reader *r, size_t max, size_t *stop, bool *ok)
{
    const char *from = r->in.data + r->end;
    size_t n = r->in.len - r->end;
    const char *cr = n > r->looked ? memchr(from + r->looked, '\r', n - r->looked) : NULL;
    if (cr == NULL) {
        r->looked = n;
        return n > max ? LINE_TOO_LONG : LINE_PART;
    }
    r->looked = (size_t)(cr - from);
    if (r->looked + 1 == n)
        return LINE_PART;
    *stop = r->end + r->looked;
    *ok = cr[1] == '\n';
    r->looked = 0;
    return LINE_WHOLE;
}

/* The number of a header line, digits of small ones without a call. */
static bool header_number(const struct reader *r, size_t stop, int64_t *out)
{
    const char *s = r->in.data + r->end + 1;
    if (stop <= r->end)
        return false; /* an empty line */
    size_t len = stop - r->end - 1;
    unsigned first = len > 0 ? (unsigned)((unsigned char)s[0] - '0') : 10;
    if (len == 1 && first <= 9) {
        *out = first;
        return true;
    }
    return num_int64(bytes_of(s, len), out);
}

static enum reader_status scan_count(struct reader *r, const struct reader_limits *limits)
{
    size_t stop = 0;
    bool ok = false;
    int64_t n;
    switch (header_line(r, limits->max_inline, &stop, &ok)) {
    case LINE_PART:
        return READER_MORE;
    case LINE_TOO_LONG:
        return reader_fail(r, "ERR Protocol error: too big mbulk count string");
    case LINE_WHOLE:
        break;
    }
    if (!ok || !header_number(r, stop, &n) || (n > 0 && (uint64_t)n > limits->max_args))
        return reader_fail(r, "ERR Protocol error: invalid multibulk length");
    if (n > UNAUTHENTICATED_ARGS && limits->unauthenticated)
        return reader_fail(r, "ERR Protocol error: unauthenticated multibulk length");
    r->end = stop + 2;
    if (n <= 0) {
        r->pos = r->end; /* no request: nothing for hiredis */
        return READER_REQUEST;
    }
    r->args_left = (size_t)n;
    r->args_bytes = 0;
    r->state = READER_ARGS;
    return READER_REQUEST;
}

/* The bytes of a large argument: as many as are there, into memory that grows with them. */
static bool large_append(struct reader *r, const char *data, size_t n)
{
    size_t need = r->large_got + n;
    if (r->large == NULL || need > r->large_cap) {
        size_t cap = r->large_cap > 0 ? r->large_cap : LARGE_START;
        while (cap < need)
            cap *= 2;
        cap = cap < r->large_len ? cap : r->large_len;
        struct block *b = mem_try_realloc(r->large, sizeof(*b) + cap);
        if (b == NULL)
            return false;
        r->large = b;
        r->large_cap = cap;
    }
    memcpy(r->large->data + r->large_got, data, n);
    r->large_got = need;
    return true;
}

/* Takes from data[0, n) what belongs to the large argument; *used tells how much. */
static bool large_take(struct reader *r, const char *data, size_t n, size_t *used)
{
    size_t missing = r->large_len - r->large_got;
    size_t take = n < missing ? n : missing;
    if (take > 0 && !large_append(r, data, take))
        return false;
    size_t skip = n - take < r->skip ? n - take : r->skip;
    r->skip -= skip;
    *used = take + skip;
    return true;
}

static enum reader_status begin_large(struct reader *r, size_t len, size_t body)
{
    enum reader_status status = parse_window(r);
    if (status == READER_ERROR)
        return status;
    r->pos = r->end = body;
    r->state = READER_LARGE;
    r->large_len = len;
    r->large_got = 0;
    r->large_cap = 0;
    r->skip = 2;
    return READER_REQUEST;
}

static enum reader_status scan_large(struct reader *r)
{
    size_t used = 0;
    if (r->in.len > r->end && !large_take(r, r->in.data + r->end, r->in.len - r->end, &used))
        return fail_no_memory(r);
    r->pos = r->end = r->end + used;
    if (r->large_got < r->large_len || r->skip > 0)
        return READER_MORE;
    if (!request_grow(r, 1, 0))
        return fail_no_memory(r);
    r->req->pub.memory += sizeof(struct block) + r->large_cap;
    r->args_left--;
    r->state = READER_ARGS;
    enum reader_status status = parse(r, STAND_IN, sizeof(STAND_IN) - 1);
    CHECK(status == READER_ERROR || (status == READER_REQUEST) == (r->args_left == 0));
    return status == READER_ERROR ? status : READER_REQUEST;
}

/* One argument: its header, checked before its bytes have come, and its bytes. Redis does not look
 * at the two bytes behind them, nor does hiredis. */
static enum reader_status scan_arg(struct reader *r, const struct reader_limits *limits)
{
    size_t stop = 0;
    bool ok = false;
    int64_t len;
    if (r->end == r->in.len)
        return READER_MORE;
    switch (header_line(r, limits->max_inline, &stop, &ok)) {
    case LINE_PART:
        return READER_MORE;
    case LINE_TOO_LONG:
        return reader_fail(r, "ERR Protocol error: too big bulk count string");
    case LINE_WHOLE:
        break;
    }
    if (r->in.data[r->end] != '$')
        return fail_not_bulk(r, r->in.data[r->end]);
    if (!ok || !header_number(r, stop, &len) || len < 0 || (uint64_t)len > limits->max_bulk)
        return reader_fail(r, "ERR Protocol error: invalid bulk length");
    if (limits->unauthenticated && (size_t)len > UNAUTHENTICATED_BYTES - r->args_bytes)
        return reader_fail(r, "ERR Protocol error: unauthenticated bulk length");
    size_t body = stop + 2;
    if (len > LARGE_ARG)
        return begin_large(r, (size_t)len, body);
    if (r->in.len - body < (size_t)len + 2)
        return READER_MORE;
    r->end = body + (size_t)len + 2;
    r->window_args++;
    r->window_bytes += (size_t)len;
    if (limits->unauthenticated)
        r->args_bytes += (size_t)len;
    r->args_left--;
    return READER_REQUEST;
}

static enum reader_status scan_args(struct reader *r, const struct reader_limits *limits,
                                    struct request **out)
{
    while (r->args_left > 0 && r->state == READER_ARGS) {
        enum reader_status status = scan_arg(r, limits);
        if (status != READER_REQUEST)
            return status;
        if (r->args_left > 0 && r->end - r->pos >= WINDOW_SIZE && parse_window(r) == READER_ERROR)
            return READER_ERROR;
    }
    if (r->state == READER_LARGE)
        return READER_REQUEST; /* go on there */
    if (r->end > r->pos) {
        enum reader_status status = parse_window(r);
        if (status == READER_ERROR)
            return status;
        CHECK(status == READER_REQUEST);
    }
    take_request(r, out);
    return READER_REQUEST;
}

/* ---- inline commands ---- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A backslash within double quotes at p; returns the byte it stands for, *p behind it. */
static char unescape(const char **p, const char *stop)
{
    const char *s = *p + 1;
    if (stop - s >= 3 && s[0] == 'x' && hex_digit(s[1]) >= 0 && hex_digit(s[2]) >= 0) {
        *p = s + 3;
        return (char)(hex_digit(s[1]) * 16 + hex_digit(s[2]));
    }
    *p = s + 1;
    switch (*s) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return *s;
    }
}

/* A quoted part: *p is behind the opening quote, and then behind the closing one, which a blank or
 * the end of the line must follow. Bytes go to *out if `store`; *out is advanced anyway. */
static bool quoted_part(const char **p, const char *stop, char quote, bool store, char **out)
{
    const char *s = *p;
    while (s < stop && *s != quote) {
        char c = *s;
        if (c == '\\' && s + 1 < stop && (quote == '"' || s[1] == '\'')) {
            c = unescape(&s, stop);
        } else {
            s++;
        }
        if (store)
            **out = c;
        (*out)++;
    }
    if (s == stop || (s + 1 < stop && !is_blank(s[1])))
        return false;
    *p = s + 1;
    return true;
}

/* Splits a line as Redis does; argv and out are filled if `store`. Returns the number of arguments
 * or -1 when quotes do not balance. *bytes is their length together. */
static int split_line(const char *p, const char *stop, bool store, struct bytes *argv, char *base,
                      size_t *bytes)
{
    int argc = 0;
    /* Without `store`, `out` only counts: it is never written through. */
    char *out = base;
    for (;;) {
        while (p < stop && is_blank(*p))
            p++;
        if (p == stop)
            break;
        char *begin = out;
        bool quoted = false;
        while (!quoted && p < stop && *p != ' ' && *p != '\n' && *p != '\r' && *p != '\t') {
            char c = *p++;
            if (c == '"' || c == '\'') {
                if (!quoted_part(&p, stop, c, store, &out))
                    return -1;
                quoted = true; /* a closing quote ends the argument */
                continue;
            }
            if (store)
                *out = c;
            out++;
        }
        if (store)
            argv[argc] = bytes_of(begin, (size_t)(out - begin));
        argc++;
    }
    *bytes = (size_t)(out - base);
    return argc;
}

static enum reader_status scan_inline(struct reader *r, const struct reader_limits *limits,
                                      struct request **out)
{
    const char *line = r->in.data + r->end;
    size_t n = r->in.len - r->end;
    const char *lf = n > r->looked ? memchr(line + r->looked, '\n', n - r->looked) : NULL;
    /* Whether a line of Redis' limit is refused depends on how much of it is here, as in Redis. */
    size_t length = lf != NULL ? (size_t)(lf - line) : n;
    if ((limits->unauthenticated && length > UNAUTHENTICATED_BYTES) ||
        (lf == NULL && length > limits->max_inline))
        return reader_fail(r, "ERR Protocol error: too big inline request");
    if (lf == NULL) {
        r->looked = n;
        return READER_MORE;
    }
    r->looked = 0;
    const char *stop = lf > line && lf[-1] == '\r' ? lf - 1 : lf;
    size_t bytes = 0;
    /* The line itself serves as the place that is counted from. */
    int argc = split_line(line, stop, false, NULL, r->in.data + r->end, &bytes);
    if (argc < 0)
        return reader_fail(r, "ERR Protocol error: unbalanced quotes in request");
    if (argc > 0) {
        struct request_memory *m = request_memory_new((size_t)argc, bytes);
        if (m == NULL)
            return fail_no_memory(r);
        m->pub.argc =
            split_line(line, stop, true, m->pub.argv, (char *)(m->pub.argv + argc), &bytes);
        *out = &m->pub;
    }
    r->pos = r->end = (size_t)(lf + 1 - r->in.data);
    return READER_REQUEST;
}

/* ---- feed and next ---- */

void reader_feed(struct reader *r, const char *data, size_t n)
{
    if (r->state == READER_FAILED)
        return;
    if (r->pos > 0) {
        buf_consume(&r->in, r->pos);
        r->end -= r->pos;
        r->pos = 0;
    }
    size_t used = 0;
    if (r->state == READER_LARGE && r->in.len == 0 && !large_take(r, data, n, &used)) {
        (void)fail_no_memory(r);
        return;
    }
    buf_append(&r->in, data + used, n - used);
}

/* All that came is taken: give back what a quiet connection need not hold. */
static void shrink(struct reader *r)
{
    if (r->pos < r->in.len)
        return;
    buf_reset(&r->in, KEEP_SIZE);
    r->pos = r->end = 0;
    if (r->parser_grown && r->state == READER_START)
        drop_parser(r);
}

enum reader_status reader_next(struct reader *r, const struct reader_limits *limits,
                               struct request **out)
{
    if (r->state == READER_FAILED)
        return READER_ERROR;
    if (reader_memory(r) > limits->max_query)
        return reader_fail(r, NULL);
    struct request *got = NULL;
    enum reader_status status = READER_REQUEST;
    while (got == NULL && status == READER_REQUEST) {
        if (r->state == READER_LARGE)
            status = scan_large(r);
        else if (r->state == READER_ARGS)
            status = scan_args(r, limits, &got);
        else if (r->end == r->in.len)
            status = READER_MORE;
        else if (r->in.data[r->end] == '*')
            status = scan_count(r, limits);
        else
            status = scan_inline(r, limits, &got);
    }
    if (status == READER_MORE)
        shrink(r);
    if (status == READER_REQUEST)
        *out = got;
    return status;
}
