/* The offset of another clock, from when it was asked, what it said, and when that was heard. */
#include "store/postgres/offset.h"

#include "test.h"

#define SECOND 1000000

static void an_answer_bounds_it_from_both_sides(void)
{
    struct clock_offset o = {.known = false};
    EXPECT_INT(clock_offset_error_us(&o, SECOND), 0);
    clock_offset_note(&o, 5000, 1000, 1400);
    EXPECT(o.known);
    EXPECT_INT(clock_offset_us(&o), 3800);
    EXPECT_INT(clock_offset_error_us(&o, 1400), 200);
    EXPECT_INT(clock_offset_error_us(&o, 1400 + 60 * SECOND), 200 + 60000);
}

/* The offset is 100,000: one answer is quick on the way there, the other one on the way back. */
static void the_quickest_ways_need_not_be_of_one_answer(void)
{
    struct clock_offset o = {.known = false};
    clock_offset_note(&o, 101010, 1000, 41000);
    EXPECT_INT(clock_offset_us(&o), 100010 - 20000);
    clock_offset_note(&o, 151000, 42000, 51030);
    EXPECT_INT(o.low_us, 99970);
    EXPECT_INT(o.high_us, 100010 + 10); /* 10 ms have passed */
    EXPECT_INT(clock_offset_us(&o), 99995);
}

/* However often it is asked, and the clocks run apart by 200 ppm. */
static void clocks_drift(void)
{
    struct clock_offset o = {.known = false};
    int64_t now = 1;
    for (int i = 0; i < 200000; i++) {
        int64_t sent = now;
        int64_t theirs = 7 * (int64_t)SECOND + sent + 100 + (sent + 100) / 5000;
        now += 300;
        clock_offset_note(&o, theirs, sent, now);
        int64_t wrong = theirs - (sent + 100) - clock_offset_us(&o);
        int64_t error = clock_offset_error_us(&o, now);
        EXPECT(error <= 151 && wrong <= error + 1 && -wrong <= error + 1);
        now += 77;
    }
    EXPECT_INT(clock_offset_us(&o) / SECOND, 7);
    EXPECT(clock_offset_us(&o) % SECOND > 14000); /* 75 s at 200 ppm */
}

static void a_clock_that_was_set_is_believed(void)
{
    struct clock_offset o = {.known = false};
    EXPECT_INT(clock_offset_note(&o, 5100, 0, 200), 0);
    EXPECT_INT(clock_offset_note(&o, 5100 + 1000 + SECOND, 1000, 1400), SECOND - 401);
    EXPECT_INT(clock_offset_us(&o), 4900 + SECOND);
    EXPECT_INT(clock_offset_note(&o, 5100 + 2000, 2000, 2200), 400 - SECOND);
    EXPECT_INT(clock_offset_us(&o), 5000);
    EXPECT_INT(clock_offset_error_us(&o, 2200), 100);
}

static void what_is_only_said_gives_way(void)
{
    struct clock_offset o = {.known = false};
    clock_offset_set(&o, 777, 1800LL * SECOND, 0);
    EXPECT_INT(clock_offset_us(&o), 777);
    EXPECT_INT(clock_offset_error_us(&o, 0), 1800LL * SECOND);
    clock_offset_note(&o, 600LL * SECOND, 1000, 1200);
    EXPECT_INT(clock_offset_us(&o), 600LL * SECOND - 1100);
    EXPECT_INT(clock_offset_error_us(&o, 1200), 100);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(an_answer_bounds_it_from_both_sides),
        TEST(the_quickest_ways_need_not_be_of_one_answer),
        TEST(clocks_drift),
        TEST(a_clock_that_was_set_is_believed),
        TEST(what_is_only_said_gives_way),
    };
    return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL);
}
