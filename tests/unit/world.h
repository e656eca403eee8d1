/* world: what the engine's tests start from: a rig, its store, three connections, and short names for
 * what they do to the store's first lanes. */
#ifndef RESPGRES_TESTS_UNIT_WORLD_H
#define RESPGRES_TESTS_UNIT_WORLD_H

#include "rig.h"
#include "test.h"

struct world {
    struct rig rig;
    struct memory_store *ms;
    struct peer a;
    struct peer b;
    struct peer c; /* not with begin_two */
};

static inline void begin_lanes(struct world *w, size_t reads, size_t commits,
                               const char *const *flags)
{
    memset(w, 0, sizeof(*w));
    rig_init(&w->rig, reads, commits, flags);
    w->ms = w->rig.ms;
    peer_open(&w->rig, &w->a);
    peer_open(&w->rig, &w->b);
}

static inline void begin_two(struct world *w, const char *const *flags)
{
    begin_lanes(w, 1, 1, flags);
}

static inline void begin_three(struct world *w, const char *const *flags)
{
    begin_lanes(w, 1, 1, flags);
    peer_open(&w->rig, &w->c);
}

static inline void release(struct world *w)
{
    struct peer *peers[] = {&w->a, &w->b, &w->c};
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        if (peers[i]->rig != NULL)
            peer_release(peers[i]);
    }
    rig_release(&w->rig);
}

/* Nothing may be left to do. */
static inline void end(struct world *w)
{
    rig_turn(&w->rig);
    EXPECT(engine_idle(w->rig.engine));
    release(w);
}

static inline void hold(struct world *w, enum memory_lane kind, bool on)
{
    memory_store_hold(w->ms, kind, 0, on);
}

/* Answers what is under way on the lane, and goes on. */
static inline void answer(struct world *w, enum memory_lane kind)
{
    EXPECT(memory_store_answer(w->ms, kind, 0));
    rig_turn(&w->rig);
}

static inline const struct memory_counts *counts(const struct world *w)
{
    return memory_store_counts(w->ms);
}

#endif
