/* text: parts that what people read of the table has in common. */
#ifndef RESPGRES_CONFIG_TEXT_H
#define RESPGRES_CONFIG_TEXT_H

#include "config/option.h"

/* What the command line can ask for besides serving. */
struct action_text {
    const char *flag;
    const char *prose;
};

extern const struct action_text action_texts[];
extern const size_t action_text_count;

/* The title of the section that begins with this option, or NULL. */
const char *text_section_at(enum option_id id);

/* "<number>", "yes|no" ... */
void text_placeholder(struct buf *out, const struct option *o);

#endif
