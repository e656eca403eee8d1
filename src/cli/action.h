/* action: what the command line can ask for besides serving: --help, --version, and the rows of
 * action_texts in config/text.c. */
#ifndef RESPGRES_CLI_ACTION_H
#define RESPGRES_CLI_ACTION_H

#include "base/buf.h"
#include "config/config.h"
#include "import/import.h"

struct action {
    bool migrate;
    bool print_schema;
    bool check_config;
    bool doctor;
    bool healthcheck;
    bool dump;
    const char *dump_path; /* NULL = standard output */
    bool backup;
    struct import_job import;
    bool (*journal)(const char *dir, struct buf *out); /* --check-journal, --repair-journal */
    bool merge_journal;      /* main's: no clients are served */
    const char *journal_dir; /* NULL = it was forgotten */
    int from; /* the version whose upgrade is printed, 0 = none yet */
};

/* --help and --version: true if there was one, and it was answered. */
bool action_answered(int argc, char **argv);

/* Takes the others out of argv; what is left is configuration. */
struct action action_take(int *argc, char **argv);

/* True if it needs no configuration; then it was carried out. */
bool action_run_early(const struct action *a, int *exit_code);

/* --merge-journal: the environment says what flags would say. False = `error` says why not. */
MUST_CHECK bool action_prepare_merge(const struct action *a, struct buf *error);

/* True if there was one; then it was carried out. */
bool action_run(const struct action *a, const struct config_store *config, int *exit_code);

/* Whether a database is named, in a form that libpq can read; else `error` has the remedy. */
MUST_CHECK bool action_has_database(const struct config *c, struct buf *error);

#endif
