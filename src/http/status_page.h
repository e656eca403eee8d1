/* status_page: the page for people: the state, and INFO as tables. Plain HTML, nothing to run. */
#ifndef RESPGRES_HTTP_STATUS_PAGE_H
#define RESPGRES_HTTP_STATUS_PAGE_H

#include "engine/engine.h"

void status_page_write(struct engine *e, const char *instance, bool ready, struct buf *out);

#endif
