/* Which servers a connection string names, in which order, and what libpq is given. Addresses only:
 * no name is looked up here but localhost. */
#include "store/postgres/hosts.h"

#include <stdlib.h>

#include "base/mem.h"
#include "test.h"

struct answer {
    bool called;
    bool failed;
    struct targets targets;
    struct loop *loop;
};

static void on_found(void *arg, struct targets *found, const char *error)
{
    struct answer *a = arg;
    EXPECT(!a->called);
    a->called = true;
    a->failed = error != NULL;
    a->targets = *found;
    if (a->loop != NULL)
        loop_stop(a->loop);
}

static bool no_more(void *arg)
{
    (void)arg;
    return false;
}

/* "host|hostaddr|port" as libpq gets them; a name is waited for. */
static void expect_lists(struct hosts *h, struct loop *loop, const char *conninfo, const char *want)
{
    struct answer a = {.loop = NULL};
    struct buf lists[3];
    char got[1024];
    for (int i = 0; i < 3; i++)
        buf_init(&lists[i]);
    struct hosts_search *s = hosts_find(h, conninfo, 2000000, on_found, &a);
    EXPECT((s == NULL) == a.called);
    if (s != NULL) {
        EXPECT_CSTR(hosts_missing(s), "localhost");
        a.loop = loop;
        loop_run(loop, no_more, NULL);
    }
    EXPECT(a.called && !a.failed);
    targets_lists(&a.targets, &lists[0], &lists[1], &lists[2]);
    snprintf(got, sizeof(got), "%s|%s|%s", buf_cstr(&lists[0]), buf_cstr(&lists[1]),
             buf_cstr(&lists[2]));
    EXPECT_CSTR(got, want);
    targets_release(&a.targets);
    for (int i = 0; i < 3; i++)
        buf_release(&lists[i]);
}

static void without_names(void)
{
    static const char *const cases[][2] = {
        {"postgresql://u@10.0.0.1/d", "10.0.0.1||5432"},
        {"postgresql://u@10.0.0.1:7,[::1]:8/d", "10.0.0.1,::1|,|7,8"},
        {"host=/run/a,/run/b port=7", "/run/a,/run/b|,|7,7"},
        {"host=one.example,two.example hostaddr=10.0.0.1,10.0.0.2",
         "one.example,two.example|10.0.0.1,10.0.0.2|5432,5432"},
        {"hostaddr=10.0.0.1,10.0.0.2 port=7,8", ",|10.0.0.1,10.0.0.2|7,8"},
        {"host=10.0.0.1,,@abstract", "10.0.0.1,,@abstract|,,|5432,5432,5432"},
        /* What libpq is to read, or to refuse, itself. */
        {"dbname=d", "||"},
        {"service=nowhere", "||"},
        {"host=10.0.0.1,10.0.0.2 port=1,2,3", "||"},
        {"host=10.0.0.1 hostaddr=10.0.0.1,10.0.0.2", "||"},
        {"postgresql://u@10.0.0.1/d?nonsense=1", "||"},
        {"", "||"},
    };
    struct loop *loop = loop_new();
    struct hosts *h = hosts_new(loop);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_lists(h, loop, cases[i][0], cases[i][1]);
    hosts_free(h);
    loop_free(loop);
}

static void environment(void)
{
    struct loop *loop = loop_new();
    struct hosts *h = hosts_new(loop);
    setenv("PGHOST", "10.0.0.1,10.0.0.2", 1);
    setenv("PGPORT", "7", 1);
    expect_lists(h, loop, "dbname=d", "10.0.0.1,10.0.0.2|,|7,7");
    expect_lists(h, loop, "host=10.0.0.3 port=8", "10.0.0.3||8");
    unsetenv("PGHOST");
    setenv("PGHOSTADDR", "10.0.0.4", 1);
    expect_lists(h, loop, "host=db.example", "db.example|10.0.0.4|7");
    unsetenv("PGHOSTADDR");
    unsetenv("PGPORT");
    hosts_free(h);
    loop_free(loop);
}

static void a_name(void)
{
    struct loop *loop = loop_new();
    struct hosts *h = hosts_new(loop);
    struct answer a = {.loop = loop};
    struct hosts_search *s =
        hosts_find(h, "host=10.0.0.1,localhost port=7,8", 2000000, on_found, &a);
    EXPECT(s != NULL && !a.called);
    loop_run(loop, no_more, NULL);
    EXPECT(a.called && !a.failed && a.targets.n >= 2);
    EXPECT_CSTR(a.targets.items[0].hostaddr, "");
    for (size_t i = 1; i < a.targets.n; i++) {
        EXPECT_CSTR(a.targets.items[i].host, "localhost");
        EXPECT_CSTR(a.targets.items[i].port, "8");
        EXPECT(strcmp(a.targets.items[i].hostaddr, "127.0.0.1") == 0 ||
               strcmp(a.targets.items[i].hostaddr, "::1") == 0);
    }
    targets_release(&a.targets);
    hosts_free(h);
    loop_free(loop);
}

static void a_search_given_up(void)
{
    struct loop *loop = loop_new();
    struct hosts *h = hosts_new(loop);
    struct answer a = {.loop = NULL};
    hosts_cancel(hosts_find(h, "host=localhost", 2000000, on_found, &a));
    hosts_cancel(NULL);
    hosts_free(h); /* its thread may still be at it */
    EXPECT(!a.called);
    loop_free(loop);
}

/* Attempts that end at a server: the next begins behind it; then with the one that answered. */
static void the_order_of_attempts(void)
{
    static const char three[] = "host=127.0.0.1,127.0.0.2,127.0.0.3 port=1 sslmode=disable";
    struct loop *loop = loop_new();
    struct hosts *h = hosts_new(loop);
    struct answer a = {.loop = NULL};
    hosts_find(h, three, 2000000, on_found, &a);
    /* An address that is not one: libpq gives up at it, and says so by PQhost. */
    PGconn *at_second = PQconnectStart("host=127.0.0.2 hostaddr=127.0.0.2 port=1");
    EXPECT_CSTR(PQhost(at_second), "127.0.0.2");
    hosts_failed(h, &a.targets, at_second);
    expect_lists(h, loop, three, "127.0.0.3,127.0.0.1,127.0.0.2|,,|1,1,1");
    hosts_connected(h, &a.targets, at_second);
    expect_lists(h, loop, three, "127.0.0.2,127.0.0.3,127.0.0.1|,,|1,1,1");
    /* One that the string does not name any more. */
    expect_lists(h, loop, "host=127.0.0.8,127.0.0.9 port=1", "127.0.0.8,127.0.0.9|,|1,1");
    PQfinish(at_second);
    targets_release(&a.targets);
    hosts_free(h);
    loop_free(loop);
}

TEST_MAIN(TEST(without_names), TEST(environment), TEST(a_name), TEST(a_search_given_up),
          TEST(the_order_of_attempts))
