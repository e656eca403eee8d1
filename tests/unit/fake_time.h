/* fake_time: loop.h's loop and timers and clock.h's clocks over a time that tests move. A test that
 * links fake_time.c gets no event loop and never sleeps. No descriptors, no signals. */
#ifndef RESPGRES_TESTS_UNIT_FAKE_TIME_H
#define RESPGRES_TESTS_UNIT_FAKE_TIME_H

#include <stdint.h>

#include "event/loop.h"

/* Moves the clocks on and fires what is due, in order of time. */
void fake_time_advance(struct loop *l, int64_t us);

/* Moves the clocks on and fires nothing: the process was held up. */
void fake_time_stall(int64_t us);

/* Fires once what is due within so long, and leaves the clocks: libevent's timers go by a coarser one. */
void fake_time_fire_early(struct loop *l, int64_t us);

#endif
