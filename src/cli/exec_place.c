/* exec_place: see exec_place.h. */
#include "cli/exec_place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static bool make_folder(struct exec_place *p, const char *parent)
{
    if (parent == NULL || parent[0] != '/')
        return false;
    int n = snprintf(p->folder, sizeof(p->folder), "%s/respgres-XXXXXX", parent);
    if (n > 0 && (size_t)n < sizeof(p->folder) && mkdtemp(p->folder) != NULL)
        return true;
    p->folder[0] = '\0';
    return false;
}

/* With a read-only root file system there may be no /tmp to write to, but there is memory. */
static bool make_socket_path(struct exec_place *p, struct buf *error)
{
    const char *const parents[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp", "/run",
                                   "/dev/shm"};
    for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
        if (!make_folder(p, parents[i]))
            continue;
        snprintf(p->path, sizeof(p->path), "%s/redis.sock", p->folder);
        return true;
    }
    buf_printf(error,
               "--exec: no place for a socket in /tmp, /run or /dev/shm (%s): set TMPDIR, or "
               "use --exec-url tcp",
               strerror(errno));
    return false;
}

/* Free now; should another program take it before we do, the start says so. */
static bool choose_port(struct exec_place *p, struct buf *error)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 &&
              getsockname(fd, (struct sockaddr *)&a, &len) == 0;
    if (ok)
        snprintf(p->port, sizeof(p->port), "%u", (unsigned)ntohs(a.sin_port));
    else
        buf_printf(error, "--exec-url tcp: no port of 127.0.0.1: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool make_password(struct exec_place *p, struct buf *error)
{
    unsigned char random[16];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        buf_printf(error, "--exec: no random bytes: %s", strerror(errno));
        return false;
    }
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(p->password + 2 * i, 3, "%02x", random[i]);
    return true;
}

bool exec_place_make(struct exec_place *p, bool tcp, bool has_password, struct buf *error)
{
    *p = (struct exec_place){.tcp = tcp};
    if (!tcp)
        return make_socket_path(p, error);
    return choose_port(p, error) && (has_password || make_password(p, error));
}

void exec_place_remove(struct exec_place *p)
{
    if (p->folder[0] == '\0')
        return;
    (void)unlink(p->path);
    (void)rmdir(p->folder);
    p->folder[0] = '\0';
}

int exec_place_flags(struct exec_place *p, char *flags[EXEC_FLAGS_MAX])
{
    static char port[] = "--port", off[] = "0", bind_to[] = "--bind", loopback[] = "127.0.0.1",
                socket_flag[] = "--unixsocket", mode_flag[] = "--unixsocketperm", mode[] = "700",
                password[] = "--requirepass";
    int n = 0;
    flags[n++] = port;
    flags[n++] = p->tcp ? p->port : off;
    if (!p->tcp) {
        flags[n++] = socket_flag;
        flags[n++] = p->path;
        flags[n++] = mode_flag;
        flags[n++] = mode;
        return n;
    }
    flags[n++] = bind_to;
    flags[n++] = loopback;
    if (p->password[0] != '\0') {
        flags[n++] = password;
        flags[n++] = p->password;
    }
    return n;
}

/* ---- the child's environment ---- */

static void append_encoded(struct buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    for (; *text != '\0'; text++) {
        if (strchr(plain, *text) != NULL)
            buf_append_u8(out, (uint8_t)*text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

static void append_url(struct buf *out, const struct exec_place *p, const struct config *c)
{
    struct buf password;
    buf_init(&password);
    for (const char *at = c->requirepass; *at != '\0'; at++) {
        char one[2] = {*at, '\0'};
        if (*at == '/')
            buf_append_cstr(&password, "%2F"); /* else it would end the authority */
        else
            append_encoded(&password, one);
    }
    buf_append_cstr(out, p->tcp ? "REDIS_URL=redis://" : "REDIS_URL=unix://");
    if (password.len > 0)
        buf_printf(out, ":%s@", buf_cstr(&password));
    if (p->tcp)
        buf_printf(out, "127.0.0.1:%lld/0", (long long)c->port);
    else
        append_encoded(out, c->unixsocket);
    buf_release(&password);
}

static bool is_ours(const char *variable, bool tcp)
{
    static const char *const names[] = {
        "REDIS_URL=", "REDIS_HOST=", "REDIS_PORT=", "REDIS_PASSWORD="};
    for (size_t i = 0; i < (tcp ? 4 : 1); i++) {
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

static char *formatted(const char *name, const char *value)
{
    struct buf text;
    buf_init(&text);
    buf_printf(&text, "%s=%s", name, value);
    char *copy = mem_strdup(buf_cstr(&text));
    buf_release(&text);
    return copy;
}

char **exec_place_environment(const struct exec_place *p, const struct config *c, char **env)
{
    size_t count = 0;
    size_t n = 0;
    while (env[count] != NULL)
        count++;
    char **copy = mem_alloc((count + 5) * sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(env[i], p->tcp))
            copy[n++] = mem_strdup(env[i]);
    }
    struct buf text;
    buf_init(&text);
    append_url(&text, p, c);
    copy[n++] = mem_strdup(buf_cstr(&text));
    if (p->tcp) {
        text.len = 0;
        buf_printf(&text, "%lld", (long long)c->port);
        copy[n++] = formatted("REDIS_HOST", "127.0.0.1");
        copy[n++] = formatted("REDIS_PORT", buf_cstr(&text));
        copy[n++] = formatted("REDIS_PASSWORD", c->requirepass);
    }
    copy[n] = NULL;
    buf_release(&text);
    return copy;
}

void exec_place_free_environment(char **env)
{
    for (char **e = env; *e != NULL; e++)
        mem_free(*e);
    mem_free(env);
}
