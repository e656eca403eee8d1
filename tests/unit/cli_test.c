/* What --healthcheck makes of the command line of process 1, and what a child of --exec is told. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/exec_place.h"
#include "cli/healthcheck.h"
#include "test.h"

enum { MAX = 32 };

/* The words that healthcheck_argv makes of `cmdline`, each with a blank behind it. */
static void expect_words(const char *cmdline, size_t n, int argc, const char *want)
{
    char path[] = "/tmp/respgres-cmdline-XXXXXX";
    int fd = mkstemp(path);
    EXPECT(fd >= 0 && write(fd, cmdline, n) == (ssize_t)n);
    char name[] = "respgres", flag[] = "--port", value[] = "1";
    char *argv[] = {name, flag, value, NULL};
    argv[argc] = NULL;
    char *out[MAX];
    struct buf keep;
    struct buf got;
    buf_init(&keep);
    buf_init(&got);
    int count = healthcheck_argv(argc, argv, path, &keep, out, MAX);
    EXPECT(out[count] == NULL);
    for (int i = 0; i < count; i++)
        buf_printf(&got, "%s ", out[i]);
    EXPECT_CSTR(buf_cstr(&got), want);
    buf_release(&keep);
    buf_release(&got);
    close(fd);
    unlink(path);
}

#define WORDS(text) text, sizeof(text)

static void healthcheck_follows_process_1(void)
{
    expect_words(WORDS("/usr/local/bin/respgres\0--http-port\0"
                       "9000"),
                 1, "/usr/local/bin/respgres --http-port 9000 ");
    expect_words(WORDS("respgres\0/etc/a.conf\0--bind\0*\0::*\0--requirepass\0xxxx\0--http-port=7"),
                 1, "respgres /etc/a.conf --bind * ::* --http-port=7 ");
    expect_words(WORDS("respgres\0--database-url=xx\0--http-port\0"
                       "8\0--exec-url\0tcp\0--exec\0--\0"
                       "app\0--http-port\0"
                       "9"),
                 1, "respgres --http-port 8 ");
}

static void healthcheck_goes_its_own_way(void)
{
    /* another program is process 1; or flags are given */
    expect_words(WORDS("/sbin/init\0--http-port\0"
                       "9000"),
                 1, "respgres ");
    expect_words(WORDS("respgres\0--http-port\0"
                       "9000"),
                 3, "respgres --port 1 ");
    expect_words(WORDS(""), 1, "respgres ");
}

static const char *lookup(char **env, const char *name)
{
    size_t n = strlen(name);
    for (; *env != NULL; env++) {
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    }
    return "(none)";
}

static void place_is_private(void)
{
    struct exec_place p;
    struct buf error;
    struct stat st;
    char folder[80];
    buf_init(&error);
    EXPECT(exec_place_make(&p, false, false, &error));
    EXPECT(stat(p.folder, &st) == 0 && (st.st_mode & 0777) == 0700);
    snprintf(folder, sizeof(folder), "%s", p.folder);
    char *flags[EXEC_FLAGS_MAX];
    EXPECT_INT(exec_place_flags(&p, flags), 6);
    EXPECT_CSTR(flags[3], p.path);
    exec_place_remove(&p);
    EXPECT(stat(folder, &st) != 0);
    exec_place_remove(&p); /* twice does no harm */
    buf_release(&error);
}

static void environment_names_the_place(void)
{
    struct exec_place p = {.tcp = true};
    char socket[] = "/tmp/a b/s%", password[] = "p@/: \xc3\xbc", home[] = "HOME=/h",
         old[] = "REDIS_URL=redis://old", port[] = "REDIS_PORT=1";
    char *before[] = {home, old, port, NULL};
    struct config c = {.port = 7000, .unixsocket = socket, .requirepass = password};
    char **env = exec_place_environment(&p, &c, before);
    EXPECT_CSTR(lookup(env, "REDIS_URL"), "redis://:p%40%2F%3A%20%C3%BC@127.0.0.1:7000/0");
    EXPECT_CSTR(lookup(env, "REDIS_PORT"), "7000");
    EXPECT_CSTR(lookup(env, "REDIS_PASSWORD"), password);
    EXPECT_CSTR(lookup(env, "HOME"), "/h");
    exec_place_free_environment(env);
    p.tcp = false;
    env = exec_place_environment(&p, &c, before);
    EXPECT_CSTR(lookup(env, "REDIS_URL"), "unix://:p%40%2F%3A%20%C3%BC@/tmp/a%20b/s%25");
    EXPECT_CSTR(lookup(env, "REDIS_PORT"), "1"); /* somebody else's, and left alone */
    exec_place_free_environment(env);
}

TEST_MAIN(TEST(healthcheck_follows_process_1), TEST(healthcheck_goes_its_own_way),
          TEST(place_is_private), TEST(environment_names_the_place))
