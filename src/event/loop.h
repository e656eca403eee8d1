/* loop: libevent's home. File descriptors, timers, signals, and work at the end of each turn.
 * Callbacks run on the one thread; an io or timer may be freed inside any callback, its own included. */
#ifndef RESPGRES_EVENT_LOOP_H
#define RESPGRES_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);

/* Runs until loop_stop. `turn_end` is called after each round of callbacks, before the loop waits
 * again: what was collected during the turn is submitted there, once. If it returns true, there is
 * more to do at once and the loop does not wait. */
void loop_run(struct loop *l, bool (*turn_end)(void *arg), void *arg);
void loop_stop(struct loop *l);

/* The time of this turn (clock_mono_us, read once when the loop wakes up). */
int64_t loop_now_us(const struct loop *l);

enum { IO_READ = 1, IO_WRITE = 2 };

struct io;
/* Watches nothing until io_want. Does not own the descriptor. */
struct io *io_new(struct loop *l, int fd, void (*ready)(void *arg, int events), void *arg);
void io_want(struct io *io, int events);
void io_free(struct io *io); /* NULL is allowed */

struct timer;
struct timer *timer_new(struct loop *l, void (*fire)(void *arg), void *arg);
/* Fires once, `us` microseconds from now; replaces an earlier setting. */
void timer_set(struct timer *t, int64_t us);
void timer_clear(struct timer *t);
void timer_free(struct timer *t); /* NULL is allowed */

/* Called on the loop, not in signal context. For the life of the loop. */
void loop_on_signal(struct loop *l, int signo, void (*f)(void *arg, int signo), void *arg);

#endif
