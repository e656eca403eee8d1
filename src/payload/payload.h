/* payload: the bytes that a session client stores → JSON that people can read, for the row's column
 * `doc`. A pure function: nothing is imported, called or run, whatever the bytes say; depth,
 * output, work and memory are bounded, and nothing is allocated from a length that the bytes
 * declare.
 *
 * The JSON is UTF-8 that PostgreSQL's jsonb accepts. What JSON or jsonb cannot hold is replaced:
 *   U+0000, a lone surrogate, a byte that is not UTF-8 in a text    U+FFFD
 *   NaN, the infinities                                             "NaN", "Infinity", "-Infinity"
 *   a number of more than 300 characters or beyond 1e308            its text as a string
 *   bytes                                    {"$bytes": "base64"}; as a key: text or base64
 *   a key that is not a text              its JSON as text: "1", "[1,2]"; of 4 kB at most
 *   tuple, set, frozenset                                           an array
 *   a point in time                          ISO 8601 text that PostgreSQL can cast
 *   an object of a class         {"$object": "module.Class", "args": [...], "state": ...}
 *   what contains itself                                            "$cycle"
 *   what is nested too deeply                             {"$omitted": "too deep"}
 * Of keys that are there twice, jsonb keeps the last.
 *
 * What would be too much JSON, or too much work, becomes a reduced document of a quarter of the size: each
 * member of the top level gets an eighth of the room that the ones before it have left. What is cut off
 * is replaced:
 *   a text, or an array or object that could not even begin   {"$omitted": "too long"}
 *   the rest of an array             a last element {"$omitted": "too long"}
 *   the rest of an object            a last member "$omitted": "too long"
 *   a key                            "$omitted" */
#ifndef RESPGRES_PAYLOAD_PAYLOAD_H
#define RESPGRES_PAYLOAD_PAYLOAD_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"

enum payload_format {
    PAYLOAD_AUTO, /* by content */
    PAYLOAD_JSON,
    PAYLOAD_MSGPACK,       /* Flask-Session from 0.6 */
    PAYLOAD_PICKLE,        /* Python, protocols 0 to 5: Flask-Session to 0.5, Django, Beaker */
    PAYLOAD_DJANGO,        /* django.core.signing's text, and the older base64 of hash:payload */
    PAYLOAD_PHP,           /* session.serialize_handler = php: name|value... */
    PAYLOAD_PHP_SERIALIZE, /* serialize(): one value */
    PAYLOAD_TEXT,          /* UTF-8; integers become numbers */
    PAYLOAD_NONE,          /* not decoded at all */
    PAYLOAD_FORMATS
};

enum payload_result {
    PAYLOAD_OK,
    PAYLOAD_UNKNOWN, /* not of this format, or of none */
    PAYLOAD_LIMIT,   /* too large, too much work */
};

enum { PAYLOAD_MAX_DEPTH = 128 }; /* max_depth may not be above */

struct payload_limits {
    size_t max_input;  /* bytes; also of what a zlib wrapper holds */
    size_t max_output; /* bytes of JSON */
    size_t max_steps;  /* of work: about two per value or key, one per opcode; of each of two attempts */
    int max_depth;
};

/* 1 MB, 1 MB, half a million, 64. */
extern const struct payload_limits payload_default_limits;

/* Appends the JSON to `json_out`, which is as before on any other result than PAYLOAD_OK. A zlib
 * wrapper around any format is looked through. */
MUST_CHECK enum payload_result payload_decode(struct bytes in, enum payload_format hint,
                                              const struct payload_limits *limits,
                                              struct buf *json_out);

/* "msgpack" → PAYLOAD_MSGPACK; false if there is no such format. */
MUST_CHECK bool payload_format_named(struct bytes name, enum payload_format *out);
const char *payload_format_name(enum payload_format f);

#endif
