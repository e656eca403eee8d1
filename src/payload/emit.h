/* emit: writes JSON that jsonb accepts, within limits. Commas, escapes and replacements (payload.h)
 * are settled here, so that a decoder only says what comes. A failure sticks: later calls do
 * nothing, and the decoder looks at emit_ok when it is convenient, at least once per loop.
 *
 * What is too deep, or does not fit into a reduced document, is left out here as well: the decoder
 * goes on saying what comes, and nothing is written of it. Where emit_closed says that this is so up
 * to the end of the container that it has begun last, it may go there at once, and then say emit_end.
 *
 * In a reduced document the cut goes through the members of the top level: each has an eighth of the
 * room that is left when it begins (`edge`). What was begun before the edge is completed beyond it:
 * brackets and marks have the last EMIT_MARGIN bytes for themselves. */
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
    size_t edge; /* of what is being written: `end`, or in a reduced document less */
    int hidden;  /* containers that were begun and are not written */
    bool rest;   /* what is still to come of the container that is being written is not, either */
    bool over;   /* what is being written goes beyond the edge */
    bool reduced;
    bool comma; /* due before the next value or key */
    bool key;   /* the next value is a key */
    bool keyed; /* the next value has a key */
    enum payload_result result;
};

enum { EMIT_MARGIN = 8 * 1024 };

/* Of all that comes; PAYLOAD_LIMIT where it does not fit. */
void emit_init(struct emit *e, struct buf *out, const struct payload_limits *limits);
/* What fits, and marks for the rest: a quarter of the output at most. False where that is too little
 * for any. */
MUST_CHECK bool emit_init_reduced(struct emit *e, struct buf *out,
                                  const struct payload_limits *limits);

static inline bool emit_ok(const struct emit *e)
{
    return e->result == PAYLOAD_OK;
}

/* The payload is not what the decoder takes it for. Returns false. */
bool emit_unknown(struct emit *e);
/* Work is counted; false = enough. */
bool emit_step(struct emit *e, size_t n);

/* Nothing more of the container that was begun last is written. */
static inline bool emit_closed(const struct emit *e)
{
    return e->hidden > 0 || e->rest;
}

/* '{' or '['; false only after a failure. */
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
