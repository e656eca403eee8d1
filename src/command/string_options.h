/* string_options: what may follow the key and value of SET, and the key of GETEX. */
#ifndef RESPGRES_COMMAND_STRING_OPTIONS_H
#define RESPGRES_COMMAND_STRING_OPTIONS_H

#include "command/handler.h"

enum string_option {
    SO_NX = 1 << 0,
    SO_XX = 1 << 1,
    SO_GET = 1 << 2,
    SO_KEEPTTL = 1 << 3,
    SO_PERSIST = 1 << 4,
    SO_EX = 1 << 5,
    SO_PX = 1 << 6,
    SO_EXAT = 1 << 7,
    SO_PXAT = 1 << 8,
};

struct string_options {
    unsigned given;
    bool has_time; /* one of EX, PX, EXAT, PXAT */
    struct bytes time;
    struct time_unit unit;
};

/* Reads the arguments from `from` on; false = a syntax error. `set`: SET's options, or GETEX'. */
MUST_CHECK bool string_options_parse(int argc, const struct bytes *argv, int from, bool set,
                                     struct string_options *out);

#endif
