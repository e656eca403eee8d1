/* The router on a real journal, and a PostgreSQL store that the test plays: what it hands over,
 * when it answers, and what. The functions of store/postgres/postgres.h that the router calls are
 * here. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/config.h"
#include "event/loop_base.h"
#include "journal_rig.h"
#include "store/postgres/postgres.h"
#include "store/router/router.h"
#include "test.h"

enum { LANES = 2, SLOT = 7 };

/* ---- PostgreSQL ---- */

struct fake {
    struct store base;
    enum store_state state;
    bool lane_idle;
    const struct postgres_events *events;
    void *events_arg;
    struct commit_batch *sent[LANES];
    struct commit_batch *in_flight; /* on lane 0, to be handed over */
    struct journal_lane lane;
    struct merge_batch *merge;
    void (*asked)(void *arg, bool ok, uint64_t number);
    void *asked_arg;
    uint64_t number; /* of the last batch that it has */
    int64_t last_stamp;
    bool settling;
    int slot_told; /* by the journal */
    int64_t clock_told;
};

static struct fake pg;

static enum store_state op_state(const struct store *s)
{
    (void)s;
    return pg.state;
}

static size_t op_lanes(const struct store *s)
{
    (void)s;
    return LANES;
}

static bool op_idle(const struct store *s, size_t lane)
{
    (void)s;
    return pg.lane_idle && pg.sent[lane] == NULL;
}

static void op_commit(struct store *s, size_t lane, struct commit_batch *b)
{
    (void)s;
    CHECK(pg.lane_idle && pg.sent[lane] == NULL);
    pg.sent[lane] = b;
}

static int64_t op_now_us(struct store *s)
{
    (void)s;
    return 1800000000LL * 1000000;
}

static void op_nothing(struct store *s)
{
    (void)s;
}

static bool op_yes(const struct store *s)
{
    (void)s;
    return true;
}

static const struct store_ops fake_ops = {.free = op_nothing,
                                          .state = op_state,
                                          .read_lanes = op_lanes,
                                          .commit_lanes = op_lanes,
                                          .read_lane_idle = op_idle,
                                          .commit_lane_idle = op_idle,
                                          .commit = op_commit,
                                          .now_us = op_now_us,
                                          .stop = op_nothing,
                                          .stopped = op_yes};

void postgres_set_events(struct store *s, const struct postgres_events *events, void *arg)
{
    (void)s;
    pg.events = events;
    pg.events_arg = arg;
}

struct commit_batch *postgres_take_batch(struct store *s, size_t lane, struct journal_lane *out)
{
    struct commit_batch *b = pg.in_flight;
    (void)s;
    if (lane != 0 || b == NULL)
        return NULL;
    pg.in_flight = NULL;
    pg.sent[0] = NULL;
    *out = pg.lane = (struct journal_lane){SLOT, 1, 0, postgres_mint_stamps(s, b->n)};
    for (size_t i = 0; i < b->n; i++)
        b->items[i].version = pg.lane.stamp + ((int64_t)i << 10);
    return b;
}

void postgres_drop_xact(struct store *s, size_t lane)
{
    (void)s;
    (void)lane;
}

void postgres_settle(struct store *s, const struct journal_lane *lane)
{
    (void)s;
    pg.lane = *lane;
    pg.settling = true;
}

void postgres_merge(struct store *s, struct merge_batch *b)
{
    (void)s;
    CHECK(pg.merge == NULL && pg.asked == NULL);
    pg.merge = b;
}

void postgres_merged(struct store *s, const char *journal,
                     void (*done)(void *arg, bool ok, uint64_t number), void *arg)
{
    (void)s;
    (void)journal;
    CHECK(pg.merge == NULL && pg.asked == NULL);
    pg.asked = done;
    pg.asked_arg = arg;
}

bool postgres_readable(const struct store *s)
{
    (void)s;
    return false;
}

void postgres_set_identity(struct store *s, int slot, int64_t incarnation, int64_t last_stamp,
                           int64_t clock_offset_us)
{
    (void)s;
    (void)incarnation;
    pg.slot_told = slot;
    pg.clock_told = clock_offset_us + clock_mono_us();
    if (last_stamp > pg.last_stamp)
        pg.last_stamp = last_stamp;
}

int postgres_slot(const struct store *s)
{
    (void)s;
    return SLOT;
}

int64_t postgres_incarnation(const struct store *s)
{
    (void)s;
    return 1;
}

int64_t postgres_last_stamp(const struct store *s)
{
    (void)s;
    return pg.last_stamp;
}

int64_t postgres_mint_stamps(struct store *s, size_t n)
{
    (void)s;
    int64_t first = ((pg.last_stamp >> 10) + 1) << 10 | SLOT;
    pg.last_stamp = first + ((int64_t)n << 10);
    return first;
}

void postgres_holds_journal(struct store *s, bool holds)
{
    (void)s;
    (void)holds;
}

void postgres_keep_slot(struct store *s)
{
    (void)s;
}

const char *postgres_reason(const struct store *s)
{
    (void)s;
    return "the test says so";
}

/* ---- the world around the router ---- */

struct world {
    char dir[64];
    struct loop *loop;
    struct config_store *config;
    struct keyspace *keyspace;
    struct store *router;
    bool late;
    struct timer *patience;
};

static void turn(struct world *w, int how)
{
    event_base_loop(loop_event_base(w->loop), EVLOOP_ONCE | how);
    loop_woke(w->loop);
    router_turn_end(w->router);
}

static void on_late(void *arg)
{
    struct world *w = arg;
    w->late = true;
}

static void until(struct world *w, bool (*holds)(const struct world *w))
{
    w->late = false;
    timer_set(w->patience, 60 * 1000 * 1000);
    router_turn_end(w->router);
    while (!holds(w) && !w->late)
        turn(w, 0);
    EXPECT(!w->late);
    timer_clear(w->patience);
}

/* What is due at once. */
static void turns(struct world *w, int n)
{
    router_turn_end(w->router);
    for (int i = 0; i < n; i++)
        turn(w, EVLOOP_NONBLOCK);
}

static void open_world(struct world *w, const char *max_size)
{
    char dir[96];
    char size[64];
    char program[] = "respgres";
    char name[] = "--instance-name=one";
    char url[] = "--database-url=postgresql:///x";
    char fallback[] = "--fallback=on counter:* readonly";
    char *argv[] = {program, dir, size, name, url, fallback, NULL};
    char *env[] = {NULL};
    struct buf error;
    buf_init(&error);
    snprintf(dir, sizeof(dir), "--dir=%s", w->dir);
    snprintf(size, sizeof(size), "--journal-max-size=%s", max_size);
    pg = (struct fake){.base = {.ops = &fake_ops},
                       .state = STORE_STARTING,
                       .lane_idle = true,
                       .number = pg.number,
                       .last_stamp = pg.last_stamp};
    if (pg.last_stamp == 0)
        pg.last_stamp = (op_now_us(NULL) - 1735689600LL * 1000000) << 10;
    w->loop = loop_new();
    w->keyspace = keyspace_new(SIZE_MAX);
    w->config = config_load(6, argv, env, &error);
    if (w->config == NULL) {
        printf("%s\n", buf_cstr(&error));
        exit(1);
    }
    w->router = router_new(w->loop, config_values(w->config), w->keyspace, &pg.base, &error);
    CHECK(w->router != NULL);
    w->patience = timer_new(w->loop, on_late, w);
    buf_release(&error);
}

static void close_world(struct world *w)
{
    w->router->ops->free(w->router);
    timer_free(w->patience);
    keyspace_free(w->keyspace);
    config_free(w->config);
    loop_free(w->loop);
}

static void world_new(struct world *w)
{
    *w = (struct world){.dir = "/tmp/router-XXXXXX"};
    for (int i = 0; i < CALL_COUNT; i++)
        fault_errno[i] = 0;
    fault_delay_us = 0;
    pg.number = 0;
    CHECK(mkdtemp(w->dir) != NULL);
    open_world(w, "100mb");
}

static void world_free(struct world *w)
{
    char path[96];
    close_world(w);
    snprintf(path, sizeof(path), "%s/one", w->dir);
    remove_folder(path);
    remove_folder(w->dir);
}

static void postgres_is(enum store_state state)
{
    pg.state = state;
    pg.events->state(pg.events_arg);
}

static bool is_online(const struct world *w)
{
    return store_state(w->router) == STORE_ONLINE;
}

static bool is_away(const struct world *w)
{
    return store_state(w->router) == STORE_AWAY;
}

static bool has_asked(const struct world *w)
{
    (void)w;
    return pg.asked != NULL;
}

static bool is_settling(const struct world *w)
{
    (void)w;
    return pg.settling;
}

static bool has_merge(const struct world *w)
{
    (void)w;
    return pg.merge != NULL;
}

static bool has_commit(const struct world *w)
{
    (void)w;
    return pg.sent[0] != NULL;
}

static void answer_asked(void)
{
    void (*done)(void *arg, bool ok, uint64_t number) = pg.asked;
    CHECK(done != NULL);
    pg.asked = NULL;
    done(pg.asked_arg, true, pg.number);
}

static void answer_merge(enum store_result result)
{
    struct merge_batch *b = pg.merge;
    CHECK(b != NULL);
    pg.merge = NULL;
    b->result = result;
    if (result == STORE_OK)
        pg.number = b->number;
    for (size_t i = 0; i < b->n; i++) {
        b->items[i].outcome = MERGE_APPLIED;
        b->items[i].row_version = b->items[i].version;
    }
    b->done(b);
}

/* ---- a client's write ---- */

struct write {
    struct commit_batch batch;
    struct commit_item item;
    struct entry *entry;
    struct world *world;
    bool answered;
};

static struct write *last_write;

/* As the engine does. */
static void on_written(struct commit_batch *b)
{
    struct write *w = LIST_ITEM(b, struct write, batch);
    w->answered = true;
    if (b->result == STORE_OK && w->item.applied)
        entry_set_live(w->world->keyspace, w->entry, value_ref(w->item.value), w->item.version,
                       w->item.version, STORE_NEVER);
    keyspace_unpin(w->world->keyspace, w->entry);
}

/* `removed`: behind a removal, in one batch. */
static void write_begin_behind(struct world *world, struct write *w, const char *key, struct bytes value,
                               bool removed)
{
    *w = (struct write){.world = world};
    w->entry = keyspace_pin(world->keyspace, 0, bytes_of(key, strlen(key)));
    w->item = (struct commit_item){.key = entry_key(w->entry),
                                   .op = COMMIT_WRITE,
                                   .expect = EXPECT_ANY,
                                   .removed = removed,
                                   .value = value_string_new(value)};
    w->batch = (struct commit_batch){.items = &w->item, .n = 1, .done = on_written};
    last_write = w;
    CHECK(world->router->ops->commit_lane_idle(world->router, 0));
    world->router->ops->commit(world->router, 0, &w->batch);
}

static void write_begin(struct world *world, struct write *w, const char *key, struct bytes value)
{
    write_begin_behind(world, w, key, value, false);
}

static bool is_written(const struct world *w)
{
    (void)w;
    return last_write->answered;
}

static enum store_result write_end(struct world *world, struct write *w)
{
    last_write = w;
    until(world, is_written);
    value_unref(w->item.value);
    return w->batch.result;
}

static enum store_result write_now(struct world *world, const char *key, const char *value)
{
    struct write w;
    write_begin(world, &w, key, bytes_of(value, strlen(value)));
    return write_end(world, &w);
}

static void go_away(struct world *w)
{
    postgres_is(STORE_AWAY);
    until(w, is_away);
}

static void go_away_first(struct world *w)
{
    postgres_is(STORE_ONLINE);
    until(w, is_online);
    go_away(w);
}

/* Until the first batch of keys has been sent. */
static void come_back(struct world *w)
{
    postgres_is(STORE_ONLINE);
    until(w, has_asked);
    answer_asked();
    until(w, has_merge);
}

/* ---- tests ---- */

/* The merge's answer comes when PostgreSQL is away again, and its key has been written since. */
static void a_later_write_survives_a_late_answer(void)
{
    struct world w;
    world_new(&w);
    go_away_first(&w);
    EXPECT_INT(write_now(&w, "k", "one"), STORE_OK);
    come_back(&w);
    EXPECT_INT(pg.merge->n, 1);
    go_away(&w);
    EXPECT_INT(write_now(&w, "k", "two"), STORE_OK);
    answer_merge(STORE_OK);
    struct entry *e = keyspace_find(w.keyspace, 0, bytes_of("k", 1));
    EXPECT(e != NULL && e->knowledge == ENTRY_LIVE);
    come_back(&w);
    EXPECT_INT(pg.merge->n, 1);
    struct value *v = pg.merge->items[0].value;
    EXPECT_TEXT(v->data, v->len, "two");
    EXPECT(pg.merge->items[0].maybe_version != 0);
    answer_merge(STORE_OK);
    until(&w, is_online);
    world_free(&w);
}

/* What becomes of the base of a key that this instance does not know, when it is written. */
static enum journal_base base_of_a_write(bool removed)
{
    struct world w;
    struct write by;
    world_new(&w);
    go_away_first(&w);
    write_begin_behind(&w, &by, "k", bytes_of("one", 3), removed);
    EXPECT_INT(write_end(&w, &by), STORE_OK);
    close_world(&w);
    open_world(&w, "100mb");
    come_back(&w);
    EXPECT_INT(pg.merge->n, 1);
    enum journal_base base = pg.merge->items[0].base;
    answer_merge(STORE_OK);
    until(&w, is_online);
    world_free(&w);
    return base;
}

/* A DEL and a SET are one item, and the SET alone must not lose to the row that has been deleted. */
static void a_removal_counts_behind_a_write(void)
{
    EXPECT_INT(base_of_a_write(false), BASE_UNKNOWN);
    EXPECT_INT(base_of_a_write(true), BASE_ABSENT);
}

/* ... or when it is there once more: until then nothing else is asked or sent. What of a lost batch may stand
 * in a row is what PostgreSQL then says. */
static void wait_for_a_late_answer(bool applied)
{
    struct world w;
    world_new(&w);
    go_away_first(&w);
    EXPECT_INT(write_now(&w, "k", "one"), STORE_OK);
    postgres_is(STORE_ONLINE);
    until(&w, has_asked);
    go_away(&w);
    postgres_is(STORE_ONLINE);
    turns(&w, 5);
    EXPECT_INT(store_state(w.router), STORE_RECOVERING);
    answer_asked();
    until(&w, has_merge);
    int64_t sent = pg.merge->items[0].version;
    go_away(&w);
    EXPECT_INT(write_now(&w, "k", "two"), STORE_OK);
    postgres_is(STORE_ONLINE);
    turns(&w, 5);
    EXPECT_INT(store_state(w.router), STORE_RECOVERING);
    if (applied)
        pg.number = pg.merge->number;
    answer_merge(STORE_LOST);
    until(&w, has_asked);
    answer_asked();
    until(&w, has_merge);
    EXPECT_INT(pg.merge->n, 1);
    EXPECT_INT(pg.merge->items[0].maybe_version, applied ? sent : 0);
    answer_merge(STORE_OK);
    until(&w, is_online);
    world_free(&w);
}

static void a_late_answer_is_waited_for(void)
{
    wait_for_a_late_answer(false);
    wait_for_a_late_answer(true);
}

static void fill_journal(struct world *w)
{
    static char big[1 << 16];
    char key[16];
    int n = 0;
    for (size_t size = sizeof(big); size > 0; size /= 4) {
        struct write one;
        do {
            snprintf(key, sizeof(key), "key:%d", n++);
            write_begin(w, &one, key, bytes_of(big, size));
        } while (write_end(w, &one) == STORE_OK);
        EXPECT_INT(one.batch.result, STORE_FAILED);
        EXPECT(strncmp(one.batch.error, "MISCONF", 7) == 0);
    }
}

/* What tells of a merge goes into a journal that takes no writes. */
static void a_full_journal_is_merged(void)
{
    struct world w;
    world_new(&w);
    close_world(&w);
    open_world(&w, "1mb");
    go_away_first(&w);
    fill_journal(&w);
    size_t keys = router_unmerged(w.router);
    EXPECT(keys > 16);
    come_back(&w);
    EXPECT_INT(pg.merge->n, keys);
    answer_merge(STORE_OK);
    until(&w, is_online);
    EXPECT_INT(router_unmerged(w.router), 0);
    world_free(&w);
}

/* So is one that cannot be written at all, and that makes room. */
static void a_journal_on_a_full_disk_is_merged(void)
{
    struct world w;
    world_new(&w);
    go_away_first(&w);
    EXPECT_INT(write_now(&w, "a", "one"), STORE_OK);
    fault_errno[CALL_WRITE] = ENOSPC;
    fault_errno[CALL_ALLOCATE] = ENOSPC;
    EXPECT_INT(write_now(&w, "b", "two"), STORE_FAILED);
    come_back(&w);
    EXPECT_INT(pg.merge->n, 1);
    answer_merge(STORE_OK);
    until(&w, is_online);
    fault_errno[CALL_WRITE] = 0;
    fault_errno[CALL_ALLOCATE] = 0;
    world_free(&w);
}

/* A batch was announced and refused, and the journal failed before it knew: no other may be sent,
 * for its number would say that the first one counted. */
static void a_refused_batch_is_not_taken_for_merged(void)
{
    struct world w;
    world_new(&w);
    go_away_first(&w);
    EXPECT_INT(write_now(&w, "a", "one"), STORE_OK);
    EXPECT_INT(write_now(&w, "b", "two"), STORE_OK);
    come_back(&w);
    EXPECT_INT(pg.merge->n, 2);
    fault_errno[CALL_WRITE] = ENOSPC;
    fault_errno[CALL_ALLOCATE] = ENOSPC;
    answer_merge(STORE_REFUSED);
    for (int i = 0; i < 50 && pg.merge == NULL; i++) {
        usleep(50 * 1000);
        turns(&w, 2);
    }
    EXPECT(pg.merge == NULL);
    fault_errno[CALL_WRITE] = 0;
    fault_errno[CALL_ALLOCATE] = 0;
    until(&w, has_merge);
    EXPECT_INT(pg.merge->n, 1);
    answer_merge(STORE_OK);
    until(&w, has_merge);
    answer_merge(STORE_OK);
    until(&w, is_online);
    world_free(&w);
}

/* A write that was held for the merge finds its lane at work, as one is that reconnects. */
static void what_waits_for_a_lane_goes_on(void)
{
    struct world w;
    struct write one;
    world_new(&w);
    go_away_first(&w);
    EXPECT_INT(write_now(&w, "k", "one"), STORE_OK);
    come_back(&w);
    write_begin(&w, &one, "k", bytes_of("two", 3));
    pg.lane_idle = false;
    answer_merge(STORE_OK);
    until(&w, is_online);
    turns(&w, 3);
    EXPECT(!has_commit(&w));
    pg.lane_idle = true;
    until(&w, has_commit);
    EXPECT(pg.sent[0] == &one.batch);
    pg.sent[0] = NULL;
    one.item.applied = true;
    one.item.version = postgres_mint_stamps(NULL, 1);
    one.batch.result = STORE_OK;
    one.batch.done(&one.batch);
    EXPECT_INT(write_end(&w, &one), STORE_OK);
    world_free(&w);
}

/* ... and one whose client has given up meanwhile does not. */
static void what_was_given_up_before_it_was_sent_is_not_sent(void)
{
    struct world w;
    struct write one;
    world_new(&w);
    go_away_first(&w);
    EXPECT_INT(write_now(&w, "k", "one"), STORE_OK);
    come_back(&w);
    write_begin(&w, &one, "k", bytes_of("two", 3));
    turns(&w, 5);
    EXPECT(!one.answered);
    one.batch.abandoned = true;
    answer_merge(STORE_OK);
    EXPECT_INT(write_end(&w, &one), STORE_LOST);
    EXPECT(!one.item.applied);
    until(&w, is_online);
    EXPECT(!has_commit(&w));
    world_free(&w);
}

static void settle(bool applied)
{
    struct postgres_outcome o = {.known = true, .applied = applied, .whole = applied};
    pg.events->settled(pg.events_arg, &pg.lane, &o);
}

/* The row of a lane tells the outcome of its last batch only: the next one is not sent before the
 * journal has what became of the one before. */
static void a_lane_is_used_when_the_journal_knows_its_outcome(void)
{
    struct world w;
    struct write one;
    struct write two;
    world_new(&w);
    postgres_is(STORE_ONLINE);
    until(&w, is_online);
    write_begin(&w, &one, "k", bytes_of("one", 3));
    EXPECT(has_commit(&w));
    pg.in_flight = &one.batch;
    go_away(&w);
    EXPECT_INT(write_end(&w, &one), STORE_OK);
    postgres_is(STORE_ONLINE);
    turns(&w, 2);
    EXPECT_INT(store_state(w.router), STORE_RECOVERING);
    write_begin(&w, &two, "other", bytes_of("two", 3));
    fault_hold = true;
    settle(true);
    turns(&w, 3);
    EXPECT(!has_commit(&w));
    fault_hold = false;
    until(&w, has_commit);
    two.batch.result = STORE_OK;
    two.item.applied = true;
    two.item.version = postgres_mint_stamps(NULL, 1);
    two.batch.done(&two.batch);
    EXPECT_INT(write_end(&w, &two), STORE_OK);
    pg.sent[0] = NULL;
    if (pg.asked != NULL)
        answer_asked();
    until(&w, is_online);
    close_world(&w);
    open_world(&w, "100mb");
    EXPECT_INT(router_unmerged(w.router), 0);
    world_free(&w);
}

/* Neither what was in flight nor what had been gathered for the lane when PostgreSQL went: another
 * instance may be the first to write the key afterwards. */
static void what_is_readonly_in_an_outage_is_not_journalled(void)
{
    struct world w;
    struct write flying;
    struct write gathered;
    world_new(&w);
    postgres_is(STORE_ONLINE);
    until(&w, is_online);
    write_begin(&w, &flying, "counter:1", bytes_of("one", 3));
    EXPECT(has_commit(&w));
    pg.in_flight = &flying.batch;
    go_away(&w);
    EXPECT_INT(write_end(&w, &flying), STORE_FAILED);
    EXPECT(!flying.item.applied);
    EXPECT(strstr(flying.batch.error, "may or may not") != NULL);
    write_begin(&w, &gathered, "counter:1", bytes_of("two", 3));
    EXPECT_INT(write_end(&w, &gathered), STORE_OK);
    EXPECT(!gathered.item.applied); /* runs again, and is refused */
    EXPECT(gathered.batch.local);
    EXPECT_INT(router_unmerged(w.router), 0);
    EXPECT_INT(write_now(&w, "k", "one"), STORE_OK);
    EXPECT_INT(router_unmerged(w.router), 1);
    world_free(&w);
}

/* Its outcome is asked for in a later life. */
static void a_batch_in_flight_survives_a_restart(void)
{
    struct world w;
    struct write one;
    world_new(&w);
    postgres_is(STORE_ONLINE);
    until(&w, is_online);
    write_begin(&w, &one, "k", bytes_of("one", 3));
    pg.in_flight = &one.batch;
    go_away(&w);
    EXPECT_INT(write_end(&w, &one), STORE_OK);
    struct journal_lane lane = pg.lane;
    close_world(&w);
    open_world(&w, "100mb");
    EXPECT_INT(router_unmerged(w.router), 1);
    EXPECT_INT(pg.slot_told, SLOT);
    EXPECT(pg.last_stamp >= lane.stamp);
    EXPECT_INT(pg.clock_told / 60000000, op_now_us(NULL) / 60000000); /* to the minute */
    postgres_is(STORE_ONLINE);
    until(&w, is_settling);
    turns(&w, 3);
    EXPECT(!has_asked(&w));
    EXPECT_INT(pg.lane.stamp, lane.stamp);
    settle(false);
    until(&w, has_asked);
    answer_asked();
    until(&w, has_merge);
    EXPECT_INT(pg.merge->items[0].version, lane.stamp);
    EXPECT_INT(pg.merge->items[0].maybe_version, 0);
    answer_merge(STORE_OK);
    until(&w, is_online);
    world_free(&w);
}

/* A batch in flight cannot be kept then: its client is told that nobody knows. */
static void without_a_journal_nothing_is_claimed(void)
{
    struct world w;
    struct write one;
    world_new(&w);
    close_world(&w);
    char dir[sizeof(w.dir)];
    memcpy(dir, w.dir, sizeof(dir));
    snprintf(w.dir, sizeof(w.dir), "/dev/null");
    open_world(&w, "100mb");
    memcpy(w.dir, dir, sizeof(dir));
    postgres_is(STORE_ONLINE);
    until(&w, is_online);
    write_begin(&w, &one, "k", bytes_of("one", 3));
    pg.in_flight = &one.batch;
    go_away(&w);
    EXPECT_INT(write_end(&w, &one), STORE_FAILED);
    EXPECT(strstr(one.batch.error, "may or may not") != NULL);
    write_begin(&w, &one, "k", bytes_of("two", 3));
    EXPECT_INT(write_end(&w, &one), STORE_FAILED);
    EXPECT(strncmp(one.batch.error, "MISCONF", 7) == 0);
    postgres_is(STORE_ONLINE);
    until(&w, is_online);
    settle(true);
    turns(&w, 2);
    world_free(&w);
}

/* ---- FLUSH ---- */

static bool answered; /* by a query, a step, a read */

static bool is_answered(const struct world *w)
{
    (void)w;
    return answered;
}

static void on_query(struct store_query *q)
{
    (void)q;
    answered = true;
}

static void on_step(struct store_xact *x)
{
    (void)x;
    answered = true;
}

static void on_read(struct read_batch *b)
{
    (void)b;
    answered = true;
}

static void flush(struct world *w)
{
    struct store_query q = {.kind = QUERY_FLUSH, .done = on_query};
    answered = false;
    w->router->ops->query(w->router, &q);
    until(w, is_answered);
    EXPECT_INT(q.result, STORE_OK);
}

/* In a transaction it need not wait for what is on its way to PostgreSQL. */
static void flush_in_transaction(struct world *w)
{
    struct store_query q = {.kind = QUERY_FLUSH, .done = on_query};
    struct store_xact x = {.done = on_step, .alters_spaces = true};
    answered = false;
    w->router->ops->xact_begin(w->router, 0, &x);
    until(w, is_answered);
    x.query = &q;
    answered = false;
    w->router->ops->xact_step(w->router, 0, &x);
    until(w, is_answered);
    x.query = NULL;
    answered = false;
    w->router->ops->xact_end(w->router, 0, &x);
    until(w, is_answered);
    EXPECT_INT(x.result, STORE_OK);
}

/* The answer about the first one comes when a second has taken its place. */
static void a_flush_during_the_merge_of_another_is_merged_too(void)
{
    struct world w;
    world_new(&w);
    go_away_first(&w);
    flush(&w);
    come_back(&w);
    EXPECT(pg.merge->flush != NULL);
    int64_t first = pg.merge->flush->before;
    go_away(&w);
    flush_in_transaction(&w);
    answer_merge(STORE_OK);
    come_back(&w);
    EXPECT(pg.merge->flush != NULL && pg.merge->flush->before > first);
    answer_merge(STORE_OK);
    until(&w, is_online);
    world_free(&w);
}

static bool guesses(struct world *w, const char *key)
{
    struct read_item it = {.key = bytes_of(key, strlen(key))};
    struct read_batch b = {.items = &it, .n = 1, .done = on_read};
    answered = false;
    w->router->ops->read(w->router, 0, &b);
    until(w, is_answered);
    return it.guessed;
}

/* Behind a FLUSH everything is known to be gone; once PostgreSQL has it, others may have written.
 */
static void what_was_flushed_is_known_until_that_is_merged(void)
{
    struct world w;
    world_new(&w);
    go_away_first(&w);
    EXPECT(guesses(&w, "a"));
    flush(&w);
    EXPECT(!guesses(&w, "a"));
    EXPECT_INT(write_now(&w, "k", "one"), STORE_OK);
    come_back(&w);
    answer_merge(STORE_OK);
    until(&w, has_merge);
    EXPECT(pg.merge->flush == NULL);
    go_away(&w);
    EXPECT(guesses(&w, "a"));
    answer_merge(STORE_OK);
    postgres_is(STORE_ONLINE);
    until(&w, is_online);
    world_free(&w);
}

TEST_MAIN(TEST(what_is_readonly_in_an_outage_is_not_journalled),
          TEST(a_later_write_survives_a_late_answer), TEST(a_late_answer_is_waited_for),
          TEST(a_removal_counts_behind_a_write),
          TEST(a_full_journal_is_merged), TEST(a_journal_on_a_full_disk_is_merged),
          TEST(a_refused_batch_is_not_taken_for_merged), TEST(what_waits_for_a_lane_goes_on),
          TEST(what_was_given_up_before_it_was_sent_is_not_sent),
          TEST(a_lane_is_used_when_the_journal_knows_its_outcome),
          TEST(a_batch_in_flight_survives_a_restart), TEST(without_a_journal_nothing_is_claimed),
          TEST(a_flush_during_the_merge_of_another_is_merged_too),
          TEST(what_was_flushed_is_known_until_that_is_merged))
