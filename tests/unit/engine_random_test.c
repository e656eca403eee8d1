/* Clients that send at random, and everything that can go wrong, at random; then what must be true:
 * increments add up, one client's writes appear in the order sent, blocks are seen whole, a read
 * returns what was there while it waited, and what was said not to have been done never was.
 *
 * RESPGRES_SEED=N repeats the rounds from N on. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "rig.h"
#include "test.h"
#include "value/hash.h"

enum { ROUNDS = 150, STEPS = 1000, CLIENTS = 4, WAITING = 64, LANES = 2, KEY_NAME = 32 };

/* Keys by number: counters (the last one is the field `n` of a hash, which now and then has a large field
 * besides), registers, a pair that is always equal, and each connection's own. */
enum { COUNTERS = 3, REGISTERS = 3, PAIR = 2, OWN = 2, CONNECTIONS = 3 /* per client */ };
enum {
    FIRST_REGISTER = COUNTERS,
    FIRST_PAIR = FIRST_REGISTER + REGISTERS,
    FIRST_OWN = FIRST_PAIR + PAIR,
    KEYS = FIRST_OWN + CLIENTS * CONNECTIONS * OWN,
};

enum kind {
    INCR,        /* one counter */
    INCR_TWO,    /* two of them in a block */
    INCR_ALONE,  /* in a block that has PostgreSQL to itself, and others wait for */
    WATCH_COUNT, /* WATCH and GET, then WATCHED_SET */
    WATCHED_SET, /* a block that sets the counter one higher */
    COUNT,
    SET, /* a register: a value of its own, now and then a large one */
    SET_SAME,
    SETNX,
    EXPIRE,
    PERSIST,
    GETSET,
    DEL,
    GETDEL,
    GET,
    MGET,
    PAIR_MSET,
    PAIR_BLOCK,
    PAIR_ALONE,
    PAIR_GET,
    OWN_SET, /* one of the client's own keys: its next number */
    OWN_GETSET,
    OWN_BLOCK,
    OTHER,
    KINDS,
};

enum outcome { PENDING, DONE, NOTHING, UNKNOWN };

struct op {
    enum kind kind;
    int client;
    int connection;
    int key;
    int key2;
    int number;      /* what OWN_* writes */
    char value[32];  /* what it writes */
    int replies;     /* still to come */
    bool failed;     /* an earlier one of its replies was an error */
    char reply[160]; /* the last */
    enum outcome outcome;
    uint64_t from; /* change numbers of the store when it was sent and answered */
    uint64_t until;
    uint64_t sent; /* and the order of all of that in here */
    uint64_t answered;
};

struct person {
    struct peer peer;
    size_t waiting[WAITING]; /* numbers of its ops without all replies */
    size_t nwaiting;
    bool watching; /* waits for WATCH_COUNT's answer, sends nothing */
    int connection;
    int next_number;
};

/* The values a key has had, by change number. */
struct moment {
    uint64_t number;
    const struct value *value;
};

struct past {
    struct moment *states;
    size_t n;
};

/* What is behind a value on the bulk lane: x's, which nobody looks at. */
enum { LARGE = 257 * 1024 };

/* How often what happens, in a hundred steps. The rest of the steps use lanes. */
struct temper {
    uint64_t send;
    uint64_t foreign; /* writes */
    uint64_t time;
    uint64_t time_ms; /* at most, at a time */
    uint64_t trouble; /* locked rows, refused writes */
    uint64_t state;
    uint64_t connection;
    uint64_t lose; /* in a hundred uses of a lane */
    bool harmless; /* nobody gets an error */
};

static const struct temper tempers[] = {
    {.send = 45, .foreign = 12, .time = 1, .time_ms = 5, .harmless = true},
    {.send = 35, .foreign = 4, .time = 4, .time_ms = 60, .trouble = 3},
    {.send = 40, .foreign = 5, .time = 3, .time_ms = 400, .lose = 2},
    {.send = 35, .foreign = 5, .time = 2, .time_ms = 60, .state = 1, .lose = 10},
    {.send = 40,
     .foreign = 8,
     .time = 3,
     .time_ms = 100,
     .trouble = 1,
     .state = 1,
     .connection = 1,
     .lose = 3},
};

struct round {
    const struct temper *temper;
    struct rig rig;
    struct memory_store *ms;
    size_t reads;
    size_t commits;
    uint64_t dice;
    uint64_t clock;
    struct person people[CLIENTS];
    struct op *ops;
    size_t nops;
    uint64_t foreign[COUNTERS]; /* increments of other instances */
    bool is_away;
    struct past past[KEYS];
};

static uint64_t roll(struct round *r, uint64_t n)
{
    r->dice ^= r->dice >> 12;
    r->dice ^= r->dice << 25;
    r->dice ^= r->dice >> 27;
    return (r->dice * UINT64_C(2685821657736338717) >> 33) % n;
}

static const char *key_name(int key, char out[KEY_NAME])
{
    if (key < FIRST_REGISTER)
        snprintf(out, KEY_NAME, "count:%d", key);
    else if (key < FIRST_PAIR)
        snprintf(out, KEY_NAME, "reg:%d", key - FIRST_REGISTER);
    else if (key < FIRST_OWN)
        snprintf(out, KEY_NAME, "pair:%d", key - FIRST_PAIR);
    else
        snprintf(out, KEY_NAME, "own:%d:%d", (key - FIRST_OWN) / OWN, (key - FIRST_OWN) % OWN);
    return out;
}

static int own_key(const struct round *r, int client, int i)
{
    return FIRST_OWN + (client * CONNECTIONS + r->people[client].connection) * OWN + i % OWN;
}

/* ---- sending ---- */

static struct op *op_new(struct round *r, int client, enum kind kind, int key)
{
    if ((r->nops & (r->nops - 1)) == 0)
        r->ops = mem_realloc(r->ops, (2 * r->nops + 1) * sizeof(*r->ops));
    struct person *p = &r->people[client];
    struct op *op = &r->ops[r->nops];
    *op = (struct op){.kind = kind, .client = client, .key = key, .key2 = -1, .replies = 1};
    op->connection = p->connection;
    op->from = memory_store_change_number(r->ms);
    op->sent = ++r->clock;
    p->waiting[p->nwaiting++] = r->nops++;
    return op;
}

static void send_text(struct round *r, struct op *op, int replies, const char *text)
{
    op->replies = replies;
    peer_send(&r->people[op->client].peer, text);
}

static bool is_hash(int key)
{
    return key == COUNTERS - 1;
}

/* The command that counts, reads ("GET") or sets (to `value`) a counter. */
static const char *counter_command(int key, const char *what, int value, char out[KEY_NAME * 2])
{
    char a[KEY_NAME];
    key_name(key, a);
    bool sets = strcmp(what, "SET") == 0;
    if (is_hash(key) && strcmp(what, "INCR") == 0)
        snprintf(out, KEY_NAME * 2, "HINCRBY %s n 1", a);
    else if (is_hash(key))
        snprintf(out, KEY_NAME * 2, "H%s %s n", what, a);
    else
        snprintf(out, KEY_NAME * 2, "%s %s", what, a);
    if (sets)
        snprintf(out + strlen(out), KEY_NAME, " %d", value);
    return out;
}

static void send_counter_op(struct round *r, struct op *op)
{
    char text[240];
    char a[KEY_NAME * 2];
    char b[KEY_NAME * 2];
    char name[KEY_NAME];
    op->key2 = (op->key + 1) % COUNTERS;
    bool reads = op->kind == COUNT || op->kind == WATCH_COUNT;
    counter_command(op->key, reads ? "GET" : "INCR", 0, a);
    counter_command(op->key2, "INCR", 0, b);
    if (op->kind == INCR_TWO)
        snprintf(text, sizeof(text), "MULTI;%s;%s;EXEC", a, b);
    else if (op->kind == INCR_ALONE)
        snprintf(text, sizeof(text), "MULTI;SELECT 0;%s;DBSIZE;EXEC", a);
    else if (op->kind == WATCH_COUNT)
        snprintf(text, sizeof(text), "WATCH %s;%s", key_name(op->key, name), a);
    else
        snprintf(text, sizeof(text), "%s", a);
    r->people[op->client].watching = op->kind == WATCH_COUNT;
    int replies = op->kind == INCR_TWO ? 4 : op->kind == INCR_ALONE ? 5 : 1;
    send_text(r, op, op->kind == WATCH_COUNT ? 2 : replies, text);
}

static void send_large_set(struct round *r, const struct op *op, const char *key)
{
    struct buf value;
    buf_init(&value);
    buf_append_cstr(&value, op->value);
    memset(buf_reserve(&value, LARGE), 'x', LARGE);
    value.len += LARGE;
    struct bytes argv[] = {BYTES_LIT("SET"), bytes_cstr(key), buf_bytes(&value)};
    peer_send_argv(&r->people[op->client].peer, 3, argv);
    buf_release(&value);
}

/* The hash moves to the bulk lane, or back from there. */
static void send_filler(struct round *r, struct op *op)
{
    char name[KEY_NAME];
    key_name(COUNTERS - 1, name);
    size_t len = roll(r, 3) == 0 ? LARGE : 1;
    char *filler = mem_alloc(len);
    memset(filler, 'x', len);
    struct bytes argv[] = {BYTES_LIT("HSET"), bytes_cstr(name), BYTES_LIT("filler"), bytes_of(filler, len)};
    if (roll(r, 3) == 0)
        argv[0] = BYTES_LIT("HDEL");
    peer_send_argv(&r->people[op->client].peer, bytes_eq(argv[0], BYTES_LIT("HDEL")) ? 3 : 4, argv);
    mem_free(filler);
}

static void send_register_op(struct round *r, struct op *op)
{
    static const char *const names[] = {
        "SET",    "SET", "SETNX",  "EXPIRE", "PERSIST",
        "GETSET", "DEL", "GETDEL", "GET",    "MGET reg:0 reg:1 reg:2"};
    char text[160];
    char a[KEY_NAME];
    bool writes = op->kind == SET || op->kind == SETNX || op->kind == GETSET;
    key_name(op->key, a);
    if (writes)
        snprintf(op->value, sizeof(op->value), "v%zu", r->nops);
    if (op->kind == SET_SAME)
        snprintf(op->value, sizeof(op->value), "same");
    if (op->kind == SET && roll(r, 6) == 0) {
        send_large_set(r, op, a);
        return;
    }
    snprintf(text, sizeof(text), "%s %s %s", names[op->kind - SET], op->kind == MGET ? "" : a,
             op->kind == EXPIRE ? "1000" : op->value);
    send_text(r, op, 1, text);
}

static void send_pair_op(struct round *r, struct op *op)
{
    char text[160];
    snprintf(op->value, sizeof(op->value), "v%zu", r->nops);
    if (op->kind == PAIR_GET)
        snprintf(text, sizeof(text), "MGET pair:0 pair:1");
    else if (op->kind == PAIR_MSET)
        snprintf(text, sizeof(text), "MSET pair:0 %s pair:1 %s", op->value, op->value);
    else
        snprintf(text, sizeof(text), "MULTI;GETSET pair:1 %s;%sSET pair:0 %s;EXEC", op->value,
                 op->kind == PAIR_ALONE ? "KEYS pair*;" : "", op->value);
    send_text(r, op, op->kind == PAIR_BLOCK ? 4 : op->kind == PAIR_ALONE ? 5 : 1, text);
}

static void send_own_op(struct round *r, struct op *op)
{
    char text[160];
    char a[KEY_NAME];
    char b[KEY_NAME];
    struct person *p = &r->people[op->client];
    op->number = ++p->next_number;
    snprintf(op->value, sizeof(op->value), "%d", op->number);
    key_name(op->key, a);
    if (op->kind == OWN_BLOCK) {
        op->key2 = own_key(r, op->client, op->key - FIRST_OWN + 1);
        key_name(op->key2, b);
        snprintf(text, sizeof(text), "MULTI;SET %s %s;GETSET %s %s;EXEC", a, op->value, b,
                 op->value);
    } else {
        snprintf(text, sizeof(text), "%s %s %s", op->kind == OWN_SET ? "SET" : "GETSET", a,
                 op->value);
    }
    send_text(r, op, op->kind == OWN_BLOCK ? 4 : 1, text);
}

static void send_something(struct round *r, int client)
{
    struct person *p = &r->people[client];
    if (p->watching || p->nwaiting >= WAITING - 1)
        return;
    enum kind kind = (enum kind)roll(r, KINDS);
    if (kind <= COUNT) {
        int key = (int)roll(r, COUNTERS);
        send_counter_op(r, op_new(r, client, kind == WATCHED_SET ? INCR : kind, key));
    } else if (kind <= MGET) {
        send_register_op(r, op_new(r, client, kind, FIRST_REGISTER + (int)roll(r, REGISTERS)));
    } else if (kind <= PAIR_GET) {
        send_pair_op(r, op_new(r, client, kind, FIRST_PAIR));
    } else if (kind <= OWN_BLOCK) {
        send_own_op(r, op_new(r, client, kind, own_key(r, client, (int)roll(r, OWN))));
    } else {
        static const char *const others[] = {"PING", "DBSIZE", "KEYS reg*", "MULTI;DBSIZE;EXEC"};
        size_t n = roll(r, 6);
        if (n >= 4) {
            send_filler(r, op_new(r, client, OTHER, -1));
            return;
        }
        send_text(r, op_new(r, client, OTHER, -1), n == 3 ? 3 : 1, others[n]);
    }
}

/* The second half of an increment by WATCH. */
static void send_watched_set(struct round *r, const struct op *watch)
{
    char text[160];
    char a[KEY_NAME * 2];
    struct person *p = &r->people[watch->client];
    p->watching = false;
    bool nil = strcmp(watch->reply, "$-1") == 0;
    const char *at = strchr(watch->reply, ' ');
    if (watch->failed || (!nil && at == NULL)) {
        send_text(r, op_new(r, watch->client, OTHER, -1), 1, "UNWATCH");
        return;
    }
    int value = nil ? 1 : atoi(at) + 1;
    struct op *op = op_new(r, watch->client, WATCHED_SET, watch->key);
    snprintf(op->value, sizeof(op->value), "%d", value);
    snprintf(text, sizeof(text), "MULTI;%s;EXEC", counter_command(op->key, "SET", value, a));
    send_text(r, op, 3, text);
}

/* ---- replies ---- */

/* Length of the reply at the front; 0 = not all of it is here. */
static size_t reply_length(struct bytes in)
{
    const char *end = in.len == 0 ? NULL : memchr(in.data, '\n', in.len);
    if (end == NULL)
        return 0;
    size_t at = (size_t)(end - in.data) + 1;
    int64_t n = -1;
    if ((in.data[0] == '$' || in.data[0] == '*') && at >= 3)
        EXPECT(num_int64(bytes_of(in.data + 1, at - 3), &n));
    if (in.data[0] == '$' && n >= 0)
        return at + (size_t)n + 2 <= in.len ? at + (size_t)n + 2 : 0;
    for (int64_t i = 0; in.data[0] == '*' && i < n; i++) {
        size_t part = reply_length(bytes_of(in.data + at, in.len - at));
        if (part == 0)
            return 0;
        at += part;
    }
    return at;
}

/* On one line, as peer_take does, and without x's. */
static void keep_reply(struct op *op, struct bytes reply)
{
    size_t n = 0;
    for (size_t i = 0; i + 2 < reply.len && n + 1 < sizeof(op->reply); i++) {
        if (reply.data[i] != '\r' && reply.data[i] != 'x')
            op->reply[n++] = reply.data[i] == '\n' ? ' ' : reply.data[i];
    }
    op->reply[n] = '\0';
}

static enum outcome outcome_of(const struct op *op)
{
    if (strcmp(op->reply, "*-1") == 0)
        return NOTHING;
    if (op->reply[0] != '-')
        return DONE;
    bool unknown = strstr(op->reply, "may or may not") != NULL;
    bool known = strstr(op->reply, "nothing was") != NULL ||
                 strstr(op->reply, "refused the write") != NULL ||
                 strstr(op->reply, "did not answer in time") != NULL ||
                 strstr(op->reply, "is not reachable") != NULL;
    EXPECT(unknown != known);
    return unknown ? UNKNOWN : NOTHING;
}

static void take_reply(struct round *r, struct person *p, struct bytes reply)
{
    EXPECT(p->nwaiting > 0);
    if (p->nwaiting == 0)
        return;
    struct op *op = &r->ops[p->waiting[0]];
    keep_reply(op, reply);
    if (--op->replies > 0) {
        op->failed |= op->reply[0] == '-';
        return;
    }
    op->failed |= op->reply[0] == '-';
    op->outcome = outcome_of(op);
    op->until = memory_store_change_number(r->ms);
    op->answered = ++r->clock;
    memmove(p->waiting, p->waiting + 1, --p->nwaiting * sizeof(p->waiting[0]));
    if (op->kind == WATCH_COUNT)
        send_watched_set(r, op);
}

static void take_replies(struct round *r)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct person *p = &r->people[i];
        size_t n;
        peer_collect(&p->peer);
        while ((n = reply_length(buf_bytes(&p->peer.in))) > 0) {
            take_reply(r, p, bytes_of(p->peer.in.data, n));
            buf_consume(&p->peer.in, n);
        }
    }
}

/* ---- trouble ---- */

/* The connection goes; what was asked for may still be done. */
static void change_connection(struct round *r, int client)
{
    struct person *p = &r->people[client];
    if (++p->connection == CONNECTIONS) {
        p->connection--;
        return;
    }
    peer_release(&p->peer);
    for (size_t i = 0; i < p->nwaiting; i++) {
        struct op *op = &r->ops[p->waiting[i]];
        op->outcome = UNKNOWN;
        op->until = UINT64_MAX;
        op->answered = UINT64_MAX;
    }
    p->nwaiting = 0;
    p->watching = false;
    peer_open(&r->rig, &p->peer);
}

/* One that is in use. */
static int some_key(struct round *r)
{
    if (roll(r, 2) == 0)
        return (int)roll(r, FIRST_OWN);
    return own_key(r, (int)roll(r, CLIENTS), (int)roll(r, OWN));
}

/* A counter as it is stored, 0 if it is absent. */
static uint64_t counter_of(const struct round *r, int key)
{
    char a[KEY_NAME];
    char text[32] = "";
    struct bytes found = {NULL, 0};
    key_name(key, a);
    if (!is_hash(key)) {
        const char *string = memory_store_text(r->ms, 0, a);
        return string[0] == '(' ? 0 : strtoull(string, NULL, 10);
    }
    const struct memory_row *row = memory_store_row(r->ms, 0, bytes_cstr(a));
    if (row != NULL && row->value != NULL && hash_get(value_content(row->value), BYTES_LIT("n"), &found) &&
        found.len < sizeof(text))
        memcpy(text, found.data, found.len);
    return strtoull(text, NULL, 10);
}

/* Another instance counts: on a copy, as we do. */
static void count_as_another(struct round *r, int key)
{
    char a[KEY_NAME];
    char text[32];
    key_name(key, a);
    snprintf(text, sizeof(text), "%" PRIu64, counter_of(r, key) + 1);
    r->foreign[key]++;
    if (!is_hash(key)) {
        memory_store_write(r->ms, 0, a, text);
        return;
    }
    const struct memory_row *row = memory_store_row(r->ms, 0, bytes_cstr(a));
    bool there = row != NULL && row->value != NULL;
    struct value *v = there ? value_collection_copy(row->value) : value_collection_new(VALUE_HASH);
    struct hash_item *item = hash_item_new(BYTES_LIT("n"), bytes_cstr(text));
    CHECK(v != NULL && item != NULL);
    hash_put(value_content(v), item);
    memory_store_write_value(r->ms, 0, a, v);
    value_unref(v);
}

static void write_as_another(struct round *r)
{
    char a[KEY_NAME];
    char text[32];
    int key = some_key(r);
    key_name(key, a);
    if (memory_store_is_locked(r->ms, 0, bytes_cstr(a)))
        return;
    if (key >= FIRST_PAIR || roll(r, 2) == 0) {
        memory_store_touch(r->ms, 0, a, STORE_NEVER);
    } else if (key < FIRST_REGISTER) {
        count_as_another(r, key);
    } else {
        snprintf(text, sizeof(text), "foreign%d", (int)roll(r, 1000000));
        memory_store_write(r->ms, 0, a, roll(r, 3) == 0 ? NULL : text);
    }
}

static void change_trouble(struct round *r)
{
    char a[KEY_NAME];
    key_name(some_key(r), a);
    switch (roll(r, 4)) {
    case 0:
        memory_store_lock(r->ms, 0, a, true);
        break;
    case 1:
        memory_store_refuse(r->ms, 0, a, "no thanks");
        break;
    default: /* mostly there is none */
        for (int key = 0; key < KEYS; key++) {
            memory_store_lock(r->ms, 0, key_name(key, a), false);
            memory_store_refuse(r->ms, 0, a, NULL);
        }
    }
}

static void change_state(struct round *r)
{
    r->is_away = !r->is_away;
    for (size_t i = 0; r->is_away && i < r->commits; i++) {
        if (roll(r, 2) == 0)
            memory_store_lose(r->ms, MEMORY_COMMIT, i, (enum memory_loss)roll(r, 3));
    }
    memory_store_set_state(r->ms, r->is_away ? STORE_AWAY : STORE_ONLINE);
}

static void use_lane(struct round *r)
{
    enum memory_lane kind = (enum memory_lane)roll(r, 3);
    size_t lane = kind == MEMORY_READ     ? roll(r, r->reads)
                  : kind == MEMORY_COMMIT ? roll(r, r->commits)
                                          : 0;
    if (r->is_away)
        return;
    if (roll(r, 100) < r->temper->lose)
        memory_store_lose(r->ms, kind, lane, (enum memory_loss)roll(r, 3));
    else if (kind != MEMORY_QUERY && roll(r, 4) == 0)
        memory_store_execute(r->ms, kind, lane);
    else
        memory_store_answer(r->ms, kind, lane);
}

static void pass_time(struct round *r)
{
    int64_t us = (int64_t)roll(r, r->temper->time_ms * 1000);
    memory_store_advance(r->ms, us);
    fake_time_advance(r->rig.loop, us);
}

static void send_some(struct round *r)
{
    int client = (int)roll(r, CLIENTS);
    for (uint64_t n = roll(r, 3) == 0 ? 5 : 1; n > 0; n--)
        send_something(r, client);
}

static void step(struct round *r)
{
    const struct temper *t = r->temper;
    uint64_t what = roll(r, 100);
    if (r->is_away && roll(r, 8) == 0)
        change_state(r);
    else if (what < t->send)
        send_some(r);
    else if ((what -= t->send) < t->foreign)
        write_as_another(r);
    else if ((what -= t->foreign) < t->time)
        pass_time(r);
    else if ((what -= t->time) < t->trouble)
        change_trouble(r);
    else if ((what -= t->trouble) < t->state)
        change_state(r);
    else if ((what -= t->state) < t->connection)
        change_connection(r, (int)roll(r, CLIENTS));
    else
        use_lane(r);
    rig_submit(&r->rig);
    take_replies(r);
}

static void hold_all(struct round *r, bool hold)
{
    for (size_t i = 0; i < r->reads; i++)
        memory_store_hold(r->ms, MEMORY_READ, i, hold);
    for (size_t i = 0; i < r->commits; i++)
        memory_store_hold(r->ms, MEMORY_COMMIT, i, hold);
    memory_store_hold(r->ms, MEMORY_QUERY, 0, hold);
}

/* All is well again: everybody is answered. */
static void calm_down(struct round *r)
{
    char a[KEY_NAME];
    for (int key = 0; key < KEYS; key++) {
        memory_store_lock(r->ms, 0, key_name(key, a), false);
        memory_store_refuse(r->ms, 0, a, NULL);
    }
    memory_store_set_state(r->ms, STORE_ONLINE);
    hold_all(r, false);
    for (int i = 0; i < 30; i++) {
        rig_advance_ms(&r->rig, 100);
        take_replies(r);
    }
    EXPECT(engine_idle(r->rig.engine));
    for (int i = 0; i < CLIENTS; i++)
        EXPECT_INT(r->people[i].nwaiting, 0);
}

/* ---- what must be true ---- */

static void collect_past(struct round *r)
{
    size_t n;
    char a[KEY_NAME];
    const struct memory_change *changes = memory_store_changes(r->ms, &n);
    for (int key = 0; key < KEYS; key++) {
        struct past *p = &r->past[key];
        struct bytes name = bytes_cstr(key_name(key, a));
        p->states = mem_zalloc((n + 1) * sizeof(*p->states));
        p->n = 1; /* absent at first */
        for (size_t i = 0; i < n; i++) {
            if (!bytes_eq(buf_bytes(&changes[i].key), name))
                continue;
            p->states[p->n].number = changes[i].number;
            p->states[p->n++].value = changes[i].value;
        }
    }
}

static bool value_is(const struct value *v, const char *text)
{
    if (v == NULL || text == NULL)
        return v == NULL && text == NULL;
    size_t n = strlen(text);
    return v->len >= n && memcmp(v->data, text, n) == 0 && (v->len == n || v->data[n] == 'x');
}

/* The state after the change of this number. */
static const struct value *state_at(const struct past *p, uint64_t number)
{
    size_t i = p->n - 1;
    while (p->states[i].number > number)
        i--;
    return p->states[i].value;
}

static bool changed_within(const struct past *p, uint64_t from, uint64_t until)
{
    for (size_t i = 1; i < p->n; i++) {
        if (p->states[i].number > from && p->states[i].number <= until)
            return true;
    }
    return false;
}

static bool writes_value(const struct op *op, const char *text)
{
    bool removes = op->kind == DEL || op->kind == GETDEL;
    return text == NULL ? removes : !removes && strcmp(op->value, text) == 0;
}

/* Did the key change while both waited? What is in doubt may be done after the reply. */
static bool met(const struct past *p, const struct op *op, const struct op *writer)
{
    uint64_t end = writer->outcome == UNKNOWN ? UINT64_MAX : writer->until;
    uint64_t from = writer->from > op->from ? writer->from : op->from;
    uint64_t until = end < op->until ? end : op->until;
    return writer != op && writer->key == op->key && from < until && changed_within(p, from, until);
}

/* Was the key's value `text` (NULL = absent) at some moment while `op` waited? It may also have
 * been so within a batch, after a write that waited at the same time. */
static bool was_seen(const struct round *r, const struct op *op, const char *text)
{
    const struct past *p = &r->past[op->key];
    if (value_is(state_at(p, op->from), text))
        return true;
    for (size_t i = 1; i < p->n; i++) {
        bool in_time = p->states[i].number > op->from && p->states[i].number <= op->until;
        if (in_time && value_is(p->states[i].value, text))
            return true;
    }
    for (size_t i = 0; i < r->nops; i++) {
        if (writes_value(&r->ops[i], text) && met(p, op, &r->ops[i]))
            return true;
    }
    return false;
}

/* Was there any value at all? */
static bool was_there(const struct round *r, const struct op *op)
{
    const struct past *p = &r->past[op->key];
    if (state_at(p, op->from) != NULL)
        return true;
    for (size_t i = 1; i < p->n; i++) {
        bool in_time = p->states[i].number > op->from && p->states[i].number <= op->until;
        if (in_time && p->states[i].value != NULL)
            return true;
    }
    for (size_t i = 0; i < r->nops; i++) {
        if (r->ops[i].value[0] != '\0' && met(p, op, &r->ops[i]))
            return true;
    }
    return false;
}

/* The text of a bulk reply; NULL = nil. */
static const char *bulk_text(const char *reply)
{
    const char *at = strchr(reply, ' ');
    return reply[0] == '$' && at != NULL ? at + 1 : NULL;
}

static void report(const struct op *op, bool ok, const char *what)
{
    EXPECT(ok);
    if (!ok)
        printf("  %s: client %d, kind %d, key %d, value %s, reply %s, changes %" PRIu64 "..%" PRIu64
               "\n",
               what, op->client, (int)op->kind, op->key, op->value, op->reply, op->from, op->until);
}

static void check_register_op(const struct round *r, const struct op *op)
{
    const char *text = bulk_text(op->reply);
    bool one = strcmp(op->reply, ":1") == 0;
    bool zero = strcmp(op->reply, ":0") == 0;
    bool wrote = false;
    switch (op->kind) {
    case GETSET:
    case GETDEL:
    case GET:
        report(op, was_seen(r, op, text), "a value that was not there");
        wrote = op->kind == GETSET || (op->kind == GETDEL && text != NULL);
        break;
    case SETNX:
        report(op, one ? was_seen(r, op, NULL) : was_there(r, op), "not so");
        wrote = one;
        break;
    case DEL:
    case EXPIRE:
        report(op, zero ? was_seen(r, op, NULL) : was_there(r, op), "not so");
        wrote = one;
        break;
    default:
        wrote = op->kind == SET || op->kind == SET_SAME || (op->kind == PERSIST && one);
    }
    if (wrote)
        report(op, changed_within(&r->past[op->key], op->from, op->until),
               "acknowledged and not written");
}

static void check_registers(const struct round *r)
{
    for (size_t i = 0; i < r->nops; i++) {
        const struct op *op = &r->ops[i];
        if (op->kind >= SET && op->kind <= GET && op->outcome == DONE)
            check_register_op(r, op);
        bool nil = op->kind == WATCHED_SET && op->outcome == NOTHING;
        if (r->temper->harmless)
            report(op, op->outcome == DONE || nil, "an error without a reason");
    }
}

/* "*3 $2 v1 $-1 $2 v7" was true of all three at one moment. */
static bool snapshot_fits(const struct round *r, const struct op *op, int first, int n,
                          uint64_t number)
{
    const char *at = strchr(op->reply, ' ') + 1;
    char text[64];
    for (int i = 0; i < n; i++) {
        bool nil = at[1] == '-';
        at = nil ? at + 3 : strchr(at, ' ') + 1;
        int len = nil ? 0 : (int)strcspn(at, " ");
        snprintf(text, sizeof(text), "%.*s", len, at);
        if (!value_is(state_at(&r->past[first + i], number), nil ? NULL : text))
            return false;
        at += len;
        at += *at == ' ';
    }
    return true;
}

static void check_snapshots(const struct round *r)
{
    for (size_t i = 0; i < r->nops; i++) {
        const struct op *op = &r->ops[i];
        if (op->outcome != DONE || (op->kind != MGET && op->kind != PAIR_GET))
            continue;
        bool pair = op->kind == PAIR_GET;
        bool fits = false;
        for (uint64_t n = op->from; n <= op->until && !fits; n++)
            fits = snapshot_fits(r, op, pair ? FIRST_PAIR : FIRST_REGISTER, pair ? 2 : 3, n);
        report(op, fits, "no moment was like this");
    }
    for (uint64_t n = 0; n <= memory_store_change_number(r->ms); n++) {
        const struct value *a = state_at(&r->past[FIRST_PAIR], n);
        const struct value *b = state_at(&r->past[FIRST_PAIR + 1], n);
        EXPECT((a == NULL && b == NULL) ||
               (a != NULL && b != NULL && bytes_eq(value_bytes(a), value_bytes(b))));
    }
}

static bool counts_for(const struct op *op, int key)
{
    if (op->kind == INCR_TWO)
        return op->key == key || op->key2 == key;
    bool one = op->kind == INCR || op->kind == INCR_ALONE || op->kind == WATCHED_SET;
    return one && op->key == key;
}

static void check_counters(struct round *r)
{
    for (int key = 0; key < COUNTERS; key++) {
        char a[KEY_NAME];
        uint64_t least = r->foreign[key];
        uint64_t unknown = 0;
        for (size_t i = 0; i < r->nops; i++) {
            const struct op *op = &r->ops[i];
            least += counts_for(op, key) && op->outcome == DONE;
            unknown += counts_for(op, key) && op->outcome == UNKNOWN;
            for (size_t j = 0; op->kind == INCR && op->outcome == DONE && j < i; j++) {
                const struct op *other = &r->ops[j];
                if (other->kind == INCR && other->outcome == DONE && other->key == op->key)
                    report(op, strcmp(op->reply, other->reply) != 0, "counted twice");
            }
        }
        uint64_t final = counter_of(r, key);
        key_name(key, a);
        EXPECT(final >= least && final <= least + unknown);
        if (final < least || final > least + unknown)
            printf("  %s is %" PRIu64 ", of %" PRIu64 " acknowledged and %" PRIu64 " unknown\n", a,
                   final, least, unknown);
    }
}

static void check_count_reads(const struct round *r)
{
    for (size_t i = 0; i < r->nops; i++) {
        const struct op *op = &r->ops[i];
        if (op->kind != COUNT || op->outcome != DONE)
            continue;
        const char *text = bulk_text(op->reply);
        uint64_t value = text == NULL ? 0 : strtoull(text, NULL, 10);
        uint64_t before = 0;
        uint64_t possible = r->foreign[op->key];
        for (size_t j = 0; j < r->nops; j++) {
            const struct op *w = &r->ops[j];
            before += counts_for(w, op->key) && w->outcome == DONE && w->answered < op->sent;
            possible += counts_for(w, op->key) && w->outcome != NOTHING && w->sent < op->answered;
        }
        report(op, value >= before && value <= possible, "a count that cannot be");
    }
}

/* The change that made the op's number, or a later one of its client, visible under a key. */
static uint64_t visible_at(const struct past *p, int number)
{
    for (size_t i = 1; i < p->n; i++) {
        char text[32];
        const struct value *v = p->states[i].value;
        snprintf(text, sizeof(text), "%.*s", v != NULL ? (int)v->len : 0, v != NULL ? v->data : "");
        if (atoi(text) >= number)
            return p->states[i].number;
    }
    return UINT64_MAX;
}

static bool is_own(const struct op *op)
{
    return op->kind == OWN_SET || op->kind == OWN_GETSET || op->kind == OWN_BLOCK;
}

static bool appears(const struct past *p, const char *text)
{
    for (size_t i = 1; i < p->n; i++) {
        if (value_is(p->states[i].value, text))
            return true;
    }
    return false;
}

static void check_order(const struct round *r)
{
    /* At which change all acknowledged so far were there. */
    uint64_t latest[CLIENTS][CONNECTIONS] = {{0}};
    for (size_t i = 0; i < r->nops; i++) {
        const struct op *op = &r->ops[i];
        if (!is_own(op))
            continue;
        uint64_t at = visible_at(&r->past[op->key], op->number);
        uint64_t *last = &latest[op->client][op->connection];
        if (appears(&r->past[op->key], op->value))
            report(op, at >= *last, "overtook an earlier write of its client");
        if (op->outcome != DONE)
            continue;
        report(op, at <= op->until, "acknowledged and not written");
        if (at != UINT64_MAX && at > *last)
            *last = at;
    }
}

static void check_undone(const struct round *r)
{
    for (size_t i = 0; i < r->nops; i++) {
        const struct op *op = &r->ops[i];
        bool unique = is_own(op) || op->kind == SET || op->kind == GETSET || op->kind == SETNX ||
                      op->kind == PAIR_MSET || op->kind == PAIR_BLOCK || op->kind == PAIR_ALONE;
        if (unique && op->outcome == NOTHING)
            report(op, !appears(&r->past[op->key], op->value), "said not to be done, and was");
    }
}

/* ---- rounds ---- */

static void round_begin(struct round *r, uint64_t seed)
{
    static const char *const no_memory[] = {"--maxmemory", "1kb", NULL};
    memset(r, 0, sizeof(*r));
    r->dice = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (int i = 0; i < 8; i++)
        roll(r, 2);
    r->reads = 1 + roll(r, LANES);
    r->commits = 1 + roll(r, LANES);
    rig_init(&r->rig, r->reads, r->commits, roll(r, 2) == 0 ? no_memory : NULL);
    r->commits++; /* the bulk lane */
    r->ms = r->rig.ms;
    if (roll(r, 2) == 0)
        memory_store_set_foreign_ahead(r->ms, 2000000);
    r->temper = &tempers[roll(r, sizeof(tempers) / sizeof(tempers[0]))];
    hold_all(r, true);
    for (int i = 0; i < CLIENTS; i++)
        peer_open(&r->rig, &r->people[i].peer);
}

static void round_end(struct round *r)
{
    for (int i = 0; i < CLIENTS; i++)
        peer_release(&r->people[i].peer);
    for (int key = 0; key < KEYS; key++)
        mem_free(r->past[key].states);
    mem_free(r->ops);
    rig_release(&r->rig);
}

/* The seed of the round under way, for when it ends in an assertion. */
static char seed_text[64];

static void on_abort(int signo)
{
    (void)signo;
    ssize_t n = write(STDOUT_FILENO, seed_text, strlen(seed_text));
    (void)n;
}

static void run_round(uint64_t seed)
{
    static struct round r;
    int before = test_failures;
    snprintf(seed_text, sizeof(seed_text), "  RESPGRES_SEED=%" PRIu64 "\n", seed);
    round_begin(&r, seed);
    for (int i = 0; i < STEPS; i++)
        step(&r);
    calm_down(&r);
    collect_past(&r);
    check_counters(&r);
    check_count_reads(&r);
    check_registers(&r);
    check_snapshots(&r);
    check_order(&r);
    check_undone(&r);
    round_end(&r);
    if (test_failures != before)
        printf("%s", seed_text);
}

static void whatever_happens(void)
{
    const char *given = getenv("RESPGRES_SEED");
    uint32_t seed;
    random_bytes(&seed, sizeof(seed));
    uint64_t first = given != NULL ? strtoull(given, NULL, 10) : seed;
    printf("RESPGRES_SEED=%" PRIu64 "\n", first);
    signal(SIGABRT, on_abort);
    for (uint64_t i = 0; i < ROUNDS && test_failures == 0; i++)
        run_round(first + i);
}

TEST_MAIN(TEST(whatever_happens))
