/* clock: where time enters the process. Below the engine it is a parameter (STYLE: rule 17). */
#ifndef RESPGRES_BASE_CLOCK_H
#define RESPGRES_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds that never go back and go on during suspend (CLOCK_BOOTTIME). */
int64_t clock_mono_us(void);

/* Microseconds since 1970 on this host's clock. */
int64_t clock_wall_us(void);

#endif
