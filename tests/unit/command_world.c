#include "command_world.h"

#include "command/key_place.h"

#include <stdio.h>
#include <string.h>

enum { KEYS = 16, COMMANDS = 8 };

void world_init(struct world *w)
{
    *w = (struct world){.now_ms = INT64_C(1700000000000), .max_value = 100, .proto = 2};
    buf_init(&w->out);
}

void world_release(struct world *w)
{
    for (int i = 0; i < WORLD_SLOTS; i++)
        value_unref(w->slots[i].value);
    buf_release(&w->out);
}

static struct slot *world_slot(struct world *w, int db, struct bytes name)
{
    for (int i = 0; i < WORLD_SLOTS; i++) {
        struct slot *s = &w->slots[i];
        if (s->name[0] == '\0') {
            CHECK(name.len < sizeof(s->name));
            memcpy(s->name, name.data, name.len);
            s->db = db;
        }
        if (s->db == db && bytes_eq(bytes_cstr(s->name), name))
            return s;
    }
    check_failed("a free slot", __FILE__, __LINE__);
}

static void key_fill(struct world *w, struct key *k, int db, struct bytes name, bool blind)
{
    *k = (struct key){.db = db, .name = name, .blind = blind, .used_ms = w->now_ms};
    struct slot *s = world_slot(w, db, name);
    bool live = s->value != NULL && (s->expires_us == 0 || s->expires_us > w->now_ms * 1000);
    if (blind || !live)
        return;
    k->value = value_ref(s->value);
    if (s->expires_us != 0)
        k->expiry = (struct expiry){EXPIRY_AT, s->expires_us};
}

static void key_store(struct world *w, const struct key *k)
{
    struct slot *s = world_slot(w, k->db, k->name);
    if (k->change == KEY_UNCHANGED)
        return;
    value_unref(s->value);
    s->value = k->value == NULL ? NULL : value_ref(k->value);
    s->expires_us = k->expiry.kind == EXPIRY_NONE ? 0
                    : k->expiry.kind == EXPIRY_AT ? k->expiry.us
                                                  : w->now_ms * 1000 + k->expiry.us;
}

struct keyring {
    struct key keys[KEYS];
    int count;
};

static struct key *keyring_get(struct keyring *ring, struct world *w, int db, struct bytes name,
                               bool blind)
{
    for (int i = 0; i < ring->count; i++) {
        if (ring->keys[i].db == db && bytes_eq(ring->keys[i].name, name))
            return &ring->keys[i];
    }
    CHECK(ring->count < KEYS);
    key_fill(w, &ring->keys[ring->count], db, name, blind);
    return &ring->keys[ring->count++];
}

/* Keys that are no arguments: all are here. */
struct world_finder {
    struct key_finder finder;
    struct keyring *ring;
    struct world *w;
};

static struct key *finder_get(struct key_finder *f, int db, struct bytes name)
{
    struct world_finder *finder = (struct world_finder *)f; /* it is the first member */
    struct slot *slot = world_slot(finder->w, db, name);
    return keyring_get(finder->ring, finder->w, db, bytes_cstr(slot->name), false);
}

struct call call_of(const char *text)
{
    struct call c = {.argc = 0};
    while (*text != '\0') {
        CHECK(c.argc < CALL_ARGS);
        size_t len = strcspn(text, " ");
        c.argv[c.argc++] = len == 1 && *text == '~' ? BYTES_LIT("") : bytes_of(text, len);
        text += len;
        text += strspn(text, " ");
    }
    return c;
}

static void call_run(struct world *w, struct keyring *ring, const struct call *call, bool blind,
                     struct buf *out)
{
    struct reply r = {.out = out, .proto = w->proto};
    const struct command *cmd = command_lookup_or_reply(call->argc, call->argv, &r);
    if (cmd == NULL)
        return;
    if (cmd->handler == NULL) {
        CHECK(cmd->id == CMD_COMMAND);
        command_command(call->argc, call->argv, &r);
        return;
    }
    struct key *keys[CALL_ARGS];
    int n = command_place_count(cmd, call->argc, call->argv, WORLD_DATABASES, w->db);
    for (int i = 0; i < n; i++) {
        struct key_place at =
            command_place(cmd, call->argc, call->argv, WORLD_DATABASES, w->db, i);
        keys[i] = keyring_get(ring, w, at.db, call->argv[at.arg], blind);
    }
    struct world_finder finder = {{finder_get}, ring, w};
    struct command_ctx ctx = {.cmd = cmd,
                              .argc = call->argc,
                              .argv = call->argv,
                              .now_ms = w->now_ms,
                              .keys = keys,
                              .nkeys = n,
                              .db = w->db,
                              .databases = WORLD_DATABASES,
                              .max_value = w->max_value,
                              .reads_all_keys = !w->restricted,
                              .more = &finder.finder,
                              .reply = &r};
    cmd->handler(&ctx);
}

const char *calls_run(struct world *w, const struct call *calls, int n, bool blind)
{
    struct buf first;
    buf_init(&first);
    buf_reset(&w->out, 4096);
    for (int pass = 0; pass < 2; pass++) {
        struct keyring ring = {.count = 0};
        for (int i = 0; i < n; i++)
            call_run(w, &ring, &calls[i], blind, pass == 0 ? &first : &w->out);
        w->change = ring.count > 0 ? ring.keys[0].change : KEY_UNCHANGED;
        w->expiry = ring.keys[0].expiry;
        for (int i = 0; i < ring.count; i++) {
            if (pass == 1)
                key_store(w, &ring.keys[i]);
            value_unref(ring.keys[i].value);
        }
    }
    CHECK(bytes_eq(buf_bytes(&first), buf_bytes(&w->out)));
    buf_release(&first);
    return buf_cstr(&w->out);
}

const char *run(struct world *w, const char *text)
{
    struct call call = call_of(text);
    return calls_run(w, &call, 1, false);
}

const char *run_blind(struct world *w, const char *text)
{
    struct call call = call_of(text);
    return calls_run(w, &call, 1, true);
}

const char *run_all(struct world *w, const char *text)
{
    char copy[512];
    snprintf(copy, sizeof(copy), "%s", text);
    struct call calls[COMMANDS];
    int n = 0;
    char *rest = copy;
    for (char *part; (part = strsep(&rest, ";")) != NULL; n++) {
        CHECK(n < COMMANDS);
        calls[n] = call_of(part + strspn(part, " "));
    }
    return calls_run(w, calls, n, false);
}

int world_expect(struct world *w, const struct expectation *rows, size_t n)
{
    int wrong = 0;
    for (size_t i = 0; i < n; i++) {
        const char *got = run(w, rows[i].command);
        size_t len = strlen(got);
        bool ended = len >= 2 && strcmp(got + len - 2, "\r\n") == 0;
        if (ended && bytes_eq(bytes_of(got, len - 2), bytes_cstr(rows[i].reply)))
            continue;
        printf("  %s: got \"%s\", not \"%s\"\n", rows[i].command, got, rows[i].reply);
        wrong++;
    }
    return wrong;
}
