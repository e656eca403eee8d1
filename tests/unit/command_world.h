/* command_world: handlers over a map in memory, run the way the engine runs them: keys are filled
 * in, the handler runs, and what it changed is taken out. Every run is done twice and the first one
 * dropped: the second must say the same. The clock is the test's. */
#ifndef RESPGRES_TESTS_UNIT_COMMAND_WORLD_H
#define RESPGRES_TESTS_UNIT_COMMAND_WORLD_H

#include "command/command.h"

enum { WORLD_SLOTS = 24, WORLD_DATABASES = 16, CALL_ARGS = 48 };

struct slot {
    int db;
    char name[32];
    struct value *value;
    int64_t expires_us; /* 0 = never */
};

struct world {
    struct slot slots[WORLD_SLOTS];
    int64_t now_ms;
    size_t max_value;
    int proto;
    int db;                 /* in which commands run */
    bool restricted;        /* the user may not read every key */
    enum key_change change; /* of the last run's first key */
    struct expiry expiry;
    struct buf out;
};

struct call {
    struct bytes argv[CALL_ARGS];
    int argc;
};

void world_init(struct world *w);
void world_release(struct world *w);

/* Splits at blanks; `~` stands for an empty argument. */
struct call call_of(const char *text);

/* Runs calls as one transaction, twice; keeps the second run. The reply, as a C string. */
const char *calls_run(struct world *w, const struct call *calls, int n, bool blind);

const char *run(struct world *w, const char *text);
const char *run_blind(struct world *w, const char *text);
/* Commands separated by ';' as one transaction. */
const char *run_all(struct world *w, const char *text);

struct expectation {
    const char *command;
    const char *reply; /* without the CRLF at the end */
};

/* Returns how many answered otherwise, and prints them. */
int world_expect(struct world *w, const struct expectation *rows, size_t n);

#define EXPECT_ALL(w, rows) \
    EXPECT_INT(world_expect(w, rows, sizeof(rows) / sizeof((rows)[0])), 0)

#endif
