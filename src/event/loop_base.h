/* loop_base: what the other files of this folder need of the loop. For src/event/ only. */
#ifndef RESPGRES_EVENT_LOOP_BASE_H
#define RESPGRES_EVENT_LOOP_BASE_H

#include "event/loop.h"

struct event_base;

struct event_base *loop_event_base(struct loop *l);

/* Callbacks that do not come through struct io tell the loop that time went on. */
void loop_woke(struct loop *l);

#endif
