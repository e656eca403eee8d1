#include "command/key.h"

#include "base/check.h"

void key_set(struct key *k, struct value *v)
{
    key_replace(k, v);
    k->expiry = (struct expiry){EXPIRY_NONE, 0};
}

void key_replace(struct key *k, struct value *v)
{
    CHECK(v != NULL);
    value_unref(k->value);
    if (k->value == NULL)
        k->expiry = (struct expiry){EXPIRY_NONE, 0};
    k->value = v;
    k->change = KEY_WRITTEN;
}

void key_note_change(struct key *k)
{
    CHECK(k->value != NULL && value_is_collection(k->value));
    k->change = KEY_WRITTEN;
}

void key_set_expiry(struct key *k, struct expiry e)
{
    CHECK(k->value != NULL);
    k->expiry = e;
    if (k->change == KEY_UNCHANGED)
        k->change = KEY_TOUCHED;
}

void key_remove(struct key *k)
{
    CHECK(k->value != NULL);
    value_unref(k->value);
    k->value = NULL;
    k->change = KEY_WRITTEN;
    k->removed = true;
}

void key_remove_guessed(struct key *k)
{
    if (!k->guessed)
        return;
    value_unref(k->value); /* one that has expired may still be here */
    k->value = NULL;
    k->change = KEY_WRITTEN;
    k->removed = true;
}

int64_t key_expires_ms(const struct key *k, int64_t now_ms)
{
    switch (k->expiry.kind) {
    case EXPIRY_NONE:
        return -1;
    case EXPIRY_AT:
        return k->expiry.us / 1000;
    case EXPIRY_RELATIVE:
        return now_ms + k->expiry.us / 1000;
    }
    check_failed("expiry kind", __FILE__, __LINE__);
}

int64_t key_ttl_ms(const struct key *k, int64_t now_ms)
{
    int64_t at = key_expires_ms(k, now_ms);
    if (at < 0)
        return -1;
    return at > now_ms ? at - now_ms : 0;
}

int64_t key_idle_ms(const struct key *k, int64_t now_ms)
{
    return now_ms > k->used_ms ? now_ms - k->used_ms : 0;
}
