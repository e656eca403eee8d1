/* json_read: the words of JSON (RFC 8259) one after another, for whoever makes something of them.
 * NaN and the infinities are words: Python writes them. Nesting is the caller's, and its limit. */
#ifndef RESPGRES_PAYLOAD_JSON_READ_H
#define RESPGRES_PAYLOAD_JSON_READ_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"

struct json_reader {
    const char *p;
    const char *end;
    struct buf text; /* of a string with escapes */
};

enum json_word {
    JSON_NULL,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NAN,
    JSON_INFINITY,
    JSON_MINUS_INFINITY,
    JSON_WORDS
};
extern const char *const json_words[JSON_WORDS];

/* Borrows `in` until released. */
void json_reader_init(struct json_reader *r, struct bytes in);
void json_reader_release(struct json_reader *r);

void json_skip_blanks(struct json_reader *r);
/* Nothing but blanks is left. */
bool json_at_end(struct json_reader *r);
/* This character, behind blanks; false leaves it, or another one, where it is. */
MUST_CHECK bool json_take(struct json_reader *r, char c);
/* Behind the opening quote. UTF-8 as it stands, lone surrogates as three bytes each; good until the
 * next string. */
MUST_CHECK bool json_take_string(struct json_reader *r, struct bytes *out);
MUST_CHECK bool json_take_word(struct json_reader *r, enum json_word *out);
/* Behind the end of the container whose inside begins here. Of what stands in it only strings and brackets
 * are looked at. */
MUST_CHECK bool json_skip_inside(struct json_reader *r, char closing);
/* As it is written. */
MUST_CHECK bool json_take_number(struct json_reader *r, struct bytes *out);

#endif
