/* process: what every process can say about itself. */
#ifndef RESPGRES_METRICS_PROCESS_H
#define RESPGRES_METRICS_PROCESS_H

#include "metrics/page.h"

void process_collect(struct metrics_page *p);

#endif
