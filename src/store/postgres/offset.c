#include "store/postgres/offset.h"

/* One microsecond of drift in so many. */
static const int64_t drift = 1000;

static void age(struct clock_offset *o, int64_t now_us)
{
    int64_t by = (now_us - o->aged_us) / drift;
    o->low_us -= by;
    o->high_us += by;
    o->aged_us += by * drift; /* what is left counts the next time */
}

int64_t clock_offset_note(struct clock_offset *o, int64_t theirs_us, int64_t sent_us, int64_t now_us)
{
    struct clock_offset told = {true, theirs_us - now_us, theirs_us - sent_us, now_us};
    if (!o->known) {
        *o = told;
        return 0;
    }
    age(o, now_us);
    if (told.low_us > o->high_us || told.high_us < o->low_us) {
        int64_t set = told.low_us > o->high_us ? told.low_us - o->high_us : told.high_us - o->low_us;
        *o = told;
        return set;
    }
    if (told.low_us > o->low_us)
        o->low_us = told.low_us;
    if (told.high_us < o->high_us)
        o->high_us = told.high_us;
    return 0;
}

void clock_offset_set(struct clock_offset *o, int64_t offset_us, int64_t error_us, int64_t now_us)
{
    *o = (struct clock_offset){
        .known = true,
        .low_us = offset_us - error_us,
        .high_us = offset_us + error_us,
        .aged_us = now_us,
    };
}

int64_t clock_offset_us(const struct clock_offset *o)
{
    return o->low_us + (o->high_us - o->low_us) / 2;
}

int64_t clock_offset_error_us(const struct clock_offset *o, int64_t now_us)
{
    struct clock_offset aged = *o;
    if (!o->known)
        return 0;
    age(&aged, now_us);
    return (aged.high_us - aged.low_us + 1) / 2;
}
