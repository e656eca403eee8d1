/* reply: writes RESP2 or RESP3 into a buffer. One function per kind of reply; the RESP3-only
 * kinds fall back to what Redis sends under RESP2.
 * Source: https://github.com/redis/redis-specifications (RESP2, RESP3) */
#ifndef RESPGRES_RESP_REPLY_H
#define RESPGRES_RESP_REPLY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

struct reply {
    struct buf *out; /* borrowed */
    int proto;       /* 2 or 3 */
    bool is_error;   /* set by reply_error*: the command failed */
};

void reply_status(struct reply *r, const char *s); /* +s */
void reply_ok(struct reply *r);
/* `text` starts with the code: "ERR ...", "WRONGTYPE ...". CR and LF in it become blanks. */
void reply_error(struct reply *r, const char *text);
void reply_errorf(struct reply *r, const char *format, ...) PRINTF_LIKE(2, 3);
void reply_int(struct reply *r, int64_t v);
void reply_bulk(struct reply *r, struct bytes s);
void reply_bulk_cstr(struct reply *r, const char *s);
void reply_bulk_int(struct reply *r, int64_t v); /* a number as a bulk string */
void reply_null(struct reply *r);                /* $-1 or _ */
void reply_null_array(struct reply *r);          /* *-1 or _ */
void reply_array(struct reply *r, size_t n);
void reply_set(struct reply *r, size_t n);       /* array under RESP2 */
void reply_map(struct reply *r, size_t pairs);   /* array of 2n under RESP2 */
void reply_push(struct reply *r, size_t n);      /* array under RESP2 */
void reply_bool(struct reply *r, bool v);        /* :1/:0 under RESP2 */
void reply_double(struct reply *r, double v);    /* bulk under RESP2 */
/* Three-letter format: "txt". Bulk under RESP2. */
void reply_verbatim(struct reply *r, const char *format, struct bytes s);

#endif
