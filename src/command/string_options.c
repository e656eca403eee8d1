#include "command/string_options.h"

enum { SO_TIMES = SO_EX | SO_PX | SO_EXAT | SO_PXAT };

struct option_row {
    const char *name;
    unsigned option;
    unsigned excludes; /* an option may be repeated: the last one counts */
    bool for_set;
    bool for_getex;
    bool takes_time;
    struct time_unit unit;
};

static const struct option_row rows[] = {
    {"NX", SO_NX, SO_XX, true, false, false, {false, false}},
    {"XX", SO_XX, SO_NX, true, false, false, {false, false}},
    {"GET", SO_GET, 0, true, false, false, {false, false}},
    {"KEEPTTL", SO_KEEPTTL, SO_TIMES, true, false, false, {false, false}},
    {"PERSIST", SO_PERSIST, SO_TIMES, false, true, false, {false, false}},
#define NOT_WITH(o) (SO_KEEPTTL | SO_PERSIST | (SO_TIMES & ~(unsigned)(o)))
    {"EX", SO_EX, NOT_WITH(SO_EX), true, true, true, {true, false}},
    {"PX", SO_PX, NOT_WITH(SO_PX), true, true, true, {false, false}},
    {"EXAT", SO_EXAT, NOT_WITH(SO_EXAT), true, true, true, {true, true}},
    {"PXAT", SO_PXAT, NOT_WITH(SO_PXAT), true, true, true, {false, true}},
#undef NOT_WITH
};

static const struct option_row *row_find(struct bytes name)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (bytes_ieq(name, rows[i].name))
            return &rows[i];
    }
    return NULL;
}

bool string_options_parse(int argc, const struct bytes *argv, int from, bool set,
                          struct string_options *out)
{
    struct string_options o = {0};
    for (int i = from; i < argc; i++) {
        const struct option_row *row = row_find(argv[i]);
        if (row == NULL || !(set ? row->for_set : row->for_getex) || (o.given & row->excludes))
            return false;
        o.given |= row->option;
        if (!row->takes_time)
            continue;
        if (++i == argc)
            return false;
        o.has_time = true;
        o.time = argv[i];
        o.unit = row->unit;
    }
    *out = o;
    return true;
}
