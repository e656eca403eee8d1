/* Who subscribes to what, and who receives a message. */
#include "engine/channels.h"

#include "base/hash.h"
#include "base/mem.h"
#include "test.h"

static struct bytes b(const char *s)
{
    return bytes_cstr(s);
}

struct got {
    struct buf text;
    struct subscriber *of; /* an array: a receiver is shown as its index */
};

static void note(void *arg, struct subscriber *s, struct bytes pattern)
{
    struct got *g = arg;
    buf_printf(&g->text, "%d", (int)(s - g->of));
    if (pattern.data != NULL)
        buf_printf(&g->text, "(%.*s)", (int)pattern.len, pattern.data);
    buf_append_cstr(&g->text, " ");
}

static void expect_receivers(struct channels *cs, struct subscriber *of, bool shard,
                             const char *channel, const char *want)
{
    struct got g = {.of = of};
    size_t n = channels_receivers(cs, shard, b(channel), note, &g);
    EXPECT_CSTR(buf_cstr(&g.text), want);
    size_t shown = 0;
    for (const char *p = want; *p != '\0'; p++)
        shown += *p == ' ';
    EXPECT_INT(n, shown);
    EXPECT_INT(channels_receivers(cs, shard, b(channel), NULL, NULL), n);
    buf_release(&g.text);
}

static void init(struct subscriber *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        subscriber_init(&s[i]);
}

static void subscriptions(void)
{
    struct channels *cs = channels_new();
    struct subscriber s[3];
    init(s, 3);
    EXPECT(channels_join(cs, CHANNEL_PLAIN, &s[0], b("news")));
    EXPECT(!channels_join(cs, CHANNEL_PLAIN, &s[0], b("news")));
    EXPECT(channels_join(cs, CHANNEL_PLAIN, &s[1], b("news")));
    EXPECT(channels_join(cs, CHANNEL_PATTERN, &s[2], b("n*")));
    EXPECT(channels_join(cs, CHANNEL_PATTERN, &s[0], b("*s")));
    EXPECT(channels_join(cs, CHANNEL_SHARD, &s[2], b("news")));
    expect_receivers(cs, s, false, "news", "0 1 2(n*) 0(*s) ");
    expect_receivers(cs, s, false, "nix", "2(n*) ");
    expect_receivers(cs, s, false, "x", "");
    expect_receivers(cs, s, true, "news", "2 ");
    expect_receivers(cs, s, true, "ns", "");
    EXPECT_INT(subscriber_count(&s[0]), 2);
    EXPECT_INT(subscriber_count(&s[2]), 2);
    EXPECT(!channels_leave(cs, CHANNEL_PLAIN, &s[2], b("news")));
    EXPECT(!channels_leave(cs, CHANNEL_PLAIN, &s[0], b("none")));
    EXPECT(channels_leave(cs, CHANNEL_PLAIN, &s[0], b("news")));
    expect_receivers(cs, s, false, "news", "1 2(n*) 0(*s) ");
    for (int i = 0; i < 3; i++) {
        channels_leave_all(cs, &s[i]);
        EXPECT_INT(subscriber_count(&s[i]), 0);
        EXPECT_INT(s[i].memory, 0);
    }
    expect_receivers(cs, s, false, "news", "");
    channels_free(cs);
}

static void count_one(void *arg, struct bytes name)
{
    (void)name;
    ++*(int *)arg;
}

static void names_go_with_their_last_subscriber(void)
{
    struct channels *cs = channels_new();
    struct subscriber s[2];
    struct buf name;
    int n = 0;
    init(s, 2);
    buf_init(&name);
    for (int i = 0; i < 2; i++) {
        (void)channels_join(cs, CHANNEL_PLAIN, &s[i], b("a"));
        (void)channels_join(cs, CHANNEL_PATTERN, &s[i], b("a"));
    }
    (void)channels_join(cs, CHANNEL_PLAIN, &s[0], b("b"));
    (void)channels_join(cs, CHANNEL_PLAIN, &s[0], bytes_of("", 0));
    EXPECT_INT(channels_count(cs, CHANNEL_PLAIN), 3);
    EXPECT_INT(channels_count(cs, CHANNEL_PATTERN), 1);
    EXPECT_INT(channels_count(cs, CHANNEL_SHARD), 0);
    EXPECT_INT(channels_subscribers(cs, CHANNEL_PLAIN, b("a")), 2);
    EXPECT_INT(channels_subscribers(cs, CHANNEL_PATTERN, b("a")), 2);
    EXPECT_INT(channels_subscribers(cs, CHANNEL_PLAIN, b("none")), 0);
    channels_each(cs, CHANNEL_PLAIN, count_one, &n);
    EXPECT_INT(n, 3);
    subscriber_each(&s[1], CHANNEL_PLAIN, count_one, &n);
    EXPECT_INT(n, 4);
    EXPECT(channels_leave_one(cs, CHANNEL_PLAIN, &s[0], &name));
    EXPECT_CSTR(buf_cstr(&name), "a"); /* the oldest */
    name.len = 0;
    EXPECT(channels_leave_one(cs, CHANNEL_PLAIN, &s[0], &name));
    EXPECT_CSTR(buf_cstr(&name), "b");
    name.len = 0;
    EXPECT(channels_leave_one(cs, CHANNEL_PLAIN, &s[0], &name));
    EXPECT_INT(name.len, 0);
    EXPECT(!channels_leave_one(cs, CHANNEL_PLAIN, &s[0], &name));
    EXPECT_INT(channels_count(cs, CHANNEL_PLAIN), 1);
    channels_leave_all(cs, &s[0]);
    channels_leave_all(cs, &s[1]);
    EXPECT_INT(channels_count(cs, CHANNEL_PLAIN), 0);
    EXPECT_INT(channels_count(cs, CHANNEL_PATTERN), 0);
    buf_release(&name);
    channels_free(cs);
}

/* Random steps, compared with a matrix. */
enum { PEOPLE = 40, NAMES = 60, STEPS = 20000 };

static void at_random(void)
{
    static bool joined[CHANNEL_KINDS][PEOPLE][NAMES];
    struct channels *cs = channels_new();
    static struct subscriber s[PEOPLE];
    uint32_t dice = 12345;
    init(s, PEOPLE);
    for (int i = 0; i < STEPS; i++) {
        char name[16];
        dice = dice * 1664525 + 1013904223;
        enum channel_kind kind = (enum channel_kind)(dice >> 8) % CHANNEL_KINDS;
        uint32_t who = (dice >> 12) % PEOPLE;
        uint32_t what = (dice >> 20) % NAMES;
        snprintf(name, sizeof(name), "%u", what);
        bool *is = &joined[kind][who][what];
        if ((dice >> 4 & 3) != 0)
            EXPECT_INT(channels_join(cs, kind, &s[who], b(name)), !*is);
        else
            EXPECT_INT(channels_leave(cs, kind, &s[who], b(name)), *is);
        *is = (dice >> 4 & 3) != 0;
    }
    for (int what = 0; what < NAMES; what++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", what);
        size_t want[CHANNEL_KINDS] = {0};
        for (int kind = 0; kind < CHANNEL_KINDS; kind++) {
            for (int who = 0; who < PEOPLE; who++)
                want[kind] += joined[kind][who][what];
            EXPECT_INT(channels_subscribers(cs, (enum channel_kind)kind, b(name)), want[kind]);
        }
        EXPECT_INT(channels_receivers(cs, false, b(name), NULL, NULL),
                   want[CHANNEL_PLAIN] + want[CHANNEL_PATTERN]);
        EXPECT_INT(channels_receivers(cs, true, b(name), NULL, NULL), want[CHANNEL_SHARD]);
    }
    for (int who = 0; who < PEOPLE; who++)
        channels_leave_all(cs, &s[who]);
    channels_free(cs);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {TEST(subscriptions),
                                        TEST(names_go_with_their_last_subscriber), TEST(at_random)};
    hash_seed();
    return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL);
}
