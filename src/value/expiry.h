/* expiry: when a key ends. Time is PostgreSQL's clock. */
#ifndef RESPGRES_VALUE_EXPIRY_H
#define RESPGRES_VALUE_EXPIRY_H

#include <stdint.h>

/* Stored in the items of a commit batch: never renumber. */
enum expiry_kind {
    EXPIRY_NONE,     /* lives for ever */
    EXPIRY_AT,       /* `us`: microseconds since 1970 on PostgreSQL's clock */
    EXPIRY_RELATIVE, /* `us`: from the moment PostgreSQL writes it; only PostgreSQL knows the clock */
};

struct expiry {
    enum expiry_kind kind;
    int64_t us;
};

#endif
