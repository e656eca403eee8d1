/* store_client: the PostgreSQL store without a server before it, driven by lines on stdin. Each
 * command's answer is one line on stdout, in the order in which things happen; words are separated
 * by one blank, and a word that starts with "x" and holds hex digits stands for bytes.
 *
 *   commit LANE KEY VALUE [KEY VALUE ...]   → commit RESULT VERSION ...   ("-" as VALUE = remove)
 *   read KEY                                → read RESULT VERSION VALUE
 *   idle LANE                               → idle yes|no
 *   take LANE                               → taken SLOT INCARNATION LANE STAMP VERSION ... | taken
 * none settle SLOT INCARNATION LANE STAMP      → (settled ...) holds 0|1, keep, identity SLOT
 * INCARNATION LAST OFFSET → ok who                                     → who SLOT INCARNATION LAST
 * OFFSET mint N                                  → mint STAMP item DB KEY VALUE VERSION
 * VALUE_VERSION EXPIRES|never unknown|absent|live BASE_VERSION MAYBE GROUP one more item for the
 * next merge merge JOURNAL INSTANCE NUMBER           → merge RESULT REPLACED OUTCOME ROW_VERSION
 * ... ERROR flush JOURNAL INSTANCE NUMBER DB BEFORE → merge RESULT 0 ERROR merged JOURNAL → merged
 * yes|no NUMBER readable                                → readable yes|no info NAME → info VALUE
 *   stop                                    → stopped
 *
 * By itself it says: state starting|online|away, settled SLOT INCARNATION LANE STAMP KNOWN APPLIED
 * WHOLE POSITION ... and fatal WHY. */
#include "store_client.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/postgres/postgres.h"

extern char **environ;

struct client {
    struct loop *loop;
    struct config_store *config;
    struct store *store;
    struct io *in;
    struct buf input;
    enum store_state said;
    bool stopping;
    bool ended;
};

/* ---- words ---- */

void say(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    fflush(stdout);
}

size_t split(char *line, char **words, size_t max)
{
    size_t n = 0;
    char *rest = NULL;
    for (char *w = strtok_r(line, " ", &rest); w != NULL && n < max; w = strtok_r(NULL, " ", &rest))
        words[n++] = w;
    return n;
}

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

char *take_bytes(const char *word, size_t *len)
{
    size_t n = strlen(word);
    char *out = mem_alloc(n + 1);
    if (word[0] != 'x') {
        memcpy(out, word, n);
        *len = n;
        return out;
    }
    *len = (n - 1) / 2;
    for (size_t i = 0; i < *len; i++)
        out[i] = (char)(nibble(word[1 + 2 * i]) << 4 | nibble(word[2 + 2 * i]));
    return out;
}

struct value *take_value(const char *word)
{
    size_t len;
    if (strcmp(word, "-") == 0)
        return NULL;
    char *data = take_bytes(word, &len);
    struct value *v = value_string_new(bytes_of(data, len));
    mem_free(data);
    CHECK(v != NULL);
    return v;
}

int64_t take_number(const char *word)
{
    return strtoll(word, NULL, 10);
}

const char *result_name(enum store_result r)
{
    static const char *const names[] = {"ok", "locked", "refused", "lost"};
    return names[r];
}

/* ---- batches ---- */

static void free_commit(struct commit_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        mem_free((char *)b->items[i].key.data);
        value_unref(b->items[i].value);
    }
    mem_free(b->items);
    mem_free(b);
}

static void on_committed(struct commit_batch *b)
{
    say("commit %s", result_name(b->result));
    for (size_t i = 0; i < b->n; i++)
        printf(" %" PRId64, b->items[i].applied ? b->items[i].version : -1);
    say("\n");
    free_commit(b);
}

static void cmd_commit(struct client *c, char **w, size_t n)
{
    struct commit_batch *b = mem_zalloc(sizeof(*b));
    b->n = (n - 2) / 2;
    b->items = mem_zalloc(b->n * sizeof(*b->items));
    b->done = on_committed;
    for (size_t i = 0; i < b->n; i++) {
        size_t len;
        char *key = take_bytes(w[2 + 2 * i], &len);
        b->items[i] = (struct commit_item){.key = bytes_of(key, len),
                                           .group = (int)i,
                                           .op = COMMIT_WRITE,
                                           .value = take_value(w[3 + 2 * i])};
    }
    c->store->ops->commit(c->store, (size_t)take_number(w[1]), b);
}

struct one_read {
    struct read_batch batch;
    struct read_item item;
};

static void on_read(struct read_batch *b)
{
    struct one_read *r = (struct one_read *)b;
    struct value *v = b->result == STORE_OK ? r->item.value : NULL;
    say("read %s %" PRId64 " %.*s\n", result_name(b->result), r->item.version,
        v != NULL ? (int)v->len : 1, v != NULL ? v->data : "-");
    if (v != NULL)
        value_unref(v);
    mem_free((char *)r->item.key.data);
    mem_free(r);
}

static void cmd_read(struct client *c, char **w, size_t n)
{
    struct one_read *r = mem_zalloc(sizeof(*r));
    size_t len;
    (void)n;
    r->batch = (struct read_batch){.items = &r->item, .n = 1, .done = on_read};
    char *key = take_bytes(w[1], &len);
    r->item.key = bytes_of(key, len);
    c->store->ops->read(c->store, 0, &r->batch);
}

static void cmd_idle(struct client *c, char **w, size_t n)
{
    (void)n;
    bool idle = c->store->ops->commit_lane_idle(c->store, (size_t)take_number(w[1]));
    say("idle %s\n", idle ? "yes" : "no");
}

/* ---- hand-over ---- */

static void say_lane(const char *what, const struct journal_lane *l)
{
    printf("%s %d %" PRId64 " %d %" PRId64, what, (int)l->slot, l->incarnation, (int)l->lane,
           l->stamp);
}

static void cmd_take(struct client *c, char **w, size_t n)
{
    struct journal_lane lane;
    (void)n;
    struct commit_batch *b = postgres_take_batch(c->store, (size_t)take_number(w[1]), &lane);
    if (b == NULL) {
        say("taken none\n");
        return;
    }
    say_lane("taken", &lane);
    for (size_t i = 0; i < b->n; i++)
        printf(" %" PRId64, b->items[i].version);
    say("\n");
    free_commit(b);
}

static void on_settled(void *arg, const struct journal_lane *lane, const struct postgres_outcome *o)
{
    (void)arg;
    say_lane("settled", lane);
    printf(" %d %d %d", o->known, o->applied, o->whole);
    for (size_t i = 0; i < o->naccepted; i++)
        printf(" %d", (int)o->accepted[i]);
    say("\n");
}

static void on_state(void *arg)
{
    static const char *const names[] = {"starting", "online", "away"};
    struct client *c = arg;
    enum store_state now = store_state(c->store);
    if (now != c->said)
        say("state %s\n", names[now]);
    c->said = now;
}

static const struct postgres_events events = {on_state, on_settled};

static void cmd_settle(struct client *c, char **w, size_t n)
{
    CHECK(n == 5);
    struct journal_lane lane = {(int32_t)take_number(w[1]), take_number(w[2]),
                                (int32_t)take_number(w[3]), take_number(w[4])};
    postgres_settle(c->store, &lane);
}

static void cmd_holds(struct client *c, char **w, size_t n)
{
    (void)n;
    postgres_holds_journal(c->store, w[1][0] == '1');
    say("ok\n");
}

static void cmd_keep(struct client *c, char **w, size_t n)
{
    (void)w;
    (void)n;
    postgres_keep_slot(c->store);
    say("ok\n");
}

static void cmd_identity(struct client *c, char **w, size_t n)
{
    CHECK(n == 5);
    postgres_set_identity(c->store, (int)take_number(w[1]), take_number(w[2]), take_number(w[3]),
                          take_number(w[4]));
    say("ok\n");
}

static void cmd_who(struct client *c, char **w, size_t n)
{
    int64_t offset = 0;
    (void)w;
    (void)n;
    bool known = postgres_clock(c->store, &offset);
    say("who %d %" PRId64 " %" PRId64 " %" PRId64 "\n", postgres_slot(c->store),
        postgres_incarnation(c->store), postgres_last_stamp(c->store), known ? offset : 0);
}

static void cmd_mint(struct client *c, char **w, size_t n)
{
    (void)n;
    say("mint %" PRId64 "\n", postgres_mint_stamps(c->store, (size_t)take_number(w[1])));
}

static void cmd_readable(struct client *c, char **w, size_t n)
{
    (void)w;
    (void)n;
    say("readable %s\n", postgres_readable(c->store) ? "yes" : "no");
}

static void cmd_info(struct client *c, char **w, size_t n)
{
    struct buf text;
    char name[80];
    (void)n;
    buf_init(&text);
    c->store->ops->info(c->store, &text);
    snprintf(name, sizeof(name), "%s:", w[1]);
    const char *at = strstr(buf_cstr(&text), name);
    at = at == NULL ? "none" : at + strlen(name);
    say("info %.*s\n", (int)strcspn(at, "\r\n"), at);
    buf_release(&text);
}

#define MERGE_COMMAND(name)                                      \
    static void cmd_##name(struct client *c, char **w, size_t n) \
    {                                                            \
        merge_cmd_##name(c->store, w, n);                        \
    }
MERGE_COMMAND(item)
MERGE_COMMAND(merge)
MERGE_COMMAND(flush)
MERGE_COMMAND(merged)

static void cmd_stop(struct client *c, char **w, size_t n)
{
    (void)w;
    (void)n;
    c->stopping = true;
    c->store->ops->stop(c->store);
}

/* ---- the rest ---- */

static void on_fatal(void *arg, const char *why)
{
    struct client *c = arg;
    say("fatal %s\n", why);
    loop_stop(c->loop);
}

static void obey(struct client *c, char *line)
{
    static const struct {
        const char *name;
        void (*f)(struct client *c, char **w, size_t n);
        size_t min;
    } commands[] = {
        {"commit", cmd_commit, 4},     {"read", cmd_read, 2},         {"idle", cmd_idle, 2},
        {"take", cmd_take, 2},         {"settle", cmd_settle, 5},     {"holds", cmd_holds, 2},
        {"keep", cmd_keep, 1},         {"identity", cmd_identity, 5}, {"who", cmd_who, 1},
        {"mint", cmd_mint, 2},         {"info", cmd_info, 2},         {"stop", cmd_stop, 1},
        {"readable", cmd_readable, 1}, {"item", cmd_item, 11},        {"merge", cmd_merge, 4},
        {"flush", cmd_flush, 6},       {"merged", cmd_merged, 2}};
    static char *words[MAX_WORDS];
    size_t n = split(line, words, MAX_WORDS);
    for (size_t i = 0; n > 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(words[0], commands[i].name) == 0 && n >= commands[i].min) {
            commands[i].f(c, words, n);
            return;
        }
    }
    say("error %s\n", n > 0 ? words[0] : "");
}

static void take_lines(struct client *c)
{
    char *end;
    while ((end = memchr(c->input.data, '\n', c->input.len)) != NULL) {
        size_t len = (size_t)(end - c->input.data);
        char *line = mem_alloc(len + 1);
        memcpy(line, c->input.data, len);
        line[len] = '\0';
        buf_consume(&c->input, len + 1);
        obey(c, line);
        mem_free(line);
    }
}

static void on_input(void *arg, int ready)
{
    struct client *c = arg;
    (void)ready;
    ssize_t n = read(STDIN_FILENO, buf_reserve(&c->input, 65536), 65536);
    if (n <= 0) {
        c->ended = true;
        io_want(c->in, 0);
        return;
    }
    c->input.len += (size_t)n;
    take_lines(c);
}

static bool on_turn_end(void *arg)
{
    struct client *c = arg;
    if (c->stopping && c->store->ops->stopped(c->store)) {
        say("stopped\n");
        loop_stop(c->loop);
    } else if (c->ended && !c->stopping) {
        loop_stop(c->loop);
    }
    return false;
}

int main(int argc, char **argv)
{
    struct client c = {.said = STORE_STARTING};
    struct buf error;
    signal(SIGPIPE, SIG_IGN);
    hash_seed();
    buf_init(&error);
    buf_init(&c.input);
    c.config = config_load(argc, argv, environ, &error);
    if (c.config == NULL) {
        fprintf(stderr, "store_client: %s\n", buf_cstr(&error));
        return 1;
    }
    c.loop = loop_new();
    c.store = postgres_store_new(c.loop, config_values(c.config), on_fatal, &c);
    postgres_set_events(c.store, &events, &c);
    c.in = io_new(c.loop, STDIN_FILENO, on_input, &c);
    io_want(c.in, IO_READ);
    loop_run(c.loop, on_turn_end, &c);
    io_free(c.in);
    merge_forget();
    c.store->ops->free(c.store);
    loop_free(c.loop);
    config_free(c.config);
    buf_release(&c.input);
    buf_release(&error);
    return 0;
}
