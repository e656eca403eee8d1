/* import: respgres --import KIND: the sessions that an application's old session backend has in a
 * PostgreSQL table become keys, in the form in which its Redis backend reads them, so that nobody
 * is logged out by the move. The table is only read. Running it again is harmless: what lives here,
 * or has ended here, stays as it is. */
#ifndef RESPGRES_IMPORT_IMPORT_H
#define RESPGRES_IMPORT_IMPORT_H

#include "base/buf.h"
#include "config/config.h"

/* The words of the command line, NULL where they are not given. */
struct import_job {
    const char *kind; /* NULL = no --import */
    const char *from;
    const char *table;
    const char *prefix;
    const char *as;
    const char *time_zone;
    const char *db;
    const char *batch;
    const char *ttl;
    bool dry_run;
    bool overwrite;
    bool incomplete;  /* a word misses its value */
    char *owned_from; /* `from` is a copy of this one: argv's may hold a password, and is
                         overwritten */
};

/* If --import is among the words, takes it and what belongs to it out of argv. */
void import_take(struct import_job *job, int *argc, char **argv);
void import_release(struct import_job *job);

/* How it ended: the exit code. */
enum import_end {
    IMPORT_DONE = 0,
    IMPORT_FAILED = 1,  /* what was written before stays */
    IMPORT_SKIPPED = 2, /* done, but for rows that could not become keys */
};

/* Says on standard output what became of the rows, and on standard error how far it is and which
 * rows could not become keys. After a failure `error` says why. */
enum import_end import_run(const struct import_job *job, const struct config *c, struct buf *error);

#endif
