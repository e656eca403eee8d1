#include "base/keyspace_events.h"

static const struct {
    char letter;
    unsigned event;
} letters[] = {
    {'g', EVENT_GENERIC},  {'$', EVENT_STRING},   {'l', EVENT_LIST},    {'s', EVENT_SET},
    {'h', EVENT_HASH},     {'z', EVENT_ZSET},     {'x', EVENT_EXPIRED}, {'e', EVENT_EVICTED},
    {'t', EVENT_STREAM},   {'d', EVENT_MODULE},   {'n', EVENT_NEW},     {'K', EVENT_KEYSPACE},
    {'E', EVENT_KEYEVENT}, {'m', EVENT_KEY_MISS}, {'A', EVENTS_ALL},
};

enum { LETTERS = sizeof(letters) / sizeof(letters[0]) };

bool keyspace_events_parse(struct bytes text, unsigned *out)
{
    unsigned events = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned event = 0;
        for (size_t k = 0; k < LETTERS; k++) {
            if (letters[k].letter == text.data[i])
                event = letters[k].event;
        }
        if (event == 0)
            return false;
        events |= event;
    }
    *out = events;
    return true;
}

void keyspace_events_format(unsigned events, struct buf *out)
{
    bool all = (events & EVENTS_ALL) == EVENTS_ALL;
    if (all)
        buf_append_cstr(out, "A");
    for (size_t i = 0; i < LETTERS; i++) {
        unsigned event = letters[i].event;
        bool in_all = (event & (EVENTS_ALL | EVENT_NEW)) != 0;
        if (event == EVENTS_ALL || (events & event) == 0 || (all && in_all))
            continue;
        buf_append(out, &letters[i].letter, 1);
    }
}

unsigned keyspace_events_effective(unsigned events)
{
    bool told = (events & EVENTS_CHANNELS) != 0 && (events & ~(unsigned)EVENTS_CHANNELS) != 0;
    return told ? events : 0;
}
