/* parts: what the doctor looks at besides PostgreSQL. */
#ifndef RESPGRES_DOCTOR_PARTS_H
#define RESPGRES_DOCTOR_PARTS_H

#include "store/postgres/doctor.h"

/* Options that are good alone and bad together, or bad on this host. */
void doctor_options(const struct config *c, finding_cb found, void *arg);

/* The files of TLS for clients, if there is a port for it; the clock says whether they have expired. */
void doctor_tls(const struct config *c, int64_t now_s, finding_cb found, void *arg);

/* The folder for what must outlive a restart: whether it can be written to, on which kind of file
 * system it is, and how long fdatasync takes there. */
void doctor_folder(const char *path, finding_cb found, void *arg);

#endif
