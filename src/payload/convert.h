/* convert: a session in the form of one store → the form of another, for --import. Exact where doc
 * (payload.h) is for people only: nothing is replaced, and what cannot be exact fails. */
#ifndef RESPGRES_PAYLOAD_CONVERT_H
#define RESPGRES_PAYLOAD_CONVERT_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"

/* What a signed text of Django (django_session.session_data: django.core.signing, or before
 * Django 3.1 base64 of hash and payload) holds: JSON, or whatever else the site's serializer makes.
 * Compressed ones are inflated. The signature is not checked: that needs the site's SECRET_KEY.
 * False = it is no such text, or holds more than 64 MB. */
MUST_CHECK bool convert_django_open(struct bytes text, struct buf *payload);

/* A JSON object as Django's JSONSerializer writes it (bytes are Latin-1 there) → the pickle
 * (protocol 4) of the dict that Python's json.loads makes of it. False = it is none, is not an
 * object, or is nested deeper than 500. Both leave `out` as it was when they fail. */
MUST_CHECK bool convert_json_to_pickle(struct bytes json, struct buf *out);

/* Does it begin like a pickle of protocol 2 to 5, and end like one? */
bool convert_is_pickle(struct bytes s);

/* Is the whole of it one JSON object? */
bool convert_is_json_object(struct bytes s);

#endif
