/* Random appends, compactions, clearings, failures, retries and restarts against a model: what is
 * read back is what was acknowledged, key by key; nothing that was reported lost, nothing that was
 * cleared. RESPGRES_SEED=N repeats a run. */
#include "test.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "event/loop_base.h"
#include "journal_rig.h"

enum { KEYS = 20, ROUNDS = 40, STEPS = 120 };

struct model {
    char dir[128];
    struct loop *loop;
    struct journal *j;
    struct journal_options options;
    int64_t version;    /* the highest so far */
    int64_t now[KEYS];  /* versions as the owner has them, 0 = none */
    int64_t safe[KEYS]; /* as far as they are acknowledged */
    int64_t read[KEYS]; /* as read back */
    struct {
        uint64_t position;
        int key;
        int64_t version;
    } waiting[10000];
    size_t nwaiting;
    int at; /* of the snapshot */
    unsigned seed;
};

static int chance(struct model *m, int n)
{
    m->seed = m->seed * 1103515245 + 12345;
    return (int)(m->seed >> 16 & 0x7fff) % n;
}

static struct journal_record make(int key, int64_t version, struct journal_item *item, char *name)
{
    static char value[3000];
    int n = snprintf(name, 16, "k%d", key);
    *item = (struct journal_item){.key = {name, (size_t)n},
                                  .live = true,
                                  .version = version,
                                  .value = {value, (size_t)(version * 7 % 3000)}};
    return (struct journal_record){.kind = JOURNAL_WRITE, .items = item, .nitems = 1};
}

static void on_record(void *arg, const struct journal_record *r)
{
    struct model *m = arg;
    int key = (int)strtol(r->items[0].key.data + 1, NULL, 10);
    CHECK(key >= 0 && key < KEYS);
    m->read[key] = r->items[0].version;
}

static void on_durable(void *arg, uint64_t position)
{
    struct model *m = arg;
    size_t n = 0;
    for (; n < m->nwaiting && m->waiting[n].position <= position; n++)
        m->safe[m->waiting[n].key] = m->waiting[n].version;
    memmove(m->waiting, m->waiting + n, (m->nwaiting - n) * sizeof(m->waiting[0]));
    m->nwaiting -= n;
}

static void on_failed(void *arg, const char *why)
{
    struct model *m = arg;
    (void)why;
    m->nwaiting = 0;
    memcpy(m->now, m->safe, sizeof(m->now));
}

static bool on_snapshot(void *arg, size_t bytes)
{
    struct model *m = arg;
    (void)bytes;
    for (int i = chance(m, 6); i >= 0 && m->at < KEYS; i--, m->at++) {
        struct journal_item item;
        char name[16];
        struct journal_record r = make(m->at, m->now[m->at], &item, name);
        if (m->now[m->at] != 0)
            journal_snapshot_add(m->j, &r);
    }
    if (m->at < KEYS)
        return true;
    m->at = 0;
    return false;
}

static void append(struct model *m)
{
    struct journal_item item;
    char name[16];
    int key = chance(m, KEYS);
    struct journal_record r = make(key, ++m->version, &item, name);
    uint64_t position = journal_append(m->j, &r);
    if (position == 0)
        return;
    m->now[key] = m->version;
    CHECK(m->nwaiting < sizeof(m->waiting) / sizeof(m->waiting[0]));
    m->waiting[m->nwaiting].position = position;
    m->waiting[m->nwaiting].key = key;
    m->waiting[m->nwaiting++].version = m->version;
}

static void turn(struct model *m, int how)
{
    event_base_loop(loop_event_base(m->loop), EVLOOP_NONBLOCK | how);
    loop_woke(m->loop);
    journal_flush(m->j);
}

static void clear(struct model *m)
{
    if (m->nwaiting > 0)
        return;
    memset(m->now, 0, sizeof(m->now));
    memset(m->safe, 0, sizeof(m->safe));
    journal_clear(m->j);
}

/* Any call may fail for a while. */
static void change_faults(struct model *m)
{
    for (int i = 0; i < CALL_COUNT; i++)
        fault_errno[i] = 0;
    if (chance(m, 2) == 0)
        fault_errno[chance(m, CALL_COUNT)] = chance(m, 2) == 0 ? EIO : ENOSPC;
}

static void step(struct model *m)
{
    switch (chance(m, 40)) {
    case 0:
        if (!journal_is_compacting(m->j))
            m->at = 0;
        journal_compact(m->j);
        break;
    case 1:
        clear(m);
        break;
    case 2:
    case 3:
        change_faults(m);
        break;
    case 4:
    case 5:
        journal_retry(m->j);
        break;
    case 6:
        journal_set_fsync(m->j, (enum journal_fsync)chance(m, 3));
        break;
    case 7:
    case 8:
    case 9:
        usleep(200);
        turn(m, 0);
        break;
    default:
        append(m);
        if (chance(m, 3) == 0)
            turn(m, 0);
        break;
    }
}

/* Without faults: a clearing that could not be written is made up for. */
static void reopen(struct model *m)
{
    static const struct journal_events events = {on_record, on_durable, on_failed, on_snapshot};
    struct buf error = {0};
    for (int i = 0; i < CALL_COUNT; i++)
        fault_errno[i] = 0;
    while (m->j != NULL && m->nwaiting > 0)
        turn(m, 0);
    journal_close(m->j);
    memset(m->read, 0, sizeof(m->read));
    m->options.fsync = (enum journal_fsync)chance(m, 3);
    m->j = journal_open(m->loop, &m->options, &events, m, &error);
    EXPECT(m->j != NULL);
    if (m->j == NULL)
        printf("  %s\n", buf_cstr(&error));
    for (int i = 0; i < KEYS; i++)
        EXPECT_INT(m->read[i], m->safe[i]);
    memcpy(m->now, m->safe, sizeof(m->now));
    buf_release(&error);
}

static void against_a_model(void)
{
    static struct model m;
    const char *seed = getenv("RESPGRES_SEED");
    struct journal_rig r;
    rig_init(&r);
    m = (struct model){.loop = r.loop, .seed = (unsigned)time(NULL)};
    if (seed != NULL)
        m.seed = (unsigned)strtoul(seed, NULL, 10);
    printf("RESPGRES_SEED=%u\n", m.seed);
    snprintf(m.dir, sizeof(m.dir), "%s", r.dir);
    m.options = (struct journal_options){.dir = m.dir, .instance_name = "random"};
    for (int round = 0; round < ROUNDS && test_failures == 0; round++) {
        reopen(&m);
        for (int i = 0; i < STEPS && m.j != NULL; i++)
            step(&m);
    }
    if (m.j != NULL)
        reopen(&m);
    journal_close(m.j);
    EXPECT(m.version > ROUNDS);
    rig_release(&r);
}

TEST_MAIN(TEST(against_a_model))
