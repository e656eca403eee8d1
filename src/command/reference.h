/* reference: the table of commands for people: the last section of docs/commands.md. */
#ifndef RESPGRES_COMMAND_REFERENCE_H
#define RESPGRES_COMMAND_REFERENCE_H

#include "base/buf.h"

/* What the section's first line is; all behind it is made. */
extern const char command_reference_heading[];

/* Writes the section, heading included: a Markdown table per group of commands. */
void command_reference(struct buf *out);

#endif
