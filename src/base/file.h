/* file: opens files that people name. Only regular ones: whoever opens a FIFO waits until another
 * process opens its other end, and a server that does so at a reload answers nobody. */
#ifndef RESPGRES_BASE_FILE_H
#define RESPGRES_BASE_FILE_H

#include <stdio.h>

/* To be read, closed at exec. -1 or NULL with the reason in *why (constant text, or strerror's);
 * errno is ENOENT if there is none, and something else otherwise. */
int file_open(const char *path, const char **why);
FILE *file_open_stream(const char *path, const char **why);

#endif
