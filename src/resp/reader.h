/* reader: bytes from a client → requests. hiredis' reader parses; its object functions are ours,
 * and only flat arrays of bulk strings pass. Inline commands are split by hand, with Redis'
 * quoting rules. Nothing is allocated from a declared length before the bytes have come.
 * Source: https://redis.io/docs/latest/develop/reference/protocol-spec/ */
#ifndef RESPGRES_RESP_READER_H
#define RESPGRES_RESP_READER_H

#include "base/bytes.h"
#include "base/check.h"

/* One parsed command. The arguments' bytes belong to the request. argc >= 1. */
struct request {
    int argc;
    struct bytes *argv;
    size_t memory; /* bytes held, this struct included */
};

void request_free(struct request *r); /* NULL is allowed */

/* A request made from copies, for tests and for commands that queue. */
struct request *request_new(int argc, const struct bytes *argv);

struct reader_limits {
    size_t max_args;      /* at most INT32_MAX, which is Redis 7.0's */
    size_t max_bulk;      /* proto-max-bulk-len */
    size_t max_inline;    /* 64 kB */
    size_t max_query;     /* client-query-buffer-limit: unparsed bytes plus the unfinished request */
    bool unauthenticated; /* then at most 10 arguments, as in Redis, of 16384 bytes together */
};

struct reader;

struct reader *reader_new(void);
void reader_free(struct reader *r);

/* Copies n bytes in. */
void reader_feed(struct reader *r, const char *data, size_t n);

enum reader_status { READER_MORE, READER_REQUEST, READER_ERROR };

/* READER_REQUEST: *out is the caller's. Empty lines and `*0`, `*-1` are skipped silently.
 * READER_ERROR: final; reader_error() tells; the connection is to be closed after that reply. */
MUST_CHECK enum reader_status reader_next(struct reader *r, const struct reader_limits *limits,
                                          struct request **out);

/* The error reply's text with its code and without CRLF ("ERR Protocol error: invalid bulk
 * length"), in Redis 7.0's words; NULL where Redis closes without a reply (query buffer limit). */
const char *reader_error(const struct reader *r);

/* Bytes held: unparsed input and the unfinished request. */
size_t reader_memory(const struct reader *r);

#endif
