/* http_request: the head of an HTTP/1.x request, read from bytes. No I/O. */
#ifndef RESPGRES_EVENT_HTTP_REQUEST_H
#define RESPGRES_EVENT_HTTP_REQUEST_H

#include <stdbool.h>

#include "base/bytes.h"

struct http_request {
    struct bytes path;  /* into the input, without the query */
    struct bytes query; /* without the '?' */
    bool head;          /* HEAD, not GET */
    bool keep_alive;
    size_t len; /* bytes of the input that it takes */
};

enum http_parse {
    HTTP_INCOMPLETE,
    HTTP_COMPLETE,
    HTTP_BAD,        /* 400 */
    HTTP_BAD_METHOD, /* 405 */
    HTTP_HAS_BODY,   /* 413 */
};

/* The first request in `in`. `out` is filled with HTTP_COMPLETE only. What cannot become a request
 * any more is BAD although its end has not come. */
enum http_parse http_request_parse(struct bytes in, struct http_request *out);

#endif
