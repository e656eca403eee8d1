/* fiber: a function on a stack of its own, which may give control back before it has ended and be
 * resumed later. One runs at a time; there are no threads. */
#ifndef RESPGRES_SCRIPT_FIBER_H
#define RESPGRES_SCRIPT_FIBER_H

#include <stdbool.h>
#include <stddef.h>

struct fiber;

/* NULL: there is no memory for a stack. */
struct fiber *fiber_new(size_t stack_bytes);
/* It must have ended, or never have begun. NULL is allowed. */
void fiber_free(struct fiber *f);

/* Begins f(arg); true if it has ended. False: it has paused. */
bool fiber_start(struct fiber *f, void (*body)(void *arg), void *arg);
bool fiber_resume(struct fiber *f);

/* Within the body: back to whoever started or resumed it. Returns when it is resumed. */
void fiber_pause(struct fiber *f);

#endif
