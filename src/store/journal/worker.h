/* worker: a thread that does one thing after the other, for what may block. A work belongs to the
 * thread from worker_submit on, and to the loop again from the moment its `done` is called. */
#ifndef RESPGRES_STORE_JOURNAL_WORKER_H
#define RESPGRES_STORE_JOURNAL_WORKER_H

#include "base/check.h"
#include "base/list.h"
#include "event/loop.h"

struct work {
    struct list node;
    void (*run)(struct work *w);  /* in the thread */
    void (*done)(struct work *w); /* on the loop; it may submit again */
};

struct worker;

/* NULL if no thread can be had. */
MUST_CHECK struct worker *worker_new(struct loop *loop);
/* Nothing may be under way (worker_wait). */
void worker_free(struct worker *w); /* NULL is allowed */

void worker_submit(struct worker *w, struct work *work);
/* Blocks until nothing is under way, what `done` submits included. */
void worker_wait(struct worker *w);

#endif
