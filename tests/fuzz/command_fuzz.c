/* Whatever commands come, each has exactly one well-formed reply, a failed or reading command
 * changes nothing, running twice says the same, and a blind run says what a run on the stored value
 * says.
 *
 * An input is its first byte (bit 0 protocol, bit 1 the largest string) and then transactions, one
 * per line: commands separated by ';', arguments by blanks. 0xfe n stands for n * 64 bytes of 'z',
 * 0xff n in front of a line lets n * n milliseconds pass. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "command/command.h"
#include "command/key_place.h"

enum { SLOTS = 24, ARGS = 48, COMMANDS = 8, DEPTH = 32, DATABASES = 4 };

struct slot {
    int db;
    struct buf name;
    struct value *value;
    struct expiry expiry;
};

struct world {
    struct slot slots[SLOTS];
    int nslots;
    int64_t now_ms;
    size_t max_value;
    size_t sent; /* bytes of all commands: no argument is longer */
    int proto;
};

struct call {
    struct bytes argv[ARGS];
    int argc;
};

/* The keys of one transaction. */
struct keyring {
    struct key keys[SLOTS];
    struct slot *slots[SLOTS];
    int n;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- keys ---- */

static struct slot *slot_of(struct world *w, int db, struct bytes name)
{
    for (int i = 0; i < w->nslots; i++) {
        if (w->slots[i].db == db && bytes_eq(buf_bytes(&w->slots[i].name), name))
            return &w->slots[i];
    }
    if (w->nslots == SLOTS)
        return NULL;
    struct slot *s = &w->slots[w->nslots++];
    *s = (struct slot){.db = db};
    buf_init(&s->name);
    buf_append_bytes(&s->name, name);
    return s;
}

/* NULL: there are too many. */
static struct key *key_of(struct world *w, struct keyring *ring, int db, struct bytes name,
                          bool blind)
{
    struct slot *s = slot_of(w, db, name);
    for (int i = 0; i < ring->n; i++) {
        if (ring->slots[i] == s)
            return &ring->keys[i];
    }
    if (s == NULL)
        return NULL;
    struct key *k = &ring->keys[ring->n];
    ring->slots[ring->n++] = s;
    *k = (struct key){.db = db, .name = name, .blind = blind};
    bool live =
        s->value != NULL && (s->expiry.kind == EXPIRY_NONE || s->expiry.us > w->now_ms * 1000);
    if (live && !blind) {
        k->value = value_ref(s->value);
        k->expiry = s->expiry;
    }
    return k;
}

static void keyring_release(struct keyring *ring)
{
    for (int i = 0; i < ring->n; i++)
        value_unref(ring->keys[i].value);
    ring->n = 0;
}

static void keyring_store(const struct world *w, struct keyring *ring)
{
    for (int i = 0; i < ring->n; i++) {
        const struct key *k = &ring->keys[i];
        struct slot *s = ring->slots[i];
        if (k->change == KEY_UNCHANGED)
            continue;
        value_unref(s->value);
        s->value = k->value == NULL ? NULL : value_ref(k->value);
        s->expiry = k->expiry;
        if (s->expiry.kind == EXPIRY_RELATIVE)
            s->expiry = (struct expiry){EXPIRY_AT, w->now_ms * 1000 + s->expiry.us};
    }
}

static void append_argument(void *arg, struct bytes argument)
{
    buf_printf(arg, "%zu ", argument.len);
    buf_append_bytes(arg, argument);
}

/* What a collection is made of, in order; of its table the seed is drawn. */
static void append_value(struct buf *out, const struct value *v)
{
    buf_append_u8(out, v->type);
    if (value_is_collection(v))
        value_type_ops(v->type)->each(value_content(v), append_argument, out);
    else
        buf_append_bytes(out, value_bytes(v));
}

static bool same_value(const struct value *a, const struct value *b)
{
    struct buf x;
    struct buf y;
    buf_init(&x);
    buf_init(&y);
    append_value(&x, a);
    append_value(&y, b);
    bool same = bytes_eq(buf_bytes(&x), buf_bytes(&y));
    buf_release(&x);
    buf_release(&y);
    return same;
}

static bool same_key(const struct key *a, const struct key *b)
{
    if (a->change != b->change || (a->value == NULL) != (b->value == NULL))
        return false;
    if (a->value == NULL)
        return true;
    bool same_expiry = a->expiry.kind == b->expiry.kind &&
                       (a->expiry.kind == EXPIRY_NONE || a->expiry.us == b->expiry.us);
    return same_expiry && same_value(a->value, b->value);
}

/* ---- replies ---- */

static int64_t number_at(struct bytes in, size_t from, size_t end)
{
    char text[32];
    CHECK(end > from && end - from < sizeof(text));
    memcpy(text, in.data + from, end - from);
    text[end - from] = '\0';
    char *rest;
    long long v = strtoll(text, &rest, 10);
    CHECK(*rest == '\0');
    return v;
}

/* Goes over one reply; returns where it ends. */
static size_t reply_end(struct bytes in, size_t at, int depth)
{
    CHECK(depth < DEPTH && at < in.len);
    const char *newline = memchr(in.data + at, '\n', in.len - at);
    CHECK(newline != NULL && newline > in.data + at && newline[-1] == '\r');
    size_t line_end = (size_t)(newline - in.data) - 1;
    size_t next = line_end + 2;
    char type = in.data[at];
    if (strchr("+-,#_(", type) != NULL)
        return next;
    int64_t n = number_at(in, at + 1, line_end);
    if (type == ':')
        return next;
    if (type == '$' || type == '=') {
        if (n < 0)
            return next;
        next += (size_t)n + 2;
        CHECK(next <= in.len && in.data[next - 2] == '\r' && in.data[next - 1] == '\n');
        return next;
    }
    CHECK(strchr("*%~>", type) != NULL);
    for (int64_t i = 0; i < (type == '%' ? 2 * n : n); i++)
        next = reply_end(in, next, depth + 1);
    return next;
}

/* ---- running ---- */

static void note_keys(const struct keyring *ring, struct keyring *out)
{
    out->n = ring->n;
    for (int i = 0; i < ring->n; i++) {
        out->keys[i] = ring->keys[i];
        if (out->keys[i].value != NULL)
            value_ref(out->keys[i].value);
    }
}

/* The keys loaded by this command have no state before it: they are as they were stored. */
static void check_unchanged(const struct keyring *before, const struct keyring *after)
{
    for (int i = 0; i < after->n; i++) {
        const struct key *k = &after->keys[i];
        if (i >= before->n)
            CHECK(k->change == KEY_UNCHANGED);
        else
            CHECK(same_key(&before->keys[i], k) && k->value == before->keys[i].value);
    }
}

static void check_changes(const struct world *w, const struct keyring *ring)
{
    for (int i = 0; i < ring->n; i++) {
        const struct key *k = &ring->keys[i];
        const struct slot *s = ring->slots[i];
        CHECK(k->change != KEY_TOUCHED || k->value == s->value);
        CHECK(k->change == KEY_WRITTEN || k->value == NULL || k->value == s->value);
        /* No string is longer than the limit, or than an argument was; a collection has what was sent. */
        CHECK(k->value == NULL ||
              value_size(k->value) <= w->max_value + w->sent + 255 * 64 * ARGS);
        CHECK(k->value == NULL || k->expiry.kind == EXPIRY_NONE ||
              (k->expiry.us > -INT64_C(9100000000000000000) &&
               k->expiry.us < INT64_C(9100000000000000000)));
    }
}

/* Keys that are no arguments. */
struct fuzz_finder {
    struct key_finder finder;
    struct world *w;
    struct keyring *ring;
    bool too_many;
};

static struct key *finder_get(struct key_finder *f, int db, struct bytes name)
{
    struct fuzz_finder *finder = (struct fuzz_finder *)f; /* it is the first member */
    struct slot *s = slot_of(finder->w, db, name);
    finder->too_many |= s == NULL;
    return s == NULL ? NULL : key_of(finder->w, finder->ring, db, buf_bytes(&s->name), false);
}

/* One command. False: it cannot be run here. */
static bool run_call(struct world *w, struct keyring *ring, const struct call *call, bool blind,
                     struct buf *out)
{
    struct reply r = {.out = out, .proto = w->proto};
    size_t from = out->len;
    const struct command *cmd = command_lookup_or_reply(call->argc, call->argv, &r);
    if (cmd != NULL && cmd->handler == NULL) {
        if (cmd->id != CMD_COMMAND)
            return false;
        command_command(call->argc, call->argv, &r);
    } else if (cmd != NULL) {
        struct key *keys[ARGS];
        int n = command_place_count(cmd, call->argc, call->argv, DATABASES, 0);
        CHECK(n >= 0 && n <= call->argc);
        for (int i = 0; i < n; i++) {
            struct key_place at = command_place(cmd, call->argc, call->argv, DATABASES, 0, i);
            CHECK(at.arg > 0 && at.arg < call->argc && at.db >= 0 && at.db < DATABASES);
            keys[i] = key_of(w, ring, at.db, call->argv[at.arg], blind);
            if (keys[i] == NULL)
                return false;
        }
        struct keyring before;
        note_keys(ring, &before);
        struct fuzz_finder finder = {{finder_get}, w, ring, false};
        struct command_ctx ctx = {.cmd = cmd,
                                  .argc = call->argc,
                                  .argv = call->argv,
                                  .now_ms = w->now_ms,
                                  .keys = keys,
                                  .nkeys = n,
                                  .databases = DATABASES,
                                  .max_value = w->max_value,
                                  .reads_all_keys = true,
                                  .more = &finder.finder,
                                  .reply = &r};
        cmd->handler(&ctx);
        if (finder.too_many) {
            keyring_release(&before);
            return false;
        }
        if (r.is_error || (cmd->flags & CF_READONLY) != 0)
            check_unchanged(&before, ring);
        keyring_release(&before);
    }
    CHECK(r.is_error == (out->data[from] == '-'));
    CHECK(reply_end(buf_bytes(out), from, 0) == out->len);
    return true;
}

static bool run_calls(struct world *w, const struct call *calls, int n, bool blind,
                      struct keyring *ring, struct buf *out)
{
    ring->n = 0;
    out->len = 0;
    for (int i = 0; i < n; i++) {
        if (!run_call(w, ring, &calls[i], blind, out))
            return false;
    }
    return true;
}

static bool is_blind(const struct call *call)
{
    const struct command *cmd = command_find(call->argv[0]);
    return cmd != NULL && cmd->is_blind != NULL && command_arity_ok(cmd, call->argc) &&
           cmd->is_blind(call->argc, call->argv);
}

/* Draws, and cursors through a table that is made in the same block, are others the next time. */
static bool is_random(const struct call *calls, int n)
{
    for (int i = 0; i < n; i++) {
        const struct command *cmd = command_find(calls[i].argv[0]);
        if (cmd != NULL && cmd->group >= GROUP_HASH && cmd->group <= GROUP_SORTED_SET &&
            strstr(cmd->tips, "nondeterministic_output") != NULL)
            return true;
    }
    return false;
}

/* What SPOP leaves is another set each time. */
static bool has_spop(const struct call *calls, int n)
{
    for (int i = 0; i < n; i++) {
        const struct command *cmd = command_find(calls[i].argv[0]);
        if (cmd != NULL && cmd->id == CMD_SPOP)
            return true;
    }
    return false;
}

static void run_txn(struct world *w, const struct call *calls, int n)
{
    struct keyring once;
    struct keyring again;
    struct buf a;
    struct buf b;
    buf_init(&a);
    buf_init(&b);
    bool blind = n == 1 && is_blind(&calls[0]);
    bool ok = run_calls(w, calls, n, false, &once, &a);
    bool ok_again = run_calls(w, calls, n, blind, &again, &b);
    CHECK(ok == ok_again);
    if (ok) {
        CHECK(is_random(calls, n) || bytes_eq(buf_bytes(&a), buf_bytes(&b)));
        CHECK(once.n == again.n);
        for (int i = 0; i < once.n && !has_spop(calls, n); i++) {
            /* Unchanged by a blind run, a key's value is not known to it. */
            bool unknown = blind && once.keys[i].change == KEY_UNCHANGED;
            CHECK(unknown ? again.keys[i].change == KEY_UNCHANGED
                          : same_key(&once.keys[i], &again.keys[i]));
        }
        check_changes(w, &once);
        keyring_store(w, &once);
    }
    keyring_release(&once);
    keyring_release(&again);
    buf_release(&a);
    buf_release(&b);
}

/* ---- input ---- */

static void expand(const uint8_t *data, size_t size, struct buf *out)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != 0xfe || i + 1 == size) {
            buf_append_u8(out, data[i]);
            continue;
        }
        size_t n = (size_t)data[++i] * 64;
        memset(buf_reserve(out, n + 1), 'z', n);
        out->len += n;
    }
}

/* Takes the part up to `mark` off the front of *in. */
static struct bytes take_until(struct bytes *in, char mark)
{
    const char *at = memchr(in->data, mark, in->len);
    struct bytes part = *in;
    if (at == NULL) {
        in->len = 0;
        return part;
    }
    part.len = (size_t)(at - in->data);
    in->data = at + 1;
    in->len -= part.len + 1;
    return part;
}

static void run_line(struct world *w, struct bytes line)
{
    struct call calls[COMMANDS];
    int n = 0;
    if (line.len >= 2 && (uint8_t)line.data[0] == 0xff) {
        int64_t step = (uint8_t)line.data[1];
        w->now_ms += step * step;
        line = bytes_of(line.data + 2, line.len - 2);
    }
    while (line.len > 0 && n < COMMANDS) {
        struct bytes command = take_until(&line, ';');
        struct call *c = &calls[n];
        c->argc = 0;
        while (command.len > 0 && c->argc < ARGS)
            c->argv[c->argc++] = take_until(&command, ' ');
        n += c->argc > 0;
    }
    if (n > 0)
        run_txn(w, calls, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct world w = {.now_ms = INT64_C(1700000000000)};
    w.proto = (data[0] & 1) ? 3 : 2;
    w.max_value = (data[0] & 2) ? 1 << 20 : 100;
    struct buf in;
    buf_init(&in);
    expand(data + 1, size - 1, &in);
    w.sent = in.len;
    struct bytes rest = buf_bytes(&in);
    for (int lines = 0; rest.len > 0 && lines < 64; lines++)
        run_line(&w, take_until(&rest, '\n'));
    for (int i = 0; i < w.nslots; i++) {
        buf_release(&w.slots[i].name);
        value_unref(w.slots[i].value);
    }
    buf_release(&in);
    return 0;
}
