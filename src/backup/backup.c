#include "backup/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup/dump.h"
#include "backup/files.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/metrics.h"

extern char **environ;

static const int64_t us_per_s = 1000000;

enum {
    FIRST_S = 1,         /* after the start, where there is no backup yet */
    RETRY_MAX_S = 600,   /* after a failure: a tenth of the interval, at most this */
    REAP_US = 20 * 1000, /* between two looks whether the child has ended */
    SAID_MAX = 400,      /* of what it said, the end counts */
};

enum backup_state {
    BACKUP_WAITING, /* for the timer, or for good where the interval is 0 */
    BACKUP_WRITING, /* the child is at work */
    BACKUP_REAPING, /* it has closed its output */
};

struct backup {
    struct loop *loop;
    const struct config *config;
    bool (*ready)(void *arg); /* is there a schema to back up? */
    void *ready_arg;
    enum backup_state state;
    struct timer *timer; /* until the next one; between looks while reaping */
    int64_t interval_s;  /* as it was when the timer was set */
    bool failed;         /* the last one has */
    pid_t pid;
    int fd; /* its output */
    struct io *io;
    struct buf said;
    int64_t started_us;
    int64_t started_s; /* since 1970 */
};

/* ---- in the child ---- */

/* The lines that the child's last one begins with. */
static const char good[] = "backup ";

bool backup_run(const struct config *c, struct buf *said, struct buf *error)
{
    struct dump_totals totals;
    struct buf path;
    int64_t now_s = clock_wall_us() / us_per_s;
    buf_init(&path);
    backup_path(c, now_s, &path);
    bool ok = backup_make_folder(c, error) && dump_write(c, buf_cstr(&path), &totals, error);
    if (ok) {
        char quoted[LOG_QUOTE_SIZE];
        backup_prune(c, now_s);
        buf_printf(said, "%sfile=%s keys=%llu bytes=%llu", good, log_quote(buf_cstr(&path), quoted),
                   (unsigned long long)totals.keys, (unsigned long long)totals.bytes);
    }
    buf_release(&path);
    return ok;
}

/* ---- the child's environment ---- */

struct environment {
    char **list;
    size_t n;
};

static void add(struct environment *e, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 2;
    e->list = mem_realloc(e->list, (e->n + 2) * sizeof(*e->list));
    e->list[e->n] = mem_alloc(size);
    snprintf(e->list[e->n], size, "%s=%s", name, value);
    e->list[++e->n] = NULL;
}

/* Ours without options, which may name what the child is not to do, and those that it needs. */
static void environment_init(struct environment *e, const struct config *c)
{
    char keep[32];
    *e = (struct environment){0};
    for (char **at = environ; *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        if (equals == NULL || strncmp(*at, "RESPGRES_CONF_", 14) == 0 ||
            strncmp(*at, "DATABASE_URL", 12) == 0)
            continue;
        char *name = mem_strndup(*at, (size_t)(equals - *at));
        add(e, name, equals + 1);
        mem_free(name);
    }
    snprintf(keep, sizeof(keep), "%lld", (long long)c->backup_keep);
    add(e, "DATABASE_URL", c->database_url);
    add(e, "RESPGRES_CONF_PG_SCHEMA", c->pg_schema);
    add(e, "RESPGRES_CONF_DIR", c->dir);
    add(e, "RESPGRES_CONF_BACKUP_DIR", c->backup_dir);
    add(e, "RESPGRES_CONF_BACKUP_KEEP", keep);
}

static void environment_release(struct environment *e)
{
    for (size_t i = 0; i < e->n; i++)
        mem_free(e->list[i]);
    mem_free(e->list);
}

/* Output and errors go to `fd`. Signals are as in a new process. */
static int spawn(const struct config *c, int fd, pid_t *pid)
{
    char name[] = "respgres";
    char what[] = "--backup";
    char *argv[] = {name, what, NULL};
    struct environment e;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    environment_init(&e, c);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, fd, STDERR_FILENO);
    int rc = posix_spawn(pid, "/proc/self/exe", &files, &attributes, argv, e.list);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    environment_release(&e);
    return rc;
}

/* ---- in the server ---- */

static void schedule(struct backup *b)
{
    int64_t interval_s = b->interval_s = b->config->backup_interval_s;
    if (interval_s == 0 || b->config->database_url[0] == '\0') { /* or there is nothing to back up */
        timer_clear(b->timer);
        return;
    }
    int64_t now_s = clock_wall_us() / us_per_s;
    int64_t wait_s = FIRST_S;
    if (b->failed)
        wait_s = interval_s / 10 < RETRY_MAX_S ? interval_s / 10 : RETRY_MAX_S;
    else if (metrics.backup_last_time > 0 && metrics.backup_last_time <= now_s)
        wait_s = metrics.backup_last_time + interval_s - now_s;
    timer_set(b->timer, (wait_s < FIRST_S ? FIRST_S : wait_s) * us_per_s);
}

static void end(struct backup *b, bool ok, const char *why)
{
    char quoted[LOG_QUOTE_SIZE];
    int64_t us = clock_mono_us() - b->started_us;
    b->state = BACKUP_WAITING;
    b->failed = !ok;
    if (ok) {
        metrics.backups++;
        metrics.backup_last_us = us;
        backup_latest(b->config, &metrics.backup_last_time, &metrics.backup_last_bytes);
        log_event(LOG_NOTICE, "backup-written", "%s duration_us=%lld", why + strlen(good),
                  (long long)us);
    } else {
        metrics.backup_failures++;
        log_event(LOG_WARNING, "backup-failed", "why=%s", log_quote(why, quoted));
    }
    schedule(b);
}

/* The last line that the child has said. It ends with a newline. */
static const char *last_line(struct backup *b)
{
    while (b->said.len > 0 && b->said.data[b->said.len - 1] == '\n')
        b->said.len--;
    const char *text = buf_cstr(&b->said);
    const char *newline = strrchr(text, '\n');
    return newline != NULL ? newline + 1 : text;
}

/* If somebody else has reaped it, which an init does, its line still tells. */
static void reap(struct backup *b)
{
    int status = 0;
    pid_t pid = waitpid(b->pid, &status, WNOHANG);
    if (pid == 0) {
        timer_set(b->timer, REAP_US);
        return;
    }
    b->pid = 0;
    const char *line = last_line(b);
    bool ok = strncmp(line, good, strlen(good)) == 0 && (pid < 0 || status == 0);
    const char *why = ok ? line : buf_cstr(&b->said); /* an error of PostgreSQL has several lines */
    end(b, ok, why[0] != '\0' ? why : "the process that writes it has died");
}

static void close_output(struct backup *b)
{
    io_free(b->io);
    b->io = NULL;
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
}

static void on_output(void *arg, int events)
{
    struct backup *b = arg;
    (void)events;
    ssize_t n = read(b->fd, buf_reserve(&b->said, SAID_MAX), SAID_MAX);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        b->said.len += (size_t)n;
        if (b->said.len > SAID_MAX)
            buf_consume(&b->said, b->said.len - SAID_MAX);
        return;
    }
    close_output(b);
    b->state = BACKUP_REAPING;
    reap(b);
}

static void begin(struct backup *b)
{
    int fds[2];
    b->started_us = clock_mono_us();
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        end(b, false, strerror(errno));
        return;
    }
    /* The child's end must block. */
    int rc = fcntl(fds[1], F_SETFL, 0) == 0 ? spawn(b->config, fds[1], &b->pid) : errno;
    close(fds[1]);
    b->fd = fds[0];
    if (rc != 0) {
        close_output(b);
        end(b, false, strerror(rc));
        return;
    }
    b->state = BACKUP_WRITING;
    b->said.len = 0;
    b->io = io_new(b->loop, b->fd, on_output, b);
    io_want(b->io, IO_READ);
}

static void on_timer(void *arg)
{
    struct backup *b = arg;
    if (b->state == BACKUP_REAPING)
        reap(b);
    else if (!b->ready(b->ready_arg))
        timer_set(b->timer, FIRST_S * us_per_s);
    else
        begin(b);
}

struct backup *backup_new(struct loop *loop, const struct config *config, bool (*ready)(void *arg),
                          void *ready_arg)
{
    struct backup *b = mem_zalloc(sizeof(*b));
    b->loop = loop;
    b->config = config;
    b->ready = ready;
    b->ready_arg = ready_arg;
    b->fd = -1;
    b->timer = timer_new(loop, on_timer, b);
    buf_init(&b->said);
    if (config->backup_interval_s > 0)
        backup_latest(config, &metrics.backup_last_time, &metrics.backup_last_bytes);
    schedule(b);
    return b;
}

void backup_config_changed(struct backup *b)
{
    if (b->state == BACKUP_WAITING && b->interval_s != b->config->backup_interval_s) {
        b->failed = false;
        schedule(b);
    }
}

void backup_free(struct backup *b)
{
    if (b == NULL)
        return;
    if (b->pid > 0) {
        kill(b->pid, SIGTERM); /* it removes its file, and is gone at once */
        waitpid(b->pid, NULL, 0);
    }
    close_output(b);
    timer_free(b->timer);
    buf_release(&b->said);
    mem_free(b);
}
