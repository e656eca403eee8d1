/* option: the rows of options.def as data, and what can be done with one value: read it from
 * text, write it as CONFIG GET shows it, compare, copy. Knows nothing of files or precedence. */
#ifndef RESPGRES_CONFIG_OPTION_H
#define RESPGRES_CONFIG_OPTION_H

#include "base/buf.h"
#include "config/config.h"

enum option_kind {
    OPTION_INT,
    OPTION_BOOL,
    OPTION_ENUM,
    OPTION_STRING,
    OPTION_MEMORY,
    OPTION_OCTAL,
    OPTION_SECONDS,
    OPTION_MILLIS,
    OPTION_OUTPUT_LIMIT,
    OPTION_EVENTS
};

enum option_flag {
    OPTION_MUTABLE = 1, /* CONFIG SET and a reload may change it */
    OPTION_SECRET = 2,  /* never shown; has a _FILE variable; scrubbed from argv */
    OPTION_LIST = 4,    /* takes several words */
    OPTION_RELOADABLE = 8, /* a reload may change it, CONFIG SET not */
    OPTION_MULTI = 16,     /* pairs of words, each time some more */
    OPTION_PREPARED = 32,  /* config_on_prepare has a say in a change at run time */
    OPTION_LINES = 64      /* words, each time one more line of them */
};

enum option_id {
#define SECTION(title, first)
#define OPTION(name, kind, field, fallback, min, max, flags, words, prose) OPT_##field,
#include "config/options.def"
    OPTION_COUNT
};

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset; /* of its field in struct config */
    const char *fallback;
    int64_t min;
    int64_t max;
    unsigned flags;
    const char *words; /* of an enum, blank-separated */
    const char *prose;
};

struct option_section {
    enum option_id first;
    const char *title;
};

struct option_fixed {
    const char *name;
    const char *value;
};

extern const struct option options[OPTION_COUNT];
extern const struct option_section option_sections[];
extern const size_t option_section_count;
extern const struct option_fixed option_fixed[];
extern const size_t option_fixed_count;

/* An older name that is understood as well, or NULL. */
const char *option_alias(const struct option *o);
/* NULL if there is none of this name (case-insensitive). */
const struct option *option_find(struct bytes name);
const struct option_fixed *option_fixed_find(struct bytes name);

/* Sets the field from text. On failure the field is as before and `reason`, in Redis' words where
 * Redis has some and never with the value in it, is appended. */
MUST_CHECK bool option_parse(const struct option *o, struct bytes text, struct config *c,
                             struct buf *reason);

/* Appends the value as CONFIG GET shows it; a secret that is set as "(redacted)". */
void option_format(const struct option *o, const struct config *c, struct buf *out);

bool option_equal(const struct option *o, const struct config *a, const struct config *b);
void option_copy(const struct option *o, struct config *to, const struct config *from);

/* A string option's field. */
char **option_string(const struct option *o, struct config *c);

/* All options at their defaults. */
void config_init(struct config *c);
void config_release(struct config *c);

#endif
