/* engine_stats: what INFO and /metrics are told: the state of the store, and commands that run more
 * than once or fail. */
#include "metrics/page.h"
#include "world.h"

/* The value of a sample on the engine's page, -1 if it is not there. `name` with its label. */
static long long sample(struct world *w, const char *name)
{
    struct buf text;
    char line[128];
    buf_init(&text);
    struct metrics_page *p = page_new();
    engine_collect(w->rig.engine, p);
    page_write(p, &text);
    page_free(p);
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(buf_cstr(&text), line);
    long long value = -1;
    if (at != NULL)
        sscanf(at + strlen(line), "%lld", &value);
    buf_release(&text);
    return value;
}

static void in_state(struct world *w, enum store_state state, const char *name, bool ready)
{
    struct engine_status st;
    char label[64];
    memory_store_set_state(w->ms, state);
    rig_turn(&w->rig);
    rig_advance_ms(&w->rig, 3000);
    engine_get_status(w->rig.engine, &st);
    EXPECT_CSTR(st.state_name, name);
    EXPECT(st.ready == ready);
    EXPECT_INT(st.age_us, 3000000);
    EXPECT(st.why[0] != '\0');
    snprintf(label, sizeof(label), "respgres_state{state=\"%s\"}", name);
    EXPECT_INT(sample(w, label), 1);
    EXPECT_INT(sample(w, "respgres_ready"), ready);
}

/* Which states count as serving; time and changes add up. */
static void states_of_the_store(void)
{
    struct world w;
    begin_two(&w, NULL);
    rig_turn(&w.rig);
    EXPECT_INT(sample(&w, "respgres_state_transitions_total{to=\"online\"}"), 1);
    in_state(&w, STORE_AWAY, "away", false);
    in_state(&w, STORE_RECOVERING, "recovering", true);
    in_state(&w, STORE_ONLINE, "online", true);
    in_state(&w, STORE_AWAY, "away", false);
    in_state(&w, STORE_STANDALONE, "standalone", true);
    in_state(&w, STORE_ONLINE, "online", true);
    EXPECT_INT(sample(&w, "respgres_state{state=\"away\"}"), 0);
    EXPECT_INT(sample(&w, "respgres_state_seconds_total{state=\"away\"}"), 6);
    EXPECT_INT(sample(&w, "respgres_state_seconds_total{state=\"recovering\"}"), 3);
    EXPECT_INT(sample(&w, "respgres_state_transitions_total{to=\"away\"}"), 2);
    EXPECT_INT(sample(&w, "respgres_state_transitions_total{to=\"online\"}"), 3);
    EXPECT_INT(sample(&w, "respgres_state_transitions_total{to=\"standalone\"}"), 1);
    end(&w);
}

/* A command that is run again, because its value was not there yet or somebody was faster, is one.
 */
static void a_command_counts_once(void)
{
    struct world w;
    begin_two(&w, NULL);
    peer_say(&w.a, "SET n x; INCR n; SET m 1");
    EXPECT_INT(sample(&w, "respgres_command_calls_total{command=\"incr\"}"), 1);
    EXPECT_INT(sample(&w, "respgres_command_failed_total{command=\"incr\"}"), 1);
    EXPECT_INT(sample(&w, "respgres_error_replies_total{error=\"ERR\"}"), 1);
    peer_say(&w.a, "INCR m; GET n y; NOSUCH; SET n 1 FOO");
    EXPECT_INT(sample(&w, "respgres_command_calls_total{command=\"incr\"}"), 2);
    EXPECT_INT(sample(&w, "respgres_command_failed_total{command=\"incr\"}"), 1);
    EXPECT_INT(sample(&w, "respgres_command_failed_total{command=\"set\"}"), 1);
    EXPECT_INT(sample(&w, "respgres_error_replies_total{error=\"ERR\"}"), 4);
    EXPECT_INT(sample(&w, "respgres_command_duration_seconds_count"), 5);
    end(&w);
}

static void errors_inside_a_block_count(void)
{
    struct world w;
    begin_two(&w, NULL);
    peer_say(&w.a, "SET n x; MULTI; INCR n; SET a 1; INCR n; HELLO 9; EXEC");
    EXPECT_INT(sample(&w, "respgres_command_failed_total{command=\"incr\"}"), 2);
    EXPECT_INT(sample(&w, "respgres_command_failed_total{command=\"set\"}"), 0);
    EXPECT_INT(sample(&w, "respgres_error_replies_total{error=\"ERR\"}"), 2);
    EXPECT_INT(sample(&w, "respgres_error_replies_total{error=\"NOPROTO\"}"), 1);
    peer_say(&w.a, "MULTI; NOSUCH; EXEC");
    EXPECT_INT(sample(&w, "respgres_error_replies_total{error=\"ERR\"}"), 3);
    EXPECT_INT(sample(&w, "respgres_error_replies_total{error=\"EXECABORT\"}"), 1);
    end(&w);
}

/* What its client was told after pg-timeout is one error, whatever becomes of the batch. */
static void a_late_command_counts_once(void)
{
    struct world w;
    begin_two(&w, NULL);
    hold(&w, MEMORY_COMMIT, true);
    peer_say(&w.a, "SET a 1");
    EXPECT_INT(sample(&w, "respgres_transactions{stage=\"gathered\"}"), 1);
    rig_advance_ms(&w.rig, RIG_TIMEOUT_MS + 100);
    EXPECT_INT(sample(&w, "respgres_command_timeouts_total"), 1);
    EXPECT_INT(sample(&w, "respgres_command_failed_total{command=\"set\"}"), 1);
    answer(&w, MEMORY_COMMIT);
    hold(&w, MEMORY_COMMIT, false);
    EXPECT_INT(sample(&w, "respgres_command_calls_total{command=\"set\"}"), 1);
    EXPECT_INT(sample(&w, "respgres_command_failed_total{command=\"set\"}"), 1);
    EXPECT_INT(sample(&w, "respgres_transactions{stage=\"gathered\"}"), 0);
    end(&w);
}

TEST_MAIN(TEST(states_of_the_store), TEST(a_command_counts_once), TEST(errors_inside_a_block_count),
          TEST(a_late_command_counts_once))
