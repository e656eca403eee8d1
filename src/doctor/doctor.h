/* doctor: respgres --doctor. Looks at the options together, at the folder `dir`, and at PostgreSQL,
 * and says what it finds in plain words, with a remedy where something is to be done. Changes
 * nothing. */
#ifndef RESPGRES_DOCTOR_DOCTOR_H
#define RESPGRES_DOCTOR_DOCTOR_H

#include "config/config.h"

/* Writes the report to standard output. False if there is a blocker: respgres could not serve. */
bool doctor(const struct config_store *config);

#endif
