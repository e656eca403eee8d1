/* What instances tell each other of keys: codes of buckets, and what is no notice. */
#include "store/postgres/notice.h"

#include "test.h"

struct heard {
    size_t n;
    uint32_t buckets[64];
    int all;
};

static void on_stale(void *arg, uint32_t bucket)
{
    struct heard *h = arg;
    if (h->n < 64)
        h->buckets[h->n] = bucket;
    h->n++;
}

static void on_all_stale(void *arg)
{
    ((struct heard *)arg)->all++;
}

static struct heard hear(const char *payload, int slot)
{
    static const struct store_notices to = {.stale = on_stale, .all_stale = on_all_stale};
    struct heard h = {.n = 0};
    notice_take(payload, slot, &to, &h);
    return h;
}

static void keys_are_heard_by_others(void)
{
    static const char *const keys[] = {"", "a", "session:1", "session:2"};
    static const int slots[] = {1, 15, 16, 1023};
    struct buf out = {0};
    for (size_t s = 0; s < 4; s++) {
        notice_begin(&out, slots[s]);
        for (size_t i = 0; i < 4; i++)
            notice_add_key(&out, bytes_cstr(keys[i]));
        notice_end(&out);
        struct heard h = hear(buf_cstr(&out), 7);
        EXPECT_INT(h.n, 4);
        EXPECT_INT(h.all, 0);
        for (size_t i = 0; i < 4; i++)
            EXPECT_INT(h.buckets[i], store_bucket(bytes_cstr(keys[i])));
        EXPECT_INT(hear(buf_cstr(&out), slots[s]).n, 0);
    }
    buf_release(&out);
}

static void too_many_keys_are_everything(void)
{
    struct buf out = {0};
    notice_begin(&out, 1);
    for (int i = 0; i < 3000; i++)
        notice_add_key(&out, bytes_cstr("k"));
    notice_end(&out);
    EXPECT_TEXT(out.data, out.len, "*");
    EXPECT_INT(hear("*", 1).all, 1);
    buf_release(&out);
}

/* SQL has slot 0: everybody hears it, whoever has none, too. */
static void sql_is_heard_by_all(void)
{
    EXPECT_INT(hear("k000AAA", 0).n, 1);
    EXPECT_INT(hear("k000AAB///", 5).n, 2);
    EXPECT_INT(hear("k000///", 5).buckets[0], STORE_BUCKETS - 1);
}

/* Anybody may NOTIFY. */
static void what_is_none(void)
{
    static const char *const none[] = {"",
                                       "k",
                                       "k0",
                                       "k00",
                                       "k000",
                                       "k000A",
                                       "k000AA",
                                       "k000AA!",
                                       "k-05AAA",
                                       "k+05AAA",
                                       "k 05AAA",
                                       "k0x5AAA",
                                       "k0X5AAA",
                                       "k00gAAA",
                                       "k0FFAAA",
                                       "k000 AAA",
                                       "K000AAA",
                                       "*a",
                                       "* ",
                                       "p5.1.2",
                                       "mAAAA",
                                       "k\tAAAA",
                                       "k\377\377\377AAA"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        struct heard h = hear(none[i], 5);
        EXPECT_INT(h.n, 0);
        EXPECT_INT(h.all, 0);
    }
    EXPECT_INT(hear("k000AAAB", 5).n, 1);
    EXPECT_INT(hear("k000AAA!AAA", 5).n, 1);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {TEST(keys_are_heard_by_others),
                                        TEST(too_many_keys_are_everything),
                                        TEST(sql_is_heard_by_all), TEST(what_is_none)};
    return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL);
}
