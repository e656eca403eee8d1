#include "backup/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "store/postgres/postgres.h"
#include "store/router/router.h"

enum { CHUNK = 256 * 1024 };

struct writer {
    int fd;
    int db; /* that the last SELECT has chosen, -1 = none yet */
    struct buf out;
    struct dump_totals totals;
    struct buf *error;
};

/* ---- bytes ---- */

static bool flush(struct writer *w)
{
    size_t at = 0;
    while (at < w->out.len) {
        ssize_t n = write(w->fd, w->out.data + at, w->out.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            buf_printf(w->error, "write: %s", strerror(errno));
            return false;
        }
        at += (size_t)n;
    }
    w->totals.bytes += w->out.len;
    buf_reset(&w->out, CHUNK);
    return true;
}

static void append_argument(struct writer *w, struct bytes s)
{
    buf_printf(&w->out, "$%zu\r\n", s.len);
    buf_append_bytes(&w->out, s);
    buf_append_cstr(&w->out, "\r\n");
}

static void append_number(struct writer *w, int64_t v)
{
    char text[NUM_INT_SIZE];
    size_t n = num_format_int64(v, text);
    append_argument(w, bytes_of(text, n));
}

/* ---- keys ---- */

static void select_database(struct writer *w, int db)
{
    if (db == w->db)
        return;
    w->db = db;
    buf_append_cstr(&w->out, "*2\r\n");
    append_argument(w, BYTES_LIT("SELECT"));
    append_number(w, db);
}

static void append_string(struct writer *w, const struct dump_entry *e)
{
    bool expires = e->expires_ms >= 0;
    buf_append_cstr(&w->out, expires ? "*5\r\n" : "*3\r\n");
    append_argument(w, BYTES_LIT("SET"));
    append_argument(w, e->key);
    append_argument(w, e->value);
    if (!expires)
        return;
    append_argument(w, BYTES_LIT("PXAT"));
    append_number(w, e->expires_ms);
}

/* ---- collections ---- */

/* How many elements a command adds: long lines of it are hard on whoever reads them. */
enum { ELEMENTS = 500 };

struct collection_writer {
    struct writer *w;
    const struct dump_entry *e;
    const struct value_type_ops *ops;
    size_t left;     /* arguments that are still to come */
    size_t in_line;  /* of those, in the command that is being written */
    bool expiry_set;
};

/* Behind the first elements, so that what is cut off in the middle does not live for ever. */
static void append_expiry(struct collection_writer *c)
{
    c->expiry_set = true;
    if (c->e->expires_ms < 0)
        return;
    buf_append_cstr(&c->w->out, "*3\r\n");
    append_argument(c->w, BYTES_LIT("PEXPIREAT"));
    append_argument(c->w, c->e->key);
    append_number(c->w, c->e->expires_ms);
}

static void append_element(void *arg, struct bytes argument)
{
    struct collection_writer *c = arg;
    if (c->in_line == 0) {
        size_t most = (size_t)ELEMENTS * (size_t)c->ops->add_arguments;
        c->in_line = c->left < most ? c->left : most;
        buf_printf(&c->w->out, "*%zu\r\n", c->in_line + 2);
        append_argument(c->w, bytes_cstr(c->ops->add_command));
        append_argument(c->w, c->e->key);
    }
    append_argument(c->w, argument);
    c->left--;
    if (--c->in_line == 0 && !c->expiry_set)
        append_expiry(c);
}

/* False: its bytes are not of this version. */
static bool append_collection(struct writer *w, const struct dump_entry *e)
{
    struct value *v = value_decode(e->type, e->value);
    if (v == NULL || v->opaque) {
        buf_printf(w->error,
                   value_type_ops(e->type) == NULL
                       ? "a key has type %d, which this version does not know"
                       : "a key of type %d has a value that this version cannot read",
                   e->type);
        value_unref(v);
        return false;
    }
    struct collection_writer c = {w, e, value_type_ops(e->type), 0, 0, false};
    c.left = value_count(v) * (size_t)c.ops->add_arguments;
    buf_append_cstr(&w->out, "*2\r\n");
    append_argument(w, BYTES_LIT("DEL"));
    append_argument(w, e->key);
    c.ops->each(value_content(v), append_element, &c);
    value_unref(v);
    return true;
}

static bool on_entry(void *arg, const struct dump_entry *e)
{
    struct writer *w = arg;
    select_database(w, e->db);
    if (e->type == VALUE_STRING)
        append_string(w, e);
    else if (!append_collection(w, e))
        return false;
    w->totals.keys++;
    return w->out.len < CHUNK || flush(w);
}

static bool write_all(const struct config *c, int fd, struct dump_totals *totals, struct buf *error)
{
    struct writer w = {.fd = fd, .db = -1, .error = error};
    buf_init(&w.out);
    bool ok = c->standalone ? router_dump(c, on_entry, &w, error)
                            : postgres_dump(c, on_entry, &w, error);
    ok = ok && flush(&w);
    buf_release(&w.out);
    if (ok)
        *totals = w.totals;
    return ok;
}

/* ---- files ---- */

/* What a signal that ends the process takes along. This process does nothing but the dump. */
static char *unfinished;

static void on_end(int signo)
{
    unlink(unfinished);
    signal(signo, SIG_DFL);
    raise(signo);
}

static void clean_up_on_signals(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction a = {.sa_handler = on_end, .sa_flags = SA_NODEFER};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &a, NULL);
}

static bool fail(struct buf *error, const char *path)
{
    buf_printf(error, "%s: %s", path, strerror(errno));
    return false;
}

static bool sync_folder_of(const char *path, struct buf *error)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? mem_strdup(".") : mem_strndup(path, (size_t)(slash - path) + 1);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        fail(error, folder);
    if (fd >= 0)
        close(fd);
    mem_free(folder);
    return ok;
}

bool dump_write(const struct config *c, const char *path, struct dump_totals *totals,
                struct buf *error)
{
    if (path == NULL)
        return write_all(c, STDOUT_FILENO, totals, error);
    struct buf name;
    buf_init(&name);
    buf_printf(&name, "%s.tmp.%d", path, (int)getpid());
    unfinished = mem_strdup(buf_cstr(&name));
    buf_release(&name);
    clean_up_on_signals();
    int fd = open(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0 || fail(error, unfinished);
    if (ok) {
        ok = write_all(c, fd, totals, error) && (fsync(fd) == 0 || fail(error, unfinished));
        ok = (close(fd) == 0 || (ok && fail(error, unfinished))) && ok;
        ok = ok && (rename(unfinished, path) == 0 || fail(error, path));
        if (!ok)
            unlink(unfinished);
        ok = ok && sync_folder_of(path, error);
    }
    return ok;
}
