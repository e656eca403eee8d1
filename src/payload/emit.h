/* emit: writes JSON that jsonb accepts, within limits. Commas, escapes and replacements (payload.h)
 * are settled here, so that a decoder only says what comes. A failure sticks: later calls do
 * nothing, and the decoder looks at emit_ok when it is convenient, at least once per loop. */
#ifndef RESPGRES_PAYLOAD_EMIT_H
#define RESPGRES_PAYLOAD_EMIT_H

#include <stdint.h>

#include "payload/payload.h"

struct emit {
    struct buf *out;
    size_t end; /* out->len may not be above */
    size_t steps_left;
    size_t max_inner; /* bytes that a wrapper within the payload may hold */
    int depth;
    int max_depth;
    bool comma; /* due before the next value or key */
    bool key;   /* the next value is a key */
    enum payload_result result;
};

void emit_init(struct emit *e, struct buf *out, const struct payload_limits *limits);

static inline bool emit_ok(const struct emit *e)
{
    return e->result == PAYLOAD_OK;
}

/* The payload is not what the decoder takes it for. Returns false. */
bool emit_unknown(struct emit *e);
/* Work is counted; false = enough. */
bool emit_step(struct emit *e, size_t n);

/* '{' or '['; false if that is too deep. */
bool emit_begin(struct emit *e, char bracket);
void emit_end(struct emit *e, char bracket);

/* A key is one value between these two, whatever its type: it becomes a text. */
size_t emit_key_begin(struct emit *e);
void emit_key_end(struct emit *e, size_t mark);
void emit_key(struct emit *e, struct bytes text);
void emit_key_cstr(struct emit *e, const char *text);

void emit_null(struct emit *e);
void emit_bool(struct emit *e, bool v);
void emit_int(struct emit *e, int64_t v);
void emit_uint(struct emit *e, uint64_t v);
void emit_double(struct emit *e, double v);
/* A number as it is written: as a number if JSON can have it, else as a string. */
void emit_number(struct emit *e, struct bytes text);
/* UTF-8, or what should be. */
void emit_text(struct emit *e, struct bytes text);
void emit_cstr(struct emit *e, const char *text);
void emit_bytes(struct emit *e, struct bytes b);
/* The base64 alone, as a string. */
void emit_base64(struct emit *e, struct bytes b);
/* For formats whose strings are bytes that are text most of the time. */
void emit_text_or_bytes(struct emit *e, struct bytes s);
/* Microseconds since 1970, as ISO 8601 in UTC; `nanos` below a microsecond are cut off. */
void emit_time_utc(struct emit *e, int64_t seconds, uint32_t nanos);

bool is_json_number(struct bytes text);
bool is_utf8(struct bytes s);
/* ... and without NUL: probably a text. */
bool is_clean_utf8(struct bytes s);
/* Appends a code point as UTF-8, surrogates included (emit_text replaces them). */
void append_utf8(struct buf *out, uint32_t c);

#endif
