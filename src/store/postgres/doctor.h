/* doctor: what --doctor finds out about PostgreSQL. Blocking libpq on connections of its own:
 * nothing else happens in that process. */
#ifndef RESPGRES_STORE_POSTGRES_DOCTOR_H
#define RESPGRES_STORE_POSTGRES_DOCTOR_H

#include "config/config.h"

enum finding_level {
    FINDING_GOOD,
    FINDING_NOTE,    /* worth knowing */
    FINDING_WARNING, /* will be trouble */
    FINDING_BLOCKER  /* respgres cannot serve */
};

/* `what` in plain words; `remedy` is NULL where nothing is to be done. */
typedef void (*finding_cb)(void *arg, enum finding_level level, const char *what,
                           const char *remedy);

/* Asks the server that the configuration names. Reports at least one finding. */
void postgres_doctor(const struct config *config, finding_cb found, void *arg);

#endif
