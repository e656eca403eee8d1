/* What gather.c and locked.c share: the parts of a commit batch. Others use internal.h's functions. */
#ifndef RESPGRES_ENGINE_GATHER_H
#define RESPGRES_ENGINE_GATHER_H

#include "engine/internal.h"

enum { MAX_GATHER_ITEMS = 1000 };

/* ---- gather.c ---- */

struct gather *gather_new(struct engine *e, size_t lane);
/* Its groups must be gone. */
void gather_free(struct gather *g);
/* With groups and txns, when the engine ends. */
void gather_drop(struct gather *g);
void gather_set_state(struct gather *g, enum gather_state to);
size_t gather_count_groups(const struct gather *g);
/* Makes `batch` and `commit_items` of the groups. */
void gather_fill_batch(struct gather *g);
/* To be sent before all others of its lane. */
void gather_ready_again(struct gather *g);

void group_move(struct group *grp, struct gather *to);
/* A member's client has been told that it failed. */
bool group_has_given_up(const struct group *grp);
/* Its txns go back to their clients, oldest first, and those given up end; `solo`: each is to have a
 * group to itself. The group is freed. */
void group_run_again(struct group *grp, bool solo);
/* What its members' clients send next waits until they are answered. */
void group_hold_back_clients(struct group *grp);

/* ---- locked.c ---- */

void locked_init(struct engine *e);
void locked_release(struct engine *e);
/* The batch has met a row that somebody else holds: finds out which, parks what has to wait, and sends the
 * rest again. Takes the gather. */
void locked_find(struct gather *g);
/* The group waits for its rows; `unseen` as in struct gather. */
void locked_park(struct group *grp, bool unseen);

#endif
