/* config: what URLs of other libraries come to. Those that are refused: config_test.c. */
#include "test.h"

#include "base/buf.h"
#include "config/config.h"

static void expect_url(const char *url, const char *want, const char *want_dropped)
{
    struct buf out;
    struct buf dropped;
    buf_init(&out);
    buf_init(&dropped);
    config_normalise_url(url, &out, &dropped);
    EXPECT_CSTR(buf_cstr(&out), want);
    EXPECT_CSTR(buf_cstr(&dropped), want_dropped);
    buf_release(&out);
    buf_release(&dropped);
}

static void url_normalised(void)
{
    static const char *const same[] = {
        "",
        "postgresql://",
        "postgresql://u:p@h:5432/db",
        "host=h user=u password='a://b?c=d'",
        "postgresql:///db?host=/run/postgresql&sslmode=verify-full",
        "postgresql://u:p?a=b&c@h/db?application_name=x",
        "mysql://h/d?x=y",
        "nonsense",
    };
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        expect_url(same[i], same[i], "");
    expect_url("postgres://h", "postgresql://h", "");
    expect_url("PostgreSQL+psycopg2://u@h/d", "postgresql://u@h/d", "");
    expect_url("postgresql+asyncpg://u@h/d", "postgresql://u@h/d", "");
    expect_url("psycopg2://h/d", "postgresql://h/d", "");
    expect_url("pgsql://h/d", "postgresql://h/d", "");
    expect_url("postgis://h/d", "postgresql://h/d", "");
    expect_url("postgres://h/d?pool_size=5", "postgresql://h/d", "pool_size");
    expect_url("postgres://h/d?pool_size=5&sslmode=require&pgbouncer=true&connect_timeout=3",
               "postgresql://h/d?sslmode=require&connect_timeout=3", "pool_size,pgbouncer");
    expect_url("postgres://h/d?ssl=true", "postgresql://h/d?sslmode=require", "");
    expect_url("postgres://h/d?ssl=False&user=u", "postgresql://h/d?sslmode=disable&user=u", "");
    expect_url("postgres://h/d?ssl=verify-full", "postgresql://h/d?sslmode=verify-full", "");
    expect_url("postgres://h/d?ssl=perhaps", "postgresql://h/d", "ssl");
    /* Not a name: might be a piece of a password. */
    expect_url("postgres://h/d?pa%24s=x", "postgresql://h/d", "?");
    /* The '@' ended no user: the '?' came first, thanks to a '/' that is dropped. */
    expect_url("postgresql://h?a=/&user=u@x", "postgresql://h?user=u%40x", "a");
    expect_url("postgres://h/d?options=-c%20x%3Dy", "postgresql://h/d?options=-c%20x%3Dy", "");
}

TEST_MAIN(TEST(url_normalised))
