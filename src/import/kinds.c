#include "import/kinds.h"

#include <string.h>

#include "payload/convert.h"

/* ---- bytes ---- */

static const char *as_it_is(struct bytes in, struct buf *out)
{
    buf_append_bytes(out, in);
    return NULL;
}

/* connect-redis calls JSON.parse, and a session is an object. */
static const char *json_text(struct bytes in, struct buf *out)
{
    if (!convert_is_json_object(in))
        return "it is not a JSON object";
    buf_append_bytes(out, in);
    return NULL;
}

/* What Django's text holds: a JSON object, or a pickle where SESSION_SERIALIZER makes one. */
static const char *open_django(struct bytes in, struct buf *payload)
{
    if (!convert_django_open(in, payload))
        return "it is not a text that Django has signed";
    if (!convert_is_pickle(buf_bytes(payload)) && !convert_is_json_object(buf_bytes(payload)))
        return "its serializer is neither JSON nor pickle";
    return NULL;
}

static const char *django_pickle(struct bytes in, struct buf *out)
{
    struct buf payload;
    buf_init(&payload);
    const char *why = open_django(in, &payload);
    if (why == NULL && convert_is_pickle(buf_bytes(&payload)))
        buf_append_bytes(out, buf_bytes(&payload));
    else if (why == NULL && !convert_json_to_pickle(buf_bytes(&payload), out))
        why = "its JSON cannot be made a pickle";
    buf_release(&payload);
    return why;
}

static const char *django_json(struct bytes in, struct buf *out)
{
    struct buf payload;
    buf_init(&payload);
    const char *why = open_django(in, &payload);
    if (why == NULL && convert_is_pickle(buf_bytes(&payload)))
        why = "it holds a pickle, which cannot be made JSON";
    else if (why == NULL)
        buf_append_bytes(out, buf_bytes(&payload));
    buf_release(&payload);
    return why;
}

static const char *django_text(struct bytes in, struct buf *out)
{
    struct buf payload;
    buf_init(&payload);
    const char *why = open_django(in, &payload);
    if (why == NULL)
        buf_append_bytes(out, in);
    buf_release(&payload);
    return why;
}

/* ---- the table ---- */

static const struct import_form flask_forms[] = {{"bytes", "", as_it_is}, {NULL, NULL, NULL}};
static const struct import_form express_forms[] = {{"json", "sess:", json_text}, {NULL, NULL, NULL}};
static const struct import_form django_forms[] = {
    {"pickle", ":1:django.contrib.sessions.cache", django_pickle},
    {"json", ":1:django.contrib.sessions.cache", django_json},
    {"text", "", django_text},
    {NULL, NULL, NULL}};

static const struct import_kind kinds[] = {
    /* Flask-Session: session_id has the prefix already; expiry is UTC, without a zone. */
    {"sqlalchemy",
     {.name = "sessions",
      .key = "session_id",
      .value = "data",
      .expiry = "expiry",
      .binary = true,
      .time_zone = "UTC"},
     flask_forms},
    /* expire was converted by PostgreSQL, in the time zone of the role or the server. */
    {"connect-pg-simple",
     {.name = "session", .key = "sid", .value = "sess", .expiry = "expire"},
     express_forms},
    {"django",
     {.name = "django_session",
      .key = "session_key",
      .value = "session_data",
      .expiry = "expire_date"},
     django_forms},
};

const struct import_kind *import_kind_named(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }
    return NULL;
}

const struct import_form *import_form_named(const struct import_kind *k, const char *name)
{
    for (const struct import_form *f = k->forms; f->name != NULL; f++) {
        if (name == NULL || strcmp(f->name, name) == 0)
            return f;
    }
    return NULL;
}
