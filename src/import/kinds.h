/* kinds: what --import knows: the table of each session backend, the key that its Redis backend
 * gives a session, and how the bytes differ. */
#ifndef RESPGRES_IMPORT_KINDS_H
#define RESPGRES_IMPORT_KINDS_H

#include "base/buf.h"
#include "base/bytes.h"
#include "store/postgres/import.h"

struct import_form {
    const char *name;   /* of --as */
    const char *prefix; /* of keys, unless --prefix says another one */
    /* Appends what is to be stored; else returns why not. */
    const char *(*convert)(struct bytes in, struct buf *out);
};

struct import_kind {
    const char *name;
    struct import_table table;       /* its name and time zone are defaults */
    const struct import_form *forms; /* the first is the default; the last has no name */
};

/* NULL = there is none of this name. */
const struct import_kind *import_kind_named(const char *name);
const struct import_form *import_form_named(const struct import_kind *k, const char *name);

#endif
